//! What is gathered goes in, one commit, then everything comes out: on a thread that may wait for the disk.

use chat_endpoint::Notification;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Driver, End, Gathered, Input, Link, LinkChange, Released};
use crate::clock::now_ms;
use crate::connection::{Brought, ConnectError, Session, Socket};
use crate::event::{ClientEvent, Status};
use crate::own_device::{KeyChange, OwnDevice};
use crate::server_url::ServerUrl;
use crate::sign_in::FilesDoor;
use crate::store::{Home as _, StoreError};

/// What is to be done once the step is durable.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) renewal: Option<KeyChange>,
    online: Option<Online>,
    /// Go away, with a goodbye or without.
    away: Option<bool>,
    /// And then connect.
    comes_back: bool,
    pub(super) close: Option<oneshot::Sender<()>>,
}

impl Asked {
    /// Go away, whatever was asked before.
    pub(super) fn goes(&mut self, goodbye: bool) {
        (self.away, self.comes_back) = (Some(goodbye), false);
    }

    /// Come back, also from where it goes to in the same step.
    pub(super) fn comes_back(&mut self) {
        self.comes_back = true;
    }

    /// Whether the connection ends with this step.
    pub(super) fn goes_away(&self) -> bool {
        self.away.is_some()
    }

    /// Whether one begins with it.
    pub(super) fn is_coming(&self) -> bool {
        self.online.is_some()
    }
}

/// A connection that the device is about to know of.
struct Online {
    url: ServerUrl,
    socket: Socket,
    /// The server's clock, Unix time in milliseconds.
    time_ms: u64,
    brought: Brought,
}

impl Driver {
    /// Does what was gathered.
    pub(super) fn act(&mut self, Gathered { change, inputs, lost }: Gathered) -> Result<(), End> {
        match change {
            None => {}
            Some(LinkChange::NotConnected(error)) => self.not_connected(error)?,
            Some(LinkChange::Renewed(renewed)) => {
                self.take_renewed(renewed?)?;
            }
            Some(LinkChange::NotRenewed) => {
                self.give_up_renewing();
                self.connect()?;
            }
            Some(LinkChange::TryAgain) => self.connect()?,
        }
        if !inputs.is_empty() {
            self.step(inputs)?;
        }
        // The step itself may have given the connection up.
        if let Some(error) = lost
            && let Link::Online { url, .. } = &self.link
        {
            self.door.connector.leave(url);
            self.lose(&error);
        }
        Ok(())
    }

    /// A connection is signed in: what it says is the next step's, and nothing is sent before.
    pub(super) fn greet(&mut self, session: Session) -> Input {
        let Session { url, socket, signed_in, hub, brought, .. } = session;
        self.asked.online = Some(Online { url, socket, time_ms: signed_in.time, brought });
        Input::Connected(Box::new(signed_in), hub)
    }

    /// Prepares the step, commits it and lets out what comes of it.
    fn step(&mut self, inputs: Vec<Input>) -> Result<(), End> {
        if let Some(home) = &mut self.home
            && let Some(rows) = home.store.begin()?
        {
            self.core.take_over(&rows).map_err(StoreError::from)?;
            if let Some(number) = crate::home::number_made(&home.store)? {
                self.core.endpoint_mut().home_has_made(number);
            }
        }
        let now_ms = now_ms();
        let flush = (!self.flushes.is_empty()).then_some(Input::Flush);
        let inputs = self.shown.take().into_iter().chain(inputs).chain(flush);
        let (changes, held) = self.core.prepare(now_ms, inputs);
        if let Some(home) = &mut self.home {
            home.store.commit(&changes)?;
        }
        self.let_out(now_ms, held.release())
    }

    /// Lets out what a step has brought: it is durable.
    fn let_out(&mut self, now_ms: u64, released: Released) -> Result<(), End> {
        let Released { answers, transmits, events, trace } = released;
        self.tell_crypto(&trace);
        for answer in answers {
            answer(self);
        }
        let asked = std::mem::take(&mut self.asked);
        if let Some(online) = asked.online {
            self.go_online(online)?;
        }
        if let Link::Online { socket, .. } = &mut self.link {
            for transmit in transmits {
                self.journal.bytes_out(&transmit);
                socket.queue(transmit);
            }
        }
        self.tell(events);
        if self.core.endpoint().is_rolled_back() && matches!(self.link, Link::Online { .. }) {
            self.journal.rolled_back();
            self.counters_ask_for_key(now_ms)?;
        }
        if let Some(change) = asked.renewal {
            self.renew_once_shown(change);
        }
        self.lose_if_asked();
        if let Some(goodbye) = asked.away {
            self.go_away(goodbye);
        }
        if asked.comes_back && matches!(self.link, Link::Down | Link::Waiting { .. }) {
            self.connect()?;
        }
        self.settle_flushes();
        let is_open =
            matches!(self.link, Link::Online { .. }) && self.core.endpoint().unanswered() > 0;
        if self.silence.waits(Instant::now(), is_open) {
            self.pending.push_back(ClientEvent::Answering);
        }
        if let Some(reply) = asked.close {
            return Err(End::Asked(Some(reply)));
        }
        self.repeat_bundle();
        Ok(())
    }

    /// Tells the host what the device says, and once in a connection that what waited at the server was dealt with.
    fn tell(&mut self, events: Vec<Notification>) {
        for notification in events {
            self.journal.event(&notification.event);
            self.pending.push_back(ClientEvent::Notification(notification));
        }
        if let Link::Online { caught_up, .. } = &mut self.link
            && !*caught_up
            && self.core.endpoint().has_caught_up()
        {
            *caught_up = true;
            self.pending.push_back(ClientEvent::CaughtUp);
        }
    }

    /// Ends a connection in which nothing would go on.
    fn lose_if_asked(&mut self) {
        if let Some(reason) = self.core.endpoint().reconnect_reason()
            && matches!(self.link, Link::Online { .. })
        {
            self.core.disconnected();
            self.lose(&ConnectError::Lost { reason: reason.to_owned() });
        }
    }

    /// Writes the story of the encryption, where somebody wants it.
    fn tell_crypto(&self, blocks: &[String]) {
        let Some(trace) = &self.trace else { return };
        let user = &self.core.endpoint().device().user;
        for block in blocks {
            trace.write(user.as_str(), block);
        }
    }

    /// The connection is signed in, and what the device made of it is durable.
    fn go_online(&mut self, online: Online) -> Result<(), End> {
        let Online { url, socket, time_ms, brought } = online;
        if !self.device.published && brought == Brought::Taken {
            let published = OwnDevice { published: true, ..self.device.clone() };
            // Where another process has made the next ones meanwhile, those say of themselves whether the server has them.
            self.keep_next(&published)?;
            self.device = published;
        }
        self.was_online = true;
        self.brought = brought;
        self.tell_renewed();
        self.renewing = None;
        let server = self.core.endpoint().device().server;
        self.journal.online(&url);
        let clocks = (now_ms(), time_ms);
        self.pending.push_back(ClientEvent::Online { url: url.clone(), server, clocks });
        self.link = self.link.online(socket, url);
        Ok(())
    }

    /// Answers those who wait until nothing is open.
    fn settle_flushes(&mut self) {
        if !matches!(self.link, Link::Online { .. }) {
            // Over a revocation they wait: the signing key stays, and the next connection is about to come.
            if !self.renewing.is_some_and(KeyChange::keeps_signing_key) {
                self.fail_flushes();
            }
        } else if self.core.is_settled() {
            for reply in self.flushes.drain(..) {
                // Whoever asked may be gone, as after Ctrl-C.
                reply.send(true).ok();
            }
        }
    }

    /// How things stand behind all that was asked before, also where that is done with the end of this step.
    pub(crate) fn status(&self) -> Status {
        let device = self.core.endpoint().device();
        let goes = self.asked.goes_away();
        Status {
            user: device.user.clone(),
            dev: device.dev,
            identity: device.bundle.identity(),
            server: device.server,
            url: match &self.link {
                Link::Online { url, .. } if !goes => Some(url.clone()),
                _ => None,
            },
            addresses: self.door.connector.servers().to_vec(),
            retry_in: self.link.retry_in(),
            is_away: (goes || matches!(self.link, Link::Down)) && !self.asked.comes_back,
            answer_us: self.journal.last_answer_us(),
            silent_s: self.silence.lasts(Instant::now()).map(|lasts| lasts.as_secs()),
            unanswered: self.core.endpoint().unanswered(),
            pending: self.core.endpoint().pending(),
        }
    }

    /// The way in for the connection that carries files.
    pub(crate) fn files_door(&self) -> FilesDoor {
        FilesDoor::new(&self.door, self.device.clone())
    }
}
