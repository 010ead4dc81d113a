//! Messages between people, in line mode and from scripts.

use chat_tests::{House, Program, Scene, at_one_and_over_two};

at_one_and_over_two! {
    a_text_reaches_everybody_in_the_lobby,
    a_direct_message_reaches_only_whom_it_names,
    what_is_sent_to_somebody_away_arrives_in_order_at_return_and_the_sender_gets_receipts,
    receipts_that_come_while_the_sender_is_away_are_shown_later,
}

fn a_text_reaches_everybody_in_the_lobby(server: &House) {
    let rig = &server.rig;
    let people: Vec<Program> =
        ["bob", "carol"].map(|name| rig.client(name, server.url()).chat()).into();
    let sent = rig.client("alice", server.url()).pipe(&["hello, pier"], &[]).expect_code(0);
    assert!(sent.stdout.contains('✓'), "{sent:?}");
    for person in &people {
        person.stdout.wait_for_part("#lobby alice: hello, pier");
    }
}

fn a_direct_message_reaches_only_whom_it_names(server: &House) {
    let rig = &server.rig;
    let bob = rig.client("bob", server.url()).chat();
    let carol = rig.client("carol", server.url()).chat();
    let lines = ["bob*star 2*3", "/msg bob slash", "DM bob capitals", "ALL*to all", "PM room"];
    rig.client("alice", server.url()).pipe(&lines, &[]).assert_code(0);
    for text in ["star 2*3", "slash", "capitals"] {
        bob.stdout.wait_for_part(&format!("alice → you: {text}"));
    }
    for person in [&bob, &carol] {
        person.stdout.wait_for_part("alice → ALL: to all");
        person.stdout.wait_for_part("#lobby alice: room");
    }
    let carol = carol.finish().expect_code(0);
    for text in ["star", "slash", "capitals"] {
        assert!(!carol.stdout.contains(text), "{carol:?}");
    }
}

fn what_is_sent_to_somebody_away_arrives_in_order_at_return_and_the_sender_gets_receipts(
    server: &House,
) {
    let rig = &server.rig;
    let alice = rig.client("alice", server.url());
    let bob = rig.client("bob", server.url());
    bob.run(&["users"]).assert_code(0);
    let mut chat = alice.chat();
    let texts: Vec<String> = (1..=12).map(|number| format!("number {number}")).collect();
    for text in &texts {
        chat.type_line(&format!("bob*{text}"));
    }
    chat.stdout.wait_for_count(12, |line| line.contains("kept for bob"));
    let received = bob.run(&["listen", "--count", "12", "--for", "30s", "--json"]).expect_code(0);
    assert_eq!(received.texts(), texts);
    chat.stdout.wait_for_count(12, |line| line.contains("✓✓ delivered to bob"));
    let again = bob.run(&["listen", "--for", "300ms", "--json"]).expect_code(0);
    assert_eq!(again.texts(), Vec::<String>::new(), "shown twice");
}

fn receipts_that_come_while_the_sender_is_away_are_shown_later(server: &House) {
    let rig = &server.rig;
    let alice = rig.client("alice", server.url());
    let bob = rig.client("bob", server.url());
    bob.run(&["users"]).assert_code(0);
    let sent = alice.run(&["send", "bob", "one", "--json"]).expect_code(0);
    let stored = sent.events_named("ack").remove(0);
    assert_eq!((&stored["stage"], &stored["kept"]), (&"stored".into(), &true.into()));
    let received = bob.run(&["listen", "--count", "1", "--for", "30s", "--json"]).expect_code(0);
    assert_eq!(received.texts(), ["one"]);
    let receipts = alice.run(&["listen", "--for", "500ms", "--json"]).expect_code(0);
    let delivered = receipts.events_named("ack").remove(0);
    assert_eq!(delivered["id"], stored["id"]);
    assert_eq!((&delivered["stage"], &delivered["by"]), (&"delivered".into(), &"bob".into()));
}

#[test]
fn an_unknown_slash_word_is_a_local_error_with_a_suggestion() {
    let scene = Scene::empty();
    let bob = scene.client("bob").chat();
    let lines = ["/hlep me", "//half a slash", "the end"];
    let alice = scene.client("alice").pipe(&lines, &[]).expect_code(1);
    assert!((alice.stdout + &alice.stderr).contains("did you mean /help?"));
    bob.stdout.wait_for_part("alice: /half a slash");
    bob.stdout.wait_for_part("alice: the end");
    let bob = bob.finish().expect_code(0);
    assert!(!bob.stdout.contains("hlep"), "{bob:?}");
}

#[test]
fn a_message_to_nobody_is_refused_and_the_end_of_input_still_ends_well() {
    let scene = Scene::empty();
    let alice = scene.client("alice");
    let chat = alice.pipe(&["nemo*where are you"], &["--json"]).expect_code(6);
    let refused = chat.events_named("noack").remove(0);
    assert_eq!(refused["code"], "E_NO_SUCH_USER");
    let one_shot = alice.run(&["send", "nemo", "where are you"]).expect_code(6);
    assert!(one_shot.stderr.contains("nemo"), "{one_shot:?}");
}

#[test]
fn who_comes_and_goes_is_shown() {
    let scene = Scene::empty();
    let alice = scene.client("alice").chat();
    let bob = scene.client("bob").chat();
    alice.stdout.wait_for_part("[bob] just joined the server");
    scene.server.program().stdout.wait_for_part("[bob] just joined the chat");
    bob.finish().assert_code(0);
    alice.stdout.wait_for_part("[bob] just left the server");
    scene.server.program().stdout.wait_for_part("[bob] just left the chat");
}

#[test]
fn the_end_of_input_waits_for_every_answer() {
    let scene = Scene::empty();
    let lines: Vec<String> = (1..=40).map(|number| format!("line {number}")).collect();
    let mut lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    lines.extend(["/run server -- uname", "/run server -- false"]);
    let alice = scene.client("alice").pipe(&lines, &["--json"]).expect_code(6);
    let is_stage = |event: &&serde_json::Value, stage: &str| event["stage"] == stage;
    let acks = alice.events_named("ack");
    assert_eq!(acks.iter().filter(|ack| is_stage(ack, "stored")).count(), 42);
    assert_eq!(acks.iter().filter(|ack| is_stage(ack, "executed")).count(), 1);
    assert_eq!(alice.events_named("noack").len(), 1);
}

#[test]
fn quit_leaves_at_once_after_the_answers() {
    let scene = Scene::empty();
    for word in ["/quit", "EX", "/ex"] {
        let mut alice = scene.client("alice").chat();
        alice.type_line("bye");
        alice.type_line(word);
        let ended = alice.wait().expect_code(0);
        assert!(ended.stdout.contains("✓ stored"), "{word}: {ended:?}");
    }
}

#[test]
fn escape_sequences_of_others_do_nothing_to_my_terminal() {
    let scene = Scene::empty();
    let bob = scene.client("bob");
    bob.run(&["users"]).assert_code(0);
    let evil = "wipe \u{1b}[2J title \u{1b}]0;owned\u{7} c1 \u{9b}31m back\rwards \u{202e}txt.exe";
    let alice = scene.client("alice");
    alice.run(&["send", "bob", evil]).assert_code(0);
    let bob = bob.run(&["listen", "--count", "1", "--for", "30s"]).expect_code(0);
    assert!(bob.stdout.contains("wipe") && bob.stdout.contains("txt.exe"), "{bob:?}");
    let is_harmful = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!bob.stdout.contains(is_harmful), "{bob:?}");
}

#[test]
fn a_text_from_standard_input_keeps_its_lines() {
    let scene = Scene::empty();
    let bob = scene.client("bob");
    bob.run(&["users"]).assert_code(0);
    let mut send = scene.client("alice").start(&["send", "bob", "-"]);
    send.type_line("first");
    send.type_line("second");
    send.finish().assert_code(0);
    let received = bob.run(&["listen", "--count", "1", "--for", "30s", "--json"]).expect_code(0);
    assert_eq!(received.texts().remove(0).trim_end(), "first\nsecond");
}
