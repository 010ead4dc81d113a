//! An offer as its owner's device has signed it (rule R32): whose file it is, for whom, and what it
//! is. A hub can keep it back, or show one that was taken back; it cannot make one or change it.
//!
//! ```text
//! u8 ver = 1 | u8 auth = 1 or 2 | u32 hlen | hdr | u32 blen = 0 | authentication
//! hdr = {"v":1,"t":"OFFER","u","sk","cid","id","name","size","root","ts"}
//! ```

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::audience::Audience;
use super::{FileError, Manifest};
use crate::b64::B64Vec;
use crate::crypto::{SigningKey, VerifyingKey};
use crate::frame::{FrameError, RawFrame, Unsigned, VerifiedBatches, sign_all};
use crate::header::{Canonical, HeaderError, read_canonical};
use crate::id::{Digest, KeyId, MessageId};
use crate::limits::{INTEGER_MAX, OFFER_FRAME_BYTES_MAX, VERSION};
use crate::name::UserName;
use crate::tag::{Tag, label};

/// Why bytes are not a signed offer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OfferError {
    /// Longer than one can be.
    #[error("a signed offer of {got} bytes; at most {OFFER_FRAME_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length in bytes.
        got: usize,
    },
    /// Not in the layout of a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The header cannot be read.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// It is not signed, or has a body.
    #[error("an offer is signed and has an empty body")]
    Form,
    /// No file is like that.
    #[error(transparent)]
    File(#[from] FileError),
    /// The header names another offer than the one beside which it stands.
    #[error("what was signed is of another owner, audience or offer")]
    Elsewhere,
}

/// What the owner's device signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfferHeader {
    /// The version of the format.
    pub v: u8,
    /// Always OFFER.
    pub t: Tag,
    /// Whose file it is.
    pub u: UserName,
    /// The key that signs.
    pub sk: KeyId,
    /// Who may find it.
    pub cid: Audience,
    /// The offer.
    pub id: MessageId,
    /// The owner's name for the file: base64url, because no string of a header may need escaping.
    #[serde(with = "name_text")]
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// Root of the tree over its chunks.
    pub root: Digest,
    /// Unix time in milliseconds at which it was signed; grows with every change of the offer.
    pub ts: u64,
}

impl Canonical for OfferHeader {}

impl OfferHeader {
    /// Reads canonical header bytes; refuses every other spelling of the same values.
    pub fn parse(bytes: &[u8]) -> Result<Self, OfferError> {
        let header: Self = read_canonical(bytes)?;
        if header.v != VERSION {
            return Err(HeaderError::Version { got: header.v }.into());
        }
        if header.t != Tag::Offer {
            return Err(HeaderError::Stage { tag: header.t }.into());
        }
        if header.ts > INTEGER_MAX {
            return Err(HeaderError::Integer { field: "ts" }.into());
        }
        header.file().check()?;
        Ok(header)
    }

    /// The file.
    pub fn file(&self) -> Manifest {
        Manifest { name: self.name.clone(), size: self.size, root: self.root }
    }
}

/// What is to be signed of one offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferDraft {
    /// The offer.
    pub id: MessageId,
    /// Who may find it.
    pub audience: Audience,
    /// The file.
    pub file: Manifest,
    /// Unix time in milliseconds; above that of every earlier signature of this offer.
    pub ts: u64,
}

/// Signs offers of `owner`, 64 with one signature. The order is kept.
pub fn sign(key: &SigningKey, owner: &UserName, drafts: Vec<OfferDraft>) -> Vec<B64Vec> {
    let sk = crate::keys::key_id(key.spki());
    let unsigned = |draft: OfferDraft| {
        let OfferDraft { id, audience, file, ts } = draft;
        let Manifest { name, size, root } = file;
        let (v, t, u, cid) = (VERSION, Tag::Offer, owner.clone(), audience);
        let header = OfferHeader { v, t, u, sk, cid, id, name, size, root, ts };
        Unsigned::new(label::SHARE, header.to_bytes(), Vec::new())
    };
    let unsigned: Vec<Unsigned> = drafts.into_iter().map(unsigned).collect();
    sign_all(key, &unsigned).into_iter().map(|frame| B64Vec(frame.to_vec())).collect()
}

/// A signed offer whose form is in order. Nothing in it is believed before [`SignedOffer::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedOffer {
    header: OfferHeader,
    frame: RawFrame,
}

impl SignedOffer {
    /// Reads a signed offer; the signature is not checked.
    pub fn parse(bytes: &[u8]) -> Result<Self, OfferError> {
        if bytes.len() > OFFER_FRAME_BYTES_MAX {
            return Err(OfferError::TooLong { got: bytes.len() });
        }
        let frame = RawFrame::decode(bytes.to_vec().into())?;
        if !frame.is_signed() || !frame.body().is_empty() {
            return Err(OfferError::Form);
        }
        let header = OfferHeader::parse(frame.header())?;
        Ok(Self { header, frame })
    }

    /// What was signed.
    pub fn header(&self) -> &OfferHeader {
        &self.header
    }

    /// Refuses what was signed for another audience or offer than the one beside which it stands.
    pub fn check_place(&self, audience: &Audience, id: &MessageId) -> Result<(), OfferError> {
        let is_here = self.header.cid == *audience && self.header.id == *id;
        if is_here { Ok(()) } else { Err(OfferError::Elsewhere) }
    }

    /// Checks the signature. `key` is the one that the header names, `digest` that of its SPKI.
    pub fn verify(
        &self,
        key: &VerifyingKey,
        digest: &Digest,
        verified: &mut VerifiedBatches,
    ) -> Result<(), FrameError> {
        self.frame.verify(label::SHARE, key, digest, verified)
    }
}

/// A text as the base64url of its UTF-8.
mod name_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use crate::b64::{self, B64Vec};

    pub(super) fn serialize<S: Serializer>(name: &str, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&b64::encode(name.as_bytes()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<String, D::Error> {
        let B64Vec(bytes) = B64Vec::deserialize(deserializer)?;
        String::from_utf8(bytes).map_err(|_| de::Error::custom("a name that is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::crypto::{KeyBits, sha256};
    use crate::limits::{
        BATCH_FRAMES_MAX, FILE_NAME_BYTES_MAX, KEYWORD_BYTES_MAX, OFFER_SEALED_BYTES_MAX,
        OFFER_WORDS_MAX, SIGNATURE_BYTES_MAX,
    };

    static KEY: LazyLock<SigningKey> =
        LazyLock::new(|| SigningKey::generate(KeyBits::B2048).unwrap());

    fn draft(id: u8) -> OfferDraft {
        let file = Manifest { name: "räume \"1\".txt".into(), size: 9, root: Digest([7; 32]) };
        OfferDraft { id: MessageId([id; 16]), audience: Audience::Everybody, file, ts: 5 }
    }

    fn signed(drafts: Vec<OfferDraft>) -> Vec<Vec<u8>> {
        let alice = UserName::new("alice").unwrap();
        sign(&KEY, &alice, drafts).into_iter().map(|B64Vec(bytes)| bytes).collect()
    }

    fn verify(bytes: &[u8]) -> bool {
        let key = VerifyingKey::from_spki(KEY.spki()).unwrap();
        let digest = Digest(sha256(KEY.spki()));
        let offer = SignedOffer::parse(bytes);
        offer
            .is_ok_and(|offer| offer.verify(&key, &digest, &mut VerifiedBatches::default()).is_ok())
    }

    #[test]
    fn what_was_signed_comes_back_alone_and_in_a_batch() {
        for count in [1, 3, 64, 65] {
            let drafts: Vec<_> = (0..count).map(draft).collect();
            for (bytes, draft) in signed(drafts.clone()).iter().zip(&drafts) {
                assert!(verify(bytes));
                let offer = SignedOffer::parse(bytes).unwrap();
                assert_eq!(offer.header().file(), draft.file);
                assert_eq!(offer.check_place(&draft.audience, &draft.id), Ok(()));
                let other = MessageId([99; 16]);
                let elsewhere = offer.check_place(&draft.audience, &other);
                assert_eq!(elsewhere, Err(OfferError::Elsewhere));
            }
        }
    }

    #[test]
    fn no_bit_of_it_can_be_changed() {
        for bytes in [signed(vec![draft(1)]), signed(vec![draft(1), draft(2), draft(3)])] {
            let bytes = bytes.first().unwrap();
            for at in 0..bytes.len() {
                let mut other = bytes.clone();
                other[at] ^= 1 << (at % 8);
                assert!(!verify(&other), "byte {at}");
            }
            assert!(!verify(&[bytes.as_slice(), &[0]].concat()), "longer");
        }
    }

    #[test]
    fn it_has_one_spelling_and_is_signed_without_a_body() {
        let whole = signed(vec![draft(1)]).remove(0);
        let header = RawFrame::decode(whole.into()).unwrap().header().to_vec();
        let text = String::from_utf8(header.clone()).unwrap();
        assert!(OfferHeader::parse(text.as_bytes()).is_ok());
        let long = crate::b64::encode(&[b'a'; FILE_NAME_BYTES_MAX + 1]);
        let name = crate::b64::encode("räume \"1\".txt".as_bytes());
        for (from, to) in [
            ("\"t\":\"OFFER\"", "\"t\":\"FILE\""),
            ("\"v\":1", "\"v\":2"),
            (",\"size\":9", ", \"size\":9"),
            (",\"size\":9", ",\"size\":09"),
            (",\"size\":9", ",\"size\":9007199254740992"),
            (",\"ts\":5", ",\"ts\":9007199254740992"),
            (",\"ts\":5", ",\"ts\":null"),
            (",\"ts\":5", ",\"ts\":5,\"x\":1"),
            ("\"cid\":\"*\"", "\"cid\":\"**\""),
            (name.as_str(), ""),
            (name.as_str(), "_w"),
            (name.as_str(), long.as_str()),
        ] {
            let other = text.replacen(from, to, 1);
            assert_ne!(other, text, "{from}");
            assert!(OfferHeader::parse(other.as_bytes()).is_err(), "{other}");
        }
        let with_body = Unsigned::new(label::SHARE, header.clone(), b"x".to_vec());
        let with_body = sign_all(&KEY, &[with_body]).remove(0);
        assert_eq!(SignedOffer::parse(&with_body), Err(OfferError::Form));
        let bare = crate::frame::unsigned(header, Vec::new());
        assert_eq!(SignedOffer::parse(&bare), Err(OfferError::Form));
    }

    /// Goal: the bounds hold what an owner may say. Method: everything at its limit.
    #[test]
    fn the_longest_offer_fits_its_bounds() {
        let file = Manifest {
            name: "ä".repeat(FILE_NAME_BYTES_MAX / 2),
            size: crate::limits::FILE_BYTES_MAX,
            root: Digest([255; 32]),
        };
        let longest = UserName::new(&"a".repeat(32)).unwrap();
        let cid = format!("dm:{longest}:{}", "b".repeat(32));
        let cid = crate::name::ConversationId::parse(&cid).unwrap();
        let (audience, id) = (Audience::Conversation(cid), MessageId([255; 16]));
        let draft = OfferDraft { id, audience, file, ts: INTEGER_MAX };
        let all = sign(&KEY, &longest, vec![draft; BATCH_FRAMES_MAX]);
        let short = all.iter().map(|bytes| bytes.0.len()).max().unwrap();
        let frame = short - KEY.sign(b"x").len() + SIGNATURE_BYTES_MAX;
        assert!(frame <= OFFER_FRAME_BYTES_MAX, "{frame} bytes");
        let words = vec!["\"".repeat(KEYWORD_BYTES_MAX); OFFER_WORDS_MAX];
        let signed = B64Vec(vec![255; OFFER_FRAME_BYTES_MAX]);
        let details = super::super::catalogue::Details { signed, words };
        let sealed = serde_json::to_vec(&details).unwrap().len() + 12 + 16;
        assert!(sealed <= OFFER_SEALED_BYTES_MAX, "{sealed} bytes");
    }
}
