//! Several programs of one home, at once and one after the other.

use chat_tests::{Rig, Scene};

use super::files::{folder, share};

/// Goal: a file is given by the program that shares it, whichever program of that home hears of the
/// request first. Method: a chat and a listener run in the owner's home beside the one that shares.
#[test]
fn a_file_is_given_by_the_program_that_shares_it() {
    let scene = Scene::empty();
    let (alice, bob) = (scene.client("alice"), scene.client("bob"));
    let shared = folder(&scene.rig, "shared", "a, a.txt", &[("a.txt", b"how to")]);
    let _chat = alice.chat();
    let _listening = alice.start(&["listen", "--json"]);
    let _sharing = share(&alice, &shared, "ALL");
    for n in 0..4 {
        let target = scene.rig.path(&format!("{n}.txt"));
        bob.run(&["get", "alice", "a.txt", "-o", target.to_str().unwrap()]).assert_code(0);
        assert_eq!(std::fs::read(&target).unwrap(), b"how to");
    }
}

/// Goal: a request waits for an owner who is away, and is granted when they are back, although it comes
/// before their program has looked at the folder.
#[test]
fn a_request_waits_for_an_owner_who_is_away() {
    let scene = Scene::empty();
    let (alice, bob) = (scene.client("alice"), scene.client("bob"));
    let shared = folder(&scene.rig, "shared", "a, a.txt", &[("a.txt", b"how to")]);
    let mut before = share(&alice, &shared, "ALL");
    before.terminate();
    before.wait().assert_code(130);
    let target = scene.rig.path("fetched.txt");
    let get = ["get", "alice", "a.txt", "--wait", "--json", "-o", target.to_str().unwrap()];
    let fetching = bob.start(&get);
    fetching.stdout.wait_for("it waits", |line| line.contains("\"waiting\""));
    let _sharing = share(&alice, &shared, "ALL");
    fetching.finish().assert_code(0);
    assert_eq!(std::fs::read(&target).unwrap(), b"how to");
}

/// Goal: receipts do not pile up at the hub for a home in which nobody ever listens. Method: the receipt
/// for the first message is in the home after the second one was sent, without a server.
#[test]
fn who_only_sends_takes_the_receipts_in() {
    let rig = Rig::new();
    let server = rig.server();
    let (alice, bob) = (rig.client("alice", server.url()), rig.client("bob", server.url()));
    bob.run(&["users"]).assert_code(0);
    alice.run(&["send", "bob", "first"]).assert_code(0);
    bob.run(&["listen", "--count", "1", "--for", "30s"]).assert_code(0);
    alice.run(&["send", "bob", "second"]).assert_code(0);
    drop(server);
    let said = alice.run_known(&["history", "bob", "--json"]).expect_code(0);
    let states: Vec<_> = said.events_named("history").iter().map(|e| e["state"].clone()).collect();
    assert_eq!(states[0], "delivered", "{said:?}");
}

/// Goal: an open chat shows everything once, whatever else runs in its home. Method: messages arrive
/// while one program after the other signs in there, takes in what comes and ends.
#[test]
fn an_open_chat_shows_what_another_program_of_its_home_took_in() {
    const ROUNDS: usize = 6;
    let scene = Scene::empty();
    let (alice, bob) = (scene.client("alice"), scene.client("bob"));
    let (chat, mut bobs) = (alice.chat(), bob.chat());
    bobs.type_line("alice*before");
    chat.stdout.wait_for_part("bob → you: before");
    for n in 0..ROUNDS {
        let sending = alice.start(&["send", "bob", "from a script"]);
        bobs.type_line(&format!("alice*number {n}"));
        sending.finish().assert_code(0);
        chat.stdout.wait_for_part(&format!("bob → you: number {n}"));
    }
    let shown = chat.finish();
    for n in 0..ROUNDS {
        let count = shown.stdout.matches(&format!("bob → you: number {n}")).count();
        assert_eq!(count, 1, "{shown:?}");
    }
}
