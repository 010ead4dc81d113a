//! What a person says when Redis has lost something and a hub is missing: without whom the others are to go on. It is
//! sealed for the hubs, so that Redis cannot say it, and answers those that waited when it was said: it counts for the closing
//! at which they have asked so, where they have what the folder had with which it was said, and for no other one.

use std::collections::{BTreeMap, BTreeSet};

use redis::aio::MultiplexedConnection;
use serde::{Deserialize, Serialize};

use super::{Place, PlaceError, SCRIPT_TIME_MAX};
use crate::order::opening::Question;
use crate::order::opening::attempt::{Closed as _, Look};
use crate::order::opening::redis::{ClosedError, ClosedInRedis};
use crate::order::words::WordSeal;

/// What a person has said.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Word {
    /// The servers go on without these, by their numbers.
    pub without: BTreeSet<u32>,
    /// What those had asked with that waited, by their nodes.
    pub answers: BTreeMap<u32, Question>,
    /// The last turn of that copy: whoever opens has it.
    pub turn: u64,
}

impl Word {
    /// Whether it was said to this hub, whose copy has this turn, at the closing at which it asks so.
    pub fn is_for(&self, node: u32, asks: Question, turn: u64) -> bool {
        self.answers.get(&node) == Some(&asks) && self.turn <= turn
    }

    fn name(run: &str) -> String {
        format!("open {run}")
    }

    /// As it is left for the hubs that wait at this Redis.
    pub fn sealed(&self, run: &str, seal: &WordSeal) -> Vec<u8> {
        // Numbers can be written.
        let words = serde_json::to_vec(self).unwrap_or_default();
        seal.seal(&Self::name(run), &words)
    }

    fn read(run: &str, sealed: &[u8], seal: &WordSeal) -> Option<Self> {
        serde_json::from_slice(&seal.open(&Self::name(run), sealed)?).ok()
    }
}

/// What a word is called among what hubs have said.
const FIELD: &str = "word";

/// How long a word is kept that nobody has read, in seconds.
const WORD_SECONDS: i64 = 600;

impl Place {
    /// Where it is kept what is said of an opening of this Redis.
    fn opening(&self, run: &str) -> String {
        format!("{{{}}}:open:{run}", self.cluster)
    }

    /// What there is of the log with this id, and, where it is closed, what those ask with that wait: nothing where nobody does.
    pub async fn waiting(
        &self,
        id: [u8; 16],
        seal: &WordSeal,
    ) -> Result<(Look, BTreeMap<u32, Question>), PlaceError> {
        let failed = |error| match error {
            ClosedError::Redis(error) => PlaceError::Redis(error),
            ClosedError::Strange(word) => PlaceError::Strange(word),
        };
        let connection = self.connect(SCRIPT_TIME_MAX).await?;
        let sealing = (id, seal.clone());
        let mut closed = ClosedInRedis::new(connection, &self.cluster, sealing, Vec::new());
        let look = closed.look().await.map_err(failed)?;
        let heard = closed.said(&look.run).await.map_err(failed)?;
        // Who has said something and died hears nothing.
        let is_somebody_there = !heard.said.is_empty();
        let asked = if is_somebody_there { heard.questions() } else { BTreeMap::new() };
        Ok((look, asked))
    }

    /// Leaves a word for the hubs that wait at this Redis.
    pub async fn leave_word(&self, run: &str, word: &[u8]) -> Result<(), PlaceError> {
        let mut connection = self.connect(SCRIPT_TIME_MAX).await?;
        let () = redis::pipe()
            .hset(self.opening(run), FIELD, word)
            .ignore()
            .expire(self.opening(run), WORD_SECONDS)
            .ignore()
            .query_async(&mut connection)
            .await?;
        Ok(())
    }

    /// The word that was left, if a hub has sealed it.
    pub(super) async fn word(
        &self,
        connection: &mut MultiplexedConnection,
        run: &str,
        seal: &WordSeal,
    ) -> Result<Option<Word>, redis::RedisError> {
        let asked = redis::cmd("HGET").arg(self.opening(run)).arg(FIELD).to_owned();
        let sealed: Option<Vec<u8>> = asked.query_async(connection).await?;
        Ok(sealed.and_then(|sealed| Word::read(run, &sealed, seal)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what a person has said once is not said again by whoever keeps Redis.
    #[test]
    fn a_word_is_for_one_closing_of_one_redis() {
        let seal = WordSeal::new(&[1; 32], [7; 16]);
        let answers = BTreeMap::from([(1, Question(9)), (2, Question(8))]);
        let word = Word { without: BTreeSet::from([3]), answers, turn: 40 };
        let sealed = word.sealed("run", &seal);
        assert_eq!(Word::read("run", &sealed, &seal), Some(word.clone()));
        assert_eq!(Word::read("other", &sealed, &seal), None, "another Redis");
        assert_eq!(Word::read("run", &sealed, &WordSeal::new(&[1; 32], [8; 16])), None);
        assert!(word.is_for(1, Question(9), 40) && word.is_for(2, Question(8), 41));
        assert!(!word.is_for(1, Question(10), 41), "the log was open since");
        assert!(!word.is_for(3, Question(9), 41), "it was not there");
        assert!(!word.is_for(1, Question(9), 39), "the copy is an older one");
    }
}
