//! One step of deleting what a room keeps no longer, in the transaction of a batch.
//!
//! Messages go in the order of their positions, up to the first that is young enough: so one
//! position says how far a log is gone. The pages they leave are used again by what comes later; the
//! file does not shrink.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, params};

use super::SEGMENT_BITS;
use crate::{
    limits::{DROP_STEP_MESSAGES_MAX, DROP_STEP_WRAPS_MAX, EPOCH_GRACE},
    store::{
        Dropped, LogId, NewDrop,
        sqlite::{from_sql, to_sql},
    },
};

/// Positions in one row of `dropped_from` have this many low bits.
pub(in crate::store::sqlite) const BUCKET_BITS: u32 = 6;

/// How far a log is gone.
#[derive(Default)]
struct Gone {
    position: i64,
    before_ms: i64,
    /// Epochs below this generation have no key any more.
    g: i64,
}

/// A message that may go.
struct Old {
    position: i64,
    sender: i64,
    epoch: i64,
    line: i64,
    n: i64,
    hub_ms: i64,
}

/// Deletes at most a step's worth.
pub(super) fn step(
    connection: &Connection,
    step: &NewDrop,
    newest_segment: i64,
) -> rusqlite::Result<Dropped> {
    let mut gone = gone(connection, step.log)?;
    let (was_at, was_g) = (gone.position, gone.g);
    let (old, next_ms) = old_messages(connection, step, gone.position)?;
    let mut segments: BTreeSet<i64> =
        old.iter().map(|message| message.position >> SEGMENT_BITS).collect();
    remember(connection, step.log, &old)?;
    let mut delete = connection.prepare_cached("DELETE FROM entries WHERE position = ?1")?;
    for message in &old {
        delete.execute([message.position])?;
    }
    if let Some(last) = old.last() {
        gone.position = last.position;
        gone.before_ms = last.hub_ms.saturating_add(1);
    }
    let is_full = old.len() >= DROP_STEP_MESSAGES_MAX;
    let mut dropped = Dropped {
        messages: u64::try_from(old.len()).unwrap_or(u64::MAX),
        is_more: is_full,
        oldest_ms: next_ms.map(from_sql),
    };
    if !is_full {
        drop_keys(connection, step, &mut gone, &mut dropped, &mut segments)?;
    }
    if gone.position > was_at || gone.g > was_g {
        keep_gone(connection, step, &gone)?;
    }
    let mut empty = connection.prepare_cached(
        "DELETE FROM segments WHERE log = ?1 AND segment = ?2 AND NOT EXISTS ( \
         SELECT 1 FROM entries INDEXED BY entries_by_log WHERE position >> 12 = ?2 AND log = ?1)",
    )?;
    for segment in segments.into_iter().filter(|segment| *segment < newest_segment) {
        empty.execute([step.log.0, segment])?;
    }
    Ok(dropped)
}

fn gone(connection: &Connection, log: LogId) -> rusqlite::Result<Gone> {
    let mut select =
        connection.prepare_cached("SELECT position, before_ms, g FROM dropped WHERE log = ?1")?;
    let gone = select.query_row([log.0], |row| {
        Ok(Gone { position: row.get(0)?, before_ms: row.get(1)?, g: row.get(2)? })
    });
    Ok(gone.optional()?.unwrap_or_default())
}

fn keep_gone(connection: &Connection, step: &NewDrop, gone: &Gone) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO dropped (log, position, before_ms, keep_ms, g) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (log) DO UPDATE SET position = excluded.position, \
         before_ms = excluded.before_ms, keep_ms = excluded.keep_ms, g = excluded.g",
    )?;
    let Gone { position, before_ms, g } = gone;
    insert.execute(params![step.log.0, position, before_ms, to_sql(step.keep_ms), g])?;
    Ok(())
}

/// The first messages behind a position, as far as they are old enough, and when the first that is
/// not was accepted. The plus takes the column's type away, as where logs are read.
fn old_messages(
    connection: &Connection,
    step: &NewDrop,
    after: i64,
) -> rusqlite::Result<(Vec<Old>, Option<i64>)> {
    let mut select = connection.prepare_cached(
        "SELECT position, sender, epoch, line, n, hub_ms \
         FROM segments CROSS JOIN entries INDEXED BY entries_by_log \
         ON position >> 12 = +segment AND entries.log = segments.log \
         WHERE segments.log = ?1 AND segment >= ?2 >> 12 AND position > ?2 AND kind = 0 \
         ORDER BY segment, position",
    )?;
    let mut rows = select.query(params![step.log.0, after])?;
    let mut old = Vec::new();
    while old.len() < DROP_STEP_MESSAGES_MAX {
        let Some(row) = rows.next()? else { return Ok((old, None)) };
        let message = Old {
            position: row.get(0)?,
            sender: row.get(1)?,
            epoch: row.get(2)?,
            line: row.get(3)?,
            n: row.get(4)?,
            hub_ms: row.get(5)?,
        };
        if message.hub_ms >= to_sql(step.before_ms) {
            return Ok((old, Some(message.hub_ms)));
        }
        old.push(message);
    }
    Ok((old, None))
}

/// Notes what is needed of messages that go: where one was by whom, and the counters in use, which
/// must not be used again.
fn remember(connection: &Connection, log: LogId, old: &[Old]) -> rusqlite::Result<()> {
    let mut bits: BTreeMap<(i64, i64), u64> = BTreeMap::new();
    let mut counters: BTreeMap<(i64, i64), i64> = BTreeMap::new();
    for message in old {
        let bit = 1 << (message.position & ((1 << BUCKET_BITS) - 1));
        *bits.entry((message.position >> BUCKET_BITS, message.sender)).or_default() |= bit;
        let counter = counters.entry((message.epoch, message.line)).or_default();
        *counter = message.n.max(*counter);
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO dropped_from (log, bucket, sender, bits) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (log, bucket, sender) DO UPDATE SET bits = bits | excluded.bits",
    )?;
    for ((bucket, sender), bits) in bits {
        insert.execute(params![log.0, bucket, sender, bits.cast_signed()])?;
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO dropped_counters (epoch, line, n) VALUES (?1, ?2, ?3) \
         ON CONFLICT (epoch, line) DO UPDATE SET n = max(n, excluded.n)",
    )?;
    for ((epoch, line), n) in counters {
        insert.execute(params![epoch, line, n])?;
    }
    Ok(())
}

/// Deletes the keys of epochs that no kept message needs (rule R12): those whose successor is old
/// enough that nothing was taken in them since. Their rows stay without their lists, so that a late
/// resend is told that its epoch was one.
fn drop_keys(
    connection: &Connection,
    step: &NewDrop,
    gone: &mut Gone,
    dropped: &mut Dropped,
    segments: &mut BTreeSet<i64>,
) -> rusqlite::Result<()> {
    let grace_ms = i64::try_from(EPOCH_GRACE.as_millis()).unwrap_or(i64::MAX);
    let mut select = connection.prepare_cached(
        "SELECT epochs.id, epochs.position, (SELECT hub_ms FROM epochs AS later \
         JOIN entries ON entries.position = later.position \
         WHERE later.log = ?1 AND later.g = ?2 + 1) FROM epochs WHERE log = ?1 AND g = ?2",
    )?;
    let mut room = DROP_STEP_WRAPS_MAX;
    loop {
        let row = select.query_row(params![step.log.0, gone.g], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<i64>>(2)?))
        });
        let Some((epoch, position, Some(replaced_ms))) = row.optional()? else { return Ok(()) };
        if step.current.is_some_and(|current| current.0 == epoch) {
            return Ok(());
        }
        let over_ms = replaced_ms.saturating_add(grace_ms);
        if over_ms >= to_sql(step.before_ms) {
            let over_ms = from_sql(over_ms);
            dropped.oldest_ms = Some(dropped.oldest_ms.map_or(over_ms, |at| at.min(over_ms)));
            return Ok(());
        }
        let mut delete = connection.prepare_cached(
            "DELETE FROM wraps WHERE epoch = ?1 AND line IN ( \
             SELECT line FROM wraps WHERE epoch = ?1 ORDER BY line LIMIT ?2)",
        )?;
        let limit = i64::try_from(room).unwrap_or(i64::MAX);
        room = room.saturating_sub(delete.execute(params![epoch, limit])?);
        if room == 0 {
            dropped.is_more = true;
            return Ok(());
        }
        for statement in [
            "UPDATE epochs SET members = x'' WHERE id = ?1",
            "DELETE FROM dropped_counters WHERE epoch = ?1",
        ] {
            connection.prepare_cached(statement)?.execute([epoch])?;
        }
        let mut delete = connection.prepare_cached("DELETE FROM entries WHERE position = ?1")?;
        delete.execute([position])?;
        segments.insert(position >> SEGMENT_BITS);
        gone.g = gone.g.saturating_add(1);
    }
}
