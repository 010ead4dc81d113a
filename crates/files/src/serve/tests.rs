use std::fs;

use chat_protocol::file::catalogue::Audience;
use chat_protocol::name::UserName;

use super::*;

fn shared(place: &Path) -> SharedFolder {
    let me = UserName::new("alice").unwrap();
    SharedFolder::open(place, me, Audience::Everybody, [1; 32]).unwrap()
}

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at % 251).to_le_bytes()[0]).collect()
}

#[test]
fn every_chunk_climbs_to_the_root() {
    let place = tempfile::tempdir().unwrap();
    let name = RelativePath::new("sub/f").unwrap();
    fs::create_dir(place.path().join("sub")).unwrap();
    for size in [0, 1, FILE_CHUNK_BYTES, 3 * FILE_CHUNK_BYTES + 5] {
        let data = content(size);
        fs::write(place.path().join("sub/f"), &data).unwrap();
        let source = Source::open(&shared(place.path()), &name).unwrap();
        let manifest = source.manifest().clone();
        assert_eq!((manifest.name.as_str(), manifest.size), ("f", u64::try_from(size).unwrap()));
        let mut read = Vec::new();
        for index in 0..manifest.chunks() {
            let (chunk, path) = source.read_chunk(index).unwrap();
            assert_eq!(manifest.verify(index, &path, &chunk), Ok(()));
            read.extend(chunk);
        }
        assert_eq!(read, data);
        assert!(matches!(source.read_chunk(manifest.chunks()), Err(SourceError::File(_))));
        assert!(source.is(&Manifest { name: "other".into(), ..manifest.clone() }));
        assert!(!source.is(&Manifest { size: 77, ..manifest }));
    }
}

#[test]
fn a_file_that_changes_is_not_sent_on() {
    let place = tempfile::tempdir().unwrap();
    let (file, name) = (place.path().join("f"), RelativePath::new("f").unwrap());
    let data = content(2 * FILE_CHUNK_BYTES);
    let open = || {
        fs::write(&file, &data).unwrap();
        Source::open(&shared(place.path()), &name).unwrap()
    };
    let source = open();
    File::options().write(true).open(&file).unwrap().set_len(70_000).unwrap();
    assert!(matches!(source.read_chunk(0), Err(SourceError::Changed)), "shorter");
    assert!(matches!(source.read_chunk(1), Err(SourceError::Changed)), "shorter");

    // Other bytes, and the times set back: only the tree tells.
    let source = open();
    let before = fs::metadata(&file).unwrap().modified().unwrap();
    let writing = File::options().write(true).open(&file).unwrap();
    writing.write_all_at(b"!", 9).unwrap();
    writing.set_modified(before).unwrap();
    assert!(matches!(source.read_chunk(0), Err(SourceError::Changed)));
    assert!(source.read_chunk(1).is_ok(), "this chunk is as it was");

    // Another file under the same name: what was offered is still sent.
    let source = open();
    fs::rename(&file, place.path().join("moved")).unwrap();
    fs::write(&file, "another").unwrap();
    assert!(source.read_chunk(1).is_ok());
    fs::hard_link(place.path().join("moved"), place.path().join("twice")).unwrap();
    assert!(source.read_chunk(1).is_ok(), "a second name changes nothing");
}

#[test]
fn a_file_that_grows_while_it_is_read_is_not_offered() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("f");
    fs::write(&file, content(STEP_BYTES_MAX + 9)).unwrap();
    let mut opening = Opening::named(&file).unwrap();
    assert!(!opening.step().unwrap());
    let writing = File::options().append(true).open(&file).unwrap();
    writing.write_all_at(b"!", 0).unwrap();
    let ended = opening.step().and_then(|_| opening.finish().map(|_| ()));
    assert!(matches!(ended, Err(SourceError::Hash(HashError::Changed))), "{ended:?}");
}

#[test]
fn only_plain_files_are_opened_by_name() {
    let place = tempfile::tempdir().unwrap();
    let pipe = place.path().join("pipe");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert!(matches!(Opening::named(&pipe), Err(SourceError::Open(OpenError::Special))));
    assert!(matches!(Opening::named(place.path()), Err(SourceError::Open(OpenError::Folder))));
    assert!(matches!(Opening::named(&place.path().join("no")), Err(SourceError::Io(_))));
}

/// Reads nothing of a file but its chunks if its tree is kept, and never gives a chunk that is another.
#[test]
fn a_file_given_before_is_not_read_through_again() {
    let place = tempfile::tempdir().unwrap();
    let (file, trees) = (place.path().join("f"), Trees::default());
    fs::write(&file, content(3 * FILE_CHUNK_BYTES)).unwrap();
    let settled = u64::MAX;
    let open = |now_ms| Opening::named(&file).unwrap().read_through(&trees, now_ms).unwrap();
    let is_kept = || trees.get(&Opening::named(&file).unwrap().hashing.stamp()).is_some();
    open(0);
    assert!(!is_kept(), "it may change again without another time");
    let first = open(settled);
    assert!(is_kept());
    let second = open(settled);
    assert!(Arc::ptr_eq(&first.tree, &second.tree), "it was read through again");
    assert_eq!(second.manifest(), first.manifest());
    assert!(second.read_chunk(2).is_ok());

    // Other bytes, and no stamp tells: the tree does, and is not believed again.
    let before = fs::metadata(&file).unwrap();
    let other = File::options().write(true).open(&file).unwrap();
    other.write_all_at(b"!", 9).unwrap();
    other.set_modified(before.modified().unwrap()).unwrap();
    trees.keep(Opening::named(&file).unwrap().hashing.stamp(), Arc::clone(&first.tree));
    let third = open(settled);
    assert_eq!(third.manifest(), first.manifest(), "so the test is one");
    assert!(matches!(third.read_chunk(0), Err(SourceError::Changed)));
    assert!(!is_kept());
    let fourth = open(settled);
    assert_ne!(fourth.manifest().root, first.manifest().root);
    assert!(fourth.read_chunk(0).is_ok());

    // A change that shows is another file.
    fs::write(&file, "short").unwrap();
    assert_eq!(open(settled).manifest().size, 5);
}
