//! What somebody means by a line or a command is understood, or they are told what is so.

use std::fs;

use chat_tests::{Scene, types};

/// Goal: no private word is said to a room because of a character before the name, or letters that look like it.
/// Before: each of the first lines was said to the lobby.
#[test]
fn a_private_line_that_looks_like_one_is_not_said_to_all() {
    let (scene, [bob, carol]) = Scene::with(["bob", "carol"]);
    let private = [
        "\"bob*salary",
        "> bob*salary",
        "(bob)*salary",
        "\u{ff20}bob salary",
        "\u{ff42}\u{ff4f}\u{ff42}*salary",
        "b\u{43e}b*salary",
        "\u{201c}Bob\u{ff0a}salary",
    ];
    let public = ["2*3", "*bold* words", "\"a*b\"", "> nobody*x", " > bob*quoted", "the end"];
    let lines: Vec<&str> = private.iter().chain(&public).copied().collect();
    let alice = scene.client("alice").pipe(&lines[..private.len()], &[]).expect_code(1);
    let told = alice.stdout.matches("To write to bob alone: bob*TEXT").count();
    assert_eq!(told, private.len(), "{alice:?}");
    drop(scene.client("alice").pipe(&lines[private.len()..], &[]));
    carol.stdout.wait_for_part("alice: the end");
    let carol = carol.finish().expect_code(0);
    assert!(!carol.stdout.contains("salary"), "{carol:?}");
    for text in ["*bold* words", "\"a*b\"", "> nobody*x", " > bob*quoted"] {
        assert!(carol.stdout.contains(&format!("alice: {text}\n")), "{text}: {carol:?}");
    }
    assert!(!bob.finish().stdout.contains("salary"));
}

/// Goal: a password that is typed without a space behind its command is not repeated. (The build before named it in what it
/// said of an unknown command.)
#[test]
fn a_password_that_is_run_into_its_command_is_not_repeated() {
    let lines = [
        "/passhunter2",
        " /passhunter2",
        "/paswordhunter2",
        "/passwdhunter2 now",
        "/devicesrevok2hunter2",
        "/devices revoke2hunter2",
        " /devices revoke2hunter2",
        " /revoke 2 hunter2",
    ];
    let told = Scene::empty().client("alice").pipe(&lines, &[]).expect_code(1);
    assert_eq!(told.stdout.matches("nothing is typed behind it").count(), lines.len(), "{told:?}");
    assert!(!told.stdout.contains("hunter2") && !told.stderr.contains("hunter2"), "{told:?}");
}

#[test]
fn a_file_that_is_shared_already_is_called_that() {
    let (scene, [mut alice]) = Scene::with(["alice"]);
    let file = scene.rig.path("plan.txt");
    fs::write(&file, "the plan").unwrap();
    let share = |words: &str| format!("/share {} {words}", file.display());
    types(&mut alice, &share("plan"), "plan.txt is shared");
    types(&mut alice, &share("plan"), "plan.txt is shared already");
    types(&mut alice, &share("other"), "plan.txt is shared");
    // Saved by an editor that writes another file and renames it.
    fs::remove_file(&file).unwrap();
    fs::write(&file, "the plan").unwrap();
    types(&mut alice, &share("plan"), "plan.txt is shared already");
    fs::remove_file(&file).unwrap();
    fs::write(&file, "another plan").unwrap();
    types(&mut alice, &share("plan"), "another file named plan.txt is in ");
    assert!(!alice.stdout.text().contains("File exists"));
    drop(alice.finish());
}

#[test]
fn a_section_with_nothing_in_it_takes_no_offer_off() {
    let scene = Scene::empty();
    scene.accounts(&["bob"]);
    let folder = scene.rig.path("shared");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("one.txt"), "1").unwrap();
    let list = folder.join("keyword.txt");
    fs::write(&list, "one, one.txt\n").unwrap();
    let alice = scene.client("alice").start(&["share", folder.to_str().unwrap()]);
    alice.stderr.wait_for_part("files on the list: 1");
    fs::write(&list, "[room nosuch]\n").unwrap();
    alice.stderr.wait_for_part("what was shared before stays so");
    let found = || scene.client("bob").run(&["find", "one"]).stdout;
    assert!(found().contains("one.txt"));
    fs::write(&list, "# nothing\n[room nosuch]\n").unwrap();
    alice.stderr.wait_for_part("files on the list: 0");
    assert!(!found().contains("one.txt"));
}

#[test]
fn commands_about_nothing_say_so() {
    let (scene, [mut alice]) = Scene::with(["alice"]);
    types(&mut alice, "/history nosuch", "✗ there is no person and no room nosuch here");
    types(&mut alice, "/history #nosuch", "✗ there is no room #nosuch here");
    types(&mut alice, "/history", "nothing was said in #lobby yet");
    scene.accounts(&["bob"]);
    types(&mut alice, "/users", "bob");
    types(&mut alice, "/history bob", "nothing was said in the talk between alice and bob yet");
    types(&mut alice, "/leave", "you are in no room");
    for command in ["/leave", "/topic words", "/invite bob"] {
        types(&mut alice, command, "✗ you are in no room; /join ROOM or /room ROOM first");
    }
    types(&mut alice, "words", "✗ you are in no room, so nothing was sent");
    drop(alice.finish());
}

/// Goal: lines of the log do not tear the line that is typed. Method: debug lines come while half a line stands at
/// the prompt; behind each the prompt is drawn again. Before: they began in the middle of it.
#[test]
fn lines_of_the_log_stand_above_the_prompt() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    scene.accounts(&["alice"]);
    let mut chat = scene.client("alice").at_terminal_before(&["-vv"], "");
    chat.wait_for("alice #lobby> ");
    chat.type_keys(b"half a line");
    chat.wait_for("half a line");
    let begun = chat.text().len();
    types(&mut bob, "/create ops private", "you are in #ops");
    types(&mut bob, "/invite alice", "added alice to #ops");
    chat.wait_for("room.member");
    types(&mut bob, "alice*hello", "delivered to alice");
    chat.wait_for("hello");
    let text = chat.text();
    let since = text.get(begun..).unwrap_or_default();
    let logged = || since.split(['\r', '\n']).filter(|line| line.contains("chat_"));
    assert!(logged().next().is_some(), "nothing was logged:\n{text}");
    for line in logged() {
        assert!(!line.contains("#lobby>"), "{line:?} stands in the prompt:\n{text}");
    }
    chat.type_line("");
    bob.stdout.wait_for_part("alice: half a line");
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
}
