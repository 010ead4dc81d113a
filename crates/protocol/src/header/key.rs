//! The header of an epoch.

use serde::{Deserialize, Serialize};

use super::{Canonical, Checked, HeaderError, integer, version};
use crate::id::{Digest, KeyId, Nonce16};
use crate::limits::LEFT_OUT_MAX;
use crate::name::{ConversationId, UserName};
use crate::tag::Tag;

/// The header of an epoch (section 6, rules R3, R33 and R40); `e` is its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyHeader {
    /// The version of the format.
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
    /// Number of links of the membership chain that the list was made from; 0 in a direct conversation
    /// (rule R33).
    pub mg: u32,
    /// Digest of the last of them, 32 zero bytes for none.
    pub pm: Digest,
    /// Commitment to the key.
    pub kc: Digest,
    /// Digest of the member lines.
    pub mh: Digest,
    /// The maker's clock, Unix time in milliseconds.
    pub ts: u64,
    /// Members whom the list leaves out, because the maker cannot tell that the key which is offered for
    /// them is theirs; sorted (rule R40). Absent when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wo: Vec<UserName>,
}

impl KeyHeader {
    /// Whether the maker says that it leaves out this member.
    pub fn leaves_out(&self, name: &UserName) -> bool {
        self.wo.binary_search(name).is_ok()
    }
}

impl Canonical for KeyHeader {}

impl Checked for KeyHeader {
    fn check(&self) -> Result<(), HeaderError> {
        version(self.v)?;
        let is_start = self.mg == 0;
        if is_start != (self.pm == Digest::ZERO) || (self.cid.is_direct() && !is_start) {
            return Err(HeaderError::Place);
        }
        let is_sorted = self.wo.is_sorted_by(|a, b| a < b);
        let is_bare = self.cid.is_direct() && !self.wo.is_empty();
        if !is_sorted || is_bare || self.wo.len() > LEFT_OUT_MAX || self.wo.contains(&self.from) {
            return Err(HeaderError::LeftOut);
        }
        integer("ts", self.ts)
    }
}
