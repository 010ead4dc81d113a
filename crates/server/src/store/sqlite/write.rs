//! One transaction for each batch.

mod drop;

pub(super) use drop::BUCKET_BITS;

use std::collections::HashSet;

use chat_protocol::{id::Digest, keys::Bundle, name::ConversationId};
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use super::{
    Checkpoints, Kept, Outcome, brought, copies, excused, from_sql, offers, operator, revoked,
    signers, to_sql, turns,
};
use crate::store::{
    AccountId, CommitError, Committed, Conflict, DeviceId, EntryKind, EpochId, LogId, Mark,
    NewAccount, NewBundle, NewEntry, NewEpoch, NewIdentity, NewLink, NewPassword, NewRetention,
    NewTopic, Probe, Proposal, Stored,
};

/// Owns the connection that writes, and the sequence of positions.
pub(super) struct Writer {
    connection: Connection,
    checkpoints: Checkpoints,
    position: u64,
    newest: Segment,
    /// It follows a log that others write to, too.
    is_shared: bool,
}

/// Positions of one segment have this many low bits; the schema says the same.
const SEGMENT_BITS: u32 = 12;

/// The segment that entries are written to, and the logs that have something in it.
#[derive(Default)]
struct Segment {
    number: u64,
    logs: HashSet<LogId>,
}

impl Segment {
    /// Whether a log that gets an entry at this position had none in its segment.
    fn is_new_for(&mut self, log: LogId, position: u64) -> bool {
        let number = position >> SEGMENT_BITS;
        if number != self.number {
            *self = Self { number, logs: HashSet::new() };
        }
        self.logs.insert(log)
    }
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        checkpoints: Checkpoints,
        position: u64,
        is_shared: bool,
    ) -> Self {
        Self { connection, checkpoints, position, newest: Segment::default(), is_shared }
    }

    /// Closes the database.
    pub(super) fn end(mut self) {
        self.checkpoints.end(&mut self.connection);
    }

    /// Keeps all of a batch, and how far a shared log was followed with it, or nothing.
    pub(super) fn commit(
        &mut self,
        batch: Vec<Proposal>,
        mark: Option<&Mark>,
    ) -> Result<Kept, CommitError> {
        self.checkpoints.check()?;
        let before = self.position;
        let result = self.try_commit(batch, mark);
        if result.is_err() {
            self.position = before;
            self.newest = Segment::default();
        }
        result.map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => {
                self.checkpoints.make_room(&self.connection);
                CommitError::Full
            }
            _ => CommitError::Failed(error.into()),
        })
    }

    fn try_commit(&mut self, batch: Vec<Proposal>, mark: Option<&Mark>) -> rusqlite::Result<Kept> {
        let transaction = self.connection.transaction()?;
        let mut change = Change {
            connection: &transaction,
            position: &mut self.position,
            newest: &mut self.newest,
            is_shared: self.is_shared,
        };
        let mut committed = Vec::with_capacity(batch.len());
        for proposal in batch {
            let outcome = change.make(&proposal)?;
            committed.push(Committed { proposal, outcome });
        }
        let chain = mark.map(|mark| mark.chain(&committed));
        if let (Some(mark), Some(chain)) = (mark, &chain) {
            turns::keep(&transaction, (mark, chain), self.position)?;
        }
        transaction.commit()?;
        Ok((committed, chain))
    }
}

/// A transaction under way.
struct Change<'a> {
    connection: &'a Connection,
    position: &'a mut u64,
    newest: &'a mut Segment,
    is_shared: bool,
}

impl Change<'_> {
    fn make(&mut self, proposal: &Proposal) -> Outcome {
        match proposal {
            Proposal::Account(account) => self.account(account),
            Proposal::Identity(identity) => self.identity(identity),
            Proposal::Bundle(bundle) => self.bundle(bundle),
            Proposal::Password(password) => self.password(password),
            Proposal::Entry(entry) => self.entry(entry),
            Proposal::Epoch(epoch) => self.epoch(epoch),
            Proposal::Link(link) => self.link(link),
            Proposal::Topic(topic) => self.topic(topic),
            Proposal::Excuse(new) => excused::excuse(self.connection, new),
            Proposal::Retention(retention) => self.retention(retention),
            Proposal::Drop(step) => {
                // Rows of the newest segment are remembered as written, so they stay.
                let newest_segment = to_sql(*self.position) >> SEGMENT_BITS;
                let dropped = drop::step(self.connection, step, newest_segment)?;
                Ok(Ok(Stored::Dropped(dropped)))
            }
            Proposal::Copies(change) => copies::change(self.connection, change),
            Proposal::Share(share) => offers::share(self.connection, share),
            Proposal::Order(order) => operator::order(self.connection, order),
            Proposal::Erase(step) => operator::erase(self.connection, step),
            Proposal::Cursors { device, positions, .. } => self.cursors(*device, positions),
            Proposal::Session(new) if self.is_shared => turns::session(self.connection, new),
            Proposal::Gone(hub) if self.is_shared => turns::gone(self.connection, *hub),
            // Who was here is not here after a start, and what they were refused comes no more.
            Proposal::Session(_) | Proposal::Gone(_) | Proposal::No(_) => Ok(Ok(Stored::Done)),
            Proposal::Probe(probe) => self.probe(probe),
        }
    }

    fn next_position(&mut self) -> u64 {
        *self.position += 1;
        *self.position
    }

    fn account(&mut self, new: &NewAccount) -> Outcome {
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO accounts (name, folded, identity, password, vault) \
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (folded) DO NOTHING",
        )?;
        let identity = new.bundle.identity();
        let values = params![
            new.name.as_str(),
            new.name.folded(),
            identity.as_bytes(),
            new.password,
            new.vault
        ];
        if insert.execute(values)? == 0 {
            return Ok(Err(Conflict::Taken));
        }
        let account = AccountId(self.connection.last_insert_rowid());
        if let Some(code) = &new.invite
            && let Err(conflict) = operator::use_invite(self.connection, code)?
        {
            self.connection.execute("DELETE FROM accounts WHERE id = ?1", [account.0])?;
            return Ok(Err(conflict));
        }
        operator::is_somebody(self.connection, &new.name)?;
        brought::have_account(self.connection, &new.name, &identity)?;
        let device = self.new_device(account, &new.bundle)?;
        Ok(Ok(Stored::Account(account, device)))
    }

    fn identity(&mut self, new: &NewIdentity) -> Outcome {
        if !operator::use_reset(self.connection, new.account, &new.code)? {
            return Ok(Err(Conflict::Missing { is_epoch_known: false }));
        }
        let mut update = self.connection.prepare_cached(
            "UPDATE accounts SET identity = ?2, password = ?3, vault = ?4 WHERE id = ?1",
        )?;
        let identity = new.bundle.identity();
        update.execute(params![new.account.0, identity.as_bytes(), new.password, new.vault])?;
        // Before it comes, so that what its own bundle revokes stays.
        revoked::forget(self.connection, new.account)?;
        // It begins where the logs end: what was sent to the identity of before is not its own. It comes
        // before the others go, so that it has the number of none of them.
        let device = self.new_device(new.account, &new.bundle)?;
        operator::forget_identity(self.connection, new.account, device)?;
        Ok(Ok(Stored::Device(device)))
    }

    fn password(&mut self, new: &NewPassword) -> Outcome {
        let mut update = self.connection.prepare_cached(
            "UPDATE accounts SET password = ?3, vault = ?4 WHERE id = ?1 AND password = ?2",
        )?;
        let changed =
            update.execute(params![new.account.0, new.before, new.password, new.vault])?;
        Ok(if changed == 1 { Ok(Stored::Done) } else { Err(Conflict::Taken) })
    }

    fn new_device(&mut self, account: AccountId, bundle: &Bundle) -> rusqlite::Result<DeviceId> {
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO devices (account, dev, start, bundle) VALUES (?1, ?2, ?3, ?4)",
        )?;
        let dev = bundle.header().dev;
        let start = to_sql(*self.position);
        insert.execute(params![account.0, dev.as_bytes(), start, &bundle.bytes()[..]])?;
        let device = DeviceId(self.connection.last_insert_rowid());
        self.keys(account, bundle)?;
        Ok(device)
    }

    /// What outlasts the bundle: which keys it publishes, and which it revokes.
    fn keys(&self, account: AccountId, bundle: &Bundle) -> rusqlite::Result<()> {
        signers::keep(self.connection, account, bundle)?;
        revoked::keep(self.connection, account, bundle)
    }

    fn bundle(&mut self, new: &NewBundle) -> Outcome {
        let device = match new.device {
            None => self.new_device(new.account, &new.bundle)?,
            Some(device) => {
                let mut update = self
                    .connection
                    .prepare_cached("UPDATE devices SET bundle = ?2 WHERE id = ?1")?;
                update.execute(params![device.0, &new.bundle.bytes()[..]])?;
                self.keys(new.account, &new.bundle)?;
                device
            }
        };
        Ok(Ok(Stored::Device(device)))
    }

    fn entry(&mut self, new: &NewEntry) -> Outcome {
        let position = *self.position + 1;
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO entries \
             (log, position, kind, sender, id, digest, epoch, line, n, hub_ms, frame) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
             ON CONFLICT (sender, log, id) DO NOTHING",
        )?;
        let kept = insert.execute(params![
            new.log.0,
            to_sql(position),
            kind_number(new.kind),
            new.sender.0,
            new.id.as_bytes(),
            new.digest.as_bytes(),
            new.epoch.map_or(0, |epoch| epoch.0),
            new.line,
            new.n,
            to_sql(new.hub_ms),
            &new.frame[..],
        ])?;
        if kept == 0 {
            return self.stored_entry(new.log, new.sender, new.id.as_bytes(), &new.digest);
        }
        *self.position = position;
        if self.newest.is_new_for(new.log, position) {
            let mut insert = self
                .connection
                .prepare_cached("INSERT OR IGNORE INTO segments (log, segment) VALUES (?1, ?2)")?;
            insert.execute([new.log.0, to_sql(position) >> SEGMENT_BITS])?;
        }
        Ok(Ok(Stored::Entry(position)))
    }

    /// What is stored under an id: the same frame, another one, or nothing.
    fn stored_entry(
        &self,
        log: LogId,
        sender: AccountId,
        id: &[u8; 16],
        digest: &Digest,
    ) -> Outcome {
        let mut select = self.connection.prepare_cached(
            "SELECT position, digest FROM entries WHERE sender = ?1 AND log = ?2 AND id = ?3",
        )?;
        let found = select
            .query_row(params![sender.0, log.0, id], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 32]>(1)?))
            })
            .optional()?;
        Ok(same_or_other(found, digest))
    }

    fn conversation(&self, known: Option<LogId>, cid: &ConversationId) -> rusqlite::Result<LogId> {
        if let Some(log) = known {
            return Ok(log);
        }
        let mut insert = self
            .connection
            .prepare_cached("INSERT INTO conversations (cid) VALUES (?1) ON CONFLICT DO NOTHING")?;
        insert.execute([cid.as_str()])?;
        let mut select =
            self.connection.prepare_cached("SELECT id FROM conversations WHERE cid = ?1")?;
        select.query_row([cid.as_str()], |row| row.get(0)).map(LogId)
    }

    fn epoch(&mut self, new: &NewEpoch) -> Outcome {
        let log = self.conversation(new.log, &new.header.cid)?;
        let position = to_sql(*self.position + 1);
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO epochs (log, g, e, position, members) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (log, g) DO NOTHING",
        )?;
        let (g, members) = (new.header.g, new.members.as_bytes());
        if insert.execute(params![log.0, g, new.e.as_bytes(), position, members])? == 0 {
            return Ok(Err(Conflict::Taken));
        }
        let epoch = EpochId(self.connection.last_insert_rowid());
        let mut insert = self
            .connection
            .prepare_cached("INSERT INTO wraps (epoch, line, wrap) VALUES (?1, ?2, ?3)")?;
        for (line, wrap) in (0u32..).zip(&new.wraps) {
            insert.execute(params![epoch.0, line, &wrap[..]])?;
        }
        let entry = new.entry(log, epoch);
        if let Ok(Stored::Entry(position)) = self.entry(&entry)? {
            return Ok(Ok(Stored::Epoch { log, epoch, position }));
        }
        // The eid was used before: take back what this transaction has of it.
        self.connection.execute("DELETE FROM wraps WHERE epoch = ?1", [epoch.0])?;
        self.connection.execute("DELETE FROM epochs WHERE id = ?1", [epoch.0])?;
        Ok(Err(Conflict::Taken))
    }

    fn link(&mut self, new: &NewLink) -> Outcome {
        let log = self.conversation(new.log, &new.header.cid)?;
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO links (log, mg, position, digest, frame) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (log, mg) DO NOTHING",
        )?;
        let position = to_sql(*self.position + 1);
        let digest = new.digest.as_bytes();
        if insert.execute(params![log.0, new.header.mg, position, digest, &new.frame[..]])? == 0 {
            return Ok(Err(Conflict::Taken));
        }
        offers::follow_link(self.connection, &new.header)?;
        excused::follow_link(self.connection, log, &new.header)?;
        brought::follow_link(self.connection, log, new)?;
        let position = self.next_position();
        // Who comes again reads on where they were, but for who was put out meanwhile.
        let mut insert = self.connection.prepare_cached(if operator::comes_back(
            self.connection,
            &new.header,
        )? {
            "INSERT INTO cursors (device, log, position) VALUES (?1, ?2, ?3) \
             ON CONFLICT (device, log) DO UPDATE SET position = max(position, excluded.position)"
        } else {
            "INSERT INTO cursors (device, log, position) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING"
        })?;
        for device in &new.newcomers {
            insert.execute(params![device.0, log.0, to_sql(position)])?;
        }
        Ok(Ok(Stored::Link { log, position }))
    }

    fn topic(&mut self, new: &NewTopic) -> Outcome {
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO topics (log, topic) VALUES (?1, ?2) \
             ON CONFLICT (log) DO UPDATE SET topic = excluded.topic",
        )?;
        insert.execute(params![new.log.0, new.text])?;
        Ok(Ok(Stored::Done))
    }

    fn retention(&mut self, new: &NewRetention) -> Outcome {
        if let Some(keep_ms) = new.keep_ms {
            let mut insert = self.connection.prepare_cached(
                "INSERT INTO retention (log, keep_ms) VALUES (?1, ?2) \
                 ON CONFLICT (log) DO UPDATE SET keep_ms = excluded.keep_ms",
            )?;
            insert.execute(params![new.log.0, to_sql(keep_ms)])?;
        } else {
            let mut delete =
                self.connection.prepare_cached("DELETE FROM retention WHERE log = ?1")?;
            delete.execute([new.log.0])?;
        }
        Ok(Ok(Stored::Done))
    }

    fn cursors(&mut self, device: DeviceId, positions: &[(LogId, u64)]) -> Outcome {
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO cursors (device, log, position) VALUES (?1, ?2, ?3) \
             ON CONFLICT (device, log) DO UPDATE SET position = max(position, excluded.position)",
        )?;
        for (log, position) in positions {
            // A cursor ahead of the log would hide what comes.
            let position = to_sql((*position).min(*self.position));
            insert.execute(params![device.0, log.0, position])?;
        }
        Ok(Ok(Stored::Done))
    }

    fn probe(&self, probe: &Probe) -> Outcome {
        match probe {
            Probe::Message { log, sender, id, digest, e } => {
                let found = self.stored_entry(*log, *sender, id.as_bytes(), digest)?;
                if !matches!(found, Err(Conflict::Missing { .. })) {
                    return Ok(found);
                }
                let mut select = self
                    .connection
                    .prepare_cached("SELECT 1 FROM epochs WHERE log = ?1 AND e = ?2")?;
                let is_epoch_known = select.exists(params![log.0, e.as_bytes()])?;
                Ok(Err(Conflict::Missing { is_epoch_known }))
            }
            Probe::Epoch { log, g, e } => self.stored_in(
                "SELECT position, e FROM epochs WHERE log = ?1 AND g = ?2",
                (*log, *g),
                e,
            ),
            Probe::Link { log, mg, digest } => self.stored_in(
                "SELECT position, digest FROM links WHERE log = ?1 AND mg = ?2",
                (*log, *mg),
                digest,
            ),
        }
    }

    fn stored_in(&self, query: &str, (log, number): (LogId, u32), digest: &Digest) -> Outcome {
        let mut select = self.connection.prepare_cached(query)?;
        let found = select
            .query_row(params![log.0, number], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 32]>(1)?))
            })
            .optional()?;
        Ok(same_or_other(found, digest))
    }
}

fn same_or_other(found: Option<(i64, [u8; 32])>, digest: &Digest) -> Result<Stored, Conflict> {
    match found {
        Some((position, stored)) if stored == digest.0 => Ok(Stored::Again(from_sql(position))),
        Some(_) => Err(Conflict::Taken),
        None => Err(Conflict::Missing { is_epoch_known: false }),
    }
}

/// The number of a kind in the column `kind`.
fn kind_number(kind: EntryKind) -> i64 {
    match kind {
        EntryKind::Message => 0,
        EntryKind::Receipt => 1,
        EntryKind::Key => 2,
    }
}
