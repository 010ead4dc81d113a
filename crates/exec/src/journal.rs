//! What was asked, started and ended: the memory that makes a command run at most once.
//!
//! One SQLite database, locked for as long as it is open, every commit synced. A command is known by
//! (requester key id, command id) and is forgotten 24 h after its expiry.

mod doors;
mod kept;
mod schema;

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use crate::limits::{
    JOURNAL_COMMANDS_PER_REQUESTER_MAX, KEEP_AFTER_EXPIRY_MS, KEPT_OUTPUTS_MAX, PURGE_EVERY_MS,
};
use crate::order::Order;
use crate::policy::Rate;
use crate::report::{Exit, code};

pub(crate) use kept::Kept;
use schema::SCHEMA;

const SCHEMA_VERSION: i64 = 1;

/// Why the journal cannot be used. Nothing may run then.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be made or read.
    #[error("cannot open the command journal {path}: {source}")]
    Open {
        /// The journal's file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// Another agent has it open.
    #[error(
        "the command journal {path} is in use by another agent; stop that one or give this one its own folder"
    )]
    InUse {
        /// The journal's file.
        path: String,
    },
    /// It was written by a newer version.
    #[error(
        "the command journal has schema {got}, expected at most {SCHEMA_VERSION}; use the newer program"
    )]
    Newer {
        /// The schema found.
        got: i64,
    },
    /// The runtime is shutting down.
    #[error("the program stops")]
    Stopped,
    /// The database refused; usually the disk is full or broken.
    #[error("the command journal failed: {0}")]
    Database(#[from] rusqlite::Error),
}

/// By what a command is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CommandKey {
    pub(crate) requester: String,
    pub(crate) id: [u8; 16],
}

/// The recorded answer for a command that arrives again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    Refused { code: &'static str, reason: String },
    Interrupted,
    Ended { exit: Exit, kept: Kept },
}

/// The answer to the wish to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// It is on disk; the command may run.
    Started,
    /// The rule's rate is used up.
    RateUsedUp,
    /// The requester has too many commands in the journal.
    Full,
    /// The journal has already forgotten commands of that expiry: the clock went back.
    Forgotten,
}

/// The open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    connection: Connection,
    nonce: [u8; 16],
    /// Commands that expired up to here are forgotten.
    forgotten_until_ms: u64,
    purge_due_ms: u64,
}

impl Journal {
    /// Opens or makes it. Commands that were started and have no outcome are interrupted from now on.
    pub(crate) fn open(path: &Path) -> Result<Self, JournalError> {
        prepare_file(path)
            .map_err(|source| JournalError::Open { path: path.display().to_string(), source })?;
        Self::open_database(path).map_err(|error| match error {
            JournalError::Database(rusqlite::Error::SqliteFailure(failure, _))
                if failure.code == rusqlite::ErrorCode::DatabaseBusy =>
            {
                JournalError::InUse { path: path.display().to_string() }
            }
            other => other,
        })
    }

    fn open_database(path: &Path) -> Result<Self, JournalError> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(std::time::Duration::ZERO)?;
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
        let version: i64 =
            transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version > SCHEMA_VERSION {
            return Err(JournalError::Newer { got: version });
        }
        if version == 0 {
            create(&transaction)?;
        }
        transaction
            .execute("UPDATE commands SET state = 'interrupted' WHERE state = 'started'", [])?;
        doors::refuse_held(&transaction)?;
        let nonce =
            transaction.query_row("SELECT value FROM meta WHERE name = 'rb'", [], |row| {
                row.get::<_, [u8; 16]>(0)
            })?;
        let forgotten = transaction
            .query_row("SELECT value FROM meta WHERE name = 'forgotten'", [], |row| row.get(0))
            .optional()?;
        transaction.commit()?;
        let forgotten_until_ms = forgotten.map_or(0, u64::from_be_bytes);
        Ok(Self { connection, nonce, forgotten_until_ms, purge_due_ms: 0 })
    }

    /// Sixteen random bytes as old as this journal: the `rb` of the agent's bundle.
    pub(crate) fn nonce(&self) -> [u8; 16] {
        self.nonce
    }

    /// The recorded answer, if the command is known. What is started and not ended counts as
    /// interrupted: the caller knows which commands are running now.
    pub(crate) fn find(&self, key: &CommandKey) -> Result<Option<Recorded>, JournalError> {
        let found = self.connection.prepare_cached(
            "SELECT state, kind, status, reason, output, output_bytes, output_lost FROM commands
             WHERE requester = ?1 AND id = ?2 AND state != 'held'",
        )?
        .query_row(params![key.requester, key.id], recorded)
        .optional()?;
        Ok(found)
    }

    /// Records durably that the command is about to run, unless it must not.
    pub(crate) fn begin(
        &mut self,
        key: &CommandKey,
        order: &Order,
        (now_ms, expires_at_ms): (u64, u64),
        rule: &str,
        rate: Option<Rate>,
    ) -> Result<Begin, JournalError> {
        self.purge(now_ms)?;
        if expires_at_ms <= self.forgotten_until_ms {
            return Ok(Begin::Forgotten);
        }
        let transaction = immediate(&mut self.connection)?;
        if is_full(&transaction, &key.requester)? {
            return Ok(Begin::Full);
        }
        if let Some(rate) = rate {
            let since_ms = to_sql(now_ms.saturating_sub(rate.window_ms));
            // What started in the future was written under a clock that has been corrected since.
            let count: i64 = transaction.query_row(
                "SELECT count(*) FROM commands WHERE requester = ?1 AND rule = ?2
                 AND started_at_ms > ?3 AND started_at_ms <= ?4",
                params![key.requester, rule, since_ms, to_sql(now_ms)],
                |row| row.get(0),
            )?;
            if from_sql(count) >= rate.commands_max {
                return Ok(Begin::RateUsedUp);
            }
        }
        let begun = transaction.execute(
            "INSERT INTO commands (requester, id, expires_at_ms, state, rule, started_at_ms)
             VALUES (?1, ?2, ?3, 'started', ?4, ?5) ON CONFLICT DO UPDATE
             SET state = 'started', rule = ?4, started_at_ms = ?5 WHERE state = 'held'",
            params![key.requester, key.id, to_sql(expires_at_ms), rule, to_sql(now_ms)],
        )?;
        if begun == 0 {
            // Known, and not as one that waits: it must not start a second time.
            return Err(rusqlite::Error::StatementChangedRows(begun).into());
        }
        doors::close(&transaction, order)?;
        transaction.commit()?;
        Ok(Begin::Started)
    }

    /// Records a refusal, so that the id stays refused when the policy or the rate changes. A
    /// requester whose share of the journal is used up leaves no record; nothing of it can start. With
    /// an order, its number is dealt with.
    pub(crate) fn refuse(
        &mut self,
        key: &CommandKey,
        order: Option<&Order>,
        (now_ms, expires_at_ms): (u64, u64),
        code: &str,
        reason: &str,
    ) -> Result<(), JournalError> {
        self.purge(now_ms)?;
        let transaction = immediate(&mut self.connection)?;
        // What has expired for good is refused for that reason alone and need not be remembered.
        if expires_at_ms > self.forgotten_until_ms && !is_full(&transaction, &key.requester)? {
            transaction.execute(
                "INSERT INTO commands (requester, id, expires_at_ms, state, kind, reason)
                 VALUES (?1, ?2, ?3, 'refused', ?4, ?5) ON CONFLICT DO UPDATE
                 SET state = 'refused', kind = ?4, reason = ?5, expires_at_ms = ?3
                 WHERE state = 'held' OR state = 'cancelled'",
                params![key.requester, key.id, to_sql(expires_at_ms), code, reason],
            )?;
        }
        if let Some(order) = order {
            doors::close(&transaction, order)?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Records that a command is not to start: one that waits is refused; one that has not come is
    /// remembered until then. When that one expires only its sender knows, so `until_ms` is by this machine's
    /// clock, and forgetting it says nothing about what was forgotten of commands.
    pub(crate) fn cancel(
        &mut self,
        key: &CommandKey,
        (now_ms, until_ms): (u64, u64),
        reason: &str,
    ) -> Result<(), JournalError> {
        self.purge(now_ms)?;
        let transaction = immediate(&mut self.connection)?;
        if !is_full(&transaction, &key.requester)? {
            transaction.execute(
                "INSERT INTO commands (requester, id, expires_at_ms, state, kind, reason)
                 VALUES (?1, ?2, ?3, 'cancelled', ?4, ?5) ON CONFLICT DO UPDATE
                 SET state = 'refused', kind = ?4, reason = ?5 WHERE state = 'held'",
                params![key.requester, key.id, to_sql(until_ms), code::CANCELLED, reason],
            )?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Records durably how a started command ended.
    pub(crate) fn finish(
        &mut self,
        key: &CommandKey,
        exit: &Exit,
        kept: &Kept,
    ) -> Result<(), JournalError> {
        let (kind, status, reason) = match exit {
            Exit::Code(status) => ("code", Some(*status), None),
            Exit::Signal(signal) => ("signal", Some(*signal), None),
            Exit::TimedOut => ("timed-out", None, None),
            Exit::CpuTime => ("cpu-time", None, None),
            Exit::Cancelled => ("cancelled", None, None),
            Exit::OutputLimit => ("output-limit", None, None),
            Exit::NotFound => ("not-found", None, None),
            Exit::Failed(why) => ("failed", None, Some(why)),
        };
        let bytes = i64::try_from(kept.bytes).unwrap_or(i64::MAX);
        let transaction = immediate(&mut self.connection)?;
        transaction.execute(
            "UPDATE commands SET state = 'ended', kind = ?3, status = ?4, reason = ?5, output = ?6,
             output_bytes = ?7, output_lost = ?8 WHERE requester = ?1 AND id = ?2 AND state = 'started'",
            params![key.requester, key.id, kind, status, reason, kept.encode(), bytes, to_sql(kept.lost)],
        )?;
        transaction.execute(
            "UPDATE commands SET output = NULL WHERE output IS NOT NULL
             AND position <= (SELECT max(position) FROM commands) - ?1",
            params![to_sql(KEPT_OUTPUTS_MAX)],
        )?;
        transaction.commit()?;
        Ok(())
    }

    /// Forgets commands that expired more than a day ago, and remembers how far it did: up to the last
    /// expiry of what was really forgotten. Under a clock that is days ahead, the time itself would
    /// make commands of the coming days count as forgotten.
    fn purge(&mut self, now_ms: u64) -> Result<(), JournalError> {
        // A clock that was put back does not stop it until the old time comes again.
        if now_ms < self.purge_due_ms && self.purge_due_ms - now_ms <= PURGE_EVERY_MS {
            return Ok(());
        }
        let until_ms = to_sql(now_ms.saturating_sub(KEEP_AFTER_EXPIRY_MS));
        let transaction = immediate(&mut self.connection)?;
        let last: Option<i64> = transaction.query_row(
            "SELECT max(expires_at_ms) FROM commands
             WHERE expires_at_ms <= ?1 AND state != 'cancelled'",
            params![until_ms],
            |row| row.get(0),
        )?;
        let forgotten_ms = last.map_or(0, from_sql).max(self.forgotten_until_ms);
        transaction.execute("DELETE FROM commands WHERE expires_at_ms <= ?1", params![until_ms])?;
        if last.is_some() {
            transaction.execute(
                "INSERT INTO meta VALUES ('forgotten', ?1) ON CONFLICT DO UPDATE SET value = ?1",
                params![forgotten_ms.to_be_bytes()],
            )?;
        }
        doors::purge(&transaction, now_ms)?;
        transaction.commit()?;
        self.forgotten_until_ms = forgotten_ms;
        self.purge_due_ms = now_ms.saturating_add(PURGE_EVERY_MS);
        Ok(())
    }
}

fn immediate(connection: &mut Connection) -> Result<Transaction<'_>, rusqlite::Error> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

/// Makes the file with the right mode before SQLite opens it: its companions inherit the mode.
fn prepare_file(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(|_file| ())
}

fn create(transaction: &Transaction<'_>) -> Result<(), JournalError> {
    let mut nonce = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut nonce))
        .map_err(|source| JournalError::Open { path: "/dev/urandom".to_owned(), source })?;
    transaction.execute_batch(SCHEMA)?;
    transaction.execute("INSERT INTO meta VALUES ('rb', ?1)", params![nonce])?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    Ok(())
}

fn is_full(transaction: &Transaction<'_>, requester: &str) -> Result<bool, rusqlite::Error> {
    let count: i64 = transaction
        .prepare_cached("SELECT count(*) FROM commands WHERE requester = ?1")?
        .query_row(params![requester], |row| row.get(0))?;
    Ok(from_sql(count) >= JOURNAL_COMMANDS_PER_REQUESTER_MAX)
}

fn recorded(row: &Row<'_>) -> Result<Recorded, rusqlite::Error> {
    let state: String = row.get("state")?;
    let kind: Option<String> = row.get("kind")?;
    let kind = kind.unwrap_or_default();
    let reason: Option<String> = row.get("reason")?;
    let reason = reason.unwrap_or_default();
    match state.as_str() {
        "refused" | "cancelled" => {
            return Ok(Recorded::Refused { code: code::refusal(&kind), reason });
        }
        "ended" => {}
        _ => return Ok(Recorded::Interrupted),
    }
    let status: Option<i32> = row.get("status")?;
    let exit = match (kind.as_str(), status) {
        ("code", Some(status)) => Exit::Code(status),
        ("signal", Some(signal)) => Exit::Signal(signal),
        ("timed-out", _) => Exit::TimedOut,
        ("cpu-time", _) => Exit::CpuTime,
        ("cancelled", _) => Exit::Cancelled,
        ("output-limit", _) => Exit::OutputLimit,
        ("not-found", _) => Exit::NotFound,
        ("failed", _) => Exit::Failed(reason),
        _ => return Ok(Recorded::Interrupted),
    };
    let lost = from_sql(row.get("output_lost")?);
    let blob: Option<Vec<u8>> = row.get("output")?;
    let kept = match blob {
        Some(blob) => Kept::decode(&blob, lost),
        None => Kept::nothing_of(lost.saturating_add(from_sql(row.get("output_bytes")?))),
    };
    Ok(Recorded::Ended { exit, kept })
}

/// SQLite has no unsigned integers; a time beyond its range is as far away as any.
fn to_sql(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn from_sql(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests;
