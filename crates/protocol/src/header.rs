//! Headers of frames between people: canonical JSON, keys in the order given, no spaces.
//!
//! A header is signed as the bytes that travel. A reader parses it strictly, writes it again and
//! demands the same bytes, so two parsers can never disagree about what was signed (rule R22).

mod key;
mod member;
mod message;
mod receipt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id::{KeyId, MessageId};
use crate::limits::{INTEGER_MAX, LEFT_OUT_MAX, VERSION};
use crate::name::{ConversationId, UserName};
use crate::tag::{Shape, Stage, Tag};

pub use key::KeyHeader;
pub use member::{MemberArgument, MemberHeader, MemberOperation};
pub use message::{MessageHeader, Recipient};
pub use receipt::ReceiptHeader;

/// Why a header was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The tag is none that this version knows.
    #[error("unknown tag {0:?}")]
    UnknownTag(String),
    /// The header does not begin with version and tag.
    #[error("a header begins with {{\"v\":{VERSION},\"t\":\"TAG\"")]
    Start,
    /// Tag and stage do not go together.
    #[error("{tag} may not carry this stage")]
    Stage {
        /// The tag found.
        tag: Tag,
    },
    /// A field is missing, unknown, twice there or of the wrong form.
    #[error("header: {0}")]
    Field(String),
    /// The same values written canonically give other bytes.
    #[error("the header is not in canonical form")]
    NotCanonical,
    /// Another header version.
    #[error("header version {got}, expected {VERSION}")]
    Version {
        /// The version found.
        got: u8,
    },
    /// A place on a membership chain that cannot be.
    #[error("number and digest of the last link do not go together")]
    Place,
    /// Members who are left out, in a form that is not lawful.
    #[error(
        "those who are left out are sorted, at most {LEFT_OUT_MAX}, others than the maker, and in no direct conversation"
    )]
    LeftOut,
    /// An integer above 2^53 - 1.
    #[error("{field} is above 2^53 - 1")]
    Integer {
        /// The field's name.
        field: &'static str,
    },
}

/// A header of any shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Header {
    /// A sealed message.
    Message(MessageHeader),
    /// A receipt of delivery.
    Receipt(ReceiptHeader),
    /// An epoch.
    Key(KeyHeader),
    /// A membership change.
    Member(MemberHeader),
}

impl Header {
    /// Reads canonical header bytes; refuses every other spelling of the same values.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        let (tag, stage) = peek(bytes)?;
        Ok(match tag.shape(stage).ok_or(HeaderError::Stage { tag })? {
            Shape::Message => Self::Message(read(bytes)?),
            Shape::Receipt => Self::Receipt(read(bytes)?),
            Shape::Key => Self::Key(read(bytes)?),
            Shape::Member => Self::Member(read(bytes)?),
        })
    }

    /// The tag.
    pub fn tag(&self) -> Tag {
        match self {
            Self::Message(h) => h.t,
            Self::Receipt(h) => h.t,
            Self::Key(_) => Tag::Key,
            Self::Member(_) => Tag::Member,
        }
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        match self {
            Self::Message(_) => Shape::Message,
            Self::Receipt(_) => Shape::Receipt,
            Self::Key(_) => Shape::Key,
            Self::Member(_) => Shape::Member,
        }
    }

    /// The conversation.
    pub fn conversation(&self) -> &ConversationId {
        match self {
            Self::Message(h) => &h.cid,
            Self::Receipt(h) => &h.cid,
            Self::Key(h) => &h.cid,
            Self::Member(h) => &h.cid,
        }
    }

    /// Who signed, and with which key.
    pub fn signer(&self) -> (&UserName, KeyId) {
        match self {
            Self::Message(h) => (&h.from, h.sk),
            Self::Receipt(h) => (&h.from, h.sk),
            Self::Key(h) => (&h.from, h.sk),
            Self::Member(h) => (&h.from, h.sk),
        }
    }

    /// The id that an answer names. A KEY has none of its own: its `eid` serves.
    pub fn id(&self) -> MessageId {
        match self {
            Self::Message(h) => h.id,
            Self::Receipt(h) => h.id,
            Self::Key(h) => MessageId(h.eid.0),
            Self::Member(h) => h.id,
        }
    }
}

/// A header struct that writes itself canonically.
pub trait Canonical: Serialize {
    /// The bytes that are signed and sent.
    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("headers hold only strings and integers")
    }
}

/// What every header struct can be checked for after parsing.
trait Checked {
    fn check(&self) -> Result<(), HeaderError>;
}

fn version(v: u8) -> Result<(), HeaderError> {
    if v == VERSION { Ok(()) } else { Err(HeaderError::Version { got: v }) }
}

fn integer(field: &'static str, value: u64) -> Result<(), HeaderError> {
    if value <= INTEGER_MAX { Ok(()) } else { Err(HeaderError::Integer { field }) }
}

fn read<'de, T>(bytes: &'de [u8]) -> Result<T, HeaderError>
where
    T: Deserialize<'de> + Canonical + Checked,
{
    let header: T = read_canonical(bytes)?;
    header.check()?;
    Ok(header)
}

/// Reads a header whose bytes are the ones that writing it gives.
pub(crate) fn read_canonical<'de, T>(bytes: &'de [u8]) -> Result<T, HeaderError>
where
    T: Deserialize<'de> + Canonical,
{
    let header: T =
        serde_json::from_slice(bytes).map_err(|error| HeaderError::Field(error.to_string()))?;
    if header.to_bytes() != bytes {
        return Err(HeaderError::NotCanonical);
    }
    Ok(header)
}

/// Tag and stage from the fixed beginning of a canonical header, before anything is parsed.
fn peek(bytes: &[u8]) -> Result<(Tag, Option<Stage>), HeaderError> {
    let rest = bytes.strip_prefix(b"{\"v\":1,\"t\":\"").ok_or(HeaderError::Start)?;
    let end = rest.iter().position(|&byte| byte == b'"').ok_or(HeaderError::Start)?;
    let (word, rest) = rest.split_at(end);
    let word = std::str::from_utf8(word).map_err(|_| HeaderError::Start)?;
    let tag = Tag::parse(word).ok_or_else(|| HeaderError::UnknownTag(word.to_owned()))?;
    let stage = match rest.strip_prefix(b"\",\"stage\":\"") {
        Some(rest) if rest.starts_with(b"delivered\"") => Some(Stage::Delivered),
        Some(rest) if rest.starts_with(b"executed\"") => Some(Stage::Executed),
        Some(_) => return Err(HeaderError::Stage { tag }),
        None => None,
    };
    Ok((tag, stage))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Digest;

    fn message() -> MessageHeader {
        MessageHeader {
            v: 1,
            t: Tag::Text,
            stage: None,
            cid: ConversationId::parse("room:lobby").unwrap(),
            from: UserName::new("alice").unwrap(),
            sk: KeyId([1; 16]),
            to: Recipient::Everyone,
            id: MessageId([2; 16]),
            e: Digest([3; 32]),
            n: 7,
            p: Digest::ZERO,
            ts: 1_790_000_000_000,
            nbf: None,
            exp: None,
            rb: None,
            tk: None,
        }
    }

    #[test]
    fn only_the_canonical_spelling_is_read() {
        let header = message();
        let text = String::from_utf8(header.to_bytes()).unwrap();
        assert_eq!(Header::parse(text.as_bytes()), Ok(Header::Message(header)));
        for (from, to) in [
            (",\"n\":7", ", \"n\":7"),
            (",\"n\":7", ",\"n\":07"),
            (",\"n\":7", ",\"n\":7.0"),
            (",\"n\":7", ",\"n\":7,\"n\":7"),
            (",\"n\":7", ",\"n\":-7"),
            (",\"n\":7", ",\"n\":4294967296"),
            ("alice", "\\u0061lice"),
            ("\"v\":1", "\"v\":2"),
            ("TEXT", "TEXTS"),
            ("\"ts\":1790000000000", "\"ts\":9007199254740992"),
            ("\"to\":\"*\"", "\"to\":\"*\",\"x\":1"),
            ("\"v\":1,\"t\":\"TEXT\"", "\"t\":\"TEXT\",\"v\":1"),
            (",\"ts\":", ",\"exp\":5,\"ts\":"),
            ("room:lobby", "room:lob by"),
        ] {
            let other = text.replacen(from, to, 1);
            assert_ne!(other, text);
            assert!(Header::parse(other.as_bytes()).is_err(), "{other}");
        }
    }

    #[test]
    fn tag_and_stage_must_go_together() {
        let mut header = message();
        header.t = Tag::Ack;
        assert!(Header::parse(&header.to_bytes()).is_err(), "ACK without a stage");
        header.stage = Some(Stage::Executed);
        assert!(Header::parse(&header.to_bytes()).is_ok());
        header.t = Tag::Text;
        assert!(Header::parse(&header.to_bytes()).is_err(), "TEXT with a stage");
        header.stage = None;
        header.t = Tag::Cmd;
        assert!(Header::parse(&header.to_bytes()).is_err(), "CMD without its four fields");
    }
}
