//! A member who does not read: cut, and nobody else notices.

use std::time::{Duration, Instant};

use bytes::Bytes;
use chat_protocol::{
    crypto::random,
    header::{Canonical as _, MemberOperation},
    hub::HubToClient,
    id::Digest,
    tag::{Tag, label},
};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{Server, cid, fresh, register, sign_in};

/// More than the sockets of both sides and an outbox hold together.
const MESSAGES: u32 = 240;
const BODY_BYTES: usize = 100 * 1024;

pub(crate) async fn metrics(server: &Server) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Goal: a reader that stands still costs itself its connection, and nothing else: the other member
/// has everything at once, and the slow one has everything after it has come back. Method: 24 MB to
/// a socket that nobody reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stands_still_is_cut_and_gets_everything_afterwards() {
    let (server, _folder) = fresh().await;
    let mut alice = register(&server, "alice", 0).await;
    let mut bob = register(&server, "bob", 1).await;
    let mut carol = register(&server, "carol", 2).await;
    let place = cid("room:lobby");
    let mut link = (0, Digest::ZERO);
    for client in [&mut alice, &mut bob, &mut carol] {
        link = (link.0 + 1, client.link(&place, MemberOperation::Join, link).await);
        client.ack().await;
    }
    let devices = [&alice.device.clone(), &bob.device.clone(), &carol.device.clone()];
    let epoch = alice.key_kept(&place, None, &devices).await;
    let frames: Vec<Bytes> = (0..MESSAGES)
        .map(|n| {
            let header = alice.device.message(Tag::Text, &place, epoch.e, n);
            let body = random::<64>().repeat(BODY_BYTES / 64);
            alice.device.sign(label::MSG, header.to_bytes(), body)
        })
        .collect();
    let start = Instant::now();
    let reading = tokio::spawn(async move {
        for n in 0..MESSAGES {
            assert_eq!(carol.message().await.1.n, n);
        }
        start.elapsed()
    });
    for frame in frames {
        alice.send_frame(frame).await;
        alice.ack().await;
    }
    reading.await.unwrap();
    let bob_left = |notice: &HubToClient| {
        matches!(notice, HubToClient::Presence { left, .. }
            if left.iter().any(|name| name.as_str() == "bob"))
    };
    alice.notice(bob_left).await;
    let cut = start.elapsed();
    assert!(cut < Duration::from_secs(11), "cut after {cut:?}");
    let figures = metrics(&server).await;
    let counted = figures.lines().any(|line| line.contains("overflowed") && line.ends_with(" 1"));
    assert!(counted, "counted once: {figures}");
    let mut bob = sign_in(&server, &bob.device).await;
    for n in 0..MESSAGES {
        assert_eq!(bob.message().await.1.n, n, "everything, in order");
    }
    server.stop().await.unwrap();
}
