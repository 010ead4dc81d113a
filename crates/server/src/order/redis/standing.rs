//! What Redis says of a log and of one hub, for people who look whether all is well.

use super::{
    Place, PlaceError, SCRIPT_TIME_MAX,
    level::{self, Promise},
};

/// How things stand in Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What an ACK promises.
    pub promise: Promise,
    /// The last turn of the log, if there is one.
    pub turn: Option<u64>,
    /// The hub has a lease: it lives, as far as the others know.
    pub has_lease: bool,
    /// Bytes that Redis has in memory, and how many it may have; 0 for as many as there are.
    pub memory: (u64, u64),
}

impl Place {
    /// Asks Redis. Nothing is changed.
    pub async fn standing(&self, node: u32) -> Result<Standing, PlaceError> {
        let mut connection = self.connect(SCRIPT_TIME_MAX).await?;
        let promise = level::ask(&mut connection).await?;
        let (turn, has_lease, info): (Option<u64>, bool, String) = redis::pipe()
            .cmd("HGET")
            .arg(&self.meta)
            .arg("turn")
            .cmd("EXISTS")
            .arg(self.lease_of(node))
            .cmd("INFO")
            .arg("memory")
            .query_async(&mut connection)
            .await?;
        let figure = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
        };
        let memory = (figure("used_memory"), figure("maxmemory"));
        Ok(Standing { promise, turn, has_lease, memory })
    }
}
