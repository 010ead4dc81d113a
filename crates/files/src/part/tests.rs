//! On a real disk here; on one that fails, in `sim`.

mod sim;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use chat_protocol::file::chunk::read;
use chat_protocol::file::{TreeBuilder, name};
use chat_protocol::header::Recipient;
use chat_protocol::id::{KeyId, MessageId, Nonce16};
use chat_protocol::limits::VERSION;
use chat_protocol::merkle::Tree;
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::Tag;
use tempfile::TempDir;

use super::*;

/// A file that could be received.
struct Sample {
    data: Vec<u8>,
    tree: Tree,
    manifest: Manifest,
}

impl Sample {
    fn new(name: &str, size: usize) -> Self {
        let data: Vec<u8> =
            (0..size).map(|at| (at * 7 + at / 65_536 + size).to_le_bytes()[0]).collect();
        let mut builder = TreeBuilder::default();
        data.chunks(FILE_CHUNK_BYTES).for_each(|chunk| builder.add(chunk).unwrap());
        let (tree, size) = builder.finish();
        let manifest = Manifest { name: name.into(), size, root: Digest(tree.root()) };
        Self { data, tree, manifest }
    }

    fn chunk(&self, index: u32) -> &[u8] {
        let start = usize::try_from(offset(index)).unwrap();
        &self.data[start..start + self.manifest.chunk_length(index).unwrap()]
    }

    fn frame(&self, key: &TransferKey, index: u32) -> (FileHeader, RawFrame) {
        let header = FileHeader {
            v: VERSION,
            t: Tag::File,
            cid: ConversationId::parse("dm:alice:bob").unwrap(),
            from: UserName::new("alice").unwrap(),
            sk: KeyId([1; 16]),
            to: Recipient::User(UserName::new("bob").unwrap()),
            id: MessageId([2; 16]),
            tid: Nonce16([3; 16]),
            i: index,
            last: index + 1 == self.manifest.chunks(),
            ts: 1_790_000_000_000,
        };
        let path = self.tree.path(usize::try_from(index).unwrap());
        let frame = RawFrame::decode(key.seal(&header, &path, self.chunk(index))).unwrap();
        (read(&frame).unwrap(), frame)
    }

    fn receive(&self, part: &mut Part, indices: impl IntoIterator<Item = u32>) {
        let key = key();
        for index in indices {
            let (header, frame) = self.frame(&key, index);
            assert_eq!(part.receive(&key, &header, &frame).unwrap(), Put::New);
        }
    }

    fn begin(&self, place: &Path) -> Result<Part, PartError> {
        Part::begin(folder(place)?, self.manifest.clone(), About::default())
    }
}

fn key() -> TransferKey {
    TransferKey::new(&[9; 32], &Nonce16([3; 16]))
}

fn names(place: &TempDir) -> Vec<String> {
    let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string();
    let mut names: Vec<_> =
        fs::read_dir(place.path()).unwrap().map(|entry| name(entry).unwrap()).collect();
    names.sort();
    names
}

const SIZE: usize = 5 * FILE_CHUNK_BYTES + 77;

#[test]
fn a_file_arrives_in_any_order_and_over_several_attempts() {
    let place = tempfile::tempdir().unwrap();
    let sample = Sample::new("dir/a b.txt", SIZE);
    let about = About { words: vec!["plan".into()], note: "alice".into() };
    let mut part =
        Part::begin(folder(place.path()).unwrap(), sample.manifest.clone(), about.clone()).unwrap();
    assert_eq!(part.missing(), [(0, 6)]);
    sample.receive(&mut part, [5, 2]);
    let (header, frame) = sample.frame(&key(), 2);
    assert_eq!(part.receive(&key(), &header, &frame).unwrap(), Put::Again);
    assert_eq!(part.missing(), [(0, 2), (3, 5)]);
    drop(part);
    let listed = list(&folder(place.path()).unwrap()).unwrap();
    assert_eq!(
        listed,
        [Resumable { manifest: sample.manifest.clone(), about: about.clone(), have: 2 }]
    );
    assert!(names(&place).iter().all(|name| name.starts_with(OWN_PREFIX)), "no final name yet");

    let mut part = sample.begin(place.path()).unwrap();
    assert_eq!((part.have(), part.about()), (2, &about));
    sample.receive(&mut part, [0, 4, 3]);
    assert!(!part.is_complete());
    sample.receive(&mut part, [1]);
    let finished = part.finish().unwrap();
    assert_eq!(finished.path, place.path().join("a b.txt"));
    assert_eq!(fs::read(&finished.path).unwrap(), sample.data);
    assert_eq!(fs::metadata(&finished.path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(names(&place), ["a b.txt"]);
    assert_eq!(list(&folder(place.path()).unwrap()).unwrap(), []);
}

#[test]
fn an_empty_file_and_an_unfinished_one() {
    let place = tempfile::tempdir().unwrap();
    let sample = Sample::new("empty", 0);
    let part = sample.begin(place.path()).unwrap();
    assert!(matches!(part.finish(), Err(PartError::Missing { missing: 1 })));
    let mut part = sample.begin(place.path()).unwrap();
    sample.receive(&mut part, [0]);
    part.finish().unwrap();
    assert_eq!(fs::read(place.path().join("empty")).unwrap(), b"");
}

#[test]
fn one_transfer_at_a_time_and_several_files_at_once() {
    let place = tempfile::tempdir().unwrap();
    let (one, other) = (Sample::new("one", SIZE), Sample::new("other", SIZE + 1));
    let mut part = one.begin(place.path()).unwrap();
    assert!(matches!(one.begin(place.path()), Err(PartError::Busy)));
    let dir = folder(place.path()).unwrap();
    assert!(matches!(discard(&dir, &one.manifest.root), Err(PartError::Busy)));
    let mut second = other.begin(place.path()).unwrap();
    one.receive(&mut part, 0..6);
    other.receive(&mut second, 0..3);
    assert_eq!(list(&dir).unwrap().len(), 2);
    part.finish().unwrap();
    second.discard().unwrap();
    assert_eq!(names(&place), ["one"]);
    one.begin(place.path()).unwrap().save().unwrap();
    discard(&dir, &one.manifest.root).unwrap();
    assert_eq!(names(&place), ["one"]);
}

#[test]
fn a_manifest_that_lies_does_not_spoil_what_is_there() {
    let place = tempfile::tempdir().unwrap();
    let sample = Sample::new("one", SIZE);
    let mut part = sample.begin(place.path()).unwrap();
    sample.receive(&mut part, 0..3);
    drop(part);
    let lie = Manifest { size: 9, ..sample.manifest.clone() };
    let begun = Part::begin(folder(place.path()).unwrap(), lie, About::default());
    assert!(matches!(begun, Err(PartError::Other)));
    let part = sample.begin(place.path()).unwrap();
    assert_eq!(part.have(), 3);
    let key = key();
    let (header, frame) = Sample::new("x", SIZE + 1).frame(&key, 4);
    let mut part = part;
    assert!(matches!(part.receive(&key, &header, &frame), Err(PartError::File(_))));
    assert_eq!(part.have(), 3);
}

#[test]
fn damage_on_the_disk_never_gets_the_final_name() {
    let place = tempfile::tempdir().unwrap();
    let sample = Sample::new("one", SIZE);
    let mut part = sample.begin(place.path()).unwrap();
    sample.receive(&mut part, 0..4);
    let data = place.path().join(&part.names.data);
    drop(part);
    let mut bytes = fs::read(&data).unwrap();
    bytes[70_000] ^= 1;
    fs::write(&data, &bytes).unwrap();
    let mut part = sample.begin(place.path()).unwrap();
    sample.receive(&mut part, 4..6);
    assert!(matches!(part.finish(), Err(PartError::Damaged)));
    let mut part = sample.begin(place.path()).unwrap();
    assert_eq!(part.have(), 0);
    sample.receive(&mut part, 0..6);
    part.finish().unwrap();
    assert_eq!(fs::read(place.path().join("one")).unwrap(), sample.data);
    // A part that was cut, or whose state is damaged, begins anew.
    for ending in ["", STATE_ENDING] {
        let mut part = sample.begin(place.path()).unwrap();
        sample.receive(&mut part, 0..4);
        let name = place.path().join(format!("{}{ending}", part.names.data));
        drop(part);
        fs::write(name, b"short").unwrap();
        let part = sample.begin(place.path()).unwrap();
        assert_eq!(part.have(), 0);
        part.discard().unwrap();
    }
}

#[test]
fn chunks_opened_elsewhere_are_checked_at_the_end() {
    let place = tempfile::tempdir().unwrap();
    let (sample, other) = (Sample::new("one", 500), Sample::new("other", 500));
    let mut lying = other.manifest.clone();
    lying.root = sample.manifest.root;
    let key = key();
    let mut bytes = other.data.clone();
    bytes[0] ^= 1;
    let foreign = Sample { data: bytes.clone(), ..Sample::new("other", 500) };
    let mut builder = TreeBuilder::default();
    builder.add(&bytes).unwrap();
    let manifest = Manifest { root: Digest(builder.finish().0.root()), ..lying };
    let (header, frame) = foreign.frame(&key, 0);
    let chunk = key.open(&header, &frame, &manifest).unwrap();
    let mut part = sample.begin(place.path()).unwrap();
    assert_eq!(part.put(&chunk).unwrap(), Put::New);
    assert!(matches!(part.finish(), Err(PartError::Damaged)));
    assert!(!place.path().join("one").exists());
}

#[test]
fn nothing_is_overwritten_and_no_link_followed() {
    let (place, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let victim = outside.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    fs::write(place.path().join("a.txt"), "mine").unwrap();
    symlink(&victim, place.path().join("a (1).txt")).unwrap();
    symlink(outside.path().join("nothing"), place.path().join("a (2).txt")).unwrap();
    fs::create_dir(place.path().join("a (3).txt")).unwrap();
    let sample = Sample::new("a.txt", 100);
    let mut part = sample.begin(place.path()).unwrap();
    sample.receive(&mut part, [0]);
    assert_eq!(part.finish().unwrap().name, "a (4).txt");
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    assert_eq!(fs::read(place.path().join("a.txt")).unwrap(), b"mine");
    assert!(!outside.path().join("nothing").exists());

    // The part's own name is a link, a second name of another file, or a pipe.
    let data = place.path().join(Names::new(&sample.manifest.root).data);
    symlink(&victim, &data).unwrap();
    assert!(sample.begin(place.path()).is_err());
    fs::remove_file(&data).unwrap();
    fs::hard_link(&victim, &data).unwrap();
    assert!(sample.begin(place.path()).is_err());
    fs::remove_file(&data).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &data,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    assert!(sample.begin(place.path()).is_err());
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
}

#[test]
fn a_folder_that_is_swapped_stays_the_one_that_was_opened() {
    let place = tempfile::tempdir().unwrap();
    let (real, moved, other) =
        (place.path().join("real"), place.path().join("moved"), place.path().join("other"));
    fs::create_dir(&real).unwrap();
    fs::create_dir(&other).unwrap();
    let sample = Sample::new("a", SIZE);
    let mut part = sample.begin(&real).unwrap();
    fs::rename(&real, &moved).unwrap();
    symlink(&other, &real).unwrap();
    sample.receive(&mut part, 0..6);
    part.finish().unwrap();
    assert_eq!(fs::read(moved.join("a")).unwrap(), sample.data);
    assert_eq!(fs::read_dir(&other).unwrap().count(), 0);
}

/// Two hundred names that somebody could think of: pieces of attacks, put together.
#[test]
fn hostile_names_land_as_plain_files_in_the_folder() {
    let place = tempfile::tempdir().unwrap();
    let inside = place.path().join("in");
    fs::create_dir(&inside).unwrap();
    let dir = || folder(&inside).unwrap();
    let fronts = ["../", "/", "~/", "..\\", "C:\\", "-", ".", "\u{202e}", "a/../../", "con", "\0"];
    let middles =
        ["passwd", "", "..", "$(reboot)", "`id`", "a\nb", "\u{1b}[2J", "é\u{301}", "%2e%2e"];
    let ends = ["", "/", ".", ".exe ", "\u{0}.txt"];
    let mut all = Vec::new();
    for front in fronts {
        for middle in middles {
            all.extend(ends.iter().map(|end| format!("{front}{middle}{end}")));
        }
    }
    let mut seen = 0;
    for (n, claimed) in all.into_iter().enumerate() {
        let sample = Sample::new(&claimed, n + 1);
        let mut part = Part::begin(dir(), sample.manifest.clone(), About::default()).unwrap();
        sample.receive(&mut part, [0]);
        let finished = part.finish().unwrap();
        let shown = chat_protocol::sanitise::line(&finished.name);
        assert_eq!(shown, finished.name.as_str(), "{claimed:?} is shown as it is");
        assert!(
            !finished.name.contains(['/', '\\', ':']),
            "{claimed:?} became {:?}",
            finished.name
        );
        assert!(finished.name.starts_with(name::reduce(&claimed).split('.').next().unwrap()));
        let about = fs::symlink_metadata(&finished.path).unwrap();
        assert!(about.is_file() && about.permissions().mode() & 0o7777 == 0o600);
        assert_eq!(fs::read(&finished.path).unwrap(), sample.data, "{claimed:?}");
        seen += 1;
    }
    assert!(seen >= 200);
    assert_eq!(fs::read_dir(&inside).unwrap().count(), seen);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing beside the folder");
}
