//! What we promise, as rules over what happened. Pure: facts in, broken promises out.

mod orders;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use chat_protocol::{code, id::MessageId};

use crate::facts::{Dated, Fact, Person, Place, What};

/// The hub may seal an epoch without somebody who has just come in for ten seconds (rule R4); the
/// rest is for the news to travel.
const NEWCOMER_MS: u64 = 15_000;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The rule, in one word.
    pub(crate) rule: &'static str,
    /// What happened.
    pub(crate) what: String,
}

/// What somebody has said.
#[derive(Debug, Clone, Copy)]
struct Submitted<'a> {
    by: &'a Person,
    place: &'a Place,
    to: Option<&'a Person>,
    what: &'a What,
    at_ms: u64,
    /// The recipient had an account by then.
    is_recipient_known: bool,
}

/// Everything about one message.
#[derive(Debug, Default)]
struct Message<'a> {
    submitted: Option<Submitted<'a>>,
    stored: Vec<(u64, &'a BTreeSet<Person>)>,
    refused: Vec<&'a str>,
    shown: BTreeMap<&'a Person, usize>,
    confirmed: BTreeMap<&'a Person, usize>,
    ran: usize,
    ended: usize,
    kept: Vec<u64>,
}

/// Gathers violations.
#[derive(Default)]
struct Findings(Vec<Violation>);

impl Findings {
    fn add(&mut self, rule: &'static str, what: String) {
        self.0.push(Violation { rule, what });
    }

    fn unless(&mut self, holds: bool, rule: &'static str, what: impl FnOnce() -> String) {
        if !holds {
            self.add(rule, what());
        }
    }
}

/// Promises that were broken in what happened so far.
pub(crate) fn broken(facts: &[Dated]) -> Vec<Violation> {
    let mut findings = Findings::default();
    let messages = gather(facts, &mut findings);
    let joined = joined(facts);
    for (id, message) in &messages {
        check_answers(id, message, &mut findings);
        check_audience(id, message, &joined, &mut findings);
    }
    let was_full = facts.iter().any(|dated| dated.fact == Fact::DiskFull);
    for (id, message) in &messages {
        for code in &message.refused {
            let is_known = message.submitted.is_some_and(|said| said.is_recipient_known);
            let is_fair = match *code {
                code::STORAGE_FULL => was_full,
                code::NO_SUCH_USER => !is_known,
                _ => false,
            };
            findings.unless(is_fair, "refusal", || format!("{id} was refused: {code}"));
        }
    }
    orders::check(facts, &mut findings);
    findings.0
}

/// What has not come yet of what must come in the end. Empty: all is settled.
pub(crate) fn missing(facts: &[Dated]) -> Vec<Violation> {
    let mut findings = Findings::default();
    let mut dropped = dropped(facts);
    for (id, message) in &gather(facts, &mut Findings::default()) {
        let Some(Submitted { by, place, what, .. }) = message.submitted else { continue };
        let is_answered = message.stored.len() + message.refused.len() > 0;
        findings.unless(is_answered, "answer", || format!("{by} has no answer for {id}"));
        let Some((_, recipients)) = message.stored.first() else { continue };
        match what {
            What::Text(_) => {
                for person in *recipients {
                    // What was dropped is not shown; but no more than was said.
                    let left = dropped.get_mut(&(person, place)).filter(|left| **left > 0);
                    if let Some(left) = left.filter(|_| !message.shown.contains_key(person)) {
                        *left -= 1;
                        continue;
                    }
                    findings.unless(message.shown.contains_key(person), "delivery", || {
                        format!("{person} was never shown {id} of {by}")
                    });
                    findings.unless(message.confirmed.contains_key(person), "receipt", || {
                        format!("{by} has no receipt of {person} for {id}")
                    });
                }
            }
            What::Command { machine, .. } => {
                findings.unless(message.ended > 0, "outcome", || {
                    format!("{by} never heard what {machine} did with {id}")
                });
            }
        }
    }
    findings.0
}

/// At the end of a run: the hub's disk has what the hub said it keeps, where it said it.
pub(crate) fn lost(facts: &[Dated]) -> Vec<Violation> {
    let mut findings = Findings::default();
    for (id, message) in &gather(facts, &mut Findings::default()) {
        for (position, _) in &message.stored {
            findings.unless(message.kept.contains(position), "durability", || {
                format!("{id} was stored at {position}, the disk has it at {:?}", message.kept)
            });
        }
        let is_final = message.refused.is_empty() || message.kept.is_empty();
        findings.unless(is_final, "final", || format!("{id} was refused and is kept all the same"));
    }
    findings.0
}

/// How many messages of a place the hub says it has dropped before a person had them.
fn dropped(facts: &[Dated]) -> BTreeMap<(&Person, &Place), u64> {
    let mut dropped = BTreeMap::new();
    for Dated { fact, .. } in facts {
        if let Fact::Dropped { at, place, messages } = fact {
            *dropped.entry((at, place)).or_default() += *messages;
        }
    }
    dropped
}

fn gather<'a>(facts: &'a [Dated], findings: &mut Findings) -> BTreeMap<MessageId, Message<'a>> {
    let mut messages: BTreeMap<MessageId, Message<'a>> = BTreeMap::new();
    let mut here = BTreeSet::new();
    for Dated { at_ms, fact } in facts {
        match fact {
            Fact::Joined { who, .. } => {
                here.insert(who);
            }
            Fact::Submitted { by, id, place, to, what } => {
                let to = to.as_ref();
                let is_recipient_known = to.is_some_and(|to| here.contains(to));
                let submitted =
                    Submitted { by, place, to, what, at_ms: *at_ms, is_recipient_known };
                messages.entry(*id).or_default().submitted = Some(submitted);
            }
            Fact::Stored { id, position, recipients, .. } => {
                messages.entry(*id).or_default().stored.push((*position, recipients));
            }
            Fact::Refused { id, code, .. } => {
                messages.entry(*id).or_default().refused.push(code);
            }
            Fact::Shown { to, from, id, place, text, .. } => {
                let message = messages.entry(*id).or_default();
                *message.shown.entry(to).or_default() += 1;
                let is_true = message.submitted.is_some_and(|said| {
                    said.by == from && said.place == place && *said.what == What::Text(text.clone())
                });
                findings.unless(is_true, "truth", || {
                    format!("{to} was shown {id} in {place} as {from}'s {text:?}")
                });
            }
            Fact::Delivered { writer, id, by, readable } => {
                let message = messages.entry(*id).or_default();
                *message.confirmed.entry(by).or_default() += 1;
                findings.unless(*readable, "readable", || {
                    format!("{writer} was told that {by} cannot read {id}")
                });
                // A machine is shown no commands, and confirms them all the same.
                let is_text =
                    matches!(message.submitted, Some(Submitted { what: What::Text(_), .. }));
                let is_early = is_text && !message.shown.contains_key(by);
                findings.unless(!is_early, "receipt", || {
                    format!("{by} confirmed {id} before it was shown there")
                });
            }
            Fact::Ran { on, id, argv } => {
                let message = messages.entry(*id).or_default();
                message.ran += 1;
                let wanted = message.submitted.map(|said| said.what);
                let (machine, argv) = (on.clone(), argv.clone());
                let is_true = wanted == Some(&What::Command { machine, argv });
                findings.unless(is_true, "truth", || format!("{on} ran {id}, not as asked"));
            }
            Fact::Ended { id, .. } => messages.entry(*id).or_default().ended += 1,
            Fact::Kept { id, position, .. } => {
                messages.entry(*id).or_default().kept.push(*position);
            }
            Fact::Gap { .. } | Fact::Trouble { .. } | Fact::Dropped { .. } | Fact::DiskFull => {}
        }
    }
    messages
}

/// Since when people know that they are in which place.
type Joined<'a> = BTreeMap<(&'a Place, &'a Person), u64>;

fn joined(facts: &[Dated]) -> Joined<'_> {
    let mut joined = Joined::new();
    for Dated { at_ms, fact } in facts {
        if let Fact::Joined { who, place } = fact {
            joined.entry((place, who)).or_insert(*at_ms);
        }
    }
    joined
}

/// One final answer for each stage, and a command runs at most once.
fn check_answers(id: &MessageId, message: &Message<'_>, findings: &mut Findings) {
    let answers = message.stored.len() + message.refused.len();
    findings.unless(answers <= 1, "answer", || format!("{id} was answered {answers} times"));
    findings.unless(message.ran <= 1, "at-most-once", || format!("{id} ran {} times", message.ran));
    findings
        .unless(message.ended <= 1, "outcome", || format!("{id} has {} outcomes", message.ended));
    let is_refused = !message.refused.is_empty();
    let has_effect = message.ran + message.ended + message.shown.len() > 0;
    findings.unless(!(is_refused && has_effect), "final", || {
        format!("{id} was refused and took effect all the same")
    });
    for (who, count) in &message.confirmed {
        findings.unless(*count == 1, "receipt", || {
            format!("{who}'s receipt for {id} came {count} times")
        });
    }
}

/// Everybody who is entitled, nobody else, and once.
fn check_audience(
    id: &MessageId,
    message: &Message<'_>,
    joined: &Joined<'_>,
    findings: &mut Findings,
) {
    for (who, count) in &message.shown {
        findings.unless(*count == 1, "once", || format!("{who} was shown {id} {count} times"));
    }
    let (Some(Submitted { by, place, to, at_ms, .. }), Some((_, recipients))) =
        (message.submitted, message.stored.first())
    else {
        return;
    };
    for who in message.shown.keys() {
        findings.unless(recipients.contains(*who), "entitled", || {
            format!("{who} was shown {id}, which is for {recipients:?}")
        });
    }
    findings.unless(!recipients.contains(by), "entitled", || format!("{by} is to get {id} itself"));
    for ((room, who), since_ms) in joined {
        let is_owed = *room == place && *who != by && since_ms + NEWCOMER_MS < at_ms;
        findings.unless(!is_owed || recipients.contains(*who), "entitled", || {
            format!("{who} has been in {place} for long, and {id} is for {recipients:?}")
        });
    }
    if let Some(to) = to {
        findings.unless(recipients.iter().eq([to]), "entitled", || {
            format!("{id} was sealed for {recipients:?} and not for {to} alone")
        });
    }
}
