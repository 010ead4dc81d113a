//! What we promise, as rules over what happened. Pure: facts in, broken promises out.

mod alarms;
mod audience;
mod full;
mod orders;
mod refusals;
mod silence;
mod talk;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use chat_protocol::id::MessageId;

use crate::facts::{Dated, Fact, Person, Place, Seat, What, person};

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
    by: &'a Seat,
    place: &'a Place,
    to: Option<&'a Person>,
    what: &'a What,
    at_ms: u64,
}

/// A message on the hub's disk.
#[derive(Debug, Clone, Copy)]
struct Accepted<'a> {
    position: u64,
    readers: &'a BTreeSet<Seat>,
}

/// Everything about one message.
#[derive(Debug, Default)]
struct Message<'a> {
    submitted: Option<Submitted<'a>>,
    accepted: Vec<Accepted<'a>>,
    stored: Vec<(u64, &'a BTreeSet<Person>)>,
    refused: Vec<(u64, &'a str)>,
    shown: BTreeMap<&'a Seat, usize>,
    /// Other devices of its writer and of its readers that read it in what the writer has handed over again.
    read_along: BTreeSet<&'a Seat>,
    confirmed: BTreeMap<&'a Person, usize>,
    ran: usize,
    ended: usize,
    kept: Vec<u64>,
    /// Places that a restore has taken it from.
    taken: Vec<u64>,
    /// The hub's disk has had it, and the hub has gone back since.
    went_back: bool,
    /// Its room's retention has taken it from the hub's disk.
    is_deleted: bool,
    /// A restore has taken the account of who said it.
    is_writer_lost: bool,
}

impl<'a> Message<'a> {
    /// Where it stands on the hub's disk, as far as this run knows.
    fn last_accepted(&self) -> Option<Accepted<'a>> {
        self.accepted.last().copied()
    }

    /// A restore has taken it, and it did not come again.
    fn is_gone(&self) -> bool {
        !self.taken.is_empty() && self.taken.len() >= self.accepted.len()
    }
}

type Messages<'a> = BTreeMap<MessageId, Message<'a>>;

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

/// The people of some devices.
fn people(seats: &BTreeSet<Seat>) -> BTreeSet<&str> {
    seats.iter().map(|seat| person(seat)).collect()
}

/// Promises that were broken in what happened so far.
pub(crate) fn broken(facts: &[Dated]) -> Vec<Violation> {
    let mut findings = Findings::default();
    let messages = gather(facts, &mut findings);
    for (id, message) in &messages {
        check_answers(id, message, &mut findings);
        audience::check(id, message, &mut findings);
    }
    audience::check_rooms(facts, &mut findings);
    refusals::check(facts, &messages, &mut findings);
    orders::check(facts, &mut findings);
    alarms::check(facts, &messages, &mut findings);
    silence::check(facts, &mut findings);
    talk::check(facts, &messages, &mut findings);
    findings.0
}

/// What has not come yet of what must come in the end. Empty: all is settled.
pub(crate) fn missing(facts: &[Dated]) -> Vec<Violation> {
    let mut findings = Findings::default();
    let mut dropped = dropped(facts);
    let mut gaps = alarms::open_gaps(facts);
    let resumed = resumed(facts);
    for (id, message) in &gather(facts, &mut Findings::default()) {
        let Some(Submitted { by, place, what, .. }) = message.submitted else { continue };
        let is_answered = message.stored.len() + message.refused.len() > 0;
        findings.unless(is_answered, "answer", || format!("{by} has no answer for {id}"));
        let Some(Accepted { readers, .. }) = message.last_accepted() else { continue };
        match what {
            What::Text(_) => {
                let mut missed = BTreeSet::new();
                for seat in readers.iter().filter(|seat| !message.shown.contains_key(seat)) {
                    // What was dropped is not shown, nor what is told to be missing; but no more
                    // than was said.
                    let gap = gaps.get_mut(&(seat, place, person(by)));
                    let left = gap.filter(|left| **left > 0);
                    // What a restore took shows by the first thing that its writer says again, and is
                    // looked for no more where the hub has dropped things by the room's retention.
                    let is_told = resumed.get(&(by, place)).is_some_and(|r| r.contains(seat))
                        && !dropped.keys().any(|(at, of, _)| (*at, *of) == (seat, place));
                    if left.is_none() && message.is_gone() && !is_told {
                        missed.insert(person(seat));
                        continue;
                    }
                    let by_hub = message.is_deleted.then(|| {
                        // Of another device of one's own user the device itself says it.
                        let from = (person(seat) == person(by)).then(|| person(by).to_owned());
                        dropped.get_mut(&(seat, place, from))
                    });
                    let left = left.or(by_hub.flatten());
                    if let Some(left) = left.filter(|left| **left > 0) {
                        *left -= 1;
                        missed.insert(person(seat));
                        continue;
                    }
                    findings
                        .add("delivery", format!("{seat} was never shown {id} of {by} in {place}"));
                }
                for who in people(readers) {
                    let is_owed = who != person(by) && !missed.contains(who) && !message.went_back;
                    let has_come = message.confirmed.keys().any(|by| *by == who);
                    findings.unless(!is_owed || has_come, "receipt", || {
                        format!("{by} has no receipt of {who} for {id}")
                    });
                }
            }
            What::Command { machine, .. } => {
                // To somebody whose account is lost nothing is sent until they have it again.
                findings.unless(message.ended > 0 || message.is_writer_lost, "outcome", || {
                    format!("{by} never heard what {machine} did with {id}")
                });
            }
        }
    }
    refusals::check_orders(facts, &mut findings);
    findings.0
}

/// At the end of a run: the hub's disk has what the hub said it keeps, where it said it, but for what
/// a restore has taken.
pub(crate) fn lost(facts: &[Dated]) -> Vec<Violation> {
    let mut findings = Findings::default();
    for (id, message) in &gather(facts, &mut Findings::default()) {
        for (position, _) in &message.stored {
            let is_there = message.kept.contains(position) || message.taken.contains(position);
            findings.unless(is_there, "durability", || {
                format!("{id} was stored at {position}, the disk has it at {:?}", message.kept)
            });
        }
        let is_final = message.refused.is_empty() || message.kept.is_empty();
        findings.unless(is_final, "final", || format!("{id} was refused and is kept all the same"));
    }
    findings.0
}

/// How many messages of a place are said to be dropped before a device had them: of others, by the hub, or
/// of another device of its own user, by the device.
fn dropped(facts: &[Dated]) -> BTreeMap<(&Seat, &Place, Option<Person>), u64> {
    let mut dropped = BTreeMap::new();
    for Dated { fact, .. } in facts {
        if let Fact::Dropped { at, from, place, messages } = fact {
            *dropped.entry((at, place, from.clone())).or_default() += *messages;
        }
    }
    dropped
}

/// Whom the first message of each device in each place was for, since the hub went back last.
fn resumed(facts: &[Dated]) -> BTreeMap<(&Seat, &Place), &BTreeSet<Seat>> {
    let mut resumed = BTreeMap::new();
    for Dated { fact, .. } in facts {
        match fact {
            Fact::Restored { .. } => resumed.clear(),
            Fact::Accepted { place, from, readers, .. } => {
                resumed.entry((from, place)).or_insert(readers);
            }
            _ => {}
        }
    }
    resumed
}

fn gather<'a>(facts: &'a [Dated], findings: &mut Findings) -> Messages<'a> {
    let mut messages = Messages::new();
    for Dated { at_ms, fact } in facts {
        match fact {
            Fact::Submitted { by, id, place, to, what } => {
                let submitted = Submitted { by, place, to: to.as_ref(), what, at_ms: *at_ms };
                messages.entry(*id).or_default().submitted = Some(submitted);
            }
            Fact::Accepted { id, position, readers, .. } => {
                let accepted = Accepted { position: *position, readers };
                messages.entry(*id).or_default().accepted.push(accepted);
            }
            Fact::Stored { id, position, recipients, .. } => {
                messages.entry(*id).or_default().stored.push((*position, recipients));
            }
            Fact::Refused { id, code, .. } => {
                messages.entry(*id).or_default().refused.push((*at_ms, code));
            }
            Fact::Shown { .. } | Fact::Delivered { .. } => seen(fact, &mut messages, findings),
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
            Fact::Taken { id, position, .. } => {
                messages.entry(*id).or_default().taken.push(*position);
            }
            Fact::Deleted { id, .. } => messages.entry(*id).or_default().is_deleted = true,
            Fact::Restored { seats } => {
                for message in messages.values_mut() {
                    let known = people(seats);
                    let by = message.submitted.map(|said| person(said.by));
                    message.went_back |= !message.accepted.is_empty();
                    message.is_writer_lost |= by.is_some_and(|by| !known.contains(by));
                }
            }
            _ => {}
        }
    }
    messages
}

/// A message is shown, or a receipt has come.
fn seen<'a>(fact: &'a Fact, messages: &mut Messages<'a>, findings: &mut Findings) {
    match fact {
        Fact::Shown { to, from, id, place, text, position } => {
            let message = messages.entry(*id).or_default();
            // What was handed over again is sealed for all devices of whoever asked.
            let is_readers = |a: &Accepted<'_>| people(a.readers).contains(person(to));
            if position.is_none() && (person(to) == from || message.accepted.iter().any(is_readers))
            {
                message.read_along.insert(to);
            }
            *message.shown.entry(to).or_default() += 1;
            let is_true = message.submitted.is_some_and(|said| {
                person(said.by) == from
                    && said.place == place
                    && *said.what == What::Text(text.clone())
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
            let is_text = matches!(message.submitted, Some(Submitted { what: What::Text(_), .. }));
            let is_shown = message.shown.keys().any(|seat| person(seat) == by);
            findings.unless(!is_text || is_shown, "receipt", || {
                format!("{by} confirmed {id} before it was shown there")
            });
        }
        _ => {}
    }
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
    // A hub that lost what it had kept may refuse it when it comes again.
    findings.unless(!(is_refused && has_effect) || message.went_back, "final", || {
        format!("{id} was refused and took effect all the same")
    });
    for (who, count) in &message.confirmed {
        findings.unless(*count == 1, "receipt", || {
            format!("{who}'s receipt for {id} came {count} times")
        });
    }
}
