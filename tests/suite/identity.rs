//! Keys that people compare, trust and refuse, and devices that are shut out.

use std::fs;
use std::process::Command;

use chat_tests::{Client, Finished, Rig, Server};
use serde_json::Value;

/// Shows what a user and another compare.
fn verify(client: &Client, other: &str, words: &[&str]) -> Finished {
    client.run_known(&[&["verify", other, "--json"], words].concat())
}

fn first(finished: &Finished, event: &str) -> Value {
    let events = finished.events_named(event);
    events.first().cloned().unwrap_or_else(|| panic!("no {event}: {finished:?}"))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

fn people(rig: &Rig, server: &Server, names: [&str; 2]) -> [Client; 2] {
    names.map(|name| {
        let client = rig.client(name, server.url());
        client.run(&["users"]).assert_code(0);
        client
    })
}

#[test]
fn both_screens_show_the_same_words_and_the_others_words_verify() {
    let rig = Rig::new();
    let server = rig.server();
    let [alice, bob] = people(&rig, &server, ["alice", "bob"]);
    let by_alice = first(&verify(&alice, "bob", &[]).expect_code(0), "verify");
    let by_bob = first(&verify(&bob, "alice", &[]).expect_code(0), "verify");
    assert_eq!(by_alice["words"], by_bob["words"], "the same twelve words");
    assert_eq!(text(&by_alice["words"]).split_whitespace().count(), 12);
    assert_eq!(by_alice["theirs"], by_bob["mine"]);
    assert_eq!(by_alice["peer_verified"], false);
    let said = alice.run_known(&["verify", "bob"]).expect_code(0).stdout;
    assert!(said.contains("alice (you)") && said.contains(&text(&by_alice["theirs"]["words"])));

    let own = text(&by_alice["mine"]["words"]);
    let wrong = verify(&alice, "bob", &[own.as_str()]).expect_code(7);
    assert!(wrong.stderr.contains("not the words"), "{wrong:?}");
    verify(&alice, "bob", &[text(&by_bob["mine"]["words"]).as_str()]).assert_code(0);
    assert_eq!(first(&verify(&alice, "bob", &[]), "verify")["peer_verified"], true);

    bob.run_known(&["send", "alice", "hello"]).assert_code(0);
    let heard = alice.run_known(&["listen", "--count", "1", "--json"]).expect_code(0);
    let message = first(&heard, "message");
    assert_eq!((&message["verified"], &message["peer_verified"]), (&true.into(), &true.into()));
    bob.run_known(&["send", "alice", "again"]).assert_code(0);
    let heard = alice.run_known(&["listen", "--count", "1"]).expect_code(0);
    assert!(heard.stdout.contains("bob → you [verified]: again"), "{heard:?}");
    let kept = alice.run_known(&["history", "bob"]).expect_code(0);
    assert!(kept.stdout.contains("bob → you [verified]: again"), "{kept:?}");
    let kept = alice.run_known(&["history", "bob", "--json"]).expect_code(0);
    assert!(kept.events_named("history").iter().all(|said| said["peer_verified"] == true));
}

#[test]
fn ctrl_c_ends_a_question_and_the_prompt_says_what_is_asked() {
    let rig = Rig::new();
    let server = rig.server();
    let [alice, bob] = people(&rig, &server, ["alice", "bob"]);
    verify(&alice, "bob", &[]).assert_code(0);
    let mut chat = alice.at_terminal(&[]);
    chat.answer("Password of alice: ", chat_tests::PASSWORD);
    chat.wait_for("connected to");
    chat.types("/verify bob", "verify bob? yes, or the six words: ");
    chat.interrupt();
    chat.wait_for("nothing is changed");
    chat.type_line("yes");
    chat.types("/devices revoke 9", "there is no device 9");
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0), "{}", chat.text());
    assert_eq!(first(&verify(&alice, "bob", &[]), "verify")["peer_verified"], false);
    let heard = bob.run_known(&["listen", "--count", "1", "--json"]).expect_code(0);
    assert_eq!(heard.texts(), ["yes"], "it was a line for the room");
}

/// A server that has lost its accounts lets somebody else have bob's name.
#[test]
fn another_key_stops_what_is_sent_until_it_is_trusted_and_a_refused_one_can_be_trusted_later() {
    let rig = Rig::new();
    let mut server = rig.server();
    let [alice, bob] = people(&rig, &server, ["alice", "bob"]);
    verify(&alice, "bob", &["yes"]).assert_code(0);
    drop(bob);
    server.kill_hard();
    for entry in fs::read_dir(rig.data()).unwrap().map(Result::unwrap) {
        if entry.file_name().to_string_lossy().starts_with("chat.sqlite") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    server.restart(&rig, &[]);
    let other = rig.client("bob", server.url()).with_home(rig.path("other-bob"));
    other.run(&["users"]).assert_code(0);
    alice.run(&["users"]).assert_code(0);

    let refused = alice.run_known(&["send", "bob", "secret"]).expect_code(6);
    assert!(refused.stdout.contains("/trust bob") || refused.stderr.contains("/trust bob"));
    let shown = first(&verify(&alice, "bob", &[]).expect_code(0), "verify");
    assert_eq!((&shown["peer_changed"], &shown["peer_verified"]), (&true.into(), &false.into()));
    let words = text(&first(&verify(&other, "alice", &[]), "verify")["mine"]["words"]);
    assert_eq!(text(&shown["other"]["words"]), words);
    verify(&alice, "bob", &["yes"]).assert_code(7);
    // At a terminal nobody is asked what would be refused.
    let mut chat = alice.at_terminal(&[]);
    chat.answer("Password", chat_tests::PASSWORD);
    chat.wait_for("connected to");
    chat.types("/verify bob", "bob: the server offers another key than the known one");
    chat.wait_for("✗ the server offers another key for bob: /trust bob or /distrust bob first");
    assert!(!chat.text().contains("Do the words agree?"), "{}", chat.text());
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
    alice.run_known(&["trust", "bob"]).assert_code(2);
    alice.run_known(&["distrust", "bob", "--words", &words]).assert_code(0);
    alice.run_known(&["trust", "bob", "--words", "a b c d e f"]).assert_code(7);
    alice.run_known(&["trust", "bob", "--words", "yes"]).assert_code(7);
    alice.run_known(&["trust", "alice", "--words", "yes"]).assert_code(6);
    alice.run_known(&["trust", "bob", "--words", &words]).assert_code(0);

    alice.run_known(&["send", "bob", "hello again"]).assert_code(0);
    let heard = other.run_known(&["listen", "--count", "1", "--json"]).expect_code(0);
    assert_eq!(heard.texts(), ["hello again"]);
    let shown = first(&verify(&alice, "bob", &[]).expect_code(0), "verify");
    assert_eq!((&shown["peer_changed"], &shown["peer_verified"]), (&false.into(), &false.into()));
}

#[test]
fn a_device_is_announced_listed_and_revoked_and_then_reads_and_says_nothing() {
    let rig = Rig::new();
    let server = rig.server();
    let [desk, bob] = people(&rig, &server, ["alice", "bob"]);
    bob.run_known(&["send", "alice", "to one device"]).assert_code(0);
    desk.run_known(&["listen", "--count", "1"]).assert_code(0);
    let (desks, bobs) = (desk.chat(), bob.chat());
    let laptop = rig.client("alice", server.url()).with_home(rig.path("laptop"));
    laptop.run_known(&["users"]).assert_code(0);
    desks.stdout.wait_for_part("your account has a new device");
    bobs.stdout.wait_for_part("alice has a new device");
    for mut program in [desks, bobs] {
        program.type_line("/quit");
        program.finish().assert_code(0);
    }

    let listed = desk.run_known(&["devices", "--json"]).expect_code(0).events_named("device");
    let states: Vec<_> = listed.iter().map(|device| (&device["this"], &device["state"])).collect();
    let live = Value::from("live");
    // The key file of the desk opens with a password that is the account's no more.
    let new = rig.write("new-password", "another one that is long");
    let new = new.to_str().expect("a path of this test");
    laptop.run_known(&["passwd", "--new-password-file", new]).assert_code(0);
    let refused = desk.run_known(&["devices", "revoke", "2"]).expect_code(4);
    assert!(refused.stderr.contains("wrong password"), "{refused:?}");
    let desk = desk.with_password("another one that is long");
    desk.run_known(&["passwd", "--new-password-file", new]).assert_code(0);
    let laptop = laptop.with_password("another one that is long");
    assert_eq!(states, [(&true.into(), &live), (&false.into(), &live)]);
    desk.run_known(&["devices", "revoke", "1"]).assert_code(6);
    desk.run_known(&["devices", "revoke", "3"]).assert_code(6);
    desk.run_known(&["devices", "revoke", "2"]).assert_code(0);
    let seen = bob.run_known(&["devices", "alice", "--json"]).expect_code(0);
    assert_eq!(seen.events_named("device")[1]["state"], "revoked");

    let refused = laptop.run_known(&["send", "bob", "it is still me"]).expect_code(4);
    assert!(refused.stderr.contains("another device of your account"), "{refused:?}");
    assert!(!refused.stderr.contains("password of the account was changed"), "{refused:?}");
    let mut told = laptop.at_terminal(&["users"]);
    told.answer("Password of alice: ", "another one that is long");
    told.wait_for("another device of your account");
    assert!(!told.text().contains("was changed"), "{}", told.text());
    let refused = laptop.run_known(&["passwd", "--new-password-file", new]).expect_code(4);
    assert!(refused.stderr.contains("another device of your account"), "{refused:?}");
    bob.run_known(&["send", "alice", "for the desk only"]).assert_code(0);
    let heard = desk.run_known(&["listen", "--count", "1", "--json"]).expect_code(0);
    assert_eq!(heard.texts(), ["for the desk only"]);
}

/// Goal: what is told as revoked is out, also where a copy of the home has published bundles meanwhile. Before: the server
/// refused the bundle, let the device in without it, and the command said that it was done. Method: the copy revokes one
/// device, and the home the other one, each by the number that its list shows.
#[test]
fn a_device_is_out_that_is_revoked_where_a_copy_of_the_home_has_gone_on() {
    let rig = Rig::new();
    let server = rig.server();
    let [desk, _bob] = people(&rig, &server, ["alice", "bob"]);
    let [laptop, tablet] = ["laptop", "tablet"].map(|home| {
        let other = rig.client("alice", server.url()).with_home(rig.path(home));
        other.run_known(&["users"]).assert_code(0);
        other
    });
    let copy = rig.path("copy");
    let copied = Command::new("cp").arg("-r").arg(desk.home()).arg(&copy).status().unwrap();
    assert!(copied.success());
    let copied = rig.client("alice", server.url()).with_home(&copy);
    for from in [copied, desk] {
        let listed = from.run_known(&["devices", "--json"]).expect_code(0);
        let listed = listed.events_named("device");
        let other = listed.iter().find(|one| one["this"] == false && one["state"] == "live");
        let number = other.expect("another device")["number"].to_string();
        from.run_known(&["devices", "revoke", &number]).assert_code(0);
    }
    for out in [laptop, tablet] {
        out.run_known(&["send", "bob", "it is still me"]).assert_code(4);
    }
}

#[test]
fn a_device_goes_on_with_new_keys() {
    let rig = Rig::new();
    let server = rig.server();
    let [alice, bob] = people(&rig, &server, ["alice", "bob"]);
    alice.run_known(&["send", "bob", "before"]).assert_code(0);
    let key = |client: &Client| {
        let listed = client.run_known(&["devices", "alice", "--json"]).expect_code(0);
        text(&first(&listed, "device")["key"])
    };
    let before = key(&bob);
    alice.run_known(&["key", "rotate"]).assert_code(0);
    assert_ne!(key(&bob), before);
    alice.run_known(&["send", "bob", "after"]).assert_code(0);
    bob.run_known(&["send", "alice", "to the new keys"]).assert_code(0);
    let listen = |client: &Client, count: &str| {
        client.run_known(&["listen", "--count", count, "--json"]).expect_code(0)
    };
    assert_eq!(listen(&bob, "2").texts(), ["before", "after"]);
    let heard = listen(&alice, "1");
    assert_eq!(heard.texts(), ["to the new keys"]);
    assert!(heard.events_named("alarm").is_empty(), "{heard:?}");
}
