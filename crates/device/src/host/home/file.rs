//! Files that only their owner may read, replaced as a whole.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

const PRIVATE_FILE: u32 = 0o600;
const PRIVATE_FOLDER: u32 = 0o700;

/// Of a file: whoever is not its owner.
const OTHERS: u32 = 0o077;

/// What to say about a file with a password or keys that others on this machine can read.
pub fn exposed(path: &Path) -> Option<String> {
    let file = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let mode = file.permissions().mode() & 0o777;
    (mode & OTHERS != 0).then(|| {
        let path = path.display();
        format!("others on this machine can use {path} (mode {mode:o}); run: chmod 600 {path}")
    })
}

/// Makes a folder and those above it; nobody else may look into the new ones.
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER).create(path)
}

/// Makes an empty file if there is none, and takes it from everybody else.
pub fn make_private(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().append(true).create(true).mode(PRIVATE_FILE).open(path)?;
    file.set_permissions(Permissions::from_mode(PRIVATE_FILE))
}

/// Writes a private file so that after a crash it has the old or the new content, never a part.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let new = path.with_file_name(name);
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(PRIVATE_FILE)
            .open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        // The new name is durable only once the folder is.
        File::open(folder_of(path))?.sync_all()
    })();
    if written.is_err() {
        // The first error is the one that counts; the rest of a file is only untidy.
        fs::remove_file(&new).ok();
    }
    written
}

/// The folder in which a name stands: of a bare one the folder where the program was started.
fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_stands_in_the_folder_of_the_start() {
        for (path, folder) in [("proof.json", "."), ("a/proof.json", "a"), ("/proof.json", "/")] {
            assert_eq!(folder_of(Path::new(path)), Path::new(folder));
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, "x").unwrap();
        for (mode, told) in [(0o600, false), (0o400, false), (0o644, true), (0o640, true)] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(exposed(&path).is_some(), told, "{mode:o}");
        }
        assert!(exposed(&path).unwrap().contains("chmod 600"));
        assert_eq!(exposed(&folder.path().join("none")), None);
        assert_eq!(exposed(Path::new("/dev/null")), None, "no file");
    }
}
