//! The state machine: what belongs to one connection, the entry points, and the end of a step.

mod again;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use chat_protocol::code;
use chat_protocol::frame::{Binary, VerifiedBatches};
use chat_protocol::handshake::SignedIn;
use chat_protocol::hub::{self, HubToClient};
use chat_protocol::id::{KeyId, MessageId, Nonce16};
use chat_protocol::keys::{Bundle, DeviceKeys};
use chat_protocol::name::{ConversationId, RoomName, UserName};
use chat_protocol::tag::Tag;

use crate::connection::Link;
use crate::epochs::{Epochs, KeptLists, KeyLuck};
use crate::event::{Event, EventKey, Notification};
use crate::gaps::Gaps;
use crate::offers::Offers;
use crate::out::{Out, Transmit};
use crate::outbox::Outbox;
use crate::pace::Pace;
use crate::people::{BundleCache, People};
use crate::position::{Horizon, Positions};
use crate::questions::Question;
use crate::random::Random;
use crate::receipts::Receipts;
use crate::receive::Inbox;
use crate::resend::Resends;
use crate::rooms::{RoomRequests, Views};
use crate::state::State;
use crate::store::{Change, Records};
use crate::table::Kind;
use crate::views::Marks;

/// Who this device is.
#[derive(Debug, Clone)]
pub struct Device {
    /// The user.
    pub user: UserName,
    /// Which of the user's devices.
    pub dev: Nonce16,
    /// The hub's identity, as pinned.
    pub server: KeyId,
    /// The private keys.
    pub keys: Arc<DeviceKeys>,
    /// The newest bundle. With a restart nonce in it, the device accepts commands.
    pub bundle: Arc<Bundle>,
}

/// What one step comes to. The host commits the changes first.
#[derive(Debug, Default)]
pub struct Step {
    /// Changed rows.
    pub changes: Vec<Change>,
    /// Messages for the hub, in order.
    pub transmits: Vec<Transmit>,
    /// What the host should know.
    pub events: Vec<Notification>,
    /// The story of the encryption, if it was asked for; see [`Endpoint::trace_crypto`].
    pub trace: Vec<String>,
}

/// One device. See the crate's documentation.
#[derive(Debug)]
pub struct Endpoint {
    pub(crate) device: Device,
    pub(crate) state: State,
    pub(crate) people: People,
    pub(crate) offers: Offers,
    pub(crate) verified: VerifiedBatches,
    pub(crate) link: Link,
    pub(crate) requests: RoomRequests,
    pub(crate) inbox: Inbox,
    pub(crate) views: Views,
    pub(crate) epochs: Epochs,
    pub(crate) outbox: Outbox,
    pub(crate) gaps: Gaps,
    pub(crate) pace: Pace,
    pub(crate) luck: KeyLuck,
    pub(crate) receipts: Receipts,
    pub(crate) resends: Resends,
    pub(crate) marks: Marks,
    /// Conversations of which the hub has said how far it has seen this device's key.
    pub(crate) counted: BTreeSet<ConversationId>,
    /// What was known of positions when the sign-in under way, or to come, began.
    pub(crate) before_sign_in: Option<Horizon>,
    pub(crate) positions: Positions,
    pub(crate) out: Out,
}

impl Endpoint {
    /// A device with the state that `records` hold; none for a new one. Every random byte of it comes
    /// from `random`.
    pub fn new(
        device: Device,
        records: &Records,
        bundles: Arc<BundleCache>,
        random: Box<dyn Random>,
    ) -> Result<Self, serde_json::Error> {
        let out = Out::new(device.user.clone(), random);
        let people = People::new(&device, bundles);
        let gaps = Gaps::new(device.user.clone());
        let receipts = Receipts::new(device.user.clone());
        let mut endpoint = Self {
            device,
            state: State::default(),
            people,
            offers: Offers::default(),
            verified: VerifiedBatches::default(),
            link: Link::default(),
            requests: RoomRequests::default(),
            inbox: Inbox::default(),
            views: Views::default(),
            epochs: Epochs::default(),
            outbox: Outbox::default(),
            gaps,
            pace: Pace::default(),
            luck: KeyLuck::default(),
            receipts,
            resends: Resends::default(),
            marks: Marks::default(),
            counted: BTreeSet::new(),
            before_sign_in: None,
            positions: Positions::default(),
            out,
        };
        endpoint.load(records)?;
        endpoint.requests.take_over(endpoint.outbox.next_row());
        endpoint.loaded();
        endpoint.before_sign_in = Some(endpoint.positions.horizon());
        Ok(endpoint)
    }

    /// A device that keeps nothing: for emulated clients. Its steps have no changes.
    pub fn in_memory(device: Device, bundles: Arc<BundleCache>, random: Box<dyn Random>) -> Self {
        let mut endpoint =
            Self::new(device, &Vec::new(), bundles, random).expect("no rows cannot be wrong rows");
        endpoint.out.keep_nothing();
        endpoint
    }

    /// Takes the state that another process of the same device has written meanwhile. What belongs
    /// to this process's connection stays. After an error the device has a part of the rows, and is not used any more.
    pub fn reload(&mut self, records: &Records) -> Result<(), serde_json::Error> {
        let (stood, set) = (self.standing_keys(), self.settings());
        self.load(records)?;
        self.keys_stand_since(&stood);
        // What was said there may have waited for it.
        self.link.dirty.extend(self.requests.reloaded());
        self.loaded();
        self.tell_reloaded_settings(&set);
        Ok(())
    }

    /// The rows of all parts.
    fn rows(&mut self) -> Vec<Kind<'_>> {
        let mut rows = Vec::from(self.people.rows());
        rows.extend(self.state.rows());
        rows.extend(self.positions.rows());
        rows.extend(self.out.rows());
        rows.extend(self.gaps.rows());
        rows.extend(self.receipts.rows());
        rows.extend(self.requests.rows());
        rows.extend(self.inbox.rows());
        rows.extend(self.epochs.rows());
        rows.extend(self.outbox.rows());
        rows.extend(self.resends.rows());
        rows
    }

    /// Takes these rows in the place of those that are held. Rows of other kinds are left alone.
    fn load(&mut self, records: &Records) -> Result<(), serde_json::Error> {
        let mut parts = self.rows();
        for (_, rows) in &mut parts {
            rows.clear();
        }
        for (key, value) in records {
            for (kind, rows) in &mut parts {
                rows.load(kind, key, value)?;
            }
        }
        self.epochs.loaded(&self.device.user);
        self.state.lists = KeptLists::default();
        self.rows().into_iter().for_each(|(_, rows)| rows.discard());
        Ok(())
    }

    /// Derives what is not stored, and tells the host of durable events it has not heard.
    fn loaded(&mut self) {
        self.people.loaded(self.link.clock_ms);
        self.load_offers();
        self.mark_all_epochs();
        let messages = self.outbox.iter().map(|(key, outgoing)| (outgoing.id, key.clone()));
        self.out.questions.set_messages(messages);
        self.outbox.loaded();
        self.out.loaded();
        self.receipts.loaded();
    }

    /// This device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Takes other keys of the same device over, such as a new signing key where
    /// [`Endpoint::is_rolled_back`]. Only while there is no connection.
    pub fn replace_device(&mut self, device: Device) {
        self.people.replace_own(self.link.clock_ms, &device);
        self.device = device;
    }

    /// The identity key that a name is known by; one's own and the hub's included.
    pub fn identity_of(&self, name: &UserName) -> Option<KeyId> {
        self.expected_identity(name)
    }

    /// Everybody whose key this device knows by a pin; one's own name included.
    pub fn known_names(&self) -> Vec<UserName> {
        let others = self.people.pinned().filter(|name| *name != self.device.user);
        others.chain([self.device.user.clone()]).collect()
    }

    /// The names with a known key that are this one but for the case of letters: it may be one of them. A name
    /// belongs to one account whatever the case (rule R17), so an honest hub makes one of them at most.
    pub fn known_as(&self, name: &UserName) -> Vec<UserName> {
        let mut known = self.known_names();
        known.retain(|other| other.as_str().eq_ignore_ascii_case(name.as_str()));
        // Others than pins say whose a key is, too: the sign-in, and links of rooms.
        if known.is_empty() && self.identity_of(name).is_some() {
            known.push(name.clone());
        }
        known
    }

    /// Messages without an answer, oldest first.
    pub fn pending(&self) -> Vec<(MessageId, ConversationId, Tag)> {
        let outgoing = self.outbox.iter().filter(|(_, outgoing)| !outgoing.quiet);
        outgoing.map(|(_, outgoing)| (outgoing.id, outgoing.cid.clone(), outgoing.tag)).collect()
    }

    /// A connection was signed in. `hub` is the hub's bundle from its greeting.
    pub fn connected(&mut self, now_ms: u64, signed_in: &SignedIn, hub: &Bundle) {
        let before = self.before_sign_in.take();
        self.disconnected();
        self.pass_time(now_ms);
        self.link.online = true;
        self.link.since_ms = now_ms;
        (self.link.newest_at_sign_in, self.link.late_since_ms) = (signed_in.position, now_ms);
        self.link.clock_ms = now_ms;
        self.link.clocks = Some((now_ms, signed_in.time));
        if let Some(before) = before {
            self.compare_position(before, signed_in.position);
        }
        self.keep_pace(now_ms);
        self.accept_bundle(&UserName::server(), hub);
        self.keep_own_bundle();
        for head in &signed_in.heads {
            self.note_hub_head(now_ms, head);
        }
        for room in [RoomName::lobby(), RoomName::all()] {
            let cid = ConversationId::room(&room);
            // The hub's own agent is in no room: the hub must not be able to read there.
            let in_rooms = !self.device.user.is_server();
            if in_rooms && self.state.joined.get(&cid).is_none() {
                self.join(&cid, now_ms);
            }
        }
        self.requests.connected();
        match signed_in.heads.last().filter(|_| signed_in.more) {
            Some(last) => drop(self.ask_page(Question::Heads { after: last.cid.clone() })),
            None => self.follow_all(),
        }
        self.resend();
        self.receipts.connected(now_ms);
        let waiting: Vec<_> =
            self.outbox.iter().map(|(_, outgoing)| outgoing.cid.clone()).collect();
        self.link.dirty.extend(waiting);
        let due: Vec<_> = self.due_rooms().cloned().collect();
        self.link.dirty.extend(due);
        self.judge_parked(now_ms);
        self.settings_connected(now_ms);
        self.gaps.came(now_ms, None);
        self.pump(now_ms);
    }

    /// The connection is gone. What was under way is sent again on the next one.
    pub fn disconnected(&mut self) {
        // What was sealed in this step and has not left is kept signed, as if it had been lost.
        drop(self.take_out());
        if self.link.online {
            self.before_sign_in = Some(self.positions.horizon());
        }
        self.requests.disconnected(self.link.clock_ms);
        self.outbox.disconnected();
        self.receipts.disconnected();
        self.people.disconnected();
        self.inbox.disconnected();
        self.views = Views::default();
        self.out.questions.disconnected();
        let clock_ms = self.link.clock_ms;
        let late_before_ms = self.late_so_far();
        self.link = Link { late_before_ms, clock_ms, ..Link::default() };
    }

    /// Takes a text message of the hub.
    pub fn handle_text(&mut self, now_ms: u64, text: &str) {
        self.pass_time(now_ms);
        match hub::read::<HubToClient>(text) {
            Ok(message) => self.on_text(now_ms, message),
            Err(error) => self.out.complain(code::MALFORMED, &format!("the hub sent a {error}")),
        }
        self.views_answered(now_ms);
        self.receive_settled(now_ms);
    }

    /// Takes a binary message of the hub.
    pub fn handle_binary(&mut self, now_ms: u64, bytes: Bytes) {
        self.pass_time(now_ms);
        match Binary::decode(bytes) {
            Ok(Binary::Delivery(delivery)) => self.on_delivery(now_ms, delivery),
            Ok(Binary::Upload(upload)) => self.on_upload(now_ms, upload),
            Ok(Binary::Frame(_)) => {
                self.out
                    .complain(code::MALFORMED, "the hub sent a frame without its place in a log");
            }
            Err(error) => {
                self.out.complain(code::MALFORMED, &format!("the hub sent bytes: {error}"));
            }
        }
        self.receive_settled(now_ms);
    }

    /// When [`Endpoint::handle_timeout`] is due, Unix time in milliseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        if !self.link.online {
            return None;
        }
        let epochs = self.link.waiting_for_epoch.values();
        let retries = self.link.retries.values();
        let due = epochs.chain(self.link.held.values()).chain(retries).min().copied();
        let more = [
            self.receipts.deadline(),
            self.gaps.deadline(),
            self.parts_deadline(),
            self.out.alarm_deadline(),
            self.behind_deadline(),
            self.live_deadline(),
            self.lacks_deadline(),
            self.undecided_deadline(),
            self.repair_deadline(),
            self.settings_deadline(),
            self.luck_deadline(),
            self.pieces_deadline(),
            self.requests.deadline(self.link.clock_ms),
        ];
        due.into_iter().chain(more.into_iter().flatten()).chain(self.page_deadline()).min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        self.pass_time(now_ms);
        self.parts_overdue(now_ms);
        if self.receipts.deadline().is_some_and(|due| due <= now_ms) {
            self.flush_receipts(now_ms);
        }
        if self.link.online {
            self.ask_for_missing(now_ms);
            self.look_behind(now_ms);
            self.receive_settled(now_ms);
            self.tell_late(now_ms);
            self.tell_lacks(now_ms);
            self.settle_undecided(now_ms);
            self.do_repairs(now_ms);
            self.settle_settings(now_ms);
            self.try_again(now_ms);
        }
        let waits = self.link.waiting_for_epoch.iter().chain(&self.link.held);
        let over: Vec<ConversationId> =
            waits.filter(|(_, until)| **until <= now_ms).map(|(cid, _)| cid.clone()).collect();
        for cid in over {
            for waits in [&mut self.link.waiting_for_epoch, &mut self.link.held] {
                if waits.get(&cid).is_some_and(|until| *until <= now_ms) {
                    waits.remove(&cid);
                }
            }
            self.link.dirty.insert(cid);
        }
        let mut due: Vec<MessageId> =
            self.link.retries.iter().filter(|(_, at)| **at <= now_ms).map(|(id, _)| *id).collect();
        // Earlier messages first: they take the later ones of their conversation with them.
        due.sort_by_key(|id| self.out.questions.message(id));
        for id in due {
            if self.link.retries.remove(&id).is_some() {
                self.send_again(now_ms, &id);
            }
        }
        self.pump(now_ms);
    }

    /// The host has dealt with a durable event. Returns it, for what the host keeps of it in the
    /// same step; nothing when another process of the home was faster.
    pub fn consumed(&mut self, key: EventKey) -> Option<Event> {
        self.out.consumed(key)
    }

    /// Ends a step: seals what new calls left to do, signs everything together, and hands over what
    /// is to be committed, sent and shown.
    pub fn finish(&mut self, now_ms: u64) -> Step {
        self.pump(now_ms);
        self.note_own_expiry(now_ms);
        self.gaps.tell_healed(&mut self.out);
        self.settle_replies(now_ms);
        self.tell_subscriptions();
        let transmits = self.take_out();
        let mut changes = Vec::new();
        let is_durable = self.out.is_durable();
        for (kind, rows) in self.rows() {
            if is_durable {
                rows.flush(kind, &mut changes);
            } else {
                rows.discard();
            }
        }
        let (events, trace) = (self.out.take_events(), self.out.trace.take());
        Step { changes, transmits, events, trace }
    }

    /// Signs what is to go out, all at once.
    fn take_out(&mut self) -> Vec<Transmit> {
        let (transmits, signed) = self.out.take_messages(&self.device.keys.signing);
        for (id, question, frame) in &signed {
            self.trace_sent(question, frame);
            self.keep_signed(id, question, frame);
        }
        transmits
    }

    /// Keeps a signed frame where it is resent from.
    fn keep_signed(&mut self, id: &MessageId, question: &Question, frame: &Bytes) {
        match question {
            Question::Message(key) => self.outbox.signed(key, frame),
            Question::Receipt => self.receipts.signed(id, frame),
            Question::Key { .. } => self.epochs.signed(id, frame),
            Question::Order(order) => self.requests.signed(order, frame),
            _ => {}
        }
    }

    pub(crate) fn request(&mut self, question: Question) -> MessageId {
        let id = MessageId(self.out.random());
        self.out.questions.ask(id, question);
        id
    }
}
