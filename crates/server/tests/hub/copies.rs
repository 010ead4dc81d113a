//! Copies that wait at the hub for their taker.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use chat_protocol::{
    code,
    crypto::random,
    file::relay::{HubToRelay, RelayToHub},
    id::Nonce16,
};
use chat_server::budgets::CopyLimits;

use crate::{
    client::{config, fresh, name, now_ms, register, start},
    data::{Came, Data, TestFile},
};

const HOUR: u64 = 60 * 60 * 1_000;

fn keep(file: &TestFile, tid: Nonce16) -> RelayToHub {
    let (chunks, size) = (file.chunks(), file.manifest.size);
    RelayToHub::Keep { tid, chunks, size, until: now_ms() + HOUR }
}

fn take(tid: Nonce16, from: &str, parts: &[(u32, u32)]) -> RelayToHub {
    RelayToHub::Take { tid, from: name(from), credit: 8, parts: parts.to_vec() }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder.join("data/files")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

async fn leave(data: &mut Data, file: &TestFile, tid: Nonce16) -> u64 {
    data.say(&keep(file, tid)).await;
    let mut last = file.send(data, "*", tid).await;
    while last.is_none() {
        last = match data.text().await {
            HubToRelay::Credit { .. } => None,
            other => Some(other),
        };
    }
    match last {
        Some(HubToRelay::Kept { until, tid: of }) if of == tid => until,
        other => panic!("KEPT expected: {other:?}"),
    }
}

#[tokio::test]
async fn a_copy_is_taken_while_its_owner_is_away_also_after_a_restart_and_by_parts() {
    let (server, folder) = fresh().await;
    let alice = register(&server, "alice", 0).await;
    let bob = register(&server, "bob", 1).await;
    let (file, tid) = (TestFile::new(3 * 1024 * 1024 + 77), Nonce16(random()));
    let mut data = Data::open(&server, &alice.device).await;
    let until = leave(&mut data, &file, tid).await;
    assert!(until.abs_diff(now_ms() + HOUR) < HOUR / 2);
    assert_eq!(leave_again(&mut data, &file, tid).await, until, "a lost answer is given again");
    let on_disk = files(folder.path());
    assert_eq!(on_disk.len(), 1);
    assert_eq!(on_disk[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
    drop(data);
    server.stop().await.unwrap();

    let server = start(config(folder.path())).await;
    let mut data = Data::open(&server, &bob.device).await;
    data.say(&take(tid, "alice", &[])).await;
    let (chunks, code) = file.receive(&mut data, tid).await;
    assert_eq!(code, "");
    let bytes: Vec<u8> = chunks.into_iter().flat_map(|(_, data)| data).collect();
    assert_eq!(bytes, file.bytes);

    data.say(&take(tid, "alice", &[(1, 3), (40, 1_000)])).await;
    let (chunks, code) = file.receive(&mut data, tid).await;
    let indices: Vec<u32> = chunks.iter().map(|(index, _)| *index).collect();
    let expected: Vec<u32> = [1, 2].into_iter().chain(40..file.chunks()).collect();
    assert_eq!((indices, code.as_str()), (expected, ""));

    data.say(&take(Nonce16(random()), "alice", &[(0, 1)])).await;
    assert_eq!(data.end().await, code::NO_SUCH_COPY);
    data.say(&take(tid, "alice", &[(3, 1)])).await;
    assert_eq!(data.end().await, code::MALFORMED);
    server.stop().await.unwrap();
}

async fn leave_again(data: &mut Data, file: &TestFile, tid: Nonce16) -> u64 {
    data.say(&keep(file, tid)).await;
    match data.text().await {
        HubToRelay::Kept { until, .. } => until,
        other => panic!("KEPT expected: {other:?}"),
    }
}

#[tokio::test]
async fn the_owner_takes_a_copy_away() {
    let (server, folder) = fresh().await;
    let alice = register(&server, "alice", 0).await;
    let bob = register(&server, "bob", 1).await;
    let (file, tid) = (TestFile::new(100), Nonce16(random()));
    let mut data = Data::open(&server, &alice.device).await;
    leave(&mut data, &file, tid).await;
    let mut of_bob = Data::open(&server, &bob.device).await;
    of_bob.say(&RelayToHub::Drop { tid }).await;
    assert_eq!(of_bob.end().await, code::NO_SUCH_COPY, "only its owner");
    data.say(&RelayToHub::Drop { tid }).await;
    assert_eq!(data.end().await, "");
    assert!(files(folder.path()).is_empty());
    of_bob.say(&take(tid, "alice", &[(0, 1)])).await;
    assert_eq!(of_bob.end().await, code::NO_SUCH_COPY);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_quota_refuses_a_copy_before_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let mut limited = config(folder.path());
    limited.copies = CopyLimits::new(150_000, 1);
    let server = start(limited).await;
    let alice = register(&server, "alice", 0).await;
    let mut data = Data::open(&server, &alice.device).await;
    let (small, large) = (TestFile::new(100_000), TestFile::new(50_001));
    let tid = Nonce16(random());
    leave(&mut data, &small, tid).await;
    data.say(&keep(&large, Nonce16(random()))).await;
    assert_eq!(data.end().await, code::COPIES_FULL);
    data.say(&RelayToHub::Drop { tid }).await;
    assert_eq!(data.end().await, "");
    leave(&mut data, &large, Nonce16(random())).await;
    let wrong = RelayToHub::Keep { tid, chunks: 2, size: 10, until: now_ms() + HOUR };
    data.say(&wrong).await;
    assert_eq!(data.end().await, code::MALFORMED);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_hub_without_copies_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut limited = config(folder.path());
    limited.copies = CopyLimits::new(0, 14);
    let server = start(limited).await;
    let alice = register(&server, "alice", 0).await;
    let mut data = Data::open(&server, &alice.device).await;
    data.say(&keep(&TestFile::new(1), Nonce16(random()))).await;
    assert_eq!(data.end().await, code::NOT_ALLOWED);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let (server, folder) = fresh().await;
    let alice = register(&server, "alice", 0).await;
    let (file, tid) = (TestFile::new(3 * 64 * 1024), Nonce16(random()));
    let mut data = Data::open(&server, &alice.device).await;
    data.say(&keep(&file, tid)).await;
    assert_eq!(data.credit().await, 3);
    data.chunk(file.seal(&file.header(&alice.device, "*", tid, 0))).await;
    data.settle().await;
    data.say(&RelayToHub::End { tid, reason: "changed".to_owned() }).await;
    // The same number is free again when the first try is gone from the disk.
    let deadline = tokio::time::Instant::now() + crate::client::PATIENCE;
    loop {
        data.say(&keep(&file, tid)).await;
        match data.text().await {
            HubToRelay::Credit { .. } => break,
            HubToRelay::End { code, .. } => assert_eq!(code, code::CONFLICT),
            other @ HubToRelay::Kept { .. } => panic!("{other:?}"),
        }
        assert!(tokio::time::Instant::now() < deadline, "the first try stays");
    }
    data.chunk(file.seal(&file.header(&alice.device, "*", tid, 1))).await;
    data.settle().await;
    data.chunk(file.seal(&file.header(&alice.device, "*", tid, 1))).await;
    assert_eq!(data.end().await, code::MALFORMED, "twice the same chunk");
    server.stop().await.unwrap();

    // What a killed hub leaves is swept at the next start.
    let part = folder.path().join("data/files").join(format!("1-{tid}.part"));
    std::fs::write(&part, "half").unwrap();
    let server = start(config(folder.path())).await;
    drop(Data::open(&server, &alice.device).await);
    assert!(files(folder.path()).is_empty());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_the_copy_and_keeps_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(config(folder.path())).await;
    let alice = register(&server, "alice", 0).await;
    server.stop().await.unwrap();
    // No page more than there are: the row of the copy finds no room.
    let database = rusqlite::Connection::open(folder.path().join("data/chat.sqlite")).unwrap();
    let pages: u32 = database.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    drop(database);
    let mut full = config(folder.path());
    full.database_pages_max = Some(pages);
    let server = start(full).await;
    let mut data = Data::open(&server, &alice.device).await;
    let file = TestFile::new(100);
    let mut refused = None;
    for _ in 0..1_000 {
        let tid = Nonce16(random());
        data.say(&keep(&file, tid)).await;
        assert_eq!(file.send(&mut data, "*", tid).await, None);
        match data.text().await {
            HubToRelay::Kept { .. } => {}
            HubToRelay::End { code, .. } => {
                refused = Some(code);
                break;
            }
            other @ HubToRelay::Credit { .. } => panic!("{other:?}"),
        }
    }
    assert_eq!(refused.as_deref(), Some(code::STORAGE_FULL));
    server.stop().await.unwrap();
    let database = rusqlite::Connection::open(folder.path().join("data/chat.sqlite")).unwrap();
    let rows: u32 =
        database.query_row("SELECT count(*) FROM copies", [], |row| row.get(0)).unwrap();
    let files = u32::try_from(files(folder.path()).len()).unwrap();
    assert_eq!(files, rows, "no file without its row");
}

#[tokio::test]
async fn a_slow_taker_of_a_copy_gets_no_more_than_its_credit() {
    let (server, _folder) = fresh().await;
    let alice = register(&server, "alice", 0).await;
    let (file, tid) = (TestFile::new(20 * 64 * 1024), Nonce16(random()));
    let mut data = Data::open(&server, &alice.device).await;
    leave(&mut data, &file, tid).await;
    data.say(&take(tid, "alice", &[])).await;
    for expected in 0..8 {
        let Came::Chunk(header, _) = data.came().await else { panic!("chunk {expected}") };
        assert_eq!(header.i, expected);
    }
    data.settle().await;
    data.say(&RelayToHub::Credit { tid, n: 1 }).await;
    let Came::Chunk(header, _) = data.came().await else { panic!("one more") };
    assert_eq!(header.i, 8);
    data.say(&RelayToHub::End { tid, reason: String::new() }).await;
    data.settle().await;
    server.stop().await.unwrap();
}
