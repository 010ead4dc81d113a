//! One page of what was asked for.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
    hash::Hash,
    iter::Peekable,
};

use chat_protocol::{
    file::catalogue::Offer,
    id::{MessageId, Nonce16},
    name::ConversationId,
};

use super::{Catalogue, Index, OfferKey, Shelf, postings, postings::Postings, read};
use crate::store::AccountId;

/// How much longer a list must be than the one that leads before it is cheaper to look each offer up
/// in it than to walk along: a look-up in a tree costs some twenty steps.
const WALK_MAX: usize = 16;

/// A question, with what the asker may see.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// Who asks.
    pub asker: AccountId,
    /// The conversations of the asker now. Direct ones are passed over: see `Shelf`.
    pub conversations: &'a BTreeSet<ConversationId>,
    /// Words that an open offer must have. Without words and tokens: every offer.
    pub words: &'a [String],
    /// Lists of tokens; a sealed offer must have all of one list. An empty list asks for nothing.
    pub tokens: &'a [Vec<Nonce16>],
    /// Only offers of this person.
    pub owner: Option<AccountId>,
    /// Only offers behind this one.
    pub after: Option<OfferKey>,
}

/// What is walked over.
#[derive(Clone, Copy)]
struct Range {
    /// From here on.
    first: OfferKey,
    /// To the last offer of this person, or to the end.
    owner: Option<AccountId>,
}

impl Range {
    fn of(search: &Search<'_>) -> Self {
        let first = search.after.map_or((AccountId(i64::MIN), MessageId([0; 16])), behind);
        let start = search.owner.map_or(first, |owner| (owner, MessageId([0; 16])));
        Self { first: first.max(start), owner: search.owner }
    }

    fn contains(&self, key: OfferKey) -> bool {
        self.owner.is_none_or(|owner| key.0 == owner)
    }
}

/// The first key that may come behind one.
fn behind((owner, id): OfferKey) -> OfferKey {
    match u128::from_be_bytes(id.0).checked_add(1) {
        Some(next) => (owner, MessageId(next.to_be_bytes())),
        None => (AccountId(owner.0.saturating_add(1)), MessageId([0; 16])),
    }
}

impl Catalogue {
    /// The first `limit` offers with their owners, and whether there are more.
    pub fn find(&self, search: &Search<'_>, limit: usize) -> (Vec<(AccountId, Offer)>, bool) {
        let range = Range::of(search);
        let mut union = Union::new(self.sources(search, range));
        let mut found = Vec::new();
        for key in union.by_ref().take(limit) {
            found.extend(self.offers.get(&key).and_then(read).map(|offer| (key.0, offer)));
        }
        (found, union.next().is_some())
    }

    fn sources<'a>(&'a self, search: &Search<'_>, range: Range) -> Vec<Source<'a>> {
        let rooms = search.conversations.iter().filter(|cid| !cid.is_direct());
        let shelves = std::iter::once(Shelf::Person(search.asker))
            .chain(rooms.map(|cid| Shelf::Room(cid.clone())));
        let sealed: Vec<&Index<Nonce16>> =
            shelves.filter_map(|shelf| self.sealed.get(&shelf)).collect();
        let lists: Vec<_> = search.tokens.iter().filter(|list| !list.is_empty()).collect();
        if search.words.is_empty() && lists.is_empty() {
            let all = std::iter::once(&self.open.all).chain(sealed.iter().map(|index| &index.all));
            return all.map(|all| Source::new(vec![all], range)).collect();
        }
        let mut sources = Vec::new();
        if !search.words.is_empty() {
            let words = search.words.iter().map(String::as_str);
            sources.extend(with_all(&self.open, words, range));
        }
        for list in lists {
            sources.extend(sealed.iter().filter_map(|index| with_all(index, list, range)));
        }
        sources
    }
}

/// Offers of an index that have all of these terms; `None` when there is none.
fn with_all<'a, 'q, T, Q>(
    index: &'a Index<T>,
    terms: impl IntoIterator<Item = &'q Q>,
    range: Range,
) -> Option<Source<'a>>
where
    T: Eq + Hash + std::borrow::Borrow<Q>,
    Q: Eq + Hash + ?Sized + 'q,
{
    let lists = terms.into_iter().map(|term| index.terms.get(term)).collect::<Option<Vec<_>>>()?;
    Some(Source::new(lists, range))
}

/// What is in all of some lists: the shortest leads, the others are asked.
struct Source<'a> {
    leader: Option<postings::Walk<'a>>,
    others: Vec<Other<'a>>,
    range: Range,
}

/// A list that follows the one that leads.
enum Other<'a> {
    /// Walked along.
    Walk(Peekable<postings::Walk<'a>>),
    /// Looked up.
    Look(&'a Postings),
}

impl Other<'_> {
    fn has(&mut self, key: OfferKey) -> bool {
        match self {
            Self::Walk(list) => {
                while list.next_if(|at| *at < key).is_some() {}
                list.peek() == Some(&key)
            }
            Self::Look(list) => list.contains(key),
        }
    }
}

impl<'a> Source<'a> {
    fn new(mut lists: Vec<&'a Postings>, range: Range) -> Self {
        lists.sort_by_key(|list| list.len());
        let mut lists = lists.into_iter();
        let shortest = lists.next();
        let walked = shortest.map_or(0, |list| list.len().saturating_mul(WALK_MAX));
        let other = |list: &'a Postings| {
            if list.len() <= walked {
                Other::Walk(list.from(range.first).peekable())
            } else {
                Other::Look(list)
            }
        };
        let leader = shortest.map(|list| list.from(range.first));
        Self { leader, others: lists.map(other).collect(), range }
    }
}

impl Iterator for Source<'_> {
    type Item = OfferKey;

    fn next(&mut self) -> Option<OfferKey> {
        for key in self.leader.as_mut()? {
            if !self.range.contains(key) {
                break;
            }
            if self.others.iter_mut().all(|list| list.has(key)) {
                return Some(key);
            }
        }
        self.leader = None;
        None
    }
}

/// What is in any of some sources, each once and in order.
struct Union<'a> {
    sources: Vec<Source<'a>>,
    heads: BinaryHeap<Reverse<(OfferKey, usize)>>,
}

impl<'a> Union<'a> {
    fn new(mut sources: Vec<Source<'a>>) -> Self {
        let heads = sources.iter_mut().enumerate();
        let heads = heads.filter_map(|(at, source)| Some(Reverse((source.next()?, at)))).collect();
        Self { sources, heads }
    }
}

impl Iterator for Union<'_> {
    type Item = OfferKey;

    fn next(&mut self) -> Option<OfferKey> {
        let Reverse((first, _)) = *self.heads.peek()?;
        while let Some(Reverse((key, at))) = self.heads.peek().copied()
            && key == first
        {
            self.heads.pop();
            let next = self.sources.get_mut(at).and_then(Iterator::next);
            self.heads.extend(next.map(|next| Reverse((next, at))));
        }
        Some(first)
    }
}
