//! Files from one person to another through real sockets.

use chat_protocol::{
    code,
    crypto::random,
    file::relay::{HubToRelay, RelayToHub},
    handshake::Mode,
    hub::{ClientToHub, HubToClient},
    id::Nonce16,
};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    client::{Client, Entry, Server, config, enter, fresh, name, new_id, now_ms, register, start},
    data::{Came, Data, TestFile, entry},
};

fn give(tid: Nonce16, to: &str) -> RelayToHub {
    RelayToHub::Give { tid, to: name(to) }
}

fn take(tid: Nonce16, from: &str) -> RelayToHub {
    RelayToHub::Take { tid, from: name(from), credit: 8, parts: Vec::new() }
}

/// Alice and bob, with a data connection on which she gives, and one on which he takes.
async fn giver_and_taker(server: &Server) -> ([Client; 2], Data, Data) {
    let alice = register(server, "alice", 0).await;
    let bob = register(server, "bob", 1).await;
    let giver = Data::open(server, &alice.device).await;
    let taker = Data::open(server, &bob.device).await;
    ([alice, bob], giver, taker)
}

/// Both ask for a transfer, the giver first.
async fn agree(giver: &mut Data, taker: &mut Data) -> Nonce16 {
    let tid = Nonce16(random());
    giver.say(&give(tid, "bob")).await;
    taker.say(&take(tid, "alice")).await;
    tid
}

#[tokio::test]
async fn twenty_mebibytes_arrive_byte_by_byte_while_people_talk() {
    let (server, folder) = fresh().await;
    let ([mut alice, _bob], mut giver, mut taker) = giver_and_taker(&server).await;
    assert!(giver.signed_in.heads.is_empty() && giver.signed_in.time.abs_diff(now_ms()) < 60_000);
    let (file, tid) = (TestFile::new(20 * 1024 * 1024 + 123), Nonce16(random()));
    taker.say(&take(tid, "alice")).await;
    giver.say(&give(tid, "bob")).await;
    let giving = async {
        assert_eq!(file.send(&mut giver, "bob", tid).await, None);
        giver.say(&RelayToHub::End { tid, reason: String::new() }).await;
    };
    let talking = async {
        for _ in 0..20 {
            alice.settle().await;
        }
    };
    let ((chunks, code), (), ()) = tokio::join!(file.receive(&mut taker, tid), giving, talking);
    assert_eq!(code, "");
    let indices: Vec<u32> = chunks.iter().map(|(index, _)| *index).collect();
    assert_eq!(indices, (0..file.chunks()).collect::<Vec<_>>());
    let bytes: Vec<u8> = chunks.into_iter().flat_map(|(_, data)| data).collect();
    assert_eq!(bytes, file.bytes);

    let id = new_id();
    alice.send_text(&ClientToHub::Who { id, after: None }).await;
    assert!(matches!(alice.answer().await, HubToClient::Who { .. }), "the session is as before");
    server.stop().await.unwrap();
    let log = std::fs::read_to_string(folder.path().join("logs/server.jsonl")).unwrap();
    let line = |op: &str| log.lines().find(|line| line.contains(op)).expect(op).to_owned();
    assert!(line("file.begin").contains(&format!("\"id\":\"{tid}\"")));
    let end = line("file.end");
    for part in ["\"user\":\"alice\"", "\"peer\":\"bob\"", "\"chunks\":321", "\"outcome\":\"ok\""] {
        assert!(end.contains(part), "{part} in {end}");
    }
}

#[tokio::test]
async fn only_a_known_device_opens_a_data_connection_by_signature() {
    let (server, _folder) = fresh().await;
    let alice = register(&server, "alice", 0).await;
    for mode in [Mode::Reg, Mode::Pw, Mode::Vault, Mode::Passwd, Mode::Delete] {
        let entry = Entry { mode, ..entry() };
        let Err((code, reason)) = enter(server.address, &alice.device, entry).await else {
            panic!("{mode:?}")
        };
        assert_eq!(code, code::NOT_ALLOWED, "{mode:?}");
        assert!(reason.contains("signature"), "{reason}");
    }
    let stranger = crate::client::Device::new("alice", 2);
    let Err((code, _)) = enter(server.address, &stranger, entry()).await else {
        panic!("a stranger")
    };
    assert_eq!(code, code::SIGN_IN);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn data_connections_of_a_person_are_bounded_and_freed() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.limits.set("connections=8").unwrap();
    let server = start(config).await;
    let alice = register(&server, "alice", 0).await;
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(Data::open(&server, &alice.device).await);
    }
    let Err((code, reason)) = enter(server.address, &alice.device, entry()).await else {
        panic!("one more")
    };
    assert_eq!(code, "RETRY");
    assert!(reason.contains("connections for files"), "{reason}");
    open.pop().unwrap().raw(Message::Close(None)).await;
    // The hub notices the end of the other connection in its own time.
    let deadline = tokio::time::Instant::now() + crate::client::PATIENCE;
    while enter(server.address, &alice.device, entry()).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "its place was not freed");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_end_of_a_connection_ends_the_transfer_for_the_other() {
    let (server, _folder) = fresh().await;
    let alice = register(&server, "alice", 0).await;
    let bob = register(&server, "bob", 1).await;
    for giver_goes in [true, false] {
        let mut giver = Data::open(&server, &alice.device).await;
        let mut taker = Data::open(&server, &bob.device).await;
        agree(&mut giver, &mut taker).await;
        assert_eq!(giver.credit().await, 8);
        let (gone, mut stays) = if giver_goes { (giver, taker) } else { (taker, giver) };
        drop(gone);
        assert_eq!(stays.end().await, code::NO_PEER);
        stays.settle().await;
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_giver_beyond_its_credit_is_cut_and_the_taker_is_told() {
    let (server, _folder) = fresh().await;
    let (_people, mut giver, mut taker) = giver_and_taker(&server).await;
    let file = TestFile::new(10 * 64 * 1024);
    let tid = agree(&mut giver, &mut taker).await;
    assert_eq!(giver.credit().await, 8);
    for index in 0..9 {
        giver.chunk(file.seal(&file.header(&giver.device, "bob", tid, index))).await;
    }
    let (status, reason) = giver.closed().await;
    assert_eq!(status, 1008);
    assert!(reason.contains("beyond the credit"), "{reason}");
    for _ in 0..8 {
        assert!(matches!(taker.came().await, Came::Chunk(..)));
    }
    assert_eq!(taker.end().await, code::NO_PEER);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn what_does_not_belong_on_a_data_connection_closes_it() {
    let (server, _folder) = fresh().await;
    let mut alice = register(&server, "alice", 0).await;
    let place = crate::client::cid("dm:alice:bob");
    let header = alice.device.message(
        chat_protocol::tag::Tag::Dm,
        &place,
        chat_protocol::id::Digest::ZERO,
        0,
    );
    let signed = alice.device.seal(&header);
    let who = ClientToHub::Who { id: new_id(), after: None };
    let wrong = [
        (Message::Binary(signed), "not signed"),
        (Message::Binary(vec![1, 2, 3].into()), "only chunks of files"),
        (Message::text(chat_protocol::hub::write(&who)), "no message of a data connection"),
        (Message::text("{"), "no message of a data connection"),
        (Message::Binary(vec![0; 70_000].into()), "limit"),
    ];
    for (message, expected) in wrong {
        let mut data = Data::open(&server, &alice.device).await;
        data.raw(message).await;
        let (_, reason) = data.closed().await;
        assert!(reason.contains(expected), "{expected}: {reason}");
    }
    let file = TestFile::new(10);
    let chunk = file.seal(&file.header(&alice.device, "bob", Nonce16(random()), 0));
    alice.send_frame(chunk).await;
    match alice.answer().await {
        HubToClient::Noack { code, reason, .. } => {
            assert_eq!(code, code::NOT_ALLOWED);
            assert!(reason.contains("data connection"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    alice.settle().await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_end_of_the_hub_is_told_on_data_connections() {
    let (server, _folder) = fresh().await;
    let alice = register(&server, "alice", 0).await;
    let mut data = Data::open(&server, &alice.device).await;
    data.say(&give(Nonce16(random()), "bob")).await;
    data.settle().await;
    let (closed, stopped) = tokio::join!(data.closed(), server.stop());
    stopped.unwrap();
    assert_eq!(closed.0, 1012);
}

#[tokio::test]
async fn a_reason_travels_and_the_taker_may_stop() {
    let (server, _folder) = fresh().await;
    let (_people, mut giver, mut taker) = giver_and_taker(&server).await;
    let file = TestFile::new(10 * 64 * 1024);
    let tid = agree(&mut giver, &mut taker).await;
    giver.credit().await;
    taker.say(&RelayToHub::End { tid, reason: "no room".to_owned() }).await;
    match giver.text().await {
        HubToRelay::End { code, reason, .. } => {
            assert_eq!((code.as_str(), reason.as_str()), (code::NO_PEER, "no room"));
        }
        other => panic!("{other:?}"),
    }
    // What was on its way is dropped without harm.
    giver.chunk(file.seal(&file.header(&giver.device, "bob", tid, 0))).await;
    giver.settle().await;
    taker.settle().await;
    server.stop().await.unwrap();
}
