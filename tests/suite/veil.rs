//! The veil over spoilers.

use chat_tests::Scene;

#[test]
fn what_is_sent_under_the_veil_is_shown_in_clear_and_marked() {
    let scene = Scene::empty();
    let (alice, bob) = (scene.client("alice"), scene.client("bob"));
    bob.run(&["users"]).assert_code(0);
    alice.run(&["send", "bob", "--veil", "It was Zoe, a Fox!"]).assert_code(0);
    alice.run_known(&["send", "bob", "in clear"]).assert_code(0);
    let heard = bob.run_known(&["listen", "--count", "2", "--json"]).expect_code(0);
    assert_eq!(heard.texts(), ["It was Zoe, a Fox!", "in clear"]);
    let marks = heard.events_named("message");
    assert_eq!((&marks[0]["veiled"], marks[1].get("veiled")), (&true.into(), None));
}

#[test]
fn the_veil_of_the_chat_covers_every_way_to_say_something_until_it_is_off() {
    let scene = Scene::empty();
    let (alice, bob) = (scene.client("alice"), scene.client("bob"));
    let bobs = bob.chat();
    let mut alices = alice.chat();
    for line in ["/veil on", "bob*one", "two", "ALL*three", "/veil off", "bob*four"] {
        alices.type_line(line);
    }
    alices.finish().assert_code(0);
    for part in ["~ alice → you: one", "~ #lobby alice: two", "~ alice → ALL: three"] {
        bobs.stdout.wait_for_part(part);
    }
    let clear = bobs.stdout.wait_for_part("alice → you: four");
    assert!(!clear.contains('~'), "{clear}");
}

/// Goal: what was covered stays so when it is shown again, and when it is quoted by somebody who has no veil on. (The build
/// before kept no mark, and quoted it to the room in clear.)
#[test]
fn what_was_said_under_the_veil_keeps_its_mark() {
    let scene = Scene::empty();
    let (alice, bob) = (scene.client("alice"), scene.client("bob"));
    bob.run(&["users"]).assert_code(0);
    alice.run(&["send", "bob", "--veil", "It was Zoe"]).assert_code(0);
    bob.run_known(&["listen", "--count", "1"]).assert_code(0);
    for (from, line) in [(&bob, "~ alice → you: It was Zoe"), (&alice, "~ you → bob: It was Zoe")]
    {
        let other = if line.contains("alice") { "alice" } else { "bob" };
        let shown = from.run_known(&["history", other]).expect_code(0);
        assert!(shown.stdout.contains(line), "{shown:?}");
        let object = from.run_known(&["history", other, "--json"]).expect_code(0);
        assert_eq!(object.events_named("history")[0]["veiled"], true, "{object:?}");
    }
    bob.pipe(&["/query alice", "/reply ^1 no!", "in clear"], &[]).assert_code(0);
    let heard = alice.run_known(&["listen", "--count", "2", "--json"]).expect_code(0);
    assert_eq!(heard.texts(), ["> alice: It was Zoe\nno!", "in clear"]);
    let marks = heard.events_named("message");
    assert_eq!((&marks[0]["veiled"], marks[1].get("veiled")), (&true.into(), None));
}

/// Goal: nobody says in clear what they had covered by taking back what they said, or to others what was for one alone. (The
/// build before gave back `~ It was Zoe`, which went out in clear, and `carol*pay`, which was said to bob and went to carol.)
#[test]
fn what_is_taken_back_on_the_full_screen_says_the_same_to_the_same() {
    let scene = Scene::empty();
    scene.accounts(&["bob", "carol"]);
    let alice = scene.client("alice");
    alice.run(&["send", "bob", "in clear"]).assert_code(0);
    alice.run_known(&["send", "bob", "carol*pay"]).assert_code(0);
    alice.run_known(&["send", "bob", "--veil", "It was Zoe"]).assert_code(0);
    let mut chat = scene.at_full_screen("alice", (120, 30));
    chat.type_line("/query bob");
    chat.wait_until_seen("~ alice: It was Zoe");
    chat.type_keys(b"\x1b[A");
    chat.wait_for_picture("the line that was in clear", |picture| {
        picture.lines().any(|row| row.starts_with("> ") && !row.starts_with("> a message"))
    });
    assert!(chat.picture().contains("> in clear"), "{}", chat.picture());
    chat.type_keys(b"\x03");
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
}
