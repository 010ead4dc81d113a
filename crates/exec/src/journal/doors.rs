//! How far each signing key has come, and what waits for a command before it (rule R34).

use rusqlite::{OptionalExtension, Transaction, params};

use super::{CommandKey, Journal, JournalError, immediate, is_full, to_sql};
use crate::limits::DOOR_KEEP_MS;
use crate::order::Order;
use crate::report::code;

/// Why a command that waited when the agent ended is refused.
const MISSING: &str = "a command before this one is missing";

impl Journal {
    /// The highest number of a signing key that was dealt with.
    pub(crate) fn highest(&self, order: &Order) -> Result<Option<u64>, JournalError> {
        let found: Option<i64> = self
            .connection
            .prepare_cached("SELECT highest FROM doors WHERE signing_key = ?1")?
            .query_row([&order.signing_key], |row| row.get(0))
            .optional()?;
        // A key of which nothing was dealt with has -1.
        Ok(found.and_then(|highest| u64::try_from(highest).ok()))
    }

    /// Records durably that a command waits. `false` if the requester's share of the journal is used
    /// up.
    pub(crate) fn hold(
        &mut self,
        key: &CommandKey,
        order: &Order,
        (now_ms, expires_at_ms): (u64, u64),
    ) -> Result<bool, JournalError> {
        self.purge(now_ms)?;
        let transaction = immediate(&mut self.connection)?;
        if is_full(&transaction, &key.requester)? {
            return Ok(false);
        }
        let (signing_key, number) = (&order.signing_key, to_sql(order.no));
        transaction.execute(
            "INSERT INTO commands (requester, id, expires_at_ms, state, signing_key, number)
             VALUES (?1, ?2, ?3, 'held', ?4, ?5) ON CONFLICT DO NOTHING",
            params![key.requester, key.id, to_sql(expires_at_ms), signing_key, number],
        )?;
        transaction.execute(
            "INSERT INTO doors VALUES (?1, -1, ?2) ON CONFLICT DO NOTHING",
            params![signing_key, to_sql(order.key_ends_at_ms)],
        )?;
        transaction.commit()?;
        Ok(true)
    }

    /// A number was dealt with by the device itself.
    pub(crate) fn pass_over(&mut self, now_ms: u64, order: &Order) -> Result<(), JournalError> {
        self.purge(now_ms)?;
        let transaction = immediate(&mut self.connection)?;
        close(&transaction, order)?;
        transaction.commit()?;
        Ok(())
    }
}

/// Numbers up to this one never start from now on.
pub(super) fn close(transaction: &Transaction<'_>, order: &Order) -> Result<(), rusqlite::Error> {
    transaction.execute(
        "INSERT INTO doors VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE
         SET highest = max(highest, ?2), key_ends_at_ms = max(key_ends_at_ms, ?3)",
        params![order.signing_key, to_sql(order.no), to_sql(order.key_ends_at_ms)],
    )?;
    Ok(())
}

/// Refuses what waited when the agent ended: how long it had waited is not known.
pub(super) fn refuse_held(transaction: &Transaction<'_>) -> Result<(), rusqlite::Error> {
    transaction.execute(
        "UPDATE doors SET highest = max(highest, held.number) FROM
         (SELECT signing_key, max(number) AS number FROM commands WHERE state = 'held'
          GROUP BY signing_key) AS held
         WHERE held.signing_key = doors.signing_key",
        [],
    )?;
    transaction.execute(
        "UPDATE commands SET state = 'refused', kind = ?1, reason = ?2 WHERE state = 'held'",
        params![code::ORDER, MISSING],
    )?;
    Ok(())
}

/// Forgets signing keys that ended long ago.
pub(super) fn purge(transaction: &Transaction<'_>, now_ms: u64) -> Result<(), rusqlite::Error> {
    let until_ms = now_ms.saturating_sub(DOOR_KEEP_MS);
    transaction
        .execute("DELETE FROM doors WHERE key_ends_at_ms <= ?1", params![to_sql(until_ms)])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Begin, Recorded};
    use super::*;

    fn key(number: u8) -> CommandKey {
        CommandKey { requester: "alice's key".to_owned(), id: [number; 16] }
    }

    fn order(no: u64) -> Order {
        let signing_key = "alice's signing key".to_owned();
        Order { signing_key, key_ends_at_ms: 1_000_000, no, prev: no.checked_sub(1) }
    }

    /// Goal: what waited when the agent died is refused, and what it waited for never starts.
    #[test]
    fn a_restart_refuses_what_waits_and_closes_the_door() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("j");
        let mut journal = Journal::open(&path).expect("made");
        assert_eq!(journal.highest(&order(0)).expect("sound"), None);
        assert!(journal.hold(&key(3), &order(3), (1_000, 61_000)).expect("recorded"));
        assert_eq!(journal.highest(&order(0)).expect("sound"), None, "it only waits");
        assert_eq!(journal.find(&key(3)).expect("sound"), None, "and has no answer");
        drop(journal);
        let mut journal = Journal::open(&path).expect("opened again");
        assert_eq!(journal.highest(&order(0)).expect("sound"), Some(3));
        let refused = Recorded::Refused { code: code::ORDER, reason: MISSING.to_owned() };
        assert_eq!(journal.find(&key(3)).expect("sound"), Some(refused));
        // A number that was dealt with stays so, whatever comes later.
        journal.pass_over(2_000, &order(2)).expect("recorded");
        assert_eq!(journal.highest(&order(0)).expect("sound"), Some(3));
    }

    /// Goal: what has waited starts, once, and the highest number outlives its command by far.
    #[test]
    fn what_waited_starts_and_its_number_is_kept_until_the_key_is_long_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut journal = Journal::open(&folder.path().join("j")).expect("made");
        journal.hold(&key(1), &order(1), (1_000, 61_000)).expect("recorded");
        let begun = journal.begin(&key(1), &order(1), (2_000, 61_000), "rule", None);
        assert_eq!(begun.expect("sound"), Begin::Started);
        assert_eq!(journal.find(&key(1)).expect("sound"), Some(Recorded::Interrupted));
        let other = Order { signing_key: "bob's".to_owned(), ..order(0) };
        journal.pass_over(1_000_000 + DOOR_KEEP_MS - 1, &other).expect("recorded");
        assert_eq!(journal.highest(&order(0)).expect("sound"), Some(1), "one millisecond early");
        journal.pass_over(1_000_000 + DOOR_KEEP_MS + 60_000, &other).expect("recorded");
        assert_eq!(journal.highest(&order(0)).expect("sound"), None);
    }
}
