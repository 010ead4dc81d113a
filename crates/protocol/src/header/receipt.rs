//! The header of a receipt of delivery.

use serde::{Deserialize, Serialize};

use super::{Canonical, Checked, HeaderError, integer, version};
use crate::id::{KeyId, MessageId};
use crate::name::{ConversationId, UserName};
use crate::tag::{Stage, Tag};

/// The header of a receipt of delivery (rule R8): signed, not sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptHeader {
    /// The version of the format.
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

impl Canonical for ReceiptHeader {}

impl Checked for ReceiptHeader {
    fn check(&self) -> Result<(), HeaderError> {
        version(self.v)?;
        integer("ts", self.ts)
    }
}
