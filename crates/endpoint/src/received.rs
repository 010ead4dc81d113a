//! Which messages were received: so each is shown once (rule R13). The ids are kept by epoch, in the
//! order in which the epochs began, so that the oldest epoch goes whole: from then on nothing of it
//! is opened, and a frame of it that comes again is none that could be shown again (rule R39).

use std::collections::{BTreeSet, HashMap, HashSet};

use chat_protocol::b64::B64Array;
use chat_protocol::header::MessageHeader;
use chat_protocol::id::{Digest, MessageId};
use chat_protocol::name::{ConversationId, UserName};
use serde::{Deserialize, Serialize};

use crate::limits::{RECEIVED_REMEMBERED_MAX, SILENT_EPOCHS_MAX};
use crate::state::{State, chain_key, next_order, order_key};

/// An epoch in which something was received.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct ReceivedIn {
    e: Digest,
    cid: ConversationId,
}

/// Finds what was received; made anew from the rows.
#[derive(Debug, Default)]
pub(crate) struct ReceivedIndex {
    /// The number of an epoch.
    numbers: HashMap<ReceivedIn, u64>,
    /// In which epochs there is a message with an id.
    ids: BTreeSet<(MessageId, u64)>,
    /// Which message, in which epoch, has a frame with a digest.
    digests: HashMap<Digest, (MessageId, u64)>,
}

/// The key of a received message. The epoch comes first.
fn key(number: u64, id: &MessageId, from: &UserName) -> String {
    format!("{}/{id}/{from}", order_key(number))
}

/// The epoch's number and the message's id in a key.
fn parse(key: &str) -> Option<(MessageId, u64)> {
    let mut parts = key.split('/');
    let number = parts.next()?.parse().ok()?;
    Some((MessageId::parse(parts.next()?).ok()?, number))
}

impl State {
    /// After the rows were loaded.
    pub(crate) fn index_received(&mut self) {
        let epochs = self.received_in.iter();
        let numbers = epochs.filter_map(|(key, of)| Some((of.clone(), key.parse().ok()?)));
        let ids = self.received.iter().filter_map(|(key, _)| parse(key));
        let digests = self.received.iter();
        let digests = digests.filter_map(|(key, digest)| Some((Digest(digest.0), parse(key)?)));
        self.received_index = ReceivedIndex {
            numbers: numbers.collect(),
            ids: ids.collect(),
            digests: digests.collect(),
        };
    }

    /// The row and the id of a sender's message whose frame has this digest, if it was received.
    pub(crate) fn received_frame(
        &self,
        from: &UserName,
        digest: Digest,
    ) -> Option<(String, MessageId)> {
        let (id, number) = self.received_index.digests.get(&digest)?;
        let key = key(*number, id, from);
        let is_it = self.received.get(&key).is_some_and(|received| received.0 == digest.0);
        is_it.then_some((key, *id))
    }

    /// The digest under which a message was received, in whatever epoch.
    pub(crate) fn received(
        &self,
        cid: &ConversationId,
        from: &UserName,
        id: &MessageId,
    ) -> Option<Digest> {
        let mut epochs = self.received_index.ids.range((*id, 0)..=(*id, u64::MAX));
        epochs.find_map(|(_, number)| {
            let of = self.received_in.get(&order_key(*number))?;
            let digest = self.received.get(&key(*number, id, from))?;
            (of.cid == *cid).then_some(Digest(digest.0))
        })
    }

    /// Whether an epoch is too long ago: nothing of it is opened any more.
    pub(crate) fn is_gone(&self, e: &Digest) -> bool {
        self.gone.get(&e.to_string()).is_some()
    }

    /// Remembers that a message was shown; returns whether it had not been.
    pub(crate) fn remember(&mut self, header: &MessageHeader, digest: Digest) -> bool {
        if self.received(&header.cid, &header.from, &header.id).is_some() {
            return false;
        }
        self.put_received(header, digest);
        while self.received.len() > RECEIVED_REMEMBERED_MAX {
            let Some((number, of)) = self.oldest_replaced() else { break };
            self.forget_received(number, &of);
        }
        true
    }

    fn put_received(&mut self, header: &MessageHeader, digest: Digest) {
        let of = ReceivedIn { e: header.e, cid: header.cid.clone() };
        let number = self.received_index.numbers.get(&of).copied().unwrap_or_else(|| {
            let number = next_order(&self.received_in);
            self.received_in.put(&order_key(number), of.clone());
            self.received_index.numbers.insert(of, number);
            number
        });
        self.received.put(&key(number, &header.id, &header.from), B64Array(digest.0));
        self.received_index.ids.insert((header.id, number));
        self.received_index.digests.insert(digest, (header.id, number));
    }

    /// The oldest epoch that is not the current one of its conversation. Those are short: their
    /// senders begin the next one after a thousand messages, or a day.
    fn oldest_replaced(&self) -> Option<(u64, ReceivedIn)> {
        let is_current = |of: &ReceivedIn| {
            let head = self.conversations.get(of.cid.as_str()).and_then(|c| c.head);
            head.is_some_and(|head| head.e == of.e)
        };
        let mut epochs = self.received_in.iter();
        let (key, of) = epochs.find(|(_, of)| !is_current(of))?;
        Some((key.parse().ok()?, of.clone()))
    }

    /// Forgets an epoch of a conversation, and all that was received in it.
    pub(crate) fn forget_epoch(&mut self, e: &Digest, cid: &ConversationId) {
        let of = ReceivedIn { e: *e, cid: cid.clone() };
        // One in which nothing was received has no number; none begins with this one.
        let number = self.received_index.numbers.get(&of).copied().unwrap_or(u64::MAX);
        self.forget_received(number, &of);
    }

    /// Forgets an epoch with all that was received in it.
    fn forget_received(&mut self, number: u64, of: &ReceivedIn) {
        for key in self.received.keys_with(&format!("{}/", order_key(number))) {
            if let Some(digest) = self.received.remove(&key) {
                self.received_index.digests.remove(&Digest(digest.0));
            }
            if let Some(id) = parse(&key) {
                self.received_index.ids.remove(&id);
            }
        }
        self.received_in.remove(&order_key(number));
        self.received_index.numbers.remove(of);
        let e = of.e.to_string();
        if self.epochs.get(&e).is_none_or(|epoch| epoch.cid == of.cid) {
            self.forget_keys(&of.e);
        }
    }

    /// Forgets the keys of an epoch, whose digest stays: nothing of it is opened any more.
    fn forget_keys(&mut self, e: &Digest) {
        if let Some(epoch) = self.epochs.remove(&e.to_string()) {
            for line in 0..epoch.list.lines().len() {
                self.chains.remove(&chain_key(e, line));
            }
        }
        self.gone.put(&e.to_string(), true);
    }

    /// An epoch of this conversation has come: of those that were replaced, and in which this device
    /// has received and said nothing, the oldest go.
    pub(crate) fn forget_silent_epochs(&mut self, cid: &ConversationId) {
        let of_cid = self.epochs.iter().filter(|(_, epoch)| epoch.cid == *cid);
        let placed = of_cid.filter(|(_, epoch)| epoch.position.is_some());
        let mut silent: Vec<_> = placed.map(|(_, epoch)| (epoch.age(), epoch.head.e)).collect();
        if silent.len() <= SILENT_EPOCHS_MAX {
            return;
        }
        let conversation = self.conversations.get(cid.as_str());
        let sending = conversation.and_then(|c| Some(c.sending.as_ref()?.head.e));
        let current = conversation.and_then(|c| Some(c.head?.e));
        let received = self.received_in.iter().map(|(_, of)| of.e);
        let said = self.sent.iter().map(|(_, sent)| sent.e);
        let used: HashSet<Digest> = received.chain(said).chain(sending).chain(current).collect();
        silent.retain(|(_, e)| !used.contains(e));
        silent.sort_unstable();
        let old = silent.len().saturating_sub(SILENT_EPOCHS_MAX);
        for (_, e) in silent.into_iter().take(old) {
            self.forget_keys(&e);
        }
    }
}

#[cfg(test)]
mod tests {
    use chat_protocol::header::Recipient;
    use chat_protocol::hub::EpochHead;
    use chat_protocol::id::KeyId;
    use chat_protocol::tag::Tag;

    use super::*;
    use crate::state::Conversation;

    fn header(epoch: u8, number: u32) -> MessageHeader {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        MessageHeader {
            v: 1,
            t: Tag::Text,
            stage: None,
            cid: ConversationId::parse("room:lobby").unwrap(),
            from: UserName::new("alice").unwrap(),
            sk: KeyId([1; 16]),
            to: Recipient::Everyone,
            id: MessageId(id),
            e: Digest([epoch; 32]),
            n: number,
            p: Digest::ZERO,
            ts: 0,
            nbf: None,
            exp: None,
            rb: None,
            tk: None,
        }
    }

    fn is_known(state: &State, header: &MessageHeader) -> bool {
        state.received(&header.cid, &header.from, &header.id).is_some()
    }

    /// Goal: thousands of ids push nothing out of an epoch that is still opened. (The build before
    /// forgot the 16,384 smallest ids, whatever their epoch: a frame of theirs was shown again.)
    /// Method: the current epoch is the oldest one; others fill the memory; all is loaded anew.
    #[test]
    fn the_oldest_epoch_that_was_replaced_goes_whole() {
        let me = UserName::new("bob").unwrap();
        let mut state = State::load(&Vec::new(), &me).unwrap();
        let current = EpochHead { g: 0, e: Digest([1; 32]) };
        let make = || Conversation { head: Some(current), ..Conversation::default() };
        state.conversations.entry("room:lobby", make);
        let max = u32::try_from(RECEIVED_REMEMBERED_MAX).unwrap();
        assert!(state.remember(&header(1, 0), Digest([7; 32])));
        assert!(!state.remember(&header(1, 0), Digest([7; 32])), "once");
        for number in 1..max {
            assert!(state.remember(&header(2 + u8::from(number > max / 2), number), Digest::ZERO));
        }
        let mut changes = Vec::new();
        state.flush().into_iter().for_each(|change| changes.push(change));
        let rows = changes.into_iter().filter_map(|change| Some((change.key, change.value?)));
        let mut state = State::load(&rows.collect(), &me).unwrap();
        assert!(is_known(&state, &header(2, 1)) && !state.is_gone(&Digest([2; 32])));

        assert!(state.remember(&header(4, max), Digest::ZERO));
        assert!(state.is_gone(&Digest([2; 32])), "nothing of it is opened any more");
        assert!(!is_known(&state, &header(2, 1)) && !is_known(&state, &header(2, max / 2)));
        assert!(is_known(&state, &header(1, 0)) && is_known(&state, &header(3, max - 1)));
        assert!(state.received.len() <= RECEIVED_REMEMBERED_MAX / 2 + 2);
    }
}
