//! Rooms that keep messages for a time, and people who were away for longer.

use chat_tests::{Rig, Server, get, person, types, until};
use serde_json::Value;

/// Waits until the server has deleted this many messages.
#[track_caller]
fn wait_for_dropped(server: &Server, count: u64) {
    let expected = format!("chat_retention_dropped_messages_total {count}");
    let metrics = || get(server.address(), "/metrics", &[]).body;
    until(&expected, || metrics().lines().any(|line| line == expected));
}

/// Goal: what is older than the server keeps is gone for those who were away, they are told how much
/// it was, and see no gap and no alarm; what is said between two people stays. Method: bob has heard
/// one message of an epoch, misses three and hears the fifth.
#[test]
fn who_was_away_for_longer_than_the_server_keeps_is_told_so() {
    let rig = Rig::new();
    let server = rig.server_with(&["--retention", "2s"]);
    let mut alice = person(&rig, server.url(), "alice");
    let bob = rig.client("bob", server.url());
    let chat = bob.chat();
    chat.stdout.wait_for_part("you are in #lobby");
    alice.type_line("heard");
    chat.stdout.wait_for_part("heard");
    chat.finish().assert_code(0);
    for text in ["missed 1", "missed 2", "missed 3"] {
        alice.type_line(text);
    }
    types(&mut alice, "bob*kept for you", "✓ kept for bob");
    wait_for_dropped(&server, 4);
    types(&mut alice, "/rooms", "2 users, kept 2s");
    types(&mut alice, "/retention", "keeps what is said in #lobby for 2s, then deletes it");
    types(&mut alice, "/retention 1d", "has no admins");

    let mut listener = bob.start(&["listen", "--json", "--count", "2"]);
    listener.stdout.wait_for_part("\"dropped\"");
    listener.stdout.wait_for_part("kept for you");
    alice.type_line("heard again");
    let heard = listener.wait().expect_code(0);
    assert_eq!(heard.texts(), ["kept for you", "heard again"]);
    let dropped = heard.events_named("dropped");
    let [event] = dropped.as_slice() else { panic!("{dropped:?}") };
    assert_eq!((&event["messages"], &event["room"]), (&3.into(), &"lobby".into()), "{event}");
    assert_eq!(event["keep_ms"], 2_000);
    let bad =
        |event: &Value| ["gap", "alarm", "unreadable"].iter().any(|bad| event["event"] == *bad);
    assert!(!heard.events().iter().any(bad), "{}", heard.stdout);
    // It is said once.
    let again = bob.run(&["listen", "--json", "--for", "1s"]);
    assert!(again.events_named("dropped").is_empty(), "{}", again.stdout);
}

/// Goal: an admin says for a room how long it keeps messages; others see it and cannot change it, and
/// it outlives the server. Method: a private room on a server that keeps everything.
#[test]
fn an_admin_says_how_long_a_room_keeps_messages() {
    let rig = Rig::new();
    let mut server = rig.server();
    let mut alice = rig.client("alice", server.url()).chat();
    let mut bob = person(&rig, server.url(), "bob");
    types(&mut alice, "/create crew private", "you are in #crew");
    types(&mut alice, "/invite bob", "[alice] added bob to #crew");
    bob.stdout.wait_for_part("alice added you to #crew");
    types(&mut bob, "/room crew", "what you type goes to #crew");
    types(&mut bob, "/retention 1s", "only an admin of the room");
    types(&mut bob, "/retention", "for ever");
    types(
        &mut alice,
        "/retention 1s",
        "[alice] set how long the server keeps messages of #crew: 1s",
    );
    bob.stdout.wait_for_part("[alice] set how long the server keeps messages of #crew: 1s");
    alice.type_line("soon gone");
    bob.stdout.wait_for_part("soon gone");
    wait_for_dropped(&server, 1);
    types(&mut alice, "/retention default", "messages of #crew: for ever");
    types(&mut alice, "/retention 40d", "messages of #crew: 40d");
    types(&mut alice, "/rooms", "2 users, private, kept 40d");
    alice.type_line("still here");
    bob.stdout.wait_for_part("still here");
    assert!(!bob.stdout.text().contains("missing"), "{}", bob.stdout.text());
    server.restart(&rig, &[]);
    let rooms = rig.client("carol", server.url()).run(&["rooms", "--json"]).expect_code(0);
    let rooms = rooms.events_named("room_info");
    assert!(rooms.iter().all(|room| room["room"] != "crew"), "{rooms:?}");
    let rooms = rig.client("bob", server.url()).run(&["rooms", "--json"]).expect_code(0);
    let rooms = rooms.events_named("room_info");
    let crew = rooms.iter().find(|room| room["room"] == "crew").unwrap();
    assert_eq!(crew["keep_ms"], 40 * 24 * 3600 * 1000_u64);
}
