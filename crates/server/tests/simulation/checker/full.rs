//! When the hub's disk was full.

use crate::facts::{Dated, Fact};

/// From when to when, in milliseconds; without an end it still is.
#[derive(Default)]
pub(super) struct FullTimes(Vec<(u64, Option<u64>)>);

impl FullTimes {
    pub(super) fn of(facts: &[Dated]) -> Self {
        let mut times = Self::default();
        for Dated { at_ms, fact } in facts {
            match fact {
                Fact::DiskFull => times.0.push((*at_ms, None)),
                Fact::DiskHasRoom => {
                    let open = times.0.iter_mut().filter(|(_, end)| end.is_none());
                    open.for_each(|(_, end)| *end = Some(*at_ms));
                }
                _ => {}
            }
        }
        times
    }

    /// Whether it was at some time between these two.
    pub(super) fn overlap(&self, from_ms: u64, to_ms: u64) -> bool {
        let overlaps = |(begin, end): &(u64, Option<u64>)| {
            *begin <= to_ms && end.is_none_or(|end| end >= from_ms)
        };
        self.0.iter().any(overlaps)
    }
}
