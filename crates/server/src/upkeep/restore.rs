//! Puts a backup back. What was there is kept beside it.
//!
//! The state of the server's own agent stays out: its journal would know less than has been run, and its
//! chains would use counters that were used. It begins anew, which every device of the server's bundle
//! sees (another restart nonce), so no command of before runs a second time.

use std::{
    error::Error,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::{
    backup::{
        BackupError, beside, check_database, copy_file, failed, is_archive, make_folder,
        sync_folder,
    },
    manifest::{self, LAYOUT, Manifest},
};
use crate::{
    lock::{FolderLock, Kind},
    store::DATABASE_FILE,
};

/// What is left out, for the reason on top of this file.
const LEFT_OUT: &str = "agent/";

/// Files of a backup: an archive with more was not made by this program.
const ENTRIES_MAX: usize = 64;

/// What was put back.
#[derive(Debug)]
pub struct Restored {
    /// Where what was there before is now, if anything was.
    pub replaced: Option<PathBuf>,
    /// What the backup says of itself.
    pub manifest: Manifest,
}

/// Puts `source` in the place of `data`, when all of it is in order.
pub fn restore(source: &Path, data: &Path) -> Result<Restored, BackupError> {
    let part = beside(data, ".restoring");
    if fs::symlink_metadata(&part).is_ok() {
        fs::remove_dir_all(&part).map_err(failed("remove", &part))?;
    }
    let restored = prepare(source, &part).and_then(|manifest| put(&part, data, manifest));
    if restored.is_err() {
        // What is half done helps nobody.
        fs::remove_dir_all(&part).ok();
    }
    restored
}

fn prepare(source: &Path, part: &Path) -> Result<Manifest, BackupError> {
    if is_archive(source) {
        let unpacked = beside(part, ".tar");
        make_folder(&unpacked)?;
        let manifest = unpack(source, &unpacked).and_then(|()| take(&unpacked, part));
        fs::remove_dir_all(&unpacked).ok();
        return manifest.map_err(|error| error.renamed(&unpacked, source).renamed(part, source));
    }
    if source.is_file() {
        let what = "it is neither a folder nor an archive whose name ends with .tar".to_owned();
        return Err(BackupError::Strange { path: source.to_owned(), what });
    }
    take(source, part).map_err(|error| error.renamed(part, source))
}

/// Why a file of an archive cannot be written, or be read to its end. The archive's reader puts words around the
/// reason that say less than that the disk is full.
fn unwritten(error: &io::Error, folder: &Path) -> io::Error {
    let mut reason: &dyn Error = error;
    while let Some(inner) = reason.source() {
        reason = inner;
    }
    let words = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            let place = folder.parent().unwrap_or(folder).display();
            format!("{reason}; the copy is not the matter: make room in {place}")
        }
        _ => reason.to_string(),
    };
    io::Error::new(error.kind(), words)
}

/// Unpacks the plain files of an archive, and nothing outside of the folder.
fn unpack(source: &Path, folder: &Path) -> Result<(), BackupError> {
    let file = File::open(source).map_err(failed("read", source))?;
    let length = file.metadata().map_err(failed("read", source))?.len();
    let strange = |what: &str| BackupError::Strange { path: source.to_owned(), what: what.into() };
    let mut archive = tar::Archive::new(file);
    archive.set_preserve_permissions(false);
    let entries = archive.entries().map_err(failed("read", source))?;
    for (number, entry) in entries.enumerate() {
        // The reader's own words hold bytes of the file.
        let mut entry = entry.map_err(|error| match (error.raw_os_error(), number) {
            (Some(_), _) => failed("read", source)(error),
            (None, 0) => strange("it is no archive, whatever its name says"),
            (None, _) => strange("the copy is damaged; look for a whole one"),
        })?;
        // Said here: the archive's reader calls it a file that cannot be written.
        if entry.raw_file_position().saturating_add(entry.size()) > length {
            return Err(strange("the copy ends in the middle; look for a whole one"));
        }
        let is_plain = matches!(
            entry.header().entry_type(),
            tar::EntryType::Regular | tar::EntryType::Directory
        );
        let is_known = number < ENTRIES_MAX && is_plain;
        let unpacked = if is_known { entry.unpack_in(folder) } else { Ok(false) };
        match unpacked {
            Ok(true) => {}
            Ok(false) => return Err(strange("it holds something that no backup holds")),
            Err(error) => return Err(failed("unpack", source)(unwritten(&error, folder))),
        }
    }
    Ok(())
}

/// Copies what the manifest names, and checks it.
fn take(source: &Path, part: &Path) -> Result<Manifest, BackupError> {
    let strange = |what: String| BackupError::Strange { path: source.to_owned(), what };
    let path = source.join(manifest::FILE);
    let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            strange(format!("it has no {}, which `chat-server backup` writes", manifest::FILE))
        }
        _ => failed("read", &path)(error),
    })?;
    let manifest: Manifest =
        serde_json::from_str(&text).map_err(|error| strange(error.to_string()))?;
    if manifest.layout != LAYOUT {
        return Err(strange(format!("layout {}, not {LAYOUT}", manifest.layout)));
    }
    if !manifest.files.contains_key(DATABASE_FILE) {
        return Err(strange(format!("it lacks {DATABASE_FILE}")));
    }
    make_folder(part)?;
    for (name, expected) in &manifest.files {
        let is_known = super::backup::DATABASES
            .into_iter()
            .chain(super::backup::FILES)
            .any(|known| known == name);
        if !is_known {
            return Err(strange(format!("it holds {name:?}")));
        }
        if name.starts_with(LEFT_OUT) {
            continue;
        }
        let (from, to) = (source.join(name), part.join(name));
        if let Some(folder) = to.parent() {
            make_folder(folder)?;
        }
        copy_file(&from, &to)?;
        let found = manifest::digest(&to).map_err(failed("read", &to))?;
        if found != *expected {
            return Err(strange(format!("{name} is not what was written (SHA-256 {found})")));
        }
    }
    check_database(&part.join(DATABASE_FILE))?;
    sync_folder(part)?;
    Ok(manifest)
}

fn put(part: &Path, data: &Path, manifest: Manifest) -> Result<Restored, BackupError> {
    let mut replaced = None;
    if data.exists() {
        // Held while the folder changes its name: no server starts on what is about to go.
        let lock = FolderLock::take(Kind::Data, data)?;
        let time = jiff::Timestamp::now().as_second();
        // Two of one second have names of their own.
        let names = (0..u64::MAX).map(|number| match number {
            0 => beside(data, &format!(".before-restore-{time}")),
            _ => beside(data, &format!(".before-restore-{time}-{number}")),
        });
        let mut free = names.filter(|name| !name.exists());
        let old = free.next().unwrap_or_else(|| beside(data, ".before-restore"));
        fs::rename(data, &old).map_err(failed("rename", data))?;
        drop(lock);
        replaced = Some(old);
    }
    fs::rename(part, data).map_err(failed("rename", part))?;
    Ok(Restored { replaced, manifest })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(source: &Path, data: &Path) -> String {
        restore(source, data).unwrap_err().to_string()
    }

    /// Goal: a file that is no backup is called that, and what is wrong with a copy is told apart from a disk that is
    /// full. No byte of the file is in the words.
    #[test]
    fn what_is_wrong_with_an_archive_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        let text = said(&write("notes.txt", b"x"), &data);
        assert!(text.contains("neither a folder nor an archive"), "{text}");
        let text = said(&write("empty.tar", b""), &data);
        assert!(text.contains("no manifest.json"), "{text}");
        fs::create_dir(folder.path().join("empty")).unwrap();
        let text = said(&folder.path().join("empty"), &data);
        assert!(text.contains("no manifest.json"), "{text}");
        for bytes in [b"hello\n".to_vec(), vec![0x1b; 5_000]] {
            let text = said(&write("rubbish.tar", &bytes), &data);
            assert!(text.contains("no archive") && !text.contains('\u{1b}'), "{text:?}");
        }
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(100_000);
        header.set_cksum();
        archive.append_data(&mut header, DATABASE_FILE, vec![7; 100_000].as_slice()).unwrap();
        let mut bytes = archive.into_inner().unwrap();
        let text = said(&write("short.tar", &bytes[..50_000]), &data);
        assert!(text.contains("ends in the middle"), "{text}");
        // Behind the one file stands what is no header.
        let end = bytes.len() - 1_024;
        bytes[end..].fill(0x1b);
        let text = said(&write("torn.tar", &bytes), &data);
        assert!(text.contains("is damaged") && !text.contains('\u{1b}'), "{text:?}");
        assert!(!data.exists());
    }

    /// Goal: that the disk is full is said as that, with the place, and nothing of the copy.
    #[test]
    fn a_full_disk_is_said_to_be_full() {
        let full = io::Error::from_raw_os_error(28);
        let around = io::Error::new(full.kind(), full);
        let said = unwritten(&around, Path::new("/srv/chat/data.restoring.tar")).to_string();
        assert!(
            said.contains("No space left") && said.contains("make room in /srv/chat"),
            "{said}"
        );
    }
}
