//! Which records of a batch are admitted at its place in the log: pure, and the same on every hub.
//!
//! A record is void when something that it has read was written after the state that it was decided on.
//! It is void, too, when a void record of the same hub was to write it: so what follows a message that is
//! decided again does not overtake it.

use std::collections::{HashMap, VecDeque};

use super::Guard;
use crate::store::{Incarnation, Written};

/// How far behind the log a decision may be. Older ones are void, so older writes are forgotten.
pub const WINDOW_TURNS: usize = 1024;

/// Keys that are remembered in all. More of them make the window shorter.
pub const WINDOW_KEYS: usize = 1 << 18;

/// What was written lately, and at which turn.
#[derive(Debug, Default)]
pub struct Certifier {
    /// Everything up to this turn is forgotten.
    horizon: u64,
    last: HashMap<u64, u64>,
    /// Keys that void records of a hub were to write.
    void: HashMap<(Incarnation, u64), u64>,
    window: VecDeque<Written>,
    keys: usize,
}

impl Certifier {
    /// One that knows nothing of what was written up to this turn.
    pub fn new(horizon: u64) -> Self {
        Self { horizon, ..Self::default() }
    }

    /// Judges the records of a batch: `at` is the turn that its hub had applied when it decided. Turns MUST
    /// come one by one.
    pub fn judge<'a>(
        &mut self,
        turn: u64,
        (hub, at): (Incarnation, u64),
        guards: impl IntoIterator<Item = &'a Guard>,
    ) -> Vec<bool> {
        let mut written = Written { turn, ..Written::default() };
        let mut verdicts = Vec::new();
        for guard in guards {
            let is_stale = |key: &u64| {
                let is_later = |turn: Option<&u64>| turn.is_some_and(|turn| *turn > at);
                is_later(self.last.get(key)) || is_later(self.void.get(&(hub, *key)))
            };
            let is_admitted = at >= self.horizon && !guard.reads.iter().any(is_stale);
            verdicts.push(is_admitted);
            if is_admitted {
                // Records of one batch were decided with regard to each other: these count from the next
                // turn on.
                written.keys.extend(&guard.writes);
            } else {
                for key in &guard.writes {
                    self.void.insert((hub, *key), turn);
                    written.void.push((hub, *key));
                }
            }
        }
        self.remember(written);
        verdicts
    }

    /// A batch counts for nothing: its turn is one like others.
    pub fn skip(&mut self, turn: u64) {
        self.judge(turn, (Incarnation::ALONE, turn), []);
    }

    /// What the last turn has written.
    pub fn last(&self) -> Option<&Written> {
        self.window.back()
    }

    /// Up to which turn everything is forgotten.
    pub fn horizon(&self) -> u64 {
        self.horizon
    }

    /// Takes over what a turn has written that was judged before. Turns MUST come in their order.
    pub fn remember(&mut self, written: Written) {
        for key in &written.keys {
            self.last.insert(*key, written.turn);
        }
        for place in &written.void {
            self.void.insert(*place, written.turn);
        }
        self.keys += written.keys.len() + written.void.len();
        self.window.push_back(written);
        while self.window.len() > WINDOW_TURNS || self.keys > WINDOW_KEYS {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(Written { turn, keys, void }) = self.window.pop_front() else { return };
        self.horizon = turn;
        self.keys = self.keys.saturating_sub(keys.len() + void.len());
        for key in keys {
            if self.last.get(&key) == Some(&turn) {
                self.last.remove(&key);
            }
        }
        for key in void {
            if self.void.get(&key) == Some(&turn) {
                self.void.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
