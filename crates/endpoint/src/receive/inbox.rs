//! Deliveries that wait, in the order of their logs, and up to where each log was kept.
//!
//! There is one budget for all logs, so that no hub fills the memory of its clients (rule R39). What finds no room is
//! not lost as long as nothing behind it is taken either: the cursor stays, and the hub sends it again on the next
//! connection.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chat_protocol::frame::Delivery;
use chat_protocol::header::{Header, MessageHeader};
use chat_protocol::hub::{DropClaim, Log};
use chat_protocol::id::MessageId;
use chat_protocol::name::UserName;
use chat_protocol::tag::Tag;

use crate::limits::{
    DROPS_LOGS_MAX, DROPS_WAITING_MAX, OVERFLOWED_LOGS_MAX, PARKED_BYTES_MAX,
    WAITING_OVERHEAD_BYTES,
};
use crate::position::Came;
use crate::position::Position;
use crate::table::{Kind, Table};

/// A delivery that waits its turn.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(super) delivery: Delivery,
    pub(super) header: Header,
    /// The request for its sender's bundle.
    pub(super) asked: Option<MessageId>,
    /// That request was answered.
    pub(super) answered: bool,
    pub(super) came: Came,
}

impl Waiting {
    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        WAITING_OVERHEAD_BYTES + self.delivery.frame.bytes().len()
    }

    fn message(&self) -> Option<&MessageHeader> {
        match &self.header {
            Header::Message(header) => Some(header),
            _ => None,
        }
    }
}

/// What has come and is not dealt with. But for the cursors it belongs to one connection.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// Last position kept, by log.
    cursors: Table<Position, Log>,
    waiting: BTreeMap<Log, VecDeque<Waiting>>,
    /// What the hub says that it has dropped, behind deliveries that wait.
    drops: BTreeMap<Log, Vec<DropClaim>>,
    /// Bytes of the deliveries that wait, and of their epochs' parts.
    parked_bytes: usize,
    /// Logs of which something found no room to wait; nothing more of them is taken.
    overflowed: BTreeSet<Log>,
    /// There are too many of these to be told apart: nothing more of any log is taken.
    is_full: bool,
    /// Up to where of each log of this user everything was dealt with that came on this connection.
    reached: BTreeMap<Log, u64>,
}

impl Inbox {
    pub(crate) fn rows(&mut self) -> [Kind<'_>; 1] {
        [("cursor", &mut self.cursors)]
    }

    /// The connection is gone.
    pub(crate) fn disconnected(&mut self) {
        *self = Self { cursors: std::mem::take(&mut self.cursors), ..Self::default() };
    }

    /// Whether a log was kept up to this position.
    pub(crate) fn is_kept(&self, log: &Log, position: Position) -> bool {
        self.cursors.get(log).is_some_and(|cursor| position <= *cursor)
    }

    /// Whether a position stands behind what was kept, as far as they compare.
    pub(super) fn is_behind(&self, log: &Log, position: Position) -> bool {
        self.cursors.get(log).is_none_or(|cursor| position > *cursor)
    }

    /// Moves the cursor of a log to a position, unless it is there.
    pub(crate) fn keep(&mut self, log: &Log, position: Position) {
        if !self.is_kept(log, position) {
            self.cursors.put(log, position);
        }
    }

    /// Everything of a log was dealt with up to this position.
    pub(super) fn reach(&mut self, log: &Log, position: u64) {
        let reached = self.reached.entry(log.clone()).or_default();
        *reached = position.max(*reached);
    }

    /// Up to where everything of a log was dealt with that came on this connection.
    pub(crate) fn reached(&self, log: &Log) -> Option<u64> {
        self.reached.get(log).copied()
    }

    /// Whether this very delivery waits already.
    pub(super) fn has(&self, log: &Log, delivery: &Delivery) -> bool {
        self.waiting.get(log).is_some_and(|queue| {
            // Positions grow, so that nearly always the last one says enough.
            let is_next =
                queue.back().is_none_or(|last| last.delivery.position < delivery.position);
            !is_next
                && queue.iter().any(|waiting| {
                    waiting.delivery.position == delivery.position
                        && waiting.delivery.frame.bytes() == delivery.frame.bytes()
                })
        })
    }

    /// Whether so many bytes more of this log may wait, beside what else does. Where not, nothing more of it is taken
    /// on this connection.
    pub(super) fn has_room(&mut self, log: &Log, bytes: usize, others: usize) -> bool {
        let parked = self.parked_bytes.saturating_add(others);
        let has_room = parked.saturating_add(bytes) <= PARKED_BYTES_MAX;
        if !has_room {
            if self.overflowed.len() < OVERFLOWED_LOGS_MAX {
                self.overflowed.insert(log.clone());
            } else {
                self.is_full = true;
            }
        }
        has_room
    }

    /// Whether nothing more of this log is taken on this connection.
    pub(crate) fn is_overflowed(&self, log: &Log) -> bool {
        self.is_full || self.overflowed.contains(log)
    }

    /// Whether there is room again for what found none. Not before: a server that is only slow has the answers on
    /// their way.
    pub(crate) fn may_begin_anew(&self) -> bool {
        let is_done = |log| self.waiting.get(log).is_none_or(VecDeque::is_empty);
        self.parked_bytes <= PARKED_BYTES_MAX / 2 && self.overflowed.iter().any(is_done)
    }

    /// Bytes that wait here, parts of epochs included.
    pub(crate) fn parked_bytes(&self) -> usize {
        self.parked_bytes
    }

    /// So many bytes wait more, and so many less.
    pub(crate) fn park(&mut self, more: usize, less: usize) {
        self.parked_bytes = (self.parked_bytes + more).saturating_sub(less);
    }

    /// A delivery waits, behind the others of its log.
    pub(super) fn push(&mut self, log: &Log, waiting: Waiting) {
        self.park(waiting.bytes(), 0);
        self.waiting.entry(log.clone()).or_default().push_back(waiting);
    }

    /// Takes the first delivery of a log out; its bytes count until it is dealt with.
    pub(super) fn pop(&mut self, log: &Log) -> Option<Waiting> {
        let front = self.waiting.get_mut(log).and_then(VecDeque::pop_front);
        if front.is_none() {
            self.waiting.remove(log);
        }
        front
    }

    /// A delivery goes on waiting.
    pub(super) fn push_front(&mut self, log: &Log, waiting: Waiting) {
        self.waiting.entry(log.clone()).or_default().push_front(waiting);
    }

    fn front(&self, log: &Log) -> Option<&Waiting> {
        self.waiting.get(log).and_then(VecDeque::front)
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.values().all(VecDeque::is_empty)
    }

    /// Logs whose first delivery carries granted messages.
    pub(super) fn logs_with_grants(&self) -> Vec<Log> {
        let is_grant = |queue: &VecDeque<Waiting>| {
            queue.front().and_then(Waiting::message).is_some_and(|header| header.t == Tag::Grant)
        };
        let waiting = self.waiting.iter().filter(|(_, queue)| is_grant(queue));
        waiting.map(|(log, _)| log.clone()).collect()
    }

    /// The bundles that deliveries waited for have come, or are not to be had: of which logs.
    pub(super) fn answered(&mut self, request: &MessageId) -> Vec<Log> {
        let fronts = self.waiting.iter_mut().filter_map(|(log, q)| Some((log, q.front_mut()?)));
        let asked = fronts.filter(|(_, front)| front.asked == Some(*request));
        asked
            .map(|(log, front)| {
                front.answered = true;
                log.clone()
            })
            .collect()
    }

    /// What waits for the bundles of these people waits for the answer to this later question.
    pub(crate) fn ask_again(&mut self, people: &[UserName], request: MessageId) {
        let fronts = self.waiting.values_mut().filter_map(VecDeque::front_mut);
        for front in fronts.filter(|front| front.asked.is_some() && !front.answered) {
            if people.contains(front.header.signer().0) {
                front.asked = Some(request);
            }
        }
    }

    /// Whether something waits of which this is the copy in a feed.
    pub(crate) fn original_waits(&self, copy: &MessageHeader) -> bool {
        let is_room = |log: &Log| matches!(log, Log::Conversation(cid) if *cid != copy.cid);
        let waiting = self.waiting.iter().filter(|(log, _)| is_room(log));
        let mut said = waiting.flat_map(|(_, queue)| queue).filter_map(Waiting::message);
        copy.cid.is_feed() && said.any(|said| said.id == copy.id && said.from == copy.from)
    }

    /// Whether a log waits with the message that has this id.
    pub(crate) fn waits_with(&self, log: &Log, id: &MessageId) -> bool {
        self.front(log).and_then(Waiting::message).is_some_and(|header| header.id == *id)
    }

    /// Keeps what the hub says that it has dropped until its log comes there. As with deliveries, what finds no room
    /// comes again on the next connection.
    pub(crate) fn hear_of_drop(&mut self, log: &Log, claim: DropClaim) -> bool {
        let has_room = match self.drops.get(log).map(Vec::len) {
            Some(waits) => waits < DROPS_WAITING_MAX,
            None => self.drops.len() < DROPS_LOGS_MAX,
        };
        let is_taken = !self.is_overflowed(log) && has_room;
        if is_taken {
            self.drops.entry(log.clone()).or_default().push(claim);
        }
        is_taken
    }

    /// Whether the hub has said of anything that it has dropped it and no log has come there.
    pub(crate) fn awaits_drops(&self) -> bool {
        !self.drops.is_empty()
    }

    /// What the hub says that it has dropped at places that this log has come to.
    pub(crate) fn reached_drops(&mut self, log: &Log) -> Vec<DropClaim> {
        let waits_at = self.front(log).map(|waiting| waiting.delivery.position);
        let Some(claims) = self.drops.get_mut(log) else { return Vec::new() };
        let is_reached =
            |claim: &mut DropClaim| waits_at.is_none_or(|position| claim.position < position);
        let reached = claims.extract_if(.., is_reached).collect();
        if claims.is_empty() {
            self.drops.remove(log);
        }
        reached
    }

    /// Bytes of the deliveries that wait, and how many small things are held beside them.
    pub(crate) fn held(&self) -> (usize, usize) {
        let bytes = self.waiting.values().flatten().map(Waiting::bytes).sum();
        let drops = self.drops.values().map(Vec::len).sum::<usize>();
        (bytes, self.overflowed.len() + self.waiting.len() + drops)
    }
}

#[cfg(test)]
mod tests {
    use chat_protocol::name::ConversationId;

    use super::*;
    use crate::position::Positions;

    fn log(number: usize) -> Log {
        Log::Conversation(ConversationId::parse(&format!("room:r{number}")).unwrap())
    }

    fn claim(position: u64) -> DropClaim {
        let cid = ConversationId::parse("room:r0").unwrap();
        DropClaim { cid, position, before_ms: 0, keep_ms: 1, messages: 1 }
    }

    /// Goal: a log of which something found no room takes nothing more until the next connection; of too many of them
    /// none does. What was kept stays so.
    #[test]
    fn what_finds_no_room_closes_its_log() {
        let (mut inbox, positions) = (Inbox::default(), Positions::default());
        inbox.keep(&log(0), positions.at(7));
        inbox.keep(&log(0), positions.at(3));
        assert!(inbox.has_room(&log(0), PARKED_BYTES_MAX, 0));
        assert!(!inbox.has_room(&log(0), PARKED_BYTES_MAX, 1));
        assert!(inbox.is_overflowed(&log(0)) && !inbox.is_overflowed(&log(1)));
        assert!(inbox.may_begin_anew(), "nothing of it waits");
        inbox.park(PARKED_BYTES_MAX, 0);
        assert!(!inbox.may_begin_anew(), "the answers may be on their way");
        assert!((1..=OVERFLOWED_LOGS_MAX).all(|number| !inbox.has_room(&log(number), 1, 0)));
        assert!(inbox.is_overflowed(&log(OVERFLOWED_LOGS_MAX + 1)));
        inbox.disconnected();
        assert!(!inbox.is_overflowed(&log(0)) && inbox.parked_bytes() == 0);
        assert!(
            inbox.is_kept(&log(0), positions.at(7)) && inbox.is_behind(&log(0), positions.at(8))
        );
    }

    /// Goal: what the hub says that it has dropped counts when everything before it is dealt with, and there is not any
    /// amount of it.
    #[test]
    fn claims_wait_for_their_place() {
        let mut inbox = Inbox::default();
        assert!(inbox.hear_of_drop(&log(0), claim(4)) && inbox.awaits_drops());
        assert_eq!(inbox.reached_drops(&log(0)).len(), 1);
        assert!(!inbox.awaits_drops());
        let taken = (0..100).filter(|at| inbox.hear_of_drop(&log(0), claim(*at))).count();
        assert_eq!(taken, DROPS_WAITING_MAX);
    }
}
