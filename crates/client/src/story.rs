//! One message through all logs: what the server and each client did with it, in order of time.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use chat_device::facts::facts;
use chat_oplog::Operation;
use chat_protocol::sanitise;
use chat_protocol::spoken::counted;
use serde::Serialize;
use thiserror::Error;

use crate::config::{Common, logs};
use crate::exit::ExitStatus;
use crate::start::Failure;

/// Shorter beginnings of an id are only its time of day.
const PREFIX_BYTES_MIN: usize = 8;
/// A line of a log has at most some kilobytes; a longer one is none of ours.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// Prints what became of the message of this id, or of this beginning of one.
pub fn tell(common: &Common, id: &str) -> Result<ExitStatus, Failure> {
    let story = Story::read(&logs::read(common.logs.clone()), id).map_err(|error| {
        Failure::Other { status: ExitStatus::Failure, reason: error.to_string() }
    })?;
    let page = if common.json { story.to_json_lines() } else { story.to_string() };
    let mut output = io::stdout().lock();
    output.write_all(page.as_bytes())?;
    output.flush()?;
    Ok(ExitStatus::Ok)
}

/// Everything the logs say about one message.
#[derive(Debug, Clone, PartialEq)]
pub struct Story {
    id: String,
    steps: Vec<Step>,
    skipped: u64,
}

/// One line of one log.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Step {
    /// `server` or `client-NAME`.
    log: String,
    #[serde(flatten)]
    operation: Operation<'static>,
}

/// Why no story can be told.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoryError {
    /// The folder or a log in it cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Too few characters to mean one message.
    #[error(
        "{0:?} is too short for a message id; give at least its first {PREFIX_BYTES_MIN} characters"
    )]
    TooShort(String),
    /// No line names it.
    #[error("no line of {} in {} names {id:?}; is --logs right?", counted(*files, "log"), listed(.folders))]
    Unknown {
        /// What was looked for.
        id: String,
        /// The folders that were searched.
        folders: Vec<PathBuf>,
        /// How many files were read.
        files: usize,
    },
    /// The beginning fits several messages.
    #[error("{prefix:?} begins {count} message ids, give more of it; the first is {first}")]
    Ambiguous {
        /// What was looked for.
        prefix: String,
        /// How many it fits.
        count: usize,
        /// One of them.
        first: String,
    },
}

impl Story {
    /// Reads the logs of these folders, rotated ones included. `id` is a message id or at least its
    /// first eight characters.
    pub fn read(folders: &[PathBuf], id: &str) -> Result<Self, StoryError> {
        if id.len() < PREFIX_BYTES_MIN {
            return Err(StoryError::TooShort(id.to_owned()));
        }
        let mut logs = Vec::new();
        for folder in folders {
            logs.extend(self::logs(folder)?);
        }
        let (mut steps, mut skipped) = (Vec::new(), 0);
        for path in &logs {
            skipped += read_log(path, id, &mut steps)
                .map_err(|source| StoryError::Read { path: path.clone(), source })?;
        }
        let ids: BTreeSet<_> = steps
            .iter()
            .filter_map(|step| step.operation.id.as_ref())
            .map(ToString::to_string)
            .collect();
        match ids.iter().next() {
            None => {
                let (id, folders) = (id.to_owned(), folders.to_owned());
                Err(StoryError::Unknown { id, folders, files: logs.len() })
            }
            Some(first) if ids.len() > 1 && !ids.contains(id) => {
                let (prefix, first) = (id.to_owned(), first.clone());
                Err(StoryError::Ambiguous { prefix, count: ids.len(), first })
            }
            Some(first) => {
                let id = if ids.contains(id) { id.to_owned() } else { first.clone() };
                steps.retain(|step| {
                    step.operation.id.as_ref().is_some_and(|own| own.as_str() == id)
                });
                // The sort is stable, so lines of one log and one microsecond keep their order.
                steps.sort_by_key(|step| step.operation.ts);
                Ok(Self { id, steps, skipped })
            }
        }
    }

    /// One JSON object per line: the log's line with `"log"` in front.
    pub fn to_json_lines(&self) -> String {
        let mut lines = String::new();
        for step in &self.steps {
            lines += &serde_json::to_string(step).expect("a line that was read can be written");
            lines.push('\n');
        }
        lines
    }
}

fn listed(folders: &[PathBuf]) -> String {
    let folders: Vec<String> = folders.iter().map(|path| path.display().to_string()).collect();
    folders.join(" and ")
}

/// The log files of a folder: those in use and those put aside.
fn logs(folder: &Path) -> Result<Vec<PathBuf>, StoryError> {
    let unreadable = |source| StoryError::Read { path: folder.to_owned(), source };
    let mut logs = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            logs.push(path);
        }
    }
    logs.sort();
    Ok(logs)
}

/// Collects the lines that name the id; returns how many named it and could not be understood.
fn read_log(path: &Path, id: &str, steps: &mut Vec<Step>) -> io::Result<u64> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let log = stem.split('~').next().unwrap_or_default();
    let mut reader = BufReader::new(File::open(path)?);
    let (mut line, mut skipped) = (Vec::new(), 0);
    loop {
        line.clear();
        if io::Read::take(&mut reader, LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(skipped);
        }
        let Ok(text) = str::from_utf8(&line) else { continue };
        if !text.contains(id) {
            continue;
        }
        match serde_json::from_str::<Operation<'_>>(text) {
            Ok(operation) => {
                if operation.id.as_ref().is_some_and(|own| own.as_str().starts_with(id)) {
                    steps.push(Step { log: log.to_owned(), operation });
                }
            }
            Err(_) => skipped += 1,
        }
    }
}

/// One line per step: time, milliseconds since the first, log, operation, and what it says.
impl fmt::Display for Story {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = counted(self.steps.len(), "step");
        writeln!(formatter, "message {}, {steps}", sanitise::line(&self.id))?;
        let log_width = self.steps.iter().map(|step| step.log.len()).max().unwrap_or_default();
        let op_width = self
            .steps
            .iter()
            .map(|step| step.operation.op.as_str().len())
            .max()
            .unwrap_or_default();
        let start = self.steps.first().map(|step| step.operation.ts);
        for Step { log, operation } in &self.steps {
            let since = operation.ts.duration_since(start.unwrap_or(operation.ts));
            writeln!(
                formatter,
                "{:.6}  {:>+11.3} ms  {:log_width$}  {:op_width$} {}",
                operation.ts,
                since.as_secs_f64() * 1e3,
                sanitise::line(log),
                sanitise::line(operation.op.as_str()),
                facts(operation),
            )?;
        }
        if self.skipped > 0 {
            let lines = counted(self.skipped, "line");
            writeln!(formatter, "{lines} with the id cannot be read as lines of a log")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chat_oplog::{OperationLog, Outcome};

    use super::*;

    const ID: &str = "AZq3x9f2cdeabcdefghijk";

    fn at<'a>(time: &str, op: &'a str, id: &'a str) -> Operation<'a> {
        let ts = format!("2026-01-02T03:04:{time}Z").parse().unwrap();
        Operation { ts, id: Some(id.into()), ..Operation::new(op) }
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let server = OperationLog::open(folder.path(), "server").unwrap();
        let bob = OperationLog::open(folder.path(), "client-bob").unwrap();
        let old = OperationLog::open(folder.path(), "client-alice").unwrap();
        bob.write(&Operation {
            user: Some("bob".into()),
            outcome: Some(Outcome::Ok),
            ..at("05.020000", "message.shown", ID)
        });
        server.write(&Operation {
            tag: Some("DM".into()),
            queue_us: Some(41),
            reason: Some("a\u{1b}[2J".into()),
            ..at("05.010000", "frame.stored", ID)
        });
        server.write(&at("05.000000", "frame.stored", "AZq3x9f2another"));
        old.write(&at("05", "message.sent", ID));
        drop((server, bob, old));
        let path = |name: &str| folder.path().join(name);
        fs::rename(path("client-alice.jsonl"), path("client-alice~1.jsonl")).unwrap();
        folder
    }

    #[test]
    fn steps_of_all_logs_stand_in_order_of_time() {
        let folder = folder();
        let story = Story::read(&[folder.path().into()], ID).unwrap();
        let told: Vec<_> =
            story.steps.iter().map(|step| format!("{} {}", step.log, step.operation.op)).collect();
        let expected =
            ["client-alice message.sent", "server frame.stored", "client-bob message.shown"];
        assert_eq!(told, expected);
        let text = story.to_string();
        assert!(text.contains("+10.000 ms  server        frame.stored   DM queue_us=41"), "{text}");
        assert!(text.contains(r"a\x1b[2J") && !text.contains('\u{1b}'), "{text}");
        assert!(text.contains("user=bob OK"), "{text}");
        let json = story.to_json_lines();
        assert!(
            json.starts_with(r#"{"log":"client-alice","ts":"2026-01-02T03:04:05.000000Z""#),
            "{json}"
        );
        assert_eq!(json.lines().count(), 3);
    }

    #[test]
    fn a_beginning_is_enough_when_it_is_the_only_one() {
        let folder = folder();
        assert_eq!(Story::read(&[folder.path().into()], "AZq3x9f2cde").unwrap().steps.len(), 3);
        let error = Story::read(&[folder.path().into()], "AZq3x9f2").unwrap_err();
        assert!(matches!(error, StoryError::Ambiguous { count: 2, .. }), "{error}");
    }

    #[test]
    fn what_cannot_be_told_is_said() {
        let folder = folder();
        let error = Story::read(&[folder.path().into()], "AZq").unwrap_err().to_string();
        assert!(error.contains("too short"), "{error}");
        let error = Story::read(&[folder.path().into()], "nosuchmessage").unwrap_err().to_string();
        assert!(error.contains("no line of 3 logs"), "{error}");
        let error = Story::read(&[folder.path().join("none")], ID).unwrap_err().to_string();
        assert!(error.contains("cannot read"), "{error}");
    }

    #[test]
    fn lines_that_are_no_log_lines_are_counted_and_skipped() {
        let folder = folder();
        let junk = format!("{ID} torn\n\u{1b}{{\"id\":\"{ID}\"\n{}\n", "x".repeat(200_000));
        fs::write(folder.path().join("client-z.jsonl"), junk).unwrap();
        let story = Story::read(&[folder.path().into()], ID).unwrap();
        assert_eq!((story.steps.len(), story.skipped), (3, 2));
    }
}
