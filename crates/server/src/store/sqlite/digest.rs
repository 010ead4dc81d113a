//! What everything in a database comes to: equal for servers that follow one log, and before and after a move.

use std::path::Path;

use chat_protocol::{crypto::sha256, id::Digest};
use rusqlite::{Connection, OptionalExtension as _, types::ValueRef};

use super::turns::OF_SEVERAL;
use crate::store::OpenError;

/// Columns that say where something lies, and not what it is: a move changes them, and nothing else.
const PLACES: [(&str, &str); 1] = [("copies", "node")];

/// What a database holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The last turn of a log that is in it, and what everything up to there came to, if it follows one.
    pub turn: Option<(u64, Digest)>,
    /// Rows by their table.
    pub rows: Vec<(String, u64)>,
    /// SHA-256 over all of them.
    pub digest: Digest,
}

/// Reads all of the database in `folder`, as it is at one moment.
pub fn contents(folder: &Path) -> Result<Contents, OpenError> {
    super::of_file(folder, |file| read(&super::reader(file)?))
}

/// The last turn of a log that is in the database in `folder`.
pub fn last_turn(folder: &Path) -> Result<u64, OpenError> {
    super::of_file(folder, |file| {
        let connection = super::reader(file)?;
        connection.query_row("SELECT turn FROM shared", [], |row| Ok(super::from_sql(row.get(0)?)))
    })
}

fn read(connection: &Connection) -> rusqlite::Result<Contents> {
    let moment = connection.unchecked_transaction()?;
    let mut select =
        moment.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")?;
    let tables: Vec<String> =
        select.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let follows = tables.iter().any(|table| table == "turns");
    let turn = if follows {
        let asked = "SELECT turn, chain FROM turns ORDER BY turn DESC LIMIT 1";
        let row = |row: &rusqlite::Row<'_>| Ok((super::from_sql(row.get(0)?), Digest(row.get(1)?)));
        moment.query_row(asked, [], row).optional()?
    } else {
        None
    };
    let (mut rows, mut digests) = (Vec::new(), Vec::new());
    for table in tables {
        if OF_SEVERAL.contains(&table.as_str()) || table.starts_with("sqlite_") {
            continue;
        }
        let (number, digest) = of_table(&moment, &table)?;
        // A table that nothing is in says nothing: it may be made at the first use.
        if number > 0 {
            digests.extend(table.as_bytes());
            digests.extend(digest);
            rows.push((table, number));
        }
    }
    Ok(Contents { turn, rows, digest: Digest(sha256(&digests)) })
}

/// How many rows a table has, and what they come to in the order of their columns.
fn of_table(connection: &Connection, table: &str) -> rusqlite::Result<(u64, [u8; 32])> {
    let mut columns = connection.prepare("SELECT name FROM pragma_table_info(?1) ORDER BY cid")?;
    let columns: Vec<String> =
        columns.query_map([table], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let is_what = |column: &&String| !PLACES.contains(&(table, column.as_str()));
    let columns: Vec<String> =
        columns.iter().filter(is_what).map(|name| format!("\"{name}\"")).collect();
    let order: Vec<String> = (1..=columns.len()).map(|column| column.to_string()).collect();
    // The names are from the schema.
    let (columns, order) = (columns.join(", "), order.join(", "));
    let asked = format!("SELECT {columns} FROM \"{table}\" ORDER BY {order}");
    let mut select = connection.prepare(&asked)?;
    let width = select.column_count();
    let mut found = select.query([])?;
    let (mut number, mut digest) = (0, [0; 32]);
    while let Some(row) = found.next()? {
        let mut bytes = digest.to_vec();
        for column in 0..width {
            write(&mut bytes, row.get_ref(column)?);
        }
        digest = sha256(&bytes);
        number += 1;
    }
    Ok((number, digest))
}

fn write(to: &mut Vec<u8>, value: ValueRef<'_>) {
    let mut put = |kind: u8, value: &[u8]| {
        to.push(kind);
        to.extend(u64::try_from(value.len()).unwrap_or(u64::MAX).to_be_bytes());
        to.extend(value);
    };
    match value {
        ValueRef::Null => put(0, &[]),
        ValueRef::Integer(number) => put(1, &number.to_be_bytes()),
        ValueRef::Real(number) => put(2, &number.to_bits().to_be_bytes()),
        ValueRef::Text(text) => put(3, text),
        ValueRef::Blob(blob) => put(4, blob),
    }
}
