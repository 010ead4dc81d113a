//! One raw connection: signs in, sends bytes, reads answers.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use chat_protocol::crypto::{random, sha256};
use chat_protocol::handshake::{AuthBody, Credentials, Greeting, Mode, Purpose, SignedIn};
use chat_protocol::hub::{self, EpochHead, Head, HubToClient};
use chat_protocol::id::{MessageId, Nonce16};
use chat_protocol::keys::{Bundle, BundleOptions, DeviceKeys};
use chat_protocol::members::MemberList;
use chat_protocol::name::{ConversationId, UserName};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config, tungstenite::protocol::WebSocketConfig,
};

use crate::frames;

/// The library zero-fills this much at every read.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// The same on a connection for files.
const DATA_READ_BUFFER_BYTES: usize = 64 * 1024;

/// Receive buffer of a client that does not read.
const SLEEPER_BUFFER_BYTES: u32 = 4 * 1024;

pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A signed-in client.
pub(crate) struct LoadClient {
    pub(crate) socket: WebSocketStream<TcpStream>,
    pub(crate) user: UserName,
    pub(crate) keys: Arc<DeviceKeys>,
    pub(crate) bundle: Bundle,
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
        let stream = TcpStream::connect(server).await.context("connect")?;
        Self::register_over(stream, server, name, keys).await
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
        let user = UserName::new(name)?;
        let dev = sha256(name.as_bytes());
        let dev = Nonce16(*dev.first_chunk().context("a digest has 32 bytes")?);
        let bundle = keys.publish(&user, dev, None, now_ms(), BundleOptions::default())?;
        stream.set_nodelay(true)?;
        let body = AuthBody {
            purpose: Purpose::Task,
            pw: None,
            bundle: Some(bundle.bytes().to_vec()),
            vault: None,
            new_pw: None,
        };
        let how = (Mode::Reg, &body, READ_BUFFER_BYTES);
        let (socket, signed_in) = sign_in(stream, server, (&user, &keys), how).await?;
        Ok(Self { socket, user, keys, bundle, signed_in, receipts: 0 })
    }

    /// Opens a connection for files.
    pub(crate) async fn data_connection(
        &self,
        server: &str,
    ) -> anyhow::Result<WebSocketStream<TcpStream>> {
        let stream = TcpStream::connect(server).await.context("connect")?;
        stream.set_nodelay(true)?;
        let body =
            AuthBody { purpose: Purpose::Files, pw: None, bundle: None, vault: None, new_pw: None };
        let how = (Mode::Sig, &body, DATA_READ_BUFFER_BYTES);
        Ok(sign_in(stream, server, (&self.user, &self.keys), how).await?.0)
    }

    /// Joins a room, after whoever else joins it.
    pub(crate) async fn join(&mut self, cid: &ConversationId) -> anyhow::Result<()> {
        let heads = self.signed_in.heads.iter();
        let mut head: Head =
            heads.clone().find(|head| head.cid == *cid).context("no such room")?.clone();
        loop {
            let (id, frame) = frames::join(&self.keys, &self.bundle, cid, &head, now_ms())
                .context("a frame was signed")?;
            self.socket.send(Message::Binary(frame)).await?;
            match self.answer(&id).await? {
                HubToClient::Ack { .. } => return Ok(()),
                HubToClient::Noack { head: Some(newer), .. } => head = newer,
                other => bail!("join: {other:?}"),
            }
        }
    }

    /// Makes an epoch for these devices.
    pub(crate) async fn make_epoch(
        &mut self,
        cid: &ConversationId,
        list: &MemberList,
    ) -> anyhow::Result<EpochHead> {
        let (head, id, messages) = frames::epoch(&self.keys, &self.user, cid, list, None, now_ms());
        for message in messages {
            self.socket.send(Message::Binary(message)).await?;
        }
        match self.answer(&id).await? {
            HubToClient::Ack { .. } => Ok(head),
            other => bail!("epoch: {other:?}"),
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

    /// The answer to an id; everything else that comes is dropped.
    async fn answer(&mut self, wanted: &MessageId) -> anyhow::Result<HubToClient> {
        loop {
            let message: HubToClient = hub::read(&text(&mut self.socket).await?)?;
            let id = match &message {
                HubToClient::Ack { id, .. } => Some(id),
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

/// Opens a WebSocket and signs in on it.
async fn sign_in(
    stream: TcpStream,
    server: &str,
    (user, keys): (&UserName, &DeviceKeys),
    (mode, body, read_buffer_bytes): (Mode, &AuthBody, usize),
) -> anyhow::Result<(WebSocketStream<TcpStream>, SignedIn)> {
    let config = WebSocketConfig::default().read_buffer_size(read_buffer_bytes);
    let url = format!("ws://{server}/ws");
    let (mut socket, _) = client_async_with_config(url, stream, Some(config)).await?;
    let hello = text(&mut socket).await?;
    let greeting = Greeting::read(&hello)?;
    let credentials =
        Credentials { user, mode, signing: Some(&keys.signing), body, exporter: None };
    let (auth, sent) = greeting.auth(&credentials, &random().into())?;
    socket.send(Message::text(auth)).await?;
    match hub::read(&text(&mut socket).await?)? {
        HubToClient::Ok { body } => Ok((socket, sent.open(&body)?)),
        other => bail!("{user} is not signed in: {other:?}"),
    }
}

/// Whether this is the delivery of a receipt: the tag stands at the begin of its header.
fn is_receipt(bytes: &[u8]) -> bool {
    const MARK: &[u8] = br#""t":"ACK","stage":"delivered""#;
    bytes
        .get(..64.min(bytes.len()))
        .is_some_and(|start| start.windows(MARK.len()).any(|w| w == MARK))
}

async fn text(socket: &mut WebSocketStream<TcpStream>) -> anyhow::Result<String> {
    loop {
        match socket.next().await.context("the server closed the connection")?? {
            Message::Text(text) => return Ok(text.to_string()),
            Message::Close(frame) => bail!("the server closed the connection: {frame:?}"),
            _ => {}
        }
    }
}
