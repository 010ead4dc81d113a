//! What a step brings out: messages for the hub and events for the host. And what it takes in for that: random bytes.

use std::collections::VecDeque;

use bytes::Bytes;
use chat_protocol::code;
use chat_protocol::crypto::SigningKey;
use chat_protocol::frame::{Unsigned, sign_all};
use chat_protocol::hub::{self, ClientToHub, HubStage};
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, UserName};

use crate::alarms::Alarms;
use crate::event::{Alarm, Event, EventKey, Notification};
use crate::questions::{Question, Questions};
use crate::random::Random;
use crate::table::{Counter, Kind, Table};
use crate::table::{next_order, order_key};
use crate::trace::Trace;

/// A message for the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transmit {
    /// A message in JSON.
    Text(String),
    /// A frame or part of an epoch.
    Binary(Bytes),
}

/// What goes out with this step, in order.
#[derive(Debug)]
enum Item {
    Ready(Transmit),
    Unsigned { id: MessageId, question: Question, frame: Unsigned, after: Vec<Bytes> },
}

/// The way out of a device.
#[derive(Debug)]
pub(crate) struct Out {
    me: UserName,
    /// Whether anything outlives this process.
    durable: bool,
    items: Vec<Item>,
    events: VecDeque<Notification>,
    /// Durable events that the host has not dealt with, by key.
    kept: Table<Event>,
    /// The number of the next one. Events that were dealt with leave no row, so it is counted: each process of a
    /// home knows up to where it has heard, and a number that came twice would be taken for heard.
    next: Counter,
    /// The host was told of every durable event before this one.
    heard_until: u64,
    alarms: Alarms,
    /// What has no answer yet.
    pub(crate) questions: Questions,
    pub(crate) trace: Trace,
    random: Box<dyn Random>,
}

impl Out {
    pub(crate) fn new(me: UserName, random: Box<dyn Random>) -> Self {
        Self {
            me,
            durable: true,
            items: Vec::new(),
            events: VecDeque::new(),
            kept: Table::default(),
            next: Counter::default(),
            heard_until: 0,
            alarms: Alarms::default(),
            questions: Questions::default(),
            trace: Trace::default(),
            random,
        }
    }

    pub(crate) fn rows(&mut self) -> [Kind<'_>; 2] {
        [("event", &mut self.kept), ("counter/events", &mut self.next)]
    }

    /// Whether anything outlives this process.
    pub(crate) fn is_durable(&self) -> bool {
        self.durable
    }

    /// From now on nothing outlives this process.
    pub(crate) fn keep_nothing(&mut self) {
        self.durable = false;
    }

    /// Rows were loaded: the host is told of durable events that it has not heard.
    pub(crate) fn loaded(&mut self) {
        let unheard = self.kept.iter().filter_map(|(key, event)| {
            let order = key.parse().ok().filter(|order| *order >= self.heard_until)?;
            Some(Notification { key: Some(EventKey(order)), event: event.clone() })
        });
        self.events.extend(unheard);
        self.heard_until = self.heard_until.max(self.next_event());
    }

    fn next_event(&self) -> u64 {
        self.next.get().max(next_order(&self.kept))
    }

    /// Tells the host of something.
    pub(crate) fn tell(&mut self, event: Event) {
        let key = (event.is_durable(&self.me) && self.durable).then(|| {
            let order = self.next_event();
            self.next.put(order + 1);
            self.kept.put(&order_key(order), event.clone());
            self.heard_until = order + 1;
            EventKey(order)
        });
        self.events.push_back(Notification { key, event });
    }

    /// Something that must not happen has happened.
    pub(crate) fn alarm(&mut self, kind: Alarm, user: &UserName, detail: &str) {
        self.raise_alarm(kind, user, None, detail);
    }

    /// The same in one conversation of several: what is told of one takes no other's place.
    pub(crate) fn alarm_in(
        &mut self,
        cid: &ConversationId,
        (kind, user): (Alarm, &UserName),
        detail: &str,
    ) {
        self.raise_alarm(kind, user, Some(cid), detail);
    }

    fn raise_alarm(
        &mut self,
        kind: Alarm,
        user: &UserName,
        place: Option<&ConversationId>,
        detail: &str,
    ) {
        if self.alarms.raise(kind, user, place, detail) {
            let (user, detail) = (user.clone(), detail.to_owned());
            self.tell(Event::Alarm { kind, user, detail, count: 1 });
        }
    }

    /// When alarms are due that are counted together.
    pub(crate) fn alarm_deadline(&self) -> Option<u64> {
        self.alarms.deadline()
    }

    /// Time has passed: tells of the alarms that were counted together.
    pub(crate) fn tell_alarms(&mut self, now_ms: u64) {
        for event in self.alarms.due(now_ms) {
            self.tell(event);
        }
    }

    /// Whether one more frame without a valid signature is told of: a hub can make any number of them.
    pub(crate) fn tells_of_unverified(&mut self) -> bool {
        self.alarms.tells_of_unverified()
    }

    /// Tells something that the hub says in clear, of which it can say any amount. What this device itself has to say
    /// has no such bound: nothing of it may be drowned.
    pub(crate) fn tell_word(&mut self, event: Event) {
        if let Some(event) = self.alarms.hears(event) {
            self.tell(event);
        }
    }

    /// Says of the hub, or of what was asked for here, what is wrong with it.
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

    /// Whether a durable event like this waits for the host.
    pub(crate) fn is_unheard(&self, is_it: impl Fn(&Event) -> bool) -> bool {
        self.kept.iter().any(|(_, event)| is_it(event))
    }

    /// Forgets durable events that the host has not dealt with.
    pub(crate) fn forget(&mut self, is_it: impl Fn(&Event) -> bool) {
        self.kept.extract(|_, event| is_it(event));
    }

    /// The host has dealt with a durable event.
    pub(crate) fn consumed(&mut self, key: EventKey) -> Option<Event> {
        self.kept.remove(&order_key(key.0))
    }

    /// Sends a frame once it is signed, and these messages behind it. The hub answers it under this id.
    pub(crate) fn sign(
        &mut self,
        (id, question): (MessageId, Question),
        frame: Unsigned,
        after: Vec<Bytes>,
    ) {
        self.questions.ask(id, question.clone());
        self.items.push(Item::Unsigned { id, question, frame, after });
    }

    /// Sends a message in JSON.
    pub(crate) fn text(&mut self, message: &ClientToHub) {
        self.items.push(Item::Ready(Transmit::Text(hub::write(message))));
    }

    /// Sends a frame that was signed before.
    pub(crate) fn send_frame(&mut self, frame: Bytes) {
        self.items.push(Item::Ready(Transmit::Binary(frame)));
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

    /// Signs what is to go out, all at once. What was signed comes back beside the messages.
    pub(crate) fn take_messages(
        &mut self,
        signing: &SigningKey,
    ) -> (Vec<Transmit>, Vec<(MessageId, Question, Bytes)>) {
        let items = std::mem::take(&mut self.items);
        let mut unsigned = Vec::new();
        for item in &items {
            if let Item::Unsigned { frame, .. } = item {
                unsigned.push(frame.clone());
            }
        }
        let mut frames = sign_all(signing, &unsigned).into_iter();
        let (mut transmits, mut signed) = (Vec::with_capacity(items.len()), Vec::new());
        for item in items {
            match item {
                Item::Ready(transmit) => transmits.push(transmit),
                Item::Unsigned { id, question, after, .. } => {
                    if let Some(frame) = frames.next() {
                        transmits.push(Transmit::Binary(frame.clone()));
                        transmits.extend(after.into_iter().map(Transmit::Binary));
                        signed.push((id, question, frame));
                    }
                }
            }
        }
        (transmits, signed)
    }

    /// The messages that need no signature.
    #[cfg(test)]
    pub(crate) fn ready(&self) -> Vec<&Transmit> {
        fn ready(item: &Item) -> Option<&Transmit> {
            match item {
                Item::Ready(transmit) => Some(transmit),
                Item::Unsigned { .. } => None,
            }
        }
        self.items.iter().filter_map(ready).collect()
    }

    /// What the host is to be told.
    pub(crate) fn take_events(&mut self) -> Vec<Notification> {
        std::mem::take(&mut self.events).into()
    }
}

#[cfg(test)]
mod tests {
    use chat_protocol::tag::label;

    use super::*;
    use crate::random::SystemRandom;

    fn out() -> Out {
        Out::new(UserName::new("alice").unwrap(), Box::new(SystemRandom))
    }

    fn started(number: u8) -> Event {
        let (re, by) = (MessageId([number; 16]), UserName::new("bob").unwrap());
        Event::Started { re, by }
    }

    /// Writes the rows of one and loads them into the other, as another process of the home does.
    fn load(from: &mut Out, into: &mut Out) {
        let mut changes = Vec::new();
        from.rows().into_iter().for_each(|(kind, rows)| rows.flush(kind, &mut changes));
        for change in changes {
            for (kind, rows) in into.rows() {
                rows.load(kind, &change.key, change.value.as_ref().unwrap()).unwrap();
            }
        }
        into.loaded();
    }

    /// Goal: a durable event is told once in each process and kept until the host has dealt with it. Its number is not
    /// used twice, also when nothing is left of it.
    #[test]
    fn a_durable_event_is_told_once_and_kept_until_it_is_dealt_with() {
        let (mut first, mut second) = (out(), out());
        first.tell(started(1));
        let key = first.take_events()[0].key.unwrap();
        load(&mut first, &mut second);
        second.loaded();
        assert_eq!(second.take_events().len(), 1, "once");
        assert!(first.consumed(key).is_some() && first.consumed(key).is_none());
        first.tell(started(2));
        assert!(first.take_events()[0].key.unwrap() > key);
        assert!(first.is_unheard(|event| event.is_said_by_command(&MessageId([2; 16]))));
        first.forget(|event| event.is_said_by_command(&MessageId([2; 16])));
        assert!(!first.is_unheard(|_| true));
    }

    /// Goal: a device that keeps nothing gives its events no keys, and has no rows.
    #[test]
    fn nothing_is_kept_where_nothing_is_durable() {
        let mut out = out();
        out.keep_nothing();
        out.tell(started(1));
        assert!(out.take_events()[0].key.is_none() && !out.is_unheard(|_| true));
    }

    /// Goal: what is signed leaves in its place among the rest, and comes back with what it answers.
    #[test]
    fn messages_leave_in_their_order() {
        let (keys, mut out) = (chat_testkit::keys::keys(0), out());
        out.send_frame(Bytes::from_static(b"before"));
        let frame = Unsigned::new(label::RECEIPT, b"{}".to_vec(), Vec::new());
        out.sign((MessageId([7; 16]), Question::Receipt), frame, vec![Bytes::from_static(b"part")]);
        out.send_frame(Bytes::from_static(b"after"));
        assert!(matches!(out.questions.get(&MessageId([7; 16])), Some(Question::Receipt)));
        let (transmits, signed) = out.take_messages(&keys.signing);
        assert_eq!((transmits.len(), signed.len()), (4, 1));
        let (id, _, frame) = &signed[0];
        assert_eq!(*id, MessageId([7; 16]));
        let binary = |bytes: &'static [u8]| Transmit::Binary(Bytes::from_static(bytes));
        assert_eq!(transmits[0], binary(b"before"));
        assert_eq!(transmits[1], Transmit::Binary(frame.clone()));
        assert_eq!(transmits[2..], [binary(b"part"), binary(b"after")]);
        assert!(out.take_messages(&keys.signing).0.is_empty());
    }
}
