//! Alarms and gaps: an honest hub causes none, but for those that a restore explains.

use std::collections::BTreeMap;

use super::Findings;
use crate::facts::{Dated, Fact, Place, Seat, person};

/// Where a device misses messages of whom.
type Chain<'a> = (&'a Seat, &'a Place, &'a str);

/// Messages of each chain that a device says it misses, and that have not come since.
pub(super) fn open_gaps(facts: &[Dated]) -> BTreeMap<Chain<'_>, u64> {
    let mut gaps: BTreeMap<Chain<'_>, u64> = BTreeMap::new();
    let count = |n: &[u32]| u64::try_from(n.len()).unwrap();
    for Dated { fact, .. } in facts {
        match fact {
            Fact::Gap { at, from, place, missing } => {
                *gaps.entry((at, place, from.as_str())).or_default() += count(missing);
            }
            Fact::Healed { at, from, place, n } => {
                let gap = gaps.entry((at, place, from.as_str())).or_default();
                *gap = gap.saturating_sub(count(n));
            }
            _ => {}
        }
    }
    gaps
}

/// One `rolled_back` for each restore, one `fork` for each that a restore has made, and no gap that
/// names more than a restore has taken.
pub(super) fn check(facts: &[Dated], findings: &mut Findings) {
    let (mut was_full, mut restores, mut forks) = (false, 0, 0);
    let mut raised: BTreeMap<(&Seat, &str), u32> = BTreeMap::new();
    let mut taken: BTreeMap<(&Place, &str), u64> = BTreeMap::new();
    let mut gaps: BTreeMap<Chain<'_>, u64> = BTreeMap::new();
    let dropped = super::dropped(facts);
    for Dated { fact, .. } in facts {
        match fact {
            Fact::DiskFull => was_full = true,
            Fact::Restored { .. } => restores += 1,
            Fact::Forked { .. } => forks += 1,
            Fact::Taken { place, from, .. } => {
                *taken.entry((place, person(from))).or_default() += 1;
            }
            Fact::Alarm { at, kind, detail, count } => {
                let times = raised.entry((at, kind)).or_default();
                *times += count;
                let most = match *kind {
                    "rolled_back" => restores,
                    "fork" => forks,
                    _ => 0,
                };
                findings.unless(*times <= most, "alarm", || {
                    format!("{at}: {kind}, {times} times, of which {most} are right: {detail}")
                });
            }
            // Only a refused message leaves a counter unused. Those sealed before the refusal was
            // known cannot tell of it; the next one does.
            Fact::Gap { at, from, place, missing } if !was_full => {
                let gap = gaps.entry((at, place, from.as_str())).or_default();
                *gap += u64::try_from(missing.len()).unwrap();
                let taken = taken.get(&(place, from.as_str())).copied().unwrap_or(0);
                // Among them may be some that its retention has dropped before.
                let dropped = dropped.get(&(at, place)).copied().unwrap_or(0);
                let most = if taken > 0 { taken + dropped } else { 0 };
                findings.unless(*gap <= most, "gap", || {
                    format!("{at} misses {missing:?} of {from} in {place}, {most} were taken")
                });
            }
            Fact::Unhealed { at, from, place, n } => {
                let was_taken = taken.contains_key(&(place, from.as_str()));
                findings.unless(was_taken || was_full, "gap", || {
                    format!("{at} does not get {n:?} of {from} in {place}")
                });
            }
            // A piece that a full disk refused is said again, perhaps after the command's end.
            Fact::OutputLost { at, re, pieces } => {
                findings.unless(was_full, "trouble", || {
                    format!("{at}: {pieces} pieces of {re} are lost")
                });
            }
            Fact::Disowned { at, id } => {
                findings.unless(restores > 0 || was_full, "trouble", || {
                    format!("{at} was told that the hub refused {id}, which it has shown")
                });
            }
            Fact::Trouble { at, what } => findings.add("trouble", format!("{at}: {what}")),
            _ => {}
        }
    }
}
