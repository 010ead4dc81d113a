//! README.md is typed into terminals as it stands there, block by block.
//!
//! A comment before a block says how: `in terminals: NAMES` types its lines into terminals of these names,
//! a line each where there are several, and leaves what they start running; `file: NAME` writes it;
//! `not run: WHY` leaves it out. Everything else is typed at one shell, and each line has to end with 0.

mod blocks;
mod shell;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use blocks::{Block, How};
use chat_tests::{Rig, binary, messages, workspace};
use shell::{PASSWORD, Shell};

/// What stands on the screen once what a line starts is ready.
const READY: &[(&str, &str)] = &[
    ("chat-server", "listening on"),
    (" agent ", "accepting commands"),
    (" share ", "files on the list"),
    ("chat-client", "connected to"),
];

/// Where the README is tried: a folder with what its reader has, and terminals.
struct Trial {
    rig: Rig,
    port: u16,
    terminals: BTreeMap<String, Shell>,
    /// Lines that every terminal begins with.
    first: Vec<String>,
}

impl Trial {
    fn new() -> Self {
        let rig = Rig::new();
        std::fs::create_dir(rig.path("target")).unwrap();
        symlink(binary("chat-server").parent().unwrap(), rig.path("target/release")).unwrap();
        std::fs::copy(messages(), rig.path("messages.txt")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { rig, port, terminals: BTreeMap::new(), first: Vec::new() }
    }

    /// A command in the folder, that sees nothing of whoever runs the tests.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CHAT_"))
        {
            command.env_remove(name);
        }
        command.current_dir(self.rig.path(".")).env("HOME", self.rig.path("nobody"));
        command.env_remove("XDG_DATA_HOME");
        // Somebody else may use the port of the README, and the disk may be fuller than a server likes.
        command.env("CHAT_SERVER_PORT", self.port.to_string());
        command.env("CHAT_SERVER", format!("ws://127.0.0.1:{}", self.port));
        command.env("CHAT_SERVER_LIMIT", "disk=off");
        command
    }

    fn terminal(&mut self, name: &str) -> &mut Shell {
        if !self.terminals.contains_key(name) {
            let mut shell = Shell::start(&self.command("bash"));
            for line in &self.first {
                shell.run(line);
            }
            self.terminals.insert(name.to_owned(), shell);
        }
        self.terminals.get_mut(name).unwrap()
    }

    /// Types a block, or writes it.
    fn take(&mut self, block: &Block) {
        match &block.how {
            How::Here if block.lines.iter().any(|line| line.starts_with("export PATH")) => {
                self.first.clone_from(&block.lines);
                self.terminal("");
            }
            How::Here => {
                for line in &block.lines {
                    self.terminal("").run(line);
                }
            }
            How::InTerminals(names) => {
                for (number, line) in block.lines.iter().enumerate() {
                    let name = names.get(number).or(names.last()).unwrap();
                    let starts = READY.iter().find(|(word, _)| line.contains(word));
                    let shell = self.terminal(name);
                    match starts {
                        Some((_, ready)) => shell.begin(line, ready),
                        None => shell.run(line),
                    }
                }
            }
            How::Dialogue => {
                for line in &block.lines {
                    match blocks::typed(line) {
                        Some((name, text)) => self.terminal(name).terminal.type_line(text),
                        None => self.terminal("alice").terminal.wait_for(blocks::certain(line)),
                    }
                }
            }
            How::File(name) => {
                let mut text = block.lines.join("\n") + "\n";
                if text.contains("the key that /fingerprint printed") {
                    let alice = &mut self.terminal("alice").terminal;
                    alice.types("/fingerprint", "in a policy: ");
                    let screen = alice.wait_for_rest_of_line();
                    text = text.replace("the key that /fingerprint printed", &screen);
                }
                self.rig.write(name, &text);
            }
            How::NotRun | How::Shown => {}
        }
    }

    /// What a pipe says to these lines of somebody who is not there yet.
    fn answers(&self, lines: &str) -> String {
        let mut command = self.command(binary("chat-client").to_str().unwrap());
        command.args(["--user", "dora", "--register"]).env("CHAT_PASSWORD", PASSWORD);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), lines.as_bytes()).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        for shell in self.terminals.values_mut() {
            shell.break_off();
        }
    }
}

/// Goal: whoever follows the README from its top to its end sees what it promises. (Steps 13 to 15 failed
/// as they were printed.)
#[test]
fn the_readme_runs_as_it_is_printed() {
    let page = std::fs::read_to_string(workspace().join("README.md")).unwrap();
    let mut trial = Trial::new();
    for block in blocks::read(&page) {
        trial.take(&block);
        // What is to be typed is known to the chat before the next section begins.
        if let How::InTerminals(names) = &block.how
            && names.contains(&"alice".to_owned())
        {
            let typed = blocks::typed_in_tables(&page);
            let said = trial.answers(&(typed.join("\n") + "\n"));
            assert!(typed.len() > 30 && said.contains("connected to"), "{said}");
            assert!(!said.contains("unknown command"), "{said}");
        }
    }
}
