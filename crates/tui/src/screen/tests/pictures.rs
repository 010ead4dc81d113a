//! The six pictures: what a person sees, as text. Each stands in a file of its own, where it can be looked at.

use std::path::Path;
use std::{env, fs};

use super::*;

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

#[test]
fn alarm() {
    let mut desk = day(100, 20);
    let alarm = "! the server offers another key for carol than the known one; /verify carol compares, /trust and \
                 /distrust decide";
    desk.screen.tell(None, notice(Kind::Alarm, alarm));
    let refused = Delivery::Refused {
        code: String::new(),
        reason: "the key of carol is in question".to_owned(),
    };
    desk.screen.tell(None, Line { delivery: Some(refused), ..line(7, "alice", "carol: here?") });
    desk.facts.status.link = Link::Offline(Some(5));
    desk.facts.status.unanswered = 1;
    expect_screen(&desk, "alarm.txt");
}

#[test]
fn transfer() {
    let mut desk = day(100, 20);
    desk.facts.transfers = vec![
        Transfer { n: 1, name: "plan.pdf".to_owned(), size: 1_000_000, done: 450_000, rate: 9_000 },
        Transfer {
            n: 2,
            name: "a-recording-of-the-meeting.ogg".to_owned(),
            size: 10,
            done: 0,
            rate: 0,
        },
    ];
    desk.screen
        .tell(None, notice(Kind::Notice, "· bob offers plan.pdf (1 MB): /accept 1 or /decline 1"));
    expect_screen(&desk, "transfer.txt");
}

#[test]
fn command() {
    let mut desk = day(100, 36);
    let rows: Vec<String> = (1..=40).map(|row| format!("unit {row:02} is up")).collect();
    desk.screen.tell(
        None,
        Line { delivery: None, ..line(8, "alice", "/run server -- systemctl list-units") },
    );
    let output = Line { kind: Kind::Output, who: None, ..line(8, "", &rows.join("\n")) };
    desk.screen.tell(None, output);
    desk.screen.tell(None, notice(Kind::Notice, "✓ server: ended with exit status 0 after 0.2 s"));
    expect_screen(&desk, "command.txt");
}

#[test]
fn help() {
    let mut desk = day(100, 30);
    desk.key(KeyCode::Char('?'), NONE);
    expect_screen(&desk, "help.txt");
}
