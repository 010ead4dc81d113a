//! The task that owns one device and its connection.
//!
//! ```text
//! orders ──┐                       ┌─► rows, committed first
//! messages ┼─► gather ─► one step ─┼─► replies
//! deadline ┘   (all that is ready) ├─► messages to the server
//!                                  └─► events
//! ```
//!
//! **Architecture Invariant.** Nothing leaves the device before the step that made it is durable.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chat_endpoint::{Endpoint, EventKey, SystemRandom};
use chat_oplog::CryptoTrace;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::client::{ClientEvent, ClientOptions, Notes, RenewError, Stopped};
use crate::clock::now_ms;
use crate::connection::{ConnectError, Incoming, Session};
use crate::home::{HomeError, OwnDevice};
use crate::sign_in::{Credentials, Door, OpenHome, StartError, Started};

mod answers;
mod journal;
mod link;
mod people;
mod recorder;
mod silence;
mod step;
mod turn;

use answers::Answers;
use journal::Journal;
use link::{Link, LinkEvent};
pub use people::{Decision, RENEWING};
use recorder::Recorder;
use silence::Silence;
pub(crate) use turn::{Turn, Work};

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

/// What a step takes in.
enum Input {
    Work(Work),
    Incoming(Incoming),
    Connected(Box<Session>),
    /// A deadline of the device has come.
    Due,
}

/// Why the driver ends.
enum End {
    /// It was asked to; whoever asked is told when all is written.
    Asked(Option<oneshot::Sender<()>>),
    /// It cannot go on.
    Failed(Stopped),
}

impl From<HomeError> for End {
    fn from(error: HomeError) -> Self {
        Self::Failed(error.into())
    }
}

/// Everything of one device at run time.
struct Driver {
    endpoint: Endpoint,
    device: OwnDevice,
    home: Option<OpenHome>,
    door: Door,
    credentials: Option<Arc<Credentials>>,
    orders: mpsc::Receiver<Order>,
    events: mpsc::Sender<ClientEvent>,
    /// Events that the host has no room for yet.
    pending: VecDeque<ClientEvent>,
    link: Link,
    flushes: Vec<oneshot::Sender<bool>>,
    /// Who waits for new keys to be published.
    renewals: Vec<oneshot::Sender<Result<(), RenewError>>>,
    /// What this process waits for.
    answers: Answers,
    recorder: Recorder,
    silence: Silence,
    /// Messages about files, whose answers are no news for people.
    notes: Notes,
    journal: Journal,
    trace: Option<CryptoTrace>,
}

/// Starts the task of a device that has just signed in.
pub(crate) fn spawn(
    options: ClientOptions,
    started: Started,
    (orders, notes): (mpsc::Receiver<Order>, Notes),
    events: mpsc::Sender<ClientEvent>,
) -> Result<(), StartError> {
    let Started { device, server, store: mut home, credentials, session } = started;
    let door = Door::new(&options);
    let own = device.to_endpoint(&options.user, server);
    let random = Box::new(SystemRandom);
    let mut endpoint = match &mut home {
        Some(home) => {
            home.store.begin().map_err(HomeError::from)?;
            let rows = home.store.rows().map_err(HomeError::from)?;
            let outdated = answers::outdated(&rows, now_ms());
            home.store.commit(&outdated).map_err(HomeError::from)?;
            let endpoint = Endpoint::new(own, &rows, options.bundles, random);
            let mut endpoint = endpoint.map_err(HomeError::from)?;
            endpoint.knew(home.knew);
            endpoint
        }
        None => Endpoint::in_memory(own, options.bundles, random),
    };
    if options.trace.is_some() {
        endpoint.trace_crypto();
    }
    let journal = Journal::new(options.log, options.user);
    let driver = Driver {
        endpoint,
        device,
        home,
        door,
        credentials: credentials.map(Arc::new),
        orders,
        events,
        pending: VecDeque::new(),
        link: Link::Down,
        flushes: Vec::new(),
        renewals: Vec::new(),
        answers: Answers::default(),
        recorder: Recorder::default(),
        silence: Silence::default(),
        notes,
        journal,
        trace: options.trace,
    };
    tokio::spawn(driver.run(session));
    Ok(())
}

impl Driver {
    async fn run(mut self, session: Session) {
        let end = match self.step(vec![Input::Connected(Box::new(session))]) {
            Ok(()) => self.work().await,
            Err(end) => end,
        };
        if let Link::Online { socket, .. } = std::mem::take(&mut self.link) {
            socket.close().await;
        }
        self.journal.closed(matches!(end, End::Asked(_)));
        // Whoever waits for an answer learns that there will be none.
        let Self { orders, events, mut pending, flushes, renewals, .. } = self;
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

    /// Steps until the end.
    async fn work(&mut self) -> End {
        loop {
            let inputs = match self.gather().await {
                Ok(inputs) => inputs,
                Err(end) => return end,
            };
            if !inputs.is_empty()
                && let Err(end) = self.step(inputs)
            {
                return end;
            }
        }
    }

    /// Waits until something happens, and takes everything else that is there already: one step
    /// and one signature then cover all of it.
    async fn gather(&mut self) -> Result<Vec<Input>, End> {
        let reads = self.pending.len() < PENDING_EVENTS_MAX;
        let due = self.endpoint.next_deadline().map(|deadline| {
            Instant::now() + Duration::from_millis(deadline.saturating_sub(now_ms()))
        });
        let (shown_due, silent_due) = (self.recorder.due(), self.silence.due());
        let mut inputs = Vec::new();
        let (mut link_event, mut order, mut is_silent) = (None, None, false);
        tokio::select! {
            taken = self.orders.recv() => match taken {
                Some(taken) => order = Some(taken),
                // Every handle is gone.
                None if shown_due.is_none() => return Err(End::Asked(None)),
                None => inputs.push(Input::Due),
            },
            event = self.link.next(reads) => link_event = Some(event),
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
                inputs.push(Input::Due);
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                inputs.push(Input::Due);
            }
            () = sleep_until(silent_due.unwrap_or_else(Instant::now)), if silent_due.is_some() => {
                is_silent = true;
            }
        }
        if is_silent {
            self.tell_silence();
        }
        if let Some(order) = order {
            self.take_order(order, &mut inputs);
        }
        if let Some(event) = link_event {
            self.on_link(event, &mut inputs)?;
        }
        self.hand_over();
        while inputs.len() < STEP_INPUTS_MAX
            && let Ok(order) = self.orders.try_recv()
        {
            self.take_order(order, &mut inputs);
        }
        while reads
            && inputs.len() < STEP_INPUTS_MAX
            && let Some(incoming) = self.link.try_next()
        {
            match incoming {
                Ok(incoming) => {
                    self.hear();
                    inputs.push(Input::Incoming(incoming));
                }
                Err(error) => {
                    self.lose(&error);
                    break;
                }
            }
        }
        Ok(inputs)
    }

    /// Puts an order among the inputs of the next step. What was shown only makes a step when it
    /// is worth one.
    fn take_order(&mut self, order: Order, inputs: &mut Vec<Input>) {
        match order {
            Order::Consumed { key, is_shown } => {
                if self.recorder.consumed(key, is_shown) {
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

    fn on_link(&mut self, event: LinkEvent, inputs: &mut Vec<Input>) -> Result<(), End> {
        match event {
            LinkEvent::Incoming(incoming) => {
                self.hear();
                inputs.push(Input::Incoming(incoming));
            }
            LinkEvent::Lost(error) => self.lose(&error),
            LinkEvent::Connected(session) => inputs.push(Input::Connected(session)),
            LinkEvent::NotConnected(error) => self.not_connected(error)?,
            LinkEvent::Renewed(renewed) => {
                let device = renewed.map_err(|error| End::Failed(Stopped::Home(error)))?;
                self.adopt(device)?;
                self.connect()?;
            }
            LinkEvent::TryAgain => self.connect()?,
        }
        Ok(())
    }

    /// Starts the next attempt, with the keys as they are now.
    fn connect(&mut self) -> Result<(), End> {
        if let Some(home) = &self.home
            && let Some(device) = crate::home::load_device(&home.store, &home.vault)?
            && device.bundle.digest() != self.device.bundle.digest()
        {
            // Another process of this home has made a new key meanwhile.
            self.adopt(device)?;
        }
        let revoked = self.endpoint.revocations();
        let kept = (None, &revoked[..]);
        let fresh = crate::sign_in::up_to_date(self.device.clone(), &self.door.user, kept);
        match fresh {
            Ok(device) if !device.published && self.device.published => self.adopt(device)?,
            Ok(_) => {}
            Err(error) => return Err(End::Failed(Stopped::Home(error.into()))),
        }
        let (door, device) = (self.door.clone(), self.device.clone());
        self.link = self.link.connecting(door, device, self.credentials.clone());
        Ok(())
    }

    /// Takes other keys of this device over, durably first.
    fn adopt(&mut self, device: OwnDevice) -> Result<(), End> {
        if let Some(home) = &mut self.home {
            crate::home::save_device(&mut home.store, &device)?;
        }
        let server = self.endpoint.device().server;
        self.endpoint.replace_device(device.to_endpoint(&self.door.user, server));
        self.device = device;
        Ok(())
    }

    /// The server has said something.
    fn hear(&mut self) {
        if self.silence.heard() {
            self.pending.push_back(ClientEvent::Answering);
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
        self.endpoint.disconnected();
        self.link = self.link.lost();
        self.fail_flushes();
        let reason = error.to_string();
        self.journal.lost(&reason);
        self.pending.push_back(ClientEvent::Offline { reason });
    }

    /// Breaks the connection; no other try follows by itself.
    fn go_away(&mut self, goodbye: bool) {
        self.silence = Silence::default();
        self.endpoint.disconnected();
        if let Link::Online { socket, .. } = std::mem::take(&mut self.link)
            && goodbye
        {
            // It has a deadline of its own, and nothing here waits for the server's answer.
            tokio::spawn(socket.close());
        }
        self.fail_flushes();
        let reason = "away by its own will";
        self.journal.lost(reason);
        self.pending.push_back(ClientEvent::Offline { reason: reason.to_owned() });
    }

    fn not_connected(&mut self, error: ConnectError) -> Result<(), End> {
        self.fail_flushes();
        self.journal.not_connected(&error);
        if !error.is_temporary() {
            return Err(End::Failed(error.into()));
        }
        self.link = self.link.wait(&error);
        Ok(())
    }

    /// Without a connection nothing more is answered.
    fn fail_flushes(&mut self) {
        for reply in self.flushes.drain(..) {
            // Whoever asked may be gone, as after Ctrl-C.
            reply.send(false).ok();
        }
    }
}
