//! Programs of the client that are ended by a signal, and a chat that a shell puts aside and takes up again.

use std::fs;

use chat_tests::{Scene, Signal, Terminal};

/// Goal: whoever ends one finds the same exit code whichever it was and however it was ended. Before: an agent and a
/// `share` ended with 0 after SIGTERM, and SIGQUIT killed them; `find` died of SIGTERM.
#[test]
fn whoever_is_ended_by_a_signal_ends_with_130() {
    let scene = Scene::empty();
    let policy = scene.rig.path("policy.toml");
    fs::write(&policy, "").unwrap();
    let folder = scene.rig.path("shared");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("keyword.txt"), "one, one.txt\n").unwrap();
    fs::write(folder.join("one.txt"), "1").unwrap();
    let client = scene.client("alice");
    let agent = ["agent", "--policy", policy.to_str().unwrap()];
    let share = ["share", folder.to_str().unwrap()];
    for signal in [Signal::TERM, Signal::QUIT, Signal::INT] {
        let mut agent = client.start(&agent);
        agent.stderr.wait_for_part("accepting commands");
        if signal == Signal::TERM {
            agent.signal(Signal::HUP);
            agent.stderr.wait_for_part("the policy was read again");
        }
        agent.signal(signal);
        agent.wait().assert_code(130);
        let mut share = client.start(&share);
        share.stderr.wait_for_part("files on the list: 1");
        share.signal(signal);
        share.wait().assert_code(130);
        let mut chat = client.chat();
        chat.signal(signal);
        chat.wait().assert_code(130);
    }
}

/// Goal: Ctrl-Z gives the shell its terminal as it was, and `fg` gives it back to the chat, with what has come meanwhile
/// and a prompt at which a line is typed and sent; and so once more, put to sleep by somebody else. What was being typed before is not lost. Method: a real
/// shell, asked how its terminal is set; what it says is looked for behind what was on the screen before.
#[test]
fn ctrl_z_gives_the_shell_its_terminal_and_fg_gives_it_to_the_chat() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let (shell, chat) = scene.client("alice").shell();
    let mut shell = Terminal::start(&shell);
    shell.wait_for("shell> ");
    shell.types(&chat, "connected to");
    // Drawn anew below what is said; before that it may stand above it.
    shell.wait_for("alice #lobby> ");
    for round in 1..=2 {
        shell.type_keys(format!("begun {round}").as_bytes());
        shell.wait_for(&format!("begun {round}"));
        if round == 1 {
            shell.type_keys(b"\x1a");
        } else {
            shell.signal("chat-client", Signal::TSTP);
        }
        shell.wait_for("Stopped");
        shell.wait_for("shell> ");
        let before = shell.text().len();
        shell.type_line("stty -a; echo settings-$((1 + 1))");
        shell.wait_for("settings-2");
        let settings = shell.text().split_off(before);
        for set in ["icanon", "echo", "isig", "iexten", "icrnl"] {
            assert!(settings.split_whitespace().any(|word| word == set), "{set}: {settings}");
        }
        let said = format!("meanwhile, {round}");
        bob.type_line(&said);
        let is_stored = |line: &str| line.contains("stored for #lobby");
        bob.stdout.wait_for_count(round, is_stored);
        shell.types("fg", &format!("bob: {said}"));
        shell.wait_for(&format!("alice #lobby> begun {round}"));
        shell.type_line(", and ended");
        bob.stdout.wait_for_part(&format!("alice: begun {round}, and ended"));
    }
    shell.types("/quit", "shell> ");
}

/// Goal: where no shell could take it up again, Ctrl-Z puts nothing aside. Method: the chat is the only program of its
/// terminal, as in a window that was opened for it, in both modes. (The build before stopped for good at the full screen.)
#[test]
fn ctrl_z_without_a_shell_stops_nothing() {
    let (scene, [bob]) = Scene::with(["bob"]);
    let in_lines = scene.at_terminal("alice");
    let in_full = scene.at_full_screen("carol", (100, 30));
    for (mut chat, who) in [(in_lines, "alice"), (in_full, "carol")] {
        chat.type_keys(b"\x1astill ");
        chat.type_line("here");
        bob.stdout.wait_for_part(&format!("{who}: still here"));
        chat.type_line("/quit");
        assert_eq!(chat.wait(), Some(0));
    }
}
