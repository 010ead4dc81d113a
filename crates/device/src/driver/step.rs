//! One step: everything that is ready goes in, one commit, then everything comes out.

use std::collections::HashSet;

use chat_agent::AgentReport;
use chat_endpoint::store::Change;
use chat_endpoint::{CommandOptions, Event, Notification, SendError, Step, Transmit, TrustError};
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, RoomName, UserName};
use chat_protocol::tag::Tag;
use tokio::time::Instant;

use super::people::Decided;
use super::{Driver, End, FeedAction, Input, Link, Order, Sent, TakenBack, Whom};
use crate::client::{ClientEvent, Status};
use crate::clock::now_ms;
use crate::connection::{ConnectError, Incoming, Session};
use crate::home::{HomeError, KeyChange, OwnDevice};

/// What is to be said once the step is durable.
#[derive(Default)]
pub(super) struct Replies {
    sent: Vec<(Sent, Result<MessageId, SendError>)>,
    taken_back: Vec<(TakenBack, Option<MessageId>)>,
    pub(super) noted: Vec<(tokio::sync::oneshot::Sender<MessageId>, MessageId)>,
    pub(super) decided: Vec<(Decided, Result<(), TrustError>)>,
    pub(super) renewal: Option<KeyChange>,
    online: Option<Box<Session>>,
    /// Go away, with a goodbye or without.
    away: Option<bool>,
    comes_back: bool,
    close: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Replies {
    /// Tells who asked under which ids it is on its way. They may be gone; it goes all the same.
    fn tell_ids(&mut self) {
        for (reply, sent) in self.sent.drain(..) {
            reply.send(sent).ok();
        }
        for (reply, id) in self.taken_back.drain(..) {
            reply.send(id).ok();
        }
        for (reply, id) in self.noted.drain(..) {
            reply.send(id).ok();
        }
        for (reply, done) in self.decided.drain(..) {
            reply.send(done).ok();
        }
    }
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
        replies.tell_ids();
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
            Input::Order(order) => self.obey(now_ms, order, replies),
            Input::Incoming(Incoming::Text(text)) => self.endpoint.handle_text(now_ms, &text),
            Input::Incoming(Incoming::Binary(bytes)) => self.endpoint.handle_binary(now_ms, bytes),
            Input::Due => self.endpoint.handle_timeout(now_ms),
            Input::Connected(session) => {
                self.endpoint.connected(now_ms, &session.signed_in, &session.hub);
                replies.online = Some(session);
            }
        }
    }

    /// Nobody waits for a command any more.
    fn give_up(
        &mut self,
        now_ms: u64,
        (re, argv): (MessageId, Vec<String>),
        reply: tokio::sync::oneshot::Sender<Option<u64>>,
    ) {
        // Whoever asked may be gone.
        reply.send(self.endpoint.give_up(now_ms, &re, argv)).ok();
    }

    /// Takes a command back, and waits for the answer to that if something had to be said.
    fn take_back(&mut self, now_ms: u64, re: &MessageId) -> Option<MessageId> {
        let id = self.endpoint.cancel(now_ms, re)?;
        self.answers.expect(&Ok(id));
        Some(id)
    }

    fn obey(&mut self, now_ms: u64, order: Order, replies: &mut Replies) {
        let endpoint = &mut self.endpoint;
        match order {
            Order::Say { room, text, reply } => {
                replies.sent.push((reply, self.say_in(now_ms, &room, text)));
            }
            Order::Tell { to, text, reply } => {
                replies.sent.push((reply, self.tell_user(now_ms, &to, text)));
            }
            Order::Veiled { whom, shifted, reply } => {
                replies.sent.push((reply, self.send_veiled(now_ms, &whom, &shifted)));
            }
            Order::Run { target, argv, options, reply } => {
                replies.sent.push((reply, self.run_on(now_ms, (&target, argv), options)));
            }
            Order::Files(order) => self.obey_about_files(now_ms, order, replies),
            Order::People(order) => self.obey_about_people(now_ms, order, replies),
            Order::Report(report) => self.report(now_ms, *report),
            Order::ForgetCommand(id) => endpoint.forget_command(&id),
            Order::Cancel { re, reply } => {
                replies.taken_back.push((reply, self.take_back(now_ms, &re)));
            }
            Order::GiveUp { re, argv, reply } => self.give_up(now_ms, (re, argv), reply),
            Order::Room { room, action, reply } => {
                let id = endpoint.act_in_room(now_ms, &room, action);
                replies.sent.push((reply, self.asked_as(id)));
            }
            Order::Feed { action, reply } => {
                let id = self.act_on_feed(now_ms, action);
                replies.sent.push((reply, self.asked_as(id)));
            }
            Order::Subscriptions => endpoint.subscriptions(),
            Order::Rooms => endpoint.rooms(),
            Order::Grant { to, entries, reply } => {
                // Whoever asked may be gone.
                reply.send(endpoint.grant(now_ms, &to, &entries).map(|_ids| ())).ok();
            }
            Order::Roster { room, reply } => {
                // Whoever asked may be gone.
                reply.send(endpoint.roster(&room)).ok();
            }
            Order::Who => endpoint.who(),
            Order::Refresh(cid) => endpoint.refresh(&cid),
            Order::AcceptRoom { cid, reply } => {
                // Whoever asked may be gone.
                reply.send(endpoint.accept_room(&cid)).ok();
            }
            // Those wait in the recorder.
            Order::Consumed(_) | Order::PassOver(_) => {}
            Order::Flush { reply } => {
                endpoint.flush_receipts(now_ms);
                self.flushes.push(reply);
            }
            Order::Status { reply } => {
                // Whoever asked may be gone.
                reply.send(self.status()).ok();
            }
            Order::Identity { user, reply } => {
                // Whoever asked may be gone.
                reply.send(endpoint.identity_of(&user)).ok();
            }
            Order::GoAway { goodbye } => replies.away = Some(goodbye),
            Order::ComeBack => replies.comes_back = true,
            Order::Close { reply } => replies.close = Some(reply),
        }
    }

    /// Takes note of an id under which the server will answer.
    fn asked_as(&mut self, id: MessageId) -> Result<MessageId, SendError> {
        let asked = Ok(id);
        self.answers.expect(&asked);
        asked
    }

    fn run_on(
        &mut self,
        now_ms: u64,
        (target, argv): (&UserName, Vec<String>),
        options: CommandOptions,
    ) -> Result<MessageId, SendError> {
        let digest = chat_agent::argv_digest(&argv);
        let sent = self.endpoint.run(now_ms, target, argv, options);
        self.answers.expect(&sent);
        self.journal.run(target, digest, &sent);
        sent
    }

    /// Tells the requester how a command goes.
    fn report(&mut self, now_ms: u64, report: AgentReport) {
        if let Some(id) = chat_agent::answer(&mut self.endpoint, now_ms, report) {
            // No other process of this home waits for the server's answer.
            self.answers.expect(&Ok(id));
        }
    }

    fn say_in(
        &mut self,
        now_ms: u64,
        room: &RoomName,
        text: String,
    ) -> Result<MessageId, SendError> {
        let sent = self.endpoint.say(now_ms, room, &text);
        self.answers.expect(&sent);
        self.journal.say(room, text.len(), &sent);
        let tag = if room.is_all() { Tag::Broadcast } else { Tag::Text };
        let place = (Some(ConversationId::room(room)), tag);
        self.recorder.typed(now_ms, &self.door.user, place, text, &sent);
        sent
    }

    fn tell_user(
        &mut self,
        now_ms: u64,
        to: &UserName,
        text: String,
    ) -> Result<MessageId, SendError> {
        let sent = self.endpoint.tell_user(now_ms, to, &text);
        self.answers.expect(&sent);
        self.journal.tell(to, text.len(), &sent);
        let place = (ConversationId::direct(&self.door.user, to).ok(), Tag::Dm);
        self.recorder.typed(now_ms, &self.door.user, place, text, &sent);
        sent
    }

    fn act_on_feed(&mut self, now_ms: u64, action: FeedAction) -> MessageId {
        match action {
            FeedAction::Subscribe(to) => self.endpoint.subscribe(now_ms, &to),
            FeedAction::Unsubscribe(from) => self.endpoint.unsubscribe(now_ms, &from),
            FeedAction::Remove(who) => self.endpoint.remove_subscriber(now_ms, &who),
        }
    }

    fn send_veiled(
        &mut self,
        now_ms: u64,
        whom: &Whom,
        shifted: &str,
    ) -> Result<MessageId, SendError> {
        let (sent, place) = match whom {
            Whom::Room(room) => {
                let sent = self.endpoint.say_veiled(now_ms, room, shifted);
                self.journal.say(room, shifted.len(), &sent);
                let tag = if room.is_all() { Tag::Broadcast } else { Tag::Text };
                (sent, (Some(ConversationId::room(room)), tag))
            }
            Whom::User(to) => {
                let sent = self.endpoint.tell_user_veiled(now_ms, to, shifted);
                self.journal.tell(to, shifted.len(), &sent);
                (sent, (ConversationId::direct(&self.door.user, to).ok(), Tag::Dm))
            }
        };
        self.answers.expect(&sent);
        let text = chat_protocol::veil::unshift(shifted);
        self.recorder.typed(now_ms, &self.door.user, place, text, &sent);
        sent
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

    fn status(&self) -> Status {
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
