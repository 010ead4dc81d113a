//! What must not happen, by kind.

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
