//! Messages of this device from the draft to the answer: their order, what is sealed of them, and what of it is on its
//! way.
//!
//! Commands are numbered for each signing key and restart nonce, so that an agent starts them in their order (rule R34).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chat_protocol::b64::B64Vec;
use chat_protocol::id::{Digest, MessageId};
use chat_protocol::name::ConversationId;
use serde::{Deserialize, Serialize};

use crate::outgoing::{Asked, OUTGOING, Outgoing, Sealed};
use crate::table::{Kind, Table, next_order, order_key};

/// What one signing key has asked of one restart nonce.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Asking {
    /// The next number.
    next: u64,
    /// The last number that the hub has not refused.
    last: Option<u64>,
}

/// All messages without an answer.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// By order.
    messages: Table<Outgoing>,
    /// The number of the next one, where the rows do not say it any more.
    next: u64,
    /// Those sent on this connection, by key.
    flying: BTreeMap<String, ConversationId>,
    /// Ids of frames in a closed epoch whose answers are still to come.
    draining: BTreeMap<ConversationId, BTreeSet<MessageId>>,
    /// Numbers of commands, by signing key and restart nonce.
    asking: Table<Asking>,
}

impl Outbox {
    pub(crate) fn rows(&mut self) -> [Kind<'_>; 2] {
        [(OUTGOING, &mut self.messages), ("asking", &mut self.asking)]
    }

    /// Rows were loaded.
    pub(crate) fn loaded(&mut self) {
        self.flying.retain(|key, _| self.messages.get(key).is_some());
        self.next = self.next();
    }

    /// The connection is gone.
    pub(crate) fn disconnected(&mut self) {
        self.flying.clear();
        self.draining.clear();
    }

    /// The number of the next message by the rows alone.
    pub(crate) fn next_row(&self) -> u64 {
        next_order(&self.messages)
    }

    /// The number of the next message of this device: what was said before has lower ones.
    pub(crate) fn next(&self) -> u64 {
        self.next_row().max(self.next)
    }

    /// Puts a draft behind all others; its key.
    pub(crate) fn put(&mut self, draft: Outgoing) -> String {
        let order = self.next();
        self.next = order + 1;
        let key = order_key(order);
        self.messages.put(&key, draft);
        key
    }

    /// Puts a message back in its place.
    pub(crate) fn put_back(&mut self, key: &str, message: Outgoing) {
        self.messages.put(key, message);
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Outgoing> {
        self.messages.get(key)
    }

    /// All of them in their order, with their keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Outgoing)> {
        self.messages.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// The host hears nothing of a message.
    pub(crate) fn quiet(&mut self, key: &str) {
        if let Some(message) = self.messages.get_mut(key) {
            message.quiet = true;
        }
    }

    /// Keys of the messages of a conversation that are not sealed yet, in their order, below this number.
    pub(crate) fn drafts(&self, cid: &ConversationId, below: Option<u64>) -> Vec<String> {
        let below = below.map(order_key);
        let is_next = |key: &String| below.as_ref().is_none_or(|below| key < below);
        let messages = self.messages.iter().filter(|(key, _)| is_next(key));
        let drafts =
            messages.filter(|(_, message)| message.cid == *cid && message.sealed.is_none());
        drafts.map(|(key, _)| key.clone()).collect()
    }

    /// Whether a message of a conversation with a lower number than this has no answer.
    pub(crate) fn has_before(&self, cid: &ConversationId, below: u64) -> bool {
        let below = order_key(below);
        let mut before = self.messages.iter().take_while(|(key, _)| **key < below);
        before.any(|(_, message)| message.cid == *cid)
    }

    /// A message was sealed. It flies with the frame that is signed in this step.
    pub(crate) fn seal(&mut self, key: &str, sealed: Sealed) {
        if let Some(message) = self.messages.get_mut(key) {
            message.sealed = Some(sealed);
        }
    }

    /// A message is sent on this connection.
    pub(crate) fn fly(&mut self, key: &str, cid: ConversationId) {
        self.flying.insert(key.to_owned(), cid);
    }

    /// A frame was signed: it is sent again until it is answered.
    pub(crate) fn signed(&mut self, key: &str, frame: &Bytes) {
        if let Some(sealed) = self.messages.get_mut(key).and_then(|message| message.sealed.as_mut())
        {
            sealed.frame = B64Vec(frame.to_vec());
        }
    }

    /// Everything that is sealed, byte-identical and in order: it flies again.
    pub(crate) fn resend(&mut self) -> Vec<Bytes> {
        let mut frames = Vec::new();
        for (key, message) in self.messages.iter() {
            let Some(sealed) = &message.sealed else { continue };
            self.flying.insert(key.clone(), message.cid.clone());
            frames.push(Bytes::from(sealed.frame.0.clone()));
        }
        frames
    }

    /// What is sealed of a conversation from a message on, with the ids.
    pub(crate) fn sealed_from(&self, first: &String) -> Vec<(MessageId, Bytes)> {
        let Some(cid) = self.messages.get(first).map(|message| &message.cid) else {
            return Vec::new();
        };
        let later = self.messages.iter().filter(|(key, m)| *key >= first && m.cid == *cid);
        let sealed = later.filter_map(|(_, message)| Some((message, message.sealed.as_ref()?)));
        sealed.map(|(message, sealed)| (message.id, sealed.frame.0.clone().into())).collect()
    }

    /// How many messages of a conversation fly.
    pub(crate) fn flying(&self, cid: &ConversationId) -> usize {
        self.flying.values().filter(|other| *other == cid).count()
    }

    /// Whether frames fly that are sealed in another epoch than this.
    pub(crate) fn flies_in_other(&self, cid: &ConversationId, e: Option<Digest>) -> bool {
        let flying = self.flying.iter().filter(|(_, other)| *other == cid);
        let mut sealed = flying.filter_map(|(key, _)| self.messages.get(key)?.sealed.as_ref());
        sealed.any(|sealed| Some(sealed.e) != e)
    }

    /// Whether answers to frames in a closed epoch are still to come.
    pub(crate) fn is_draining(&self, cid: &ConversationId) -> bool {
        self.draining.get(cid).is_some_and(|ids| !ids.is_empty())
    }

    /// Whether the hub has not said what became of a counter.
    pub(crate) fn is_under_way(&self, e: &Digest, n: u32) -> bool {
        let mut sealed = self.messages.iter().filter_map(|(_, message)| message.sealed.as_ref());
        sealed.any(|sealed| (&sealed.e, sealed.n) == (e, n))
    }

    /// A frame under way was answered.
    fn answered(&mut self, key: &str) {
        self.flying.remove(key);
        if let Some(message) = self.messages.get(key)
            && let Some(ids) = self.draining.get_mut(&message.cid)
        {
            ids.remove(&message.id);
        }
    }

    /// Takes a message out: it has its answer, or is given up.
    pub(crate) fn end(&mut self, key: &str) -> Option<Outgoing> {
        self.answered(key);
        self.messages.remove(key)
    }

    /// Takes a message out that is refused, or given up. Nothing waits for the number that it has as a command.
    pub(crate) fn end_in_vain(&mut self, key: &str) -> Option<Outgoing> {
        let message = self.end(key)?;
        if let Some(asked) = &message.asked {
            self.unask(asked);
        }
        Some(message)
    }

    /// An answer says that a message is to be sealed again.
    pub(crate) fn drained(&mut self, cid: &ConversationId, id: &MessageId) {
        if let Some(ids) = self.draining.get_mut(cid) {
            ids.remove(id);
        }
    }

    /// Everything of the epoch of a message, from its counter on, goes back to a draft. What was sealed comes back, with
    /// the ids; the answers to those that fly are awaited.
    pub(crate) fn burn(&mut self, cid: &ConversationId, first: &str) -> Vec<(MessageId, Sealed)> {
        let message = self.messages.get(first);
        let sealed = message.and_then(|message| Some((message.id, message.sealed.as_ref()?)));
        let Some((id, e, n)) = sealed.map(|(id, sealed)| (id, sealed.e, sealed.n)) else {
            return Vec::new();
        };
        let is_later = |sealed: &Sealed| sealed.e == e && sealed.n >= n;
        let later = self.messages.iter().filter(|(_, m)| m.sealed.as_ref().is_some_and(is_later));
        let later: Vec<String> = later.map(|(key, _)| key.clone()).collect();
        let mut burnt = Vec::new();
        for key in later {
            let Some(message) = self.messages.get_mut(&key) else { continue };
            if self.flying.remove(&key).is_some() && message.id != id {
                self.draining.entry(cid.clone()).or_default().insert(message.id);
            }
            burnt.extend(message.sealed.take().map(|sealed| (message.id, sealed)));
        }
        burnt
    }

    /// The place of a command that is being sealed for what this row names. It keeps its number when it is sealed
    /// again.
    pub(crate) fn ask(&mut self, key: &str, of: String) -> Option<Asked> {
        match self.messages.get(key)?.asked.clone() {
            Some(asked) if asked.of == of => return Some(asked),
            Some(elsewhere) => self.unask(&elsewhere),
            None => {}
        }
        let asking = self.asking.entry(&of, Asking::default);
        let (no, prev) = (asking.next, asking.last);
        (asking.next, asking.last) = (no.saturating_add(1), Some(no));
        let asked = Asked { of, no, prev };
        self.messages.get_mut(key)?.asked = Some(asked.clone());
        Some(asked)
    }

    /// The hub has refused a command, or it is not asked for any more: nothing waits for its number.
    fn unask(&mut self, gone: &Asked) {
        if let Some(asking) = self.asking.get_mut(&gone.of)
            && asking.last == Some(gone.no)
        {
            asking.last = gone.prev;
        }
        let follows = |message: &Outgoing| {
            message.asked.as_ref().is_some_and(|a| a.of == gone.of && a.prev == Some(gone.no))
        };
        self.messages.change(follows, |message| {
            if let Some(asked) = &mut message.asked {
                asked.prev = gone.prev;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use chat_protocol::content::Content;
    use chat_protocol::ratchet::Chain;
    use chat_protocol::tag::Tag;

    use super::*;

    fn cid() -> ConversationId {
        ConversationId::parse("room:ops").unwrap()
    }

    fn draft(number: u8) -> Outgoing {
        Outgoing::new(MessageId([number; 16]), cid(), Tag::Text, &Content::Text("x".to_owned()), 0)
    }

    fn sealed(n: u32) -> Sealed {
        let (e, digest) = (Digest([1; 32]), Digest::ZERO);
        let (_, key) = Chain::new(&[7; 32]).advance();
        Sealed { e, n, digest, void: Vec::new(), key, frame: B64Vec(Vec::new()) }
    }

    /// Goal: when the hub wants a message in another epoch, it and all later ones are sealed again, and not before the
    /// answers to those that fly have come.
    #[test]
    fn later_messages_are_burnt_with_the_first() {
        let mut outbox = Outbox::default();
        let keys: Vec<String> = (0..4).map(|number| outbox.put(draft(number))).collect();
        for (key, n) in keys.iter().take(3).zip(0..) {
            outbox.seal(key, sealed(n));
            outbox.fly(key, cid());
        }
        assert_eq!((outbox.drafts(&cid(), None).len(), outbox.flying(&cid())), (1, 3));
        let burnt = outbox.burn(&cid(), &keys[1]);
        let ids: Vec<MessageId> = burnt.into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, [MessageId([1; 16]), MessageId([2; 16])]);
        assert_eq!(outbox.drafts(&cid(), None), keys[1..]);
        assert!(outbox.is_draining(&cid()) && outbox.flies_in_other(&cid(), None));
        outbox.end(&keys[0]);
        outbox.drained(&cid(), &MessageId([2; 16]));
        assert!(!outbox.is_draining(&cid()) && outbox.flying(&cid()) == 0);
    }

    /// Goal: numbers are not used twice, also when the last message has its answer.
    #[test]
    fn numbers_grow() {
        let mut outbox = Outbox::default();
        let first = outbox.put(draft(0));
        assert!(outbox.end(&first).is_some() && outbox.next_row() == 0);
        assert!(outbox.put(draft(1)) > first && outbox.has_before(&cid(), 2));
        assert!(!outbox.has_before(&cid(), 1));
    }

    /// Goal: a command that is refused leaves no gap in the order of those behind it.
    #[test]
    fn nothing_waits_for_a_refused_command() {
        let mut outbox = Outbox::default();
        let keys: Vec<String> = (0..3).map(|number| outbox.put(draft(number))).collect();
        let asked: Vec<Asked> =
            keys.iter().map(|key| outbox.ask(key, "rb".to_owned()).unwrap()).collect();
        assert_eq!(
            asked.iter().map(|a| (a.no, a.prev)).collect::<Vec<_>>(),
            [(0, None), (1, Some(0)), (2, Some(1))]
        );
        outbox.end_in_vain(&keys[1]);
        let again = outbox.ask(&keys[2], "rb".to_owned()).unwrap();
        assert_eq!((again.no, again.prev), (2, Some(0)));
        let elsewhere = outbox.ask(&keys[2], "other".to_owned()).unwrap();
        assert_eq!((elsewhere.no, elsewhere.prev), (0, None));
        assert_eq!(outbox.ask(&keys[0], "rb".to_owned()).unwrap().no, 0, "it keeps its number");
    }
}
