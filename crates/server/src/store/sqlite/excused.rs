//! Whom the epochs of a room may lack, because an admin has removed them in a chain that was lost.

use chat_protocol::{
    header::{MemberHeader, MemberOperation},
    name::UserName,
};
use rusqlite::{Connection, params};

use super::{Outcome, Problem, intact};
use crate::store::{LogId, NewExcuse, Stored};

/// A table that came after the schema. Its absence is no other version: who does not know it has no
/// use for it.
const EXCUSED: &str = "CREATE TABLE IF NOT EXISTS excused (
  log INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY (log, name)) STRICT, WITHOUT ROWID;";

/// Makes the table where it is not there yet.
pub(super) fn make(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(EXCUSED)
}

/// Those of one room.
pub(super) fn of_room(connection: &Connection, log: LogId) -> Result<Vec<UserName>, Problem> {
    let mut select = connection.prepare_cached("SELECT name FROM excused WHERE log = ?1")?;
    let names = select.query_map([log.0], |row| row.get::<_, String>(0))?;
    names.map(|name| intact("name", UserName::new(&name?))).collect()
}

/// Notes one more.
pub(super) fn excuse(connection: &Connection, new: &NewExcuse) -> Outcome {
    let mut insert =
        connection.prepare_cached("INSERT OR IGNORE INTO excused (log, name) VALUES (?1, ?2)")?;
    insert.execute(params![new.log.0, new.who.as_str()])?;
    Ok(Ok(Stored::Done))
}

/// Whom an admin lets in is not excused any more.
pub(super) fn follow_link(
    connection: &Connection,
    log: LogId,
    link: &MemberHeader,
) -> rusqlite::Result<()> {
    if link.op == MemberOperation::Admit {
        let mut delete =
            connection.prepare_cached("DELETE FROM excused WHERE log = ?1 AND name = ?2")?;
        delete.execute(params![log.0, link.who.as_str()])?;
    }
    Ok(())
}
