//! An answer of which nothing comes under the veil: it is shown once, and as covered as it was meant.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chat_evil_hub::read;
use chat_protocol::header::Header;
use chat_protocol::tag::Tag;
use chat_testkit::middle::{Message, Passing, Way};
use chat_tests::{Proxy, Scene, types};
use serde_json::json;

use super::veil::{is_empty, typed_is};

/// Columns and rows: what is looked for stands in one row.
const WIDE: (u16, u16) = (120, 40);

/// Goal: at a prompt an answer that is refused under the veil has its mark where it is shown, whatever refuses it, and no key
/// brings it back: nothing is quoted that is not there, and the room is gone.
#[test]
fn an_answer_that_is_refused_at_a_prompt_has_the_mark_of_the_veil() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let mut alice = scene.at_terminal("alice");
    bob.type_line("who was it?");
    alice.wait_for("bob: who was it?");
    alice.types("/veil on", "alice ~#lobby>");
    for line in ["/reply ^9 It was Zoe", "/reply It was Zoe"] {
        alice.types(line, &format!("this was not sent: ~ {line}"));
        alice.wait_for("alice ~#lobby> ");
        alice.type_keys(b"\x1b[A");
        typed_is(&alice, "alice ~#lobby> /veil on");
        alice.type_keys(b"\x15");
    }
    types(&mut bob, "/create ops", "you are in #ops");
    alice.types("/join ops", "alice ~#ops> ");
    bob.stdout.wait_for_part("[alice] joined #ops");
    alice.type_keys(b"/reply ^1 It was Zoe");
    alice.wait_for("/reply ^1 It was Zoe");
    bob.type_line("/kick alice");
    alice.wait_for("what you type goes to #lobby");
    alice.types("", "so this was not done: ~ /reply ^1 It was Zoe");
    alice.wait_for("alice ~#lobby> ");
    alice.type_keys(b"\x1b[A");
    typed_is(&alice, "alice ~#lobby> /join ops");
    alice.type_keys(b"\x15");
    alice.type_line("/quit");
    assert_eq!(alice.wait(), Some(0));
    let heard = bob.finish().stdout;
    assert!(!heard.contains("It was"), "{heard}");
}

/// Goal: an answer to what was said under the veil would have gone out under it, and is marked so where it is refused, also
/// where its writer has no veil on. Method: an editor writes an answer that has room in a message, and none with its quote.
#[test]
fn an_answer_that_is_refused_has_the_mark_of_what_it_quotes() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let long = "{ printf '/reply ^1 '; head -c 65530 /dev/zero | tr '\\0' x; } > \"$1\"\n";
    let editor = scene.rig.write("edit.sh", long);
    let editor = format!("sh {}", editor.display());
    let alice = scene.client("alice").with_env([("VISUAL", editor.as_str())]);
    let mut full = alice.at_full_screen(WIDE, "");
    full.wait_until_seen("connected to");
    for (veil, said, shown) in [
        ("/veil off", "who was it?", "this was not sent: /reply ^1"),
        ("/veil on", "It was Zoe", "this was not sent: ~ /reply ^1"),
    ] {
        types(&mut bob, veil, "the veil is o");
        bob.type_line(said);
        full.wait_until_seen(&format!("bob: {said}"));
        full.type_keys(b"\x0f");
        full.wait_until_seen(&"x".repeat(40));
        full.type_line("");
        full.wait_for_picture("nothing to be typed", is_empty);
        // The answer is longer than the screen.
        full.type_keys(b"\x1b[1;5H");
        full.wait_until_seen(shown);
        full.type_line("/clear");
        full.wait_until_gone(shown);
    }
    full.type_line("/quit");
    assert_eq!(full.wait(), Some(0));
}

/// Goal: what a full disk did not take of an answer to what was said under the veil is not repeated in what the terminal keeps.
#[test]
fn what_a_full_disk_did_not_take_of_an_answer_is_covered_as_what_it_quotes() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    // A program that is told of a full disk by a signal would end at once.
    let trap = ["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"];
    let mut alice = scene.client("alice").at_terminal_through(&trap);
    alice.wait_for("alice #lobby>");
    types(&mut bob, "/veil on", "the veil is on");
    types(&mut bob, "It was Zoe", "delivered to alice");
    alice.wait_for("bob: It was Zoe");
    alice.fill_disk("chat-client");
    alice.types("/reply ^1 no, it was Tom", "press Enter to leave");
    alice.type_line("");
    assert_eq!(alice.wait(), Some(70));
    let text = alice.text();
    assert!(text.contains("✗ this was not sent: …"), "{text}");
    assert!(!text.contains("this was not sent: /reply"), "{text}");
}

/// A way to the server on which the next text to a room is refused and goes nowhere, once the switch is on.
fn refusing(scene: &Scene) -> (Proxy, Arc<AtomicBool>) {
    let is_on = Arc::new(AtomicBool::new(false));
    let is_refusing = Arc::clone(&is_on);
    let middle = move |passing: Passing| match read::frame(&passing) {
        Some((Header::Message(header), _))
            if header.t == Tag::Text && is_refusing.swap(false, Ordering::SeqCst) =>
        {
            let refusal = json!({
                "tag": "NOACK", "stage": "stored", "id": header.id.to_string(),
                "code": "E_TOO_MANY", "reason": "no room for it",
            });
            vec![passing.with(Way::ToClient, Message::Text(refusal.to_string()))]
        }
        _ => vec![passing],
    };
    (Proxy::through(scene.server.address(), Box::new(middle), None), is_on)
}

/// Goal: an answer that the server refuses stands in the log with the mark of the veil and the reason, at the next start too,
/// and no key brings it back.
#[test]
fn an_answer_that_the_server_refuses_keeps_its_mark() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let (proxy, is_refusing) = refusing(&scene);
    let alice = scene.rig.client("alice", &proxy.url());
    let mut full = alice.at_full_screen(WIDE, "");
    full.wait_until_seen("connected to");
    bob.type_line("who was it?");
    full.wait_until_seen("bob: who was it?");
    full.type_line("/veil on");
    full.wait_until_seen("the veil is on");
    is_refusing.store(true, Ordering::SeqCst);
    full.type_line("/reply ^1 It was Zoe");
    full.wait_until_seen("no room for it");
    full.wait_until_seen("~ alice: > bob: who was it?");
    full.wait_for_picture("nothing to be typed", |picture| {
        picture.lines().any(|row| row.starts_with("~ a message, or"))
    });
    full.type_keys(b"\x1b[A");
    typed_is(&full, "~ /veil on");
    full.type_keys(b"\x15");
    full.type_line("/quit");
    assert_eq!(full.wait(), Some(0));
    // The veil is off at a start.
    let mut again = alice.at_full_screen(WIDE, "");
    again.wait_until_seen("connected to");
    again.wait_until_seen("~ alice: > bob: who was it?");
    again.wait_until_seen("no room for it");
    again.type_line("/quit");
    assert_eq!(again.wait(), Some(0));
    let heard = bob.finish().stdout;
    assert!(!heard.contains("It was Zoe"), "{heard}");
}
