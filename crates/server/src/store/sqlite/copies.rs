//! Copies of files: the list of them. The files lie beside the database.

use chat_protocol::{id::Nonce16, name::UserName};
use rusqlite::{Connection, params};

use super::{Outcome, Problem, from_sql, intact, small, to_sql};
use crate::store::{AccountId, CopyChange, CopyRow, Stored};

/// A table that came after the schema. A server that does not know it keeps no copies and has no use
/// for it, so a file with it is no other version.
const COPIES: &str = "CREATE TABLE IF NOT EXISTS copies (
  account INTEGER NOT NULL, tid BLOB NOT NULL, chunks INTEGER NOT NULL, size INTEGER NOT NULL,
  until INTEGER NOT NULL, PRIMARY KEY (account, tid)) STRICT, WITHOUT ROWID;";

/// Where copies lie of a server that is alone. No server among several has this number.
const ALONE: u32 = 0;

/// Makes the table where it is not there yet, and the column that came after it.
pub(super) fn make(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(COPIES)?;
    let known = "SELECT count(*) FROM pragma_table_info('copies') WHERE name = 'node'";
    let columns: i64 = connection.query_row(known, [], |row| row.get(0))?;
    if columns == 0 {
        connection
            .execute_batch("ALTER TABLE copies ADD COLUMN node INTEGER NOT NULL DEFAULT 0")?;
    }
    Ok(())
}

/// Copies of a server that was alone lie at this one from now on.
pub(super) fn bring_in(connection: &Connection, node: u32) -> rusqlite::Result<()> {
    make(connection)?;
    connection.execute("UPDATE copies SET node = ?1", [node])?;
    Ok(())
}

/// Those of this server stay with it when it is alone. The others lie on disks that it does not reach.
pub(super) fn take_out(connection: &Connection, node: u32) -> rusqlite::Result<()> {
    make(connection)?;
    connection.execute("DELETE FROM copies WHERE node <> ?1", [node])?;
    connection.execute("UPDATE copies SET node = ?1", [ALONE])?;
    Ok(())
}

/// Every row.
pub(super) fn all(connection: &Connection) -> Result<Vec<CopyRow>, Problem> {
    let mut select = connection.prepare(
        "SELECT account, name, tid, chunks, size, until, node FROM copies \
         JOIN accounts ON accounts.id = account",
    )?;
    let rows = select.query_map([], |row| {
        let (account, name, tid): (i64, String, [u8; 16]) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (chunks, size, until): (i64, i64, i64) = (row.get(3)?, row.get(4)?, row.get(5)?);
        Ok((account, name, tid, chunks, size, until, row.get::<_, u32>(6)?))
    })?;
    let mut copies = Vec::new();
    for row in rows {
        let (account, name, tid, chunks, size, until, node) = row?;
        copies.push(CopyRow {
            account: AccountId(account),
            owner: intact("name", UserName::new(&name))?,
            tid: Nonce16(tid),
            chunks: small(chunks),
            size: from_sql(size),
            until: from_sql(until),
            node,
        });
    }
    Ok(copies)
}

/// Makes one change.
pub(super) fn change(connection: &Connection, change: &CopyChange) -> Outcome {
    match change {
        CopyChange::Keep(row) => {
            let mut insert = connection.prepare_cached(
                "INSERT OR REPLACE INTO copies (account, tid, chunks, size, until, node) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            let (size, until) = (to_sql(row.size), to_sql(row.until));
            let (account, tid) = (row.account.0, row.tid.as_bytes());
            insert.execute(params![account, tid, row.chunks, size, until, row.node])?;
        }
        CopyChange::Remove(rows) => {
            let mut delete =
                connection.prepare_cached("DELETE FROM copies WHERE account = ?1 AND tid = ?2")?;
            for (account, tid) in rows {
                delete.execute(params![account.0, tid.as_bytes()])?;
            }
        }
    }
    Ok(Ok(Stored::Done))
}
