//! The port: accepts, recognises TLS by its first byte, answers HTTP, and hands WebSockets on.
//!
//! ```text
//!  accept -> permit -> first byte -> (TLS) -> HTTP head -+-> one answer
//!                                                        +-> upgrade -> bare socket -> serve
//! ```
//!
//! Everything before a sign-in shares one deadline, so a half-open connection of any kind lives at
//! most [`HANDSHAKE_TIME_MAX`]. Who asks for a page becomes a visitor, if there is room for one: it
//! may ask again on the same connection, counts apart from those who want to sign in, and has
//! [`HTTP_STEP_TIME_MAX`] for each step instead. The session runs in a task of its own: the memory that TLS and HTTP
//! needed for the handshake is gone by then.

mod admission;
mod barred;
mod proxies;
mod visit;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chat_oplog::OperationLog;
use hyper::{
    Request, body::Incoming as Body, server::conn::http1, service::service_fn, upgrade::OnUpgrade,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, timeout_at},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

pub(crate) use admission::source;
pub use admission::{Admission, AdmissionError, AdmissionLimits, Permit};
pub use barred::Barred;
pub use proxies::Proxies;
use visit::Visit;

use crate::{
    connection::{ConnectionId, PeerInfo},
    gate::Gate,
    http::{Deadline, Readiness, Site},
    limits::{
        ACCEPT_PAUSE, CLOSE_TIME_MAX, HANDSHAKE_TIME_MAX, HTTP_HEAD_BYTES_MAX,
        HTTP_HEAD_FIELDS_MAX, HTTP_STEP_TIME_MAX,
    },
    metrics::Metrics,
    socket::{Socket, Transport},
    tasks::Tasks,
    tls::Switch,
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
    pub tls: Option<Switch>,
    /// From accept to signed in.
    pub handshake_time_max: Duration,
    /// For each step of a visitor.
    pub step_time_max: Duration,
    /// Whom the operator keeps out.
    pub gate: Arc<Gate>,
    /// How many may come in.
    pub admission: Arc<Admission>,
    /// What `/readyz` says.
    pub readiness: Arc<Readiness>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// `/metrics` is answered on this port.
    pub shows_metrics: bool,
    /// Where requests for pages are logged.
    pub log: OperationLog,
    /// The files that are served, if any.
    pub site: Option<Site>,
    /// Proxies whose word about addresses is believed.
    pub proxies: Proxies,
    /// Who of those that are kept out by their address is told so.
    pub barred: Barred,
}

impl Front {
    /// With the limits of `limits.rs`.
    pub fn new(tls: Option<TlsAcceptor>, admission: Arc<Admission>) -> Self {
        Self {
            tls: tls.map(Switch::new),
            gate: Arc::default(),
            handshake_time_max: HANDSHAKE_TIME_MAX,
            step_time_max: HTTP_STEP_TIME_MAX,
            admission,
            readiness: Arc::default(),
            metrics: Arc::default(),
            shows_metrics: true,
            log: OperationLog::disabled(),
            site: None,
            proxies: Proxies::default(),
            barred: Barred::default(),
        }
    }
}

/// Accepts until `stop`, then closes the port and gives the handshakes under way [`CLOSE_TIME_MAX`].
///
/// `serve` gets every opened WebSocket and is awaited in a task of `sessions`, which the caller
/// waits for.
pub async fn run<S, F>(
    listener: TcpListener,
    front: Arc<Front>,
    sessions: Arc<Tasks>,
    stop: CancellationToken,
    serve: S,
) where
    S: Fn(Opened) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let handshakes = Tasks::default();
    let last_id = AtomicU64::new(ConnectionId::AGENT.0);
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
        let Some((permit, deadline)) = admit(&front, addr) else { continue };
        let peer = PeerInfo {
            id: ConnectionId(last_id.fetch_add(1, Ordering::Relaxed) + 1),
            addr,
            tls_exporter: None,
            deadline,
        };
        let (front, stop) = (Arc::clone(&front), stop.clone());
        let (sessions, serve) = (Arc::clone(&sessions), serve.clone());
        let id = peer.id;
        handshakes.spawn(tracing::debug_span!("handshake", %id), async move {
            if let Some(opened) = shake_hands(stream, peer, permit, &front, &stop).await {
                // From the root: nothing of the handshake is left.
                let span = tracing::debug_span!(parent: None, "session", %id);
                sessions.spawn(span, serve(opened));
            }
        });
    }
    // At once: who connects from now on is refused by the system, and does not wait in its queue.
    drop(listener);
    handshakes.end(Instant::now() + CLOSE_TIME_MAX).await;
}

/// The right to be connected, and until when there must be a sign-in.
fn admit(front: &Front, addr: SocketAddr) -> Option<(Permit, Instant)> {
    let refusals = &front.metrics.refusals;
    let mut address = addr.ip();
    let mut deadline = Instant::now() + front.handshake_time_max;
    if front.proxies.is_trusted(address) {
        // Many come by way of a proxy: none of them counts against its address, and who of them is banned is
        // seen when they say where they come from.
        address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    } else if !front.gate.now().admits_address(address) {
        let Some(until) = front.barred.hear() else {
            refusals.banned.inc();
            return None;
        };
        deadline = until;
        // These have places of their own, and take none from strangers.
        address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    }
    match front.admission.admit(address) {
        Ok(permit) => return Some((permit, deadline)),
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
    let (id, addr) = (peer.id, peer.addr);
    let deadline = Arc::new(Deadline::new(peer.deadline, front.step_time_max));
    let open = Box::pin(open(stream, peer, permit, front, stop, &deadline));
    let result = tokio::select! {
        biased;
        result = open => result,
        () = deadline.passed() => Err(HandshakeError::Late),
    };
    match result {
        Ok(opened) => opened,
        Err(error) => {
            let is_late = match &error {
                HandshakeError::Late => true,
                HandshakeError::Http(error) => error.is_timeout(),
                HandshakeError::Socket(_) | HandshakeError::NoTls => false,
            };
            // A visitor who does not come back is no fault of anybody.
            if is_late && !deadline.is_visit() {
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
    deadline: &Arc<Deadline>,
) -> Result<Option<Opened>, HandshakeError> {
    // Small frames that somebody waits for: never gather them in the kernel.
    stream.set_nodelay(true)?;
    let is_of_this_machine =
        peer.is_loopback() || stream.local_addr().is_ok_and(|own| own.ip() == peer.addr.ip());
    let mut first = [0];
    let length = stream.peek(&mut first).await?;
    let transport = if length == 1 && first == [TLS_HANDSHAKE] {
        let acceptor = front.tls.as_ref().ok_or(HandshakeError::NoTls)?;
        let stream = acceptor.current().accept(stream).await?;
        peer.tls_exporter = crate::tls::exporter(stream.get_ref().1);
        Transport::Tls(Box::new(stream))
    } else {
        Transport::Plain(stream)
    };
    let visit = Visit::new((&peer, is_of_this_machine), front, &mut permit, deadline);
    let Some((upgrade, address)) = speak_http(transport, visit, stop).await? else {
        return Ok(None);
    };
    peer.addr.set_ip(address);
    let parts = upgrade
        .await?
        .downcast::<TokioIo<Transport>>()
        .map_err(|_other| io::Error::other("hyper gave back another transport"))?;
    // Later than it was, if this connection was a visitor's before.
    peer.deadline = deadline.at();
    let socket = Socket::open(parts.io.into_inner(), parts.read_buf).await;
    permit.opened(&front.metrics.connections);
    Ok(Some(Opened { socket, peer, permit }))
}

/// Serves HTTP until the connection ends or a request has become a WebSocket.
async fn speak_http(
    transport: Transport,
    visit: Visit<'_>,
    stop: &CancellationToken,
) -> Result<Option<(OnUpgrade, IpAddr)>, HandshakeError> {
    let service = service_fn(|request: Request<Body>| {
        let answer = visit.answer(request);
        async move { Ok::<_, std::convert::Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        // Without a timer the time limit for heads is silently off.
        .timer(TokioTimer::new())
        .header_read_timeout(visit.head_time_max())
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
            // Finishes the request under way and keeps nothing alive after it. A long file is cut;
            // its reader can go on with a range later.
            connection.as_mut().graceful_shutdown();
            timeout_at(visit.end(), connection).await.map_err(|_| HandshakeError::Late)??;
        }
    }
    Ok(visit.take_upgrade())
}
