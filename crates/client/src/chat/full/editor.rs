//! A message that is written in the person's editor.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use chat_device::clock::now_ms;
use tokio::process::Command;

/// Where nobody says which editor.
const EDITOR: &str = "vi";

/// A file that nobody else can read, gone when this is dropped.
struct Draft(PathBuf);

impl Draft {
    fn new(text: &str) -> io::Result<Self> {
        // In memory, and of this user alone, where the system has such a folder.
        let folder =
            std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let path = folder.join(format!("chat-{}-{}.txt", std::process::id(), now_ms()));
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        let draft = Self(path);
        file.write_all(text.as_bytes())?;
        Ok(draft)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // The editor may have taken it away.
        fs::remove_file(&self.0).ok();
    }
}

/// Lets the person write, who begins with this text. What they leave is returned.
pub(super) async fn write(text: &str) -> io::Result<String> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let editor = set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| EDITOR.to_owned());
    let draft = Draft::new(text)?;
    run(&editor, &draft.0).await?;
    fs::read_to_string(&draft.0)
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
