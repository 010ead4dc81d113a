//! How long rooms keep their messages, and which of them has something to drop.
//!
//! The hub's own bookkeeping: nobody signs it. Direct conversations and inboxes are never touched.

use std::collections::{BTreeSet, HashMap};

use chat_protocol::{code, hub::HubToClient, name::ConversationId, retention};

use super::{Conversation, Effects, Router};
use crate::{
    request::{Peer, Refusal},
    store::{Dropped, LogId, NewDrop, NewRetention, Proposal},
};

/// The default, and when each room has something to drop.
#[derive(Debug, Default)]
pub(super) struct Retention {
    /// Milliseconds, 0 for ever.
    default_ms: u64,
    /// Unix time in milliseconds, and the log.
    due: BTreeSet<(u64, LogId)>,
    /// The same by log.
    by_log: HashMap<LogId, u64>,
}

impl Retention {
    fn set(&mut self, log: LogId, due_ms: Option<u64>) {
        let before = match due_ms {
            Some(due_ms) => self.by_log.insert(log, due_ms),
            None => self.by_log.remove(&log),
        };
        if let Some(before) = before {
            self.due.remove(&(before, log));
        }
        self.due.extend(due_ms.map(|due_ms| (due_ms, log)));
    }
}

impl Conversation {
    /// Notes when something was accepted; returns whether it is the oldest there is.
    pub(super) fn note_oldest(&mut self, hub_ms: u64) -> bool {
        let is_oldest = self.oldest_ms.is_none() && !self.cid.is_direct();
        if is_oldest {
            self.oldest_ms = Some(hub_ms);
        }
        is_oldest
    }
}

impl Router {
    /// Rooms that say nothing keep their messages for this long, in milliseconds; 0 for ever.
    pub fn keep_for(&mut self, default_ms: u64) {
        self.retention.default_ms = default_ms;
        let logs: Vec<LogId> = self.by_log.keys().copied().collect();
        for log in logs {
            self.note_due(log);
        }
    }

    /// How long a room keeps its messages now, in milliseconds; 0 for ever.
    pub(super) fn keep_ms(&self, conversation: &Conversation) -> u64 {
        if conversation.is_closed {
            return retention::DELETED_KEEP_MS;
        }
        conversation.keep_ms.unwrap_or(self.retention.default_ms)
    }

    /// Works out anew when a room has something to drop.
    pub(super) fn note_due(&mut self, log: LogId) {
        let conversation = self.by_log.get(&log).and_then(|cid| self.conversations.get(cid));
        let due_ms = conversation.and_then(|conversation| {
            let keep_ms = self.keep_ms(conversation);
            // What was accepted in the same millisecond is old enough with it.
            let due_ms = conversation.oldest_ms?.saturating_add(keep_ms).saturating_add(1);
            (keep_ms > 0 && !conversation.cid.is_direct()).then_some(due_ms)
        });
        self.retention.set(log, due_ms);
    }

    /// When a room has something to drop, Unix time in milliseconds.
    pub fn next_drop_ms(&self) -> Option<u64> {
        self.retention.due.first().map(|(due_ms, _)| *due_ms)
    }

    /// The next step of dropping, if one is due.
    pub fn decide_drop(&self, now_ms: u64) -> Option<NewDrop> {
        let (_, log) = self.retention.due.first().filter(|(due_ms, _)| *due_ms <= now_ms)?;
        let conversation = self.conversations.get(self.by_log.get(log)?)?;
        let keep_ms = self.keep_ms(conversation);
        Some(NewDrop {
            log: *log,
            before_ms: now_ms.saturating_sub(keep_ms),
            keep_ms,
            current: conversation.current().map(|epoch| epoch.id),
        })
    }

    /// Takes over what a step came to.
    pub(super) fn apply_drop(&mut self, log: LogId, dropped: &Dropped) {
        let cid = self.by_log.get(&log);
        if let Some(conversation) = cid.and_then(|cid| self.conversations.get_mut(cid)) {
            conversation.oldest_ms = if dropped.is_more { Some(0) } else { dropped.oldest_ms };
        }
        self.note_due(log);
    }

    /// How long a room is to keep its messages, or why nobody changes that.
    pub fn decide_retention(
        &self,
        peer: &Peer,
        cid: &ConversationId,
        keep_ms: Option<u64>,
    ) -> Result<Proposal, Refusal> {
        let conversation =
            self.conversations.get(cid).filter(|c| !c.is_closed && self.sees(&peer.name, cid));
        let Some((conversation, membership)) =
            conversation.and_then(|c| Some((c, c.membership.as_ref()?)))
        else {
            let reason = "there is no such room";
            return Err(Refusal::new(code::NO_SUCH_ROOM, reason));
        };
        if membership.is_implicit() {
            let reason = format!(
                "{} has no admins, so it keeps messages as the server does; who runs the \
                 server sets that with --retention",
                cid.spoken()
            );
            return Err(Refusal::new(code::NOT_ALLOWED, reason));
        }
        if !membership.members().get(&peer.name).is_some_and(|member| member.admin) {
            let reason = "only an admin of the room sets how long messages are kept, because \
                          others lose them; the list of members shows who is one";
            return Err(Refusal::new(code::NOT_ALLOWED, reason));
        }
        if !keep_ms.is_none_or(retention::is_keep_time) {
            let reason = "messages are kept for 1s to 36500d, or for ever with off";
            return Err(Refusal::new(code::NOT_ALLOWED, reason));
        }
        let Some(log) = conversation.log else {
            return Err(Refusal::new(code::NO_SUCH_ROOM, "nobody is in this room yet"));
        };
        Ok(Proposal::Retention(NewRetention { log, keep_ms, by: peer.name.clone() }))
    }

    /// Takes over how long a room keeps its messages.
    pub(super) fn apply_retention(&mut self, new: NewRetention) -> Effects {
        let Some(cid) = self.by_log.get(&new.log).cloned() else { return Effects::default() };
        if let Some(conversation) = self.conversations.get_mut(&cid) {
            conversation.keep_ms = new.keep_ms;
        }
        self.note_due(new.log);
        let keep_ms = self.conversations.get(&cid).map_or(0, |c| self.keep_ms(c));
        let members = self.members(&cid);
        Effects::telling(members, HubToClient::Retention { id: None, cid, keep_ms, by: new.by })
    }
}
