//! Receipts (rule R8): owed with every message kept, sent together, signed and in clear.

use std::collections::BTreeMap;

use chat_protocol::b64::B64Vec;
use chat_protocol::code;
use chat_protocol::envelope::{self, ReceiptBody};
use chat_protocol::frame::Delivery;
use chat_protocol::header::ReceiptHeader;
use chat_protocol::hub::ClientToHub;
use chat_protocol::id::{Digest, MessageId};
use chat_protocol::limits::{RECEIPTS_PER_FRAME_MAX, VERSION};
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::{Stage, Tag, label};

use crate::endpoint::{Endpoint, Slot};
use crate::event::{Alarm, Event};
use crate::limits::{IDLE_RECEIPTS_MAX, RECEIPT_DELAY_MS, RECEIPT_MEMBERS_STEP};
use crate::receive::Received;
use crate::state::{Owed, next_order, order_key};

impl Endpoint {
    /// Notes that a message was kept and its sender is to be told.
    pub(crate) fn owe(&mut self, now_ms: u64, owed: Owed) {
        // One's own other device needs no receipt, and whose feed it is waits for none; how far this
        // one has read is told all the same.
        if owed.to == self.device.user || owed.cid.is_feed() {
            let due = now_ms.saturating_add(RECEIPT_DELAY_MS);
            self.link.receipts_due = Some(self.link.receipts_due.map_or(due, |at| at.min(due)));
            return;
        }
        let members = self.people_of(&owed.cid).len();
        let steps = u64::try_from(members).unwrap_or(1).div_ceil(RECEIPT_MEMBERS_STEP).max(1);
        let key = order_key(next_order(&self.state.owed));
        let (cid, to) = (owed.cid.clone(), owed.to.clone());
        self.state.owed.put(&key, owed);
        let full = self.is_owed_a_frame(&cid, &to);
        let due = if full { now_ms } else { now_ms.saturating_add(RECEIPT_DELAY_MS * steps) };
        self.link.receipts_due = Some(self.link.receipts_due.map_or(due, |known| known.min(due)));
    }

    /// The same for a frame that nobody may have sent, or that came again: a hub can make any number
    /// of them, so only some wait for their answers at a time.
    pub(crate) fn owe_again(&mut self, now_ms: u64, owed: Owed) {
        let unanswered = self.state.receipts.len() * RECEIPTS_PER_FRAME_MAX;
        if self.state.owed.len() + unanswered < IDLE_RECEIPTS_MAX {
            self.owe(now_ms, owed);
        }
    }

    /// Whether one person is owed as many receipts as fit a frame. Counting each alone makes few
    /// full frames of a busy room, and not many small ones.
    fn is_owed_a_frame(&self, cid: &ConversationId, to: &UserName) -> bool {
        if self.state.owed.len() < RECEIPTS_PER_FRAME_MAX {
            return false;
        }
        let of_them = self.state.owed.iter().filter(|(_, owed)| owed.to == *to && owed.cid == *cid);
        of_them.count() >= RECEIPTS_PER_FRAME_MAX
    }

    /// Sends what is owed now, and says how far each log was kept.
    pub fn flush_receipts(&mut self, now_ms: u64) {
        if !self.link.online {
            return;
        }
        self.link.receipts_due = None;
        let mut groups: BTreeMap<(ConversationId, UserName, bool), Vec<(MessageId, Digest)>> =
            BTreeMap::new();
        let keys: Vec<String> = self.state.owed.iter().map(|(key, _)| key.clone()).collect();
        for key in keys {
            if let Some(owed) = self.state.owed.remove(&key) {
                let group = groups.entry((owed.cid, owed.to, owed.readable)).or_default();
                group.push((owed.id, owed.digest));
            }
        }
        for ((cid, to, readable), named) in groups {
            for named in named.chunks(RECEIPTS_PER_FRAME_MAX) {
                self.send_receipt(now_ms, &cid, &to, readable, named.to_vec());
            }
        }
        if !self.link.moved.is_empty() {
            let positions = std::mem::take(&mut self.link.moved).into_iter().collect();
            self.text(&ClientToHub::Seen { positions });
        }
    }

    fn send_receipt(
        &mut self,
        now_ms: u64,
        cid: &ConversationId,
        to: &UserName,
        readable: bool,
        re: Vec<(MessageId, Digest)>,
    ) {
        let header = ReceiptHeader {
            v: VERSION,
            t: if readable { Tag::Ack } else { Tag::Noack },
            stage: Stage::Delivered,
            cid: cid.clone(),
            from: self.device.user.clone(),
            sk: self.device.keys.signing_id(),
            to: to.clone(),
            id: self.new_id(now_ms),
            ts: now_ms,
        };
        let code = (!readable).then(|| code::DELIVERED_UNREADABLE.to_owned());
        let unsigned = envelope::receipt(&header, &ReceiptBody { re, code });
        self.state.receipts.put(&header.id.to_string(), B64Vec(Vec::new()));
        self.sign(Slot::Receipt(header.id), unsigned, Vec::new());
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
            self.trace_received(&delivery.frame, || "refused: not a valid receipt".to_owned());
            self.alarm(Alarm::BadSignature, &header.from, "a receipt that is not valid");
            return Received::Done;
        };
        self.trace_received(&delivery.frame, || {
            let named = body.re.iter().map(|(id, digest)| format!("{id} as {digest}"));
            let named = named.collect::<Vec<_>>().join(", ");
            format!("verified with key {} of {}; it names {named}", header.sk, header.from)
        });
        let receipt = self.is_durable().then(|| B64Vec(delivery.frame.bytes().to_vec()));
        for (id, digest) in body.re {
            let is_recipient = self.state.recipients(&id).contains(&header.from);
            let Some(sent) = self.state.sent.get_mut(&id.to_string()) else { continue };
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
                self.tell(Event::Delivered { id, cid, by, readable, refused, receipt });
            }
        }
        Received::Done
    }
}
