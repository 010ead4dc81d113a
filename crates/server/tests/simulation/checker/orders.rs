//! Order: of what each recipient is shown, and of the positions in each log.

use std::collections::{BTreeMap, BTreeSet};

use chat_protocol::id::MessageId;

use super::Findings;
use crate::facts::{Dated, Fact, Person, Place};

/// Messages of one sender in one place are shown in the order of sending; positions grow; and what
/// must not happen with an honest hub did not.
pub(super) fn check(facts: &[Dated], findings: &mut Findings) {
    // Stored, dropped by its room's retention before its sender had the answer, and stored again:
    // it comes when it comes.
    let mut twice: BTreeSet<MessageId> = BTreeSet::new();
    let mut once: BTreeSet<MessageId> = BTreeSet::new();
    for Dated { fact, .. } in facts {
        if let Fact::Kept { id, .. } = fact
            && !once.insert(*id)
        {
            twice.insert(*id);
        }
    }
    let mut order: BTreeMap<MessageId, usize> = BTreeMap::new();
    let mut last_of: BTreeMap<(&Person, &Place, &Person), (usize, MessageId)> = BTreeMap::new();
    let mut last_at: BTreeMap<(&Person, &Place), u64> = BTreeMap::new();
    let mut kept: BTreeMap<&Place, u64> = BTreeMap::new();
    let mut was_full = false;
    let mut stored: BTreeMap<u64, MessageId> = BTreeMap::new();
    for (number, Dated { fact, .. }) in facts.iter().enumerate() {
        match fact {
            Fact::Submitted { id, .. } => {
                order.insert(*id, number);
            }
            Fact::Shown { to, from, id, place, position, .. } => {
                let sent = order.get(id).copied().unwrap_or(number);
                if !twice.contains(id) {
                    let before = last_of.insert((to, place, from), (sent, *id));
                    findings.unless(before.is_none_or(|(last, _)| last < sent), "order", || {
                        let first = before.map(|(_, id)| id.to_string()).unwrap_or_default();
                        format!("{to} was shown {from}'s {id} after the later {first}")
                    });
                }
                let before = last_at.insert((to, place), *position);
                findings.unless(before.is_none_or(|last| last < *position), "positions", || {
                    format!("{to} was shown {position} of {place} after {before:?}")
                });
            }
            Fact::Stored { id, position, .. } => {
                let other = stored.insert(*position, *id);
                findings.unless(other.is_none_or(|other| other == *id), "positions", || {
                    format!("{id} and {other:?} were both stored at {position}")
                });
            }
            Fact::Kept { id, place, position } => {
                let before = kept.insert(place, *position);
                findings.unless(before.is_none_or(|last| last < *position), "positions", || {
                    format!("{id} is kept at {position} of {place}, after {before:?}")
                });
            }
            Fact::DiskFull => was_full = true,
            // Only a refused message leaves a counter unused. Those sealed before the refusal was
            // known cannot tell of it; the next one does.
            Fact::Gap { at, from, place, missing } => {
                findings.unless(was_full, "gap", || {
                    format!("{at} misses {missing:?} of {from} in {place}")
                });
            }
            Fact::Trouble { at, what } => findings.add("trouble", format!("{at}: {what}")),
            Fact::Joined { .. }
            | Fact::Dropped { .. }
            | Fact::Refused { .. }
            | Fact::Delivered { .. }
            | Fact::Ran { .. }
            | Fact::Ended { .. } => {}
        }
    }
}
