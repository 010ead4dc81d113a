//! One file after another from a giver to a taker. The chunks have the length of real ones and random
//! bodies: the server opens none.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use chat_protocol::crypto::random;
use chat_protocol::file::chunk::FileHeader;
use chat_protocol::file::relay::{HubToRelay, RelayToHub};
use chat_protocol::frame;
use chat_protocol::header::{Canonical as _, Recipient};
use chat_protocol::hub;
use chat_protocol::id::{MessageId, Nonce16};
use chat_protocol::keys::{DeviceKeys, KeySizes};
use chat_protocol::limits::FILE_CHUNK_BYTES;
use chat_protocol::name::ConversationId;
use chat_protocol::tag::Tag;
use chat_testkit::now_ms;
use chat_testkit::wire::Socket;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::Message;

use crate::Arguments;
use crate::client::LoadClient;
use crate::scenario::Outcome;

/// Chunks under way.
const WINDOW: u32 = 8;
/// What the taker gathers before it gives credit back.
const CREDIT_STEP: u32 = 4;
/// What a chunk has beside its data: ten hashes of path (a file of 64 MiB) and the tag.
const SEALED_BYTES: usize = 32 * 10 + 16;

/// Sends `messages` chunks from one data connection to another.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let keys = Arc::new(DeviceKeys::generate(KeySizes::EMULATED)?);
    let (near, far, prefix) = (arguments.server(0), arguments.server(1), &arguments.prefix);
    let alice = LoadClient::register(near, &format!("{prefix}-give"), Arc::clone(&keys)).await?;
    let bob = LoadClient::register(far, &format!("{prefix}-take"), keys).await?;
    let (mut giver, mut taker) =
        (alice.data_connection(near).await?, bob.data_connection(far).await?);
    let (tid, from, to) = (Nonce16(random()), alice.device.user.clone(), bob.device.user.clone());
    let take = RelayToHub::Take { tid, from, credit: WINDOW, parts: Vec::new() };
    say(&mut taker, &take).await?;
    say(&mut giver, &RelayToHub::Give { tid, to: to.clone() }).await?;
    let header = FileHeader {
        v: 1,
        t: Tag::File,
        cid: ConversationId::direct(&alice.device.user, &bob.device.user)?,
        from: alice.device.user.clone(),
        sk: alice.device.keys.signing_id(),
        to: Recipient::User(to),
        id: MessageId::new(now_ms(), random()),
        tid,
        i: 0,
        last: false,
        ts: now_ms(),
    };
    let chunks = u32::try_from(arguments.messages).context("too many chunks")?;
    let (start, cpu) = (Instant::now(), arguments.cpu_seconds()?);
    let (sent, received) = tokio::join!(give(giver, header, chunks), receive(taker, tid));
    sent?;
    let bytes = received?;
    Ok(Outcome {
        sent: arguments.messages,
        delivered: bytes / FILE_CHUNK_BYTES,
        elapsed: start.elapsed(),
        cpu_seconds: arguments.cpu_seconds()? - cpu,
        p50_ms: 0.0,
        p99_ms: 0.0,
    })
}

async fn say(socket: &mut Socket, message: &RelayToHub) -> anyhow::Result<()> {
    Ok(socket.send(Message::text(hub::write(message))).await?)
}

async fn give(mut socket: Socket, mut header: FileHeader, chunks: u32) -> anyhow::Result<()> {
    let body = vec![random::<1>()[0]; FILE_CHUNK_BYTES + SEALED_BYTES];
    let mut credit = 0;
    for index in 0..chunks {
        while credit == 0 {
            match text(&mut socket).await? {
                HubToRelay::Credit { n, .. } => credit += n,
                other => bail!("the giver was told {other:?}"),
            }
        }
        credit -= 1;
        header.i = index;
        header.last = index + 1 == chunks;
        let chunk: Bytes = frame::unsigned(header.to_bytes(), body.clone());
        socket.send(Message::Binary(chunk)).await?;
    }
    let end = RelayToHub::End { tid: header.tid, reason: String::new() };
    say(&mut socket, &end).await
}

/// Takes chunks to the end; gives the bytes of their data.
async fn receive(mut socket: Socket, tid: Nonce16) -> anyhow::Result<usize> {
    let (mut bytes, mut taken) = (0, 0);
    loop {
        match socket.next().await.context("the server closed the connection")?? {
            Message::Binary(chunk) => {
                bytes += FILE_CHUNK_BYTES.min(chunk.len());
                taken += 1;
                if taken == CREDIT_STEP {
                    taken = 0;
                    say(&mut socket, &RelayToHub::Credit { tid, n: CREDIT_STEP }).await?;
                }
            }
            Message::Text(text) => match hub::read(&text)? {
                HubToRelay::End { code, .. } if code.is_empty() => return Ok(bytes),
                other => bail!("the taker was told {other:?}"),
            },
            Message::Close(reason) => bail!("the server closed the connection: {reason:?}"),
            _ => {}
        }
    }
}

async fn text(socket: &mut Socket) -> anyhow::Result<HubToRelay> {
    loop {
        match socket.next().await.context("the server closed the connection")?? {
            Message::Text(text) => return Ok(hub::read(&text)?),
            Message::Close(reason) => bail!("the server closed the connection: {reason:?}"),
            _ => {}
        }
    }
}
