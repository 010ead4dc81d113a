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
    client.send_text(&ClientToHub::Members { id: new_id(), cid: room.clone(), from: 0 }).await;
    match client.answer().await {
        HubToClient::Members { links, .. } => links.len(),
        other => panic!("{other:?}"),
    }
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

/// Goal: who takes the name of a lost account is nobody in its rooms.
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
    // An admin makes room.
    other.link(&room, MemberOperation::Join, behind(&join)).await;
    assert_eq!(other.noack().await, "E_NOT_ALLOWED");
    let remove = (MemberOperation::Remove, MemberArgument::None);
    let remove = about(&a, &room, remove, &c, behind(&join));
    alice.send_frame(remove.1.clone()).await;
    alice.ack().await;
    other.link(&room, MemberOperation::Join, behind(&remove)).await;
    other.ack().await;
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
