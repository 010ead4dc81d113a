//! The folders that are this server's own: who else on this machine may come near them.
//!
//! The data folder holds hashes of passwords, vaults and the hub's keys, the log folder says who talks
//! with whom. Both are made for their owner alone whatever the umask ([`private_umask`]), a folder that
//! others can write to is refused, and files of ours that others could read are closed again.

use std::{
    fs::{self, DirBuilder, Metadata, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustix::{fs::Mode, process};
use thiserror::Error;

/// Only the owner comes in.
const FOLDER_MODE: u32 = 0o700;
/// Only the owner reads and writes.
const FILE_MODE: u32 = 0o600;
/// Somebody else may write to the data folder.
const DATA_REFUSED: u32 = 0o022;
/// Everybody may write to the log folder. A group that may is said and no more: `umask 002` makes every
/// folder of a checkout like that.
const LOGS_REFUSED: u32 = 0o002;
/// Somebody else may do anything at all.
const OTHERS: u32 = 0o077;

/// Folders below the data folder whose files are closed, too. What commands leave in `agent/work` is
/// theirs, and nobody else reaches it.
const OWN_FOLDERS: [&str; 4] = ["", "tls", "agent", "files"];

/// Private keys. Where others could read one it may have been read, so that is an error of its own at
/// the place where it is used, and nothing is mended silently.
const KEY_FILES: [&str; 2] = ["server.key", "key.pem"];

/// Why a folder is not used.
#[derive(Debug, Error)]
pub enum FolderError {
    /// Somebody else can change what we rely on.
    #[error(
        "others can write to the {what} folder {} (mode {mode:o}); run: chmod go-w {}, and see what is in it",
        path.display(), path.display()
    )]
    Writable {
        /// data or log.
        what: &'static str,
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to somebody else, who can change everything in it.
    #[error(
        "the {what} folder {} belongs to user {owner}, and this server runs as user {own}; start it as that user, or chown the folder",
        path.display()
    )]
    Foreign {
        /// data or log.
        what: &'static str,
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        own: u32,
    },
    /// It cannot be made or looked at.
    #[error("cannot use the {what} folder {}: {source}", path.display())]
    Io {
        /// data or log.
        what: &'static str,
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// From now on everything that this process makes is for its owner alone. Called once, at the start of
/// a server, before any thread.
pub fn private_umask() {
    process::umask(Mode::from_raw_mode(OTHERS));
}

/// Whether others can do something that they should not.
fn exposure(metadata: &Metadata) -> u32 {
    metadata.permissions().mode() & 0o777
}

/// Makes the data folder or checks it, and closes the files of ours in it. What a person should know is
/// logged.
pub fn secure_data(path: &Path) -> Result<(), FolderError> {
    secure("data", path, DATA_REFUSED)?;
    for folder in OWN_FOLDERS {
        close_files(&path.join(folder), |_name| true);
    }
    Ok(())
}

fn is_jsonl(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "jsonl")
}

/// The same for the log folder, which may hold logs of others, too: only `stem` is ours.
pub fn secure_logs(path: &Path, stem: &str) -> Result<(), FolderError> {
    secure("log", path, LOGS_REFUSED)?;
    close_files(path, |name| name.starts_with(stem) && is_jsonl(name));
    Ok(())
}

/// What is wrong with the data folder, and whether others can look into it.
pub fn inspect_data(path: &Path) -> Result<bool, FolderError> {
    inspect("data", path, DATA_REFUSED)
}

/// What is wrong with the log folder, and whether others can look into it.
pub fn inspect_logs(path: &Path) -> Result<bool, FolderError> {
    inspect("log", path, LOGS_REFUSED)
}

fn inspect(what: &'static str, path: &Path, refused: u32) -> Result<bool, FolderError> {
    let failed = |source| FolderError::Io { what, path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(failed)?;
    let (mode, owner, own) = (exposure(&metadata), metadata.uid(), process::geteuid().as_raw());
    if owner != own && owner != 0 {
        return Err(FolderError::Foreign { what, path: path.to_owned(), owner, own });
    }
    if mode & refused != 0 {
        return Err(FolderError::Writable { what, path: path.to_owned(), mode });
    }
    Ok(mode & OTHERS != 0)
}

fn secure(what: &'static str, path: &Path, refused: u32) -> Result<(), FolderError> {
    let failed = |source| FolderError::Io { what, path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path).map_err(failed)?;
    if inspect(what, path, refused)? {
        let path = path.display();
        tracing::warn!(
            "others on this machine can look into the {what} folder {path}; run: chmod 700 {path}"
        );
    }
    Ok(())
}

/// Takes from others what they may do with files of ours. A file that cannot be closed is named and
/// left: the folder keeps others out, or that was said already.
fn close_files(folder: &Path, is_ours: impl Fn(&str) -> bool) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| is_ours(name)) else { continue };
        // Not through a link: what it leads to is not ours.
        let Ok(metadata) = fs::symlink_metadata(entry.path()) else { continue };
        let is_open = metadata.is_file() && exposure(&metadata) & OTHERS != 0;
        if !is_open || KEY_FILES.contains(&name) {
            continue;
        }
        let path = entry.path();
        match fs::set_permissions(&path, Permissions::from_mode(FILE_MODE)) {
            Ok(()) => {
                tracing::warn!("others could open {}; now only its owner can", path.display());
            }
            Err(error) => tracing::warn!(%error, "others can open {}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        exposure(&fs::metadata(path).unwrap())
    }

    #[test]
    fn a_folder_that_others_can_write_is_refused_with_the_way_out() {
        let outer = tempfile::tempdir().unwrap();
        let data = outer.path().join("data");
        secure_data(&data).unwrap();
        assert_eq!(mode(&data), 0o700, "made for the owner alone");
        for bad in [0o770, 0o702, 0o1777] {
            fs::set_permissions(&data, Permissions::from_mode(bad)).unwrap();
            let error = secure_data(&data).unwrap_err().to_string();
            assert!(error.contains("chmod go-w"), "{bad:o}: {error}");
        }
        fs::set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
        secure_data(&data).unwrap();
        assert_eq!(inspect_data(&data).ok(), Some(true), "others can look into it");
    }

    #[test]
    fn what_others_could_open_is_closed_but_keys_and_links() {
        let data = tempfile::tempdir().unwrap();
        fs::create_dir(data.path().join("tls")).unwrap();
        let files = ["chat.sqlite", "chat.sqlite-wal", "server.key", "tls/cert.pem", "outside"];
        for name in files {
            fs::write(data.path().join(name), "x").unwrap();
            fs::set_permissions(data.path().join(name), Permissions::from_mode(0o644)).unwrap();
        }
        let outside = tempfile::tempdir().unwrap();
        let target = outside.path().join("target");
        fs::rename(data.path().join("outside"), &target).unwrap();
        std::os::unix::fs::symlink(&target, data.path().join("link")).unwrap();
        secure_data(data.path()).unwrap();
        for name in ["chat.sqlite", "chat.sqlite-wal", "tls/cert.pem"] {
            assert_eq!(mode(&data.path().join(name)), 0o600, "{name}");
        }
        assert_eq!(mode(&data.path().join("server.key")), 0o644, "refused where it is read");
        assert_eq!(mode(&target), 0o644, "not ours");
    }

    #[test]
    fn only_our_own_logs_are_closed() {
        let logs = tempfile::tempdir().unwrap();
        for name in ["server.jsonl", "server~1.jsonl", "notes.txt"] {
            fs::write(logs.path().join(name), "x").unwrap();
            fs::set_permissions(logs.path().join(name), Permissions::from_mode(0o644)).unwrap();
        }
        secure_logs(logs.path(), "server").unwrap();
        assert_eq!(mode(&logs.path().join("server~1.jsonl")), 0o600);
        assert_eq!(mode(&logs.path().join("notes.txt")), 0o644);
    }
}
