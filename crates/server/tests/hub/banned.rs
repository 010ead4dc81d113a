//! Who is kept out by their address, behind a proxy that says where people come from.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use chat_server::limits::BARRED_TOLD_MAX;

use crate::client::{Device, Entry, config, enter, register, start};

/// A proxy before a hub, which says of everybody that they come from this address.
async fn proxy(hub: SocketAddr, says: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(pass(stream, hub, says));
        }
    });
    address
}

async fn pass(mut from: TcpStream, hub: SocketAddr, says: &str) {
    let mut to = TcpStream::connect(hub).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(from.read_u8().await.unwrap());
    }
    head.truncate(head.len() - 2);
    head.extend_from_slice(format!("X-Forwarded-For: {says}\r\n\r\n").as_bytes());
    to.write_all(&head).await.unwrap();
    copy_bidirectional(&mut from, &mut to).await.ok();
}

/// What a page answers.
async fn page(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Goal: a banned address behind a trusted proxy makes no account, does not sign in and sees no page, and is told
/// why. Before: it did all of that, and each session was cut after it had begun, without a code.
/// Method: one proxy says a banned address and another one a good one.
#[tokio::test]
async fn a_banned_address_behind_a_proxy_neither_makes_an_account_nor_signs_in() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    config.bans = vec!["203.0.113.0/24".parse().unwrap()];
    let server = start(config).await;
    let banned = proxy(server.address, "203.0.113.9").await;
    let good = proxy(server.address, "198.51.100.9").await;

    let alice = Device::new("alice", 0);
    let bob = register(&server, "bob", 1).await.bye().await;
    for (who, entry) in [(&alice, Entry::reg(&alice)), (&bob, Entry::sig()), (&bob, Entry::files())]
    {
        let refused = enter(banned, who, entry).await;
        let Err((code, reason)) = refused else { panic!("let in") };
        assert_eq!(
            (code.as_str(), reason.contains("this address")),
            ("E_BARRED", true),
            "{reason}"
        );
    }
    assert!(page(banned).await.starts_with("HTTP/1.1 403"), "{}", page(banned).await);
    assert!(page(good).await.starts_with("HTTP/1.1 200"), "{}", page(good).await);
    // The name is still free: nothing was made of it.
    enter(good, &alice, Entry::reg(&alice)).await.unwrap().bye().await;
    enter(good, &bob, Entry::sig()).await.unwrap().bye().await;
    server.stop().await.unwrap();
}

/// Goal: who comes from a banned address is told so, page or sign-in, and a crowd of them costs nothing: beyond
/// some at a time they are cut at once. Before: all were cut, and a client said that nobody speaks WebSocket there.
#[tokio::test]
async fn a_banned_address_is_told_so_and_a_crowd_of_them_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.bans = vec!["127.0.0.0/8".parse().unwrap()];
    let server = start(config).await;
    let alice = Device::new("alice", 0);
    let Err((code, reason)) = enter(server.address, &alice, Entry::reg(&alice)).await else {
        panic!("let in");
    };
    assert_eq!((code.as_str(), reason.contains("this address")), ("E_BARRED", true), "{reason}");
    let page = page(server.address).await;
    assert!(page.starts_with("HTTP/1.1 403") && page.contains("this address"), "{page}");

    let mut crowd = Vec::new();
    for _ in 0..2 * BARRED_TOLD_MAX {
        crowd.push(TcpStream::connect(server.address).await.unwrap());
    }
    // Nothing was asked: a connection that was cut ends, one that has a place waits.
    let last = crowd.last_mut().unwrap();
    assert!(!matches!(last.read(&mut [0]).await, Ok(1..)), "cut without a word");
    drop(crowd);
    server.stop().await.unwrap();
}
