//! Receipts (rule R8): owed with every message kept, sent together, signed and in clear.

use std::collections::BTreeMap;

use bytes::Bytes;
use chat_protocol::b64::B64Vec;
use chat_protocol::code;
use chat_protocol::envelope::{self, ReceiptBody};
use chat_protocol::frame::Delivery;
use chat_protocol::header::{MessageHeader, ReceiptHeader};
use chat_protocol::hub::{ClientToHub, Log};
use chat_protocol::id::{Digest, KeyId, MessageId};
use chat_protocol::limits::{RECEIPTS_PER_FRAME_MAX, VERSION};
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::{Stage, Tag, label};
use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
use crate::event::{Alarm, Event};
use crate::limits::{IDLE_RECEIPTS_MAX, RECEIPT_DELAY_MS, RECEIPT_MEMBERS_STEP};
use crate::out::Out;
use crate::questions::Question;
use crate::receive::Received;
use crate::table::{Kind, Table};
use crate::table::{next_order, order_key};

/// A receipt that is owed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Owed {
    pub(crate) cid: ConversationId,
    pub(crate) to: UserName,
    pub(crate) id: MessageId,
    pub(crate) digest: Digest,
    pub(crate) readable: bool,
}

impl Owed {
    /// The receipt for a message with this header.
    pub(crate) fn new(header: &MessageHeader, digest: Digest, readable: bool) -> Self {
        let (cid, to) = (header.cid.clone(), header.from.clone());
        Self { cid, to, id: header.id, digest, readable }
    }
}

/// What is owed to others, and how far the hub is told that this device has come.
#[derive(Debug)]
pub(crate) struct Receipts {
    me: UserName,
    /// By order.
    owed: Table<Owed>,
    /// Signed ones without an answer, by id.
    sent: Table<B64Vec, MessageId>,
    /// Logs whose cursor moved since the hub was told.
    moved: BTreeMap<Log, u64>,
    /// When what is owed is sent, Unix time in milliseconds.
    due_ms: Option<u64>,
}

impl Receipts {
    pub(crate) fn new(me: UserName) -> Self {
        let (owed, sent) = (Table::default(), Table::default());
        Self { me, owed, sent, moved: BTreeMap::new(), due_ms: None }
    }

    pub(crate) fn rows(&mut self) -> [Kind<'_>; 2] {
        [("owed", &mut self.owed), ("receipt", &mut self.sent)]
    }

    /// Rows were loaded.
    pub(crate) fn loaded(&mut self) {
        if self.owed.len() > 0 {
            self.due_ms.get_or_insert(0);
        }
    }

    /// There is a connection.
    pub(crate) fn connected(&mut self, now_ms: u64) {
        if self.owed.len() > 0 {
            self.due_ms = Some(now_ms);
        }
    }

    /// The connection is gone: the hub says on the next one what it has heard of.
    pub(crate) fn disconnected(&mut self) {
        self.moved.clear();
    }

    /// When what is owed is sent, Unix time in milliseconds.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.due_ms
    }

    fn due_at(&mut self, at_ms: u64) {
        self.due_ms = Some(self.due_ms.map_or(at_ms, |known| known.min(at_ms)));
    }

    /// A log was read up to a position. The hub is told with the next receipts.
    pub(crate) fn moved(&mut self, log: &Log, position: u64) {
        let moved = self.moved.entry(log.clone()).or_default();
        *moved = position.max(*moved);
    }

    /// The hub is told soon how far this device has come, although nobody is owed a receipt for it.
    pub(crate) fn tell_soon(&mut self, now_ms: u64) {
        self.due_at(now_ms.saturating_add(RECEIPT_DELAY_MS));
    }

    /// Notes that a message was kept and its sender is to be told, in a conversation of so many people.
    pub(crate) fn owe(&mut self, now_ms: u64, owed: Owed, people: usize) {
        // One's own other device needs no receipt, and whose feed it is waits for none; how far this
        // one has read is told all the same.
        if owed.to == self.me || owed.cid.is_feed() {
            return self.tell_soon(now_ms);
        }
        let steps = u64::try_from(people).unwrap_or(1).div_ceil(RECEIPT_MEMBERS_STEP).max(1);
        let (cid, to) = (owed.cid.clone(), owed.to.clone());
        self.owed.put(&order_key(next_order(&self.owed)), owed);
        let is_full = self.is_owed_a_frame(&cid, &to);
        let wait = if is_full { 0 } else { RECEIPT_DELAY_MS * steps };
        self.due_at(now_ms.saturating_add(wait));
    }

    /// Whether one more may be owed for a frame that nobody may have sent, or that came again: a hub can make any
    /// number of them, so only some wait for their answers at a time.
    pub(crate) fn has_room(&self) -> bool {
        self.owed.len() + self.sent.len() * RECEIPTS_PER_FRAME_MAX < IDLE_RECEIPTS_MAX
    }

    /// Whether one person is owed as many receipts as fit a frame. Counting each alone makes few
    /// full frames of a busy room, and not many small ones.
    fn is_owed_a_frame(&self, cid: &ConversationId, to: &UserName) -> bool {
        if self.owed.len() < RECEIPTS_PER_FRAME_MAX {
            return false;
        }
        let of_them = self.owed.iter().filter(|(_, owed)| owed.to == *to && owed.cid == *cid);
        of_them.count() >= RECEIPTS_PER_FRAME_MAX
    }

    /// Sends what is owed, signed with this key, and says how far each log was kept.
    pub(crate) fn flush(&mut self, now_ms: u64, out: &mut Out, sk: KeyId) {
        self.due_ms = None;
        let mut groups: BTreeMap<(ConversationId, UserName, bool), Vec<(MessageId, Digest)>> =
            BTreeMap::new();
        for owed in self.owed.extract(|_, _| true) {
            let group = groups.entry((owed.cid, owed.to, owed.readable)).or_default();
            group.push((owed.id, owed.digest));
        }
        for ((cid, to, readable), named) in groups {
            for named in named.chunks(RECEIPTS_PER_FRAME_MAX) {
                let header = ReceiptHeader {
                    v: VERSION,
                    t: if readable { Tag::Ack } else { Tag::Noack },
                    stage: Stage::Delivered,
                    cid: cid.clone(),
                    from: self.me.clone(),
                    sk,
                    to: to.clone(),
                    id: out.new_id(now_ms),
                    ts: now_ms,
                };
                let code = (!readable).then(|| code::DELIVERED_UNREADABLE.to_owned());
                let unsigned =
                    envelope::receipt(&header, &ReceiptBody { re: named.to_vec(), code });
                self.sent.put(&header.id, B64Vec(Vec::new()));
                out.sign((header.id, Question::Receipt), unsigned, Vec::new());
            }
        }
        if !self.moved.is_empty() {
            let positions = std::mem::take(&mut self.moved).into_iter().collect();
            out.text(&ClientToHub::Seen { positions });
        }
    }

    /// A receipt was signed: it is sent again until it is answered.
    pub(crate) fn signed(&mut self, id: &MessageId, frame: &Bytes) {
        self.sent.put(id, B64Vec(frame.to_vec()));
    }

    /// The frame of a receipt without an answer.
    pub(crate) fn frame(&self, id: &MessageId) -> Option<Bytes> {
        Some(self.sent.get(id)?.0.clone().into())
    }

    /// Sends those without an answer again.
    pub(crate) fn resend(&self, out: &mut Out) {
        for (id, frame) in self.sent.by_id() {
            out.questions.ask(id, Question::Receipt);
            out.send_frame(frame.0.clone().into());
        }
    }

    /// The hub has answered a receipt.
    pub(crate) fn answered(&mut self, id: &MessageId) {
        self.sent.remove(id);
    }

    /// How many are owed, and how many have no answer.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.owed.len(), self.sent.len())
    }

    /// Bytes of those without an answer.
    pub(crate) fn bytes(&self) -> usize {
        self.sent.iter().map(|(_, frame)| frame.0.len()).sum()
    }
}

impl Endpoint {
    /// Notes that a message was kept and its sender is to be told.
    pub(crate) fn owe(&mut self, now_ms: u64, owed: Owed) {
        let people = self.people_of(&owed.cid).len();
        self.receipts.owe(now_ms, owed, people);
    }

    /// The same for a frame that nobody may have sent, or that came again.
    pub(crate) fn owe_again(&mut self, now_ms: u64, owed: Owed) {
        if self.receipts.has_room() {
            self.owe(now_ms, owed);
        }
    }

    /// Sends what is owed now, and says how far each log was kept.
    pub fn flush_receipts(&mut self, now_ms: u64) {
        if self.link.online {
            self.receipts.flush(now_ms, &mut self.out, self.device.keys.signing_id());
        }
    }

    /// A receipt for messages of ours. It counts only for what was sealed for its signer.
    pub(crate) fn on_receipt(
        &mut self,
        delivery: &Delivery,
        header: &ReceiptHeader,
        asked: bool,
    ) -> Received {
        let Some(signer) = self.people.signer(&header.from, &header.sk).cloned() else {
            return if asked { Received::Done } else { Received::NeedsSender };
        };
        let verified = signer.has_signed(&delivery.frame, label::RECEIPT, &mut self.verified);
        let body = envelope::read_receipt(header, delivery.frame.body());
        let (true, Some(body)) = (verified && header.to == self.device.user, body) else {
            self.out.trace.received(&delivery.frame, || "refused: not a valid receipt".to_owned());
            self.out.alarm(Alarm::BadSignature, &header.from, "a receipt that is not valid");
            return Received::Done;
        };
        self.out.trace.received(&delivery.frame, || {
            let named = body.re.iter().map(|(id, digest)| format!("{id} as {digest}"));
            let named = named.collect::<Vec<_>>().join(", ");
            format!("verified with key {} of {}; it names {named}", header.sk, header.from)
        });
        let receipt = self.out.is_durable().then(|| B64Vec(delivery.frame.bytes().to_vec()));
        for (id, digest) in body.re {
            let is_recipient = self.recipients(&id).contains(&header.from);
            let Some(sent) = self.state.sent.get_mut(&id) else { continue };
            // A frame that was altered on the way has another digest: its complaint counts too.
            let named = sent.digests.contains(&digest) || header.t == Tag::Noack;
            let counts = named
                && is_recipient
                && sent.cid == header.cid
                && !sent.confirmed.contains(&header.from)
                && !(header.t == Tag::Noack && sent.unread.contains(&header.from));
            if counts {
                // What could not be read may be read later: it is sent again.
                let told =
                    if header.t == Tag::Ack { &mut sent.confirmed } else { &mut sent.unread };
                told.push(header.from.clone());
                let (cid, by) = (header.cid.clone(), header.from.clone());
                let (readable, receipt) = (header.t == Tag::Ack, receipt.clone());
                let refused = named && readable && self.false_refusal(&id, &by);
                self.out.tell(Event::Delivered { id, cid, by, readable, refused, receipt });
            }
        }
        Received::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    fn name(text: &str) -> UserName {
        UserName::new(text).unwrap()
    }

    fn owed(to: &str, number: u8) -> Owed {
        Owed {
            cid: ConversationId::parse("room:ops").unwrap(),
            to: name(to),
            id: MessageId([number; 16]),
            digest: Digest::ZERO,
            readable: true,
        }
    }

    /// Goal: receipts wait for each other, longer in a large room, and not when a frame of them is full.
    #[test]
    fn receipts_are_sent_together() {
        let mut receipts = Receipts::new(name("alice"));
        let mut out = Out::new(name("alice"), Box::new(SystemRandom));
        let large = usize::try_from(3 * RECEIPT_MEMBERS_STEP).unwrap();
        receipts.owe(0, owed("bob", 0), large);
        assert_eq!(receipts.deadline(), Some(3 * RECEIPT_DELAY_MS));
        receipts.owe(0, owed("alice", 1), large);
        assert_eq!(receipts.deadline(), Some(RECEIPT_DELAY_MS), "the hub is told how far this is");
        for number in 1..u8::try_from(RECEIPTS_PER_FRAME_MAX).unwrap() {
            receipts.owe(1, owed("bob", number), large);
        }
        assert_eq!(receipts.deadline(), Some(1), "a frame is full");
        receipts.flush(1, &mut out, KeyId([1; 16]));
        assert_eq!((receipts.counts(), receipts.deadline()), ((0, 1), None));
    }

    /// Goal: how far a log was read is told once, and not on another connection.
    #[test]
    fn the_hub_is_told_how_far_each_log_was_read() {
        let mut receipts = Receipts::new(name("alice"));
        let mut out = Out::new(name("alice"), Box::new(SystemRandom));
        for position in [3, 5, 4] {
            receipts.moved(&Log::Inbox, position);
        }
        receipts.tell_soon(7);
        assert_eq!(receipts.deadline(), Some(7 + RECEIPT_DELAY_MS));
        receipts.flush(7, &mut out, KeyId([1; 16]));
        receipts.moved(&Log::Inbox, 9);
        receipts.disconnected();
        receipts.flush(8, &mut out, KeyId([1; 16]));
        let mut seen = Out::new(name("alice"), Box::new(SystemRandom));
        seen.text(&ClientToHub::Seen { positions: [(Log::Inbox, 5)].into_iter().collect() });
        assert_eq!(out.ready(), seen.ready());
    }
}
