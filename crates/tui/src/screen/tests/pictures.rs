//! The six pictures: what a person sees, as text. Each stands in a file of its own, and in `docs/CLIENT.md`.

use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs};

use chat_endpoint::{Alarm, Event};
use chat_files::transfer::TransferEvent;
use chat_protocol::name::UserName;
use chat_talk::sent::{Sent, SentLog};
use chat_text::item::{Answer, Item, Own, What};
use chat_text::show::{Detail, Lines};

use super::*;
use crate::keys::Bindings;
use crate::told::Teller;

/// Compares a screen with the picture of this name. `CHAT_DRAW_PICTURES=1` draws the pictures anew, to be looked at
/// by a person before they are committed.
fn expect_screen(desk: &Desk, name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/screen/tests/pictures").join(name);
    let drawn = desk.text();
    if env::var_os("CHAT_DRAW_PICTURES").is_some() {
        fs::write(&path, &drawn).unwrap();
    }
    let picture = fs::read_to_string(&path).unwrap();
    assert!(drawn == picture, "drawn:\n{drawn}");
}

/// A day of alice's.
fn day(width: u16, height: u16) -> Desk {
    let mut desk = Desk::new(width, height);
    let facts = &mut desk.facts;
    facts.conversations = [
        "room:ALL",
        "room:lobby",
        "room:dev",
        "room:ops",
        "dm:alice:bob",
        "dm:alice:carol",
        "dm:alice:server",
    ]
    .map(conversation)
    .into();
    (facts.conversations[3].unread, facts.conversations[3].mentions) = (5, 2);
    facts.conversations[5].unread = 1;
    facts.conversations[5].mentions = 1;
    facts.conversations[1].is_muted = true;
    facts.conversations[1].unread = 40;
    facts.topic = "release on Friday; build log at the wiki".to_owned();
    facts.members = [("alice", true), ("bob", true), ("carol", false), ("dora", true)]
        .map(|(name, is_online)| Member {
            name: name.to_owned(),
            is_online,
            is_admin: name == "bob",
        })
        .into();
    facts.status.retention = Some("30 days".to_owned());
    facts.status.lag_ms = Some(40);
    desk.screen.opened(cid("room:dev"));
    let stored = |confirmed| Some(Delivery::Stored { recipients: 3, confirmed, unreadable: 0 });
    let day_before = START_MS - 86_400_000;
    for line in [
        Line { at_ms: day_before, ..line(1, "dora", "the build is green again 🎉") },
        line(
            2,
            "bob",
            "alice: can you look at the parser? It takes the second line of a 漢字 name for a new message, see the log",
        ),
        Line { delivery: stored(3), ..line(3, "alice", "on it") },
        Line { hand: " [verified]".to_owned(), ..line(4, "carol", "I am off, back at four") },
        Line { delivery: stored(2), ..line(5, "alice", "found: the wrap counts bytes") },
        Line { delivery: Some(Delivery::Queued), ..line(6, "alice", "mended, tests run") },
    ] {
        let is_mention = line.text.starts_with("alice:");
        desk.screen.tell(Some(&cid("room:dev")), Line { is_mention, ..line });
    }
    desk
}

#[test]
fn wide() {
    let mut desk = day(120, 24);
    desk.write("bob: try it");
    expect_screen(&desk, "wide.txt");
}

#[test]
fn narrow() {
    let mut desk = day(40, 14);
    desk.facts.status.unanswered = 1;
    expect_screen(&desk, "narrow.txt");
}

/// Tells alice's screen what a talk tells, so that a picture shows what the program says.
struct Told {
    teller: Teller,
    sent: SentLog,
}

impl Told {
    fn new() -> Self {
        let (me, zone) = (user("alice"), TimeZone::UTC);
        let lines = Lines { me, detail: Detail::Brief, zone, dated: false, timed: true };
        Self { teller: Teller::new(lines), sent: SentLog::default() }
    }

    fn tell(&mut self, desk: &mut Desk, (place, number): (&str, u64), what: What) {
        if let What::Event(event) = &what {
            self.sent.note(event);
        }
        let item = Item { cid: Some(cid(place)), id: Some(id(number)), what };
        self.teller.show(&mut desk.screen, &item, &self.sent, START_MS);
    }

    fn event(&mut self, desk: &mut Desk, at: (&str, u64), event: Event) {
        self.tell(desk, at, What::Event(Box::new(event)));
    }

    fn own(&mut self, desk: &mut Desk, (place, number): (&str, u64), text: &str, is_command: bool) {
        let (label, was_queued, state) = (None, false, Delivery::Queued);
        let sent = Sent { cid: cid(place), label, is_command, was_queued, state };
        self.sent.typed(id(number), sent);
        let text = text.to_owned();
        let own = Own { text, is_command, is_veiled: false, sent_ms: START_MS };
        self.tell(desk, (place, number), What::Own(own));
    }
}

fn user(name: &str) -> UserName {
    UserName::new(name).unwrap()
}

#[test]
fn alarm() {
    let (mut desk, mut told) = (day(100, 22), Told::new());
    let at = ("room:dev", 7);
    let alarm = Event::Alarm {
        kind: Alarm::KeyChanged,
        user: user("carol"),
        detail: "the server offers another key for carol than the known one: commands and files to and from carol \
                 stop until you decide. Compare the words with carol by telephone"
            .to_owned(),
        count: 1,
    };
    told.event(&mut desk, at, alarm);
    told.own(&mut desk, at, "carol: here?", false);
    let refused = Event::Refused {
        id: id(7),
        code: "E_NOT_A_MEMBER".to_owned(),
        reason: "you are not a member of room:dev".to_owned(),
        by_hub: true,
        may_start_until_ms: None,
    };
    told.event(&mut desk, at, refused);
    desk.facts.status.link = Link::Offline(Some(5));
    desk.facts.status.unanswered = 1;
    expect_screen(&desk, "alarm.txt");
}

#[test]
fn transfer() {
    let (mut desk, mut told) = (day(100, 22), Told::new());
    let progress = Progress { n: 1, size: 1_000_000, done: 450_000, rate: 90_000 };
    let of_other = Progress { n: 2, size: 10, done: 0, rate: 0 };
    desk.facts.transfers = vec![
        Transfer { name: "plan.pdf".to_owned(), progress },
        Transfer { name: "a-recording-of-the-meeting.ogg".to_owned(), progress: of_other },
    ];
    // The words of the line that tells of an offer.
    let offer = "⇣ bob offers you plan.pdf (1.0 MB): /accept 1 or /decline 1";
    desk.screen.tell(None, notice(Kind::Notice, offer));
    let at = ("room:dev", 9);
    let (name, owner) = ("plan.pdf".to_owned(), user("bob"));
    let fetching = Answer::Fetching { n: 1, name: name.clone(), owner, size: 1_000_000 };
    told.tell(&mut desk, at, What::Answer(fetching));
    let event = TransferEvent::Progress { n: 1, done: 450_000, size: 1_000_000, rate: 90_000 };
    told.tell(&mut desk, at, What::Transfer { event, name: Some(name) });
    expect_screen(&desk, "transfer.txt");
}

#[test]
fn command() {
    let (mut desk, mut told) = (day(100, 36), Told::new());
    let at = ("dm:alice:server", 8);
    told.own(&mut desk, at, "systemctl list-units", true);
    let rows: Vec<String> = (1..=40).map(|row| format!("unit {row:02} is up\n")).collect();
    let (re, by) = (id(8), user("server"));
    told.event(
        &mut desk,
        at,
        Event::Output { re, stderr: false, data: rows.concat().into_bytes() },
    );
    let (status, code, reason) = (Some(0), String::new(), String::new());
    told.event(&mut desk, at, Event::Ended { re, by, ok: true, status, code, reason });
    expect_screen(&desk, "command.txt");
}

#[test]
fn help() {
    let mut desk = day(100, 30);
    desk.key(KeyCode::Char('?'), NONE);
    expect_screen(&desk, "help.txt");
}

/// Goal: who reads the page sees what the program draws.
#[test]
fn the_page_about_the_client_shows_the_pictures() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("../../docs/CLIENT.md")).unwrap();
    for entry in fs::read_dir(root.join("src/screen/tests/pictures")).unwrap() {
        let path = entry.unwrap().path();
        let picture = fs::read_to_string(&path).unwrap();
        assert!(page.contains(&picture), "{} is not in docs/CLIENT.md as it is", path.display());
    }
}

/// Goal: the list of keys of the page is that of the program, no row more and no row less, and so are the actions that can be
/// given another key.
#[test]
fn the_page_about_the_client_lists_the_keys() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/CLIENT.md");
    let page = fs::read_to_string(page).unwrap();
    let part = |from: &str, to: &str| {
        let behind = page.split_once(from).unwrap().1;
        behind.split_once(to).unwrap().0
    };
    let is_of_keys = |line: &&str| line.starts_with("**") || line.starts_with("| `");
    let listed: Vec<&str> = part("\n## Keys\n", "\n## ").lines().filter(is_of_keys).collect();
    let keys = Keys::standard();
    let expected = keys.list().iter().flat_map(|(heading, rows)| {
        let rows = rows.iter().map(|row| format!("| `{}` | {} |", row.keys.join(", "), row.words));
        [format!("**{heading}**")].into_iter().chain(rows)
    });
    assert_eq!(listed, expected.collect::<Vec<_>>());
    // Every second part stands between two signs of code.
    let actions = part("The actions are ", ". Those that send").split('`').skip(1).step_by(2);
    let actions: BTreeSet<&str> = actions.filter(|word| !word.contains('-')).collect();
    assert_eq!(actions, Bindings::names().collect());
}
