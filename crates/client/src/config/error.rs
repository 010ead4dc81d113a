//! Why a command line cannot be followed.

use thiserror::Error;

use super::file::{FileError, Origin};
use super::{PasswordError, ServerUrl, ServerUrlError};
use crate::exit::ExitStatus;

/// Why the command line cannot be followed. Nothing has been tried yet.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// clap's own word; also `--help` and `--version`. It knows where to print itself.
    #[error("{0}")]
    Arguments(#[from] clap::Error),
    /// Two things to do at once.
    #[error("--emulate takes no command; leave out one of the two")]
    EmulateWithVerb,
    /// A flag that would do nothing.
    #[error("--{flag} is for the chat; {verb} does not take it")]
    OfChat {
        /// The flag.
        flag: String,
        /// The command.
        verb: String,
    },
    /// A value of the file of configuration cannot be used.
    #[error("{origin}: {source}")]
    InFile {
        /// Where it stands.
        origin: Origin,
        /// What is wrong with it.
        source: Box<Self>,
    },
    /// The file of configuration cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A one-shot command must not ask.
    #[error("{verb} needs a name: give --user NAME or set CHAT_USER")]
    NoUser {
        /// The command.
        verb: String,
    },
    /// Not an address.
    #[error("--server: {0}")]
    Server(#[from] ServerUrlError),
    /// Sign-in would cross a network readable.
    #[error(
        "{url} is not on this machine and not encrypted; use wss://, \
         or --insecure to let anybody on the way see who talks to whom"
    )]
    PlainBeyondLoopback {
        /// The address.
        url: ServerUrl,
    },
    /// The password file or the environment's password cannot be used.
    #[error("cannot use the password of {origin}: {source}")]
    Password {
        /// Where it comes from.
        origin: String,
        /// What is wrong.
        source: PasswordError,
    },
    /// Neither `--home` nor a home folder.
    #[error("no home folder is known; give --home DIR")]
    NoHome,
    /// Not a size that the protocol accepts.
    #[error("--key-bits: expected 2048, 3072 or 4096, got {0}")]
    KeyBits(u32),
}

impl ConfigError {
    /// The option whose value is wrong.
    pub(super) fn key(&self) -> Option<&'static str> {
        match self {
            Self::Server(_) | Self::PlainBeyondLoopback { .. } => Some("server"),
            Self::Password { .. } => Some("password_file"),
            Self::KeyBits(_) => Some("key_bits"),
            _ => None,
        }
    }

    /// 2, but 0 for `--help` and `--version`.
    pub fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Arguments(error) if error.exit_code() == 0 => ExitStatus::Ok,
            _ => ExitStatus::Usage,
        }
    }
}
