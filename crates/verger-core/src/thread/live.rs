//! Which stretches of a log still count: a revert forgets what lies between the last record that it keeps and its own
//! marker. The log itself only grows.

use crate::ids::Seq;

/// The part of a log that counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Stretches that ended, oldest first: each begins after one record and ends with another. None is empty.
    ended: Vec<(Seq, Seq)>,
    /// The last one begins after this record, and goes on for as long as the log does.
    after: Seq,
}

impl Live {
    /// Takes a marker: of what counted before it, only records up to and with `upto` do from now on. Markers come in the
    /// order of the log.
    pub fn forget(&mut self, upto: Seq, marker: Seq) {
        self.ended.push((self.after, Seq(marker.0.saturating_sub(1))));
        self.after = marker;
        while let Some(last) = self.ended.last_mut() {
            last.1 = last.1.min(upto);
            if last.0 < last.1 {
                break;
            }
            self.ended.pop();
        }
    }

    /// What counts of the records after `after`, up to and with `upto`, as stretches, oldest first. None is empty.
    pub fn within(&self, after: Seq, upto: Seq) -> impl DoubleEndedIterator<Item = (Seq, Seq)> + '_ {
        let all = self.ended.iter().copied().chain([(self.after, Seq(u32::MAX))]);
        let part = move |(from, to): (Seq, Seq)| (from.max(after), to.min(upto));
        all.map(part).filter(|(from, to)| from < to)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counted(live: &Live, after: u32, upto: u32) -> Vec<u32> {
        live.within(Seq(after), Seq(upto)).flat_map(|(from, to)| from.0 + 1..=to.0).collect()
    }

    #[test]
    fn what_a_marker_forgets_does_not_count() {
        let mut live = Live::default();
        assert_eq!(counted(&live, 0, 4), [1, 2, 3, 4]);
        live.forget(Seq(2), Seq(5));
        assert_eq!(counted(&live, 0, 7), [1, 2, 6, 7]);
        assert_eq!(counted(&live, 1, 6), [2, 6]);
        // Back behind what had been forgotten already, and then all of it.
        live.forget(Seq(1), Seq(8));
        assert_eq!(counted(&live, 0, 9), [1, 9]);
        live.forget(Seq(0), Seq(10));
        assert_eq!(counted(&live, 0, 10), [0; 0]);
        assert_eq!(counted(&live, 0, 12), [11, 12]);
        assert_eq!(live, Live { ended: Vec::new(), after: Seq(10) }, "what is gone takes no room");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Against a list from which the forgotten is really taken.
        #[test]
        fn it_counts_what_a_list_would_hold(steps in prop::collection::vec(prop::option::of(any::<prop::sample::Index>()), 1..80)) {
            let (mut live, mut list, mut head) = (Live::default(), Vec::new(), 0_u32);
            for step in steps {
                head += 1;
                match step {
                    None => list.push(head),
                    Some(cut) => {
                        list.truncate(cut.index(list.len() + 1));
                        live.forget(Seq(list.last().copied().unwrap_or(0)), Seq(head));
                    }
                }
                prop_assert_eq!(counted(&live, 0, head), list.clone());
                let stretches = live.within(Seq(0), Seq(head)).count();
                prop_assert!(stretches <= list.len(), "no stretch is empty");
            }
        }
    }
}
