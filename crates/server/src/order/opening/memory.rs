//! A log in memory that may have to be opened: what the scripts in Redis promise, for tests of what stands above them.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::attempt::{Answer, Closed, Kept, Look, OPENER_PATIENCE, Opener};
use super::line::Began;
use super::{Heard, SAID_LEASE, Stamp, Words};
use crate::clock::Clock;

#[derive(Debug, Default)]
struct State {
    /// Which process of a log this is.
    run: u64,
    /// Which one it is open for.
    open: Option<u64>,
    generation: u64,
    turns: Vec<Kept>,
    numbers: BTreeMap<String, u64>,
    /// What hubs have said, and when.
    said: BTreeMap<u32, (Words, u64)>,
    opener: Option<Opens>,
    /// How far the furthest hub has said to be while the log lacked that.
    told: u64,
}

/// Who opens.
#[derive(Debug)]
struct Opens {
    node: u32,
    /// When it has done something last.
    at: u64,
    /// Whom it goes on without.
    without: BTreeSet<u32>,
}

/// What the last script of an opening does with the last turn of a log, its generation, and the last numbers of its hubs.
pub fn settle(
    (end, generation, known): (u64, &mut u64, &mut BTreeMap<String, u64>),
    (begins, began): (u64, Began),
    numbers: &[(String, u64)],
) -> Answer {
    if end != began.turn || *generation >= begins {
        return Answer::EndsAt(end);
    }
    for (hub, number) in numbers {
        let known = known.entry(hub.clone()).or_default();
        *known = (*known).max(*number);
    }
    *generation = begins;
    Answer::Done(begins)
}

/// The log. Clones are the same one.
#[derive(Debug, Clone)]
pub struct ClosedInMemory {
    state: Arc<Mutex<State>>,
    clock: Clock,
}

impl ClosedInMemory {
    /// An empty one that is not open.
    pub fn new(clock: Clock) -> Self {
        Self { state: Arc::default(), clock }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another process takes its place, with the turns up to this one.
    pub fn replace(&self, last: u64) {
        let mut state = self.state();
        let (run, generation) =
            (state.run.saturating_add(1), if last == 0 { 0 } else { state.generation });
        let turns = std::mem::take(&mut state.turns);
        let turns = turns.into_iter().filter(|kept| kept.turn <= last).collect();
        let open = state.open.filter(|_| last > 0);
        let told = if last == 0 { 0 } else { state.told };
        *state = State { run, open, generation, turns, told, ..State::default() };
    }

    /// It closes for the process that it is in, and has the turns up to this one.
    pub fn close(&self, last: u64) {
        let mut state = self.state();
        state.open = None;
        state.turns.retain(|kept| kept.turn <= last);
    }

    /// What a hub has said last.
    pub fn words_of(&self, node: u32) -> Option<Words> {
        self.state().said.get(&node).map(|(words, _)| words.clone())
    }

    /// It gives out that a hub says this now.
    pub fn show(&self, node: u32, words: Words) {
        let now_ms = (self.clock)();
        self.state().said.insert(node, (words, now_ms));
    }

    /// A hub has said nothing for a while.
    pub fn grows_silent(&self, node: u32) {
        self.state().said.entry(node).and_modify(|(_, at)| *at = 0);
    }

    /// All of it.
    pub fn turns(&self) -> Vec<Kept> {
        self.state().turns.clone()
    }

    /// The last number of each hub.
    pub fn numbers(&self) -> BTreeMap<String, u64> {
        self.state().numbers.clone()
    }
}

impl State {
    fn name(&self) -> String {
        format!("{:x}", self.run)
    }

    fn end(&self) -> u64 {
        self.turns.last().map_or(0, |kept| kept.turn)
    }

    /// Why a script does nothing.
    fn refuses(&self, run: &str) -> Option<Answer> {
        if run != self.name() {
            return Some(Answer::OtherRedis);
        }
        (self.open == Some(self.run)).then_some(Answer::IsOpen(self.generation))
    }

    fn refuses_opener(&self, opener: &Opener<'_>) -> Option<Answer> {
        let is_opener = self.opener.as_ref().is_some_and(|opens| opens.node == opener.node);
        self.refuses(opener.run).or((!is_opener).then_some(Answer::PutOut))
    }
}

impl Closed for ClosedInMemory {
    type Error = Infallible;

    async fn look(&mut self) -> Result<Look, Infallible> {
        let state = self.state();
        let open = (state.open == Some(state.run)).then_some(state.generation);
        Ok(Look { run: state.name(), open, has: state.end(), told: state.told })
    }

    async fn last(&mut self) -> Result<Option<(u64, Stamp)>, Infallible> {
        let stamped = |kept: &Kept| (kept.turn, Stamp::new(kept.time_ms, &kept.batch));
        Ok(self.state().turns.last().map(stamped))
    }

    async fn said(&mut self, run: &str) -> Result<Heard, Infallible> {
        let now_ms = (self.clock)();
        let (state, mut heard) = (self.state(), Heard::default());
        if run == state.name() {
            for (node, (words, at)) in &state.said {
                let is_silent = u128::from(now_ms.saturating_sub(*at)) > SAID_LEASE.as_millis();
                let kept = if is_silent { &mut heard.silent } else { &mut heard.said };
                kept.insert(*node, words.clone());
            }
        }
        Ok(heard)
    }

    async fn say(&mut self, run: &str, node: u32, words: &Words) -> Result<Answer, Infallible> {
        let now_ms = (self.clock)();
        let mut state = self.state();
        if let Some(answer) = state.refuses(run) {
            return Ok(answer);
        }
        if words.said.turn > state.end() {
            state.told = state.told.max(words.said.turn);
        }
        state.said.insert(node, (words.clone(), now_ms));
        let is_further = |opens: &Opens| {
            let said = state.said.get(&opens.node);
            let is_behind = said.is_none_or(|(opener, _)| opener.said.turn < words.said.turn);
            is_behind && !opens.without.contains(&node)
        };
        if state.opener.as_ref().is_some_and(is_further) {
            state.opener = None;
        }
        Ok(Answer::Done(0))
    }

    async fn claim(
        &mut self,
        run: &str,
        node: u32,
        without: &BTreeSet<u32>,
    ) -> Result<Answer, Infallible> {
        let now_ms = (self.clock)();
        let mut state = self.state();
        if let Some(answer) = state.refuses(run) {
            return Ok(answer);
        }
        let Some((own, _)) = state.said.get(&node) else { return Ok(Answer::NotSaid) };
        let is_further = |(other, (words, _)): &(&u32, &(Words, u64))| {
            words.said.turn > own.said.turn && !without.contains(*other)
        };
        if let Some((other, _)) = state.said.iter().find(is_further) {
            return Ok(Answer::Behind(*other));
        }
        if let Some(opens) = &state.opener
            && opens.node != node
            && !without.contains(&opens.node)
            && u128::from(now_ms.saturating_sub(opens.at)) < OPENER_PATIENCE.as_millis()
        {
            return Ok(Answer::Taken(opens.node));
        }
        state.opener = Some(Opens { node, at: now_ms, without: without.clone() });
        Ok(Answer::Done(0))
    }

    async fn refill(
        &mut self,
        opener: Opener<'_>,
        after: u64,
        batches: &[Kept],
    ) -> Result<Answer, Infallible> {
        let now_ms = (self.clock)();
        let mut state = self.state();
        if let Some(answer) = state.refuses_opener(&opener) {
            return Ok(answer);
        }
        if state.end() > after {
            return Ok(Answer::EndsAt(state.end()));
        }
        if state.end() < after {
            // What is older than the copies go back cannot be joined with them.
            state.turns.clear();
        }
        state.turns.extend_from_slice(batches);
        if let Some(opens) = &mut state.opener {
            opens.at = now_ms;
        }
        Ok(Answer::Done(state.end()))
    }

    async fn settle(
        &mut self,
        opener: Opener<'_>,
        begins: (u64, Began),
        numbers: &[(String, u64)],
    ) -> Result<Answer, Infallible> {
        let mut guard = self.state();
        let state = &mut *guard;
        if let Some(answer) = state.refuses_opener(&opener) {
            return Ok(answer);
        }
        let has = (state.end(), &mut state.generation, &mut state.numbers);
        let answer = settle(has, begins, numbers);
        if matches!(answer, Answer::Done(_)) {
            state.open = Some(state.run);
            // What was said was said of the log as it was.
            state.said.clear();
            state.opener = None;
            state.told = 0;
        }
        Ok(answer)
    }
}
