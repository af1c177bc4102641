//! What a piece of work may cost: memory and time in proportion to its input, and nothing more.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use stats_alloc::{Region, StatsAlloc};

/// The allocator that counts: a fuzz target makes it its global one.
pub type Counting = StatsAlloc<std::alloc::System>;

/// Bytes asked of the allocator, in all, for each byte of input: an array of one-digit numbers, buffered twice, is the
/// dearest that is known.
const BYTES_PER_BYTE: usize = 400;

/// Bytes asked of the allocator whatever the input.
const BYTES: usize = 16 << 10;

/// Time on the processor for each byte of input, many times what it takes: only work that is not linear gets there.
const TIME_PER_BYTE: Duration = Duration::from_micros(4);

/// Time on the processor whatever the input.
const TIME: Duration = Duration::from_millis(20);

/// Does `work`, whose input is so many bytes.
///
/// # Panics
/// When it costs more than such an input should.
pub fn in_proportion<T>(allocator: &'static Counting, input: usize, work: impl FnOnce() -> T) -> T {
    let (region, begun) = (Region::new(allocator), processor_time());
    let done = work();
    let (asked, took) = (region.change(), processor_time().saturating_sub(begun));
    let bytes = asked.bytes_allocated;
    assert!(
        bytes <= BYTES + BYTES_PER_BYTE * input,
        "{bytes} bytes were asked of the allocator for {input} bytes of input"
    );
    let limit = TIME + TIME_PER_BYTE * u32::try_from(input).unwrap_or(u32::MAX);
    assert!(took <= limit, "{took:?} on the processor for {input} bytes of input");
    done
}

/// Of this thread alone: what its neighbours do to the machine is not held against it.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
