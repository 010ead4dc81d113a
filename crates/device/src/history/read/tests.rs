use chat_endpoint::Event;
use chat_endpoint::store::Change;
use chat_protocol::b64::B64Vec;
use chat_protocol::id::{Digest, KeyId};
use chat_protocol::ratchet::MessageKey;
use chat_protocol::tag::Tag;
use zeroize::Zeroizing;

use super::*;
use crate::history::record;

fn name(name: &str) -> UserName {
    UserName::new(name).unwrap()
}

fn id(number: u64) -> MessageId {
    MessageId::new(number, [7; 10])
}

fn dm() -> ConversationId {
    ConversationId::parse("dm:alice:bob").unwrap()
}

fn open(home: &tempfile::TempDir) -> SqliteStore {
    SqliteStore::open(&home.path().join("home.db"), Zeroizing::new([7; 32])).unwrap()
}

fn history(home: &tempfile::TempDir) -> History {
    History::new(open(home), name("alice"))
}

/// One step that writes this and nothing else.
fn step(store: &mut SqliteStore, write: impl FnOnce(&SqliteStore) -> Result<(), HomeError>) {
    store.begin().unwrap();
    write(store).unwrap();
    store.commit(&[]).unwrap();
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
    }
}

fn texts(entries: &[Entry]) -> Vec<&str> {
    entries.iter().filter_map(|entry| entry.record.text.as_deref()).collect()
}

#[test]
fn pages_go_back_in_order_and_what_comes_twice_is_kept_once() {
    let home = tempfile::tempdir().unwrap();
    let mut store = open(&home);
    for number in 0..25 {
        let event = received(number, "bob", &format!("text {number}"));
        step(&mut store, |store| record::shown(store, &event));
        step(&mut store, |store| record::shown(store, &event));
    }
    let history = history(&home);
    let newest = history.page(&dm(), None, 10).unwrap();
    let expected: Vec<String> = (15..25).map(|number| format!("text {number}")).collect();
    assert_eq!(texts(&newest), expected);
    let older = history.page(&dm(), Some(newest[0].place), 20).unwrap();
    assert_eq!((older.len(), texts(&older)[0]), (15, "text 0"));
    let other = ConversationId::parse("dm:alice:carol").unwrap();
    assert!(history.page(&other, None, 10).unwrap().is_empty());
    assert_eq!(history.frame(&newest[0]).unwrap(), Some(frame(15)));
}

#[test]
fn a_message_of_ours_is_queued_then_stored_then_confirmed_by_each() {
    let home = tempfile::tempdir().unwrap();
    let mut store = open(&home);
    step(&mut store, |store| record::typed(store, &typed(1, "mine")));
    // Somebody who chooses the same id cannot touch it.
    step(&mut store, |store| record::shown(store, &received(1, "bob", "not mine")));
    let history = history(&home);
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
    step(&mut store, |store| record::learnt(store, &stored));
    assert!(matches!(own().state, State::Stored { position: 9, kept: true, .. }));
    assert_eq!(history.frame(&own()).unwrap(), Some(frame(1)));
    for (by, readable) in [("bob", true), ("carol", false), ("bob", true)] {
        let receipt = Some(B64Vec(b"one frame of receipts".to_vec()));
        let by = name(by);
        let delivered =
            Event::Delivered { id: id(1), cid: dm(), by, readable, refused: false, receipt };
        step(&mut store, |store| record::learnt(store, &delivered));
    }
    let mut confirmed = own().confirmed;
    confirmed.sort_by(|left, right| left.by.cmp(&right.by));
    let expected = [("bob", true), ("carol", false)];
    let expected = expected.map(|(by, readable)| Confirmation { by: name(by), readable });
    assert_eq!(confirmed, expected);
    assert_eq!(history.receipts(&own()).unwrap(), [b"one frame of receipts"], "kept once");
    assert_eq!(history.by_id(&id(1)).unwrap().len(), 2, "ids of others are theirs");
}

#[test]
fn what_could_not_be_read_and_what_was_refused_have_their_reasons() {
    let home = tempfile::tempdir().unwrap();
    let mut store = open(&home);
    let (cid, from, reason) = (dm(), name("bob"), "its signature is not valid".to_owned());
    let unreadable = |number, signed| {
        let (cid, from, reason) = (cid.clone(), from.clone(), reason.clone());
        Event::Unreadable { cid, from, id: id(number), reason, signed }
    };
    step(&mut store, |store| record::shown(store, &unreadable(5, true)));
    // Anybody can make a header that nobody has signed.
    step(&mut store, |store| record::shown(store, &unreadable(7, false)));
    step(&mut store, |store| record::typed(store, &typed(6, "too late")));
    let code = "E_CLOCK".to_owned();
    let refused = Event::Refused {
        id: id(6),
        code: code.clone(),
        reason: "why".to_owned(),
        by_hub: true,
        may_start_until_ms: None,
    };
    step(&mut store, |store| record::learnt(store, &refused));
    let entries = history(&home).page(&dm(), None, 10).unwrap();
    let states: Vec<_> = entries.iter().map(|entry| entry.state.clone()).collect();
    let refused = State::Refused { code, reason: "why".to_owned(), by_hub: true };
    assert_eq!(states, [State::Unreadable { reason }, refused]);
    assert_eq!((entries[0].is_own(), entries[1].is_own()), (false, true));
}

#[test]
fn a_message_that_is_read_takes_the_place_of_its_damaged_copy() {
    let home = tempfile::tempdir().unwrap();
    let mut store = open(&home);
    let (cid, from, reason) = (dm(), name("bob"), "it does not open".to_owned());
    let damaged = Event::Unreadable { cid, from, id: id(5), reason, signed: true };
    step(&mut store, |store| record::shown(store, &damaged));
    step(&mut store, |store| record::shown(store, &received(5, "bob", "the true words")));
    // Neither a copy that is damaged again nor another text under its id changes that.
    step(&mut store, |store| record::shown(store, &damaged));
    step(&mut store, |store| record::shown(store, &received(5, "bob", "other words")));
    let history = history(&home);
    let entries = history.page(&dm(), None, 10).unwrap();
    assert_eq!(texts(&entries), ["the true words"]);
    assert_eq!(entries.len(), 1);
    assert!(matches!(entries[0].state, State::Received { position: 5, .. }));
    assert_eq!(history.frame(&entries[0]).unwrap(), Some(frame(5)));
}

#[test]
fn a_search_wants_all_words_in_any_case_and_shows_the_newest_first() {
    let home = tempfile::tempdir().unwrap();
    let mut store = open(&home);
    for number in 0..60 {
        let text = format!("Lunch ÜBER friday {number}");
        step(&mut store, |store| record::shown(store, &received(number, "bob", &text)));
    }
    step(&mut store, |store| record::shown(store, &received(99, "bob", "lunch on monday")));
    let history = history(&home);
    let find = |words: &str| {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        history.search(&words).unwrap()
    };
    let friday = find("FRIDAY über lunch");
    assert_eq!((friday.entries.len(), friday.more), (FOUND_MAX, true));
    assert_eq!(texts(&friday.entries)[0], "Lunch ÜBER friday 59");
    let monday = find("lunch monday");
    assert_eq!(texts(&monday.entries), ["lunch on monday"]);
    assert_eq!((monday.looked_at, monday.more), (61, false));
    assert!(find("tuesday").entries.is_empty());
}

/// Goal: a word is found in whatever form it was written. (The build before found none of these.)
#[test]
fn a_search_finds_a_word_in_any_spelling() {
    let home = tempfile::tempdir().unwrap();
    let mut store = open(&home);
    let text = "ΟΔΟΣΑΣ cafe\u{301} Straße ＡＢＣ";
    step(&mut store, |store| record::shown(store, &received(1, "bob", text)));
    let history = history(&home);
    for word in ["οδος", "ΟΔΟΣ", "CAF\u{c9}", "STRASSE", "abc"] {
        assert_eq!(history.search(&[word.to_owned()]).unwrap().entries.len(), 1, "{word}");
    }
}

#[test]
fn a_step_that_does_not_commit_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let mut store = open(&home);
    store.begin().unwrap();
    record::typed(&store, &typed(1, "lost with the step")).unwrap();
    drop(store);
    assert!(history(&home).page(&dm(), None, 10).unwrap().is_empty());
}

#[test]
fn rows_are_sealed_and_cannot_be_put_in_each_others_place() {
    let home = tempfile::tempdir().unwrap();
    let mut store = open(&home);
    step(&mut store, |store| record::typed(store, &typed(1, "secret plans")));
    step(&mut store, |store| record::shown(store, &received(2, "bob", "secret answer")));
    store.begin().unwrap();
    store.commit(&[Change { key: "x".to_owned(), value: None }]).unwrap();
    for entry in std::fs::read_dir(home.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for plain in ["secret", "alice", "bob"] {
            let is_there = bytes.windows(plain.len()).any(|part| part == plain.as_bytes());
            assert!(!is_there, "{plain}");
        }
    }
    let swap = "UPDATE messages SET record = (SELECT record FROM messages WHERE place = 1) \
                WHERE place = 2";
    store.connection().execute(swap, []).unwrap();
    let error = history(&home).page(&dm(), None, 10).unwrap_err();
    assert!(matches!(error, HomeError::Store(crate::store::StoreError::Sealed)));
}
