//! A log that is lost: it is emptied, goes back by some turns, or is another one with everything, as a Redis that is
//! started again. The hubs put back what it lacks, by the server's own decisions and steps; what the scripts in Redis
//! promise is said here once more.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use chat_protocol::id::Digest;
use chat_server::order::{
    Append, LogError, Logged, Opening, SharedLog,
    opening::{
        Heard, Question, SAID_LEASE, Stamp, Words,
        attempt::{
            Allowed, Answer, Attempt, Closed, Held, Kept, Look, OPENER_PATIENCE, Opener, attempt,
        },
        line::{Began, Line, forked_behind, number_behind},
        memory::settle,
    },
    shared::name_of,
};
use chat_server::store::{CommitError, Facts, Incarnation};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use crate::world::now_ms;

/// How far a clock may be from that of the log when a batch is put there.
const CLOCK_MS: u64 = 4_000;

/// How long whoever runs may take to say how far they are.
const OTHERS_TIME_MAX: Duration = Duration::from_secs(10);

/// How often an opening is attempted.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// What becomes of a log.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Loss {
    /// It is another one with everything.
    Nothing,
    /// It has so many turns less.
    Last(usize),
    /// It is empty.
    All,
}

#[derive(Debug, Default)]
struct State {
    /// Which process of a log this is.
    run: u64,
    /// Which one it is open for.
    open: Option<u64>,
    generation: u64,
    /// Where each generation began.
    line: BTreeMap<u64, Began>,
    turns: Vec<Logged>,
    /// The last number of each hub that may write.
    numbers: BTreeMap<String, u64>,
    /// The last turn that changed the structure; nothing where that was lost.
    structure: Option<u64>,
    said: BTreeMap<u32, (Words, Instant)>,
    /// Who opens, and when it has done something last.
    opener: Option<(u32, Instant)>,
    /// How far the furthest hub has said to be while the log lacked that.
    told: u64,
}

impl State {
    fn end(&self) -> u64 {
        self.turns.last().map_or(0, |last| last.turn)
    }

    fn is_open(&self) -> bool {
        self.open == Some(self.run)
    }

    fn name(&self) -> String {
        format!("{:x}", self.run)
    }

    fn line(&self) -> Line {
        Line::to(self.generation, &self.line)
    }

    fn know(&mut self, line: &Line) {
        for (generation, began) in line.openings() {
            self.line.entry(*generation).or_insert(*began);
        }
    }

    /// Why a script does nothing.
    fn refuses(&self, run: &str) -> Option<Answer> {
        if run != self.name() {
            return Some(Answer::OtherRedis);
        }
        self.is_open().then_some(Answer::IsOpen(self.generation))
    }

    fn refuses_opener(&self, opener: &Opener<'_>) -> Option<Answer> {
        let is_opener = self.opener.is_some_and(|(node, _)| node == opener.node);
        self.refuses(opener.run).or((!is_opener).then_some(Answer::PutOut))
    }
}

/// The log. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct LosingLog {
    state: Arc<Mutex<State>>,
    /// Something is otherwise.
    changed: watch::Sender<()>,
    /// Hubs open it as it is, and look at nothing: a mistake.
    is_taken_as_it_is: bool,
}

impl LosingLog {
    pub(crate) fn new(is_taken_as_it_is: bool) -> Self {
        let state = State { open: Some(0), generation: 1, structure: Some(0), ..State::default() };
        let (state, changed) = (Arc::new(Mutex::new(state)), watch::Sender::new(()));
        Self { state, changed, is_taken_as_it_is }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The way of a hub to the log.
    pub(crate) fn join(&self, hub: Incarnation) -> LostEnd {
        let (log, changed) = (self.clone(), self.changed.subscribe());
        let (own, given, generation, met) = (Line::default(), 0, 0, None);
        LostEnd { log, hub, generation, own, given, met, changed }
    }

    /// Another process takes its place, with less.
    pub(crate) fn lose(&self, loss: Loss) {
        let mut state = self.state();
        state.run += 1;
        state.said.clear();
        state.opener = None;
        let keep = match loss {
            Loss::Nothing => state.turns.len(),
            Loss::Last(count) => state.turns.len().saturating_sub(count),
            Loss::All => 0,
        };
        if keep == 0 {
            state.told = 0;
        }
        if keep < state.turns.len() {
            state.turns.truncate(keep);
            let (end, last) = (state.end(), state.turns.last().map_or(0, |last| last.generation));
            // Those under which turns were put back were there before these, wherever they had begun.
            state
                .line
                .retain(|generation, began| keep > 0 && (began.turn <= end || *generation <= last));
            let newest = state.line.last_key_value().map_or(1, |(generation, _)| *generation);
            state.generation = if keep > 0 { newest } else { 0 };
            // What a hub has written behind that is decided or said again.
            state.numbers.clear();
            state.structure = None;
        }
        drop(state);
        self.changed.send_replace(());
    }

    /// A hub opens it as it is, whatever anybody has.
    fn open_as_it_is(&self, copy: &impl Held) {
        let mut state = self.state();
        let (before, turn) = (state.generation, state.end());
        let generation = number_behind(before);
        let chain = copy.chain_at(turn).unwrap_or(Digest::ZERO);
        state.line.insert(generation, Began { before, turn, chain });
        (state.generation, state.open) = (generation, Some(state.run));
        state.structure = Some(turn);
        drop(state);
        self.changed.send_replace(());
    }

    fn append(&self, hub: Incarnation, generation: u64, append: Append) -> Result<u64, LogError> {
        let mut state = self.state();
        if !state.is_open() || state.generation != generation {
            return Err(LogError::Closed);
        }
        let length = state.end();
        if length < append.at {
            return Err(LogError::Back { has: length, applied: append.at });
        }
        let structure = state.structure.unwrap_or(length);
        let last = state.numbers.get_mut(&name_of(hub)).ok_or(LogError::Gone)?;
        if *last >= append.seq {
            return Ok(length);
        }
        *last = append.seq;
        let time_ms = now_ms();
        if time_ms.abs_diff(append.now_ms) > CLOCK_MS {
            return Err(LogError::Clock);
        }
        if append.is_structure && structure > append.at {
            return Err(LogError::Late);
        }
        let turn = length + 1;
        state.turns.push(Logged { turn, generation, time_ms, batch: append.batch });
        if append.is_structure {
            state.structure = Some(turn);
        }
        drop(state);
        self.changed.send_replace(());
        Ok(turn)
    }
}

/// The scripts of an opening, for a hub whose copy knows these openings.
struct Scripts {
    log: LosingLog,
    own: Line,
}

impl Closed for Scripts {
    type Error = Infallible;

    async fn look(&mut self) -> Result<Look, Infallible> {
        let state = self.log.state();
        let open = state.is_open().then_some(state.generation);
        Ok(Look { run: state.name(), open, has: state.end(), told: state.told })
    }

    async fn last(&mut self) -> Result<Option<(u64, Stamp)>, Infallible> {
        let stamped = |last: &Logged| (last.turn, Stamp::new(last.time_ms, &last.batch));
        Ok(self.log.state().turns.last().map(stamped))
    }

    async fn said(&mut self, run: &str) -> Result<Heard, Infallible> {
        let (state, mut heard) = (self.log.state(), Heard::default());
        for (node, (words, at)) in state.said.iter().filter(|_| run == state.name()) {
            let is_silent = at.elapsed() > SAID_LEASE;
            let kept = if is_silent { &mut heard.silent } else { &mut heard.said };
            kept.insert(*node, words.clone());
        }
        Ok(heard)
    }

    async fn say(&mut self, run: &str, node: u32, words: &Words) -> Result<Answer, Infallible> {
        let mut state = self.log.state();
        if let Some(answer) = state.refuses(run) {
            return Ok(answer);
        }
        if words.said.turn > state.end() {
            state.told = state.told.max(words.said.turn);
        }
        state.said.insert(node, (words.clone(), Instant::now()));
        let turn_of = |node| state.said.get(&node).map_or(0, |(words, _)| words.said.turn);
        if state.opener.is_some_and(|(opener, _)| turn_of(opener) < words.said.turn) {
            state.opener = None;
        }
        Ok(Answer::Done(0))
    }

    async fn claim(
        &mut self,
        run: &str,
        node: u32,
        _without: &BTreeSet<u32>,
    ) -> Result<Answer, Infallible> {
        let mut state = self.log.state();
        if let Some(answer) = state.refuses(run) {
            return Ok(answer);
        }
        let Some((own, _)) = state.said.get(&node) else { return Ok(Answer::NotSaid) };
        let is_further =
            |(_, (words, _)): &(&u32, &(Words, Instant))| words.said.turn > own.said.turn;
        if let Some((other, _)) = state.said.iter().find(is_further) {
            return Ok(Answer::Behind(*other));
        }
        if let Some((opener, at)) = state.opener
            && opener != node
            && at.elapsed() < OPENER_PATIENCE
        {
            return Ok(Answer::Taken(opener));
        }
        state.opener = Some((node, Instant::now()));
        Ok(Answer::Done(0))
    }

    async fn refill(
        &mut self,
        opener: Opener<'_>,
        after: u64,
        batches: &[Kept],
    ) -> Result<Answer, Infallible> {
        let mut state = self.log.state();
        if let Some(answer) = state.refuses_opener(&opener) {
            return Ok(answer);
        }
        if state.end() != after {
            return Ok(Answer::EndsAt(state.end()));
        }
        let last = state.turns.last().map_or(0, |last| last.generation);
        let generation = opener.before.max(last);
        state.know(&self.own);
        state.generation = state.generation.max(opener.before);
        for Kept { turn, time_ms, is_structure, batch } in batches {
            let (turn, time_ms, batch) = (*turn, *time_ms, batch.clone());
            state.turns.push(Logged { turn, generation, time_ms, batch });
            if *is_structure {
                state.structure = Some(turn);
            }
        }
        state.opener = Some((opener.node, Instant::now()));
        Ok(Answer::Done(state.end()))
    }

    async fn settle(
        &mut self,
        opener: Opener<'_>,
        begins: (u64, Began),
        numbers: &[(String, u64)],
    ) -> Result<Answer, Infallible> {
        let mut guard = self.log.state();
        let state = &mut *guard;
        if let Some(answer) = state.refuses_opener(&opener) {
            return Ok(answer);
        }
        let end = state.end();
        let answer = settle((end, &mut state.generation, &mut state.numbers), begins, numbers);
        if !matches!(answer, Answer::Done(_)) {
            return Ok(answer);
        }
        state.know(&self.own);
        state.line.insert(begins.0, begins.1);
        state.structure.get_or_insert(end);
        state.open = Some(state.run);
        state.said.clear();
        state.opener = None;
        state.told = 0;
        drop(guard);
        self.log.changed.send_replace(());
        Ok(answer)
    }
}

/// A closing as a hub has met it.
#[derive(Debug, Clone)]
struct Met {
    run: String,
    newest: u64,
    asks: Question,
    since: Instant,
}

/// One hub's way to the log.
#[derive(Debug)]
pub(crate) struct LostEnd {
    log: LosingLog,
    hub: Incarnation,
    /// The generation in which it writes; 0 before it was let in.
    generation: u64,
    /// The openings that led there.
    own: Line,
    /// The last turn that was given out.
    given: u64,
    met: Option<Met>,
    changed: watch::Receiver<()>,
}

impl LostEnd {
    /// What the log has that was not given out yet, where it is open in the generation that this hub knows.
    fn more(&self) -> Result<Vec<Logged>, LogError> {
        let state = self.log.state();
        if !state.is_open() || state.generation != self.generation {
            return Err(LogError::Closed);
        }
        let later = state.turns.iter().filter(|logged| logged.turn > self.given);
        Ok(later.cloned().collect())
    }

    /// That the copy has nothing which the log was opened without.
    fn check(&self, copy: &impl Held, there: &Line) -> Result<(), LogError> {
        if self.log.is_taken_as_it_is {
            return Ok(());
        }
        let applied = copy.said().turn;
        let chain_at = |turn| copy.chain_at(turn);
        match forked_behind(there, &self.own, (applied, copy.read_from()), chain_at) {
            Some(common) => Err(LogError::Beyond { common, applied }),
            None => Ok(()),
        }
    }

    fn meet(&mut self, run: &str, newest: u64) -> (Question, bool) {
        let met = self.met.take().filter(|met| met.run == run && met.newest == newest);
        let asks = Question(number_behind(0));
        let first = || Met { run: run.to_owned(), newest, asks, since: Instant::now() };
        let met = self.met.insert(met.unwrap_or_else(first));
        (met.asks, met.since.elapsed() >= OTHERS_TIME_MAX)
    }

    /// It is open: this hub writes from now on.
    async fn enter(
        &mut self,
        copy: &mut impl Held<Error = CommitError>,
        used: u64,
    ) -> Result<Opening, CommitError> {
        let applied = copy.said().turn;
        let (generation, there) = {
            let mut state = self.log.state();
            if !state.is_open() {
                return Ok(Opening::NotYet);
            }
            let there = state.line();
            self.check(copy, &there)?;
            if state.end() < applied && !self.log.is_taken_as_it_is {
                return Err(LogError::Back { has: state.end(), applied }.into());
            }
            let (own, lives) = (name_of(self.hub), format!("{}:", self.hub.node));
            state.numbers.retain(|name, _| *name == own || !name.starts_with(&lives));
            let number = state.numbers.entry(own).or_default();
            *number = (*number).max(used);
            (state.generation, there)
        };
        copy.learn(generation, Facts::new()).await?;
        (self.generation, self.own, self.given, self.met) = (generation, there, applied, None);
        Ok(Opening::Open)
    }
}

impl SharedLog for LostEnd {
    async fn append(&mut self, append: Append) -> Result<u64, LogError> {
        self.log.append(self.hub, self.generation, append)
    }

    async fn end(&mut self) -> Result<u64, LogError> {
        self.more()?;
        Ok(self.log.state().end())
    }

    async fn begin_again(&mut self, hub: Incarnation) -> Result<(), LogError> {
        self.hub = hub;
        // It is let in when the log is open again.
        self.generation = 0;
        Ok(())
    }

    async fn next(&mut self) -> Result<Vec<Logged>, LogError> {
        loop {
            self.changed.mark_unchanged();
            let more = self.more()?;
            if let Some(last) = more.last() {
                self.given = last.turn;
                return Ok(more);
            }
            self.changed.changed().await.map_err(|_| LogError::Gone)?;
        }
    }

    async fn open(
        &mut self,
        copy: &mut impl Held<Error = CommitError>,
        used: u64,
    ) -> Result<Opening, CommitError> {
        let (there, unread) = {
            let state = self.log.state();
            let (there, applied) = (state.line(), copy.said().turn);
            let unread = state.turns.iter().filter(|logged| logged.turn > applied);
            let is_read = |logged: &&Logged| {
                let turn = (logged.turn, logged.generation);
                self.log.is_taken_as_it_is || !there.passes_over(&self.own, turn)
            };
            let unread: Vec<Logged> = unread.take_while(is_read).cloned().collect();
            (there, unread)
        };
        self.check(copy, &there)?;
        let mut scripts = Scripts { log: self.log.clone(), own: self.own.clone() };
        let Ok(look) = scripts.look().await;
        if look.open.is_some() {
            return self.enter(copy, used).await;
        }
        if !unread.is_empty() {
            // Whoever has these turns knows which openings led there.
            self.own = there.joined(self.own.clone());
            return Ok(Opening::Read(unread));
        }
        if self.log.is_taken_as_it_is {
            self.log.open_as_it_is(copy);
            return self.enter(copy, used).await;
        }
        let before = there.generation(&self.own);
        let (asks, is_time_over) = self.meet(&look.run, before);
        let allowed = Allowed { is_time_over, before, asks, ..Allowed::default() };
        match attempt(&mut scripts, copy, look, allowed).await {
            Ok(Attempt::Open(_)) => self.enter(copy, used).await,
            Ok(_) => {
                sleep(LOOK_PAUSE).await;
                Ok(Opening::NotYet)
            }
            Err(error) => Err(CommitError::Failed(error.to_string().into())),
        }
    }
}
