//! What people's programs say to each other about files, in messages that are signed and sealed like
//! any other: key `file` of TEXT, DM and BROADCAST.
//!
//! ```text
//! DM    {"file":{"say":"offer","offer":…,"file":{"name":…,"size":…,"root":…}}}
//! DM    {"file":{"say":"want","offer":…,"parts":[[0,16]],"until":…}}
//! DM    {"file":{"say":"give","re":…,"tid":…,"key":…,"file":{…}}}
//! DM    {"file":{"say":"refuse","re":…,"code":"E_…","reason":"…"}}
//! any   {"file":{"say":"copy","offer":…,"tid":…,"key":…,"until":…,"file":{…}}}
//! any   {"file":{"say":"index","key":…}}
//! ```

use serde::{Deserialize, Serialize};

use crate::b64::B64Array;
use crate::file::Manifest;
use crate::id::{MessageId, Nonce16};
use crate::limits::{FILE_PARTS_MAX, INTEGER_MAX};

/// Longest reason of a refusal in bytes: a sentence.
const REASON_BYTES_MAX: usize = 400;

/// One thing said about a file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "lowercase", deny_unknown_fields)]
pub enum FileNote {
    /// I would like to give you this; answer with `want`, or `refuse`.
    Offer {
        /// The offer, chosen by the owner.
        offer: MessageId,
        /// What it is.
        file: Manifest,
    },
    /// Send me this. The message's own id names the request.
    Want {
        /// The offer.
        offer: MessageId,
        /// Chunks that are still missing, as half-open ranges in growing order; empty for all.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        parts: Vec<(u32, u32)>,
        /// The request is worth nothing after this, Unix time in milliseconds.
        until: u64,
    },
    /// Here it is: take this transfer.
    Give {
        /// The request.
        re: MessageId,
        /// The transfer.
        tid: Nonce16,
        /// The file key.
        key: B64Array<32>,
        /// What it is. Everything that arrives is checked against it.
        file: Manifest,
    },
    /// No, or not any more.
    Refuse {
        /// The request or the offer.
        re: MessageId,
        /// A stable code of [`crate::code`].
        code: String,
        /// A sentence for people.
        reason: String,
    },
    /// A copy of this file lies at the hub.
    Copy {
        /// The offer.
        offer: MessageId,
        /// The transfer that takes it.
        tid: Nonce16,
        /// The file key.
        key: B64Array<32>,
        /// Until when the hub keeps it, Unix time in milliseconds.
        until: u64,
        /// What it is.
        file: Manifest,
    },
    /// The key under which my offers to this conversation are listed.
    Index {
        /// The index key.
        key: B64Array<32>,
    },
}

impl FileNote {
    /// Whether all its parts have a form and a length that they may have.
    pub fn is_valid(&self) -> bool {
        match self {
            Self::Offer { file, .. } | Self::Give { file, .. } => file.check().is_ok(),
            Self::Want { parts, until, .. } => *until <= INTEGER_MAX && are_parts(parts),
            Self::Refuse { code, reason, .. } => {
                code.len() <= 32 && reason.len() <= REASON_BYTES_MAX
            }
            Self::Copy { until, file, .. } => *until <= INTEGER_MAX && file.check().is_ok(),
            Self::Index { .. } => true,
        }
    }
}

/// Whether ranges are half-open, not empty, apart, in growing order, and not too many.
pub fn are_parts(parts: &[(u32, u32)]) -> bool {
    let apart = parts.iter().zip(parts.iter().skip(1)).all(|(a, b)| a.1 < b.0);
    parts.len() <= FILE_PARTS_MAX && apart && parts.iter().all(|(from, to)| from < to)
}

impl std::fmt::Debug for FileNote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without keys: they open what they are told for.
        match self {
            Self::Offer { offer, file } => write!(f, "Offer({offer}, {file:?})"),
            Self::Want { offer, parts, until } => write!(f, "Want({offer}, {parts:?}, {until})"),
            Self::Give { re, tid, file, .. } => write!(f, "Give({re}, {tid}, {file:?})"),
            Self::Refuse { re, code, reason } => write!(f, "Refuse({re}, {code}, {reason:?})"),
            Self::Copy { offer, tid, until, file, .. } => {
                write!(f, "Copy({offer}, {tid}, {until}, {file:?})")
            }
            Self::Index { .. } => f.write_str("Index(..)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{ChainNotes, Content, decode, encode};
    use crate::id::Digest;
    use crate::tag::Tag;

    #[test]
    fn every_note_survives_and_shows_no_key() {
        let (offer, tid, key) = (MessageId([1; 16]), Nonce16([2; 16]), B64Array([3; 32]));
        let file = Manifest { name: "a b.txt".into(), size: 9, root: Digest([4; 32]) };
        let (code, reason) = ("E_NOT_ALLOWED".into(), "not for you".into());
        for note in [
            FileNote::Offer { offer, file: file.clone() },
            FileNote::Want { offer, parts: vec![(0, 3), (5, 6)], until: 9 },
            FileNote::Give { re: offer, tid, key, file: file.clone() },
            FileNote::Refuse { re: offer, code, reason },
            FileNote::Copy { offer, tid, key, until: 9, file },
            FileNote::Index { key },
        ] {
            let secret = crate::b64::encode(&[3; 32]);
            assert!(!format!("{note:?}").contains(&secret));
            let content = Content::File(note);
            let bytes = encode(&content, &ChainNotes::default());
            for tag in [Tag::Dm, Tag::Text, Tag::Broadcast] {
                assert_eq!(decode(tag, &bytes), Ok((content.clone(), ChainNotes::default())));
            }
            assert!(decode(Tag::Cmd, &bytes).is_err());
        }
    }

    #[test]
    fn ranges_are_apart_and_in_order() {
        assert!(are_parts(&[]));
        assert!(are_parts(&[(0, 1), (2, 9)]));
        for bad in [vec![(1, 1)], vec![(2, 1)], vec![(0, 2), (2, 3)], vec![(5, 6), (0, 1)]] {
            assert!(!are_parts(&bad), "{bad:?}");
        }
        let many: Vec<_> = (0..65).map(|i| (2 * i, 2 * i + 1)).collect();
        assert!(!are_parts(&many));
    }
}
