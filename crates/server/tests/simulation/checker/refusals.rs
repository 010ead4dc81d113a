//! Refusals: each has its reason, and what is asked for in a room has one answer.

use std::collections::{BTreeMap, BTreeSet};

use chat_protocol::{code, id::MessageId};

use super::{Findings, Messages, Submitted, full::FullTimes, people};
use crate::facts::{Dated, Fact, Person, Place, Seat, What, person};

/// How long the news of a change travels.
const NEWS_MS: u64 = 15_000;

/// A command is refused when it comes so much later than it says.
const CLOCKS_DIFFER_MS: u64 = 5 * 60 * 1000;

/// Who was in a room from when on.
type Timeline<'a> = BTreeMap<&'a Place, Vec<(u64, &'a BTreeSet<Person>)>>;

/// Whether a person was out of a room at some time in a span, by the hub's disk.
fn was_out(timeline: &Timeline<'_>, place: &Place, who: &str, from_ms: u64, to_ms: u64) -> bool {
    let Some(times) = timeline.get(place) else { return true };
    let first = times.partition_point(|(at, _)| *at <= from_ms);
    let is_out = |people: &BTreeSet<Person>| !people.contains(who);
    first.checked_sub(1).is_none_or(|last| is_out(times[last].1))
        || times[first..].iter().any(|(at, people)| *at <= to_ms && is_out(people))
}

/// Messages that were refused.
pub(super) fn check(facts: &[Dated], messages: &Messages<'_>, findings: &mut Findings) {
    let mut here: BTreeMap<&str, u64> = BTreeMap::new();
    let mut timeline = Timeline::new();
    let (mut restored, mut forked) = (Vec::new(), Vec::new());
    let full = FullTimes::of(facts);
    for Dated { at_ms, fact } in facts {
        match fact {
            Fact::Joined { who, .. } => {
                here.entry(person(who)).or_insert(*at_ms);
            }
            Fact::Members { place, people } => {
                timeline.entry(place).or_default().push((*at_ms, people));
            }
            Fact::Restored { seats } => restored.push((*at_ms, people(seats))),
            Fact::Forked { place } => forked.push((*at_ms, place)),
            _ => {}
        }
    }
    for (id, message) in messages {
        let Some(Submitted { by, place, to, what, at_ms }) = message.submitted else { continue };
        for (refused_ms, code) in &message.refused {
            let is_known = to.is_some_and(|to| here.get(to.as_str()).is_some_and(|at| *at < at_ms));
            let from_ms = at_ms.saturating_sub(NEWS_MS);
            // A restore has taken the account, which comes back by itself.
            let lost_lately = restored.iter().any(|(at, known)| {
                let is_lost = to.is_some_and(|to| !known.contains(to.as_str()));
                *at >= from_ms && at <= refused_ms && is_lost
            });
            let is_fair = match *code {
                code::STORAGE_FULL => full.overlap(at_ms, *refused_ms),
                code::NO_SUCH_USER => !is_known || lost_lately,
                code::NOT_A_MEMBER | code::NO_SUCH_ROOM => {
                    was_out(&timeline, place, person(by), from_ms, *refused_ms)
                }
                // Until a person has decided on a fork.
                code::MEMBERS => forked.iter().any(|(at, of)| at <= refused_ms && *of == place),
                // A command that waited for longer than commands are good for.
                code::CLOCK => {
                    let is_command = matches!(what, What::Command { .. });
                    is_command && refused_ms - at_ms > CLOCKS_DIFFER_MS
                }
                _ => false,
            };
            findings.unless(is_fair, "refusal", || format!("{id} of {by} was refused: {code}"));
        }
    }
}

/// What was asked for in rooms is done, or refused.
pub(super) fn check_orders(facts: &[Dated], findings: &mut Findings) {
    let mut asked: BTreeMap<MessageId, (&Seat, &str)> = BTreeMap::new();
    for Dated { fact, .. } in facts {
        match fact {
            Fact::Asked { by, id, what } => {
                asked.insert(*id, (by, what));
            }
            Fact::Done { id, .. } | Fact::Refused { id, .. } => {
                asked.remove(id);
            }
            // It may have died between what it did and what it was about to say of it.
            Fact::Died { at, is_untold: true } => asked.retain(|_, (by, _)| *by != at),
            _ => {}
        }
    }
    for (id, (by, what)) in asked {
        findings.add("answer", format!("{by} has no answer for {what} [{id}]"));
    }
}
