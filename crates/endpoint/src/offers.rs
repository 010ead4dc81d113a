//! Signed offers of files (rule R32): made for what is shared from here, and checked before anything
//! that the hub lists is shown or fetched.
//!
//! ```text
//! listed ─► bundles of the owners, once a connection ─► signature ─► newest seen ─► verdict
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chat_protocol::b64::B64Vec;
use chat_protocol::crypto::{VerifyingKey, sha256};
use chat_protocol::file::catalogue::Audience;
use chat_protocol::file::offer::{self, OfferDraft, SignedOffer};
use chat_protocol::frame::VerifiedBatches;
use chat_protocol::id::{Digest, KeyId, MessageId};
use chat_protocol::limits::PAGE_ITEMS_MAX;
use chat_protocol::name::UserName;
use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
use crate::event::{Alarm, Event, OfferVerdict};
use crate::limits::{OFFERS_REMEMBERED_MAX, OFFERS_TOLD_MAX};
use crate::questions::Kids;
use crate::table::{next_order, order_key};

/// An offer as the hub lists it.
#[derive(Debug, Clone)]
pub struct ListedOffer {
    /// Under whose name.
    pub owner: UserName,
    /// Who may find it.
    pub audience: Audience,
    /// Its id.
    pub id: MessageId,
    /// What is said to be signed.
    pub signed: B64Vec,
}

/// The newest signature of an offer that was seen: a row of the device.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SeenOffer {
    owner: UserName,
    id: MessageId,
    ts: u64,
}

/// What a device knows of offers beside its rows.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    /// Keys of the rows, by owner and offer.
    seen: HashMap<(UserName, MessageId), String>,
    /// Forged ones of which the host was told.
    told: HashSet<(UserName, MessageId)>,
}

/// A question about listed offers that waits for bundles of their owners.
#[derive(Debug)]
pub(crate) struct Checking {
    listed: Vec<ListedOffer>,
    /// Requests without an answer.
    waiting: BTreeSet<MessageId>,
    /// Owners whose keys were unknown after the last answers.
    unknown: usize,
}

impl Endpoint {
    /// Signs offers of this user, 64 with one signature; in the order of the drafts.
    pub fn sign_offers(&self, drafts: Vec<OfferDraft>) -> Vec<B64Vec> {
        offer::sign(&self.device.keys.signing, &self.device.user, drafts)
    }

    /// Checks what the hub lists; answered by [`Event::OffersChecked`] once the keys of the owners are
    /// here. A question that the connection took with it has no answer.
    pub fn check_offers(&mut self, listed: Vec<ListedOffer>) -> MessageId {
        let id = MessageId(self.out.random());
        let owners: BTreeSet<&UserName> = listed.iter().map(|listed| &listed.owner).collect();
        // A key may have been revoked, or published, since they were heard of.
        let stale: Vec<UserName> =
            owners.into_iter().filter(|owner| !self.people.is_newest(owner)).cloned().collect();
        let waiting = self.ask_for_owners(&stale);
        let checking = Checking { listed, waiting, unknown: usize::MAX };
        self.link.checking.insert(id, checking);
        self.offers_checked();
        id
    }

    fn ask_for_owners(&mut self, owners: &[UserName]) -> BTreeSet<MessageId> {
        owners
            .chunks(PAGE_ITEMS_MAX)
            .map(|page| self.ask_bundles(page, Kids::new(), None))
            .collect()
    }

    /// A request for bundles was answered.
    pub(crate) fn owners_answered(&mut self, request: &MessageId) {
        for checking in self.link.checking.values_mut() {
            checking.waiting.remove(request);
        }
        self.offers_checked();
    }

    /// Answers the questions that wait for nothing more.
    fn offers_checked(&mut self) {
        let ready = |checking: &Checking| checking.waiting.is_empty();
        let checking = self.link.checking.iter().filter(|(_, checking)| ready(checking));
        let ready: Vec<MessageId> = checking.map(|(id, _)| *id).collect();
        for id in ready {
            let Some(mut checking) = self.link.checking.remove(&id) else { continue };
            // What did not fit one answer comes with the next, as long as each brings something.
            let unknown = self.unknown_signers(&checking.listed);
            if !unknown.is_empty() && unknown.len() < checking.unknown {
                checking.unknown = unknown.len();
                checking.waiting = self.ask_for_keys(&unknown);
                self.link.checking.insert(id, checking);
                continue;
            }
            let verdicts: Vec<OfferVerdict> =
                checking.listed.iter().map(|listed| self.judge_offer(listed)).collect();
            self.tell_forged(&checking.listed, &verdicts);
            self.out.tell(Event::OffersChecked { id, verdicts });
        }
    }

    /// Keys by which something is listed and that nobody has shown here, and whose they should be.
    fn unknown_signers(&self, listed: &[ListedOffer]) -> Vec<(UserName, KeyId)> {
        let unknown: BTreeSet<(&UserName, KeyId)> = listed
            .iter()
            .filter_map(|listed| {
                let sk = SignedOffer::parse(&listed.signed.0).ok()?.header().sk;
                let is_known = self.people.signer_of_any_time(&listed.owner, &sk).is_some();
                (!is_known).then_some((&listed.owner, sk))
            })
            .collect();
        unknown.into_iter().map(|(owner, sk)| (owner.clone(), sk)).collect()
    }

    fn ask_for_keys(&mut self, keys: &[(UserName, KeyId)]) -> BTreeSet<MessageId> {
        let mut asked = BTreeSet::new();
        for page in keys.chunks(PAGE_ITEMS_MAX) {
            let mut kids = Kids::new();
            for (owner, sk) in page {
                kids.entry(owner.clone()).or_default().push(*sk);
            }
            asked.insert(self.ask_bundles(&[], kids, None));
        }
        asked
    }

    fn judge_offer(&mut self, listed: &ListedOffer) -> OfferVerdict {
        let Ok(signed) = SignedOffer::parse(&listed.signed.0) else {
            return OfferVerdict::Forged { name: None };
        };
        let header = signed.header();
        if !self.is_signed(listed, &signed) {
            return OfferVerdict::Forged { name: Some(header.name.clone()) };
        }
        if self.people.signer(&listed.owner, &header.sk).is_none() {
            return OfferVerdict::Revoked;
        }
        // One's own are compared with what was signed here.
        if listed.owner != self.device.user && !self.is_newest(&listed.owner, listed.id, header.ts)
        {
            return OfferVerdict::Outdated;
        }
        OfferVerdict::Good(Box::new(header.clone()))
    }

    /// Whether a key of the owner's identity has signed this for the place where it stands.
    fn is_signed(&mut self, listed: &ListedOffer, signed: &SignedOffer) -> bool {
        let header = signed.header();
        let is_here =
            header.u == listed.owner && signed.check_place(&listed.audience, &listed.id).is_ok();
        let identity = self.expected_identity(&listed.owner);
        let key = self.people.signer_of_any_time(&listed.owner, &header.sk);
        let Some(key) = key.filter(|key| is_here && Some(key.identity) == identity) else {
            return false;
        };
        signed.verify(&key.key, &key.digest, &mut self.verified).is_ok()
    }

    /// Whether an identity that this user has refused for the owner has signed this.
    fn is_by_refused(&self, listed: &ListedOffer) -> bool {
        let Ok(signed) = SignedOffer::parse(&listed.signed.0) else { return false };
        let header = signed.header();
        self.people.refused_bundles(&listed.owner).iter().any(|bundle| {
            let key = bundle.header().sk.iter().find(|key| key.kid == header.sk);
            let key = key.and_then(|key| Some((VerifyingKey::from_spki(&key.spki).ok()?, key)));
            key.is_some_and(|(verifying, key)| {
                let digest = Digest(sha256(&key.spki));
                signed.verify(&verifying, &digest, &mut VerifiedBatches::default()).is_ok()
            })
        })
    }

    /// Remembers when an offer was signed; `false` if a newer one was seen.
    fn is_newest(&mut self, owner: &UserName, id: MessageId, ts: u64) -> bool {
        let name = (owner.clone(), id);
        let row = self.offers.seen.get(&name).cloned();
        let before = row.as_ref().and_then(|row| self.state.offers.get(row)).map(|seen| seen.ts);
        if before == Some(ts) {
            return true;
        }
        if before.is_some_and(|before| before > ts) {
            return false;
        }
        if let Some(row) = row {
            self.state.offers.remove(&row);
        }
        let key = order_key(next_order(&self.state.offers));
        self.state.offers.put(&key, SeenOffer { owner: owner.clone(), id, ts });
        self.offers.seen.insert(name, key);
        if self.state.offers.len() > OFFERS_REMEMBERED_MAX
            && let Some(SeenOffer { owner, id, .. }) = self.state.offers.pop_first()
        {
            self.offers.seen.remove(&(owner, id));
        }
        true
    }

    /// Finds the rows of what was seen.
    pub(crate) fn load_offers(&mut self) {
        let rows = self.state.offers.iter();
        let seen = rows.map(|(key, seen)| ((seen.owner.clone(), seen.id), key.clone()));
        self.offers.seen = seen.collect();
    }

    /// Tells the host of what was listed under a name that has not signed it: once for each offer, in
    /// one alarm for each name.
    fn tell_forged(&mut self, listed: &[ListedOffer], verdicts: &[OfferVerdict]) {
        let mut forged: BTreeMap<&UserName, Vec<&str>> = BTreeMap::new();
        for (listed, verdict) in listed.iter().zip(verdicts) {
            let OfferVerdict::Forged { name } = verdict else { continue };
            // There is an alarm about that key already, which waits for a decision, or was decided.
            if self.people.is_in_question(&listed.owner) || self.is_by_refused(listed) {
                continue;
            }
            if self.offers.told.len() >= OFFERS_TOLD_MAX {
                self.offers.told.clear();
            }
            if self.offers.told.insert((listed.owner.clone(), listed.id)) {
                let name = name.as_deref().unwrap_or("a file");
                forged.entry(&listed.owner).or_default().push(name);
            }
        }
        for (owner, names) in forged {
            let Some((first, more)) = names.split_first() else { continue };
            let more = match more.len() {
                0 => String::new(),
                count => format!(" ({count} more likewise)"),
            };
            let detail = format!(
                "the server lists {first} under {owner}'s name; {owner}'s key has not signed that{more}"
            );
            // Another process of this home may have told it, and nobody has looked since.
            let waits = self.out.is_unheard(|event| {
                matches!(event, Event::Alarm { user, detail: told, .. }
                    if user == owner && *told == detail)
            });
            if !waits {
                self.out.alarm(Alarm::BadSignature, owner, &detail);
            }
        }
    }
}
