//! What a file keeps of its server as long as it is not known whether the log has all of it, and it reads on: the state
//! before that. What it learns and applies meanwhile would take its place, and nobody could say what only this file has.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{from_sql, to_sql};
use crate::store::Unsure;

/// - `unsure`: one row, or none. As long as there is one, no turn and no batch is dropped from the file. It grows by the turns up
///   to the next opening, which says what this server is.
/// - `unsure_openings`: the openings that were known.
pub(super) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS unsure (
  id INTEGER PRIMARY KEY CHECK (id = 1), turn INTEGER NOT NULL, generation INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS unsure_openings (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
";

/// What was kept. A file that no server has opened since there are these tables does not have them.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<Option<Unsure>> {
    let asked = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'unsure'";
    if !connection.prepare(asked)?.exists([])? {
        return Ok(None);
    }
    let row = |row: &rusqlite::Row<'_>| Ok((from_sql(row.get(0)?), from_sql(row.get(1)?)));
    let found = connection.query_row("SELECT turn, generation FROM unsure", [], row).optional()?;
    let Some((turn, read_from)) = found else { return Ok(None) };
    let mut select = connection.prepare("SELECT name, value FROM unsure_openings ORDER BY name")?;
    let openings = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Some(Unsure { turn, read_from, openings: openings.collect::<Result<_, _>>()? }))
}

/// Keeps this, and nothing else.
pub(super) fn keep(connection: &Connection, unsure: Option<&Unsure>) -> rusqlite::Result<()> {
    connection.execute_batch("DELETE FROM unsure; DELETE FROM unsure_openings;")?;
    let Some(Unsure { turn, read_from, openings }) = unsure else { return Ok(()) };
    connection.execute(
        "INSERT INTO unsure (id, turn, generation) VALUES (1, ?1, ?2)",
        params![to_sql(*turn), to_sql(*read_from)],
    )?;
    for (name, value) in openings {
        let insert = "INSERT INTO unsure_openings (name, value) VALUES (?1, ?2)";
        connection.execute(insert, params![name, value])?;
    }
    Ok(())
}
