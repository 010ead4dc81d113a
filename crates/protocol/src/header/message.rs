//! The header of a sealed message, and whom it is for.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Canonical, Checked, HeaderError, integer, version};
use crate::id::{Digest, KeyId, MessageId, Nonce16, from_text};
use crate::name::{ConversationId, NameError, UserName};
use crate::tag::{Stage, Tag};

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

/// The header of a sealed message (section 6): TEXT, DM, BROADCAST, CMD, OUT and executed ACK and NOACK.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageHeader {
    /// The version of the format.
    pub v: u8,
    /// What kind of message it is.
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

impl Canonical for MessageHeader {}

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
