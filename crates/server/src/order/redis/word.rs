//! What a person says when Redis has lost something and a hub is missing: without whom the others are to go on. It is
//! sealed for the hubs, so that Redis cannot say it, and names what it was said of: it counts for the next opening of a log
//! that is where the folder was with which it was said, and for no other one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Place, PlaceError, SCRIPT_TIME_MAX};
use crate::order::opening::attempt::{Closed as _, Look};
use crate::order::opening::redis::{ClosedError, ClosedInRedis};
use crate::order::words::WordSeal;

/// What a person has said.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Word {
    /// The servers go on without these, by their numbers.
    pub without: BTreeSet<u32>,
    /// The newest opening that the copy knows with which it was said.
    pub generation: u64,
    /// The last turn of that copy: whoever opens has it.
    pub turn: u64,
}

impl Word {
    /// Whether it was said of the opening that a copy of this turn waits for. Each opening begins another generation, so it is
    /// for one.
    pub fn is_for(&self, generation: u64, turn: u64) -> bool {
        self.generation == generation && self.turn <= turn
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

    /// What there is of the log with this id.
    pub async fn look(&self, id: [u8; 16], seal: &WordSeal) -> Result<Look, PlaceError> {
        let connection = self.connect(SCRIPT_TIME_MAX).await?;
        let sealing = (id, seal.clone());
        let mut closed = ClosedInRedis::new(connection, &self.cluster, sealing, Vec::new());
        closed.look().await.map_err(|error| match error {
            ClosedError::Redis(error) => PlaceError::Redis(error),
            ClosedError::Strange(word) => PlaceError::Strange(word),
        })
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
        connection: &mut redis::aio::MultiplexedConnection,
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
    fn a_word_is_for_one_opening_of_one_redis() {
        let seal = WordSeal::new(&[1; 32], [7; 16]);
        let word = Word { without: BTreeSet::from([3]), generation: 9, turn: 40 };
        let sealed = word.sealed("run", &seal);
        assert_eq!(Word::read("run", &sealed, &seal), Some(word.clone()));
        assert_eq!(Word::read("other", &sealed, &seal), None, "another Redis");
        assert_eq!(Word::read("run", &sealed, &WordSeal::new(&[1; 32], [8; 16])), None);
        assert!(word.is_for(9, 40) && word.is_for(9, 41));
        assert!(!word.is_for(10, 41), "the log was opened since");
        assert!(!word.is_for(9, 39), "the copy is an older one");
    }
}
