//! A running `chat-server`.

use std::process::Command;

use crate::binary;
use crate::program::{Finished, Program};
use crate::rig::Rig;

/// A server that accepts connections; killed when dropped.
pub struct Server {
    program: Option<Program>,
    /// `ws://ADDRESS:PORT` or `wss://ADDRESS:PORT`.
    url: String,
}

impl Server {
    pub(crate) fn start(rig: &Rig, options: &[&str]) -> Self {
        Self::run(Self::command(rig, "0", options))
    }

    /// The server that this starts.
    ///
    /// # Panics
    /// When it does not start.
    pub fn run(command: Command) -> Self {
        let (program, url) = Self::listening(Program::start(command));
        Self { program: Some(program), url }
    }

    /// One that was started and may wait for something before it listens.
    ///
    /// # Panics
    /// When it does not listen at last.
    pub fn of(program: Program) -> Self {
        let (program, url) = Self::listening(program);
        Self { program: Some(program), url }
    }

    /// The command line of a server on the rig's folders.
    pub fn command(rig: &Rig, port: &str, options: &[&str]) -> Command {
        let mut command = rig.command(&binary("chat-server"));
        // The disk of whoever runs the tests may be fuller than a server likes.
        command.args(["--port", port, "--log-format", "text", "--limit", "disk=off"]);
        command.arg("--data").arg(rig.data()).arg("--logs").arg(rig.logs()).args(options);
        command
    }

    fn launch(rig: &Rig, port: &str, options: &[&str]) -> (Program, String) {
        Self::listening(Program::start(Self::command(rig, port, options)))
    }

    fn listening(program: Program) -> (Program, String) {
        let line = program.stderr.wait_for_part("listening on ws");
        let url = line.split_whitespace().find(|word| word.contains("://")).unwrap();
        let url = url.replace("0.0.0.0", "127.0.0.1");
        (program, url)
    }

    /// Where clients connect to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `ADDRESS:PORT`.
    ///
    /// # Panics
    /// Never: the address has a scheme.
    pub fn address(&self) -> &str {
        self.url.split_once("://").unwrap().1
    }

    /// The port.
    ///
    /// # Panics
    /// Never: the address has a port.
    pub fn port(&self) -> &str {
        self.url.rsplit_once(':').unwrap().1
    }

    /// The running program, for what it prints.
    ///
    /// # Panics
    /// When the server was killed.
    pub fn program(&self) -> &Program {
        self.program.as_ref().unwrap()
    }

    /// Its exit code, if it ends in this time.
    pub fn ends_within(&mut self, limit: std::time::Duration) -> Option<i32> {
        self.program.as_mut()?.ends_within(limit)
    }

    /// SIGKILL: no chance to save anything.
    pub fn kill_hard(&mut self) {
        if let Some(mut program) = self.program.take() {
            program.kill_hard();
        }
    }

    /// SIGTERM, and waits for the exit.
    ///
    /// # Panics
    /// When it does not end, or was killed before.
    #[must_use]
    pub fn terminate(mut self) -> Finished {
        let mut program = self.program.take().unwrap();
        program.terminate();
        program.wait()
    }

    /// Kills it and starts it again: same port, same data.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self, rig: &Rig, options: &[&str]) {
        self.kill_hard();
        let (program, url) = Self::launch(rig, self.port(), options);
        self.program = Some(program);
        self.url = url;
    }
}
