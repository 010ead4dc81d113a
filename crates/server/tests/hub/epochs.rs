//! One newest epoch, for exactly those who belong.

use chat_protocol::{
    header::MemberOperation,
    hub::{ClientToHub, HubToClient},
    id::Digest,
    members::{MemberList, Place},
    tag::Tag,
};
use chat_server::limits::UPLOAD_TIME_MAX;

use crate::client::{cid, fresh, new_id, register};

#[tokio::test]
async fn of_two_epochs_at_once_one_wins_and_the_other_is_told_which() {
    let (server, _folder) = fresh().await;
    let mut alice = register(&server, "alice", 0).await;
    let mut bob = register(&server, "bob", 1).await;
    let place = cid("dm:alice:bob");
    let (a, b) = (alice.device.clone(), bob.device.clone());
    let both = [&a, &b];
    let (of_alice, of_bob) =
        tokio::join!(alice.key(&place, None, &both), bob.key(&place, None, &both));
    let answers = [(alice.answer().await, of_alice), (bob.answer().await, of_bob)];
    let winner = answers.iter().find(|(answer, _)| matches!(answer, HubToClient::Ack { .. }));
    let winner = winner.expect("one wins").1;
    let lost = answers.iter().filter_map(|(answer, _)| match answer {
        HubToClient::Noack { code, head, .. } => Some((code.clone(), head.clone())),
        _ => None,
    });
    let [(code, head)] = <[_; 1]>::try_from(lost.collect::<Vec<_>>()).expect("one loses");
    assert_eq!(code, "E_EPOCH");
    assert_eq!(head.unwrap().epoch.unwrap().e, winner.e);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn lines_are_the_newest_keys_of_members_and_of_all_of_them() {
    let (server, _folder) = fresh().await;
    let mut alice = register(&server, "alice", 0).await;
    let bob = register(&server, "bob", 1).await;
    let carol = register(&server, "carol", 2).await;
    let place = cid("dm:alice:bob");
    let (a, b, c) = (alice.device.clone(), bob.device.clone(), carol.device.clone());
    alice.key(&place, None, &[&a, &b, &c]).await;
    assert_eq!(alice.noack().await, "E_MEMBERS", "carol is not of this pair");
    alice.key(&place, None, &[&a]).await;
    assert_eq!(alice.noack().await, "E_MEMBERS", "bob is missing");
    alice.key(&place, None, &[&b]).await;
    assert_eq!(alice.noack().await, "E_MALFORMED", "the maker is missing");
    alice.key(&cid("dm:alice:nobody"), None, &[&a, &b]).await;
    assert_eq!(alice.noack().await, "E_NO_SUCH_USER");
    alice.key(&cid("room:lobby"), None, &[&a]).await;
    assert_eq!(alice.noack().await, "E_NOT_A_MEMBER");
    let epoch = alice.key_kept(&place, None, &[&a, &b]).await;
    alice.key(&place, None, &[&a, &b]).await;
    assert_eq!(alice.noack().await, "E_EPOCH", "the first was made already");
    alice.key_kept(&place, Some(epoch), &[&a, &b]).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn who_leaves_closes_the_epoch_and_the_sender_is_told_to_seal_again() {
    let (server, _folder) = fresh().await;
    let mut alice = register(&server, "alice", 0).await;
    let mut bob = register(&server, "bob", 1).await;
    let den = cid("room:den");
    let made = alice.link_kept(&den, MemberOperation::Create, (0, Digest::ZERO)).await;
    let joined = bob.link_kept(&den, MemberOperation::Join, (1, made)).await;
    alice.notice(|n| matches!(n, HubToClient::Heads { heads, .. } if heads[0].mg == 2)).await;
    let (a, b) = (alice.device.clone(), bob.device.clone());
    let epoch = alice.key_kept(&den, None, &[&a, &b]).await;
    alice.say_kept(Tag::Text, &den, epoch.e, 0).await;
    assert_eq!(bob.message().await.1.n, 0);

    bob.link(&den, MemberOperation::Leave, (1, made)).await;
    assert_eq!(bob.noack().await, "E_MEMBERS", "not the next link");
    bob.link_kept(&den, MemberOperation::Leave, (2, joined)).await;
    let header = alice.device.message(Tag::Text, &den, epoch.e, 1);
    alice.send_frame(alice.device.seal(&header)).await;
    let HubToClient::Rekey { id, head } = alice.answer().await else { panic!("REKEY expected") };
    assert_eq!((id, head.epoch.unwrap().e, head.mg), (header.id, epoch.e, 3));
    let next = alice.key_kept(&den, Some(epoch), &[&a]).await;
    let mut again = alice.device.message(Tag::Text, &den, next.e, 0);
    again.id = header.id;
    alice.send_frame(alice.device.seal(&again)).await;
    alice.ack().await;
    bob.settle().await;
    assert_eq!(bob.waiting(), 0, "nothing comes to who has left");

    let id = new_id();
    bob.send_text(&ClientToHub::Members { id, cid: den.clone(), from: 1 }).await;
    let HubToClient::Members { links, more, .. } = bob.answer().await else { panic!("MEMBERS") };
    assert_eq!((links.len(), more), (2, false));
    server.stop().await.unwrap();
}

/// Goal: a key whose parts come over a slow line is asked for again, and taken then. Before: it was refused as malformed,
/// and its maker forgot it. Method: the KEY comes, or all but its last part, and time passes; then the rest, and
/// everything once more.
#[tokio::test]
async fn a_key_whose_parts_come_too_late_is_asked_for_again() {
    let (server, _folder) = fresh().await;
    let mut alice = register(&server, "alice", 0).await;
    let device = alice.device.clone();
    for (room, first) in [("room:crew", 1), ("room:team", 2)] {
        let room = cid(room);
        let pm = alice.link_kept(&room, MemberOperation::Create, (0, Digest::ZERO)).await;
        let members = MemberList::new([device.bundle.member_line().unwrap()]);
        let key = device.epoch_at(&room, Place { mg: 1, pm }, None, &members);
        let (begun, rest) = key.messages.split_at(first);
        assert!(!rest.is_empty());
        for message in begun {
            alice.send_frame(message.clone()).await;
        }
        alice.settle().await;
        tokio::time::pause();
        tokio::time::advance(UPLOAD_TIME_MAX).await;
        tokio::time::resume();
        let answer = alice.answer().await;
        assert!(matches!(&answer, HubToClient::Retry { id, .. } if *id == key.id), "{answer:?}");
        for message in rest.iter().chain(&key.messages) {
            alice.send_frame(message.clone()).await;
        }
        alice.ack().await;
    }
    server.stop().await.unwrap();
}
