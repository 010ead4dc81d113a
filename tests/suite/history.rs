//! What was said is kept in the home: once, in order, sealed, and with proof.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chat_tests::{Client, Dice, Finished, Program, Rig, Scene, types};
use serde_json::Value;

/// How often the listening client is killed.
const KILLS: usize = 20;

/// Messages between two kills.
const PER_KILL: usize = 5;

/// Enough room for everything that a scenario says.
const ALL: &str = "1000";

/// Texts of the history, as a list.
fn texts(finished: &Finished) -> Vec<String> {
    let entries = finished.events_named("history").into_iter();
    entries.map(|entry| entry["text"].as_str().unwrap().to_owned()).collect()
}

fn history(client: &Client, place: &str) -> Finished {
    client.run_known(&["history", place, "--count", ALL, "--json"]).expect_code(0)
}

#[test]
fn a_listener_that_is_killed_again_and_again_keeps_each_message_once_and_in_order() {
    let scene = Scene::empty();
    let bob = scene.client("bob");
    bob.run(&["users"]).assert_code(0);
    let mut alice = scene.client("alice").chat();
    let (mut dice, mut sent, mut shown) = (Dice::new("CHAT_HISTORY_SEED"), Vec::new(), Vec::new());
    for _ in 0..KILLS {
        let mut listener = bob.start(&["listen", "--json"]);
        for _ in 0..PER_KILL {
            let text = format!("number {}", sent.len());
            alice.type_line(&format!("bob*{text}"));
            sent.push(text);
        }
        let count = 1 + dice.below(PER_KILL);
        listener.stdout.wait_for_count(count, |line| line.contains("\"message\""));
        listener.kill_hard();
        shown.extend(whole_messages(&listener));
    }
    alice.type_line("bob*the end");
    sent.push("the end".to_owned());
    let last = bob.start(&["--json"]);
    last.stdout.wait_for_part("the end");
    shown.extend(last.finish().expect_code(0).texts());
    assert_eq!(texts(&history(&bob, "alice")), sent, "each once, in order");
    for text in &sent {
        assert!(shown.contains(text), "{text} was never shown");
    }
    let own = history(&scene.client("alice"), "bob");
    assert_eq!(texts(&own), sent);
}

/// The messages on standard output; a line that the kill has cut is none.
fn whole_messages(program: &Program) -> Vec<String> {
    let text = program.stdout.text();
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events
        .filter(|event| event["event"] == "message")
        .map(|event| event["text"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn what_was_typed_without_a_connection_survives_a_kill_and_is_sent_once() {
    let mut scene = Scene::empty();
    let bob = scene.client("bob");
    bob.run(&["users"]).assert_code(0);
    let alice = scene.client("alice");
    // The key of bob is known before the server goes.
    alice.run(&["send", "bob", "hello"]).assert_code(0);
    let mut chat = alice.chat();
    scene.server.kill_hard();
    chat.stdout.wait_for_part("offline");
    let mut sent: Vec<String> = (0..10).map(|number| format!("unsent {number}")).collect();
    for text in &sent {
        chat.type_line(&format!("bob*{text}"));
    }
    chat.type_line("/pending");
    chat.stdout.wait_for_count(10, |line| line.contains("the talk between alice and bob"));
    chat.kill_hard();
    let kept = history(&alice, "bob");
    sent.insert(0, "hello".to_owned());
    assert_eq!(texts(&kept), sent);
    let states: Vec<Value> = kept.events().iter().map(|entry| entry["state"].clone()).collect();
    assert_eq!(states[0], "kept");
    assert!(states[1..].iter().all(|state| state == "queued"), "{states:?}");
    scene.server.restart(&scene.rig, &[]);
    alice.pipe(&[], &[]).assert_code(0);
    let received = bob.run(&["listen", "--count", "11", "--for", "30s", "--json"]).expect_code(0);
    assert_eq!(received.texts(), sent);
    assert_eq!(texts(&history(&alice, "bob")), sent, "not written again");
    let again = bob.run(&["listen", "--for", "300ms", "--json"]).expect_code(0);
    assert_eq!(again.texts(), Vec::<String>::new());
}

#[test]
fn words_are_found_in_all_conversations_without_a_server() {
    let rig = Rig::new();
    let server = rig.server();
    let bob = rig.client("bob", server.url());
    bob.run(&["users"]).assert_code(0);
    let alice = rig.client("alice", server.url());
    let lines = ["bob*Lunch on Friday", "the lunch is ready", "bob*dinner on friday"];
    alice.pipe(&lines, &[]).assert_code(0);
    bob.run(&["listen", "--count", "3", "--for", "30s"]).assert_code(0);
    drop(server);
    for person in [&alice, &bob] {
        let find = |words: &[&str]| {
            let all: Vec<&str> = ["search", "--json"].iter().chain(words).copied().collect();
            texts(&person.run_known(&all).expect_code(0))
        };
        assert_eq!(find(&["LUNCH"]).len(), 2);
        assert_eq!(find(&["friday", "lunch"]), ["Lunch on Friday"]);
        assert_eq!(find(&["breakfast"]), Vec::<String>::new());
    }
    let lobby = alice.run_known(&["history"]).expect_code(0);
    assert!(lobby.stdout.contains("#lobby you: the lunch is ready"), "{lobby:?}");
    let nobody = rig.client("carol", "ws://127.0.0.1:9").run_known(&["history"]);
    nobody.assert_code(1);
    assert!(nobody.stderr.contains("sign in there first"), "{nobody:?}");
}

#[test]
fn the_chat_shows_what_was_said_and_who_has_it() {
    let scene = Scene::empty();
    let bob = scene.client("bob");
    bob.run(&["users"]).assert_code(0);
    let alice = scene.client("alice");
    alice.pipe(&["bob*one", "bob*two", "bob*three"], &[]).assert_code(0);
    bob.run(&["listen", "--count", "3", "--for", "30s"]).assert_code(0);
    let mut chat = alice.chat();
    chat.stdout.wait_for_count(3, |line| line.contains("delivered to bob"));
    types(&mut chat, "/history bob 1", "you → bob: three  ✓✓ delivered to bob");
    types(&mut chat, "/history more", "you → bob: two  ✓✓ delivered to bob");
    types(&mut chat, "/search ONE", "1 of 3 messages fit");
    types(&mut chat, "/receipts", "  delivered to bob");
    chat.finish().assert_code(0);
}

/// A message from alice that bob has confirmed, and its id.
fn confirmed(alice: &Client, bob: &Client) -> String {
    bob.run(&["users"]).assert_code(0);
    alice.run(&["send", "bob", "I owe you ten"]).assert_code(0);
    bob.run(&["listen", "--count", "1", "--for", "30s"]).assert_code(0);
    alice.start(&["listen", "--json"]).stdout.wait_for_part("delivered");
    let entry = history(alice, "bob").events_named("history").remove(0);
    assert_eq!(entry["state"], "delivered", "{entry}");
    entry["id"].as_str().unwrap().to_owned()
}

fn fingerprint(client: &Client) -> String {
    let said = client.pipe(&["/fingerprint"], &["--json"]).expect_code(0);
    said.events_named("fingerprint")[0]["fingerprint"].as_str().unwrap().to_owned()
}

#[test]
fn a_receipt_is_proven_without_a_connection_and_on_a_machine_without_a_home() {
    let rig = Rig::new();
    let server = rig.server();
    let (alice, bob) = (rig.client("alice", server.url()), rig.client("bob", server.url()));
    let id = confirmed(&alice, &bob);
    let keys = [fingerprint(&alice), fingerprint(&bob)];
    drop(server);
    let shown = alice.run_known(&["proof", &id]).expect_code(0);
    assert!(shown.stdout.contains("bob received it"), "{shown:?}");
    assert!(shown.stdout.contains(&format!("verified, key {}", keys[1])), "{shown:?}");
    let check = |proof: &Value, text: &Value| {
        assert_eq!((&proof["verified"], &proof["text"]), (&true.into(), text));
        assert_eq!(proof["signature"]["fingerprint"], keys[0]);
    };
    let proof = alice.run_known(&["proof", &id, "--json"]).expect_code(0).events().remove(0);
    check(&proof, &"I owe you ten".into());
    assert_eq!(proof["receipts"][0]["by"], "bob");
    assert_eq!(proof["receipts"][0]["fingerprint"], keys[1]);
    let received = bob.run_known(&["proof", &id, "--json"]).expect_code(0).events().remove(0);
    check(&received, &"I owe you ten".into());
    let stranger = rig.client("nobody", "ws://127.0.0.1:9");
    for (arguments, text) in [(&[][..], Value::Null), (&["--with-text"], "I owe you ten".into())] {
        let path = rig.path("proof.json").display().to_string();
        let all: Vec<&str> =
            ["proof", &id, "--export", &path].iter().chain(arguments).copied().collect();
        alice.run_known(&all).assert_code(0);
        let proof = stranger.run_known(&["proof", "--verify", &path, "--json"]).expect_code(0);
        let proof = proof.events().remove(0);
        check(&proof, &text);
        assert_eq!(proof["receipts"][0]["fingerprint"], keys[1]);
    }
}

#[test]
fn a_changed_byte_of_a_proof_is_found() {
    let scene = Scene::empty();
    let (alice, bob) = (scene.client("alice"), scene.client("bob"));
    let id = confirmed(&alice, &bob);
    let path = scene.rig.path("proof.json").display().to_string();
    alice.run_known(&["proof", &id, "--export", &path, "--with-text"]).assert_code(0);
    let bytes = std::fs::read(&path).unwrap();
    let stranger = scene.rig.client("nobody", "ws://127.0.0.1:9");
    let mut dice = Dice::new("CHAT_HISTORY_SEED");
    for _ in 0..12 {
        let mut changed = bytes.clone();
        let at = dice.below(changed.len());
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        let path = scene.rig.write("changed.json", &changed).display().to_string();
        let checked = stranger.run_known(&["proof", "--verify", &path]);
        assert_eq!(checked.code, Some(7), "byte {at}: {checked:?}");
    }
    let unknown = "AZq3x9f2cdeabcdefghijk".replace('k', "g");
    let missing = alice.run_known(&["proof", &unknown]).expect_code(1);
    assert!(missing.stderr.contains("no message of this home"), "{missing:?}");
    alice.run_known(&["proof", "short"]).assert_code(2);
}

#[test]
fn the_files_of_a_home_hold_no_text_even_after_a_kill() {
    let scene = Scene::empty();
    let (alice, bob) = (scene.client("alice"), scene.client("bob"));
    let text = "the combination is forty-two seventeen";
    bob.run(&["users"]).assert_code(0);
    let mut chat = alice.chat();
    let mut listener = bob.start(&["listen", "--json"]);
    chat.type_line(&format!("bob*{text}"));
    listener.stdout.wait_for_part(text);
    chat.stdout.wait_for_part("delivered to bob");
    types(&mut chat, "/search combination", "1 of 1 message fits");
    chat.kill_hard();
    listener.kill_hard();
    for person in [&alice, &bob] {
        let bytes = all_files(person.home());
        assert!(bytes.len() > 4096);
        let mut forms = vec![text.as_bytes().to_vec()];
        // Base64 looks different for each place of the text in its group of three bytes.
        forms.extend((0..3).map(|skipped| {
            let encoded = STANDARD_NO_PAD.encode(&text.as_bytes()[skipped..]);
            encoded.into_bytes()[..24].to_vec()
        }));
        for form in forms {
            assert!(!bytes.windows(form.len()).any(|part| part == form), "{form:?}");
        }
    }
}

fn all_files(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let part = if path.is_dir() { all_files(&path) } else { std::fs::read(&path).unwrap() };
        bytes.extend(part);
    }
    bytes
}

/// Messages that wait for a client that comes back, in the measurement.
const WAITING: u32 = 20_000;

#[test]
#[ignore = "a measurement: run it alone, with --ignored --nocapture"]
fn a_returning_client_drains_what_waited() {
    let scene = Scene::empty();
    let bob = scene.client("bob");
    bob.run(&["users"]).assert_code(0);
    let lines: Vec<String> = (0..WAITING).map(|number| format!("bob*number {number}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let alice = scene.client("alice");
    let rate = |since: std::time::Instant| {
        let seconds = since.elapsed().as_secs_f64();
        format!("{WAITING} in {seconds:.1} s, {:.0} a second", f64::from(WAITING) / seconds)
    };
    let since = std::time::Instant::now();
    alice.pipe(&lines, &["--json"]).assert_code(0);
    println!("sent: {}", rate(since));
    let count = WAITING.to_string();
    let since = std::time::Instant::now();
    let listen = ["listen", "--count", &count, "--for", "60s", "--json"];
    let received = bob.run(&listen).expect_code(0);
    println!("drained: {}", rate(since));
    assert_eq!(u32::try_from(received.texts().len()).unwrap(), WAITING);
    let since = std::time::Instant::now();
    bob.run_known(&["search", "number", "19999"]).assert_code(0);
    println!("searched: {}", rate(since));
}
