//! Commands of a machine that does not answer: until when they can start, and that nobody asks for one a second time by
//! accident.

use std::time::Duration;

use chat_tests::{PASSWORD, Signal};

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

/// Goal: a second Ctrl-C, or a service manager that ends a `run` twice, leaves its words in doubt while its machine
/// has said nothing. (The build before forgot the command and took the same words again.) Method: the machine stands
/// still.
#[test]
fn what_is_left_by_a_second_signal_is_in_doubt() {
    let machines = Machines::new(NAPS, "shell = true");
    let agent = machines.agent();
    agent.signal(Signal::STOP);
    let words = ["run", "--json", "web1", "--", "sh", "-c", "true"];
    let mut run = machines.alice.start(&words);
    run.stdout.wait_for_part("QUEUED");
    run.signal(Signal::INT);
    run.stderr.wait_for_part("once more leaves it");
    run.signal(Signal::TERM);
    let left = run.wait().expect_code(130);
    for part in ["has not said whether the command is cancelled", "--again only"] {
        assert!(left.stderr.contains(part), "{part}: {left:?}");
    }
    let again = machines.alice.run(&words);
    assert!(again.stderr.contains("--again"), "{again:?}");
    agent.signal(Signal::CONT);
}

/// Goal: whoever leaves the chat while a command has not started is told until when it can, and its words are in doubt.
/// (The build before took the same words again.)
#[test]
fn what_has_not_started_when_the_chat_is_left_is_in_doubt() {
    let machines = Machines::new(NAPS, "shell = true");
    let agent = machines.agent();
    agent.signal(Signal::STOP);
    let mut chat = machines.alice.at_terminal(&[]);
    chat.answer("Password", PASSWORD);
    chat.wait_for("alice #lobby>");
    chat.type_line("/run web1 -- sh -c true");
    chat.types("/quit", "web1 has not started a command yet");
    assert_eq!(chat.wait(), Some(0));
    let again = machines.alice.run(&["run", "web1", "--", "sh", "-c", "true"]);
    assert!(again.stderr.contains("--again"), "{again:?}");
    agent.signal(Signal::CONT);
}
