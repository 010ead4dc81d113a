//! A `chat-client` of one user.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use crate::binary;
use crate::prepared::Prepared;
use crate::program::{Finished, Program};
use crate::rig::Rig;
use crate::terminal::Terminal;

/// The password of everybody who gives no other. Long and strange, so that a search finds only it.
pub const PASSWORD: &str = "velvet-anchor-7-gravel-trombone";

/// How to start the client for one user.
pub struct Client {
    base: Command,
    program: PathBuf,
    user: String,
    url: String,
    home: PathBuf,
    logs: PathBuf,
    password: String,
    prepared: Option<Arc<Prepared>>,
}

impl Client {
    pub(crate) fn new(rig: &Rig, user: &str, url: &str) -> Self {
        let program = binary("chat-client");
        Self {
            base: rig.command(&program),
            program,
            user: user.to_owned(),
            url: url.to_owned(),
            home: rig.path(&format!("home-{user}")),
            logs: rig.logs(),
            password: PASSWORD.to_owned(),
            prepared: rig.prepared(),
        }
    }

    /// The same with another password.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        password.clone_into(&mut self.password);
        self
    }

    /// The same with another home: another device.
    #[must_use]
    pub fn with_home(mut self, home: impl AsRef<Path>) -> Self {
        home.as_ref().clone_into(&mut self.home);
        self
    }

    /// The same with these variables in its environment.
    #[must_use]
    pub fn with_env<N: AsRef<str>, V: AsRef<str>>(
        mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        for (name, value) in variables {
            self.base.env(name.as_ref(), value.as_ref());
        }
        self
    }

    /// Where its keys are.
    pub fn home(&self) -> &Path {
        &self.home
    }

    fn command(&self, arguments: &[&str]) -> Command {
        if let Some(prepared) = &self.prepared {
            prepared.meets(&self.user);
        }
        let mut command = Command::new(&self.program);
        if let Some(folder) = self.base.get_current_dir() {
            command.current_dir(folder);
        }
        for (name, value) in self.base.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.args(["--server", &self.url, "--user", &self.user, "--key-bits", "2048"]);
        command.arg("--home").arg(&self.home).arg("--logs").arg(&self.logs);
        command.env("CHAT_PASSWORD", &self.password).args(arguments);
        command
    }

    /// The command itself, for who starts it with streams of their own. A new account is made.
    pub fn plain(&self, arguments: &[&str]) -> Command {
        // The keys of a home that is prepared open with this password.
        if self.password == PASSWORD
            && let Some(prepared) = &self.prepared
        {
            prepared.home(&self.user, &self.home);
        }
        let mut all = vec!["--register"];
        all.extend(arguments);
        self.command(&all)
    }

    /// Starts it at a terminal, where a person is asked for what is missing: the password too.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn at_terminal(&self, arguments: &[&str]) -> Terminal {
        let mut command = self.command(arguments);
        command.env_remove("CHAT_PASSWORD");
        Terminal::start(&command)
    }

    /// The same with its password known, and `after` in the shell when it has ended.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn at_terminal_before(&self, arguments: &[&str], after: &str) -> Terminal {
        Terminal::start_before(&self.plain(arguments), after)
    }

    /// Starts it with the full screen of a terminal of so many columns and rows, its password known, and `after` in
    /// the shell when it has ended.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn at_full_screen(&self, size: (u16, u16), after: &str) -> Terminal {
        self.at_full_screen_with(&[], size, after)
    }

    /// The same with these arguments.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn at_full_screen_with(
        &self,
        arguments: &[&str],
        size: (u16, u16),
        after: &str,
    ) -> Terminal {
        Terminal::start_full(&self.plain(arguments), size, after)
    }

    /// The same as what `through` starts: words before those of the program.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn at_terminal_through(&self, through: &[&str]) -> Terminal {
        Terminal::start(&self.through(through))
    }

    /// The command of a chat behind these words, which start it.
    pub fn through(&self, through: &[&str]) -> Command {
        let chat = self.plain(&[]);
        let mut command = beside("env", &chat);
        command.args(through).arg(chat.get_program()).args(chat.get_args());
        command
    }

    /// A shell with job control whose prompt is `shell> `, and the line that starts a chat there.
    pub fn shell(&self) -> (Command, String) {
        let chat = self.plain(&[]);
        let mut shell = beside("bash", &chat);
        shell.args(["--norc", "--noprofile", "-i"]).env("PS1", "shell> ");
        let words = std::iter::once(chat.get_program()).chain(chat.get_args());
        let words = words.map(|word| format!("'{}'", word.to_string_lossy()));
        (shell, words.collect::<Vec<_>>().join(" "))
    }

    /// Starts it with these arguments. The account is made when it is new.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(&self, arguments: &[&str]) -> Program {
        Program::start(self.plain(arguments))
    }

    /// Runs it with these arguments until it ends. The account is made when it is new.
    ///
    /// # Panics
    /// When it does not end in time.
    #[must_use]
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Finished {
        self.start(arguments).finish()
    }

    /// Runs it without `--register`: an account that is new is not made.
    ///
    /// # Panics
    /// When it does not end in time.
    #[must_use]
    #[track_caller]
    pub fn run_known(&self, arguments: &[&str]) -> Finished {
        Program::start(self.command(arguments)).finish()
    }

    /// Line mode with its standard input in our hands, connected when this returns.
    ///
    /// # Panics
    /// When it does not connect in time.
    pub fn chat(&self) -> Program {
        let program = self.start(&[]);
        program.stdout.wait_for_part("connected to");
        program
    }

    /// Line mode: types the lines, ends the input and waits for the end.
    ///
    /// # Panics
    /// When it does not end in time.
    #[must_use]
    #[track_caller]
    pub fn pipe(&self, lines: &[&str], arguments: &[&str]) -> Finished {
        let mut program = self.start(arguments);
        for line in lines {
            program.type_line(line);
        }
        program.finish()
    }
}

/// Another program where this command would run, and with its environment.
fn beside(program: &str, of: &Command) -> Command {
    let mut command = Command::new(program);
    command.envs(of.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = of.get_current_dir() {
        command.current_dir(folder);
    }
    command
}
