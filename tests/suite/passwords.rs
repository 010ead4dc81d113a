//! Passwords as people type them: the first, a wrong one, another one.

use chat_tests::{Client, PASSWORD, Rig, Scene, Terminal};

const OTHER: &str = "quartz-lantern-4-ferry-oboe";

fn name_is_new(terminal: &mut Terminal, name: &str) {
    terminal.answer(&format!("Nobody here is called {name}. Make a new account? [y/N] "), "y");
}

fn new_password(terminal: &mut Terminal, first: &str, second: &str) {
    terminal.answer("New password for alice: ", first);
    terminal.answer("The same password again: ", second);
}

#[test]
fn a_new_name_is_asked_about_and_its_password_typed_twice() {
    let scene = Scene::empty();
    let alice = scene.client("alice");
    let mut no = alice.at_terminal(&["users"]);
    no.answer("Make a new account? [y/N] ", "n");
    no.wait_for("no account was made");
    assert_eq!(no.wait(), Some(4));

    let mut yes = alice.at_terminal(&["users"]);
    name_is_new(&mut yes, "alice");
    new_password(&mut yes, PASSWORD, "a slip of the finger");
    yes.wait_for("The two differ.");
    new_password(&mut yes, PASSWORD, PASSWORD);
    yes.wait_for("alice");
    assert_eq!(yes.wait(), Some(0));
    for said in [yes.text(), no.text()] {
        assert!(!said.contains(PASSWORD) && !said.contains("slip"), "nothing is echoed: {said}");
    }
    alice.run_known(&["users"]).assert_code(0);
}

#[test]
fn a_new_password_that_is_easy_to_guess_is_refused_and_an_old_one_is_what_it_is() {
    let scene = Scene::empty();
    let weak = scene.client("alice").with_password("alice12345");
    let refused = weak.run(&["users"]).expect_code(2);
    assert!(refused.stderr.contains("easy to guess"), "{refused:?}");
    let short = scene.client("alice").with_password("x7$Kq!9zW");
    let refused = short.run(&["users"]).expect_code(2);
    assert!(refused.stderr.contains("at least 10"), "{refused:?}");
    assert!(!weak.home().join("known_servers").exists(), "nobody has signed in");

    weak.run(&["--weak-password", "users"]).assert_code(0);
    weak.run_known(&["users"]).assert_code(0);
    let refused = change(&weak, &scene.rig, "passwordpassword").expect_code(2);
    assert!(refused.stderr.contains("easy to guess"), "{refused:?}");
    weak.run_known(&["users"]).assert_code(0);
    change(&weak, &scene.rig, OTHER).assert_code(0);
}

#[test]
fn whoever_types_a_new_password_is_offered_one_and_told_how_strong_it_is() {
    let scene = Scene::empty();
    let mut alice = scene.client("alice").at_terminal(&["users"]);
    name_is_new(&mut alice, "alice");
    alice.wait_for("One that nobody had before, if you like: ");
    alice.answer("New password for alice: ", "qwertyuiop");
    alice.wait_for("easy to guess");
    alice.answer("New password for alice: ", PASSWORD);
    alice.wait_for("Strength: 4 of 4.");
    alice.answer("The same password again: ", PASSWORD);
    assert_eq!(alice.wait(), Some(0));
}

#[test]
fn the_first_line_of_a_file_is_the_password() {
    let scene = Scene::empty();
    scene.accounts(&["alice"]);
    let file = scene.rig.write("password", &format!("\u{feff}{PASSWORD}\r\nmy notes\n"));
    let file = file.to_str().expect("a path of this test");
    let other = scene.client("alice").with_password("not this one");
    let read = other.run_known(&["--password-file", file, "users"]).expect_code(0);
    assert!(read.stderr.contains("warning: others on this machine"), "{read:?}");
    let quiet = other.run_known(&["--password-file", file, "--quiet", "users"]).expect_code(0);
    assert_eq!(quiet.stderr, "");
}

#[test]
fn a_wrong_password_is_asked_for_three_times_here_and_on_a_new_machine() {
    let scene = Scene::empty();
    let alice = scene.client("alice");
    alice.run(&["users"]).assert_code(0);
    for home in [alice.home().to_owned(), scene.rig.path("new-machine")] {
        let alice = scene.client("alice").with_home(&home);
        let mut wrong = alice.at_terminal(&["users"]);
        wrong.answer("Password of alice: ", "one");
        wrong.answer("That was wrong. Password: ", "two");
        wrong.answer("That was wrong. Password: ", "three");
        wrong.wait_for("wrong password");
        assert_eq!(wrong.wait(), Some(4));
    }
    let mut right = alice.at_terminal(&["users"]);
    right.answer("Password of alice: ", "one");
    right.answer("That was wrong. Password: ", PASSWORD);
    assert_eq!(right.wait(), Some(0));
}

#[test]
fn a_name_in_another_spelling_is_told_before_anything_is_typed() {
    let scene = Scene::empty();
    scene.accounts(&["alice"]);
    let mut other = scene.client("Alice").at_terminal(&["users"]);
    other.wait_for("belongs to somebody else, who is called alice");
    assert_eq!(other.wait(), Some(5));
}

/// A new machine that tries this password.
fn new_machine(rig: &Rig, url: &str, home: &str, password: &str) -> Option<i32> {
    let machine = rig.client("alice", url).with_home(rig.path(home)).with_password(password);
    machine.run_known(&["users"]).code
}

fn change(client: &Client, rig: &Rig, new: &str) -> chat_tests::Finished {
    let file = rig.write("new-password", new);
    let file = file.to_str().expect("a path of this test");
    client.run_known(&["passwd", "--new-password-file", file])
}

#[test]
fn a_changed_password_opens_new_machines_and_the_old_one_none() {
    let mut scene = Scene::empty();
    let first = scene.client("alice");
    first.run(&["users"]).assert_code(0);
    let second = scene.client("alice").with_home(scene.rig.path("second"));
    second.run_known(&["users"]).assert_code(0);

    let wrong = change(&scene.client("alice").with_password("guess"), &scene.rig, OTHER);
    assert!(wrong.code == Some(4) && wrong.stderr.contains("wrong password"), "{wrong:?}");
    let done = change(&first, &scene.rig, OTHER).expect_code(0);
    assert!(done.stderr.contains("each keeps the password it had"), "{done:?}");

    scene.server.restart(&scene.rig, &[]);
    let url = scene.url();
    assert_eq!(new_machine(&scene.rig, url, "third", PASSWORD), Some(4));
    assert_eq!(new_machine(&scene.rig, url, "third", OTHER), Some(0));
    // The machine that changed it has the new one; the other keeps its own until it changes too.
    first.run_known(&["users"]).assert_code(4);
    scene.rig.client("alice", url).with_password(OTHER).run_known(&["users"]).assert_code(0);
    second.run_known(&["users"]).assert_code(0);
    let second = second.with_password(OTHER);
    second.run_known(&["users"]).assert_code(4);
    change(&second, &scene.rig, OTHER).assert_code(0);
    second.run_known(&["users"]).assert_code(0);
}

#[test]
fn a_server_that_offers_an_older_vault_is_not_believed() {
    let rig = Rig::new();
    let server = rig.server();
    let alice = rig.client("alice", server.url());
    alice.run(&["users"]).assert_code(0);
    let finished = server.terminate();
    finished.assert_code(0);
    let (data, backup) = (rig.data(), rig.path("backup"));
    copy(&data, &backup);
    let server = rig.server();
    let at = |password: &str| rig.client("alice", server.url()).with_password(password);
    change(&at(PASSWORD), &rig, OTHER).assert_code(0);
    server.terminate().assert_code(0);
    std::fs::remove_dir_all(&data).expect("our own folder");
    copy(&backup, &data);
    let server = rig.server();
    let before = std::fs::read_dir(alice.home()).map(Iterator::count).expect("a home");
    let third = "kettle under the marble staircase";
    let refused = change(&rig.client("alice", server.url()), &rig, third).expect_code(7);
    assert!(refused.stderr.contains("vault number 1"), "{refused:?}");
    assert_eq!(std::fs::read_dir(alice.home()).map(Iterator::count).expect("a home"), before);
    let opened = rig.client("alice", server.url()).with_password(OTHER);
    opened.run_known(&["users"]).assert_code(0);
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).expect("a folder of this test");
    for entry in std::fs::read_dir(from).expect("the server's data") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() { copy(&path, &target) } else { drop(std::fs::copy(&path, &target)) }
    }
}

#[test]
fn the_chat_asks_for_a_new_password_without_echo_and_goes_on() {
    let scene = Scene::empty();
    let alice = scene.client("alice");
    alice.run(&["users"]).assert_code(0);
    let mut chat = alice.at_terminal(&[]);
    chat.answer("Password of alice: ", PASSWORD);
    chat.wait_for("connected to");
    chat.type_line("/password");
    chat.answer("Password of alice now: ", "not this");
    chat.answer("That was wrong. Password now: ", PASSWORD);
    new_password(&mut chat, OTHER, OTHER);
    chat.wait_for("is changed");
    chat.types("/whoami", "you are alice");
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
    assert!(!chat.text().contains(OTHER) && !chat.text().contains(PASSWORD));
    alice.with_password(OTHER).run_known(&["users"]).assert_code(0);
}

/// Goal: on the full screen a command that asks for a password has the terminal for itself, without echo, and the screen comes
/// back behind it: to shut a device out, and to change the password.
#[test]
fn the_full_screen_gives_the_terminal_away_for_a_password_and_comes_back() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let alice = scene.client("alice");
    let mut chat = alice.at_full_screen((200, 40), "");
    chat.wait_until_seen("connected to");
    // A new device of somebody who has said something is told of.
    chat.type_line("hello");
    bob.stdout.wait_for_part("alice: hello");
    let laptop = scene.client("alice").with_home(scene.rig.path("laptop"));
    laptop.run_known(&["users"]).assert_code(0);
    chat.wait_until_seen("your account has a new device, number 2");
    chat.type_line("/devices revoke 2");
    chat.answer("Password of alice now: ", "not this");
    chat.answer("That was wrong. Password now: ", PASSWORD);
    chat.wait_until_seen("is revoked");
    laptop.run_known(&["users"]).assert_code(4);
    chat.type_line("/password");
    chat.answer("Password of alice now: ", PASSWORD);
    new_password(&mut chat, OTHER, OTHER);
    chat.wait_until_seen("is changed");
    bob.type_line("are you there?");
    chat.wait_until_seen("bob: are you there?");
    chat.type_line("here I am");
    bob.stdout.wait_for_part("alice: here I am");
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
    assert!(!chat.text().contains(OTHER) && !chat.text().contains(PASSWORD));
    alice.with_password(OTHER).run_known(&["users"]).assert_code(0);
}

#[test]
fn a_script_is_told_where_a_password_is_typed() {
    let scene = Scene::empty();
    let told = scene.client("alice").pipe(&["/password", "/devices revoke 2"], &[]).expect_code(1);
    for part in ["chat-client passwd --password-file OLD", "chat-client devices revoke N"] {
        assert!(told.stdout.contains(part), "{part}: {told:?}");
    }
}

#[test]
fn an_umlaut_is_the_same_on_every_keyboard() {
    let scene = Scene::empty();
    let composed = scene.client("alice").with_password("M\u{fc}ller-Gr\u{fc}n");
    composed.run(&["users"]).assert_code(0);
    let apart = "Mu\u{308}ller-Gru\u{308}n";
    assert_eq!(new_machine(&scene.rig, scene.url(), "mac", apart), Some(0));
    composed.with_password(apart).run_known(&["users"]).assert_code(0);
}
