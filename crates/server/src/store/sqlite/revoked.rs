//! Keys that an account has revoked, by any of its bundles: a newer one that says so no more gives none back (rule R14).
//! The newest bundles alone would say less: whoever has stolen the identity key signs the next one without it.

use chat_protocol::{
    id::KeyId,
    keys::{Bundle, BundleHeader, key_id},
};
use rusqlite::{Connection, params};

use crate::store::AccountId;

/// A table that came after the schema. Its absence is no other version: who does not know it counts what the newest
/// bundles say.
const REVOKED: &str = "CREATE TABLE revoked (
  account INTEGER NOT NULL, kid BLOB NOT NULL, PRIMARY KEY (account, kid)) STRICT, WITHOUT ROWID;";

/// Makes the table in a file that has none, of all bundles that are kept there.
pub(super) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    let is_there = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'revoked'";
    if connection.prepare(is_there)?.exists([])? {
        return Ok(());
    }
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(REVOKED)?;
    fill(&transaction)?;
    transaction.commit()
}

/// Takes over what the newest bundles of devices say, and the first ones of each key, but for those of an identity of
/// before.
fn fill(connection: &Connection) -> rusqlite::Result<()> {
    let mut select = connection.prepare(
        "SELECT accounts.id, identity, bundle FROM accounts JOIN devices ON account = accounts.id \
         UNION ALL \
         SELECT accounts.id, identity, bundle FROM accounts JOIN signers ON account = accounts.id",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (account, identity, bundle): (i64, [u8; 16], Vec<u8>) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        // Of a bundle that is damaged the start says so where it is needed.
        let Some(header) = BundleHeader::peek(&bundle) else { continue };
        if key_id(&header.ik) == KeyId(identity) {
            insert(connection, AccountId(account), &header.rev)?;
        }
    }
    Ok(())
}

/// Keeps what a bundle revokes.
pub(super) fn keep(
    connection: &Connection,
    account: AccountId,
    bundle: &Bundle,
) -> rusqlite::Result<()> {
    insert(connection, account, &bundle.header().rev)
}

fn insert(connection: &Connection, account: AccountId, keys: &[KeyId]) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO revoked (account, kid) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
    )?;
    for kid in keys {
        insert.execute(params![account.0, kid.as_bytes()])?;
    }
    Ok(())
}

/// All that an account has revoked.
pub(super) fn of_account(
    connection: &Connection,
    account: AccountId,
) -> rusqlite::Result<Vec<KeyId>> {
    let mut select = connection.prepare_cached("SELECT kid FROM revoked WHERE account = ?1")?;
    let keys = select.query_map([account.0], |row| row.get(0).map(KeyId))?;
    keys.collect()
}

/// The account gets another identity, of which nothing is revoked.
pub(super) fn forget(connection: &Connection, account: AccountId) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM revoked WHERE account = ?1", [account.0])?;
    Ok(())
}
