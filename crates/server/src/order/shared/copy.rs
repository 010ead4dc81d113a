//! The copy of a hub, as an opening of the log asks for it.

use std::collections::BTreeSet;

use chat_protocol::id::Digest;

use crate::{
    order::{
        LogError,
        follow::{FollowError, Follower},
        opening::{
            Said, Stamp,
            attempt::{Held, Kept},
            line,
        },
    },
    store::{CommitError, Facts, Incarnation, Noted, Store, Unsure},
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

impl Standing {
    /// How far the copy was when it was not known whether the log has it, and it read on.
    fn unsure_since(&self) -> Option<u64> {
        self.noted.unsure.as_ref().map(|unsure| unsure.turn)
    }

    /// Why a hub ends that cannot go on. One of which it is not known whether the log has all that it has may be on another
    /// line: its folder is then to be kept, and not to be replaced by a snapshot.
    pub(super) fn ended(&self, error: FollowError) -> CommitError {
        match (error, self.unsure_since()) {
            (FollowError::Gap { .. } | FollowError::Alone { .. }, Some(applied)) => {
                LogError::Apart { applied }.into()
            }
            (error, _) => error.into(),
        }
    }
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

impl<S: Store + Sync> OwnCopy<'_, S> {
    async fn keep_unsure(&mut self, unsure: Option<Unsure>) -> Result<(), CommitError> {
        let noted = Noted { unsure, ..self.standing.noted.clone() };
        self.store.note(noted.clone()).await?;
        self.standing.noted = noted;
        Ok(())
    }
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

    async fn stamp_at(&self, turn: u64) -> Result<Option<Stamp>, CommitError> {
        let kept = self.store.tail(turn.saturating_sub(1), 1).await?;
        let kept = kept.first().filter(|kept| kept.turn == turn);
        let kept = kept.map(|kept| Stamp::new(kept.time_ms, &kept.batch));
        // It is known for longer when a turn came than what it was.
        let time_ms = self.follower.time_at(turn);
        Ok(kept.or(time_ms.map(|time_ms| Stamp { time_ms, digest: None })))
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
        let generation = generation.max(self.standing.noted.generation);
        let noted = Noted { generation, facts, unsure: self.standing.noted.unsure.clone() };
        if !is_as_good(&self.standing.noted, &noted) {
            self.store.note(noted.clone()).await?;
            self.standing.noted = noted;
        }
        Ok(())
    }

    fn unsure_since(&self) -> Option<u64> {
        self.standing.unsure_since()
    }

    async fn read_on_unsure(&mut self) -> Result<(), CommitError> {
        if self.standing.noted.unsure.is_some() {
            return Ok(());
        }
        let (turn, read_from) = (self.follower.applied(), self.standing.read_from);
        let known = self.standing.noted.facts.iter();
        let openings = known.filter(|(name, _)| line::is_opening(name)).cloned().collect();
        self.keep_unsure(Some(Unsure { turn, read_from, openings })).await
    }

    async fn be_sure(&mut self) -> Result<(), CommitError> {
        if self.standing.noted.unsure.is_none() {
            return Ok(());
        }
        self.keep_unsure(None).await
    }

    fn number_behind(&self, generation: u64) -> u64 {
        line::number_behind(generation)
    }

    async fn note(&mut self, generation: u64) -> Result<(), CommitError> {
        let generation = generation.max(self.standing.noted.generation);
        let unsure = self.standing.noted.unsure.clone();
        self.store.note(Noted { generation, facts: Facts::new(), unsure }).await?;
        self.standing.noted.generation = generation;
        Ok(())
    }

    async fn batches(&self, after: u64, bytes: usize) -> Result<Vec<Kept>, CommitError> {
        self.store.tail(after, bytes).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::order::batch::Seal;
    use crate::store::sqlite::{self, FollowedLog, SqliteOptions};
    use crate::store::{Mark, Written};

    const HUB: Incarnation = Incarnation { node: 1, life: 1 };

    /// Goal: what was there before a server read on is in its file as it was, whatever it learns and however often it is started, until
    /// it is sure.
    #[tokio::test]
    async fn what_was_there_before_it_read_on_stays_in_the_file_until_it_is_sure() {
        let folder = tempfile::tempdir().unwrap();
        let log = FollowedLog { log: [2; 16], node: "n1".to_owned() };
        let open = || {
            let (options, metrics) = (SqliteOptions::default(), Arc::default());
            let shared = (&log, HUB.life);
            let opened = sqlite::open_shared(folder.path(), options, metrics, shared).unwrap();
            let (store, _, _, followed) = opened;
            let standing = Standing { noted: followed.noted.clone(), ..Standing::default() };
            (store, Follower::restore(Seal::new(&[1; 32], [2; 16], 1), followed), standing)
        };
        let opening = |generation: u64| (format!("o:{generation}"), vec![1]);
        let expected = Unsure { turn: 58, read_from: 5, openings: vec![opening(5)] };
        for (turn, generation) in [(58, 5), (60, 7)] {
            let (mut store, mut follower, mut standing) = open();
            follower.apply(turn, 1, Digest([1; 32]));
            standing.read_from = generation;
            let (follower, standing) = (&follower, &mut standing);
            let mut copy = OwnCopy { hub: HUB, follower, store: &mut store, standing };
            let host = ("host".to_owned(), b"n1".to_vec());
            copy.learn(generation, vec![host, opening(generation)]).await.unwrap();
            copy.read_on_unsure().await.unwrap();
            copy.learn(generation + 1, vec![opening(generation + 1)]).await.unwrap();
            copy.note(generation + 1).await.unwrap();
            assert_eq!(copy.unsure_since(), Some(58));
            let noted = sqlite::noted(folder.path()).unwrap().unwrap();
            let known = Noted {
                generation: generation + 1,
                facts: vec![opening(generation + 1)],
                unsure: Some(expected.clone()),
            };
            assert_eq!(noted, known);
        }
        let (mut store, follower, mut standing) = open();
        let (follower, standing) = (&follower, &mut standing);
        let mut copy = OwnCopy { hub: HUB, follower, store: &mut store, standing };
        assert_eq!(copy.unsure_since(), Some(58));
        copy.be_sure().await.unwrap();
        assert_eq!(copy.unsure_since(), None);
        drop(store);
        let (_, _, standing) = open();
        let known = Noted { generation: 8, facts: vec![opening(8)], unsure: None };
        assert_eq!(standing.noted, known);
    }

    /// Goal: what was read at a turn is known when its bytes are gone, as long as chains go back there: what Redis has at that turn is
    /// compared with it.
    #[tokio::test]
    async fn when_a_turn_came_is_known_for_longer_than_what_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let log = FollowedLog { log: [2; 16], node: "n1".to_owned() };
        let (options, metrics) = (SqliteOptions::default(), Arc::default());
        let shared = (&log, HUB.life);
        let opened = sqlite::open_shared(folder.path(), options, metrics, shared).unwrap();
        let ((mut store, _, _, read), mut standing) = (opened, Standing::default());
        let mut follower = Follower::restore(Seal::new(&[1; 32], [2; 16], 1), read);
        for turn in 1..=3 {
            let (time_ms, batch) = (10 * turn, Bytes::from_static(b"batch"));
            let mark = Mark {
                written: Written { turn, ..Written::default() },
                horizon: 0,
                time_ms,
                by: None,
                gone: Vec::new(),
                verdicts: Vec::new(),
                before: follower.chain(),
                digest: [0; 32],
                batch: Kept { turn, time_ms, is_structure: false, batch },
                generation: 1,
                // Every hub has the first one.
                forget: 1,
            };
            let (_, chain) = store.commit_turn(Vec::new(), mark).await.unwrap();
            follower.apply(turn, time_ms, chain);
        }
        let copy =
            OwnCopy { hub: HUB, follower: &follower, store: &mut store, standing: &mut standing };
        let dropped = Stamp { time_ms: 10, digest: None };
        let known = [Some(dropped), Some(Stamp::new(20, b"batch")), Some(Stamp::new(30, b"batch"))];
        for (turn, stamp) in (1..).zip(known) {
            assert_eq!(copy.stamp_at(turn).await.unwrap(), stamp, "turn {turn}");
        }
        for turn in [0, 4] {
            assert_eq!(copy.stamp_at(turn).await.unwrap(), None, "turn {turn}");
        }
    }

    /// Goal: who may have what nobody else has is not told to take a snapshot in place of its folder. Before, it was, where turns
    /// were missing or two others disagreed before the chain of an opening could say it.
    #[test]
    fn who_is_unsure_and_cannot_go_on_is_apart() {
        let unsure = Unsure { turn: 58, ..Unsure::default() };
        let noted = Noted { unsure: Some(unsure), ..Noted::default() };
        let standing = Standing { noted, ..Standing::default() };
        let errors = [FollowError::Gap { expected: 60, got: 70 }, FollowError::Alone { turn: 60 }];
        for error in errors {
            let sure = Standing::default().ended(error.clone()).to_string();
            assert!(sure.contains(&error.to_string()), "{sure}");
            let apart = standing.ended(error).to_string();
            assert!(apart.contains("some of the turns up to 58"), "{apart}");
        }
    }
}
