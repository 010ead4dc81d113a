//! Where the operation logs are.
//!
//! Without `--logs` they are written to `logs` in the folder of the start where that is there already, so
//! that beside a server everything is in one place, else to the folder of this user for such files. Nothing
//! is made in a folder where somebody happens to stand.

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use rustix::fs::{Access, access};

/// In the folder of the start.
const HERE: &str = "logs";

/// Where logs are written. With `makes_here` it is `logs` in the folder of the start, as the server does.
pub fn written(given: Option<PathBuf>, makes_here: bool) -> PathBuf {
    if let Some(given) = given {
        return given;
    }
    match of_user() {
        Some(folder) if !makes_here && !is_writable(Path::new(HERE)) => folder,
        _ => HERE.into(),
    }
}

/// Where `story` looks: in the folder that was given, else in both that this program writes to.
pub fn read(given: Option<PathBuf>) -> Vec<PathBuf> {
    if let Some(given) = given {
        return vec![given];
    }
    let both = [Some(HERE.into()), of_user()];
    let here: Vec<PathBuf> = both.into_iter().flatten().filter(|path| path.is_dir()).collect();
    // What is not there is named where nothing is.
    if here.is_empty() { vec![HERE.into()] } else { here }
}

/// The logs of this user, as XDG says; nothing where the system has no place for them.
fn of_user() -> Option<PathBuf> {
    let folders = etcetera::choose_base_strategy().ok()?;
    Some(folders.state_dir().unwrap_or_else(|| folders.data_dir()).join("chat").join("logs"))
}

/// Whether files can be made in a folder that is there.
fn is_writable(folder: &Path) -> bool {
    folder.is_dir() && access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}
