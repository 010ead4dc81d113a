//! Offers as they stand on the hub's list: signed here, and checked wherever they come from.
//!
//! ```text
//! the folder wants ─┬─ the list has it, signed with the key in use ─► taken over as it is
//!                   └─ new, changed, or signed with another key ─► sign, 64 at a time ─► seal
//! ```
//!
//! An offer is signed with a time that grows, and the time of each is remembered before the hub hears
//! of it: so whoever saw it knows an older copy when a hub shows one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::folder::Shared as SharedFile;
use chat_endpoint::{Event, ListedOffer, OfferVerdict};
use chat_protocol::crypto::random;
use chat_protocol::file::catalogue::{Audience, Details, IndexKey, Offer};
use chat_protocol::file::offer::OfferDraft;
use chat_protocol::id::MessageId;
use chat_protocol::limits::BATCH_FRAMES_MAX;
use chat_protocol::name::UserName;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::misnamed::Stays;
use super::{ANSWER_MAX, Shared, TransferError};

/// What this home has put on the list: a row of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct OnList {
    /// The newest time that was signed, Unix time in milliseconds.
    last: u64,
    /// When each offer was signed.
    offers: BTreeMap<MessageId, u64>,
    /// Those of them that stay although their section is for nobody.
    pub(super) stays: Stays,
}

impl OnList {
    /// Offers that are not wanted any more.
    pub(super) fn ended(&self, wanted: &[Wanted]) -> Vec<MessageId> {
        let wanted: BTreeSet<MessageId> = wanted.iter().map(|wanted| wanted.of.id).collect();
        self.offers.keys().filter(|id| !wanted.contains(id)).copied().collect()
    }

    /// These are signed next: notes when, and gives that time.
    pub(super) fn sign(&mut self, offers: &[Wanted], now_ms: u64) -> u64 {
        let ts = now_ms.max(self.last.saturating_add(1));
        if !offers.is_empty() {
            self.last = ts;
            self.offers.extend(offers.iter().map(|wanted| (wanted.of.id, ts)));
        }
        ts
    }

    /// Whether an offer was put there.
    pub(super) fn has(&self, id: &MessageId) -> bool {
        self.offers.contains_key(id)
    }

    /// These have ended.
    pub(super) fn forget(&mut self, ended: &[MessageId]) {
        self.offers.retain(|id, _| !ended.contains(id));
    }
}

/// A file of the folder that is to stand on the list.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) of: SharedFile,
    /// The key of its audience; none for everybody.
    pub(super) key: Option<IndexKey>,
}

/// An offer that was made, and what of.
#[derive(Debug)]
struct Made {
    from: Wanted,
    offer: Offer,
}

/// The offers that were made for the folder, so that the same is not signed and sealed at every look.
#[derive(Debug, Default)]
pub(super) struct Makings(HashMap<MessageId, Made>);

impl Makings {
    /// What has still to be made of what is wanted.
    pub(super) fn missing(&self, wanted: &[Wanted]) -> Vec<Wanted> {
        let is_made = |wanted: &&Wanted| {
            self.0
                .get(&wanted.of.id)
                .is_some_and(|made| made.from.of == wanted.of && made.from.key == wanted.key)
        };
        wanted.iter().filter(|wanted| !is_made(wanted)).cloned().collect()
    }

    /// The offers that are wanted, by id.
    pub(super) fn offers(&self, wanted: &[Wanted]) -> BTreeMap<MessageId, Offer> {
        let offer =
            |wanted: &Wanted| Some((wanted.of.id, self.0.get(&wanted.of.id)?.offer.clone()));
        wanted.iter().filter_map(offer).collect()
    }

    /// What they were made of.
    pub(super) fn files(&self) -> impl Iterator<Item = &SharedFile> {
        self.0.values().map(|made| &made.from.of)
    }

    fn put(&mut self, from: Wanted, offer: Offer) {
        self.0.insert(offer.id, Made { from, offer });
    }
}

impl Wanted {
    /// What this person is said to have signed, if it is about this file as it is now.
    fn signed_in(&self, me: &UserName, listed: &Offer) -> Option<ListedOffer> {
        let details = match &self.key {
            None => listed.open.clone()?,
            Some(key) => {
                let tokens = self.of.words.iter().map(|word| key.token(word));
                if !listed.tokens.iter().copied().eq(tokens) {
                    return None;
                }
                key.open(listed).ok()?
            }
        };
        let is_same = listed.audience == self.of.audience && details.words == self.of.words;
        let (owner, audience) = (me.clone(), listed.audience.clone());
        let (id, signed) = (listed.id, details.signed);
        is_same.then_some(ListedOffer { owner, audience, id, signed })
    }

    fn draft(&self, ts: u64) -> OfferDraft {
        let (audience, file) = (self.of.audience.clone(), self.of.file.clone());
        OfferDraft { id: self.of.id, audience, file, ts }
    }

    /// The offer with what was signed, sealed for its audience.
    fn offer(&self, details: Details) -> Offer {
        match (&self.of.audience, &self.key) {
            (Audience::Conversation(cid), Some(key)) => {
                key.seal(self.of.id, cid.clone(), &details, random())
            }
            _ => Offer::open(self.of.id, details),
        }
    }
}

impl Shared {
    /// What listed offers are worth, in their order.
    pub(super) async fn check(
        &self,
        listed: Vec<ListedOffer>,
    ) -> Result<Vec<OfferVerdict>, TransferError> {
        if listed.is_empty() {
            return Ok(Vec::new());
        }
        let id = self.client.check_offers(listed).await.ok_or(TransferError::Offline)?;
        let answer = timeout(ANSWER_MAX, self.answers.expect(id).next()).await;
        match answer.map_err(|_late| TransferError::NoAnswer)? {
            Some(Event::OffersChecked { verdicts, .. }) => Ok(verdicts),
            _ => Err(TransferError::Offline),
        }
    }

    /// What the hub lists already as it is wanted, with the newest signature, by the key in use.
    pub(super) async fn take_over(
        &self,
        wanted: &[Wanted],
        listed: &BTreeMap<MessageId, Offer>,
        on_list: &OnList,
    ) -> Result<Makings, TransferError> {
        let (sk, _) = self.client.sign_offers(Vec::new()).await.ok_or(TransferError::Offline)?;
        let found = wanted.iter().filter_map(|wanted| {
            let offer = listed.get(&wanted.of.id)?;
            Some((wanted, offer, wanted.signed_in(&self.me, offer)?))
        });
        let found: Vec<_> = found.collect();
        let mut makings = Makings::default();
        for some in found.chunks(BATCH_FRAMES_MAX) {
            let questions = some.iter().map(|(_, _, signed)| signed.clone()).collect();
            let verdicts = self.check(questions).await?;
            for ((wanted, offer, _), verdict) in some.iter().zip(verdicts) {
                let OfferVerdict::Good(header) = verdict else { continue };
                let is_newest = on_list.offers.get(&wanted.of.id) == Some(&header.ts);
                if header.sk == sk && is_newest && header.file() == wanted.of.file {
                    makings.put((*wanted).clone(), (*offer).clone());
                }
            }
        }
        Ok(makings)
    }

    /// Signs and seals what is wanted.
    pub(super) async fn make(
        &self,
        makings: &mut Makings,
        wanted: Vec<Wanted>,
        ts: u64,
    ) -> Result<(), TransferError> {
        for some in wanted.chunks(BATCH_FRAMES_MAX) {
            let drafts = some.iter().map(|wanted| wanted.draft(ts)).collect();
            let (_, signed) =
                self.client.sign_offers(drafts).await.ok_or(TransferError::Offline)?;
            for (wanted, signed) in some.iter().zip(signed) {
                let offer = wanted.offer(Details { signed, words: wanted.of.words.clone() });
                makings.put(wanted.clone(), offer);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chat_beneath::RelativePath;
    use chat_protocol::file::Manifest;
    use chat_protocol::id::Digest;

    use super::*;

    fn wanted(id: u8, root: u8) -> Wanted {
        let of = SharedFile {
            id: MessageId([id; 16]),
            audience: Audience::Everybody,
            name: RelativePath::new("a.txt").unwrap(),
            file: Manifest { name: "a.txt".into(), size: 1, root: Digest([root; 32]) },
            words: vec!["a".into()],
        };
        Wanted { of, key: None }
    }

    #[test]
    fn each_signature_is_later_than_the_one_before_whatever_the_clock_says() {
        let mut on_list = OnList::default();
        assert_eq!(on_list.sign(&[wanted(1, 1)], 1_000), 1_000);
        assert_eq!(on_list.sign(&[wanted(1, 2)], 1_000), 1_001);
        assert_eq!(on_list.sign(&[wanted(2, 1)], 900), 1_002, "the clock was put back");
        assert_eq!(on_list.ended(&[wanted(2, 1)]), [MessageId([1; 16])]);
        on_list.forget(&[MessageId([1; 16])]);
        assert_eq!(on_list.ended(&[wanted(2, 1)]), []);
        assert_eq!(on_list.sign(&[wanted(1, 1)], 900), 1_003, "shared again");
        let before = on_list.clone();
        on_list.sign(&[], 9_000);
        assert_eq!(on_list, before, "nothing was signed");
    }

    #[test]
    fn what_changed_is_made_again_and_nothing_else() {
        let (one, two) = (wanted(1, 1), wanted(2, 1));
        let mut makings = Makings::default();
        let details = |wanted: &Wanted| Details {
            signed: chat_protocol::b64::B64Vec(vec![1]),
            words: wanted.of.words.clone(),
        };
        makings.put(one.clone(), one.offer(details(&one)));
        let ids = |missing: Vec<Wanted>| missing.iter().map(|m| m.of.id.0[0]).collect::<Vec<_>>();
        assert_eq!(ids(makings.missing(&[one.clone(), two.clone()])), [2]);
        assert_eq!(ids(makings.missing(&[wanted(1, 9), two])), [1, 2]);
        let sealed = Wanted { key: Some(IndexKey::new([1; 32])), ..one };
        assert_eq!(ids(makings.missing(&[sealed])), [1], "under another key");
    }
}
