//! What a hub can make its clients do in a time.

use chat_endpoint::{Event, Transmit};
use chat_protocol::file::catalogue::Query;
use chat_protocol::hub::{self, ClientToHub, HubStage, HubToClient, Person};
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, RoomName};

use super::{SECOND_MS, b64, frames, pass, say, tell};
use crate::hub::{TestHub, Winner, lobby, name};

fn texts(hub: &mut TestHub, count: usize) {
    let now = hub.now;
    for number in 0..count {
        let text = format!("text {number}");
        hub.peers[0].endpoint.tell_user(now, &name("bob"), &text).expect("a text");
    }
}

/// Goal: what a busy hub puts off is sent again at growing distances. Before: as often as the hub
/// said, 2,854 times in 5 s.
#[test]
fn what_is_put_off_again_and_again_is_sent_again_more_and_more_slowly() {
    for count in [1, 64] {
        let mut hub = TestHub::with(&["alice", "bob"]);
        tell(&mut hub, 0, "bob", "first");
        hub.faults.busy = usize::MAX;
        let before = hub.seen.len();
        texts(&mut hub, count);
        pass(&mut hub, 5 * SECOND_MS);
        let sent = hub.seen.len() - before;
        assert!((count * 4..=count * 6).contains(&sent), "{sent} of {count}");
        hub.faults.busy = 0;
        pass(&mut hub, 6 * SECOND_MS);
        assert_eq!(hub.texts(1).len(), 1 + count);
        assert_eq!(hub.peers[0].endpoint.unanswered(), 0);
    }
}

/// Goal: a hub that closes every epoch makes its clients work every other second. Before: 434 epochs
/// in 5 s. Method: also with a new connection each time, which changes nothing.
#[test]
fn epochs_that_are_closed_again_and_again_are_replaced_at_a_pace() {
    for connects in [false, true] {
        let mut hub = TestHub::with(&["alice", "bob"]);
        tell(&mut hub, 0, "bob", "first");
        let before = hub.epochs_offered;
        hub.faults.closes_all = true;
        texts(&mut hub, 3);
        for _ in 0..50 {
            pass(&mut hub, SECOND_MS / 10);
            if connects {
                hub.disconnect(0);
                hub.connect(0);
            }
        }
        let made = hub.epochs_offered - before;
        assert!((1..=4).contains(&made), "{made} epochs");
        hub.faults.closes_all = false;
        pass(&mut hub, 10 * SECOND_MS);
        assert_eq!(hub.texts(1).len(), 4);
        assert_eq!(hub.peers[0].endpoint.unanswered(), 0);
    }
}

/// Goal: a hub that says of every epoch that another one was first makes its clients work every other second.
/// Before: as fast as it answered, where the winner that it named was not of the same number, or 20 times a
/// second. Method: whatever it names, and with a new connection each time; then it is honest.
#[test]
fn races_that_are_lost_again_and_again_are_run_at_a_pace() {
    for winner in [Winner::Unnamed, Winner::Invented, Winner::Ahead, Winner::Old] {
        for connects in [false, true] {
            let mut hub = TestHub::with(&["alice", "bob"]);
            tell(&mut hub, 0, "bob", "first");
            let before = hub.epochs_offered;
            hub.close_next = true;
            hub.faults.beaten_by = Some(winner);
            texts(&mut hub, 3);
            for _ in 0..50 {
                let end = hub.now + SECOND_MS / 10;
                (0..100).all(|_| hub.step(end));
                hub.now = hub.now.max(end);
                if connects {
                    hub.disconnect(0);
                    hub.connect(0);
                }
            }
            let made = hub.epochs_offered - before;
            assert!((2..=5).contains(&made), "{winner:?} {connects}: {made} epochs");
            hub.faults.beaten_by = None;
            pass(&mut hub, 10 * SECOND_MS);
            assert_eq!(hub.texts(1).len(), 4, "{winner:?} {connects}");
            assert_eq!(hub.peers[0].endpoint.unanswered(), 0);
        }
    }
}

fn person(number: usize) -> Person {
    Person { name: name(&format!("p{number:06}")), online: false, agent: false }
}

/// Goal: an answer of another kind than was asked for ends no question. Before: it did, and what waited for the answer
/// waited until the next connection.
#[test]
fn an_answer_of_another_kind_ends_no_question() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let (now, cid) = (hub.now, ConversationId::room(&lobby()));
    let bob = &mut hub.peers[1].endpoint;
    bob.refresh(&cid);
    let asked = bob.finish(now).transmits.into_iter().find_map(|transmit| match transmit {
        Transmit::Text(text) => match hub::read(&text).expect("a question") {
            ClientToHub::Members { id, .. } => Some(id),
            _ => None,
        },
        Transmit::Binary(_) => None,
    });
    let id = asked.expect("a question about the chain");
    let (bundles, links) = (0, 0);
    for wrong in [
        HubToClient::Who { id, people: vec![person(1)], more: false },
        HubToClient::Reminded { id, bundles, links },
        HubToClient::Shared { id, offers: 0 },
    ] {
        bob.handle_text(now, &hub::write(&wrong));
    }
    let is_shown = |event: &Event| matches!(event, Event::People { .. } | Event::Shared { .. });
    let right = HubToClient::Members { id, cid, links: vec![], more: false, closed: false };
    bob.handle_text(now, &hub::write(&right));
    hub.run();
    assert_eq!(hub.count(1, is_shown), 0);
    assert_eq!(hub.count(1, |event| matches!(event, Event::Refreshed { .. })), 1);
}

/// Goal: a list of files is answered by what was asked for, and nothing that is only asked is answered by "kept".
/// Before: either ended the question, or took away that it would be asked again.
#[test]
fn an_answer_about_files_ends_the_question_that_it_fits() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    hub.faults.busy_questions = usize::MAX;
    let now = hub.now;
    let bob = &mut hub.peers[1].endpoint;
    let find = bob.find(Query::default());
    let share = bob.share(Vec::new(), Vec::new());
    let none = Vec::new();
    let (offers, stage, position, kept) = (0, HubStage::Stored, 1, false);
    for wrong in [
        HubToClient::Shared { id: find, offers },
        HubToClient::Found { id: share, offers: none.clone(), more: false },
        HubToClient::Ack { stage, id: find, position, kept },
        HubToClient::Ack { stage, id: share, position, kept },
    ] {
        bob.handle_text(now, &hub::write(&wrong));
    }
    let is_answer = |event: &Event| matches!(event, Event::Shared { .. } | Event::Found { .. });
    hub.turn();
    hub.turn();
    assert_eq!(hub.count(1, is_answer), 0);
    // The hub has put both off: they are asked again.
    let bob = &mut hub.peers[1].endpoint;
    for id in [find, share] {
        bob.handle_text(now, &hub::write(&HubToClient::Ack { stage, id, position, kept }));
    }
    hub.faults.busy_questions = 0;
    pass(&mut hub, 10 * SECOND_MS);
    assert_eq!(hub.count(1, is_answer), 2, "{:?}", hub.peers[1].events);
}

/// Goal: that a busy hub puts something off is told once, whatever else it answers meanwhile.
/// Before: again and again, because what is sent again waits for nothing until its answer comes.
#[test]
fn that_something_is_put_off_is_told_once() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    tell(&mut hub, 0, "bob", "first");
    hub.faults.busy = usize::MAX;
    texts(&mut hub, 1);
    for number in 0..20 {
        while hub.turn() {}
        hub.now += 6 * SECOND_MS;
        let (now, id) = (hub.now, MessageId([number; 16]));
        let alice = &mut hub.peers[0].endpoint;
        alice.handle_timeout(now);
        let (stage, position, kept) = (HubStage::Stored, 1, false);
        alice.handle_text(now, &hub::write(&HubToClient::Ack { stage, id, position, kept }));
    }
    assert_eq!(hub.count(0, |event| matches!(event, Event::PutOff { .. })), 1);
    hub.faults.busy = 0;
    pass(&mut hub, 10 * SECOND_MS);
    assert_eq!(hub.peers[0].endpoint.unanswered(), 0);
}

/// Goal: answers that nobody asked for are dropped, and end the connection. Before: they were shown,
/// and bundles in them kept.
#[test]
fn answers_without_a_question_end_the_connection() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let now = hub.now;
    let (id, people) = (MessageId([9; 16]), vec![person(1)]);
    let answer = hub::write(&HubToClient::Who { id, people, more: true });
    for count in 1..=16 {
        let bob = &mut hub.peers[1].endpoint;
        bob.handle_text(now, &answer);
        assert_eq!(bob.must_reconnect(), count == 16, "{count}");
        let step = bob.finish(now);
        assert_eq!((frames(&step), step.events.len()), (0, 0));
    }
    pass(&mut hub, SECOND_MS);
    assert!(!hub.peers[1].endpoint.must_reconnect());
    say(&mut hub, 0, "and on it goes");
    assert_eq!(hub.texts(1), ["alice: and on it goes"]);
}

/// The question for a page that a step sends, if it does.
fn question(hub: &mut TestHub) -> Option<ClientToHub> {
    let now = hub.now;
    let step = hub.peers[1].endpoint.finish(now);
    let texts = step.transmits.into_iter().filter_map(|transmit| match transmit {
        Transmit::Text(text) => Some(hub::read(&text).expect("a question")),
        Transmit::Binary(_) => None,
    });
    let mut pages =
        texts.filter(|text| matches!(text, ClientToHub::Who { .. } | ClientToHub::Members { .. }));
    pages.next()
}

/// Goal: pages are turned while each brings something new, and at most 1,024 in a minute. Before: for
/// ever, as fast as the hub answered.
#[test]
fn pages_without_end_are_not_turned_without_end() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let now = hub.now;
    for (grows, most) in [(false, 2usize), (true, 1_024)] {
        hub.peers[1].endpoint.who();
        let mut asked = 0;
        while let Some(ClientToHub::Who { id, .. }) = question(&mut hub) {
            asked += 1;
            assert!(asked < 3_000, "no end");
            let people = vec![person(if grows { asked } else { 7 })];
            let answer = hub::write(&HubToClient::Who { id, people, more: true });
            hub.peers[1].endpoint.handle_text(now, &answer);
        }
        assert!((most.saturating_sub(8)..=most).contains(&asked), "{asked} pages");
    }
    // The next page waits for the next minute.
    hub.now += 61 * SECOND_MS;
    let now = hub.now;
    hub.peers[1].endpoint.handle_timeout(now);
    assert!(matches!(question(&mut hub), Some(ClientToHub::Who { .. })));
}

/// Goal: the same of the links of a room, which nobody can verify without an end. Before: all of them
/// were kept until the last one had come.
#[test]
fn links_without_end_are_not_asked_for_without_end() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "any frame is none of the links");
    let now = hub.now;
    let link = b64(hub.seen.first().expect("said"));
    let cid = ConversationId::room(&RoomName::new("endless").expect("a name"));
    hub.peers[1].endpoint.refresh(&cid);
    let (mut asked, mut held) = (0, 0);
    while let Some(ClientToHub::Members { id, cid, .. }) = question(&mut hub) {
        asked += 1;
        assert!(asked < 3_000, "no end");
        let links = vec![link.clone(); 48];
        let answer = HubToClient::Members { id, cid, links, more: true, closed: false };
        let answer = hub::write(&answer);
        hub.peers[1].endpoint.handle_text(now, &answer);
        held = held.max(hub.peers[1].endpoint.held_bytes());
    }
    assert!(asked <= 1_024 / 48 + 1, "{asked} pages");
    assert!(held < 2 << 20, "{held} bytes");
}

/// Goal: the chain of a large room comes in pages and is applied by and by. Method: the double answers
/// with all links at once, more than may wait.
#[test]
fn a_chain_longer_than_may_wait_is_read_whole() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let cid = ConversationId::room(&lobby());
    for _ in 0..600 {
        hub.leave(1);
        hub.come_back(1);
    }
    hub.disconnect(0);
    hub.connect(0);
    hub.peers[0].endpoint.refresh(&cid);
    hub.run();
    say(&mut hub, 0, "after so many links");
    assert_eq!(hub.texts(1), ["alice: after so many links"]);
    assert_eq!(hub.count(0, |event| matches!(event, Event::Alarm { .. })), 0);
}
