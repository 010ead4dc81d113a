//! The hub: one worker, one queue, a durable log per conversation, and no way to read what it
//! carries.
//!
//! A message crosses these modules in the order in which they are declared below:
//!
//! | step | module | what a reader meets | owns | may await? |
//! |---|---|---|---|---|
//! | 0 | [`listener`] | accept, TLS, HTTP, upgrade | one fresh socket | socket, until a deadline |
//! | 1 | `reader` | bytes to verified request | one socket's read half | socket, queue space |
//! | 2 | [`queue`] | [`queue::bounded`] -> sender, receiver | waiting requests | space, or a batch |
//! | 3 | `worker` | take, decide, commit, apply, release | the loop | batch, commit |
//! | 4 | `router` | `decide` and `apply` | all chat state | never |
//! | 5 | `store` | `commit` | the database | commit only |
//! | 6 | [`outbox`] | [`outbox::Outbox::push`] | frames for one connection | never |
//! | 7 | [`writer`] | [`writer::run`] | one socket's write half | outbox, socket |
//!
//! **Architecture Invariant:** arrows go one way. Nothing that the worker calls waits for a client.

pub mod limits;

pub mod close;
pub mod connection;

// The data path, in order.
pub mod listener;
pub mod queue;

pub mod outbox;
pub mod writer;

// Around the path.
pub mod config;
pub mod http;
pub mod metrics;
pub mod notices;
pub mod socket;
pub mod tls;
pub mod upgrade;

use std::{io, sync::Arc};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;
use tokio::{net::TcpListener, time::timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    close::CloseReason,
    config::{Config, Tls},
    limits::{CONNECTIONS_MAX, FILES_RESERVED},
    listener::{Admission, AdmissionLimits, Front, Opened},
};

/// Why the server ended other than by being asked to.
#[derive(Debug, Error)]
pub enum RunError {
    /// TLS was asked for and is not available.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// The address cannot be asked for; the listener is broken.
    #[error("the listening socket is unusable: {0}")]
    Listener(io::Error),
}

impl RunError {
    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Tls(_) | Self::Listener(_) => 1,
        }
    }
}

/// Serves on `listener` until `shutdown`, then drains: `/readyz` says so, new sessions are refused,
/// those that are open end, and last the port is closed.
pub async fn run(
    listener: TcpListener,
    config: Config,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let address = listener.local_addr().map_err(RunError::Listener)?;
    let acceptor = tls_acceptor(&config)?;
    let scheme = if acceptor.is_some() { "wss" } else { "ws" };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), data = %config.data.display(),
        "listening on {scheme}://{address}");

    let connections_max = open_files_max().saturating_sub(FILES_RESERVED).clamp(1, CONNECTIONS_MAX);
    let admission = Admission::new(AdmissionLimits { connections_max, ..Default::default() });
    let front = Arc::new(Front::new(acceptor, admission));
    let (sessions, stop) = (TaskTracker::new(), CancellationToken::new());
    let serve = |opened: Opened| async move {
        opened.socket.close(&CloseReason::TryLater("not ready".into())).await;
    };
    let accepting = tokio::spawn(listener::run(
        listener,
        Arc::clone(&front),
        sessions.clone(),
        stop.clone(),
        serve,
    ));

    shutdown.await;
    tracing::info!("stopping");
    front.readiness.start_draining();
    sessions.close();
    if timeout(config.drain_time_max, sessions.wait()).await.is_err() {
        tracing::warn!(open = sessions.len(), "sessions were cut at the end of the drain time");
    }
    stop.cancel();
    if let Err(error) = accepting.await {
        tracing::error!(%error, "the listener failed");
    }
    Ok(())
}

/// The acceptor that the configuration asks for. An own certificate's fingerprint is logged, for
/// people to compare with what their clients show.
fn tls_acceptor(config: &Config) -> Result<Option<TlsAcceptor>, tls::TlsError> {
    let files = match &config.tls {
        Tls::Off => return Ok(None),
        Tls::Auto => tls::own_certificate(&config.data, config.address.ip())?,
        Tls::Files(files) => files.clone(),
    };
    let acceptor = files.acceptor()?;
    tracing::info!("certificate fingerprint SHA-256 {}", files.fingerprint()?);
    Ok(Some(acceptor))
}

/// Raises the limit of open files as far as it goes without privilege, and returns it. The usual
/// soft limit of 1,024 is for programs that use `select`.
fn open_files_max() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}
