//! What was begun to be typed in one place is neither said nor done in another one.

use chat_tests::{Scene, types};

/// Columns and rows: list, log and members have room.
const WIDE: (u16, u16) = (120, 30);

/// Goal: a command about a room that was begun there is not done in the lobby by whoever is put out meanwhile. (The
/// build before quoted and said it there.)
#[test]
fn a_command_begun_in_a_room_is_not_done_elsewhere() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let mut alice = scene.at_terminal("alice");
    types(&mut bob, "/create ops", "you are in #ops");
    for (round, begun) in (1..).zip(["/reply ^1 the key is 7", "/topic the key is 8"]) {
        alice.types("/join ops", "alice #ops> ");
        bob.stdout.wait_for_count(round, |line| line.contains("[alice] joined #ops"));
        alice.type_keys(begun.as_bytes());
        alice.wait_for(begun);
        bob.type_line("/kick alice");
        alice.wait_for("what you type goes to #lobby");
        alice.types("", &format!("you are not in #ops any more, so this was not done: {begun}"));
        alice.wait_for("alice #lobby> ");
    }
    // Whoever goes on knows where they are.
    alice.type_line("/topic");
    alice.type_line("hello, lobby");
    let watching = scene.client("carol").pipe(&["/topic"], &[]).expect_code(0);
    types(&mut bob, "/room lobby", "what you type goes to #lobby");
    alice.type_line("bob*done");
    bob.stdout.wait_for_part("alice → you: done");
    let said = bob.finish().expect_code(0);
    for text in [said.stdout, watching.stdout] {
        assert!(!text.contains("the key is"), "{text}");
    }
    alice.type_line("/quit");
    assert_eq!(alice.wait(), Some(0));
}

/// Goal: on the full screen what was begun stays with the room that one is put out of, and what is said elsewhere is
/// said. (The build before made it a draft of the lobby, and refused the next line wherever it was typed.)
#[test]
fn what_was_begun_stays_with_its_room() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let mut chat = scene.at_full_screen("alice", WIDE);
    types(&mut bob, "/create ops", "you are in #ops");
    chat.type_line("/join ops");
    chat.wait_until_seen("you are in #ops");
    bob.stdout.wait_for_part("[alice] joined #ops");
    types(&mut bob, "alice*hello", "delivered to alice");
    chat.wait_until_seen("bob(1,1)");
    chat.type_keys(b"the code is 7");
    chat.wait_until_seen("the code is 7");
    bob.type_line("/kick alice");
    chat.wait_until_seen("what you had begun stays in #ops");
    // The conversation with bob, by its name.
    chat.type_keys(b"\x0bbob\r");
    chat.wait_until_seen("bob: hello");
    chat.type_line("hi to you");
    bob.stdout.wait_for_part("alice → you: hi to you");
    chat.type_keys(b"\x0blobby\r");
    chat.wait_until_seen("▸2 #lobby");
    assert!(chat.picture().contains("3 #ops"), "a way back: {}", chat.picture());
    chat.type_line("hello, lobby");
    chat.wait_until_seen("alice: hello, lobby ✓");
    // What is typed ahead of the arrival is a line of its own.
    chat.type_keys(b"/join ops\rhello, ops\r");
    chat.wait_until_seen("▸3 #ops");
    chat.wait_until_seen("what you had begun here waits; Up brings it back");
    bob.stdout.wait_for_part("alice: hello, ops");
    chat.type_keys(b"\x1b[A");
    chat.wait_until_seen("> the code is 7");
    let said = bob.finish().expect_code(0);
    assert!(!said.stdout.contains("the code"), "{said:?}");
    // By its number: what was begun stands in the line.
    chat.type_keys(b"\x1b2");
    chat.wait_until_seen("▸2 #lobby");
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
    let text = chat.text();
    assert!(text.contains("not sent, what you had begun in #ops"), "{text}");
}
