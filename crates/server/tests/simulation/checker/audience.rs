//! Who reads what: everybody who is entitled, nobody else, and once.

use std::collections::{BTreeMap, BTreeSet};

use chat_protocol::id::MessageId;

use super::{Accepted, Findings, Message, Submitted, people};
use crate::facts::{Dated, Fact, Person, Place, Seat, person};

/// The hub may take an epoch without a device that has just come for ten seconds (rule R4); the rest
/// is the time that its disk takes.
const NEWCOMER_MS: u64 = 11_000;

/// Each device that shows a message is one that it was sealed for, and shows it once.
pub(super) fn check(id: &MessageId, message: &Message<'_>, findings: &mut Findings) {
    for (seat, count) in &message.shown {
        findings.unless(*count == 1, "once", || format!("{seat} was shown {id} {count} times"));
        let is_entitled = message.accepted.iter().any(|a| a.readers.contains(*seat))
            || message.read_along.contains(seat);
        findings.unless(is_entitled, "entitled", || {
            format!("{seat} was shown {id}, which is for {:?}", message.last_accepted())
        });
    }
    let Some(Submitted { by, to, .. }) = message.submitted else { return };
    for Accepted { readers, position } in &message.accepted {
        findings.unless(!readers.contains(by), "entitled", || format!("{by} is to get its {id}"));
        if let Some(to) = to {
            let is_theirs = |who: &&str| who == to || *who == person(by);
            let is_for_them = people(readers).iter().all(is_theirs);
            findings.unless(
                is_for_them && people(readers).contains(to.as_str()),
                "entitled",
                || format!("{id} was sealed for {readers:?} and not for {to} alone"),
            );
        }
        let others: BTreeSet<&str> =
            people(readers).into_iter().filter(|who| *who != person(by)).collect();
        for (_, recipients) in message.stored.iter().filter(|(at, _)| at == position) {
            let is_told = recipients.iter().map(String::as_str).eq(others.iter().copied());
            findings.unless(is_told, "entitled", || {
                format!("{by} was told that {id} is for {recipients:?}, it is for {others:?}")
            });
        }
    }
}

/// What the hub's disk says about rooms and devices at one moment.
#[derive(Default)]
struct Rooms<'a> {
    /// Since when people are in.
    members: BTreeMap<&'a Place, BTreeMap<&'a Person, u64>>,
    /// Since when devices are known.
    devices: BTreeMap<&'a Seat, u64>,
    /// Whom a restore has brought back into a room that they were out of: who knows that leaves them
    /// out.
    back: BTreeSet<(&'a Place, &'a Person)>,
    /// What devices know of others whom somebody has removed, and when they learnt it.
    removed: BTreeMap<(&'a Seat, &'a Place, &'a Person), usize>,
    /// When messages were said: which fact it was.
    said: BTreeMap<&'a MessageId, usize>,
    is_restoring: bool,
}

/// By the hub's chain only members read a room, and all of their devices do; and nobody seals for
/// somebody of whom they know that they were removed, whatever the hub has forgotten.
pub(super) fn check_rooms(facts: &[Dated], findings: &mut Findings) {
    let mut rooms = Rooms::default();
    for (number, Dated { at_ms, fact }) in facts.iter().enumerate() {
        match fact {
            Fact::Members { place, people } => rooms.members_are(*at_ms, place, people),
            Fact::Entered { seat } => {
                rooms.devices.entry(seat).or_insert(*at_ms);
            }
            Fact::Restored { seats } => {
                rooms.devices = seats.iter().map(|seat| (seat, *at_ms)).collect();
                rooms.is_restoring = true;
            }
            Fact::LetIn { place, who } => {
                rooms.removed.retain(|(_, of, whom), _| (*of, *whom) != (place, who));
            }
            Fact::Learned { at, place, who, is_in, by } => {
                if *is_in {
                    rooms.removed.remove(&(at, place, who));
                } else if by != who {
                    rooms.removed.insert((at, place, who), number);
                }
            }
            Fact::Submitted { id, .. } => {
                rooms.said.entry(id).or_insert(number);
            }
            Fact::Accepted { id, place, from, readers, .. } => {
                rooms.is_restoring = false;
                rooms.check_list(*at_ms, (id, place, from), readers, findings);
            }
            _ => {}
        }
    }
}

impl<'a> Rooms<'a> {
    fn members_are(&mut self, at_ms: u64, place: &'a Place, people: &'a BTreeSet<Person>) {
        let before = self.members.remove(place).unwrap_or_default();
        let is_restoring = self.is_restoring;
        let since = |who: &Person| match before.get(who) {
            Some(since) if !is_restoring => *since,
            _ => at_ms,
        };
        let now: BTreeMap<_, _> = people.iter().map(|who| (who, since(who))).collect();
        self.back.retain(|(of, who)| *of != place || now.contains_key(who));
        if is_restoring {
            let back = now.keys().filter(|who| !before.contains_key(*who));
            self.back.extend(back.map(|who| (place, *who)));
        }
        self.members.insert(place, now);
    }

    fn check_list(
        &self,
        at_ms: u64,
        (id, place, from): (&MessageId, &'a Place, &'a Seat),
        readers: &'a BTreeSet<Seat>,
        findings: &mut Findings,
    ) {
        let Some(members) = self.members.get(place) else { return };
        for seat in readers {
            let is_member = members.keys().any(|who| *who == person(seat));
            findings.unless(is_member, "entitled", || {
                format!("{seat} is no member of {place}, and {id} of {from} is for it")
            });
            let known = self.removed.iter().find(|((at, of, whom), _)| {
                (*at, *of, whom.as_str()) == (from, place, person(seat))
            });
            let is_known = known
                .is_some_and(|(_, learned)| self.said.get(id).is_some_and(|said| learned < said));
            findings.unless(!is_known, "removed", || {
                format!("{from} knew that {seat} was removed from {place}, and {id} is for it")
            });
        }
        for (seat, since) in &self.devices {
            let member = members.iter().find(|(who, _)| **who == person(seat));
            let Some((who, joined)) = member else { continue };
            let is_owed = (*since).max(*joined) + NEWCOMER_MS < at_ms
                && *seat != from
                && !self.back.contains(&(place, *who));
            findings.unless(!is_owed || readers.contains(*seat), "entitled", || {
                format!("{seat} has been in {place} for long, and {id} is for {readers:?}")
            });
        }
    }
}
