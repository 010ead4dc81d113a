//! Whoever waits no longer for a command asks for it no second time by accident.

use chat_tests::{PASSWORD, Signal};

use super::commands_end::{Machines, NAPS};

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
