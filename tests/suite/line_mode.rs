//! The chat at a terminal: it never stops for its line editor, it leaves the terminal as it was, and it says
//! when nobody answers.

use std::time::{Duration, Instant};

use chat_tests::{PASSWORD, Scene, Signal, types};

/// Goal: in no mode of the editor does the chat stop. Method: each mode is entered, somebody sends more than
/// the editor keeps, and then a line is typed, which must go out.
#[test]
fn messages_that_arrive_in_any_mode_of_the_editor_stop_nothing() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let mut chat = scene.at_terminal("alice");
    // Two names that begin alike, so that Tab shows a list.
    scene.accounts(&["carol", "carla"]);
    // What a search can find.
    chat.type_line("fizz and buzz");
    bob.stdout.wait_for_part("alice: fizz and buzz");
    let modes: [(&str, &[u8]); 8] = [
        ("search", b"\x12zz"),
        ("search forward", b"\x12z\x13"),
        ("search for nothing", b"\x12\x07\x12qqq"),
        ("paste", b"\x1b[200~one\rtwo "),
        ("completion", b"car\t\t"),
        ("as it is", b"\x16"),
        ("escape", b"\x1b"),
        ("count", b"\x1b5"),
    ];
    for (place, (mode, keys)) in (1..).zip(modes) {
        chat.type_keys(keys);
        for number in 0..8 {
            bob.type_line(&format!("{mode} number {number}"));
        }
        bob.stdout.wait_for_count(8 * place, |line| line.contains("delivered to alice"));
        // Ends whatever mode it is, and the line in it, where there is one by then.
        chat.type_keys(b"\x1b[201~\x07\x03");
        chat.wait_for_one(&["Ctrl-C again, or /quit, leaves", "this line was not sent; Up brings"]);
        chat.type_line(&format!("after {mode}"));
        bob.stdout.wait_for_part(&format!("alice: after {mode}"));
    }
    bob.type_line("all is said");
    chat.wait_for("bob: all is said");
    let text = chat.text();
    for (mode, _) in modes {
        for number in 0..8 {
            let line = format!("bob: {mode} number {number}\r\n");
            assert_eq!(text.matches(&line).count(), 1, "{line:?} in\n{text}");
        }
    }
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
}

#[test]
fn lines_that_are_typed_ahead_all_go_out_while_others_write() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let mut chat = scene.at_terminal("alice");
    let ahead: Vec<String> = (0..60).map(|number| format!("ahead {number}\r")).collect();
    for number in 0..200 {
        bob.type_line(&format!("storm {number}"));
    }
    chat.type_keys(ahead.concat().as_bytes());
    bob.stdout.wait_for_part("alice: ahead 59");
    bob.stdout.wait_for_count(60, |line| line.contains("alice: ahead "));
    chat.wait_for("storm 199");
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
}

#[test]
fn a_byte_that_is_no_text_ends_nothing_and_keeps_the_line() {
    let (scene, [bob]) = Scene::with(["bob"]);
    let mut chat = scene.at_terminal("alice");
    chat.type_keys(b"half a ");
    chat.wait_for("half a");
    chat.type_keys(b"\xff");
    chat.wait_for("not UTF-8");
    chat.type_line("line");
    bob.stdout.wait_for_part("alice: half a line");
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
}

/// Goal: what is typed between two lines keeps its order. Method: the server is stopped, so the prompt waits for the answer
/// about a room, and a line that was begun behind it is given up with Ctrl-C meanwhile. (The build before made a signal of
/// Ctrl-C there; it overtook what the editor had read, and the next line was said with that.)
#[test]
fn ctrl_c_between_two_lines_gives_up_what_was_typed_before_it() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let mut chat = scene.at_terminal("alice");
    types(&mut bob, "/create ops", "you are in #ops");
    scene.server.program().signal(Signal::STOP);
    chat.type_keys(b"/join ops\rbegun and ");
    chat.wait_for("/join ops");
    chat.wait_for("\n");
    chat.interrupt();
    scene.server.program().signal(Signal::CONT);
    chat.wait_for("this line was not sent; Up brings it back");
    chat.type_line("all of it");
    let said = bob.stdout.wait_for_part("#ops alice: ");
    assert!(said.ends_with("#ops alice: all of it"), "{said}");
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
}

/// Goal: whoever ends the chat finds the terminal as it was, and the server is told at once. Method: the
/// shell after it says how the terminal is set.
#[test]
fn a_chat_that_is_ended_by_a_signal_leaves_the_terminal_as_it_was() {
    let scene = Scene::empty();
    let client = scene.client("alice");
    for signal in [Signal::TERM, Signal::QUIT] {
        let mut chat = client.at_terminal_before(&[], "; echo code $?; stty -a; true");
        chat.wait_for("connected to");
        chat.wait_for("alice #lobby>");
        chat.signal("chat-client", signal);
        chat.wait_for("code 130");
        chat.wait_for(" icanon");
        chat.wait_for(" echo ");
        assert_eq!(chat.wait(), Some(0));
    }
    let left = |line: &str| line.contains("[alice] just left the chat");
    scene.server.program().stdout.wait_for_count(2, left);
}

/// Goal: the same for whoever is asked for a password. (The build before left a terminal without echo, in which Ctrl-C
/// did nothing.)
#[test]
fn a_signal_while_a_password_is_asked_for_leaves_the_terminal_as_it_was() {
    let scene = Scene::empty();
    let client = scene.client("alice");
    client.run(&["users"]).assert_code(0);
    for signal in [Signal::TERM, Signal::INT] {
        let mut asked = client.at_terminal_before(&["passwd"], "; echo code $?; stty -a; true");
        asked.wait_for("New password");
        asked.signal("chat-client", signal);
        asked.wait_for("code 130");
        asked.wait_for("isig icanon iexten echo ");
        assert_eq!(asked.wait(), Some(0));
    }
}

#[test]
fn a_chat_that_was_in_the_background_edits_lines_again() {
    let (scene, [bob]) = Scene::with(["bob"]);
    let mut chat = scene.at_terminal("alice");
    chat.type_keys(b"helo");
    chat.wait_for("helo");
    chat.signal("chat-client", Signal::STOP);
    chat.wake("chat-client", "back in the foreground");
    // The cursor goes one to the left, and a letter is put in there.
    chat.type_keys(b"\x1b[Dl");
    chat.type_line("");
    bob.stdout.wait_for_part("alice: hello");
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
}

#[test]
fn a_server_that_does_not_answer_is_told_of_within_seconds() {
    let scene = Scene::empty();
    let mut chat = scene.at_terminal("alice");
    scene.server.program().signal(Signal::STOP);
    let typed = Instant::now();
    chat.types("hello", "! no answer from the server for 5 s");
    chat.wait_for("… no answer yet: \"hello\"");
    assert!(typed.elapsed() < Duration::from_secs(20), "{:?}", typed.elapsed());
    chat.types("/status", "which has not answered for ");
    scene.server.program().signal(Signal::CONT);
    chat.wait_for("· the server answers again");
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
}

#[test]
fn each_delivery_says_which_text() {
    let (scene, [_bob]) = Scene::with(["bob"]);
    let mut chat = scene.at_terminal("alice");
    chat.types("hello", "✓✓ bob: \"hello\"");
    let _carol = scene.person("carol");
    chat.wait_for("[carol] just joined");
    for text in ["one", "two"] {
        chat.types(text, &format!("✓✓ 2/2: \"{text}\""));
    }
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
}

/// Goal: a home that lost its database says so and asks; one that is damaged says what to do. Method: the file
/// is taken away, and overwritten.
#[test]
fn a_home_without_its_database_says_what_is_gone_and_asks() {
    let scene = Scene::empty();
    let client = scene.client("alice");
    client.run(&["users"]).assert_code(0);
    let homes = std::fs::read_dir(client.home()).unwrap().flatten().map(|entry| entry.path());
    let database = homes.map(|home| home.join("alice/home.db")).find(|path| path.is_file());
    let database = database.unwrap();
    let kept = std::fs::read(&database).unwrap();
    std::fs::remove_file(&database).unwrap();
    let mut chat = client.at_terminal(&[]);
    chat.answer("Password", PASSWORD);
    chat.wait_for("The history, the unsent messages and the keys of this device are gone");
    chat.answer("Go on as a new device? ", "");
    chat.wait_for("put home.db back");
    assert_eq!(chat.wait(), Some(70));
    let mut damaged = kept.clone();
    damaged.iter_mut().skip(4_096).step_by(7).for_each(|byte| *byte = 0xaa);
    std::fs::write(&database, damaged).unwrap();
    let told = client.run_known(&["users"]).expect_code(70);
    assert!(told.stderr.contains("is damaged. Put a copy of home.db back"), "{told:?}");
    std::fs::write(&database, kept).unwrap();
    client.run_known(&["users"]).assert_code(0);
    let servers = client.home().join("known_servers");
    let text = std::fs::read_to_string(&servers).unwrap();
    std::fs::write(&servers, format!("{text}rubbish\n")).unwrap();
    let told = client.run_known(&["users"]).expect_code(70);
    assert!(told.stderr.contains("line 2 is not: ADDRESS"), "{told:?}");
    assert!(told.stderr.contains("take it out"), "{told:?}");
}

/// Goal: a line that was begun in a room is not said in another one. Method: somebody is put out while they
/// type.
#[test]
fn who_is_put_out_while_typing_says_nothing_in_the_lobby() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let mut chat = scene.at_terminal("alice");
    types(&mut bob, "/create ops", "you are in #ops");
    chat.types("/join ops", "alice #ops>");
    chat.type_keys(b"for the operators");
    bob.stdout.wait_for_part("[alice] joined #ops");
    types(&mut bob, "/kick alice", "removed alice from #ops");
    chat.wait_for("· what you type goes to #lobby");
    chat.types("", "so this was not sent: for the operators");
    chat.wait_for("alice #lobby>");
    chat.type_line("hello");
    bob.stdout.wait_for_part("#lobby alice: hello");
    assert!(!bob.stdout.text().contains("operators"), "{}", bob.stdout.text());
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
}

/// Goal: what was typed can be recalled at the next start, and what may hold a password cannot.
#[test]
fn lines_of_before_are_recalled_and_no_password() {
    let scene = Scene::empty();
    let mut first = scene.at_terminal("alice");
    first.type_line("a line to recall");
    first.wait_for("alice #lobby>");
    first.type_line("/password hunter2");
    first.wait_for("nothing is typed behind it");
    first.type_line("/quit");
    assert_eq!(first.wait(), Some(0));
    let mut second = scene.at_terminal("alice");
    // Up once: the last line; twice: the one before it.
    second.type_keys(b"\x1b[A");
    second.wait_for("/quit");
    second.type_keys(b"\x1b[A");
    second.wait_for("a line to recall");
    second.type_keys(b"\x15");
    second.type_line("/quit");
    assert_eq!(second.wait(), Some(0));
    assert!(!second.text().contains("hunter2"));
}
