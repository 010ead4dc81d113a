//! Names of people are unique whatever the case of their letters: one that is typed in another case is meant.

use chat_tests::{Scene, types};

use crate::suite::files::{folder, share};

/// Goal: whoever types a name in another case is understood at every command. (The build before found no
/// file of `ALICE`, shared with nobody, and had no history with `BOB`.)
#[test]
fn a_name_in_another_case_is_understood_by_every_command() {
    let scene = Scene::empty();
    let (alice, bob) = (scene.client("alice"), scene.client("bob"));
    bob.run(&["users"]).assert_code(0);
    let public = folder(&scene.rig, "public", "plan, plan.txt", &[("plan.txt", b"the plan")]);
    let private = folder(&scene.rig, "private", "note, note.txt", &[("note.txt", b"for bob")]);
    let target = scene.rig.path("fetched");
    std::fs::create_dir_all(&target).expect("made");
    let target = target.display().to_string();

    let _public = share(&alice, &public, "ALL");
    bob.run(&["get", "ALICE", "plan.txt", "-o", &target]).assert_code(0);

    let dave = scene.client("dave");
    let _private = share(&dave, &private, "BOB");
    bob.run(&["get", "Dave", "note.txt", "-o", &target]).assert_code(0);

    bob.run(&["send", "Alice", "hello"]).assert_code(0);
    let said = bob.run(&["history", "aLICE"]).expect_code(0);
    assert!(said.stdout.contains("you → alice: hello"), "{said:?}");

    let mut carol = scene.client("carol").chat();
    types(&mut carol, "Bob*hello", "kept for bob");
    carol.finish().assert_code(0);
}
