//! A person at a terminal who is asked at the start.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};

use chat_device::identity::is_yes;
use chat_device::password::Password;
use chat_device::sign_in::Next;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

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
pub(crate) struct TerminalPrompt;

impl TerminalPrompt {
    /// Whether a person can see questions and type answers.
    pub(crate) fn is_possible() -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Asks for one line.
    pub(crate) fn ask(question: &str) -> io::Result<String> {
        let mut error = io::stderr();
        write!(error, "{question}")?;
        error.flush()?;
        let mut line = String::new();
        if io::stdin().read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim().to_owned())
    }

    /// Tells a person what a dialog comes to, or asks.
    pub(crate) fn meet(next: Next) {
        match next {
            Next::Says(text) => Self::say(&text),
            Next::Password(ask) => {
                let password = Self::password(&ask.question);
                ask.answer(password);
            }
            Next::Confirm(ask) => {
                let is_yes = Self::ask(&ask.question).is_ok_and(|answer| {
                    matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes")
                });
                ask.answer(is_yes);
            }
            Next::ConfirmInFull(ask, words) => {
                let answer = Self::ask(&ask.question);
                ask.answer(answer.is_ok_and(|answer| is_yes(&answer) || words.is(&answer)));
            }
            Next::Line(ask) => {
                let line = Self::ask(&ask.question).ok().filter(|answer| !answer.is_empty());
                ask.answer(line);
            }
        }
    }

    /// Asks for a password, which no screen shows; nothing if nobody answers.
    pub(crate) fn password(question: &str) -> Option<Password> {
        let _silence = Silence::begin();
        loop {
            let typed = zeroize::Zeroizing::new(rpassword::prompt_password(question).ok()?);
            match Password::new(&typed) {
                Ok(password) => return Some(password),
                Err(error) => Self::say(&format!("This cannot be a password: {error}.")),
            }
        }
    }

    /// Says what goes on.
    pub(crate) fn say(text: &str) {
        // With a closed standard error there is nobody to tell.
        writeln!(io::stderr(), "{text}").ok();
    }
}
