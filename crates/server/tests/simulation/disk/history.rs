//! What the disk keeps, as facts: whom a message is for, and who is in a room.

use chat_protocol::{header::MemberOperation, name::ConversationId};
use chat_server::store::{Committed, EntryKind, NewEntry, NewLink, Proposal, Stored};

use super::{
    State,
    contents::{Contents, Entry},
};
use crate::{
    facts::{Fact, Seat},
    keys,
};

impl State {
    /// Keeps one proposal, if it can be; what that means is written down when it is synced.
    pub(super) fn keep(&mut self, proposal: Proposal) -> Committed {
        let before = matches!(proposal, Proposal::Drop(_)).then(|| self.written.dropped.clone());
        let committed = self.written.keep(proposal);
        let Ok(stored) = committed.outcome else { return committed };
        if let Some(before) = before {
            let now = &self.written.dropped.messages;
            let gone = now.iter().filter(|(position, _)| !before.messages.contains_key(*position));
            let gone = gone.map(|(at, entry)| Fact::Deleted { id: entry.id, position: *at });
            self.news.extend(gone);
        }
        match (&committed.proposal, stored) {
            (Proposal::Account(new), Stored::Account(..)) => self.entered(&new.bundle),
            (Proposal::Bundle(new), Stored::Device(_)) if new.device.is_none() => {
                self.entered(&new.bundle);
            }
            (Proposal::Entry(new), Stored::Entry(position)) => self.accepted(new, position),
            (Proposal::Link(new), Stored::Link { .. }) => self.linked(new),
            _ => {}
        }
        committed
    }

    fn entered(&mut self, bundle: &chat_protocol::keys::Bundle) {
        let seat = bundle.header().sk.first().and_then(|key| keys::seat(&key.kid));
        // The hub's own device has none.
        self.news.extend(seat.map(|seat| Fact::Entered { seat }));
    }

    fn accepted(&mut self, new: &NewEntry, position: u64) {
        let (EntryKind::Message, Some(epoch)) = (new.kind, new.epoch) else { return };
        let epoch = &self.written.epochs[&epoch];
        let place = self.written.conversations[&new.log].to_string();
        let mut from = Seat::new();
        let mut readers = std::collections::BTreeSet::new();
        for (number, line) in (0u32..).zip(epoch.members.lines()) {
            let seat = keys::seat(&line.sk).expect("a key of a seat");
            if number == new.line {
                from = seat;
            } else {
                readers.insert(seat);
            }
        }
        self.news.push(Fact::Accepted { id: new.id, place, from, position, readers });
    }

    fn linked(&mut self, new: &NewLink) {
        let place = new.header.cid.to_string();
        if matches!(new.header.op, MemberOperation::Admit | MemberOperation::Join) {
            let (place, who) = (place.clone(), new.header.who.to_string());
            self.news.push(Fact::LetIn { place, who });
        }
        let members = self.written.members(&new.header.cid);
        self.news.push(members);
        if self.is_fork(new) {
            self.news.push(Fact::Forked { place });
        }
    }
}

impl Contents {
    /// Who is in a room.
    pub(super) fn members(&self, cid: &ConversationId) -> Fact {
        let room = self.rooms.get(cid);
        let people = room.into_iter().flat_map(|room| room.names());
        let people = people.map(|name| name.to_string()).collect();
        Fact::Members { place: cid.to_string(), people }
    }

    /// The device that sent an entry.
    pub(super) fn sender(&self, entry: &Entry) -> Seat {
        let lines = self.epochs[&entry.epoch.expect("a message has an epoch")].members.lines();
        let line = usize::try_from(entry.line).unwrap();
        keys::seat(&lines[line].sk).expect("a key of a seat")
    }
}
