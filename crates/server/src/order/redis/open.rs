//! Opening the log for a Redis that was started anew, emptied, or has taken the place of another: what it lacks is added
//! from the copies of the hubs, and whoever may have more is waited for.
//!
//! ```text
//! what was read is compared with the generations ─► applied ─► it is said how far this copy is ─► attempt
//!        ▲                                                                                          │ not yet
//!        └──────────────────────────────────────────────────────────────────────────────────────────┘
//! ```

use std::time::Duration;

use chat_protocol::crypto::random;
use redis::{aio::MultiplexedConnection, streams::StreamRangeReply};
use tokio::time::{Instant, sleep, timeout};

use super::{
    PlaceError, RedisLog, SCRIPT_TIME_MAX, beside::Beside, failed::Failed, read::Reading,
    waits::words, word::Word,
};
use crate::{
    order::{
        LogError, Logged, Opening,
        opening::{
            Decision, Heard, Question,
            attempt::{Allowed, Answer, Attempt, AttemptError, Closed as _, Held, Look, attempt},
            line::{Line, forked_behind},
            redis::ClosedInRedis,
        },
        words::WordSeal,
    },
    store::{CommitError, Facts},
};

/// How long whoever runs may take to say how far they are. Who is alive has seen by then that its connection is cut.
const OTHERS_TIME_MAX: Duration = Duration::from_secs(10);

/// How long it may take until something comes that Redis has behind the last turn of this hub: the reader waits for some seconds
/// at most.
const READ_TIME_MAX: Duration = Duration::from_secs(5);

/// How often it is attempted.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// A Redis for which the log is closed, as this hub has met it.
#[derive(Debug)]
pub(super) struct Closure {
    run: String,
    /// The newest opening that was known here.
    newest: u64,
    /// The newest one that another hub has named which answers; 0 before.
    heard: u64,
    since: Instant,
    /// What this hub asks the others with until the log is open.
    asks: Question,
    /// Behind which turn this hub waits for what Redis has, and since when.
    behind: Option<(u64, Instant)>,
    /// What was said of it last.
    words: String,
}

impl Closure {
    fn new(run: &str, newest: u64) -> Self {
        let (run, words, since) = (run.to_owned(), String::new(), Instant::now());
        Self { run, newest, heard: 0, since, asks: question(), behind: None, words }
    }

    /// Another hub that answers knows this opening. Where the log was open since this hub has asked, it asks anew, and whoever runs
    /// has as much time to answer as at first.
    fn hears(&mut self, opening: u64) {
        if opening > self.heard.max(self.newest) {
            (self.heard, self.asks, self.since) = (opening, question(), Instant::now());
        }
    }

    /// Whether this hub, which has read turn `turn`, finds nothing that goes on from there although Redis has more: what it has
    /// read does not count, or nothing has come for too long.
    fn cannot_read(&mut self, (has, turn): (u64, u64), is_void: bool) -> bool {
        if has <= turn {
            self.behind = None;
            return false;
        }
        let known = self.behind.filter(|(behind, _)| *behind == turn);
        let (_, since) = *self.behind.insert(known.unwrap_or_else(|| (turn, Instant::now())));
        is_void || since.elapsed() >= READ_TIME_MAX
    }
}

fn question() -> Question {
    Question(u64::from_be_bytes(random()))
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
    // What was read and could not be checked comes first. The reader waits when it is far ahead.
    if log.unchecked.is_empty() {
        log.unchecked = log.reading.all();
    }
    let mut connection = log.connection().await?.clone();
    let at = (copy.said().turn, copy.read_from());
    let is_gap = |first: &Logged| first.turn > at.0.saturating_add(1);
    if log.unchecked.first().is_some_and(is_gap) && reads_anew(log, &mut connection, at).await? {
        return Ok(Opening::NotYet);
    }
    // Later than what was read: it knows the openings of all of that.
    let beside = Beside::ask(log, &mut connection, &copy.facts()).await?;
    let lines = (beside.line(&log.seal), line_of(copy, &log.seal));
    look_where_to_read_on(log, copy, &lines).await?;
    check(copy, &lines)?;
    be_sure_where_it_is_said(log, copy, &lines.0).await?;
    let (counts, is_void) = what_counts(log, copy, &lines);
    let (there, own) = lines;
    if !counts.is_empty() {
        // Whoever has these turns knows which openings led there: the next Redis may not.
        let (generation, known) = (there.generation(&own), copy.facts());
        copy.learn(generation, beside.put_back(known, &there.joined(own))).await?;
        return Ok(Opening::Read(counts));
    }
    let (before, turn) = (there.generation(&own), at.0);
    let facts = beside.put_back(copy.facts(), &there.joined(own));
    let (sealing, cluster) = ((log.id, log.seal.clone()), log.place.cluster.clone());
    let mut place = ClosedInRedis::new(connection.clone(), &cluster, sealing, facts.clone());
    let look = place.look().await?;
    let node = copy.node();
    let heard = match look.open {
        Some(_) => Heard::default(),
        None => place.said(&look.run).await?,
    };
    let closure = meet(log, (&look.run, before), (node, &heard));
    let (is_time_over, asks) = (closure.since.elapsed() >= OTHERS_TIME_MAX, closure.asks);
    let cannot_read = closure.cannot_read((look.has, turn), is_void);
    let (word, other) = word_of(log, &mut connection, &look, (node, asks, turn)).await?;
    let (has, run) = (look.has, look.run.clone());
    let without = word.as_ref().map(|word| &word.without);
    let allowed = Allowed { is_time_over, without, before, asks, cannot_read };
    match attempt(&mut place, copy, look, allowed).await {
        Ok(Attempt::Open(_)) => enter(log, copy, (&run, used), is_void).await,
        Ok(Attempt::NotYet(Decision::Read)) if !cannot_read => {
            read_behind(log, &mut connection, at).await
        }
        Ok(Attempt::NotYet(decision)) => {
            tell(log, &words(&decision, (has, turn), (&facts, other.as_ref())));
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

/// What a person has said to this hub, or else what was said of another opening of this Redis.
async fn word_of(
    log: &RedisLog,
    connection: &mut MultiplexedConnection,
    look: &Look,
    (node, asks, turn): (u32, Question, u64),
) -> Result<(Option<Word>, Option<Word>), Failed> {
    if look.open.is_some() {
        return Ok((None, None));
    }
    Ok(match log.place.word(connection, &look.run, &log.seal).await? {
        Some(word) if word.is_for(node, asks, turn) => (Some(word), None),
        other => (None, other),
    })
}

/// The openings that this copy has gone through, as far as it knows.
fn line_of(copy: &impl Held, seal: &WordSeal) -> Line {
    Line::noted(&copy.facts(), seal).agreed(|turn| copy.chain_at(turn))
}

/// The reader brings what is behind this copy.
async fn read_on(log: &mut RedisLog) -> Opening {
    if let Ok(Some(turns)) = timeout(LOOK_PAUSE, log.reading.next()).await {
        log.unchecked.extend(turns);
    }
    Opening::NotYet
}

/// The reader brings what is behind this copy, wherever in Redis that stands.
async fn read_behind(
    log: &mut RedisLog,
    connection: &mut MultiplexedConnection,
    at: (u64, u64),
) -> Result<Opening, Failed> {
    let opening = read_on(log).await;
    if log.unchecked.is_empty() {
        reads_anew(log, connection, at).await?;
    }
    Ok(opening)
}

/// All that Redis has is read anew where the last turn of this copy, `applied`, does not stand there as it was read: under an older
/// generation what is behind it has a smaller id, and the reader would never see it. Once behind each turn, as that turn may also
/// have been removed. Returns whether it is.
async fn reads_anew(
    log: &mut RedisLog,
    connection: &mut MultiplexedConnection,
    (applied, read_from): (u64, u64),
) -> Result<bool, Failed> {
    let is_again = log.anew_behind.replace(applied) == Some(applied);
    if is_again || stands_there(log, connection, (applied, read_from)).await? {
        return Ok(false);
    }
    log.unchecked.clear();
    log.reading = Reading::begin(log.place.clone(), (applied, 0));
    Ok(true)
}

/// Whether Redis has this turn under this generation.
async fn stands_there(
    log: &RedisLog,
    connection: &mut MultiplexedConnection,
    (turn, generation): (u64, u64),
) -> Result<bool, Failed> {
    let id = format!("{generation}-{turn}");
    let asked = redis::cmd("XRANGE").arg(&log.place.log).arg(&id).arg(&id).to_owned();
    let found: StreamRangeReply = asked.query_async(connection).await?;
    Ok(!found.ids.is_empty())
}

/// Where it is not known whether this copy is part of the log, it reads on until the chain says so, and is let in no
/// earlier. What it had before is what it may have alone, and is kept as it was: what it learns and applies from now on takes
/// the place of the rest.
async fn look_where_to_read_on(
    log: &mut RedisLog,
    copy: &mut impl Held<Error = CommitError>,
    (there, own): &(Line, Line),
) -> Result<(), CommitError> {
    let at = (copy.said().turn, copy.read_from());
    if log.reads_unsure || !there.is_unsure_of(own, at) {
        return Ok(());
    }
    copy.read_on_unsure().await?;
    log.reads_unsure = true;
    log.unchecked.clear();
    log.reading = Reading::begin(log.place.clone(), (at.0, there.reached_by(own, at)));
    Ok(())
}

/// What this copy had before it read on is in the log where a generation began there or later, and it came to the same there.
/// Nothing else says so. It reads on from one opening to the next, so each of them is seen as long as the chains go back there.
async fn be_sure_where_it_is_said(
    log: &mut RedisLog,
    copy: &mut impl Held<Error = CommitError>,
    there: &Line,
) -> Result<(), CommitError> {
    let Some(since) = copy.unsure_since() else { return Ok(()) };
    if there.has_all_of(since, |turn| copy.chain_at(turn)) {
        copy.be_sure().await?;
        log.reads_unsure = false;
    }
    Ok(())
}

/// This hub waits at a Redis for which the log may be closed, behind this opening of it, and has heard this. Where one that
/// answers knows a newer opening, the log was open meanwhile: what others have answered may be of before that.
fn meet<'a>(
    log: &'a mut RedisLog,
    (run, newest): (&str, u64),
    (node, said): (u32, &Heard),
) -> &'a mut Closure {
    let is_this = |closure: &Closure| closure.run == run && closure.newest == newest;
    let met = log.closure.take().filter(is_this);
    if met.is_none() {
        log.anew_behind = None;
    }
    let closure = log.closure.insert(met.unwrap_or_else(|| Closure::new(run, newest)));
    closure.hears(said.newest_since(node, closure.asks));
    closure
}

/// What was read, up to the first turn that the log was opened without, or that goes on from something else than this copy has come
/// to; and whether there is one. Of a copy that is unsure it ends with the next opening, and the rest comes later.
fn what_counts(
    log: &mut RedisLog,
    copy: &impl Held,
    (there, own): &(Line, Line),
) -> (Vec<Logged>, bool) {
    let applied = (copy.said().turn, copy.read_from());
    let mut read = std::mem::take(&mut log.unchecked);
    // Of one that is unsure its own line says nothing: the chains do.
    let is_sure = copy.unsure_since().is_none();
    let is_void = |logged: &Logged| {
        there.passes_over(own, (logged.turn, logged.generation))
            || is_sure && own.has_left(logged.generation, applied)
    };
    let void = read.iter().position(is_void);
    if let Some(first) = void {
        read.truncate(first);
        let last = read.last().map_or(applied, |last| (last.turn, last.generation));
        log.reading = Reading::begin(log.place.clone(), (last.0, there.reached_by(own, last)));
    }
    let next = copy.unsure_since().and_then(|_| there.next_behind(applied.0));
    let is_behind = |logged: &Logged| next.is_some_and(|next| logged.turn > next);
    // Where all up to there is missing, whoever applies the rest says so.
    if let Some(first) = read.iter().position(is_behind).filter(|first| *first > 0) {
        log.unchecked = read.split_off(first);
    }
    (read, void.is_some())
}

/// The log is open for this run of Redis: this hub writes from now on, and reads what stands behind its copy. `is_void` if it has
/// just read something there that does not count.
async fn enter(
    log: &mut RedisLog,
    copy: &mut impl Held<Error = CommitError>,
    (run, used): (&str, u64),
    is_void: bool,
) -> Result<Opening, Failed> {
    let mut connection = log.place.connect(SCRIPT_TIME_MAX).await?;
    let known = copy.facts();
    let beside = Beside::ask(log, &mut connection, &known).await?;
    let (there, own) = (beside.line(&log.seal), line_of(copy, &log.seal));
    // It was closed, or is another one, since it was looked at.
    if !beside.is_open_for(run) {
        return Ok(Opening::NotYet);
    }
    if there.is_older_than(&own) {
        tell(log, OF_BEFORE);
        sleep(LOOK_PAUSE).await;
        return Ok(Opening::NotYet);
    }
    let at = (copy.said().turn, copy.read_from());
    let applied = at.0;
    // It may have been opened where this copy is.
    be_sure_where_it_is_said(log, copy, &there).await?;
    match copy.unsure_since() {
        // No opening says any more that the log has what it had.
        Some(applied) if there.next_behind(at.0).is_none() => {
            return Err(LogError::Apart { applied }.into());
        }
        Some(_) => return Ok(read_on(log).await),
        None if there.is_unsure_of(&own, at) => return Ok(read_on(log).await),
        None => {}
    }
    let (generation, turn) = match log.place.let_in(&log.id, (log.hub, log.process), used).await {
        Err(PlaceError::Closed) => return Ok(Opening::NotYet),
        Err(PlaceError::Held) => return Err(LogError::Gone.into()),
        joined => joined?,
    };
    // It was opened anew since it was asked.
    if beside.generation != generation {
        return Ok(Opening::NotYet);
    }
    let reached = there.reached_by(&own, at);
    check(copy, &(there.clone(), own))?;
    if turn < applied {
        return Err(LogError::Back { has: turn, applied }.into());
    }
    // It was let in here before, and has read from then on what this log has behind its last turn.
    if is_void && log.entered == Some((generation, applied)) {
        return Err(LogError::Void { applied }.into());
    }
    let reading = begin_behind(log, &mut connection, (applied, reached), turn).await?;
    log.entered = Some((generation, applied));
    log.line = there;
    copy.learn(generation, beside.learnt(known, &log.seal)).await?;
    log.generation = generation;
    log.is_other = false;
    log.unchecked.clear();
    (log.reading, log.anew_behind) = (reading, None);
    if log.closure.take().is_some_and(|closure| !closure.words.is_empty()) {
        tracing::info!(generation, turn, "the log is open again");
    }
    log.health.set_opening(None);
    log.health.set_closed(false);
    Ok(Opening::Open)
}

/// Reads what an open log, whose last turn is `turn`, has behind the turn `applied`, which somebody may have read from the generation
/// `reached`. Where it does not stand there in that one, all is read that is there, and the turns before are passed over.
async fn begin_behind(
    log: &RedisLog,
    connection: &mut MultiplexedConnection,
    (applied, reached): (u64, u64),
    turn: u64,
) -> Result<Reading, Failed> {
    let first = first_turn(log, connection).await?.unwrap_or(turn.saturating_add(1));
    if first > applied.saturating_add(1) {
        return Err(LogError::Trimmed { first, applied }.into());
    }
    let is_there = stands_there(log, connection, (applied, reached)).await?;
    Ok(Reading::begin(log.place.clone(), (applied, if is_there { reached } else { 0 })))
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

/// What is said of an open log, where it is more than is known; nothing where it cannot be asked.
pub(super) async fn facts_now(
    log: &RedisLog,
    connection: &mut MultiplexedConnection,
    known: Facts,
) -> Option<Facts> {
    let beside = Beside::ask(log, connection, &known).await.ok()?;
    // A log that was lost meanwhile, or opened anew, says less than is known, or of another opening.
    if beside.generation != log.generation {
        return None;
    }
    Some(beside.learnt(known, &log.seal))
}

/// That this copy has nothing which the log was opened without. What it has read since it was not known it has of the log.
fn check(copy: &impl Held, (there, own): &(Line, Line)) -> Result<(), LogError> {
    let applied = copy.said().turn;
    let common = forked_behind(there, own, (applied, copy.read_from()), |turn| copy.chain_at(turn));
    let Some(common) = common else { return Ok(()) };
    Err(match copy.unsure_since() {
        Some(applied) => LogError::Apart { applied },
        None => LogError::Beyond { common, applied },
    })
}

/// What is said of a log that is open in a generation which this hub has seen the end of.
const OF_BEFORE: &str = "the log in this Redis is one of before: it was opened anew since, in another Redis or in one that has \
                         lost that; look at --redis, and stop the wrong one";

/// Says in the log of this process, and to whoever asks for readiness, what is waited for; once each.
fn tell(log: &mut RedisLog, words: &str) {
    let Some(closure) = log.closure.as_mut().filter(|closure| closure.words != words) else {
        return;
    };
    words.clone_into(&mut closure.words);
    tracing::warn!("{words}");
    log.health.set_opening(Some(words.to_owned()));
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    /// Goal: whoever runs has the time to answer what a hub asks, also where it asks anew. Before, that hub went on at once, by the
    /// time that had passed since it met the closing, and opened the log where a person was to decide.
    #[tokio::test(start_paused = true)]
    async fn who_asks_anew_waits_for_the_answers_as_long_as_at_first() {
        let mut closure = Closure::new("a", 5);
        let first = closure.asks;
        let is_over = |closure: &Closure| closure.since.elapsed() >= OTHERS_TIME_MAX;
        advance(OTHERS_TIME_MAX).await;
        for known in [0, 5] {
            closure.hears(known);
            assert!(closure.asks == first && is_over(&closure), "it knows that opening");
        }
        closure.hears(9);
        let second = closure.asks;
        assert!(second != first && !is_over(&closure));
        advance(OTHERS_TIME_MAX).await;
        closure.hears(9);
        assert!(closure.asks == second && is_over(&closure), "once for each opening");
    }
}
