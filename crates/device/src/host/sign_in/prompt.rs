//! What a person is asked at the start.

use std::fmt;
use std::io::{self, Write as _};

use chat_protocol::fingerprint::Fingerprint;

use crate::password::Password;

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
