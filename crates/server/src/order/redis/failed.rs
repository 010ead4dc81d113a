//! Why an attempt to open the log in Redis, or to ask what is said beside it, has come to nothing.

use redis::RedisError;

use super::PlaceError;
use crate::{
    order::{LogError, opening::redis::ClosedError},
    store::CommitError,
};

/// Why an attempt has come to nothing.
pub(super) enum Failed {
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
