//! What the hub refuses, with which code, and that nothing of it is delivered.

use chat_protocol::{
    frame::{Unsigned, sign_all, unsigned},
    header::{Canonical, Recipient},
    hub::{ClientToHub, EpochHead, HubToClient},
    id::{Digest, MessageId},
    keys::Held,
    name::ConversationId,
    tag::{Tag, label},
    vault,
};
use chat_server::config::{Config, Verify};
use tokio_tungstenite::tungstenite::Message;

use crate::client::{
    Client, Device, Entry, Server, cid, config, enter, fresh, new_id, now_ms, register, start,
};

/// Alice and bob with an epoch between them.
async fn pair(server: &Server) -> (Client, Client, EpochHead) {
    let mut alice = register(server, "alice", 0).await;
    let mut bob = register(server, "bob", 1).await;
    let devices = [&alice.device.clone(), &bob.device.clone()];
    let epoch = alice.key_kept(&cid("dm:alice:bob"), None, &devices).await;
    bob.delivery().await;
    (alice, bob, epoch)
}

#[tokio::test]
async fn a_resend_gets_the_same_ack_and_a_used_counter_or_id_is_refused() {
    let (server, _folder) = fresh().await;
    let (mut alice, mut bob, epoch) = pair(&server).await;
    let place = cid("dm:alice:bob");
    let header = alice.device.message(Tag::Dm, &place, epoch.e, 0);
    let frame = alice.device.seal(&header);
    // At once, so that some meet in one batch.
    for _ in 0..3 {
        alice.send_frame(frame.clone()).await;
    }
    let first = alice.ack().await;
    assert_eq!(alice.ack().await.0, first.0);
    assert_eq!(alice.ack().await.0, first.0);
    alice.say(Tag::Dm, &place, epoch.e, 0).await;
    assert_eq!(alice.noack().await, "E_REPLAY");
    let mut same_id = alice.device.message(Tag::Dm, &place, epoch.e, 1);
    same_id.id = header.id;
    alice.send_frame(alice.device.seal(&same_id)).await;
    assert_eq!(alice.noack().await, "E_CONFLICT");
    alice.say_kept(Tag::Dm, &place, epoch.e, 2).await;
    assert_eq!(bob.message().await.1.n, 0);
    assert_eq!(bob.message().await.1.n, 2, "nothing between");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_tampered_frame_is_refused_and_three_end_the_connection() {
    let (server, _folder) = fresh().await;
    let (mut alice, mut bob, epoch) = pair(&server).await;
    let place = cid("dm:alice:bob");
    for n in 0..3 {
        let mut frame =
            alice.device.seal(&alice.device.message(Tag::Dm, &place, epoch.e, n)).to_vec();
        // Inside of the body, which ends before a signature of 256 bytes.
        let at = frame.len() - 300;
        frame[at] ^= 1;
        alice.send_frame(frame.into()).await;
        assert_eq!(alice.noack().await, "E_BAD_SIGNATURE");
    }
    assert_eq!(alice.closed().await.0, 1008);
    bob.settle().await;
    assert_eq!(bob.waiting(), 0, "nothing was delivered");
    server.stop().await.unwrap();
}

/// With `--verify transport` the hub leaves signatures to the recipients; everything else is checked
/// as before.
#[tokio::test]
async fn without_the_signature_check_only_recipients_see_a_tampered_body() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { verify: Verify::Transport, ..config(folder.path()) };
    let server = start(config).await;
    let (mut alice, mut bob, epoch) = pair(&server).await;
    let place = cid("dm:alice:bob");
    let mut frame = alice.device.seal(&alice.device.message(Tag::Dm, &place, epoch.e, 0)).to_vec();
    let at = frame.len() - 300;
    frame[at] ^= 1;
    alice.send_frame(frame.into()).await;
    alice.ack().await;
    assert_eq!(bob.message().await.1.n, 0, "for its recipient to refuse");
    let mut foreign = alice.device.message(Tag::Dm, &place, epoch.e, 1);
    foreign.from = crate::client::name("bob");
    alice.send_frame(alice.device.seal(&foreign)).await;
    assert_eq!(alice.noack().await, "E_NOT_ALLOWED");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn addresses_that_do_not_go_together_are_refused() {
    let (server, _folder) = fresh().await;
    let (mut alice, _bob, epoch) = pair(&server).await;
    let dm = cid("dm:alice:bob");
    let lobby = cid("room:lobby");
    let base = |tag, place: &ConversationId| alice.device.message(tag, place, epoch.e, 0);
    let mut foreign = base(Tag::Dm, &dm);
    foreign.from = crate::client::name("bob");
    let mut other_key = base(Tag::Dm, &dm);
    other_key.sk.0[0] ^= 1;
    let mut to_all = base(Tag::Dm, &dm);
    to_all.to = Recipient::Everyone;
    let others = base(Tag::Dm, &cid("dm:bob:carol"));
    let cases = [
        foreign,
        other_key,
        to_all,
        others,
        base(Tag::Text, &dm),
        base(Tag::Dm, &lobby),
        base(Tag::Broadcast, &lobby),
        base(Tag::Text, &cid("room:ALL")),
    ];
    for header in cases {
        alice.send_frame(alice.device.seal(&header)).await;
        assert_eq!(alice.noack().await, "E_NOT_ALLOWED", "{header:?}");
    }
    let header = alice.device.message(Tag::Dm, &dm, epoch.e, 0).to_bytes();
    alice.send_frame(unsigned(header, b"body".to_vec())).await;
    assert_eq!(alice.noack().await, "E_NOT_ALLOWED", "unsigned");
    let unknown = alice.device.message(Tag::Dm, &dm, Digest([9; 32]), 0);
    alice.send_frame(alice.device.seal(&unknown)).await;
    let again = alice.answer().await;
    assert!(matches!(again, HubToClient::Rekey { .. }), "an epoch that is lost: {again:?}");
    alice.say(Tag::Text, &lobby, epoch.e, 0).await;
    assert_eq!(alice.noack().await, "E_NOT_A_MEMBER");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_command_needs_a_right_clock_and_an_agent() {
    let (server, _folder) = fresh().await;
    let (mut alice, _bob, epoch) = pair(&server).await;
    let mut header = alice.device.message(Tag::Cmd, &cid("dm:alice:bob"), epoch.e, 0);
    (header.nbf, header.exp) = (Some(0), Some(60_000));
    header.rb = Some(chat_protocol::id::Nonce16([1; 16]));
    header.tk = Some(chat_protocol::id::KeyId([1; 16]));
    alice.send_frame(alice.device.seal(&header)).await;
    assert_eq!(alice.noack().await, "E_NO_AGENT");
    header.ts = now_ms() - 301_000;
    header.id = new_id();
    alice.send_frame(alice.device.seal(&header)).await;
    let HubToClient::Noack { code, time, id, .. } = alice.answer().await else { panic!("NOACK") };
    assert_eq!((code.as_str(), id), ("E_CLOCK", Some(header.id)));
    assert!(time.unwrap().abs_diff(now_ms()) < 60_000);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_read_is_answered_with_its_id_where_there_is_one() {
    let (server, _folder) = fresh().await;
    let (mut alice, _bob, epoch) = pair(&server).await;
    let header = alice.device.message(Tag::Dm, &cid("dm:alice:bob"), epoch.e, 0);
    let text = String::from_utf8(header.to_bytes()).unwrap();
    let chunk = text.replacen("\"DM\"", "\"FILE\"", 1);
    for (header, code) in [
        (text.replacen("\"DM\"", "\"SHOUT\"", 1), "E_UNKNOWN_TAG"),
        (chunk, "E_NOT_ALLOWED"),
        (text.replacen(",\"n\":0", ",\"n\":00", 1), "E_MALFORMED"),
        (text.replacen(",\"n\":0", ", \"n\":0", 1), "E_MALFORMED"),
    ] {
        let readable = serde_json::from_str::<serde_json::Value>(&header).is_ok();
        let frame = alice.device.sign(label::MSG, header.clone().into_bytes(), vec![1; 64]);
        alice.send_frame(frame).await;
        let HubToClient::Noack { code: got, id, .. } = alice.answer().await else { panic!() };
        assert_eq!(got, code, "{header}");
        assert_eq!(id.is_some(), readable, "{header}");
    }
    for bytes in [vec![], vec![1], vec![9, 9, 9], vec![1, 1, 0, 0, 0xff, 0xff], vec![1, 0x20, 3]] {
        alice.send_raw(Message::binary(bytes)).await;
        assert_eq!(alice.noack().await, "E_MALFORMED");
    }
    let id = new_id();
    for (text, code, names) in [
        ("{".to_owned(), "E_MALFORMED", None),
        ("[".repeat(50_000), "E_MALFORMED", None),
        (format!("{{\"tag\":\"SHOUT\",\"id\":\"{id}\"}}"), "E_UNKNOWN_TAG", Some(id)),
        (format!("{{\"tag\":\"WHO\",\"id\":\"{id}\",\"x\":1}}"), "E_MALFORMED", Some(id)),
        (format!("{{\"tag\":\"WHO\",\"id\":\"{id}\",\"after\":null}}"), "E_MALFORMED", Some(id)),
        (format!("{{\"tag\":\"RETENTION\",\"id\":\"{id}\"}}"), "E_MALFORMED", Some(id)),
        (
            format!("{{\"tag\":\"BUNDLES\",\"id\":\"{id}\",\"known\":{{\"bob\":0,\"bob\":9}}}}"),
            "E_MALFORMED",
            Some(id),
        ),
        ("{\"tag\":\"SEEN\",\"positions\":{\"inbox\":1,\"inbox\":2}}".into(), "E_MALFORMED", None),
        (
            "{\"tag\":\"SEEN\",\"positions\":{\"inbox\":9007199254740992}}".into(),
            "E_MALFORMED",
            None,
        ),
    ] {
        alice.send_raw(Message::text(text)).await;
        let HubToClient::Noack { code: got, id: named, .. } = alice.answer().await else {
            panic!("NOACK expected")
        };
        assert_eq!((got.as_str(), named), (code, names));
    }
    let known = (0..49).map(|n| (crate::client::name(&format!("u{n}")), Held::default())).collect();
    alice.send_text(&ClientToHub::Bundles { id: MessageId([1; 16]), known, kids: [].into() }).await;
    assert_eq!(alice.noack().await, "E_TOO_MANY");
    alice.settle().await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn what_breaks_the_bounds_of_the_socket_ends_the_connection() {
    let (server, _folder) = fresh().await;
    for (user, index, message, close) in [
        ("alice", 0, Message::binary(vec![1; 300 * 1024]), 1009),
        ("bob", 1, Message::text("x".repeat(1024 * 1024 + 1)), 1009),
    ] {
        let mut client = register(&server, user, index).await;
        client.send_raw(message).await;
        assert_eq!(client.closed().await.0, close, "{user}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn nobody_confirms_a_message_of_their_own() {
    let (server, _folder) = fresh().await;
    let (mut alice, _bob, _epoch) = pair(&server).await;
    let me = alice.user();
    for place in ["dm:alice:bob", "room:lobby"] {
        alice.receipt(&cid(place), &me).await;
        assert_eq!(alice.noack().await, "E_NOT_ALLOWED", "{place}");
    }
    server.stop().await.unwrap();
}

/// Nothing is made of such a sign-up: the name is free afterwards.
#[tokio::test]
async fn a_first_bundle_does_not_revoke_its_own_key() {
    let (server, _folder) = fresh().await;
    let device = Device::new("alice", 0);
    let mut header = device.bundle.header().clone();
    header.rev = vec![device.keys.signing_id()];
    let json = serde_json::to_vec(&header).unwrap();
    let signed = sign_all(&device.keys.identity, &[Unsigned::new(label::BUNDLE, json, Vec::new())]);
    let mut entry = Entry::reg(&device);
    entry.body.bundle = Some(signed[0].to_vec());
    let refused = enter(server.address, &device, entry).await.err().unwrap();
    assert_eq!(refused.0, "E_MALFORMED", "{refused:?}");
    register(&server, "alice", 0).await.settle().await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_vault_has_a_number_and_a_seal() {
    let (server, _folder) = fresh().await;
    let device = Device::new("alice", 0);
    let reg = |vault| {
        let mut entry = Entry::reg(&device);
        (entry.body.pw, entry.body.vault) = (Some(vec![7; 32]), Some(vault));
        entry
    };
    for bytes in [vec![], vec![0; 3], vault::keep(0, &[9; 100]), vault::keep(1, &[9; 27])] {
        let entered = enter(server.address, &device, reg(bytes)).await;
        assert_eq!(entered.err().unwrap().0, "E_MALFORMED");
    }
    let right = reg(vault::keep(1, &[9; 100]));
    enter(server.address, &device, right).await.unwrap().settle().await;
    server.stop().await.unwrap();
}
