//! While Redis stands still.

use chat_protocol::{hub::HubToClient, id::MessageId, tag::Tag};
use chat_testkit::{
    PATIENCE, cid,
    client::Client,
    device::Device,
    wire::{Entry, Fresh},
};
use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::Instant,
};

use super::{node::node, server::redis};

async fn register(address: &str, user: &str, index: usize) -> Client {
    let device = Device::new(user, index);
    let fresh = Fresh::connect(address).await.expect("a connection");
    fresh.enter(&device, &Entry::reg(&device)).await.expect("let in")
}

/// The id of the message that is to come again.
async fn retry(client: &mut Client) -> MessageId {
    match client.answer().await {
        HubToClient::Retry { id, .. } => id,
        other => panic!("RETRY expected, {other:?} came"),
    }
}

/// Waits until a server says that it is not ready.
async fn not_ready(address: &str) {
    let end = Instant::now() + PATIENCE;
    loop {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let question = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(question.as_bytes()).await.expect("asked");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        if answer.starts_with("HTTP/1.1 503") {
            return;
        }
        assert!(Instant::now() < end, "{answer}");
    }
}

/// Goal: a message that was told to come again is stored when it does, whatever was sent behind it meanwhile. Method: one
/// is under way while Redis stands still, one is told to come again, and the one after that is sent first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_put_off_is_not_passed_by_what_was_sealed_behind_it() {
    let Some(redis) = redis().await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let node = node(&redis, folder.path(), "n1").await;
    let mut alice = register(&node.address, "alice", 0).await;
    let mut bob = register(&node.address, "bob", 1).await;
    let place = cid("dm:alice:bob");
    let devices = [&alice.device.clone(), &bob.device.clone()];
    let epoch = alice.key(&place, None, &devices).await;
    alice.ack().await;
    bob.delivery().await;
    redis.signal(Signal::STOP);
    alice.say(Tag::Dm, &place, epoch.e, 0).await;
    // By then the first one waits alone.
    not_ready(&node.address).await;
    let put_off = alice.say(Tag::Dm, &place, epoch.e, 1).await;
    let first = retry(&mut alice).await;
    redis.signal(Signal::CONT);
    let (position, _) = alice.ack().await;
    let behind = alice.say(Tag::Dm, &place, epoch.e, 2).await;
    let later = retry(&mut alice).await;
    assert_ne!(later, first);
    for frame in [put_off, behind] {
        alice.send_frame(frame).await;
        assert!(alice.ack().await.0 > position);
    }
    for n in 0..=2 {
        assert_eq!(bob.message().await.1.n, n);
    }
    drop((alice, bob));
    node.stop().await;
}
