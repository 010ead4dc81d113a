//! What a device that was away has missed because its rooms keep messages no longer.

use chat_protocol::name::ConversationId;
use rusqlite::{Connection, OptionalExtension, params};

use crate::store::{
    LogId, PageDropped, PageRequest, ReadError,
    sqlite::{from_sql, intact, to_sql, write::BUCKET_BITS},
};

/// What was dropped of the logs of a request, behind the place asked for in each.
pub(super) fn behind(
    connection: &Connection,
    request: &PageRequest,
) -> Result<Vec<PageDropped>, ReadError> {
    let mut select = connection.prepare_cached(
        "SELECT position, before_ms, keep_ms, cid \
         FROM dropped JOIN conversations ON conversations.id = log \
         WHERE log = ?1 AND position > ?2",
    )?;
    let mut found = Vec::new();
    for (log, after) in &request.logs {
        let counted = request.counted.get(log).copied().unwrap_or(0);
        let after = counted.max(*after).max(request.after);
        let row = select
            .query_row(params![log.0, to_sql(after)], |row| {
                let place = (from_sql(row.get(0)?), from_sql(row.get(1)?), from_sql(row.get(2)?));
                Ok((place, row.get::<_, String>(3)?))
            })
            .optional()?;
        let Some(((position, before_ms, keep_ms), cid)) = row else { continue };
        let cid = intact("conversation", ConversationId::parse(&cid))?;
        let Missed { messages, of_others } = missed(connection, request, *log, after)?;
        if messages > 0 {
            let (log, messages) = (*log, of_others);
            found.push(PageDropped { log, cid, position, before_ms, keep_ms, messages });
        }
    }
    Ok(found)
}

/// What was dropped behind a position.
#[derive(Default)]
struct Missed {
    messages: u64,
    /// Those of them that are not by the user who asks, whose other devices have said the rest.
    of_others: u64,
}

fn missed(
    connection: &Connection,
    request: &PageRequest,
    log: LogId,
    after: u64,
) -> rusqlite::Result<Missed> {
    let mut select = connection.prepare_cached(
        "SELECT bucket, bits, sender <> coalesce((SELECT id FROM accounts WHERE folded = ?3), 0) \
         FROM dropped_from WHERE log = ?1 AND bucket >= ?2",
    )?;
    let first = after >> BUCKET_BITS;
    let values = params![log.0, to_sql(first), request.name.folded()];
    let rows = select.query_map(values, |row| {
        Ok((from_sql(row.get(0)?), row.get::<_, i64>(1)?, row.get::<_, bool>(2)?))
    })?;
    // Of the first row count only the places behind this one; a shift by all 64 leaves nothing.
    let places = (after & ((1 << BUCKET_BITS) - 1)).saturating_add(1);
    let behind = u32::try_from(places).ok().and_then(|places| u64::MAX.checked_shl(places));
    let mut missed = Missed::default();
    for row in rows {
        let (bucket, bits, is_by_other) = row?;
        let mask = if bucket == first { behind.unwrap_or(0) } else { u64::MAX };
        let count = u64::from((bits.cast_unsigned() & mask).count_ones());
        missed.messages = missed.messages.saturating_add(count);
        if is_by_other {
            missed.of_others = missed.of_others.saturating_add(count);
        }
    }
    Ok(missed)
}
