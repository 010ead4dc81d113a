//! Histories that were made up: a good one, and one for each way to break a promise.

use std::collections::BTreeSet;

use chat_protocol::id::MessageId;

use super::{broken, lost, missing};
use crate::facts::{Dated, Fact, What};

const PLACE: &str = "room:lobby";

fn id(number: u8) -> MessageId {
    MessageId([number; 16])
}

fn people(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn joined(who: &str) -> Fact {
    Fact::Joined { who: who.into(), place: PLACE.into() }
}

fn said(number: u8) -> Fact {
    let what = What::Text(format!("text {number}"));
    Fact::Submitted { by: "alice".into(), id: id(number), place: PLACE.into(), to: None, what }
}

fn stored(number: u8, recipients: &[&str]) -> Fact {
    let (position, recipients) = (u64::from(number), people(recipients));
    Fact::Stored { by: "alice".into(), id: id(number), position, recipients }
}

fn shown(to: &str, number: u8) -> Fact {
    Fact::Shown {
        to: to.into(),
        from: "alice".into(),
        id: id(number),
        place: PLACE.into(),
        position: Some(u64::from(number)),
        text: format!("text {number}"),
    }
}

/// The hub's disk has a message of alice for these devices.
fn accepted(number: u8, readers: &[&str]) -> Fact {
    let (position, readers) = (u64::from(number), people(readers));
    Fact::Accepted { id: id(number), place: PLACE.into(), from: "alice".into(), position, readers }
}

fn members(names: &[&str]) -> Fact {
    Fact::Members { place: PLACE.into(), people: people(names) }
}

fn entered(seat: &str) -> Fact {
    Fact::Entered { seat: seat.into() }
}

fn restored(seats: &[&str]) -> Fact {
    Fact::Restored { seats: people(seats) }
}

fn taken(number: u8) -> Fact {
    let (place, from, position) = (PLACE.into(), "alice".into(), u64::from(number));
    Fact::Taken { id: id(number), place, from, position }
}

fn gap(at: &str, missing: &[u32]) -> Fact {
    let (at, from, place) = (at.to_owned(), "alice".to_owned(), PLACE.to_owned());
    Fact::Gap { at, from, place, missing: missing.to_vec() }
}

fn alarm(at: &str, kind: &'static str) -> Fact {
    Fact::Alarm { at: at.into(), kind, detail: String::new(), count: 1 }
}

fn confirmed(by: &str, number: u8) -> Fact {
    Fact::Delivered { writer: "alice".into(), id: id(number), by: by.into(), readable: true }
}

fn refused(number: u8, code: &str) -> Fact {
    Fact::Refused { by: "alice".into(), id: id(number), code: code.into() }
}

fn kept(number: u8, position: u64) -> Fact {
    Fact::Kept { id: id(number), place: PLACE.into(), position }
}

fn command(number: u8) -> Fact {
    let what = What::Command { machine: "machine".into(), argv: "date".into() };
    let to = Some("machine".to_owned());
    Fact::Submitted { by: "alice".into(), id: id(number), place: "dm".into(), to, what }
}

fn ran(number: u8) -> Fact {
    Fact::Ran { on: "machine".into(), id: id(number), argv: "date".into() }
}

fn ended(number: u8) -> Fact {
    Fact::Ended { by: "alice".into(), id: id(number), code: String::new() }
}

/// Facts a second apart.
fn history(facts: Vec<Fact>) -> Vec<Dated> {
    (0u64..).zip(facts).map(|(second, fact)| Dated { at_ms: second * 1_000, fact }).collect()
}

/// Two messages of alice, shown to bob and confirmed; a command.
fn good() -> Vec<Fact> {
    vec![
        joined("alice"),
        joined("bob"),
        said(1),
        said(2),
        stored(1, &["bob"]),
        shown("bob", 1),
        stored(2, &["bob"]),
        shown("bob", 2),
        confirmed("bob", 1),
        confirmed("bob", 2),
        command(3),
        stored(3, &["machine"]),
        ran(3),
        confirmed("machine", 3),
        ended(3),
        kept(1, 1),
        kept(2, 2),
    ]
}

fn rules(facts: Vec<Fact>) -> Vec<&'static str> {
    broken(&history(facts)).into_iter().map(|violation| violation.rule).collect()
}

/// The good history with one more fact at its end.
fn rules_with(fact: Fact) -> Vec<&'static str> {
    let mut facts = good();
    facts.push(fact);
    rules(facts)
}

fn good_without(fact: &Fact) -> Vec<Fact> {
    let facts: Vec<Fact> = good().into_iter().filter(|other| other != fact).collect();
    assert_eq!(facts.len() + 1, good().len(), "{fact:?} is in the good history once");
    facts
}

#[test]
fn a_good_history_breaks_nothing_and_lacks_nothing() {
    assert_eq!(rules(good()), Vec::<&str>::new());
    assert_eq!(missing(&history(good())), []);
    let mut facts = good();
    facts.push(kept(3, 3));
    assert_eq!(lost(&history(facts)), []);
}

#[test]
fn one_fact_too_many_breaks_its_rule() {
    let trouble = Fact::Trouble { at: "bob".into(), what: "alarm".into() };
    let (at, from, place) = ("bob".to_owned(), "alice".to_owned(), PLACE.to_owned());
    let gap = Fact::Gap { at, from, place, missing: vec![1] };
    let unreadable =
        Fact::Delivered { writer: "alice".into(), id: id(9), by: "bob".into(), readable: false };
    for (fact, expected) in [
        (shown("bob", 2), vec!["once", "order", "positions"]),
        (shown("carol", 1), vec!["entitled"]),
        (stored(1, &["bob"]), vec!["answer"]),
        (confirmed("bob", 1), vec!["receipt"]),
        (confirmed("carol", 1), vec!["receipt"]),
        (ran(3), vec!["at-most-once"]),
        (ended(3), vec!["outcome"]),
        (refused(9, "E_EPOCH"), vec!["refusal"]),
        (refused(9, "E_STORAGE_FULL"), vec!["refusal"]),
        (unreadable, vec!["readable"]),
        (trouble, vec!["trouble"]),
        (gap, vec!["gap"]),
        (kept(9, 2), vec!["positions"]),
    ] {
        let mut found = rules_with(fact.clone());
        found.sort_unstable();
        let mut expected = expected;
        expected.sort_unstable();
        assert_eq!(found, expected, "{fact:?}");
    }
}

#[test]
fn a_refused_message_that_is_shown_or_kept_breaks_the_word_of_the_hub() {
    let facts = |last| vec![Fact::DiskFull, said(1), refused(1, "E_STORAGE_FULL"), last];
    assert_eq!(rules(facts(shown("bob", 1))), ["final"]);
    let found = lost(&history(facts(kept(1, 1))));
    assert_eq!(found.iter().map(|violation| violation.rule).collect::<Vec<_>>(), ["final"]);
}

#[test]
fn what_was_never_said_or_is_told_differently_is_no_truth() {
    let mut other = shown("bob", 1);
    if let Fact::Shown { text, .. } = &mut other {
        *text = "another text".to_owned();
    }
    let facts = |shown| vec![said(1), stored(1, &["bob"]), shown];
    assert_eq!(rules(facts(other)), ["truth"]);
    assert_eq!(rules(vec![shown("bob", 1)]), ["truth"]);
    assert_eq!(
        rules(vec![said(1), Fact::Ran { on: "bob".into(), id: id(1), argv: "x".into() }]),
        ["truth"]
    );
}

#[test]
fn the_order_of_the_sender_is_that_of_the_recipient() {
    let facts = vec![said(1), said(2), stored(1, &["bob"]), stored(2, &["bob"]), shown("bob", 2)];
    assert_eq!(rules(facts.clone()), Vec::<&str>::new());
    let late = facts.into_iter().chain([shown("bob", 1)]).collect();
    assert_eq!(rules(late), ["order", "positions"]);
}

#[test]
fn who_has_been_in_a_room_for_long_must_be_among_the_recipients() {
    let newcomer = |pause: usize| {
        let mut facts = vec![joined("carol")];
        facts.extend((0..pause).map(|_| joined("alice")));
        facts.extend([said(1), stored(1, &["bob"])]);
        rules(facts)
    };
    assert_eq!(newcomer(5), Vec::<&str>::new(), "the epoch may lag behind for a while");
    assert_eq!(newcomer(20), ["entitled"]);
}

#[test]
fn a_message_for_one_is_for_nobody_else() {
    let facts = vec![command(1), stored(1, &["machine", "bob"])];
    assert_eq!(rules(facts), ["entitled"]);
}

#[test]
fn one_fact_too_few_is_missed_in_the_end() {
    for (fact, expected) in [
        (stored(1, &["bob"]), "answer"),
        (shown("bob", 2), "delivery"),
        (confirmed("bob", 2), "receipt"),
        (ended(3), "outcome"),
    ] {
        let found = missing(&history(good_without(&fact)));
        let found: Vec<_> = found.iter().map(|violation| violation.rule).collect();
        assert_eq!(found, [expected], "{fact:?}");
    }
}

#[test]
fn what_was_stored_is_on_the_disk_where_it_was_said_to_be() {
    let found = |facts: Vec<Fact>| lost(&history(facts)).len();
    assert_eq!(found(vec![said(1), stored(1, &["bob"]), kept(1, 1)]), 0);
    assert_eq!(found(vec![said(1), stored(1, &["bob"])]), 1, "lost");
    assert_eq!(found(vec![said(1), stored(1, &["bob"]), kept(1, 2)]), 1, "moved");
}
