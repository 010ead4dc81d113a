//! Names of people are unique whatever the case of their letters: one that is typed in another case is meant.

use chat_tests::{Rig, types};

use crate::suite::files::{folder, share};

/// Goal: whoever types a name in another case is understood at every command. (The build before found no
/// file of `ALICE`, shared with nobody, and had no history with `BOB`.)
#[test]
fn a_name_in_another_case_is_understood_by_every_command() {
    let rig = Rig::new();
    let server = rig.server();
    let (alice, bob) = (rig.client("alice", server.url()), rig.client("bob", server.url()));
    bob.run(&["users"]).assert_code(0);
    let public = folder(&rig, "public", "plan, plan.txt", &[("plan.txt", b"the plan")]);
    let private = folder(&rig, "private", "note, note.txt", &[("note.txt", b"for bob")]);
    let target = rig.path("fetched");
    std::fs::create_dir_all(&target).expect("made");
    let target = target.display().to_string();

    let _public = share(&alice, &public, "ALL");
    bob.run(&["get", "ALICE", "plan.txt", "-o", &target]).assert_code(0);

    let dave = rig.client("dave", server.url());
    let _private = share(&dave, &private, "BOB");
    bob.run(&["get", "Dave", "note.txt", "-o", &target]).assert_code(0);

    bob.run(&["send", "Alice", "hello"]).assert_code(0);
    let said = bob.run(&["history", "aLICE"]).expect_code(0);
    assert!(said.stdout.contains("you → alice: hello"), "{said:?}");

    let mut carol = rig.client("carol", server.url()).chat();
    types(&mut carol, "Bob*hello", "kept for bob");
    carol.finish().assert_code(0);
}
