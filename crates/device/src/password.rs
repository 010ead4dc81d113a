//! The password as it comes from a file, the environment or a prompt.

use std::fmt;
use std::io::{self, Read};

use thiserror::Error;
use zeroize::Zeroizing;

use crate::text_lines::BYTE_ORDER_MARK;

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

    /// Reads the first line of a file, which is read no further than a password can be long.
    /// Whatever follows it does not count, nor does a byte order mark before it.
    pub fn read(file: impl Read) -> Result<Self, PasswordError> {
        // One byte more than the longest line that is good, with the mark and its end.
        let limit = BYTE_ORDER_MARK.len() + PASSWORD_BYTES_MAX + 3;
        let mut bytes = Zeroizing::new(Vec::with_capacity(limit));
        file.take(u64::try_from(limit).unwrap_or(u64::MAX))
            .read_to_end(&mut bytes)
            .map_err(PasswordError::Read)?;
        let text = bytes.strip_prefix(BYTE_ORDER_MARK.as_bytes()).unwrap_or(&bytes);
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        Self::new(std::str::from_utf8(line).map_err(|_| PasswordError::NotUtf8)?)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8]) -> Result<String, PasswordError> {
        Password::read(content).map(|password| password.expose().to_owned())
    }

    #[test]
    fn the_first_line_is_the_password_whatever_follows() {
        let longest = "x".repeat(PASSWORD_BYTES_MAX);
        let followed = [longest.as_bytes(), "\n\u{fc}\n".repeat(500).as_bytes()].concat();
        assert_eq!(read(&followed).unwrap(), longest);
        for file in
            ["se cret", "se cret\n", "se cret\r\n", "se cret\nnotes\n", "\u{feff}se cret\n\n"]
        {
            assert_eq!(read(file.as_bytes()).unwrap(), "se cret", "{file:?}");
        }
        assert!(matches!(read(b"\nsecond"), Err(PasswordError::Empty)));
        assert!(matches!(read(b"\xff\xfe\n"), Err(PasswordError::NotUtf8)));
        let long = format!("{longest}x");
        assert!(matches!(read(long.as_bytes()), Err(PasswordError::TooLong { .. })));
    }
}
