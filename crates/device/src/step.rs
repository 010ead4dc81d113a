//! One step of a device, in two phases.
//!
//! ```text
//! messages ──┐               ┌─► Changes ─► the host makes them durable
//! work ──────┼─► prepare ────┤                         │
//! deadlines ─┘               └─► Held ────────────────►┴─► release ─► answers, messages, events
//! ```
//!
//! This is all that the hosts of a device have in common: the driver of a client, the hub's own agent, the
//! simulation. Each gathers what is ready, prepares, commits, and releases.
//!
//! **Architecture Invariant.** Nothing leaves the device before the step that made it is durable: until
//! [`Held::release`] nobody sees what is to leave, and the work of a step sees nothing of the host.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use chat_endpoint::store::Change;
use chat_endpoint::{
    Endpoint, Event, EventKey, Notification, Records, SendError, Standing, Step, Transmit,
};
use chat_protocol::handshake::SignedIn;
use chat_protocol::id::MessageId;
use chat_protocol::keys::Bundle;
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::Tag;

use crate::answers::{self, Answers};
use crate::history::{Record, Said, State};
use crate::recipient::Recipient;
use crate::store::Changes;

/// Before the text of what a program has said for its user, in the history.
const AWAY_MARK: &str = "(away) ";

/// Something to be done inside a step, for a host of this kind.
pub type Work<H> = Box<dyn FnOnce(&mut Turn<'_, H>) + Send>;

/// Something that the host is told when the step is durable.
type Answer<H> = Box<dyn FnOnce(&mut H) + Send>;

/// What a step takes in.
pub enum Input<H> {
    /// A connection was signed in.
    Connected(Box<SignedIn>, Arc<Bundle>),
    /// The connection is gone; what comes before this came over it.
    Disconnected,
    /// A message of the hub in JSON.
    Text(String),
    /// A delivery or part of an epoch.
    Binary(Bytes),
    /// What somebody asks of the device.
    Work(Work<H>),
    /// A durable event was dealt with.
    Consumed {
        /// The event.
        key: EventKey,
        /// Somebody has seen it.
        is_shown: bool,
    },
    /// A deadline of the device has come.
    Due,
    /// The receipts that are owed after all else leave with this step.
    Flush,
}

/// A device between two steps.
#[derive(Debug)]
pub struct Core {
    endpoint: Endpoint,
    home: Option<Shared>,
    is_online: bool,
}

/// What a device in a home has beside its rows.
#[derive(Debug)]
struct Shared {
    /// What this process waits for.
    answers: Answers,
    /// Answers that other processes of this home have left since the last step, and rows that are dealt with.
    left: (Vec<Event>, Vec<Change>),
}

/// What is held back until the step is durable.
#[must_use = "a step that is not released has happened and nobody hears of it"]
pub struct Held<H>(Released<H>);

/// What leaves the device.
pub struct Released<H> {
    /// What the host is told, before all else.
    pub answers: Vec<Answer<H>>,
    /// Messages for the hub, in order.
    pub transmits: Vec<Transmit>,
    /// What the host should know.
    pub events: Vec<Notification>,
    /// The story of the encryption, if it was asked for.
    pub trace: Vec<String>,
}

/// A step, from inside.
pub struct Turn<'a, H> {
    /// Unix time in milliseconds.
    pub now_ms: u64,
    core: &'a mut Core,
    taken: &'a mut Taken<H>,
}

/// What the inputs of a step have brought.
struct Taken<H> {
    answers: Vec<Answer<H>>,
    history: Vec<Said>,
    is_flushed: bool,
}

impl Core {
    /// A device that keeps no history, and whose rows are this process's alone.
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, home: None, is_online: false }
    }

    /// A device in a home with these rows: with a history, and perhaps with other processes.
    pub fn in_home(endpoint: Endpoint, rows: &Records, now_ms: u64) -> Self {
        let left = (Vec::new(), answers::outdated(rows, now_ms));
        Self {
            endpoint,
            home: Some(Shared { answers: Answers::default(), left }),
            is_online: false,
        }
    }

    /// The device itself.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The same, for what is no input of a step, such as other keys.
    pub fn endpoint_mut(&mut self) -> &mut Endpoint {
        &mut self.endpoint
    }

    /// The connection is given up between two steps.
    pub fn disconnected(&mut self) {
        self.is_online = false;
        self.endpoint.disconnected();
    }

    /// Whether everything is answered and no receipt is owed.
    pub fn is_settled(&self) -> bool {
        self.endpoint.unanswered() == 0 && !self.endpoint.owes_receipts()
    }

    /// Takes over what another process of the home has written; before the step is prepared.
    pub fn take_over(&mut self, rows: &Records) -> Result<(), serde_json::Error> {
        self.endpoint.reload(rows)?;
        if let Some(home) = &mut self.home {
            let open: HashSet<MessageId> =
                self.endpoint.pending().into_iter().map(|(id, ..)| id).collect();
            let (events, done) = home.answers.collect(rows, |id| open.contains(id));
            home.left.0.extend(events);
            home.left.1.extend(done);
        }
        Ok(())
    }

    /// Takes in what is ready, in this order. Returns what must be durable, and what is held back until then.
    pub fn prepare<H>(
        &mut self,
        now_ms: u64,
        inputs: impl IntoIterator<Item = Input<H>>,
    ) -> (Changes, Held<H>) {
        let mut taken = Taken { answers: Vec::new(), history: Vec::new(), is_flushed: false };
        for input in inputs {
            self.take(now_ms, input, &mut taken);
        }
        let Taken { answers, mut history, is_flushed } = taken;
        if is_flushed && self.endpoint.owes_receipts() {
            self.endpoint.flush_receipts(now_ms);
        }
        let Step { changes: mut rows, transmits, mut events, trace } = self.endpoint.finish(now_ms);
        if let Some(home) = &mut self.home {
            history.extend(events.iter().filter_map(|told| Said::learnt(&told.event)));
            let (left, done) = std::mem::take(&mut home.left);
            rows.extend(done.into_iter().chain(home.answers.note(&events)));
            events.extend(left.into_iter().map(|event| Notification { key: None, event }));
        }
        (Changes { rows, history }, Held(Released { answers, transmits, events, trace }))
    }

    fn take<H>(&mut self, now_ms: u64, input: Input<H>, taken: &mut Taken<H>) {
        match input {
            Input::Work(work) => work(&mut Turn { now_ms, core: self, taken }),
            Input::Text(text) => self.endpoint.handle_text(now_ms, &text),
            Input::Binary(bytes) => self.endpoint.handle_binary(now_ms, bytes),
            Input::Due => self.endpoint.handle_timeout(now_ms),
            Input::Connected(signed_in, hub) => {
                self.is_online = true;
                self.endpoint.connected(now_ms, &signed_in, &hub);
            }
            Input::Disconnected => self.disconnected(),
            Input::Consumed { key, is_shown } => {
                // Nothing comes back when another process of the home was faster.
                let event = self.endpoint.consumed(key);
                if is_shown && self.home.is_some() {
                    taken.history.extend(event.and_then(Said::shown));
                }
            }
            Input::Flush => taken.is_flushed = true,
        }
    }
}

impl<H> Held<H> {
    /// Lets it out. Called when the changes of the same step are durable, and not before.
    pub fn release(self) -> Released<H> {
        self.0
    }
}

impl<H> Turn<'_, H> {
    /// The device itself.
    pub fn endpoint(&mut self) -> &mut Endpoint {
        &mut self.core.endpoint
    }

    /// The device, while there is a connection: what is asked of it now cannot wait for the next one.
    pub fn online(&mut self) -> Option<&mut Endpoint> {
        self.core.is_online.then_some(&mut self.core.endpoint)
    }

    /// Tells the host something once the step is durable.
    pub fn answer(&mut self, answer: impl FnOnce(&mut H) + Send + 'static) {
        self.taken.answers.push(Box::new(answer));
    }

    /// This process waits for the server's answer to a message, and no other one of its home does.
    pub fn expect(&mut self, id: MessageId) -> MessageId {
        if let Some(home) = &mut self.core.home {
            home.answers.expect(id);
        }
        id
    }

    /// The receipts that are owed leave with this step.
    pub fn flush(&mut self) {
        self.taken.is_flushed = true;
    }

    /// Says something to people.
    pub fn send(
        &mut self,
        to: &Recipient,
        text: String,
        veiled: bool,
    ) -> Result<MessageId, SendError> {
        let from = self.endpoint().device().user.clone();
        let cid = to.conversation(&from).ok_or(SendError::ToOneself)?;
        let id = self.core.endpoint.send(self.now_ms, cid.clone(), &text, veiled)?;
        if self.core.home.is_some() {
            let (tag, text, said_in) = (Some(Tag::of_words(&cid)), Some(text), None);
            let sent_ms = self.now_ms;
            let record = Record { id, cid, tag, from, text, sent_ms, said_in, veiled };
            self.taken.history.push(Said::typed(record));
        }
        Ok(self.expect(id))
    }

    /// Tells somebody why this user does not answer. It stands in the history, with a mark: what is said in somebody's
    /// name is theirs to read, and nobody has typed it.
    pub fn answer_for_away(&mut self, to: &UserName, why: &str) {
        let from = self.endpoint().device().user.clone();
        let Ok(cid) = ConversationId::direct(&from, to) else { return };
        let said = self.core.endpoint.answer_for_away(self.now_ms, to, why);
        if let Some(id) = said.filter(|_| self.core.home.is_some()) {
            let (tag, text) = (Some(Tag::Dm), Some(format!("{AWAY_MARK}{why}")));
            let (sent_ms, said_in, veiled) = (self.now_ms, None, false);
            let record = Record { id, cid, tag, from, text, sent_ms, said_in, veiled };
            let state = State::Received { position: 0, peer: Standing::Known };
            self.taken.history.push(Said::New { record, state, frame: None });
        }
    }
}

#[cfg(test)]
mod tests {
    use chat_endpoint::SystemRandom;
    use chat_protocol::id::KeyId;
    use chat_protocol::keys::{DeviceKeys, KeySizes};
    use chat_protocol::name::RoomName;

    use super::*;
    use crate::own_device::OwnDevice;
    use crate::store::{HistoryStore as _, Home as _, MemoryStore};

    /// What a host was told.
    type Told = Vec<Result<MessageId, SendError>>;

    fn endpoint(home: &MemoryStore) -> Endpoint {
        let user = UserName::new("alice").unwrap();
        let keys = DeviceKeys::generate(KeySizes::EMULATED).unwrap();
        let device = OwnDevice::first(&user, keys, None, 5).unwrap();
        let device = device.to_endpoint(&user, KeyId([9; 16]));
        let rows = home.rows().unwrap();
        Endpoint::new(device, &rows, Arc::default(), Box::new(SystemRandom)).unwrap()
    }

    fn saying(text: &str) -> Input<Told> {
        let (to, text) = (Recipient::Room(RoomName::lobby()), text.to_owned());
        Input::Work(Box::new(move |turn| {
            let sent = turn.send(&to, text, false);
            turn.answer(move |told: &mut Told| told.push(sent));
        }))
    }

    /// Goal: what was said is in the home, in one commit, before anybody is told that it was taken.
    #[test]
    fn words_are_kept_with_their_rows_and_told_of_at_the_release() {
        let mut home = MemoryStore::default();
        let mut core = Core::in_home(endpoint(&home), &Vec::new(), 7);
        let (changes, held) = core.prepare(7, [saying("hello"), saying("")]);
        assert!(!changes.rows.is_empty());
        assert_eq!(changes.history.len(), 1, "nothing of what was refused");
        home.begin().unwrap();
        home.commit(&changes).unwrap();
        let mut told = Told::new();
        let Released { answers, transmits, .. } = held.release();
        for answer in answers {
            answer(&mut told);
        }
        let [Ok(id), Err(_)] = &told[..] else { panic!("{told:?}") };
        let kept = home.by_id(id).unwrap();
        assert_eq!(kept[0].record.text.as_deref(), Some("hello"));
        assert!(transmits.is_empty(), "there is no connection");
        let (changes, _) = core.prepare::<Told>(8, []);
        assert!(changes.is_empty());
    }

    #[test]
    fn a_device_without_a_home_keeps_no_history() {
        let mut core = Core::new(endpoint(&MemoryStore::default()));
        let (changes, _) = core.prepare(7, [saying("hello")]);
        assert!(changes.history.is_empty());
        assert!(!changes.rows.is_empty());
    }

    #[test]
    fn what_cannot_wait_is_taken_while_there_is_a_connection() {
        let mut core = Core::new(endpoint(&MemoryStore::default()));
        let asking = || -> Input<Vec<bool>> {
            Input::Work(Box::new(|turn| {
                let is_online = turn.online().is_some();
                turn.answer(move |told: &mut Vec<bool>| told.push(is_online));
            }))
        };
        let mut told = Vec::new();
        let mut ask = |core: &mut Core| {
            let (_, held) = core.prepare(7, [asking()]);
            for answer in held.release().answers {
                answer(&mut told);
            }
        };
        ask(&mut core);
        core.is_online = true;
        ask(&mut core);
        core.disconnected();
        ask(&mut core);
        assert_eq!(told, [false, true, false]);
    }
}
