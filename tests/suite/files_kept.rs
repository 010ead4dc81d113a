//! What stays shared through a slip, and parts of files that are shown and removed in the chat.

use std::fs;

use chat_tests::{Client, Scene, types};

use crate::suite::files::{folder, share};

fn found(client: &Client, word: &str) -> usize {
    client.run(&["find", word, "--json"]).expect_code(0).events_named("file").len()
}

/// Goal: a `keyword.txt` that is gone or empty for a moment takes nothing off the list, and says so; one in
/// which somebody has written that nothing is shared does. (The build before emptied the list at once.)
#[test]
fn a_keyword_file_that_is_gone_or_empty_keeps_what_is_shared() {
    let scene = Scene::empty();
    let (alice, bob) = (scene.client("alice"), scene.client("bob"));
    let shared = folder(&scene.rig, "shared", "plan, plan.txt\n", &[("plan.txt", b"the plan")]);
    let sharing = share(&alice, &shared, "ALL");
    let keywords = shared.join("keyword.txt");
    let is_told = |line: &str| line.contains("is gone, or names no file");
    let is_listed = |line: &str| line.contains("\"shared\"");
    for (slip, times) in [("deleted", 1), ("emptied", 2), ("blank", 3)] {
        match slip {
            "deleted" => fs::remove_file(&keywords).expect("removed"),
            "emptied" => fs::write(&keywords, "").expect("written"),
            _ => fs::write(&keywords, "\n \n").expect("written"),
        }
        sharing.stdout.wait_for_count(times, is_told);
        assert_eq!(found(&bob, "plan"), 1, "{slip}");
        let target = scene.rig.path(slip).display().to_string();
        bob.run(&["get", "alice", "plan.txt", "-o", &target]).assert_code(0);
        let before = sharing.stdout.text().lines().filter(|line| is_listed(line)).count();
        fs::write(&keywords, "plan, plan.txt\n").expect("written");
        sharing.stdout.wait_for_count(before + 1, is_listed);
    }
    fs::write(&keywords, "#\n").expect("written");
    sharing.stdout.wait_for("the list changed", |line| line.contains("\"ended\":1"));
    assert_eq!(found(&bob, "plan"), 0, "it was taken off on purpose");
}

/// Goal: a section for somebody who is not there is named and keeps nothing else off the list. (The build
/// before listed nothing at all.)
#[test]
fn a_section_for_nobody_is_told_and_keeps_nothing_else_off_the_list() {
    let scene = Scene::empty();
    let (alice, bob) = (scene.client("alice"), scene.client("bob"));
    let keywords = "plan, plan.txt\n[user bobb]\nnote, note.txt\n";
    let files: [(&str, &[u8]); 2] = [("plan.txt", b"the plan"), ("note.txt", b"for bob")];
    let shared = folder(&scene.rig, "shared", keywords, &files);
    let sharing = share(&alice, &shared, "ALL");
    sharing.stdout.wait_for_part("nobody is called bobb");
    assert_eq!((found(&bob, "plan"), found(&bob, "note")), (1, 0));
}

/// Goal: the last file that is taken off in the chat leaves the list, and its `keyword.txt` says so.
#[test]
fn the_last_file_that_is_unshared_leaves_the_list() {
    let scene = Scene::empty();
    let bob = scene.client("bob");
    let plan = scene.rig.write("plan.txt", "the plan").display().to_string();
    let shared = scene.rig.path("shared");
    let arguments = ["--shared", &shared.display().to_string()];
    let mut alice = scene.client("alice").start(&arguments);
    alice.stdout.wait_for_part("you are in #lobby");
    types(&mut alice, &format!("/share {plan} plan"), "(1 new, 0 taken off)");
    assert_eq!(found(&bob, "plan"), 1);
    types(&mut alice, "/unshare plan.txt", "is not shared any more");
    alice.stdout.wait_for_part("(0 new, 1 taken off)");
    assert_eq!(found(&bob, "plan"), 0);
    let left = fs::read_to_string(shared.join("keyword.txt")).expect("read");
    assert_eq!(left, "# nothing is shared\n");
}

/// Goal: parts of files are listed and removed in the chat as on the command line. (The build before sent
/// people to another program.)
#[test]
fn parts_of_files_are_removed_in_the_chat() {
    let scene = Scene::empty();
    let (alice, bob) = (scene.client("alice"), scene.client("bob"));
    let target = scene.rig.path("fetched");
    fs::create_dir_all(&target).expect("made");
    let downloads = target.display().to_string();
    let shared = folder(&scene.rig, "shared", "k, big.bin", &[("big.bin", &vec![7; 300_000])]);
    let mut sharing = share(&alice, &shared, "ALL");
    sharing.terminate();
    sharing.wait().assert_code(130);
    let waits = bob.start(&["--downloads", &downloads, "get", "--wait", "alice", "big.bin"]);
    waits.stderr.wait_for_part("the request waits");
    let mut chat = bob.start(&["--downloads", &downloads]);
    chat.stdout.wait_for_part("connected to");
    types(&mut chat, "/transfers clean", "is being received now, and stays");
    drop(waits);
    types(&mut chat, "/transfers", "big.bin: 0 % of 300 kB is here; /transfers clean removes it");
    types(&mut chat, "/transfers clean", "big.bin: 0 % of 300 kB is here; is removed");
    assert_eq!(fs::read_dir(&target).expect("a folder").count(), 0);
    types(&mut chat, "/transfers clean", "no part of a file is in");
}
