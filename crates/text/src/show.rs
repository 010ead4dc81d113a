//! What happened, as one line for people or one JSON object for programs.
//!
//! Strings of others pass the sanitiser on their way into a line; in JSON they stay the same,
//! because JSON has its own escapes: who writes an object writes it by `sanitise::json`.

use std::io::{self, IsTerminal as _};

use chat_endpoint::{Alarm, Event};
use chat_protocol::hub::Person;
use chat_protocol::name::{ConversationId, ConversationKind, RoomName, UserName};
use chat_protocol::sanitise;
use chat_protocol::spoken::counted;
use chat_protocol::tag::Tag;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use chat_protocol::veil;

use crate::hints;
pub use crate::{action, presence};

mod answers;
mod claim;
pub mod commands;
pub mod days;
pub mod feeds;
mod fields;
pub mod files;
mod form;
mod healing;
pub mod history;
pub mod identity;
pub mod items;
pub mod json;
mod noise;
pub mod objects;
pub mod output;
mod plain;
pub mod retention;
pub mod rooms;
pub mod session;

pub use answers::PASSWORD_CHANGED;
pub use claim::claim;

/// Names in one notice of who came; a storm of arrivals must not push the chat off the screen.
const NAMES_SHOWN_MAX: usize = 8;

/// Clocks that differ by more are told of: so far the protocol lets them.
const CLOCKS_DIFFER_MS: u64 = 5 * 60 * 1_000;

/// Before what nobody else can confirm.
pub(crate) const SERVER_SAYS: &str = "the server says: ";

/// How much a line for people says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// What a person at a terminal wants to see.
    Brief,
    /// Each answer to each message too: a record of everything.
    Full,
}

/// Makes lines for one user.
#[derive(Debug, Clone)]
pub struct Lines {
    /// Who reads them.
    pub me: UserName,
    /// How much they say.
    pub detail: Detail,
    /// In which zone times are shown.
    pub zone: TimeZone,
    /// Times have their date and zone: whoever reads them later does not know the day.
    pub dated: bool,
    /// It is shown when something was said.
    pub timed: bool,
}

impl Lines {
    /// Lines with times of the system's zone; with their dates where no terminal shows them.
    pub fn new(me: UserName, detail: Detail) -> Self {
        let dated = !io::stdout().is_terminal();
        Self { me, detail, zone: TimeZone::system(), dated, timed: true }
    }

    /// Full lines with times of the day, in UTC.
    pub(crate) fn undated(me: UserName) -> Self {
        Self { me, detail: Detail::Full, zone: TimeZone::UTC, dated: false, timed: true }
    }

    /// The same with dates everywhere, for a record.
    #[must_use]
    pub fn with_dates(self) -> Self {
        Self { dated: true, ..self }
    }

    /// The line for an event, without a line end, or nothing where there is nothing to say. Output
    /// of commands is not a line; see [`output::Pieces`].
    pub fn event(&self, event: &Event) -> Option<String> {
        let full = self.detail == Detail::Full;
        Some(match event {
            Event::Message { .. } => self.message(event)?,
            Event::Stored { id, kept: true, recipients, .. } => {
                let whom = names(recipients);
                format!("✓ kept for {whom}, who is away{}", tail(full, id))
            }
            Event::Stored { id, cid, .. } if full => {
                format!("✓ stored for {}{}", self.whom(cid), tail(full, id))
            }
            Event::Delivered { id, by, readable: false, .. } => {
                format!("✗ {by} could not read a message{}", tail(true, id))
            }
            Event::Delivered { id, by, refused: true, .. } => {
                format!("✓✓ delivered to {by} although the server refused it{}", tail(true, id))
            }
            Event::Delivered { id, by, .. } if full => {
                format!("✓✓ delivered to {by}{}", tail(full, id))
            }
            Event::Refused { .. } => self.refused(event)?,
            Event::Disowned { cid, from, id } => format!(
                "· {}{from} says that the server refused a message of theirs that was shown [{id}]",
                Self::place(cid)
            ),
            Event::OutputLost { re, pieces } => {
                format!("✗ not here: {} of the output{}", counted(*pieces, "piece"), tail(full, re))
            }
            Event::Late { re, by } => late(by, &tail(full, re)),
            Event::Started { re, by } if full => format!("· {by} runs it{}", tail(full, re)),
            Event::Ended { re, by, ok: true, .. } => format!("✓ {by}: done{}", tail(full, re)),
            Event::Ended { re, by, code, reason, .. } => {
                format!("✗ {by}: NOACK {}: {}{}", line(code), line(reason), tail(full, re))
            }
            Event::Command { from, command, .. } if full => {
                format!("· {from} asks to run: {}", line(&command.argv.join(" ")))
            }
            Event::Unreadable { cid, from, reason, .. } => Self::unreadable(cid, from, reason),
            Event::Gap { .. } | Event::Healed { .. } | Event::Unhealed { .. } => {
                healing::line(event)?
            }
            Event::Dropped { .. } => retention::line(self, event)?,
            Event::Alarm { kind, user, detail, count } => banner(*kind, user, detail, *count),
            Event::Away { from, .. } if *from == self.me => return None,
            Event::Away { from, text, sent_ms, .. } => {
                format!("{}{}", self.stamp(*sent_ms), Self::away(from, text))
            }
            Event::Announcement { text } => format!("* {SERVER_SAYS}{}", line(text)),
            Event::NewDevice { user, number, words } => {
                identity::new_device(&self.me, user, (*number, words))
            }
            Event::Presence { joined, left, followed } => presence(joined, left, followed)?,
            event if feeds::is_about_one(event) => return feeds::line(&self.me, event),
            Event::Joined { id, cid, .. } if full || id.is_some() => {
                format!("· you are in {}", Self::place(cid).trim_end())
            }
            Event::Complaint { code, reason, by_hub, .. } => {
                let whose = if *by_hub { SERVER_SAYS } else { "" };
                format!("✗ {whose}{}: {}{}", line(code), line(reason), hint(code, *by_hub))
            }
            Event::PutOff { reason } => {
                format!("* {SERVER_SAYS}{}; this device sends it again", line(reason))
            }
            event => return rooms::line(&self.me, event),
        })
    }

    fn refused(&self, event: &Event) -> Option<String> {
        let Event::Refused { id, code, reason, by_hub, may_start_until_ms } = event else {
            return None;
        };
        let whose = if *by_hub { SERVER_SAYS } else { "" };
        let until = may_start_until_ms.map(|until_ms| {
            let until = self.time(until_ms);
            format!("; if it went there all the same, it can start until {until}")
        });
        let (code, reason, until) = (line(code), line(reason), until.unwrap_or_default());
        let tail = tail(self.detail == Detail::Full, id);
        let hint = hint(&code, *by_hub);
        Some(format!("✗ NOACK {code}: {whose}{reason}{hint}{until}{tail}"))
    }

    fn message(&self, event: &Event) -> Option<String> {
        let Event::Message { cid, tag, from, text, veiled, said_in, sent_ms, .. } = event else {
            return None;
        };
        let Event::Message { healed_by, granted_by, gone, peer, hub_ms, .. } = event else {
            return None;
        };
        let mark = veil_mark(*veiled);
        let text = if *veiled { veil::unshift(text) } else { text.clone() };
        let mut hand = healing::mark(healed_by.as_ref(), granted_by.as_ref(), *gone);
        // One of both clocks is wrong, or it waited on its way.
        let is_of_log = healed_by.is_none() && granted_by.is_none();
        if is_of_log && sent_ms.abs_diff(*hub_ms) > CLOCKS_DIFFER_MS {
            hand = format!("{hand} (at {} by the server's clock)", self.time(*hub_ms));
        }
        let hand = format!("{}{hand}", identity::mark(*peer));
        if cid.is_feed() {
            let said_in = said_in.as_ref();
            return Some(self.copied(from, said_in, &text, *sent_ms, (mark, &hand)));
        }
        Some(self.marked((cid, *tag), from, &text, *sent_ms, (mark, &hand)))
    }

    /// The line for what the program of somebody says who is away: one line, whatever it says.
    pub fn away(from: &UserName, text: &str) -> String {
        format!("· {from} is away: {}", line(text))
    }

    /// The line for a message of others that could not be read.
    pub fn unreadable(cid: &ConversationId, from: &UserName, reason: &str) -> String {
        let whose = format!("{}{from}", Self::place(cid));
        // Nobody else says anything in a feed.
        let whose = if cid.is_feed_of(from) { Self::place(cid) } else { whose };
        format!("? {}: a message that cannot be read: {}", whose.trim_end(), line(reason))
    }

    /// The line for what somebody has said elsewhere, whom one follows. It begins as no line of a
    /// room does.
    pub(crate) fn copied(
        &self,
        from: &UserName,
        said_in: Option<&RoomName>,
        text: &str,
        sent_ms: u64,
        (mark, hand): (&str, &str),
    ) -> String {
        let who = if *from == self.me { "you" } else { from.as_str() };
        let place = said_in.map(|room| format!(" in #{room}")).unwrap_or_default();
        let done = action::done(from, text);
        let text = set_in(done.as_deref().unwrap_or(text));
        format!("{}{mark}[{who}{place}]{hand} {text}", self.stamp(sent_ms))
    }

    /// The line for something that was said, with what stands before and behind its writer's name. `sent_ms` is
    /// Unix time in milliseconds.
    pub(crate) fn marked(
        &self,
        (cid, tag): (&ConversationId, Tag),
        from: &UserName,
        text: &str,
        sent_ms: u64,
        (mark, hand): (&str, &str),
    ) -> String {
        let time = self.stamp(sent_ms);
        let done = action::done(from, text);
        let is_direct = matches!(tag, Tag::Dm | Tag::Broadcast);
        if let Some(done) = done.as_ref().filter(|_| !is_direct) {
            return format!("{time}{mark}{}{}{hand}", Self::place(cid), set_in(done));
        }
        let who = match tag {
            Tag::Dm if *from == self.me => {
                let to = cid.other(&self.me).map(|to| to.to_string()).unwrap_or_default();
                format!("you → {to}")
            }
            Tag::Dm => format!("{from} → you"),
            Tag::Broadcast if *from == self.me => "you → ALL".to_owned(),
            Tag::Broadcast => format!("{from} → ALL"),
            _ if *from == self.me => format!("{}you", Self::place(cid)),
            _ => format!("{}{from}", Self::place(cid)),
        };
        let text = set_in(done.as_deref().unwrap_or(text));
        format!("{time}{mark}{who}{hand}: {text}")
    }

    /// The time before what was said, where it is shown.
    fn stamp(&self, unix_ms: u64) -> String {
        if self.timed { format!("{} ", self.time(unix_ms)) } else { String::new() }
    }

    /// `#lobby ` and so on; nothing for a direct conversation.
    pub(crate) fn place(cid: &ConversationId) -> String {
        match cid.kind() {
            ConversationKind::Room(room) if room.is_all() => "ALL ".to_owned(),
            ConversationKind::Room(room) => format!("#{room} "),
            ConversationKind::Feed(user) => format!("feed of {user} "),
            ConversationKind::Direct(..) => String::new(),
        }
    }

    /// For whom something is that was said there.
    fn whom(&self, cid: &ConversationId) -> String {
        match (cid.kind(), cid.other(&self.me)) {
            (ConversationKind::Room(room), _) if room.is_all() => "everybody (ALL)".to_owned(),
            (_, Some(other)) => other.to_string(),
            (_, None) => Self::place(cid).trim_end().to_owned(),
        }
    }

    /// Hours, minutes, seconds; the date too where it is not today's. With dates: date, time and zone.
    pub fn time(&self, unix_ms: u64) -> String {
        let at = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let Some(at) = at.map(|at| at.to_zoned(self.zone.clone())) else {
            return "--:--:--".to_owned();
        };
        let today = Timestamp::now().to_zoned(self.zone.clone()).date();
        let form = match (self.dated, at.date() == today) {
            (true, _) => "%Y-%m-%d %H:%M:%S%:z",
            (false, true) => "%H:%M:%S",
            (false, false) => "%Y-%m-%d %H:%M:%S",
        };
        at.strftime(form).to_string()
    }
}

/// What is said of a clock that differs from the server's: whose commands and keys would be refused as
/// too old or not begun. `own_ms` and `server_ms` are Unix time in milliseconds, of one moment.
pub fn clocks(own_ms: u64, server_ms: u64) -> Option<String> {
    let by_ms = own_ms.abs_diff(server_ms);
    let side = if own_ms > server_ms { "ahead of" } else { "behind" };
    let minutes = by_ms / 60_000;
    (by_ms > CLOCKS_DIFFER_MS).then(|| {
        format!(
            "! the clock of this machine is {minutes} minutes {side} the server's; while one of them is \
             wrong, commands and keys can be refused for their time"
        )
    })
}

/// What stands before who said something under the veil, where no text can put it.
pub fn veil_mark(veiled: bool) -> &'static str {
    if veiled { "~ " } else { "" }
}

/// One person of a list.
pub fn person(person: &Person) -> String {
    let here = if person.online { "online" } else { "away" };
    let agent = if person.agent { ", accepts commands" } else { "" };
    format!("{:<32} {here}{agent}", person.name)
}

/// What somebody has said. Further lines are set in, so that none of them can pass for a message of its own.
fn set_in(text: &str) -> String {
    sanitise::text(text).replace('\n', "\n    ")
}

fn line(outside: &str) -> std::borrow::Cow<'_, str> {
    sanitise::line(outside)
}

fn tail(full: bool, id: &chat_protocol::id::MessageId) -> String {
    if full { format!(" [{id}]") } else { String::new() }
}

fn names(names: &[UserName]) -> String {
    match names {
        [] => "nobody".to_owned(),
        [one] => one.to_string(),
        many => format!("{} people", many.len()),
    }
}

fn presence(joined: &[UserName], left: &[UserName], followed: &[UserName]) -> Option<String> {
    // Whom one follows has a line of their own.
    let [others_joined, others_left] = [joined, left].map(|names| {
        names.iter().filter(|name| !followed.contains(name)).cloned().collect::<Vec<_>>()
    });
    let line = |names: &[UserName], what: &str| {
        let listed: Vec<String> =
            names.iter().take(NAMES_SHOWN_MAX).map(|name| format!("[{name}]")).collect();
        let more = match names.len().saturating_sub(NAMES_SHOWN_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{}{more} just {what} the server", listed.join(", "))
    };
    let lines = [(&others_joined, "joined"), (&others_left, "left")];
    let lines = lines.iter().filter(|(names, _)| !names.is_empty());
    let mut text: Vec<String> = lines.map(|(names, what)| line(names, what)).collect();
    for (names, state) in [(joined, "online"), (left, "offline")] {
        let names = names.iter().filter(|name| followed.contains(name));
        text.extend(names.map(|name| format!("★ {name}, whom you follow, is {state}")));
    }
    (!text.is_empty()).then(|| text.join("\n"))
}

/// What can be typed about a refusal.
fn hint(code: &str, by_hub: bool) -> String {
    let hint = hints::of_refusal(code, by_hub);
    hint.map(|hint| format!(" ({hint})")).unwrap_or_default()
}

/// Not to be overlooked between two messages.
fn banner(kind: Alarm, user: &UserName, detail: &str, count: u32) -> String {
    let rule = "!".repeat(72);
    let times = if count > 1 { format!(", {count} times in a minute") } else { String::new() };
    let hint = hints::of_alarm(kind, user).map(|hint| format!("\n!! {hint}")).unwrap_or_default();
    let (kind, detail) = (kind.as_str(), sanitise::line(detail));
    format!("{rule}\n!! ALARM {kind}: {user}{times}\n!! {detail}{hint}\n{rule}")
}

/// What comes before the answer to a command that was given up.
fn late(by: &UserName, tail: &str) -> String {
    format!("! {by} answers a command that was given up; what it says of it follows{tail}")
}

#[cfg(test)]
mod tests {
    use chat_endpoint::Standing;
    use chat_protocol::id::MessageId;

    use super::*;

    fn name(name: &str) -> UserName {
        UserName::new(name).unwrap()
    }

    fn lines(detail: Detail) -> Lines {
        Lines { me: name("bob"), detail, zone: TimeZone::UTC, dated: false, timed: true }
    }

    fn message(tag: Tag, cid: &str, from: &str, text: &str) -> Event {
        Event::Message {
            id: MessageId([1; 16]),
            cid: ConversationId::parse(cid).unwrap(),
            tag,
            from: name(from),
            text: text.to_owned(),
            veiled: false,
            peer: Standing::Known,
            said_in: None,
            position: 7,
            sent_ms: 1_700_000_000_123,
            hub_ms: 1_700_000_000_200,
            frame: None,
            healed_by: None,
            granted_by: None,
            gone: false,
        }
    }

    #[test]
    fn messages_say_when_where_who_and_what() {
        for (event, expected) in [
            (message(Tag::Text, "room:lobby", "alice", "hi"), "#lobby alice: hi"),
            (message(Tag::Dm, "dm:alice:bob", "alice", "hi"), "alice → you: hi"),
            (message(Tag::Dm, "dm:alice:bob", "bob", "hi"), "you → alice: hi"),
            (message(Tag::Broadcast, "room:ALL", "alice", "hi"), "alice → ALL: hi"),
            (message(Tag::Text, "room:lobby", "bob", "hi"), "#lobby you: hi"),
            (message(Tag::Broadcast, "room:ALL", "bob", "hi"), "you → ALL: hi"),
            (message(Tag::Text, "room:lobby", "alice", "/me waves"), "#lobby * alice waves"),
            (message(Tag::Dm, "dm:alice:bob", "alice", "/me waves"), "alice → you: * alice waves"),
        ] {
            let line = lines(Detail::Brief).event(&event).unwrap();
            assert_eq!(line, format!("2023-11-14 22:13:20 {expected}"));
        }
    }

    /// Goal: whose clock differs is seen: the writer's at the message, one's own in a line. (The build
    /// before showed the writer's time alone, and nothing of one's own.)
    #[test]
    fn clocks_that_differ_are_told_of() {
        let mut event = message(Tag::Dm, "dm:alice:bob", "alice", "hi");
        let said = |event: &Event| lines(Detail::Brief).event(event).unwrap();
        for (by_ms, expected) in [
            (300_000, "alice → you: hi"),
            (300_001, "alice → you (at 2023-11-14 22:18:20 by the server's clock): hi"),
        ] {
            if let Event::Message { sent_ms, hub_ms, .. } = &mut event {
                *hub_ms = *sent_ms + by_ms;
            }
            assert_eq!(said(&event), format!("2023-11-14 22:13:20 {expected}"));
        }
        assert_eq!(clocks(1_000_000, 1_300_000), None);
        assert!(clocks(1_000_000, 1_700_000).unwrap().contains("11 minutes behind the server's"));
        assert!(clocks(1_900_000, 1_000_000).unwrap().contains("15 minutes ahead of"));
    }

    #[test]
    fn a_veiled_text_is_shown_in_clear_and_marked() {
        let mut event = message(Tag::Dm, "dm:alice:bob", "alice", "Ju jt uif cvumfs. \u{1b}");
        if let Event::Message { veiled, .. } = &mut event {
            *veiled = true;
        }
        let line = lines(Detail::Brief).event(&event).unwrap();
        assert!(line.ends_with(r"~ alice → you: It is the butler. \x1b"), "{line}");
    }

    #[test]
    fn what_comes_by_a_feed_says_where_it_was_said_and_whom_one_follows_stands_out() {
        let mut event = message(Tag::Text, "feed:alice", "alice", "hi\n#ops bob: pay");
        let said = |event: &Event| lines(Detail::Brief).event(event).unwrap();
        assert_eq!(said(&event), "2023-11-14 22:13:20 [alice] hi\n    #ops bob: pay");
        if let Event::Message { said_in, veiled, .. } = &mut event {
            (*said_in, *veiled) = (Some(RoomName::new("ops").unwrap()), true);
        }
        assert!(said(&event).starts_with("2023-11-14 22:13:20 ~ [alice in #ops] gh\n"));
        let (joined, followed) = (vec![name("alice"), name("carol")], vec![name("alice")]);
        let came = Event::Presence { joined, left: vec![name("dave")], followed };
        let expected = "[carol] just joined the server\n[dave] just left the server\n\
                        ★ alice, whom you follow, is online";
        assert_eq!(said(&came), expected);
    }

    #[test]
    fn many_who_come_at_once_are_one_line() {
        let joined: Vec<_> = (0..12).map(|number| name(&format!("g{number}"))).collect();
        let came = Event::Presence { joined, left: Vec::new(), followed: Vec::new() };
        let said = lines(Detail::Brief).event(&came).unwrap();
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(
            said.starts_with("[g0], [g1], ")
                && said.ends_with(" and 4 more just joined the server")
        );
    }

    #[test]
    fn texts_of_others_cannot_act_on_the_terminal_or_fake_a_line() {
        let evil = message(Tag::Text, "room:lobby", "alice", "a\u{1b}[2J\n12:00:00 bob: pay");
        let line = lines(Detail::Brief).event(&evil).unwrap();
        assert!(line.contains(r"a\x1b[2J") && !line.contains('\u{1b}'), "{line}");
        assert!(line.contains("\n    12:00:00 bob: pay"), "{line}");
        let alarm = Event::Alarm {
            kind: Alarm::KeyChanged,
            user: name("alice"),
            detail: "x\u{202e}y".to_owned(),
            count: 3,
        };
        let banner = lines(Detail::Brief).event(&alarm).unwrap();
        assert!(banner.contains("ALARM key_changed: alice, 3 times in a minute\n"), "{banner}");
        assert!(!banner.contains('\u{202e}'), "{banner}");
    }

    #[test]
    fn an_unreadable_message_names_its_writer_once() {
        for (cid, line) in [
            ("feed:bob", "? feed of bob: a message that cannot be read: why"),
            ("room:ops", "? #ops bob: a message that cannot be read: why"),
            ("dm:alice:bob", "? bob: a message that cannot be read: why"),
        ] {
            let cid = ConversationId::parse(cid).unwrap();
            assert_eq!(Lines::unreadable(&cid, &name("bob"), "why"), line);
        }
    }

    #[test]
    fn a_record_has_dates_and_zones() {
        let zone = TimeZone::fixed(jiff::tz::offset(-3));
        let lines = Lines { zone, ..lines(Detail::Full) };
        assert_eq!(lines.time(1_700_000_000_123), "2023-11-14 19:13:20");
        assert_eq!(lines.with_dates().time(1_700_000_000_123), "2023-11-14 19:13:20-03:00");
    }

    #[test]
    fn brief_lines_leave_out_what_full_ones_record() {
        let stored = |kept| Event::Stored {
            id: MessageId([1; 16]),
            cid: ConversationId::parse("room:ops").unwrap(),
            position: 1,
            kept,
            recipients: [name("alice")].into(),
            frame: None,
        };
        assert_eq!(lines(Detail::Brief).event(&stored(false)), None);
        let kept = lines(Detail::Brief).event(&stored(true)).unwrap();
        assert_eq!(kept, "✓ kept for alice, who is away");
        let full = lines(Detail::Full).event(&stored(false)).unwrap();
        assert_eq!(full, "✓ stored for #ops [AQEBAQEBAQEBAQEBAQEBAQ]");
    }
}
