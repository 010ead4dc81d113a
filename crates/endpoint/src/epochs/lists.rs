//! The devices that an epoch of a conversation must be made for. That is asked with each message, so the answer
//! is kept until something changes that it follows from: in a room of 500 to find it anew costs half of what a
//! signature does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chat_protocol::members::{Candidate, MemberList, fitting};
use chat_protocol::name::{ConversationId, UserName};

use crate::endpoint::Endpoint;
use crate::limits::LISTS_KEPT_MAX;

/// All that a list follows from but the conversation and the time.
#[derive(Debug, PartialEq)]
struct Sources {
    /// How often the tables of rooms, links, unproved links and lost places had changed.
    tables: [u64; 4],
    /// How often what is held of people had.
    people: (u64, u64),
    /// Whose account the hub says that it has not, another person has, was deleted, or has other devices.
    by_word: [BTreeSet<UserName>; 4],
}

/// A list that was found before.
#[derive(Debug)]
struct Kept {
    sources: Sources,
    from_ms: u64,
    /// Devices were away for too long from then on.
    until_ms: u64,
    list: Arc<MemberList>,
}

/// The lists that were found last.
#[derive(Debug, Default)]
pub(crate) struct KeptLists {
    lists: BTreeMap<ConversationId, Kept>,
}

impl Endpoint {
    /// The devices that an epoch of this conversation must be wrapped for, by the verified view.
    pub(crate) fn current_list(&mut self, now_ms: u64, cid: &ConversationId) -> Arc<MemberList> {
        let sources = self.sources();
        let is_good = |kept: &Kept| {
            kept.sources == sources && (kept.from_ms..kept.until_ms).contains(&now_ms)
        };
        if let Some(kept) = self.state.lists.lists.get(cid).filter(|kept| is_good(kept)) {
            // Whatever a list follows from must stand among its sources: tests look each time.
            debug_assert_eq!(kept.list.hash(), self.list_at(now_ms, cid).0.hash(), "{cid:?}");
            return Arc::clone(&kept.list);
        }
        // Who is left out follows from the same.
        self.link.left_out_told.remove(cid);
        let (list, until_ms) = self.list_at(now_ms, cid);
        let list = Arc::new(list);
        let lists = &mut self.state.lists.lists;
        if lists.len() >= LISTS_KEPT_MAX {
            lists.clear();
        }
        let kept = Kept { sources, from_ms: now_ms, until_ms, list: Arc::clone(&list) };
        lists.insert(cid.clone(), kept);
        list
    }

    /// The same at a time, and until when it stays so if nothing else changes.
    pub(crate) fn list_at(&self, now_ms: u64, cid: &ConversationId) -> (MemberList, u64) {
        let people = self.people_of(cid);
        let room = self.state.rooms.get(cid);
        let mut devices = Vec::with_capacity(people.len());
        let mut until_ms = u64::MAX;
        for name in people.iter().filter(|name| !self.is_left_out(cid, name)) {
            let member = room.and_then(|room| room.members().get(name));
            let since = member.map_or(0, |member| member.since);
            for bundle in self.wrapped_for(now_ms, name) {
                let (ts, dev) = (bundle.header().ts, bundle.header().dev);
                let Some(line) = bundle.member_line() else { continue };
                devices.push(Candidate { name, since, ts, dev, line });
                // Those that are never away stay longer.
                if bundle.wrapped_until_ms() > now_ms {
                    until_ms = until_ms.min(bundle.wrapped_until_ms());
                }
            }
        }
        (MemberList::new(fitting(devices)), until_ms)
    }

    fn sources(&self) -> Sources {
        let state = &self.state;
        let tables = [
            state.rooms.changes(),
            state.links.changes(),
            state.unproved.changes(),
            state.struck.changes(),
        ];
        let [replaced, gone] = self.people.out_of_reach();
        let by_word = [self.unknown_to_hub(), replaced, gone, self.differing()];
        let by_word = by_word.map(BTreeSet::clone);
        Sources { tables, people: self.people.changes(), by_word }
    }
}
