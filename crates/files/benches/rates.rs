//! Bytes per second on one core: hashing a file, sealing and opening its chunks, and the whole road
//! from chunks that arrive to a file that is written and synced; and what a folder of many files costs.

use std::hint::black_box;
use std::path::Path;

use chat_files::folder::{Cache, SharedFolder, Watch};
use chat_files::keywords::KEYWORD_FILE;
use chat_files::limits::STEP_FILES_MAX;
use chat_files::part::{About, Part, folder};
use chat_files::serve::{Opening, Source};
use chat_protocol::file::catalogue::Audience;
use chat_protocol::file::chunk::{FileHeader, TransferKey, read};
use chat_protocol::frame::RawFrame;
use chat_protocol::header::Recipient;
use chat_protocol::id::{KeyId, MessageId, Nonce16};
use chat_protocol::limits::VERSION;
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::Tag;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Size of the file in bytes: 64 MiB.
const SIZE: usize = 64 * 1024 * 1024;

fn source(path: &Path) -> Source {
    let mut opening = Opening::named(path).expect("the file is there");
    while !opening.step().expect("the file is read") {}
    opening.finish().expect("the file stands still")
}

fn header(index: u32, chunks: u32) -> FileHeader {
    let name = |name| UserName::new(name).expect("a name");
    FileHeader {
        v: VERSION,
        t: Tag::File,
        cid: ConversationId::parse("dm:alice:bob").expect("a conversation"),
        from: name("alice"),
        sk: KeyId([1; 16]),
        to: Recipient::User(name("bob")),
        id: MessageId([2; 16]),
        tid: Nonce16([3; 16]),
        i: index,
        last: index + 1 == chunks,
        ts: 1_790_000_000_000,
    }
}

fn seal(source: &Source, key: &TransferKey, index: u32) -> RawFrame {
    let (data, path) = source.read_chunk(index).expect("the file stands still");
    let header = header(index, source.manifest().chunks());
    RawFrame::decode(key.seal(&header, &path, &data)).expect("a frame")
}

fn rates(criterion: &mut Criterion) {
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join("source");
    let data: Vec<u8> = (0..SIZE).map(|at| (at % 251).to_le_bytes()[0]).collect();
    std::fs::write(&path, data).expect("a file");
    let held = source(&path);
    let key = TransferKey::new(&[9; 32], &Nonce16([3; 16]));
    let chunks = held.manifest().chunks();
    let frames: Vec<RawFrame> = (0..chunks).map(|index| seal(&held, &key, index)).collect();

    let mut group = criterion.benchmark_group("files");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(held.manifest().size));
    group.bench_function("read and hash", |bencher| bencher.iter(|| source(black_box(&path))));
    group.bench_function("read, check and seal", |bencher| {
        bencher.iter(|| (0..chunks).for_each(|index| drop(black_box(seal(&held, &key, index)))));
    });
    group.bench_function("open and check", |bencher| {
        bencher.iter(|| {
            for frame in &frames {
                let header = read(frame).expect("a chunk");
                black_box(key.open(&header, frame, held.manifest()).expect("it opens"));
            }
        });
    });
    group.bench_function("open, check, write, sync and name", |bencher| {
        bencher.iter(|| {
            let dir = folder(place.path()).expect("the folder");
            let mut part =
                Part::begin(dir, held.manifest().clone(), About::default()).expect("room");
            for frame in &frames {
                let header = read(frame).expect("a chunk");
                part.receive(&key, &header, frame).expect("it is written");
            }
            let finished = part.finish().expect("it is whole");
            std::fs::remove_file(finished.path).expect("it is there");
        });
    });
    group.finish();
}

/// A folder of ten thousand small files: the first look of a start, when the roots are cached, and one
/// poll of all of them.
fn folders(criterion: &mut Criterion) {
    let place = tempfile::tempdir().expect("a folder");
    let mut keywords = String::new();
    for n in 0..10_000 {
        std::fs::write(place.path().join(format!("f{n}")), n.to_string()).expect("a file");
        keywords.extend([format!("w{}, f{n}\n", n % 100)]);
    }
    std::fs::write(place.path().join(KEYWORD_FILE), keywords).expect("a file");
    let me = UserName::new("alice").expect("a name");
    let folder =
        SharedFolder::open(place.path(), me, Audience::Everybody, [1; 32]).expect("the folder");
    let look = |cache: Cache| {
        let mut look = folder.look(cache);
        while !folder.step(&mut look, u64::MAX).is_done() {}
        look.finish()
    };
    let (listing, cache) = look(Cache::default());

    let mut group = criterion.benchmark_group("folder of 10,000");
    group.sample_size(10);
    group.throughput(Throughput::Elements(10_000));
    group.bench_function("look, nothing cached", |bencher| {
        bencher.iter(|| look(Cache::default()));
    });
    group.bench_function("look, all cached", |bencher| bencher.iter(|| look(cache.clone())));
    group.bench_function("poll", |bencher| {
        bencher.iter(|| {
            let mut watch = Watch::default();
            for _ in 0..=10_000 / STEP_FILES_MAX {
                assert!(!folder.changed(&listing, &mut watch));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, rates, folders);
criterion_main!(benches);
