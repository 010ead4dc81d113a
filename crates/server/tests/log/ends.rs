//! What a server among several says of who leaves, whatever keeps it from writing.

use std::sync::{
    Arc,
    atomic::{AtomicU8, AtomicU64, Ordering},
};

use chat_oplog::OperationLog;
use chat_protocol::{crypto::UnwrapKey, id::Nonce16, keys::BundleOptions, name::UserName};
use chat_server::{
    clock::{Clock, now_ms},
    config::Verify,
    console::Console,
    identity::Identity,
    local::LocalError,
    metrics::Metrics,
    order::{
        Guarded, Records, Turn, Turns, Unkept, batch::Seal, follow::Follower, health::LogHealth,
        memory::MemoryLog, shared::Shared,
    },
    shared::Hub,
    start::{Assembled, Doors, Parts},
    store::{
        CommitError, Incarnation, NewSession, Proposal,
        memory::MemoryStore,
        sqlite::{self, FollowedLog, SqliteOptions},
    },
    tasks::Tasks,
};
use chat_testkit::{PATIENCE, keys::keys};
use tempfile::TempDir;
use tokio::{sync::Notify, time::timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::hub;

/// The log takes what comes.
const OPEN: u8 = 0;
/// It has no room.
const FULL: u8 = 1;
/// Another hub is always faster.
const OVERTAKEN: u8 = 2;

/// What the way to the log is like.
#[derive(Default)]
struct Weather {
    state: AtomicU8,
    /// Something was not kept.
    unkept: Notify,
}

/// A way to the log that is not always open.
struct Way<T> {
    turns: T,
    weather: Arc<Weather>,
}

impl<T: Turns> Turns for Way<T> {
    const IS_SHARED: bool = true;

    fn hub(&self) -> Incarnation {
        self.turns.hub()
    }

    fn applied(&self) -> u64 {
        self.turns.applied()
    }

    async fn commit(
        &mut self,
        at: u64,
        now_ms: u64,
        batch: Vec<Guarded>,
    ) -> Result<Vec<Turn>, CommitError> {
        let why = match self.weather.state.load(Ordering::Acquire) {
            OPEN => return self.turns.commit(at, now_ms, batch).await,
            FULL => Unkept::Full,
            _overtaken => Unkept::Stale,
        };
        self.weather.unkept.notify_one();
        let records = Records::Own(batch.iter().map(|_| Err(why)).collect());
        Ok(vec![Turn { now_ms, records }])
    }

    async fn catch_up(&mut self) -> Result<Vec<Turn>, CommitError> {
        self.turns.catch_up().await
    }

    fn is_gone(&self, hub: Incarnation) -> bool {
        self.turns.is_gone(hub)
    }

    async fn arrived(&mut self) {
        self.turns.arrived().await;
    }

    async fn others(&mut self) -> Result<Vec<Turn>, CommitError> {
        self.turns.others().await
    }
}

fn follower() -> Follower {
    Follower::new(Seal::new(&[1; 32], [2; 16], 1))
}

fn identity() -> Identity {
    let keys = keys(0);
    let name = UserName::server();
    let bundle = keys
        .publish(&name, Nonce16([9; 16]), None, now_ms(), BundleOptions::default())
        .expect("made");
    // Opens sign-ins over a socket, of which there are none: any key will do.
    let link = Arc::new(UnwrapKey::from_pkcs8(&keys.encryption.to_pkcs8()).expect("made"));
    Identity { keys, link, bundle }
}

/// A hub of several, and another one that reads along.
struct Scene {
    hub: Hub,
    worker: Option<AbortOnDropHandle<Result<(), CommitError>>>,
    stop: CancellationToken,
    _keepers: Tasks,
    witness: Shared<chat_server::order::memory::MemoryEnd, MemoryStore>,
    weather: Arc<Weather>,
    health: Arc<LogHealth>,
    _folder: TempDir,
}

impl Scene {
    async fn open(clock: Clock) -> Self {
        let log = MemoryLog::new(now_ms);
        let folder = tempfile::tempdir().expect("made");
        let (one, two) = (hub(1), hub(2));
        let options = SqliteOptions::default();
        let own = FollowedLog { log: [2; 16], node: "n1".to_owned() };
        let (store, reads, snapshot, _) =
            sqlite::open_shared(folder.path(), options, Arc::default(), (&own, one.life))
                .expect("made");
        let turns = Shared::new(one, log.join(one, 0), store, follower());
        let (weather, health) = (Arc::new(Weather::default()), Arc::new(LogHealth::new(one.life)));
        let witness = Shared::new(two, log.join(two, 0), MemoryStore::default(), follower());
        let parts = Parts {
            reads,
            snapshot,
            identity: identity(),
            verify: Verify::Signature,
            mailbox: chat_server::budgets::MailboxLimits::default(),
            limits: chat_server::budgets::Limits::default(),
            retention_ms: 0,
            doors: Doors::default(),
            metrics: Arc::new(Metrics::default()),
            log: OperationLog::disabled(),
            console: Console::none(),
            clock,
            trace: None,
            copies: None,
            health: Some(Arc::clone(&health)),
            link: None,
            guesses: None,
        };
        let way = Way { turns, weather: Arc::clone(&weather) };
        let Assembled { hub, worker, stop, keepers } = parts.assemble(way).await.expect("a hub");
        let worker = Some(worker);
        Self { hub, worker, stop, _keepers: keepers, witness, weather, health, _folder: folder }
    }

    /// The next session that the log tells of.
    async fn next_session(&mut self) -> NewSession {
        let told = async {
            loop {
                self.witness.arrived().await;
                let turns = self.witness.others().await.expect("turns");
                let kept = turns.into_iter().flat_map(Turn::kept);
                let mut sessions = kept.filter_map(|committed| match committed.proposal {
                    Proposal::Session(session) => Some(session),
                    _ => None,
                });
                if let Some(session) = sessions.next() {
                    return session;
                }
            }
        };
        timeout(PATIENCE, told).await.expect("told in time")
    }
}

/// Goal: a hub that is stopped in order tells the others that its people have left. Before: they were there for ever.
#[tokio::test]
async fn a_hub_that_is_stopped_says_who_leaves() {
    let mut scene = Scene::open(now_ms).await;
    let connection = scene.hub.connect_local().await.expect("let in");
    let opened = scene.next_session().await;
    scene.stop.cancel();
    let worker = scene.worker.take().expect("it runs");
    timeout(PATIENCE, worker).await.expect("in time").expect("no fault").expect("in order");
    drop(connection);
    assert_eq!(scene.next_session().await, NewSession { is_open: false, ..opened });
}

/// Goal: who has left while the log had no room is gone as soon as there is room. Before: they were there until the hub
/// was started again.
#[tokio::test]
async fn who_leaves_while_there_is_no_room_is_gone_when_there_is() {
    let mut scene = Scene::open(now_ms).await;
    let connection = scene.hub.connect_local().await.expect("let in");
    let opened = scene.next_session().await;
    scene.weather.state.store(FULL, Ordering::Release);
    connection.close().await;
    for _ in 0..2 {
        let refused = timeout(PATIENCE, scene.weather.unkept.notified()).await;
        refused.expect("it is tried again");
    }
    scene.weather.state.store(OPEN, Ordering::Release);
    assert_eq!(scene.next_session().await, NewSession { is_open: false, ..opened });
}

/// By how much the clock of a hub is wrong, in milliseconds. Of one test alone.
static WRONG_BY_MS: AtomicU64 = AtomicU64::new(0);

fn wrong_clock() -> u64 {
    now_ms() + WRONG_BY_MS.load(Ordering::Acquire)
}

/// Goal: a hub whose clock is wrong writes nothing but that somebody has left, so that they come in elsewhere. Before: it
/// told them to come again for ever, and was deaf as soon as the first one had left.
#[tokio::test]
async fn who_leaves_a_hub_whose_clock_is_wrong_is_gone_for_all() {
    let mut scene = Scene::open(wrong_clock).await;
    let connection = scene.hub.connect_local().await.expect("let in");
    let opened = scene.next_session().await;
    WRONG_BY_MS.store(60_000, Ordering::Release);
    // The hub measures by how much.
    scene.health.set_clocks(now_ms(), wrong_clock());
    scene.health.set_clock_wrong(true);
    let refused = scene.hub.connect_local().await.err();
    assert!(matches!(refused, Some(LocalError::Refused { .. })), "{refused:?}");
    connection.close().await;
    assert_eq!(scene.next_session().await, NewSession { is_open: false, ..opened });
}

/// Goal: a request that other hubs overtake again and again gets a word. Before: it waited for ever.
#[tokio::test]
async fn who_is_overtaken_again_and_again_is_told_to_come_again() {
    let scene = Scene::open(now_ms).await;
    scene.weather.state.store(OVERTAKEN, Ordering::Release);
    let entering = timeout(PATIENCE, scene.hub.connect_local()).await;
    let refused = entering.expect("an answer").err();
    assert!(
        matches!(&refused, Some(LocalError::Refused { reason, .. }) if reason.contains("faster")),
        "{refused:?}"
    );
    scene.weather.state.store(OPEN, Ordering::Release);
    scene.hub.connect_local().await.expect("let in");
}
