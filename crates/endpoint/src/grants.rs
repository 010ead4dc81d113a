//! Messages that come by another way than the hub's log: what a sender sends again, and history
//! that a member grants to a newcomer (A11, rule R19).
//!
//! A granted frame is checked as a delivery is: its sender's signature by the sender's own pinned
//! key, its conversation, its place in the tag table. Where this device has the chain of its sender
//! it opens the frame with its own key and not with the granted one, so that a grant can show
//! nothing that the log could not have shown.

use std::collections::BTreeMap;

use bytes::Bytes;
use chat_protocol::content::healing::{Counters, Grant, GrantEntry};
use chat_protocol::content::{self, Content};
use chat_protocol::envelope;
use chat_protocol::frame::{Delivery, RawFrame};
use chat_protocol::header::{Header, MessageHeader};
use chat_protocol::id::{Digest, KeyId, MessageId};
use chat_protocol::limits::GRANT_ENTRIES_MAX;
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::{Tag, label};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::endpoint::Endpoint;
use crate::event::{Alarm, KeptFrame};
use crate::gaps::ChainName;
use crate::limits::GRANTS_PARKED_MAX;
use crate::people::Signer;
use crate::receive::{Hand, Opened};
use crate::resend::pieces;
use crate::table::{next_order, order_key};

/// A message of the host's history, to be granted to somebody.
#[derive(Debug, Clone)]
pub struct HistoryEntry {
    /// Where it was said.
    pub cid: ConversationId,
    /// Its id.
    pub id: MessageId,
    /// Who said it.
    pub from: UserName,
    /// Its frame and key.
    pub kept: KeptFrame,
}

/// Why history cannot be granted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GrantError {
    /// No message was named.
    #[error("there is no message to grant")]
    Empty,
    /// To oneself.
    #[error("you have these messages yourself; name somebody else")]
    ToOneself,
    /// A conversation of two has no newcomers.
    #[error("{} is not in a room; only what was said in a room can be granted", .0.spoken())]
    NotARoom(ConversationId),
    /// One of the two is not in the room.
    #[error("{user} is not in {}; only members grant, and only to members", .cid.spoken())]
    NotAMember {
        /// Who is not.
        user: UserName,
        /// The room.
        cid: ConversationId,
    },
    /// What is kept is not the frame that it should be.
    #[error("the kept frame of message {0} is damaged; grant without it")]
    Damaged(MessageId),
}

/// A granted message that waits for its sender's bundle or for the view of its room.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Parked {
    by: UserName,
    hub_ms: u64,
    entry: GrantEntry,
}

/// What grants ask of the hub on one connection.
#[derive(Debug, Default)]
pub(crate) struct GrantQuestions {
    /// Requests for senders' bundles; `None` once they are answered.
    senders: BTreeMap<(UserName, KeyId), Option<MessageId>>,
}

/// A granted frame whose signature was verified.
struct Verified {
    frame: RawFrame,
    header: MessageHeader,
    digest: Digest,
    signer: Signer,
    /// One that this device was to get from the log: it fills a gap.
    linked: bool,
}

/// How far a granted message got.
enum Verdict {
    /// It is to be read.
    Read(Box<Verified>),
    /// The hub has been asked for something.
    Wait,
    /// It is known already.
    Known,
    /// It is not shown.
    Refuse(&'static str),
}

impl Endpoint {
    /// Grants messages of rooms to a member, by a person's decision; returns the ids of the
    /// messages that carry them. Both must be members by this device's view: bring it up to date
    /// with [`Endpoint::refresh`] first.
    pub fn grant(
        &mut self,
        now_ms: u64,
        to: &UserName,
        entries: &[HistoryEntry],
    ) -> Result<Vec<MessageId>, GrantError> {
        if entries.is_empty() {
            return Err(GrantError::Empty);
        }
        if *to == self.device.user {
            return Err(GrantError::ToOneself);
        }
        let mut granted = Vec::with_capacity(entries.len());
        for HistoryEntry { cid, id, from, kept } in entries {
            if cid.is_direct() {
                return Err(GrantError::NotARoom(cid.clone()));
            }
            for user in [to, &self.device.user] {
                if !self.reaches(cid, user) {
                    let (user, cid) = (user.clone(), cid.clone());
                    return Err(GrantError::NotAMember { user, cid });
                }
            }
            let frame = RawFrame::decode(Bytes::from(kept.frame.0.clone()));
            let frame = frame.map_err(|_| GrantError::Damaged(*id))?;
            let whole = matches!(Header::parse(frame.header()), Ok(Header::Message(h))
                if h.from == *from && h.id == *id && h.cid == *cid);
            if !whole || frame.digest(label::MSG) != kept.digest {
                return Err(GrantError::Damaged(*id));
            }
            let KeptFrame { e, sk, n, digest, key, frame } = kept.clone();
            let (cid, id, frame) = (cid.clone(), *id, Some(frame));
            granted.push(GrantEntry { cid, e, sk, n, id, tbs: digest, mk: key, frame });
        }
        let pieces = pieces(Grant { entries: granted, ..Grant::default() });
        let ids = pieces.into_iter().filter_map(|piece| {
            self.draft_direct(now_ms, to, Tag::Grant, &Content::Grant(piece), false)
        });
        Ok(ids.collect())
    }

    /// A GRANT was opened.
    pub(crate) fn on_grant(&mut self, now_ms: u64, by: &UserName, hub_ms: u64, grant: Grant) {
        let Grant { entries, burnt, none, links, bundles } = grant;
        self.gaps.has_answered(by);
        self.on_links(now_ms, by, &links, &bundles);
        for entry in entries {
            self.take_granted(now_ms, Parked { by: by.clone(), hub_ms, entry }, None);
        }
        for counters in &burnt {
            self.gaps.on_nothing(now_ms, &mut self.out, by, counters, true);
        }
        for counters in &none {
            self.gaps.on_nothing(now_ms, &mut self.out, by, counters, false);
        }
    }

    /// Takes one granted message, which may have waited at this place.
    fn take_granted(&mut self, now_ms: u64, parked: Parked, place: Option<String>) {
        let Parked { by, entry, .. } = &parked;
        if self.is_key_alone(by, entry) {
            let GrantEntry { cid, e, sk, n, .. } = entry.clone();
            // Only the sender leaves a frame out, because it is too long to be sent again.
            let nothing = Counters { cid, e, sk, n: vec![n] };
            return self.gaps.on_nothing(now_ms, &mut self.out, by, &nothing, false);
        }
        let place = place.unwrap_or_else(|| order_key(next_order(&self.state.parked)));
        let has_room = self.state.parked.len() < GRANTS_PARKED_MAX;
        match self.judge(by, entry) {
            Verdict::Read(verified) if verified.linked => {
                self.read_linked(now_ms, &parked, *verified);
            }
            Verdict::Read(_) if has_room && self.is_behind(&parked, &place) => {
                self.state.parked.put(&place, parked);
            }
            Verdict::Read(verified) => {
                self.read_history(now_ms, &parked, *verified);
            }
            Verdict::Wait if has_room => self.state.parked.put(&place, parked),
            Verdict::Wait => {
                let by = by.clone();
                let detail = "more was granted than can be checked at a time";
                self.out.alarm(Alarm::BadGrant, &by, detail);
            }
            Verdict::Known => {}
            Verdict::Refuse(why) => {
                let place = entry.cid.spoken();
                let detail = format!("a message of {place} was granted that is not shown: {why}");
                let by = by.clone();
                self.out.alarm_in(&entry.cid, (Alarm::BadGrant, &by), &detail);
            }
        }
    }

    /// Whether an earlier message of this granter in this conversation still waits: history is
    /// shown in the order in which it was granted.
    fn is_behind(&self, parked: &Parked, place: &str) -> bool {
        let mut earlier = self.state.parked.iter().take_while(|(key, _)| key.as_str() < place);
        earlier.any(|(_, other)| other.by == parked.by && other.entry.cid == parked.entry.cid)
    }

    /// Whether all messages of one more GRANT may wait.
    pub(crate) fn has_room_for_grant(&self) -> bool {
        self.state.parked.len() + GRANT_ENTRIES_MAX <= GRANTS_PARKED_MAX
    }

    /// Judges again what waited, in its order, and takes the grants for which there was no room.
    pub(crate) fn judge_parked(&mut self, now_ms: u64) {
        let keys: Vec<String> = self.state.parked.iter().map(|(key, _)| key.clone()).collect();
        for key in keys {
            if let Some(parked) = self.state.parked.remove(&key) {
                self.take_granted(now_ms, parked, Some(key));
            }
        }
        if self.has_room_for_grant() {
            self.receive_grants(now_ms);
        }
    }

    /// Bundles were answered that grants may have waited for.
    pub(crate) fn grants_answered(&mut self, now_ms: u64, request: &MessageId) {
        let senders = self.link.grants.senders.values_mut();
        let mut asked = senders.filter(|asked| **asked == Some(*request));
        if let Some(asked) = asked.next() {
            *asked = None;
            self.judge_parked(now_ms);
        }
    }

    /// Everything that can be said of a granted message before it is opened.
    fn judge(&mut self, by: &UserName, entry: &GrantEntry) -> Verdict {
        let (header, frame) = match self.granted_frame(by, entry) {
            Ok(found) => found,
            Err(why) => return Verdict::Refuse(why),
        };
        if let Some(reason) = self.is_misplaced(&header) {
            return Verdict::Refuse(reason);
        }
        if self.epochs.received(&header.cid, &header.from, &header.id).is_some() {
            self.gaps.filled(&ChainName::of(&header), header.n);
            return Verdict::Known;
        }
        if self.epochs.is_gone(&header.e) {
            return Verdict::Known;
        }
        let healing = header.from == *by && self.is_wanted_or_awaited(&header);
        if !healing && let Some(verdict) = self.judge_history(by, &header) {
            return verdict;
        }
        let Some(signer) = self.people.signer(&header.from, &header.sk).cloned() else {
            return self.ask_for_sender(&header.from, header.sk);
        };
        if !signer.has_signed(&frame, label::MSG, &mut self.verified) {
            return Verdict::Refuse("it was not signed by its sender");
        }
        let digest = entry.tbs;
        let linked = healing || self.receiving(&header) == Some(true);
        Verdict::Read(Box::new(Verified { frame, header, digest, signer, linked }))
    }

    /// Whether this is a key without a frame that it could open.
    fn is_key_alone(&self, by: &UserName, entry: &GrantEntry) -> bool {
        let GrantEntry { cid, e, sk, n, .. } = entry;
        let chain = ChainName { cid: cid.clone(), e: *e, from: by.clone(), sk: *sk };
        entry.frame.is_none() && self.gaps.held(&chain, *n).is_none()
    }

    /// The frame of a grant: it is what the grant says it is, or nothing.
    fn granted_frame(
        &self,
        by: &UserName,
        entry: &GrantEntry,
    ) -> Result<(MessageHeader, RawFrame), &'static str> {
        let GrantEntry { cid, e, sk, n, id, tbs, .. } = entry;
        // Only the sender's own grants come without a frame: to who has it and cannot open it.
        let chain = ChainName { cid: cid.clone(), e: *e, from: by.clone(), sk: *sk };
        let bytes = entry.frame.clone().or_else(|| self.gaps.held(&chain, *n));
        let bytes = bytes.ok_or("its frame is missing")?;
        let frame = RawFrame::decode(bytes.0.into()).map_err(|_| "its frame is none")?;
        let Ok(Header::Message(header)) = Header::parse(frame.header()) else {
            return Err("its frame is no message");
        };
        let same = (&header.cid, &header.e, &header.sk, &header.n, &header.id);
        if same != (cid, e, sk, n, id) || frame.digest(label::MSG) != *tbs {
            return Err("its frame is another one than the grant says");
        }
        Ok((header, frame))
    }

    fn is_wanted_or_awaited(&self, header: &MessageHeader) -> bool {
        if !self.reaches(&header.cid, &self.device.user) {
            return false;
        }
        match self.receiving(header) {
            Some(awaits) => awaits,
            None => self.gaps.is_wanted(header),
        }
    }

    /// Whether the chain of this frame's sender still has the frame's key; nothing where this
    /// device has no such chain.
    pub(crate) fn receiving(&self, header: &MessageHeader) -> Option<bool> {
        self.epochs.get(&header.e)?;
        let chain = (&header.cid, &header.e);
        let receiving = self.epochs.chain_of(chain, (&header.from, &header.sk));
        Some(receiving.is_some_and(|receiving| receiving.chain.awaits(header.n)))
    }

    /// What only history needs: a room of both, and something that was said to the room.
    fn judge_history(&mut self, by: &UserName, header: &MessageHeader) -> Option<Verdict> {
        if header.cid.is_direct() {
            // What another device of one's own gives again is for the other person, who has asked for it.
            let is_own = *by == self.device.user;
            return Some(if is_own {
                Verdict::Known
            } else {
                Verdict::Refuse("it was not asked for")
            });
        }
        if !matches!(header.t, Tag::Text | Tag::Broadcast) {
            return Some(Verdict::Refuse("it is nothing that was said to a room"));
        }
        let people = self.people_of(&header.cid);
        let member = people.contains(by) && people.contains(&self.device.user);
        if !member || !self.has_known(&header.cid, &header.from) {
            // The view may be older than the grant.
            if !self.link.online || self.view_is_on_its_way(&header.cid) {
                return Some(Verdict::Wait);
            }
            let why = if member { "its sender never was there" } else { "only members may grant" };
            return Some(Verdict::Refuse(why));
        }
        // An epoch of which this device has the keys: what was used up was received or burnt.
        (self.receiving(header) == Some(false)).then_some(Verdict::Known)
    }

    fn ask_for_sender(&mut self, sender: &UserName, sk: KeyId) -> Verdict {
        let signer = (sender.clone(), sk);
        match self.link.grants.senders.get(&signer) {
            Some(None) => Verdict::Refuse("its sender's key is not to be had"),
            Some(Some(_)) => Verdict::Wait,
            None => {
                if self.link.online {
                    let kids = [(sender.clone(), vec![sk])].into();
                    let id = self.ask_bundles(std::slice::from_ref(sender), kids, None);
                    self.link.grants.senders.insert(signer, Some(id));
                }
                Verdict::Wait
            }
        }
    }

    /// Reads what this device was to get from the log. Without a chain of its own it uses the
    /// granted key: that is the sender's word about the sender's own message.
    fn read_linked(&mut self, now_ms: u64, granted: &Parked, verified: Verified) {
        let Parked { by, hub_ms, entry } = granted;
        let Verified { frame, header, digest, signer, .. } = verified;
        let delivery = Delivery { position: 0, hub_ms: *hub_ms, frame };
        let hand =
            if *by == header.from { Hand::Healed(by.clone()) } else { Hand::Granted(by.clone()) };
        let opened = Opened { delivery: &delivery, header: &header, digest, signer: &signer, hand };
        let epoch = self.epochs.get(&header.e);
        let line = epoch.and_then(|epoch| epoch.list.position(&header.from, &header.sk));
        match line {
            Some(line) => drop(self.open_message(now_ms, &opened, line)),
            None => drop(self.read_message(now_ms, &opened, None, &entry.mk)),
        }
        self.gaps.went_on(now_ms, &ChainName::of(&header));
    }

    /// Reads what a member has granted of a room's history.
    fn read_history(&mut self, now_ms: u64, granted: &Parked, verified: Verified) {
        let Parked { by, hub_ms, entry } = granted;
        let Verified { frame, header, digest, signer, .. } = verified;
        let plaintext = envelope::open(&frame, &entry.mk);
        let content = plaintext.ok().and_then(|text| content::decode(header.t, &text).ok());
        let Some((content @ (Content::Text(_) | Content::Veiled(_)), _)) = content else {
            let detail = "a message was granted with a key that does not open it";
            self.out.alarm(Alarm::BadGrant, by, detail);
            return;
        };
        let delivery = Delivery { position: 0, hub_ms: *hub_ms, frame };
        let hand = Hand::Granted(by.clone());
        let opened = Opened { delivery: &delivery, header: &header, digest, signer: &signer, hand };
        self.epochs.remember(&header, digest);
        self.gaps.filled(&ChainName::of(&header), header.n);
        self.deliver(now_ms, &opened, content, &entry.mk);
    }

    /// Bytes of the granted messages that wait.
    pub(crate) fn parked_grant_bytes(&self) -> usize {
        let entries = self.state.parked.iter().map(|(_, parked)| &parked.entry);
        entries.map(|entry| entry.frame.as_ref().map_or(0, |frame| frame.0.len())).sum()
    }
}
