//! The copy of a hub, as an opening of the log asks for it.

use std::collections::BTreeSet;

use chat_protocol::id::Digest;

use crate::{
    order::{
        follow::Follower,
        opening::{
            Said,
            attempt::{Held, Kept},
            line,
        },
    },
    store::{CommitError, Facts, Incarnation, Noted, Store},
};

/// What a hub knows of the log that it follows, beside what it has applied.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// The generation that its last turn was read from.
    pub(super) read_from: u64,
    /// What was noted.
    pub(super) noted: Noted,
    /// It has been at the end of the open log since it was started.
    pub(super) was_at_the_end: bool,
}

/// Whether nothing is known anew but how far hubs are, which is said all the time: of one that was put back with an older
/// turn more is kept than is needed.
fn is_as_good(known: &Noted, new: &Noted) -> bool {
    let mut facts = known.facts.iter().zip(&new.facts);
    known.generation == new.generation
        && known.facts.len() == new.facts.len()
        && facts
            .all(|(one, other)| one.0 == other.0 && (one.1 == other.1 || one.0.starts_with("d:")))
}

/// The copy of this hub.
pub(super) struct OwnCopy<'a, S> {
    pub(super) hub: Incarnation,
    pub(super) follower: &'a Follower,
    pub(super) store: &'a mut S,
    pub(super) standing: &'a mut Standing,
}

/// What a life of a hub is called in a log.
pub fn name_of(hub: Incarnation) -> String {
    format!("{}:{:016x}", hub.node, hub.life)
}

impl<S: Store + Sync> Held for OwnCopy<'_, S> {
    type Error = CommitError;

    fn node(&self) -> u32 {
        self.hub.node
    }

    fn said(&self) -> Said {
        Said {
            turn: self.follower.applied(),
            chain: self.follower.chain(),
            generation: self.standing.noted.generation.max(self.standing.read_from),
            is_new: !self.standing.was_at_the_end,
        }
    }

    fn chain_at(&self, turn: u64) -> Option<Digest> {
        self.follower.chain_at(turn)
    }

    fn living(&self) -> BTreeSet<u32> {
        self.follower.living().into_iter().map(|(hub, _)| hub.node).collect()
    }

    fn numbers(&self) -> Vec<(String, u64)> {
        let living = self.follower.living().into_iter();
        living.map(|(hub, number)| (name_of(hub), number)).collect()
    }

    fn read_from(&self) -> u64 {
        self.standing.read_from
    }

    fn facts(&self) -> Facts {
        self.standing.noted.facts.clone()
    }

    async fn learn(&mut self, generation: u64, facts: Facts) -> Result<(), CommitError> {
        let noted = Noted { generation: generation.max(self.standing.noted.generation), facts };
        if !is_as_good(&self.standing.noted, &noted) {
            self.store.note(noted.clone()).await?;
            self.standing.noted = noted;
        }
        Ok(())
    }

    fn number_behind(&self, generation: u64) -> u64 {
        line::number_behind(generation)
    }

    async fn note(&mut self, generation: u64) -> Result<(), CommitError> {
        let generation = generation.max(self.standing.noted.generation);
        self.store.note(Noted { generation, facts: Facts::new() }).await?;
        self.standing.noted.generation = generation;
        Ok(())
    }

    async fn batches(&self, after: u64, bytes: usize) -> Result<Vec<Kept>, CommitError> {
        self.store.tail(after, bytes).await
    }
}
