//! A name that somebody else has taken, because the hub has forgotten whose it was.

use std::time::Instant;

use chat_tests::{LIMIT, Program, Rig, Server, operator, person, types};

/// Kinds of alarm on a screen, and the lines that name them.
fn alarms(screen: &str) -> Vec<&str> {
    screen.lines().filter(|line| line.contains("ALARM")).collect()
}

/// Alice and bob at their prompts, after the hub was put back behind eve's sign-up, with whom they have talked
/// in the lobby.
fn put_back(rig: &Rig) -> (Server, Program, Program) {
    let mut server = rig.server();
    let url = server.url().to_owned();
    let (mut alice, mut bob) = (person(rig, &url, "alice"), person(rig, &url, "bob"));
    types(&mut alice, "before the backup", "✓ stored");
    bob.stdout.wait_for_part("#lobby alice: before the backup");
    let kept = rig.path("kept.tar");
    operator(rig, &["backup", kept.to_str().unwrap()]).assert_code(0);
    let mut eve = person(rig, &url, "eve");
    eve.type_line("eve was here");
    for (who, name) in [(&mut alice, "alice"), (&mut bob, "bob")] {
        who.stdout.wait_for_part("#lobby eve: eve was here");
        who.type_line(&format!("{name} sees eve"));
        eve.stdout.wait_for_part(&format!("#lobby {name}: {name} sees eve"));
    }
    eve.kill_hard();
    server.kill_hard();
    operator(rig, &["restore", kept.to_str().unwrap()]).assert_code(0);
    server.restart(rig, &[]);
    (server, alice, bob)
}

/// Somebody else who signs up as eve.
fn another_eve(rig: &Rig, server: &Server) -> Program {
    let other = rig.client("eve", server.url()).with_home(rig.path("another-eve")).chat();
    other.stdout.wait_for_part("you are in #lobby");
    other
}

/// Goal: chat goes on for those who know a name by another key: nobody honest is accused, and what they say does
/// not reach whom they do not know. Before: nothing that they said in the lobby was sent any more.
/// Method: the hub is put back behind eve's sign-up; somebody else signs up as eve.
#[test]
fn a_name_that_another_person_has_taken_stops_nobody() {
    let rig = Rig::new();
    let (server, mut alice, mut bob) = put_back(&rig);
    let mut other = another_eve(&rig, &server);

    alice.type_line("does it go on?");
    bob.stdout.wait_for_part("#lobby alice: does it go on?");
    bob.type_line("it does");
    alice.stdout.wait_for_part("#lobby bob: it does");
    alice.stdout.wait_for_part("does not reach eve");
    types(&mut other, "hello, this is another eve", "✓ stored");
    alice.type_line("still here");
    bob.stdout.wait_for_part("#lobby alice: still here");
    assert!(!other.stdout.text().contains("still here"), "sealed for a key that nobody trusts");
    for (who, name) in [(&alice, "alice"), (&bob, "bob")] {
        let screen = who.stdout.text();
        // The hub went back, and its list of members goes on in another way than before.
        let expected = ["rolled_back: server", "fork: server", "key_changed: eve"];
        let is_expected = |line: &&str| expected.iter().any(|kind| line.ends_with(kind));
        let others: Vec<&str> =
            alarms(&screen).into_iter().filter(|line| !is_expected(line)).collect();
        assert!(others.is_empty(), "{name} is told {others:?}");
        assert!(!screen.contains("E_MEMBERS"), "{name}: {screen}");
    }
}

/// Goal: who has taken a name gets into the lobby also when the hub knows again that somebody else was there under
/// it, and talks with those who trust the new key. Before: the chain was refused as one that nobody could verify, and
/// the new owner was in no room at all.
/// Method: the others have reminded the hub of the first eve before the second one signs up.
#[test]
fn who_has_taken_a_name_gets_in_behind_its_former_owner() {
    let rig = Rig::new();
    let (server, mut alice, bob) = put_back(&rig);
    alice.type_line("we are back");
    bob.stdout.wait_for_part("#lobby alice: we are back");
    let end = Instant::now() + LIMIT;
    loop {
        let shown = operator(&rig, &["user", "show", "eve"]);
        if shown.stderr.contains("brought into #lobby") {
            break;
        }
        assert!(Instant::now() < end, "eve's link did not come back: {shown:?}");
    }
    let mut other = another_eve(&rig, &server);
    types(&mut other, "hello, this is another eve", "✓ stored");
    alice.stdout.wait_for_part("key_changed: eve");
    alice.type_line("/trust eve");
    let shown = alice.stdout.wait_for_part("offered now");
    let words: Vec<&str> = shown.split_whitespace().skip(2).collect();
    alice.type_line(&format!("/trust eve {}", words.join(" ")));
    alice.type_line("welcome");
    other.stdout.wait_for_part("#lobby alice: welcome");
    other.type_line("thank you");
    alice.stdout.wait_for_part("#lobby eve: thank you");
    for (who, name) in [(&other, "eve"), (&alice, "alice"), (&bob, "bob")] {
        let screen = who.stdout.text();
        assert!(!screen.contains("bad_chain"), "{name}: {screen}");
        assert!(!screen.contains("E_NOT_A_MEMBER"), "{name}: {screen}");
    }
}
