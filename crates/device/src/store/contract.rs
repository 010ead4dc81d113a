//! What holds for every home, whatever it is made of.

use chat_endpoint::store::Change;
use chat_endpoint::{Event, KeptFrame};
use chat_protocol::b64::B64Vec;
use chat_protocol::id::{Digest, KeyId, MessageId};
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::ratchet::MessageKey;
use chat_protocol::tag::Tag;

use super::{Changes, HistoryStore, MemoryStore};
use crate::history::read::{FOUND_MAX, Found};
use crate::history::{Confirmation, Entry, History, Record, Said, State};
use crate::ignored::Ignored;

/// Opens the same home again and again, as processes of it do.
type Open<'a> = dyn Fn() -> Box<dyn HistoryStore + Send> + 'a;

/// Runs a test on a new home of each kind.
fn each(test: impl Fn(&Open<'_>)) {
    let memory = MemoryStore::default();
    test(&|| Box::new(memory.again()));
    #[cfg(feature = "sqlite")]
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("home.db");
        let key = || zeroize::Zeroizing::new([7; 32]);
        test(&|| Box::new(super::SqliteStore::open(&path, key()).unwrap()));
    }
}

fn name(name: &str) -> UserName {
    UserName::new(name).unwrap()
}

fn id(number: u64) -> MessageId {
    MessageId::new(number, [7; 10])
}

fn dm() -> ConversationId {
    ConversationId::parse("dm:alice:bob").unwrap()
}

fn history(open: &Open<'_>) -> History {
    History::new(open(), name("alice"))
}

/// One step that brings this and nothing else.
fn step(open: &Open<'_>, said: Option<Said>) {
    let mut home = open();
    home.begin().unwrap();
    home.commit(&Changes { rows: Vec::new(), history: said.into_iter().collect() }).unwrap();
}

fn received(number: u64, from: &str, text: &str) -> Event {
    Event::Message {
        id: id(number),
        cid: dm(),
        tag: Tag::Dm,
        from: name(from),
        text: text.to_owned(),
        position: number,
        sent_ms: 1_700_000_000_000 + number,
        hub_ms: 0,
        veiled: false,
        peer: chat_endpoint::Standing::Known,
        said_in: None,
        healed_by: None,
        granted_by: None,
        gone: false,
        frame: Some(Box::new(frame(number))),
    }
}

fn frame(number: u64) -> KeptFrame {
    let digest = Digest([u8::try_from(number % 256).unwrap(); 32]);
    let frame = B64Vec(vec![1, 2, 3]);
    KeptFrame { e: digest, sk: KeyId([1; 16]), n: 0, digest, key: MessageKey::new([2; 32]), frame }
}

fn typed(number: u64, text: &str) -> Record {
    let (cid, from, tag) = (dm(), name("alice"), Some(Tag::Dm));
    Record {
        id: id(number),
        cid,
        tag,
        from,
        text: Some(text.to_owned()),
        sent_ms: number,
        said_in: None,
        veiled: false,
    }
}

fn texts(entries: &[Entry]) -> Vec<&str> {
    entries.iter().filter_map(|entry| entry.record.text.as_deref()).collect()
}

#[test]
fn two_processes_of_a_home_see_each_others_rows() {
    each(|open| {
        let (mut second, mut first) = (open(), open());
        let row =
            |value: Option<&[u8]>| Change { key: "a/b".into(), value: value.map(<[u8]>::to_vec) };
        let rows = |value| Changes::from(vec![row(value)]);
        assert_eq!(first.begin().unwrap(), None);
        first.commit(&rows(Some(b"some words"))).unwrap();
        let all = vec![("a/b".to_owned(), b"some words".to_vec())];
        assert_eq!(second.begin().unwrap(), Some(all.clone()), "the other process has changed it");
        second.commit(&rows(None)).unwrap();
        assert_eq!(first.begin().unwrap(), Some(Vec::new()));
        first.commit(&Changes::default()).unwrap();
        assert_eq!(first.begin().unwrap(), None, "nothing new");
        first.commit(&Changes::default()).unwrap();
        second.write(vec![row(Some(b"some words"))]).unwrap();
        assert_eq!(first.rows().unwrap(), all);
        assert_eq!(first.get("a/b").unwrap().as_deref(), Some(&b"some words"[..]));
        assert_eq!(first.get("a/c").unwrap(), None);
    });
}

#[test]
fn rows_and_history_of_a_step_are_there_together() {
    each(|open| {
        let mut home = open();
        let row = Change { key: "a".into(), value: Some(vec![1]) };
        let said = Said::typed(typed(1, "with the row"));
        home.begin().unwrap();
        home.commit(&Changes { rows: vec![row], history: vec![said] }).unwrap();
        let other = open();
        assert_eq!(other.get("a").unwrap(), Some(vec![1]));
        assert_eq!(other.by_id(&id(1)).unwrap().len(), 1);
    });
}

#[test]
fn pages_go_back_in_order_and_what_comes_twice_is_kept_once() {
    each(|open| {
        for number in 0..25 {
            let event = received(number, "bob", &format!("text {number}"));
            step(open, Said::shown(event.clone()));
            step(open, Said::shown(event.clone()));
        }
        let history = history(open);
        let newest = history.page(&dm(), None, 10).unwrap();
        let expected: Vec<String> = (15..25).map(|number| format!("text {number}")).collect();
        assert_eq!(texts(&newest), expected);
        let older = history.page(&dm(), Some(newest[0].place), 20).unwrap();
        assert_eq!((older.len(), texts(&older)[0]), (15, "text 0"));
        let other = ConversationId::parse("dm:alice:carol").unwrap();
        assert!(history.page(&other, None, 10).unwrap().is_empty());
        assert_eq!(history.frame(&newest[0]).unwrap(), Some(frame(15)));
    });
}

#[test]
fn a_message_of_ours_is_queued_then_stored_then_confirmed_by_each() {
    each(|open| {
        step(open, Some(Said::typed(typed(1, "mine"))));
        // Somebody who chooses the same id cannot touch it.
        step(open, Said::shown(received(1, "bob", "not mine")));
        let history = history(open);
        let own = || history.last_own().unwrap().unwrap();
        assert_eq!((own().state, own().record.text.as_deref()), (State::Queued, Some("mine")));
        assert_eq!(history.frame(&own()).unwrap(), None);
        let stored = Event::Stored {
            id: id(1),
            cid: ConversationId::parse("room:lobby").unwrap(),
            position: 9,
            kept: true,
            recipients: [name("bob"), name("carol")].into(),
            frame: Some(Box::new(frame(1))),
        };
        step(open, Said::learnt(&stored));
        assert!(matches!(own().state, State::Stored { position: 9, kept: true, .. }));
        assert_eq!(history.frame(&own()).unwrap(), Some(frame(1)));
        for (by, readable) in [("bob", true), ("carol", false), ("bob", true)] {
            let receipt = Some(B64Vec(b"one frame of receipts".to_vec()));
            let by = name(by);
            let delivered =
                Event::Delivered { id: id(1), cid: dm(), by, readable, refused: false, receipt };
            step(open, Said::learnt(&delivered));
        }
        let mut confirmed = own().confirmed;
        confirmed.sort_by(|left, right| left.by.cmp(&right.by));
        let expected = [("bob", true), ("carol", false)];
        let expected = expected.map(|(by, readable)| Confirmation { by: name(by), readable });
        assert_eq!(confirmed, expected);
        assert_eq!(history.receipts(&own()).unwrap(), [b"one frame of receipts"], "kept once");
        assert_eq!(history.by_id(&id(1)).unwrap().len(), 2, "ids of others are theirs");
    });
}

#[test]
fn what_could_not_be_read_and_what_was_refused_have_their_reasons() {
    each(|open| {
        let (cid, from, reason) = (dm(), name("bob"), "its signature is not valid".to_owned());
        let unreadable = |number, signed| {
            let (cid, from, reason) = (cid.clone(), from.clone(), reason.clone());
            Event::Unreadable { cid, from, id: id(number), reason, signed }
        };
        step(open, Said::shown(unreadable(5, true)));
        // Anybody can make a header that nobody has signed.
        step(open, Said::shown(unreadable(7, false)));
        step(open, Some(Said::typed(typed(6, "too late"))));
        let code = "E_CLOCK".to_owned();
        let refused = Event::Refused {
            id: id(6),
            code: code.clone(),
            reason: "why".to_owned(),
            by_hub: true,
            may_start_until_ms: None,
        };
        step(open, Said::learnt(&refused));
        let entries = history(open).page(&dm(), None, 10).unwrap();
        let states: Vec<_> = entries.iter().map(|entry| entry.state.clone()).collect();
        let refused = State::Refused { code, reason: "why".to_owned(), by_hub: true };
        assert_eq!(states, [State::Unreadable { reason }, refused]);
        assert_eq!((entries[0].is_own(), entries[1].is_own()), (false, true));
    });
}

#[test]
fn a_message_that_is_read_takes_the_place_of_its_damaged_copy() {
    each(|open| {
        let (cid, from, reason) = (dm(), name("bob"), "it does not open".to_owned());
        let damaged = Event::Unreadable { cid, from, id: id(5), reason, signed: true };
        step(open, Said::shown(damaged.clone()));
        step(open, Said::shown(received(5, "bob", "the true words")));
        // Neither a copy that is damaged again nor another text under its id changes that.
        step(open, Said::shown(damaged.clone()));
        step(open, Said::shown(received(5, "bob", "other words")));
        let history = history(open);
        let entries = history.page(&dm(), None, 10).unwrap();
        assert_eq!(texts(&entries), ["the true words"]);
        assert_eq!(entries.len(), 1);
        assert!(matches!(entries[0].state, State::Received { position: 5, .. }));
        assert_eq!(history.frame(&entries[0]).unwrap(), Some(frame(5)));
    });
}

#[test]
fn a_search_wants_all_words_in_any_case_and_shows_the_newest_first() {
    each(|open| {
        for number in 0..60 {
            let text = format!("Lunch ÜBER friday {number}");
            step(open, Said::shown(received(number, "bob", &text)));
        }
        step(open, Said::shown(received(99, "bob", "lunch on monday")));
        let history = history(open);
        let find = |words: &str| {
            let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
            history.search(&words, &Ignored::default()).unwrap()
        };
        let friday = find("FRIDAY über lunch");
        assert_eq!((friday.entries.len(), friday.more), (FOUND_MAX, true));
        assert_eq!(texts(&friday.entries)[0], "Lunch ÜBER friday 59");
        let monday = find("lunch monday");
        assert_eq!(texts(&monday.entries), ["lunch on monday"]);
        assert_eq!((monday.looked_at, monday.more), (61, false));
        assert!(find("tuesday").entries.is_empty());
    });
}

/// Goal: a word is found in whatever form it was written. (The build before found none of these.)
#[test]
fn a_search_finds_a_word_in_any_spelling() {
    each(|open| {
        let text = "ΟΔΟΣΑΣ cafe\u{301} Straße ＡＢＣ";
        step(open, Said::shown(received(1, "bob", text)));
        let history = history(open);
        for word in ["οδος", "ΟΔΟΣ", "CAF\u{c9}", "STRASSE", "abc"] {
            assert_eq!(
                history.search(&[word.to_owned()], &Ignored::default()).unwrap().entries.len(),
                1,
                "{word}"
            );
        }
    });
}

/// Goal: a search that looks at some messages at a time finds what one at once finds.
#[test]
fn a_search_goes_on_where_it_was_cut_short() {
    each(|open| {
        for number in 0..100 {
            let text = if number % 3 == 0 { format!("needle {number}") } else { "hay".to_owned() };
            step(open, Said::shown(received(number, "bob", &text)));
        }
        let history = history(open);
        let words = ["needle".to_owned()];
        let whole = history.search(&words, &Ignored::default()).unwrap();
        let (mut parts, mut found) = (0, Found::default());
        loop {
            history.search_on((&words, &Ignored::default()), &mut found, 7).unwrap();
            parts += 1;
            if found.goes_on.is_none() {
                break;
            }
        }
        assert_eq!(texts(&found.entries), texts(&whole.entries));
        assert_eq!((found.looked_at, found.more), (whole.looked_at, whole.more));
        assert!(parts > 10, "{parts}");
    });
}

/// Goal: every conversation is found, however long ago something was said there. (The build before looked at the
/// newest 2,000 messages only: one busy room hid all others.)
#[test]
fn a_busy_conversation_hides_no_other() {
    each(|open| {
        let quiet = typed(1, "long ago");
        let room = ConversationId::parse("room:quiet").unwrap();
        step(open, Some(Said::typed(Record { cid: room.clone(), ..quiet })));
        let history_of = |number| Said::typed(typed(number, "busy"));
        let changes = Changes { rows: Vec::new(), history: (2..2_100).map(history_of).collect() };
        let mut home = open();
        home.begin().unwrap();
        home.commit(&changes).unwrap();
        let all = history(open).conversations().unwrap();
        let cids: Vec<&ConversationId> = all.iter().map(|(cid, _)| cid).collect();
        assert_eq!(cids, [&dm(), &room], "the newest first");
    });
}
