//! Completes the names of files where a command takes one.

use std::fs;
use std::path::Path;

/// Names that are offered; a folder may have any number.
const FOUND_MAX: usize = 200;

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
    let listed = fs::read_dir(if folder.is_empty() { Path::new(".") } else { Path::new(folder) });
    let mut found: Vec<String> = listed
        .ok()?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            // Hidden ones are offered to whoever asks for them; with a space it would be two words.
            let is_wanted = name.starts_with(start)
                && (!name.starts_with('.') || start.starts_with('.'))
                && !name.contains(char::is_whitespace);
            let end = if entry.path().is_dir() { "/" } else { " " };
            is_wanted.then(|| format!("{folder}{name}{end}"))
        })
        .take(FOUND_MAX)
        .collect();
    found.sort();
    Some((line.len() - path.len(), found))
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
