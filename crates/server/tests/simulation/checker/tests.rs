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

/// The hub's disk has the command.
fn accepted_command(number: u8, readers: &[&str]) -> Fact {
    let (position, readers) = (u64::from(number), people(readers));
    Fact::Accepted { id: id(number), place: "dm".into(), from: "alice".into(), position, readers }
}

/// Two messages of alice, shown to bob and confirmed; a command.
fn good() -> Vec<Fact> {
    vec![
        entered("alice"),
        entered("bob"),
        members(&["alice", "bob"]),
        joined("alice"),
        joined("bob"),
        said(1),
        said(2),
        accepted(1, &["bob"]),
        stored(1, &["bob"]),
        shown("bob", 1),
        accepted(2, &["bob"]),
        stored(2, &["bob"]),
        shown("bob", 2),
        confirmed("bob", 1),
        confirmed("bob", 2),
        command(3),
        accepted_command(3, &["machine"]),
        stored(3, &["machine"]),
        ran(3),
        confirmed("machine", 3),
        ended(3),
        kept(1, 1),
        kept(2, 2),
    ]
}

fn rules(facts: Vec<Fact>) -> Vec<&'static str> {
    let found = broken(&history(facts));
    let mut rules: Vec<_> = found.into_iter().map(|violation| violation.rule).collect();
    rules.sort_unstable();
    rules
}

/// The good history with some more facts at its end.
fn rules_with(more: Vec<Fact>) -> Vec<&'static str> {
    let mut facts = good();
    facts.extend(more);
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
fn who_was_lost_by_a_restore_may_be_named_as_out_of_reach() {
    for (names, expected) in [("carol", vec![]), ("carol, bob", vec!["trouble"])] {
        let what = format!("complaint E_UNTRUSTED: what you say does not reach {names}: why");
        let told = Fact::Trouble { at: "bob".into(), what };
        let facts = vec![entered("bob"), entered("carol"), restored(&["bob"]), told];
        assert_eq!(rules(facts), expected, "{names}");
    }
}

#[test]
fn one_fact_too_many_breaks_its_rule() {
    let trouble = Fact::Trouble { at: "bob".into(), what: "a complaint".into() };
    let unreadable =
        Fact::Delivered { writer: "alice".into(), id: id(9), by: "bob".into(), readable: false };
    let disowned = Fact::Disowned { at: "bob".into(), id: id(1) };
    for (fact, mut expected) in [
        (shown("bob", 2), vec!["once", "order", "positions"]),
        (shown("carol", 1), vec!["entitled"]),
        (stored(1, &["bob"]), vec!["answer"]),
        (stored(1, &["bob", "carol"]), vec!["answer", "entitled"]),
        (confirmed("bob", 1), vec!["receipt"]),
        (confirmed("carol", 1), vec!["receipt"]),
        (ran(3), vec!["at-most-once"]),
        (ended(3), vec!["outcome"]),
        (refused(1, "E_EPOCH"), vec!["answer", "final", "refusal"]),
        (refused(2, "E_STORAGE_FULL"), vec!["answer", "final", "refusal"]),
        (unreadable, vec!["readable"]),
        (trouble, vec!["trouble"]),
        (disowned, vec!["trouble"]),
        (gap("bob", &[1]), vec!["gap"]),
        (alarm("bob", "rolled_back"), vec!["alarm"]),
        (alarm("bob", "not_a_member"), vec!["alarm"]),
        (accepted(9, &["bob", "mallory"]), vec!["entitled"]),
        (accepted(9, &["alice"]), vec!["entitled"]),
        (kept(9, 2), vec!["positions"]),
    ] {
        expected.sort_unstable();
        assert_eq!(rules_with(vec![fact.clone()]), expected, "{fact:?}");
    }
}

#[test]
fn a_restore_explains_what_it_has_taken_and_nothing_else() {
    let none = Vec::<&str>::new();
    let after = |more: Vec<Fact>| {
        let mut facts = vec![taken(2), restored(&["alice", "bob"]), members(&["alice", "bob"])];
        facts.extend(more);
        rules_with(facts)
    };
    assert_eq!(after(vec![alarm("bob", "rolled_back"), alarm("alice", "rolled_back")]), none);
    assert_eq!(after(vec![alarm("bob", "rolled_back"); 2]), ["alarm"], "once for each device");
    assert_eq!(after(vec![alarm("bob", "fork")]), ["alarm"], "nothing has forked");
    let forked = Fact::Forked { place: PLACE.into() };
    assert_eq!(after(vec![forked, alarm("bob", "fork")]), none);
    assert_eq!(after(vec![gap("bob", &[1])]), none);
    assert_eq!(after(vec![gap("bob", &[0, 1])]), ["gap"], "one was taken");

    let lost_after = |facts: Vec<Fact>| {
        let found = lost(&history(facts));
        found.into_iter().map(|violation| violation.rule).collect::<Vec<_>>()
    };
    let gone = |last: Vec<Fact>| {
        let mut facts = good_without(&kept(2, 2));
        facts.extend(last);
        facts.push(kept(3, 3));
        facts
    };
    assert_eq!(lost_after(gone(vec![])), ["durability"]);
    assert_eq!(lost_after(gone(vec![taken(2), restored(&["alice", "bob"])])), none);
}

/// Goal: a restore that somebody could know of is told by them, once they are back.
#[test]
fn who_knew_a_higher_position_tells_that_the_hub_went_back() {
    let signed_in = |at: &str, position| Fact::SignedIn { at: at.into(), position };
    let back = |last: Vec<Fact>| {
        let mut facts = good();
        facts.extend([restored(&["alice", "bob"]), members(&["alice", "bob"])]);
        facts.extend(last);
        rules(facts)
    };
    let told = || alarm("bob", "rolled_back");
    assert_eq!(back(vec![signed_in("bob", 3)]), Vec::<&str>::new(), "nothing is lost");
    assert_eq!(back(vec![signed_in("bob", 1)]), ["silence"]);
    assert_eq!(back(vec![signed_in("bob", 1), told()]), Vec::<&str>::new());
    let died = || Fact::Died { at: "bob".into(), is_untold: false };
    assert_eq!(back(vec![signed_in("bob", 1), died()]), Vec::<&str>::new());
    assert_eq!(back(vec![signed_in("bob", 1), died(), signed_in("bob", 1)]), ["silence"]);
}

/// Goal: what explains one thing does not explain another one.
#[test]
fn an_excuse_reaches_no_further_than_its_reason() {
    let full = |after: Fact| vec![Fact::DiskFull, Fact::DiskHasRoom, said(1), after];
    assert_eq!(rules(full(refused(1, "E_STORAGE_FULL"))), ["refusal"], "it has room again");
    let of_bob =
        Fact::Gap { at: "bob".into(), from: "alice".into(), place: PLACE.into(), missing: vec![4] };
    assert_eq!(rules(full(of_bob)), ["gap"], "nothing was refused");
    let unseen = |id, place: &str| {
        let gap = Fact::Gap {
            at: "bob".into(),
            from: "alice".into(),
            place: place.into(),
            missing: vec![4],
        };
        rules(vec![said(1), Fact::Full { at: "alice".into(), id }, gap])
    };
    assert_eq!(unseen(id(9), "dm:alice:bob"), Vec::<&str>::new(), "a question that nobody sees");
    assert_eq!(unseen(id(9), PLACE), ["gap"], "there are none in rooms");
    assert_eq!(unseen(id(1), "dm:alice:bob"), ["gap"], "it was said elsewhere");
    let late = |said: Fact| {
        let mut facts = vec![said];
        facts.extend((0..400).map(|_| joined("alice")));
        facts.push(refused(1, "E_CLOCK"));
        rules(facts)
    };
    assert_eq!(late(command(1)), Vec::<&str>::new());
    assert_eq!(late(said(1)), ["refusal"], "no command");
    let lost = |seats: &[&str]| {
        rules(vec![joined("machine"), command(1), restored(seats), refused(1, "E_NO_SUCH_USER")])
    };
    assert_eq!(lost(&["alice"]), Vec::<&str>::new());
    assert_eq!(lost(&["alice", "machine"]), ["refusal"], "the account is there");
    let fork = Fact::Forked { place: "room:crew".into() };
    assert_eq!(rules(vec![said(1), fork, refused(1, "E_MEMBERS")]), ["refusal"], "elsewhere");
    let dropped = |more: Vec<Fact>| {
        let told = Fact::Dropped { at: "bob".into(), from: None, place: PLACE.into(), messages: 1 };
        let mut facts = vec![said(1), accepted(1, &["bob"]), stored(1, &["bob"]), told];
        facts.extend(more);
        missing(&history(facts)).len()
    };
    assert_eq!(dropped(vec![Fact::Deleted { id: id(1), position: 1 }]), 0);
    assert!(dropped(vec![]) > 0, "the disk has it");
    let order = Fact::Asked { by: "alice".into(), id: id(1), what: "Leave".into() };
    let died = |is_untold| {
        let died = Fact::Died { at: "alice".into(), is_untold };
        missing(&history(vec![order.clone(), died])).len()
    };
    assert_eq!((died(true), died(false)), (0, 1));
}

#[test]
fn what_a_restore_took_is_shown_or_told_to_be_missing() {
    let facts = |last: Vec<Fact>| {
        let mut facts = good_without(&shown("bob", 2));
        facts.retain(|fact| *fact != confirmed("bob", 2));
        facts.extend([taken(2), restored(&["alice", "bob"]), members(&["alice", "bob"])]);
        facts.extend(last);
        missing(&history(facts)).into_iter().map(|found| found.rule).collect::<Vec<_>>()
    };
    let none = Vec::<&str>::new();
    assert_eq!(facts(vec![]), none, "nothing was said since that could tell");
    assert_eq!(facts(vec![accepted(9, &["carol"])]), none, "that was not for bob");
    let facts = |last: Vec<Fact>| {
        let said_again = std::iter::once(accepted(9, &["bob"]));
        facts(said_again.chain(last).collect())
    };
    assert_eq!(facts(vec![]), ["delivery"]);
    assert_eq!(facts(vec![gap("bob", &[1])]), none);
    assert_eq!(facts(vec![gap("carol", &[1])]), ["delivery"], "who was told is somebody else");
    let (at, from, place) = ("bob".to_owned(), "alice".to_owned(), PLACE.to_owned());
    let healed = Fact::Healed { at, from, place, n: vec![1] };
    assert_eq!(facts(vec![gap("bob", &[1]), healed]), ["delivery"], "healed, and not shown");
}

#[test]
fn nobody_seals_for_whom_they_know_to_be_removed() {
    let learned = |at: &str, is_in, by: &str| {
        let (at, place, by) = (at.to_owned(), PLACE.to_owned(), by.to_owned());
        Fact::Learned { at, place, who: "bob".into(), is_in, by }
    };
    let said_after = |more: Vec<Fact>| {
        let mut facts = good();
        facts.extend(more);
        facts.extend([said(9), accepted(9, &["bob"])]);
        rules(facts)
    };
    let none = Vec::<&str>::new();
    assert_eq!(said_after(vec![learned("alice", false, "carol")]), ["removed"]);
    assert_eq!(said_after(vec![learned("carol", false, "carol")]), none, "somebody else knows");
    assert_eq!(said_after(vec![learned("alice", false, "bob")]), none, "bob has left by himself");
    let back = learned("alice", true, "carol");
    assert_eq!(said_after(vec![learned("alice", false, "carol"), back]), none);
    let let_in = Fact::LetIn { place: PLACE.into(), who: "bob".into() };
    assert_eq!(said_after(vec![learned("alice", false, "carol"), let_in]), none);
}

#[test]
fn every_device_of_a_member_is_to_read_along_and_no_other() {
    let with_second = |pause: usize, readers: &[&str]| {
        let mut facts = good();
        facts.push(entered("bob-2"));
        facts.extend((0..pause).map(|_| Fact::DiskFull));
        facts.extend([said(9), accepted(9, readers)]);
        rules(facts)
    };
    assert_eq!(with_second(2, &["bob"]), Vec::<&str>::new(), "it has only just come");
    assert_eq!(with_second(20, &["bob", "bob-2"]), Vec::<&str>::new());
    assert_eq!(with_second(20, &["bob"]), ["entitled"]);
}

#[test]
fn who_is_refused_is_no_member() {
    let refused = |who: &[&str]| {
        let mut facts = vec![entered("alice"), members(who)];
        // For longer than news travels.
        facts.extend((0..20).map(|_| entered("alice")));
        facts.extend([said(1), refused(1, "E_NOT_A_MEMBER")]);
        rules(facts)
    };
    assert_eq!(refused(&["bob"]), Vec::<&str>::new());
    assert_eq!(refused(&["alice", "bob"]), ["refusal"]);
}

#[test]
fn after_a_restore_all_is_shown_in_time() {
    let talk = |until_ms, last: Fact| {
        let mut facts = good();
        facts.extend([restored(&["alice", "bob"]), members(&["alice", "bob"])]);
        facts.extend([Fact::TalkBegins { until_ms }, said(9), accepted(9, &["bob"]), last]);
        rules(facts)
    };
    assert_eq!(talk(1_000_000, shown("bob", 9)), Vec::<&str>::new());
    assert_eq!(talk(1_000, shown("bob", 9)), ["talk"], "too late");
    assert_eq!(talk(1_000_000, Fact::DiskFull), ["talk"], "never");
    let refusal = refused(9, "E_NOT_A_MEMBER");
    assert!(talk(1_000_000, refusal.clone()).contains(&"talk"), "refused");
    let had_left = [members(&["alice", "bob"]), members(&["bob"]), restored(&["alice", "bob"])];
    let mut facts = good();
    facts.extend(had_left);
    facts.extend([
        members(&["alice", "bob"]),
        Fact::TalkBegins { until_ms: 1_000_000 },
        said(9),
        refusal,
    ]);
    assert!(!rules(facts).contains(&"talk"), "who had left before is refused");
}

#[test]
fn whoever_had_asked_to_leave_before_a_restore_may_be_refused_after_it() {
    let talk = |asked: Vec<Fact>| {
        let mut facts = good();
        let crew = |fact| match fact {
            Fact::Submitted { by, id, to, what, .. } => {
                Fact::Submitted { by, id, place: "room:crew".into(), to, what }
            }
            fact => fact,
        };
        facts.extend(asked);
        facts.extend([restored(&["alice", "bob"]), Fact::TalkBegins { until_ms: 1_000_000 }]);
        facts.extend([crew(said(9)), refused(9, "E_NOT_A_MEMBER")]);
        rules(facts).contains(&"talk")
    };
    let asks = |n, what: &str| Fact::Asked { by: "alice".into(), id: id(n), what: what.into() };
    let done = |n| Fact::Done { by: "alice".into(), id: id(n) };
    assert!(!talk(vec![asks(7, "Leave")]));
    assert!(talk(vec![asks(7, "Admit(2)")]));
    let again = vec![asks(7, "Leave"), asks(8, "Join { create: false }"), done(8)];
    assert!(talk(again), "who is in again is not leaving");
}

#[test]
fn a_refused_message_that_is_shown_or_kept_breaks_the_word_of_the_hub() {
    let facts = |last| {
        let accepted = accepted(1, &["bob"]);
        vec![Fact::DiskFull, said(1), accepted, refused(1, "E_STORAGE_FULL"), last]
    };
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
    let facts = |shown| vec![said(1), accepted(1, &["bob"]), stored(1, &["bob"]), shown];
    assert_eq!(rules(facts(other)), ["truth"]);
    assert_eq!(rules(vec![accepted(1, &["bob"]), shown("bob", 1)]), ["truth"]);
    assert_eq!(
        rules(vec![said(1), Fact::Ran { on: "bob".into(), id: id(1), argv: "x".into() }]),
        ["truth"]
    );
}

#[test]
fn the_order_of_the_sender_is_that_of_the_recipient() {
    let mut facts = vec![said(1), said(2), accepted(1, &["bob"]), accepted(2, &["bob"])];
    facts.extend([stored(1, &["bob"]), stored(2, &["bob"]), shown("bob", 2)]);
    assert_eq!(rules(facts.clone()), Vec::<&str>::new());
    let late = facts.into_iter().chain([shown("bob", 1)]).collect();
    assert_eq!(rules(late), ["order", "positions"]);
}

#[test]
fn who_has_been_in_a_room_for_long_must_be_among_the_recipients() {
    let newcomer = |pause: usize| {
        let mut facts = vec![entered("alice"), entered("bob"), entered("carol")];
        facts.push(members(&["alice", "bob", "carol"]));
        facts.extend((0..pause).map(|_| joined("alice")));
        facts.extend([said(1), accepted(1, &["bob"])]);
        rules(facts)
    };
    assert_eq!(newcomer(5), Vec::<&str>::new(), "the epoch may lag behind for a while");
    assert_eq!(newcomer(20), ["entitled"]);
}

#[test]
fn a_message_for_one_is_for_nobody_else() {
    let facts = vec![command(1), accepted_command(1, &["bob", "machine"])];
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
