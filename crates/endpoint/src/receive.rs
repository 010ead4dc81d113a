//! Deliveries: in the order of their log, each one until it can be read. What a message goes through, in the order of
//! rule R23, is in `message`.

mod inbox;
mod message;

use chat_protocol::frame::Delivery;
use chat_protocol::header::Header;
use chat_protocol::hub::Log;
use chat_protocol::id::{Digest, MessageId};
use chat_protocol::limits::INTEGER_MAX;
use chat_protocol::tag::{Tag, label};
use chat_protocol::{code, epoch};

pub(crate) use inbox::{Inbox, Waiting};
pub(crate) use message::{Hand, Opened, Place};

use crate::endpoint::Endpoint;
use crate::gaps::ChainName;

/// How far a delivery got.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// Dealt with.
    Done,
    /// Its sender's bundle must be fetched first.
    NeedsSender,
    /// The view of its conversation must be brought up to date first.
    NeedsView,
    /// Granted messages must be shown first: no more of them may wait.
    NeedsRoom,
    /// A KEY whose parts follow.
    NeedsParts(Digest),
    /// A copy in a feed of what waits its turn in a room.
    NeedsOriginal,
}

impl Endpoint {
    /// Takes a delivery. What the device has kept before is passed over.
    pub(crate) fn on_delivery(&mut self, now_ms: u64, delivery: Delivery) {
        let header = match Header::parse(delivery.frame.header()) {
            Ok(header) => header,
            Err(error) => {
                self.out
                    .complain(code::MALFORMED, &format!("the hub delivered a frame with {error}"));
                return;
            }
        };
        let log = match &header {
            Header::Receipt(_) => Log::Inbox,
            Header::Message(h) => Log::Conversation(h.cid.clone()),
            Header::Key(h) => Log::Conversation(h.cid.clone()),
            Header::Member(_) => return,
        };
        if !(1..=INTEGER_MAX).contains(&delivery.position) {
            self.out.complain(
                code::MALFORMED,
                "the hub delivered a frame at a position that there is not",
            );
            return;
        }
        self.positions.note(delivery.position);
        let position = self.positions.at(delivery.position);
        // What is not behind the cursor, or cannot be compared with it, may have been kept before. A position is the
        // hub's word: one that went back may give an old one to a new frame.
        let is_behind = self.inbox.is_behind(&log, position);
        let is_known = !is_behind && !self.is_news(&delivery, &header);
        let is_queued = self.inbox.has(&log, &delivery);
        if is_queued || self.inbox.is_overflowed(&log) || is_known {
            return;
        }
        let came = self.came_now(now_ms, &log, delivery.position);
        let waiting = Waiting { delivery, header, asked: None, answered: false, came };
        let links = self.views.bytes();
        if !self.inbox.has_room(&log, waiting.bytes(), links) {
            return;
        }
        if let Header::Key(key) = &waiting.header {
            self.expect_parts(now_ms, epoch::digest(&waiting.delivery.frame), &key.cid);
        }
        self.inbox.push(&log, waiting);
        self.receive_waiting(now_ms, &log);
    }

    /// Works through a log's queue until something is missing.
    pub(crate) fn receive_waiting(&mut self, now_ms: u64, log: &Log) {
        loop {
            if self.awaits_settling(log) {
                return;
            }
            self.drops_reached(now_ms, log);
            let Some(front) = self.inbox.pop(log) else { return };
            let Waiting { delivery, header, asked, answered, came } = front;
            let received = match (&header, asked.is_some() && !answered) {
                (_, true) => Received::NeedsSender,
                (Header::Message(message), _)
                    if message.t == Tag::Grant && !self.has_room_for_grant() =>
                {
                    Received::NeedsRoom
                }
                // What was said in the room came before its copy, and is the one to be shown.
                (Header::Message(copy), _) if self.inbox.original_waits(copy) => {
                    Received::NeedsOriginal
                }
                (Header::Message(message), _) => {
                    self.on_message(now_ms, (&delivery, came), message, answered)
                }
                (Header::Key(key), _) => self.on_key(now_ms, (&delivery, came), key, answered),
                (Header::Receipt(receipt), _) => self.on_receipt(&delivery, receipt, answered),
                (Header::Member(_), _) => Received::Done,
            };
            let (sender, sk) = header.signer();
            let (sender, sk) = (sender.clone(), sk);
            let mut waiting = Waiting { delivery, header, asked, answered, came };
            match received {
                Received::Done => {
                    self.kept(&waiting, log);
                    if let Header::Message(said) = &waiting.header {
                        self.receive_copy(now_ms, said);
                    }
                }
                Received::NeedsSender => {
                    if waiting.asked.is_none() {
                        let own = self.device.user.clone();
                        let kids = [(sender.clone(), vec![sk])].into();
                        waiting.asked = Some(self.ask_bundles(&[sender, own], kids, None));
                    }
                    self.inbox.push_front(log, waiting);
                    return;
                }
                Received::NeedsView | Received::NeedsRoom | Received::NeedsOriginal => {
                    self.inbox.push_front(log, waiting);
                    return;
                }
                Received::NeedsParts(e) => {
                    let key = match &waiting.header {
                        Header::Key(key) => Some((key.clone(), waiting.came)),
                        _ => None,
                    };
                    self.inbox.push_front(log, waiting);
                    let is_done =
                        key.is_some_and(|(key, at)| self.await_parts(now_ms, e, (&key, at)));
                    if !is_done {
                        return;
                    }
                    self.front_done(log);
                }
            }
        }
    }

    /// Goes on with grants that had no room.
    pub(crate) fn receive_grants(&mut self, now_ms: u64) {
        for log in self.inbox.logs_with_grants() {
            self.receive_waiting(now_ms, &log);
        }
    }

    /// The front of a log's queue is dealt with.
    pub(crate) fn front_done(&mut self, log: &Log) {
        if let Some(front) = self.inbox.pop(log) {
            self.kept(&front, log);
        }
    }

    /// The bundles that a delivery waited for have come, or are not to be had.
    pub(crate) fn senders_answered(&mut self, now_ms: u64, request: &MessageId) {
        for log in self.inbox.answered(request) {
            self.receive_waiting(now_ms, &log);
        }
        self.grants_answered(now_ms, request);
    }

    /// Goes on with deliveries that waited for a view.
    pub(crate) fn views_answered(&mut self, now_ms: u64) {
        let viewed = self.views.take_viewed();
        if !viewed.is_empty() {
            self.judge_parked(now_ms);
        }
        for cid in viewed {
            self.answer_waiting(now_ms, &cid);
            self.receive_waiting(now_ms, &Log::Conversation(cid));
        }
    }

    /// A delivery is dealt with: moves the cursor of its log.
    fn kept(&mut self, waiting: &Waiting, log: &Log) {
        let delivery = &waiting.delivery;
        self.inbox.park(0, waiting.bytes());
        if matches!(waiting.header, Header::Key(_)) {
            self.drop_parts(&epoch::digest(&delivery.frame));
        }
        if self.is_own_log(log) {
            let position = self.positions.at(delivery.position);
            self.inbox.keep(log, position);
            self.inbox.reach(log, delivery.position);
        }
        self.receipts.moved(log, delivery.position);
    }

    /// Whether a log is of something that this user has. Of what a hub invents nothing is kept.
    pub(crate) fn is_own_log(&self, log: &Log) -> bool {
        let Log::Conversation(cid) = log else { return true };
        match self.other(cid) {
            Some(other) => self.people.devices(&other).next().is_some(),
            None => !cid.is_direct() && self.has_known(cid, &self.device.user),
        }
    }

    /// Whether a frame at a position that was kept before is another one than was kept there.
    fn is_news(&self, delivery: &Delivery, header: &Header) -> bool {
        match header {
            Header::Message(header) => {
                let held = || self.gaps.held(&ChainName::of(header), header.n);
                let is_unknown = || {
                    let received = self.epochs.received(&header.cid, &header.from, &header.id);
                    received.is_none_or(|digest| digest != delivery.frame.digest(label::MSG))
                        && !self.epochs.is_gone(&header.e)
                        && held().is_none_or(|held| held.0 != *delivery.frame.bytes())
                };
                // What was received is sealed anew where the hub has lost it: its place in another chain is news.
                self.receiving(header).unwrap_or_else(is_unknown)
            }
            Header::Key(_) => {
                let e = epoch::digest(&delivery.frame);
                self.epochs.get(&e).is_none() && !self.epochs.is_gone(&e)
            }
            // A receipt counts once however often it comes.
            Header::Receipt(_) => true,
            Header::Member(_) => false,
        }
    }
}
