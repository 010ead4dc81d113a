//! What survives the end of the process, and what happens when the disk does not.

use chat_protocol::{
    header::MemberOperation,
    hub::{ClientToHub, HubToClient},
    id::Digest,
    tag::Tag,
};
use chat_server::RunError;

use crate::client::{cid, config, new_id, register, sign_in, start};

#[tokio::test]
async fn a_restart_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(config(folder.path())).await;
    let mut alice = register(&server, "alice", 0).await;
    let bob = register(&server, "bob", 1).await;
    let lobby = cid("room:lobby");
    let link = alice.link_kept(&lobby, MemberOperation::Join, (0, Digest::ZERO)).await;
    let place = cid("dm:alice:bob");
    let (a, b) = (alice.device.clone(), bob.device.clone());
    let epoch = alice.key_kept(&place, None, &[&a, &b]).await;
    let frame = alice.say(Tag::Dm, &place, epoch.e, 0).await;
    let (position, _) = alice.ack().await;
    alice.say(Tag::Dm, &place, epoch.e, 4).await;
    let (last, _) = alice.ack().await;
    server.stop().await.unwrap();
    assert_eq!(alice.closed().await.0, 1012, "told that it restarts");

    let server = start(config(folder.path())).await;
    let mut alice = sign_in(&server, &a).await;
    let (id, cids) = (new_id(), vec![place.clone(), lobby.clone()]);
    alice.send_text(&ClientToHub::Counters { id, cids }).await;
    let HubToClient::Counters { counters, .. } = alice.answer().await else { panic!() };
    let [counter] = &counters[..] else { panic!("one counter") };
    assert_eq!(counter.cid, place);
    assert_eq!((counter.epoch.e, counter.n), (epoch.e, 4));
    let head = alice.signed_in.heads.iter().find(|head| head.cid == lobby).unwrap();
    assert_eq!((head.mg, head.pm), (1, link));
    alice.send_frame(frame).await;
    assert_eq!(alice.ack().await.0, position, "the first answer again");
    alice.say(Tag::Dm, &place, epoch.e, 3).await;
    assert_eq!(alice.noack().await, "E_REPLAY");
    alice.say(Tag::Dm, &place, epoch.e, 5).await;
    assert!(alice.ack().await.0 > last);
    let mut bob = sign_in(&server, &b).await;
    for n in [0, 4, 5] {
        assert_eq!(bob.message().await.1.n, n);
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_server_does_not_start_on_the_same_folder() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(config(folder.path())).await;
    let mut alice = register(&server, "alice", 0).await;
    let error = start(config(folder.path())).await.end().await.unwrap_err();
    assert!(matches!(error, RunError::Lock(_)), "{error}");
    assert_eq!(error.exit_code(), 1);
    assert!(error.to_string().contains("data"), "{error}");
    alice.settle().await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_what_is_new_and_the_server_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.database_pages_max = Some(64);
    let server = start(config).await;
    let mut alice = register(&server, "alice", 0).await;
    let bob = register(&server, "bob", 1).await;
    let place = cid("dm:alice:bob");
    let devices = [&alice.device.clone(), &bob.device.clone()];
    let epoch = alice.key_kept(&place, None, &devices).await;
    let mut refused = false;
    for n in 0..2_000 {
        alice.say(Tag::Dm, &place, epoch.e, n).await;
        match alice.answer().await {
            HubToClient::Ack { .. } => {}
            HubToClient::Noack { code, .. } => {
                assert_eq!(code, "E_STORAGE_FULL");
                refused = true;
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(refused, "64 pages hold no 2,000 messages");
    // Nobody would say a receipt again, so the device is asked to. A few still fit.
    let mut is_asked = false;
    for _ in 0..500 {
        alice.receipt(&place, &bob.device.user.clone()).await;
        match alice.answer().await {
            HubToClient::Ack { .. } => {}
            HubToClient::Retry { after_ms, .. } => {
                assert!(after_ms > 0);
                is_asked = true;
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(is_asked, "the free pages hold no 500 receipts");
    // What is said first in a conversation waits for its key: who writes it is to be told.
    let mut is_refused = false;
    let mut head = epoch;
    for _ in 0..500 {
        let next = alice.key(&place, Some(head), &devices).await;
        match alice.answer().await {
            HubToClient::Ack { .. } => head = next,
            HubToClient::Noack { code, .. } => {
                assert_eq!(code, "E_STORAGE_FULL");
                is_refused = true;
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(is_refused, "the free pages hold no 500 keys");
    alice.settle().await;
    server.stop().await.unwrap();
}
