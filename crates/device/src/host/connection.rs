//! One WebSocket to one server: connect, check who answers, sign in, then messages both ways.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use chat_endpoint::Transmit;
use chat_protocol::crypto::random;
use chat_protocol::handshake::{AuthBody, Credentials, Greeting, Mode, Purpose, SignedIn};
use chat_protocol::hub::{self, HubToClient};
use chat_protocol::id::KeyId;
use chat_protocol::keys::Bundle;
use chat_protocol::name::UserName;
use futures_util::{FutureExt as _, Sink as _, Stream as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};
use tokio_util::either::Either;
use zeroize::Zeroizing;

mod addresses;
pub mod error;
pub mod pins;
mod shown;
pub mod tls;

use crate::server_url::{ServerUrl, Trust};
use addresses::{Addresses, together};
pub use error::ConnectError;
use pins::{Pins, Shown};
use tls::Tls;

/// The answer to a sign-in: the server may have to wait for its disk and stretch a password.
const SIGN_IN_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a sign-in that was put off is tried again, and how long each such wait may be: some five
/// minutes, in which a server checks ten thousand passwords.
const BUSY_TRIES_MAX: u32 = 60;
/// See [`BUSY_TRIES_MAX`].
const BUSY_WAIT_MAX: Duration = Duration::from_secs(10);

/// When somebody who was told 1013 comes again, and as much again by chance: what a server waits for may be there
/// within seconds.
const PUT_OFF_PAUSE: Duration = Duration::from_secs(1);

/// The server pings a quiet client after 15 s at most; after three silent periods it is gone.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// What is not written by then stays in the outbox of the home.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Zero-filled at every read, so a large one costs more than it saves.
const READ_BUFFER_BYTES: usize = 4 << 10;

/// Where files are carried a chunk comes with one or two reads.
const FILES_READ_BUFFER_BYTES: usize = 128 << 10;

/// A few messages share one write.
const WRITE_BUFFER_BYTES: usize = 16 << 10;

/// Above this the socket waits until the server reads.
const WRITE_BACKLOG_BYTES_MAX: usize = 1 << 20;

/// As the server's: a frame of the protocol is below it.
const WS_FRAME_BYTES_MAX: usize = 256 << 10;

/// As the server's.
const WS_MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Knows the addresses of a server and whom to believe; makes connections.
#[derive(Debug)]
pub struct Connector {
    addresses: Addresses,
    beliefs: Arc<Beliefs>,
}

/// Whom to believe, for all that connect to one server.
#[derive(Debug)]
struct Beliefs {
    pins: Pins,
    tls: Tls,
}

impl Connector {
    /// All addresses lead to one server, and are tried in order. Reads the authorities' file, if one is given.
    ///
    /// # Errors
    /// The home knows two servers at these addresses, or TLS cannot be set up.
    pub fn new(servers: Vec<ServerUrl>, trust: &Trust, pins: Pins) -> Result<Self, ConnectError> {
        let beliefs = Beliefs { pins: pins.of_one_server(&servers)?, tls: Tls::new(trust)? };
        Ok(Self { addresses: Addresses::new(servers, 0), beliefs: Arc::new(beliefs) })
    }

    /// The same for another client of this process, which begins with the address of this number. The numbers
    /// go round.
    #[must_use]
    pub fn beginning_at(&self, number: usize) -> Self {
        let addresses = Addresses::new(self.servers().to_vec(), number);
        Self { addresses, beliefs: Arc::clone(&self.beliefs) }
    }

    /// The addresses of the server, as they were given.
    pub fn servers(&self) -> &[ServerUrl] {
        self.addresses.all()
    }

    /// A connection to this address is gone: the next one begins with the address after it.
    pub(crate) fn leave(&self, url: &ServerUrl) {
        self.addresses.leave(url);
    }

    /// Connects to the first server that answers and reads its greeting.
    async fn greet(&self, read_buffer: usize) -> Result<Greeted, ConnectError> {
        let greeted = self.addresses.reach(|url| self.greet_at(url, read_buffer)).await?;
        self.addresses.stay(&greeted.shown.url);
        Ok(greeted)
    }

    /// The server of this process: as met or known, or else as it says.
    pub async fn server(&self) -> Result<KeyId, ConnectError> {
        if let Some(known) = self.beliefs.pins.server() {
            return Ok(known);
        }
        let greeted = self.greet(READ_BUFFER_BYTES).await?;
        greeted.socket.close().await;
        Ok(greeted.shown.server)
    }

    /// Takes a server that a person has said yes to.
    pub fn accept(&self, shown: &Shown) {
        self.beliefs.pins.accept(shown);
    }

    /// What the first server that answers shows. Nobody has to trust it yet; one that has changed
    /// is an error all the same.
    pub async fn look(&self) -> Result<Look, ConnectError> {
        let reached = self.addresses.reach(|url| self.reach(url, READ_BUFFER_BYTES));
        let Greeted { socket, shown, certificate, .. } = reached.await?;
        socket.close().await;
        let is_known = self.beliefs.pins.is_known(&shown.url);
        Ok(Look { shown, certificate, is_known })
    }

    async fn greet_at(&self, url: &ServerUrl, read_buffer: usize) -> Result<Greeted, ConnectError> {
        let greeted = self.reach(url, read_buffer).await?;
        self.beliefs.pins.admit(&greeted.shown)?;
        Ok(greeted)
    }

    /// Connects and reads the greeting, of the server expected at this address.
    async fn reach(&self, url: &ServerUrl, read_buffer: usize) -> Result<Greeted, ConnectError> {
        let unreachable = |source| ConnectError::Unreachable { url: url.clone(), source };
        let tcp = TcpStream::connect((url.host(), url.port())).await.map_err(unreachable)?;
        tcp.set_nodelay(true).map_err(unreachable)?;
        let (transport, exporter, certificate) = if url.is_secure() {
            let Beliefs { pins, tls } = &*self.beliefs;
            let secured = tls.connect(url, tcp, pins.certificate(url)).await?;
            let certificate = Some(secured.certificate);
            (Either::Right(Box::new(secured.stream)), Some(secured.exporter), certificate)
        } else {
            (Either::Left(tcp), None, None)
        };
        let request = format!("{}{}", address(url), url.path());
        let (stream, _) = client_async_with_config(request, transport, Some(config(read_buffer)))
            .await
            .map_err(|error| ConnectError::Upgrade { url: url.clone(), source: Box::new(error) })?;
        let mut socket = Socket::new(stream);
        let hello = socket.answer(url).await?;
        // A full server answers RETRY, a stopping one NOACK, in the place of its greeting.
        if let Some(error) = refusal(&hello) {
            return Err(error);
        }
        let greeting = Greeting::read(&hello)?;
        let own = certificate.filter(|certificate| certificate.is_own);
        let shown = Shown {
            is_certificate_changed: own.is_some_and(|own| own.is_changed),
            ..Shown::new(url, greeting.bundle(), own.map(|own| own.sha256))
        };
        self.beliefs.pins.check(&shown)?;
        let certificate = certificate.map(|certificate| certificate.sha256);
        Ok(Greeted { socket, greeting, exporter, shown, certificate })
    }

    /// Signs in on a fresh connection. Whoever is told to come again does so, after that time and as
    /// much again by chance.
    pub async fn sign_in(&self, attempt: Attempt<'_>) -> Result<Session, ConnectError> {
        let mut tries = 0;
        loop {
            match Box::pin(self.try_sign_in(&attempt)).await {
                Err(ConnectError::Busy { after, .. }) if tries < BUSY_TRIES_MAX => {
                    tries += 1;
                    let share = f64::from(u32::from_be_bytes(random())) / f64::from(u32::MAX);
                    sleep(after.min(BUSY_WAIT_MAX).mul_f64(1.0 + share)).await;
                }
                other => return other,
            }
        }
    }

    /// The same, without waiting for a server that puts it off.
    pub async fn sign_in_now(&self, attempt: Attempt<'_>) -> Result<Session, ConnectError> {
        Box::pin(self.try_sign_in(&attempt)).await
    }

    /// Signs in at one address after the other, until one does not put it off.
    async fn try_sign_in(&self, attempt: &Attempt<'_>) -> Result<Session, ConnectError> {
        let is_files = attempt.body.purpose == Purpose::Files;
        let read_buffer = if is_files { FILES_READ_BUFFER_BYTES } else { READ_BUFFER_BYTES };
        let mut failed = Vec::new();
        for _ in self.servers() {
            let greeted = match self.greet(read_buffer).await {
                Err(error) if !error.is_integrity() => {
                    failed.push(error);
                    break;
                }
                greeted => greeted?,
            };
            let url = greeted.shown.url.clone();
            match self.enter(greeted, attempt).await {
                Err(error) if attempt.goes_elsewhere_after(&error) => {
                    self.leave(&url);
                    failed.push(error);
                }
                entered => return entered,
            }
        }
        Err(together(failed))
    }

    async fn enter(
        &self,
        greeted: Greeted,
        attempt: &Attempt<'_>,
    ) -> Result<Session, ConnectError> {
        let Attempt { user, mode, signing, body } = attempt;
        let (mode, signing) = (*mode, *signing);
        let Greeted { mut socket, greeting, exporter, shown, .. } = greeted;
        let url = shown.url.clone();
        let credentials = Credentials { user, mode, signing, body, exporter };
        let (text, sent) = greeting.auth(&credentials, &Zeroizing::new(random()))?;
        socket.queue(Transmit::Text(text));
        let answer = timeout(SIGN_IN_TIMEOUT, socket.answer(&url)).await;
        let answer = answer.map_err(|_| ConnectError::Timeout { url: url.clone() })??;
        if let Some(error) = refusal(&answer) {
            return Err(error);
        }
        let Ok(HubToClient::Ok { body: answered }) = hub::read(&answer) else {
            return Err(ConnectError::Unexpected { url });
        };
        let signed_in = sent.open(&answered)?;
        // It opened what was wrapped for it: now its identity is more than a claim. A vault is judged
        // by who asked for it, and nothing is kept of a server that sends a false one.
        let is_pinned = mode != Mode::Vault && self.beliefs.pins.keep(&shown)?;
        let pinned = is_pinned.then(|| Box::new(shown));
        let hub = Arc::new(greeting.bundle().clone());
        let brought = if body.bundle.is_some() { Brought::Taken } else { Brought::Nothing };
        Ok(Session { url, socket, signed_in, hub, pinned, brought })
    }
}

/// Scheme, host and port as an upgrade request needs them.
fn address(url: &ServerUrl) -> String {
    let scheme = if url.is_secure() { "wss" } else { "ws" };
    match url.host() {
        host if host.contains(':') => format!("{scheme}://[{host}]:{}", url.port()),
        host => format!("{scheme}://{host}:{}", url.port()),
    }
}

fn config(read_buffer: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(read_buffer)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BACKLOG_BYTES_MAX)
        .max_frame_size(Some(WS_FRAME_BYTES_MAX))
        .max_message_size(Some(WS_MESSAGE_BYTES_MAX))
}

fn refusal(text: &str) -> Option<ConnectError> {
    match hub::read(text) {
        Ok(HubToClient::Noack { code, reason, .. }) => Some(ConnectError::Refused { code, reason }),
        Ok(HubToClient::Retry { after_ms, why, .. }) => {
            Some(ConnectError::Busy { after: Duration::from_millis(after_ms), why })
        }
        _ => None,
    }
}

/// A connection that was greeted; nobody is signed in yet.
#[derive(Debug)]
pub struct Greeted {
    socket: Socket,
    greeting: Greeting,
    exporter: Option<[u8; 32]>,
    shown: Shown,
    /// SHA-256 of its certificate, whoever vouches for it.
    certificate: Option<[u8; 32]>,
}

/// What a server shows to whoever connects.
#[derive(Debug)]
pub struct Look {
    /// Who it is.
    pub shown: Shown,
    /// SHA-256 of its certificate, whoever vouches for it; none without TLS.
    pub certificate: Option<[u8; 32]>,
    /// Whether the home knows it at this address.
    pub is_known: bool,
}

/// How to sign in.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// The name to sign in with.
    pub user: &'a UserName,
    /// Which kind of sign-in it is.
    pub mode: Mode,
    /// The signing key; none to ask for the vault.
    pub signing: Option<&'a chat_protocol::crypto::SigningKey>,
    /// The sealed part.
    pub body: AuthBody,
}

impl Attempt<'_> {
    /// Whether it is made at the next address after this. What changes the account is not made twice when its
    /// answer is lost: the second would be refused because of the first.
    fn goes_elsewhere_after(&self, error: &ConnectError) -> bool {
        match error {
            ConnectError::Busy { .. } => true,
            ConnectError::Lost { .. } | ConnectError::Timeout { .. } => {
                matches!(self.mode, Mode::Sig | Mode::Pw | Mode::Vault)
            }
            _ => false,
        }
    }
}

/// A connection that is signed in.
#[derive(Debug)]
pub struct Session {
    /// The server's address.
    pub url: ServerUrl,
    /// The connection.
    pub socket: Socket,
    /// What the server said to it.
    pub signed_in: SignedIn,
    /// The server's bundle.
    pub hub: Arc<Bundle>,
    /// The server, if its own certificate was pinned by this sign-in.
    pub pinned: Option<Box<Shown>>,
    /// What became of this device's bundle.
    pub brought: Brought,
}

/// What became of a device's newest bundle at a sign-in. Nothing else says that the server has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brought {
    /// It was not sent.
    Nothing,
    /// The server has it.
    Taken,
    /// The server says that it is older than what this device has published (`E_OLD_KEYS`), and let the device in without.
    TooOld,
    /// The server has put it off, and let the device in without.
    PutOff,
}

/// What comes in.
#[derive(Debug)]
pub enum Incoming {
    /// A message of the server in JSON.
    Text(Utf8Bytes),
    /// A delivery or part of an epoch.
    Binary(Bytes),
}

/// A TCP connection, plain or under TLS.
type Transport = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A WebSocket that writes what is queued while it is waited on.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<Transport>,
    outbox: VecDeque<Message>,
    unflushed: bool,
    heard: Instant,
    /// The server has closed it with 1013: come again later.
    is_put_off: bool,
}

impl Socket {
    fn new(stream: WebSocketStream<Transport>) -> Self {
        let (outbox, heard) = (VecDeque::new(), Instant::now());
        Self { stream, outbox, unflushed: false, heard, is_put_off: false }
    }

    /// Queues a message; [`Socket::next`] writes it.
    pub fn queue(&mut self, transmit: Transmit) {
        self.outbox.push_back(match transmit {
            Transmit::Text(text) => Message::Text(text.into()),
            Transmit::Binary(bytes) => Message::Binary(bytes),
        });
        self.unflushed = true;
    }

    /// The next message. Writes what is queued meanwhile; may be dropped at any time without loss.
    /// Fails when the connection is gone, or has been silent for too long.
    pub async fn next(&mut self) -> Result<Incoming, ConnectError> {
        loop {
            let silent_at = self.heard + SILENCE_MAX;
            tokio::select! {
                biased;
                incoming = poll_fn(|context| self.poll(context)) => {
                    if let Some(incoming) = incoming? {
                        return Ok(incoming);
                    }
                }
                () = sleep_until(silent_at) => {
                    let reason = format!("nothing was heard for {} s", SILENCE_MAX.as_secs());
                    return Err(ConnectError::Lost { reason });
                }
            }
        }
    }

    /// The one message that comes next in a sign-in. Who is told 1013 in its place may come again soon.
    async fn answer(&mut self, url: &ServerUrl) -> Result<Utf8Bytes, ConnectError> {
        match self.next().await {
            Ok(Incoming::Text(text)) => Ok(text),
            Ok(Incoming::Binary(_)) => Err(ConnectError::Unexpected { url: url.clone() }),
            Err(ConnectError::Lost { reason }) if self.is_put_off => {
                Err(ConnectError::Busy { after: PUT_OFF_PAUSE, why: reason })
            }
            Err(error) => Err(error),
        }
    }

    /// A message that is here already.
    pub fn try_next(&mut self) -> Option<Result<Incoming, ConnectError>> {
        self.next().now_or_never()
    }

    /// Writes what is queued without reading, for as long as the caller likes.
    pub async fn write(&mut self) -> Result<(), ConnectError> {
        poll_fn(|context| self.poll_write(context)).await
    }

    /// Writes what is queued and says goodbye.
    pub async fn close(mut self) {
        let goodbye = async {
            self.write().await?;
            // The server may be gone already, which is as good.
            self.stream.close(None).await.ok();
            Ok::<(), ConnectError>(())
        };
        // Nothing is lost: what has no answer is sent again on the next connection.
        timeout(CLOSE_TIMEOUT, goodbye).await.ok();
    }

    /// The same, and waits until the server has heard it: it takes this device in again only then.
    pub async fn part(mut self) {
        let goodbye = async {
            self.write().await?;
            self.stream.close(None).await.ok();
            // What still comes is told again on the next connection.
            while let Some(Ok(_)) = self.stream.next().await {}
            Ok::<(), ConnectError>(())
        };
        timeout(CLOSE_TIMEOUT, goodbye).await.ok();
    }

    /// A message; nothing where a ping or pong was dealt with.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Incoming>, ConnectError>> {
        if let Poll::Ready(Err(error)) = self.poll_write(context) {
            return Poll::Ready(Err(error));
        }
        let Poll::Ready(message) = Pin::new(&mut self.stream).poll_next(context) else {
            return Poll::Pending;
        };
        self.heard = Instant::now();
        Poll::Ready(match message {
            Some(Ok(Message::Text(text))) => Ok(Some(Incoming::Text(text))),
            Some(Ok(Message::Binary(bytes))) => Ok(Some(Incoming::Binary(bytes))),
            Some(Ok(Message::Close(frame))) => {
                self.is_put_off =
                    frame.as_ref().is_some_and(|frame| frame.code == CloseCode::Again);
                Err(ConnectError::Lost {
                    reason: match frame {
                        Some(frame) => format!("the server closed: {}", frame.reason),
                        None => "the server closed".to_owned(),
                    },
                })
            }
            Some(Ok(_)) => {
                // The answer to a ping waits in the write buffer.
                self.unflushed = true;
                Ok(None)
            }
            Some(Err(error)) => Err(lost(&error)),
            None => Err(ConnectError::Lost { reason: "the server hung up".to_owned() }),
        })
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        let mut stream = Pin::new(&mut self.stream);
        while !self.outbox.is_empty() {
            match stream.as_mut().poll_ready(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(lost(&error))),
                Poll::Pending => return Poll::Pending,
            }
            if let Some(message) = self.outbox.pop_front()
                && let Err(error) = stream.as_mut().start_send(message)
            {
                return Poll::Ready(Err(lost(&error)));
            }
        }
        if !self.unflushed {
            return Poll::Ready(Ok(()));
        }
        match stream.poll_flush(context) {
            Poll::Ready(Ok(())) => {
                self.unflushed = false;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(lost(&error))),
            Poll::Pending => Poll::Pending,
        }
    }
}

fn lost(error: &tungstenite::Error) -> ConnectError {
    use tungstenite::Error::{ConnectionClosed, Io, Protocol};
    use tungstenite::error::ProtocolError::ResetWithoutClosingHandshake;
    let reason = match error {
        ConnectionClosed | Protocol(ResetWithoutClosingHandshake) => {
            "the server hung up".to_owned()
        }
        // TLS that ends without its close_notify; the library's own words are an address in the web.
        Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the connection was cut".to_owned()
        }
        error => error.to_string(),
    };
    ConnectError::Lost { reason }
}
