//! The shared log in Redis: one stream gives the order. Scripts are all that writes to it, and they refuse what
//! must not come behind what another hub has put there.
//!
//! ```text
//!  append ── writing ──► append.lua ──► XADD, answered when it is on the disk of Redis
//!  next ◄─── channel ◄── reader ◄────── XREAD BLOCK, a connection of its own with one command in it
//! ```
//! Whatever becomes of a connection, a batch is sent again under its number until the log has said what became of
//! it: a number goes in once, or never.

pub mod beside;
mod change;
mod failed;
pub mod guesses;
pub mod lease;
pub mod level;
pub mod link;
mod open;
mod read;
pub mod standing;
mod waits;
pub mod word;

use std::{fmt, sync::Arc, time::Duration};

use redis::{AsyncConnectionConfig, Client, RedisError, Script, aio::MultiplexedConnection};
use thiserror::Error;
use tokio::time::{Instant, sleep};

use super::{
    Append, LogError, Logged, Opening, SharedLog,
    follow::BASE,
    health::LogHealth,
    opening::{attempt::Held, line::Line, redis::TOLD},
    shared::name_of,
    words::WordSeal,
};
use crate::store::{CommitError, Facts, Incarnation};
pub use change::Host;
use level::AckLevel;
use open::Closure;
use read::Reading;

/// How long a connection may take to be made.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);

/// How long a script may take: a sync of the disk, behind those of other hubs.
const SCRIPT_TIME_MAX: Duration = Duration::from_secs(4);

/// How long another hub may take to say that it knows of a new one. Who stands still is not waited for.
const HEARD_TIME_MAX: Duration = Duration::from_secs(3);

/// Pauses between attempts, from the first to the longest: a Redis that comes back is used within a second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Why a log cannot be used.
#[derive(Debug, Error)]
pub enum PlaceError {
    /// Redis does not answer, or refuses.
    #[error("Redis: {0}")]
    Redis(#[from] RedisError),
    /// There is one.
    #[error("there is a log of this name already")]
    Taken,
    /// It is of another Redis, or of one that was started anew or emptied.
    #[error("the log is not open for this Redis")]
    Closed,
    /// There is another one of this name.
    #[error("there is another log of this name")]
    Foreign,
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
    /// What was there before the first turn: the digest of the rows of a hub that was alone.
    pub base: Option<Vec<u8>>,
}

impl About {
    /// What the copy of a hub has noted of the log with this id, whose batches are of this version; nothing where that is not
    /// enough.
    pub fn of((id, version): ([u8; 16], u8), facts: &Facts) -> Option<Self> {
        let fact = |wanted: &str| {
            let found = facts.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.clone())
        };
        let host = String::from_utf8(fact("host")?).ok()?;
        let (identity, settings) = (fact("identity")?, fact("settings")?);
        Some(Self { id, version, identity, host, settings, base: fact(BASE) })
    }
}

/// Where a log lies, and what it is called there.
#[derive(Clone)]
pub struct Place {
    client: Client,
    cluster: String,
    log: String,
    meta: String,
    /// How far the furthest hub has said to be while the log lacked that.
    told: String,
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
        let (log, meta, told, nodes) = (key("log"), key("meta"), key(TOLD), key("node:"));
        let (files, halves, guesses) = (key("f:"), key("h:"), key("g:"));
        let cluster = cluster.to_owned();
        Ok(Self { client, cluster, log, meta, told, nodes, files, halves, guesses })
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
            .key(&self.told)
            .arg(&about.id[..])
            .arg(about.version)
            .arg(&about.identity[..])
            .arg(&about.host)
            .arg(&about.settings[..])
            .arg(about.base.as_deref().unwrap_or_default());
        let (word, _): (String, u64) = call.invoke_async(&mut connection).await?;
        match word.as_str() {
            "OK" => Ok(()),
            "HAD" => Err(PlaceError::Taken),
            _ => Err(PlaceError::Strange(word)),
        }
    }

    /// What is said of the log that is there, if one is.
    pub async fn about(&self) -> Result<Option<About>, PlaceError> {
        type Bytes = Option<Vec<u8>>;
        type Found = (Bytes, Option<u8>, Bytes, Option<String>, Bytes, Bytes);
        let mut connection = self.connect(SCRIPT_TIME_MAX).await?;
        let mut asked = redis::cmd("HMGET");
        asked.arg(&self.meta);
        for field in ["id", "v", "identity", "host", "settings", "base"] {
            asked.arg(field);
        }
        let found: Found = asked.query_async(&mut connection).await?;
        let (Some(id), Some(version), Some(identity), Some(host), Some(settings), base) = found
        else {
            return Ok(None);
        };
        let id: [u8; 16] =
            id.try_into().map_err(|_| PlaceError::Strange("another id".to_owned()))?;
        Ok(Some(About { id, version, identity, host, settings, base }))
    }

    /// How many hubs run beside the one of this number.
    pub async fn others(&self, number: u32) -> Result<u64, PlaceError> {
        let mut connection = self.connect(SCRIPT_TIME_MAX).await?;
        let script = Script::new(include_str!("redis/heard.lua"));
        let mut call = script.key(&self.meta);
        call.arg(number).arg(&self.nodes);
        let (others, _): (u64, u64) = call.invoke_async(&mut connection).await?;
        Ok(others)
    }

    /// Gives a number to the name of a hub. Returns the name that has it.
    pub async fn name(&self, number: u32, name: &str) -> Result<String, PlaceError> {
        let mut connection = self.connect(SCRIPT_TIME_MAX).await?;
        let field = format!("n:{number}");
        let (found,): (Vec<u8>,) = redis::pipe()
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
        let found = String::from_utf8_lossy(&found).into_owned();
        if beside::is_node_name(&found) && beside::number_of(&found) == number {
            return Ok(found);
        }
        // No hub has written that.
        let mut right = redis::cmd("HSET");
        right.arg(&self.meta).arg(&field).arg(name);
        let () = right.query_async(&mut connection).await?;
        Ok(name.to_owned())
    }

    /// The hub of this number is to come, with everything up to this turn: until then the log is not trimmed further.
    pub async fn expect(&self, number: u32, name: &str, turn: u64) -> Result<(), PlaceError> {
        self.name(number, name).await?;
        let mut connection = self.connect(SCRIPT_TIME_MAX).await?;
        let (seconds, _): (u64, u64) = redis::cmd("TIME").query_async(&mut connection).await?;
        let () = redis::cmd("HSET")
            .arg(&self.meta)
            .arg(format!("d:{number}"))
            .arg(format!("{turn} {}", seconds.saturating_mul(1_000)))
            .query_async(&mut connection)
            .await?;
        Ok(())
    }

    /// Lets a hub write, behind the number that it has used up. Returns the generation of the log, and its last turn.
    async fn let_in(
        &self,
        id: &[u8; 16],
        (hub, process): (Incarnation, u64),
        used: u64,
    ) -> Result<(u64, u64), PlaceError> {
        let mut connection = self.connect(SCRIPT_TIME_MAX).await?;
        let script = Script::new(include_str!("redis/join.lua"));
        let mut call = script.key(&self.meta);
        call.key(self.lease_of(hub.node)).arg(name_of(hub)).arg(&id[..]).arg(used);
        call.arg(lease::hex(process));
        let (word, generation, turn): (String, u64, u64) =
            call.invoke_async(&mut connection).await?;
        match word.as_str() {
            "OK" => Ok((generation, turn)),
            "CLOSED" => Err(PlaceError::Closed),
            "FOREIGN" => Err(PlaceError::Foreign),
            "HELD" => Err(PlaceError::Held),
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
pub struct RedisLog {
    place: Place,
    /// Which log it is.
    id: [u8; 16],
    hub: Incarnation,
    /// Which process this is, by its first life.
    process: u64,
    /// The generation of the log in which this hub writes; 0 before it was found open.
    generation: u64,
    /// The openings that led there.
    line: Line,
    writing: Option<MultiplexedConnection>,
    reading: Reading,
    /// What was read while the log was closed, and is to be compared with the generations first.
    unchecked: Vec<Logged>,
    /// The turn behind which all was read anew that Redis has.
    anew_behind: Option<u64>,
    /// The generation in which this hub was let in last, and what it had applied then.
    entered: Option<(u64, u64)>,
    /// It reads on from where it was not known whether the log has all that this hub has.
    reads_unsure: bool,
    /// Something was read that is not of that generation.
    is_other: bool,
    /// Since when which Redis is closed.
    closure: Option<Closure>,
    health: Arc<LogHealth>,
    /// What the hubs tell each other beside the log is sealed with it.
    seal: WordSeal,
}

impl fmt::Debug for RedisLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, hub, generation, .. } = self;
        let mut debug = f.debug_struct("RedisLog");
        debug.field("place", place).field("hub", hub).field("generation", generation);
        debug.finish_non_exhaustive()
    }
}

impl RedisLog {
    /// The way to the log with this id, whose hubs seal their words so, of which this hub has applied the turns up to `after`, and has read the last one
    /// from generation `read_from`. It may write when the log was found open, or was opened.
    pub fn new(
        place: Place,
        (id, seal): ([u8; 16], WordSeal),
        hub: Incarnation,
        (after, read_from): (u64, u64),
    ) -> Self {
        let reading = Reading::begin(place.clone(), (after, read_from));
        let health = Arc::new(LogHealth::new(hub.life));
        Self {
            place,
            id,
            hub,
            process: hub.life,
            generation: 0,
            line: Line::default(),
            writing: None,
            reading,
            unchecked: Vec::new(),
            anew_behind: None,
            entered: None,
            reads_unsure: false,
            is_other: false,
            closure: None,
            health,
            seal,
        }
    }

    /// What is known of the log.
    pub fn health(&self) -> Arc<LogHealth> {
        Arc::clone(&self.health)
    }

    /// Whether a turn was written in the generation that this hub knows, or stood there before it.
    fn is_of_this(&self, logged: &Logged) -> bool {
        self.generation > 0 && self.line.counts(logged.turn, logged.generation)
    }

    async fn connection(&mut self) -> Result<&mut MultiplexedConnection, RedisError> {
        Ok(match &mut self.writing {
            Some(connection) => connection,
            none => none.insert(self.place.connect(SCRIPT_TIME_MAX).await?),
        })
    }

    async fn try_end(&mut self) -> Result<(String, u64), RedisError> {
        let script = Script::new(include_str!("redis/end.lua"));
        let mut call = script.key(&self.place.meta);
        call.arg(self.generation);
        call.invoke_async(self.connection().await?).await
    }

    async fn try_append(&mut self, append: &Append) -> Result<(String, u64), RedisError> {
        let script = Script::new(include_str!("redis/append.lua"));
        let mut call = script.key(&self.place.log);
        call.key(&self.place.meta)
            .arg(self.generation)
            .arg(append.at)
            .arg(name_of(self.hub))
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
        let (mut pauses, mut may_be_under_way) = (Pauses::default(), false);
        loop {
            let (word, number) = match self.try_append(&append).await {
                Ok(answer) => answer,
                Err(error) if error.code() == Some("OOM") && !may_be_under_way => {
                    return Err(LogError::Full);
                }
                Err(error) => {
                    // It may have gone in, or go in later: nobody is told no before its number says so.
                    may_be_under_way = true;
                    self.broken(&error, &mut pauses).await;
                    continue;
                }
            };
            return match word.as_str() {
                "OK" | "HAD" => Ok(number),
                "CLOSED" | "GEN" => Err(LogError::Closed),
                "LATE" => Err(LogError::Late),
                "CLOCK" => Err(LogError::Clock),
                "BACK" => Err(LogError::Back { has: number, applied: append.at }),
                "GONE" => Err(LogError::Gone),
                _ => Err(LogError::Strange),
            };
        }
    }

    async fn end(&mut self) -> Result<u64, LogError> {
        let mut pauses = Pauses::default();
        loop {
            match self.try_end().await {
                Ok((word, turn)) if word == "OK" => return Ok(turn),
                Ok(_closed) => return Err(LogError::Closed),
                Err(error) => self.broken(&error, &mut pauses).await,
            }
        }
    }

    async fn begin_again(&mut self, hub: Incarnation) -> Result<(), LogError> {
        self.hub = hub;
        self.health.set_life(hub.life);
        let mut pauses = Pauses::default();
        loop {
            match self.place.let_in(&self.id, (hub, self.process), 0).await {
                // Whoever asks next is told that it was opened anew.
                Ok(_) | Err(PlaceError::Closed) => return Ok(()),
                Err(PlaceError::Foreign) => return Err(LogError::Foreign),
                Err(PlaceError::Held) => return Err(LogError::Gone),
                Err(error) => {
                    tracing::warn!(%error, "Redis does not let this server in; trying again");
                    pauses.pause().await;
                }
            }
        }
    }

    async fn next(&mut self) -> Result<Vec<Logged>, LogError> {
        if self.is_other {
            return Err(LogError::Closed);
        }
        let mut turns = tokio::select! {
            biased;
            // The reader ends with this.
            turns = self.reading.next() => turns.ok_or(LogError::Gone)?,
            () = self.health.closed() => return Err(LogError::Closed),
        };
        if let Some(first) = turns.iter().position(|logged| !self.is_of_this(logged)) {
            // It is looked up first what that generation is.
            self.unchecked = turns.split_off(first);
            self.is_other = true;
        }
        Ok(turns)
    }

    async fn open(
        &mut self,
        copy: &mut impl Held<Error = CommitError>,
        used: u64,
    ) -> Result<Opening, CommitError> {
        open::open(self, copy, used).await
    }

    async fn facts(&mut self, known: Facts) -> Option<Facts> {
        let mut connection = self.connection().await.ok()?.clone();
        open::facts_now(self, &mut connection, known).await
    }

    fn news(&self) -> impl Future<Output = ()> + Send + 'static {
        let health = Arc::clone(&self.health);
        async move { health.news().await }
    }

    fn has_news(&self) -> bool {
        self.health.take_news()
    }

    fn is_awaited(&self) {
        self.health.hurry();
    }

    async fn heard_of(&mut self, turn: u64) {
        let end = Instant::now() + HEARD_TIME_MAX;
        let script = Script::new(include_str!("redis/heard.lua"));
        while Instant::now() < end {
            let mut call = script.key(&self.place.meta);
            call.arg(self.hub.node).arg(&self.place.nodes);
            let asked = match self.connection().await {
                Ok(connection) => call.invoke_async::<(u64, u64)>(connection).await,
                Err(error) => Err(error),
            };
            match asked {
                Ok((0, _)) => return,
                Ok((_, applied)) if applied >= turn => return,
                Ok(_) => {}
                // Whoever writes next notices it.
                Err(_) => self.writing = None,
            }
            sleep(PAUSES.0).await;
        }
        tracing::warn!("no other server says that it knows this one; it goes on");
    }

    fn is_in_doubt(&self, is_it: bool) {
        self.health.set_doubt(is_it);
    }

    fn has_applied(&self, turn: u64) {
        self.health.set_applied(turn);
    }

    fn forgettable(&self) -> u64 {
        self.health.forgettable()
    }
}
