//! Talking: typed or piped lines go out, what happens comes back as lines or JSON.
//!
//! `line` is for a person at a terminal, `pipe` for a script; both share this module.

use std::collections::HashSet;
use std::io::{self, IsTerminal as _};
use std::sync::{Arc, Mutex, PoisonError};

use chat_endpoint::{CommandOptions, Event, EventKey, Notification};
use chat_protocol::handshake::Purpose;
use chat_protocol::id::MessageId;
use chat_protocol::name::RoomName;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::config::Common;
use crate::exit::ExitStatus;
use crate::oneshot::run::starts_until;
use crate::start::{self, Failure};
use chat_device::client::RENEWING;
use chat_device::client::{Client, ClientEvent, SendError, Stopped};
use chat_device::clock::now_ms;
use chat_device::identity::Question;
use chat_device::names::Names;
use chat_device::names::alike::Met;
use chat_device::recipient::Recipient;
use chat_files::transfer::Transfers;
use chat_text::input::{self, Input};
use chat_text::show::days::Days;
use chat_text::show::objects::Objects;
use chat_text::show::output::OutputLines;
use chat_text::show::presence::Presence;
use chat_text::show::{self, Detail, Lines, claim};
use chat_text::slash::SlashCommand;

use password::Desk;

mod answer;
mod awaited;
mod feeds;
mod files;
mod grant;
mod history;
mod identity;
mod line;
mod names;
mod outbox;
mod password;
mod pipe;
mod rooms;
mod unstarted;
mod veiled;

/// Talks until the person or the script ends it.
pub async fn chat(common: &Common) -> Result<ExitStatus, Failure> {
    let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal() && !common.json;
    let user = start::user(common)?;
    let connector = start::connector(common)?;
    let signed_in =
        start::sign_in(common, Arc::clone(&connector), user.clone(), Purpose::Interactive, None);
    let (client, events) = Box::pin(signed_in).await?;
    let detail = if is_terminal { Detail::Brief } else { Detail::Full };
    let desk = Desk { connector, common: common.clone() };
    let talk = Talk { desk: Some(desk), ..Talk::new(client, Lines::new(user, detail), common) };
    talk.know_names().await;
    if is_terminal {
        line::talk(talk, events).await
    } else {
        pipe::talk(talk, events, common.stop_on_error).await
    }
}

/// What is known about a running chat.
#[expect(clippy::struct_excessive_bools, reason = "each is known by itself")]
struct Talk {
    client: Client,
    lines: Lines,
    is_json: bool,
    /// Sent and not answered: text until it is stored, a command until it has ended.
    open: HashSet<MessageId>,
    /// Commands that were asked for here.
    commands: HashSet<MessageId>,
    /// Those that have not started yet.
    unstarted: unstarted::Unstarted,
    output: OutputLines,
    objects: Objects,
    /// Names seen, for completion.
    names: Arc<Mutex<Names>>,
    /// People who were met since the start.
    met: Met,
    /// What the next line of a script waits for.
    awaited: awaited::Awaited,
    /// Lists of people that nobody asked to see.
    silent_lists: u32,
    is_online: bool,
    /// The connection was there once.
    has_begun: bool,
    rooms: rooms::Rooms,
    /// Whose coming and going is shown.
    presence: Presence,
    /// The days that pass while the chat is open.
    days: Days,
    /// Lists of who follows whom under way.
    lists: std::collections::VecDeque<feeds::List>,
    /// A refused room leads back to the one before. Not for scripts: what follows in them was meant
    /// for the room that is refused.
    returns: bool,
    /// For what is done beside the conversation.
    desk: Option<Desk>,
    /// What is still to be said about messages of ours; for a person only.
    outbox: outbox::Outbox,
    /// What `/history` has shown last.
    page: Option<history::Page>,
    /// Files of this device.
    files: files::Files,
    /// History that is granted when the view of its room is up to date.
    grants: Vec<grant::Asked>,
    /// What waits for the newest keys of a person.
    looking: Vec<identity::Looking>,
    /// What the next line is the answer to; for a person only.
    question: Option<Asked>,
}

/// What a person was asked.
#[derive(Debug, Clone)]
enum Asked {
    /// About a key.
    Key(Box<Question>),
    /// Whether this room is to be made.
    Room(RoomName),
}

/// What a line or an event comes to.
#[derive(Default)]
struct Said {
    /// Lines for the screen, or JSON objects.
    lines: Vec<String>,
    /// Nothing more is to be read.
    is_over: bool,
    /// Empty the screen.
    clear: bool,
    /// A durable event that is dealt with once the lines are out.
    consumed: Option<EventKey>,
    /// How the program ends because of it, when a script asked for it.
    failure: Option<ExitStatus>,
    /// A line that was not sent through no fault of who typed it.
    draft: Option<String>,
}

impl Said {
    fn over() -> Self {
        Self { is_over: true, ..Self::default() }
    }

    fn line(line: impl Into<String>) -> Self {
        Self { lines: vec![line.into()], ..Self::default() }
    }

    /// This, and then that: what one of them failed at has failed.
    fn and(mut self, then: Self) -> Self {
        self.lines.extend(then.lines);
        self.is_over |= then.is_over;
        self.clear |= then.clear;
        self.consumed = self.consumed.or(then.consumed);
        self.failure = gravest(self.failure, then.failure);
        self
    }
}

/// How a script ends after both: with what was refused before anything else, else with what failed first.
fn gravest(before: Option<ExitStatus>, then: Option<ExitStatus>) -> Option<ExitStatus> {
    match (before, then) {
        (_, Some(ExitStatus::Refused)) => then,
        (before, then) => before.or(then),
    }
}

impl Talk {
    fn new(client: Client, lines: Lines, common: &Common) -> Self {
        let is_json = common.json;
        let options = start::transfer_options(common, &lines.me);
        let files = Transfers::new(lines.me.clone(), client.clone(), options);
        files.0.serve_folder_if_there();
        let rooms = rooms::Rooms::new(&lines.me);
        Self {
            client,
            rooms,
            presence: common.presence,
            days: Days::new(lines.zone.clone()),
            lists: std::collections::VecDeque::new(),
            returns: false,
            lines,
            is_json,
            open: HashSet::new(),
            commands: HashSet::new(),
            unstarted: unstarted::Unstarted::default(),
            output: OutputLines::default(),
            objects: Objects::default(),
            names: Arc::default(),
            met: Met::default(),
            awaited: awaited::Awaited::default(),
            silent_lists: 0,
            is_online: false,
            has_begun: false,
            desk: None,
            outbox: outbox::Outbox::default(),
            page: None,
            files: files::Files::new(files),
            grants: Vec::new(),
            looking: Vec::new(),
            question: None,
        }
    }

    /// Does what a line asks for.
    async fn read(&mut self, line: &str) -> Result<Said, Failure> {
        // Another command says that there is no answer; words do not begin with a slash.
        let question = self.question.clone().filter(|_| !line.starts_with('/'));
        self.leave_question();
        match question {
            Some(Asked::Key(question)) => return Ok(self.answer_question(&question, line).await),
            Some(Asked::Room(room)) => return Ok(self.answer_room(room, line).await),
            None => {}
        }
        let (input, current) = match self.meaning(line).await {
            Ok(meaning) => meaning,
            Err(said) => return Ok(said),
        };
        let label = match &input {
            Input::Text { text } | Input::Direct { text, .. } | Input::Broadcast { text } => {
                Some(outbox::label(text))
            }
            Input::Slash(_) | Input::Nothing => None,
        };
        let sent = match input {
            Input::Nothing => return Ok(Said::default()),
            Input::Text { text } => self.send(Recipient::Room(current), &text).await,
            Input::Broadcast { text } => self.send(Recipient::All, &text).await,
            Input::Direct { to, text } => self.send(Recipient::User(to), &text).await,
            Input::Slash(SlashCommand::Run { target, argv, again }) => {
                let options = CommandOptions { again, ..CommandOptions::default() };
                let sent = self.client.run(&target, argv.clone(), options).await;
                self.commands.extend(sent.as_ref().ok());
                if let Ok(id) = &sent {
                    self.awaited.expect(*id);
                    self.unstarted.expect(*id, (target, argv), Instant::now());
                }
                sent
            }
            Input::Slash(command) => return Ok(self.answer(command).await),
        };
        Ok(self.is_on_its_way(line, label, sent))
    }

    /// Says something to people; under the veil while that is on.
    async fn send(&self, to: Recipient, text: &str) -> Result<MessageId, SendError> {
        self.client.send(&to, text, self.rooms.is_veiled).await
    }

    /// What a line means, and the room that a text of it is for; or what is said instead.
    async fn meaning(&mut self, line: &str) -> Result<(Input, RoomName), Said> {
        if let Some(slip) = input::slip(line)
            && self.is_user(&slip.name).await
        {
            return Err(self.refuse_slip(&slip).await);
        }
        let input = match input::parse(line) {
            Ok(Input::Text { text }) if text.trim() == "?" && self.returns => {
                Input::Slash(SlashCommand::Help { about: None })
            }
            Ok(input) => self.with_true_names(input).await,
            Err(error) => return Err(self.error(&error.to_string())),
        };
        let moved = self.rooms.moved.take();
        match (&input, moved, &self.rooms.current) {
            (Input::Text { text }, Some(why), _) => Err(self.refuse_late(&why, text)),
            (Input::Text { .. }, None, None) => Err(self.error(rooms::NO_ROOM)),
            (_, _, current) => {
                let current = current.clone().unwrap_or_else(RoomName::lobby);
                Ok((input, current))
            }
        }
    }

    /// What is said of a message that was taken, or not.
    fn is_on_its_way(
        &mut self,
        line: &str,
        label: Option<String>,
        sent: Result<MessageId, SendError>,
    ) -> Said {
        match sent {
            Ok(id) => {
                self.open.insert(id);
                if self.lines.detail == Detail::Full {
                    return Said::default();
                }
                if let Some(label) = label {
                    self.outbox.typed(id, label, self.is_online);
                }
                self.queued()
            }
            // The reason is in the last event; what was typed must not go with it.
            Err(SendError::Stopped) => {
                let said = self.error(&format!("this was not sent: {line}"));
                Said { draft: Some(line.to_owned()), ..said }
            }
            Err(error) => self.error(&error.to_string()),
        }
    }

    /// A line about what was typed.
    fn error(&self, reason: &str) -> Said {
        let line = if self.is_json {
            json!({"event": "error", "reason": reason}).to_string()
        } else {
            format!("✗ {}", chat_protocol::sanitise::line(reason))
        };
        Said { failure: Some(ExitStatus::Failure), ..Said::line(line) }
    }

    /// Shows what happened.
    async fn happened(&mut self, event: Option<ClientEvent>) -> Result<Said, Failure> {
        match event {
            Some(ClientEvent::Notification(notification))
                if self.files.transfers().take(&notification) =>
            {
                Ok(Said::default())
            }
            Some(ClientEvent::Notification(notification)) => {
                let mut said = self.notified(&notification).await;
                if let Event::Refreshed { cid } = &notification.event {
                    said.lines.extend(self.roster_lines(cid).await);
                    said = said.and(self.grant_asked(cid).await).and(self.looked_up(cid).await);
                }
                Ok(said)
            }
            Some(ClientEvent::CaughtUp) => {
                self.files.transfers().caught_up();
                Ok(Said::default())
            }
            Some(ClientEvent::Online { url, server, clocks }) => {
                let mut said = self.online(&url.to_string(), &server.to_string()).await;
                said.lines.extend(show::clocks(clocks.0, clocks.1).filter(|_| !self.is_json));
                Ok(said)
            }
            Some(ClientEvent::Silent { seconds }) => {
                let mut said = self.connection(
                    &format!("! no answer from the server for {seconds} s"),
                    &json!({"event": "connection", "state": "silent", "seconds": seconds}),
                );
                said.lines.extend(self.outbox.unanswered());
                Ok(said)
            }
            Some(ClientEvent::Answering) => Ok(self.connection(
                "· the server answers again",
                &json!({"event": "connection", "state": "answering"}),
            )),
            Some(ClientEvent::Offline { reason }) => {
                self.is_online = false;
                self.silent_lists = 0;
                let lost = self.forget_questions();
                let line = if reason == RENEWING {
                    format!("· {reason}; the connection comes back by itself")
                } else {
                    format!("! offline: {reason}; what you type is sent later")
                };
                let offline = self.connection(
                    &line,
                    &json!({"event": "connection", "state": "offline", "reason": reason}),
                );
                Ok(offline.and(lost))
            }
            Some(ClientEvent::Stopped(stopped)) => Err(stopped.into()),
            None => Err(Stopped::Internal("the client has ended".to_owned()).into()),
        }
    }

    /// The connection is signed in.
    async fn online(&mut self, url: &str, server: &str) -> Said {
        if !self.is_online {
            // For completion.
            self.silent_lists += 1;
            self.client.who().await;
            self.ask_room_names().await;
        }
        (self.is_online, self.has_begun) = (true, true);
        self.files.transfers().online();
        let mut said = self.connection(
            &format!("· connected to {url} as {}", self.lines.me),
            &json!({"event": "connection", "state": "online", "url": url, "server": server}),
        );
        said.lines.extend(self.undecided().await);
        said
    }

    /// The same behind the line of a new day, where times have no dates.
    fn with_day(&mut self, mut said: Said) -> Said {
        let is_for_eyes = !self.is_json && !self.lines.dated && !said.lines.is_empty();
        if let Some(day) = is_for_eyes.then(|| self.days.line(now_ms())).flatten() {
            said.lines.insert(0, day);
        }
        said
    }

    fn connection(&self, line: &str, object: &Value) -> Said {
        Said::line(if self.is_json { object.to_string() } else { line.to_owned() })
    }

    async fn notified(&mut self, notification: &Notification) -> Said {
        let event = &notification.event;
        if !claim(event, |id| self.commands.contains(id), now_ms()) {
            return Said::default();
        }
        if self.unstarted.take(event) {
            return Said { consumed: notification.key, ..Said::default() };
        }
        let failure = self.failure(event);
        self.learn(event);
        self.awaited.take(event);
        let mut lines = self.warnings(event);
        if let Some(said) = self.make_room(event).await {
            return Said { consumed: notification.key, ..said };
        }
        let moved = self.learn_rooms(event);
        if let Event::Subscriptions { follows, subscribers } = event {
            let lines = self.feed_lines(follows, subscribers);
            return Said { lines, ..Said::default() };
        }
        if let Event::Rooms { rooms, more } = event {
            let mut lines = self.room_lines(rooms, *more);
            lines.extend(moved);
            return Said { lines, ..Said::default() };
        }
        let wanted = self.presence.wanted(event);
        let mut shown = match wanted.as_deref() {
            Some(event) if self.is_json => self.objects(event),
            Some(event) => self.people_lines(event),
            None => Vec::new(),
        };
        // That a room was made is said before that one is in it; where text goes comes last.
        if let Event::Joined { .. } = event {
            lines.extend(moved);
            lines.append(&mut shown);
        } else {
            lines.append(&mut shown);
            lines.extend(moved);
        }
        Said { lines, consumed: notification.key, failure, ..Said::default() }
    }

    /// How a script ends because of this, if it asked for what is refused here.
    fn failure(&self, event: &Event) -> Option<ExitStatus> {
        match event {
            Event::Refused { id, .. } | Event::Ended { re: id, ok: false, .. } => {
                (self.open.contains(id) || self.commands.contains(id))
                    .then_some(ExitStatus::Refused)
            }
            Event::Complaint { .. } => Some(ExitStatus::Refused),
            _ => None,
        }
    }

    /// Keeps the books: what is open, and whose names are known.
    fn learn(&mut self, event: &Event) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).learn_from(event);
        match event {
            Event::Stored { id, .. } if !self.commands.contains(id) => {
                self.open.remove(id);
            }
            Event::Refused { id, .. } | Event::Ended { re: id, .. } => {
                self.open.remove(id);
            }
            // Nobody else waits for what follows.
            Event::Late { re, .. } => {
                self.commands.insert(*re);
            }
            Event::Joined { .. }
            | Event::Left { .. }
            | Event::MemberChanged { .. }
            | Event::Topic { .. }
            | Event::Moderated { .. }
            | Event::Retention { .. } => {
                if let Some(id) = event.answers() {
                    self.open.remove(&id);
                }
            }
            _ => {}
        }
    }

    fn objects(&mut self, event: &Event) -> Vec<String> {
        if self.is_silent_list(event) {
            return Vec::new();
        }
        let objects = self.objects.of(&self.lines.me, event);
        objects.iter().map(ToString::to_string).collect()
    }

    fn people_lines(&mut self, event: &Event) -> Vec<String> {
        match event {
            Event::Output { re, stderr, data } => {
                let lines = self.output.add(*re, *stderr, data);
                lines.into_iter().map(set_in).collect()
            }
            Event::Ended { re, .. } => {
                let mut lines: Vec<String> = self.output.end(*re).into_iter().map(set_in).collect();
                lines.extend(self.lines.event(event));
                lines
            }
            Event::People { people, .. } => {
                if self.is_silent_list(event) {
                    return Vec::new();
                }
                people.iter().map(|person| format!("  {}", show::person(person))).collect()
            }
            _ => {
                if self.lines.detail == Detail::Brief && !self.is_about_command(event) {
                    self.outbox.note(Instant::now(), event);
                }
                self.lines.event(event).into_iter().chain(self.may_start(event)).collect()
            }
        }
    }

    /// Until when a command can start whose machine is away.
    fn may_start(&self, event: &Event) -> Option<String> {
        let Event::Stored { id, kept: true, .. } = event else { return None };
        let until = || starts_until("the machine", id.made_ms(), |ms| self.lines.time(ms));
        self.commands.contains(id).then(|| format!("· {}", until()))
    }

    fn is_about_command(&self, event: &Event) -> bool {
        match event {
            Event::Stored { id, .. } | Event::Delivered { id, .. } | Event::Refused { id, .. } => {
                self.commands.contains(id)
            }
            _ => false,
        }
    }

    /// Whether this is a page of a list that was only asked for its names.
    fn is_silent_list(&mut self, event: &Event) -> bool {
        let Event::People { more, .. } = event else { return false };
        let is_silent = self.silent_lists > 0;
        match (is_silent, more) {
            (_, true) => {}
            (true, false) => self.silent_lists -= 1,
            (false, false) => self.awaited.people = self.awaited.people.saturating_sub(1),
        }
        is_silent
    }
}

/// Output of a command, so that none of it can pass for a message.
#[expect(clippy::needless_pass_by_value, reason = "the form that map wants")]
fn set_in(line: String) -> String {
    format!("  │ {line}")
}
