//! After a restore all talk again, and soon.

use std::collections::{BTreeMap, BTreeSet};

use chat_protocol::{code, id::MessageId};

use super::{Findings, Messages, Submitted, person};
use crate::facts::{Dated, Fact, Seat, What};

/// What is said after a restore is shown in time to everybody who is to read it.
pub(super) fn check(facts: &[Dated], messages: &Messages<'_>, findings: &mut Findings) {
    let begins = facts.iter().find_map(|dated| match dated.fact {
        Fact::TalkBegins { until_ms } => Some((dated.at_ms, until_ms)),
        _ => None,
    });
    let Some((begins_ms, until_ms)) = begins else { return };
    let mut shown: BTreeMap<(&MessageId, &Seat), u64> = BTreeMap::new();
    for Dated { at_ms, fact } in facts {
        if let Fact::Shown { to, id, .. } = fact {
            shown.entry((id, to)).or_insert(*at_ms);
        }
    }
    for (id, message) in messages {
        let Some(Submitted { by, place, at_ms, what: What::Text(_), .. }) = message.submitted
        else {
            continue;
        };
        if at_ms < begins_ms {
            continue;
        }
        // Whoever was out of the room before, or has asked to leave it, and says something on a device that has
        // not heard of it, is refused.
        let was_out = out_before(facts, begins_ms, place, person(by))
            || (place == "room:crew" && is_leaving(facts, begins_ms, person(by)));
        let is_fair =
            |code: &str| code == code::NO_SUCH_USER || (code == code::NOT_A_MEMBER && was_out);
        for (_, code) in message.refused.iter().filter(|(_, code)| !is_fair(code)) {
            findings.add("talk", format!("{id} of {by} in {place} was refused: {code}"));
        }
        let Some(accepted) = message.last_accepted() else { continue };
        for seat in accepted.readers {
            let at_ms = shown.get(&(id, seat)).copied();
            findings.unless(at_ms.is_some_and(|at| at <= until_ms), "talk", || {
                format!(
                    "{seat} was shown {id} of {by} in {place} at {at_ms:?}, the hub was back at {begins_ms}"
                )
            });
        }
    }
}

/// Whether a person was in a conversation once, and no more when the hub went back.
fn out_before(facts: &[Dated], begins_ms: u64, place: &str, who: &str) -> bool {
    let before = facts.iter().take_while(|dated| dated.at_ms < begins_ms);
    let before: Vec<&Fact> = before.map(|dated| &dated.fact).collect();
    let end = before.iter().rposition(|fact| matches!(fact, Fact::Restored { .. }));
    let mut states =
        before.iter().take(end.unwrap_or(before.len())).filter_map(|fact| match fact {
            Fact::Members { place: of, people } if of == place => Some(people.contains(who)),
            _ => None,
        });
    let (mut was_in, mut is_in) = (false, false);
    states.by_ref().for_each(|now| (was_in, is_in) = (was_in || now, now));
    was_in && !is_in
}

/// Whether somebody had asked to leave the private room, and had no answer when the hub went back. Who was in it
/// again afterwards is not leaving.
fn is_leaving(facts: &[Dated], begins_ms: u64, who: &str) -> bool {
    let before = facts.iter().take_while(|dated| dated.at_ms < begins_ms);
    let mut asked: BTreeSet<&MessageId> = BTreeSet::new();
    let mut joins: BTreeSet<&MessageId> = BTreeSet::new();
    for Dated { fact, .. } in before {
        match fact {
            Fact::Asked { by, id, what } if person(by) == who && what == "Leave" => {
                asked.insert(id);
            }
            Fact::Asked { by, id, what } if person(by) == who && what.starts_with("Join") => {
                joins.insert(id);
            }
            Fact::Done { id, .. } if joins.contains(id) => asked.clear(),
            Fact::Done { id, .. } | Fact::Refused { id, .. } => {
                asked.remove(id);
            }
            _ => {}
        }
    }
    !asked.is_empty()
}
