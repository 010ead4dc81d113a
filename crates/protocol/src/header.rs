//! Headers of frames between people: canonical JSON, keys in the order given, no spaces.
//!
//! A header is signed as the bytes that travel. A reader parses it strictly, writes it again and
//! demands the same bytes, so two parsers can never disagree about what was signed (rule R22).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::id::{Digest, KeyId, MessageId, Nonce16, from_text};
use crate::limits::{INTEGER_MAX, VERSION};
use crate::name::{ConversationId, NameError, UserName};
use crate::tag::{Shape, Stage, Tag};

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
    /// An integer above 2^53 - 1.
    #[error("{field} is above 2^53 - 1")]
    Integer {
        /// The field's name.
        field: &'static str,
    },
}

/// Whom a message is for: a name, or `*`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Recipient {
    /// Everybody in the conversation.
    Everyone,
    /// One person.
    User(UserName),
}

impl Recipient {
    /// The name, if it is one person.
    pub fn user(&self) -> Option<&UserName> {
        match self {
            Self::Everyone => None,
            Self::User(name) => Some(name),
        }
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str("*"),
            Self::User(name) => name.fmt(f),
        }
    }
}

impl Serialize for Recipient {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Everyone => serializer.serialize_str("*"),
            Self::User(name) => name.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Recipient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer, |text| match text {
            "*" => Ok::<_, NameError>(Self::Everyone),
            name => UserName::new(name).map(Self::User),
        })
    }
}

/// The header of a sealed message (6.5): TEXT, DM, BROADCAST, CMD, OUT and executed ACK and NOACK.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageHeader {
    /// Version.
    pub v: u8,
    /// Tag.
    pub t: Tag,
    /// Only on ACK and NOACK.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// The conversation.
    pub cid: ConversationId,
    /// Who sealed and signed it.
    pub from: UserName,
    /// Which of the sender's signing keys.
    pub sk: KeyId,
    /// Whom it is for.
    pub to: Recipient,
    /// The message's id.
    pub id: MessageId,
    /// The epoch: digest of the KEY header.
    pub e: Digest,
    /// Counter of this signing key in this epoch, from 0.
    pub n: u32,
    /// Digest of the to-be-signed string before this one (rule R15 for n = 0).
    pub p: Digest,
    /// The writer's clock, Unix time in milliseconds.
    pub ts: u64,
    /// CMD only: not before, milliseconds after `ts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// CMD only: expires, milliseconds after `ts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<u64>,
    /// CMD only: the target's restart nonce (rule R9).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rb: Option<Nonce16>,
    /// CMD only: the target's identity key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tk: Option<KeyId>,
}

/// The header of a receipt of delivery (rule R8): signed, not sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptHeader {
    /// Version.
    pub v: u8,
    /// ACK, or NOACK for what could not be read.
    pub t: Tag,
    /// Always `delivered`.
    pub stage: Stage,
    /// The conversation of the messages named.
    pub cid: ConversationId,
    /// Who received them.
    pub from: UserName,
    /// Which of that device's signing keys.
    pub sk: KeyId,
    /// Who sent the messages.
    pub to: UserName,
    /// The receipt's own id.
    pub id: MessageId,
    /// The receiver's clock, Unix time in milliseconds.
    pub ts: u64,
}

/// The header of an epoch (6.4 with rule R3); `e` is its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyHeader {
    /// Version.
    pub v: u8,
    /// Always KEY.
    pub t: Tag,
    /// The conversation.
    pub cid: ConversationId,
    /// Who made the epoch.
    pub from: UserName,
    /// With which signing key.
    pub sk: KeyId,
    /// Salt of the key derivation.
    pub eid: Nonce16,
    /// Generation: one above the epoch before.
    pub g: u32,
    /// Digest of the KEY header before, 32 zero bytes for g = 0.
    pub pe: Digest,
    /// Commitment to the key.
    pub kc: Digest,
    /// Digest of the member lines.
    pub mh: Digest,
    /// The maker's clock, Unix time in milliseconds.
    pub ts: u64,
}

/// What a membership frame does (rule R2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberOperation {
    /// Makes the room.
    Create,
    /// Joins an open room; signed by the joiner.
    Join,
    /// Lets somebody into an invite room; signed by an admin.
    Admit,
    /// Leaves; signed by who leaves.
    Leave,
    /// Removes somebody; signed by an admin.
    Remove,
    /// Changes somebody's role; signed by an admin.
    Role,
}

/// The argument of a membership frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberArgument {
    /// `create`: anybody may join.
    Open,
    /// `create`: members are admitted.
    Invite,
    /// `role`: may admit, remove and change roles.
    Admin,
    /// `role`: an ordinary member.
    Member,
    /// `remove`: and may not join again until an admin admits them.
    Ban,
    /// Every other operation.
    #[serde(rename = "")]
    None,
}

/// The header of a membership frame (rule R2); its body is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberHeader {
    /// Version.
    pub v: u8,
    /// Always MEMBER.
    pub t: Tag,
    /// The room.
    pub cid: ConversationId,
    /// Who signs.
    pub from: UserName,
    /// With which signing key.
    pub sk: KeyId,
    /// What is done.
    pub op: MemberOperation,
    /// To whom.
    pub who: UserName,
    /// The identity key of `who`.
    pub ik: KeyId,
    /// Argument of the operation.
    pub arg: MemberArgument,
    /// Position in the chain: one above the last, from 0.
    pub mg: u32,
    /// Digest of the to-be-signed string of the link before, 32 zero bytes for mg = 0.
    pub pm: Digest,
    /// The frame's own id.
    pub id: MessageId,
    /// The signer's clock, Unix time in milliseconds.
    pub ts: u64,
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
impl Canonical for MessageHeader {}
impl Canonical for ReceiptHeader {}
impl Canonical for KeyHeader {}
impl Canonical for MemberHeader {}

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

impl Checked for MessageHeader {
    fn check(&self) -> Result<(), HeaderError> {
        version(self.v)?;
        integer("ts", self.ts)?;
        integer("nbf", self.nbf.unwrap_or(0))?;
        integer("exp", self.exp.unwrap_or(0))?;
        let command =
            [self.nbf.is_some(), self.exp.is_some(), self.rb.is_some(), self.tk.is_some()];
        if command != [self.t == Tag::Cmd; 4] {
            return Err(HeaderError::Field("nbf, exp, rb and tk belong to CMD alone".into()));
        }
        Ok(())
    }
}

impl Checked for ReceiptHeader {
    fn check(&self) -> Result<(), HeaderError> {
        version(self.v)?;
        integer("ts", self.ts)
    }
}

impl Checked for KeyHeader {
    fn check(&self) -> Result<(), HeaderError> {
        version(self.v)?;
        integer("ts", self.ts)
    }
}

impl Checked for MemberHeader {
    fn check(&self) -> Result<(), HeaderError> {
        version(self.v)?;
        integer("ts", self.ts)
    }
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
