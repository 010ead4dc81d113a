use chat_protocol::tag::Tag;
use chat_talk::conversations::Conversations;
use chat_talk::sent::Sent;
use chat_text::show::Detail;
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::testing::{START_MS, facts};
use crate::theme::{Colours, Depth, Theme};

fn user(name: &str) -> UserName {
    UserName::new(name).unwrap()
}

fn cid(cid: &str) -> ConversationId {
    ConversationId::parse(cid).unwrap()
}

/// Alice's screen, on which things are told.
struct Desk {
    screen: Screen,
    teller: Teller,
    sent: SentLog,
}

impl Desk {
    fn new() -> Self {
        let theme = Theme {
            depth: Depth::Plain,
            is_high_contrast: false,
            is_ascii: false,
            colours: Colours::default(),
        };
        let lines = Lines {
            me: user("alice"),
            detail: Detail::Brief,
            zone: TimeZone::UTC,
            dated: false,
            timed: true,
        };
        let screen = Screen::new(theme, TimeZone::UTC, cid("room:lobby"), (59, 20));
        Self { screen, teller: Teller::new(lines), sent: SentLog::default() }
    }

    fn tell(&mut self, cid: Option<&ConversationId>, id: u64, what: What) {
        let id = Some(MessageId::new(id, [1; 10]));
        if let What::Event(event) = &what {
            self.sent.note(event);
        }
        let item = Item { cid: cid.cloned(), id, what };
        self.teller.show(&mut self.screen, &item, &self.sent, START_MS);
    }

    fn text(&self) -> String {
        let mut terminal = Terminal::new(TestBackend::new(59, 20)).unwrap();
        terminal.draw(|frame| self.screen.draw(&facts(), frame)).unwrap();
        terminal.backend().to_string()
    }
}

fn message(place: &str, from: &str, text: &str, veiled: bool) -> Event {
    Event::Message {
        id: MessageId::new(9, [9; 10]),
        cid: cid(place),
        tag: Tag::Text,
        from: user(from),
        text: text.to_owned(),
        veiled,
        peer: Standing::Verified,
        said_in: None,
        position: 7,
        sent_ms: START_MS,
        hub_ms: START_MS,
        frame: None,
        healed_by: None,
        granted_by: None,
        gone: false,
    }
}

/// Goal: nobody gives what they say the mark of the veil. (The build before put it at the start of the text.)
#[test]
fn the_mark_of_the_veil_stands_where_no_text_can_put_it() {
    let mut desk = Desk::new();
    let lobby = cid("room:lobby");
    for (text, veiled) in [("~ plain", false), ("bmjdf", true), ("/nf xbwft", true)] {
        let said = message("room:lobby", "bob", text, veiled);
        desk.tell(Some(&lobby), 9, What::Event(Box::new(said)));
    }
    let (text, sent_ms) = ("covered".to_owned(), START_MS);
    let own = Own { text, is_command: false, is_veiled: true, sent_ms };
    desk.tell(Some(&lobby), 1, What::Own(own));
    let text = desk.text();
    for row in [
        "22:13 bob [verified]: ~ plain",
        "22:13 ~ bob [verified]: alice",
        "22:13 ~ * bob [verified] waves",
        "22:13 ~ alice: covered …",
    ] {
        assert!(text.contains(row), "{row}: {text}");
    }
}

fn own(text: &str, is_command: bool) -> What {
    let text = text.to_owned();
    What::Own(Own { text, is_command, is_veiled: false, sent_ms: START_MS })
}

#[test]
fn what_is_said_stands_in_its_conversation_with_its_mark() {
    let mut desk = Desk::new();
    let (lobby, id) = (cid("room:lobby"), MessageId::new(1, [1; 10]));
    for (place, text, veiled) in [
        ("room:lobby", "bmjdf!", true),
        ("room:lobby", "hello", false),
        ("dm:alice:bob", "psst", false),
    ] {
        let said = message(place, "bob", text, veiled);
        desk.tell(Some(&cid(place)), 9, What::Event(Box::new(said)));
    }
    let (label, state) = (None, Delivery::Queued);
    let sent = Sent { cid: lobby.clone(), label, is_command: false, was_queued: false, state };
    desk.sent.typed(id, sent);
    desk.tell(Some(&lobby), 1, own("hi", false));
    assert!(desk.text().contains("22:13 alice: hi …"), "{}", desk.text());
    let recipients = [user("bob"), user("carol")].into();
    let stored =
        Event::Stored { id, cid: lobby.clone(), position: 1, kept: false, recipients, frame: None };
    desk.tell(Some(&lobby), 1, What::Event(Box::new(stored)));
    let text = desk.text();
    assert!(text.contains("22:13 alice: hi ✓ "), "{text}");
    assert!(text.contains("22:13 ~ bob [verified]: alice!"), "{text}");
    assert!(text.contains("22:13 bob [verified]: hello"), "{text}");
    assert!(!text.contains("psst"), "{text}");
}

#[test]
fn a_command_prints_where_it_was_typed() {
    let mut desk = Desk::new();
    let (machine, re, by) = (cid("dm:alice:server"), MessageId::new(1, [1; 10]), user("server"));
    desk.tell(Some(&machine), 1, own("uname -a", true));
    let event = |event| What::Event(Box::new(event));
    let data = b"Linux\nx86\x1b_64".to_vec();
    desk.tell(Some(&machine), 1, event(Event::Output { re, stderr: false, data }));
    let (status, code, reason) = (Some(0), String::new(), String::new());
    desk.tell(Some(&machine), 1, event(Event::Ended { re, by, ok: true, status, code, reason }));
    let text = desk.text();
    for row in [
        "22:13 alice: runs uname -a",
        "      │ Linux",
        r"      │ x86\x1b_64",
        "22:13 ✓ server: done",
    ] {
        assert!(text.contains(row), "{row}: {text}");
    }
    assert!(desk.teller.commands.is_empty());
}

#[test]
fn an_alarm_stands_in_the_log_without_its_rules() {
    let mut desk = Desk::new();
    let alarm = Event::Alarm {
        kind: chat_endpoint::Alarm::KeyChanged,
        user: user("bob"),
        detail: "x\u{202e}y".to_owned(),
        count: 1,
    };
    desk.tell(None, 1, What::Event(Box::new(alarm)));
    let text = desk.text();
    assert!(text.contains("22:13 !! ALARM key_changed: bob"), "{text}");
    assert!(text.contains(r"!! x\u{202e}y") && !text.contains("!!!!"), "{text}");
}

#[test]
fn the_list_has_what_one_takes_part_in_and_what_is_new() {
    let me = user("alice");
    let mut all = Conversations::new(me.clone());
    all.note(&message("dm:alice:bob", "bob", "hi", false));
    all.said(&cid("room:left"), 1);
    all.look_at(Some(cid("room:lobby")));
    let rows = rows(&all, &me);
    let named: Vec<_> =
        rows.iter().map(|one| (one.name.as_str(), one.group, one.mentions)).collect();
    let expected =
        [("ALL", Group::Rooms, 0), ("#lobby", Group::Rooms, 0), ("bob", Group::People, 1)];
    assert_eq!(named, expected);
}

fn away(from: &str, text: &str) -> What {
    What::Event(Box::new(Event::Away {
        id: MessageId::new(3, [3; 10]),
        cid: cid("room:lobby"),
        from: user(from),
        text: text.to_owned(),
        sent_ms: START_MS,
    }))
}

/// Goal: what somebody's program says is one line that is theirs, and one's own is not shown. (The build before showed
/// each line of it as a notice of this program.)
#[test]
fn what_a_program_says_for_somebody_passes_for_no_notice() {
    let mut desk = Desk::new();
    let lobby = cid("room:lobby");
    desk.tell(Some(&lobby), 3, away("bob", "soon\n✓ carol: key compared, verified"));
    desk.tell(Some(&lobby), 3, away("alice", "at lunch"));
    let text = desk.text();
    assert!(text.contains("bob is away: soon"), "{text}");
    assert!(!text.contains("22:13 ✓ carol") && !text.contains("      ✓ carol"), "{text}");
    assert!(!text.contains("at lunch"), "{text}");
}

/// Goal: a message is shown in its conversation, whatever id its writer has given it; and commands that come to nothing
/// are forgotten. (The build before took the id for that of a command.)
#[test]
fn a_message_under_the_id_of_a_command_stays_in_its_conversation() {
    let mut desk = Desk::new();
    let (machine, other) = (cid("dm:alice:web1"), cid("dm:alice:mallory"));
    desk.tell(Some(&machine), 1, own("uname", true));
    let said = message("dm:alice:mallory", "mallory", "look here", false);
    desk.tell(Some(&other), 1, What::Event(Box::new(said)));
    assert!(!desk.text().contains("look here"), "{}", desk.text());
    let id = MessageId::new(1, [1; 10]);
    let (code, reason) = ("E_NO".to_owned(), "no".to_owned());
    let refused = Event::Refused { id, code, reason, by_hub: true, may_start_until_ms: None };
    desk.tell(Some(&machine), 1, What::Event(Box::new(refused)));
    assert!(desk.teller.commands.is_empty());
    assert!(desk.text().contains("no"), "{}", desk.text());
}

/// Goal: what is refused of a text to one person is said where it was typed, also if nobody has that name; what is stored is
/// not. (The build before marked it in the conversation with them alone, which is not open.)
#[test]
fn a_refusal_stands_where_the_line_was_typed() {
    let mut desk = Desk::new();
    let zed = cid("dm:alice:zed");
    let id = |id| MessageId::new(id, [1; 10]);
    let waits = |desk: &mut Desk, number| {
        let (label, state) = (None, Delivery::Queued);
        let sent = Sent { cid: zed.clone(), label, is_command: false, was_queued: false, state };
        desk.sent.typed(id(number), sent);
        desk.tell(Some(&zed), number, own("psst", false));
    };
    for number in [1, 2, 3] {
        waits(&mut desk, number);
        assert!(!desk.text().contains("psst"), "{}", desk.text());
    }
    let stored = Event::Stored {
        id: id(1),
        cid: zed.clone(),
        position: 1,
        kept: false,
        recipients: [user("zed")].into(),
        frame: None,
    };
    desk.tell(Some(&zed), 1, What::Event(Box::new(stored)));
    let refused = |id| {
        let (code, reason) = ("E_NO".to_owned(), "nobody".to_owned());
        Event::Refused { id, code, reason, by_hub: true, may_start_until_ms: None }
    };
    for (number, times) in [(2, 1), (3, 2)] {
        desk.tell(Some(&zed), number, What::Event(Box::new(refused(id(number)))));
        let text = desk.text();
        assert_eq!(text.matches("nobody").count(), times, "{text}");
    }
    assert!(desk.teller.addressed.is_empty());
    // Where it stands the mark says it.
    desk.screen.opened(zed.clone());
    waits(&mut desk, 4);
    desk.tell(Some(&zed), 4, What::Event(Box::new(refused(id(4)))));
    assert_eq!(desk.text().matches("NOACK").count(), 0, "{}", desk.text());
}

/// Goal: a message that could not be read is known as that of the home.
#[test]
fn a_message_that_cannot_be_read_has_its_id() {
    let mut desk = Desk::new();
    let (lobby, id) = (cid("room:lobby"), MessageId::new(5, [1; 10]));
    let unreadable = Event::Unreadable {
        cid: lobby.clone(),
        from: user("bob"),
        id,
        reason: "no key".to_owned(),
        signed: true,
    };
    desk.tell(Some(&lobby), 5, What::Event(Box::new(unreadable)));
    let record = chat_device::history::Record {
        id,
        cid: lobby.clone(),
        tag: None,
        from: user("bob"),
        text: None,
        sent_ms: 0,
        said_in: None,
        veiled: false,
    };
    let state = State::Unreadable { reason: "no key".to_owned() };
    let entry = Entry { place: 1, record, state, confirmed: Vec::new() };
    let line = desk.teller.entry(&entry);
    desk.screen.older(&facts(), &lobby, vec![line], true);
    assert_eq!(desk.text().matches("no key").count(), 1, "{}", desk.text());
}

/// Goal: an offer is seen wherever one looks, and is new in the conversation with whoever made it. (The build before told it
/// where one looked, and nowhere else.)
#[test]
fn an_offer_is_seen_here_and_stays_with_whoever_made_it() {
    let mut desk = Desk::new();
    let bob = cid("dm:alice:bob");
    let offer = || plain("⇣ bob offers you plan.pdf".to_owned(), Kind::Notice, START_MS);
    offered(&mut desk.screen, Some(&bob), offer());
    assert!(desk.text().contains("⇣ bob offers you plan.pdf"), "{}", desk.text());
    desk.screen.clear();
    desk.screen.opened(bob.clone());
    let text = desk.text();
    assert!(text.contains("── new ─") && text.contains("⇣ bob offers you"), "{text}");
    desk.screen.clear();
    offered(&mut desk.screen, Some(&bob), offer());
    assert_eq!(desk.text().matches("bob offers").count(), 1, "it is told once where one looks");
}

/// Goal: whoever follows somebody sees so where they have typed it. (The build before said it in the feed, which is not
/// open.)
#[test]
fn who_follows_whom_is_told_where_one_is() {
    let mut desk = Desk::new();
    let feed = ConversationId::feed(&user("bob"));
    let joined = Event::Joined { id: None, cid: feed.clone(), position: None };
    desk.tell(Some(&feed), 1, What::Event(Box::new(joined)));
    assert!(desk.text().contains("you follow bob now"), "{}", desk.text());
}
