//! The task that owns one device and its connection: a host of the [step](crate::step).
//!
//! ```text
//! orders ──┐                                                          ┌─► answers
//! messages ┼─► gather (all that is ready) ─► prepare, commit, release ┼─► messages to the server
//! deadline ┘   the task, which waits         a thread that may wait   └─► events
//! ```
//!
//! Whatever is done about the device between two waits is done on a thread for blocking work: it reads and writes
//! the home, signs, and makes keys. A device that keeps nothing has no disk to wait for, and stays with the task.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chat_endpoint::{Endpoint, EventKey, SystemRandom};
use chat_oplog::CryptoTrace;
use chat_protocol::code;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::clock::now_ms;
use crate::connection::{Brought, ConnectError, Incoming, Session};
use crate::event::{ClientEvent, RenewError, Stopped};
use crate::home::HomeError;
use crate::own_device::{KeyChange, Known, OwnDevice};
use crate::sign_in::{ClientOptions, Credentials, Door, OpenHome, Started};
use crate::step::Core;
use crate::store::{Home as _, StoreError};

mod journal;
mod link;
mod people;
mod repeats;
mod shown;
mod silence;
mod step;
mod turn;

use journal::Journal;
use link::{Link, LinkChange, LinkEvent};
pub use people::{Decision, RENEWING};
use repeats::Repeats;
use shown::Shown;
use silence::Silence;
use step::Asked;

type Input = crate::step::Input<Driver>;
type Released = crate::step::Released<Driver>;
pub(crate) type Turn<'a> = crate::step::Turn<'a, Driver>;
pub(crate) type Work = crate::step::Work<Driver>;

/// Why a connection ends that does not come back by itself.
pub const BY_WILL: &str = "away by its own will";

/// What one step takes in at most: four times what one signature covers.
const STEP_INPUTS_MAX: usize = 256;

/// Events that the host has not taken. Above it the connection is not read: it is the server that
/// keeps what comes, not this process's memory.
const PENDING_EVENTS_MAX: usize = 1_024;

/// What a [`crate::client::Client`] wants.
pub(crate) enum Order {
    /// Something is to be done inside the next step.
    Work(Work),
    /// A durable event was dealt with, and was shown to somebody or not.
    Consumed {
        /// The event.
        key: EventKey,
        /// Somebody has seen it.
        is_shown: bool,
    },
}

/// What the task hands to the thread that may wait.
#[derive(Default)]
struct Gathered {
    /// What became of a link that is no connection; dealt with before the step.
    change: Option<LinkChange>,
    /// What the next step takes in; none where there is no step.
    inputs: Vec<Input>,
    /// Why the connection is gone; dealt with after the step, which takes in what had come.
    lost: Option<ConnectError>,
}

/// Why the driver ends.
enum End {
    /// It was asked to; whoever asked is told when all is written.
    Asked(Option<oneshot::Sender<()>>),
    /// It cannot go on.
    Failed(Stopped),
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Failed(Stopped::Home(error.into()))
    }
}

/// Everything of one device at run time.
pub(crate) struct Driver {
    core: Core,
    device: OwnDevice,
    home: Option<OpenHome>,
    door: Door,
    credentials: Option<Arc<Credentials>>,
    orders: mpsc::Receiver<Order>,
    events: mpsc::Sender<ClientEvent>,
    /// Events that the host has no room for yet.
    pending: VecDeque<ClientEvent>,
    link: Link,
    /// The goodbye of the connection before. The server refuses a device that is still there.
    closing: Option<JoinHandle<()>>,
    flushes: Vec<oneshot::Sender<bool>>,
    renewals: Vec<people::Renewal>,
    /// What changes with the next bundle, from when it is made until the server has it or there is no connection.
    renewing: Option<KeyChange>,
    /// What became of the newest bundle at the last sign-in.
    brought: Brought,
    repeats: Repeats,
    /// For the end of the step.
    asked: Asked,
    shown: Shown,
    silence: Silence,
    journal: Journal,
    trace: Option<CryptoTrace>,
    /// There was a connection since the start.
    was_online: bool,
    /// The host knows that the first attempt has failed.
    was_told_of_none: bool,
}

impl Driver {
    /// The driver of a device that has just signed in, or was opened without the server. Reads the home.
    pub(crate) fn new(
        options: ClientOptions,
        started: Started,
        orders: mpsc::Receiver<Order>,
        events: mpsc::Sender<ClientEvent>,
    ) -> Result<(Box<Self>, Option<Session>), HomeError> {
        let Started { device, server, store: home, credentials, session } = started;
        let door = Door::new(&options);
        let own = device.to_endpoint(&options.user, server);
        let random = Box::new(SystemRandom);
        let mut core = match &home {
            Some(home) => {
                let rows = home.store.rows()?;
                let mut endpoint = Endpoint::new(own, &rows, options.bundles, random)?;
                endpoint.knew(home.knew);
                // Another process of this home may have gone on since this one has read its device.
                if let Some(number) = crate::home::number_made(&home.store)? {
                    endpoint.home_has_made(number);
                }
                Core::in_home(endpoint, &rows, now_ms())
            }
            None => Core::new(Endpoint::in_memory(own, options.bundles, random)),
        };
        if options.trace.is_some() {
            core.endpoint_mut().trace_crypto();
        }
        let driver = Self {
            core,
            device,
            home,
            door,
            credentials: credentials.map(Arc::new),
            orders,
            events,
            pending: VecDeque::new(),
            link: Link::Down,
            closing: None,
            flushes: Vec::new(),
            renewals: Vec::new(),
            renewing: None,
            brought: Brought::Nothing,
            repeats: Repeats::default(),
            asked: Asked::default(),
            shown: Shown::default(),
            silence: Silence::default(),
            journal: Journal::new(options.log, options.user),
            trace: options.trace,
            was_online: false,
            was_told_of_none: false,
        };
        Ok((Box::new(driver), session))
    }

    /// Drives the device until the end.
    pub(crate) async fn run(self: Box<Self>, session: Option<Session>) {
        let mut driver = self;
        let mut next = Gathered::default();
        match session {
            Some(session) => next.inputs.push(driver.greet(session)),
            None => next.change = Some(LinkChange::TryAgain),
        }
        let end = loop {
            // A step that has panicked has said so, and left nothing to go on with.
            let Some(acted) = driver.aside(next).await else { return };
            let ended;
            (driver, ended) = acted;
            if let Err(end) = ended {
                break end;
            }
            match driver.gather().await {
                Ok(gathered) => next = gathered,
                Err(end) => break end,
            }
        };
        driver.end(end).await;
    }

    /// Acts on a thread that may wait, where there is something to wait for.
    async fn aside(mut self: Box<Self>, next: Gathered) -> Option<(Box<Self>, Result<(), End>)> {
        // Other keys are made when something becomes of the link, and only then.
        let is_quick = next.change.is_none() && (next.inputs.is_empty() || self.home.is_none());
        let act = move || {
            let ended = self.act(next);
            (self, ended)
        };
        if is_quick {
            return Some(act());
        }
        tokio::task::spawn_blocking(act).await.ok()
    }

    async fn end(mut self: Box<Self>, end: End) {
        if let Link::Online { socket, .. } = std::mem::take(&mut self.link) {
            socket.close().await;
        }
        self.journal.closed(matches!(end, End::Asked(_)));
        // Whoever waits for an answer learns that there will be none.
        let Self { orders, events, mut pending, flushes, renewals, .. } = *self;
        drop((orders, flushes, renewals));
        match end {
            // The one that asked may be gone, as after Ctrl-C.
            End::Asked(reply) => drop(reply.map(|reply| reply.send(()))),
            End::Failed(stopped) => {
                pending.push_back(ClientEvent::Stopped(stopped));
                for event in pending {
                    if events.send(event).await.is_err() {
                        break;
                    }
                }
            }
        }
    }

    /// Waits until something happens, and takes everything else that is there already: one step
    /// and one signature then cover all of it.
    async fn gather(&mut self) -> Result<Gathered, End> {
        let reads = self.pending.len() < PENDING_EVENTS_MAX;
        let due = self.core.endpoint().next_deadline().map(|deadline| {
            Instant::now() + Duration::from_millis(deadline.saturating_sub(now_ms()))
        });
        let (shown_due, silent_due) = (self.shown.due(), self.silence.due());
        let repeat_due = self.repeats.due();
        let mut next = Gathered::default();
        let (mut news, mut order, mut is_silent) = (None, None, false);
        tokio::select! {
            taken = self.orders.recv() => match taken {
                Some(taken) => order = Some(taken),
                // Every handle is gone.
                None if shown_due.is_none() => return Err(End::Asked(None)),
                None => next.inputs.push(Input::Due),
            },
            event = self.link.next(reads) => news = Some(event),
            permit = self.events.reserve(), if !self.pending.is_empty() => match permit {
                Ok(permit) => {
                    if let Some(event) = self.pending.pop_front() {
                        permit.send(event);
                    }
                }
                // Nobody looks any more: the handle decides when it is over.
                Err(_) => self.pending.clear(),
            },
            () = sleep_until(shown_due.unwrap_or_else(Instant::now)), if shown_due.is_some() => {
                next.inputs.push(Input::Due);
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                next.inputs.push(Input::Due);
            }
            () = sleep_until(repeat_due.unwrap_or_else(Instant::now)), if repeat_due.is_some() => {
                next.inputs.push(Input::Due);
            }
            () = sleep_until(silent_due.unwrap_or_else(Instant::now)), if silent_due.is_some() => {
                is_silent = true;
            }
        }
        if is_silent {
            self.tell_silence();
        }
        if let Some(order) = order {
            self.take_order(order, &mut next.inputs);
        }
        if let Some(event) = news {
            self.take_event(event, &mut next);
        }
        self.hand_over();
        while next.inputs.len() < STEP_INPUTS_MAX
            && let Ok(order) = self.orders.try_recv()
        {
            self.take_order(order, &mut next.inputs);
        }
        while reads
            && next.inputs.len() < STEP_INPUTS_MAX
            && next.lost.is_none()
            && let Some(incoming) = self.link.try_next()
        {
            let event = incoming.map_or_else(LinkEvent::Lost, LinkEvent::Incoming);
            self.take_event(event, &mut next);
        }
        Ok(next)
    }

    /// Puts what comes from the link where it belongs, in its order.
    fn take_event(&mut self, event: LinkEvent, next: &mut Gathered) {
        match event {
            LinkEvent::Incoming(incoming) => next.inputs.push(self.hear(incoming)),
            LinkEvent::Connected(session) => next.inputs.push(self.greet(*session)),
            LinkEvent::Lost(error) => {
                next.inputs.push(Input::Disconnected);
                next.lost = Some(error);
            }
            LinkEvent::Changed(change) => next.change = Some(change),
        }
    }

    /// Puts an order among the inputs of the next step. What was shown only makes a step when it
    /// is worth one.
    fn take_order(&mut self, order: Order, inputs: &mut Vec<Input>) {
        match order {
            Order::Consumed { key, is_shown } => {
                if self.shown.consumed(key, is_shown) {
                    inputs.push(Input::Due);
                }
            }
            Order::Work(work) => inputs.push(Input::Work(work)),
        }
    }

    /// Hands the host as many events as it has room for.
    fn hand_over(&mut self) {
        while let Some(event) = self.pending.pop_front() {
            if let Err(TrySendError::Full(event)) = self.events.try_send(event) {
                self.pending.push_front(event);
                break;
            }
        }
    }

    /// Starts the next attempt, with the keys as they are now.
    fn connect(&mut self) -> Result<(), End> {
        if let Some(home) = &self.home
            && let Some(device) = crate::home::load_device(&home.store, &home.vault)?
            && device.bundle.digest() != self.device.bundle.digest()
        {
            // Another process of this home has made a new key meanwhile.
            self.go_on_with(device);
        }
        let known = self.known();
        let fresh =
            crate::sign_in::up_to_date(self.device.clone(), &self.door.user, (None, &known));
        let fresh = fresh.map_err(StoreError::from)?;
        if fresh.bundle.digest() != self.device.bundle.digest() {
            let other = self.keep_next(&fresh)?;
            self.go_on_with(other.unwrap_or(fresh));
        }
        let (door, device) = (self.door.clone(), self.device.clone());
        let credentials = self.credentials.clone();
        self.link = self.link.connecting((door, device), credentials, self.closing.take());
        Ok(())
    }

    /// What is known of this account beside the bundle of this device.
    fn known(&self) -> Known {
        let endpoint = self.core.endpoint();
        Known { revoked: endpoint.revocations(), newest: endpoint.newer_own_bundle().cloned() }
    }

    /// From now on these are its keys. They are in the home.
    fn go_on_with(&mut self, device: OwnDevice) {
        let server = self.core.endpoint().device().server;
        self.core.endpoint_mut().replace_device(device.to_endpoint(&self.door.user, server));
        self.device = device;
    }

    /// The server has said something.
    fn hear(&mut self, incoming: Incoming) -> Input {
        if self.silence.heard() {
            self.pending.push_back(ClientEvent::Answering);
        }
        match incoming {
            Incoming::Text(text) => Input::Text(text.to_string()),
            Incoming::Binary(bytes) => Input::Binary(bytes),
        }
    }

    /// Nothing has come for a while, although something has no answer.
    fn tell_silence(&mut self) {
        self.silence.tell();
        if let Some(lasts) = self.silence.lasts(Instant::now()) {
            self.pending.push_back(ClientEvent::Silent { seconds: lasts.as_secs() });
        }
    }

    fn lose(&mut self, error: &ConnectError) {
        self.silence = Silence::default();
        self.link = self.link.lost();
        self.fail_flushes();
        let reason = error.to_string();
        self.journal.lost(&reason);
        self.pending.push_back(ClientEvent::Offline { reason });
    }

    /// Breaks the connection; no other try follows by itself.
    fn go_away(&mut self, goodbye: bool) {
        self.silence = Silence::default();
        self.core.disconnected();
        match std::mem::take(&mut self.link) {
            // It has a deadline of its own, and nothing but the next connection waits for the server's answer.
            Link::Online { socket, .. } if goodbye => {
                self.closing = Some(tokio::spawn(socket.part()));
            }
            // Its keys go with it, and the next connection is made with those of before.
            Link::Renewing(_) => self.fail_renewals(RenewError::Offline),
            _ => {}
        }
        self.fail_flushes();
        self.journal.lost(BY_WILL);
        self.pending.push_back(ClientEvent::Offline { reason: BY_WILL.to_owned() });
    }

    fn not_connected(&mut self, error: ConnectError) -> Result<(), End> {
        self.fail_flushes();
        self.journal.not_connected(&error);
        // A chat of this home that runs already is not waited for by one that has just begun.
        let is_second = !self.was_online && error.code() == Some(code::NAME_IN_USE);
        if !error.is_temporary() || is_second {
            return Err(End::Failed(error.into()));
        }
        self.link = self.link.wait(&error);
        if !self.was_online && !self.was_told_of_none {
            self.was_told_of_none = true;
            self.pending.push_back(ClientEvent::Offline { reason: error.to_string() });
        }
        Ok(())
    }

    /// Without a connection nothing more is answered.
    fn fail_flushes(&mut self) {
        self.renewing = None;
        if self.asked.renewal.take().is_some() {
            self.fail_renewals(RenewError::Offline);
        }
        for reply in self.flushes.drain(..) {
            // Whoever asked may be gone, as after Ctrl-C.
            reply.send(false).ok();
        }
    }
}
