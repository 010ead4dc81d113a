//! What a hub has lost with an older backup is told it again (rule R36), by raw clients.

use bytes::Bytes;
use chat_protocol::{
    b64::B64Vec,
    frame::RawFrame,
    header::{Canonical as _, MemberArgument, MemberHeader, MemberOperation},
    hub::{ClientToHub, HubToClient},
    id::Digest,
    name::ConversationId,
    tag::label,
};

use chat_server::limits::UNSHOWN_LINKS_MAX;

use crate::client::{Client, Device, cid, config, fresh, new_id, register, sign_in, start};

/// The place behind a link.
fn behind((header, frame): &(MemberHeader, Bytes)) -> (u32, Digest) {
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
async fn remind(client: &mut Client, devices: &[&Device], links: &[&Bytes]) -> (u32, u32) {
    let bundles = devices.iter().map(|device| B64Vec(device.bundle.bytes().to_vec())).collect();
    let links = links.iter().map(|link| B64Vec(link.to_vec())).collect();
    client.send_text(&ClientToHub::Remind { id: new_id(), bundles, links }).await;
    let answer = client.answer().await;
    let HubToClient::Reminded { bundles, links, .. } = answer else { panic!("{answer:?}") };
    (bundles, links)
}

/// How many links of a room the hub has.
async fn chain(client: &mut Client, room: &ConversationId) -> usize {
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
async fn grown(client: &mut Client, room: &ConversationId, count: usize) {
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
    assert_eq!(remind(&mut alice, &[&c], &links).await, (0, 3));
    assert_eq!(chain(&mut alice, &room).await, 3);

    // An epoch is for those who are there.
    alice.key(&room, None, &[&a, &c]).await;
    assert_eq!(alice.noack().await, "E_MEMBERS");
    let epoch = alice.key(&room, None, &[&a]).await;
    alice.ack().await;
    server.stop().await.unwrap();
    let server = start(config(folder.path())).await;
    let mut alice = sign_in(&server, &a).await;
    let carol = register(&server, "carol", 2).await;
    assert!(is_in(&sign_in(&server, &c).await, &room), "she is back, also after a restart");
    alice.key(&room, Some(epoch), &[&a, &c]).await;
    alice.ack().await;
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
    let epoch = alice.key(&room, None, &[&a]).await;
    alice.ack().await;
    other.key(&room, Some(epoch), &[&a, &o]).await;
    assert_eq!(other.noack().await, "E_NOT_A_MEMBER");
    other.link(&room, MemberOperation::Join, behind(&join)).await;
    other.ack().await;
    alice.key(&room, Some(epoch), &[&a, &o]).await;
    alice.ack().await;
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
    alice.key(&room, None, &[&a, &b]).await;
    alice.ack().await;
    bob.link(&room, MemberOperation::Leave, behind(&of_carol)).await;
    bob.ack().await;
    server.stop().await.unwrap();
}

/// Goal: invented accounts do not make a chain that no device takes any more: it counts 256 links by keys that nobody
/// shows. Before: the hub took every one. Method: one made-up name comes and goes.
#[tokio::test]
async fn links_by_invented_accounts_are_bounded() {
    let (server, folder) = fresh().await;
    let mut alice = register(&server, "alice", 0).await;
    let room = cid("room:crew");
    let (a, ghost) = (alice.device.clone(), Device::new("ghost", 2));
    let create = a.link(&room, MemberOperation::Create, (0, Digest::ZERO));
    let mut links = vec![create];
    for number in 0..UNSHOWN_LINKS_MAX + 2 {
        let op = if number % 2 == 0 { MemberOperation::Join } else { MemberOperation::Leave };
        links.push(ghost.link(&room, op, behind(&links[links.len() - 1])));
    }
    let frames: Vec<&Bytes> = links.iter().map(|(_, frame)| frame).collect();
    for page in frames.chunks(32) {
        remind(&mut alice, &[&ghost], page).await;
    }
    let most = usize::try_from(UNSHOWN_LINKS_MAX).unwrap() + 1;
    grown(&mut alice, &room, most).await;
    server.stop().await.unwrap();
    let server = start(config(folder.path())).await;
    let mut alice = sign_in(&server, &a).await;
    remind(&mut alice, &[&ghost], &frames[most..]).await;
    assert_eq!(chain(&mut alice, &room).await, most, "also after a restart");
    let mut bob = register(&server, "bob", 1).await;
    bob.link(&room, MemberOperation::Join, behind(&links[most - 1])).await;
    bob.ack().await;
    server.stop().await.unwrap();
}

/// Goal: whom an admin has removed in a chain that was lost may be left out of an epoch, also after a
/// restart. Before: that was forgotten, and where others had joined meanwhile it was never noted.
#[tokio::test]
async fn a_lost_removal_is_excused_also_after_a_restart() {
    let (server, folder) = fresh().await;
    let mut alice = register(&server, "alice", 0).await;
    let mut bob = register(&server, "bob", 1).await;
    let mut carol = register(&server, "carol", 2).await;
    let room = cid("room:crew");
    let (a, b, c) = (alice.device.clone(), bob.device.clone(), carol.device.clone());
    let create = a.link(&room, MemberOperation::Create, (0, Digest::ZERO));
    let joins = c.link(&room, MemberOperation::Join, behind(&create));
    alice.send_frame(create.1.clone()).await;
    alice.ack().await;
    carol.send_frame(joins.1.clone()).await;
    carol.ack().await;
    // In the chain that was lost alice has removed carol; in the one that is there bob has come.
    let remove = (MemberOperation::Remove, MemberArgument::None);
    let remove = about(&a, &room, remove, &c, behind(&joins));
    bob.link(&room, MemberOperation::Join, behind(&joins)).await;
    bob.ack().await;
    let by_bob = (MemberOperation::Remove, MemberArgument::None);
    let by_bob = about(&b, &room, by_bob, &a, behind(&joins));
    assert_eq!(remind(&mut bob, &[], &[&remove.1, &by_bob.1]).await, (0, 2));
    assert_eq!(chain(&mut bob, &room).await, 3, "neither is kept");
    drop((alice, bob, carol));
    server.stop().await.unwrap();

    // After a restart nobody has come lately, so that nobody may be missing for that.
    let server = start(config(folder.path())).await;
    let mut bob = sign_in(&server, &b).await;
    bob.key(&room, None, &[&b]).await;
    assert_eq!(bob.noack().await, "E_MEMBERS", "bob is no admin");
    bob.key(&room, None, &[&a, &b]).await;
    bob.ack().await;
    server.stop().await.unwrap();
}
