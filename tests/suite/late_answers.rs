//! What a person or a script does while an answer is due: it reaches whom it was meant for, or nobody, and a failure
//! that comes late is a failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use chat_protocol::frame::Binary;
use chat_protocol::header::Header;
use chat_protocol::hub::{self, HubToClient};
use chat_protocol::name::{ConversationId, RoomName};
use chat_testkit::middle::{Message, Passing, Way};
use chat_tests::{LIMIT, PASSWORD, Program, Proxy, Scene, Signal, operator, types};

/// Whether this is the link by which somebody comes into the lobby.
fn is_link_of_lobby(message: &Message) -> bool {
    let Message::Binary(bytes) = message else { return false };
    let Ok(Binary::Frame(frame)) = Binary::decode(bytes.clone()) else { return false };
    let Ok(Header::Member(link)) = Header::parse(frame.header()) else { return false };
    link.cid == ConversationId::room(&RoomName::lobby())
}

fn lists_rooms(message: &Message) -> bool {
    let Message::Text(text) = message else { return false };
    matches!(hub::read(text), Ok(HubToClient::Rooms { .. }))
}

/// Goal: what somebody new types at the first prompt is said in the lobby. (The build before believed a list of rooms that
/// the server had made before it took the link by which they come in, and told them that they were in no room.) Method: a
/// proxy holds that link back until the line was typed, and says when the list has come.
#[test]
fn the_first_line_of_somebody_new_is_said_in_the_lobby() {
    let (scene, [bob]) = Scene::with(["bob"]);
    let is_let_in = Arc::new(AtomicBool::new(false));
    let (lets_in, mut held) = (Arc::clone(&is_let_in), Vec::new());
    let middle = move |passing: Passing| {
        if lets_in.load(Ordering::SeqCst) {
            let mut now = std::mem::take(&mut held);
            now.push(passing);
            return now;
        }
        match passing.way {
            Way::ToHub if is_link_of_lobby(&passing.message) => {
                held.push(passing);
                Vec::new()
            }
            Way::ToClient if lists_rooms(&passing.message) => {
                let text = "the rooms are listed".to_owned();
                let told = Message::Text(hub::write(&HubToClient::Announce { text }));
                vec![passing.clone(), passing.with(Way::ToClient, told)]
            }
            _ => vec![passing],
        }
    };
    let proxy = Proxy::through(scene.server.address(), Box::new(middle), None);
    let mut chat = scene.rig.client("newcomer", &proxy.url()).at_terminal_before(&[], "");
    chat.wait_for("the rooms are listed");
    chat.type_line("hello, pier");
    chat.types("/pending", "TEXT in #lobby: hello, pier");
    is_let_in.store(true, Ordering::SeqCst);
    // With what passes next the link goes on its way.
    operator(&scene.rig, &["announce", "tea is ready"]).assert_code(0);
    bob.stdout.wait_for_part("#lobby newcomer: hello, pier");
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
}

/// Goal: a line that is half typed when a room is refused is not said elsewhere. (The build before said it in the
/// lobby.) Method: the server stands still until the prompt says the new room.
#[test]
fn a_refusal_that_comes_late_moves_no_line_to_another_room() {
    let scene = Scene::empty();
    scene.client("carol").pipe(&["/create vault private"], &[]).assert_code(0);
    let bob = scene.person("bob");
    let alice = scene.client("alice");
    alice.run(&["users"]).assert_code(0);
    let mut chat = alice.at_terminal(&[]);
    chat.answer("Password", PASSWORD);
    // The prompt is there before the connection.
    chat.wait_for("connected to");
    scene.server.program().signal(Signal::STOP);
    chat.types("/join vault", "alice #vault>");
    chat.type_keys(b"for the va");
    chat.wait_for("for the va");
    scene.server.program().signal(Signal::CONT);
    chat.wait_for("ask an admin of it");
    chat.types("ult only", "you are not in #vault, so this was not sent: for the vault only");
    chat.type_line("for the lobby");
    bob.stdout.wait_for_part("alice: for the lobby");
    assert!(!bob.stdout.text().contains("vault only"), "it was said in the lobby");
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
}

/// Goal: what is asked for about keys and history fails as anything else does. (The build before ended with 0, and
/// went on after it.)
#[test]
fn what_fails_after_a_look_at_keys_has_failed() {
    let (scene, [bob]) = Scene::with(["bob"]);
    let alice = scene.client("alice");
    let wrong = "/verify bob zoo zoo zoo zoo zoo zoo";
    let stopped = alice.pipe(&[wrong, "bob*secret"], &["--stop-on-error"]).expect_code(1);
    assert!(stopped.stdout.contains("not the words of that key"), "{stopped:?}");
    alice.pipe(&["/trust bob yes", "bob*in spite of it"], &[]).assert_code(1);
    alice.pipe(&["/grant nobody all"], &[]).assert_code(1);
    bob.stdout.wait_for_part("alice → you: in spite of it");
    assert!(!bob.stdout.text().contains("secret"), "it was sent after the failure");
}

/// Goal: a script that sends a file ends when the server has the offer, and fails if there is none. (The build before
/// ended with 0 whatever came of it.)
#[test]
fn orders_about_files_are_waited_for_and_can_fail() {
    let (scene, [bob]) = Scene::with(["bob"]);
    let alice = scene.client("alice");
    let file = scene.rig.write("plan.txt", "the plan").display().to_string();
    let missing = scene.rig.path("missing.txt").display().to_string();
    for order in [
        format!("/send {missing} bob"),
        format!("/send {file} nobody"),
        format!("/share {missing} word"),
        "/unshare nothing.txt".to_owned(),
        "/keep nothing.txt 3".to_owned(),
    ] {
        let failed = alice.pipe(&[&order], &[]);
        assert_eq!(failed.code, Some(1), "{order}: {failed:?}");
    }
    let sent = alice.pipe(&[&format!("/send {file} bob")], &[]).expect_code(0);
    assert!(sent.stdout.contains("is offered to bob"), "{sent:?}");
    bob.stdout.wait_for_part("alice offers you plan.txt");
    let shared = alice.pipe(&[&format!("/share {file} word")], &[]).expect_code(0);
    assert!(shared.stdout.contains("plan.txt is shared"), "{shared:?}");
    let found = scene.client("bob").run(&["find", "word", "--json"]).expect_code(0);
    assert_eq!(found.events_named("file").len(), 1, "{found:?}");
}

/// Whether a program deals with a signal itself, by what the system says of it.
fn catches(program: &Program, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid()));
    let status = status.unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal.as_raw() - 1) & 1 == 1
}

/// Goal: a `run` that somebody ends says so with its exit code, from its start on. (The build before was killed by
/// the signal.) Method: the server stands still, so it is not even signed in.
#[test]
fn a_run_that_is_ended_before_it_is_signed_in_is_interrupted() {
    let scene = Scene::empty();
    let alice = scene.client("alice");
    alice.run(&["users"]).assert_code(0);
    scene.server.program().signal(Signal::STOP);
    for signal in [Signal::TERM, Signal::QUIT, Signal::INT] {
        let mut run = alice.start(&["run", "-n", "web1", "--", "true"]);
        let begun = Instant::now();
        while !catches(&run, signal) {
            assert!(begun.elapsed() < LIMIT, "{signal:?} is not dealt with");
            std::thread::yield_now();
        }
        run.signal(signal);
        run.wait().assert_code(130);
    }
    scene.server.program().signal(Signal::CONT);
}

/// A zone in which the day ends in so many seconds.
fn zone_before_midnight(seconds: u64) -> String {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let ahead = 86_400 - (now_s + seconds) % 86_400;
    // In this form hours before the name's zero count backwards.
    format!("<TST>-{}:{:02}:{:02}", ahead / 3_600, ahead / 60 % 60, ahead % 60)
}

/// Goal: lines of a script whose output is a terminal have no dates, so the day is said when it changes. (The build
/// before said it to persons only.) Method: a zone whose midnight is near; somebody writes until it has passed.
#[test]
fn a_script_at_a_terminal_is_told_of_midnight() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    scene.person("alice").finish().assert_code(0);
    let alice = scene.client("alice");
    let alice = alice.with_env([("TZ", zone_before_midnight(15))]);
    let pipe = scene.rig.path("lines");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let chat = alice.at_terminal_before(&[], &format!(" <'{}'", pipe.display()));
    let _lines = std::fs::File::options().write(true).open(&pipe).unwrap();
    chat.wait_for("connected to");
    let begun = Instant::now();
    let mut number = 0;
    while !chat.text().contains("── ") {
        assert!(begun.elapsed() < LIMIT, "no day was said:\n{}", chat.text());
        number += 1;
        types(&mut bob, &format!("tick {number}."), "✓✓");
        chat.wait_for(&format!("tick {number}."));
    }
}
