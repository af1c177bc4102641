//! How much a helper's tree takes: for people, never for decisions (a `/proc` scan proves nothing).

use std::fs;

/// Sums over all descendants of a shim, without the shim itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Footprint {
    pub(crate) processes: u32,
    pub(crate) rss_bytes: u64,
}

/// Looks below `shim`. A process that ends meanwhile is passed over.
pub(crate) fn footprint(shim: u32) -> Footprint {
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    let mut sum = Footprint::default();
    let mut left = children(shim);
    // A tree that forks faster than it is walked is cut off rather than followed for ever.
    while let Some(pid) = left.pop().filter(|_| sum.processes < 100_000) {
        left.extend(children(pid));
        sum.processes += 1;
        let statm = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
        let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
        sum.rss_bytes += pages.unwrap_or(0) * page;
    }
    sum
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}
