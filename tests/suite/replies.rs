//! `/reply`: whom it is for, and what it quotes.

use chat_tests::{Program, Scene, types};

fn writes(from: &mut Program, text: &str) {
    types(from, &format!("alice*{text}"), "delivered to alice");
}

/// Goal: after a start an answer is for who wrote last of those whom one sees: what the server says that somebody is,
/// one's own messages of another device and those of ignored people change nothing. (The build before answered the one
/// before, or said that there is no conversation with oneself, or answered whom one ignores.)
#[test]
fn after_a_start_an_answer_is_for_who_wrote_last() {
    let (scene, [mut carol, mut bob, mut mallory]) = Scene::with(["carol", "bob", "mallory"]);
    let mut alice = scene.at_terminal("alice");
    alice.types("/ignore mallory", "what mallory says is hidden");
    writes(&mut carol, "one");
    alice.wait_for("carol → you: one");
    writes(&mut bob, "two");
    alice.wait_for("bob → you: two");
    let laptop = scene.client("alice").with_home(scene.rig.path("alice-laptop"));
    laptop.pipe(&["carol*from my laptop"], &[]).assert_code(0);
    alice.wait_for("from my laptop");
    writes(&mut mallory, "three");
    alice.type_line("/quit");
    assert_eq!(alice.wait(), Some(0));
    let mut again = scene.at_terminal("alice");
    // Whoever runs commands, as far as is known, has written all the same.
    again.type_line("/run bob -- true");
    again.type_line("/reply on my way");
    bob.stdout.wait_for_part("alice → you: on my way");
    for other in [carol, mallory] {
        let said = other.finish().expect_code(0);
        assert!(!said.stdout.contains("on my way"), "{said:?}");
    }
    again.type_line("/quit");
    assert_eq!(again.wait(), Some(0));
}

/// Goal: a script answers whom a person would. (The build before knew nobody from before its start.)
#[test]
fn a_script_answers_who_wrote_before_its_start() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let alice = scene.person("alice");
    writes(&mut bob, "shall we");
    alice.stdout.wait_for_part("shall we");
    alice.finish().assert_code(0);
    scene.client("alice").pipe(&["/reply yes"], &[]).assert_code(0);
    bob.stdout.wait_for_part("alice → you: yes");
}

/// Goal: what is quoted is the newest that one sees, and nobody is told whom one ignores. (The build before quoted
/// what is hidden.)
#[test]
fn what_is_hidden_is_not_quoted() {
    let (scene, [mut bob, mut mallory]) = Scene::with(["bob", "mallory"]);
    let mut alice = scene.at_terminal("alice");
    alice.types("/ignore mallory", "what mallory says is hidden");
    bob.type_line("shall we");
    alice.wait_for("bob: shall we");
    mallory.type_line("never");
    bob.stdout.wait_for_part("mallory: never");
    let laptop = scene.client("alice").with_home(scene.rig.path("alice-laptop"));
    laptop.pipe(&["I think"], &[]).assert_code(0);
    alice.wait_for("I think");
    alice.type_line("/reply ^1 yes");
    bob.stdout.wait_for_part("> bob: shall we");
    let said = bob.finish().expect_code(0);
    assert!(!said.stdout.contains("you ignore"), "{said:?}");
    alice.type_line("/quit");
    assert_eq!(alice.wait(), Some(0));
}
