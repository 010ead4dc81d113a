//! The epochs that are held, what was received in them, and where each conversation stands.
//!
//! What was received is known by its id, so that each message is shown once (rule R13). The ids are kept by epoch, in
//! the order in which the epochs began, so that the oldest epoch goes whole: from then on nothing of it is opened, and a
//! frame of it that comes again is none that could be shown again (rule R39).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chat_protocol::b64::{B64Array, B64Vec};
use chat_protocol::content::{LastMessage, LineSet};
use chat_protocol::epoch::ChainKeys;
use chat_protocol::header::{KeyHeader, MessageHeader};
use chat_protocol::hub::EpochHead;
use chat_protocol::id::{Digest, KeyId, MessageId};
use chat_protocol::members::{MemberList, Place};
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::ratchet::Chain;
use serde::{Deserialize, Serialize};

use super::making::Making;
use crate::limits::{RECEIVED_REMEMBERED_MAX, SILENT_EPOCHS_MAX};
use crate::outgoing::Sealed;
use crate::position::Horizon;
use crate::table::{Kind, Table};
use crate::table::{next_order, order_key};

/// A message key chain of one sender in one epoch, as this device receives it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Receiving {
    pub(crate) chain: Chain,
    /// Digest of the last frame received, and its counter.
    pub(crate) last: Option<(u32, Digest)>,
}

/// An epoch this device holds chains of.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Epoch {
    pub(crate) cid: ConversationId,
    pub(crate) head: EpochHead,
    /// The epoch before it, by its maker's word.
    pub(crate) pe: Digest,
    /// The membership that its list was made from.
    pub(crate) place: Place,
    /// Where the hub has put it; nothing while it has not answered.
    pub(crate) position: Option<u64>,
    /// How often the hub had gone back when it did: positions compare with those of the same time.
    pub(crate) era: u64,
    /// How often it had when it last showed that it has this one.
    #[serde(default)]
    pub(crate) stood: u64,
    members: String,
    /// Members whom its maker leaves out, and says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) left_out: Vec<UserName>,
    #[serde(skip)]
    pub(crate) list: MemberList,
    /// Its people but this user, shared by everything that was sent in it.
    #[serde(skip)]
    pub(crate) others: Arc<[UserName]>,
    /// When this device first saw it, Unix time in milliseconds.
    pub(crate) seen_ms: u64,
}

impl Epoch {
    pub(crate) fn new(
        header: &KeyHeader,
        head: EpochHead,
        list: MemberList,
        me: &UserName,
        seen_ms: u64,
    ) -> Self {
        let members = String::from_utf8_lossy(list.as_bytes()).into_owned();
        let others = others(&list, me);
        let place = Place { mg: header.mg, pm: header.pm };
        let (cid, pe, left_out) = (header.cid.clone(), header.pe, header.wo.clone());
        Self {
            cid,
            head,
            pe,
            place,
            position: None,
            era: 0,
            stood: 0,
            members,
            left_out,
            list,
            others,
            seen_ms,
        }
    }

    /// By this epochs are older and newer. Positions alone do not tell: a hub that went back gives lower
    /// ones again.
    pub(crate) fn age(&self) -> (u64, Option<u64>) {
        (self.seen_ms, self.position)
    }
}

/// The people of a list but one.
fn others(list: &MemberList, me: &UserName) -> Arc<[UserName]> {
    let mut names: Vec<UserName> = list.lines().iter().map(|line| line.name.clone()).collect();
    names.dedup();
    names.retain(|name| name != me);
    names.into()
}

/// Sending in one epoch.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sending {
    pub(crate) head: EpochHead,
    pub(crate) chain: Chain,
    /// Digest of the last frame sealed here.
    pub(crate) p: Digest,
    /// Burnt counters the others were not told of yet.
    pub(crate) void: Vec<(u32, Digest)>,
    /// The hub accepts nothing more in this epoch.
    pub(crate) closed: bool,
}

/// One conversation, as a sender sees it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Conversation {
    /// The newest epoch known.
    pub(crate) head: Option<EpochHead>,
    pub(crate) sending: Option<Sending>,
    /// How often the hub had gone back when it last showed that it has the end of the chain that is held here.
    #[serde(default)]
    pub(crate) chain_stood: u64,
    /// The last message the hub has kept, and its digest.
    pub(crate) last: Option<(LastMessage, Digest)>,
}

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

/// All epochs.
#[derive(Debug, Default)]
pub(crate) struct Epochs {
    /// By digest of the KEY header.
    all: Table<Epoch, Digest>,
    /// First chain keys and running chains, by epoch and line.
    chains: Table<Receiving>,
    /// Epochs of ours that the hub has not answered yet, by `eid`.
    making: Table<Making, MessageId>,
    conversations: Table<Conversation, ConversationId>,
    /// Digests of received messages by number of the epoch, id and sender; the epochs by number; and the epochs that are
    /// too long ago.
    received: Table<B64Array<32>>,
    received_in: Table<ReceivedIn>,
    gone: Table<bool, Digest>,
    /// Made of the rows.
    index: ReceivedIndex,
}

impl Epochs {
    pub(crate) fn rows(&mut self) -> [Kind<'_>; 7] {
        [
            ("epoch", &mut self.all),
            ("chain", &mut self.chains),
            ("making", &mut self.making),
            ("conversation", &mut self.conversations),
            ("received", &mut self.received),
            ("received-in", &mut self.received_in),
            ("gone", &mut self.gone),
        ]
    }

    pub(crate) fn get(&self, e: &Digest) -> Option<&Epoch> {
        self.all.get(e)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Epoch> {
        self.all.iter().map(|(_, epoch)| epoch)
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Keeps an epoch and its chains.
    pub(super) fn install(
        &mut self,
        (now_ms, me): (u64, &UserName),
        header: &KeyHeader,
        head: EpochHead,
        list: MemberList,
        chains: &ChainKeys,
    ) {
        for (line, ck) in chains.iter().enumerate() {
            let receiving = Receiving { chain: Chain::new(ck), last: None };
            self.chains.put(&chain_key(&head.e, line), receiving);
        }
        self.all.put(&head.e, Epoch::new(header, head, list, me, now_ms));
    }

    /// Forgets an epoch of ours that lost the race. One that another process of the home knows to be kept stays.
    pub(super) fn forget(&mut self, e: &Digest) {
        if self.get(e).is_none_or(|epoch| epoch.position.is_none()) {
            self.remove(e);
        }
    }

    fn remove(&mut self, e: &Digest) {
        if let Some(epoch) = self.all.remove(e) {
            for line in 0..epoch.list.lines().len() {
                self.chains.remove(&chain_key(e, line));
            }
        }
    }

    /// The hub has put an epoch at a position of its log, in this era. The place that it was made from.
    pub(super) fn place(&mut self, e: &Digest, position: u64, era: u64) -> Option<Place> {
        let epoch = self.all.get_mut(e)?;
        (epoch.position, epoch.era, epoch.stood) = (Some(position), era, era);
        Some(epoch.place)
    }

    /// The hub has a key: so it stands where it stood before the hub went back, and no later than the newest position
    /// that the hub has named. That position, if this is news, with the place that the epoch was made from.
    pub(crate) fn stands(
        &mut self,
        e: &Digest,
        Horizon { newest, era }: Horizon,
    ) -> Option<(ConversationId, Place, u64)> {
        self.get(e).filter(|epoch| epoch.stood < era)?;
        let epoch = self.all.get_mut(e)?;
        epoch.stood = era;
        let position = epoch.position?.min(newest);
        (epoch.position, epoch.era) = (Some(position), era);
        Some((epoch.cid.clone(), epoch.place, position))
    }

    /// The chain of a line.
    pub(crate) fn chain(&self, e: &Digest, line: usize) -> Option<&Receiving> {
        self.chains.get(&chain_key(e, line))
    }

    pub(crate) fn chain_mut(&mut self, e: &Digest, line: usize) -> Option<&mut Receiving> {
        self.chains.get_mut(&chain_key(e, line))
    }

    /// The chain of a sender in an epoch of a conversation.
    pub(crate) fn chain_of(
        &self,
        (cid, e): (&ConversationId, &Digest),
        (from, sk): (&UserName, &KeyId),
    ) -> Option<&Receiving> {
        let epoch = self.get(e).filter(|epoch| epoch.cid == *cid)?;
        self.chain(e, epoch.list.position(from, sk)?)
    }

    /// Where a conversation stands.
    pub(crate) fn conversation(&self, cid: &ConversationId) -> Option<&Conversation> {
        self.conversations.get(cid)
    }

    fn conversation_mut(&mut self, cid: &ConversationId) -> &mut Conversation {
        self.conversations.entry(cid, Conversation::default)
    }

    /// Sending in a conversation.
    pub(crate) fn sending(&self, cid: &ConversationId) -> Option<&Sending> {
        self.conversation(cid)?.sending.as_ref()
    }

    /// The same for change: the next message is sealed.
    pub(crate) fn sending_mut(&mut self, cid: &ConversationId) -> Option<&mut Sending> {
        self.conversations.get_mut(cid)?.sending.as_mut()
    }

    /// Starts to send in an epoch with the chain of this line; `false` if that was used.
    pub(super) fn enter(&mut self, cid: &ConversationId, head: EpochHead, line: usize) -> bool {
        // The own chain is taken out of the received ones: it exists once.
        let Some(own) = self.chains.remove(&chain_key(&head.e, line)) else { return false };
        let (chain, p, void) = (own.chain, Digest::ZERO, Vec::new());
        let conversation = self.conversation_mut(cid);
        conversation.head = Some(head);
        conversation.sending = Some(Sending { head, chain, p, void, closed: false });
        true
    }

    /// Notes the newest epoch of a conversation; says whether it is news.
    pub(crate) fn note_newest(&mut self, cid: &ConversationId, head: EpochHead) -> bool {
        self.conversation_mut(cid).head.replace(head) != Some(head)
    }

    /// The hub has, in this era, the end of the chain of links that is held of a room.
    pub(crate) fn links_stand(&mut self, cid: &ConversationId, era: u64) {
        if self.conversation(cid).map_or(0, |c| c.chain_stood) < era {
            self.conversation_mut(cid).chain_stood = era;
        }
    }

    /// The hub has kept a message.
    pub(crate) fn kept(&mut self, cid: &ConversationId, sealed: &Sealed) {
        let conversation = self.conversation_mut(cid);
        // The order of the answers is the hub's word: an earlier frame is not the last one.
        let last = conversation.last.as_ref();
        if !last.is_some_and(|(at, _)| at.e == sealed.e && at.n > sealed.n) {
            let last = LastMessage { e: sealed.e, n: sealed.n, new: LineSet::default() };
            conversation.last = Some((last, sealed.digest));
        }
    }

    /// A message was refused: what it was to tell of burnt counters, nobody has heard.
    pub(crate) fn burnt(&mut self, cid: &ConversationId, sealed: Sealed) {
        if let Some(sending) = self.sending_mut(cid).filter(|sending| sending.head.e == sealed.e) {
            sending.void.extend(sealed.void);
            sending.void.push((sealed.n, sealed.digest));
        }
    }

    /// The hub accepts nothing more in an epoch.
    pub(crate) fn close(&mut self, cid: &ConversationId, e: &Digest) {
        if let Some(sending) = self.sending_mut(cid).filter(|sending| sending.head.e == *e) {
            sending.closed = true;
        }
    }

    /// Epochs of ours without an answer.
    pub(super) fn making(&mut self) -> &mut Table<Making, MessageId> {
        &mut self.making
    }

    /// Whether an epoch of ours for this conversation has no answer yet.
    pub(crate) fn is_making(&self, cid: &ConversationId) -> bool {
        self.making.iter().any(|(_, making)| making.cid == *cid)
    }

    /// Takes out the epochs of ours without an answer whose lists are not like this.
    pub(super) fn take_making_unless(
        &mut self,
        is_it: impl Fn(&MemberList) -> bool,
    ) -> Vec<Making> {
        let all = &self.all;
        let stays =
            |making: &Making| all.get(&making.head.e).is_some_and(|epoch| is_it(&epoch.list));
        self.making.extract(|_, making| !stays(making))
    }

    /// The KEY of an epoch of ours was signed: it goes before its parts.
    pub(crate) fn signed(&mut self, id: &MessageId, frame: &[u8]) {
        if let Some(making) = self.making.get_mut(id) {
            making.messages.insert(0, B64Vec(frame.to_vec()));
        }
    }

    /// Makes what follows from the rows, after they were loaded.
    pub(crate) fn loaded(&mut self, me: &UserName) {
        self.all.change(
            |_| true,
            |epoch| {
                epoch.list = MemberList::parse(epoch.members.as_bytes()).unwrap_or_default();
                epoch.others = others(&epoch.list, me);
            },
        );
        let epochs = self.received_in.iter();
        let numbers = epochs.filter_map(|(key, of)| Some((of.clone(), key.parse().ok()?)));
        let ids = self.received.iter().filter_map(|(key, _)| parse(key));
        let digests = self.received.iter();
        let digests = digests.filter_map(|(key, digest)| Some((Digest(digest.0), parse(key)?)));
        self.index = ReceivedIndex {
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
        let (id, number) = self.index.digests.get(&digest)?;
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
        let mut epochs = self.index.ids.range((*id, 0)..=(*id, u64::MAX));
        epochs.find_map(|(_, number)| {
            let of = self.received_in.get(&order_key(*number))?;
            let digest = self.received.get(&key(*number, id, from))?;
            (of.cid == *cid).then_some(Digest(digest.0))
        })
    }

    /// Whether an epoch is too long ago: nothing of it is opened any more.
    pub(crate) fn is_gone(&self, e: &Digest) -> bool {
        self.gone.get(e).is_some()
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
        let number = self.index.numbers.get(&of).copied().unwrap_or_else(|| {
            let number = next_order(&self.received_in);
            self.received_in.put(&order_key(number), of.clone());
            self.index.numbers.insert(of, number);
            number
        });
        self.received.put(&key(number, &header.id, &header.from), B64Array(digest.0));
        self.index.ids.insert((header.id, number));
        self.index.digests.insert(digest, (header.id, number));
    }

    /// The oldest epoch that is not the current one of its conversation. Those are short: their
    /// senders begin the next one after a thousand messages, or a day.
    fn oldest_replaced(&self) -> Option<(u64, ReceivedIn)> {
        let is_current = |of: &ReceivedIn| {
            let head = self.conversations.get(&of.cid).and_then(|c| c.head);
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
        let number = self.index.numbers.get(&of).copied().unwrap_or(u64::MAX);
        self.forget_received(number, &of);
    }

    /// Forgets an epoch with all that was received in it.
    fn forget_received(&mut self, number: u64, of: &ReceivedIn) {
        for key in self.received.keys_with(&format!("{}/", order_key(number))) {
            if let Some(digest) = self.received.remove(&key) {
                self.index.digests.remove(&Digest(digest.0));
            }
            if let Some(id) = parse(&key) {
                self.index.ids.remove(&id);
            }
        }
        self.received_in.remove(&order_key(number));
        self.index.numbers.remove(of);
        if self.all.get(&of.e).is_none_or(|epoch| epoch.cid == of.cid) {
            self.forget_keys(&of.e);
        }
    }

    /// Forgets the keys of an epoch, whose digest stays: nothing of it is opened any more.
    fn forget_keys(&mut self, e: &Digest) {
        self.remove(e);
        self.gone.put(e, true);
    }

    /// An epoch of this conversation has come: of those that were replaced, and in which this device
    /// has received and said nothing, the oldest go.
    pub(crate) fn forget_silent(
        &mut self,
        cid: &ConversationId,
        said: impl Iterator<Item = Digest>,
    ) {
        let mut silent = self.by_age(cid);
        if silent.len() <= SILENT_EPOCHS_MAX {
            return;
        }
        let received = self.received_in.iter().map(|(_, of)| of.e);
        let used: HashSet<Digest> = received.chain(said).chain(self.in_use(cid)).collect();
        silent.retain(|e| !used.contains(e));
        let old = silent.len().saturating_sub(SILENT_EPOCHS_MAX);
        for e in silent.into_iter().take(old) {
            self.forget_keys(&e);
        }
    }

    /// Keeps the newest epochs of a conversation, so many, and those in use. The digests of the others stay, so that
    /// nothing of them is opened again.
    pub(super) fn keep_newest(&mut self, cid: &ConversationId, count: usize) {
        let (epochs, used) = (self.by_age(cid), self.in_use(cid));
        let old = epochs.len().saturating_sub(count);
        for e in epochs.into_iter().take(old).filter(|e| !used.contains(e)) {
            self.forget_epoch(&e, cid);
        }
    }

    /// The epochs of a conversation, the oldest first. One without a position is on its way to the hub.
    fn by_age(&self, cid: &ConversationId) -> Vec<Digest> {
        let placed = self.iter().filter(|epoch| epoch.cid == *cid && epoch.position.is_some());
        let mut placed: Vec<_> = placed.map(|epoch| (epoch.age(), epoch.head.e)).collect();
        placed.sort_unstable();
        placed.into_iter().map(|(_, e)| e).collect()
    }

    /// The newest epoch of a conversation, and the one that is sealed in.
    fn in_use(&self, cid: &ConversationId) -> Vec<Digest> {
        let current = self.conversation(cid).and_then(|conversation| conversation.head);
        let sending = self.sending(cid).map(|sending| sending.head);
        current.into_iter().chain(sending).map(|head| head.e).collect()
    }
}

/// The key of a chain.
fn chain_key(e: &Digest, line: usize) -> String {
    format!("{e}/{line}")
}

#[cfg(test)]
mod tests {
    use chat_protocol::header::Recipient;
    use chat_protocol::id::Nonce16;
    use chat_protocol::tag::Tag;

    use super::*;
    use crate::store::Change;

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

    fn is_known(state: &Epochs, header: &MessageHeader) -> bool {
        state.received(&header.cid, &header.from, &header.id).is_some()
    }

    /// Goal: thousands of ids push nothing out of an epoch that is still opened. (The build before
    /// forgot the 16,384 smallest ids, whatever their epoch: a frame of theirs was shown again.)
    /// Method: the current epoch is the oldest one; others fill the memory; all is loaded anew.
    #[test]
    fn the_oldest_epoch_that_was_replaced_goes_whole() {
        let me = UserName::new("bob").unwrap();
        let mut state = Epochs::default();
        let current = EpochHead { g: 0, e: Digest([1; 32]) };
        let make = || Conversation { head: Some(current), ..Conversation::default() };
        state.conversations.entry(&header(1, 0).cid, make);
        let max = u32::try_from(RECEIVED_REMEMBERED_MAX).unwrap();
        assert!(state.remember(&header(1, 0), Digest([7; 32])));
        assert!(!state.remember(&header(1, 0), Digest([7; 32])), "once");
        for number in 1..max {
            assert!(state.remember(&header(2 + u8::from(number > max / 2), number), Digest::ZERO));
        }
        let mut changes = Vec::new();
        state.rows().into_iter().for_each(|(kind, rows)| rows.flush(kind, &mut changes));
        let mut state = Epochs::default();
        for Change { key, value } in changes {
            state
                .rows()
                .into_iter()
                .for_each(|(kind, rows)| rows.load(kind, &key, value.as_ref().unwrap()).unwrap());
        }
        state.loaded(&me);
        assert!(is_known(&state, &header(2, 1)) && !state.is_gone(&Digest([2; 32])));

        assert!(state.remember(&header(4, max), Digest::ZERO));
        assert!(state.is_gone(&Digest([2; 32])), "nothing of it is opened any more");
        assert!(!is_known(&state, &header(2, 1)) && !is_known(&state, &header(2, max / 2)));
        assert!(is_known(&state, &header(1, 0)) && is_known(&state, &header(3, max - 1)));
        assert!(state.received.len() <= RECEIVED_REMEMBERED_MAX / 2 + 2);
    }

    fn cid() -> ConversationId {
        ConversationId::parse("room:lobby").unwrap()
    }

    fn head(g: u8) -> EpochHead {
        EpochHead { g: g.into(), e: Digest([g; 32]) }
    }

    /// An epoch that came at this time, and stands at this position if it has one.
    fn epoch(g: u8, position: Option<u64>) -> Epoch {
        let header = KeyHeader {
            v: 1,
            t: Tag::Key,
            cid: cid(),
            from: UserName::new("alice").unwrap(),
            sk: KeyId([1; 16]),
            eid: Nonce16([g; 16]),
            g: g.into(),
            pe: Digest::ZERO,
            mg: 0,
            pm: Digest::ZERO,
            kc: Digest::ZERO,
            mh: Digest::ZERO,
            ts: 0,
            wo: Vec::new(),
        };
        let me = UserName::new("bob").unwrap();
        Epoch { position, ..Epoch::new(&header, head(g), MemberList::default(), &me, g.into()) }
    }

    /// Goal: the newest epochs are kept, those in use, and those that the hub has not placed; nothing of the others is
    /// opened again.
    #[test]
    fn the_newest_epochs_and_those_in_use_are_kept() {
        let mut epochs = Epochs::default();
        for g in 1..=6 {
            epochs.all.put(&head(g).e, epoch(g, Some(g.into())));
        }
        epochs.all.put(&head(7).e, epoch(7, None));
        epochs.note_newest(&cid(), head(2));
        epochs.keep_newest(&cid(), 2);
        let kept: Vec<u32> = epochs.iter().map(|epoch| epoch.head.g).collect();
        assert_eq!(kept, [2, 5, 6, 7]);
        assert!([1, 3, 4].into_iter().all(|g| epochs.is_gone(&head(g).e)));
    }

    /// Goal: of replaced epochs in which nothing was said so many are kept, and all in which something was.
    #[test]
    fn silent_epochs_are_forgotten() {
        let mut epochs = Epochs::default();
        let count = u8::try_from(SILENT_EPOCHS_MAX).unwrap() + 3;
        for g in 1..=count {
            epochs.all.put(&head(g).e, epoch(g, Some(g.into())));
        }
        epochs.forget_silent(&cid(), [head(1).e].into_iter());
        assert!(!epochs.is_gone(&head(1).e) && epochs.is_gone(&head(2).e));
        assert_eq!(epochs.len(), SILENT_EPOCHS_MAX + 1);
    }

    /// Goal: a chain is used once, an answer to an earlier message is not the last one, and what is burnt is told with
    /// the next message of the same epoch.
    #[test]
    fn sending_goes_on_behind_what_was_kept_and_burnt() {
        let mut epochs = Epochs::default();
        let sealed = |n: u32| Sealed {
            e: head(1).e,
            n,
            digest: Digest([9; 32]),
            void: vec![(7, Digest::ZERO)],
            key: Chain::new(&[7; 32]).advance().1,
            frame: B64Vec(Vec::new()),
        };
        let own = Receiving { chain: Chain::new(&[7; 32]), last: None };
        epochs.chains.put(&chain_key(&head(1).e, 0), own);
        assert!(epochs.enter(&cid(), head(1), 0) && !epochs.enter(&cid(), head(1), 0));
        epochs.kept(&cid(), &sealed(5));
        epochs.kept(&cid(), &sealed(4));
        let last = epochs.conversation(&cid()).unwrap().last.as_ref();
        assert_eq!(last.map(|(at, _)| at.n), Some(5));
        epochs.burnt(&cid(), sealed(6));
        epochs.burnt(&cid(), Sealed { e: head(2).e, ..sealed(8) });
        let burnt = epochs.sending(&cid()).unwrap().void.iter().map(|(n, _)| *n);
        assert_eq!(burnt.collect::<Vec<_>>(), [7, 6]);
        epochs.close(&cid(), &head(2).e);
        assert!(!epochs.sending(&cid()).unwrap().closed);
        epochs.close(&cid(), &head(1).e);
        assert!(epochs.sending(&cid()).unwrap().closed);
    }
}
