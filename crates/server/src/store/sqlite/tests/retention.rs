//! What rooms drop, and what of it is still known.

use super::{
    lobby::{ALICE, BOB, ROOM, epoch, sk},
    *,
};
use crate::{
    limits::{DROP_STEP_MESSAGES_MAX, EPOCH_GRACE, EPOCH_MEMORY},
    store::{Dropped, EpochId, NewDrop, NewRetention},
};

fn said(sender: AccountId, (epoch, n): (i64, u32), hub_ms: u64) -> Proposal {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&n.to_be_bytes());
    id[4..12].copy_from_slice(&epoch.to_be_bytes());
    Proposal::Entry(Box::new(NewEntry {
        log: ROOM,
        sender,
        id: MessageId(id),
        digest: Digest([7; 32]),
        kind: EntryKind::Message,
        epoch: Some(EpochId(epoch)),
        line: u32::try_from(sender.0).unwrap() - 1,
        n,
        hub_ms,
        frame: Bytes::from(vec![1; 600]),
    }))
}

async fn drop_before(store: &mut SqliteStore, before_ms: u64) -> Dropped {
    let step = NewDrop { log: ROOM, before_ms, keep_ms: 5_000, current: None };
    match commit(store, vec![Proposal::Drop(step)]).await.as_slice() {
        [Ok(Stored::Dropped(dropped))] => *dropped,
        other => panic!("{other:?}"),
    }
}

async fn page_of(reads: &Reads, name: &str, after: u64) -> Page {
    let request = PageRequest {
        name: UserName::new(name).unwrap(),
        sk: sk(if name == "bob" { 2 } else { 1 }),
        logs: vec![(ROOM, after)],
        after: 0,
        until: u64::MAX,
        counted: HashMap::new(),
        limit: 10_000,
    };
    reads.page(request).await.unwrap()
}

/// Goal: what is old goes in bounded steps, and nothing else; who was away is told how many they
/// missed, counters and positions are not given again, and the file does not grow. Method: two
/// senders, more than one step, then the file is opened again.
#[tokio::test]
async fn old_messages_go_in_steps_and_are_counted_for_those_who_missed_them() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, reads, _) = open_in(folder.path());
    commit(&mut store, vec![account("alice"), account("bob"), epoch(0, 10)]).await;
    let old = u32::try_from(DROP_STEP_MESSAGES_MAX).unwrap() + 44;
    // Positions 2 to old + 1 are alice's, but each tenth.
    let by = |n: u32| if n.is_multiple_of(10) { BOB } else { ALICE };
    let batch = (0..old).map(|n| said(by(n), (1, n), 1_000 + u64::from(n)));
    commit(&mut store, batch.collect()).await;
    commit(&mut store, vec![said(ALICE, (1, old), 9_000)]).await;

    let pages = || -> i64 {
        let connection = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
        connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap()
    };
    let full = pages();

    let first = drop_before(&mut store, 9_000).await;
    let most = u64::try_from(DROP_STEP_MESSAGES_MAX).unwrap();
    assert_eq!(first, Dropped { messages: most, is_more: true, oldest_ms: None });
    let second = drop_before(&mut store, 9_000).await;
    assert_eq!(second, Dropped { messages: 44, is_more: false, oldest_ms: Some(9_000) });
    assert_eq!(drop_before(&mut store, 9_000).await.messages, 0);

    let page = page_of(&reads, "bob", 0).await;
    let positions: Vec<u64> = page.entries.iter().map(|entry| entry.position).collect();
    assert_eq!(positions, [1, u64::from(old) + 2], "the key and the young one");
    let [gone] = page.dropped.as_slice() else { panic!("{:?}", page.dropped) };
    assert_eq!((gone.position, gone.before_ms, gone.keep_ms), (301, 1_300, 5_000));
    assert_eq!(gone.cid.as_str(), "room:lobby");
    for after in [0, 1, 2, 63, 64, 65, 127, 128, 200, 300] {
        let missed = |name, who| {
            (0..old).filter(|n| u64::from(*n) + 2 > after && by(*n) == who).count().to_string()
                + name
        };
        for (name, other) in [("bob", ALICE), ("alice", BOB)] {
            let dropped = page_of(&reads, name, after).await.dropped;
            let messages = dropped.first().map_or(0, |gone| gone.messages);
            assert_eq!(messages.to_string() + name, missed(name, other), "after {after}");
        }
    }
    let own = page_of(&reads, "alice", 300).await.dropped;
    assert!(matches!(&own[..], [gone] if gone.messages == 0), "of her other devices: {own:?}");
    assert_eq!(page_of(&reads, "bob", 301).await.dropped, []);

    // All goes, also the newest; then the server starts again.
    assert_eq!(drop_before(&mut store, 9_001).await.oldest_ms, None);
    drop((store, reads));
    let (mut store, _, snapshot) = open_in(folder.path());
    assert_eq!(snapshot.position, u64::from(old) + 2);
    let lobby = snapshot.conversations.into_iter().find(|row| row.log == ROOM).unwrap();
    assert_eq!(lobby.newest, u64::from(old) + 2);
    let counters: HashMap<u32, u32> = lobby.epochs[0].counters.iter().copied().collect();
    assert_eq!(counters, HashMap::from([(0, old), (1, old - 10)]), "no counter is used twice");
    let batch = (0..old).map(|n| said(ALICE, (1, 1_000 + n), 20_000));
    commit(&mut store, batch.collect()).await;
    assert!(pages() <= full + 4, "{} pages, {full} before: what is free is used", pages());
}

/// Goal: a key stays as long as a message may need it (rule R12), and no longer. Method: three
/// epochs, the second with a message in the grace after it was replaced.
#[tokio::test]
async fn keys_go_when_no_message_of_their_epoch_can_be_left() {
    let grace = u64::try_from(EPOCH_GRACE.as_millis()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (mut store, reads, _) = open_in(folder.path());
    commit(&mut store, vec![account("alice"), account("bob"), epoch(0, 10)]).await;
    commit(&mut store, vec![said(ALICE, (1, 0), 20), epoch(1, 1_000)]).await;
    commit(&mut store, vec![said(ALICE, (1, 1), 1_000 + grace)]).await;
    commit(&mut store, vec![said(ALICE, (2, 0), 2_000 + grace), epoch(2, 100_000)]).await;
    let keys = async |reads: &Reads| {
        let entries = page_of(reads, "bob", 0).await.entries;
        entries.iter().filter(|entry| entry.epoch.is_some()).count()
    };

    let dropped = drop_before(&mut store, 1_000 + grace).await;
    assert_eq!((dropped.messages, keys(&reads).await), (1, 3), "in use until the grace is over");
    let dropped = drop_before(&mut store, 1_001 + grace).await;
    let expected = Dropped { messages: 1, is_more: false, oldest_ms: Some(2_000 + grace) };
    assert_eq!((dropped, keys(&reads).await), (expected, 2));
    let dropped = drop_before(&mut store, 50_000).await;
    let expected = Dropped { messages: 1, is_more: false, oldest_ms: Some(100_000 + grace) };
    assert_eq!((dropped, keys(&reads).await), (expected, 2), "the successor is too young");
    let dropped = drop_before(&mut store, 100_001 + grace).await;
    let expected = Dropped { messages: 0, is_more: false, oldest_ms: None };
    assert_eq!((dropped, keys(&reads).await), (expected, 1), "the newest always stays");

    // Whoever sends again what was under way learns that the epoch is over, not that it is unknown.
    let id = MessageId([8; 16]);
    let digest = Digest([8; 32]);
    let probe = Probe::Message { log: ROOM, sender: ALICE, id, digest, e: Digest([1; 32]) };
    let known = Conflict::Missing { is_epoch_known: true };
    assert_eq!(commit(&mut store, vec![Proposal::Probe(probe)]).await, [Err(known)]);
    drop((store, reads));
    let connection = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    let wraps: i64 =
        connection.query_row("SELECT count(*) FROM wraps", [], |row| row.get(0)).unwrap();
    assert_eq!(wraps, 2);
}

/// Goal: a file of version 2 goes on as it is, and can drop from then on. Method: take the tables of
/// version 3 away.
#[tokio::test]
async fn a_file_of_version_2_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, reads, _) = open_in(folder.path());
    commit(&mut store, vec![account("alice"), account("bob"), epoch(0, 10)]).await;
    commit(&mut store, vec![said(ALICE, (1, 0), 20), said(ALICE, (1, 1), 30)]).await;
    drop((store, reads));
    let connection = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    let second = "DROP TABLE retention; DROP TABLE dropped; DROP TABLE dropped_from; \
        DROP TABLE dropped_counters; PRAGMA user_version = 2;";
    connection.execute_batch(second).unwrap();
    drop(connection);

    let (mut store, reads, snapshot) = open_in(folder.path());
    assert_eq!(snapshot.position, 3);
    assert!(snapshot.conversations.iter().all(|row| row.keep_ms.is_none()));
    assert_eq!(page_of(&reads, "bob", 0).await.entries.len(), 3);
    let by = UserName::new("alice").unwrap();
    let keep = |keep_ms| Proposal::Retention(NewRetention { log: ROOM, keep_ms, by: by.clone() });
    commit(&mut store, vec![keep(Some(1_000)), keep(Some(0))]).await;
    assert_eq!(drop_before(&mut store, 25).await.messages, 1);
    assert_eq!(page_of(&reads, "bob", 0).await.dropped.len(), 1);
    drop((store, reads));
    let (mut store, reads, snapshot) = open_in(folder.path());
    let kept: Vec<_> = snapshot.conversations.iter().map(|row| row.keep_ms).collect();
    assert_eq!(kept, [Some(0), None]);
    commit(&mut store, vec![keep(None)]).await;
    drop((store, reads));
    assert!(open_in(folder.path()).2.conversations.iter().all(|row| row.keep_ms.is_none()));
}

/// Goal: a hub that starts again knows the devices of a message that another one has just taken in an older
/// epoch, and takes such messages itself for as long as before.
#[tokio::test]
async fn epochs_that_were_replaced_a_moment_ago_are_read_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, ..) = open_in(folder.path());
    let old_ms = 1_000_000;
    let memory_ms = u64::try_from(EPOCH_MEMORY.as_millis()).unwrap();
    let lately = old_ms + memory_ms;
    let batch = vec![
        account("alice"),
        account("bob"),
        epoch(0, old_ms),
        epoch(1, old_ms + 5),
        said(BOB, (2, 4), old_ms + 6),
        epoch(2, lately),
        epoch(3, lately + 9),
    ];
    commit(&mut store, batch).await;
    drop(store);
    let (_, _, snapshot) = open_in(folder.path());
    let lobby = snapshot.conversations.into_iter().find(|row| row.log == ROOM).unwrap();
    let epochs: Vec<_> = lobby.epochs.iter().map(|row| (row.g, row.replaced_ms)).collect();
    assert_eq!(
        epochs,
        [(3, None), (2, Some(lately + 9)), (1, Some(lately))],
        "the first is forgotten"
    );
    assert_eq!(lobby.epochs[2].counters, [(1, 4)]);
}
