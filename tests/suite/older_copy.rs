//! Two copies of a home, of which one has gone on.

use std::fs;
use std::process::Command;

use chat_tests::{PASSWORD, Scene};

/// Goal: whoever starts the copy that is behind is told what it is and what to do, at a terminal and without one, and
/// what is told helps, is the server's word, and says what the way out costs. Before: "the server does not take the
/// password of this machine"; and that there are two copies was told as a fact, with the advice to put home.db away. Method: the copy finds that its
/// counters were used, and makes new keys.
#[test]
fn the_copy_of_a_home_that_is_behind_is_called_that_and_the_way_out_works() {
    let scene = Scene::empty();
    scene.accounts(&["alice", "bob"]);
    let alice = scene.client("alice");
    let copy = scene.rig.path("copy");
    let copied = Command::new("cp").arg("-r").arg(alice.home()).arg(&copy).status().unwrap();
    assert!(copied.success());
    alice.run(&["send", "bob", "one"]).assert_code(0);
    let copied = scene.client("alice").with_home(&copy);
    copied.run(&["send", "bob", "two"]).assert_code(0);
    let refused = alice.run(&["send", "bob", "not sent"]).expect_code(4);
    for part in [
        "the server says that there are two copies of this home",
        "go on with that one",
        "If there never was one, the server is wrong or lies",
        "home.db",
        "Each key has to be compared anew",
        "E_OLD_KEYS",
    ] {
        assert!(refused.stderr.contains(part), "{part}: {refused:?}");
    }
    let mut chat = alice.at_terminal(&[]);
    chat.answer("Password", PASSWORD);
    chat.wait_for("two copies of this home");
    assert_eq!(chat.wait(), Some(4));
    copied.run(&["send", "bob", "three"]).assert_code(0);

    let (_, behind) = refused.stderr.split_once("only that one, not ").unwrap();
    let (folder, _) = behind.split_once(" (E_OLD_KEYS)").unwrap();
    for file in fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        if file.file_name().to_string_lossy().starts_with("home.db") {
            fs::remove_file(file.path()).unwrap();
        }
    }
    alice.run(&["send", "bob", "four"]).assert_code(0);
    copied.run(&["send", "bob", "five"]).assert_code(0);
    let heard = scene.client("bob").run(&["listen", "--for", "1s"]).expect_code(0);
    let texts = ["one", "two", "three", "four", "five"].map(|text| heard.stdout.contains(text));
    assert_eq!(texts, [true; 5], "{heard:?}");
}
