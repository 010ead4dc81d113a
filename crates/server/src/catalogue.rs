//! The list of shared files in memory: who offers what to whom, and where each keyword stands.
//!
//! ```text
//!  offers   (owner, id) ─► text of the offer, where it stands
//!  open     all of them, and word ─► (owner, id)…        what everybody may see
//!  sealed   for each room, and for each person (both sides of direct conversations):
//!           all of them, and token ─► (owner, id)…
//! ```
//!
//! What somebody may see is the open part, the shelves of their rooms and their own shelf. So a
//! question never walks over what the asker must not see, and needs no check for each offer.
//! Everything stands in one order, (owner, id), in which pages follow each other.

mod postings;
mod search;

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

use chat_protocol::{
    file::catalogue::{Audience, Offer},
    id::{MessageId, Nonce16},
    name::ConversationId,
};

use crate::store::{AccountId, NewOffer};

use postings::Postings;
pub use search::Search;

/// Owner and id of an offer: its name, and its place in the order of answers.
pub type OfferKey = (AccountId, MessageId);

/// What an offer costs in memory beside its text, in bytes: its places in the ordered sets.
const OFFER_BYTES: usize = 200;

/// What one of its keywords costs there, in bytes: a place in the index, and often the only one of
/// its word.
const TERM_BYTES: usize = 130;

/// Who may see an offer, as far as the list has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Every account.
    Everybody,
    /// The members of a room.
    Room(ConversationId),
    /// The owner and this other one.
    Person(AccountId),
}

/// What sealed offers stand on together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Shelf {
    Room(ConversationId),
    Person(AccountId),
}

#[derive(Debug)]
struct Entry {
    /// The offer as JSON: a fraction of the memory of its fields.
    text: Box<str>,
    place: Place,
}

/// Offers of one shelf, and those that have a term.
#[derive(Debug)]
struct Index<T> {
    all: Postings,
    terms: HashMap<T, Postings>,
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self { all: Postings::default(), terms: HashMap::new() }
    }
}

impl<T: Eq + Hash> Index<T> {
    fn insert(&mut self, key: OfferKey, terms: impl IntoIterator<Item = T>) {
        self.all.insert(key);
        for term in terms {
            self.terms.entry(term).or_default().insert(key);
        }
    }

    fn remove(&mut self, key: OfferKey, terms: impl IntoIterator<Item = T>) {
        self.all.remove(key);
        for term in terms {
            let is_last = self.terms.get_mut(&term).is_some_and(|postings| {
                postings.remove(key);
                postings.len() == 0
            });
            if is_last {
                self.terms.remove(&term);
            }
        }
    }
}

/// How many offers, and what they cost in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// How many.
    pub offers: usize,
    /// Bytes; see [`weight`].
    pub bytes: usize,
}

impl Held {
    fn add(&mut self, other: Self) {
        self.offers += other.offers;
        self.bytes += other.bytes;
    }

    fn take(&mut self, other: Self) {
        self.offers = self.offers.saturating_sub(other.offers);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }

    /// Both together.
    #[must_use]
    pub fn plus(mut self, other: Self) -> Self {
        self.add(other);
        self
    }

    /// What is left without the other.
    #[must_use]
    pub fn minus(mut self, other: Self) -> Self {
        self.take(other);
        self
    }
}

/// What an offer costs in memory, in bytes, near enough to bound it.
pub fn weight(offer: &Offer, text: &str) -> usize {
    let words = offer.open.as_ref().map_or(0, |details| details.words.len());
    // A token between two people stands on the shelves of both.
    let is_direct = matches!(&offer.audience, Audience::Conversation(cid) if cid.is_direct());
    let terms = words + offer.tokens.len() * if is_direct { 2 } else { 1 };
    OFFER_BYTES + text.len() + terms * TERM_BYTES
}

/// The list. Changed by the router alone, and only by what was committed.
#[derive(Debug, Default)]
pub struct Catalogue {
    offers: BTreeMap<OfferKey, Entry>,
    open: Index<Box<str>>,
    sealed: HashMap<Shelf, Index<Nonce16>>,
    owners: HashMap<AccountId, Held>,
    total: Held,
}

impl Catalogue {
    /// What one person has on the list.
    pub fn held(&self, owner: AccountId) -> Held {
        self.owners.get(&owner).copied().unwrap_or_default()
    }

    /// What is on the list altogether.
    pub fn total(&self) -> Held {
        self.total
    }

    /// What one offer takes of [`Self::held`]; nothing if there is none.
    pub fn held_by(&self, key: OfferKey) -> Held {
        let offer = self.offers.get(&key).and_then(|entry| Some((entry, read(entry)?)));
        offer.map_or_else(Held::default, |(entry, offer)| Held {
            offers: 1,
            bytes: weight(&offer, &entry.text),
        })
    }

    /// Puts an offer on the list; one of the same owner and id ends.
    pub fn put(&mut self, owner: AccountId, new: NewOffer, place: Place) {
        let NewOffer { offer, text } = new;
        let key = (owner, offer.id);
        self.end(key);
        let held = Held { offers: 1, bytes: weight(&offer, &text) };
        self.owners.entry(owner).or_default().add(held);
        self.total.add(held);
        match &place {
            Place::Everybody => self.open.insert(key, words(&offer)),
            place => {
                for shelf in shelves(owner, place) {
                    self.sealed.entry(shelf).or_default().insert(key, tokens(&offer));
                }
            }
        }
        self.offers.insert(key, Entry { text, place });
    }

    /// Takes an offer off the list, if it is there.
    pub fn end(&mut self, key: OfferKey) {
        let held = self.held_by(key);
        let Some(entry) = self.offers.remove(&key) else { return };
        let Some(offer) = read(&entry) else { return };
        self.total.take(held);
        if let Some(own) = self.owners.get_mut(&key.0) {
            own.take(held);
            if own.offers == 0 {
                self.owners.remove(&key.0);
            }
        }
        match &entry.place {
            Place::Everybody => self.open.remove(key, words(&offer)),
            place => {
                for shelf in shelves(key.0, place) {
                    let Some(index) = self.sealed.get_mut(&shelf) else { continue };
                    index.remove(key, tokens(&offer));
                    if index.all.len() == 0 {
                        self.sealed.remove(&shelf);
                    }
                }
            }
        }
    }

    /// Takes everything off the list that somebody offers.
    pub fn end_owner(&mut self, owner: AccountId) {
        let first = (owner, MessageId([0; 16]));
        let theirs = self.offers.range(first..).map(|(key, _)| *key);
        let theirs: Vec<OfferKey> = theirs.take_while(|(who, _)| *who == owner).collect();
        for key in theirs {
            self.end(key);
        }
    }

    /// Takes everything off the list that is offered to a room.
    pub fn end_room(&mut self, room: &ConversationId) {
        let Some(index) = self.sealed.get(&Shelf::Room(room.clone())) else { return };
        let keys: Vec<OfferKey> = index.all.from((AccountId(0), MessageId([0; 16]))).collect();
        for key in keys {
            self.end(key);
        }
    }

    /// Takes everything off the list that somebody offers to a room.
    pub fn end_all(&mut self, owner: AccountId, room: &ConversationId) {
        let Some(index) = self.sealed.get(&Shelf::Room(room.clone())) else { return };
        let first = (owner, MessageId([0; 16]));
        let theirs: Vec<OfferKey> =
            index.all.from(first).take_while(|(who, _)| *who == owner).collect();
        for key in theirs {
            self.end(key);
        }
    }
}

/// The offer in an entry. We wrote it, so it can be read.
fn read(entry: &Entry) -> Option<Offer> {
    serde_json::from_str(&entry.text).ok()
}

fn words(offer: &Offer) -> Vec<Box<str>> {
    let details = offer.open.iter();
    details.flat_map(|details| &details.words).map(|word| word.as_str().into()).collect()
}

fn tokens(offer: &Offer) -> Vec<Nonce16> {
    offer.tokens.clone()
}

/// Where a sealed offer stands: with a room, or with each of two people.
fn shelves(owner: AccountId, place: &Place) -> Vec<Shelf> {
    match place {
        Place::Everybody => Vec::new(),
        Place::Room(cid) => vec![Shelf::Room(cid.clone())],
        Place::Person(other) => vec![Shelf::Person(owner), Shelf::Person(*other)],
    }
}
