//! A line that was typed is not lost with what should have kept it.

use chat_tests::Scene;

/// Goal: when the disk is full, the line that could not be sent stands in the editor again, beside the
/// reason. (The build before showed it once more and left the editor empty.)
#[test]
fn a_line_that_a_full_disk_refused_stands_in_the_editor_again() {
    let scene = Scene::empty();
    // A program that is told of a full disk by a signal would end at once.
    let trap = ["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"];
    let mut chat = scene.client("alice").at_terminal_through(&trap);
    chat.wait_for("alice #lobby>");
    chat.fill_disk("chat-client");
    chat.types("a line that took long", "press Enter to leave");
    chat.wait_for("alice #lobby> a line that took long");
    chat.type_line("");
    assert_eq!(chat.wait(), Some(70));
    let text = chat.text();
    for part in ["✗ this was not sent: a line that took long", "✗ the home's database: "] {
        assert!(text.contains(part), "{part} in {text}");
    }
}
