//! Words that events are told in: what must not happen, what may become of somebody in a room, how well an identity
//! is known, and what an offer is worth.

use chat_protocol::file::offer::OfferHeader;
use serde::{Deserialize, Serialize};

/// Kinds of alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alarm {
    /// Another identity key than the known one.
    KeyChanged,
    /// A signature that is not the sender's.
    BadSignature,
    /// A frame that was received before, in a new place.
    Replay,
    /// A membership chain or an epoch that does not verify.
    BadChain,
    /// A message was granted that must not be shown.
    BadGrant,
    /// The hub has gone back to an older state.
    RolledBack,
    /// Somebody speaks in a room that they are not in.
    NotAMember,
    /// Somebody still seals for a person who was removed.
    SealsForRemoved,
    /// A member sees another membership of a room than the hub shows here.
    OtherView,
    /// The hub shows a membership that contradicts the verified one.
    Fork,
    /// Somebody has what the hub says it has refused.
    FalseRefusal,
    /// People talk in a room that the hub says was deleted.
    FalseDeletion,
    /// A result of a command that is not the one asked for.
    BadResult,
}

impl Alarm {
    /// The word for logs and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeyChanged => "key_changed",
            Self::BadSignature => "bad_signature",
            Self::Replay => "replay",
            Self::BadChain => "bad_chain",
            Self::BadGrant => "bad_grant",
            Self::RolledBack => "rolled_back",
            Self::NotAMember => "not_a_member",
            Self::SealsForRemoved => "seals_for_removed",
            Self::OtherView => "other_view",
            Self::Fork => "fork",
            Self::FalseRefusal => "false_refusal",
            Self::FalseDeletion => "false_deletion",
            Self::BadResult => "bad_result",
        }
    }
}

/// How the members of a room have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberChange {
    /// Came in by themselves.
    Joined,
    /// Left by themselves.
    Left,
    /// Was let in by an admin.
    Added,
    /// Was put out by an admin.
    Removed,
    /// Was put out and may not join again.
    Banned,
    /// Is an admin now.
    Admin,
    /// Is no admin any more.
    NoAdmin,
}

/// How well a person's identity is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Pinned when it was first seen.
    #[default]
    Known,
    /// This user has compared its words with the person.
    Verified,
    /// Another identity is offered for the name, and this user has not decided.
    Changed,
}

/// What a listed offer is worth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OfferVerdict {
    /// Signed for this place by a key of its owner that is not revoked; no newer one was seen here.
    Good(Box<OfferHeader>),
    /// The owner has signed it, and a newer one of the same id was seen before.
    Outdated,
    /// The key that signed it was revoked since.
    Revoked,
    /// The owner has not signed it.
    Forged {
        /// The file's name as it was listed; nothing where that cannot be read.
        name: Option<String>,
    },
}
