//! The line that somebody types: the prompt says where it goes, a full disk does not lose it, and without a connection
//! only what the server must answer is refused.

use chat_tests::{Scene, types};

/// Goal: whoever is put out sees it at the prompt at once, with or without something typed there. Before: it
/// named the old room until the next line.
#[test]
fn the_prompt_of_whoever_is_put_out_changes_at_once() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let mut alice = scene.at_terminal("alice");
    types(&mut bob, "/create ops", "you are in #ops");
    for (command, typed) in [("/kick alice", ""), ("/ban alice", "half a word")] {
        alice.types("/join ops", "alice #ops> ");
        bob.stdout.wait_for_part("[alice] joined #ops");
        alice.type_keys(typed.as_bytes());
        alice.wait_for(typed);
        bob.type_line(command);
        alice.wait_for("what you type goes to #lobby");
        alice.wait_for(&format!("…ce #lobby> {typed}"));
        alice.type_line("");
        if !typed.is_empty() {
            alice.wait_for("you are not in #ops any more, so this was not sent: half a word");
        }
        alice.wait_for("alice #lobby> ");
    }
    alice.types("/leave", "alice (no room)> ");
    alice.type_line("/quit");
    assert_eq!(alice.wait(), Some(0));
}

/// Goal: when the disk is full, the line that could not be sent is shown beside the reason, and comes back with a key: in the
/// editor it would stand before keys that were typed ahead. (The build before put it there, too.)
#[test]
fn a_line_that_a_full_disk_refused_is_shown_and_comes_back() {
    let scene = Scene::empty();
    // A program that is told of a full disk by a signal would end at once.
    let trap = ["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"];
    let mut chat = scene.client("alice").at_terminal_through(&trap);
    chat.wait_for("alice #lobby>");
    chat.fill_disk("chat-client");
    chat.types("a line that took long", "press Enter to leave");
    let is_typed = |row: &'static str| {
        move |picture: &str| {
            let typed = picture.lines().rfind(|one| one.starts_with("alice #lobby>"));
            typed.is_some_and(|typed| typed.trim_end() == row)
        }
    };
    chat.wait_for_picture("an empty line", is_typed("alice #lobby>"));
    chat.type_keys(b"\x1b[A");
    chat.wait_for_picture("the line", is_typed("alice #lobby> a line that took long"));
    chat.type_keys(b"\x15");
    chat.type_line("");
    assert_eq!(chat.wait(), Some(70));
    let text = chat.text();
    for part in ["✗ this was not sent: a line that took long", "✗ the home's database: "] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

/// Goal: what may hold a password is not repeated by a program that cannot go on, nor where one types. (The build before began
/// the next line with it.)
#[test]
fn no_password_stands_among_the_last_words() {
    let scene = Scene::empty();
    let trap = ["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"];
    let mut chat = scene.client("alice").at_terminal_through(&trap);
    chat.wait_for("alice #lobby>");
    chat.fill_disk("chat-client");
    chat.types("a line that took long", "press Enter to leave");
    chat.types("/password hunter2", "✗ this was not sent: …");
    chat.wait_for_picture("an empty line", |picture| {
        let typed = picture.lines().rfind(|row| row.starts_with("alice #lobby>"));
        typed.is_some_and(|row| row.trim_end() == "alice #lobby>")
    });
    chat.type_line("");
    assert_eq!(chat.wait(), Some(70));
}

/// Goal: what only the server can answer is refused without it, and a script goes on; what goes out later says so to a
/// person. (The build before never answered `/users` and its like: a pipe waited for ever, and a person saw nothing.)
#[test]
fn what_only_the_server_answers_is_refused_without_it_and_a_pipe_goes_on() {
    let mut scene = Scene::empty();
    let mut pipe = scene.client("alice").chat();
    let mut chat = scene.client("bob").at_terminal_before(&[], "");
    chat.wait_for("connected to");
    scene.server.kill_hard();
    pipe.stdout.wait_for_part("offline");
    chat.wait_for("offline");
    let asked = ["/users", "/rooms", "/members", "/topic", "/retention"];
    for (count, line) in asked.iter().enumerate() {
        pipe.type_line(line);
        pipe.stdout.wait_for_count(count + 1, |line| line.contains("✗ there is no connection"));
        chat.types(line, "✗ there is no connection to the server; ask again when there is one");
    }
    types(&mut pipe, "/version", "protocol");
    chat.types("/join plans", "… queued");
    scene.server.restart(&scene.rig, &[]);
    chat.wait_for("you are in #plans");
    types(&mut pipe, "/rooms", "#lobby");
    pipe.finish().assert_code(1);
}
