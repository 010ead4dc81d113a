//! Whom a shared file is for.

use serde::{Deserialize, Serialize};

use crate::name::ConversationId;

/// Who may find and fetch a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Audience {
    /// Every account.
    Everybody,
    /// The members of a room, or the other of the two.
    Conversation(ConversationId),
}

impl std::fmt::Display for Audience {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Everybody => f.write_str("*"),
            Self::Conversation(cid) => cid.fmt(f),
        }
    }
}

impl Serialize for Audience {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::id::from_text(deserializer, |text| match text {
            "*" => Ok(Self::Everybody),
            cid => ConversationId::parse(cid).map(Self::Conversation),
        })
    }
}
