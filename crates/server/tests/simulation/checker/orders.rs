//! Order: of what each recipient is shown, and of the positions in each log.

use std::collections::{BTreeMap, BTreeSet};

use chat_protocol::id::MessageId;

use super::Findings;
use crate::facts::{Dated, Fact, Place, Seat};

/// Messages of one device in one place are shown in the order of sending, and positions grow. What was
/// missing and comes later has its own place, and after a restore positions begin anew.
pub(super) fn check(facts: &[Dated], findings: &mut Findings) {
    // Stored, deleted by its room's retention before its sender had the answer, and stored again: it comes
    // when it comes.
    let mut deleted: BTreeSet<MessageId> = BTreeSet::new();
    let mut twice: BTreeSet<MessageId> = BTreeSet::new();
    let mut order: BTreeMap<MessageId, usize> = BTreeMap::new();
    let mut writer: BTreeMap<MessageId, &Seat> = BTreeMap::new();
    let mut last_of: BTreeMap<(&Seat, &Place, &Seat), (usize, MessageId)> = BTreeMap::new();
    // Positions count from anew when the hub goes back: what it had accepted before is an older one.
    let mut era = 0;
    let mut accepted: BTreeMap<(MessageId, u64), usize> = BTreeMap::new();
    let mut last_at: BTreeMap<(&Seat, &Place), (usize, u64)> = BTreeMap::new();
    let mut kept: BTreeMap<&Place, u64> = BTreeMap::new();
    let mut stored: BTreeMap<u64, MessageId> = BTreeMap::new();
    for (number, Dated { fact, .. }) in facts.iter().enumerate() {
        match fact {
            Fact::Submitted { by, id, .. } => {
                order.insert(*id, number);
                writer.insert(*id, by);
            }
            Fact::Shown { to, id, place, position: Some(position), .. } => {
                let sent = order.get(id).copied().unwrap_or(number);
                if let Some(from) = writer.get(id).filter(|_| !twice.contains(id)) {
                    let before = last_of.insert((to, place, from), (sent, *id));
                    findings.unless(before.is_none_or(|(last, _)| last < sent), "order", || {
                        let first = before.map(|(_, id)| id.to_string()).unwrap_or_default();
                        format!("{to} was shown {from}'s {id} after the later {first}")
                    });
                }
                let at = (accepted.get(&(*id, *position)).copied().unwrap_or(era), *position);
                let before = last_at.insert((to, place), at);
                findings.unless(before.is_none_or(|last| last < at), "positions", || {
                    format!("{to} was shown {at:?} of {place} after {before:?}")
                });
            }
            Fact::Accepted { id, position, .. } => {
                accepted.insert((*id, *position), era);
                if deleted.contains(id) {
                    twice.insert(*id);
                }
                let other = stored.insert(*position, *id);
                findings.unless(other.is_none_or(|other| other == *id), "positions", || {
                    format!("{id} and {other:?} were both accepted at {position}")
                });
            }
            Fact::Kept { id, place, position } => {
                let before = kept.insert(place, *position);
                findings.unless(before.is_none_or(|last| last < *position), "positions", || {
                    format!("{id} is kept at {position} of {place}, after {before:?}")
                });
            }
            Fact::Deleted { id, .. } => drop(deleted.insert(*id)),
            Fact::Restored { .. } => {
                era += 1;
                stored.clear();
            }
            _ => {}
        }
    }
}
