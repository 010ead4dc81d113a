//! What the operator has changed, and when: one file, each line bound to the one before it.
//!
//! A line is written before anything is changed (`asked`) and another one when the outcome is known. The
//! field `hash` is SHA-256 of the `hash` before it and of the line without its own `hash`, so a line that
//! is altered, taken out or put in breaks the chain: `chat-server doctor` says where. Who can write the
//! file can write it anew from there on; keep the last hash elsewhere to see that, too.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::request::{AdminAnswer, AdminRequest, Checked};
use crate::hex::hex;

/// The file in the log folder.
pub const FILE: &str = "audit.jsonl";

/// Only the owner reads it.
const MODE: u32 = 0o600;

/// Longest line that is read back: a request with its names, and room to spare.
const LINE_BYTES_MAX: u64 = 1024 * 1024;

/// What the first line is bound to.
const START: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Why nothing can be written down, so that nothing is changed either.
#[derive(Debug, Error)]
pub enum AuditError {
    /// The file cannot be used.
    #[error("cannot write the audit log {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is not what was written.
    #[error("the audit log {} was altered: line {line} does not go on from the one before it", path.display())]
    Altered {
        /// Which.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
    },
    /// The last line ends in the middle.
    #[error("the last line of the audit log {} is not complete", path.display())]
    Torn {
        /// Which.
        path: PathBuf,
    },
}

/// One line without its hash.
#[derive(Serialize)]
struct Line<'a> {
    ts: String,
    n: u64,
    uid: u32,
    stage: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a AdminRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// The open file and the end of its chain.
#[derive(Debug)]
pub struct Audit {
    path: PathBuf,
    file: File,
    n: u64,
    hash: String,
}

fn bind(before: &str, line: &str) -> String {
    let digest = Sha256::new().chain_update(before).chain_update(line).finalize();
    hex(&digest)
}

/// The line with its hash as its last field.
fn seal(line: &str, hash: &str) -> String {
    let open = line.strip_suffix('}').unwrap_or(line);
    format!("{open},\"hash\":\"{hash}\"}}\n")
}

/// The line without its hash, and that hash.
fn unseal(line: &str) -> Option<(String, &str)> {
    let (open, hash) = line.strip_suffix("\"}")?.rsplit_once(",\"hash\":\"")?;
    Some((format!("{open}}}"), hash))
}

impl Audit {
    /// Opens the log in a folder, or begins it. Its chain goes on from the last line, which must be
    /// in order; the others are the business of [`check`].
    pub fn open(folder: &Path) -> Result<Self, AuditError> {
        let path = folder.join(FILE);
        let failed = |source| AuditError::File { path: path.clone(), source };
        let mut options = OpenOptions::new();
        options.create(true).read(true).append(true).mode(MODE);
        let mut file = options.open(&path).map_err(failed)?;
        let checked = match check_file(&path, &file) {
            // A crash in the middle of a line: it is ended, so that what follows can be read.
            Err(AuditError::Torn { .. }) => {
                cut_torn(&mut file).map_err(failed)?;
                check_file(&path, &file)?
            }
            other => other?,
        };
        Ok(Self { path, file, n: checked.lines, hash: checked.hash })
    }

    /// The end of the chain.
    pub fn end(&self) -> Checked {
        Checked { lines: self.n, hash: self.hash.clone() }
    }

    fn write(&mut self, line: &Line<'_>) -> Result<u64, AuditError> {
        let failed = |source| AuditError::File { path: self.path.clone(), source };
        let text = serde_json::to_string(line).map_err(|error| failed(error.into()))?;
        let hash = bind(&self.hash, &text);
        let before = self.file.metadata().map_err(failed)?.len();
        let written = self.file.write_all(seal(&text, &hash).as_bytes());
        let written = written.and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            // All of it or nothing: half a line would spoil the next one. That it cannot be taken
            // back either is seen at the next start.
            self.file.set_len(before).ok();
            return Err(failed(source));
        }
        self.n += 1;
        self.hash = hash;
        Ok(line.n)
    }

    fn line(&self, uid: u32, stage: &'static str) -> Line<'static> {
        let (ts, n) = (jiff::Timestamp::now().to_string(), self.n + 1);
        Line { ts, n, uid, stage, of: None, request: None, what: None, reason: None }
    }

    /// Somebody asks for a change. Returns the number of the line; nothing may be changed before it.
    pub fn asked(&mut self, uid: u32, request: &AdminRequest) -> Result<u64, AuditError> {
        let line = Line { request: Some(request), ..self.line(uid, "asked") };
        self.write(&line)
    }

    /// How it ended; `of` is the number of its first line.
    pub fn ended(&mut self, uid: u32, of: u64, answer: &AdminAnswer) -> Result<(), AuditError> {
        let (stage, what, reason) = match answer {
            AdminAnswer::Refused { reason } => ("refused", None, Some(reason.as_str())),
            AdminAnswer::Done { what } => ("done", Some(what.as_slice()), None),
            _ => ("done", None, None),
        };
        let line = Line { of: Some(of), what, reason, ..self.line(uid, stage) };
        self.write(&line).map(drop)
    }
}

fn cut_torn(file: &mut File) -> io::Result<()> {
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut text)?;
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    file.set_len(u64::try_from(whole).unwrap_or(u64::MAX))
}

/// Follows the chain of a file from its first line to its last.
pub fn check(path: &Path) -> Result<Checked, AuditError> {
    let file =
        File::open(path).map_err(|source| AuditError::File { path: path.to_owned(), source })?;
    check_file(path, &file)
}

fn check_file(path: &Path, mut file: &File) -> Result<Checked, AuditError> {
    let failed = |source| AuditError::File { path: path.to_owned(), source };
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let mut lines = BufReader::new(file);
    let mut checked = Checked { lines: 0, hash: START.to_owned() };
    loop {
        let mut text = String::new();
        let line = checked.lines + 1;
        let altered = || AuditError::Altered { path: path.to_owned(), line };
        let mut limited = io::Read::take(&mut lines, LINE_BYTES_MAX);
        match limited.read_line(&mut text) {
            Ok(0) => return Ok(checked),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(altered()),
            Err(error) => return Err(failed(error)),
        }
        let Some(whole) = text.strip_suffix('\n') else {
            return Err(AuditError::Torn { path: path.to_owned() });
        };
        let (open, hash) = unseal(whole).ok_or_else(altered)?;
        if bind(&checked.hash, &open) != hash {
            return Err(altered());
        }
        checked = Checked { lines: line, hash: hash.to_owned() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announce(text: &str) -> AdminRequest {
        AdminRequest::Announce { text: text.to_owned() }
    }

    fn written(folder: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(folder.join(FILE)).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_chain_goes_on_after_a_restart_and_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let mut audit = Audit::open(folder.path()).unwrap();
        let asked = audit.asked(7, &announce("one, \"hash\":\"x\"}")).unwrap();
        audit.ended(7, asked, &AdminAnswer::done("one")).unwrap();
        let path = folder.path().join(FILE);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"ts\":\"half a li").unwrap();
        assert!(matches!(check(&path), Err(AuditError::Torn { .. })));
        let mut audit = Audit::open(folder.path()).unwrap();
        audit.asked(7, &announce("two")).unwrap();
        assert_eq!(check(&path).unwrap().lines, 3);
        assert_eq!(written(folder.path()).len(), 3);
    }

    #[test]
    fn whoever_alters_a_line_breaks_the_chain_there() {
        let folder = tempfile::tempdir().unwrap();
        let mut audit = Audit::open(folder.path()).unwrap();
        for text in ["one", "two", "three"] {
            audit.asked(0, &announce(text)).unwrap();
        }
        let path = folder.path().join(FILE);
        let lines = written(folder.path());
        let [one, two, three] = lines.as_slice() else { panic!("{lines:?}") };
        let altered = two.replace("two", "2");
        for (lines, at) in
            [([one, &altered, three], 2), ([two, one, three], 1), ([one, three, two], 2)]
        {
            let text = lines.map(|line| format!("{line}\n")).concat();
            std::fs::write(&path, text).unwrap();
            let error = check(&path).unwrap_err();
            assert!(matches!(error, AuditError::Altered { line, .. } if line == at), "{error}");
        }
    }
}
