//! Deliveries: in the order of their log, checked in the order of rule R23.

use std::collections::VecDeque;

use chat_protocol::b64::{B64Array, B64Vec};
use chat_protocol::content::{self, Content, FeedCopy};
use chat_protocol::frame::Delivery;
use chat_protocol::header::{Header, MessageHeader, Recipient};
use chat_protocol::hub::Log;
use chat_protocol::id::{Digest, MessageId};
use chat_protocol::name::{RoomName, UserName};
use chat_protocol::ratchet::{ChainError, MessageKey};
use chat_protocol::tag::{Address, Tag, label};
use chat_protocol::{code, envelope, epoch};

use crate::endpoint::Endpoint;
use crate::event::{Alarm, Event, KeptFrame};
use crate::heal::ChainName;
use crate::limits::PARKED_BYTES_MAX;
use crate::people::Signer;
use crate::state::{chain_key, received_key};

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

/// A delivery that waits its turn.
#[derive(Debug)]
pub(crate) struct Waiting {
    delivery: Delivery,
    pub(crate) header: Header,
    /// The request for its sender's bundle.
    asked: Option<MessageId>,
    /// That request was answered.
    answered: bool,
}

/// Deliveries of one log in order.
pub(crate) type WaitingQueue = VecDeque<Waiting>;

/// A message whose signature was verified and that was opened.
pub(crate) struct Opened<'a> {
    pub(crate) delivery: &'a Delivery,
    pub(crate) header: &'a MessageHeader,
    pub(crate) digest: Digest,
    pub(crate) signer: &'a Signer,
    /// By which way it came.
    pub(crate) hand: Hand,
}

/// By which way a message came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hand {
    /// From the hub's log.
    Log,
    /// Sent again by this sender.
    Healed(UserName),
    /// Handed on by this member.
    Granted(UserName),
}

/// Where an opened message stands in its sender's chain.
pub(crate) struct Place {
    pub(crate) line: usize,
    /// The counter that was to come.
    pub(crate) expected: u32,
    /// The last frame received before.
    pub(crate) before: Option<(u32, Digest)>,
}

impl Endpoint {
    /// Takes a delivery. What the device has kept before is passed over.
    pub(crate) fn on_delivery(&mut self, now_ms: u64, delivery: Delivery) {
        let header = match Header::parse(delivery.frame.header()) {
            Ok(header) => header,
            Err(error) => {
                self.complain(code::MALFORMED, &format!("the hub delivered a frame with {error}"));
                return;
            }
        };
        let log = match &header {
            Header::Receipt(_) => Log::Inbox,
            Header::Message(h) => Log::Conversation(h.cid.clone()),
            Header::Key(h) => Log::Conversation(h.cid.clone()),
            Header::Member(_) => return,
        };
        let kept = self.state.cursors.get(&log_key(&log)).is_some_and(|c| delivery.position <= *c);
        // A position is the hub's word: one that went back may give an old one to a new frame.
        let is_news = kept && self.is_news(&delivery, &header);
        let queue = self.link.waiting.entry(log.clone()).or_default();
        // Positions grow, so that nearly always the last one says enough.
        let is_next = queue.back().is_none_or(|last| last.delivery.position < delivery.position);
        let queued = !is_next
            && queue.iter().any(|waiting| {
                waiting.delivery.position == delivery.position
                    && waiting.delivery.frame.bytes() == delivery.frame.bytes()
            });
        if queued || self.link.overflowed.contains(&log) || (kept && !is_news) {
            return;
        }
        // What finds no room is not lost as long as nothing behind it is taken either: the cursor
        // stays, and the hub sends it again on the next connection.
        if !queue.is_empty() && self.link.parked_bytes >= PARKED_BYTES_MAX {
            self.link.overflowed.insert(log);
            return;
        }
        self.link.parked_bytes += delivery.frame.bytes().len();
        queue.push_back(Waiting { delivery, header, asked: None, answered: false });
        self.receive_waiting(now_ms, &log);
    }

    /// Whether only a new connection helps: more came than could wait, and what could wait is dealt
    /// with; or this device has been online for so long that its key has expired, and the next
    /// sign-in publishes another (rule R12).
    pub fn must_reconnect(&self) -> bool {
        if self.link.keys_are_old {
            return true;
        }
        let is_done = |log| self.link.waiting.get(log).is_none_or(VecDeque::is_empty);
        self.link.overflowed.iter().any(is_done)
    }

    /// Works through a log's queue until something is missing.
    pub(crate) fn receive_waiting(&mut self, now_ms: u64, log: &Log) {
        loop {
            self.drops_reached(now_ms, log);
            let front = self.link.waiting.get_mut(log).and_then(VecDeque::pop_front);
            let Some(front) = front else { return };
            let Waiting { delivery, header, asked, answered } = front;
            let received = match (&header, asked.is_some() && !answered) {
                (_, true) => Received::NeedsSender,
                (Header::Message(message), _)
                    if message.t == Tag::Grant && !self.has_room_for_grant() =>
                {
                    Received::NeedsRoom
                }
                // What was said in the room came before its copy, and is the one to be shown.
                (Header::Message(copy), _) if self.original_waits(copy) => Received::NeedsOriginal,
                (Header::Message(message), _) => {
                    self.on_message(now_ms, &delivery, message, answered)
                }
                (Header::Key(key), _) => self.on_key(&delivery, key.clone(), answered),
                (Header::Receipt(receipt), _) => self.on_receipt(&delivery, receipt, answered),
                (Header::Member(_), _) => Received::Done,
            };
            let sender = match &header {
                Header::Message(h) => h.from.clone(),
                Header::Key(h) => h.from.clone(),
                Header::Receipt(h) => h.from.clone(),
                Header::Member(h) => h.from.clone(),
            };
            let mut waiting = Waiting { delivery, header, asked, answered };
            match received {
                Received::Done => {
                    self.kept(&waiting.delivery, log);
                    if let Header::Message(said) = &waiting.header {
                        self.receive_copy(now_ms, said);
                    }
                }
                Received::NeedsSender => {
                    if waiting.asked.is_none() {
                        let own = self.device.user.clone();
                        waiting.asked = Some(self.request_bundles(&[sender, own], None));
                    }
                    self.link.waiting.entry(log.clone()).or_default().push_front(waiting);
                    return;
                }
                Received::NeedsView | Received::NeedsRoom | Received::NeedsOriginal => {
                    self.link.waiting.entry(log.clone()).or_default().push_front(waiting);
                    return;
                }
                Received::NeedsParts(e) => {
                    self.link.waiting.entry(log.clone()).or_default().push_front(waiting);
                    for part in self.take_early(&e) {
                        self.on_upload(now_ms, part);
                    }
                    return;
                }
            }
        }
    }

    /// Goes on with grants that had no room.
    pub(crate) fn receive_grants(&mut self, now_ms: u64) {
        let is_grant = |queue: &WaitingQueue| {
            let front = queue.front().map(|waiting| &waiting.header);
            matches!(front, Some(Header::Message(header)) if header.t == Tag::Grant)
        };
        let waiting = self.link.waiting.iter().filter(|(_, queue)| is_grant(queue));
        let logs: Vec<Log> = waiting.map(|(log, _)| log.clone()).collect();
        for log in logs {
            self.receive_waiting(now_ms, &log);
        }
    }

    /// The front of a log's queue is dealt with.
    pub(crate) fn front_done(&mut self, log: &Log) {
        if let Some(front) = self.link.waiting.get_mut(log).and_then(VecDeque::pop_front) {
            self.kept(&front.delivery, log);
        }
    }

    /// The position of the delivery that a log waits with.
    pub(crate) fn waits_at(&self, log: &Log) -> Option<u64> {
        let front = self.link.waiting.get(log).and_then(VecDeque::front);
        front.map(|waiting| waiting.delivery.position)
    }

    /// The bundles that a delivery waited for have come, or are not to be had.
    pub(crate) fn senders_answered(&mut self, now_ms: u64, request: &MessageId) {
        let mut logs = Vec::new();
        for (log, queue) in &mut self.link.waiting {
            if let Some(front) = queue.front_mut()
                && front.asked == Some(*request)
            {
                front.answered = true;
                logs.push(log.clone());
            }
        }
        for log in logs {
            self.receive_waiting(now_ms, &log);
        }
        self.grants_answered(now_ms, request);
    }

    /// Goes on with deliveries that waited for a view.
    pub(crate) fn views_answered(&mut self, now_ms: u64) {
        let viewed = std::mem::take(&mut self.link.viewed);
        if !viewed.is_empty() {
            self.judge_parked(now_ms);
        }
        for cid in viewed {
            self.receive_waiting(now_ms, &Log::Conversation(cid));
        }
    }

    /// A request for a sender's bundle was made again under another id.
    pub(crate) fn ask_moved(&mut self, old: &MessageId, new: MessageId) {
        self.grants_moved(old, new);
        let fronts = self.link.waiting.values_mut().filter_map(VecDeque::front_mut);
        for front in fronts.filter(|front| front.asked == Some(*old)) {
            front.asked = Some(new);
        }
    }

    /// Moves the cursor of a log.
    fn kept(&mut self, delivery: &Delivery, log: &Log) {
        let bytes = delivery.frame.bytes().len();
        self.link.parked_bytes = self.link.parked_bytes.saturating_sub(bytes);
        let cursor = self.state.cursors.get(&log_key(log)).copied().unwrap_or(0);
        self.state.cursors.put(&log_key(log), cursor.max(delivery.position));
        let moved = self.link.moved.entry(log.clone()).or_default();
        *moved = delivery.position.max(*moved);
    }

    /// Whether a frame at a position that was kept before is another one than was kept there.
    fn is_news(&self, delivery: &Delivery, header: &Header) -> bool {
        match header {
            Header::Message(header) => {
                let key = received_key(&header.cid, &header.from, &header.id);
                let held = || self.held(&ChainName::of(header), header.n);
                self.state.received.get(&key).is_none()
                    && self.receiving(header).unwrap_or_else(|| {
                        held().is_none_or(|held| held.0 != *delivery.frame.bytes())
                    })
            }
            Header::Key(_) => {
                self.state.epochs.get(&epoch::digest(&delivery.frame).to_string()).is_none()
            }
            // A receipt counts once however often it comes.
            Header::Receipt(_) => true,
            Header::Member(_) => false,
        }
    }

    pub(crate) fn on_message(
        &mut self,
        now_ms: u64,
        delivery: &Delivery,
        header: &MessageHeader,
        asked: bool,
    ) -> Received {
        if header.from == self.device.user && header.sk == self.device.keys.signing_id() {
            return Received::Done;
        }
        if !fits_address(header) {
            return self.unreadable(
                now_ms,
                delivery,
                header,
                "tag, conversation and recipient differ",
            );
        }
        if !may_speak(header) {
            let reason = "only whose feed it is speaks there";
            return self.unreadable(now_ms, delivery, header, reason);
        }
        let Some(epoch) = self.state.epochs.get(&header.e.to_string()) else {
            if self.is_received(delivery, header) {
                self.owe(now_ms, header, delivery.frame.digest(label::MSG), true);
                return Received::Done;
            }
            // Whose it is shows in the view, which a key would have brought up to date.
            if !self.has_known(&header.cid, &header.from) && self.view_is_on_its_way(&header.cid) {
                return Received::NeedsView;
            }
            self.want_strange(now_ms, delivery, header);
            return self.unreadable(
                now_ms,
                delivery,
                header,
                "its epoch was not given to this device",
            );
        };
        let line =
            epoch.list.position(&header.from, &header.sk).filter(|_| epoch.cid == header.cid);
        let Some(line) = line else {
            return self.unreadable(now_ms, delivery, header, "its sender is not in its epoch");
        };
        let Some(signer) = self.people.signer(&header.from, &header.sk).cloned() else {
            if !asked {
                return Received::NeedsSender;
            }
            return self.unreadable(now_ms, delivery, header, "its sender's key is not to be had");
        };
        if !asked && self.needs_siblings(header) {
            return Received::NeedsSender;
        }
        let digest = delivery.frame.digest(label::MSG);
        let verified =
            delivery.frame.verify(label::MSG, &signer.key, &signer.digest, &mut self.verified);
        if verified.is_err() {
            self.alarm(Alarm::BadSignature, &header.from, "a message was not signed by its sender");
            // Somebody has changed it on its way, or made it up: its sender knows.
            if self.receiving(header) == Some(true) {
                self.want(now_ms, ChainName::of(header), vec![header.n], false);
            }
            return self.unreadable(now_ms, delivery, header, "its signature is not valid");
        }
        let opened = Opened { delivery, header, digest, signer: &signer, hand: Hand::Log };
        self.open_message(now_ms, &opened, line)
    }

    /// From the chain on: whatever comes out, the chain has moved.
    pub(crate) fn open_message(
        &mut self,
        now_ms: u64,
        opened: &Opened<'_>,
        line: usize,
    ) -> Received {
        let Opened { delivery, header, digest, .. } = opened;
        let chain_id = chain_key(&header.e, line);
        let Some(receiving) = self.state.chains.get_mut(&chain_id) else {
            return self.unreadable(now_ms, delivery, header, "its chain is this device's own");
        };
        let expected = receiving.chain.next();
        let before = receiving.last;
        let message_key = match receiving.chain.key_for(header.n) {
            Ok(key) => key,
            Err(ChainError::Used { .. }) => return self.replayed(now_ms, opened),
            Err(error @ ChainError::TooFar { .. }) => {
                return self.unreadable(now_ms, delivery, header, &error.to_string());
            }
        };
        // A late frame is not the last one: what follows the last still has to link to it.
        if before.is_none_or(|(n, _)| n < header.n) {
            receiving.last = Some((header.n, *digest));
        }
        self.read_message(now_ms, opened, Some(&Place { line, expected, before }), &message_key)
    }

    /// Decrypts, checks what the message says of its sender's chain, and shows it.
    pub(crate) fn read_message(
        &mut self,
        now_ms: u64,
        opened: &Opened<'_>,
        place: Option<&Place>,
        message_key: &MessageKey,
    ) -> Received {
        let Opened { delivery, header, digest, .. } = opened;
        let content = envelope::open(&delivery.frame, message_key)
            .map_err(|error| error.to_string())
            .and_then(|plaintext| {
                content::decode(header.t, &plaintext).map_err(|error| error.to_string())
            })
            .and_then(|(content, notes)| match content {
                Content::Copy(_) if !header.cid.is_feed() => {
                    Err("it says of another room that it was said there".to_owned())
                }
                content => Ok((content, notes)),
            });
        let notes = content.as_ref().map(|(_, notes)| notes.clone()).unwrap_or_default();
        match place {
            Some(place) => self.check_chain(now_ms, (header, delivery.position), place, &notes),
            None => self.check_strange_chain(now_ms, (header, delivery.position), &notes),
        }
        let (content, _) = match content {
            Ok(content) => content,
            Err(reason) => {
                // Its sender has sealed it so: the same bytes again would not help.
                self.unwant(&ChainName::of(header), header.n);
                return self.unreadable(now_ms, delivery, header, &reason);
            }
        };
        self.trace_received(&delivery.frame, || {
            let (sk, from, n) = (&header.sk, &header.from, header.n);
            format!("verified with key {sk} of {from}; opened with message key {n} of its chain")
        });
        self.filled(&ChainName::of(header), header.n);
        let is_shown = self.is_other_copy_shown(header, &content);
        if self.remember_received(header, *digest) && !is_shown {
            self.deliver(now_ms, opened, content, message_key);
        }
        self.owe(now_ms, header, *digest, true);
        Received::Done
    }

    /// Whether this very frame was shown before.
    fn is_received(&self, delivery: &Delivery, header: &MessageHeader) -> bool {
        let key = received_key(&header.cid, &header.from, &header.id);
        let known = self.state.received.get(&key);
        known.is_some_and(|known| known.0 == delivery.frame.digest(label::MSG).0)
    }

    /// A frame whose counter was used: the same frame again only needs its receipt again.
    fn replayed(&mut self, now_ms: u64, opened: &Opened<'_>) -> Received {
        let Opened { header, digest, .. } = opened;
        let key = received_key(&header.cid, &header.from, &header.id);
        if self.state.received.get(&key).is_some_and(|known| known.0 == digest.0) {
            self.owe(now_ms, header, *digest, true);
        } else {
            self.trace_received(&opened.delivery.frame, || "refused: its counter was used".into());
            self.alarm(Alarm::Replay, &header.from, "a message came a second time");
        }
        Received::Done
    }

    /// Hands an opened message to the host.
    pub(crate) fn deliver(
        &mut self,
        now_ms: u64,
        opened: &Opened<'_>,
        content: Content,
        key: &MessageKey,
    ) {
        let Opened { delivery, header, .. } = opened;
        let by = header.from.clone();
        match content {
            Content::Text(text) => self.show(opened, key, (text, false, None)),
            Content::Veiled(text) => self.show(opened, key, (text, true, None)),
            Content::Copy(FeedCopy { room, text, veiled }) => {
                self.show(opened, key, (text, veiled, Some(room)));
            }
            Content::File(note) => self.tell(Event::File {
                id: header.id,
                cid: header.cid.clone(),
                pinned: self.is_trusted(&by),
                from: by,
                note,
                hub_ms: delivery.hub_ms,
            }),
            Content::KeyRequest(asked) => self.on_key_request(now_ms, header, &asked),
            Content::Grant(grant) => self.on_grant(now_ms, &by, delivery.hub_ms, grant),
            Content::Command(command) => self.on_command(now_ms, opened, command),
            Content::Started { re } if self.is_ours(&re, opened) => {
                self.tell(Event::Started { re, by });
            }
            Content::Output { re, stream, data } if self.is_ours(&re, opened) => {
                self.tell(Event::output(re, stream, data));
            }
            Content::Outcome(outcome) if self.is_ours(&outcome.re, opened) => {
                if outcome.code == code::STALE {
                    self.link.targets.remove(&by);
                }
                self.tell(Event::ended(outcome, by, header.t == Tag::Ack));
            }
            // Another device of this person has asked.
            Content::Started { .. } | Content::Output { .. } | Content::Outcome(_)
                if self.has_sibling_in(&header.e) => {}
            Content::Started { .. } | Content::Output { .. } | Content::Outcome(_) => {
                self.alarm(Alarm::Replay, &by, "an answer to a command that was not asked of them");
            }
        }
    }

    fn show(
        &mut self,
        opened: &Opened<'_>,
        key: &MessageKey,
        (text, veiled, said_in): (String, bool, Option<RoomName>),
    ) {
        let Opened { delivery, header, hand, .. } = opened;
        let (healed_by, granted_by) = match hand.clone() {
            Hand::Log => (None, None),
            Hand::Healed(by) => (Some(by), None),
            Hand::Granted(by) => (None, Some(by)),
        };
        self.tell(Event::Message {
            frame: self.keep(opened, key),
            id: header.id,
            cid: header.cid.clone(),
            tag: header.t,
            from: header.from.clone(),
            text,
            veiled,
            said_in,
            position: delivery.position,
            sent_ms: header.ts,
            hub_ms: delivery.hub_ms,
            healed_by,
            granted_by,
        });
    }

    /// The frame and its key for the host's history, if this device keeps anything.
    fn keep(&self, opened: &Opened<'_>, key: &MessageKey) -> Option<Box<KeptFrame>> {
        let Opened { delivery, header, digest, .. } = opened;
        self.is_durable().then(|| {
            Box::new(KeptFrame {
                e: header.e,
                sk: header.sk,
                n: header.n,
                digest: *digest,
                key: B64Array(**key),
                frame: B64Vec(delivery.frame.bytes().to_vec()),
            })
        })
    }

    /// Whether an answer is to a command of ours, by the one it was for.
    fn is_ours(&self, re: &MessageId, opened: &Opened<'_>) -> bool {
        self.state.recipients(re).contains(&opened.header.from)
    }

    /// A message that cannot be read is shown as such, and its sender is told (rule R8).
    fn unreadable(
        &mut self,
        now_ms: u64,
        delivery: &Delivery,
        header: &MessageHeader,
        reason: &str,
    ) -> Received {
        self.trace_received(&delivery.frame, || format!("refused: {reason}"));
        let digest = delivery.frame.digest(label::MSG);
        let (cid, from) = (header.cid.clone(), header.from.clone());
        self.tell(Event::Unreadable { cid, from, id: header.id, reason: reason.to_owned() });
        self.owe(now_ms, header, digest, false);
        Received::Done
    }
}

/// Whether its sender may speak where it was sent: in a feed only whose it is (rule R18).
pub(crate) fn may_speak(header: &MessageHeader) -> bool {
    !header.cid.is_feed() || header.cid.is_feed_of(&header.from)
}

/// Whether tag, conversation and recipient of a message go together (rule R23).
pub(crate) fn fits_address(header: &MessageHeader) -> bool {
    match header.t.fits(&header.cid.kind()) {
        Some(Address::Everyone) => header.to == Recipient::Everyone,
        Some(Address::Other) => {
            let other = header.cid.other(&header.from);
            header.to.user() == other.as_ref() && other.is_some()
        }
        None => false,
    }
}

/// The key of a log's cursor.
pub(crate) fn log_key(log: &Log) -> String {
    match log {
        Log::Inbox => "inbox".to_owned(),
        Log::Conversation(cid) => cid.as_str().to_owned(),
    }
}
