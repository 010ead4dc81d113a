//! A chat in a shell that puts it aside and takes it up again.

use std::process::Command;

use chat_tests::{Client, Scene, Terminal};

/// A shell with job control at a terminal of its own, and the line that starts the chat of somebody there.
fn shell(client: &Client) -> (Terminal, String) {
    let chat = client.plain(&[]);
    let words = std::iter::once(chat.get_program()).chain(chat.get_args());
    let words: Vec<String> = words.map(|word| format!("'{}'", word.to_string_lossy())).collect();
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "-i"]);
    bash.envs(chat.get_envs().filter_map(|(name, value)| Some((name, value?))));
    bash.env("PS1", "shell> ").current_dir(chat.get_current_dir().unwrap());
    let shell = Terminal::start(&bash);
    shell.wait_for("shell> ");
    (shell, words.join(" "))
}

/// Goal: Ctrl-Z gives the shell its terminal as it was, and `fg` gives it back to the chat, with what has come meanwhile
/// and a prompt at which a line is typed and sent; and so once more. What was being typed before is not lost. Method: a real
/// shell, asked how its terminal is set; what it says is looked for behind what was on the screen before.
#[test]
fn ctrl_z_gives_the_shell_its_terminal_and_fg_gives_it_to_the_chat() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let (mut shell, chat) = shell(&scene.client("alice"));
    shell.types(&chat, "connected to");
    // Drawn anew below what is said; before that it may stand above it.
    shell.wait_for("alice #lobby> ");
    for round in 1..=2 {
        shell.type_keys(format!("begun {round}").as_bytes());
        shell.wait_for(&format!("begun {round}"));
        shell.type_keys(b"\x1a");
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
