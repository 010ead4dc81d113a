//! A person at a terminal who is asked at the start.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};

use chat_device::identity::is_yes;
use chat_device::password::Password;
use chat_device::sign_in::Next;
use chat_protocol::sanitise;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// The terminal as it was before a password was asked for.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Echo is off from before the question stands until the answer is there: who types ahead shows
/// nothing either. Put back when dropped.
struct Silence;

impl Silence {
    fn begin() -> Self {
        let silence = || -> io::Result<()> {
            let terminal = terminal()?;
            let before = tcgetattr(&terminal)?;
            let mut silent = before.clone();
            silent.local_modes.remove(LocalModes::ECHO);
            *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
            tcsetattr(&terminal, OptionalActions::Now, &silent)?;
            Ok(())
        };
        // Without it the prompt itself switches echo off, a moment later.
        silence().ok();
        Self
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        give_back();
    }
}

fn terminal() -> io::Result<File> {
    File::options().read(true).write(true).open("/dev/tty")
}

/// Puts the terminal back as it was. Also called at the end of the program: who ends it by a signal while a password is
/// asked for leaves the thread that reads it where it waits.
pub(crate) fn give_back() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let (Some(before), Ok(terminal)) = (before, terminal()) {
        // The terminal may be gone.
        tcsetattr(terminal, OptionalActions::Now, &before).ok();
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
        write!(error, "{}", sanitise::text(question))?;
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
        let question = sanitise::text(question);
        loop {
            let typed = zeroize::Zeroizing::new(rpassword::prompt_password(&*question).ok()?);
            match Password::new(&typed) {
                Ok(password) => return Some(password),
                Err(error) => Self::say(&format!("This cannot be a password: {error}.")),
            }
        }
    }

    /// Says what goes on.
    pub(crate) fn say(text: &str) {
        // With a closed standard error there is nobody to tell.
        writeln!(io::stderr(), "{}", sanitise::text(text)).ok();
    }
}
