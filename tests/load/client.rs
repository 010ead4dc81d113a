//! One raw connection: signs in, sends bytes, reads answers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use chat_protocol::crypto::sha256;
use chat_protocol::handshake::SignedIn;
use chat_protocol::header::MemberOperation;
use chat_protocol::hub::{self, EpochHead, Head, HubToClient};
use chat_protocol::id::{MessageId, Nonce16};
use chat_protocol::keys::DeviceKeys;
use chat_protocol::members::{MemberList, Place};
use chat_protocol::name::ConversationId;
use chat_testkit::device::Device;
use chat_testkit::wire::{Entry, Fresh, Socket, WireError};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// The library zero-fills this much at every read.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// The same on a connection for files.
const DATA_READ_BUFFER_BYTES: usize = 64 * 1024;

/// Receive buffer of a client that does not read.
const SLEEPER_BUFFER_BYTES: u32 = 4 * 1024;

/// How often one comes who is put off: several servers that share a log may be in each other's way.
const SIGN_UPS_MAX: u32 = 20;

/// A signed-in client.
pub(crate) struct LoadClient {
    pub(crate) socket: Socket,
    pub(crate) device: Device,
    pub(crate) signed_in: SignedIn,
    /// Receipts that came while it was sending.
    receipts: usize,
}

impl LoadClient {
    /// Makes an account and signs in.
    pub(crate) async fn register(
        server: &str,
        name: &str,
        keys: Arc<DeviceKeys>,
    ) -> anyhow::Result<Self> {
        let mut tries = 0;
        loop {
            let stream = TcpStream::connect(server).await.context("connect")?;
            let error = match Self::register_over(stream, server, name, Arc::clone(&keys)).await {
                Ok(client) => return Ok(client),
                Err(error) => error,
            };
            tries += 1;
            let wait = match error.downcast_ref::<WireError>() {
                Some(WireError::Later { after_ms, .. }) if tries < SIGN_UPS_MAX => *after_ms,
                _ => return Err(error),
            };
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
    }

    /// The same with hardly any room for what is not read, so that the server feels it soon.
    pub(crate) async fn register_sleeper(
        server: &str,
        name: &str,
        keys: Arc<DeviceKeys>,
    ) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(SLEEPER_BUFFER_BYTES)?;
        let stream = socket.connect(server.parse().context("server")?).await.context("connect")?;
        Self::register_over(stream, server, name, keys).await
    }

    async fn register_over(
        stream: TcpStream,
        server: &str,
        name: &str,
        keys: Arc<DeviceKeys>,
    ) -> anyhow::Result<Self> {
        let dev = sha256(name.as_bytes());
        let dev = Nonce16(*dev.first_chunk().context("a digest has 32 bytes")?);
        let device = Device::with_keys(name, keys, dev);
        let entry = Entry::reg(&device);
        let (socket, signed_in) =
            sign_in(stream, server, &device, (&entry, READ_BUFFER_BYTES)).await?;
        Ok(Self { socket, device, signed_in, receipts: 0 })
    }

    /// Opens a connection for files.
    pub(crate) async fn data_connection(&self, server: &str) -> anyhow::Result<Socket> {
        let stream = TcpStream::connect(server).await.context("connect")?;
        let how = (&Entry::files(), DATA_READ_BUFFER_BYTES);
        Ok(sign_in(stream, server, &self.device, how).await?.0)
    }

    /// Joins a room, after whoever else joins it.
    pub(crate) async fn join(&mut self, cid: &ConversationId) -> anyhow::Result<()> {
        let heads = self.signed_in.heads.iter();
        let mut head: Head =
            heads.clone().find(|head| head.cid == *cid).context("no such room")?.clone();
        loop {
            let place = (head.mg, head.pm);
            let (header, frame) = self.device.link(cid, MemberOperation::Join, place);
            match self.settled(&header.id, &[frame]).await? {
                HubToClient::Ack { .. } => return Ok(()),
                HubToClient::Noack { head: Some(newer), .. } => head = newer,
                other => bail!("join: {other:?}"),
            }
        }
    }

    /// Makes an epoch for these devices. Where the chain of a room ends, the hub says when it refuses the first one.
    pub(crate) async fn make_epoch(
        &mut self,
        cid: &ConversationId,
        list: &MemberList,
    ) -> anyhow::Result<EpochHead> {
        let mut place = Place::START;
        loop {
            let epoch = self.device.epoch_at(cid, place, None, list);
            match self.settled(&epoch.id, &epoch.messages).await? {
                HubToClient::Ack { .. } => return Ok(epoch.head),
                HubToClient::Noack { head: Some(head), .. } if place == Place::START => {
                    place = Place { mg: head.mg, pm: head.pm };
                }
                other => bail!("epoch: {other:?}"),
            }
        }
    }

    /// Reads until this many receipts have come since the sending began.
    pub(crate) async fn await_receipts(&mut self, count: usize) -> anyhow::Result<()> {
        while self.receipts < count {
            let next = self.socket.next().await.context("the server closed the connection")??;
            if let Message::Binary(bytes) = next {
                self.receipts += usize::from(is_receipt(&bytes));
            }
        }
        Ok(())
    }

    /// Sends these frames, and again as often as the hub puts them off. Gives the answer to this id.
    async fn settled(&mut self, id: &MessageId, frames: &[Bytes]) -> anyhow::Result<HubToClient> {
        loop {
            for frame in frames {
                self.socket.send(Message::Binary(frame.clone())).await?;
            }
            match self.answer(id).await? {
                HubToClient::Retry { after_ms, .. } => {
                    tokio::time::sleep(Duration::from_millis(after_ms)).await;
                }
                answer => return Ok(answer),
            }
        }
    }

    /// What the hub says to an id; everything else that comes is dropped.
    async fn answer(&mut self, wanted: &MessageId) -> anyhow::Result<HubToClient> {
        loop {
            let message: HubToClient = hub::read(&text(&mut self.socket).await?)?;
            let id = match &message {
                HubToClient::Ack { id, .. } | HubToClient::Retry { id, .. } => Some(id),
                HubToClient::Noack { id, .. } => id.as_ref(),
                _ => None,
            };
            if id == Some(wanted) {
                return Ok(message);
            }
        }
    }

    /// Sends frames with at most `window` of them unanswered; a refusal ends it.
    pub(crate) async fn send_all(
        &mut self,
        frames: Vec<(MessageId, Bytes)>,
        window: usize,
        mut on_send: impl FnMut(usize),
        mut on_answer: impl FnMut(usize),
    ) -> anyhow::Result<()> {
        let (mut flying, mut answered) = (0usize, 0usize);
        let mut waiting = frames.into_iter().enumerate();
        loop {
            while flying < window {
                let Some((index, (_, frame))) = waiting.next() else { break };
                on_send(index);
                self.socket.feed(Message::Binary(frame)).await?;
                flying += 1;
            }
            self.socket.flush().await?;
            if flying == 0 {
                return Ok(());
            }
            let line =
                match self.socket.next().await.context("the server closed the connection")?? {
                    Message::Text(line) => line,
                    Message::Binary(bytes) => {
                        self.receipts += usize::from(is_receipt(&bytes));
                        continue;
                    }
                    _ => continue,
                };
            // A load that is put off measures nothing, and would wait for ever.
            if line.contains("\"tag\":\"RETRY\"") {
                bail!("put off: {line}");
            }
            // The answers of one sender in one conversation come in order.
            if line.contains("\"tag\":\"ACK\"") || line.contains("\"tag\":\"NOACK\"") {
                if line.contains("\"tag\":\"NOACK\"") {
                    bail!("refused: {line}");
                }
                on_answer(answered);
                answered += 1;
                flying -= 1;
            }
        }
    }
}

/// Opens a WebSocket with this read buffer and signs in on it.
async fn sign_in(
    stream: TcpStream,
    server: &str,
    device: &Device,
    (entry, read_buffer_bytes): (&Entry, usize),
) -> anyhow::Result<(Socket, SignedIn)> {
    let config = WebSocketConfig::default().read_buffer_size(read_buffer_bytes);
    Ok(Fresh::over(stream, server, Some(config)).await?.sign_in(device, entry).await?)
}

/// Whether this is the delivery of a receipt: the tag stands at the begin of its header.
fn is_receipt(bytes: &[u8]) -> bool {
    const MARK: &[u8] = br#""t":"ACK","stage":"delivered""#;
    bytes
        .get(..64.min(bytes.len()))
        .is_some_and(|start| start.windows(MARK.len()).any(|w| w == MARK))
}

async fn text(socket: &mut Socket) -> anyhow::Result<String> {
    loop {
        match socket.next().await.context("the server closed the connection")?? {
            Message::Text(text) => return Ok(text.to_string()),
            Message::Close(frame) => bail!("the server closed the connection: {frame:?}"),
            _ => {}
        }
    }
}
