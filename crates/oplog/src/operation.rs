//! What happened, as typed fields.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

/// Longest text field in bytes; the rest is cut. A peer must not be able to fill the disk with
/// one long reason, and the longest sentence of our own error enums is far below this.
pub const TEXT_BYTES_MAX: usize = 256;

/// How much an operator should care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Part of normal work, a refusal of bad input included.
    #[default]
    Info,
    /// Something that hurts when it happens often: a slow consumer, a bad signature.
    Warn,
    /// One such line alone is a reason to look.
    Error,
}

/// How the operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Done; what was asked for is true now (an `ACK`).
    Ok,
    /// Understood and not done, by rule; `code` says which (a `NOACK`).
    Refused,
    /// Tried and not achieved; `code` and `reason` say why.
    Failed,
    /// Not now; the same request may succeed later.
    Retry,
}

/// A short text of our own making or a validated name; never message content.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    /// The text as it will stand in the line: at most [`TEXT_BYTES_MAX`] bytes, whole characters.
    pub fn as_str(&self) -> &str {
        let end = self.0.floor_char_boundary(TEXT_BYTES_MAX);
        self.0.get(..end).unwrap_or_default()
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

/// One operation, in the order in which its fields appear in the line. A field that does not
/// apply stays `None` and is left out.
///
/// ```
/// use chat_oplog::{Operation, Outcome};
/// let operation = Operation {
///     user: Some("alice".into()),
///     tag: Some("DM".into()),
///     outcome: Some(Outcome::Ok),
///     queue_us: Some(120),
///     ..Operation::new("frame.stored")
/// };
/// # assert_eq!(operation.op.as_str(), "frame.stored");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation<'a> {
    /// When the operation ended, UTC, RFC 3339 with microseconds.
    #[serde(serialize_with = "timestamp_us")]
    pub ts: Timestamp,
    /// How much an operator should care.
    pub level: Level,
    /// What was done, `noun.verb`: `session.open`, `frame.stored`, `command.run`.
    pub op: Text<'a>,
    /// Number of the operation in its process. Copy it to tie several lines together.
    pub op_id: u64,
    /// The connection, numbered by the process that accepted or opened it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conn_id: Option<u64>,
    /// Network address of the other end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Text<'a>>,
    /// Who asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Text<'a>>,
    /// Whom it concerns: recipient, target of a command, sender of what arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Text<'a>>,
    /// Tag of the frame: `TEXT`, `DM`, `CMD`, ...
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Text<'a>>,
    /// Message id; the key of a message's story across all logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Text<'a>>,
    /// Conversation: `dm`, `all`, or the name of a room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<Text<'a>>,
    /// Sequence number in the conversation's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Lane of the queue: `control`, `command`, `interactive`, `broadcast`, `bulk`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Text<'a>>,
    /// Size of the frame on the wire; of the body of an HTTP answer, as far as it was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Of a transfer of a file: how many chunks went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunks: Option<u64>,
    /// To how many connections it went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipients: Option<u64>,
    /// How many requests shared the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<u64>,
    /// The how-manieth try this was, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u64>,
    /// SHA-256 of a command's argument list, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argv_sha256: Option<Text<'a>>,
    /// Exit status of a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    /// What HTTP was asked to do: `GET`, `HEAD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Text<'a>>,
    /// Path of an HTTP request as it came, without its query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Text<'a>>,
    /// Status code of the HTTP answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Stage that the answer is about: `stored`, `delivered`, `executed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Text<'a>>,
    /// How it ended; none for a line that only states something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Stable code of a refusal or failure: `E_POLICY`, `E_NAME_TAKEN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Text<'a>>,
    /// One sentence for people, made from our own error enums.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text<'a>>,
    /// Microseconds in the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_us: Option<u64>,
    /// Microseconds of sealing, opening, signing or verifying.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crypto_us: Option<u64>,
    /// Microseconds of the commit that covered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_us: Option<u64>,
    /// Microseconds from arrival (or from the person's Enter) to the outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_us: Option<u64>,
}

impl<'a> Operation<'a> {
    /// An operation that ends now, at level info, with the process's next operation number.
    pub fn new(op: &'a str) -> Self {
        Self {
            ts: Timestamp::now(),
            level: Level::Info,
            op: op.into(),
            op_id: next_operation_id(),
            conn_id: None,
            address: None,
            user: None,
            peer: None,
            tag: None,
            id: None,
            conversation: None,
            seq: None,
            priority: None,
            bytes: None,
            chunks: None,
            recipients: None,
            batch: None,
            attempt: None,
            argv_sha256: None,
            exit: None,
            method: None,
            path: None,
            status: None,
            stage: None,
            outcome: None,
            code: None,
            reason: None,
            queue_us: None,
            crypto_us: None,
            commit_us: None,
            total_us: None,
        }
    }
}

fn next_operation_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Always six digits, so that lines of several files sort by text as they sort by time.
fn timestamp_us<S: Serializer>(ts: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{ts:.6}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_at_a_whole_character() {
        let long = "é".repeat(TEXT_BYTES_MAX);
        let text = Text::from(long.as_str());
        assert_eq!(text.as_str().len(), TEXT_BYTES_MAX);
        assert!(text.as_str().chars().all(|c| c == 'é'));
        let odd = format!("x{long}");
        assert_eq!(Text::from(odd.as_str()).as_str().len(), TEXT_BYTES_MAX - 1);
    }

    #[test]
    fn operation_numbers_never_repeat() {
        assert!(Operation::new("a").op_id < Operation::new("b").op_id);
    }
}
