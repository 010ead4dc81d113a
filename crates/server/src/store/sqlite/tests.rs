//! The contract of the store, on a real file.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use chat_protocol::{
    b64::B64Vec,
    file::catalogue::{Details, IndexKey, Offer},
    id::{Digest, MessageId, Nonce16},
    keys::{Bundle, BundleOptions, DeviceKeys, KeySizes},
    name::{ConversationId, UserName},
};

use super::*;
use crate::store::{
    AccountId, Conflict, CopyChange, CopyRow, DeviceId, EntryKind, EpochId, LogId, NewAccount,
    NewDrop, NewEntry, NewErase, NewOffer, NewShare, Page, PageRequest, Probe, Stored,
};

fn bundle(name: &str) -> Arc<Bundle> {
    static KEYS: OnceLock<DeviceKeys> = OnceLock::new();
    let keys = KEYS.get_or_init(|| DeviceKeys::generate(KeySizes::EMULATED).unwrap());
    let name = UserName::new(name).unwrap();
    let options = BundleOptions::default();
    Arc::new(keys.publish(&name, Nonce16([1; 16]), None, 5, options).unwrap())
}

fn account(name: &str) -> Proposal {
    let bundle = bundle(name);
    let name = UserName::new(name).unwrap();
    let vault = Some(vec![1, 2, 3]);
    let (password, invite) = (None, None);
    Proposal::Account(Box::new(NewAccount { name, bundle, password, vault, invite }))
}

fn entry(id: u8, digest: u8, bytes: usize) -> Proposal {
    Proposal::Entry(Box::new(NewEntry {
        log: LogId::inbox(AccountId(1)),
        sender: AccountId(2),
        id: MessageId([id; 16]),
        digest: Digest([digest; 32]),
        kind: EntryKind::Receipt,
        epoch: None,
        line: 0,
        n: 0,
        hub_ms: 77,
        frame: Bytes::from(vec![digest; bytes]),
    }))
}

fn open_in(folder: &Path) -> (SqliteStore, Reads, Snapshot) {
    open(folder, SqliteOptions::default(), Arc::default()).unwrap()
}

async fn commit(store: &mut SqliteStore, batch: Vec<Proposal>) -> Vec<Result<Stored, Conflict>> {
    let committed = store.commit(batch).await.unwrap();
    committed.into_iter().map(|committed| committed.outcome).collect()
}

#[tokio::test]
async fn what_is_committed_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, reads, snapshot) = open_in(folder.path());
    assert_eq!((snapshot.position, snapshot.conversations.len()), (0, 2), "lobby and ALL");
    let outcomes =
        commit(&mut store, vec![account("alice"), account("bob"), entry(1, 1, 10)]).await;
    assert_eq!(
        outcomes,
        [
            Ok(Stored::Account(AccountId(1), DeviceId(1))),
            Ok(Stored::Account(AccountId(2), DeviceId(2))),
            Ok(Stored::Entry(1)),
        ]
    );
    let alice = reads.account(&UserName::new("ALICE").unwrap()).await.unwrap().unwrap();
    assert_eq!(alice.name.as_str(), "alice");
    assert_eq!(alice.devices[0].bundle, bundle_bytes("alice", &alice.devices[0].bundle));
    assert_eq!(reads.vault(AccountId(1)).await.unwrap(), Some(vec![1, 2, 3]));
    drop((store, reads));
    let (mut store, _, snapshot) = open_in(folder.path());
    assert_eq!(snapshot.position, 1);
    let shown: Vec<_> =
        snapshot.accounts.iter().map(|(row, inbox)| (row.name.as_str(), *inbox)).collect();
    assert_eq!(shown, [("alice", 1), ("bob", 0)]);
    assert_eq!(commit(&mut store, vec![entry(2, 2, 10)]).await, [Ok(Stored::Entry(2))]);
}

/// PSS salts differ, so a bundle is compared by what it says.
fn bundle_bytes(name: &str, stored: &Bytes) -> Bytes {
    let stored_bundle = Bundle::verify(stored.clone()).unwrap();
    assert_eq!(stored_bundle.header().u.as_str(), name);
    stored.clone()
}

#[tokio::test]
async fn a_name_and_an_id_are_kept_once() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _, _) = open_in(folder.path());
    let batch =
        vec![account("alice"), account("Alice"), entry(1, 1, 9), entry(1, 1, 9), entry(1, 2, 9)];
    let outcomes = commit(&mut store, batch).await;
    assert_eq!(
        outcomes[1..],
        [Err(Conflict::Taken), Ok(Stored::Entry(1)), Ok(Stored::Again(1)), Err(Conflict::Taken),]
    );
    let probe = |id, digest| {
        Proposal::Probe(Probe::Message {
            log: LogId::inbox(AccountId(1)),
            sender: AccountId(2),
            id: MessageId([id; 16]),
            digest: Digest([digest; 32]),
            e: Digest::ZERO,
        })
    };
    let outcomes = commit(&mut store, vec![probe(1, 1), probe(1, 2), probe(2, 1)]).await;
    let missing = Err(Conflict::Missing { is_epoch_known: false });
    assert_eq!(outcomes, [Ok(Stored::Again(1)), Err(Conflict::Taken), missing]);
}

#[tokio::test]
async fn cursors_never_go_back_nor_ahead_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, reads, _) = open_in(folder.path());
    commit(&mut store, vec![account("alice"), entry(1, 1, 9), entry(2, 2, 9)]).await;
    let log = LogId::inbox(AccountId(1));
    for (said, kept) in [(1, 1), (0, 1), (u64::MAX, 2), (1, 2)] {
        let positions = vec![(log, said)];
        let (account, device) = (AccountId(1), DeviceId(1));
        commit(&mut store, vec![Proposal::Cursors { account, device, positions }]).await;
        let (start, cursors) = reads.cursors(DeviceId(1)).await.unwrap();
        assert_eq!((start, cursors[&log]), (0, kept));
    }
}

#[tokio::test]
async fn a_full_disk_keeps_nothing_of_a_batch_and_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions { pages_max: Some(40) };
    let (mut store, reads, _) = open(folder.path(), options, Arc::default()).unwrap();
    commit(&mut store, vec![account("alice"), entry(1, 1, 9)]).await;
    let large = vec![entry(2, 2, 9), entry(3, 3, 1_000_000)];
    assert!(matches!(store.commit(large).await, Err(CommitError::Full)));
    assert_eq!(commit(&mut store, vec![entry(4, 4, 9)]).await, [Ok(Stored::Entry(2))]);
    let request = PageRequest {
        name: UserName::new("alice").unwrap(),
        sk: chat_protocol::id::KeyId([0; 16]),
        logs: vec![(LogId::inbox(AccountId(1)), 0)],
        after: 0,
        until: 9,
        counted: HashMap::new(),
        limit: 2,
    };
    let page = reads.page(request.clone()).await.unwrap();
    assert_eq!(page.entries.iter().map(|e| e.position).collect::<Vec<_>>(), [1, 2]);
    let page = reads.page(PageRequest { after: page.next.unwrap(), ..request }).await.unwrap();
    assert!(page.entries.is_empty() && page.next.is_none());
}

#[test]
fn a_database_of_a_newer_version_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    drop(open_in(folder.path()));
    let file = folder.path().join(DATABASE_FILE);
    let connection = Connection::open(&file).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    let error = open(folder.path(), SqliteOptions::default(), Arc::default()).unwrap_err();
    assert!(matches!(error, OpenError::Version { found: 99, .. }), "{error}");
}

/// An entry of a log of its own, with an id of its own.
fn numbered(log: i64, number: u32) -> Proposal {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    Proposal::Entry(Box::new(NewEntry {
        log: LogId(log),
        sender: AccountId(2),
        id: MessageId(id),
        digest: Digest([1; 32]),
        kind: EntryKind::Receipt,
        epoch: None,
        line: 0,
        n: 0,
        hub_ms: 77,
        frame: Bytes::from_static(b"frame"),
    }))
}

/// Goal: a position is never given twice, whatever was erased: clients take a lower one for a restore from a
/// backup. Method: the newest thing is a receipt of an account whose mailbox is erased, then a message that
/// its room keeps no longer; the store is opened again after each.
#[tokio::test]
async fn what_is_erased_keeps_its_position() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, reads, _) = open_in(folder.path());
    commit(&mut store, vec![account("alice"), account("bob"), entry(1, 1, 9)]).await;
    let log = Some(LogId::inbox(AccountId(1)));
    let erase = |log| Proposal::Erase(NewErase { account: AccountId(1), log, after: 0 });
    commit(&mut store, vec![erase(log), erase(None)]).await;
    drop((store, reads));
    let (mut store, reads, snapshot) = open_in(folder.path());
    assert_eq!(snapshot.position, 1);
    let mut said = numbered(1, 7);
    if let Proposal::Entry(entry) = &mut said {
        (entry.kind, entry.epoch) = (EntryKind::Message, Some(EpochId(1)));
    }
    let step = NewDrop { log: LogId(1), before_ms: 100, keep_ms: 1_000, current: None };
    commit(&mut store, vec![said]).await;
    let dropped = commit(&mut store, vec![Proposal::Drop(step)]).await;
    assert!(
        matches!(&dropped[..], [Ok(Stored::Dropped(gone))] if gone.messages == 1),
        "{dropped:?}"
    );
    drop((store, reads));
    let (_store, _reads, snapshot) = open_in(folder.path());
    assert_eq!(snapshot.position, 2);
}

/// Goal: a log is read to its end however its entries lie among those of others, and a file of the
/// first schema still is. Method: one log with an entry here and there, one busy one, over several
/// segments of the index; page through both; take the file back to version 1 and do it again.
#[tokio::test]
async fn a_log_is_read_over_many_segments_and_after_an_upgrade() {
    const BUSY: i64 = -1;
    const QUIET: i64 = -2;
    let folder = tempfile::tempdir().unwrap();
    let (mut store, reads, _) = open_in(folder.path());
    let log_of = |number: u32| if number.is_multiple_of(3_000) { QUIET } else { BUSY };
    commit(&mut store, vec![account("alice"), account("bob")]).await;
    for start in (0..15_000).step_by(1_000) {
        let batch = (start..start + 1_000).map(|number| numbered(log_of(number), number));
        commit(&mut store, batch.collect()).await;
    }
    let positions = async |reads: &Reads, after: u64| {
        let request = PageRequest {
            name: UserName::new("alice").unwrap(),
            sk: chat_protocol::id::KeyId([0; 16]),
            logs: vec![(LogId(BUSY), after), (LogId(QUIET), 0)],
            after: 0,
            until: u64::MAX,
            counted: HashMap::new(),
            limit: 1_024,
        };
        let (mut found, mut next) = (Vec::new(), Some(0));
        while let Some(after) = next {
            let page = reads.page(PageRequest { after, ..request.clone() }).await.unwrap();
            found.extend(page.entries.iter().map(|entry| entry.position));
            next = page.next;
        }
        found
    };
    let expected = |after: u64| -> Vec<u64> {
        (0..15_000_u32)
            .map(|number| (log_of(number), u64::from(number) + 1))
            .filter(|(log, position)| *log == QUIET || *position > after)
            .map(|(_, position)| position)
            .collect()
    };
    for after in [0, 4_095, 4_096, 13_000] {
        assert_eq!(positions(&reads, after).await, expected(after), "after {after}");
    }
    drop((store, reads));
    let connection = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    let first = "DROP TABLE retention; DROP TABLE dropped; DROP TABLE dropped_from; \
        DROP TABLE dropped_counters; DROP INDEX entries_by_log; DROP TABLE segments; \
        CREATE INDEX entries_by_log ON entries (log); PRAGMA user_version = 1;";
    connection.execute_batch(first).unwrap();
    drop(connection);
    let (_store, reads, snapshot) = open_in(folder.path());
    assert_eq!(snapshot.accounts[1].1, 12_001, "the last entry of the quiet log");
    assert_eq!(positions(&reads, 4_096).await, expected(4_096));
}

fn share(owner: i64, offers: &[Offer], ended: &[u8]) -> Proposal {
    let offers = offers.iter().map(|offer| NewOffer {
        offer: offer.clone(),
        text: serde_json::to_string(offer).unwrap().into(),
    });
    let ended = ended.iter().map(|id| MessageId([*id; 16])).collect();
    Proposal::Share(Box::new(NewShare { owner: AccountId(owner), offers: offers.collect(), ended }))
}

/// Goal: the list of shared files is as it was answered, and a file of a server without one opens.
#[tokio::test]
async fn the_list_of_files_is_there_after_opening_again_and_in_a_file_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _, _) = open_in(folder.path());
    commit(&mut store, vec![account("alice"), account("bob")]).await;
    let offer = |id: u8, word: &str| {
        // The store keeps what it is given.
        let signed = B64Vec(vec![id; 9]);
        Offer::open(MessageId([id; 16]), Details { signed, words: vec![word.to_owned()] })
    };
    let place = ConversationId::parse("dm:alice:bob").unwrap();
    let key = IndexKey::new([1; 32]);
    let sealed = key.seal(MessageId([9; 16]), place, offer(9, "a").open.as_ref().unwrap(), [2; 12]);
    let batch = vec![
        share(2, &[offer(1, "theirs")], &[]),
        share(1, &[offer(1, "before"), offer(2, "gone"), sealed.clone()], &[]),
        share(1, &[offer(1, "after")], &[2, 7]),
    ];
    assert_eq!(commit(&mut store, batch).await, [Ok(Stored::Done); 3]);
    drop(store);
    let listed = |snapshot: &Snapshot| -> Vec<(i64, Offer)> {
        snapshot.offers.iter().map(|row| (row.owner.0, row.offer.clone())).collect()
    };
    let (store, _, snapshot) = open_in(folder.path());
    let expected = [(1, offer(1, "after")), (1, sealed), (2, offer(1, "theirs"))];
    assert_eq!(listed(&snapshot), expected);
    drop(store);
    let connection = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    connection.execute_batch("DROP TABLE offers").unwrap();
    drop(connection);
    let (mut store, _, snapshot) = open_in(folder.path());
    assert_eq!((listed(&snapshot), snapshot.accounts.len()), (Vec::new(), 2));
    assert_eq!(
        commit(&mut store, vec![share(1, &[offer(3, "new")], &[])]).await,
        [Ok(Stored::Done)]
    );
    drop(store);
    let connection = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    connection.execute("UPDATE offers SET offer = x'7b7d'", []).unwrap();
    drop(connection);
    let opened = open(folder.path(), SqliteOptions::default(), Arc::default());
    assert!(matches!(opened, Err(OpenError::Damaged { .. })), "{opened:?}");
}

/// A server's number.
const OWN: u32 = 7;

/// Goal: whoever becomes one of several, or is alone again, finds its own copies of files as its own, and what the file
/// comes to stays the same. Before: a copy belonged to nobody after each move, and its file was swept at the start.
#[tokio::test]
async fn copies_of_files_move_with_their_server() {
    let folder = tempfile::tempdir().unwrap();
    let copy = |number: u8, node: u32| CopyRow {
        account: AccountId(1),
        owner: UserName::new("alice").unwrap(),
        tid: Nonce16([number; 16]),
        chunks: 1,
        size: 5,
        until: 9,
        node,
    };
    let keep = |row: CopyRow| Proposal::Copies(CopyChange::Keep(row));
    let (mut store, ..) = open_in(folder.path());
    commit(&mut store, vec![account("alice"), keep(copy(1, 0)), keep(copy(2, 0))]).await;
    drop(store);
    let alone = contents(folder.path()).unwrap().digest;

    let log = FollowedLog { log: [3; 16], node: "n1".to_owned() };
    adopt(folder.path(), (&log, OWN), &alone).unwrap();
    assert_eq!(contents(folder.path()).unwrap().digest, alone);
    let open_now = || {
        open_shared(folder.path(), SqliteOptions::default(), Arc::default(), (&log, 4)).unwrap().2
    };
    let nodes = |snapshot: Snapshot| -> Vec<(u8, u32)> {
        let mut nodes: Vec<_> =
            snapshot.copies.iter().map(|row| (row.tid.as_bytes()[0], row.node)).collect();
        nodes.sort_unstable();
        nodes
    };
    assert_eq!(nodes(open_now()), [(1, OWN), (2, OWN)]);

    let database = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    database.execute("UPDATE copies SET node = 8 WHERE tid = ?1", [[2_u8; 16]]).unwrap();
    drop(database);
    leave(folder.path(), OWN).unwrap();
    assert_eq!(nodes(open_in(folder.path()).2), [(1, 0)], "the other lies where nobody gets it");
}

mod golden;
mod lobby;
mod operator;
mod retention;
mod revoked;
mod unsure;

/// Goal: a database whose content is lost is not silently begun anew.
#[test]
fn an_empty_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(DATABASE_FILE), "").unwrap();
    let opened = open(folder.path(), SqliteOptions::default(), Arc::new(Metrics::new()));
    assert!(matches!(opened, Err(OpenError::Empty { .. })));
}

/// Goal: a folder follows a log with what was there before it, or not at all: a start that is cut in between leaves it to a
/// server that is alone.
#[test]
fn a_file_that_was_not_adopted_whole_follows_no_log() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path(), SqliteOptions::default(), Arc::default()).unwrap());
    let file = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    // What is there before the first turn cannot be written.
    file.execute_batch("CREATE TABLE facts (name TEXT)").unwrap();
    let log = FollowedLog { log: [7; 16], node: "n1".to_owned() };
    adopt(folder.path(), (&log, OWN), &Digest::ZERO).unwrap_err();
    assert_eq!(owner(folder.path()).unwrap(), Owner::Nobody);
    file.execute_batch("DROP TABLE facts").unwrap();
    adopt(folder.path(), (&log, OWN), &Digest::ZERO).unwrap();
    assert_eq!(owner(folder.path()).unwrap(), Owner::Follows(log));
    let noted = noted(folder.path()).unwrap().unwrap_or_default();
    assert_eq!(noted.facts, [("base".to_owned(), vec![0; 32])]);
}
