//! The Redis in which servers share their log: whether it answers, what it promises, whether the others see this
//! server, and how far it is behind.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::{Verdict, words};
use crate::{
    cluster,
    config::Sharing,
    order::redis::{Place, standing::Standing},
    store::DATABASE_FILE,
};

/// Turns that a server which runs may be behind: decisions that are older count for nothing.
const BEHIND_MAX: u64 = 1_024;

/// Above this part of what Redis may have in memory it is said, in percent.
const MEMORY_PERCENT_MAX: u64 = 80;

/// What is found; nothing for a server that is alone.
pub(super) fn look(
    sharing: Option<&Sharing>,
    data: &Path,
    (is_running, said): (bool, Option<&str>),
) -> Option<Verdict> {
    let Some(sharing) = sharing else {
        let redis = said?;
        return Some(Err(format!(
            "the server shares its log in {redis}; give the same --redis and --node here (CHAT_SERVER_REDIS and \
             CHAT_SERVER_NODE) to look at it"
        )));
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ask = || runtime.map_err(words).and_then(|runtime| runtime.block_on(ask(sharing)));
    let seen = compared(|| applied(data), ask);
    Some(seen.and_then(|(applied, standing)| judge(sharing, &standing, (applied, is_running))))
}

/// How far the file of this server is and how it stands with Redis, in this order: what a server that runs has read by
/// then is in the log, and what comes to the log afterwards makes it longer.
fn compared<A, S>(
    applied: impl FnOnce() -> Result<A, String>,
    ask: impl FnOnce() -> Result<S, String>,
) -> Result<(A, S), String> {
    let applied = applied()?;
    Ok((applied, ask()?))
}

async fn ask(sharing: &Sharing) -> Result<Standing, String> {
    let away = |error: String| {
        format!("the Redis at {} cannot be used: {error}; see whether it runs", sharing.redis)
    };
    let place = Place::new(sharing.redis.secret(), sharing.cluster.as_str());
    let place = place.map_err(|error| away(error.to_string()))?;
    let standing = place.standing(cluster::number(sharing.node.as_str())).await;
    standing.map_err(|error| away(error.to_string()))
}

/// The last turn that the file of this server has, if it follows a log.
fn applied(data: &Path) -> Result<Option<u64>, String> {
    let path = data.join(DATABASE_FILE);
    if !path.try_exists().map_err(words)? {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let read = || -> rusqlite::Result<Option<i64>> {
        let connection = Connection::open_with_flags(&path, flags)?;
        let known = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'shared'";
        if !connection.prepare(known)?.exists([])? {
            return Ok(None);
        }
        connection.query_row("SELECT turn FROM shared", [], |row| row.get(0)).optional()
    };
    Ok(read().map_err(words)?.and_then(|turn| u64::try_from(turn).ok()))
}

fn judge(
    sharing: &Sharing,
    standing: &Standing,
    (applied, is_running): (Option<u64>, bool),
) -> Verdict {
    let Sharing { redis, node, cluster, ack, .. } = sharing;
    let Standing { promise, turn, has_lease, memory: (used, most) } = standing;
    if promise.level < *ack {
        return Err(format!(
            "an ACK would promise {}, and --redis-ack {ack} is asked for: Redis lacks {}",
            promise.level,
            promise.lacks.join(", ")
        ));
    }
    let end = match (turn, applied) {
        (None, None) => return Ok(format!("{redis} answers; there is no log of {cluster} yet")),
        (None, Some(_)) => {
            return Err(format!(
                "{redis} has no log of {cluster}, and this server follows one: it was emptied"
            ));
        }
        (Some(turn), _) => *turn,
    };
    let applied = applied.unwrap_or(0);
    if applied > end {
        return Err(format!(
            "the log in {redis} ends at turn {end}, and this server has read up to {applied}: Redis has lost the rest"
        ));
    }
    let behind = end - applied;
    if is_running && !has_lease {
        return Err(format!(
            "{node} runs, and the others do not see it: it has no lease in {redis}"
        ));
    }
    if is_running && behind > BEHIND_MAX {
        return Err(format!(
            "{node} is {behind} turns behind the log; its disk or its processor is too slow"
        ));
    }
    if *most > 0 && used.saturating_mul(100) / most > MEMORY_PERCENT_MAX {
        return Err(format!(
            "Redis has {used} of {most} bytes that it may have in memory; raise maxmemory"
        ));
    }
    let lease = if *has_lease { "has its lease" } else { "does not run" };
    Ok(format!(
        "{redis} answers, and an ACK promises {}; the log of {cluster} ends at turn {end}, {node} {lease} and is {behind} \
         turns behind",
        promise.level
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LOG_KEEP_DEFAULT;
    use crate::order::redis::level::{AckLevel, Promise};

    fn sharing() -> Sharing {
        Sharing {
            redis: "redis://:s3cret@db:6379".parse().unwrap(),
            node: "n1".parse().unwrap(),
            cluster: "chat".parse().unwrap(),
            key: "cluster.key".into(),
            is_new: false,
            changes_settings: false,
            salvage: None,
            log_keep: LOG_KEEP_DEFAULT,
            log_max: None,
            becomes_host: false,
            ack: AckLevel::Disk,
        }
    }

    fn standing() -> Standing {
        let promise = Promise { level: AckLevel::Disk, lacks: Vec::new() };
        Standing { promise, turn: Some(500), has_lease: true, memory: (10, 0) }
    }

    /// Goal: a busy server that is well is not told that Redis has lost something. Method: the log grows with each look,
    /// and the server reads along. Before, Redis was asked first, and the server was further by the time its file was read.
    #[test]
    fn a_server_that_writes_while_it_is_looked_at_is_well() {
        let turn = std::cell::Cell::new(500);
        let goes_on = || {
            turn.set(turn.get() + 1);
            turn.get()
        };
        let ask = || Ok(Standing { turn: Some(goes_on()), ..standing() });
        let (applied, standing) = compared(|| Ok(Some(goes_on())), ask).unwrap();
        judge(&sharing(), &standing, (applied, true)).unwrap();
    }

    #[test]
    fn what_is_wrong_with_redis_is_said_in_words() {
        let ok = judge(&sharing(), &standing(), (Some(498), true)).unwrap();
        assert!(ok.contains("ends at turn 500, n1 has its lease and is 2 turns behind"), "{ok}");
        assert!(!ok.contains("s3cret"), "{ok}");
        let weak = Promise { level: AckLevel::Second, lacks: vec!["appendfsync always"] };
        for (standing, at, part) in [
            (Standing { promise: weak, ..standing() }, (Some(1), true), "appendfsync always"),
            (Standing { turn: None, ..standing() }, (Some(1), true), "was emptied"),
            (standing(), (Some(501), true), "has lost the rest"),
            (Standing { has_lease: false, ..standing() }, (Some(500), true), "has no lease"),
            (Standing { turn: Some(9_000), ..standing() }, (Some(500), true), "8500 turns behind"),
            (Standing { memory: (90, 100), ..standing() }, (Some(500), true), "raise maxmemory"),
        ] {
            let said = judge(&sharing(), &standing, at).unwrap_err();
            assert!(said.contains(part), "{said}");
        }
        let stopped = Standing { has_lease: false, ..standing() };
        assert!(judge(&sharing(), &stopped, (Some(1), false)).unwrap().contains("does not run"));
        let fresh = Standing { turn: None, ..standing() };
        assert!(judge(&sharing(), &fresh, (None, false)).is_ok());
    }
}
