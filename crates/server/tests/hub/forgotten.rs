//! What a hub has lost with an older backup is told it again (rule R36), by raw clients.

use bytes::Bytes;
use chat_protocol::{
    b64::B64Vec,
    frame::RawFrame,
    header::{Canonical as _, MemberArgument, MemberHeader, MemberOperation},
    hub::{ClientToHub, HubToClient},
    id::Digest,
    name::ConversationId,
    tag::{Tag, label},
};

use chat_server::limits::UNSHOWN_LINKS_MAX;

use crate::client::{Client, Device, cid, config, fresh, new_id, register, sign_in, start};

/// The place behind a link.
pub(crate) fn behind((header, frame): &(MemberHeader, Bytes)) -> (u32, Digest) {
    (header.mg + 1, RawFrame::decode(frame.clone()).unwrap().digest(label::MEMBER))
}

/// A link about somebody else.
fn about(
    by: &Device,
    room: &ConversationId,
    (op, arg): (MemberOperation, MemberArgument),
    who: &Device,
    place: (u32, Digest),
) -> (MemberHeader, Bytes) {
    let (own, _) = by.link(room, op, place);
    let (who, ik) = (who.user.clone(), who.bundle.identity());
    let header = MemberHeader { who, ik, arg, ..own };
    let frame = by.sign(label::MEMBER, header.to_bytes(), Vec::new());
    (header, frame)
}

/// Tells the hub; how many bundles and links have proved themselves.
pub(crate) async fn remind(
    client: &mut Client,
    devices: &[&Device],
    links: &[&Bytes],
) -> (u32, u32) {
    let bundles = devices.iter().map(|device| B64Vec(device.bundle.bytes().to_vec())).collect();
    let links = links.iter().map(|link| B64Vec(link.to_vec())).collect();
    client.send_text(&ClientToHub::Remind { id: new_id(), bundles, links }).await;
    let answer = client.answer().await;
    let HubToClient::Reminded { bundles, links, .. } = answer else { panic!("{answer:?}") };
    (bundles, links)
}

/// Whether the hub has no room now for something that it is reminded of.
async fn is_put_off(client: &mut Client, devices: &[&Device], links: &[&Bytes]) -> bool {
    let bundles = devices.iter().map(|device| B64Vec(device.bundle.bytes().to_vec())).collect();
    let links = links.iter().map(|link| B64Vec(link.to_vec())).collect();
    client.send_text(&ClientToHub::Remind { id: new_id(), bundles, links }).await;
    matches!(client.answer().await, HubToClient::Retry { .. })
}

/// How many links of a room the hub has.
pub(crate) async fn chain(client: &mut Client, room: &ConversationId) -> usize {
    client.settle().await;
    let mut count = 0;
    loop {
        let from = u32::try_from(count).unwrap();
        client.send_text(&ClientToHub::Members { id: new_id(), cid: room.clone(), from }).await;
        let answer = client.answer().await;
        let HubToClient::Members { links, more, .. } = answer else { panic!("{answer:?}") };
        count += links.len();
        if !more {
            return count;
        }
    }
}

/// Waits until it has so many: each link waits for the one before it to be stored.
pub(crate) async fn grown(client: &mut Client, room: &ConversationId, count: usize) {
    while chain(client, room).await < count {}
}

fn is_in(client: &Client, room: &ConversationId) -> bool {
    client.signed_in.heads.iter().any(|head| head.cid == *room)
}

/// Goal: links by somebody whose account is lost do not end the chain, and count for nothing until an
/// account of that name with that identity is there. Before: none was taken, and nothing behind them.
#[tokio::test]
async fn links_of_lost_accounts_go_on_and_count_when_they_are_back() {
    let (server, folder) = fresh().await;
    let mut alice = register(&server, "alice", 0).await;
    let room = cid("room:crew");
    let (a, c) = (alice.device.clone(), Device::new("carol", 2));
    let create = a.link(&room, MemberOperation::Create, (0, Digest::ZERO));
    let join = c.link(&room, MemberOperation::Join, behind(&create));
    let role = (MemberOperation::Role, MemberArgument::Admin);
    let role = about(&a, &room, role, &c, behind(&join));
    let links = [&create.1, &join.1, &role.1];
    assert_eq!(remind(&mut alice, &[&a], &links).await, (0, 2), "carol's needs her keys");
    assert_eq!(chain(&mut alice, &room).await, 1, "and what is behind it does not go on");
    let stranger = Device::new("carol", 1);
    assert_eq!(remind(&mut alice, &[&stranger], &[&join.1]).await, (0, 0), "not by these keys");
    assert_eq!(remind(&mut alice, &[&c], &links).await, (0, 2), "the first one is kept already");
    assert_eq!(chain(&mut alice, &room).await, 3);

    // An epoch is for those who are there.
    alice.key(&room, None, &[&a, &c]).await;
    assert_eq!(alice.noack().await, "E_MEMBERS");
    let epoch = alice.key_kept(&room, None, &[&a]).await;
    server.stop().await.unwrap();
    let server = start(config(folder.path())).await;
    let mut alice = sign_in(&server, &a).await;
    let carol = register(&server, "carol", 2).await;
    assert!(is_in(&sign_in(&server, &c).await, &room), "she is back, also after a restart");
    alice.key_kept(&room, Some(epoch), &[&a, &c]).await;
    drop(carol);
    server.stop().await.unwrap();
}

/// Goal: who takes the name of a lost account is nobody in its rooms, and comes into open ones like anybody.
#[tokio::test]
async fn who_has_the_name_of_a_lost_account_is_not_in_its_rooms() {
    let (server, folder) = fresh().await;
    let mut alice = register(&server, "alice", 0).await;
    let room = cid("room:crew");
    let (a, c) = (alice.device.clone(), Device::new("carol", 2));
    let create = a.link(&room, MemberOperation::Create, (0, Digest::ZERO));
    let join = c.link(&room, MemberOperation::Join, behind(&create));
    assert_eq!(remind(&mut alice, &[&c], &[&create.1, &join.1]).await, (0, 2));
    alice.settle().await;
    let other = register(&server, "carol", 1).await;
    let o = other.device.clone();
    drop((alice, other));
    server.stop().await.unwrap();
    let server = start(config(folder.path())).await;
    let mut alice = sign_in(&server, &a).await;
    let mut other = sign_in(&server, &o).await;
    assert!(!is_in(&other, &room));
    alice.key(&room, None, &[&a, &o]).await;
    assert_eq!(alice.noack().await, "E_MEMBERS");
    let epoch = alice.key_kept(&room, None, &[&a]).await;
    other.key(&room, Some(epoch), &[&a, &o]).await;
    assert_eq!(other.noack().await, "E_NOT_A_MEMBER");
    other.link_kept(&room, MemberOperation::Join, behind(&join)).await;
    alice.key_kept(&room, Some(epoch), &[&a, &o]).await;
    server.stop().await.unwrap();
}

/// Goal: nobody takes a member's place by telling the hub of a made-up identity of that name, whether the account is
/// there or lost. Before: the member was out, and could not come back.
/// Method: a stranger reminds the hub of joins by other identities of bob, who is there, and carol, who is lost.
#[tokio::test]
async fn a_made_up_identity_takes_nobodys_place() {
    let (server, _folder) = fresh().await;
    let mut alice = register(&server, "alice", 0).await;
    let mut bob = register(&server, "bob", 1).await;
    let room = cid("room:crew");
    let (a, b, c) = (alice.device.clone(), bob.device.clone(), Device::new("carol", 2));
    let create = a.link(&room, MemberOperation::Create, (0, Digest::ZERO));
    let of_bob = b.link(&room, MemberOperation::Join, behind(&create));
    let of_carol = c.link(&room, MemberOperation::Join, behind(&of_bob));
    let links = [&create.1, &of_bob.1, &of_carol.1];
    assert_eq!(remind(&mut alice, &[&c], &links).await, (0, 3));
    grown(&mut alice, &room, 3).await;

    let mut mallory = register(&server, "mallory", 2).await;
    for made_up in [Device::new("bob", 2), Device::new("carol", 1)] {
        let join = made_up.link(&room, MemberOperation::Join, behind(&of_carol));
        assert_eq!(remind(&mut mallory, &[&made_up], &[&join.1]).await, (0, 1), "signed by itself");
        assert_eq!(chain(&mut alice, &room).await, 3, "and nobody's place is its");
    }
    alice.key_kept(&room, None, &[&a, &b]).await;
    bob.link_kept(&room, MemberOperation::Leave, behind(&of_carol)).await;
    server.stop().await.unwrap();
}

/// Goal: invented accounts do not make a chain that no device takes any more: it counts 256 people by keys that nobody
/// shows. One of them who comes and goes counts once at most. Before: the hub took every one. Method: one made-up
/// name comes and goes, then many come.
#[tokio::test]
async fn links_by_invented_accounts_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let mut lifted = config(folder.path());
    for limit in ["reminded_strangers=off", "strangers_by_one=off"] {
        lifted.limits.set(limit).unwrap();
    }
    let server = start(lifted.clone()).await;
    let mut alice = register(&server, "alice", 0).await;
    let room = cid("room:crew");
    let (a, ghost) = (alice.device.clone(), Device::new("ghost", 2));
    let create = a.link(&room, MemberOperation::Create, (0, Digest::ZERO));
    let mut links = vec![create];
    for op in [MemberOperation::Join, MemberOperation::Leave].repeat(4) {
        links.push(ghost.link(&room, op, behind(&links[links.len() - 1])));
    }
    let frames: Vec<&Bytes> = links.iter().map(|(_, frame)| frame).collect();
    remind(&mut alice, &[&ghost], &frames).await;
    grown(&mut alice, &room, links.len()).await;

    let most = links.len() + UNSHOWN_LINKS_MAX;
    let mut ghosts = Vec::new();
    for number in 0..UNSHOWN_LINKS_MAX + 2 {
        let ghost = Device::new(&format!("ghost{number}"), 2);
        links.push(ghost.link(&room, MemberOperation::Join, behind(&links[links.len() - 1])));
        ghosts.push((ghost, links[links.len() - 1].1.clone()));
    }
    for page in ghosts.chunks(32) {
        let (devices, frames): (Vec<_>, Vec<_>) = page.iter().map(|(d, f)| (d, f)).unzip();
        remind(&mut alice, &devices, &frames).await;
    }
    grown(&mut alice, &room, most).await;
    server.stop().await.unwrap();
    let server = start(lifted).await;
    let mut alice = sign_in(&server, &a).await;
    let (last, frame) = &ghosts[UNSHOWN_LINKS_MAX];
    remind(&mut alice, &[last], &[frame]).await;
    assert_eq!(chain(&mut alice, &room).await, most, "also after a restart");
    let mut bob = register(&server, "bob", 1).await;
    bob.link_kept(&room, MemberOperation::Join, behind(&links[most - 1])).await;
    server.stop().await.unwrap();
}

/// Goal: one account cannot fill a room of a hub that was never restored with people who do not exist, and whoever is
/// lost and there again is none of them. Before: 128 made-up names came into each open room. Method: three come where
/// two may; one with an account comes too.
#[tokio::test]
async fn people_without_an_account_are_brought_back_a_few_a_day() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.limits.set("reminded_strangers=2/1d").unwrap();
    let server = start(config).await;
    let mut mallory = register(&server, "mallory", 0).await;
    let bob = register(&server, "bob", 1).await;
    let room = cid("room:crew");
    let mut links = vec![mallory.device.link(&room, MemberOperation::Create, (0, Digest::ZERO))];
    let mut devices = vec![bob.device.clone()];
    links.push(bob.device.link(&room, MemberOperation::Join, behind(&links[0])));
    for name in ["zed1", "zed2", "zed3"] {
        let zed = Device::new(name, 2);
        links.push(zed.link(&room, MemberOperation::Join, behind(&links[links.len() - 1])));
        devices.push(zed);
    }
    let frames: Vec<&Bytes> = links.iter().map(|(_, frame)| frame).collect();
    let brought: Vec<&Device> = devices.iter().collect();
    assert!(is_put_off(&mut mallory, &brought, &frames).await, "a third");
    grown(&mut mallory, &room, 4).await;
    assert_eq!(chain(&mut mallory, &room).await, 4);
    server.stop().await.unwrap();
}

/// Goal: who brings back what people without an account have signed has budgets for it, and what others have signed is
/// taken from theirs. Before: one account made all rooms that there may be, under invented names, and feeds of people who
/// are not there. Method: as many rooms as the budget and one more, then more links than the budget, and a feed of
/// nobody; then what somebody who is there has signed.
#[tokio::test]
async fn what_is_brought_back_is_taken_from_budgets() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    for limit in ["rooms_made=3/30d", "reminded_links=5/1d", "links=1/1d"] {
        config.limits.set(limit).unwrap();
    }
    let server = start(config).await;
    let mut mallory = register(&server, "mallory", 0).await;
    let mut bob = register(&server, "bob", 1).await;
    let ghost = Device::new("ghost", 2);
    let rooms = ["room:x1", "room:x2", "room:x3", "room:x4"].map(cid);
    let create = |room| ghost.link(room, MemberOperation::Create, (0, Digest::ZERO));
    let creates = [0, 1, 2, 3].map(|n| create(&rooms[n]));
    let frames = [0, 1, 2, 3].map(|n| &creates[n].1);
    assert!(is_put_off(&mut mallory, &[&ghost], &frames).await);
    assert!(is_put_off(&mut mallory, &[&ghost], &[frames[3]]).await, "a fourth room");
    grown(&mut bob, &rooms[2], 1).await;
    assert_eq!(chain(&mut bob, &rooms[3]).await, 0);

    let feed = cid("feed:nobody");
    let follow = ghost.link(&feed, MemberOperation::Join, (0, Digest::ZERO));
    let spirit = Device::new("spirit", 3);
    let came = spirit.link(&rooms[0], MemberOperation::Join, behind(&creates[0]));
    let left = spirit.link(&rooms[0], MemberOperation::Leave, behind(&came));
    let back = spirit.link(&rooms[0], MemberOperation::Join, behind(&left));
    let (people, links) = ([&ghost, &spirit], [&follow.1, &came.1, &left.1, &back.1]);
    assert!(is_put_off(&mut mallory, &people, &links).await, "five, and one of her own links");
    grown(&mut bob, &rooms[0], 3).await;
    assert_eq!(chain(&mut bob, &rooms[0]).await, 3);
    let join = bob.device.link(&rooms[1], MemberOperation::Join, behind(&creates[1]));
    assert!(!is_put_off(&mut mallory, &[], &[&join.1]).await, "it is bob's");
    grown(&mut bob, &rooms[1], 2).await;
    let ask = ClientToHub::Members { id: new_id(), cid: feed, from: 0 };
    bob.send_text(&ask).await;
    let answer = bob.answer().await;
    assert!(matches!(&answer, HubToClient::Noack { .. }), "{answer:?}");
    server.stop().await.unwrap();
    let database = rusqlite::Connection::open(folder.path().join("data/chat.sqlite")).unwrap();
    let count = "SELECT count(*) FROM conversations WHERE cid LIKE 'feed:%'";
    let feeds: i64 = database.query_row(count, [], |row| row.get(0)).unwrap();
    assert_eq!(feeds, 0, "no chain was begun");
}

/// Somebody is put out of the lobby for good, in the data of a server that does not run.
fn ban(folder: &std::path::Path, who: &str) {
    let database = rusqlite::Connection::open(folder.join("data/chat.sqlite")).unwrap();
    let insert = "INSERT INTO put_out (account, moderator, until_ms) \
                  SELECT id, 'alice', NULL FROM accounts WHERE name = ?1";
    assert_eq!(database.execute(insert, [who]).unwrap(), 1);
}

/// Goal: whoever was put out of the lobby stays out, and gets nothing of the time since, also after a restart. Before: a
/// reminder of a join by an invented identity of their name ended the ban with the next restart; and who had left
/// late was sent everything up to there. Method: both, and a restart.
#[tokio::test]
async fn a_ban_from_the_lobby_outlives_tricks_and_restarts() {
    let (server, folder) = fresh().await;
    let mut alice = register(&server, "alice", 0).await;
    let mut mallory = register(&server, "mallory", 1).await;
    let lobby = cid("room:lobby");
    let (a, m) = (alice.device.clone(), mallory.device.clone());
    let first = a.link(&lobby, MemberOperation::Join, (0, Digest::ZERO));
    alice.send_frame(first.1.clone()).await;
    alice.ack().await;
    mallory.link_kept(&lobby, MemberOperation::Join, behind(&first)).await;
    let epoch = alice.key_kept(&lobby, None, &[&a, &m]).await;
    mallory.settle().await;
    server.stop().await.unwrap();
    ban(folder.path(), "mallory");

    let server = start(config(folder.path())).await;
    let (mut alice, mut mallory) = (sign_in(&server, &a).await, sign_in(&server, &m).await);
    for n in 0..3 {
        alice.say_kept(Tag::Text, &lobby, epoch.e, n).await;
    }
    let head = alice.signed_in.heads.iter().find(|head| head.cid == lobby).unwrap();
    let place = (head.mg, head.pm);
    let left = m.link(&lobby, MemberOperation::Leave, place);
    mallory.notice(|notice| matches!(notice, HubToClient::Moderated { .. })).await;
    mallory.send_frame(left.1.clone()).await;
    mallory.ack().await;
    server.stop().await.unwrap();

    let server = start(config(folder.path())).await;
    let (mut alice, mut mallory) = (sign_in(&server, &a).await, sign_in(&server, &m).await);
    mallory.notice(|notice| matches!(notice, HubToClient::Live {})).await;
    assert_eq!(mallory.waiting(), 0, "nothing of the lobby");
    let other = Device::new("mallory", 2);
    let made_up = other.link(&lobby, MemberOperation::Join, behind(&left));
    assert_eq!(remind(&mut mallory, &[&other], &[&made_up.1]).await, (0, 1));
    grown(&mut alice, &lobby, 4).await;
    server.stop().await.unwrap();

    let server = start(config(folder.path())).await;
    let mut mallory = sign_in(&server, &m).await;
    mallory.link(&lobby, MemberOperation::Join, behind(&made_up)).await;
    assert_eq!(mallory.noack().await, "E_NOT_A_MEMBER");
    server.stop().await.unwrap();
}
