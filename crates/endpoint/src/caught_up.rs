//! How far a connection has come: whether all that waited has come, and up to where of each log.
//!
//! To a connection that is live the hub says everything in the order of positions, answers among
//! deliveries. So behind its answer to a frame comes nothing that stands before that frame: the log has come to
//! the position of the answer, as to that of a delivery. A hub that answers with a position far above those
//! at which it then delivers gains nothing: where a delivery counts, [`Endpoint::counted_links`] asks for the log.

use chat_protocol::code;
use chat_protocol::hub::Log;
use chat_protocol::name::ConversationId;

use crate::connection::{Link, Request};
use crate::endpoint::Endpoint;
use crate::limits::LIVE_WAIT_MS;
use crate::receive::{WaitingQueue, log_key};

/// How long the hub has not said that all has come that waited.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Late {
    /// Since when, Unix time in milliseconds; how long it was on connections before, in milliseconds, counts.
    since_ms: u64,
    for_ms: u64,
    /// A person was told.
    is_told: bool,
}

impl Late {
    /// A connection is made.
    pub(crate) fn go_on(self, now_ms: u64) -> Self {
        Self { since_ms: now_ms.saturating_sub(self.for_ms), ..self }
    }
}

impl Endpoint {
    /// Whether all that waited for this device when it signed in was dealt with: nothing of it is still
    /// to come by the hub's word, and nothing waits for the keys of its sender or for a view.
    pub fn has_caught_up(&self) -> bool {
        let is_about_keys = |request: &Request| {
            matches!(request, Request::Bundles { .. } | Request::Members { .. })
        };
        self.link.live
            && self.link.waiting.values().all(WaitingQueue::is_empty)
            && self.link.parts.is_empty()
            && self.link.refreshing.is_empty()
            && !self.link.requests.values().any(is_about_keys)
    }

    /// The hub has said that all has come that waited at the sign-in.
    pub(crate) fn on_live(&mut self, now_ms: u64) {
        (self.link.live, self.link.live_ms) = (true, now_ms);
        // What was cut off before it was live has come by now.
        let newest = self.position(self.link.newest_at_sign_in);
        for cid in self.removal_rooms() {
            self.link.answered.entry(Log::Conversation(cid)).or_insert(newest);
        }
        for log in self.link.answered.keys().cloned().collect::<Vec<_>>() {
            self.come_to_answer(&log);
        }
    }

    /// The hub has answered a frame of this device with its position in a conversation.
    pub(crate) fn note_answered(&mut self, cid: &ConversationId, position: u64) {
        let log = Log::Conversation(cid.clone());
        let position = self.position(position);
        let answered = self.link.answered.entry(log.clone()).or_insert(position);
        let is_there = position <= *answered;
        if !is_there {
            *answered = position;
        }
        self.come_to_answer(&log);
    }

    /// Moves a log to the newest position that the hub has answered with there, once all that came before that is
    /// dealt with. What found no room has come and is not.
    pub(crate) fn come_to_answer(&mut self, log: &Log) {
        let waits = self.link.waiting.get(log).is_some_and(|queue| !queue.is_empty());
        if !self.link.live || waits || self.is_overflowed(log) || !self.is_own_log(log) {
            return;
        }
        let Some(position) = self.link.answered.get(log).copied() else { return };
        if let Some(at) = self.comparable(position) {
            self.move_cursor(log, position);
            let reached = self.link.reached.entry(log.clone()).or_default();
            *reached = at.max(*reached);
        }
    }

    /// How many links of a room's chain are counted by what stands before a delivery. It stands behind all that
    /// its log has come to, whatever position the hub gives it. What was kept until its key came stands at no position.
    pub(crate) fn counted_links(&self, cid: &ConversationId, position: u64) -> u32 {
        let cursor = self.state.cursors.get(&log_key(&Log::Conversation(cid.clone())));
        let come_to = cursor.and_then(|cursor| self.comparable(*cursor));
        let behind = come_to.filter(|_| position > 0).map_or(0, |at| at.saturating_add(1));
        self.marks.counted(cid, position.max(behind))
    }

    /// A connection ends, or was none. How long its end of what waited was late counts on with the next one, so that
    /// cuts hide nothing.
    pub(crate) fn late_so_far(&self) -> Late {
        let Link { online, live, clock_ms, late, .. } = &self.link;
        match (online, live) {
            (true, true) => Late::default(),
            (true, false) => Late { for_ms: clock_ms.saturating_sub(late.since_ms), ..*late },
            (false, _) => *late,
        }
    }

    /// When a hub that does not end what waited is told of.
    pub(crate) fn live_deadline(&self) -> Option<u64> {
        let Link { online, live, late, .. } = &self.link;
        let waits = *online && !live && !late.is_told;
        waits.then(|| late.since_ms.saturating_add(LIVE_WAIT_MS))
    }

    /// Until all that waited has come nobody can tell what is missing: says so once, if that takes long.
    pub(crate) fn tell_late(&mut self, now_ms: u64) {
        if self.live_deadline().is_some_and(|due| due <= now_ms) {
            self.link.late.is_told = true;
            let reason = "the server has not yet said that everything has come that waited for you; until it \
                          does, what it holds back does not show";
            self.complain(code::UNTRUSTED, reason);
        }
    }
}
