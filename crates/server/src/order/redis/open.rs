//! Opening the log for a Redis that was started anew, emptied, or has taken the place of another: what it lacks is added
//! from the copies of the hubs, and whoever may have more is waited for.
//!
//! ```text
//! what was read is compared with the generations ─► applied ─► it is said how far this copy is ─► attempt
//!        ▲                                                                                          │ not yet
//!        └──────────────────────────────────────────────────────────────────────────────────────────┘
//! ```

use std::{collections::BTreeMap, time::Duration};

use chat_protocol::sanitise;
use redis::{RedisError, aio::MultiplexedConnection, streams::StreamRangeReply};
use tokio::time::{Instant, sleep, timeout};

use super::{PlaceError, RedisLog, SCRIPT_TIME_MAX, read::Reading};
use crate::{
    order::{
        LogError, Logged, Opening,
        opening::{
            Decision,
            attempt::{Answer, Attempt, AttemptError, Closed as _, Held, attempt},
            forked_behind, is_opening, openings,
            redis::{ClosedError, ClosedInRedis},
        },
    },
    store::{CommitError, Facts},
};

/// How long whoever runs may take to say how far they are. Who is alive has seen by then that its connection is cut.
const OTHERS_TIME_MAX: Duration = Duration::from_secs(10);

/// How often it is attempted.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// A Redis for which the log is closed, as this hub has met it.
#[derive(Debug)]
pub(super) struct Closure {
    run: String,
    since: Instant,
    /// What was said of it last.
    words: String,
}

/// Why an attempt has come to nothing.
enum Failed {
    /// Redis does not answer: again.
    Redis(RedisError),
    /// No attempt changes it.
    ForGood(CommitError),
}

impl From<RedisError> for Failed {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl From<LogError> for Failed {
    fn from(error: LogError) -> Self {
        Self::ForGood(error.into())
    }
}

impl From<CommitError> for Failed {
    fn from(error: CommitError) -> Self {
        Self::ForGood(error)
    }
}

impl From<ClosedError> for Failed {
    fn from(error: ClosedError) -> Self {
        match error {
            ClosedError::Redis(error) => Self::Redis(error),
            ClosedError::Strange(_) => LogError::Strange.into(),
        }
    }
}

impl From<PlaceError> for Failed {
    fn from(error: PlaceError) -> Self {
        match error {
            PlaceError::Redis(error) => Self::Redis(error),
            PlaceError::Foreign => LogError::Foreign.into(),
            _ => LogError::Strange.into(),
        }
    }
}

/// One step towards an open log.
pub(super) async fn open(
    log: &mut RedisLog,
    copy: &mut impl Held<Error = CommitError>,
    used: u64,
) -> Result<Opening, CommitError> {
    match step(log, copy, used).await {
        Ok(opening) => Ok(opening),
        Err(Failed::Redis(error)) if error.code() == Some("OOM") => {
            tell(log, "Redis has no room to open the log: raise its maxmemory");
            sleep(LOOK_PAUSE).await;
            Ok(Opening::NotYet)
        }
        Err(Failed::Redis(error)) => {
            tracing::warn!(%error, "Redis does not answer; trying again");
            log.writing = None;
            sleep(LOOK_PAUSE).await;
            Ok(Opening::NotYet)
        }
        Err(Failed::ForGood(error)) => Err(error),
    }
}

async fn step(
    log: &mut RedisLog,
    copy: &mut impl Held<Error = CommitError>,
    used: u64,
) -> Result<Opening, Failed> {
    let read = log.reading.all();
    log.unchecked.extend(read);
    let mut connection = log.connection().await?.clone();
    // Later than what was read: it knows the generations of all of that.
    let facts = facts(log, &mut connection, (copy.facts(), false)).await?;
    check(copy, &facts)?;
    if !log.unchecked.is_empty() {
        return Ok(Opening::Read(what_counts(log, (copy.said().turn, copy.read_from()), &facts)));
    }
    let mut place =
        ClosedInRedis::new(connection.clone(), &log.place.cluster, log.id, facts.clone());
    let look = place.look().await?;
    let met = log.closure.take().filter(|closure| closure.run == look.run);
    let first = || Closure { run: look.run.clone(), since: Instant::now(), words: String::new() };
    let closure = met.unwrap_or_else(first);
    let is_time_over = closure.since.elapsed() >= OTHERS_TIME_MAX;
    log.closure = Some(closure);
    let word = match look.open {
        Some(_) => None,
        None => log.place.word(&mut connection, &look.run).await?,
    };
    let without = word.and_then(|word| (log.read_word)(&look.run, &word));
    let has = look.has;
    match attempt(&mut place, copy, look, (is_time_over, without.as_ref())).await {
        Ok(Attempt::Open(_)) => enter(log, copy, used).await,
        Ok(Attempt::NotYet(Decision::Read)) => {
            // The reader brings it.
            if let Ok(Some(turns)) = timeout(LOOK_PAUSE, log.reading.next()).await {
                log.unchecked.extend(turns);
            }
            Ok(Opening::NotYet)
        }
        Ok(Attempt::NotYet(decision)) => {
            tell(log, &words(&decision, (has, copy.said().turn), &facts));
            sleep(LOOK_PAUSE).await;
            Ok(Opening::NotYet)
        }
        Ok(Attempt::Again(Answer::Foreign)) => Err(LogError::Foreign.into()),
        Ok(Attempt::Again(answer)) => {
            tracing::debug!(?answer, "the log is not open yet");
            sleep(LOOK_PAUSE).await;
            Ok(Opening::NotYet)
        }
        Err(AttemptError::Place(error)) => Err(error.into()),
        Err(AttemptError::Copy(error)) => Err(error.into()),
        Err(AttemptError::Lacking(turn)) => Err(LogError::Lacking(turn).into()),
    }
}

/// What was read, up to the first turn that the log was opened without: that was never part of it.
fn what_counts(log: &mut RedisLog, applied: (u64, u64), facts: &Facts) -> Vec<Logged> {
    let mut read = std::mem::take(&mut log.unchecked);
    let openings = openings(facts);
    let is_void =
        |logged: &Logged| forked_behind(&openings, (logged.turn, logged.generation)).is_some();
    if let Some(first) = read.iter().position(is_void) {
        read.truncate(first);
        let after = read.last().map_or(applied, |last| (last.turn, last.generation));
        log.reading = Reading::begin(log.place.clone(), after);
    }
    read
}

/// The log is open: this hub writes from now on, and reads what stands behind its copy.
async fn enter(
    log: &mut RedisLog,
    copy: &mut impl Held<Error = CommitError>,
    used: u64,
) -> Result<Opening, Failed> {
    let (generation, turn) = match log.place.let_in(&log.id, (log.hub, log.process), used).await {
        Err(PlaceError::Closed) => return Ok(Opening::NotYet),
        Err(PlaceError::Held) => return Err(LogError::Gone.into()),
        joined => joined?,
    };
    let mut connection = log.place.connect(SCRIPT_TIME_MAX).await?;
    let facts = facts(log, &mut connection, (copy.facts(), true)).await?;
    check(copy, &facts)?;
    let applied = copy.said().turn;
    if turn < applied {
        return Err(LogError::Back { has: turn, applied }.into());
    }
    let first = first_turn(log, &mut connection).await?.unwrap_or(turn.saturating_add(1));
    if first > applied.saturating_add(1) {
        return Err(LogError::Trimmed { first, applied }.into());
    }
    log.began_behind = openings(&facts).get(&generation).copied().unwrap_or(0);
    copy.learn(generation, facts).await?;
    log.generation = generation;
    log.is_other = false;
    log.unchecked.clear();
    log.reading = Reading::begin(log.place.clone(), (applied, copy.read_from()));
    if log.closure.take().is_some_and(|closure| !closure.words.is_empty()) {
        tracing::info!(generation, turn, "the log is open again");
    }
    log.health.set_opening(None);
    log.health.set_closed(false);
    Ok(Opening::Open)
}

/// The first turn that the log still has.
async fn first_turn(
    log: &RedisLog,
    connection: &mut MultiplexedConnection,
) -> Result<Option<u64>, Failed> {
    let asked = redis::cmd("XRANGE").arg(&log.place.log).arg(&["-", "+", "COUNT", "1"]).to_owned();
    let found: StreamRangeReply = asked.query_async(connection).await?;
    let turn = |id: &str| id.split_once('-')?.1.parse().ok();
    Ok(found.ids.first().and_then(|first| turn(&first.id)))
}

/// What is known of the log: by this copy, and by Redis. Of generations all that either knows; of the rest what Redis
/// says where the log is open, because an old Redis that was put back knows less than the copies do.
async fn facts(
    log: &RedisLog,
    connection: &mut MultiplexedConnection,
    (known, is_open): (Facts, bool),
) -> Result<Facts, Failed> {
    let asked = redis::cmd("HGETALL").arg(&log.place.meta).to_owned();
    let fields: Vec<(String, Vec<u8>)> = asked.query_async(connection).await?;
    if fields.iter().any(|(name, value)| name == "id" && *value != log.id) {
        return Err(LogError::Foreign.into());
    }
    let mut facts: BTreeMap<String, Vec<u8>> = known.into_iter().collect();
    let is_fact = |name: &str| {
        let is_of_hub = name.starts_with("n:") || name.starts_with("d:");
        is_of_hub || ["identity", "host", "settings", "base"].contains(&name)
    };
    for (name, value) in fields {
        if is_opening(&name) || is_open && is_fact(&name) {
            facts.insert(name, value);
        }
    }
    Ok(facts.into_iter().collect())
}

/// The same of an open log; nothing where it cannot be asked.
pub(super) async fn facts_now(
    log: &RedisLog,
    connection: &mut MultiplexedConnection,
    known: Facts,
) -> Option<Facts> {
    facts(log, connection, (known, true)).await.ok()
}

/// That this copy has nothing which the log was opened without.
fn check(copy: &impl Held, facts: &Facts) -> Result<(), LogError> {
    let applied = copy.said().turn;
    let common = forked_behind(&openings(facts), (applied, copy.read_from()));
    common.map_or(Ok(()), |common| Err(LogError::Beyond { common, applied }))
}

/// Says in the log of this process, and to whoever asks for readiness, what is waited for; once each.
fn tell(log: &mut RedisLog, words: &str) {
    let Some(closure) = log.closure.as_mut().filter(|closure| closure.words != words) else {
        return;
    };
    words.clone_into(&mut closure.words);
    tracing::warn!("{words}");
    log.health.set_opening(Some(words.to_owned()));
}

/// What a person has to know of an opening that does not go on.
fn words(decision: &Decision, (has, turn): (u64, u64), facts: &Facts) -> String {
    let name = |node: &u32| {
        let field = format!("n:{node}");
        let found = facts.iter().find(|(name, _)| *name == field);
        found.map_or_else(
            || format!("server {node}"),
            |(_, name)| sanitise::line(&String::from_utf8_lossy(name)).into_owned(),
        )
    };
    let names = |nodes: &std::collections::BTreeSet<u32>| {
        nodes.iter().map(name).collect::<Vec<_>>().join(", ")
    };
    let lost = || format!("Redis has lost turns {} to {turn} of the log", has.saturating_add(1));
    match decision {
        Decision::WaitFor { hubs, is_lacking: true } if hubs.is_empty() => {
            format!("{}; waiting for other servers that run", lost())
        }
        Decision::WaitFor { hubs, is_lacking: true } => format!(
            "{}, and {} may have more: start it, or say: chat-server cluster open --without {}",
            lost(),
            names(hubs),
            names(hubs).replace(", ", ",")
        ),
        Decision::WaitFor { hubs, .. } => {
            format!("another Redis has the log; waiting up to ten seconds for {}", names(hubs))
        }
        Decision::Alone => format!(
            "{}, and this server alone has it: whether it is all, a person says: chat-server cluster open",
            lost()
        ),
        Decision::Leave { to } => format!("the log is opened by {}", name(to)),
        Decision::Forked { with } => format!(
            "this server and {} have come to different things: stop the one that is wrong, and give it a snapshot of \
             the other",
            names(with)
        ),
        Decision::Read | Decision::Open { .. } => "the log is being opened".to_owned(),
    }
}
