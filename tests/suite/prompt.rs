//! The prompt says where text goes, also when that changes while it stands there.

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
