//! One emulated client: sends its lines at its pace and tells the ledger what it sees.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chat_endpoint::{CommandOptions, Event, RoomAction};
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, RoomName};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::exchange::{Exchange, News};
use super::ledger::{CMD, Ledger, TEXT};
use super::movement::{Move, Mover, Progress};
use super::pace::Pace;
use crate::script::{Picker, Random};
use chat_device::client::{Client, ClientEvent, Events, SendError};
use chat_device::recipient::Recipient;
use chat_text::input::Input;
use chat_text::slash::SlashCommand;

/// Unanswered messages of one client; enough that the server is never idle, few enough that a
/// latency is not the length of one's own queue.
const UNANSWERED_MAX: usize = 16;

/// The last receipts; nothing that the report counts waits for them.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a client always has a room to talk in.
const FIRST: &str = "every client is in the first room and never leaves it";

/// The code of a message that this side refused.
const NOT_SENT: &str = "NOT_SENT";

/// What all clients do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Become members of all rooms that are theirs.
    Joining,
    /// All are members: learn who is.
    Refreshing,
    /// Send, from this moment on.
    Sending(Instant),
    /// Leave the server for good.
    Ending,
}

/// A client tells of each milestone once.
pub(super) const MILESTONES_EACH: usize = 4;

/// What a client has reached.
#[derive(Debug)]
pub(super) enum Milestone {
    /// A member of all its rooms.
    Joined,
    /// Knows who else is.
    Refreshed,
    /// Sent everything.
    SentAll,
    /// Ended too early, for this reason.
    Stopped(String),
}

/// A room of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnRoom {
    /// Its number, the same for all clients; the one that all are in is 0.
    pub(super) number: usize,
    pub(super) name: RoomName,
}

/// One client.
#[derive(Debug)]
pub(super) struct Emulated {
    pub(super) number: usize,
    pub(super) client: Client,
    /// Its files, and how many percent of the operations are about them.
    pub(super) exchange: Option<Exchange>,
    pub(super) files: u32,
    pub(super) events: Events,
    pub(super) ledger: Arc<Mutex<Ledger>>,
    pub(super) picker: Picker,
    pub(super) pace: Pace,
    /// Where its texts go: the room that all are in, and those that it is in beside that.
    pub(super) rooms: Vec<OwnRoom>,
    pub(super) mover: Mover,
    /// How much of the run is over.
    pub(super) progress: watch::Receiver<Progress>,
    pub(super) random: Random,
    pub(super) phases: watch::Receiver<Phase>,
    pub(super) milestones: mpsc::Sender<Milestone>,
    pub(super) state: State,
}

/// Whether a client has more to send.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Talk {
    /// It has.
    #[default]
    GoesOn,
    /// It has not, and may still have to come back.
    IsOver,
    /// It has not, is at home for good, and has told so.
    HasEnded,
}

/// What a client still has to learn of who is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Census {
    /// Who is online at all: one of them asks.
    OfServer,
    /// Who is in its rooms.
    #[default]
    OfRooms,
    /// Nothing, and it has told so.
    Done,
}

/// How far a client is.
#[derive(Debug, Default)]
pub(super) struct State {
    was_online: bool,
    /// Rooms that it is not known to be in yet.
    joining: BTreeSet<ConversationId>,
    has_asked: bool,
    /// Rooms of which it has no list of members yet.
    refreshing: BTreeSet<ConversationId>,
    census: Census,
    sent: u32,
    unanswered: usize,
    talk: Talk,
    /// What it asked for in the room that it leaves and joins.
    asked: Option<MessageId>,
}

impl Emulated {
    /// Until the phase of leaving is over, or the client stops.
    pub(super) async fn run(mut self) {
        for room in &self.rooms {
            self.ledger.lock().whereabouts.belongs(self.number, room.number);
        }
        let rooms = self.rooms.iter().map(|room| ConversationId::room(&room.name));
        self.state.joining = rooms.chain([ConversationId::all()]).collect();
        self.state.refreshing.clone_from(&self.state.joining);
        if self.number == 0 {
            self.state.census = Census::OfServer;
        }
        for room in self.rooms.iter().filter(|room| room.name != RoomName::lobby()) {
            // The reason is the last event.
            if self.client.act_in_room(&room.name, RoomAction::Join { create: true }).await.is_err()
            {
                break;
            }
        }
        loop {
            let phase = *self.phases.borrow_and_update();
            let due = match phase {
                Phase::Sending(start) => {
                    self.go_about().await;
                    self.due(start)
                }
                Phase::Ending => return self.leave().await,
                Phase::Joining => None,
                Phase::Refreshing => {
                    self.refresh().await;
                    None
                }
            };
            let can_send = due.is_some() && self.state.unanswered < UNANSWERED_MAX;
            let moves = !self.mover.is_over();
            tokio::select! {
                event = self.events.next() => {
                    let Some(event) = event else { return };
                    self.take(event).await;
                }
                news = next(self.exchange.as_mut()) => {
                    if let Some(exchange) = &mut self.exchange {
                        exchange.see(news);
                    }
                }
                changed = self.phases.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                changed = self.progress.changed(), if moves => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if can_send => {
                    if let Some(due) = due {
                        self.send(due).await;
                    }
                }
            }
        }
    }

    /// Asks once who is in the rooms.
    async fn refresh(&mut self) {
        if !std::mem::replace(&mut self.state.has_asked, true) {
            for cid in self.state.refreshing.clone() {
                self.client.refresh(&cid).await;
            }
            if self.state.census == Census::OfServer {
                self.client.who().await;
            }
        }
    }

    /// Tells once that it knows who is in its rooms, and who else is there if it is to know that.
    fn refreshed(&mut self) {
        if self.state.refreshing.is_empty() && self.state.census == Census::OfRooms {
            self.state.census = Census::Done;
            self.tell(Milestone::Refreshed);
        }
    }

    fn due(&mut self, start: Instant) -> Option<Instant> {
        let since = Instant::now().saturating_duration_since(start);
        let due = self.pace.due(self.state.sent, since);
        let due = due.filter(|_| self.state.talk == Talk::GoesOn);
        if due.is_none() && self.state.talk == Talk::GoesOn {
            self.state.talk = Talk::IsOver;
        }
        if self.state.talk == Talk::IsOver && self.mover.is_over() {
            self.state.talk = Talk::HasEnded;
            self.tell(Milestone::SentAll);
        }
        let due = due.filter(|_| self.mover.is_here());
        // A moment that the clock cannot name never comes.
        due.and_then(|due| start.checked_add(due))
    }

    fn tell(&self, milestone: Milestone) {
        // There is room for all of them; and nobody listens any more when the run is over.
        self.milestones.try_send(milestone).ok();
    }

    /// Goes away, comes back, leaves and joins, as far as it is time.
    async fn go_about(&mut self) {
        let own: Vec<usize> =
            self.rooms.iter().map(|room| room.number).filter(|n| *n > 0).collect();
        let mut now = *self.progress.borrow_and_update();
        while let Some(step) = self.mover.next(now, &own) {
            match step {
                Move::Leave(room) => self.act(room, RoomAction::Leave).await,
                Move::Join(room) => self.act(room, RoomAction::Join { create: false }).await,
                Move::Go { goodbye } => {
                    self.ledger.lock().whereabouts.went(self.number, goodbye, Instant::now());
                    self.client.go_away(goodbye).await;
                }
                Move::Return => {
                    self.client.come_back().await;
                }
            }
            now = *self.progress.borrow_and_update();
        }
    }

    async fn act(&mut self, number: usize, action: RoomAction) {
        let room = self.rooms.iter().find(|room| room.number == number).map(|room| &room.name);
        let Some(room) = room else { return };
        // The reason is the last event.
        self.state.asked = self.client.act_in_room(room, action).await.ok();
    }

    /// An answer to what it asked for in a room.
    fn moved(&mut self, event: &Event) {
        let number = |cid: &ConversationId| {
            let room = self.rooms.iter().find(|room| ConversationId::room(&room.name) == *cid);
            room.map(|room| room.number)
        };
        match event {
            Event::Left { cid, position, .. } => {
                if let Some(room) = number(cid) {
                    self.ledger.lock().whereabouts.left(self.number, room, *position);
                }
                self.mover.has_left();
            }
            Event::Joined { cid, position, .. } => {
                if let Some(room) = number(cid) {
                    self.ledger.lock().whereabouts.joined(self.number, room, *position);
                }
                self.mover.has_joined();
            }
            // The move stays undone, and the report says so.
            event => self.log(event),
        }
    }

    /// Sends the next line, which was due at `at`.
    async fn send(&mut self, at: Instant) {
        self.state.sent += 1;
        if self.handle_file() {
            return;
        }
        let mut place = 0;
        let (tag, sent) = match self.picker.pick().input {
            Input::Text { text } => {
                let silent = self.mover.silent_in();
                let rooms = self.rooms.iter().filter(|room| Some(room.number) != silent);
                let rooms: Vec<&OwnRoom> = rooms.collect();
                let room = *self.random.choose(&rooms).expect(FIRST);
                place = room.number;
                let to = Recipient::Room(room.name.clone());
                (TEXT, self.client.send(&to, &text, false).await)
            }
            Input::Direct { to, text } => {
                ("DM", self.client.send(&Recipient::User(to), &text, false).await)
            }
            Input::Broadcast { text } => {
                ("BROADCAST", self.client.send(&Recipient::All, &text, false).await)
            }
            Input::Slash(SlashCommand::Run { target, argv, again }) => {
                let options = CommandOptions { again, ..CommandOptions::default() };
                (CMD, self.client.run(&target, argv, options).await)
            }
            // A script has no other lines.
            Input::Nothing | Input::Slash(_) => return,
        };
        match sent {
            Ok(id) => {
                self.state.unanswered += 1;
                self.ledger.lock().sent((self.number, place), id, tag, at, Instant::now());
            }
            Err(SendError::Refused(error)) => {
                tracing::warn!(client = self.number + 1, %error, "a line was not sent");
                self.ledger.lock().not_sent(tag, NOT_SENT);
            }
            // The reason is the last event.
            Err(SendError::Stopped) => self.state.talk = Talk::IsOver,
        }
    }

    /// Does something about a file instead, as often as it was asked for.
    fn handle_file(&mut self) -> bool {
        let Some(exchange) = &mut self.exchange else { return false };
        if self.random.below(100) >= u64::from(self.files) {
            return false;
        }
        if let Err(error) = exchange.operate(&mut self.random) {
            tracing::warn!(client = self.number + 1, %error, "a file was not written");
        }
        true
    }

    async fn take(&mut self, event: ClientEvent) {
        let is_of_run = matches!(*self.phases.borrow(), Phase::Sending(_) | Phase::Ending);
        if self.exchange.as_ref().is_some_and(|exchange| exchange.take(&event, is_of_run)) {
            return;
        }
        match event {
            ClientEvent::Online { .. } => {
                let is_again = std::mem::replace(&mut self.state.was_online, true);
                // The answer may have gone down with the connection.
                self.state.has_asked = false;
                let is_sending = matches!(*self.phases.borrow(), Phase::Sending(_));
                if is_again && is_sending {
                    self.mover.is_online();
                    let mut ledger = self.ledger.lock();
                    ledger.reconnected(self.number);
                    ledger.whereabouts.came(self.number, Instant::now());
                }
            }
            // What takes long is in the latencies of the report.
            ClientEvent::Silent { .. } | ClientEvent::Answering | ClientEvent::CaughtUp => {}
            ClientEvent::Offline { reason } => {
                tracing::info!(client = self.number + 1, reason, "offline");
            }
            ClientEvent::Notification(notification) => {
                self.see(notification.event);
                if let Some(key) = notification.key {
                    self.client.consumed(key).await;
                }
            }
            ClientEvent::Stopped(stopped) => self.tell(Milestone::Stopped(stopped.to_string())),
        }
    }

    fn see(&mut self, event: Event) {
        let now = Instant::now();
        let asked = self.state.asked;
        match event {
            event if asked.is_some() && event.answers() == asked => self.moved(&event),
            Event::Joined { cid, .. } => {
                if is_last(&mut self.state.joining, &cid) {
                    self.tell(Milestone::Joined);
                }
            }
            Event::Refreshed { cid } => {
                self.state.refreshing.remove(&cid);
                self.refreshed();
            }
            Event::People { people, more } if self.state.census == Census::OfServer => {
                self.ledger.lock().others(&people);
                if !more {
                    self.state.census = Census::OfRooms;
                    self.refreshed();
                }
            }
            // What was kept from an earlier run is none of this one's.
            event if !matches!(*self.phases.borrow(), Phase::Sending(_) | Phase::Ending) => {
                self.log(&event);
            }
            Event::Message { id, from, .. } => {
                self.ledger.lock().received(self.number, &from, id, true, now);
            }
            Event::Unreadable { id, from, reason, .. } => {
                tracing::warn!(client = self.number + 1, %id, reason, "unreadable");
                self.ledger.lock().received(self.number, &from, id, false, now);
            }
            Event::Delivered { id, by, readable: false, .. } => {
                self.ledger.lock().reported_unreadable(id, &by);
            }
            event => self.answer(&event, now),
        }
    }

    /// Counts an answer to a message of this client.
    fn answer(&mut self, event: &Event, now: Instant) {
        let is_answer = match event {
            Event::Stored { id, position, recipients, .. } => {
                self.ledger.lock().stored(*id, *position, recipients, now)
            }
            Event::Refused { id, code, .. } => self.ledger.lock().refused(*id, code, now),
            Event::Ended { re, ok, code, status, .. } => {
                let code = (!ok).then(|| failure(code, *status));
                self.ledger.lock().ended(*re, code.as_deref(), now)
            }
            event => {
                self.log(event);
                false
            }
        };
        self.state.unanswered -= usize::from(is_answer);
    }

    /// What is no count, for whoever looks for the reason of one.
    fn log(&self, event: &Event) {
        let client = self.number + 1;
        match event {
            Event::Alarm { kind, user, detail, count } => {
                let kind = kind.as_str();
                tracing::warn!(client, kind, %user, detail, count, "alarm");
            }
            Event::Gap { from, missing, .. } => {
                tracing::warn!(client, %from, ?missing, "gap");
            }
            Event::Dropped { messages, .. } => {
                tracing::warn!(client, messages, "dropped by retention");
            }
            Event::Healed { from, n, .. } => {
                tracing::info!(client, %from, ?n, "healed");
            }
            Event::Unhealed { from, n, reason, .. } => {
                tracing::warn!(client, %from, ?n, reason, "not healed");
            }
            Event::Refused { code, reason, .. } => {
                tracing::warn!(client, code, reason, "refused");
            }
            Event::Complaint { code, reason, .. } => {
                tracing::warn!(client, code, reason, "complaint");
            }
            _ => {}
        }
    }

    /// Sends the last receipts, looks on meanwhile, and goes.
    async fn leave(mut self) {
        if let Some(exchange) = &self.exchange {
            exchange.withdraw().await;
        }
        self.ledger.lock().whereabouts.unmoved(self.mover.left_over());
        let client = self.client.clone();
        let mut flush = std::pin::pin!(timeout(FLUSH_TIMEOUT, client.flush()));
        loop {
            tokio::select! {
                // What is here already is counted before the flush ends this.
                biased;
                event = self.events.next() => match event {
                    Some(event) => self.take(event).await,
                    None => break,
                },
                _ = &mut flush => break,
            }
        }
        self.client.clone().leave().await;
    }
}

/// What happens next to the files of a client; never where it has none.
async fn next(exchange: Option<&mut Exchange>) -> News {
    match exchange {
        Some(exchange) => exchange.next().await,
        None => std::future::pending().await,
    }
}

/// The code of a command's failure: a program that ends with a status has none of its own.
fn failure(code: &str, status: Option<i32>) -> String {
    match (code, status) {
        ("", Some(status)) => format!("exit {status}"),
        ("", None) => "failed".to_owned(),
        (code, _) => code.to_owned(),
    }
}

/// Takes a room off the list; true when it was the last one.
fn is_last(rooms: &mut BTreeSet<ConversationId>, cid: &ConversationId) -> bool {
    rooms.remove(cid) && rooms.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_rooms_are_needed_and_count_once() {
        let lobby = ConversationId::room(&RoomName::lobby());
        let mut rooms = BTreeSet::from([ConversationId::all(), lobby.clone()]);
        assert!(!is_last(&mut rooms, &ConversationId::all()));
        assert!(!is_last(&mut rooms, &ConversationId::all()));
        assert!(is_last(&mut rooms, &lobby));
        assert!(!is_last(&mut rooms, &lobby));
    }

    #[test]
    fn a_failure_has_a_code_in_any_case() {
        assert_eq!(failure("E_POLICY", None), "E_POLICY");
        assert_eq!(failure("", Some(3)), "exit 3");
        assert_eq!(failure("", None), "failed");
    }
}
