//! What somebody says who is ignored is hidden wherever the home is read, and they make no noise.

use chat_tests::{Scene, types};

/// Columns and rows: list, log and members have room.
const WIDE: (u16, u16) = (120, 30);

/// Goal: a search and the history show nothing that an ignored person has said, on the full screen and in scripts.
/// (The build before showed it in the search of the full screen and in the commands that read the home alone.)
#[test]
fn what_an_ignored_person_has_said_is_found_nowhere() {
    let (scene, [mut bob, mut mallory]) = Scene::with(["bob", "mallory"]);
    let mut chat = scene.at_full_screen("alice", WIDE);
    types(&mut mallory, "needle of mallory", "✓✓");
    types(&mut bob, "needle of bob", "✓✓");
    chat.wait_until_seen("bob: needle of bob");
    chat.type_line("/ignore mallory");
    chat.wait_until_seen("what mallory says is hidden");
    chat.type_line("/clear");
    chat.wait_until_gone("needle of mallory");
    chat.type_line("/search needle");
    chat.wait_until_seen("needle of bob");
    assert!(!chat.picture().contains("needle of mallory"), "{}", chat.picture());
    mallory.type_line("/leave");
    mallory.type_line("/join lobby");
    mallory.stdout.wait_for_count(2, |line| line.contains("you are in #lobby"));
    types(&mut bob, "and on", "✓✓");
    chat.wait_until_seen("bob: and on");
    assert!(!chat.picture().contains("[mallory]"), "{}", chat.picture());
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
    let alice = scene.client("alice");
    for command in
        [&["search", "needle"][..], &["history", "lobby"], &["history", "lobby", "--json"]]
    {
        let shown = alice.run(command).expect_code(0).stdout;
        assert!(shown.contains("needle of bob"), "{command:?}: {shown}");
        assert!(!shown.contains("needle of mallory"), "{command:?}: {shown}");
        let is_page = command.contains(&"history");
        assert_eq!(shown.contains("(hidden: you ignore them)"), is_page, "{command:?}: {shown}");
    }
}

/// Goal: whoever is away sees what was said in their name, and to whom.
#[test]
fn whoever_is_away_sees_who_was_told() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let mut alice = scene.at_terminal("alice");
    alice.types("/away at the sea", "you are away (at the sea)");
    types(&mut bob, "alice*are you there", "alice is away: at the sea");
    alice.wait_for("bob has written, and was told that you are away: at the sea");
    alice.type_line("/quit");
    assert_eq!(alice.wait(), Some(0));
}
