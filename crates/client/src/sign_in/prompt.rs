//! What a person is asked at the start.

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};

use chat_protocol::fingerprint::Fingerprint;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::config::Password;
use crate::identity::is_yes;

/// Answers questions. Called from a thread that may wait for a person.
pub trait Prompt: Send + Sync + fmt::Debug {
    /// Whether anybody can be asked.
    fn is_interactive(&self) -> bool;
    /// Asks for a password; nothing if nobody answers.
    fn password(&self, question: &str) -> Option<Password>;
    /// Asks for a yes.
    fn confirm(&self, question: &str) -> bool;
    /// Asks for a yes that nobody types in passing: the whole word, or what it is about.
    fn confirm_in_full(&self, question: &str, words: &Fingerprint) -> bool;
    /// Asks for a line that may be seen; nothing if nobody answers.
    fn line(&self, _question: &str) -> Option<String> {
        None
    }
    /// Says what goes on.
    fn say(&self, text: &str);
}

/// Nobody to ask. What goes on is said on standard error, unless silent.
#[derive(Debug, Clone, Copy)]
pub struct NoPrompt {
    /// Say nothing.
    pub silent: bool,
}

impl Prompt for NoPrompt {
    fn is_interactive(&self) -> bool {
        false
    }

    fn password(&self, _question: &str) -> Option<Password> {
        None
    }

    fn confirm(&self, _question: &str) -> bool {
        false
    }

    fn confirm_in_full(&self, _question: &str, _words: &Fingerprint) -> bool {
        false
    }

    fn say(&self, text: &str) {
        if !self.silent {
            // With a closed standard error there is nobody to tell.
            writeln!(io::stderr(), "{text}").ok();
        }
    }
}

/// Echo is off from before the question stands until the answer is there: who types ahead shows
/// nothing either. Put back when dropped.
struct Silence(Option<(File, Termios)>);

impl Silence {
    fn begin() -> Self {
        let silenced = || -> io::Result<(File, Termios)> {
            let terminal = File::options().read(true).write(true).open("/dev/tty")?;
            let before = tcgetattr(&terminal)?;
            let mut silent = before.clone();
            silent.local_modes.remove(LocalModes::ECHO);
            tcsetattr(&terminal, OptionalActions::Now, &silent)?;
            Ok((terminal, before))
        };
        // Without it the prompt itself switches echo off, a moment later.
        Self(silenced().ok())
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        if let Some((terminal, before)) = &self.0 {
            // The terminal may be gone.
            tcsetattr(terminal, OptionalActions::Now, before).ok();
        }
    }
}

/// A person at a terminal. Questions stand on standard error, so that standard output stays data.
#[derive(Debug, Clone, Copy)]
pub struct TerminalPrompt;

impl TerminalPrompt {
    /// Whether a person can see questions and type answers.
    pub fn is_possible() -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Asks for one line.
    pub fn ask(question: &str) -> io::Result<String> {
        let mut error = io::stderr();
        write!(error, "{question}")?;
        error.flush()?;
        let mut line = String::new();
        if io::stdin().read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim().to_owned())
    }
}

impl Prompt for TerminalPrompt {
    fn is_interactive(&self) -> bool {
        true
    }

    fn password(&self, question: &str) -> Option<Password> {
        let _silence = Silence::begin();
        loop {
            let typed = zeroize::Zeroizing::new(rpassword::prompt_password(question).ok()?);
            match Password::new(&typed) {
                Ok(password) => return Some(password),
                Err(error) => self.say(&format!("This cannot be a password: {error}.")),
            }
        }
    }

    fn line(&self, question: &str) -> Option<String> {
        Self::ask(question).ok().filter(|answer| !answer.is_empty())
    }

    fn confirm(&self, question: &str) -> bool {
        Self::ask(question)
            .is_ok_and(|answer| matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    fn confirm_in_full(&self, question: &str, words: &Fingerprint) -> bool {
        Self::ask(question).is_ok_and(|answer| is_yes(&answer) || words.is(&answer))
    }

    fn say(&self, text: &str) {
        // With a closed standard error there is nobody to tell.
        writeln!(io::stderr(), "{text}").ok();
    }
}
