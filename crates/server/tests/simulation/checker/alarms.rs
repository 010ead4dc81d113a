//! Alarms and gaps: an honest hub causes none, but for those that a restore explains.

use std::collections::{BTreeMap, BTreeSet};

use chat_protocol::code;

use super::{Findings, Messages, full::FullTimes};
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

/// Who has an account, and whose the last restore has taken.
#[derive(Default)]
struct People<'a> {
    known: BTreeSet<&'a str>,
    lost: BTreeSet<&'a str>,
}

impl<'a> People<'a> {
    fn enter(&mut self, seat: &'a Seat) {
        self.known.insert(person(seat));
    }

    fn restore(&mut self, seats: &'a BTreeSet<Seat>) {
        let kept: BTreeSet<&str> = seats.iter().map(|seat| person(seat)).collect();
        self.lost = self.known.difference(&kept).copied().collect();
    }

    /// Whether a device tells that what is said does not reach people, and a restore has taken the accounts of all
    /// of them. Who has signed up again since is reached when the device hears of it.
    fn are_told_as_lost(&self, what: &str) -> bool {
        let told = what.split_once(" does not reach ").and_then(|(_, rest)| rest.split_once(':'));
        told.is_some_and(|(names, _)| names.split(", ").all(|name| self.lost.contains(name)))
    }
}

/// One `rolled_back` for each restore, one `fork` for each that a restore has made, and no gap that
/// names more than a restore has taken or a full disk has refused.
pub(super) fn check(facts: &[Dated], messages: &Messages<'_>, findings: &mut Findings) {
    let (full, refused) = (FullTimes::of(facts), refused(messages));
    let quiet = quietly_refused(facts, messages);
    let (mut restores, mut forks) = (0, 0);
    let mut people = People::default();
    let mut raised: BTreeMap<(&Seat, &str), u32> = BTreeMap::new();
    let mut taken: BTreeMap<(&Place, &str), u64> = BTreeMap::new();
    let mut gaps: BTreeMap<Chain<'_>, u64> = BTreeMap::new();
    let dropped = super::dropped(facts);
    for Dated { at_ms, fact } in facts {
        match fact {
            Fact::Entered { seat } => people.enter(seat),
            Fact::Restored { seats } => {
                restores += 1;
                people.restore(seats);
            }
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
            // known cannot tell of it; the next one does. Between two people such may also be what they
            // ask each other for, of which nobody sees anything.
            Fact::Gap { at, from, place, missing } => {
                let gap = gaps.entry((at, place, from.as_str())).or_default();
                *gap += u64::try_from(missing.len()).unwrap();
                let taken = taken.get(&(place, from.as_str())).copied().unwrap_or(0);
                // Among them may be some that its retention has dropped before.
                let dropped = dropped.iter().filter(|((who, of, _), _)| (*who, *of) == (at, place));
                let dropped: u64 = dropped.map(|(_, count)| *count).sum();
                let most = if taken > 0 { taken + dropped } else { 0 };
                let most = most + refused.get(&(place, from.as_str())).copied().unwrap_or(0);
                let most = most + quiet_in(&quiet, place, from);
                findings.unless(*gap <= most, "gap", || {
                    format!("{at} misses {missing:?} of {from} in {place}, {most} are explained")
                });
            }
            Fact::Unhealed { at, from, place, n } => {
                let was_taken = taken.contains_key(&(place, from.as_str()));
                let was_refused = refused.contains_key(&(place, from.as_str()))
                    || quiet_in(&quiet, place, from) > 0;
                findings.unless(was_taken || was_refused, "gap", || {
                    format!("{at} does not get {n:?} of {from} in {place}")
                });
            }
            // A piece that a full disk refused is said again, and the result waits for it; not for ever.
            Fact::OutputLost { at, re, pieces } => {
                let said = messages.get(re).and_then(|message| message.submitted);
                let was_full = said.is_some_and(|said| full.overlap(said.at_ms, *at_ms));
                findings.unless(was_full, "trouble", || {
                    format!("{at}: {pieces} pieces of {re} are lost")
                });
            }
            Fact::Disowned { at, id } => {
                let went_back = messages.get(id).is_some_and(|message| message.went_back);
                findings.unless(went_back, "trouble", || {
                    format!("{at} was told that the hub refused {id}, which it has shown")
                });
            }
            Fact::Trouble { what, .. } if people.are_told_as_lost(what) => {}
            Fact::Trouble { at, what } => findings.add("trouble", format!("{at}: {what}")),
            _ => {}
        }
    }
}

/// Messages of each chain that a full disk has refused.
fn refused<'a>(messages: &Messages<'a>) -> BTreeMap<(&'a Place, &'a str), u64> {
    let mut refused = BTreeMap::new();
    for message in messages.values() {
        let is_full = message.refused.iter().any(|(_, code)| *code == code::STORAGE_FULL);
        if let Some(said) = message.submitted.filter(|_| is_full) {
            *refused.entry((said.place, person(said.by))).or_default() += 1;
        }
    }
    refused
}

/// What devices ask each other for and a full disk has refused, by person. It is said between two people.
fn quietly_refused<'a>(facts: &'a [Dated], messages: &Messages<'a>) -> BTreeMap<&'a str, u64> {
    let mut refused = BTreeMap::new();
    for Dated { fact, .. } in facts {
        let Fact::Full { at, id } = fact else { continue };
        let is_quiet = messages.get(id).is_none_or(|message| message.submitted.is_none());
        if is_quiet {
            *refused.entry(person(at)).or_default() += 1;
        }
    }
    refused
}

fn quiet_in(quiet: &BTreeMap<&str, u64>, place: &str, from: &str) -> u64 {
    let quiet = quiet.get(from).copied().unwrap_or(0);
    if place.starts_with("dm:") { quiet } else { 0 }
}
