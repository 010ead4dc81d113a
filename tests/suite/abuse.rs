//! Hostile accounts before the real programs: whoever comes afterwards comes into the lobby, and who is
//! there is heard (rules R40, R41). The budgets that would stop the attack sooner are lifted, so that what
//! the answers look like decides.

use chat_protocol::b64::B64Vec;
use chat_protocol::content::healing::Grant;
use chat_protocol::content::{self, ChainNotes, Content};
use chat_protocol::crypto::{KeyBits, SigningKey, WrapKey, random};
use chat_protocol::envelope;
use chat_protocol::epoch::{self, EpochParameters};
use chat_protocol::frame::{Upload, sign_all};
use chat_protocol::handshake::Mode;
use chat_protocol::header::MemberOperation;
use chat_protocol::hub::{ClientToHub, HubToClient};
use chat_protocol::id::Nonce16;
use chat_protocol::keys::{Bundle, BundleOptions, Held};
use chat_protocol::members::{MemberList, Place};
use chat_protocol::ratchet::Chain;
use chat_protocol::tag::Tag;
use chat_testkit::client::Client as Raw;
use chat_testkit::device::Device;
use chat_testkit::keys::second_device;
use chat_testkit::wire::{Entry, Fresh, WireError};
use chat_testkit::{cid, name, new_id, now_ms};
use chat_tests::{Finished, Rig, Server};

fn attack(attack: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(attack);
}

async fn enter(server: &Server, device: &Device, entry: &Entry) -> Result<Raw, WireError> {
    Fresh::connect(server.address()).await?.enter(device, entry).await
}

/// Joins the lobby, after whoever else joins it.
async fn join_lobby(client: &mut Raw) {
    let lobby = cid("room:lobby");
    let mut head = client.signed_in.heads.iter().find(|head| head.cid == lobby).unwrap().clone();
    loop {
        client.link(&lobby, MemberOperation::Join, (head.mg, head.pm)).await;
        match client.answer().await {
            HubToClient::Ack { .. } => return,
            HubToClient::Noack { head: Some(newer), .. } => head = newer,
            other => panic!("{other:?}"),
        }
    }
}

/// Alice was there before, and carol comes now: both say something in the lobby, and both hear it, without an alarm about
/// anybody.
fn newcomers_are_heard(rig: &Rig, server: &Server) {
    assert_eq!(alarms_while_newcomers_are_heard(rig, server), Vec::<String>::new());
}

/// The same; returns about whom there was an alarm.
fn alarms_while_newcomers_are_heard(rig: &Rig, server: &Server) -> Vec<String> {
    let about = |ended: &Finished| {
        let alarms = ended.events_named("alarm").into_iter();
        alarms.map(|alarm| alarm["user"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (alice, carol) = (rig.client("alice", server.url()), rig.client("carol", server.url()));
    let said = carol.run(&["send", "#lobby", "hello from carol", "--json"]).expect_code(0);
    assert!(said.events_named("noack").is_empty(), "{said:?}");
    let heard = alice.run(&["listen", "--count", "1", "--for", "30s", "--json"]).expect_code(0);
    assert_eq!(heard.texts(), ["hello from carol"], "{heard:?}");
    let mut alarms = about(&heard);
    let said = alice.run(&["send", "#lobby", "hello from alice", "--json"]).expect_code(0);
    assert!(said.events_named("noack").is_empty(), "{said:?}");
    let heard = carol.run(&["listen", "--count", "1", "--for", "30s", "--json"]).expect_code(0);
    assert_eq!(heard.texts(), ["hello from alice"], "{heard:?}");
    alarms.extend(about(&heard));
    alarms
}

#[test]
fn thirty_signing_keys_of_one_member_void_the_lobby_for_nobody() {
    let rig = Rig::new();
    let server = rig.server_with(&["--limit", "bundles=off"]);
    rig.client("alice", server.url()).run(&["users"]).assert_code(0);
    attack(async {
        let mut device = Device::new("mallory", 0);
        let mut mallory = enter(&server, &device, &Entry::reg(&device)).await.unwrap();
        join_lobby(&mut mallory).await;
        mallory.bye().await;
        for _ in 0..30 {
            let signing = SigningKey::generate(KeyBits::B2048).unwrap();
            let keys = device.keys.with_signing_key(signing).unwrap();
            let (before, options) = (Some(&device.bundle), BundleOptions::default());
            let bundle = keys.publish(&device.user, device.dev, before, now_ms(), options).unwrap();
            device = Device { keys: keys.into(), bundle, ..device };
            let mut entry = Entry::sig();
            entry.body.bundle = Some(device.bundle.bytes().to_vec());
            enter(&server, &device, &entry).await.unwrap().bye().await;
        }
    });
    newcomers_are_heard(&rig, &server);
}

#[test]
fn a_hundred_devices_of_one_account_are_thirty_two() {
    let rig = Rig::new();
    let server = rig.server_with(&["--limit", "bundles=off", "--limit", "signing_keys=off"]);
    rig.client("alice", server.url()).run(&["users"]).assert_code(0);
    attack(async {
        let first = Device::new("mallory", 0);
        let mut entry = Entry::reg(&first);
        entry.body.pw = Some(vec![7; 32]);
        entry.body.vault = Some(chat_protocol::vault::keep(1, &[9; 100]));
        let mut mallory = enter(&server, &first, &entry).await.unwrap();
        join_lobby(&mut mallory).await;
        let (mut taken, mut refused) = (1, Vec::new());
        for _ in 0..100 {
            let device = Device::with_keys("mallory", second_device(0, 1), Nonce16(random()));
            let mut entry = Entry::sig();
            entry.mode = Mode::Pw;
            entry.body.pw = Some(vec![7; 32]);
            entry.body.bundle = Some(device.bundle.bytes().to_vec());
            match enter(&server, &device, &entry).await {
                Ok(client) => {
                    client.bye().await;
                    taken += 1;
                }
                Err(WireError::Refused { code, .. }) => refused.push(code),
                Err(WireError::Later { after_ms, .. }) => {
                    tokio::time::sleep(std::time::Duration::from_millis(after_ms)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(taken, 32, "{refused:?}");
        assert!(refused.iter().all(|code| code == "E_TOO_MANY") && !refused.is_empty());
    });
    newcomers_are_heard(&rig, &server);
}

#[test]
fn who_writes_to_hundreds_of_people_signs_in_again() {
    let rig = Rig::new();
    let server = rig.server();
    rig.client("alice", server.url()).run(&["users"]).assert_code(0);
    attack(async {
        let writer = Device::new("a", 0);
        let mut client = enter(&server, &writer, &Entry::reg(&writer)).await.unwrap();
        let mut places = Vec::new();
        for number in 0..300 {
            let other = Device::new(&format!("x{number}"), 1);
            enter(&server, &other, &Entry::reg(&other)).await.unwrap().bye().await;
            let place = cid(&format!("dm:a:x{number}"));
            // On a fast machine these are more conversations at once than one account may open.
            let epoch = loop {
                let epoch = client.key(&place, None, &[&writer, &other]).await;
                match client.answer().await {
                    HubToClient::Ack { .. } => break epoch,
                    HubToClient::Retry { after_ms, .. } => {
                        tokio::time::sleep(std::time::Duration::from_millis(after_ms)).await;
                    }
                    other => panic!("{other:?}"),
                }
            };
            client.say(Tag::Dm, &place, epoch.e, 0).await;
            client.ack().await;
            places.push(place);
        }
        client.bye().await;
        let mut client = enter(&server, &writer, &Entry::sig()).await.unwrap();
        places.truncate(256);
        client.send_text(&ClientToHub::Counters { id: new_id(), cids: places }).await;
        let HubToClient::Counters { counters, .. } = client.answer().await else { panic!() };
        assert_eq!(counters.len(), 256);
    });
    newcomers_are_heard(&rig, &server);
}

/// The newest bundle of somebody with one device.
async fn bundle_of(client: &mut Raw, user: &str) -> Bundle {
    let known = [(name(user), Held::default())].into();
    client.send_text(&ClientToHub::Bundles { id: new_id(), known, kids: [].into() }).await;
    let HubToClient::Bundles { people, .. } = client.answer().await else { panic!("no keys") };
    let bundle = people[&name(user)].bundles[0].0.clone();
    Bundle::verify(bundle.into()).unwrap()
}

/// Says this to somebody alone, in an epoch of its own.
async fn tell(client: &mut Raw, other: &Bundle, tag: Tag, content: &Content) {
    let (device, to) = (client.device.clone(), &other.header().u);
    let place = cid(&format!("dm:{to}:{}", device.user));
    let bundles = [&device.bundle, other];
    let list = MemberList::new(bundles.iter().filter_map(|bundle| bundle.member_line()));
    let key = |kid| {
        let mut published = bundles.iter().flat_map(|bundle| &bundle.header().ek);
        WrapKey::from_spki(&published.find(|key| key.kid == kid).unwrap().spki).unwrap()
    };
    let wrap_keys: Vec<WrapKey> = list.lines().iter().map(|line| key(line.ek)).collect();
    let (from, sk) = (device.user.clone(), device.keys.signing_id());
    let parameters = EpochParameters {
        cid: place.clone(),
        from,
        sk,
        previous: None,
        place: Place::START,
        left_out: Vec::new(),
        ts: now_ms(),
    };
    let secret = random::<32>().into();
    let new = epoch::create(parameters, &list, &wrap_keys, &secret, Nonce16(random())).unwrap();
    let frames = sign_all(&device.keys.signing, &[new.frame]);
    let parts = Upload::split(new.head.e, list.as_bytes(), &new.wraps);
    for message in frames.into_iter().chain(parts) {
        client.send_frame(message).await;
    }
    client.ack().await;
    let own = list.position(&device.user, &sk).and_then(|line| new.chains.get(line)).unwrap();
    let (n, key) = Chain::new(own).advance();
    let header = device.message(tag, &place, new.head.e, n);
    let plaintext = content::encode(content, &ChainNotes::default());
    let sealed = envelope::seal(&header, &key, random(), &plaintext);
    for frame in sign_all(&device.keys.signing, &[sealed]) {
        client.send_frame(frame).await;
    }
    client.ack().await;
}

/// Goal: a member who hands over keys of hers that the server never gets stops nobody else's speaking.
/// Before: whoever was handed them could say nothing in the lobby any more, nor anywhere with her, for ever.
#[test]
fn keys_that_a_member_hands_over_stop_nobody() {
    let rig = Rig::new();
    let server = rig.server_with(&["--limit", "bundles=off"]);
    rig.client("alice", server.url()).run(&["users"]).assert_code(0);
    attack(async {
        let device = Device::new("mallory", 0);
        let mut mallory = enter(&server, &device, &Entry::reg(&device)).await.unwrap();
        join_lobby(&mut mallory).await;
        let next = |other: usize| {
            let (keys, options) = (second_device(0, other), BundleOptions::default());
            let before = Some(&device.bundle);
            let bundle = keys.publish(&device.user, device.dev, before, now_ms(), options).unwrap();
            Device { keys, bundle, ..device.clone() }
        };
        let (handed, published) = (next(1), next(2));
        let alice = bundle_of(&mut mallory, "alice").await;
        let bundles = vec![B64Vec(handed.bundle.bytes().to_vec())];
        let grant = Content::Grant(Grant { bundles, ..Grant::default() });
        tell(&mut mallory, &alice, Tag::Grant, &grant).await;
        mallory.bye().await;
        // Alice has it before the server has the other one.
        let alice = rig.client("alice", server.url());
        tokio::task::spawn_blocking(move || alice.run(&["users"]).assert_code(0)).await.unwrap();
        let mut entry = Entry::sig();
        entry.body.bundle = Some(published.bundle.bytes().to_vec());
        enter(&server, &published, &entry).await.unwrap().bye().await;
    });
    // Two bundles of one device under one number are a lie of hers, and of nobody else.
    let alarms = alarms_while_newcomers_are_heard(&rig, &server);
    assert!(alarms.iter().all(|about| about == "mallory"), "{alarms:?}");
}
