//! Where `--trace-crypto` goes: blocks of lines for people, on standard error or in a file.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;

/// A handle; clones write to the same place.
#[derive(Clone)]
pub struct CryptoTrace(Arc<Mutex<Box<dyn Write + Send>>>);

impl fmt::Debug for CryptoTrace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CryptoTrace(..)")
    }
}

impl CryptoTrace {
    /// Opens the file and writes at its end; `-` is standard error.
    pub fn open(path: &Path) -> io::Result<Self> {
        let output: Box<dyn Write + Send> = if path == Path::new("-") {
            Box::new(io::stderr())
        } else {
            Box::new(File::options().append(true).create(true).open(path)?)
        };
        Ok(Self(Arc::new(Mutex::new(output))))
    }

    /// Writes one block, whole: a line with time and what happened, and the lines under it.
    pub fn write(&self, who: &str, block: &str) {
        let text = format!("{:.3} {who} {}\n", Timestamp::now(), block.trim_end());
        let mut output = self.0.lock();
        // A full disk or a closed standard error must not stop the conversation.
        output.write_all(text.as_bytes()).and_then(|()| output.flush()).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_all_handles_stand_one_after_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace");
        for who in ["alice", "bob"] {
            let trace = CryptoTrace::open(&path).unwrap();
            trace.clone().write(who, "sends\n  verdict good\n");
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].ends_with("Z alice sends") && lines[2].ends_with("Z bob sends"), "{text}");
        assert_eq!((lines[1], lines[3]), ("  verdict good", "  verdict good"));
    }
}
