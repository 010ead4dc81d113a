//! One step: everything that is ready goes in, one commit, then everything comes out.

use std::collections::HashSet;

use chat_endpoint::store::Change;
use chat_endpoint::{Event, Notification, Step, Transmit};
use chat_protocol::id::MessageId;
use tokio::time::Instant;

use super::{Driver, End, Input, Link, Turn};
use crate::client::{ClientEvent, Status};
use crate::clock::now_ms;
use crate::connection::{ConnectError, Incoming, Session};
use crate::home::{HomeError, KeyChange, OwnDevice};

/// What is to be said once the step is durable.
#[derive(Default)]
pub(super) struct Replies {
    pub(super) answers: Vec<Box<dyn FnOnce() + Send>>,
    pub(super) renewal: Option<KeyChange>,
    online: Option<Box<Session>>,
    /// Go away, with a goodbye or without.
    pub(super) away: Option<bool>,
    pub(super) comes_back: bool,
    pub(super) close: Option<tokio::sync::oneshot::Sender<()>>,
}

/// Answers from other processes of this home.
#[derive(Default)]
struct Left {
    events: Vec<Event>,
    rows: Vec<Change>,
}

impl Driver {
    /// Handles the inputs and lets out what comes of them.
    pub(super) fn step(&mut self, inputs: Vec<Input>) -> Result<(), End> {
        let mut left = Left::default();
        if let Some(home) = &mut self.home
            && home.store.begin().map_err(HomeError::from)?
        {
            let rows = home.store.rows().map_err(HomeError::from)?;
            self.endpoint.reload(&rows).map_err(HomeError::from)?;
            left = self.collect_answers()?;
        }
        let now_ms = now_ms();
        let mut replies = Replies::default();
        for (key, is_shown) in self.recorder.take_consumed() {
            if let Some(event) = self.endpoint.consumed(key).filter(|_| is_shown) {
                self.recorder.shown(event);
            }
        }
        for input in inputs {
            self.handle(now_ms, input, &mut replies);
        }
        if !self.flushes.is_empty() && self.endpoint.owes_receipts() {
            self.endpoint.flush_receipts(now_ms);
        }
        let Step { mut changes, transmits, mut events, trace } = self.endpoint.finish(now_ms);
        self.tell_crypto(&trace);
        let answers = self.answers.note(&events);
        let store = self.home.as_ref().map(|home| &home.store);
        self.recorder.write(store, &events)?;
        if let Some(home) = &mut self.home {
            changes.extend(left.rows.into_iter().chain(answers));
            home.store.commit(&changes).map_err(HomeError::from)?;
        }
        events.extend(left.events.into_iter().map(|event| Notification { key: None, event }));
        self.let_out(now_ms, replies, transmits, events)
    }

    /// Lets out what a step has brought: it is durable.
    fn let_out(
        &mut self,
        now_ms: u64,
        mut replies: Replies,
        transmits: Vec<Transmit>,
        events: Vec<Notification>,
    ) -> Result<(), End> {
        replies.answers.drain(..).for_each(|answer| answer());
        if let Some(session) = replies.online.take() {
            self.go_online(*session)?;
        }
        if let Link::Online { socket, .. } = &mut self.link {
            for transmit in transmits {
                self.journal.bytes_out(&transmit);
                socket.queue(transmit);
            }
        }
        for notification in events {
            self.journal.event(&notification.event);
            self.pending.push_back(ClientEvent::Notification(notification));
        }
        self.tell_caught_up();
        if self.endpoint.is_rolled_back() && matches!(self.link, Link::Online { .. }) {
            self.journal.rolled_back();
            self.counters_ask_for_key(now_ms)?;
        }
        if let Some(change) = replies.renewal {
            self.renew(change);
        }
        self.lose_if_asked();
        if let Some(goodbye) = replies.away {
            self.go_away(goodbye);
        }
        if replies.comes_back && matches!(self.link, Link::Down) {
            self.connect()?;
        }
        self.settle_flushes();
        let is_open = matches!(self.link, Link::Online { .. }) && self.endpoint.unanswered() > 0;
        if self.silence.waits(Instant::now(), is_open) {
            self.pending.push_back(ClientEvent::Answering);
        }
        match replies.close {
            Some(reply) => Err(End::Asked(Some(reply))),
            None => Ok(()),
        }
    }

    /// Ends a connection in which nothing would go on.
    fn lose_if_asked(&mut self) {
        if let Some(reason) = self.endpoint.reconnect_reason()
            && matches!(self.link, Link::Online { .. })
        {
            self.lose(&ConnectError::Lost { reason: reason.to_owned() });
        }
    }

    /// Writes the story of the encryption, where somebody wants it.
    fn tell_crypto(&self, blocks: &[String]) {
        let Some(trace) = &self.trace else { return };
        let user = &self.endpoint.device().user;
        for block in blocks {
            trace.write(user.as_str(), block);
        }
    }

    /// What other processes of this home have left for this one.
    fn collect_answers(&mut self) -> Result<Left, End> {
        let Some(home) = &self.home else { return Ok(Left::default()) };
        let open: HashSet<MessageId> =
            self.endpoint.pending().into_iter().map(|(id, ..)| id).collect();
        let collected = self.answers.collect(&home.store, |id| open.contains(id));
        let (events, rows) = collected.map_err(HomeError::from)?;
        Ok(Left { events, rows })
    }

    fn handle(&mut self, now_ms: u64, input: Input, replies: &mut Replies) {
        match input {
            Input::Work(work) => work(&mut Turn { now_ms, driver: self, replies }),
            Input::Incoming(Incoming::Text(text)) => self.endpoint.handle_text(now_ms, &text),
            Input::Incoming(Incoming::Binary(bytes)) => self.endpoint.handle_binary(now_ms, bytes),
            Input::Due => self.endpoint.handle_timeout(now_ms),
            Input::Connected(session) => {
                self.endpoint.connected(now_ms, &session.signed_in, &session.hub);
                replies.online = Some(session);
            }
        }
    }

    /// The connection is signed in, and what the device made of it is durable.
    fn go_online(&mut self, session: Session) -> Result<(), End> {
        let Session { url, socket, signed_in, .. } = session;
        if !self.device.published {
            self.device = OwnDevice { published: true, ..self.device.clone() };
            if let Some(home) = &mut self.home {
                crate::home::save_device(&mut home.store, &self.device)?;
            }
        }
        self.tell_renewed();
        let server = self.endpoint.device().server;
        self.journal.online(&url);
        let clocks = (now_ms(), signed_in.time);
        self.pending.push_back(ClientEvent::Online { url: url.clone(), server, clocks });
        self.link = self.link.online(socket, url);
        Ok(())
    }

    /// Tells the host, once in a connection, that what waited at the server was dealt with.
    fn tell_caught_up(&mut self) {
        if let Link::Online { caught_up, .. } = &mut self.link
            && !*caught_up
            && self.endpoint.has_caught_up()
        {
            *caught_up = true;
            self.pending.push_back(ClientEvent::CaughtUp);
        }
    }

    /// Answers those who wait until nothing is open.
    fn settle_flushes(&mut self) {
        if !matches!(self.link, Link::Online { .. }) {
            self.fail_flushes();
        } else if self.endpoint.unanswered() == 0 && !self.endpoint.owes_receipts() {
            for reply in self.flushes.drain(..) {
                // Whoever asked may be gone, as after Ctrl-C.
                reply.send(true).ok();
            }
        }
    }

    pub(super) fn status(&self) -> Status {
        let device = self.endpoint.device();
        Status {
            user: device.user.clone(),
            dev: device.dev,
            identity: device.bundle.identity(),
            server: device.server,
            url: match &self.link {
                Link::Online { url, .. } => Some(url.clone()),
                _ => None,
            },
            answer_us: self.journal.last_answer_us(),
            silent_s: self.silence.lasts(Instant::now()).map(|lasts| lasts.as_secs()),
            unanswered: self.endpoint.unanswered(),
            pending: self.endpoint.pending(),
        }
    }
}
