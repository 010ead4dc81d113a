use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    order::Guard,
    store::{AccountId, DeviceId, EntryKind, EpochId, LogId, NewEntry, Probe, Proposal},
};
use chat_protocol::id::MessageId;

const ID: BatchId = BatchId { hub: Incarnation { node: 2, life: 9 }, seq: 5 };

fn seal() -> Seal {
    Seal::new(&[1; 32], [2; 16], 3)
}

fn entry(frame: Vec<u8>, n: u32) -> Proposal {
    Proposal::Entry(Box::new(NewEntry {
        log: LogId(-3),
        sender: AccountId(3),
        id: MessageId([1; 16]),
        digest: Digest([2; 32]),
        kind: EntryKind::Message,
        epoch: Some(EpochId(7)),
        line: 1,
        n,
        hub_ms: 1_790_000_000_000,
        frame: frame.into(),
    }))
}

fn batch(frame: Vec<u8>, keys: &[u64]) -> Batch {
    let guard = |reads| Guard { reads, writes: vec![u64::MAX], is_structure: false };
    let (account, device) = (AccountId(1), DeviceId(2));
    let positions = vec![(LogId(1), 5)];
    let (log, digest) = (LogId(1), Digest([8; 32]));
    let records = [
        entry(frame, 4),
        Proposal::Cursors { account, device, positions },
        Proposal::Probe(Probe::Link { log, mg: 1, digest }),
    ];
    let records =
        records.into_iter().map(|proposal| Guarded { proposal, guard: guard(keys.to_vec()) });
    Batch { now_ms: 7, at: 6, chain: Digest([5; 32]), records: records.collect() }
}

fn plain(batch: &Batch) -> Vec<u8> {
    let mut plain = Vec::new();
    ciborium::into_writer(batch, &mut plain).unwrap();
    plain
}

proptest! {
    #[test]
    fn a_batch_is_read_as_it_was_written(frame in vec(any::<u8>(), 0..9_000), keys in vec(any::<u64>(), 0..9)) {
        let before = batch(frame, &keys);
        let (id, after) = seal().open(&seal().seal(ID, &before).unwrap()).unwrap();
        prop_assert_eq!(id, ID);
        prop_assert_eq!(plain(&after), plain(&before));
    }

    /// Goal: whoever keeps the log changes no byte of a batch unseen.
    #[test]
    fn an_altered_batch_is_refused(at in any::<prop::sample::Index>(), by in 1u8..) {
        let mut sealed = seal().seal(ID, &batch(vec![7; 40], &[1])).unwrap();
        let at = at.index(sealed.len());
        sealed[at] ^= by;
        prop_assert_eq!(seal().open(&sealed).unwrap_err(), BatchError::Seal);
        prop_assert!(seal().open(&sealed[..at]).is_err(), "nor is one that is cut");
    }

    /// Goal: nothing that a hub of another make has sealed makes this one fall over.
    #[test]
    fn what_is_sealed_and_no_batch_is_refused_in_words(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut plain = plain(&batch(vec![7; 40], &[1]));
        for (at, to) in changes {
            let at = at.index(plain.len());
            plain[at] = to;
        }
        // It may be read as another one.
        let _read = read(&plain);
    }
}

#[test]
fn a_batch_of_another_log_key_or_place_is_refused() {
    let sealed = seal().seal(ID, &batch(Vec::new(), &[])).unwrap();
    let others = [
        Seal::new(&[9; 32], [2; 16], 3),
        Seal::new(&[1; 32], [9; 16], 3),
        Seal::new(&[1; 32], [2; 16], 9),
    ];
    for other in others {
        assert_eq!(other.open(&sealed).unwrap_err(), BatchError::Seal);
    }
    for place in 1..CLEAR_BYTES {
        let mut moved = sealed.clone();
        moved[place] ^= 1;
        assert_eq!(seal().open(&moved).unwrap_err(), BatchError::Seal, "at {place}");
    }
}

/// Goal: a hub of another version is told from somebody who writes its number. Before: that ended every hub.
#[test]
fn a_version_counts_where_a_hub_has_sealed_it() {
    let mut forged = seal().seal(ID, &batch(Vec::new(), &[])).unwrap();
    forged[0] = VERSION + 1;
    assert_eq!(seal().open(&forged).unwrap_err(), BatchError::Seal);
    assert_eq!(seal().open(&[VERSION + 1; CLEAR_BYTES]).unwrap_err(), BatchError::Seal);
    for version in [VERSION - 1, VERSION + 1] {
        let other = seal().seal_plain(version, ID, b"another form");
        assert_eq!(seal().open(&other).unwrap_err(), BatchError::Version(version));
    }
}
