//! Who has brought people into a room who have no account.

use chat_protocol::{
    header::{MemberHeader, MemberOperation},
    id::KeyId,
    name::UserName,
};
use rusqlite::{Connection, params};

use super::{Problem, intact};
use crate::store::{AccountId, LogId, NewLink};

/// A table that came after the schema. Its absence is no other version: who does not know it bounds nobody by it.
const BROUGHT: &str = "CREATE TABLE IF NOT EXISTS brought (
  log INTEGER NOT NULL, name TEXT NOT NULL, identity BLOB NOT NULL, account INTEGER NOT NULL,
  PRIMARY KEY (log, name)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS brought_by_name ON brought (name);";

/// Makes the table where it is not there yet.
pub(super) fn make(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(BROUGHT)
}

/// Those of one room.
pub(super) fn of_room(
    connection: &Connection,
    log: LogId,
) -> Result<Vec<(UserName, AccountId)>, Problem> {
    let mut select =
        connection.prepare_cached("SELECT name, account FROM brought WHERE log = ?1")?;
    let rows = select.query_map([log.0], |row| Ok((row.get(0)?, AccountId(row.get(1)?))))?;
    rows.map(|row| {
        let (name, by): (String, AccountId) = row?;
        Ok((intact("name", UserName::new(&name))?, by))
    })
    .collect()
}

/// Notes who has brought somebody in by a link. Any other one about them ends what was noted before.
pub(super) fn follow_link(
    connection: &Connection,
    log: LogId,
    link: &NewLink,
) -> rusqlite::Result<()> {
    let MemberHeader { op, who, ik, .. } = &link.header;
    if *op == MemberOperation::Role {
        return Ok(());
    }
    let mut delete =
        connection.prepare_cached("DELETE FROM brought WHERE log = ?1 AND name = ?2")?;
    delete.execute(params![log.0, who.as_str()])?;
    if let Some(by) = link.brought_by {
        let mut insert = connection.prepare_cached(
            "INSERT INTO brought (log, name, identity, account) VALUES (?1, ?2, ?3, ?4)",
        )?;
        insert.execute(params![log.0, who.as_str(), ik.as_bytes(), by.0])?;
    }
    Ok(())
}

/// Whoever has this name and identity has an account now.
pub(super) fn have_account(
    connection: &Connection,
    name: &UserName,
    identity: &KeyId,
) -> rusqlite::Result<()> {
    let mut delete =
        connection.prepare_cached("DELETE FROM brought WHERE name = ?1 AND identity = ?2")?;
    delete.execute(params![name.as_str(), identity.as_bytes()])?;
    Ok(())
}

/// The name counts for nobody any more.
pub(super) fn forget(connection: &Connection, name: &UserName) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM brought WHERE name = ?1", [name.as_str()])?;
    Ok(())
}
