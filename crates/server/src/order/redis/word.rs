//! What a person says when Redis has lost something and a hub is missing: without whom the others are to go on. It is
//! sealed for the hubs, so that Redis cannot say it.

use std::{collections::BTreeSet, sync::Arc};

use super::{Place, PlaceError, SCRIPT_TIME_MAX};
use crate::order::opening::attempt::{Closed as _, Look};
use crate::order::opening::redis::{ClosedError, ClosedInRedis};

/// Reads a word for one Redis: without which hubs. Nothing for what no hub has sealed.
pub type ReadWord = Arc<dyn Fn(&str, &[u8]) -> Option<BTreeSet<u32>> + Send + Sync>;

/// Believes nobody.
pub fn nobody() -> ReadWord {
    Arc::new(|_, _| None)
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
    pub async fn look(&self, id: [u8; 16]) -> Result<Look, PlaceError> {
        let connection = self.connect(SCRIPT_TIME_MAX).await?;
        let mut closed = ClosedInRedis::new(connection, &self.cluster, id, Vec::new());
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

    /// The word that was left.
    pub(super) async fn word(
        &self,
        connection: &mut redis::aio::MultiplexedConnection,
        run: &str,
    ) -> Result<Option<Vec<u8>>, redis::RedisError> {
        redis::cmd("HGET").arg(self.opening(run)).arg(FIELD).query_async(connection).await
    }
}
