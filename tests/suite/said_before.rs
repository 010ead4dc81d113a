//! What is said in a room comes before what is asked for there later, and behind what was asked for before.

use chat_tests::{Scene, types};

#[test]
fn who_says_something_and_leaves_has_said_it() {
    let (scene, [mut alice, mut bob]) = Scene::with(["alice", "bob"]);
    types(&mut bob, "/create crew", "you are in #crew");
    // Nothing was ever said there: the texts wait for a key.
    let lines = ["/join crew", "first words", "last words", "/leave"];
    let carol = scene.client("carol").pipe(&lines, &[]).expect_code(0);
    assert!(!carol.stdout.contains("E_NOT_A_MEMBER"), "{carol:?}");
    bob.stdout.wait_for_part("[carol] left #crew");
    // Behind the name it may say that she has gone since.
    for text in ["first words", "last words"] {
        bob.stdout.wait_for(text, |line| line.contains("#crew carol") && line.contains(text));
    }
    let behind = ["/join crew", "still here", "/leave crew", "/room crew", "too late"];
    let carol = scene.client("carol").pipe(&behind, &[]).expect_code(1);
    assert!(carol.stdout.contains("you are in no room, so nothing was sent"), "{carol:?}");
    bob.stdout.wait_for_part("still here");

    // Whoever is let in reads what is said then, and not what was said before.
    types(&mut alice, "/create inner private", "you are in #inner");
    for line in ["bob must not know", "/invite bob", "welcome"] {
        alice.type_line(line);
    }
    bob.stdout.wait_for_part("alice: welcome");
    alice.finish().assert_code(0);
    let bob = bob.finish().expect_code(0);
    assert!(!bob.stdout.contains("must not know"), "{bob:?}");
    assert!(!bob.stdout.contains("too late"), "{bob:?}");
}
