//! Commands that are asked for in the chat, of a machine that is away.

use std::time::Duration;

use crate::suite::commands_end::{Machines, NAPS};

/// So long a command can start, and the chat says when that is over: 75 s, and some for a slow machine.
const START_MAX: Duration = Duration::from_secs(100);

/// Goal: the chat says until when a command can start, and what the server could still do when that is over; what
/// did not start in time does not start when the machine is back, and that is said. (The build before called it
/// sure when only the server knew.)
#[test]
fn the_chat_says_until_when_a_command_can_start_and_when_that_is_over() {
    let machines = Machines::new(NAPS, "shell = true");
    let agent = machines.agent();
    drop(agent);
    let mark = machines.rig.path("mark").display().to_string();
    let mut chat = machines.alice.at_terminal_before(&[], "");
    chat.wait_for("alice #lobby>");
    chat.types(
        &format!("/run web1 -- sh -c 'touch {mark}'"),
        "it starts if the machine is here by ",
    );
    let over = "✗ no answer came from web1 in time; the command is taken back. If the server holds that back";
    assert!(chat.shows_within(over, START_MAX), "{}", chat.text());
    chat.types(
        &format!("/run web1 -- sh -c 'touch {mark}'"),
        "or say --again to ask for it once more",
    );
    let _agent = machines.agent();
    chat.wait_for("! web1 answers a command that was given up");
    chat.wait_for("NOACK E_EXPIRED");
    chat.types("/run web1 -- sh -c 'echo back'", "│ back");
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
    assert!(!std::path::Path::new(&mark).exists(), "it was started");
    let text = chat.text();
    assert!(!text.contains("an earlier message"), "{text}");
}
