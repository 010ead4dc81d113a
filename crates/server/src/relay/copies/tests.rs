//! The files of copies: places, names, rights, and what is swept.

use std::{io, os::unix::fs::PermissionsExt as _, path::Path};

use chat_protocol::name::UserName;

use bytes::Bytes;
use chat_protocol::id::Nonce16;

use super::{Wanted, disk::*};
use crate::{
    request::Refusal,
    store::{AccountId, CopyRow},
};

fn row(number: u8, chunks: u32) -> CopyRow {
    CopyRow {
        account: AccountId(3),
        owner: UserName::new("alice").unwrap(),
        tid: Nonce16([number; 16]),
        chunks,
        size: u64::from(chunks),
        until: 1,
        node: 0,
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[test]
fn what_was_written_in_any_order_is_read_and_only_the_owner_may() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("files");
    sweep(&folder, Vec::new()).unwrap();
    let row = row(1, 3);
    let mut incoming = Incoming::create(&folder, &row).unwrap();
    for index in [2, 0, 1_u8] {
        assert!(!incoming.is_complete());
        let frame = Bytes::from(vec![index; 1_000 + usize::from(index)]);
        incoming.write(index.into(), &frame).unwrap();
    }
    assert!(incoming.is_complete());
    assert!(matches!(incoming.write(1, &Bytes::from_static(b"x")), Err(Failure::Twice(1))));
    assert!(open(&folder, &row).is_err(), "not under its name before it is synced");
    incoming.finish().unwrap().keep();
    let file = open(&folder, &row).unwrap();
    for index in 0..3_u8 {
        assert_eq!(read(&file, index.into()).unwrap(), vec![index; 1_000 + usize::from(index)]);
    }
    assert!(matches!(read(&file, 3), Err(Failure::Damaged(3))));
    let only = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    assert_eq!((mode(&folder), mode(&only)), (0o700, 0o600));
    remove(&folder, &row);
    assert_eq!(files(&folder), 0);
}

#[test]
fn what_is_not_kept_goes_away() {
    let folder = tempfile::tempdir().unwrap();
    drop(Incoming::create(folder.path(), &row(1, 1)).unwrap());
    assert_eq!(files(folder.path()), 0);
    let mut incoming = Incoming::create(folder.path(), &row(1, 1)).unwrap();
    incoming.write(0, &Bytes::from_static(b"x")).unwrap();
    drop(incoming.finish().unwrap());
    assert_eq!(files(folder.path()), 0, "its row was not stored");
}

#[test]
fn the_start_sweeps_what_no_row_knows_and_reports_what_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let known = row(1, 1);
    for (number, is_kept) in [(1, true), (2, true), (3, false)] {
        let mut incoming = Incoming::create(folder, &row(number, 1)).unwrap();
        if is_kept {
            incoming.write(0, &Bytes::from_static(b"x")).unwrap();
            incoming.finish().unwrap().keep();
        } else {
            // As after a kill in the middle: nothing is dropped.
            std::mem::forget(incoming);
        }
    }
    std::fs::write(folder.join("notes.txt"), "not ours").unwrap();
    assert_eq!(files(folder), 4);
    let (found, lost) = sweep(folder, vec![known.clone(), row(9, 1)]).unwrap();
    assert_eq!((found, lost), (vec![known.clone()], vec![row(9, 1)]));
    assert_eq!(files(folder), 2, "the known copy, and what somebody else put there");
    assert!(open(folder, &known).is_ok());
}

#[test]
fn a_full_disk_is_told_by_its_code() {
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
        let refusal = Refusal::from(Failure::from(io::Error::from(kind)));
        assert_eq!(refusal, Refusal::storage_full());
    }
}

#[test]
fn parts_choose_chunks_and_never_beyond_the_end() {
    let wanted = |parts: &[(u32, u32)]| -> Vec<u32> {
        Wanted { copy: row(1, 5), parts: parts.to_vec() }.indices().collect()
    };
    assert_eq!(wanted(&[]), vec![0, 1, 2, 3, 4]);
    assert_eq!(wanted(&[(1, 2), (3, 9)]), vec![1, 3, 4]);
    assert_eq!(wanted(&[(7, 9)]), Vec::<u32>::new());
}
