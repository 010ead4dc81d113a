//! A socket that was greeted, and every mode of signing in.

use std::net::IpAddr;

use bytes::Bytes;
use chat_protocol::crypto::random;
use chat_protocol::frame::{Binary, Delivery, Upload};
use chat_protocol::handshake::{
    AuthBody, Credentials, Greeting, HandshakeError, Mode, Purpose, SentAuth, SignedIn,
};
use chat_protocol::hub::{self, HubToClient};
use futures_util::{SinkExt as _, StreamExt as _};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Request};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::PATIENCE;
use crate::device::Device;

/// A connection to a hub.
pub type Socket = WebSocketStream<TcpStream>;

/// Why there is no signed-in connection.
#[derive(Debug, Error)]
pub enum WireError {
    /// No connection, or it broke.
    #[error("no connection: {0}")]
    Socket(#[from] Box<Error>),
    /// What came does not belong here.
    #[error("{expected} expected: {got}")]
    Unexpected {
        /// What should have come.
        expected: &'static str,
        /// What came.
        got: String,
    },
    /// The greeting or the answer is none of this protocol.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The hub says that the same may come again later, and has closed the connection.
    #[error("put off for {after_ms} ms: {why}")]
    Later {
        /// After so many milliseconds.
        after_ms: u64,
        /// The sentence.
        why: String,
    },
    /// The hub says no, and has closed the connection.
    #[error("refused with {code}: {reason}")]
    Refused {
        /// The code.
        code: String,
        /// The sentence.
        reason: String,
    },
}

/// What came from the hub.
#[derive(Debug)]
pub enum Got {
    /// A text message.
    Hub(HubToClient),
    /// A frame with its place.
    Delivery(Box<Delivery>),
    /// A part of an epoch.
    Upload(Upload),
    /// The end: code and reason, or 0 when there were none.
    Closed(u16, String),
}

/// What came, as it is.
#[derive(Debug)]
pub enum Raw {
    /// A text message.
    Text(String),
    /// A binary one.
    Binary(Bytes),
    /// The end: code and reason, or 0 when there were none.
    Closed(u16, String),
}

/// How a sign-in is made.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The mode.
    pub mode: Mode,
    /// The sealed part.
    pub body: AuthBody,
}

impl Entry {
    /// A device that is known, by its signature.
    pub fn sig() -> Self {
        Self { mode: Mode::Sig, body: AuthBody::new(Purpose::Task) }
    }

    /// A new account without a password.
    pub fn reg(device: &Device) -> Self {
        let mut entry = Self::sig();
        entry.mode = Mode::Reg;
        entry.body.bundle = Some(device.bundle.bytes().to_vec());
        entry
    }

    /// A connection that carries files.
    pub fn files() -> Self {
        let mut entry = Self::sig();
        entry.body.purpose = Purpose::Files;
        entry
    }
}

/// A socket that has been greeted.
#[derive(Debug)]
pub struct Fresh {
    /// The socket.
    pub socket: Socket,
    /// The greeting.
    pub greeting: Greeting,
}

impl Fresh {
    /// Opens a WebSocket over this connection to `server` (`ADDRESS:PORT`) and reads the greeting.
    pub async fn over(
        stream: TcpStream,
        server: &str,
        config: Option<WebSocketConfig>,
    ) -> Result<Self, WireError> {
        Self::asks(stream, ws_request(server)?, config).await
    }

    /// Connects to `server` (`ADDRESS:PORT`) as a proxy does that the server believes, on behalf of somebody else.
    pub async fn connect_for(server: &str, address: IpAddr) -> Result<Self, WireError> {
        let mut request = ws_request(server)?;
        let address = HeaderValue::from_str(&address.to_string());
        let address = address.map_err(|error| Box::new(Error::HttpFormat(error.into())))?;
        request.headers_mut().insert("X-Forwarded-For", address);
        let stream = TcpStream::connect(server).await.map_err(|error| Box::new(error.into()))?;
        Self::asks(stream, request, None).await
    }

    async fn asks(
        stream: TcpStream,
        request: Request<()>,
        config: Option<WebSocketConfig>,
    ) -> Result<Self, WireError> {
        stream.set_nodelay(true).map_err(|error| Box::new(error.into()))?;
        let (mut socket, _) =
            client_async_with_config(request, stream, config).await.map_err(Box::new)?;
        match socket.next().await {
            Some(Ok(Message::Text(hello))) => {
                let greeting = Greeting::read(hello.as_str())?;
                Ok(Self { socket, greeting })
            }
            other => Err(WireError::Unexpected { expected: "HELLO", got: format!("{other:?}") }),
        }
    }

    /// Connects to `server` (`ADDRESS:PORT`).
    pub async fn connect(server: &str) -> Result<Self, WireError> {
        let stream = TcpStream::connect(server).await.map_err(|error| Box::new(error.into()))?;
        Self::over(stream, server, None).await
    }

    /// AUTH of this device, and what opens the answer to it.
    pub fn auth(
        &self,
        device: &Device,
        entry: &Entry,
    ) -> Result<(String, SentAuth), HandshakeError> {
        let credentials = Credentials {
            user: &device.user,
            mode: entry.mode,
            signing: (entry.mode != Mode::Vault).then_some(&device.keys.signing),
            body: &entry.body,
            exporter: None,
        };
        self.greeting.auth(&credentials, &random().into())
    }

    /// Signs in.
    pub async fn sign_in(
        mut self,
        device: &Device,
        entry: &Entry,
    ) -> Result<(Socket, SignedIn), WireError> {
        let (text, sent) = self.auth(device, entry)?;
        self.socket.send(Message::text(text)).await.map_err(Box::new)?;
        match got(&mut self.socket).await {
            Got::Hub(HubToClient::Ok { body }) => Ok((self.socket, sent.open(&body)?)),
            Got::Hub(HubToClient::Noack { code, reason, .. }) => {
                match got(&mut self.socket).await {
                    Got::Closed(1008, _) => Err(WireError::Refused { code, reason }),
                    other => Err(unexpected("the end with 1008", &other)),
                }
            }
            Got::Hub(HubToClient::Retry { after_ms, why, .. }) => {
                match got(&mut self.socket).await {
                    Got::Closed(1013, _) => Err(WireError::Later { after_ms, why }),
                    other => Err(unexpected("the end with 1013", &other)),
                }
            }
            other => Err(unexpected("OK", &other)),
        }
    }
}

/// A WebSocket at `server` (`ADDRESS:PORT`).
fn ws_request(server: &str) -> Result<Request<()>, WireError> {
    Ok(format!("ws://{server}/ws").into_client_request().map_err(Box::new)?)
}

fn unexpected(expected: &'static str, got: &Got) -> WireError {
    WireError::Unexpected { expected, got: format!("{got:?}") }
}

/// The next message, or the end.
///
/// # Panics
/// When nothing comes within [`PATIENCE`], or it is none of the hub's messages.
pub async fn got(socket: &mut Socket) -> Got {
    match raw(socket).await {
        Raw::Text(text) => Got::Hub(hub::read(&text).unwrap()),
        Raw::Binary(bytes) => binary(bytes),
        Raw::Closed(code, reason) => Got::Closed(code, reason),
    }
}

/// The next message as it is, or the end.
///
/// # Panics
/// When nothing comes within [`PATIENCE`].
pub async fn raw(socket: &mut Socket) -> Raw {
    loop {
        let next = tokio::time::timeout(PATIENCE, socket.next()).await.expect("nothing came");
        match next {
            Some(Ok(Message::Text(text))) => return Raw::Text(text.as_str().to_owned()),
            Some(Ok(Message::Binary(bytes))) => return Raw::Binary(bytes),
            Some(Ok(Message::Close(frame))) => {
                let frame = frame.expect("a reason");
                return Raw::Closed(frame.code.into(), frame.reason.to_string());
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Raw::Closed(0, String::new()),
        }
    }
}

fn binary(bytes: Bytes) -> Got {
    match Binary::decode(bytes).unwrap() {
        Binary::Delivery(delivery) => Got::Delivery(Box::new(delivery)),
        Binary::Upload(upload) => Got::Upload(upload),
        Binary::Frame(_) => panic!("a bare frame from the hub"),
    }
}
