//! Each budget filled by one account through real sockets (rules R40, R41): what it is told, and that
//! another pair is served meanwhile.

use std::time::{Duration, Instant};

use chat_protocol::{
    crypto::{KeyBits, SigningKey},
    header::{Canonical as _, MemberOperation},
    hub::{ClientToHub, HubToClient},
    id::{Digest, KeyId},
    keys::{Bundle, BundleOptions, DeviceMark, Held},
    limits::{COUNTERS_PAGE_MAX, HEADS_PAGE_MAX, TEXT_BYTES_MAX},
    name::ConversationId,
    tag::{Tag, label},
};
use chat_server::budgets::Limits;
use tokio_tungstenite::tungstenite::Message;

use crate::client::{
    Client, Device, Entry, Server, cid, config, enter, name, new_id, now_ms, register, sign_in,
    start,
};

/// A server with the usual budgets but for these.
async fn with_limits(set: &[&str]) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.limits = Limits::default();
    // How full this machine is, is no part of the test.
    config.limits.set("disk=off").unwrap();
    for limit in set {
        config.limits.set(limit).unwrap();
    }
    (start(config).await, folder)
}

/// The next bundle of a device with another signing key, and the device with it.
fn renewed(device: &Device) -> Device {
    let signing = SigningKey::generate(KeyBits::B2048);
    let keys = device.keys.with_signing_key(signing.unwrap()).unwrap();
    let options = BundleOptions::default();
    let bundle = keys.publish(&device.user, device.dev, Some(&device.bundle), now_ms(), options);
    Device { keys: keys.into(), bundle: bundle.unwrap(), ..device.clone() }
}

fn publishing(device: &Device) -> Entry {
    let mut entry = Entry::sig();
    entry.body.bundle = Some(device.bundle.bytes().to_vec());
    entry
}

async fn ask_bundles(client: &mut Client, question: ClientToHub) -> (Vec<Bundle>, bool) {
    client.send_text(&question).await;
    let HubToClient::Bundles { people, more, .. } = client.answer().await else { panic!() };
    let bundles = people.into_values().flat_map(|person| person.bundles);
    let bundles = bundles.map(|bundle| Bundle::verify(bundle.0.into()).unwrap());
    (bundles.collect(), more)
}

/// Goal: somebody who publishes key after key fills no answer and hides no key of the past. Method: an
/// account replaces its signing key thirty times; another one asks for its bundles, and for the first key.
#[tokio::test]
async fn keys_of_the_past_are_served_by_their_ids_and_no_answer_grows() {
    let (server, _folder) = with_limits(&["bundles=off"]).await;
    let mut bob = register(&server, "bob", 1).await;
    let mallory = register(&server, "mallory", 0).await;
    let mut device = mallory.bye().await;
    let first = device.keys.signing_id();
    for _ in 0..30 {
        device = renewed(&device);
        enter(server.address, &device, publishing(&device)).await.unwrap().bye().await;
    }
    let known = [(name("mallory"), Held::default())].into();
    let question = ClientToHub::Bundles { id: new_id(), known, kids: [].into() };
    let (bundles, more) = ask_bundles(&mut bob, question).await;
    assert_eq!((bundles.len(), more), (1, false), "the newest alone");
    let held = Held::of_live(now_ms(), [DeviceMark::of(&bundles[0]).unwrap()], |_| false);
    let known = [(name("mallory"), held)].into();
    let kids = [(name("mallory"), vec![first, KeyId([7; 16])])].into();
    let question = ClientToHub::Bundles { id: new_id(), known, kids };
    let (bundles, more) = ask_bundles(&mut bob, question).await;
    assert_eq!((bundles.len(), more), (1, false), "an unknown key is passed over");
    assert!(bundles[0].header().sk.iter().any(|key| key.kid == first));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn bundles_beyond_the_budget_come_again() {
    let (server, _folder) = with_limits(&[]).await;
    let alice = register(&server, "alice", 0).await;
    let mut device = alice.bye().await;
    let mut put_off = None;
    for _ in 0..8 {
        let next = renewed(&device);
        match enter(server.address, &next, publishing(&next)).await {
            Ok(client) => device = client.bye().await,
            Err((code, reason)) => {
                put_off = Some((code, reason));
                break;
            }
        }
    }
    let (code, reason) = put_off.expect("six a minute");
    assert_eq!(code, "RETRY", "{reason}");
    // What is known signs in as ever.
    sign_in(&server, &device).await.bye().await;
    server.stop().await.unwrap();
}

/// Goal: whatever rooms and conversations an account has, it signs in. Method: more rooms than a page of
/// heads; then counters of its key in many conversations.
#[tokio::test]
async fn heads_and_counters_come_in_pages() {
    let (server, _folder) = with_limits(&["rooms=off", "rooms_made=off", "links=off"]).await;
    let mut alice = register(&server, "alice", 0).await;
    let rooms = HEADS_PAGE_MAX + 20;
    for number in 0..rooms {
        let room = cid(&format!("room:r{number:03}"));
        alice.link_kept(&room, MemberOperation::Create, (0, Digest::ZERO)).await;
    }
    let device = alice.bye().await;
    let mut alice = sign_in(&server, &device).await;
    let mut heads = alice.signed_in.heads.clone();
    assert!(alice.signed_in.more && heads.len() == HEADS_PAGE_MAX);
    let after = heads.last().unwrap().cid.clone();
    alice.send_text(&ClientToHub::Heads { id: new_id(), after }).await;
    let answer = alice.notice(|n| matches!(n, HubToClient::Heads { id: Some(_), .. })).await;
    let HubToClient::Heads { heads: rest, more: false, .. } = answer else { panic!("{answer:?}") };
    heads.extend(rest);
    assert_eq!(heads.len(), rooms + 2, "the lobby and ALL, too");
    assert!(heads.is_sorted_by(|a, b| a.cid < b.cid));
    let bob = register(&server, "bob", 1).await;
    let last = cid("dm:alice:bob");
    let (a, b) = (alice.device.clone(), bob.device.clone());
    let epoch = alice.key_kept(&last, None, &[&a, &b]).await;
    alice.say_kept(Tag::Dm, &last, epoch.e, 0).await;
    let cids = heads.iter().map(|head| head.cid.clone()).take(COUNTERS_PAGE_MAX - 1);
    let cids: Vec<ConversationId> = cids.chain([last]).collect();
    alice.send_text(&ClientToHub::Counters { id: new_id(), cids: cids.clone() }).await;
    let HubToClient::Counters { counters, .. } = alice.answer().await else { panic!() };
    assert_eq!((counters.len(), counters[0].n), (1, 0));
    let cids = cids.iter().cycle().take(COUNTERS_PAGE_MAX + 1).cloned().collect();
    alice.send_text(&ClientToHub::Counters { id: new_id(), cids }).await;
    assert_eq!(alice.noack().await, "E_TOO_MANY");
    server.stop().await.unwrap();
}

/// Two people with an epoch between them, and its digest.
async fn pair(
    server: &Server,
    names: [&str; 2],
    keys: [usize; 2],
) -> (Client, Client, ConversationId, Digest) {
    let mut from = register(server, names[0], keys[0]).await;
    let to = register(server, names[1], keys[1]).await;
    let place = cid(&format!("dm:{}:{}", names[0], names[1]));
    let (a, b) = (from.device.clone(), to.device.clone());
    let epoch = from.key_kept(&place, None, &[&a, &b]).await;
    (from, to, place, epoch.e)
}

/// Goal: a flood of messages waits, none is refused, their order stays, and another pair feels nothing.
#[tokio::test(flavor = "multi_thread")]
async fn messages_that_come_too_fast_wait_and_others_do_not() {
    let (server, _folder) = with_limits(&["messages=20/s+10"]).await;
    let (mut alice, _bob, place, e) = pair(&server, ["alice", "bob"], [0, 1]).await;
    let (mut carol, _dave, other, f) = pair(&server, ["carol", "dave"], [2, 3]).await;
    let start = Instant::now();
    for n in 0..30 {
        alice.say(Tag::Dm, &place, e, n).await;
    }
    let calm = Instant::now();
    for n in 0..5 {
        carol.say_kept(Tag::Dm, &other, f, n).await;
    }
    assert!(calm.elapsed() < Duration::from_millis(500), "{:?}", calm.elapsed());
    let mut last = 0;
    for _ in 0..30 {
        let (position, _) = alice.ack().await;
        assert!(position > last);
        last = position;
    }
    assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
    server.stop().await.unwrap();
}

/// Goal: few letters that are long wait as many short ones do, so that the disk has time for others; what an account
/// has sent before it is beyond its bytes is not held up.
#[tokio::test(flavor = "multi_thread")]
async fn messages_of_too_many_bytes_wait() {
    let (server, _folder) = with_limits(&["message_bytes=1000/s+2000"]).await;
    let (mut alice, _bob, place, e) = pair(&server, ["alice", "bob"], [0, 1]).await;
    let start = Instant::now();
    for n in 0..8 {
        alice.say(Tag::Dm, &place, e, n).await;
    }
    for _ in 0..8 {
        alice.ack().await;
    }
    assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_wait_when_an_account_has_taken_too_many_bytes() {
    let (server, _folder) = with_limits(&["answer_bytes=1000/s+2000"]).await;
    let mut alice = register(&server, "alice", 0).await;
    let start = Instant::now();
    let mut asked = 0;
    while asked < 40 {
        alice.settle().await;
        asked += 1;
    }
    assert!(start.elapsed() >= Duration::from_millis(1_500), "{:?}", start.elapsed());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn links_and_keys_that_come_too_fast_come_again() {
    let (server, _folder) = with_limits(&["links=1/s+3", "keys=1/s+2"]).await;
    let mut alice = register(&server, "alice", 0).await;
    let bob = register(&server, "bob", 1).await;
    for number in 0..3 {
        alice
            .link(&cid(&format!("room:r{number}")), MemberOperation::Create, (0, Digest::ZERO))
            .await;
        alice.ack().await;
    }
    alice.link(&cid("room:r4"), MemberOperation::Create, (0, Digest::ZERO)).await;
    let HubToClient::Retry { after_ms, .. } = alice.answer().await else { panic!() };
    assert!(after_ms > 0 && after_ms <= 1_001);
    let place = cid("dm:alice:bob");
    let (a, b) = (alice.device.clone(), bob.device.clone());
    let first = alice.key_kept(&place, None, &[&a, &b]).await;
    let second = alice.key_kept(&place, Some(first), &[&a, &b]).await;
    alice.key(&place, Some(second), &[&a, &b]).await;
    assert!(matches!(alice.answer().await, HubToClient::Retry { .. }));
    // Its parts are passed over, and the connection goes on.
    alice.settle().await;
    alice.say_kept(Tag::Dm, &place, second.e, 0).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn one_connection_too_many_comes_again() {
    let (server, _folder) = with_limits(&["connections=2"]).await;
    let alice = register(&server, "alice", 0).await;
    let device = alice.device.clone();
    let second = sign_in(&server, &device).await;
    let (code, reason) = enter(server.address, &device, Entry::sig()).await.err().unwrap();
    assert_eq!(code, "RETRY", "{reason}");
    second.bye().await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while enter(server.address, &device, Entry::sig()).await.is_err() {
        assert!(Instant::now() < deadline, "its place was not freed");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_receipt_that_is_none_is_refused_and_no_refusal_is_long() {
    let (server, _folder) = with_limits(&[]).await;
    let (mut alice, mut bob, place, _) = pair(&server, ["alice", "bob"], [0, 1]).await;
    for body in [b"{\"re\":[]}".to_vec(), vec![b' '; 9_000]] {
        let header = bob.device.receipt(&place, &name("alice")).to_bytes();
        let frame = bob.device.sign(label::RECEIPT, header, body);
        bob.send_frame(frame).await;
        assert_eq!(bob.noack().await, "E_MALFORMED");
    }
    bob.receipt(&place, &name("alice")).await;
    bob.ack().await;
    let long = format!("{{\"tag\":\"{}\"}}", "x".repeat(TEXT_BYTES_MAX - 100));
    alice.send_raw(Message::text(long)).await;
    let answer = alice.answer().await;
    let HubToClient::Noack { reason, .. } = &answer else { panic!("{answer:?}") };
    assert!(reason.len() <= 1_024, "{}", reason.len());
    server.stop().await.unwrap();
}

/// Goal: nobody fills the disk of all. Method: what is kept of alice counts, also over a restart; bob goes on.
#[tokio::test]
async fn what_is_kept_of_one_account_has_a_bound() {
    let (server, folder) = with_limits(&["kept_bytes=20000B"]).await;
    let (mut alice, _bob, place, e) = pair(&server, ["alice", "bob"], [0, 1]).await;
    let (mut carol, _dave, other, f) = pair(&server, ["carol", "dave"], [2, 3]).await;
    let mut stored = 0;
    loop {
        alice.say(Tag::Dm, &place, e, stored).await;
        match alice.answer().await {
            HubToClient::Ack { .. } => stored += 1,
            HubToClient::Noack { code, .. } => {
                assert_eq!(code, "E_TOO_MANY");
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(stored > 10, "{stored}");
    carol.say_kept(Tag::Dm, &other, f, 0).await;
    let device = alice.device.clone();
    server.stop().await.unwrap();
    let mut config = config(folder.path());
    config.limits.set("kept_bytes=10000B").unwrap();
    let server = start(config).await;
    let mut alice = sign_in(&server, &device).await;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        stored += 1;
        alice.say(Tag::Dm, &place, e, stored).await;
        if matches!(alice.answer().await, HubToClient::Noack { .. }) {
            break;
        }
        assert!(Instant::now() < deadline, "what was kept before was not counted");
    }
    server.stop().await.unwrap();
}
