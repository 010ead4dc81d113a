//! The state machine: what belongs to one connection, the entry points, and the end of a step.

mod again;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use chat_protocol::b64::B64Vec;
use chat_protocol::code;
use chat_protocol::frame::{Binary, Unsigned, VerifiedBatches, sign_all};
use chat_protocol::handshake::SignedIn;
use chat_protocol::hub::{self, ClientToHub, HubStage, HubToClient};
use chat_protocol::id::{KeyId, MessageId, Nonce16};
use chat_protocol::keys::{Bundle, DeviceKeys};
use chat_protocol::name::{ConversationId, RoomName, UserName};
use chat_protocol::tag::Tag;
use indexmap::IndexMap;

use crate::alarms::Alarms;
use crate::connection::{Link, Request};
use crate::epochs::KeyLuck;
use crate::event::{Event, EventKey, Notification};
use crate::heal::Healing;
use crate::offers::Offers;
use crate::pace::Pace;
use crate::people::{BundleCache, People};
use crate::random::Random;
use crate::rollback::Horizon;
use crate::rooms::RoomOrder;
use crate::state::{Records, State, next_order, order_key};
use crate::store::Change;
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

/// A message for the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transmit {
    /// A message in JSON.
    Text(String),
    /// A frame or part of an epoch.
    Binary(Bytes),
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

/// What a signature is for.
#[derive(Debug)]
pub(crate) enum Slot {
    /// A message, by its key among the outgoing.
    Message(String),
    /// A receipt.
    Receipt(MessageId),
    /// An epoch of ours.
    Key(MessageId),
    /// A link of ours, by what was asked for.
    Link(MessageId),
    /// A frame that is not kept.
    Plain,
}

/// What goes out with this step, in order.
#[derive(Debug)]
enum Out {
    Ready(Transmit),
    Unsigned { slot: Slot, frame: Unsigned, after: Vec<Bytes> },
}

/// One device. See the crate's documentation.
#[derive(Debug)]
pub struct Endpoint {
    pub(crate) device: Device,
    pub(crate) state: State,
    pub(crate) people: People,
    pub(crate) bundles: Arc<BundleCache>,
    pub(crate) offers: Offers,
    pub(crate) verified: VerifiedBatches,
    pub(crate) link: Link,
    /// What was asked for in rooms, by the id of the asking and in the order of it: ids of one
    /// millisecond do not tell which came first.
    pub(crate) orders: IndexMap<MessageId, RoomOrder>,
    /// Key of an outgoing message by its id.
    pub(crate) index: BTreeMap<MessageId, String>,
    pub(crate) next_outgoing: u64,
    pub(crate) healing: Healing,
    pub(crate) alarms: Alarms,
    pub(crate) pace: Pace,
    pub(crate) luck: KeyLuck,
    /// Bytes of the frames kept for others.
    pub(crate) kept_bytes: usize,
    pub(crate) marks: Marks,
    /// Conversations of which the hub has said how far it has seen this device's key.
    pub(crate) counted: BTreeSet<ConversationId>,
    /// What was known of positions when the sign-in under way, or to come, began.
    pub(crate) before_sign_in: Option<Horizon>,
    /// The host was told of every durable event before this one.
    heard_until: u64,
    out: Vec<Out>,
    events: VecDeque<Notification>,
    /// Whether changes are written out at all.
    durable: bool,
    /// Blocks of the story of the encryption, where somebody wants it.
    pub(crate) trace: Option<Vec<String>>,
    random: Box<dyn Random>,
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
        let state = State::load(records, &device.user)?;
        let mut endpoint = Self {
            device,
            state,
            people: People::default(),
            bundles,
            offers: Offers::default(),
            verified: VerifiedBatches::default(),
            link: Link::default(),
            orders: IndexMap::new(),
            index: BTreeMap::new(),
            next_outgoing: 0,
            healing: Healing::default(),
            alarms: Alarms::default(),
            pace: Pace::default(),
            luck: KeyLuck::default(),
            kept_bytes: 0,
            marks: Marks::default(),
            counted: BTreeSet::new(),
            before_sign_in: None,
            heard_until: 0,
            out: Vec::new(),
            events: VecDeque::new(),
            durable: true,
            trace: None,
            random,
        };
        endpoint.take_over_orders();
        endpoint.loaded();
        endpoint.before_sign_in = Some(endpoint.horizon());
        Ok(endpoint)
    }

    /// A device that keeps nothing: for emulated clients. Its steps have no changes.
    pub fn in_memory(device: Device, bundles: Arc<BundleCache>, random: Box<dyn Random>) -> Self {
        let mut endpoint =
            Self::new(device, &Vec::new(), bundles, random).expect("no rows cannot be wrong rows");
        endpoint.durable = false;
        endpoint
    }

    /// Takes the state that another process of the same device has written meanwhile. What belongs
    /// to this process's connection stays.
    pub fn reload(&mut self, records: &Records) -> Result<(), serde_json::Error> {
        let stood = self.standing_keys();
        self.state = State::load(records, &self.device.user)?;
        self.keys_stand_since(&stood);
        self.people = self.people.emptied();
        self.orders_reloaded();
        self.loaded();
        Ok(())
    }

    /// Derives what is not stored, and tells the host of durable events it has not heard.
    fn loaded(&mut self) {
        self.load_people();
        self.load_offers();
        self.count_kept();
        self.mark_all_epochs();
        self.index =
            self.state.outgoing.iter().map(|(key, outgoing)| (outgoing.id, key.clone())).collect();
        let index = &self.index;
        self.link.flying.retain(|key, _| index.values().any(|known| known == key));
        self.next_outgoing = self.next_outgoing.max(next_order(&self.state.outgoing));
        let unheard: Vec<Notification> = self
            .state
            .events
            .iter()
            .filter_map(|(key, event)| {
                let order = key.parse().ok().filter(|order| *order >= self.heard_until)?;
                Some(Notification { key: Some(EventKey(order)), event: event.clone() })
            })
            .collect();
        self.heard_until = self.heard_until.max(self.state.next_event());
        self.events.extend(unheard);
        if self.state.owed.len() > 0 {
            self.link.receipts_due.get_or_insert(0);
        }
    }

    /// This device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Takes other keys of the same device over, such as a new signing key where
    /// [`Endpoint::is_rolled_back`]. Only while there is no connection.
    pub fn replace_device(&mut self, device: Device) {
        self.device = device;
        self.load_people();
    }

    /// The identity key that a name is known by; one's own and the hub's included.
    pub fn identity_of(&self, name: &UserName) -> Option<KeyId> {
        self.expected_identity(name)
    }

    /// Everybody whose key this device knows by a pin; one's own name included.
    pub fn known_names(&self) -> Vec<UserName> {
        let pinned = self.state.pins.iter().filter_map(|(name, _)| UserName::new(name).ok());
        let others = pinned.filter(|name| *name != self.device.user);
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
        let outgoing = self.state.outgoing.iter().filter(|(_, outgoing)| !outgoing.quiet);
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
            if in_rooms && self.state.joined.get(cid.as_str()).is_none() {
                self.join(&cid, now_ms);
            }
        }
        self.restart_orders();
        match signed_in.heads.last().filter(|_| signed_in.more) {
            Some(last) => drop(self.ask_page(Request::Heads { after: last.cid.clone() })),
            None => self.follow_all(),
        }
        self.resend();
        if self.state.owed.len() > 0 {
            self.link.receipts_due = Some(now_ms);
        }
        let waiting: Vec<_> =
            self.state.outgoing.iter().map(|(_, outgoing)| outgoing.cid.clone()).collect();
        self.link.dirty.extend(waiting);
        let due: Vec<_> = self.due_rooms().cloned().collect();
        self.link.dirty.extend(due);
        self.judge_parked(now_ms);
        self.came(now_ms, None);
        self.pump(now_ms);
    }

    /// The connection is gone. What was under way is sent again on the next one.
    pub fn disconnected(&mut self) {
        // What was sealed in this step and has not left is kept signed, as if it had been lost.
        drop(self.take_out());
        if self.link.online {
            self.before_sign_in = Some(self.horizon());
        }
        self.pause_orders();
        let receipts_due = self.link.receipts_due;
        let clock_ms = self.link.clock_ms;
        let late_before_ms = self.late_so_far();
        self.link = Link { late_before_ms, clock_ms, receipts_due, ..Link::default() };
    }

    /// Takes a text message of the hub.
    pub fn handle_text(&mut self, now_ms: u64, text: &str) {
        self.pass_time(now_ms);
        match hub::read::<HubToClient>(text) {
            Ok(message) => self.on_text(now_ms, message),
            Err(error) => self.complain(code::MALFORMED, &format!("the hub sent a {error}")),
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
                self.complain(code::MALFORMED, "the hub sent a frame without its place in a log");
            }
            Err(error) => self.complain(code::MALFORMED, &format!("the hub sent bytes: {error}")),
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
        let due = epochs
            .chain(self.link.held.values())
            .chain(retries)
            .chain(&self.link.receipts_due)
            .min()
            .copied();
        let more = [
            self.heal_deadline(),
            self.parts_deadline(),
            self.alarm_deadline(),
            self.behind_deadline(),
            self.live_deadline(),
            self.lacks_deadline(),
            self.repair_deadline(),
            self.luck_deadline(),
            self.pieces_deadline(),
            self.orders_deadline(),
        ];
        due.into_iter().chain(more.into_iter().flatten()).chain(self.page_deadline()).min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        self.pass_time(now_ms);
        self.parts_overdue(now_ms);
        if self.link.receipts_due.is_some_and(|due| due <= now_ms) {
            self.flush_receipts(now_ms);
        }
        if self.link.online {
            self.ask_for_missing(now_ms);
            self.look_behind(now_ms);
            self.receive_settled(now_ms);
            self.tell_late(now_ms);
            self.tell_lacks(now_ms);
            self.do_repairs(now_ms);
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
        due.sort_by_key(|id| self.index.get(id));
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
        self.state.events.remove(&order_key(key.0))
    }

    /// Ends a step: seals what new calls left to do, signs everything together, and hands over what
    /// is to be committed, sent and shown.
    pub fn finish(&mut self, now_ms: u64) -> Step {
        self.pump(now_ms);
        self.note_own_expiry(now_ms);
        self.tell_healed();
        self.settle_replies(now_ms);
        self.tell_subscriptions();
        let transmits = self.take_out();
        let changes = if self.durable {
            self.state.flush()
        } else {
            self.state.discard();
            Vec::new()
        };
        let trace = self.trace.as_mut().map(std::mem::take).unwrap_or_default();
        Step { changes, transmits, events: std::mem::take(&mut self.events).into(), trace }
    }

    /// Signs what is to go out, all at once.
    fn take_out(&mut self) -> Vec<Transmit> {
        let out = std::mem::take(&mut self.out);
        let mut unsigned = Vec::new();
        for item in &out {
            if let Out::Unsigned { frame, .. } = item {
                unsigned.push(frame.clone());
            }
        }
        let mut signed = sign_all(&self.device.keys.signing, &unsigned).into_iter();
        let mut transmits = Vec::with_capacity(out.len());
        for item in out {
            match item {
                Out::Ready(transmit) => transmits.push(transmit),
                Out::Unsigned { slot, after, .. } => {
                    if let Some(frame) = signed.next() {
                        self.trace_sent(&slot, &frame);
                        self.keep_signed(&slot, &frame);
                        transmits.push(Transmit::Binary(frame));
                        transmits.extend(after.into_iter().map(Transmit::Binary));
                    }
                }
            }
        }
        transmits
    }

    /// Keeps a signed frame where it is resent from.
    fn keep_signed(&mut self, slot: &Slot, frame: &Bytes) {
        match slot {
            Slot::Message(key) => {
                if let Some(outgoing) = self.state.outgoing.get_mut(key)
                    && let Some(sealed) = outgoing.sealed.as_mut()
                {
                    sealed.frame = B64Vec(frame.to_vec());
                }
            }
            Slot::Receipt(id) => self.state.receipts.put(&id.to_string(), B64Vec(frame.to_vec())),
            Slot::Key(id) => {
                if let Some(making) = self.state.making.get_mut(&id.to_string()) {
                    making.messages.insert(0, B64Vec(frame.to_vec()));
                }
            }
            Slot::Link(id) => {
                if let Some(order) = self.orders.get_mut(id) {
                    order.signed = Some(frame.clone());
                }
            }
            Slot::Plain => {}
        }
    }

    pub(crate) fn sign(&mut self, slot: Slot, frame: Unsigned, after: Vec<Bytes>) {
        self.out.push(Out::Unsigned { slot, frame, after });
    }

    pub(crate) fn text(&mut self, message: &ClientToHub) {
        self.out.push(Out::Ready(Transmit::Text(hub::write(message))));
    }

    /// Sends a frame that was signed before.
    pub(crate) fn send_frame(&mut self, frame: Bytes) {
        self.out.push(Out::Ready(Transmit::Binary(frame)));
    }

    pub(crate) fn request(&mut self, request: Request) -> MessageId {
        let id = MessageId(self.random());
        self.link.requests.insert(id, request);
        id
    }

    /// Whether anything outlives this process.
    pub(crate) fn is_durable(&self) -> bool {
        self.durable
    }

    pub(crate) fn tell(&mut self, event: Event) {
        let key = (event.is_durable(&self.device.user) && self.durable).then(|| {
            let order = self.state.put_event(event.clone());
            self.heard_until = order + 1;
            EventKey(order)
        });
        self.events.push_back(Notification { key, event });
    }

    pub(crate) fn complain(&mut self, code: &str, reason: &str) {
        let (stage, is_of_hub) = (HubStage::Request, code == code::MALFORMED);
        let (code, reason) = (code.to_owned(), reason.to_owned());
        let event = Event::Complaint { stage, code, reason, by_hub: false };
        if is_of_hub {
            self.tell_word(event);
        } else {
            self.tell(event);
        }
    }

    /// Fresh random bytes: for ids, nonces and keys.
    pub(crate) fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes);
        bytes
    }

    pub(crate) fn new_id(&mut self, now_ms: u64) -> MessageId {
        MessageId::new(now_ms, self.random())
    }
}
