//! Items in the forms in which a program prints them: lines for people, JSON objects and records for programs.

use std::collections::HashMap;

use chat_device::client::{BY_WILL, RENEWING};
use chat_device::clock::now_ms;
use chat_device::recipient::Recipient;
use chat_endpoint::Event;
use chat_files::transfer::TransferEvent;
use chat_protocol::name::{ConversationId, ConversationKind, UserName};
use chat_protocol::sanitise;
use chat_protocol::tag::Tag;
use serde_json::{Value, json};

use super::answers::answer;
use super::commands::{not_started, not_waited_for, starts_until};
use super::days::Days;
use super::form::{Form, both, line};
use super::objects::Objects;
use super::output::OutputLines;
use super::{Detail, Lines, clocks, files, identity, person, plain, rooms, session};
use crate::item::{Asked, Connection, Item, Own, What};

/// Prints items in one of the forms.
#[derive(Debug)]
pub enum Printer {
    /// Lines.
    Lines(Box<LinePrinter>),
    /// Objects, of this user's device.
    Json(UserName, Objects),
    /// The same objects as records, their fields parted by tabs.
    Plain(UserName, Objects),
}

impl Printer {
    /// Lines that are made like this, or objects.
    pub fn new(lines: Lines, is_json: bool) -> Self {
        if is_json {
            return Self::Json(lines.me, Objects::default());
        }
        Self::Lines(Box::new(LinePrinter::new(lines)))
    }

    /// Records of this user's device.
    pub fn plain(me: UserName) -> Self {
        Self::Plain(me, Objects::default())
    }

    /// It is shown when something was said, or not.
    pub fn set_timed(&mut self, timed: bool) {
        if let Self::Lines(printer) = self {
            printer.set_timed(timed);
        }
    }

    /// The lines to be printed for what was told.
    pub fn print(&mut self, items: &[Item]) -> Vec<String> {
        match self {
            Self::Lines(printer) => printer.print(items),
            Self::Json(me, objects) => objects_of(me, objects, items)
                .map(|one| sanitise::json(&one.to_string()).into_owned())
                .collect(),
            Self::Plain(me, objects) => {
                objects_of(me, objects, items).map(|one| plain::record(&one)).collect()
            }
        }
    }
}

/// The objects for what was told.
fn objects_of<'a>(
    me: &'a UserName,
    objects: &'a mut Objects,
    items: &'a [Item],
) -> impl Iterator<Item = Value> + 'a {
    items.iter().flat_map(move |item| match &item.what {
        What::Event(event) => objects.of(me, event),
        what => forms(&Lines::undated(me.clone()), item, what)
            .into_iter()
            .filter_map(|(_, object)| object)
            .collect(),
    })
}

/// Makes the lines of one screen or one record, in the order of what happens.
#[derive(Debug)]
pub struct LinePrinter {
    lines: Lines,
    output: OutputLines,
    days: Days,
    /// The tenths of each file that were shown: above a prompt nothing can be drawn over.
    tenths: HashMap<u32, u64>,
}

impl LinePrinter {
    /// Lines that are made like this.
    pub fn new(lines: Lines) -> Self {
        let days = Days::new(lines.zone.clone());
        Self { lines, output: OutputLines::default(), days, tenths: HashMap::new() }
    }

    /// How its lines are made.
    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    /// It is shown when something was said, or not.
    pub fn set_timed(&mut self, timed: bool) {
        self.lines.timed = timed;
    }

    /// The lines for what was told, behind the line of a new day where times have no dates.
    pub fn print(&mut self, items: &[Item]) -> Vec<String> {
        let mut lines: Vec<String> = items.iter().flat_map(|item| self.item(item)).collect();
        if !self.lines.dated
            && !lines.is_empty()
            && let Some(day) = self.days.line(now_ms())
        {
            lines.insert(0, day);
        }
        lines
    }

    /// The lines for one thing.
    pub fn item(&mut self, item: &Item) -> Vec<String> {
        match &item.what {
            What::Event(event) => self.event(event),
            What::Transfer { event, .. } if self.is_shown(event) => Vec::new(),
            what => {
                forms(&self.lines, item, what).into_iter().filter_map(|(line, _)| line).collect()
            }
        }
    }

    fn event(&mut self, event: &Event) -> Vec<String> {
        // Output of a command, so that none of it can pass for a message.
        let set_in = |lines: Vec<String>| lines.into_iter().map(|line| format!("  │ {line}"));
        match event {
            Event::Output { re, stderr, data } => {
                set_in(self.output.add(*re, *stderr, data)).collect()
            }
            Event::Ended { re, .. } => {
                set_in(self.output.end(*re)).chain(self.lines.event(event)).collect()
            }
            Event::People { people, .. } => {
                people.iter().map(|one| format!("  {}", person(one))).collect()
            }
            _ => self.lines.event(event).into_iter().collect(),
        }
    }

    /// Whether so much of a file was shown already.
    fn is_shown(&mut self, event: &TransferEvent) -> bool {
        match event {
            TransferEvent::Progress { n, done, size, .. } => {
                let tenths = done.saturating_mul(10) / (*size).max(1);
                let shown = self.tenths.entry(*n).or_default();
                let is_shown = tenths <= *shown;
                *shown = tenths;
                is_shown
            }
            TransferEvent::Fetched { n, .. } | TransferEvent::Failed { n, .. } => {
                self.tenths.remove(n);
                false
            }
            _ => false,
        }
    }
}

impl Lines {
    /// The line for what this user has said: other screens than the one that it was typed at show it.
    pub fn own(&self, cid: &ConversationId, own: &Own) -> String {
        let tag = match cid.kind() {
            ConversationKind::Direct(..) => Tag::Dm,
            ConversationKind::Room(room) if room.is_all() => Tag::Broadcast,
            _ => Tag::Text,
        };
        let mark = super::veil_mark(own.is_veiled);
        let hand = if own.is_command { " runs" } else { "" };
        self.marked((cid, tag), &self.me, &own.text, own.sent_ms, (mark, hand))
    }
}

/// What is no event of the device.
fn forms(lines: &Lines, item: &Item, what: &What) -> Vec<Form> {
    let one = match what {
        What::Answer(told) => return answer(lines, told),
        What::Transfer { event, name } => {
            let forms = files::event(event, name.as_deref()).into_iter();
            return forms.map(|(line, object)| both(line, object)).collect();
        }
        What::Event(_) | What::Own(_) | What::Clear => return Vec::new(),
        What::Queued if lines.detail == Detail::Full => return Vec::new(),
        What::Queued => line("… queued"),
        What::Alike(alike) => both(alike.line(), alike.object()),
        What::Connection(connection) => told_of(&lines.me, connection),
        What::Undecided(user) => {
            both(identity::undecided(user), json!({"event": "key_in_question", "user": user}))
        }
        What::Place(place) => placed(place.as_ref()),
        What::Made(room) => both(format!("· made #{room}"), rooms::made(room, &lines.me)),
        What::Asked(Asked::Key(question)) => {
            let ask = question.kind.prompt(&question.user);
            line(format!("{ask}\n  (the next line is the answer; Enter leaves it)"))
        }
        What::Asked(Asked::Room { room, like }) => line(format!(
            "There is no #{room}, but a #{like}. Make #{room} all the same? Type yes; Enter leaves it"
        )),
        What::NotMade(room) => line(format!("· #{room} is not made")),
        What::MayStart(id) => {
            let until = starts_until("the machine", id.made_ms(), |ms| lines.time(ms));
            line(format!("· {until}"))
        }
        What::NotStarted { target, until_ms } => both(
            format!("✗ {}", not_started(target, until_ms.map(|ms| lines.time(ms)))),
            not_started_object(item, target, *until_ms),
        ),
        What::NotWaitedFor { target, until_ms } => {
            line(format!("· {}", not_waited_for(target, &lines.time(*until_ms))))
        }
        What::Error(reason) => both(
            format!("✗ {}", sanitise::line(reason)),
            json!({"event": "error", "reason": reason}),
        ),
    };
    vec![one]
}

fn told_of(me: &UserName, connection: &Connection) -> Form {
    match connection {
        Connection::Online { url, server } => both(
            format!("· connected to {url} as {me}"),
            json!({
                "event": "connection", "state": "online", "url": url, "server": server.to_string(),
            }),
        ),
        Connection::Clocks(own_ms, server_ms) => (clocks(*own_ms, *server_ms), None),
        Connection::Silent(seconds) => both(
            format!("! no answer from the server for {seconds} s"),
            json!({"event": "connection", "state": "silent", "seconds": seconds}),
        ),
        Connection::Answering => {
            both("· the server answers again", json!({"event": "connection", "state": "answering"}))
        }
        Connection::Offline(reason) => both(
            match reason.as_str() {
                RENEWING => format!("· {reason}; the connection comes back by itself"),
                BY_WILL => format!("· {}; what you type is sent then", session::AWAY),
                reason => format!("! offline: {reason}; what you type is sent later"),
            },
            json!({"event": "connection", "state": "offline", "reason": reason}),
        ),
    }
}

fn placed(place: Option<&Recipient>) -> Form {
    let room = match place {
        Some(Recipient::Room(room)) => Some(room),
        _ => None,
    };
    let text = match place {
        Some(Recipient::Room(room)) => format!("· what you type goes to #{room}"),
        Some(Recipient::User(user)) => format!("· what you type goes to {user} alone"),
        Some(Recipient::All) => "· what you type goes to everybody (ALL)".to_owned(),
        None => "· you are in no room; /join ROOM or /room ROOM".to_owned(),
    };
    both(text, json!({"event": "room", "room": room, "state": "current"}))
}

fn not_started_object(item: &Item, target: &UserName, until_ms: Option<u64>) -> Value {
    let mut object =
        json!({"event": "command", "id": item.id, "state": "NOT_STARTED", "by": target});
    if let (Some(until), Some(fields)) =
        (until_ms.and_then(super::fields::time), object.as_object_mut())
    {
        fields.insert("may_start_until".to_owned(), until.into());
    }
    object
}

#[cfg(test)]
mod tests {
    use chat_protocol::id::MessageId;

    use super::*;

    /// Goal: a program is told until when a command can start that nobody waits for. (The build before took it for
    /// one that never starts.)
    #[test]
    fn what_may_still_start_is_an_object_with_a_time() {
        let target = UserName::new("web1").unwrap();
        let object = |until_ms| {
            let what = What::NotStarted { target: target.clone(), until_ms };
            let item = Item { cid: None, id: Some(MessageId::new(1, [1; 10])), what };
            let printed = Printer::Json(target.clone(), Objects::default()).print(&[item]);
            serde_json::from_str::<Value>(&printed.concat()).unwrap()
        };
        assert_eq!(object(Some(660_001))["may_start_until"], "1970-01-01T00:11:00.001Z");
        assert!(object(None).get("may_start_until").is_none());
    }

    #[test]
    fn a_line_stands_for_each_tenth_of_a_file_and_an_object_for_each_step() {
        let me = UserName::new("alice").unwrap();
        let step = |done| {
            let event = TransferEvent::Progress { n: 1, done, size: 100, rate: 1 };
            Item::from(What::Transfer { event, name: Some("a".to_owned()) })
        };
        let mut lines = Printer::new(Lines::undated(me.clone()), false);
        let mut objects = Printer::new(Lines::undated(me), true);
        let shown = |printer: &mut Printer| -> Vec<usize> {
            [5, 10, 15, 20].map(|done| printer.print(&[step(done)]).len()).into()
        };
        assert_eq!(shown(&mut lines), [0, 1, 0, 1]);
        assert_eq!(shown(&mut objects), [1, 1, 1, 1]);
    }
}
