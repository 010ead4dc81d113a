//! What a hub that was restored from a backup is told (rule R36).

use chat_protocol::{
    b64::B64Vec,
    frame::RawFrame,
    header::{Canonical as _, MemberArgument, MemberHeader, MemberOperation},
    hub::{ClientToHub, HubToClient},
    id::{Digest, KeyId, Nonce16},
    keys::{BundleOptions, Held},
    limits::PAGE_ITEMS_MAX,
    name::ConversationId,
    tag::label,
};

use crate::client::{
    Client, Device, Entry, Server, cid, config, enter, name, new_id, now_ms, register,
    second_device, sign_in, start,
};

/// Links as they are signed, to be brought by anybody.
struct Chain {
    room: ConversationId,
    place: (u32, Digest),
}

impl Chain {
    /// A link of `from` about `who` at the end of the chain; what it changes stays outside of it.
    fn about(&self, from: &Device, op: MemberOperation, who: &Device) -> Vec<u8> {
        let (header, _) = from.link(&self.room, op, self.place);
        let arg = MemberArgument::None;
        let (who, ik) = (who.user.clone(), who.bundle.identity());
        let header = MemberHeader { who, ik, arg, ..header };
        from.sign(label::MEMBER, header.to_bytes(), Vec::new()).to_vec()
    }

    fn goes_on(&mut self, link: &[u8]) {
        let frame = RawFrame::decode(link.to_vec().into()).unwrap();
        self.place = (self.place.0 + 1, frame.digest(label::MEMBER));
    }

    /// Sends a link of its signer about themselves, which is accepted.
    async fn say(&mut self, client: &mut Client, op: MemberOperation) {
        let digest = client.link_kept(&self.room, op, self.place).await;
        self.place = (self.place.0 + 1, digest);
    }
}

/// Reminds the hub; how many links proved themselves. They are applied when the next question is
/// answered.
async fn remind(client: &mut Client, links: &[Vec<u8>]) -> u32 {
    let links = links.iter().map(|link| B64Vec(link.clone())).collect();
    let id = new_id();
    client.send_text(&ClientToHub::Remind { id, bundles: Vec::new(), links }).await;
    let HubToClient::Reminded { links, .. } = client.answer().await else { panic!("REMINDED") };
    client.settle().await;
    links
}

/// The answer to a reminder of links.
async fn answer_to(client: &mut Client, links: &[&Vec<u8>]) -> HubToClient {
    let links = links.iter().map(|link| B64Vec((*link).clone())).collect();
    client.send_text(&ClientToHub::Remind { id: new_id(), bundles: Vec::new(), links }).await;
    let answer = client.answer().await;
    client.settle().await;
    answer
}

/// How many links the hub has.
async fn length(client: &mut Client, room: &ConversationId) -> usize {
    let id = new_id();
    client.send_text(&ClientToHub::Members { id, cid: room.clone(), from: 0 }).await;
    let HubToClient::Members { links, .. } = client.answer().await else { panic!("MEMBERS") };
    links.len()
}

/// An open room of alice, with bob and carol.
async fn den(alice: &mut Client, bob: &mut Client, carol: &mut Client) -> Chain {
    let mut chain = Chain { room: cid("room:den"), place: (0, Digest::ZERO) };
    chain.say(alice, MemberOperation::Create).await;
    chain.say(bob, MemberOperation::Join).await;
    chain.say(carol, MemberOperation::Join).await;
    chain
}

/// Alice enters with another key in the same device; `revokes` says what becomes of the old one.
async fn with_another_key(server: &Server, old: &Device, revokes: bool) -> Client {
    let keys = second_device(0, 5);
    let rev = if revokes { vec![old.keys.signing_id()] } else { Vec::new() };
    let options = BundleOptions { rev, ..BundleOptions::default() };
    let bundle = keys.publish(&old.user, old.dev, Some(&old.bundle), now_ms(), options).unwrap();
    let device = Device { bundle, keys, ..old.clone() };
    let mut entry = Entry::sig();
    entry.body.bundle = Some(device.bundle.bytes().to_vec());
    enter(server.address, &device, entry).await.unwrap()
}

#[tokio::test]
async fn a_revoked_key_changes_the_membership_of_nobody_else() {
    for (revokes, expected) in [(true, 3), (false, 4)] {
        let folder = tempfile::tempdir().unwrap();
        let server = start(config(folder.path())).await;
        let mut alice = register(&server, "alice", 0).await;
        let mut bob = register(&server, "bob", 1).await;
        let mut carol = register(&server, "carol", 2).await;
        let mut chain = den(&mut alice, &mut bob, &mut carol).await;
        let old = alice.device.clone();
        let removal = chain.about(&old, MemberOperation::Remove, &bob.device);
        let mut alice = with_another_key(&server, &old, revokes).await;
        remind(&mut bob, std::slice::from_ref(&removal)).await;
        assert_eq!(length(&mut carol, &chain.room).await, expected, "revoked: {revokes}");
        if !revokes {
            chain.goes_on(&removal);
        }
        // A link that concerns only its signer counts: no key is wrapped for a revoked one.
        let leave = chain.about(&old, MemberOperation::Leave, &old);
        remind(&mut carol, &[leave]).await;
        let left = if revokes { expected + 1 } else { expected };
        let seen = length(&mut carol, &chain.room).await;
        assert!(seen == left || !revokes, "{seen} links, revoked: {revokes}");
        alice.settle().await;
        server.stop().await.unwrap();
    }
}

/// The remover is away and the removal is lost; a newcomer took its place in the chain. Nobody has to
/// wait: the next epoch lacks who was removed, long after the grace of a new member.
#[tokio::test]
async fn a_removal_that_was_lost_and_forks_is_an_excuse() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(config(folder.path())).await;
    let mut alice = register(&server, "alice", 0).await;
    let mut bob = register(&server, "bob", 1).await;
    let mut carol = register(&server, "carol", 2).await;
    let mut dave = register(&server, "dave", 3).await;
    let mut chain = den(&mut alice, &mut bob, &mut carol).await;
    let removal = chain.about(&alice.device, MemberOperation::Remove, &bob.device);
    let by_bob = chain.about(&bob.device, MemberOperation::Remove, &alice.device);
    chain.say(&mut dave, MemberOperation::Join).await;
    let (a, b, c, d) =
        (alice.device.clone(), bob.device.clone(), carol.device.clone(), dave.device.clone());
    // After a restart nobody is new any more.
    server.stop().await.unwrap();
    let server = start(config(folder.path())).await;
    let mut carol = sign_in(&server, &c).await;
    carol.key(&chain.room, None, &[&a, &c, &d]).await;
    assert_eq!(carol.noack().await, "E_MEMBERS", "bob is missing");
    assert_eq!(remind(&mut carol, &[by_bob]).await, 1);
    carol.key(&chain.room, None, &[&b, &c, &d]).await;
    assert_eq!(carol.noack().await, "E_MEMBERS", "bob is no admin, so alice is missing");
    assert_eq!(remind(&mut carol, &[removal]).await, 1);
    let epoch = carol.key_kept(&chain.room, None, &[&a, &c, &d]).await;
    carol.key_kept(&chain.room, Some(epoch), &[&a, &b, &c, &d]).await;
    assert_eq!(length(&mut carol, &chain.room).await, 4, "the chain is as it was");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn who_reminds_of_much_waits_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(config(folder.path())).await;
    let mut alice = register(&server, "alice", 0).await;
    let mut chain = Chain { room: cid("room:lobby"), place: (0, Digest::ZERO) };
    let mut links = Vec::new();
    for n in 0..60 {
        let op = if n % 2 == 0 { MemberOperation::Join } else { MemberOperation::Leave };
        let link = chain.about(&alice.device, op, &alice.device);
        chain.goes_on(&link);
        links.push(link);
    }
    let before = tokio::time::Instant::now();
    assert_eq!(remind(&mut alice, &links).await, 60);
    assert!(before.elapsed() >= std::time::Duration::from_millis(300), "{:?}", before.elapsed());
    // A bundle that the hub has is not looked at again, whatever is wrong with its signature.
    let mut bytes = alice.device.bundle.bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let other = Device::with_keys("alice", second_device(0, 4), Nonce16([9; 16]));
    let bundles = vec![B64Vec(bytes), B64Vec(other.bundle.bytes().to_vec())];
    let id = new_id();
    alice.send_text(&ClientToHub::Remind { id, bundles, links: Vec::new() }).await;
    let answer = alice.answer().await;
    assert!(matches!(answer, HubToClient::Reminded { bundles: 1, .. }), "{answer:?}");
    // One link after the other is kept.
    while length(&mut alice, &chain.room).await < PAGE_ITEMS_MAX {}
    server.stop().await.unwrap();
}

pub(crate) async fn remind_bundles(client: &mut Client, devices: &[Device]) -> HubToClient {
    let bundles = devices.iter().map(|device| B64Vec(device.bundle.bytes().to_vec())).collect();
    let id = new_id();
    client.send_text(&ClientToHub::Remind { id, bundles, links: Vec::new() }).await;
    let answer = client.answer().await;
    client.settle().await;
    answer
}

/// How many bundles of alice the hub has.
async fn bundles_of_alice(client: &mut Client) -> usize {
    let known = [(name("alice"), Held::default())].into();
    client.send_text(&ClientToHub::Bundles { id: new_id(), known, kids: [].into() }).await;
    let HubToClient::Bundles { people, .. } = client.answer().await else { panic!("BUNDLES") };
    people.values().map(|person| person.bundles.len()).sum()
}

/// Goal: of somebody with more devices than may be published at once none is lost: what is over the budget is put off
/// as a whole, and taken when it comes after that time. (The build before dropped it and called the rest all.)
#[tokio::test]
async fn bundles_over_the_budget_are_put_off_and_taken_later() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.limits.set("bundles=3/s").unwrap();
    let server = start(config).await;
    let mut alice = register(&server, "alice", 0).await;
    let device = |n: u8| {
        let keys = second_device(0, usize::from(n));
        Device::with_keys("alice", keys, Nonce16([n; 16]))
    };
    let devices: Vec<Device> = (1..6).map(device).collect();
    let HubToClient::Retry { after_ms, .. } = remind_bundles(&mut alice, &devices).await else {
        panic!("RETRY")
    };
    // Two are over it, and two thirds of a second bring room for both.
    assert!((300..=667).contains(&after_ms), "{after_ms} ms");
    tokio::time::sleep(std::time::Duration::from_millis(after_ms)).await;
    let again = remind_bundles(&mut alice, &devices).await;
    assert!(matches!(again, HubToClient::Reminded { bundles: 1..=2, .. }), "{again:?}");
    while bundles_of_alice(&mut alice).await < 6 {}
    server.stop().await.unwrap();
}

/// Goal: a stolen device that uses up the budget keeps its revocation from nobody.
#[tokio::test]
async fn a_revocation_costs_nothing_of_the_budget() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.limits.set("bundles=1/d").unwrap();
    let server = start(config).await;
    let mut alice = register(&server, "alice", 0).await;
    let mut bob = register(&server, "bob", 1).await;
    let stolen = Device::with_keys("alice", second_device(0, 4), Nonce16([9; 16]));
    let more = Device::with_keys("alice", second_device(0, 5), Nonce16([8; 16]));
    remind_bundles(&mut bob, std::slice::from_ref(&stolen)).await;
    let answer = remind_bundles(&mut bob, &[more]).await;
    assert!(matches!(answer, HubToClient::Retry { .. }), "{answer:?}");
    let own = alice.device.clone();
    let options = BundleOptions { rev: vec![stolen.keys.signing_id()], ..BundleOptions::default() };
    let bundle = own.keys.publish(&own.user, own.dev, Some(&own.bundle), now_ms(), options);
    let revoking = Device { bundle: bundle.unwrap(), ..own };
    let answer = remind_bundles(&mut bob, &[revoking]).await;
    assert!(matches!(answer, HubToClient::Reminded { bundles: 1, .. }), "{answer:?}");
    while enter(server.address, &stolen, Entry::sig()).await.is_ok() {}
    alice.settle().await;
    server.stop().await.unwrap();
}

/// Goal: what is said again costs nothing, whether the chain has it or cannot take it, and what is over the budget is put
/// off and comes in portions. (The build before took each again from the budget, then dropped the rest and called it taken.)
#[tokio::test]
async fn links_that_are_said_again_cost_nothing_and_none_over_the_budget_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.limits.set("reminded_links=3/9s").unwrap();
    config.limits.set("links=1/1d").unwrap();
    let server = start(config).await;
    let mut alice = register(&server, "alice", 0).await;
    let mut bob = register(&server, "bob", 1).await;
    let mut carol = register(&server, "carol", 2).await;
    let mut chain = den(&mut alice, &mut bob, &mut carol).await;
    let at_end = chain.place;
    let b = bob.device.clone();
    let mut next = |op| {
        let link = chain.about(&b, op, &b);
        chain.goes_on(&link);
        link
    };
    let left = next(MemberOperation::Leave);
    let back = next(MemberOperation::Join);
    let gone = next(MemberOperation::Leave);
    let again = next(MemberOperation::Join);
    let room = chain.room.clone();
    // One that is no removal and forks: it is never kept.
    let fork = Chain { room: room.clone(), place: (at_end.0 - 1, at_end.1) };
    let fork = fork.about(&b, MemberOperation::Leave, &b);
    for _ in 0..5 {
        let answer = answer_to(&mut alice, &[&left, &fork]).await;
        assert!(matches!(answer, HubToClient::Reminded { .. }), "{answer:?}");
    }
    while length(&mut carol, &room).await < 4 {}
    let links = [&left, &back, &gone, &again];
    let HubToClient::Retry { mut after_ms, .. } = answer_to(&mut alice, &links).await else {
        panic!("RETRY")
    };
    while length(&mut carol, &room).await < 5 {}
    // Two are over it, which has room for one every three seconds.
    for kept in [6, 7] {
        assert!((1_000..=3_001).contains(&after_ms), "{after_ms} ms");
        tokio::time::sleep(std::time::Duration::from_millis(after_ms)).await;
        match answer_to(&mut alice, &links).await {
            HubToClient::Retry { after_ms: next, .. } => after_ms = next,
            answer => assert!(matches!(answer, HubToClient::Reminded { .. }), "{answer:?}"),
        }
        while length(&mut carol, &room).await < kept {}
    }
    server.stop().await.unwrap();
}

/// Goal: a room is whole again soon, whoever brings it: what it costs is its maker's, and a part that has to wait for days
/// keeps nothing else back. Nobody gets more rooms by having others bring them. Method: a member who has used up what they may bring
/// brings the lost room of another one, then one room too many of that maker, with a key that has room in a moment. (The build
/// before put the first off for a month, let the second through for each who brings it, and put the key off with it.)
#[tokio::test]
async fn a_room_that_comes_back_is_its_makers_and_no_part_waits_for_another() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    for limit in ["rooms_made=1/30d", "bundles=1/2s"] {
        config.limits.set(limit).unwrap();
    }
    let server = start(config).await;
    let alice = register(&server, "alice", 0).await;
    let mut bob = register(&server, "bob", 1).await;
    let mut carol = register(&server, "carol", 2).await;
    let mut own = Chain { room: cid("room:own"), place: (0, Digest::ZERO) };
    own.say(&mut bob, MemberOperation::Create).await;
    let (a, b) = (alice.device.clone(), bob.device.clone());
    let mut lost = Chain { room: cid("room:lost"), place: (0, Digest::ZERO) };
    let (_, create) = a.link(&lost.room, MemberOperation::Create, lost.place);
    let create = create.to_vec();
    lost.goes_on(&create);
    let join = lost.about(&b, MemberOperation::Join, &b);
    let answer = answer_to(&mut bob, &[&create, &join]).await;
    assert!(matches!(answer, HubToClient::Reminded { links: 2, .. }), "{answer:?}");
    while length(&mut bob, &lost.room).await < 2 {}

    let more = cid("room:more");
    let (_, create) = a.link(&more, MemberOperation::Create, (0, Digest::ZERO));
    let device =
        |n: u8| Device::with_keys("alice", second_device(0, usize::from(n)), Nonce16([n; 16]));
    let bundles = [1, 2].map(|n| B64Vec(device(n).bundle.bytes().to_vec())).to_vec();
    let links = vec![B64Vec(create.to_vec())];
    carol.send_text(&ClientToHub::Remind { id: new_id(), bundles, links }).await;
    let answer = carol.answer().await;
    let HubToClient::Retry { after_ms, .. } = answer else { panic!("{answer:?}") };
    assert!(after_ms <= 2_001, "{after_ms} ms for a key");
    assert_eq!(length(&mut bob, &more).await, 0, "a room too many of alice");
    server.stop().await.unwrap();
}

/// A device with its next bundle, which revokes these.
pub(crate) fn next_of(device: &Device, rev: Vec<KeyId>) -> Device {
    let options = BundleOptions { rev, ..BundleOptions::default() };
    let old = Some(&device.bundle);
    let bundle = device.keys.publish(&device.user, device.dev, old, now_ms(), options).unwrap();
    Device { bundle, ..device.clone() }
}

/// Goal: whoever has stolen a device of an account cannot use up what its owner needs to put it out: neither keys nor
/// sign-ins. What revokes nothing is taken from the budgets. (The build before put the owner off.)
#[tokio::test]
async fn a_sign_in_that_revokes_costs_nothing_of_any_budget() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    for limit in ["bundles=1/1d", "sign_ins=1/1d"] {
        config.limits.set(limit).unwrap();
    }
    let server = start(config).await;
    let alice = register(&server, "alice", 0).await;
    let stolen = Device::with_keys("alice", second_device(0, 4), Nonce16([9; 16]));
    let own = alice.bye().await;
    let mut bob = register(&server, "bob", 1).await;
    remind_bundles(&mut bob, std::slice::from_ref(&stolen)).await;
    sign_in(&server, &stolen).await.bye().await;
    let enter = async |device: &Device| {
        let mut entry = Entry::sig();
        entry.body.bundle = Some(device.bundle.bytes().to_vec());
        enter(server.address, device, entry).await
    };
    for rev in [Vec::new(), vec![KeyId([7; 16])]] {
        let refused = enter(&next_of(&own, rev)).await.map(|_| ()).unwrap_err();
        assert_eq!(refused.0, "RETRY", "it revokes no other device: {}", refused.1);
    }
    let revoking = next_of(&own, vec![stolen.keys.signing_id()]);
    enter(&revoking).await.unwrap().bye().await;
    let (code, reason) = enter(&stolen).await.map(|_| ()).unwrap_err();
    assert_eq!(code, "E_REVOKED", "{reason}");
    let again = next_of(&revoking, vec![stolen.keys.signing_id()]);
    let (code, reason) = enter(&again).await.map(|_| ()).unwrap_err();
    assert_eq!(code, "RETRY", "it is revoked already: {reason}");
    server.stop().await.unwrap();
}
