//! The key that servers of one log share, and Redis does not have. It lies in a file, as 64 hexadecimal digits.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use chat_protocol::crypto::random;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    order::{batch::Seal, words::WordSeal},
    private_file::{self, FileError, MODE, PrivateFileError},
    relay::link::LinkSeal,
};

/// Batches of one log are sealed alike however often it was opened: each has a number that is never used again.
const GENERATION: u32 = 1;

/// Why the key cannot be used.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// The file could not be read or written, or others can read it.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// Not what a server has written.
    #[error("{} is no key of servers: 64 hexadecimal digits were expected; copy it from another server", .0.display())]
    Damaged(PathBuf),
}

/// The key.
pub(super) struct ClusterKey(Zeroizing<[u8; 32]>);

impl ClusterKey {
    /// Reads it, if it is there.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, KeyFileError> {
        let Some(text) = private_file::read_if_there(path)? else { return Ok(None) };
        let digits = text.trim_ascii();
        let mut key = Zeroizing::new([0; 32]);
        let is_whole = digits.len() == 64;
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            let digits = std::str::from_utf8(pair).ok().filter(|pair| !pair.starts_with('+'));
            let read = digits.and_then(|pair| u8::from_str_radix(pair, 16).ok());
            *byte = read.ok_or_else(|| KeyFileError::Damaged(path.to_owned()))?;
        }
        if is_whole { Ok(Some(Self(key))) } else { Err(KeyFileError::Damaged(path.to_owned())) }
    }

    /// Makes it, unless somebody else does at the same time: then it is theirs, and the answer says so. It is
    /// never there in part.
    pub(super) fn make(path: &Path) -> Result<(Self, bool), KeyFileError> {
        let failed = |source| PrivateFileError::from(FileError::of("write", path)(source));
        let key = Zeroizing::new(random::<32>());
        let text = Zeroizing::new(crate::hex::hex(&*key) + "\n");
        // Several may make one at the same time, also in containers where each is the first process.
        let new = path.with_extension(format!("key.new-{}", crate::hex::hex(&random::<8>())));
        let write = || -> io::Result<bool> {
            private_file::write_new(&new, MODE, text.as_bytes())?;
            match fs::hard_link(&new, path) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(error),
            }
        };
        let is_mine = write();
        // What a failure has left is of no use to anybody.
        fs::remove_file(&new).ok();
        if is_mine.map_err(failed)? {
            return Ok((Self(key), true));
        }
        let there = Self::read(path)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        Ok((there, false))
    }

    /// What seals the batches of a log.
    pub(super) fn seal(&self, log: [u8; 16]) -> Seal {
        Seal::new(&self.0, log, GENERATION)
    }

    /// What seals words of hubs about files.
    pub(super) fn link_seal(&self, log: [u8; 16]) -> LinkSeal {
        LinkSeal::new(&self.0, log)
    }

    /// What seals words of hubs beside the log.
    pub(super) fn words(&self, log: [u8; 16]) -> WordSeal {
        WordSeal::new(&self.0, log)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.key");
        assert!(ClusterKey::read(&path).unwrap().is_none());
        let (key, is_mine) = ClusterKey::make(&path).unwrap();
        let (same, is_mine_again) = ClusterKey::make(&path).unwrap();
        assert!(is_mine && !is_mine_again && *key.0 == *same.0);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        let sealed = key.words([1; 16]).seal("identity", b"secret");
        assert_eq!(same.words([1; 16]).open("identity", &sealed).unwrap().as_slice(), b"secret");
        assert!(same.words([2; 16]).open("identity", &sealed).is_none(), "of another log");
        assert!(same.words([1; 16]).open("settings", &sealed).is_none(), "something else");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            ClusterKey::read(&path),
            Err(KeyFileError::File(PrivateFileError::Exposed { .. }))
        ));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.key");
        for text in ["", "00", &"zz".repeat(32), &"00".repeat(33), &"+0".repeat(32)] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(MODE)).unwrap();
            assert!(matches!(ClusterKey::read(&path), Err(KeyFileError::Damaged(_))), "{text}");
        }
    }
}
