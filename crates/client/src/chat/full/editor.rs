//! A message that is written in the person's editor.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use chat_device::clock::now_ms;
use chat_text::show::files;
use chat_tui::screen::TYPED_MAX;
use tokio::process::Command;

/// Where nobody says which editor.
const EDITOR: &str = "vi";

/// Files of this process: two may be begun in one millisecond.
static FILES: AtomicU64 = AtomicU64::new(0);

/// A file that nobody else can read, gone when this is dropped, unless it is kept.
#[derive(Debug)]
struct Draft {
    path: PathBuf,
    is_kept: bool,
}

impl Draft {
    fn new(text: &str) -> io::Result<Self> {
        // In memory, and of this user alone, where the system has such a folder.
        let folder =
            std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let name = format!("chat-{}-{}-{number}.txt", std::process::id(), now_ms());
        let path = folder.join(name);
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        let draft = Self { path, is_kept: false };
        file.write_all(text.as_bytes())?;
        Ok(draft)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_kept {
            // The editor may have taken it away.
            fs::remove_file(&self.path).ok();
        }
    }
}

/// What a person has written. It stays in its file until somebody has seen it elsewhere.
#[derive(Debug)]
pub(super) struct Written {
    text: String,
    file: Draft,
}

impl Written {
    /// The text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// It stands where one types, at a screen that is there.
    pub(super) fn was_seen(mut self) {
        self.file.is_kept = false;
    }
}

/// Lets the person write, who begins with this text. What they leave is returned.
pub(super) async fn write(text: &str) -> io::Result<Written> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let editor = set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| EDITOR.to_owned());
    write_in(&editor, text).await
}

async fn write_in(editor: &str, text: &str) -> io::Result<Written> {
    let mut draft = Draft::new(text)?;
    // Nobody has another copy, however this ends.
    draft.is_kept = true;
    let written = match run(editor, &draft.path).await {
        Ok(()) => read(&draft.path),
        Err(error) => Err(error),
    };
    let error = match written {
        Ok(text) => return Ok(Written { text, file: draft }),
        Err(error) => error,
    };
    draft.is_kept = has_changed(&draft.path, text);
    let path = draft.path.display();
    let place = if draft.is_kept { format!("; it is in {path}") } else { String::new() };
    Err(io::Error::other(format!("{error}{place}")))
}

/// What was written, if it can be a message.
fn read(path: &Path) -> io::Result<String> {
    let size = fs::metadata(path)?.len();
    if usize::try_from(size).is_ok_and(|size| size <= TYPED_MAX) {
        return fs::read_to_string(path);
    }
    Err(io::Error::other(format!("{} is too long for a message", files::size(size))))
}

/// Whether something else stands in this file than what was begun with. Of one that cannot be read nobody knows that; one
/// that is gone has nothing in it.
fn has_changed(path: &Path, text: &str) -> bool {
    let is_same_size = |file: &fs::Metadata| usize::try_from(file.len()) == Ok(text.len());
    match fs::metadata(path) {
        Ok(file) if is_same_size(&file) => !fs::read(path).is_ok_and(|now| now == text.as_bytes()),
        Ok(_) => true,
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Runs the editor as other programs do: its words are a shell's, so that it can have options.
async fn run(editor: &str, path: &Path) -> io::Result<()> {
    let script = format!("{editor} \"$1\"");
    let status = Command::new("sh").arg("-c").arg(script).arg("sh").arg(path).status().await?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{editor} ended with {status}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of an editor that fails, and what it has left in the file, which is removed; nothing where none is told.
    async fn failed(editor: &str) -> (String, Option<Vec<u8>>) {
        let error = write_in(editor, "begun").await.unwrap_err().to_string();
        let Some((told, path)) = error.split_once("; it is in ") else { return (error, None) };
        let left = fs::read(path).unwrap();
        fs::remove_file(path).unwrap();
        (told.to_owned(), Some(left))
    }

    /// Goal: a text whose screen does not come back is not lost. (The build before removed its file as soon as it was read.)
    #[tokio::test]
    async fn what_was_written_is_kept_until_somebody_sees_it() {
        let write =
            async || write_in("more() { echo ' and more' >> \"$1\"; }; more", "begun").await;
        let written = write().await.unwrap();
        let path = written.file.path.clone();
        drop(written);
        assert_eq!(fs::read_to_string(&path).unwrap(), "begun and more\n");
        fs::remove_file(path).unwrap();
        let written = write().await.unwrap();
        let path = written.file.path.clone();
        written.was_seen();
        assert!(!path.exists());
    }

    /// Goal: two messages that are begun at once have a file each. (The build before named it by the millisecond alone.)
    #[test]
    fn each_message_has_a_file_of_its_own() {
        let begun: Vec<Draft> = (0..100).map(|_| Draft::new("begun").unwrap()).collect();
        assert!(begun.iter().all(|draft| draft.path.exists()));
    }

    /// Goal: nothing of a text is lost that is too long for a message.
    #[tokio::test]
    async fn a_text_that_is_too_long_stays_in_its_file() {
        let written = write_in("echo and more >>", "begun\n").await.unwrap();
        assert_eq!(written.text(), "begun\nand more\n");
        written.was_seen();
        let (told, left) = failed("yes x | head -c 70000 >").await;
        assert_eq!(told, "70.0 kB is too long for a message");
        assert_eq!(left.unwrap().len(), 70_000);
    }

    /// Goal: nothing of it is lost either where the editor fails after it has written, is killed, or writes another code
    /// than UTF-8. (The build before removed the file.)
    #[tokio::test]
    async fn what_an_editor_has_written_outlives_its_failure() {
        let begun = |more: &str| Some(format!("begun{more}").into_bytes());
        let (told, left) = failed("more() { echo ' and more' >> \"$1\"; exit 3; }; more").await;
        assert!(told.contains("exit status: 3"), "{told}");
        assert_eq!(left, begun(" and more\n"));
        let (told, left) = failed("more() { echo ' and more' >> \"$1\"; kill -9 $$; }; more").await;
        assert!(told.contains("signal"), "{told}");
        assert_eq!(left, begun(" and more\n"));
        let (told, left) = failed("more() { printf 'caf\\351' > \"$1\"; }; more").await;
        assert!(told.contains("UTF-8"), "{told}");
        assert_eq!(left, Some(b"caf\xe9".to_vec()));
        for editor in ["false", "more() { rm \"$1\"; exit 3; }; more"] {
            let (told, left) = failed(editor).await;
            assert_eq!(left, None, "nothing was written: {told}");
        }
    }
}
