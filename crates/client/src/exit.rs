//! What the program's exit code says.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::{Value, json};

mod errors;

pub use errors::HasExit;

/// How the program ended. The numbers are fixed: scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// All done.
    Ok,
    /// Something failed that has no number of its own.
    Failure,
    /// The command line is wrong; nothing was tried.
    Usage,
    /// The server cannot be reached.
    CannotConnect,
    /// Wrong password or key.
    SignInRefused,
    /// The name belongs to somebody else, or is in use now.
    NameTaken,
    /// The server, the recipient or the agent refused: `NOACK`.
    Refused,
    /// A signature, key or sequence is not as it must be.
    Integrity,
    /// The disk failed.
    Storage,
    /// The report of the emulator finds something wrong.
    ReportFailed,
    /// No answer in time.
    TimedOut,
    /// `run`: the command was started, and nobody knows how it ended.
    Unknown,
    /// Ctrl-C, SIGTERM or SIGQUIT.
    Interrupted,
    /// `run`: the command never ran, for another reason than a refusal.
    NeverRan,
    /// `run`: the command's own exit status.
    Command(u8),
}

/// Every status with a fixed number, and what it means to a person.
const TABLE: [(ExitStatus, &str); 14] = [
    (ExitStatus::Ok, "done"),
    (ExitStatus::Failure, "failed"),
    (ExitStatus::Usage, "the command line is wrong"),
    (ExitStatus::CannotConnect, "the server cannot be reached"),
    (ExitStatus::SignInRefused, "sign-in refused: wrong password or key"),
    (ExitStatus::NameTaken, "the name is taken or in use"),
    (ExitStatus::Refused, "answered NOACK: refused, or failed over there"),
    (ExitStatus::Integrity, "integrity failure: a signature, key or sequence is wrong"),
    (ExitStatus::Storage, "storage failure"),
    (ExitStatus::ReportFailed, "the emulator's report finds something wrong"),
    (ExitStatus::TimedOut, "timed out"),
    (ExitStatus::Unknown, "run: the command was started, how it ended is not known"),
    (ExitStatus::Interrupted, "interrupted, or ended by SIGTERM or SIGQUIT"),
    (ExitStatus::NeverRan, "run: the command never ran, and was not refused"),
];

impl ExitStatus {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::CannotConnect => 3,
            Self::SignInRefused => 4,
            Self::NameTaken => 5,
            Self::Refused => 6,
            Self::Integrity => 7,
            Self::Storage => 70,
            Self::ReportFailed => 99,
            Self::TimedOut => 124,
            Self::Unknown => 125,
            Self::Interrupted => 130,
            Self::NeverRan => 255,
            Self::Command(code) => code,
        }
    }

    /// The number as a word, for programs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Failure => "E_FAILED",
            Self::Usage => "E_USAGE",
            Self::CannotConnect => "E_CONNECT",
            Self::SignInRefused => "E_SIGN_IN",
            Self::NameTaken => "E_NAME_TAKEN",
            Self::Refused => "E_REFUSED",
            Self::Integrity => "E_INTEGRITY",
            Self::Storage => "E_STORAGE",
            Self::ReportFailed => "E_REPORT",
            Self::TimedOut => "E_TIMEOUT",
            Self::Unknown => "E_UNKNOWN_END",
            Self::Interrupted => "E_STOPPED",
            Self::NeverRan => "E_NEVER_RAN",
            Self::Command(_) => "E_EXIT",
        }
    }

    /// What the number says to a person; nothing for a command's own status.
    pub fn meaning(self) -> &'static str {
        let found = TABLE.iter().find(|(status, _)| *status == self);
        found.map(|(_, meaning)| *meaning).unwrap_or_default()
    }

    /// The last line of a command that ends like this, for programs: nothing when all is done, and nothing
    /// for a command's own status. `code` is the server's, where it gave one.
    pub fn event(self, code: Option<&str>, reason: &str) -> Option<Value> {
        if matches!(self, Self::Ok | Self::Command(_)) {
            return None;
        }
        let code = code.unwrap_or(self.word());
        Some(json!({"event": "error", "code": code, "reason": reason, "exit": self.code()}))
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}

/// The table for `help exit-codes`, one line each.
pub fn table() -> String {
    let mut table = String::from("Exit codes:\n");
    for (status, meaning) in TABLE {
        writeln!(table, "  {:>3}  {meaning}", status.code())
            .expect("writing to a String cannot fail");
    }
    table.push_str("       run: otherwise the command's own exit status\n");
    table
}

/// The table for the manual page.
pub fn manual() -> Vec<(String, String)> {
    let rows =
        TABLE.iter().map(|(status, meaning)| (status.code().to_string(), (*meaning).to_owned()));
    let other = ("other".to_owned(), "run: the command's own exit status".to_owned());
    rows.chain([other]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_the_documented_ones() {
        let codes: Vec<u8> = TABLE.iter().map(|(status, _)| status.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 70, 99, 124, 125, 130, 255]);
        assert_eq!(ExitStatus::Command(42).code(), 42);
        assert!(table().contains("\n   99  the emulator's report"), "{}", table());
        let page = include_str!("../../../docs/JSON.md");
        for (status, _) in TABLE.iter().filter(|(status, _)| *status != ExitStatus::Ok) {
            let row = format!("| {} | `{}` |", status.code(), status.word());
            assert!(page.contains(&row), "docs/JSON.md: {row}");
        }
    }
}
