//! What one hub changes beside the log for all of them.

use std::time::Duration;

use redis::Script;
use tokio::time::{Instant, sleep};

use super::{PAUSES, Place, PlaceError, SCRIPT_TIME_MAX};

/// How long the host before may take to be gone by the log: others look each second, and say so after three. The lease of
/// who waits for it lasts longer.
const HOST_TIME_MAX: Duration = Duration::from_secs(5);

/// Whether another hub answers to the name `server` from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// It does.
    Changed,
    /// The one that did so runs.
    Runs,
    /// The one that did so has no lease, and nobody has said yet that it is gone.
    MayGoOn,
}

impl Place {
    /// The time of Redis, Unix time in milliseconds: one clock for all hubs.
    pub async fn time_ms(&self) -> Result<u64, PlaceError> {
        let mut connection = self.connect(SCRIPT_TIME_MAX).await?;
        let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(&mut connection).await?;
        Ok(seconds.saturating_mul(1_000).saturating_add(micros / 1_000))
    }

    /// Replaces what all hubs are set to, as hub of this number. False while another one runs.
    pub async fn change_settings(&self, number: u32, settings: &[u8]) -> Result<bool, PlaceError> {
        let mut connection = self.connect(SCRIPT_TIME_MAX).await?;
        let script = Script::new(include_str!("settings.lua"));
        let mut call = script.key(&self.meta);
        call.arg(settings).arg(number).arg(&self.nodes);
        let (word, _): (String, u64) = call.invoke_async(&mut connection).await?;
        Ok(word == "OK")
    }

    /// The hub of this number and name answers to `server` from now on, and `before` not any more, unless that one runs. One
    /// that stands still is waited for until the others say that it is gone, but not for ever.
    pub async fn change_host(
        &self,
        (number, name): (u32, &str),
        before: u32,
    ) -> Result<Host, PlaceError> {
        let mut connection = self.connect(SCRIPT_TIME_MAX).await?;
        let script = Script::new(include_str!("host.lua"));
        let end = Instant::now() + HOST_TIME_MAX;
        loop {
            let mut call = script.key(&self.meta);
            call.arg(name).arg(number).arg(before).arg(&self.nodes);
            let (word, _): (String, u64) = call.invoke_async(&mut connection).await?;
            match word.as_str() {
                "OK" => return Ok(Host::Changed),
                "BUSY" => return Ok(Host::Runs),
                "WAIT" if Instant::now() < end => sleep(PAUSES.1).await,
                "WAIT" => return Ok(Host::MayGoOn),
                _ => return Err(PlaceError::Strange(word)),
            }
        }
    }
}
