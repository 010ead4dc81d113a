//! Keys that an account has revoked, by any of its bundles: a newer one that says so no more gives none back (rule R14).
//! The newest bundles alone would say less: whoever has stolen the identity key signs the next one without it.
//!
//! As many are kept as an account may have, in the order in which they come. Of what the newest bundles name beside that,
//! the keys that devices are in use with are kept, too. `router::revoked` has the same rule.

use chat_protocol::{
    id::KeyId,
    keys::{Bundle, BundleHeader, key_id},
};
use rusqlite::{Connection, params};

use crate::{limits::ACCOUNT_REVOKED_MAX, store::AccountId};

/// A table that came after the schema. Its absence is no other version: who does not know it counts what the newest
/// bundles say. A row tells of which identity it is, because who does not know it gives an account another one.
const REVOKED: &str = "CREATE TABLE IF NOT EXISTS revoked (
  account INTEGER NOT NULL, kid BLOB NOT NULL, identity BLOB NOT NULL,
  PRIMARY KEY (account, kid)) STRICT, WITHOUT ROWID;";

/// Makes the table in a file that has none, and adds what bundles say that are kept there: a server that does not know it
/// may have written some.
pub(super) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(REVOKED)?;
    transaction.execute(
        "DELETE FROM revoked \
         WHERE identity <> (SELECT accounts.identity FROM accounts WHERE accounts.id = revoked.account)",
        [],
    )?;
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
        let identity = KeyId(identity);
        if key_id(&header.ik) == identity {
            insert(connection, (AccountId(account), &identity), &header.rev)?;
        }
    }
    let mut select = connection.prepare("SELECT id, identity FROM accounts ORDER BY id")?;
    let accounts = select.query_map([], |row| Ok((AccountId(row.get(0)?), KeyId(row.get(1)?))))?;
    for account in accounts {
        let (account, identity) = account?;
        keep_of_devices(connection, (account, &identity))?;
    }
    Ok(())
}

/// Keeps what a bundle revokes that stands among the devices by now.
pub(super) fn keep(
    connection: &Connection,
    account: AccountId,
    bundle: &Bundle,
) -> rusqlite::Result<()> {
    let identity = bundle.identity();
    insert(connection, (account, &identity), &bundle.header().rev)?;
    keep_of_devices(connection, (account, &identity))
}

/// How many more keys an account may have revoked.
fn room(connection: &Connection, account: AccountId) -> rusqlite::Result<usize> {
    let mut select =
        connection.prepare_cached("SELECT count(*) FROM revoked WHERE account = ?1")?;
    let count: i64 = select.query_row([account.0], |row| row.get(0))?;
    Ok(ACCOUNT_REVOKED_MAX.saturating_sub(usize::try_from(count).unwrap_or(usize::MAX)))
}

/// Keeps keys as far as there is room.
fn insert(
    connection: &Connection,
    account: (AccountId, &KeyId),
    keys: &[KeyId],
) -> rusqlite::Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let mut room = room(connection, account.0)?;
    for kid in keys {
        if room == 0 {
            break;
        }
        room = room.saturating_sub(put(connection, account, kid)?);
    }
    Ok(())
}

/// Keeps one key; says how many came.
fn put(
    connection: &Connection,
    (account, identity): (AccountId, &KeyId),
    kid: &KeyId,
) -> rusqlite::Result<usize> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO revoked (account, kid, identity) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?;
    insert.execute(params![account.0, kid.as_bytes(), identity.as_bytes()])
}

/// Of what the newest bundles of an account name, keeps the keys that devices are in use with. Where there is room all
/// that they name is kept already.
fn keep_of_devices(
    connection: &Connection,
    (account, identity): (AccountId, &KeyId),
) -> rusqlite::Result<()> {
    if room(connection, account)? > 0 {
        return Ok(());
    }
    let mut select = connection.prepare_cached("SELECT bundle FROM devices WHERE account = ?1")?;
    let bundles = select.query_map([account.0], |row| row.get::<_, Vec<u8>>(0))?;
    let bundles: Vec<Vec<u8>> = bundles.collect::<rusqlite::Result<_>>()?;
    let newest: Vec<BundleHeader> =
        bundles.iter().filter_map(|bundle| BundleHeader::peek(bundle)).collect();
    let in_use = newest.iter().filter_map(|header| header.sk.first()).map(|key| &key.kid);
    for kid in in_use.filter(|kid| newest.iter().any(|header| header.rev.contains(kid))) {
        put(connection, (account, identity), kid)?;
    }
    Ok(())
}

/// All that is kept of an account.
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
