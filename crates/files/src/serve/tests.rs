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
