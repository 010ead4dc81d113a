//! What is said inside a sealed body: strict JSON, padded to hide its length (rules R22, R28).
//!
//! ```text
//! TEXT DM BROADCAST  {"x":"hello"}   {"x":"ifmmp","veil":true}
//! CMD                {"argv":["uname","-a"],"salt":…,"no":4,"prev":3,"ms":30000,"bytes":1048576}
//! CANCEL             {"re":…}
//! OUT                {"re":…,"stream":"started","no":0}   {"re":…,"stream":"stdout","no":1,"data":…}
//! ACK NOACK          {"re":…,"of":…,"outs":2,"st":1,"code":"E_EXIT","reason":"…"}
//! TEXT DM BROADCAST  {"file":{"say":…}}   see [`files`]
//! DM                 {"x":"at lunch","auto":true}   {"set":[…]}   see [`settings`]
//! KEYREQ GRANT       see [`healing`]
//! any of them        "void":[[n,digest],…],"last":{"e":…,"n":…,"new":…},"pad":"   "
//! ```

pub mod files;
pub mod healing;
mod lines;
pub mod settings;
mod wire;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::files::FileNote;
use self::healing::{Counters, Grant, LinkRequest};
use self::settings::Setting;
use crate::id::{Digest, MessageId, Nonce16};
use crate::limits::{ARGV_BYTES_MAX, ARGV_WORDS_MAX, MESSAGE_TEXT_BYTES_MAX};
use crate::name::RoomName;
use crate::tag::Tag;

pub use self::lines::LineSet;
pub use self::wire::{decode, encode};

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
    /// Which command this is of those that its signing key asks of one restart nonce, from 0
    /// (rule R34).
    pub no: u64,
    /// The number of the last command before it that the hub has not refused.
    pub prev: Option<u64>,
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
    /// How many pieces of OUT were sent for the command, the one that says it was started included.
    pub outs: u64,
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
    /// The text that was said.
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
    /// DM: what the writer's program says for somebody who is away. It is never answered.
    Auto(String),
    /// DM to one's own devices: what is set.
    Settings(Vec<Setting>),
    /// CMD: what a machine is to run.
    Command(Command),
    /// CANCEL: a command is taken back, in whichever frame it comes.
    Cancel {
        /// The command's message id.
        re: MessageId,
    },
    /// OUT: the command was started.
    Started {
        /// The command.
        re: MessageId,
        /// Which piece this is of all that is sent for the command, from 0.
        no: u64,
    },
    /// OUT: a piece of output.
    Output {
        /// The command.
        re: MessageId,
        /// Which stream.
        stream: OutputStream,
        /// Which piece this is of all that is sent for the command, from 0.
        no: u64,
        /// The bytes as the program wrote them.
        data: Vec<u8>,
    },
    /// ACK or NOACK, stage executed.
    Outcome(Outcome),
    /// KEYREQ: send me these frames of yours again.
    KeyRequest(Counters),
    /// KEYREQ: what have you behind the end of my membership chain?
    LinkRequest(LinkRequest),
    /// GRANT: frames and their keys, or links of a chain.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastMessage {
    /// Its epoch.
    pub e: Digest,
    /// Its counter.
    pub n: u32,
    /// The lines of the epoch in which this is said that were none of the one before: it was not for them.
    #[serde(default, skip_serializing_if = "LineSet::is_empty")]
    pub new: LineSet,
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
    use crate::limits::PAD_BYTES;

    #[test]
    fn every_content_survives_and_has_a_padded_length() {
        let re = MessageId([1; 16]);
        let notes = ChainNotes {
            void: vec![(3, Digest([4; 32]))],
            last: Some(LastMessage { e: Digest([5; 32]), n: 6, new: [1].into_iter().collect() }),
        };
        let command = Command {
            argv: vec!["echo".into(), "a b".into()],
            salt: Nonce16([2; 16]),
            no: 4,
            prev: Some(3),
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
            outs: 2,
            status: Some(-1),
            code: "E_EXIT".into(),
            reason: "no".into(),
        };
        let (stream, data) = (OutputStream::Stderr, vec![0, 255]);
        let output = Content::Output { re, stream, no: 1, data };
        for (tag, content) in [
            (Tag::Text, Content::Text("héllo \u{1b}[31m".into())),
            (Tag::Dm, Content::Veiled("ifmmp".into())),
            (Tag::Dm, Content::Auto("at lunch".into())),
            (Tag::Dm, Content::Settings(vec![Setting::new("ignore:bob", "on", 7).unwrap()])),
            (Tag::Text, copy(false)),
            (Tag::Text, copy(true)),
            (Tag::Cmd, Content::Command(command)),
            (Tag::Cancel, Content::Cancel { re }),
            (Tag::Out, Content::Started { re, no: 0 }),
            (Tag::Out, output),
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
        for bad in [
            "\"argv\":[],\"no\":0",
            "\"argv\":[\"a\"]",
            "\"argv\":[\"a\"],\"no\":3,\"prev\":3",
            "\"argv\":[\"a\"],\"no\":3,\"prev\":null",
            "\"argv\":[\"a\"],\"no\":-1",
            "\"argv\":[\"a\"],\"no\":9007199254740992",
        ] {
            let json = format!("{{\"salt\":\"AAAAAAAAAAAAAAAAAAAAAA\",{bad}}}");
            assert!(decode(Tag::Cmd, json.as_bytes()).is_err(), "{bad}");
        }
        let long = format!("{{\"x\":\"{}\"}}", "a".repeat(MESSAGE_TEXT_BYTES_MAX + 1));
        assert!(matches!(decode(Tag::Text, long.as_bytes()), Err(ContentError::TooLong { .. })));
    }
}
