//! What Redis promises of what it has answered: looked at, and never taken for granted.

use std::{collections::HashMap, fmt};

use clap::ValueEnum;
use redis::{RedisError, aio::MultiplexedConnection};
use serde::Deserialize;

/// How much an ACK promises where the log lies in Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AckLevel {
    /// Redis has it in memory.
    Memory,
    /// Redis writes it to its disk within a second.
    Second,
    /// It is on the disk of Redis.
    Disk,
}

impl AckLevel {
    /// All of them.
    pub const ALL: [&str; 3] = ["memory", "second", "disk"];

    /// Its name, as it is given and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Second => "second",
            Self::Disk => "disk",
        }
    }
}

impl fmt::Display for AckLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The settings that it rests on.
const SETTINGS: [&str; 4] =
    ["appendonly", "appendfsync", "no-appendfsync-on-rewrite", "maxmemory-policy"];

/// What ends by itself.
const FIRST_REWRITE: &str = "the first rewrite of the append-only file";

/// What a Redis promises, and what it would need to promise more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// How much.
    pub level: AckLevel,
    /// Why it is not more; empty where nothing is missing.
    pub lacks: Vec<&'static str>,
}

impl Promise {
    /// Whether it promises more in a while although nobody does anything.
    pub(super) fn will_rise(&self) -> bool {
        self.lacks.contains(&FIRST_REWRITE)
    }
}

/// Asks Redis. One that may not be asked promises its memory.
pub(super) async fn ask(connection: &mut MultiplexedConnection) -> Result<Promise, RedisError> {
    let mut asked = redis::cmd("CONFIG");
    asked.arg("GET").arg(&SETTINGS);
    let settings: HashMap<String, String> = match asked.query_async(connection).await {
        Ok(settings) => settings,
        Err(error) if error.is_io_error() || error.is_timeout() => return Err(error),
        Err(_) => HashMap::new(),
    };
    let info: String =
        redis::cmd("INFO").arg("persistence").arg("replication").query_async(connection).await?;
    Ok(promise(&settings, &info))
}

/// What follows from settings and what Redis says of itself.
fn promise(settings: &HashMap<String, String>, info: &str) -> Promise {
    let is = |key: &str, value: &str| settings.get(key).is_some_and(|set| set == value);
    let says = |line: &str| info.lines().any(|said| said.trim_end() == line);
    let written = [
        (is("appendonly", "yes"), "appendonly yes"),
        (says("aof_enabled:1"), "the append-only file"),
        // Until the first rewrite is done nothing is in the file. It cannot be told from the first one of a file that
        // was there from the start: then this is too careful, and looked at again soon.
        (
            !(says("aof_rewrite_scheduled:1")
                || says("aof_rewrite_in_progress:1") && says("aof_base_size:0")),
            FIRST_REWRITE,
        ),
        (says("aof_last_write_status:ok"), "room for the append-only file"),
        (is("maxmemory-policy", "noeviction"), "maxmemory-policy noeviction"),
        (says("role:master"), "being the master"),
    ];
    let at_once = [
        (is("appendfsync", "always"), "appendfsync always"),
        (is("no-appendfsync-on-rewrite", "no"), "no-appendfsync-on-rewrite no"),
    ];
    let missing = |needed: &[(bool, &'static str)]| -> Vec<&'static str> {
        needed.iter().filter(|(is_there, _)| !is_there).map(|(_, what)| *what).collect()
    };
    let (mut lacks, late) = (missing(&written), missing(&at_once));
    if !lacks.is_empty()
        || !(late.is_empty() || is("appendfsync", "everysec") || is("appendfsync", "always"))
    {
        lacks.extend(late);
        return Promise { level: AckLevel::Memory, lacks };
    }
    let level = if late.is_empty() { AckLevel::Disk } else { AckLevel::Second };
    Promise { level, lacks: late }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Persistence\r\naof_enabled:1\r\naof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0\r\n\
                        aof_last_write_status:ok\r\naof_base_size:0\r\nrole:master\r\n";

    fn with(changed: &[(&str, &str)]) -> HashMap<String, String> {
        let right = [
            ("appendonly", "yes"),
            ("appendfsync", "always"),
            ("no-appendfsync-on-rewrite", "no"),
            ("maxmemory-policy", "noeviction"),
        ];
        let all = right.iter().chain(changed);
        all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_promise_is_no_more_than_every_setting_allows() {
        for (changed, level) in [
            (&[][..], AckLevel::Disk),
            (&[("appendfsync", "everysec")], AckLevel::Second),
            (&[("no-appendfsync-on-rewrite", "yes")], AckLevel::Second),
            (&[("appendfsync", "no")], AckLevel::Memory),
            (&[("appendonly", "no")], AckLevel::Memory),
            (&[("maxmemory-policy", "allkeys-lru")], AckLevel::Memory),
        ] {
            let promise = promise(&with(changed), INFO);
            assert_eq!(promise.level, level, "{changed:?}");
            assert_eq!(promise.lacks.is_empty(), level == AckLevel::Disk, "{changed:?}");
        }
        for info in [
            INFO.replace("role:master", "role:slave"),
            INFO.replace("aof_enabled:1", "aof_enabled:0"),
            INFO.replace("scheduled:0", "scheduled:1"),
            INFO.replace("in_progress:0", "in_progress:1"),
            INFO.replace("status:ok", "status:err"),
        ] {
            assert_eq!(promise(&with(&[]), &info).level, AckLevel::Memory, "{info}");
        }
        let later = INFO.replace("in_progress:0", "in_progress:1").replace("size:0", "size:88");
        assert_eq!(promise(&with(&[]), &later).level, AckLevel::Disk, "what was there stays there");
        assert_eq!(promise(&HashMap::new(), INFO).level, AckLevel::Memory, "nothing may be asked");
    }
}
