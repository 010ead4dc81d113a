//! An older state of the disk is put back, as an operator does with a backup (rule R36).

use std::collections::BTreeSet;

use chat_protocol::{id::Digest, keys::Bundle, name::ConversationId};
use chat_server::store::{EntryKind, NewLink};

use super::{Disk, State, contents::Contents};
use crate::{
    facts::{Fact, Seat},
    keys,
};

/// A link that a restore has taken.
#[derive(Debug)]
pub(super) struct TakenLink {
    cid: ConversationId,
    mg: u32,
    pm: Digest,
    digest: Digest,
    /// It was written down that another one has its place.
    is_told: bool,
}

impl Disk {
    /// Copies the disk, as for a backup.
    pub(crate) fn copy(&self) {
        let mut state = self.state();
        state.copy = Some(state.durable.clone());
    }

    /// Puts the copy back while no hub runs, and writes down what that takes.
    pub(crate) fn restore(&self) {
        let mut state = self.state();
        let State { durable, written, copy, taken_links, notes, news, .. } = &mut *state;
        let Some(copy) = copy.take() else { return };
        let later = durable.entries.iter().chain(&durable.dropped.messages);
        for (position, entry) in later {
            if *position > copy.position && entry.kind == EntryKind::Message {
                let (id, from) = (entry.id, durable.sender(entry));
                let place = durable.conversations[&entry.log].to_string();
                notes.write(Fact::Taken { id, place, from, position: *position });
            }
        }
        let links = durable.links.iter().filter(|(place, _)| !copy.links.contains_key(place));
        taken_links.extend(links.map(|(_, link)| TakenLink {
            cid: link.header.cid.clone(),
            mg: link.header.mg,
            pm: link.header.pm,
            digest: link.digest,
            is_told: false,
        }));
        news.clear();
        let rooms: Vec<ConversationId> = durable.rooms.keys().cloned().collect();
        *durable = copy;
        *written = durable.clone();
        notes.write(Fact::Restored { seats: durable.seats() });
        for cid in rooms {
            notes.write(durable.members(&cid));
        }
    }
}

impl State {
    /// Whether a link stands where a restore has taken another one. Told once for each of those.
    pub(super) fn is_fork(&mut self, new: &NewLink) -> bool {
        let header = &new.header;
        let mut taken = self.taken_links.iter_mut().filter(|taken| {
            (&taken.cid, taken.mg, taken.pm) == (&header.cid, header.mg, header.pm)
        });
        let other = taken.find(|taken| taken.digest != new.digest && !taken.is_told);
        other.is_some_and(|taken| {
            taken.is_told = true;
            true
        })
    }
}

impl Contents {
    /// The devices that are known.
    fn seats(&self) -> BTreeSet<Seat> {
        let devices = self.accounts.values().flat_map(|account| &account.devices);
        let bundles = devices.filter_map(|device| Bundle::verify(device.bundle.clone()).ok());
        bundles.filter_map(|bundle| keys::seat(&bundle.header().sk.first()?.kid)).collect()
    }
}
