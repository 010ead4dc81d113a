//! Asking for messages that did not come, and handing them on (rule R19): KEYREQ and GRANT.
//!
//! ```text
//! KEYREQ  {"cid":…,"e":…,"sk":…,"n":[3,4]}
//! GRANT   {"grant":[{"cid":…,"e":…,"sk":…,"n":3,"id":…,"tbs":…,"mk":…,"frame":…}],
//!          "burnt":[{"cid":…,"e":…,"sk":…,"n":[4]}],"none":[…]}
//! ```

use serde::{Deserialize, Deserializer, Serialize};

use crate::b64::B64Vec;
use crate::id::{Digest, KeyId, MessageId};
use crate::limits::{
    GRANT_BUNDLES_BYTES_MAX, GRANT_ENTRIES_MAX, GRANT_LINKS_BYTES_MAX, GRANT_LISTS_MAX,
    KEYREQ_COUNTERS_MAX,
};
use crate::members::Place;
use crate::name::ConversationId;
use crate::ratchet::MessageKey;

/// Counters of one chain: KEYREQ asks for their frames, GRANT says that there are none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counters {
    /// The conversation.
    pub cid: ConversationId,
    /// The epoch.
    pub e: Digest,
    /// The signing key of the frames' sender.
    pub sk: KeyId,
    /// Counters, each once and in growing order; at least one, at most [`KEYREQ_COUNTERS_MAX`].
    pub n: Vec<u32>,
}

impl Counters {
    /// Whether the list has the length and the order that it must have.
    pub fn is_valid(&self) -> bool {
        let grows = self.n.iter().zip(self.n.iter().skip(1)).all(|(a, b)| a < b);
        (1..=KEYREQ_COUNTERS_MAX).contains(&self.n.len()) && grows
    }
}

/// The key of one message, and the frame that it opens.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantEntry {
    /// The conversation.
    pub cid: ConversationId,
    /// The epoch.
    pub e: Digest,
    /// The signing key of the frame's sender.
    pub sk: KeyId,
    /// The frame's counter.
    pub n: u32,
    /// The message's id.
    pub id: MessageId,
    /// SHA-256 of what the sender signed.
    pub tbs: Digest,
    /// The message key.
    pub mk: MessageKey,
    /// The frame as it was signed; absent where the other side has it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub frame: Option<B64Vec>,
}

impl std::fmt::Debug for GrantEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the message key: it opens the message.
        f.debug_struct("GrantEntry")
            .field("cid", &self.cid)
            .field("e", &self.e)
            .field("n", &self.n)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Links of a room's chain as they were signed, one after the other (rule R33).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkRun {
    /// The room.
    pub cid: ConversationId,
    /// Number of the first one.
    pub mg: u32,
    /// The MEMBER frames.
    pub frames: Vec<B64Vec>,
}

/// Asks for the links behind a place of a chain: the second form of KEYREQ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRequest {
    /// The room.
    pub cid: ConversationId,
    /// Where the chain of the asker ends.
    pub place: Place,
}

/// What a GRANT hands over; at least one of the lists has an entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grant {
    /// Messages with their keys.
    pub entries: Vec<GrantEntry>,
    /// Counters under which nothing was ever said to anybody.
    pub burnt: Vec<Counters>,
    /// Counters of which the sender's device knows nothing, or nothing any more.
    pub none: Vec<Counters>,
    /// Links that the other side lacks.
    pub links: Vec<LinkRun>,
    /// Bundles that verify them.
    pub bundles: Vec<B64Vec>,
}

impl Grant {
    /// Whether all lists have a length and a form that they may have.
    pub fn is_valid(&self) -> bool {
        let Self { entries, burnt, none, links, bundles } = self;
        let lists = burnt.len() + none.len();
        let filled = !entries.is_empty() || lists > 0 || !links.is_empty() || !bundles.is_empty();
        let bytes = |frames: &[B64Vec]| frames.iter().map(|frame| frame.0.len()).sum::<usize>();
        let link_bytes: usize = links.iter().map(|run| bytes(&run.frames)).sum();
        filled
            && entries.len() <= GRANT_ENTRIES_MAX
            && lists <= GRANT_LISTS_MAX
            && links.len() <= GRANT_LISTS_MAX
            && links.iter().all(|run| !run.frames.is_empty())
            && link_bytes <= GRANT_LINKS_BYTES_MAX
            && bytes(bundles) <= GRANT_BUNDLES_BYTES_MAX
            && burnt.iter().chain(none).all(Counters::is_valid)
    }
}

/// Reads a key that is there: `null` is no value of any of them.
pub(super) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    value: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}
