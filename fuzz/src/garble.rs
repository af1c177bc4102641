//! Changes bytes that are to be decoded: with words that the decoder knows, and into lengths at which cost shows.

use fastrand::Rng;

use crate::shapes::Shapes;

/// What is tried in place of libFuzzer's own mutations, which know nothing of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// A message of one of the protocol's shapes, in place of all.
    Message,
    /// A word that means something, somewhere.
    Word,
    /// A piece of the input, many times over: a fuzzer that adds byte by byte rarely gets to a length.
    Growth,
}

/// Changes `data[..size]` on the spot; returns the new size, or `None` when it is libFuzzer's turn.
pub fn garble(data: &mut [u8], size: usize, shapes: &Shapes, rng: &mut Rng) -> Option<usize> {
    let change = match rng.u32(..32) {
        0 => Change::Message,
        1..4 => Change::Word,
        4 => Change::Growth,
        _ => return None,
    };
    Some(match change {
        Change::Message => put(data, size, 0..size, shapes.message(rng).to_string().as_bytes()),
        Change::Word => {
            let start = rng.usize(..=size);
            let end = if rng.bool() { start } else { rng.usize(start..=size) };
            let word = shapes.word(rng);
            let word = if rng.bool() { format!("{word:?}") } else { word.to_owned() };
            put(data, size, start..end, word.as_bytes())
        }
        Change::Growth => grow(data, size, rng),
    })
}

/// Puts `new` where `place` was, if there is room.
fn put(data: &mut [u8], size: usize, place: std::ops::Range<usize>, new: &[u8]) -> usize {
    let end = place.start + new.len();
    let total = end + (size - place.end);
    if total > data.len() {
        return size;
    }
    data.copy_within(place.end..size, end);
    data[place.start..end].copy_from_slice(new);
    total
}

/// Repeats a piece as often as fits below some length.
fn grow(data: &mut [u8], size: usize, rng: &mut Rng) -> usize {
    if size == 0 {
        return size;
    }
    let start = rng.usize(..size);
    let piece = data[start..rng.usize(start + 1..=size)].to_vec();
    // Short ones are tried quickly, long ones must come too: each power of two is as likely.
    let room = (data.len() - size) >> rng.u32(..=data.len().ilog2());
    let more = piece.repeat(room / piece.len());
    put(data, size, start..start, &more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_repeated_and_the_rest_stays() {
        for seed in 0..10_000 {
            let mut data = vec![0; 64];
            data[..3].copy_from_slice(b"abc");
            let size = grow(&mut data, 3, &mut Rng::with_seed(seed));
            let text = String::from_utf8(data[..size].to_vec()).unwrap();
            assert!(text.starts_with('a') && text.ends_with('c'), "{text}");
        }
    }

    #[test]
    fn what_is_put_in_takes_its_place_or_nothing_happens() {
        let mut data = *b"abcde---";
        assert_eq!(put(&mut data, 5, 1..3, b"123456"), 5);
        assert_eq!(put(&mut data, 5, 1..3, b"12345"), 8);
        assert_eq!(&data, b"a12345de");
    }

    #[test]
    fn every_kind_of_change_fits() {
        let (shapes, mut rng) = (Shapes::default(), Rng::with_seed(1));
        let (mut data, mut size) = (vec![b'x'; 500], 10);
        for _ in 0..10_000 {
            size = garble(&mut data, size, &shapes, &mut rng).unwrap_or(size);
            assert!(size <= 500);
        }
    }
}
