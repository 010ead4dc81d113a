//! What a hub knows of shared files: offers with keywords, in clear where the owner shares with
//! everybody, otherwise as tokens under a key that only the audience has.
//!
//! ```text
//! token  = first 16 bytes of HMAC(index key, "chat-e2e/1 token" || 00 || keyword)
//! sealed = nonce12 || AES-256-GCM(K, details as JSON, aad = audience || 00 || offer)
//! K      = HKDF-Expand(index key, "chat-e2e/1 offer" || 00 || offer, 32)
//! ```
//!
//! An owner has one index key for each audience and tells it there in a sealed message. Equal tokens
//! of one owner and audience are equal keywords: the hub sees that, and how often each is asked for.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

pub use super::audience::Audience;
use super::offer::{OfferError, SignedOffer};
use crate::b64::B64Vec;
use crate::crypto::{gcm_open, gcm_seal, hkdf_expand, hmac_sha256};
use crate::id::{MessageId, Nonce16};
use crate::limits::{
    FIND_WORDS_MAX, INDEX_KEYS_MAX, KEYWORD_BYTES_MAX, OFFER_SEALED_BYTES_MAX, OFFER_WORDS_MAX,
};
use crate::name::{ConversationId, UserName};
use crate::strict;
use crate::tag::label;

/// Why an offer, a keyword or a question was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CatalogueError {
    /// Empty, too long, or with a character that a keyword must not have.
    #[error(
        "a keyword has 1 to {KEYWORD_BYTES_MAX} bytes and no comma, semicolon or control \
         character"
    )]
    Keyword,
    /// Too many of something.
    #[error("{got} {what}; at most {max} are allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        got: usize,
        /// How many there may be.
        max: usize,
    },
    /// An offer is in clear for everybody and sealed for anybody else.
    #[error("an offer to everybody is in clear, any other is sealed")]
    Form,
    /// What its owner has signed.
    #[error(transparent)]
    Offer(#[from] OfferError),
    /// The sealed details do not open or are not details.
    #[error("the details of this offer do not open under the key of its audience")]
    Sealed,
}

/// What there is to know of an offer: in clear, or the content of the sealed part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Details {
    /// What the file is, as its owner has signed it: a [`SignedOffer`].
    pub signed: B64Vec,
    /// Keywords, folded; see [`fold`].
    pub words: Vec<String>,
}

impl Details {
    /// Refuses what no offer can have. Gives what was signed, unverified.
    pub fn check(&self) -> Result<SignedOffer, CatalogueError> {
        let signed = SignedOffer::parse(&self.signed.0)?;
        at_most("keywords", self.words.len(), OFFER_WORDS_MAX)?;
        let is_folded = |word: &String| fold(word).as_ref() == Ok(word);
        if self.words.iter().all(is_folded) { Ok(signed) } else { Err(CatalogueError::Keyword) }
    }
}

/// One offer as it stands in the hub's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// Its id, chosen by the owner; another offer of the same id takes its place.
    pub id: MessageId,
    /// Who may find it.
    pub audience: Audience,
    /// For everybody: what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<Details>,
    /// For an audience: tokens of the keywords.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<Nonce16>,
    /// For an audience: sealed [`Details`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<B64Vec>,
}

impl Offer {
    /// An offer to everybody.
    pub fn open(id: MessageId, details: Details) -> Self {
        let open = Some(details);
        Self { id, audience: Audience::Everybody, open, tokens: Vec::new(), sealed: None }
    }

    /// Refuses an offer that is not in the form its audience demands. A hub checks this. Gives what
    /// was signed where it is in clear, unverified.
    pub fn check(&self) -> Result<Option<SignedOffer>, CatalogueError> {
        match (&self.audience, &self.open, &self.sealed) {
            (Audience::Everybody, Some(details), None) if self.tokens.is_empty() => {
                let signed = details.check()?;
                signed.check_place(&self.audience, &self.id)?;
                Ok(Some(signed))
            }
            (Audience::Conversation(_), None, Some(sealed)) => {
                at_most("keywords", self.tokens.len(), OFFER_WORDS_MAX)?;
                at_most("sealed bytes", sealed.0.len(), OFFER_SEALED_BYTES_MAX)?;
                Ok(None)
            }
            _ => Err(CatalogueError::Form),
        }
    }
}

/// An offer as the hub answers with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// Whose file it is.
    pub owner: UserName,
    /// Whether a device of theirs is connected.
    pub online: bool,
    /// The offer.
    pub offer: Offer,
}

/// What is looked for. An offer is found if it has all the words, or all the tokens of one list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// Keywords, folded, among offers to everybody. Without words and tokens: every offer that the
    /// asker may see.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<String>,
    /// The same words as tokens, a list for each index key that the asker knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<Vec<Nonce16>>,
    /// Only offers of this person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserName>,
    /// The page begins after this offer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<(UserName, MessageId)>,
}

impl Query {
    /// Refuses a question that is too large.
    pub fn check(&self) -> Result<(), CatalogueError> {
        at_most("words", self.words.len(), FIND_WORDS_MAX)?;
        at_most("index keys", self.tokens.len(), INDEX_KEYS_MAX)?;
        let longest = self.tokens.iter().map(Vec::len).max().unwrap_or(0);
        at_most("words", longest, FIND_WORDS_MAX)?;
        let is_folded = |word: &String| fold(word).as_ref() == Ok(word);
        if self.words.iter().all(is_folded) { Ok(()) } else { Err(CatalogueError::Keyword) }
    }
}

fn at_most(what: &'static str, got: usize, max: usize) -> Result<(), CatalogueError> {
    if got > max { Err(CatalogueError::TooMany { what, got, max }) } else { Ok(()) }
}

/// A keyword in the one form in which it is compared: [folded](crate::fold::fold), single spaces inside.
pub fn fold(word: &str) -> Result<String, CatalogueError> {
    let folded = crate::fold::fold(word);
    let folded = folded.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_bad = |c: char| c.is_control() || c == ',' || c == ';';
    if folded.is_empty() || folded.len() > KEYWORD_BYTES_MAX || folded.contains(is_bad) {
        return Err(CatalogueError::Keyword);
    }
    Ok(folded)
}

/// The key of one owner's offers to one audience.
#[derive(Clone, PartialEq, Eq)]
pub struct IndexKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for IndexKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IndexKey(..)")
    }
}

impl IndexKey {
    /// From 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, to be told to the audience.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The token of a keyword that [`fold`] has brought into form.
    pub fn token(&self, folded: &str) -> Nonce16 {
        let parts = [label::TOKEN.as_bytes(), &[0], folded.as_bytes()];
        let mac = hmac_sha256(self.0.as_slice(), &parts);
        Nonce16(*mac.first_chunk().expect("an HMAC has 32 bytes"))
    }

    /// Seals an offer for a conversation. `nonce` is 12 fresh random bytes.
    pub fn seal(
        &self,
        id: MessageId,
        cid: ConversationId,
        details: &Details,
        nonce: [u8; 12],
    ) -> Offer {
        let audience = Audience::Conversation(cid);
        let tokens = details.words.iter().map(|word| self.token(word)).collect();
        let clear = serde_json::to_vec(details).expect("details hold strings and numbers");
        let sealed = gcm_seal(&self.offer_key(id), &nonce, &bound(&audience, id), &clear);
        let sealed = Some(B64Vec([nonce.as_slice(), &sealed].concat()));
        Offer { id, audience, open: None, tokens, sealed }
    }

    /// Opens the details of an offer that this key sealed.
    pub fn open(&self, offer: &Offer) -> Result<Details, CatalogueError> {
        let sealed = offer.sealed.as_ref().ok_or(CatalogueError::Form)?;
        let (nonce, body) = sealed.0.split_first_chunk::<12>().ok_or(CatalogueError::Sealed)?;
        let key = self.offer_key(offer.id);
        let clear = gcm_open(&key, nonce, &bound(&offer.audience, offer.id), body)
            .map_err(|_| CatalogueError::Sealed)?;
        let details: Details = strict::from_slice(&clear).map_err(|_| CatalogueError::Sealed)?;
        details.check()?;
        Ok(details)
    }

    fn offer_key(&self, id: MessageId) -> Zeroizing<[u8; 32]> {
        hkdf_expand(&self.0, &[label::OFFER.as_bytes(), &[0], id.as_bytes()])
    }
}

fn bound(audience: &Audience, id: MessageId) -> Vec<u8> {
    format!("{audience}\0{id}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{KeyBits, SigningKey};
    use crate::file::Manifest;
    use crate::file::offer::{OfferDraft, sign};
    use crate::id::Digest;

    fn details(audience: &Audience) -> Details {
        let key = SigningKey::generate(KeyBits::B2048).unwrap();
        let file = Manifest { name: "plan.txt".into(), size: 9, root: Digest([7; 32]) };
        let (id, audience) = (MessageId([2; 16]), audience.clone());
        let draft = OfferDraft { id, audience, file, ts: 1 };
        let signed = sign(&key, &UserName::new("alice").unwrap(), vec![draft]).remove(0);
        Details { signed, words: vec!["plan".into(), "räume".into()] }
    }

    #[test]
    fn keywords_are_compared_in_one_form() {
        assert_eq!(fold("  Über\u{20}  uns "), Ok("über uns".into()));
        assert_eq!(fold("U\u{308}ber"), fold("\u{dc}BER"));
        for bad in ["", "  ", "a,b", "a;b", "a\u{1b}b", &"x".repeat(65)] {
            assert_eq!(fold(bad), Err(CatalogueError::Keyword), "{bad:?}");
        }
    }

    #[test]
    fn a_sealed_offer_opens_for_its_audience_alone() {
        let key = IndexKey::new([1; 32]);
        let cid = ConversationId::parse("room:ops").unwrap();
        let details = details(&Audience::Conversation(cid.clone()));
        let offer = key.seal(MessageId([2; 16]), cid, &details, [3; 12]);
        assert_eq!(offer.check(), Ok(None));
        assert_eq!(key.open(&offer), Ok(details));
        assert_eq!(offer.tokens[0], key.token("plan"));
        assert_ne!(key.token("plan"), IndexKey::new([9; 32]).token("plan"));
        assert!(IndexKey::new([9; 32]).open(&offer).is_err());
        let elsewhere = Audience::Conversation(ConversationId::parse("room:dev").unwrap());
        assert!(key.open(&Offer { audience: elsewhere, ..offer.clone() }).is_err());
        assert!(key.open(&Offer { id: MessageId([5; 16]), ..offer }).is_err());
    }

    #[test]
    fn an_offer_has_the_form_of_its_audience() {
        let details = details(&Audience::Everybody);
        let open = Offer::open(MessageId([2; 16]), details.clone());
        assert_eq!(open.check().unwrap(), Some(details.check().unwrap()));
        let other = Offer::open(MessageId([5; 16]), details);
        assert_eq!(other.check(), Err(CatalogueError::Offer(OfferError::Elsewhere)));
        let cid = ConversationId::parse("room:ops").unwrap();
        let leaking = Offer { audience: Audience::Conversation(cid), ..open.clone() };
        assert_eq!(leaking.check(), Err(CatalogueError::Form));
        let both = Offer { sealed: Some(B64Vec(vec![0])), ..open.clone() };
        assert_eq!(both.check(), Err(CatalogueError::Form));
        let mut unfolded = open;
        unfolded.open.as_mut().unwrap().words = vec!["Plan".into()];
        assert_eq!(unfolded.check(), Err(CatalogueError::Keyword));
    }
}
