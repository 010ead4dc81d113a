//! The header of an epoch.

use serde::{Deserialize, Serialize};

use super::{Canonical, Checked, HeaderError, integer, version};
use crate::id::{Digest, KeyId, Nonce16};
use crate::name::{ConversationId, UserName};
use crate::tag::Tag;

/// The header of an epoch (section 6, rules R3 and R33); `e` is its SHA-256.
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
}

impl Canonical for KeyHeader {}

impl Checked for KeyHeader {
    fn check(&self) -> Result<(), HeaderError> {
        version(self.v)?;
        let is_start = self.mg == 0;
        if is_start != (self.pm == Digest::ZERO) || (self.cid.is_direct() && !is_start) {
            return Err(HeaderError::Place);
        }
        integer("ts", self.ts)
    }
}
