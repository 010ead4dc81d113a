//! The veil over spoilers.

use chat_tests::{Scene, Terminal, types};

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

/// Goal: what was said under the veil is not said without it because Up gave it back, neither at once nor at the next start.
/// (The build before kept what was typed, and Enter said it in clear.)
#[test]
fn what_was_typed_under_the_veil_does_not_come_back_without_it() {
    let scene = Scene::empty();
    let mut full = scene.at_full_screen("alice", (120, 30));
    full.wait_until_seen("connected to");
    full.type_line("/veil on");
    full.wait_until_seen("the veil is on");
    full.type_line("It was Zoe");
    full.wait_until_seen("~ alice: It was Zoe");
    full.type_line("/veil off");
    full.wait_until_seen("the veil is off");
    full.type_keys(b"\x1b[A\x1b[A");
    typed_is(&full, "> /veil on");
    full.type_keys(b"\x15");
    full.type_line("/quit");
    assert_eq!(full.wait(), Some(0));
    let mut line = scene.client("alice").at_terminal_before(&["--line"], "");
    line.wait_for("alice #lobby>");
    // Of before: leaving, and the two about the veil.
    line.type_keys(b"\x1b[A\x1b[A\x1b[A");
    typed_is(&line, "alice #lobby> /veil on");
    line.type_keys(b"\x15");
    line.type_line("/veil on");
    line.wait_for("the veil is on");
    line.wait_for("alice ~#lobby>");
    line.type_line("It was Tom");
    line.wait_for("alice ~#lobby>");
    line.type_keys(b"It was");
    line.wait_for("It was");
    line.type_keys(b"\x03");
    line.wait_for("this line was not sent");
    line.type_line("/veil off");
    line.wait_for("the veil is off");
    line.wait_for("alice #lobby>");
    line.type_keys(b"\x1b[A\x1b[A");
    typed_is(&line, "alice #lobby> /veil on");
    line.type_keys(b"\x15");
    line.type_line("/quit");
    assert_eq!(line.wait(), Some(0));
    assert!(!line.text().contains("this line was not sent; Up"), "{}", line.text());
}

/// Goal: a text that is refused under the veil is not gone, whatever refuses it: it stands nowhere by itself, Up brings it
/// back where it was typed, and it is sent as it was. For whom an answer is, is decided anew: it is shown, and does not come
/// back. (The build before put it where one types, and a second Enter sent an answer to whoever had written meanwhile.)
#[test]
fn what_was_refused_under_the_veil_comes_back_with_up() {
    let (scene, [bob]) = Scene::with(["bob"]);
    let mut full = scene.at_full_screen("alice", (120, 40));
    full.type_line("/veil on");
    full.wait_until_seen("the veil is on");
    for line in ["/reply ^9 no!", "/reply It was Zoe"] {
        full.type_line(line);
        full.wait_until_seen(&format!("this was not sent: ~ {line}"));
        full.type_keys(b"\x1b[A");
        typed_is(&full, "~ /veil on");
        full.type_keys(b"\x15");
    }
    for (line, why) in [
        ("/usres", "did you mean /users?"),
        ("/mgs bob It was Zoe", "unknown command /mgs"),
        ("server*It was Zoe", "the server takes no messages"),
        ("alice*It was Zoe", "a message to yourself goes nowhere"),
    ] {
        full.type_line(line);
        full.wait_until_seen(why);
        full.wait_for_picture("nothing to be typed", is_empty_under_the_veil);
    }
    // No line takes one of them away: each is there until it is asked for, the newest first.
    full.type_line("/users");
    full.wait_until_seen("bob");
    for line in ["server*It was Zoe", "/mgs bob It was Zoe", "/usres"] {
        full.type_line("alice*It was Zoe");
        full.wait_for_picture("nothing to be typed", is_empty_under_the_veil);
        full.type_keys(b"\x1b[A");
        typed_is(&full, "~ alice*It was Zoe");
        full.type_keys(b"\x15\x1b[A");
        typed_is(&full, &format!("~ {line}"));
        full.type_keys(b"\x15");
    }
    full.type_line("alice*It was Zoe");
    full.wait_for_picture("nothing to be typed", is_empty_under_the_veil);
    // From the start of the line, five letters less.
    full.type_keys(b"\x1b[A\x01\x1b[3~\x1b[3~\x1b[3~\x1b[3~\x1b[3~bob\r");
    bob.stdout.wait_for_part("~ alice → you: It was Zoe");
    full.type_keys(b"\x1b[A");
    typed_is(&full, "~ /users");
    full.type_keys(b"\x15");
    full.type_line("/quit");
    assert_eq!(full.wait(), Some(0));
    let mut line = scene.at_terminal("carol");
    line.types("/veil on", "carol ~#lobby>");
    line.types("carol*It was Tom", "not sent; Up brings it back");
    line.type_keys(b"\x1b[A");
    typed_is(&line, "carol ~#lobby> carol*It was Tom");
    line.type_keys(b"\x01\x1b[3~\x1b[3~\x1b[3~\x1b[3~\x1b[3~bob");
    typed_is(&line, "carol ~#lobby> bob*It was Tom");
    line.type_line("");
    bob.stdout.wait_for_part("~ carol → you: It was Tom");
    // A command takes nothing away here either.
    line.types("carol*It was Sue", "not sent; Up brings it back");
    line.types("/version", "protocol");
    line.type_keys(b"\x1b[A\x1b[A");
    typed_is(&line, "carol ~#lobby> carol*It was Sue");
    line.type_keys(b"\x15");
    line.types("/veil off", "carol #lobby>");
    line.type_keys(b"\x1b[A\x1b[A\x1b[A");
    typed_is(&line, "carol #lobby> /veil on");
    line.type_keys(b"\x15");
    line.type_line("/quit");
    assert_eq!(line.wait(), Some(0));
}

/// Goal: a refusal under the veil takes nothing from what Up brings back. (The build before made it anew of what is kept, and
/// a line that was given up was not among that.)
#[test]
fn a_refusal_under_the_veil_leaves_what_comes_back() {
    let scene = Scene::empty();
    let mut line = scene.at_terminal("alice");
    line.type_keys(b"half a word");
    line.wait_for("half a word");
    line.type_keys(b"\x03");
    line.wait_for("this line was not sent; Up brings it back");
    line.types("/veil on", "alice ~#lobby>");
    line.types("alice*It was Zoe", "not sent; Up brings it back");
    line.types("/veil off", "alice #lobby>");
    for row in ["/veil off", "/veil on", "half a word"] {
        line.type_keys(b"\x1b[A");
        line.wait_for_picture(row, |picture| {
            let typed = picture.lines().rfind(|one| one.starts_with("alice #lobby>"));
            typed.is_some_and(|typed| typed.trim_end().ends_with(row))
        });
    }
    line.type_keys(b"\x15");
    line.type_line("/quit");
    assert_eq!(line.wait(), Some(0));
}

/// Goal: what was typed ahead is a line of its own, whatever came of the one before it, and that is said. (The build before
/// made one line of both, or said nothing.)
#[test]
fn what_is_refused_under_the_veil_stands_before_no_keys_typed_ahead() {
    let (scene, [bob]) = Scene::with(["bob"]);
    let mut full = scene.at_full_screen("alice", (120, 30));
    full.type_line("/veil on");
    full.wait_until_seen("the veil is on");
    full.type_keys(b"alice*It was Zoe\r");
    full.wait_until_seen("not sent; Up brings it back");
    full.type_keys(b"bob*one\r");
    bob.stdout.wait_for_part("~ alice → you: one");
    full.type_keys(b"alice*It was Zoe\rbob*more\r");
    bob.stdout.wait_for_part("~ alice → you: more");
    full.type_line("/clear");
    full.wait_until_gone("not sent");
    full.type_keys(b"alice*It was Zoe\r/veil off\r");
    full.wait_until_seen("not sent; Up brings it back");
    full.wait_until_seen("the veil is off");
    full.type_keys(b"\x1b[A");
    typed_is(&full, "> /veil off");
    full.type_keys(b"\x15");
    full.type_line("/quit");
    assert_eq!(full.wait(), Some(0));
    let mut line = scene.at_terminal("carol");
    line.types("/veil on", "carol ~#lobby>");
    line.type_keys(b"carol*It was Tom\rbob*two\r");
    bob.stdout.wait_for_part("~ carol → you: two");
    line.type_line("/quit");
    assert_eq!(line.wait(), Some(0));
    let heard = bob.finish().stdout;
    assert!(!heard.contains("It was"), "{heard}");
}

/// Goal: what was typed under the veil does not stand there without it, and what was begun is there again with it, also where
/// an older line is looked at meanwhile. (The build before put it back without the veil, and Enter said it in clear; or Down
/// did.)
#[test]
fn what_was_begun_under_the_veil_waits_for_it() {
    let scene = Scene::empty();
    let mut full = scene.at_full_screen("alice", (200, 40));
    full.type_line("/create plans");
    full.wait_until_seen("▸3 #plans");
    for (keys, seen) in [(&b""[..], "~ It was To"), (b"\x1b[A", "~ /veil on")] {
        full.type_line("/veil on");
        full.wait_until_seen("the veil is on");
        full.type_keys(b"It was To");
        typed_is(&full, "~ It was To");
        full.type_keys(keys);
        typed_is(&full, seen);
        full.type_keys(b"\x1b2");
        full.wait_until_seen("▸2 #lobby");
        full.type_line("/veil off");
        full.wait_until_seen("the veil is off");
        full.type_keys(b"\x1b3");
        full.wait_until_seen("after /veil on, Up brings it back");
        full.type_keys(b"\x1b[B");
        full.wait_for_picture("nothing to be typed", is_empty);
        full.type_line("/veil on");
        full.wait_until_seen("what you had begun here waits; Up brings it back");
        full.wait_for_picture("nothing to be typed", is_empty_under_the_veil);
        full.type_keys(b"\x1b[A");
        typed_is(&full, "~ It was To");
        full.type_keys(b"\x15");
        full.type_line("/veil off");
        full.wait_for_picture("nothing to be typed", is_empty);
        full.type_line("/clear");
    }
    full.type_line("/quit");
    assert_eq!(full.wait(), Some(0));
}

/// Goal: a line is what was typed of it, whatever was begun where it is read: keys that were typed ahead of `/veil on`, or of
/// an arrival, stand behind nothing. (The build before sent `It was Tobob*yes` to the room.)
#[test]
fn what_was_begun_stands_before_no_keys_typed_ahead() {
    let (scene, [bob]) = Scene::with(["bob"]);
    let mut full = scene.at_full_screen("alice", (200, 40));
    full.type_line("/create plans");
    full.wait_until_seen("▸3 #plans");
    full.type_line("/veil on");
    full.wait_until_seen("the veil is on");
    full.type_keys(b"It was To");
    typed_is(&full, "~ It was To");
    full.type_keys(b"\x1b2");
    full.wait_until_seen("▸2 #lobby");
    full.type_keys(b"/join plans\rbob*one\r");
    bob.stdout.wait_for_part("~ alice → you: one");
    full.type_line("/veil off");
    full.wait_until_seen("after /veil on, Up brings it back");
    full.type_keys(b"/veil on\rbob*yes\r");
    bob.stdout.wait_for_part("~ alice → you: yes");
    // It is not lost, and a key that opens its conversation puts it where one types.
    full.type_keys(b"\x1b2");
    full.wait_until_seen("▸2 #lobby");
    full.type_keys(b"\x1b3");
    full.wait_until_seen("▸3 #plans");
    typed_is(&full, "~ It was To");
    full.type_keys(b"\x15");
    full.type_line("/quit");
    assert_eq!(full.wait(), Some(0));
    let heard = bob.finish().stdout;
    assert!(!heard.contains("It was"), "{heard}");
}

/// Goal: what was refused in one conversation comes back in no other one.
#[test]
fn what_was_refused_under_the_veil_comes_back_in_its_conversation() {
    let scene = Scene::empty();
    let mut full = scene.at_full_screen("alice", (200, 40));
    full.type_line("/create plans");
    full.wait_until_seen("▸3 #plans");
    full.type_line("/veil on");
    full.wait_until_seen("the veil is on");
    full.type_line("alice*It was Zoe");
    full.wait_until_seen("not sent; Up brings it back");
    full.type_keys(b"\x1b2");
    full.wait_until_seen("▸2 #lobby");
    full.type_keys(b"\x1b[A");
    typed_is(&full, "~ /create plans");
    full.type_keys(b"\x15\x1b3");
    full.wait_until_seen("▸3 #plans");
    typed_is(&full, "~ alice*It was Zoe");
    full.type_keys(b"\x15");
    full.type_line("/quit");
    assert_eq!(full.wait(), Some(0));
}

/// Goal: what was begun in a room under the veil is not to be had in the lobby by whoever is put out meanwhile. (The build
/// before put it back there, and Enter said it to the lobby.)
#[test]
fn what_was_begun_under_the_veil_in_a_room_is_not_put_back_elsewhere() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let mut alice = scene.at_terminal("alice");
    types(&mut bob, "/create ops", "you are in #ops");
    alice.types("/veil on", "alice ~#lobby> ");
    alice.types("/join ops", "alice ~#ops> ");
    bob.stdout.wait_for_part("[alice] joined #ops");
    alice.type_keys(b"It was Zoe");
    alice.wait_for("It was Zoe");
    bob.type_line("/kick alice");
    alice.wait_for("what you type goes to #lobby");
    alice.types("", "so this was not sent: ~ It was Zoe");
    alice.wait_for("alice ~#lobby> ");
    alice.type_keys(b"\x1b[A");
    typed_is(&alice, "alice ~#lobby> /join ops");
    alice.type_keys(b"\x15");
    // What is for somebody was not meant for a room, and is kept.
    alice.types("/join ops", "alice ~#ops> ");
    bob.stdout.wait_for_count(2, |line| line.contains("[alice] joined #ops"));
    bob.type_line("/kick alice");
    alice.wait_for("…ce ~#lobby>");
    alice.types("alice*It was Tom", "not sent; Up brings it back");
    alice.wait_for("alice ~#lobby> ");
    alice.type_keys(b"\x1b[A");
    typed_is(&alice, "alice ~#lobby> alice*It was Tom");
    alice.type_keys(b"\x15");
    alice.type_line("/quit");
    assert_eq!(alice.wait(), Some(0));
}

/// Goal: what a program that cannot go on has not sent is not shown where it may hold a password, or was typed under the veil.
/// (The build before wrote both in clear into what the terminal keeps.)
#[test]
fn what_was_covered_is_not_among_the_last_words() {
    for (veil, typed) in [("/veil on", "It was Zoe"), ("/veil off", "/password hunter2")] {
        let scene = Scene::empty();
        let alice = scene.client("alice");
        alice.run(&["users"]).assert_code(0);
        let second = scene.client("alice").with_home(scene.rig.path("second"));
        let mut full = second.at_full_screen((120, 30), "");
        full.wait_until_seen("connected to");
        full.type_line(veil);
        full.wait_until_seen("the veil is o");
        full.type_keys(typed.as_bytes());
        full.wait_until_seen(typed);
        alice.run_known(&["account", "delete", "alice"]).assert_code(0);
        assert_eq!(full.wait(), Some(4));
        let text = full.text();
        let (_, behind) = text.rsplit_once("\u{1b}[?1049l").unwrap();
        assert!(behind.contains("✗ this was not sent: …"), "{behind}");
        assert!(!behind.contains(typed), "{behind}");
    }
}

/// Whether nothing is typed.
pub(super) fn is_empty(picture: &str) -> bool {
    picture.lines().any(|row| row.starts_with("> a message, or"))
}

/// The same under the veil.
fn is_empty_under_the_veil(picture: &str) -> bool {
    picture.lines().any(|row| row.starts_with("~ a message, or"))
}

/// Waits until this stands in the row where one types, which is the last one that begins so.
#[track_caller]
pub(super) fn typed_is(chat: &Terminal, row: &str) {
    let begins = row.split('/').next().unwrap_or_default();
    chat.wait_for_picture(row, |picture| {
        let typed = picture.lines().rfind(|one| one.starts_with(begins));
        typed.is_some_and(|typed| typed.trim_end() == row)
    });
}
