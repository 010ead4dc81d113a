//! Words go where they were meant to go, or nowhere: of two readings of a line the one that tells fewer
//! people.

use std::fs::File;
use std::io::Write as _;
use std::process::Stdio;

use chat_tests::{Finished, PASSWORD, Program, Scene, types};

/// What everybody in the lobby has seen once they are told to stop.
fn seen(watcher: Program) -> Finished {
    watcher.stdout.wait_for_part("alice: the end");
    watcher.finish()
}

#[test]
fn what_nobody_sees_before_a_name_does_not_make_a_private_line_public() {
    let (scene, [bob, carol]) = Scene::with(["bob", "carol"]);
    let lines = [
        "\u{feff}bob*secret one",
        "\u{200b}bob*secret two",
        "\u{2060}/msg bob secret three",
        "the end",
    ];
    scene.client("alice").pipe(&lines, &[]).assert_code(0);
    for number in ["one", "two", "three"] {
        bob.stdout.wait_for_part(&format!("alice → you: secret {number}"));
    }
    let carol = seen(carol).expect_code(0);
    assert!(!carol.stdout.contains("secret"), "{carol:?}");

    let hidden = ["bo\u{200b}b*secret", "bob\u{ff0a}secret", "\u{ff0f}msg bob secret"];
    for line in hidden {
        let refused = scene.client("alice").pipe(&[line], &[]).expect_code(1);
        assert!(refused.stdout.contains("nothing was sent"), "{line:?} {refused:?}");
    }
    let mut send = scene.client("alice").start(&["send", "bob", "-"]);
    send.type_line("\u{feff}from a file");
    send.finish().assert_code(0);
    bob.stdout.wait_for_part("alice → you: from a file");
}

#[test]
fn what_seems_to_be_for_one_person_is_not_said_to_all() {
    let (scene, [bob, carol]) = Scene::with(["bob", "carol"]);
    let lines = [
        "/pm bob my salary",
        "PM bob my salary",
        "@Bob my salary",
        "dm bob my salary",
        "!msg bob my salary",
        " /msg bob my salary",
        "bob, carol*my salary",
        "?",
        "bob: hey",
        "@nobody hi",
        "PM hello all of you",
        "the end",
    ];
    let alice = scene.client("alice").pipe(&lines, &[]).expect_code(1);
    let told = alice.stdout.matches("To write to bob alone: bob*TEXT").count();
    assert_eq!(told, 6, "{alice:?}");
    let each = "To write to each of them: bob*TEXT, then carol*TEXT";
    assert!(alice.stdout.contains(each), "{alice:?}");
    let carol = seen(carol).expect_code(0);
    assert!(!carol.stdout.contains("salary"), "{carol:?}");
    for text in ["alice: ?", "alice: bob: hey", "alice: @nobody hi", "alice: hello all of you"] {
        assert!(carol.stdout.contains(text), "{text}: {carol:?}");
    }
    assert!(!bob.finish().stdout.contains("salary"));
}

#[test]
fn what_follows_a_refused_room_is_said_nowhere() {
    let (scene, [carol]) = Scene::with(["carol"]);
    scene.client("bob").pipe(&["/create crew private"], &[]).assert_code(0);
    let alice = scene.client("alice");
    for (command, code) in [("/room crew", 1), ("/join crew", 6), ("/leave crew", 6)] {
        let lines = [command, "for the crew only", "carol*still here"];
        let ended = alice.pipe(&lines, &[]).expect_code(code);
        assert!(ended.stdout.contains("you are in no room, so nothing was sent"), "{ended:?}");
        carol.stdout.wait_for_part("alice → you: still here");
    }
    let stopped = alice.pipe(&["/room crew", "carol*not sent"], &["--stop-on-error"]);
    stopped.assert_code(1);
    let stopped = alice.pipe(&["nobody*hi", "carol*not sent"], &["--stop-on-error"]);
    stopped.assert_code(6);
    alice.pipe(&["/join ops", "in ops", "/room lobby", "the end"], &[]).assert_code(0);
    let carol = seen(carol);
    assert!(!carol.stdout.contains("crew only") && !carol.stdout.contains("in ops"), "{carol:?}");
    assert!(!carol.stdout.contains("not sent"), "{carol:?}");
}

#[test]
fn who_is_put_out_or_leaves_is_told_where_text_goes() {
    let (scene, [mut alice, mut bob]) = Scene::with(["alice", "bob"]);
    types(&mut alice, "/create ops", "you are in #ops");
    types(&mut bob, "/join ops", "you are in #ops");
    alice.stdout.wait_for_part("[bob] joined #ops");
    types(&mut alice, "/kick bob", "removed bob from #ops");
    bob.stdout.wait_for_part("· you are in no room");
    types(&mut bob, "for ops", "you are not in #ops any more, so this was not sent: for ops");
    types(&mut bob, "/room lobby", "· what you type goes to #lobby");
    types(&mut bob, "/leave", "· you are in no room");
    types(&mut bob, "hello", "✗ you are in no room, so nothing was sent");
    bob.finish().assert_code(1);
    let mut again = scene.client("bob").at_terminal(&[]);
    again.answer("Password", PASSWORD);
    again.wait_for("you are in no room");
    again.types("/join lobby", "you are in #lobby");
    again.wait_for("bob #lobby>");
    again.type_line("/quit");
    assert_eq!(again.wait(), Some(0));
}

#[test]
fn a_name_in_another_case_is_the_same_person() {
    let (scene, [bob]) = Scene::with(["bob"]);
    let alice = scene.client("alice");
    alice.pipe(&["Bob*from a line", "/msg BOB from a command"], &[]).assert_code(0);
    alice.run(&["send", "BOB", "from a program"]).assert_code(0);
    let shouted = scene.client("ALICE").with_home(alice.home());
    shouted.run(&["send", "bob", "under her own name"]).assert_code(0);
    for text in ["from a line", "from a command", "from a program", "under her own name"] {
        bob.stdout.wait_for_part(&format!("alice → you: {text}"));
    }
}

#[test]
fn a_name_that_looks_like_another_one_is_marked_when_it_is_met() {
    let scene = Scene::empty();
    scene.accounts(&["laura", "rnia", "mia"]);
    let mut bob = scene.person("bob");
    types(&mut bob, "/users", "server ");
    scene.client("Iaura").run(&["send", "bob", "hi"]).assert_code(0);
    bob.stdout.wait_for_part("! Iaura is not laura");
    scene.client("rnia").run(&["send", "bob", "hi"]).assert_code(0);
    bob.stdout.wait_for_part("! rnia is not mia");
}

#[test]
fn a_room_that_is_made_is_said_to_be_made_and_a_slip_of_the_fingers_is_asked_about() {
    let scene = Scene::empty();
    let bob = scene.client("bob");
    let made = bob.pipe(&["/join crew"], &[]).expect_code(0);
    assert!(made.stdout.contains("· made #crew\n"), "{made:?}");
    let joined = scene.client("alice").pipe(&["/join crew"], &[]).expect_code(0);
    assert!(joined.stdout.contains("you are in #crew"), "{joined:?}");
    assert!(!joined.stdout.contains("made #crew"), "{joined:?}");
    let mut chat = bob.at_terminal(&[]);
    chat.answer("Password", PASSWORD);
    chat.wait_for("connected to");
    chat.types("/join crew2", "There is no #crew2, but a #crew");
    chat.types("", "#crew2 is not made");
    chat.types("/join crew2", "make #crew2? ");
    chat.types("yes", "· made #crew2");
    chat.wait_for("bob #crew2>");
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
}

#[test]
fn a_line_that_is_no_text_is_refused_with_its_number_and_the_others_go_on() {
    let (scene, [bob]) = Scene::with(["bob"]);
    let mut alice = scene.client("alice").start(&[]);
    alice.type_bytes(b"line one\nl\xffne two\nline three\nthe end\n");
    let alice = alice.finish().expect_code(1);
    assert!(alice.stdout.contains("line 2 is not UTF-8"), "{alice:?}");
    let bob = seen(bob).expect_code(0);
    for text in ["line one", "line three"] {
        assert_eq!(bob.stdout.matches(text).count(), 1, "{bob:?}");
    }
}

#[test]
fn an_output_that_takes_nothing_changes_nothing_about_what_is_sent() {
    let (scene, [bob]) = Scene::with(["bob"]);
    let alice = scene.client("alice");
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let mut command = alice.plain(&["send", "bob", "stored"]);
    let sent = command.stdout(full()).stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8_lossy(&sent.stderr).into_owned();
    assert_eq!(sent.status.code(), Some(0), "{told}");
    assert!(told.contains("sent, but"), "{told}");
    bob.stdout.wait_for_part("alice → you: stored");
    let mut pipe = alice.plain(&[]);
    let mut pipe =
        pipe.stdout(full()).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = pipe.stdin.take().unwrap();
    for number in 0..100 {
        writeln!(lines, "number {number}").unwrap();
    }
    writeln!(lines, "the end").unwrap();
    drop(lines);
    let ended = pipe.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let bob = seen(bob);
    assert_eq!(bob.stdout.matches("number ").count(), 100, "{bob:?}");
}

#[test]
fn commands_that_end_by_themselves_are_no_arrivals_and_presence_can_be_set() {
    let (scene, [bob]) = Scene::with(["bob"]);
    let carol = scene.client("carol");
    for arguments in [&["users"][..], &["rooms"], &["send", "bob", "hi"], &["find", "x"]] {
        carol.run(arguments).assert_code(0);
    }
    let mut dave = scene.client("dave").start(&["--presence", "followed"]);
    dave.stdout.wait_for_part("you are in #lobby");
    bob.stdout.wait_for_part("[dave] just joined the server");
    let erin = scene.person("erin");
    bob.stdout.wait_for_part("[erin] just joined the server");
    erin.finish().assert_code(0);
    bob.stdout.wait_for_part("[erin] just left the server");
    types(&mut dave, "/set presence all", "· presence = all");
    let frank = scene.person("frank");
    dave.stdout.wait_for_part("[frank] just joined the server");
    drop(frank);
    let dave = dave.finish().expect_code(0);
    assert!(!dave.stdout.contains("[erin] just joined"), "{dave:?}");
    let bob = bob.finish().expect_code(0);
    assert!(!bob.stdout.contains("[carol] just"), "{bob:?}");
    let console = scene.server.program().stdout.text();
    assert!(!console.contains("[carol] just"), "{console}");
}
