//! What a hub can do and nobody sees by themselves. `docs/SECURITY.md` lists each by its name here.

use std::path::Path;

use chat_evil_hub::unseen;

use super::files::share;
use super::{Report, Stage, Verdict, screen};
use crate::program::Program;
use crate::{Client, Rig, Server, person, types};

/// Nobody was told of anything on this screen; otherwise it is no blind spot.
fn blind(who: &str, screen: &str, saw: String) -> Report {
    let words = screen::words(screen);
    match screen::quote(who, words.iter().map(String::as_str)) {
        None => Report::new(Verdict::Blind, saw),
        Some(told) => Report::new(Verdict::Detected, told),
    }
}

/// The line of a screen that has this part, as a report quotes it.
fn line(who: &str, screen: &str, part: &str) -> String {
    let line = screen.lines().find(|line| line.contains(part));
    screen::quote(who, line).unwrap_or_else(|| format!("{who}: no line with \"{part}\""))
}

pub(super) fn withheld_tail() -> Report {
    let stage = Stage::new(unseen::withheld_tail());
    let [mut alice, bob, mut carol] = ["alice", "bob", "carol"].map(|who| stage.person(who));
    types(&mut alice, "bob*where we meet", "delivered to bob");
    stage.switch.set(true);
    alice.type_line("bob*and when");
    alice.stdout.wait_for_count(2, |line| line.starts_with("✓ stored"));
    carol.type_line("bob*are you there?");
    bob.stdout.wait_for_part("carol → you: are you there?");
    let (before, alices) = (bob.stdout.text(), alice.stdout.text());
    if stage.switch.told() == 0 || before.contains("and when") {
        return Report::new(Verdict::Failed, "the message was not withheld");
    }
    let delivered = alices.lines().filter(|line| line.contains("delivered to bob")).count();
    let receipts = format!("alice: \"✓ stored\" twice, \"✓✓ delivered to bob\" {delivered} time");
    stage.switch.set(false);
    alice.type_line("bob*bring the papers");
    let later = bob.stdout.wait_for("what is missing", |line| line.starts_with("! "));
    let last = line("bob", &before, "are you there?");
    blind(
        "bob",
        &before,
        format!("{last}, nothing of alice; {receipts}; with her next: \"{later}\""),
    )
}

pub(super) fn order_of_two() -> Report {
    let stage = Stage::new(unseen::swapped_senders());
    let [mut alice, bob, mut carol] = ["alice", "bob", "carol"].map(|who| stage.person(who));
    for who in [&mut alice, &mut carol] {
        who.type_line("good morning");
    }
    bob.stdout.wait_for_part("#lobby alice: good morning");
    bob.stdout.wait_for_part("#lobby carol: good morning");
    stage.switch.set(true);
    alice.type_line("shall we sell it?");
    carol.stdout.wait_for_part("#lobby alice: shall we sell it?");
    carol.type_line("no");
    bob.stdout.wait_for_part("#lobby alice: shall we sell it?");
    let said = bob.stdout.text();
    let place = |part: &str| said.find(part).unwrap_or_default();
    if place("carol: no") > place("alice: shall we") {
        return Report::new(Verdict::Failed, "bob reads them in the order in which they were said");
    }
    let lines = said.lines().filter(|line| line.contains(": no") || line.contains("sell it"));
    blind("bob", &said, screen::quote("bob", lines).unwrap_or_default())
}

pub(super) fn made_up_presence() -> Report {
    let stage = Stage::new(unseen::made_up_presence("carol"));
    stage.client("carol").run(&["users"]).assert_code(0);
    let bob = stage.client("bob");
    bob.run(&["users"]).assert_code(0);
    stage.switch.set(true);
    let said = bob.run(&["users"]).expect_code(0);
    let carol = said.stdout.lines().find(|line| line.contains("carol")).unwrap_or_default();
    if !carol.contains("online") {
        return Report::new(Verdict::Failed, "carol is not shown as here");
    }
    blind("bob", &said.stderr, line("bob", &said.stdout, "carol"))
}

pub(super) fn made_up_topic() -> Report {
    let stage = Stage::new(unseen::made_up_topic("room:ops", "the meeting is at noon"));
    let [mut alice, mut bob] = ["alice", "bob"].map(|who| stage.person(who));
    types(&mut alice, "/create ops", "you are in #ops");
    types(&mut bob, "/join ops", "you are in #ops");
    alice.stdout.wait_for_part("bob");
    stage.switch.set(true);
    alice.type_line("bob*hello");
    let topic = bob.stdout.wait_for_part("the meeting is at noon");
    blind("bob", &bob.stdout.text(), format!("bob: \"{topic}\", which alice has not said"))
}

/// What bob or carol finds for `plan`.
fn find(client: &Client) -> String {
    let found = client.run(&["find", "plan"]).expect_code(0);
    found.stdout + &found.stderr
}

pub(super) fn offer_taken_back() -> Report {
    let stage = Stage::new(unseen::old_list());
    stage.switch.set(true);
    let (alice, bob) = (share(&stage, "alice", "the first plan"), stage.client("bob"));
    let before = find(&bob);
    drop(alice);
    let folder = stage.rig.path("shared-alice");
    std::fs::write(folder.join("other.txt"), "another file").unwrap();
    std::fs::write(folder.join("keyword.txt"), "other, other.txt").unwrap();
    let _other = sharing_again(&stage, &folder);
    let after = find(&bob);
    if !before.contains("alice.txt") || stage.switch.told() == 0 || !after.contains("alice.txt") {
        return Report::new(Verdict::Failed, "bob is not shown what was taken back");
    }
    blind("bob", &after, line("bob", &after, "alice.txt"))
}

/// Alice's folder shared once more, as it is now.
fn sharing_again(stage: &Stage, folder: &Path) -> Program {
    let arguments = ["share", folder.to_str().unwrap(), "--to", "ALL", "--json"];
    let program = stage.client("alice").start(&arguments);
    program.stdout.wait_for("the list is at the server", |line| line.contains("\"shared\""));
    program
}

pub(super) fn older_offer() -> Report {
    let stage = Stage::new(unseen::old_list());
    stage.switch.set(true);
    let alice = share(&stage, "alice", "the first plan");
    let [bob, carol] = ["bob", "carol"].map(|who| stage.client(who));
    let old = find(&bob);
    drop(alice);
    let folder = stage.rig.path("shared-alice");
    std::fs::write(folder.join("alice.txt"), "a longer second plan").unwrap();
    let _again = sharing_again(&stage, &folder);
    let carols = find(&carol);
    let [old, new] = [&old, &carols].map(|said| line("", said, "alice.txt"));
    if stage.switch.told() == 0 || old != new {
        return Report::new(Verdict::Failed, format!("carol is not shown the old offer: {new}"));
    }
    // Alice is asked first, and she does not give what she has replaced.
    let target = stage.rig.path("fetched");
    let got = carol.run(&["get", "alice", "alice.txt", "-o", target.to_str().unwrap()]);
    let told = got.stderr.trim().lines().next_back().unwrap_or_default().to_owned();
    let saw = line("carol", &carols, "alice.txt");
    blind("carol", &carols, format!("{saw}, the old size; when she fetches it: \"{told}\""))
}

/// The words by which two people compare their keys, as one of them sees them.
fn verify(client: &Client, other: &str) -> String {
    let said = client.run(&["verify", other]).stdout;
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The hub is two servers with one key, and people of its own in the second one.
pub(super) fn two_worlds() -> Report {
    let (rig, other) = (Rig::new(), Rig::new());
    let server = rig.server();
    std::fs::create_dir_all(other.data()).unwrap();
    std::fs::copy(rig.data().join("server.key"), other.data().join("server.key")).unwrap();
    let second: Server = other.server();
    let _alice = person(&rig, server.url(), "alice");
    let puppet = person(&other, second.url(), "alice");
    let mut bob = person(&other, second.url(), "bob");
    bob.type_line("alice*only for you");
    let read = puppet.stdout.wait_for_part("only for you");
    let screen = bob.stdout.text();
    drop(bob);
    let (alice, bob) = (rig.client("alice", server.url()), other.client("bob", second.url()));
    rig.client("bob", server.url()).run(&["users"]).assert_code(0);
    let (alices, bobs) = (verify(&alice, "bob"), verify(&bob, "alice"));
    if alices == bobs || alices.is_empty() {
        return Report::new(Verdict::Succeeded, format!("both see the same words: {bobs}"));
    }
    blind(
        "bob",
        &screen,
        format!("the hub: \"{read}\"; bob compares: \"{bobs}\"; alice: \"{alices}\""),
    )
}
