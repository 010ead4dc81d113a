//! What a person's devices tell each other is set.

use chat_endpoint::limits::{SETTINGS_ASK_MIN_MS, SETTINGS_WAIT_MAX_MS};
use chat_endpoint::settings::SETTINGS_MAX;
use chat_endpoint::{Alarm, Event};
use chat_protocol::content::Content;
use chat_protocol::content::settings::{SETTINGS_PER_MESSAGE_MAX, Setting};
use chat_protocol::frame::RawFrame;
use chat_protocol::header::Header;
use chat_protocol::id::MessageId;
use chat_protocol::limits::INTEGER_MAX;
use chat_protocol::name::ConversationId;
use chat_protocol::tag::Tag;

use crate::hub::{Fate, TestHub, lobby, name};

const DAY_MS: u64 = 24 * 3600 * 1000;

fn set(hub: &mut TestHub, index: usize, key: &str, value: &str) {
    let (now, change) = (hub.now, [(key.to_owned(), value.to_owned())]);
    hub.peers[index].endpoint.set(now, &change);
}

fn value(hub: &TestHub, index: usize, key: &str) -> String {
    hub.peers[index].endpoint.settings().get(key).cloned().unwrap_or_default()
}

/// Nothing is missing, nothing was refused, nobody is alarmed.
fn assert_quiet(hub: &TestHub) {
    for index in 0..hub.peers.len() {
        let troubles = hub.count(index, |event| {
            matches!(
                event,
                Event::Alarm { .. }
                    | Event::Gap { .. }
                    | Event::Unreadable { .. }
                    | Event::Refused { .. }
                    | Event::Complaint { .. }
            )
        });
        assert_eq!(troubles, 0, "device {index}: {:?}", hub.peers[index].events);
        assert_eq!(hub.peers[index].endpoint.unanswered(), 0, "device {index}");
    }
}

/// Goal: what is set on one device is set on the other, and nobody else hears of it.
#[test]
fn what_is_set_is_set_on_the_other_device_alone() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let laptop = hub.joins_sibling(0, None);
    set(&mut hub, 0, "ignore:bob", "on");
    hub.run();
    assert_eq!(value(&hub, laptop, "ignore:bob"), "on");
    let heard = |event: &Event| matches!(event, Event::Settings { .. });
    assert_eq!((hub.count(laptop, heard), hub.count(0, heard), hub.count(1, heard)), (1, 0, 0));
    set(&mut hub, laptop, "ignore:bob", "off");
    hub.run();
    assert_eq!(value(&hub, 0, "ignore:bob"), "off", "the later one holds");
    assert!(hub.peers[1].endpoint.settings().is_empty());
    assert_quiet(&hub);
}

/// Goal: a device that is away hears of it when it is back, and one that comes new is told everything.
#[test]
fn a_device_that_was_away_and_one_that_is_new_get_all() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    set(&mut hub, 0, "ignore:bob", "on");
    hub.run();
    assert_eq!(hub.peers[0].endpoint.unanswered(), 0, "there is nobody to tell");
    let laptop = hub.joins_sibling(0, None);
    // By this the other one learns that there is one more.
    let now = hub.now;
    hub.peers[laptop].endpoint.say(now, &lobby(), "here").expect("said");
    hub.run();
    assert_eq!(value(&hub, laptop, "ignore:bob"), "on", "told to who is new");
    hub.disconnect(laptop);
    set(&mut hub, 0, "mute:room:ops", "on");
    set(&mut hub, 0, "read:room:ops", "x");
    hub.run();
    hub.restarts(laptop);
    assert_eq!(value(&hub, laptop, "mute:room:ops"), "on", "told to who was away");
    assert_eq!(value(&hub, laptop, "read:room:ops"), "", "what was read is kept by nobody");
    assert_quiet(&hub);
}

/// Goal: of what both set at once one value holds, on both.
#[test]
fn two_devices_that_set_one_thing_at_once_agree() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let laptop = hub.joins_sibling(0, None);
    hub.disconnect(0);
    hub.disconnect(laptop);
    set(&mut hub, 0, "mute:room:ops", "off");
    set(&mut hub, laptop, "mute:room:ops", "on");
    hub.connect(0);
    hub.comes(laptop);
    let values = [0, laptop].map(|index| value(&hub, index, "mute:room:ops"));
    assert_eq!(values, ["on", "on"], "at one time the greater one holds");
    assert_quiet(&hub);
}

/// Goal: a hub that was restored has lost a setting; the devices agree again with the next thing that is told whole.
#[test]
fn a_restored_hub_takes_nothing_back() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let laptop = hub.joins_sibling(0, None);
    set(&mut hub, 0, "ignore:bob", "on");
    hub.run();
    let older = hub.snapshot();
    set(&mut hub, laptop, "ignore:bob", "off");
    hub.run();
    hub.rolls_back(&older);
    let values = [0, laptop].map(|index| value(&hub, index, "ignore:bob"));
    assert_eq!(values, ["off", "off"]);
}

/// Goal: nobody can set anything for somebody else.
#[test]
fn what_is_said_to_oneself_has_a_conversation_of_its_own() {
    let own = ConversationId::own(&name("alice"));
    assert_eq!(own.as_str(), "dm:alice:alice");
    assert!(own.is_own() && ConversationId::parse("dm:alice:alice").unwrap() == own);
    assert!(ConversationId::direct(&name("alice"), &name("alice")).is_err(), "no text goes there");
    let mut hub = TestHub::with(&["alice", "bob"]);
    let now = hub.now;
    assert!(hub.peers[0].endpoint.tell_user(now, &name("alice"), "note").is_err());
}

/// Goal: that one may be seen is told to one person, once and after each change, and kept by them and their devices.
#[test]
fn that_one_may_be_seen_is_told_to_one_person_once() {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    let laptop = hub.add_sibling(1, None);
    hub.run();
    let allow = |hub: &mut TestHub, on: bool| {
        let now = hub.now;
        hub.peers[0].endpoint.allow_seen(now, &name("bob"), on);
        hub.run();
    };
    let heard = |event: &Event| matches!(event, Event::Settings { .. });
    allow(&mut hub, false);
    assert_eq!(hub.count(1, heard), 0, "whoever was told nothing knows that");
    allow(&mut hub, true);
    allow(&mut hub, true);
    assert_eq!((hub.count(1, heard), hub.count(laptop, heard), hub.count(2, heard)), (1, 1, 0));
    for index in [1, laptop] {
        assert_eq!(value(&hub, index, "allows:alice"), "on");
    }
    allow(&mut hub, false);
    assert_eq!(value(&hub, 1, "allows:alice"), "off");
    assert!(hub.peers[2].endpoint.settings().is_empty());
    assert_quiet(&hub);
}

/// One setting, told as it stands.
fn told(key: &str, value: &str, at: u64) -> Content {
    Content::Settings(vec![Setting::new(key, value, at).expect("a setting")])
}

fn settings_heard(hub: &TestHub, index: usize) -> usize {
    hub.count(index, |event| matches!(event, Event::Settings { .. }))
}

fn complaints(hub: &TestHub, index: usize) -> usize {
    hub.count(index, |event| matches!(event, Event::Complaint { .. }))
}

/// Goal: with a hub on their side nobody sets anything for somebody else, nor says anything to them in a conversation
/// that is not theirs: such a key is an alarm and is not opened, and nothing of what is said is missed or asked for.
/// Before: what was said there was shown as signed, and its writer was asked for what is for others.
#[test]
fn nobody_sets_anything_through_a_conversation_of_their_own() {
    let (alice, bob, oliver) = (0, 1, 2);
    let mut hub = TestHub::with(&["alice", "bob", "oliver"]);
    let own = ConversationId::own(&name("oliver"));
    let between = ConversationId::direct(&name("bob"), &name("oliver")).unwrap();
    let frames = hub.seen.len();
    for (cid, lines, to, content) in [
        (own, &[oliver][..], "oliver", told("ignore:bob", "on", hub.now)),
        (between, &[oliver, bob], "bob", Content::Text("for bob, or is it".to_owned())),
    ] {
        let mut forger = hub.forge_for(cid, lines);
        hub.repeat_key(alice);
        let frame = forger.tell(Tag::Dm, &name(to), &content);
        hub.hand(alice, &frame);
    }
    hub.run();
    assert!(hub.peers[alice].endpoint.settings().is_empty());
    assert_eq!((settings_heard(&hub, alice), hub.texts(alice)), (0, Vec::new()));
    // Its maker may have made it honestly, for others.
    let blame = "the server has given you a key that oliver has made";
    let is_alarm = |event: &Event| matches!(event, Event::Alarm { kind: Alarm::NotAMember, user, detail, .. } if *user == name("oliver") && detail.starts_with(blame));
    // Those of a minute about one person are counted together.
    assert_eq!(hub.count(alice, is_alarm), 1, "{:?}", hub.peers[alice].events);
    let is_missed =
        |event: &Event| matches!(event, Event::Gap { .. } | Event::Unreadable { signed: true, .. });
    assert_eq!(hub.count(alice, is_missed), 0, "{:?}", hub.peers[alice].events);
    assert_eq!(hub.seen.len(), frames, "nobody is asked");
}

/// Goal: one's own devices tell each other what is set and nothing else: no text, no command, no key.
/// Before: what a stolen device wrote stood among its owner's notes, and a command reached the agent of that name.
#[test]
fn a_device_tells_the_others_of_its_user_nothing_but_settings() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let laptop = hub.add_sibling(0, None);
    hub.run();
    let mut forger = hub.forge_for(ConversationId::own(&name("alice")), &[laptop, 0]);
    let to = name("alice");
    let note = Content::Text("a note to myself".to_owned());
    let cancel = Content::Cancel { re: MessageId([9; 16]) };
    for (tag, content) in
        [(Tag::Dm, note), (Tag::Dm, Content::Auto("away".to_owned())), (Tag::Cancel, cancel)]
    {
        let frame = forger.tell(tag, &to, &content);
        hub.hand(0, &frame);
    }
    let frame = forger.tell(Tag::Dm, &to, &told("ignore:bob", "on", hub.now));
    hub.hand(0, &frame);
    hub.run();
    let is_said = |event: &Event| {
        matches!(event, Event::Message { .. } | Event::Away { .. } | Event::Cancel { .. })
    };
    assert_eq!(hub.count(0, is_said), 0, "{:?}", hub.peers[0].events);
    assert_eq!(hub.count(0, |event| matches!(event, Event::Unreadable { .. })), 3);
    assert_eq!(value(&hub, 0, "ignore:bob"), "on", "what is set is heard as ever");
}

/// Goal: a device that comes back with another signing key, and one that was away for longer than its key is wrapped
/// for, hear everything that is set.
/// Before: only one with another device id did.
#[test]
fn a_device_that_comes_back_with_another_key_or_after_months_gets_all() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let laptop = hub.add_sibling(0, None);
    hub.run();
    let copy = hub.peers[laptop].store.clone();
    set(&mut hub, 0, "ignore:bob", "on");
    hub.run();
    assert_eq!(value(&hub, laptop, "ignore:bob"), "on");
    // Its home is put back, and it signs in with another key: what it had heard is not delivered to that.
    hub.restore(laptop, copy);
    assert_eq!(value(&hub, laptop, "ignore:bob"), "");
    hub.replace_signing_key(laptop);
    hub.connect(laptop);
    hub.tell_of_keys("alice");
    hub.run();
    assert_eq!(value(&hub, laptop, "ignore:bob"), "on", "of another signing key");
    hub.disconnect(laptop);
    hub.now += 120 * DAY_MS;
    hub.disconnect(0);
    hub.rotate(0);
    hub.connect(0);
    set(&mut hub, 0, "mute:room:ops", "on");
    hub.run();
    hub.rotate(laptop);
    hub.connect(laptop);
    hub.tell_of_keys("alice");
    hub.run();
    assert_eq!(value(&hub, laptop, "mute:room:ops"), "on", "of months");
    assert_eq!((complaints(&hub, 0), complaints(&hub, laptop)), (0, 0));
}

/// Loses the first message of this user to their own devices, on each connection.
fn lose_first(hub: &mut TestHub, user: &'static str) {
    let mut lost = None;
    hub.rule = Some(Box::new(move |_, bytes| {
        let frame = RawFrame::decode(bytes.to_vec().into()).unwrap();
        let Ok(Header::Message(header)) = Header::parse(frame.header()) else { return Fate::Good };
        if header.cid != ConversationId::own(&name(user)) {
            return Fate::Good;
        }
        if *lost.get_or_insert(header.id) == header.id { Fate::Lost } else { Fate::Good }
    }));
}

/// Goal: what a hub loses of what is set comes all the same, when the next thing comes.
/// Before: the gap was shown and stayed.
#[test]
fn what_a_hub_loses_of_what_is_set_is_told_again() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let laptop = hub.add_sibling(0, None);
    hub.run();
    set(&mut hub, 0, "mute:room:ops", "on");
    hub.run();
    lose_first(&mut hub, "alice");
    set(&mut hub, 0, "ignore:bob", "on");
    let end = hub.now + 5_000;
    while hub.step(end) {}
    assert_eq!(value(&hub, laptop, "ignore:bob"), "", "the hub's lie");
    set(&mut hub, 0, "mute:room:ops", "off");
    let end = hub.now + 5_000;
    while hub.step(end) {}
    assert_eq!(value(&hub, laptop, "mute:room:ops"), "off");
    assert_eq!(value(&hub, laptop, "ignore:bob"), "on", "within seconds");
    let frames = hub.seen.len();
    hub.run();
    assert_eq!(hub.seen.len(), frames, "and that is the end of it");
}

/// Goal: what the hub has lost at the end of what was said is known a day later, with the next thing that is set.
#[test]
fn a_lost_tail_of_what_is_set_is_told_within_a_day() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let laptop = hub.add_sibling(0, None);
    hub.run();
    set(&mut hub, 0, "mute:room:ops", "on");
    hub.run();
    lose_first(&mut hub, "alice");
    set(&mut hub, 0, "ignore:bob", "on");
    hub.run();
    hub.now += DAY_MS;
    set(&mut hub, 0, "read:room:ops", "x");
    hub.run();
    assert_eq!(value(&hub, laptop, "ignore:bob"), "on");
}

/// Goal: that the hub does not take what is set is shown as its word, once, and the next connection tells it again.
/// Before: nobody was told, and the other devices never knew.
#[test]
fn a_setting_that_is_refused_is_told_and_told_again() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let laptop = hub.add_sibling(0, None);
    hub.run();
    set(&mut hub, 0, "mute:room:ops", "on");
    hub.run();
    // What was read is worth no word.
    hub.faults.refuse = 1;
    set(&mut hub, 0, "read:room:ops", "x");
    hub.run();
    assert_eq!(complaints(&hub, 0), 0);
    hub.faults.refuse = 1;
    set(&mut hub, 0, "ignore:bob", "on");
    hub.run();
    assert_eq!((complaints(&hub, 0), complaints(&hub, laptop)), (1, 0));
    assert_eq!(value(&hub, laptop, "ignore:bob"), "");
    hub.disconnect(0);
    hub.connect(0);
    hub.run();
    assert_eq!(value(&hub, laptop, "ignore:bob"), "on");
    assert_eq!(complaints(&hub, 0), 1);
}

/// Goal: what a stolen device has set for the end of time is taken by nobody, and what it set a little ahead is beaten.
/// Before: it held against everything that was set afterwards, on every device.
#[test]
fn nothing_is_set_for_the_end_of_time() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let laptop = hub.add_sibling(0, None);
    let phone = hub.add_sibling(0, None);
    hub.run();
    let own = ConversationId::own(&name("alice"));
    let mut thief = hub.forge_for(own, &[laptop, 0, phone]);
    let (to, now) = (name("alice"), hub.now);
    for (key, at) in [("ignore:bob", INTEGER_MAX), ("ignore:carol", now + DAY_MS / 2)] {
        let frame = thief.tell(Tag::Dm, &to, &told(key, "on", at));
        hub.hand(0, &frame);
        hub.hand(phone, &frame);
    }
    hub.run();
    for index in [0, phone] {
        assert_eq!(value(&hub, index, "ignore:bob"), "");
        assert_eq!(value(&hub, index, "ignore:carol"), "on");
    }
    let stolen = hub.peers[laptop].endpoint.device().keys.signing_id();
    hub.disconnect(laptop);
    hub.disconnect(0);
    hub.revoke(0, stolen);
    hub.connect(0);
    hub.tell_of_keys("alice");
    hub.run();
    for key in ["ignore:bob", "ignore:carol"] {
        set(&mut hub, 0, key, "on");
        set(&mut hub, 0, key, "off");
    }
    hub.run();
    for index in [0, phone] {
        assert_eq!(value(&hub, index, "ignore:bob"), "off", "{index}");
        assert_eq!(value(&hub, index, "ignore:carol"), "off", "{index}");
    }
}

/// Goal: what means nothing here fills no table, and who sets one thing too many is told.
/// Before: 2,048 keys of a stolen device, and nothing that was set later was kept, without a word.
#[test]
fn keys_without_a_meaning_take_no_room_and_a_full_table_is_told() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let laptop = hub.add_sibling(0, None);
    hub.run();
    let mut thief = hub.forge_for(ConversationId::own(&name("alice")), &[laptop, 0]);
    let now = hub.now;
    let fill = |kind: &'static str| {
        let keys = (0..SETTINGS_MAX).map(move |n| format!("{kind}{n}"));
        let set = keys.map(|key| Setting::new(&key, "on", now).expect("a setting"));
        set.collect::<Vec<_>>()
    };
    for part in fill("x:").chunks(SETTINGS_PER_MESSAGE_MAX) {
        let frame = thief.tell(Tag::Dm, &name("alice"), &Content::Settings(part.to_vec()));
        hub.hand(0, &frame);
    }
    hub.run();
    let kept = hub.peers[0].endpoint.settings().len();
    assert_eq!(kept, chat_endpoint::limits::SETTINGS_OTHER_MAX);
    set(&mut hub, 0, "ignore:carol", "on");
    assert_eq!(value(&hub, 0, "ignore:carol"), "on");
    for part in fill("mute:room:r").chunks(SETTINGS_PER_MESSAGE_MAX) {
        let frame = thief.tell(Tag::Dm, &name("alice"), &Content::Settings(part.to_vec()));
        hub.hand(0, &frame);
    }
    hub.run();
    let own = hub.peers[0].endpoint.settings().len() - kept;
    assert_eq!(own, SETTINGS_MAX);
    set(&mut hub, 0, "ignore:bob", "on");
    hub.run();
    assert_eq!((complaints(&hub, 0), value(&hub, 0, "ignore:bob")), (1, String::new()));
    set(&mut hub, 0, "mute:room:r7", "off");
    set(&mut hub, 0, "ignore:bob", "on");
    hub.run();
    assert_eq!((complaints(&hub, 0), value(&hub, 0, "ignore:bob")), (1, "on".to_owned()));
}

/// Two devices of alice who have told each other something, and the first one's next word to the other is lost.
fn one_lost() -> (TestHub, usize) {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let laptop = hub.joins_sibling(0, None);
    set(&mut hub, 0, "mute:room:ops", "on");
    hub.run();
    lose_first(&mut hub, "alice");
    set(&mut hub, 0, "ignore:bob", "on");
    hub.run();
    assert_eq!(value(&hub, laptop, "ignore:bob"), "", "the hub's lie");
    (hub, laptop)
}

/// What the first device says, and the other one has, before anything is asked.
fn gap_is_seen(hub: &mut TestHub, laptop: usize) {
    set(hub, 0, "mute:room:ops", "off");
    while hub.turn() {}
    assert_eq!(value(hub, laptop, "mute:room:ops"), "off");
    assert_eq!(value(hub, laptop, "ignore:bob"), "", "nobody has asked yet");
}

/// Goal: what was missed is asked for on the next connection, and by the next process, where the hub ends the one on which
/// it was seen.
/// Before: it was shown once and never asked for.
#[test]
fn what_was_missed_is_asked_for_on_the_next_connection() {
    for restarts in [false, true] {
        let (mut hub, laptop) = one_lost();
        gap_is_seen(&mut hub, laptop);
        if restarts {
            hub.restarts(laptop);
        } else {
            hub.disconnect(laptop);
            hub.comes(laptop);
        }
        assert_eq!(value(&hub, laptop, "ignore:bob"), "on", "{restarts}");
        let frames = hub.seen.len();
        hub.now += SETTINGS_WAIT_MAX_MS;
        hub.run();
        assert_eq!(hub.seen.len(), frames, "that is the end of it");
    }
}

/// Goal: a question that is refused, or lost, or whose answer is, is asked again until it is answered; less and less often.
/// Before: it was asked once.
#[test]
fn what_was_missed_is_asked_for_until_it_is_answered() {
    let (mut hub, laptop) = one_lost();
    gap_is_seen(&mut hub, laptop);
    hub.faults.refuse = 1;
    let second = hub.now + 2_000;
    while hub.step(second) {}
    assert_eq!((hub.faults.refuse, complaints(&hub, laptop)), (0, 0), "it was asked");
    // Then all that the first device says is lost, for some hours.
    hub.rule =
        Some(Box::new(move |index, _| if index == laptop { Fate::Lost } else { Fate::Good }));
    let frames = hub.seen.len();
    let end = hub.now + 4 * SETTINGS_WAIT_MAX_MS;
    while hub.step(end) {}
    let asked = hub.seen.len() - frames;
    assert!((8..40).contains(&asked), "{asked} messages");
    assert_eq!(value(&hub, laptop, "ignore:bob"), "");
    hub.rule = None;
    let end = hub.now + 2 * SETTINGS_WAIT_MAX_MS;
    while hub.step(end) {}
    assert_eq!(value(&hub, laptop, "ignore:bob"), "on");
}

/// Goal: a device that is asked answers, also where its connection ends first.
#[test]
fn a_question_outlives_the_connection_of_who_is_asked() {
    let (mut hub, laptop) = one_lost();
    gap_is_seen(&mut hub, laptop);
    let soon = hub.now + 10_000;
    while hub.step(soon) {}
    assert_eq!(value(&hub, laptop, "ignore:bob"), "on");
    // It has answered just now, so the next answer waits.
    lose_first(&mut hub, "alice");
    set(&mut hub, 0, "mute:room:lost", "on");
    set(&mut hub, 0, "mute:room:ops", "on");
    let asked = hub.now + 2_000;
    while hub.step(asked) {}
    assert_eq!(value(&hub, laptop, "mute:room:lost"), "", "this tests nothing");
    hub.disconnect(0);
    hub.comes(0);
    let end = hub.now + 2 * SETTINGS_ASK_MIN_MS;
    while hub.step(end) {}
    assert_eq!(value(&hub, laptop, "mute:room:lost"), "on");
}

/// Goal: a hub that refuses what is set, and makes it due again as fast as it can, gets it at a pace, and has one line.
/// Before: all was said again with each of its answers about the user's own keys, with a line each time.
#[test]
fn what_is_refused_again_and_again_is_told_at_a_pace() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    hub.joins_sibling(0, None);
    for room in 0..100 {
        set(&mut hub, 0, &format!("mute:room:r{room}"), "on");
    }
    hub.run();
    (hub.faults.refuse, hub.faults.tells_all) = (usize::MAX, true);
    set(&mut hub, 0, "ignore:bob", "on");
    while hub.turn() {}
    let frames = hub.seen.len();
    let refused = |hub: &TestHub| hub.withheld.len();
    let before = refused(&hub);
    for _ in 0..200 {
        hub.now += 100;
        hub.tell_one_of_keys(0, "alice");
        let end = hub.now + 1;
        while hub.step(end) {}
    }
    let said = refused(&hub) - before;
    assert!(said < 40, "{said} messages in 20 s");
    assert_eq!((frames > 0, complaints(&hub, 0)), (true, 1));
}

/// Goal: a hub that keeps what is set without an answer gets no more of it, however often the other device asks.
#[test]
fn nothing_is_told_again_while_it_has_no_answer() {
    let (mut hub, laptop) = one_lost();
    gap_is_seen(&mut hub, laptop);
    hub.faults.hold_answers = true;
    set(&mut hub, 0, "mute:room:ops", "on");
    while hub.turn() {}
    let open = hub.peers[0].endpoint.unanswered();
    let own = ConversationId::own(&name("alice"));
    let mut asker = hub.forge_for(own, &[laptop, 0]);
    for minute in 0..10 {
        let ask = told("ask", "AAAAAAAAAAAAAAAAAAAAAA", hub.now);
        let frame = asker.tell(Tag::Dm, &name("alice"), &ask);
        hub.hand(0, &frame);
        let end = hub.now + 60_000;
        while hub.step(end) {}
        assert_eq!(hub.peers[0].endpoint.unanswered(), open, "{minute}");
    }
}

/// Goal: what was refused of what is said to somebody else is no matter of one's own devices, and is said again with the next
/// text; what they were told before is what they know.
/// Before: the user was told that their own devices do not know what is set, all was told again, and consent was never
/// taken back.
#[test]
fn a_refused_word_about_being_seen_is_said_again() {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    let laptop = hub.joins_sibling(0, None);
    set(&mut hub, 0, "mute:room:ops", "on");
    hub.run();
    let between = ConversationId::direct(&name("alice"), &name("bob")).unwrap();
    let allow = |hub: &mut TestHub, on: bool, is_refused: bool| {
        let now = hub.now;
        hub.faults.refuses_in = Some(between.clone()).filter(|_| is_refused);
        hub.peers[0].endpoint.allow_seen(now, &name("bob"), on);
        hub.run();
    };
    let told_all = |hub: &TestHub| settings_heard(hub, laptop);
    for on in [true, false] {
        let (before, v) = (value(&hub, 1, "allows:alice"), if on { "on" } else { "off" });
        allow(&mut hub, on, true);
        assert_eq!(value(&hub, 1, "allows:alice"), before, "refused");
        allow(&mut hub, on, false);
        assert_eq!(value(&hub, 1, "allows:alice"), v);
        assert_eq!(value(&hub, laptop, "told:bob"), v);
    }
    // A name that nobody has.
    let now = hub.now;
    hub.peers[0].endpoint.allow_seen(now, &name("nobody"), true);
    hub.run();
    assert_eq!(value(&hub, 0, "told:nobody"), "off");
    // Who has taken it back knows that it was not said; of what was never allowed there is nothing to know.
    assert_eq!((complaints(&hub, 0), complaints(&hub, laptop)), (1, 0));
    let is_told = |event: &Event| matches!(event, Event::Complaint { reason, .. } if reason.contains("bob was not told"));
    assert_eq!(hub.count(0, is_told), 1, "{:?}", hub.peers[0].events);
    assert!(told_all(&hub) > 0);
}

/// Goal: what is set again is said again, because a person does that where another device does not know it.
/// Before: nothing was said.
#[test]
fn what_is_set_again_is_said_again() {
    let (mut hub, laptop) = one_lost();
    hub.rule = None;
    set(&mut hub, 0, "ignore:bob", "on");
    while hub.turn() {}
    assert_eq!(value(&hub, laptop, "ignore:bob"), "on");
    assert_eq!(settings_heard(&hub, 0), 0);
}

/// Goal: what the hub has lost at the end of what was set, when it went back, is told again by itself.
/// Before: with the next thing that was set.
#[test]
fn what_a_restored_hub_has_lost_at_the_end_is_told_again() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let laptop = hub.joins_sibling(0, None);
    for text in ["one", "two"] {
        let now = hub.now;
        hub.peers[0].endpoint.say(now, &lobby(), text).unwrap();
        hub.run();
    }
    set(&mut hub, 0, "mute:room:ops", "on");
    hub.run();
    let older = hub.snapshot();
    hub.disconnect(laptop);
    set(&mut hub, 0, "ignore:bob", "on");
    hub.run();
    hub.rolls_back(&older);
    hub.run();
    assert_eq!(value(&hub, laptop, "ignore:bob"), "on");
}

/// Goal: a clock that was ahead when all was told, and is right now, ends no daily telling.
/// Before: nothing was told until the time came that the clock had shown.
#[test]
fn a_clock_that_was_put_back_ends_no_telling() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let laptop = hub.joins_sibling(0, None);
    hub.now += 300 * DAY_MS / 24;
    hub.restarts(0);
    hub.restarts(laptop);
    set(&mut hub, 0, "mute:room:ops", "on");
    hub.run();
    lose_first(&mut hub, "alice");
    set(&mut hub, 0, "ignore:bob", "on");
    hub.run();
    // An hour back, then a setting: the one before was told in the future.
    hub.now -= DAY_MS / 12;
    hub.disconnect(0);
    hub.comes(0);
    set(&mut hub, 0, "read:room:ops", "x");
    while hub.turn() {}
    assert_eq!(value(&hub, laptop, "ignore:bob"), "on", "before anything is asked");
}

/// Goal: what lies ahead of a clock is told, and asked for when the clock may be right.
/// Before: it was passed over without a word, and for good.
#[test]
fn what_lies_ahead_is_told_and_asked_for_on_the_next_connection() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let laptop = hub.joins_sibling(0, None);
    set(&mut hub, 0, "mute:room:ops", "on");
    hub.run();
    let now = hub.now;
    // The clock of the first device is two days ahead of the other one's.
    hub.peers[0].endpoint.set(now + 2 * DAY_MS, &[("ignore:bob".to_owned(), "on".to_owned())]);
    hub.run();
    assert_eq!((value(&hub, laptop, "ignore:bob"), complaints(&hub, laptop)), (String::new(), 1));
    hub.now += 2 * DAY_MS;
    hub.disconnect(laptop);
    hub.comes(laptop);
    assert_eq!(value(&hub, laptop, "ignore:bob"), "on");
    assert_eq!(complaints(&hub, laptop), 1);
}

/// Goal: that somebody was not told that the user is away is told to the user, whose history says that they were.
/// Before: nothing was.
#[test]
fn an_answer_for_who_is_away_that_is_refused_is_told() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let now = hub.now;
    hub.faults.refuse = 1;
    hub.peers[0].endpoint.answer_for_away(now, &name("bob"), "at lunch").expect("said");
    hub.run();
    let is_told = |event: &Event| matches!(event, Event::Complaint { reason, by_hub: true, .. } if reason.starts_with("bob was not told that you are away"));
    assert_eq!(hub.count(0, is_told), 1, "{:?}", hub.peers[0].events);
}
