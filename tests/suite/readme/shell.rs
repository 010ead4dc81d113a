//! A shell in a terminal, at which somebody types commands and answers questions.

use std::process::Command;
use std::time::Duration;

use chat_tests::Terminal;

/// Of everybody.
pub(super) const PASSWORD: &str = "velvet-anchor-7-gravel-trombone";

/// The prompt, with how the last command ended before it.
const PROMPT: &str = "ended:$?> ";
const DONE: &str = "ended:0> ";

/// A server that says goodbye to everybody ends sooner.
const END: Duration = Duration::from_secs(20);

/// Questions that come, and the answers.
const ANSWERS: &[(&str, &str)] = &[
    ("Make a new account? [y/N] ", "y"),
    ("New password for ", PASSWORD),
    ("The same password again: ", PASSWORD),
    ("Password of ", PASSWORD),
    ("Do the words agree? Type yes", "yes"),
];

/// A shell.
pub(super) struct Shell {
    pub(super) terminal: Terminal,
    /// What runs there does not end by itself.
    is_busy: bool,
}

impl Shell {
    /// Starts `bash`, which `command` is.
    pub(super) fn start(command: &Command) -> Self {
        let mut shell = Command::new(command.get_program());
        shell.current_dir(command.get_current_dir().unwrap());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell.args(["--norc", "--noprofile", "-i"]).env("PS1", PROMPT);
        let terminal = Terminal::start(&shell);
        terminal.wait_for(DONE);
        Self { terminal, is_busy: false }
    }

    /// Types a command and waits until it has ended, with 0.
    #[track_caller]
    pub(super) fn run(&mut self, line: &str) {
        self.free();
        self.terminal.type_line(line);
        self.answer_until(DONE);
    }

    /// Types a command that goes on, and waits until it is ready.
    #[track_caller]
    pub(super) fn begin(&mut self, line: &str, ready: &str) {
        self.free();
        self.terminal.type_line(line);
        self.answer_until(ready);
        self.is_busy = true;
    }

    /// Ends what runs, also after a failure: a server and an agent outlive their terminal.
    pub(super) fn break_off(&mut self) {
        self.terminal.break_off("ended:", END);
    }

    /// Ends what runs, with Ctrl-C; it may have ended by itself.
    fn free(&mut self) {
        if std::mem::take(&mut self.is_busy) {
            self.terminal.interrupt();
            self.terminal.wait_for("ended:");
            // Whatever prompts there are by now, the next one is behind this.
            self.terminal.type_line("echo again-$((1 + 1))");
            self.terminal.wait_for("again-2");
            self.terminal.wait_for(DONE);
        }
    }

    /// Answers questions until this part stands on the screen. A command that fails is not waited for.
    #[track_caller]
    fn answer_until(&mut self, part: &str) {
        let mut parts = vec![part];
        parts.extend(ANSWERS.iter().map(|(question, _)| question));
        parts.extend(["ended:1", "ended:2", "ended:3", "ended:4", "ended:5", "ended:6", "ended:7"]);
        loop {
            let which = self.terminal.wait_for_one(&parts);
            if which == 0 {
                return;
            }
            let Some((_, answer)) = ANSWERS.get(which - 1) else {
                panic!("it failed; the screen:\n{}", self.terminal.text());
            };
            self.terminal.type_line(answer);
        }
    }
}
