//! What is said inside a sealed body: strict JSON, padded to hide its length (rules R22, R28).
//!
//! ```text
//! TEXT DM BROADCAST  {"x":"hello"}   {"x":"ifmmp","veil":true}
//! CMD                {"argv":["uname","-a"],"salt":…,"ms":30000,"bytes":1048576}
//! OUT                {"re":…,"stream":"started"}   {"re":…,"stream":"stdout","data":…}
//! ACK NOACK          {"re":…,"of":…,"st":1,"code":"E_EXIT","reason":"…"}
//! TEXT DM BROADCAST  {"file":{"say":…}}   see [`files`]
//! KEYREQ GRANT       see [`healing`]
//! any of them        "void":[[n,digest],…],"last":{"e":…,"n":…},"pad":"   "
//! ```

pub mod files;
pub mod healing;

use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use self::files::FileNote;
use self::healing::{Counters, Grant, GrantEntry};
use crate::b64::B64Vec;
use crate::id::{Digest, KeyId, MessageId, Nonce16};
use crate::limits::{
    ARGV_BYTES_MAX, ARGV_WORDS_MAX, INTEGER_MAX, MESSAGE_TEXT_BYTES_MAX, PAD_BYTES,
};
use crate::name::{ConversationId, RoomName};
use crate::tag::Tag;

/// Why a plaintext was refused: shown as damaged, and the sender's chain goes on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ContentError {
    /// Not the JSON that belongs to the tag.
    #[error("content of {tag}: {reason}")]
    Form {
        /// The frame's tag.
        tag: Tag,
        /// What is wrong.
        reason: String,
    },
    /// Longer than a message may be.
    #[error("{what} of {got} is above the limit of {max}")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// How long.
        got: usize,
        /// The limit.
        max: usize,
    },
}

/// Which output of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A command as the requester signs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments; no shell is involved.
    pub argv: Vec<String>,
    /// Makes equal commands differ (rule R26).
    pub salt: Nonce16,
    /// Longest run in milliseconds; the machine's policy may lower it.
    pub time_max_ms: Option<u64>,
    /// Most output in bytes; the machine's policy may lower it.
    pub output_max: Option<u64>,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The command's message id.
    pub re: MessageId,
    /// The digest of the command's frame.
    pub of: Digest,
    /// Exit status, where the program ran and has one.
    pub status: Option<i32>,
    /// A stable code; empty for success.
    pub code: String,
    /// A sentence for people; empty for success.
    pub reason: String,
}

/// What somebody has said in an open room, for those who follow them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedCopy {
    /// Where it was said.
    pub room: RoomName,
    /// What.
    pub text: String,
    /// Each letter is moved on by one, as in [`Content::Veiled`].
    pub veiled: bool,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// TEXT, DM, BROADCAST.
    Text(String),
    /// The same with each letter moved on by one, to be moved back when it is shown.
    Veiled(String),
    /// TEXT in a feed: what its owner has said in an open room (rule R18).
    Copy(FeedCopy),
    /// TEXT, DM, BROADCAST: about a file, for the other side's program.
    File(FileNote),
    /// CMD.
    Command(Command),
    /// OUT: the command was started.
    Started {
        /// The command.
        re: MessageId,
    },
    /// OUT: a piece of output.
    Output {
        /// The command.
        re: MessageId,
        /// Which stream.
        stream: OutputStream,
        /// The bytes as the program wrote them.
        data: Vec<u8>,
    },
    /// ACK or NOACK, stage executed.
    Outcome(Outcome),
    /// KEYREQ: send me these frames of yours again.
    KeyRequest(Counters),
    /// GRANT: frames and their keys.
    Grant(Grant),
}

/// What a sender says about its own chain besides the content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChainNotes {
    /// Counters that were burnt, with the digest of the frame sealed under each (rule R6).
    pub void: Vec<(u32, Digest)>,
    /// On the first message of an epoch: the last one before it (rule R15).
    pub last: Option<LastMessage>,
}

/// The last message of this sender in this conversation before the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastMessage {
    /// Its epoch.
    pub e: Digest,
    /// Its counter.
    pub n: u32,
}

/// Every key a plaintext may have; which of them must and may be there depends on the tag.
#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wire {
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    veil: Option<bool>,
    #[serde(rename = "in", skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    said_in: Option<RoomName>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    file: Option<FileNote>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    argv: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    salt: Option<Nonce16>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    re: Option<MessageId>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    of: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    stream: Option<WireStream>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    data: Option<B64Vec>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    st: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    cid: Option<ConversationId>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    e: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    sk: Option<KeyId>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    n: Option<Vec<u32>>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    grant: Option<Vec<GrantEntry>>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    burnt: Option<Vec<Counters>>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    none: Option<Vec<Counters>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    void: Vec<(u32, Digest)>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    last: Option<LastMessage>,
    /// Written by [`pad`]; read and ignored (rule R28).
    #[serde(skip_serializing, deserialize_with = "present")]
    pad: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WireStream {
    Started,
    Stdout,
    Stderr,
}

/// Reads a key that is there: `null` is no value of any of them.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    value: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// The plaintext of a message, padded.
pub fn encode(content: &Content, notes: &ChainNotes) -> Vec<u8> {
    let mut wire = Wire { void: notes.void.clone(), last: notes.last, ..Wire::default() };
    match content.clone() {
        Content::Text(text) => wire.x = Some(text),
        Content::Veiled(text) => {
            wire.x = Some(text);
            wire.veil = Some(true);
        }
        Content::Copy(FeedCopy { room, text, veiled }) => {
            (wire.x, wire.said_in) = (Some(text), Some(room));
            wire.veil = veiled.then_some(true);
        }
        Content::File(note) => wire.file = Some(note),
        Content::Command(command) => {
            wire.argv = Some(command.argv);
            wire.salt = Some(command.salt);
            wire.ms = command.time_max_ms;
            wire.bytes = command.output_max;
        }
        Content::Started { re } => {
            wire.re = Some(re);
            wire.stream = Some(WireStream::Started);
        }
        Content::Output { re, stream, data } => {
            wire.re = Some(re);
            wire.stream = Some(match stream {
                OutputStream::Stdout => WireStream::Stdout,
                OutputStream::Stderr => WireStream::Stderr,
            });
            wire.data = Some(B64Vec(data));
        }
        Content::Outcome(outcome) => {
            wire.re = Some(outcome.re);
            wire.of = Some(outcome.of);
            wire.st = outcome.status;
            wire.code = Some(outcome.code);
            wire.reason = Some(outcome.reason);
        }
        Content::KeyRequest(Counters { cid, e, sk, n }) => {
            (wire.cid, wire.e, wire.sk, wire.n) = (Some(cid), Some(e), Some(sk), Some(n));
        }
        Content::Grant(Grant { entries, burnt, none }) => {
            wire.grant = Some(entries).filter(|list| !list.is_empty());
            wire.burnt = Some(burnt).filter(|list| !list.is_empty());
            wire.none = Some(none).filter(|list| !list.is_empty());
        }
    }
    pad(serde_json::to_vec(&wire).expect("plaintexts hold only strings, numbers and lists of them"))
}

/// Puts `"pad"` as the last key, with as many spaces as make the length a multiple of 64.
fn pad(mut json: Vec<u8>) -> Vec<u8> {
    const KEY: &[u8] = b",\"pad\":\"";
    json.pop();
    json.extend_from_slice(KEY);
    let length = (json.len() + 2).next_multiple_of(PAD_BYTES) - 2;
    json.resize(length, b' ');
    json.extend_from_slice(b"\"}");
    json
}

/// Reads the plaintext of a message with this tag.
pub fn decode(tag: Tag, plaintext: &[u8]) -> Result<(Content, ChainNotes), ContentError> {
    let form = |reason: &str| ContentError::Form { tag, reason: reason.to_owned() };
    let mut wire: Wire =
        serde_json::from_slice(plaintext).map_err(|error| form(&error.to_string()))?;
    let notes = ChainNotes { void: std::mem::take(&mut wire.void), last: wire.last.take() };
    wire.pad = None;
    let content = match tag {
        Tag::Text | Tag::Dm | Tag::Broadcast if wire.file.is_some() => {
            let note = wire.file.take().filter(FileNote::is_valid);
            Content::File(note.ok_or_else(|| form("file"))?)
        }
        Tag::Text | Tag::Dm | Tag::Broadcast => {
            let text = text(wire.x.take().ok_or_else(|| form("x is missing"))?)?;
            // One way to write each content.
            if wire.veil == Some(false) {
                return Err(form("veil is true or absent"));
            }
            let veiled = wire.veil.take().is_some();
            match (wire.said_in.take_if(|room| tag == Tag::Text && !room.is_all()), veiled) {
                (Some(room), veiled) => Content::Copy(FeedCopy { room, text, veiled }),
                (None, false) => Content::Text(text),
                (None, true) => Content::Veiled(text),
            }
        }
        Tag::Cmd => command(tag, &mut wire)?,
        Tag::Out => output(tag, &mut wire)?,
        Tag::Ack | Tag::Noack => Content::Outcome(Outcome {
            re: wire.re.take().ok_or_else(|| form("re is missing"))?,
            of: wire.of.take().ok_or_else(|| form("of is missing"))?,
            status: wire.st.take(),
            code: wire.code.take().unwrap_or_default(),
            reason: wire.reason.take().unwrap_or_default(),
        }),
        Tag::Keyreq => {
            let counters = Counters {
                cid: wire.cid.take().ok_or_else(|| form("cid is missing"))?,
                e: wire.e.take().ok_or_else(|| form("e is missing"))?,
                sk: wire.sk.take().ok_or_else(|| form("sk is missing"))?,
                n: wire.n.take().ok_or_else(|| form("n is missing"))?,
            };
            let valid = counters.is_valid();
            Content::KeyRequest(Some(counters).filter(|_| valid).ok_or_else(|| form("n"))?)
        }
        Tag::Grant => {
            let grant = Grant {
                entries: wire.grant.take().unwrap_or_default(),
                burnt: wire.burnt.take().unwrap_or_default(),
                none: wire.none.take().unwrap_or_default(),
            };
            let valid = grant.is_valid();
            Content::Grant(Some(grant).filter(|_| valid).ok_or_else(|| form("a list's length"))?)
        }
        Tag::File | Tag::Key | Tag::Member => return Err(form("this tag seals nothing")),
    };
    // Whatever was not taken belongs to another tag: a reader that knows only this tag's keys
    // refuses it, so everybody does (rule R22).
    if wire == Wire::default() { Ok((content, notes)) } else { Err(form("a key of another tag")) }
}

fn text(text: String) -> Result<String, ContentError> {
    cap("text in bytes", text.len(), MESSAGE_TEXT_BYTES_MAX)?;
    Ok(text)
}

fn output(tag: Tag, wire: &mut Wire) -> Result<Content, ContentError> {
    let form = |reason: &str| ContentError::Form { tag, reason: reason.to_owned() };
    let re = wire.re.take().ok_or_else(|| form("re is missing"))?;
    let stream = wire.stream.take().ok_or_else(|| form("stream is missing"))?;
    let data = wire.data.take().map(|data| data.0);
    match (stream, data) {
        (WireStream::Started, None) => Ok(Content::Started { re }),
        (WireStream::Stdout, Some(data)) => {
            Ok(Content::Output { re, stream: OutputStream::Stdout, data })
        }
        (WireStream::Stderr, Some(data)) => {
            Ok(Content::Output { re, stream: OutputStream::Stderr, data })
        }
        _ => Err(form("stream and data do not go together")),
    }
}

fn command(tag: Tag, wire: &mut Wire) -> Result<Content, ContentError> {
    let form = |reason: String| ContentError::Form { tag, reason };
    let missing = |what: &str| form(format!("{what} is missing"));
    let argv = wire.argv.take().filter(|argv| !argv.is_empty()).ok_or_else(|| missing("argv"))?;
    let command = Command {
        argv,
        salt: wire.salt.take().ok_or_else(|| missing("salt"))?,
        time_max_ms: wire.ms.take(),
        output_max: wire.bytes.take(),
    };
    if command.time_max_ms.max(command.output_max) > Some(INTEGER_MAX) {
        return Err(form("ms or bytes is above 2^53 - 1".to_owned()));
    }
    check_argv(&command.argv)?;
    Ok(Content::Command(command))
}

/// Whether a text may be sent.
pub fn check_text(text: &str) -> Result<(), ContentError> {
    cap("text in bytes", text.len(), MESSAGE_TEXT_BYTES_MAX)
}

/// Whether an argument vector may be sent.
pub fn check_argv(argv: &[String]) -> Result<(), ContentError> {
    cap("number of words", argv.len(), ARGV_WORDS_MAX)?;
    cap("argument bytes", argv.iter().map(String::len).sum(), ARGV_BYTES_MAX)
}

fn cap(what: &'static str, got: usize, max: usize) -> Result<(), ContentError> {
    if got > max { Err(ContentError::TooLong { what, got, max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_content_survives_and_has_a_padded_length() {
        let re = MessageId([1; 16]);
        let notes = ChainNotes {
            void: vec![(3, Digest([4; 32]))],
            last: Some(LastMessage { e: Digest([5; 32]), n: 6 }),
        };
        let command = Command {
            argv: vec!["echo".into(), "a b".into()],
            salt: Nonce16([2; 16]),
            time_max_ms: Some(5),
            output_max: None,
        };
        let copy = |veiled| {
            let room = RoomName::new("ops").unwrap();
            Content::Copy(FeedCopy { room, text: "hi".into(), veiled })
        };
        let outcome = Outcome {
            re,
            of: Digest([7; 32]),
            status: Some(-1),
            code: "E_EXIT".into(),
            reason: "no".into(),
        };
        for (tag, content) in [
            (Tag::Text, Content::Text("héllo \u{1b}[31m".into())),
            (Tag::Dm, Content::Veiled("ifmmp".into())),
            (Tag::Text, copy(false)),
            (Tag::Text, copy(true)),
            (Tag::Cmd, Content::Command(command)),
            (Tag::Out, Content::Started { re }),
            (Tag::Out, Content::Output { re, stream: OutputStream::Stderr, data: vec![0, 255] }),
            (Tag::Noack, Content::Outcome(outcome)),
        ] {
            for notes in [notes.clone(), ChainNotes::default()] {
                let bytes = encode(&content, &notes);
                assert_eq!(bytes.len() % PAD_BYTES, 0);
                assert_eq!(decode(tag, &bytes), Ok((content.clone(), notes)));
            }
        }
    }

    #[test]
    fn lengths_within_one_block_look_the_same() {
        let length = |text: &str| encode(&Content::Text(text.into()), &ChainNotes::default()).len();
        assert_eq!(length("yes"), length("no, never"));
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "{\"x\":\"a\",\"x\":\"b\"}",
            "{\"x\":\"a\",\"y\":1}",
            "{\"x\":\"\\ud800\"}",
            "{\"x\":1}",
            "{\"x\":\"a\",\"veil\":false}",
            "{\"x\":\"a\",\"veil\":1}",
            "{\"x\":\"a\",\"veil\":null}",
            "{\"veil\":true}",
            "{\"in\":\"ops\"}",
            "{\"x\":\"a\",\"in\":\"ALL\"}",
            "{\"x\":\"a\",\"in\":\"a b\"}",
            "{\"x\":\"a\",\"in\":null}",
            "{}",
            "[]",
            "",
        ] {
            assert!(decode(Tag::Text, bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(decode(Tag::Text, b"{\"x\":\"\xff\"}").is_err(), "invalid UTF-8");
        assert!(decode(Tag::Dm, b"{\"x\":\"a\",\"in\":\"ops\"}").is_err(), "no room to name");
        assert!(decode(Tag::Cmd, b"{\"argv\":[],\"salt\":\"AAAAAAAAAAAAAAAAAAAAAA\"}").is_err());
        let long = format!("{{\"x\":\"{}\"}}", "a".repeat(MESSAGE_TEXT_BYTES_MAX + 1));
        assert!(matches!(decode(Tag::Text, long.as_bytes()), Err(ContentError::TooLong { .. })));
    }
}
