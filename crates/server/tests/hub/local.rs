//! The built-in agent's connection: the account `server`, without a socket.

use chat_protocol::{
    frame::{Binary, Unsigned, sign_all},
    header::{Canonical, MemberArgument, MemberHeader, MemberOperation},
    hub::{self, ClientToHub, HubToClient},
    id::{Digest, Nonce16},
    name::UserName,
    tag::{Tag, label},
};
use chat_server::{hub::Hub, outbox::Outgoing};
use tokio::{net::TcpListener, sync::oneshot};

use crate::client::{cid, config, connect, new_id, now_ms, register_at};

/// The frame by which `server` joins a room that nobody has joined yet.
fn join(hub: &Hub, room: &str) -> bytes::Bytes {
    let header = MemberHeader {
        v: 1,
        t: Tag::Member,
        cid: cid(room),
        from: UserName::server(),
        sk: hub.keys().signing_id(),
        op: MemberOperation::Join,
        who: UserName::server(),
        ik: hub.bundle().identity(),
        arg: MemberArgument::None,
        mg: 0,
        pm: Digest::ZERO,
        id: new_id(),
        ts: now_ms(),
    };
    let unsigned = [Unsigned::new(label::MEMBER, header.to_bytes(), Vec::new())];
    sign_all(&hub.keys().signing, &unsigned).pop().unwrap()
}

#[tokio::test]
async fn the_agent_inside_is_a_member_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let listener = TcpListener::bind(config.address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let (told, tells) = oneshot::channel();
    let rb = Nonce16([7; 16]);
    let host = move |hub: Hub| async move {
        let mut local = hub.connect_local().await.unwrap();
        local.send_binary(join(&hub, "room:lobby")).await.unwrap();
        let id = new_id();
        local.send_text(hub::write(&ClientToHub::Who { id, after: None })).await.unwrap();
        let mut texts = Vec::new();
        while texts.len() < 2 {
            for outgoing in local.recv().await.unwrap() {
                let Outgoing::Text(text) = outgoing else { continue };
                texts.push(hub::read::<HubToClient>(text.as_str()).unwrap());
            }
        }
        // The next thing is the KEY of who wants to talk to it.
        let key = loop {
            let batch = local.recv().await.unwrap();
            let binary = batch.into_iter().find_map(|outgoing| match outgoing {
                Outgoing::Binary(bytes) => Some(bytes),
                Outgoing::Text(_) => None,
            });
            if let Some(bytes) = binary {
                break Binary::decode(bytes).unwrap();
            }
        };
        told.send((texts, key)).ok();
        // Stays until the hub has ended.
        local.recv().await.ok();
    };
    let shutdown = async move {
        stopped.await.ok();
    };
    let running =
        tokio::spawn(chat_server::run_hosting(listener, config, Some(rb), host, shutdown));
    let greeting = connect(address).await.greeting;
    assert_eq!(greeting.bundle().header().rb, Some(rb));
    let mut alice = register_at(address, "alice", 0).await;
    let (a, server) = (alice.device.clone(), greeting.bundle().clone());
    alice.key_for_bundles(&cid("dm:alice:server"), &[&a.bundle, &server]).await;
    alice.ack().await;
    let (texts, key) = tells.await.unwrap();
    assert!(texts.iter().any(|text| matches!(text, HubToClient::Ack { .. })), "{texts:?}");
    assert!(matches!(key, Binary::Delivery(_)), "{key:?}");
    let agents = texts.iter().find_map(|text| match text {
        HubToClient::Who { people, .. } => Some(people.iter().filter(|p| p.agent).count()),
        _ => None,
    });
    assert_eq!(agents, Some(1));
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
}
