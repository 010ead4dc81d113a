//! Programs whose clocks differ, and a chat that is open at midnight. Skipped where `faketime` is missing.

use std::time::Duration;

use chat_tests::{FalseClock, Rig, Scene, Server};

use crate::suite::commands_end::{Machines, NAPS};

/// Goal: a command runs while clocks differ by what is allowed, on either side. (An older build refused
/// everybody whose clock was a minute behind.)
#[test]
fn a_command_runs_under_a_clock_that_is_a_few_minutes_off() {
    let Some(clock) = FalseClock::found() else { return };
    let machines = Machines::new(NAPS, "shell = true");
    let _agent = machines.agent();
    for time in ["-280s", "-70s", "+70s", "+280s"] {
        let alice = machines.rig.client("alice", machines.server.url()).with_env(clock.at(time));
        let ran = alice.run(&["run", "web1", "--", "sh", "-c", "echo ran"]);
        assert_eq!((ran.code, &*ran.stdout), (Some(0), "ran\n"), "{time}: {ran:?}");
    }
}

/// Goal: whose clock is far ahead is told so, and what they write shows both times to others.
#[test]
fn a_clock_far_ahead_is_named_and_a_message_shows_both_times() {
    let Some(clock) = FalseClock::found() else { return };
    let (scene, [bob]) = Scene::with(["bob"]);
    let alice = scene.client("alice");
    alice.run(&["users"]).assert_code(0);
    let ahead = alice.with_env(clock.at("+20m"));
    let sent = ahead.run(&["send", "bob", "from the future"]);
    assert!(sent.stderr.contains("the clock of this machine is "), "{sent:?}");
    assert!(sent.stderr.contains(" minutes ahead of the server's"), "{sent:?}");
    let line = bob.stdout.wait_for_part("from the future");
    assert!(line.contains(" by the server's clock): from the future"), "{line}");
}

/// Goal: a chat that is open at midnight says that another day begins. Method: everybody's clock starts
/// just before it.
#[test]
fn a_chat_that_is_open_at_midnight_says_the_date() {
    let Some(clock) = FalseClock::found() else { return };
    let rig = Rig::new();
    let evening = |time: &str| clock.at(&format!("@2026-03-14 {time}"));
    let mut command = Server::command(&rig, "0", &[]);
    command.envs(evening("23:58:00"));
    let server = Server::run(command);
    let alice = rig.client("alice", server.url()).with_env(evening("23:58:00"));
    let bob = rig.client("bob", server.url()).with_env(evening("23:58:00"));
    for client in [&alice, &bob] {
        client.run(&["users"]).assert_code(0);
    }
    let mut bob = bob.chat();
    let alice = alice.with_env(evening("23:59:50"));
    let mut chat = alice.at_terminal_before(&[], "");
    chat.wait_for("alice #lobby>");
    bob.type_line("in the evening");
    chat.wait_for("bob: in the evening");
    let is_told = (0..60).any(|number| {
        bob.type_line(&format!("tick {number}"));
        chat.shows_within("── Sunday, 15 March 2026 ──", Duration::from_secs(1))
    });
    let text = chat.text();
    assert!(is_told, "{text}");
    assert_eq!(text.matches("── ").count(), 1, "once: {text}");
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
}

/// Goal: an agent whose clock was three days ahead for a while refuses nobody once it is right. (An older
/// build answered `E_EXPIRED` for two days.)
#[test]
fn an_agent_whose_clock_was_days_ahead_refuses_nobody_afterwards() {
    let Some(clock) = FalseClock::found() else { return };
    let machines = Machines::new(NAPS, "shell = true");
    // Its account is made while the clock is right.
    drop(machines.agent());
    let web = machines.rig.client("web1", machines.server.url()).with_env(clock.at("+3d"));
    let ahead = machines.agent_of(&web);
    ahead.stderr.wait_for_part("the clock of this machine is ");
    let run = ["run", "web1", "--", "sh", "-c", "echo ran"];
    let refused = machines.alice.run(&run);
    assert_eq!(refused.code, Some(255), "{refused:?}");
    drop(ahead);
    let _right = machines.agent();
    for _ in 0..2 {
        let ran = machines.alice.run(&run);
        assert_eq!((ran.code, &*ran.stdout), (Some(0), "ran\n"), "{ran:?}");
    }
}
