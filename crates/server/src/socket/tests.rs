//! The meter and the budgets on a real pair of sockets; the peer writes raw frames.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::limits::{SILENT_BYTES_MAX, SILENT_READS_MAX};

/// The server's socket and the raw stream of its peer.
async fn pair() -> (Socket, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    peer.set_nodelay(true).unwrap();
    (Socket::open(Transport::Plain(stream), Bytes::new()).await, peer)
}

/// A masked frame with a mask of zeros, so that the payload reads as it is.
fn frame(head: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap();
    let mut bytes = vec![head];
    if length < 126 {
        bytes.push(0x80 | u8::try_from(length).unwrap());
    } else {
        bytes.push(0x80 | 0x7e);
        bytes.extend(length.to_be_bytes());
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

/// Payload of a long message.
static LONG: [u8; 60_000] = [b'a'; 60_000];

const TEXT: u8 = 0x81;
const TEXT_UNFINISHED: u8 = 0x01;
const CONTINUED: u8 = 0x00;
const PING: u8 = 0x89;

async fn next(socket: &mut Socket) -> Result<Message, Error> {
    let next = timeout(Duration::from_secs(30), socket.next());
    next.await.expect("neither a message nor an error").expect("the stream ended")
}

fn code(error: &Error) -> u16 {
    CloseReason::for_error(error).map_or(0, |reason| reason.code())
}

#[tokio::test]
async fn empty_fragments_are_cut_by_their_bytes() {
    let (mut socket, mut peer) = pair().await;
    let flood = tokio::spawn(async move {
        peer.write_all(&frame(TEXT_UNFINISHED, b"")).await.unwrap();
        let block = frame(CONTINUED, b"").repeat(1_000);
        let mut sent = 0;
        while peer.write_all(&block).await.is_ok() {
            sent += block.len();
        }
        sent
    });
    let error = next(&mut socket).await.unwrap_err();
    assert_eq!(code(&error), 1008, "{error}");
    drop(socket);
    let sent = u64::try_from(flood.await.unwrap()).unwrap();
    assert!(sent > SILENT_BYTES_MAX / 2, "cut after only {sent} bytes");
}

#[tokio::test]
async fn a_ping_now_and_then_does_not_hide_a_flood_of_fragments() {
    let (mut socket, mut peer) = pair().await;
    tokio::spawn(async move {
        let mut block = frame(CONTINUED, b"").repeat(100_000);
        block.extend(frame(PING, b"I am fine"));
        peer.write_all(&frame(TEXT_UNFINISHED, b"")).await.unwrap();
        while peer.write_all(&block).await.is_ok() {}
    });
    let mut pings = 0;
    let error = loop {
        match next(&mut socket).await {
            Ok(message) => pings += usize::from(message.is_ping()),
            Err(error) => break error,
        }
    };
    assert_eq!(code(&error), 1008, "{error}");
    assert_eq!(pings, 3, "600 kB between two pings, 2 MiB allowed");
}

/// How many pieces one read finds is up to the kernel, so the reads are booked by hand.
#[tokio::test]
async fn a_message_in_tiny_pieces_is_cut_by_its_reads() {
    let (mut socket, _peer) = pair().await;
    let metered = socket.inner.get_mut();
    for _ in 0..SILENT_READS_MAX {
        metered.count(1).unwrap();
    }
    let error = Error::Io(metered.count(1).unwrap_err());
    assert_eq!(code(&error), 1008, "{error}");
}

#[tokio::test]
async fn messages_settle_what_they_cost() {
    let (mut socket, mut peer) = pair().await;
    let count = 200;
    tokio::spawn(async move {
        for _ in 0..count {
            peer.write_all(&frame(TEXT, &LONG)).await.unwrap();
        }
        std::future::pending::<()>().await;
    });
    for _ in 0..count {
        assert_eq!(next(&mut socket).await.unwrap().len(), 60_000);
    }
    assert!(socket.pulse().take(), "twelve megabytes were heard");
    assert!(!socket.pulse().take(), "and nothing since");
}

#[tokio::test]
async fn a_ping_flood_is_cut_whether_the_pongs_are_read_or_not() {
    for reads in [false, true] {
        let (mut socket, peer) = pair().await;
        let (mut read_half, mut write_half) = peer.into_split();
        tokio::spawn(async move {
            let block = frame(PING, &[b'p'; 125]).repeat(100);
            while write_half.write_all(&block).await.is_ok() {}
        });
        if reads {
            tokio::spawn(async move {
                let mut pongs = vec![0; 4096];
                while read_half.read(&mut pongs).await.is_ok_and(|length| length > 0) {}
            });
        }
        let mut pings = 0;
        let error = loop {
            match next(&mut socket).await {
                Ok(_) => pings += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(code(&error), 1008, "{error}");
        assert!((CONTROL_FRAMES_BURST..CONTROL_FRAMES_BURST + 10).contains(&pings), "{pings}");
    }
}

#[test]
fn pings_earn_their_place_back() {
    let (mut budget, start) = (ControlBudget::default(), Instant::now());
    let mut at = |milliseconds| budget.allow(start + Duration::from_millis(milliseconds));
    for n in 0..CONTROL_FRAMES_BURST {
        assert!(at(0), "ping {n} of the burst");
    }
    assert!(!at(0));
    assert!(!at(199));
    assert!(at(200), "five a second");
    assert!(!at(399), "what a refused one waited is not forgotten, nor counted twice");
    assert!(at(400));
    for _ in 0..CONTROL_FRAMES_BURST {
        assert!(at(3_600_000), "a pause fills it again, and never more than full");
    }
    assert!(!at(3_600_000));
}

/// Goal: the peer can read why, although it never stopped sending. Method: it floods, then reads.
#[tokio::test]
async fn the_reason_arrives_although_input_was_waiting() {
    let (socket, mut peer) = pair().await;
    peer.write_all(&frame(TEXT, &LONG).repeat(3)).await.unwrap();
    let closing = tokio::spawn(async move {
        socket.close(&CloseReason::TooLarge("too large".into())).await;
    });
    let mut reply = Vec::new();
    let read = timeout(Duration::from_secs(10), async {
        while let Ok(length @ 1..) = peer.read_buf(&mut reply).await {
            let _ = length;
        }
    });
    read.await.unwrap();
    assert_eq!(reply.get(..4), Some(&[0x88, 11, 0x03, 0xf1][..]), "a close frame of 1009");
    drop(peer);
    closing.await.unwrap();
}

/// Goal: a flush without a waker loses no wake-up. Method: far more than the kernel holds, to a
/// peer that begins to read when the sender has stopped, through both halves of a split socket.
#[tokio::test]
async fn a_blocked_flush_goes_on_when_the_peer_reads() {
    let (socket, mut peer) = pair().await;
    let (mut sink, mut stream) = socket.split();
    let reading = tokio::spawn(async move { stream.next().await });
    let sending = tokio::spawn(async move {
        for _ in 0..100 {
            sink.send(Message::binary(vec![7; 250_000])).await.unwrap();
        }
        sink
    });
    let mut received = vec![0; 64 * 1024];
    while timeout(Duration::from_millis(50), peer.peek(&mut received)).await.is_err() {}
    let mut left = 100 * (250_000 + 10);
    while left > 0 {
        let read = timeout(Duration::from_secs(10), peer.read(&mut received));
        left -= read.await.expect("the sender sleeps").unwrap();
    }
    drop(sending.await.unwrap());
    drop(peer);
    reading.await.unwrap();
}
