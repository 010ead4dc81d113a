//! One WebSocket: the transport under it, the meter between them, and a stream and sink on top.
//!
//! ```text
//!  TcpStream | TlsStream  ->  Metered (counts bytes and reads)  ->  WebSocketStream  ->  Socket
//! ```
//!
//! The library answers pings and joins fragments without telling anybody, so a peer could keep it
//! busy for ever with input that never becomes a message. The meter sees that input: it counts what
//! arrives, [`Socket`] settles the count with each message, and above the bound the read fails.

mod transport;

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        protocol::{Role, WebSocketConfig},
    },
};

use transport::Metered;
pub use transport::Transport;

use crate::{
    close::CloseReason,
    limits::{
        CLOSE_DISCARD_BYTES_MAX, CLOSE_TIME_MAX, CONTROL_FRAMES_BURST, CONTROL_FRAMES_PER_SECOND,
        DATA_READ_BUFFER_BYTES, READ_BUFFER_BYTES, WRITE_BACKLOG_BYTES_MAX, WRITE_BUFFER_BYTES,
        WS_FRAME_BYTES_MAX, WS_MESSAGE_BYTES_MAX,
    },
};

/// First byte of a text message in one frame (RFC 6455, section 5.2).
const TEXT_FRAME: u8 = 0x81;
/// Longest payload whose length stands in the second byte.
const SHORT_LENGTH_MAX: u8 = 125;
/// The second byte when two bytes of length follow.
const TWO_BYTES_OF_LENGTH: u8 = 126;

/// Whether anything was heard from the peer since somebody last asked.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<AtomicBool>);

impl Pulse {
    /// Tells whether bytes arrived since the last call.
    pub fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }

    /// Notes that bytes arrived.
    pub fn beat(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A WebSocket of which the server's side has been opened.
///
/// As a stream it gives every message, pings and pongs included (they are answered already). It
/// ends after an error; [`CloseReason::for_error`] says what the peer should be told.
#[derive(Debug)]
pub struct Socket {
    inner: WebSocketStream<Metered>,
    control: ControlBudget,
}

/// The configuration of every WebSocket; the library's defaults cost 135 kB for an idle connection
/// and have no bound on what waits to be written.
fn config(read_buffer_bytes: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(read_buffer_bytes)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BACKLOG_BYTES_MAX)
        .max_frame_size(Some(WS_FRAME_BYTES_MAX))
        .max_message_size(Some(WS_MESSAGE_BYTES_MAX))
}

impl Socket {
    /// Takes over a transport on which the upgrade has been answered. `already_read` are bytes that
    /// came behind the HTTP head.
    pub async fn open(transport: Transport, already_read: Bytes) -> Self {
        let metered = Metered::new(transport);
        let inner = WebSocketStream::from_partially_read(
            metered,
            already_read.into(),
            Role::Server,
            Some(config(READ_BUFFER_BYTES)),
        )
        .await;
        Self { inner, control: ControlBudget::default() }
    }

    /// The same connection with new buffers. The library keeps them as large as the longest message
    /// so far, and for an idle client that is its sign-in.
    ///
    /// Only between AUTH and its answer: a client has nothing to say there, and what it says too
    /// early is lost.
    pub async fn renew(self) -> Self {
        self.with_new_buffers(READ_BUFFER_BYTES).await
    }

    /// The same for a connection that carries files: a chunk comes in a few large reads.
    pub async fn renew_for_files(self) -> Self {
        self.with_new_buffers(DATA_READ_BUFFER_BYTES).await
    }

    async fn with_new_buffers(self, read_buffer_bytes: usize) -> Self {
        let Self { inner, control } = self;
        let metered = inner.into_inner();
        let config = config(read_buffer_bytes);
        let inner = WebSocketStream::from_raw_socket(metered, Role::Server, Some(config)).await;
        Self { inner, control }
    }

    /// Tells whether the peer is heard, also after the socket has been split.
    pub fn pulse(&self) -> Pulse {
        self.inner.get_ref().pulse()
    }

    /// Sends the first message, past the library: its buffer would keep the size of that message for
    /// the life of the connection. Nothing may have been sent before.
    pub async fn greet(&mut self, text: &str) -> io::Result<()> {
        let mut frame = vec![TEXT_FRAME];
        match (u8::try_from(text.len()), u16::try_from(text.len())) {
            (Ok(length @ ..=SHORT_LENGTH_MAX), _) => frame.push(length),
            (_, Ok(length)) => {
                frame.push(TWO_BYTES_OF_LENGTH);
                frame.extend_from_slice(&length.to_be_bytes());
            }
            _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "greeting too long")),
        }
        frame.extend_from_slice(text.as_bytes());
        let transport = self.inner.get_mut();
        transport.write_all(&frame).await?;
        transport.flush().await
    }

    /// Says why and hangs up, so that the peer gets to read the reason: what it still sends is read
    /// and thrown away for a moment, because closing a socket with unread input resets it.
    pub async fn close(mut self, reason: &CloseReason) {
        let goodbye = async {
            self.send(Message::Close(Some(reason.to_frame()))).await?;
            self.inner.get_mut().discard(CLOSE_DISCARD_BYTES_MAX).await.map_err(Error::Io)
        };
        if let Ok(Err(error)) = timeout(CLOSE_TIME_MAX, goodbye).await {
            tracing::trace!(%error, "the peer was gone before it was told why");
        }
    }

    /// Books a message that arrived: what it cost is paid, and pings must not come in a flood.
    fn settle(&mut self, message: &Message) -> Result<(), Error> {
        match message {
            Message::Text(_) | Message::Binary(_) => self.inner.get_mut().settle_all(),
            Message::Ping(payload) | Message::Pong(payload) => {
                self.inner.get_mut().settle_control(payload.len());
                if !self.control.allow(Instant::now()) {
                    return Err(flood("too many pings"));
                }
            }
            Message::Close(_) | Message::Frame(_) => {}
        }
        Ok(())
    }
}

/// An error of a peer that sends more than it may: [`CloseReason::for_error`] makes it a 1008.
fn flood(what: &'static str) -> Error {
    Error::Io(io::Error::new(io::ErrorKind::QuotaExceeded, what))
}

impl Stream for Socket {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.inner.poll_next_unpin(context));
        Poll::Ready(next.map(|result| {
            let message = result?;
            self.settle(&message)?;
            Ok(message)
        }))
    }
}

impl Sink<Message> for Socket {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready_unpin(context)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        self.inner.start_send_unpin(message)
    }

    /// The library keeps the waker of a flush after it succeeded and wakes it when the next bytes
    /// ARRIVE: a needless wake of the writer for each message. So the first try leaves no waker
    /// behind, and only a flush that has to wait is tried again with one.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut unwakeable = Context::from_waker(Waker::noop());
        match self.inner.poll_flush_unpin(&mut unwakeable) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => self.inner.poll_flush_unpin(context),
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_close_unpin(context)
    }
}

/// A token bucket for pings and pongs.
#[derive(Debug)]
struct ControlBudget {
    tokens: u32,
    /// When `tokens` was last brought up to date; `None` while it is full.
    since: Option<Instant>,
}

impl Default for ControlBudget {
    fn default() -> Self {
        Self { tokens: CONTROL_FRAMES_BURST, since: None }
    }
}

impl ControlBudget {
    fn allow(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let earned =
            now.duration_since(since).as_millis() * u128::from(CONTROL_FRAMES_PER_SECOND) / 1_000;
        if let Ok(earned @ 1..) = u32::try_from(earned) {
            self.tokens = self.tokens.saturating_add(earned).min(CONTROL_FRAMES_BURST);
            self.since = Some(now);
        }
        match self.tokens.checked_sub(1) {
            Some(left) => self.tokens = left,
            None => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests;
