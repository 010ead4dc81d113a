//! The operator's decisions: what accounts may do, closed rooms, bans and codes.

use chat_protocol::{
    header::{MemberHeader, MemberOperation},
    id::Digest,
    name::{ConversationId, RoomName, UserName},
};
use rusqlite::{Connection, OptionalExtension, params};

use super::{Outcome, Problem, brought, from_sql, intact, small, to_sql};
use crate::{
    limits::ERASE_STEP_MESSAGES_MAX,
    store::{
        AccountId, Conflict, DeviceId, Invite, LogId, NewErase, NewOrder, OperatorRows, PutOut,
        ResetCode, Standing, Stored,
    },
};

/// Tables that came after the schema.
///
/// - `put_out`: of the lobby, until they join again; without a time until that is taken back.
/// - `nobodies`: names that were deleted while nobody had an account of them.
/// - `standings`: 1 disabled, 2 deleted and its mailbox still to be erased, 3 deleted.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS standings (
  account INTEGER PRIMARY KEY, standing INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS nobodies (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS closed_rooms (log INTEGER PRIMARY KEY) STRICT;
CREATE TABLE IF NOT EXISTS bans (what TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS invites (
  digest BLOB PRIMARY KEY, uses INTEGER NOT NULL, until_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS resets (
  account INTEGER PRIMARY KEY, digest BLOB NOT NULL, until_ms INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS moderators (account INTEGER PRIMARY KEY) STRICT;
CREATE TABLE IF NOT EXISTS put_out (
  account INTEGER PRIMARY KEY, moderator TEXT NOT NULL, until_ms INTEGER) STRICT;
";

const DISABLED: i64 = 1;
const TO_ERASE: i64 = 2;
const DELETED: i64 = 3;

/// Makes the tables in a file that has none.
pub(super) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(TABLES)
}

/// Everything that was decided.
pub(super) fn read(connection: &Connection) -> Result<OperatorRows, Problem> {
    let mut rows = OperatorRows::default();
    let mut select = connection.prepare("SELECT account, standing FROM standings")?;
    let standings = select.query_map([], |row| Ok((AccountId(row.get(0)?), row.get(1)?)))?;
    for standing in standings {
        let (account, number): (_, i64) = standing?;
        let standing = if number == DISABLED { Standing::Disabled } else { Standing::Deleted };
        rows.standings.push((account, standing));
        if number == TO_ERASE {
            rows.to_erase.push(account);
        }
    }
    let mut select = connection.prepare("SELECT name FROM nobodies")?;
    let names = select.query_map([], |row| row.get::<_, String>(0))?;
    let names = names.map(|name| intact("name", UserName::new(&name?)));
    rows.nobodies = names.collect::<Result<_, _>>()?;
    let mut select = connection.prepare("SELECT log FROM closed_rooms")?;
    let logs = select.query_map([], |row| row.get(0).map(LogId))?;
    rows.closed_rooms = logs.collect::<Result<_, _>>()?;
    let mut select = connection.prepare("SELECT what FROM bans")?;
    let bans: Vec<String> = select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for what in bans {
        rows.bans.push(intact("ban", what.parse())?);
    }
    let mut select = connection.prepare("SELECT digest, uses, until_ms FROM invites")?;
    let invites = select.query_map([], |row| {
        let (uses, until_ms): (i64, i64) = (row.get(1)?, row.get(2)?);
        let digest = Digest(row.get(0)?);
        Ok(Invite { digest, uses: small(uses), until_ms: from_sql(until_ms) })
    })?;
    rows.invites = invites.collect::<Result<_, _>>()?;
    read_lobby(connection, &mut rows)?;
    Ok(rows)
}

fn read_lobby(connection: &Connection, rows: &mut OperatorRows) -> Result<(), Problem> {
    let mut select = connection.prepare("SELECT account FROM moderators")?;
    let accounts = select.query_map([], |row| row.get(0).map(AccountId))?;
    rows.moderators = accounts.collect::<Result<_, _>>()?;
    let mut select = connection.prepare("SELECT account, moderator, until_ms FROM put_out")?;
    let found = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    for row in found {
        let (who, by, until_ms): (i64, String, Option<i64>) = row?;
        let by = intact("moderator", UserName::new(&by))?;
        rows.put_out.push(PutOut { who: AccountId(who), by, until_ms: until_ms.map(from_sql) });
    }
    Ok(())
}

/// Keeps one decision.
pub(super) fn order(connection: &Connection, order: &NewOrder) -> Outcome {
    match order {
        NewOrder::Standing { accounts, names, standing } => {
            for account in accounts {
                stand(connection, *account, *standing)?;
            }
            for name in names {
                let insert = "INSERT OR IGNORE INTO nobodies (name) VALUES (?1)";
                connection.execute(insert, [name.as_str()])?;
                brought::forget(connection, name)?;
            }
        }
        NewOrder::CloseRoom(log) => {
            connection.execute("INSERT OR IGNORE INTO closed_rooms (log) VALUES (?1)", [log.0])?;
            // An offer to a room has the room's name as its audience.
            connection.execute(
                "DELETE FROM offers WHERE audience = (SELECT cid FROM conversations WHERE id = ?1)",
                [log.0],
            )?;
            connection.execute("DELETE FROM topics WHERE log = ?1", [log.0])?;
        }
        NewOrder::Ban(what) => {
            let what = what.to_string();
            connection.execute("INSERT OR IGNORE INTO bans (what) VALUES (?1)", [what])?;
        }
        NewOrder::Unban(what) => {
            connection.execute("DELETE FROM bans WHERE what = ?1", [what.to_string()])?;
        }
        NewOrder::Invite(invite) => {
            let Invite { digest, uses, until_ms } = invite;
            connection.execute(
                "INSERT OR REPLACE INTO invites (digest, uses, until_ms) VALUES (?1, ?2, ?3)",
                params![digest.as_bytes(), uses, to_sql(*until_ms)],
            )?;
        }
        NewOrder::Reset { account, code: ResetCode { digest, until_ms } } => {
            connection.execute(
                "INSERT OR REPLACE INTO resets (account, digest, until_ms) VALUES (?1, ?2, ?3)",
                params![account.0, digest.as_bytes(), to_sql(*until_ms)],
            )?;
        }
        NewOrder::Moderator { account, is_one: true } => {
            let insert = "INSERT OR IGNORE INTO moderators (account) VALUES (?1)";
            connection.execute(insert, [account.0])?;
        }
        NewOrder::Moderator { account, is_one: false } => {
            connection.execute("DELETE FROM moderators WHERE account = ?1", [account.0])?;
        }
        NewOrder::PutOut(PutOut { who, by, until_ms }) => {
            connection.execute(
                "INSERT OR REPLACE INTO put_out (account, moderator, until_ms) VALUES (?1, ?2, ?3)",
                params![who.0, by.as_str(), until_ms.map(to_sql)],
            )?;
        }
        NewOrder::LetIn { who, .. } => {
            connection.execute("UPDATE put_out SET until_ms = 0 WHERE account = ?1", [who.0])?;
        }
        NewOrder::Announce(_) => {}
    }
    Ok(Ok(Stored::Done))
}

fn stand(connection: &Connection, account: AccountId, standing: Standing) -> rusqlite::Result<()> {
    let number = match standing {
        Standing::Active => {
            connection.execute("DELETE FROM standings WHERE account = ?1", [account.0])?;
            return Ok(());
        }
        Standing::Disabled => DISABLED,
        Standing::Deleted => {
            connection.execute(
                "UPDATE accounts SET password = NULL, vault = NULL WHERE id = ?1",
                [account.0],
            )?;
            connection.execute("DELETE FROM offers WHERE owner = ?1", [account.0])?;
            connection.execute("DELETE FROM resets WHERE account = ?1", [account.0])?;
            TO_ERASE
        }
    };
    let values = [account.0, number];
    connection
        .execute("INSERT OR REPLACE INTO standings (account, standing) VALUES (?1, ?2)", values)?;
    Ok(())
}

/// Whether a link brings somebody back who was put out of the lobby. That they were is over with it. One by
/// another identity under their name brings nobody back.
pub(super) fn comes_back(connection: &Connection, link: &MemberHeader) -> rusqlite::Result<bool> {
    let is_meant =
        link.op == MemberOperation::Join && link.cid == ConversationId::room(&RoomName::lobby());
    if !is_meant {
        return Ok(false);
    }
    let mut delete = connection.prepare_cached(
        "DELETE FROM put_out \
         WHERE account = (SELECT id FROM accounts WHERE name = ?1 AND identity = ?2)",
    )?;
    Ok(delete.execute(params![link.who.as_str(), link.ik.as_bytes()])? > 0)
}

/// Somebody has an account of this name now: it is not deleted any more.
pub(super) fn is_somebody(connection: &Connection, name: &UserName) -> rusqlite::Result<()> {
    let mut delete = connection.prepare_cached("DELETE FROM nobodies WHERE name = ?1")?;
    delete.execute([name.as_str()])?;
    Ok(())
}

/// Takes one use from a code, or says that there is none.
pub(super) fn use_invite(
    connection: &Connection,
    digest: &Digest,
) -> rusqlite::Result<Result<(), Conflict>> {
    let mut update = connection
        .prepare_cached("UPDATE invites SET uses = uses - 1 WHERE digest = ?1 AND uses > 0")?;
    let used = update.execute([digest.as_bytes()])?;
    Ok(if used == 1 { Ok(()) } else { Err(Conflict::Missing { is_epoch_known: false }) })
}

/// The code that lets another identity into an account.
pub(super) fn reset_code(
    connection: &Connection,
    account: AccountId,
) -> rusqlite::Result<Option<ResetCode>> {
    let mut select =
        connection.prepare_cached("SELECT digest, until_ms FROM resets WHERE account = ?1")?;
    let code = select.query_row([account.0], |row| {
        Ok(ResetCode { digest: Digest(row.get(0)?), until_ms: from_sql(row.get(1)?) })
    });
    code.optional()
}

/// Uses the code of an account up. `false`: there is no such code.
pub(super) fn use_reset(
    connection: &Connection,
    account: AccountId,
    digest: &Digest,
) -> rusqlite::Result<bool> {
    let used = connection.execute(
        "DELETE FROM resets WHERE account = ?1 AND digest = ?2",
        params![account.0, digest.as_bytes()],
    )?;
    Ok(used == 1)
}

/// Takes away what belonged to the identity of before, now that an account has this device of another
/// one. The bundles that its frames and links are checked with stay.
pub(super) fn forget_identity(
    connection: &Connection,
    account: AccountId,
    device: DeviceId,
) -> rusqlite::Result<()> {
    let old = [account.0, device.0];
    connection.execute(
        "DELETE FROM cursors WHERE device IN \
         (SELECT id FROM devices WHERE account = ?1 AND id <> ?2)",
        old,
    )?;
    connection.execute("DELETE FROM devices WHERE account = ?1 AND id <> ?2", old)?;
    connection.execute("DELETE FROM offers WHERE owner = ?1", [account.0])?;
    Ok(())
}

/// Empties at most a step's worth of frames. The rows stay: their ids and counters still say what was
/// sent, so nothing that was answered is answered otherwise. The plus takes the column's type away, as
/// where logs are read.
pub(super) fn erase(connection: &Connection, step: &NewErase) -> Outcome {
    let Some(log) = step.log else {
        let values = [step.account.0, DELETED];
        connection.execute("UPDATE standings SET standing = ?2 WHERE account = ?1", values)?;
        return Ok(Ok(Stored::Erased(None)));
    };
    let mut select = connection.prepare_cached(
        "SELECT position, sender FROM segments CROSS JOIN entries INDEXED BY entries_by_log \
         ON position >> 12 = +segment AND entries.log = segments.log \
         WHERE segments.log = ?1 AND segment >= ?2 >> 12 AND position > ?2 AND kind < 2 \
         ORDER BY segment, position LIMIT ?3",
    )?;
    let limit = i64::try_from(ERASE_STEP_MESSAGES_MAX).unwrap_or(i64::MAX);
    let values = params![log.0, to_sql(step.after), limit];
    let rows = select.query_map(values, |row| Ok((row.get(0)?, row.get(1)?)))?;
    let rows: Vec<(i64, i64)> = rows.collect::<Result<_, _>>()?;
    let mut empty =
        connection.prepare_cached("UPDATE entries SET frame = x'' WHERE position = ?1")?;
    // What the account itself has said to others is theirs to fetch.
    for (position, _) in rows.iter().filter(|(_, sender)| *sender != step.account.0 || log.0 < 0) {
        empty.execute([position])?;
    }
    let is_full = rows.len() >= ERASE_STEP_MESSAGES_MAX;
    let last = rows.last().map(|(position, _)| from_sql(*position));
    Ok(Ok(Stored::Erased(last.filter(|_| is_full))))
}
