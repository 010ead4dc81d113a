//! How the hub starts: its parts are opened, put together, and the worker runs. Nothing but the program itself
//! needs this module.

mod leave;
pub(crate) mod lines;
mod salvage;

use std::{path::Path, sync::Arc, time::Duration};

use chat_oplog::{CryptoTrace, OperationLog};
use chat_protocol::{
    crypto::random,
    id::Nonce16,
    keys::Bundle,
    name::{ConversationId, UserName},
};
use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    RunError,
    admin_socket::AdminSocket,
    budgets::{Budgets, Limits, MailboxLimits, disk, kept},
    builtin_agent::BuiltInAgent,
    clock::{Clock, now_ms},
    cluster::{self, Cluster, Kept},
    config::{Config, Verify},
    connection::ConnectionId,
    console::Console,
    gate::Gate,
    http::Readiness,
    identity::Identity,
    lock::{FolderLock, Kind},
    metrics::Metrics,
    order::{
        Alone, Guarded, Turn, Turns,
        follow::Follower,
        health::LogHealth,
        redis::{Place, RedisLog, guesses::RedisGuesses, link::RedisLink},
        shared::Shared,
    },
    passwords::Passwords,
    queue::{self, QueueLimits, QueueReceiver},
    relay::{
        Relay,
        copies::{self, Copies, CopyOptions},
        link::{Link, LinkSeal, Peer},
    },
    request::{Request, Requests},
    router::Router,
    shared::{self, Hub},
    sign_in,
    store::{
        Banned, CommitError, CopyChange, Incarnation, NewAccount, NewBundle, Proposal, Reads,
        Registration, Snapshot,
        sqlite::{self, SqliteOptions, SqliteStore},
    },
    tasks::{self, Tasks},
    worker::Worker,
};

pub use salvage::SalvageError;
use salvage::{Missing, Source};

/// The name of the log of operations, before its ending.
pub(crate) const LOG_STEM: &str = "server";

/// How long a hub waits before it tries again to be taken in by those that share its log.
const BEGIN_PAUSE: Duration = Duration::from_millis(20);

/// The folder of copies of files, in the data folder.
const FILES_FOLDER: &str = "files";

/// Who may come in, as far as a configuration says, and where it is told that nobody can.
#[derive(Debug, Default)]
pub struct Doors {
    /// Who may make an account.
    pub registration: Registration,
    /// Whom the configuration keeps out.
    pub bans: Vec<Banned>,
    /// What `/readyz` says.
    pub readiness: Arc<Readiness>,
}

/// What a hub is made of, but where its batches go.
pub struct Parts {
    /// The store, for reading.
    pub reads: Reads,
    /// What the store holds.
    pub snapshot: Snapshot,
    /// The hub's keys.
    pub identity: Identity,
    /// How much of a frame is checked.
    pub verify: Verify,
    /// How much may wait for somebody who is away.
    pub mailbox: MailboxLimits,
    /// How much one account or address may use.
    pub limits: Limits,
    /// How long rooms keep messages where they say nothing, in milliseconds; 0 for ever.
    pub retention_ms: u64,
    /// Who comes in.
    pub doors: Doors,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The log of operations.
    pub log: OperationLog,
    /// Where people see who came and went.
    pub console: Console,
    /// The time.
    pub clock: Clock,
    /// Where the story of the encryption is told, if anywhere.
    pub trace: Option<CryptoTrace>,
    /// Where copies of files lie; without it none are kept.
    pub copies: Option<CopyOptions>,
    /// What is known of the log that hubs share, if it is shared.
    pub health: Option<Arc<LogHealth>>,
    /// The way of files to other hubs, if the log is shared.
    pub link: Option<Link>,
    /// Wrong passwords at all hubs, if the log is shared.
    pub guesses: Option<RedisGuesses>,
}

/// A hub whose worker runs, and nothing around it.
pub struct Assembled {
    /// The hub.
    pub hub: Hub,
    /// The worker. It ends by itself when the store fails.
    pub worker: AbortOnDropHandle<Result<(), CommitError>>,
    /// Ends the worker when everything that is queued is done.
    pub stop: CancellationToken,
    /// What looks after the hub beside its worker: it never ends by itself, and goes with this.
    pub keepers: Tasks,
}

impl Parts {
    /// Brings the account `server` up to date and starts the worker, whose batches go to `turns`.
    pub async fn assemble(self, turns: impl Turns + 'static) -> Result<Assembled, RunError> {
        self.assemble_with(turns, || Ok(Missing::default())).await
    }

    /// The same, which takes up before anybody comes what the log was opened without. That is looked for when the log is
    /// open.
    async fn assemble_with(
        self,
        mut turns: impl Turns + 'static,
        lost: impl FnOnce() -> Result<Missing, SalvageError>,
    ) -> Result<Assembled, RunError> {
        let Self { reads, mut snapshot, identity, metrics, log, clock, trace, .. } = self;
        let (verify, mailbox, console) = (self.verify, self.mailbox, self.console);
        let rows = std::mem::take(&mut snapshot.copies);
        let mut router = Router::restore(snapshot, mailbox)?;
        router.keep_for(self.retention_ms);
        router.let_in(self.doors.registration, self.doors.bans);
        let mut changes = begin(&mut router, &mut turns, &identity.bundle, clock).await?;
        let lost = lost()?;
        if !lost.is_empty() {
            salvage::take_up((&mut router, &mut turns), lost, (clock, &mut changes)).await?;
        }
        let rows = copies::after(rows, changes);
        let (requests, receiver): (Requests, QueueReceiver<Request, ConversationId>) =
            queue::bounded(QueueLimits::default(), metrics.queue.clone());
        let gate = Arc::new(Gate::default());
        let open = |options| {
            let queue = requests.for_connection(ConnectionId::HUB);
            Copies::open(options, rows, queue, Arc::clone(&metrics))
        };
        let copies = self.copies.map(open).transpose()?;
        let keeps_copies = copies.is_some();
        let relay = Relay::new(Arc::clone(&metrics), log.clone(), copies).with_link(self.link);
        let relay = Arc::new(relay);
        let keepers = Tasks::default();
        if keeps_copies {
            let tend = copies::tend(Arc::downgrade(&relay), clock, Arc::clone(&gate));
            keepers.spawn(tracing::debug_span!("copies"), tend);
        }
        let (counted, written) = (Arc::clone(&metrics), log.clone());
        let openings = sign_in::threads().map_err(RunError::Threads)?;
        let passwords = Passwords::new(&self.limits).map_err(RunError::Threads)?;
        let passwords = passwords.with_shared(self.guesses);
        let budgets = Arc::new(Budgets::new(self.limits, &metrics));
        let worker = Worker::new(router, turns, reads.clone(), counted, written, console)
            .with_clock(clock)
            .with_budgets(Arc::clone(&budgets))
            .with_gate(Arc::clone(&gate))
            .with_relay(&relay)
            .with_health(self.health.clone())
            .with_readiness(self.doors.readiness);
        let stop = CancellationToken::new();
        // Who ends the hub waits for it.
        let span = tracing::debug_span!("worker");
        let worker = tasks::own(span, worker.run(receiver, stop.clone()));
        let shared = shared::Shared {
            requests,
            reads,
            identity,
            openings,
            passwords,
            budgets,
            metrics,
            log,
            verify,
            clock,
            trace,
            relay,
            gate,
            health: self.health,
        };
        Ok(Assembled { hub: Hub(Arc::new(shared)), worker, stop, keepers })
    }
}

/// A hub whose worker runs.
pub(crate) struct Started {
    pub(crate) hub: Hub,
    pub(crate) worker: AbortOnDropHandle<Result<(), CommitError>>,
    /// Ends the worker when everything that is queued is done.
    pub(crate) stop: CancellationToken,
    /// What looks after the hub beside its worker.
    pub(crate) keepers: Tasks,
    /// Data and log folder are ours.
    pub(crate) locks: [FolderLock; 2],
    /// The built-in agent, where commands can run at all.
    pub(crate) agent: Option<BuiltInAgent>,
    /// Where the operator asks.
    pub(crate) admin: AdminSocket,
    /// Its place among several, if it is one of them.
    pub(crate) member: Option<Kept>,
}

/// Opens folder, keys, database and log, and starts the worker.
pub(crate) async fn start(
    config: &Config,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
) -> Result<Started, RunError> {
    let data = FolderLock::take(Kind::Data, &config.data)?;
    let locks = [data, FolderLock::take(Kind::Logs, &config.logs)?];
    let log = OperationLog::open(&config.logs, LOG_STEM)?.dropping();
    let trace = config.trace_crypto.as_deref().map(crate::trace::open).transpose()?;
    let cluster = others(config, &metrics, &readiness).await?;
    let helper = config.helper.as_deref();
    let helper = helper.filter(|_| cluster.as_ref().is_none_or(|cluster| cluster.hosts_agent));
    let agent = helper.map(|helper| BuiltInAgent::open(config, helper)).transpose()?;
    let rb = agent.as_ref().map(BuiltInAgent::restart_nonce);
    let identity = open_identity(config, cluster.as_ref(), rb).await?;
    let salvage = cluster.as_ref().and_then(|cluster| to_salvage(config, cluster));
    let data = config.data.clone();
    let (way, reads, snapshot) = open_way(config, cluster, &metrics).await?;
    let guesses = way.guesses();
    let (own, link, carrier) = way
        .link()
        .map_or((0, None, None), |(own, link, carrier)| (own.node, Some(link), Some(carrier)));
    let health = way.health();
    let admin = AdminSocket::open(&config.data, &config.logs)?;
    watch(&metrics, (&readiness, &config.data), &log, health.clone());
    let (registration, bans) = (config.registration, config.bans.clone());
    let doors = Doors { registration, bans, readiness };
    let (verify, mailbox, clock) = (config.verify, config.mailbox, now_ms);
    let console = Console::stdout();
    let copies =
        CopyOptions { folder: config.data.join(FILES_FOLDER), node: own, limits: config.copies };
    let parts = Parts {
        reads,
        snapshot,
        identity,
        verify,
        mailbox,
        limits: config.limits.clone(),
        retention_ms: config.retention_ms,
        doors,
        metrics,
        log,
        console,
        clock,
        trace,
        copies: Some(copies),
        health,
        link,
        guesses,
    };
    let (assembled, mut member) = match way {
        Way::Alone(turns) => (parts.assemble(*turns).await?, None),
        Way::Shared(turns, member, _) => {
            let lost = move || {
                salvage
                    .map_or_else(|| Ok(Missing::default()), |source| salvage::lost(&source, &data))
            };
            (parts.assemble_with(*turns, lost).await?, Some(*member))
        }
    };
    let Assembled { hub, worker, stop, keepers } = assembled;
    if let Some(member) = &mut member {
        member.report_to(hub.clone());
    }
    if let Some(carrier) = carrier {
        let carrying = carrier.run(Arc::downgrade(&hub.0.relay));
        keepers.spawn(tracing::debug_span!("files"), carrying);
    }
    let budgets = || Arc::downgrade(&hub.0.budgets);
    keepers.spawn(tracing::debug_span!("kept"), kept::count(budgets(), hub.0.reads.clone()));
    keepers.spawn(tracing::debug_span!("disk"), disk::watch(budgets(), config.data.clone()));
    Ok(Started { hub, worker, stop, keepers, locks, agent, admin, member })
}

/// The servers of which this one is one. It is alone, or leaves them first.
async fn others(
    config: &Config,
    metrics: &Arc<Metrics>,
    readiness: &Readiness,
) -> Result<Option<Cluster>, RunError> {
    if let Some(leaving) = &config.leaving {
        leave::leave(config, leaving, (metrics, readiness)).await?;
    }
    match &config.sharing {
        Some(sharing) => Ok(Some(cluster::find(config, sharing).await?)),
        None => Ok(None),
    }
}

/// Has readiness and metrics look at the disk, the log of operations and the log that is shared.
fn watch(
    metrics: &Metrics,
    (readiness, data): (&Readiness, &Path),
    log: &OperationLog,
    health: Option<Arc<LogHealth>>,
) {
    if let Some(health) = health {
        readiness.watch_shared(move || health.obstacle());
    }
    let lost = log.clone();
    metrics.watch_log(move || lost.lines_failed());
    let stalled = log.clone();
    readiness.watch(data.to_owned(), move || stalled.is_stalled());
}

/// The folder of `--salvage`, and the log that it is of.
fn to_salvage(config: &Config, cluster: &Cluster) -> Option<Source> {
    let folder = config.sharing.as_ref()?.salvage.clone()?;
    let (seal, words) = (cluster.seal.clone(), cluster.words.clone());
    Some(Source { folder, log: cluster.log.log, seal, words })
}

/// Where batches go.
enum Way {
    /// Into the own store alone.
    Alone(Box<Alone<SqliteStore>>),
    /// Into the log that several share, and from there into the store.
    Shared(Box<Shared<RedisLog, SqliteStore>>, Box<Kept>, Box<(Place, Peer, LinkSeal)>),
}

impl Way {
    fn health(&self) -> Option<Arc<LogHealth>> {
        match self {
            Self::Alone(_) => None,
            Self::Shared(_, member, _) => Some(member.health()),
        }
    }

    /// Where wrong passwords are counted for all hubs.
    fn guesses(&self) -> Option<RedisGuesses> {
        let Self::Shared(_, _, route) = self else { return None };
        let (place, _, seal) = &**route;
        Some(RedisGuesses::new(place.clone(), seal.for_names()))
    }

    /// Who this is for other hubs, and the way of files to them.
    fn link(&self) -> Option<(Peer, Link, RedisLink)> {
        let Self::Shared(_, _, route) = self else { return None };
        let (place, own, seal) = &**route;
        let (link, posts) = Link::new(seal.for_names());
        Some((*own, link, RedisLink::new(place.clone(), *own, seal.clone(), posts)))
    }
}

/// Opens the database, and the way to the log if it is shared.
async fn open_way(
    config: &Config,
    cluster: Option<Cluster>,
    metrics: &Arc<Metrics>,
) -> Result<(Way, Reads, Snapshot), RunError> {
    if let Some(cluster) = cluster {
        return open_shared(config, cluster, metrics).await;
    }
    let options = SqliteOptions { pages_max: config.database_pages_max };
    let (store, reads, snapshot) = sqlite::open(&config.data, options, Arc::clone(metrics))?;
    Ok((Way::Alone(Box::new(Alone::new(store))), reads, snapshot))
}

/// Opens the database of one of several, and its way to the log.
async fn open_shared(
    config: &Config,
    cluster: Cluster,
    metrics: &Arc<Metrics>,
) -> Result<(Way, Reads, Snapshot), RunError> {
    let options = SqliteOptions { pages_max: config.database_pages_max };
    let hub = Incarnation { node: cluster.node, life: u64::from_be_bytes(random()) };
    let (store, reads, snapshot, was) =
        sqlite::open_shared(&config.data, options, Arc::clone(metrics), (&cluster.log, hub.life))?;
    let (before, noted, read_from) = (was.life, was.noted.clone(), was.generation);
    let own = Peer { node: hub.node, process: hub.life };
    let route = (cluster.place.clone(), own, cluster.link_seal.clone());
    let follower = Follower::restore(cluster.seal.clone(), was);
    let (log, member) = {
        let kept: (Clock, _, _) = (now_ms, Arc::clone(metrics), config.data.as_path());
        cluster.join(hub, (before, follower.applied(), read_from), kept).await?
    };
    let shared =
        Shared::new(hub, log, store, follower).knowing(noted, read_from).announcing(now_ms);
    Ok((Way::Shared(Box::new(shared), Box::new(member), Box::new(route)), reads, snapshot))
}

/// Making keys takes up to a second, so it goes to a thread for such work.
async fn open_identity(
    config: &Config,
    cluster: Option<&Cluster>,
    rb: Option<Nonce16>,
) -> Result<Identity, RunError> {
    let shared = cluster.map(|cluster| cluster.identity.clone());
    let is_said_again = rb.is_some() && cluster.is_some_and(|cluster| cluster.becomes_host);
    let (folder, sizes) = (config.data.clone(), config.key_sizes);
    let open = move || {
        let shared = shared.as_ref().map(|identity| identity.as_slice());
        let identity = Identity::open_as(&folder, sizes, (shared, rb), now_ms())?;
        if is_said_again { identity.said_again(&folder, sizes, now_ms()) } else { Ok(identity) }
    };
    let opened = tokio::task::spawn_blocking(open).await;
    Ok(opened.map_err(|_cut| RunError::Ending)??)
}

/// Takes over what other hubs have kept, and keeps what has to be there before anybody comes. Returns what became of
/// the list of copies.
async fn begin(
    router: &mut Router,
    turns: &mut impl Turns,
    bundle: &Bundle,
    clock: Clock,
) -> Result<Vec<CopyChange>, RunError> {
    let mut copies = Vec::new();
    loop {
        take_over(router, turns.catch_up().await?, &mut copies);
        // Sessions of this hub before it ended without a word.
        let gone = router.predecessor(turns.hub()).map(Proposal::Gone);
        let Some(proposal) = own_account(router, bundle)?.or(gone) else {
            take_over(router, turns.announce().await?, &mut copies);
            return Ok(copies);
        };
        let guarded = Guarded { guard: router.guard(&proposal), proposal };
        let at = turns.applied();
        let came = turns.commit(at, clock(), vec![guarded]).await?;
        let is_kept = came.iter().any(Turn::keeps_own);
        take_over(router, came, &mut copies);
        if !is_kept {
            // Others were faster, or there is no room for it now.
            sleep(BEGIN_PAUSE).await;
        }
    }
}

fn take_over(router: &mut Router, turns: Vec<Turn>, copies: &mut Vec<CopyChange>) {
    for turn in turns {
        let now_ms = turn.now_ms;
        for committed in turn.kept() {
            if let (Proposal::Copies(change), Ok(_)) = (&committed.proposal, &committed.outcome) {
                copies.push(change.clone());
            }
            router.apply(now_ms, committed);
        }
    }
}

/// What makes the account `server`, or brings its bundle up to date, if that is needed.
fn own_account(router: &Router, bundle: &Bundle) -> Result<Option<Proposal>, RunError> {
    let name = UserName::server();
    let shared = || Arc::new(bundle.clone());
    Ok(Some(match router.account_folded(&name) {
        None => Proposal::Account(Box::new(NewAccount {
            name,
            bundle: shared(),
            password: None,
            vault: None,
            invite: None,
        })),
        Some(account) if account.identity != bundle.identity() => {
            return Err(RunError::ForeignKeys);
        }
        Some(account) => {
            let device = account.devices.iter().find(|d| d.dev == bundle.header().dev);
            if device.is_some_and(|device| device.digest == bundle.digest()) {
                return Ok(None);
            }
            let (account, device) = (account.id, device.map(|device| device.id));
            Proposal::Bundle(Box::new(NewBundle { account, device, bundle: shared() }))
        }
    }))
}
