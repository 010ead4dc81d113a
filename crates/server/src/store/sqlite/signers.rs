//! Signing keys of the past: the first bundle that published each of them, for as long as a link or a
//! kept frame may need it (rule R40).

use chat_protocol::{id::KeyId, keys::Bundle};
use rusqlite::{Connection, OptionalExtension, params};

use crate::store::AccountId;

/// A table that came after the schema. Its absence is no other version: who does not know it has no
/// use for it.
const SIGNERS: &str = "CREATE TABLE IF NOT EXISTS signers (
  account INTEGER NOT NULL, kid BLOB NOT NULL, bundle BLOB NOT NULL,
  PRIMARY KEY (account, kid)) STRICT, WITHOUT ROWID;";

/// Makes the table in a file that has none.
pub(super) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(SIGNERS)
}

/// Keeps a bundle for each signing key that was in none before.
pub(super) fn keep(
    connection: &Connection,
    account: AccountId,
    bundle: &Bundle,
) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO signers (account, kid, bundle) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?;
    for key in &bundle.header().sk {
        insert.execute(params![account.0, key.kid.as_bytes(), &bundle.bytes()[..]])?;
    }
    Ok(())
}

/// The first bundle with a signing key.
pub(super) fn find(
    connection: &Connection,
    account: AccountId,
    kid: &KeyId,
) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut select =
        connection.prepare_cached("SELECT bundle FROM signers WHERE account = ?1 AND kid = ?2")?;
    select.query_row(params![account.0, kid.as_bytes()], |row| row.get(0)).optional()
}
