//! Completes the names of files where a command takes one.

use std::fs::{self, DirEntry};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// Names that are offered; a folder may have any number.
const FOUND_MAX: usize = 200;

/// Names that are looked at in a folder.
const LOOKED_AT_MAX: usize = 100_000;

/// So long a folder may take: whoever pressed a key sees nothing happen for a moment.
const READ_TIMEOUT: Duration = Duration::from_millis(300);

/// Where the path at the end of this line begins, in bytes, and what it can become; nothing where the line is no
/// command about a file of this machine.
pub(super) fn candidates(line: &str) -> Option<(usize, Vec<String>)> {
    let path = line.strip_prefix("/send ").or_else(|| line.strip_prefix("/share "))?;
    // The word behind it is a person or a keyword.
    if path.contains(' ') {
        return None;
    }
    let (folder, start) = path.rsplit_once('/').map_or(("", path), |(folder, start)| {
        (path.get(..=folder.len()).unwrap_or_default(), start)
    });
    let found = read_aside(folder.to_owned(), start.to_owned())?;
    Some((line.len() - path.len(), found))
}

/// Whether a folder is being read. One that does not answer is not asked a second time meanwhile.
static IS_READING: AtomicBool = AtomicBool::new(false);

/// Reads a folder on a thread of its own: a disk far away may take as long as it likes, and a key must not wait for it.
fn read_aside(folder: String, start: String) -> Option<Vec<String>> {
    if IS_READING.swap(true, Ordering::SeqCst) {
        return Some(Vec::new());
    }
    let (sender, found) = mpsc::channel();
    std::thread::spawn(move || {
        let read = read(&folder, &start);
        IS_READING.store(false, Ordering::SeqCst);
        // Whoever asked may not wait any longer.
        sender.send(read).ok();
    });
    found.recv_timeout(READ_TIMEOUT).unwrap_or_else(|_| Some(Vec::new()))
}

/// The names in a folder that begin so, with it before them.
fn read(folder: &str, start: &str) -> Option<Vec<String>> {
    let listed = fs::read_dir(if folder.is_empty() { Path::new(".") } else { Path::new(folder) });
    let mut found: Vec<String> = listed
        .ok()?
        .take(LOOKED_AT_MAX)
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            // Hidden ones are offered to whoever asks for them; with a space it would be two words.
            let is_wanted = name.starts_with(start)
                && (!name.starts_with('.') || start.starts_with('.'))
                && !name.contains(char::is_whitespace);
            is_wanted.then(|| {
                let end = if is_folder(&entry) { "/" } else { " " };
                format!("{folder}{name}{end}")
            })
        })
        .collect();
    found.sort();
    found.truncate(FOUND_MAX);
    Some(found)
}

/// Whether it is a folder, or a link to one.
fn is_folder(entry: &DirEntry) -> bool {
    let kind = entry.file_type();
    kind.is_ok_and(|kind| kind.is_dir() || (kind.is_symlink() && entry.path().is_dir()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_completed_where_a_command_takes_one() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("plans")).unwrap();
        for name in ["plan.pdf", ".plan", "other", "two words"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let at = folder.path().to_str().unwrap();
        let found = |start: &str| candidates(&format!("/send {at}/{start}")).unwrap();
        let expected = [format!("{at}/plan.pdf "), format!("{at}/plans/")];
        assert_eq!(found("pl"), (6, expected.to_vec()));
        assert_eq!(found(".p").1, [format!("{at}/.plan ")]);
        assert_eq!(found("").1.len(), 3);
        assert_eq!(candidates(&format!("/send {at}/plan.pdf b")), None);
        assert_eq!(candidates("/join o"), None);
        assert_eq!(candidates("/send /nowhere/at/all"), None);
    }
}
