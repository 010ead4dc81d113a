//! The hub: one worker, one queue, a durable log per conversation, and no way to read what it
//! carries.
//!
//! A message crosses these modules in the order in which they are declared below:
//!
//! | step | module | what a reader meets | owns | may await? |
//! |---|---|---|---|---|
//! | 0 | [`listener`] | accept, TLS, HTTP, upgrade | one fresh socket | socket, until a deadline |
//! | 1 | [`sign_in`] | HELLO, AUTH, OK | one socket, once | socket, until a deadline |
//! | 2 | [`reader`] | bytes to verified [`request`] | one connection's input | queue space |
//! | 3 | [`queue`] | [`queue::bounded`] -> sender, receiver | waiting requests | space, or a batch |
//! | 4 | [`worker`] | take, decide, commit, apply, release | the loop | batch, commit |
//! | 5 | [`router`] | `decide` and `apply` | all chat state | never |
//! | 6 | [`order`], [`store`] | `commit` | the order of batches, the database | commit only |
//! | 7 | [`sessions`] | who gets a [`delivery`] | who is connected | never |
//! | 8 | [`outbox`] | [`outbox::Outbox::push`] | frames for one connection | never |
//! | 9 | [`writer`] | [`writer::run`] | one socket's write half | outbox, socket |
//!
//! Around it: [`budgets`] says how much of all this one account may use, [`session`] is the life of one connection, [`catch_up`] brings it up to date from the
//! store, [`relay`] carries files, [`local`] is a connection without a socket, [`shared`] is what
//! all of them use, [`start`] puts the parts together, [`tasks`] says who waits for what was started.
//!
//! **Architecture Invariant:** arrows go one way. Nothing that the worker calls waits for a client.

pub mod limits;

pub mod budgets;
pub mod close;
pub mod connection;

// The data path, in order.
pub mod listener;
pub mod sign_in;

pub mod reader;
pub mod request;

pub mod queue;
pub mod worker;

pub mod catalogue;
pub mod order;
pub mod router;
pub mod store;

pub mod delivery;
pub mod sessions;

pub mod outbox;
pub mod writer;

// Around the path.
pub mod admin;
pub mod admin_socket;
pub mod builtin_agent;
pub mod catch_up;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod console;
mod drain;
pub mod folder;
pub mod gate;
pub mod guesses;
mod hex;
pub mod identity;
pub mod local;
pub mod lock;
pub mod passwords;
pub mod pattern;
pub mod private_file;
pub mod relay;
pub mod reload;
pub mod session;
pub mod shared;
pub mod start;
pub mod tasks;
mod threads;

pub mod http;
pub mod metrics;
pub mod notices;
mod published;
pub mod socket;
pub mod tls;
mod trace;
pub mod upgrade;
pub mod upkeep;
mod waiting;

use std::{io, net::SocketAddr, sync::Arc};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;
use tokio::{net::TcpListener, sync::mpsc, time::Instant};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::debug_span;

use crate::{
    admin_socket::Hand,
    builtin_agent::BuiltInAgent,
    config::{Config, NodeName, Tls},
    drain::{Serving, worker_result},
    http::Site,
    limits::{CONNECTIONS_MAX, FILES_RESERVED, HTTP_DOWNLOADS_MAX},
    listener::{Admission, AdmissionLimits, Front, Proxies},
    reload::Reloader,
    shared::Hub,
    start::Started,
    store::CommitError,
    tasks::Tasks,
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
    /// The port for figures is not to be had.
    #[error("--metrics-bind: cannot listen on {address}: {source}; choose another port")]
    MetricsBind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody could sign in.
    #[error(
        "the system gives no threads for sign-ins: {0}; raise the limit of threads (TasksMax, ulimit -u)"
    )]
    Threads(io::Error),
    /// The folder of `--www` cannot be served.
    #[error("--www: {0}; give a folder that this process may enter")]
    Www(#[from] chat_beneath::FolderError),
    /// Others on this machine can change the data or the logs.
    #[error(transparent)]
    Folder(#[from] folder::FolderError),
    /// The data folder is not ours.
    #[error(transparent)]
    Lock(#[from] lock::LockError),
    /// The log of operations cannot be written.
    #[error(transparent)]
    Log(#[from] chat_oplog::OpenError),
    /// The hub's keys cannot be read or made.
    #[error(transparent)]
    Identity(#[from] identity::IdentityError),
    /// The copies of files cannot be used.
    #[error(transparent)]
    Copies(#[from] relay::copies::OpenError),
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] store::OpenError),
    /// A bundle in the database is damaged.
    #[error("the database holds a damaged bundle: {0}; restore a backup")]
    Bundle(#[from] chat_protocol::keys::BundleError),
    /// Keys and database are of different servers.
    #[error(
        "the file server.key does not belong to this database; put the right one back, or start \
         with an empty data folder"
    )]
    ForeignKeys,
    /// The servers with which it shares a log.
    #[error(transparent)]
    Cluster(#[from] cluster::ClusterError),
    /// What only another folder has cannot be taken up.
    #[error(transparent)]
    Salvage(#[from] start::SalvageError),
    /// The operator cannot ask.
    #[error(transparent)]
    Admin(#[from] admin_socket::AdminError),
    /// The built-in agent cannot run commands.
    #[error(transparent)]
    Agent(#[from] builtin_agent::BuiltInError),
    /// The database failed while serving.
    #[error("{0}; nothing that was confirmed is lost, but the server cannot go on")]
    Storage(#[from] CommitError),
    /// The worker was cut.
    #[error("the worker failed")]
    Ending,
}

impl RunError {
    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Storage(_) | Self::Open(_) => 70,
            Self::Cluster(error) => error.exit_code(),
            Self::Salvage(error) => error.exit_code(),
            _ => 1,
        }
    }
}

/// Answers `/metrics` on an address of its own.
async fn figures(address: SocketAddr, front: &Front) -> Result<AbortOnDropHandle<()>, RunError> {
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|source| RunError::MetricsBind { address, source })?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!("metrics on http://{address}/metrics");
    }
    let run = http::port::run(listener, Arc::clone(&front.readiness), Arc::clone(&front.metrics));
    Ok(tasks::own(debug_span!("figures"), run))
}

/// What the listener works with, and what it works with while the hub starts: both count together.
fn fronts(config: &Config, acceptor: Option<TlsAcceptor>) -> Result<(Front, Front), RunError> {
    let site = config.www.as_deref().map(Site::open).transpose()?;
    let reserved = FILES_RESERVED + if site.is_some() { HTTP_DOWNLOADS_MAX } else { 0 };
    let connections_max = open_files_max().saturating_sub(reserved).clamp(1, CONNECTIONS_MAX);
    let admission = Admission::new(AdmissionLimits { connections_max, ..Default::default() });
    let shows_metrics = config.metrics_address.is_none();
    let one = |acceptor| {
        let (site, proxies) = (site.clone(), Proxies::new(config.trusted_proxies.clone()));
        Front { shows_metrics, site, proxies, ..Front::new(acceptor, Arc::clone(&admission)) }
    };
    let front = one(acceptor.clone());
    let (metrics, readiness) = (Arc::clone(&front.metrics), Arc::clone(&front.readiness));
    let early = Front { readiness, metrics, ..one(acceptor) };
    Ok((front, early))
}

/// Starts the hub. One among several, and one that leaves them, may wait for the others for as long as it takes, and `early`
/// answers meanwhile.
async fn starts(
    (config, front): (&Config, &Front),
    listener: &TcpListener,
    early: Front,
) -> Result<Started, RunError> {
    let starting = start::start(config, Arc::clone(&front.metrics), Arc::clone(&front.readiness));
    if config.sharing.is_none() && config.leaving.is_none() {
        return starting.await;
    }
    Box::pin(waiting::meanwhile(starting, listener, Arc::new(early))).await
}

/// Serves on `listener` until `shutdown`, then drains: `/readyz` says so, new sessions are refused,
/// what is queued is finished and those that are open end, and last the port is closed. At
/// SIGHUP what can be read again is read again.
pub async fn run(
    listener: TcpListener,
    config: Config,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let address = listener.local_addr().map_err(RunError::Listener)?;
    folder::secure_data(&config.data)?;
    folder::secure_logs(&config.logs, start::LOG_STEM)?;
    let (acceptor, certificate) = tls_acceptor(&config)?.unzip();
    let (front, early) = fronts(&config, acceptor)?;
    // It goes with this function, as do the two below that are asked until then.
    let figures = match config.metrics_address {
        Some(address) => Some(figures(address, &front).await?),
        None => None,
    };
    let mut shutdown = std::pin::pin!(shutdown);
    let starting = starts((&config, &front), &listener, early);
    let started = tokio::select! {
        started = starting => started?,
        () = &mut shutdown => return Ok(()),
    };
    let Started { hub, mut worker, stop, keepers, locks, agent, admin, mut member } = started;
    let (log, gate) = (hub.log(), Arc::clone(&hub.0.gate));
    let front = Arc::new(Front { gate, log, ..front });
    let reloader = Reloader::new((&config, address), &hub, Arc::clone(&front), agent.as_ref());
    let (reload, asks) = mpsc::channel(1);
    let (by_hand, hang_up) = (CancellationToken::new(), CancellationToken::new());
    let hand = Hand { stop: by_hand.clone(), reload, address, hang_up: hang_up.clone() };
    let asked = tasks::own(debug_span!("operators"), admin.serve(Arc::clone(&hub.0), hand));
    let reloading = tasks::own(debug_span!("reload"), reloader.run(asks));
    let node = config.sharing.as_ref().map(|sharing| sharing.node.clone());
    let hosted =
        agent.map(|agent| tasks::own(debug_span!("agent"), hosts(agent, hub.clone(), node)));

    let (drain, close) = (CancellationToken::new(), CancellationToken::new());
    let sessions = Arc::new(Tasks::default());
    let words = identity::words(&hub.0.identity.bundle);
    let accepting = {
        let (shared, drain) = (Arc::clone(&hub.0), drain.clone());
        let serve = move |opened| session::serve(Arc::clone(&shared), drain.clone(), opened);
        let (front, sessions, close) = (Arc::clone(&front), Arc::clone(&sessions), close.clone());
        let run = listener::run(listener, front, sessions, close, serve);
        tasks::own(debug_span!("listener"), run)
    };
    front.readiness.set_store_ready(true);
    // Scripts wait for this line and read the address from it.
    tracing::info!("listening on {}", start::lines::address(certificate.as_ref(), address));
    for line in start::lines::lines(&config, address, certificate.as_ref(), &words.to_string()) {
        tracing::info!("{line}");
    }

    let failed = tokio::select! {
        () = &mut shutdown => None,
        () = by_hand.cancelled() => None,
        result = &mut worker => Some(worker_result(result)),
        error = lost_place(&mut member) => Some(Err(error.into())),
    };
    front.readiness.set_store_ready(failed.is_none());
    tracing::info!("stopping");
    front.readiness.start_draining();
    let deadline = Instant::now() + config.drain_time_max;
    let hub = hub.0;
    let serving = Serving { hub, worker, stop, sessions, drain, accepting, close, asked, hang_up };
    let result = serving.end(failed, deadline).await;
    if let Some(member) = member {
        member.leave().await;
    }
    // What is cut here has nothing half done: the agent's state is durable at each step.
    drop((hosted, reloading, figures, keepers, locks));
    result
}

/// Runs the commands to `server`, among several as long as no other one does.
async fn hosts(agent: BuiltInAgent, hub: Hub, node: Option<NodeName>) {
    let health = hub.0.health.clone();
    let elsewhere = async {
        match (health, node) {
            (Some(health), Some(node)) => health.is_hosted_elsewhere(node.as_str()).await,
            _ => std::future::pending().await,
        }
    };
    tokio::select! {
        () = agent.run(hub.clone()) => {}
        () = elsewhere => tracing::warn!("another server runs the commands to server now; none run here any more"),
    }
}

/// Why a server cannot be one of several any more; waits for ever while it can.
async fn lost_place(member: &mut Option<cluster::Kept>) -> cluster::ClusterError {
    match member {
        Some(member) => member.lost().await,
        None => std::future::pending().await,
    }
}

/// The acceptor that the configuration asks for, and its certificate, which people compare with what
/// their clients show.
fn tls_acceptor(config: &Config) -> Result<Option<(TlsAcceptor, tls::Fingerprint)>, tls::TlsError> {
    let files = match &config.tls {
        Tls::Off => return Ok(None),
        Tls::Auto => tls::own_certificate(&config.data, config.address.ip())?,
        Tls::Files(files) => files.clone(),
    };
    Ok(Some((files.acceptor()?, files.fingerprint()?)))
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
