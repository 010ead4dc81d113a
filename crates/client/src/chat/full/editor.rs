//! A message that is written in the person's editor.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use chat_device::clock::now_ms;
use chat_text::show::files;
use chat_tui::screen::TYPED_MAX;
use tokio::process::Command;

/// Where nobody says which editor.
const EDITOR: &str = "vi";

/// A file that nobody else can read, gone when this is dropped, unless it is kept.
struct Draft {
    path: PathBuf,
    is_kept: bool,
}

impl Draft {
    fn new(text: &str) -> io::Result<Self> {
        // In memory, and of this user alone, where the system has such a folder.
        let folder =
            std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let path = folder.join(format!("chat-{}-{}.txt", std::process::id(), now_ms()));
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

/// Lets the person write, who begins with this text. What they leave is returned.
pub(super) async fn write(text: &str) -> io::Result<String> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let editor = set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| EDITOR.to_owned());
    write_in(&editor, text).await
}

async fn write_in(editor: &str, text: &str) -> io::Result<String> {
    let mut draft = Draft::new(text)?;
    run(editor, &draft.path).await?;
    let size = fs::metadata(&draft.path)?.len();
    if usize::try_from(size).is_ok_and(|size| size <= TYPED_MAX) {
        return fs::read_to_string(&draft.path);
    }
    // Nothing of it is lost.
    draft.is_kept = true;
    let (size, path) = (files::size(size), draft.path.display());
    Err(io::Error::other(format!("{size} is too long for a message; it is in {path}")))
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

    /// Goal: nothing of a text is lost that is too long for a message.
    #[tokio::test]
    async fn a_text_that_is_too_long_stays_in_its_file() {
        let written = write_in("echo and more >>", "begun\n").await.unwrap();
        assert_eq!(written, "begun\nand more\n");
        let error = write_in("yes x | head -c 70000 >", "begun").await.unwrap_err().to_string();
        let (told, path) = error.split_once("; it is in ").unwrap();
        assert_eq!(told, "70.0 kB is too long for a message");
        assert_eq!(fs::read(path).unwrap().len(), 70_000);
        fs::remove_file(path).unwrap();
    }
}
