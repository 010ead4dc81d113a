//! The header of a membership frame, and what it may do.

use serde::{Deserialize, Serialize};

use super::{Canonical, Checked, HeaderError, integer, version};
use crate::id::{Digest, KeyId, MessageId};
use crate::name::{ConversationId, UserName};
use crate::tag::Tag;

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
    /// The version of the format.
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

impl MemberHeader {
    /// Whether it gives nothing to anybody else: who creates, joins or leaves gives no key to others.
    pub fn concerns_signer_only(&self) -> bool {
        match self.op {
            MemberOperation::Create | MemberOperation::Join | MemberOperation::Leave => true,
            MemberOperation::Admit | MemberOperation::Remove | MemberOperation::Role => false,
        }
    }

    /// Whether somebody comes or goes by their own signature.
    pub fn is_own_coming_or_going(&self) -> bool {
        matches!(self.op, MemberOperation::Join | MemberOperation::Leave) && self.who == self.from
    }
}

impl Canonical for MemberHeader {}

impl Checked for MemberHeader {
    fn check(&self) -> Result<(), HeaderError> {
        version(self.v)?;
        integer("ts", self.ts)
    }
}
