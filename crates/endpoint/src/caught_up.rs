//! How far a connection has come: whether all that waited has come, and up to where of each log.
//!
//! To a connection that is live the hub says everything in the order of positions, answers among
//! deliveries. So behind its answer to a frame nothing comes that stands before that frame. A hub that answers
//! with a position far above those at which it then delivers hides nothing with it: [`Came`] says how far the log
//! had come when a delivery came, and the delivery stands behind that.

use chat_protocol::code;
use chat_protocol::hub::Log;
use chat_protocol::name::ConversationId;

use crate::connection::Link;
use crate::endpoint::Endpoint;
use crate::limits::LIVE_WAIT_MS;
use crate::position::Came;
use crate::questions::Question;

impl Endpoint {
    /// Whether all that waited for this device when it signed in was dealt with: nothing of it is still
    /// to come by the hub's word, and nothing waits for the keys of its sender or for a view.
    pub fn has_caught_up(&self) -> bool {
        let is_about_keys = |question: &Question| {
            matches!(question, Question::Bundles { .. } | Question::Members { .. })
        };
        self.link.live
            && self.inbox.is_empty()
            && self.link.parts.is_empty()
            && self.views.refreshing().next().is_none()
            && !self.out.questions.any(is_about_keys)
    }

    /// The hub has said that all has come that waited at the sign-in.
    pub(crate) fn on_live(&mut self, now_ms: u64) {
        (self.link.live, self.link.live_ms) = (true, now_ms);
        // The answer to a removal may be of an earlier connection, which was cut before it was live.
        for cid in self.removal_rooms() {
            self.note_answered(&cid, self.link.newest_at_sign_in);
        }
    }

    /// The hub has answered something of this device with its position in a conversation.
    pub(crate) fn note_answered(&mut self, cid: &ConversationId, position: u64) {
        let position = self.positions.at(position);
        let answered = self.link.answered.entry(Log::Conversation(cid.clone())).or_insert(position);
        let is_there = position <= *answered;
        if !is_there {
            *answered = position;
        }
    }

    /// A delivery comes now, at this position of a log.
    pub(crate) fn came_now(&self, now_ms: u64, log: &Log, position: u64) -> Came {
        let is_live = self.link.live;
        let behind = self.link.answered.get(log).copied().filter(|_| is_live);
        Came { position, live_ms: is_live.then_some(now_ms), behind }
    }

    /// Up to where its log had come when a frame came, by the hub's answers. What it has answered before it went back
    /// says nothing.
    fn had_come_to(&self, came: &Came) -> u64 {
        let behind = came.behind.filter(|_| came.position > 0);
        behind.and_then(|behind| self.positions.comparable(behind)).unwrap_or(0)
    }

    /// How many links of a room's chain are counted by what stands before a frame.
    pub(crate) fn counted_links(&self, cid: &ConversationId, came: &Came) -> u32 {
        let behind = match self.had_come_to(came) {
            0 => 0,
            at => at.saturating_add(1),
        };
        self.marks.counted(cid, came.position.max(behind))
    }

    /// Whether a frame comes in the order of its log: behind all that came before, and what was answered. What stands
    /// at no position comes in none.
    pub(crate) fn is_in_order(&self, log: &Log, came: &Came) -> bool {
        let is_behind = self.inbox.reached(log).is_none_or(|reached| came.position > reached);
        came.position == 0 || (is_behind && came.position > self.had_come_to(came))
    }

    /// When a person is told that what waited has not ended.
    pub(crate) fn live_deadline(&self) -> Option<u64> {
        let Link { online, live, late_since_ms, late_before_ms, .. } = &self.link;
        let waits = *online && !live;
        waits.then(|| late_since_ms.saturating_add(LIVE_WAIT_MS).saturating_sub(*late_before_ms))
    }

    /// For how long connections have waited for their end without one, in milliseconds: with the next one it goes on, so
    /// that cuts hide nothing. As far as this device knows the time: it ends with what came last.
    pub(crate) fn late_so_far(&self) -> u64 {
        let Link { online, live, late_since_ms, late_before_ms, clock_ms, .. } = &self.link;
        match (online, live) {
            (true, true) => 0,
            (true, false) => late_before_ms.saturating_add(clock_ms.saturating_sub(*late_since_ms)),
            (false, _) => *late_before_ms,
        }
    }

    /// Until all that waited has come nobody can tell what is missing: says so each time that this takes long.
    pub(crate) fn tell_late(&mut self, now_ms: u64) {
        if self.live_deadline().is_some_and(|due| due <= now_ms) {
            (self.link.late_since_ms, self.link.late_before_ms) = (now_ms, 0);
            let reason = "not all that waited for you has come yet; until it has, what the server holds back \
                          does not show";
            self.out.complain(code::UNTRUSTED, reason);
        }
    }
}
