//! The port: accepts, recognises TLS by its first byte, answers HTTP, and hands WebSockets on.
//!
//! ```text
//!  accept -> permit -> first byte -> (TLS) -> HTTP head -+-> one answer
//!                                                        +-> upgrade -> bare socket -> serve
//! ```
//!
//! Everything before a sign-in shares one deadline, so a half-open connection of any kind lives at
//! most [`HANDSHAKE_TIME_MAX`]. The session runs in a task of its own: the memory that TLS and HTTP
//! needed for the handshake is gone by then.

mod admission;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hyper::{
    HeaderMap, Request, StatusCode,
    body::Incoming as Body,
    header::{CONNECTION, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, UPGRADE},
    http::request,
    server::conn::http1,
    service::service_fn,
    upgrade::OnUpgrade,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, timeout_at},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use admission::source;
pub use admission::{Admission, AdmissionError, AdmissionLimits, Permit};

use crate::{
    connection::{ConnectionId, PeerInfo},
    http::{self, Answer, Readiness},
    limits::{ACCEPT_PAUSE, HANDSHAKE_TIME_MAX, HTTP_HEAD_BYTES_MAX, HTTP_HEAD_FIELDS_MAX},
    metrics::Metrics,
    socket::{Socket, Transport},
    upgrade::{self, Carrier, Refusal},
};

/// First byte of a TLS record that carries a handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// A WebSocket that has been opened; nobody has signed in on it yet.
#[derive(Debug)]
pub struct Opened {
    /// The socket.
    pub socket: Socket,
    /// Who is at the other end, and until when it must have signed in.
    pub peer: PeerInfo,
    /// Keep it as long as the connection lives, and tell it about the sign-in.
    pub permit: Permit,
}

/// What the listener works with.
pub struct Front {
    /// TLS, if it is offered.
    pub tls: Option<TlsAcceptor>,
    /// From accept to signed in.
    pub handshake_time_max: Duration,
    /// Who may come in.
    pub admission: Arc<Admission>,
    /// What `/readyz` says.
    pub readiness: Arc<Readiness>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Front {
    /// With the limits of `limits.rs`.
    pub fn new(tls: Option<TlsAcceptor>, admission: Arc<Admission>) -> Self {
        Self {
            tls,
            handshake_time_max: HANDSHAKE_TIME_MAX,
            admission,
            readiness: Arc::default(),
            metrics: Arc::default(),
        }
    }
}

/// Accepts until `stop`, then lets the handshakes under way finish within their deadline.
///
/// `serve` gets every opened WebSocket and is awaited in a task of `sessions`, which the caller
/// waits for.
pub async fn run<S, F>(
    listener: TcpListener,
    front: Arc<Front>,
    sessions: TaskTracker,
    stop: CancellationToken,
    serve: S,
) where
    S: Fn(Opened) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let handshakes = TaskTracker::new();
    let last_id = AtomicU64::new(ConnectionId::HUB.0);
    loop {
        let accepted = tokio::select! {
            // Stopping first: a busy port must not keep the server alive.
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, addr) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                pause_after(&error).await;
                continue;
            }
        };
        let Some(permit) = admit(&front, addr) else { continue };
        let peer = PeerInfo {
            id: ConnectionId(last_id.fetch_add(1, Ordering::Relaxed) + 1),
            addr,
            tls_exporter: None,
            deadline: Instant::now() + front.handshake_time_max,
        };
        let (front, stop) = (Arc::clone(&front), stop.clone());
        let (sessions, serve) = (sessions.clone(), serve.clone());
        handshakes.spawn(async move {
            if let Some(opened) = shake_hands(stream, peer, permit, &front, &stop).await {
                sessions.spawn(serve(opened));
            }
        });
    }
    handshakes.close();
    handshakes.wait().await;
}

fn admit(front: &Front, addr: SocketAddr) -> Option<Permit> {
    let refusals = &front.metrics.refusals;
    match front.admission.admit(addr.ip()) {
        Ok(permit) => return Some(permit),
        Err(AdmissionError::Full(_)) => refusals.full.inc(),
        Err(AdmissionError::Strangers(_) | AdmissionError::StrangersOfAddress(_)) => {
            refusals.strangers.inc()
        }
    };
    None
}

/// A connection that was gone before it was accepted costs nothing. Without file descriptors the
/// same error would come at once, for ever.
async fn pause_after(error: &io::Error) {
    let is_of_the_peer = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    );
    if !is_of_the_peer {
        tracing::warn!(%error, "cannot accept connections; trying again");
        sleep(ACCEPT_PAUSE).await;
    }
}

/// Why a connection ended before it became a WebSocket.
#[derive(Debug, Error)]
enum HandshakeError {
    #[error("{0}")]
    Socket(#[from] io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("TLS is not offered here")]
    NoTls,
    #[error("not finished in time")]
    Late,
}

async fn shake_hands(
    stream: TcpStream,
    peer: PeerInfo,
    permit: Permit,
    front: &Front,
    stop: &CancellationToken,
) -> Option<Opened> {
    let (id, addr, deadline) = (peer.id, peer.addr, peer.deadline);
    let open = Box::pin(open(stream, peer, permit, front, stop));
    let result = timeout_at(deadline, open).await.unwrap_or(Err(HandshakeError::Late));
    match result {
        Ok(opened) => opened,
        Err(error) => {
            let is_late = match &error {
                HandshakeError::Late => true,
                HandshakeError::Http(error) => error.is_timeout(),
                HandshakeError::Socket(_) | HandshakeError::NoTls => false,
            };
            if is_late {
                front.metrics.refusals.late.inc();
            }
            tracing::debug!(connection = %id, %addr, %error, "ended before it was a WebSocket");
            None
        }
    }
}

/// From the accepted stream to the WebSocket, or to the end of plain HTTP (`None`).
async fn open(
    stream: TcpStream,
    mut peer: PeerInfo,
    mut permit: Permit,
    front: &Front,
    stop: &CancellationToken,
) -> Result<Option<Opened>, HandshakeError> {
    // Small frames that somebody waits for: never gather them in the kernel.
    stream.set_nodelay(true)?;
    let mut first = [0];
    let length = stream.peek(&mut first).await?;
    let transport = if length == 1 && first == [TLS_HANDSHAKE] {
        let acceptor = front.tls.as_ref().ok_or(HandshakeError::NoTls)?;
        let stream = acceptor.accept(stream).await?;
        peer.tls_exporter = crate::tls::exporter(stream.get_ref().1);
        Transport::Tls(Box::new(stream))
    } else {
        Transport::Plain(stream)
    };
    let Some(upgrade) = speak_http(transport, &peer, front, stop).await? else {
        return Ok(None);
    };
    let parts = upgrade
        .await?
        .downcast::<TokioIo<Transport>>()
        .map_err(|_other| io::Error::other("hyper gave back another transport"))?;
    let socket = Socket::open(parts.io.into_inner(), parts.read_buf).await;
    permit.opened(&front.metrics.connections);
    Ok(Some(Opened { socket, peer, permit }))
}

/// Serves HTTP until the connection ends or a request has become a WebSocket.
async fn speak_http(
    transport: Transport,
    peer: &PeerInfo,
    front: &Front,
    stop: &CancellationToken,
) -> Result<Option<OnUpgrade>, HandshakeError> {
    // At most one request of a connection is upgraded; the service leaves it here.
    let upgraded = Mutex::new(None);
    let service = service_fn(|request: Request<Body>| {
        let answer = answer(request, peer, front, &upgraded);
        async move { Ok::<_, std::convert::Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        // Without a timer the time limit for heads is silently off.
        .timer(TokioTimer::new())
        .header_read_timeout(front.handshake_time_max)
        .max_headers(HTTP_HEAD_FIELDS_MAX)
        .max_header_size(HTTP_HEAD_BYTES_MAX)
        .max_buf_size(HTTP_HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(transport), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        biased;
        result = connection.as_mut() => result?,
        () = stop.cancelled() => {
            // Finishes the request under way and keeps nothing alive after it.
            connection.as_mut().graceful_shutdown();
            connection.await?;
        }
    }
    Ok(upgraded.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn answer(
    mut request: Request<Body>,
    peer: &PeerInfo,
    front: &Front,
    upgraded: &Mutex<Option<OnUpgrade>>,
) -> Answer {
    let on_upgrade = hyper::upgrade::on(&mut request);
    let (head, _body) = request.into_parts();
    let mut answer = if upgrade::is_meant(&head) {
        try_upgrade(&head, peer, front)
    } else {
        http::respond(&head, &front.readiness, &front.metrics)
    };
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        *upgraded.lock().unwrap_or_else(PoisonError::into_inner) = Some(on_upgrade);
    } else {
        // One answer for each connection: an idle one would only hold a stranger's place.
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// Opens a WebSocket (status 101), or says why not.
fn try_upgrade(head: &request::Parts, peer: &PeerInfo, front: &Front) -> Answer {
    let carrier = Carrier {
        is_tls: peer.is_tls(),
        is_loopback: peer.is_loopback(),
        offers_tls: front.tls.is_some(),
    };
    let accepted = match upgrade::accept(head, carrier) {
        Ok(accepted) => accepted,
        Err(refusal) => {
            if refusal == Refusal::ForeignOrigin {
                front.metrics.refusals.origin.inc();
            }
            return http::refuse(&refusal);
        }
    };
    if front.readiness.is_draining() {
        front.metrics.refusals.draining.inc();
        let mut answer = http::text(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping");
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        return answer;
    }
    match HeaderValue::try_from(accepted) {
        Ok(accepted) => switch_protocols(accepted),
        Err(_) => http::text(StatusCode::INTERNAL_SERVER_ERROR, "cannot answer the handshake"),
    }
}

fn switch_protocols(accepted: HeaderValue) -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = HeaderMap::from_iter([
        (CONNECTION, HeaderValue::from_static("Upgrade")),
        (UPGRADE, HeaderValue::from_static("websocket")),
        (SEC_WEBSOCKET_ACCEPT, accepted),
    ]);
    answer
}
