//! The shared log in Redis: one stream gives the order. Scripts are all that writes to it, and they refuse what
//! must not come behind what another hub has put there.
//!
//! ```text
//!  append ── writing ──► append.lua ──► XADD, answered when it is on the disk of Redis
//!  next ◄─── channel ◄── reader ◄────── XREAD BLOCK, a connection of its own with one command in it
//! ```
//! Whatever becomes of a connection, a batch is sent again under its number until the log has said what became of
//! it: a number goes in once, or never.

pub mod guesses;
pub mod lease;
pub mod level;
pub mod link;
mod open;
pub mod standing;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use redis::{
    AsyncConnectionConfig, Client, RedisError, Script,
    aio::MultiplexedConnection,
    streams::{StreamId, StreamReadReply},
};
use thiserror::Error;
use tokio::{sync::mpsc, time::sleep};
use tokio_util::task::AbortOnDropHandle;

use super::{Append, LogError, Logged, SharedLog, health::LogHealth};
use crate::{store::Incarnation, tasks};
use level::AckLevel;

/// How long a connection may take to be made.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);

/// How long a script may take: a sync of the disk, behind those of other hubs.
const SCRIPT_TIME_MAX: Duration = Duration::from_secs(4);

/// How long a read waits for turns. A link that is cut without a word is noticed a little later.
const READ_WAIT: Duration = Duration::from_secs(2);

/// How long it may take in all.
const READ_TIME_MAX: Duration = Duration::from_secs(4);

/// Turns in one read: at most 16 MiB of batches.
const TURNS_PER_READ: usize = 64;

/// Reads that wait to be applied.
const READS_AHEAD_MAX: usize = 4;

/// Pauses between attempts, from the first to the longest: a Redis that comes back is used within a second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Why a log cannot be used.
#[derive(Debug, Error)]
pub enum PlaceError {
    /// Redis does not answer, or refuses.
    #[error("Redis: {0}")]
    Redis(#[from] RedisError),
    /// Nobody has begun one.
    #[error("there is no log of this name")]
    None,
    /// There is one.
    #[error("there is a log of this name already")]
    Taken,
    /// It is of another Redis, or of one that was started anew.
    #[error("the log is not open for this Redis")]
    Closed,
    /// Redis has less than a hub has read: a copy that was behind, a backup, or its disk did not keep its word.
    #[error(
        "the log ends at turn {has}, and a hub has read up to {needed}: Redis has lost the rest"
    )]
    Lost {
        /// Its last turn.
        has: u64,
        /// The last one that was read.
        needed: u64,
    },
    /// Another server has its name.
    #[error("another server has this name")]
    Held,
    /// It promises less than was asked for.
    #[error("an ACK would promise {level}, and {least} was asked for; Redis lacks: {lacks}")]
    Weak {
        /// What it promises.
        level: AckLevel,
        /// What was asked for.
        least: AckLevel,
        /// What it would need.
        lacks: String,
    },
    /// The script has said something else.
    #[error("Redis has answered {0}, which is none of our words")]
    Strange(String),
}

/// What is said of a log, for hubs that join it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its id.
    pub id: [u8; 16],
    /// The version of its batches.
    pub version: u8,
    /// The identity key of the hubs, sealed.
    pub identity: Vec<u8>,
    /// The hub whose agent answers to the name `server`.
    pub host: String,
    /// What all hubs are set to, sealed.
    pub settings: Vec<u8>,
}

/// Where a log lies, and what it is called there.
#[derive(Clone)]
pub struct Place {
    client: Client,
    log: String,
    meta: String,
    /// What the keys of leases begin with.
    nodes: String,
    /// What the channels for files begin with.
    files: String,
    /// What the names of halves of transfers begin with.
    halves: String,
    /// What the names of counts of wrong passwords begin with.
    guesses: String,
}

impl fmt::Debug for Place {
    /// Without the password of the URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("log", &self.log).finish_non_exhaustive()
    }
}

impl Place {
    /// `url` is `redis://HOST:PORT`, `rediss://…` with TLS, or `unix:///PATH`. Hubs with one name of their
    /// cluster share a log.
    pub fn new(url: &str, cluster: &str) -> Result<Self, RedisError> {
        let client = Client::open(url)?;
        let key = |what: &str| format!("{{{cluster}}}:{what}");
        let (log, meta, nodes) = (key("log"), key("meta"), key("node:"));
        let (files, halves, guesses) = (key("f:"), key("h:"), key("g:"));
        Ok(Self { client, log, meta, nodes, files, halves, guesses })
    }

    async fn connect(&self, response: Duration) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIME_MAX))
            .set_response_timeout(Some(response));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// Begins a log where there is none.
    pub async fn found(&self, about: &About) -> Result<(), PlaceError> {
        let mut connection = self.connect(SCRIPT_TIME_MAX).await?;
        let script = Script::new(include_str!("redis/found.lua"));
        let mut call = script.key(&self.log);
        call.key(&self.meta)
            .arg(&about.id[..])
            .arg(about.version)
            .arg(&about.identity[..])
            .arg(&about.host)
            .arg(&about.settings[..]);
        let (word, _): (String, u64) = call.invoke_async(&mut connection).await?;
        match word.as_str() {
            "OK" => Ok(()),
            "HAD" => Err(PlaceError::Taken),
            _ => Err(PlaceError::Strange(word)),
        }
    }

    /// What is said of the log that is there, if one is.
    pub async fn about(&self) -> Result<Option<About>, PlaceError> {
        type Found =
            (Option<Vec<u8>>, Option<u8>, Option<Vec<u8>>, Option<String>, Option<Vec<u8>>);
        let mut connection = self.connect(SCRIPT_TIME_MAX).await?;
        let mut asked = redis::cmd("HMGET");
        asked.arg(&self.meta);
        for field in ["id", "v", "identity", "host", "settings"] {
            asked.arg(field);
        }
        let found: Found = asked.query_async(&mut connection).await?;
        let (Some(id), Some(version), Some(identity), Some(host), Some(settings)) = found else {
            return Ok(None);
        };
        let id: [u8; 16] =
            id.try_into().map_err(|_| PlaceError::Strange("another id".to_owned()))?;
        Ok(Some(About { id, version, identity, host, settings }))
    }

    /// Replaces what all hubs are set to, as hub of this number. False while another one runs.
    pub async fn change_settings(&self, number: u32, settings: &[u8]) -> Result<bool, PlaceError> {
        let mut connection = self.connect(SCRIPT_TIME_MAX).await?;
        let script = Script::new(include_str!("redis/settings.lua"));
        let mut call = script.key(&self.meta);
        call.arg(settings).arg(number).arg(&self.nodes);
        let (word, _): (String, u64) = call.invoke_async(&mut connection).await?;
        Ok(word == "OK")
    }

    /// The hub of this name answers to `server` from now on, and `before` not any more. False while that one runs.
    pub async fn change_host(&self, before: u32, name: &str) -> Result<bool, PlaceError> {
        let mut connection = self.connect(SCRIPT_TIME_MAX).await?;
        let script = Script::new(include_str!("redis/host.lua"));
        let mut call = script.key(&self.meta);
        call.key(self.lease_of(before)).arg(name);
        let (word, _): (String, u64) = call.invoke_async(&mut connection).await?;
        Ok(word == "OK")
    }

    /// Gives a number to the name of a hub. Returns the name that has it.
    pub async fn name(&self, number: u32, name: &str) -> Result<String, PlaceError> {
        let mut connection = self.connect(SCRIPT_TIME_MAX).await?;
        let field = format!("n:{number}");
        let (name,): (String,) = redis::pipe()
            .cmd("HSETNX")
            .arg(&self.meta)
            .arg(&field)
            .arg(name)
            .ignore()
            .cmd("HGET")
            .arg(&self.meta)
            .arg(&field)
            .query_async(&mut connection)
            .await?;
        Ok(name)
    }

    /// Lets a hub write, from its first batch on; at which turn the log is.
    async fn let_in(&self, hub: &str) -> Result<u64, PlaceError> {
        let mut connection = self.connect(SCRIPT_TIME_MAX).await?;
        let script = Script::new(include_str!("redis/join.lua"));
        let (word, turn): (String, u64) =
            script.key(&self.meta).arg(hub).invoke_async(&mut connection).await?;
        match word.as_str() {
            "OK" => Ok(turn),
            "NONE" => Err(PlaceError::None),
            "CLOSED" => Err(PlaceError::Closed),
            _ => Err(PlaceError::Strange(word)),
        }
    }

    /// Lets a hub write no more: it is gone.
    pub async fn shut_out(&self, hub: Incarnation) -> Result<(), PlaceError> {
        let mut connection = self.connect(SCRIPT_TIME_MAX).await?;
        let field = format!("s:{}", name_of(hub));
        let () = redis::cmd("HDEL").arg(&self.meta).arg(field).query_async(&mut connection).await?;
        Ok(())
    }
}

/// What a life of a hub is called in Redis.
fn name_of(hub: Incarnation) -> String {
    format!("{}:{:016x}", hub.node, hub.life)
}

/// Pauses that get longer.
#[derive(Debug)]
struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Self(PAUSES.0)
    }
}

impl Pauses {
    async fn pause(&mut self) {
        sleep(self.0).await;
        self.0 = self.0.saturating_mul(2).min(PAUSES.1);
    }
}

/// One hub's way to the log.
#[derive(Debug)]
pub struct RedisLog {
    place: Place,
    hub: String,
    /// How often the log was opened, as far as this hub knows.
    generation: u64,
    writing: Option<MultiplexedConnection>,
    turns: mpsc::Receiver<Vec<Logged>>,
    /// The last turn that was read.
    read: Arc<AtomicU64>,
    /// Where it is said which life writes, if somebody listens.
    health: Option<Arc<LogHealth>>,
    _reader: AbortOnDropHandle<()>,
}

impl RedisLog {
    /// Lets this life of a hub write, and reads what stands behind turn `after`.
    pub async fn join(place: Place, hub: Incarnation, after: u64) -> Result<Self, PlaceError> {
        let hub = name_of(hub);
        let read = Arc::new(AtomicU64::new(after));
        open::if_closed(&place, &hub, &read).await?;
        place.let_in(&hub).await?;
        let (sender, turns) = mpsc::channel(READS_AHEAD_MAX);
        let reader = read_all(place.clone(), Arc::clone(&read), sender);
        let reader = tasks::own(tracing::debug_span!("log"), reader);
        let (generation, writing, health) = (0, None, None);
        Ok(Self { place, hub, generation, writing, turns, read, health, _reader: reader })
    }

    /// The same, which says there which life writes.
    #[must_use]
    pub fn with_health(self, health: Arc<LogHealth>) -> Self {
        Self { health: Some(health), ..self }
    }

    /// The last turn that was read, for whoever has to say so.
    pub fn read(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }

    /// Opens the log for the Redis that is there now. What Redis has lost, no attempt brings back.
    async fn open(&self, pauses: &mut Pauses) -> Result<(), LogError> {
        match open::if_closed(&self.place, &self.hub, &self.read).await {
            Ok(()) => return Ok(()),
            Err(error @ (PlaceError::None | PlaceError::Lost { .. })) => {
                tracing::error!(%error, "the log cannot be opened");
                return Err(LogError::Lost);
            }
            Err(error) => tracing::warn!(%error, "the log cannot be opened; trying again"),
        }
        pauses.pause().await;
        Ok(())
    }

    async fn connection(&mut self) -> Result<&mut MultiplexedConnection, RedisError> {
        Ok(match &mut self.writing {
            Some(connection) => connection,
            none => none.insert(self.place.connect(SCRIPT_TIME_MAX).await?),
        })
    }

    async fn try_end(&mut self) -> Result<(String, u64), RedisError> {
        let script = Script::new(include_str!("redis/end.lua"));
        let mut call = script.prepare_invoke();
        call.key(&self.place.meta);
        call.invoke_async(self.connection().await?).await
    }

    async fn try_append(&mut self, append: &Append) -> Result<(String, u64), RedisError> {
        let script = Script::new(include_str!("redis/append.lua"));
        let mut call = script.key(&self.place.log);
        call.key(&self.place.meta)
            .arg(self.generation)
            .arg(append.at)
            .arg(&self.hub)
            .arg(append.seq)
            .arg(u8::from(append.is_structure))
            .arg(append.now_ms)
            .arg(&append.batch[..]);
        call.invoke_async(self.connection().await?).await
    }

    /// Redis has not answered: what was asked may have been done.
    async fn broken(&mut self, error: &RedisError, pauses: &mut Pauses) {
        tracing::warn!(%error, "Redis does not answer; trying again");
        self.writing = None;
        pauses.pause().await;
    }
}

impl SharedLog for RedisLog {
    async fn append(&mut self, append: Append) -> Result<u64, LogError> {
        let mut pauses = Pauses::default();
        loop {
            let (word, number) = match self.try_append(&append).await {
                Ok(answer) => answer,
                Err(error) if error.code() == Some("OOM") => return Err(LogError::Full),
                Err(error) => {
                    // It may have gone in: its number says so then.
                    self.broken(&error, &mut pauses).await;
                    continue;
                }
            };
            return match word.as_str() {
                "OK" | "HAD" => Ok(number),
                "GEN" => {
                    self.generation = number;
                    continue;
                }
                "CLOSED" => {
                    self.open(&mut pauses).await?;
                    continue;
                }
                "LATE" => Err(LogError::Late),
                "CLOCK" => Err(LogError::Clock),
                "BACK" => Err(LogError::Back(number)),
                "GONE" => Err(LogError::Gone),
                "SEQ" => Err(LogError::Number(number)),
                _ => Err(LogError::Strange),
            };
        }
    }

    async fn end(&mut self) -> Result<u64, LogError> {
        let mut pauses = Pauses::default();
        loop {
            match self.try_end().await {
                Ok((word, turn)) if word == "OK" => return Ok(turn),
                Ok(_closed) => self.open(&mut pauses).await?,
                Err(error) => self.broken(&error, &mut pauses).await,
            }
        }
    }

    async fn begin_again(&mut self, hub: Incarnation) -> Result<(), LogError> {
        self.hub = name_of(hub);
        if let Some(health) = &self.health {
            health.set_life(hub.life);
        }
        let mut pauses = Pauses::default();
        loop {
            match self.place.let_in(&self.hub).await {
                Ok(_) => return Ok(()),
                Err(PlaceError::None) => return Err(LogError::Lost),
                Err(PlaceError::Closed) => self.open(&mut pauses).await?,
                Err(error) => {
                    tracing::warn!(%error, "Redis does not let this server in; trying again");
                    pauses.pause().await;
                }
            }
        }
    }

    async fn next(&mut self) -> Result<Vec<Logged>, LogError> {
        // The reader ends with this.
        self.turns.recv().await.ok_or(LogError::Gone)
    }
}

/// Reads the log for ever, over as many connections as it takes.
async fn read_all(place: Place, read: Arc<AtomicU64>, turns: mpsc::Sender<Vec<Logged>>) {
    // The stream is in the order of turns; those before the first that counts are passed over.
    let mut last = format!("0-{}", read.load(Ordering::Relaxed));
    let mut pauses = Pauses::default();
    loop {
        if let Ok(mut connection) = place.connect(READ_TIME_MAX).await {
            while let Ok(entries) = read_some(&place, &mut connection, &last).await {
                pauses = Pauses::default();
                let Some(newest) = entries.last() else { continue };
                last.clone_from(&newest.id);
                let after = read.load(Ordering::Relaxed);
                let logged: Vec<Logged> = entries.iter().filter_map(logged).collect();
                let logged: Vec<Logged> =
                    logged.into_iter().filter(|logged| logged.turn > after).collect();
                let Some(newest) = logged.last().map(|logged| logged.turn) else { continue };
                if turns.send(logged).await.is_err() {
                    return;
                }
                read.store(newest, Ordering::Relaxed);
            }
        }
        pauses.pause().await;
    }
}

/// The next entries of the stream; none when there were none for a while.
async fn read_some(
    place: &Place,
    connection: &mut MultiplexedConnection,
    last: &str,
) -> Result<Vec<StreamId>, RedisError> {
    let reply: Option<StreamReadReply> = redis::cmd("XREAD")
        .arg("COUNT")
        .arg(TURNS_PER_READ)
        .arg("BLOCK")
        .arg(READ_WAIT.as_millis())
        .arg("STREAMS")
        .arg(&place.log)
        .arg(last)
        .query_async(connection)
        .await
        .inspect_err(|error| tracing::warn!(%error, "Redis does not answer; reading again"))?;
    Ok(reply
        .map(|reply| reply.keys.into_iter().flat_map(|key| key.ids).collect())
        .unwrap_or_default())
}

/// What an entry holds. One of another form is none of ours; that a turn is missing is seen by who follows.
fn logged(entry: &StreamId) -> Option<Logged> {
    let (_, turn) = entry.id.split_once('-')?;
    let batch: Vec<u8> = entry.get("b")?;
    Some(Logged { turn: turn.parse().ok()?, time_ms: entry.get("t")?, batch: Bytes::from(batch) })
}
