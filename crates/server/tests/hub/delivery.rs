//! Messages reach those they are for: live, and after an absence.

use chat_protocol::{
    header::MemberOperation,
    hub::{ClientToHub, EpochHead, HubToClient, Log},
    id::Digest,
    name::ConversationId,
    tag::Tag,
};

use crate::client::{Client, Device, Server, cid, config, fresh, name, register, sign_in, start};

/// Alice writes to bob, who is away.
struct Stream {
    alice: Client,
    bob: Device,
    place: ConversationId,
    epoch: EpochHead,
}

impl Stream {
    async fn begin(server: &Server) -> Self {
        let mut alice = register(server, "alice", 0).await;
        let bob = register(server, "bob", 1).await;
        let place = cid("dm:alice:bob");
        let devices = [&alice.device.clone(), &bob.device.clone()];
        let epoch = alice.key_kept(&place, None, &devices).await;
        Self { alice, bob: bob.bye().await, place, epoch }
    }
}

#[tokio::test]
async fn a_direct_message_is_stored_delivered_and_caught_up_in_order() {
    let (server, folder) = fresh().await;
    let mut alice = register(&server, "alice", 0).await;
    let mut bob = register(&server, "bob", 1).await;
    let place = cid("dm:alice:bob");
    let devices = [&alice.device.clone(), &bob.device.clone()];
    let epoch = alice.key_kept(&place, None, &devices).await;
    let delivered = bob.delivery().await;
    assert!(delivered.frame.header().starts_with(b"{\"v\":1,\"t\":\"KEY\""));
    alice.say(Tag::Dm, &place, epoch.e, 0).await;
    let (position, kept) = alice.ack().await;
    assert!(!kept, "bob is here");
    let (got, header) = bob.message().await;
    assert_eq!((got, header.n), (position, 0));
    assert_eq!(bob.uploads.len(), 2, "member lines and the own wrap");
    let positions = [(Log::Conversation(place.clone()), position)].into();
    bob.send_text(&ClientToHub::Seen { positions }).await;
    bob.receipt(&place, &name("alice")).await;
    bob.ack().await;
    alice.delivery().await;

    bob.settle().await;
    let bob = bob.bye().await;
    alice
        .notice(|n| matches!(n, HubToClient::Presence { left, .. } if left.contains(&name("bob"))))
        .await;
    for n in 1..=600 {
        alice.say(Tag::Dm, &place, epoch.e, n).await;
    }
    for _ in 1..=600 {
        assert!(alice.ack().await.1, "kept for bob");
    }
    let mut bob = sign_in(&server, &bob).await;
    for n in 1..=600 {
        assert_eq!(bob.message().await.1.n, n);
    }
    alice.say(Tag::Dm, &place, epoch.e, 601).await;
    assert_eq!(bob.message().await.1.n, 601, "live again");
    alice.ack().await;
    server.stop().await.unwrap();
    let log = std::fs::read_to_string(folder.path().join("logs/server.jsonl")).unwrap();
    assert!(log.contains("\"type\":\"DM\"") && log.contains("\"outcome\":\"ok\""), "{log}");
}

#[tokio::test]
async fn a_room_is_joined_and_everybody_in_it_hears() {
    let (server, _folder) = fresh().await;
    let mut alice = register(&server, "alice", 0).await;
    let mut bob = register(&server, "bob", 1).await;
    for room in ["room:lobby", "room:ALL"] {
        let place = cid(room);
        let digest = alice.link_kept(&place, MemberOperation::Join, (0, Digest::ZERO)).await;
        bob.link_kept(&place, MemberOperation::Join, (1, digest)).await;
        let devices = [&alice.device.clone(), &bob.device.clone()];
        let epoch = bob.key_kept(&place, None, &devices).await;
        let tag = if room == "room:ALL" { Tag::Broadcast } else { Tag::Text };
        bob.say_kept(tag, &place, epoch.e, 0).await;
        assert_eq!(alice.message().await.1.t, tag);
    }
    server.stop().await.unwrap();
}

/// Goal: a program that looks once knows when it has seen everything. Method: bob comes back to a
/// stream that waits; the notice comes once, behind all of it.
#[tokio::test]
async fn the_hub_says_once_that_it_has_sent_all_that_waited() {
    const MESSAGES: u32 = 300;
    let (server, _folder) = fresh().await;
    let Stream { mut alice, bob, place, epoch } = Stream::begin(&server).await;
    for n in 0..MESSAGES {
        alice.say_kept(Tag::Dm, &place, epoch.e, n).await;
    }
    let mut bob = sign_in(&server, &bob).await;
    bob.notice(|notice| matches!(notice, HubToClient::Live {})).await;
    // The key of the epoch is one of them.
    assert_eq!(u32::try_from(bob.deliveries.len()), Ok(MESSAGES + 1));
    alice.say_kept(Tag::Dm, &place, epoch.e, MESSAGES).await;
    for n in 0..=MESSAGES {
        assert_eq!(bob.message().await.1.n, n);
    }
    assert!(!bob.notices.iter().any(|notice| matches!(notice, HubToClient::Live {})));
    server.stop().await.unwrap();
}

/// Goal: nothing is missed and nothing comes twice between reading the store and going live.
/// Method: bob comes back again and again while alice writes, and never says what he has seen.
#[tokio::test(flavor = "multi_thread")]
async fn who_returns_in_the_middle_of_a_stream_gets_all_of_it_once() {
    const MESSAGES: u32 = 1_500;
    let (server, _folder) = fresh().await;
    let Stream { mut alice, bob, place, epoch } = Stream::begin(&server).await;
    let writing = tokio::spawn(async move {
        for n in 0..MESSAGES {
            alice.say(Tag::Dm, &place, epoch.e, n).await;
        }
        for _ in 0..MESSAGES {
            alice.ack().await;
        }
        alice
    });
    // As many tasks of one device as it likes: each gets everything.
    for _ in 0..4 {
        let mut bob = sign_in(&server, &bob).await;
        for n in 0..MESSAGES {
            assert_eq!(bob.message().await.1.n, n);
        }
    }
    writing.await.unwrap();
    server.stop().await.unwrap();
}

/// Goal: what the hub has stored for a member stays theirs when they leave, also after a restart.
/// Method: bob leaves and his connection goes before he says what he has seen; alice talks on.
#[tokio::test]
async fn who_left_still_gets_what_was_said_before_and_nothing_of_what_came_after() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(config(folder.path())).await;
    let mut alice = register(&server, "alice", 0).await;
    let mut bob = register(&server, "bob", 1).await;
    let (place, a) = (cid("room:lobby"), alice.device.clone());
    let first = alice.link_kept(&place, MemberOperation::Join, (0, Digest::ZERO)).await;
    let second = bob.link_kept(&place, MemberOperation::Join, (1, first)).await;
    let both = alice.key_kept(&place, None, &[&a, &bob.device.clone()]).await;
    for n in 0..3 {
        alice.say_kept(Tag::Text, &place, both.e, n).await;
    }
    let third = bob.link_kept(&place, MemberOperation::Leave, (2, second)).await;
    let bob = bob.bye().await;
    alice.say(Tag::Text, &place, both.e, 3).await;
    assert!(matches!(alice.answer().await, HubToClient::Rekey { .. }), "bob is in that epoch");
    let alone = alice.key_kept(&place, Some(both), &[&a]).await;
    alice.say_kept(Tag::Text, &place, alone.e, 0).await;

    let mut last = 0;
    let mut server = server;
    for is_restarted in [false, true] {
        if is_restarted {
            server.stop().await.unwrap();
            server = start(config(folder.path())).await;
        }
        let mut bob = sign_in(&server, &bob).await;
        for n in 0..3 {
            let (position, header) = bob.message().await;
            assert_eq!((header.e, header.n), (both.e, n));
            last = position;
        }
        bob.settle().await;
        assert_eq!(bob.waiting(), 0);
        bob.bye().await;
    }

    // He says what he has seen, and comes back in: from now on it is his again, and nothing twice.
    let mut bob = sign_in(&server, &bob).await;
    for _ in 0..3 {
        bob.message().await;
    }
    bob.send_text(&ClientToHub::Seen {
        positions: [(Log::Conversation(place.clone()), last)].into(),
    })
    .await;
    bob.link_kept(&place, MemberOperation::Join, (3, third)).await;
    let again = bob.key_kept(&place, Some(alone), &[&a, &bob.device.clone()]).await;
    let bob = bob.bye().await;
    let mut alice = sign_in(&server, &a).await;
    alice.say_kept(Tag::Text, &place, again.e, 0).await;
    let mut bob = sign_in(&server, &bob).await;
    assert_eq!(bob.message().await.1.e, again.e);
    server.stop().await.unwrap();
}
