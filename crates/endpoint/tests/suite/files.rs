//! What programs say to each other about files: sealed and signed like any message, once, in order,
//! and no text for people.

use chat_endpoint::Event;
use chat_protocol::b64::B64Array;
use chat_protocol::content::files::FileNote;
use chat_protocol::file::Manifest;
use chat_protocol::file::catalogue::Query;
use chat_protocol::id::{Digest, MessageId, Nonce16};
use chat_protocol::name::ConversationId;

use crate::hub::{TestHub, lobby, name};

fn manifest() -> Manifest {
    Manifest { name: "plan.txt".to_owned(), size: 9, root: Digest([4; 32]) }
}

fn notes(hub: &TestHub, index: usize) -> Vec<(String, FileNote)> {
    let note = |event: &Event| match event {
        Event::File { from, note, .. } => Some((from.to_string(), note.clone())),
        _ => None,
    };
    hub.peers[index].events.iter().filter_map(note).collect()
}

#[test]
fn a_request_and_its_answer_arrive_and_are_no_texts() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let now = hub.now;
    let cid = ConversationId::direct(&name("alice"), &name("bob")).unwrap();
    let want = FileNote::Want { offer: MessageId([1; 16]), parts: vec![(0, 1)], until: now + 9 };
    let re = hub.peers[1].endpoint.note_file(now, cid.clone(), want.clone());
    hub.run();
    assert_eq!(notes(&hub, 0), [("bob".to_owned(), want)]);
    let (tid, key) = (Nonce16([2; 16]), B64Array([3; 32]));
    let give = FileNote::Give { re, tid, key, file: manifest() };
    hub.peers[0].endpoint.note_file(now, cid, give.clone());
    hub.run();
    assert_eq!(notes(&hub, 1), [("alice".to_owned(), give)]);
    let answers =
        hub.count(1, |event| matches!(event, Event::File { .. }) && event.answers() == Some(re));
    assert_eq!(answers, 1, "the answer finds who asked");
    for index in [0, 1] {
        assert_eq!(hub.count(index, |event| matches!(event, Event::Message { .. })), 0);
    }
}

#[test]
fn a_note_to_a_room_reaches_its_members() {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    let now = hub.now;
    let note = FileNote::Index { key: B64Array([7; 32]) };
    hub.peers[0].endpoint.note_file(now, ConversationId::room(&lobby()), note.clone());
    hub.run();
    for index in [1, 2] {
        assert_eq!(notes(&hub, index), [("alice".to_owned(), note.clone())]);
    }
}

#[test]
fn a_question_that_is_put_off_is_asked_again_when_the_hub_says() {
    let mut hub = TestHub::with(&["alice"]);
    hub.run();
    let start = hub.now;
    hub.faults.busy_questions = 3;
    let endpoint = &mut hub.peers[0].endpoint;
    let (find, share) = (endpoint.find(Query::default()), endpoint.share(Vec::new(), Vec::new()));
    hub.run();
    // One of them was put off twice.
    assert_eq!((hub.faults.busy_questions, hub.now - start), (0, 2_000));
    let found = |event: &Event| matches!(event, Event::Found { id, .. } if *id == find);
    let shared = |event: &Event| matches!(event, Event::Shared { id, .. } if *id == share);
    assert_eq!((hub.count(0, found), hub.count(0, shared)), (1, 1), "each has one answer");
}
