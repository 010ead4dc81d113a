//! What the caller hears about a command: reports in order, the last one final.

/// The stable codes of refusals and unsuccessful ends; they travel in NOACK frames.
pub mod code {
    /// The policy of this machine does not allow it.
    pub const POLICY: &str = "E_POLICY";
    /// Allowed, but more often than the rule's rate.
    pub const RATE: &str = "E_RATE";
    /// It arrived, or got its turn, after its expiry.
    pub const EXPIRED: &str = "E_EXPIRED";
    /// A later command of its sender was dealt with before it came, or one before it is missing.
    pub const ORDER: &str = "E_ORDER";
    /// It was started and the agent died before the end was known. It is never run again.
    pub const INTERRUPTED: &str = "E_INTERRUPTED";
    /// Its sender has taken it back: it did not start, or was ended.
    pub const CANCELLED: &str = "E_CANCELLED";
    /// Too many commands are waiting already.
    pub const BUSY: &str = "E_BUSY";
    /// The journal cannot be written, so nothing may run.
    pub const STORAGE: &str = "E_STORAGE";
    /// It ended with a status other than 0.
    pub const EXIT: &str = "E_EXIT";
    /// A signal ended it.
    pub const SIGNAL: &str = "E_SIGNAL";
    /// It was killed at its time limit, or at its limit of CPU time.
    pub const TIMEOUT: &str = "E_TIMEOUT";
    /// It was killed at its output limit.
    pub const OUTPUT_LIMIT: &str = "E_OUTPUT_LIMIT";
    /// There is no such program.
    pub const NOT_FOUND: &str = "E_NOT_FOUND";
    /// It could not be started.
    pub const FAILED: &str = "E_FAILED";

    /// The refusals that a journal may hold.
    const REFUSALS: [&str; 8] =
        [POLICY, RATE, EXPIRED, ORDER, INTERRUPTED, CANCELLED, BUSY, STORAGE];

    /// The constant that equals `text`. A journal that holds something else was written by hand.
    pub(crate) fn refusal(text: &str) -> &'static str {
        REFUSALS.into_iter().find(|known| *known == text).unwrap_or(POLICY)
    }
}

/// Which of its two outputs the command wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One step of a command. `Refused` or `Exit` comes last and exactly once; before an `Exit` come
/// `Started` and the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// It does not run (or, with `E_INTERRUPTED`, how it ended is not known), and this id never will.
    Refused {
        /// One of [`code`].
        code: &'static str,
        /// A sentence for people. It may quote the argument vector (escaped).
        reason: String,
    },
    /// It is recorded on disk and runs from now on.
    Started,
    /// A piece of its output, raw bytes, in the order of each stream.
    Output {
        /// Where it was written.
        stream: Stream,
        /// At most [`OUTPUT_CHUNK_BYTES`](crate::limits::OUTPUT_CHUNK_BYTES), never empty.
        bytes: Vec<u8>,
    },
    /// Only in a repeated answer: this much of the output came after what the journal kept.
    OutputNotKept {
        /// Number of bytes that cannot be shown again.
        bytes: u64,
    },
    /// It ended like this, and nothing that it started is left.
    Exit(Exit),
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status; 0 is success.
    Code(i32),
    /// By this signal, which did not come from a limit measured here.
    Signal(i32),
    /// Killed, with everything it started, at the time limit.
    TimedOut,
    /// Killed at the limit of CPU time.
    CpuTime,
    /// Killed because its sender has taken it back.
    Cancelled,
    /// Killed at the output limit; exactly the limit was reported.
    OutputLimit,
    /// No such program in the search path.
    NotFound,
    /// It could not be started; the text says why.
    Failed(String),
}

impl Exit {
    /// The stable code of a NOACK, or `None` for success.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::Code(0) => None,
            Self::Code(_) => Some(code::EXIT),
            Self::Signal(_) => Some(code::SIGNAL),
            Self::TimedOut | Self::CpuTime => Some(code::TIMEOUT),
            Self::Cancelled => Some(code::CANCELLED),
            Self::OutputLimit => Some(code::OUTPUT_LIMIT),
            Self::NotFound => Some(code::NOT_FOUND),
            Self::Failed(_) => Some(code::FAILED),
        }
    }

    /// The exit status that a shell would show: 124 as `timeout` gives, 126 and 127 as a shell gives
    /// for what cannot run and what is not there, 128 + n for signal n, 130 as after Ctrl-C. An output cut short counts
    /// as SIGPIPE (141), as in `yes | head`.
    pub fn status(&self) -> i32 {
        match self {
            Self::Code(status) => *status,
            Self::Signal(signal) => signal.saturating_add(128),
            Self::TimedOut | Self::CpuTime => 124,
            Self::Cancelled => 130,
            Self::OutputLimit => 141,
            Self::NotFound => 127,
            Self::Failed(_) => 126,
        }
    }

    /// A sentence for people: the reason of the NOACK.
    pub fn reason(&self) -> String {
        match self {
            Self::Code(status) => format!("ended with status {status}"),
            Self::Signal(signal) => format!("ended by signal {signal}"),
            Self::TimedOut => "killed at its time limit".to_owned(),
            Self::CpuTime => "killed at its limit of CPU time".to_owned(),
            Self::Cancelled => "killed because it was cancelled".to_owned(),
            Self::OutputLimit => "killed at its output limit".to_owned(),
            Self::NotFound => "no such program".to_owned(),
            Self::Failed(why) => format!("could not be run: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the codes and statuses that scripts rely on do not drift.
    #[test]
    fn codes_and_statuses_are_stable() {
        let table = [
            (Exit::Code(0), None, 0),
            (Exit::Code(7), Some("E_EXIT"), 7),
            (Exit::Signal(9), Some("E_SIGNAL"), 137),
            (Exit::TimedOut, Some("E_TIMEOUT"), 124),
            (Exit::CpuTime, Some("E_TIMEOUT"), 124),
            (Exit::Cancelled, Some("E_CANCELLED"), 130),
            (Exit::OutputLimit, Some("E_OUTPUT_LIMIT"), 141),
            (Exit::NotFound, Some("E_NOT_FOUND"), 127),
            (Exit::Failed("x".to_owned()), Some("E_FAILED"), 126),
        ];
        for (exit, code, status) in table {
            assert_eq!((exit.code(), exit.status()), (code, status), "{exit:?}");
        }
        assert_eq!(code::refusal("E_RATE"), code::RATE);
        assert_eq!(code::refusal("written by hand"), code::POLICY);
    }
}
