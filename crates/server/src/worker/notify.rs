//! Who came and went, who has new keys, and which rooms changed: gathered for a moment, then told
//! once.

use std::{collections::BTreeMap, time::Instant};

use chat_protocol::{
    hub::{self, Head, HubToClient},
    name::{ConversationId, UserName},
};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::Worker;
use crate::{
    connection::ConnectionId, limits::NOTICE_PERIOD, notices::Notices, order::Turns,
    router::Router, sessions::Sessions, store::AccountId,
};

/// What is to be told.
#[derive(Default)]
pub(super) struct Notify {
    presence: Notices<UserName>,
    /// Who has published new keys; there is no opposite of that.
    keys: Notices<UserName>,
    /// Room -> the connection that made every link of it, if it was one.
    rooms: BTreeMap<ConversationId, Option<ConnectionId>>,
    /// Who was removed, and where the room stood then: what comes later is not theirs to know.
    removed: Vec<(AccountId, Head)>,
    rooms_told_at: Option<Instant>,
}

impl Notify {
    /// Somebody came or went.
    pub(super) fn presence(&mut self, name: &UserName, joined: bool) {
        self.presence.note(name, joined);
    }

    /// Somebody has a new device, or a device of theirs new keys.
    pub(super) fn keys(&mut self, name: &UserName) {
        self.keys.note(name, true);
    }

    /// A link was added. `by` is the connection that knows it already, if there is one here.
    pub(super) fn changed(&mut self, cid: &ConversationId, by: Option<ConnectionId>) {
        self.rooms
            .entry(cid.clone())
            .and_modify(|maker| *maker = maker.filter(|maker| Some(*maker) == by))
            .or_insert(by);
    }

    /// Somebody was removed from a room by another one.
    pub(super) fn removed(&mut self, account: AccountId, head: Head) {
        self.removed.push((account, head));
    }

    /// When there is something to tell.
    pub(super) fn next_due(&self) -> Option<tokio::time::Instant> {
        let now = tokio::time::Instant::now().into_std();
        let due = [self.presence.next_due(now), self.keys.next_due(now), self.rooms_due(now)];
        let due = due.into_iter().flatten().min()?;
        Some(tokio::time::Instant::from_std(due))
    }

    fn rooms_due(&self, now: Instant) -> Option<Instant> {
        if self.rooms.is_empty() {
            return None;
        }
        Some(self.rooms_told_at.map_or(now, |at| at + NOTICE_PERIOD))
    }

    /// Tells what is due.
    pub(super) fn flush(&mut self, router: &Router, sessions: &Sessions) {
        let now = tokio::time::Instant::now().into_std();
        if let Some(notice) = self.presence.take_due(now) {
            // Nobody needs to be told of themselves alone.
            let only = match notice.joined.as_slice() {
                [only] if notice.left.is_empty() => Some(only.clone()),
                _ => None,
            };
            let message = HubToClient::Presence { joined: notice.joined, left: notice.left };
            sessions.tell_others(&Utf8Bytes::from(hub::write(&message)), only.as_ref());
        }
        if let Some(notice) = self.keys.take_due(now) {
            let message = HubToClient::Keys { users: notice.joined };
            sessions.tell_others(&Utf8Bytes::from(hub::write(&message)), None);
        }
        if self.rooms_due(now).is_some_and(|due| due <= now) {
            self.rooms_told_at = Some(now);
            // First, as it was then: who is back is told the newest last, or the chain seems to have gone back.
            for (account, head) in std::mem::take(&mut self.removed) {
                let message = HubToClient::Heads { id: None, heads: vec![head], more: false };
                sessions.tell(&[account], &Utf8Bytes::from(hub::write(&message)), None);
            }
            for (cid, maker) in std::mem::take(&mut self.rooms) {
                // One text for each room, shared by everybody in it.
                let message =
                    HubToClient::Heads { id: None, heads: vec![router.head(&cid)], more: false };
                let text = Utf8Bytes::from(hub::write(&message));
                sessions.tell(&router.members(&cid), &text, maker);
            }
        }
    }
}

impl<T: Turns> Worker<T> {
    /// Tells of a feed that has other subscribers, at once and not with the other notices: what its
    /// owner is told to be stored after this is then sealed for exactly these.
    pub(super) fn tell_feed(&self, whom: &[AccountId], head: Head, by: Option<ConnectionId>) {
        let message = HubToClient::Heads { id: None, heads: vec![head], more: false };
        self.sessions.tell(whom, &Utf8Bytes::from(hub::write(&message)), by);
    }
}
