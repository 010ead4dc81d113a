//! The password as it comes from a file, the environment or a prompt.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use thiserror::Error;
use zeroize::Zeroizing;

/// A passphrase of twenty words has 150 bytes; a file of a mebibyte is the wrong file.
const PASSWORD_BYTES_MAX: usize = 1024;

/// A password that no debug output shows and that is wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes what was typed or read; a line end at its end does not count.
    pub fn new(password: &str) -> Result<Self, PasswordError> {
        let password = password.strip_suffix('\n').unwrap_or(password);
        let password = password.strip_suffix('\r').unwrap_or(password);
        match password.len() {
            0 => Err(PasswordError::Empty),
            bytes if bytes > PASSWORD_BYTES_MAX => Err(PasswordError::TooLong { bytes }),
            _ => Ok(Self(Zeroizing::new(password.to_owned()))),
        }
    }

    /// The password itself, for the derivation of keys.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Reads it from a file, which is read no further than a password can be long.
    pub fn read(path: &Path) -> Result<Self, PasswordError> {
        let mut text = Zeroizing::new(String::with_capacity(PASSWORD_BYTES_MAX + 4));
        let limit = u64::try_from(PASSWORD_BYTES_MAX + 3).unwrap_or(u64::MAX);
        File::open(path)
            .and_then(|file| file.take(limit).read_to_string(&mut text))
            .map_err(PasswordError::Read)?;
        Self::new(&text)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        formatter.write_str("Password(..)")
    }
}

/// Why a password cannot be used.
#[derive(Debug, Error)]
pub enum PasswordError {
    /// No character.
    #[error("it is empty")]
    Empty,
    /// Longer than a password may be.
    #[error("it has {bytes} bytes, at most {PASSWORD_BYTES_MAX} are accepted")]
    TooLong {
        /// Its length; of a file, what was read of it.
        bytes: usize,
    },
    /// The environment's value is no text.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// The file cannot be read.
    #[error("{0}")]
    Read(io::Error),
}
