//! What the talk tells, as lines of the screen; and what it knows, as rows of its lists.

use std::collections::HashMap;

use chat_device::history::{Entry, State};
use chat_device::ignored::HIDDEN;
use chat_endpoint::{Event, Standing};
use chat_files::transfer::TransferEvent;
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, ConversationKind, RoomName, UserName};
use chat_protocol::veil;
use chat_talk::conversations::{self, names};
use chat_talk::sent::SentLog;
use chat_text::item::{Answer, Connection, Delivery, Item, Own, What};
use chat_text::show::feeds::is_about_one;
use chat_text::show::identity;
use chat_text::show::items::LinePrinter;
use chat_text::show::output::OutputLines;
use chat_text::show::{Lines, action};

use crate::data::{Conversation, Group, Kind, Line, Progress};
use crate::keys::Action;
use crate::screen::Screen;

/// Commands whose place is remembered; those beyond it are shown in the conversation with their machine.
const COMMANDS_MAX: usize = 256;

/// The same of texts to somebody who is not where they were typed. Without a connection none of them has an answer.
const ADDRESSED_MAX: usize = 256;

/// Puts what is told on a screen.
#[derive(Debug)]
pub struct Teller {
    printer: LinePrinter,
    output: OutputLines,
    /// Where commands were typed that have not ended: what they print is shown there.
    commands: HashMap<MessageId, ConversationId>,
    /// Where texts were typed that have no answer and stand in another conversation: whoever typed one waits for what comes
    /// of it where they are.
    addressed: HashMap<MessageId, ConversationId>,
}

impl Teller {
    /// Lines are made like this.
    pub fn new(lines: Lines) -> Self {
        let (output, commands, addressed) =
            (OutputLines::default(), HashMap::new(), HashMap::new());
        Self { printer: LinePrinter::new(lines), output, commands, addressed }
    }

    fn me(&self) -> &UserName {
        &self.printer.lines().me
    }

    /// Shows one thing. `now_ms` is Unix time in milliseconds.
    pub fn show(&mut self, screen: &mut Screen, item: &Item, sent: &SentLog, now_ms: u64) {
        if let (What::Own(own), Some(id)) = (&item.what, item.id) {
            self.note_place(own, (id, item.cid.as_ref()), screen.open());
        }
        let cid = self.typed_in(item).or(item.cid.clone());
        match &item.what {
            What::Clear => screen.clear(),
            What::Own(own) => screen.tell(cid.as_ref(), self.own(own, item.id)),
            What::Event(event) => self.event(screen, (cid.as_ref(), item), event, sent, now_ms),
            // The mark at the message, the status line and the question itself say these.
            What::Queued
            | What::Asked(_)
            | What::Place(Some(_))
            | What::Connection(Connection::Silent(_) | Connection::Answering) => {}
            What::Alike(_) | What::Undecided(_) => {
                self.notices(screen, (cid.as_ref(), item), Kind::Alarm, now_ms);
            }
            What::Answer(Answer::Fetching { n, size, .. }) => {
                let progress = Progress { n: *n, size: *size, done: 0, rate: 0 };
                if let Some(line) = self.line(item, Kind::Notice, now_ms) {
                    screen.tell(cid.as_ref(), Line { progress: Some(progress), ..line });
                }
            }
            What::Transfer { event, .. } => {
                self.transfer(screen, (cid.as_ref(), item), event, now_ms);
            }
            _ => self.notices(screen, (cid.as_ref(), item), Kind::Notice, now_ms),
        }
    }

    /// Notes where something was typed, if what comes of it would be shown elsewhere.
    fn note_place(
        &mut self,
        own: &Own,
        (id, cid): (MessageId, Option<&ConversationId>),
        open: &ConversationId,
    ) {
        if own.is_command {
            if self.commands.len() < COMMANDS_MAX {
                self.commands.insert(id, open.clone());
            }
        } else if cid.is_some_and(|cid| cid != open) && self.addressed.len() < ADDRESSED_MAX {
            self.addressed.insert(id, open.clone());
        }
    }

    /// Where the command was typed that this is about. Others choose the ids of their messages, so nothing but what is
    /// said of a command is looked up by it.
    fn typed_in(&mut self, item: &Item) -> Option<ConversationId> {
        let id = item.id?;
        let (is_about, is_over) = match &item.what {
            What::Event(event) => match &**event {
                Event::Refused { .. } | Event::Ended { .. } => (true, true),
                Event::Started { .. }
                | Event::Output { .. }
                | Event::OutputLost { .. }
                | Event::Late { .. }
                | Event::Stored { .. }
                | Event::Delivered { .. } => (true, false),
                _ => (false, false),
            },
            What::NotStarted { .. } | What::NotWaitedFor { .. } => (true, true),
            What::Own(_) | What::MayStart(_) => (true, false),
            _ => (false, false),
        };
        let cid = self.commands.get(&id).filter(|_| is_about).cloned();
        if is_over {
            self.commands.remove(&id);
        }
        cid
    }

    fn event(
        &mut self,
        screen: &mut Screen,
        (cid, item): (Option<&ConversationId>, &Item),
        event: &Event,
        sent: &SentLog,
        now_ms: u64,
    ) {
        let notices = |teller: &mut Self, screen: &mut Screen, kind| {
            teller.notices(screen, (cid, item), kind, now_ms);
        };
        match event {
            Event::Message { .. } => {
                if let Some(line) = self.said(event) {
                    screen.tell(cid, line);
                }
            }
            Event::Away { from, text, sent_ms, .. } if from != self.me() => {
                screen.tell(cid, plain(Lines::away(from, text), Kind::Notice, *sent_ms));
            }
            // The home keeps it as well, under the same id.
            Event::Unreadable { from, id, signed: true, .. } => {
                if let Some(line) = self.line(item, Kind::Alarm, now_ms) {
                    screen.tell(cid, Line { id: Some(*id), from: Some(from.clone()), ..line });
                }
            }
            Event::Stored { id, .. } | Event::Delivered { id, .. } | Event::Refused { id, .. }
                if sent.get(id).is_some_and(|sent| !sent.is_command) =>
            {
                if let Some(sent) = sent.get(id) {
                    screen.set_delivery(&sent.cid, id, sent.state.clone());
                }
                let place = self.addressed.remove(id);
                if let (Some(place), Event::Refused { .. }) = (place, event) {
                    self.notices(screen, (Some(&place), item), Kind::Notice, now_ms);
                }
            }
            Event::Output { re, stderr, data } => {
                let lines = self.output.add(*re, *stderr, data);
                output(screen, cid, *re, &lines, now_ms);
            }
            Event::Ended { re, by, ok, status, .. } => {
                let lines = self.output.end(*re);
                output(screen, cid, *re, &lines, now_ms);
                match status.filter(|_| *ok) {
                    Some(status) => {
                        let ended = format!("✓ {by}: done, exit status {status}");
                        screen.tell(cid, plain(ended, Kind::Notice, now_ms));
                    }
                    // The reason of the others has it.
                    None => notices(self, screen, Kind::Notice),
                }
            }
            Event::Alarm { .. }
            | Event::Gap { .. }
            | Event::Unhealed { .. }
            | Event::Unreadable { .. }
            | Event::Disowned { .. } => notices(self, screen, Kind::Alarm),
            // Who follows whom is nothing that was said in the feed. Whoever asked for it sees it where they are.
            _ if is_about_one(event) => {
                self.notices(screen, (None, item), Kind::Notice, now_ms);
            }
            _ => notices(self, screen, Kind::Notice),
        }
    }

    /// What happened to a file. How much of it is here is shown where it was asked for.
    fn transfer(
        &mut self,
        screen: &mut Screen,
        (cid, item): (Option<&ConversationId>, &Item),
        event: &TransferEvent,
        now_ms: u64,
    ) {
        match *event {
            TransferEvent::Progress { n, done, size, rate } => {
                screen.set_progress(Progress { n, size, done, rate }, false);
                return;
            }
            TransferEvent::Fetched { n, size, .. } => {
                screen.set_progress(Progress { n, size, done: size, rate: 0 }, true);
            }
            TransferEvent::Failed { n, .. } => screen.forget_transfer(n),
            TransferEvent::Offered(_) => {
                if let Some(line) = self.line(item, Kind::Notice, now_ms) {
                    offered(screen, cid, line);
                }
                return;
            }
            _ => {}
        }
        self.notices(screen, (cid, item), Kind::Notice, now_ms);
    }

    /// What line mode prints for it, as one line of the log.
    fn notices(
        &mut self,
        screen: &mut Screen,
        (cid, item): (Option<&ConversationId>, &Item),
        kind: Kind,
        at_ms: u64,
    ) {
        if let Some(line) = self.line(item, kind, at_ms) {
            screen.tell(cid, line);
        }
    }

    fn line(&mut self, item: &Item, kind: Kind, at_ms: u64) -> Option<Line> {
        let printed = self.printer.item(item).join("\n");
        // The log has its own way to make an alarm stand out.
        let rows: Vec<&str> = printed
            .lines()
            .filter(|row| row.is_empty() || !row.trim_matches('!').is_empty())
            .collect();
        (!rows.is_empty()).then(|| plain(rows.join("\n"), kind, at_ms))
    }

    /// What somebody needs to know who sits here for the first time.
    pub fn welcome(&self, screen: &mut Screen, now_ms: u64) {
        let key = |action| match screen.key_of(action) {
            "" => "(no key)".to_owned(),
            key => key.to_owned(),
        };
        let text = format!(
            "Welcome, {me}. What is said here is sealed for those who are meant, and for nobody else.\n\
             {send} sends, here to everybody in the room; /join ROOM goes to another one, or makes it\n\
             {complete} completes commands, people, rooms and files; /msg NAME TEXT is for one person alone\n\
             {switch} finds a conversation, {next} goes to what is new, {up} and {down} scroll\n\
             … is on its way, ✓ is stored, ✓✓ has arrived; /verify NAME compares keys\n\
             {help} lists the keys, /help the commands; /quit leaves",
            me = self.me(),
            send = key(Action::Send),
            complete = key(Action::Complete),
            switch = key(Action::Switch),
            next = key(Action::NextActive),
            up = key(Action::PageUp),
            down = key(Action::PageDown),
            help = key(Action::Help),
        );
        screen.tell(None, plain(text, Kind::Notice, now_ms));
    }

    /// A line of the program's own log.
    pub fn note(&self, screen: &mut Screen, line: String, now_ms: u64) {
        screen.tell(None, plain(line, Kind::Notice, now_ms));
    }

    fn own(&self, own: &Own, id: Option<MessageId>) -> Line {
        let command = if own.is_command { "runs " } else { "" };
        let deed = action::deed(&own.text).filter(|_| !own.is_command);
        let text = deed.unwrap_or(&own.text);
        Line {
            id,
            from: Some(self.me().clone()),
            who: Some(self.me().to_string()),
            delivery: (!own.is_command).then_some(Delivery::Queued),
            is_action: deed.is_some(),
            is_veiled: own.is_veiled,
            ..plain(format!("{command}{text}"), Kind::Own, own.sent_ms)
        }
    }

    /// A message that has come.
    fn said(&self, event: &Event) -> Option<Line> {
        let Event::Message { id, cid, from, text, veiled, peer, said_in, sent_ms, .. } = event
        else {
            return None;
        };
        let text = if *veiled { veil::unshift(text) } else { text.clone() };
        let deed = action::deed(&text);
        let line = plain(deed.unwrap_or(&text).to_owned(), self.kind(from), *sent_ms);
        let line = Line { is_action: deed.is_some(), is_veiled: *veiled, ..line };
        let hand = hand(*peer, said_in.as_ref());
        Some(self.spoken(line, *id, cid, from, hand))
    }

    /// A message of the home.
    pub fn entry(&self, entry: &Entry) -> Line {
        let record = &entry.record;
        let said = record.text.as_deref().unwrap_or_default();
        let deed = action::deed(said);
        let (text, kind) = match &entry.state {
            State::Unreadable { reason } => {
                (Lines::unreadable(&record.cid, &record.from, reason), Kind::Alarm)
            }
            // Nobody has said that.
            _ if said == HIDDEN => (said.to_owned(), Kind::Notice),
            _ => (deed.unwrap_or(said).to_owned(), self.kind(&record.from)),
        };
        let peer = match entry.state {
            State::Received { peer, .. } => peer,
            _ => Standing::Known,
        };
        let hand = hand(peer, record.said_in.as_ref());
        let line = plain(text, kind, record.sent_ms);
        let line = if kind == Kind::Alarm {
            Line { id: Some(record.id), from: Some(record.from.clone()), ..line }
        } else {
            let line = Line { is_action: deed.is_some(), is_veiled: record.veiled, ..line };
            self.spoken(line, record.id, &record.cid, &record.from, hand)
        };
        Line { place: Some(entry.place), delivery: Delivery::of(entry), ..line }
    }

    fn kind(&self, from: &UserName) -> Kind {
        if from == self.me() { Kind::Own } else { Kind::Said }
    }

    fn spoken(
        &self,
        line: Line,
        id: MessageId,
        cid: &ConversationId,
        from: &UserName,
        hand: String,
    ) -> Line {
        let is_mention = !cid.is_direct() && from != self.me() && names(&line.text, self.me());
        let (id, from, who) = (Some(id), Some(from.clone()), Some(from.to_string()));
        Line { id, from, who, hand, is_mention, ..line }
    }
}

/// What stands behind a name: how far the key behind it is to be trusted, and where it was said.
fn hand(peer: Standing, said_in: Option<&RoomName>) -> String {
    let place = said_in.map(|room| format!(" in #{room}")).unwrap_or_default();
    format!("{place}{}", identity::mark(peer))
}

fn plain(text: String, kind: Kind, at_ms: u64) -> Line {
    Line {
        id: None,
        from: None,
        place: None,
        at_ms,
        who: None,
        hand: String::new(),
        text,
        is_action: false,
        is_veiled: false,
        kind,
        delivery: None,
        is_mention: false,
        progress: None,
    }
}

/// Somebody waits for an answer: it is seen wherever one looks, and stays in the conversation with them.
fn offered(screen: &mut Screen, cid: Option<&ConversationId>, line: Line) {
    if cid.is_some_and(|cid| cid != screen.open()) {
        screen.tell(None, line.clone());
    }
    screen.tell(cid, Line { is_mention: true, ..line });
}

fn output(
    screen: &mut Screen,
    cid: Option<&ConversationId>,
    re: MessageId,
    lines: &[String],
    at_ms: u64,
) {
    if !lines.is_empty() {
        let line = plain(lines.join("\n"), Kind::Output, at_ms);
        screen.tell(cid, Line { id: Some(re), ..line });
    }
}

/// The conversations of a talk as rows of the list: those that one takes part in, and those with something
/// new or begun.
pub fn rows(all: &conversations::Conversations, me: &UserName) -> Vec<Conversation> {
    let is_shown = |one: &&conversations::Conversation| {
        one.is_in || one.unread > 0 || !one.drafts.is_empty() || all.here() == Some(&one.cid)
    };
    all.iter().filter(is_shown).map(|one| row(one, me)).collect()
}

fn row(one: &conversations::Conversation, me: &UserName) -> Conversation {
    let group = match one.kind {
        conversations::Kind::Everybody | conversations::Kind::Room => Group::Rooms,
        conversations::Kind::Person => Group::People,
        conversations::Kind::Machine => Group::Machines,
        conversations::Kind::Feed => Group::Feeds,
    };
    let name = match (one.cid.kind(), one.cid.other(me)) {
        (_, Some(other)) => other.to_string(),
        (ConversationKind::Feed(who), _) => who.to_string(),
        _ => one.cid.spoken(),
    };
    Conversation {
        cid: one.cid.clone(),
        group,
        name,
        unread: one.unread,
        mentions: one.mentions,
        is_muted: one.is_muted,
        is_in: one.is_in,
    }
}

#[cfg(test)]
mod tests;
