//! What the file of a server keeps while it is not known whether the log has all of it.

use super::*;
use crate::store::{KeptBatch, Mark, Noted, Unsure, Written};

/// The turn of this number, after which the bytes of all before it are needed no more.
async fn apply(store: &mut SqliteStore, turn: u64) {
    let batch = Bytes::from_static(b"batch");
    let mark = Mark {
        written: Written { turn, keys: Vec::new(), void: Vec::new() },
        horizon: 0,
        time_ms: turn,
        by: None,
        gone: Vec::new(),
        verdicts: Vec::new(),
        before: Digest::ZERO,
        digest: [0; 32],
        batch: KeptBatch { turn, time_ms: turn, is_structure: false, batch },
        generation: 5,
        forget: turn,
    };
    store.commit_turn(Vec::new(), mark).await.unwrap();
}

/// Goal: what only one server may have is there as it was as long as nobody knows, and no longer. Before, its first turns went while
/// it read on, and what it knew of the openings was replaced by what the log says.
#[tokio::test]
async fn nothing_is_dropped_as_long_as_a_server_is_unsure() {
    let folder = tempfile::tempdir().unwrap();
    let log = FollowedLog { log: [2; 16], node: "n1".to_owned() };
    let open = || {
        let (options, metrics) = (SqliteOptions::default(), Arc::default());
        open_shared(folder.path(), options, metrics, (&log, 1)).unwrap()
    };
    let (mut store, ..) = open();
    let first = || kept_since(folder.path()).unwrap().first().map(|(turn, _)| *turn);
    for turn in 1..=3 {
        apply(&mut store, turn).await;
    }
    assert_eq!(first(), Some(3), "the last one stays");
    let openings = vec![("o:5".to_owned(), vec![1])];
    let unsure = Unsure { turn: 3, read_from: 5, openings };
    let facts = vec![("o:7".to_owned(), vec![2])];
    let mut noted = Noted { generation: 7, facts, unsure: Some(unsure) };
    store.note(noted.clone()).await.unwrap();
    for turn in 4..=2_000 {
        apply(&mut store, turn).await;
    }
    assert_eq!(first(), Some(3));
    assert_eq!(chains(folder.path()).unwrap().len(), 2_000, "nor what led there");
    drop(store);
    let (mut store, _, _, followed) = open();
    assert_eq!((followed.applied(), &followed.noted), (2_000, &noted));
    assert_eq!(
        followed.turns.first().map(|first| first.written.turn),
        Some(976),
        "as many as ever"
    );
    assert_eq!(super::noted(folder.path()).unwrap(), Some(noted.clone()));
    noted.unsure = None;
    store.note(noted.clone()).await.unwrap();
    apply(&mut store, 2_001).await;
    assert_eq!(first(), Some(3 + 64), "not all at once");
    for turn in 2_002..=2_040 {
        apply(&mut store, turn).await;
    }
    assert_eq!(first(), Some(2_040));
    assert_eq!(chains(folder.path()).unwrap().len(), 1_025);
    assert_eq!(super::noted(folder.path()).unwrap(), Some(noted));
}
