use std::fs;
use std::os::unix::fs::symlink;

use chat_protocol::limits::{FILE_BYTES_MAX, OFFER_WORDS_MAX};
use chat_protocol::name::{ConversationId, RoomName};
use tempfile::TempDir;

use super::*;

/// Long after every file of a test was written.
const LATER: u64 = 9_000_000_000_000;

struct Home(TempDir);

impl Home {
    fn new(keywords: &str, files: &[&str]) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        fs::create_dir(home.0.path().join("sub")).unwrap();
        for file in files {
            home.write(file, &format!("content of {file}"));
        }
        home.write(KEYWORD_FILE, keywords);
        home
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.0.path().join(name), content).unwrap();
    }

    fn open(&self, secret: u8) -> SharedFolder {
        let me = UserName::new("alice").unwrap();
        SharedFolder::open(self.0.path(), me, Audience::Everybody, [secret; 32]).unwrap()
    }
}

fn look(folder: &SharedFolder, cache: Cache) -> (Listing, Cache, u64) {
    let mut look = folder.look(cache);
    while !folder.step(&mut look, LATER).is_done() {}
    let hashed = look.progress().hashed;
    let (listing, cache) = look.finish();
    (listing, cache, hashed)
}

fn path(name: &str) -> RelativePath {
    RelativePath::new(name).unwrap()
}

fn texts(listing: &Listing) -> Vec<String> {
    listing.warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_named_and_there_is_offered_to_its_audience() {
    let home = Home::new(
        "Plan, a.txt; b, a.txt; b, sub/b\n[room ops]\nplan, a.txt\n[user bob]\nx, sub/b\n\
         [user alice]\nx, a.txt\n[everybody]\nplan, a.txt; c, a.txt",
        &["a.txt", "sub/b", "unnamed"],
    );
    let folder = home.open(1);
    let (listing, cache, hashed) = look(&folder, Cache::default());
    let mut offers: Vec<_> = listing
        .shared
        .iter()
        .map(|s| (s.audience.to_string(), s.name.as_str(), s.words.join(" ")))
        .collect();
    offers.sort();
    let expected = [
        ("*", "a.txt", "plan b c"),
        ("*", "sub/b", "b"),
        ("dm:alice:bob", "sub/b", "x"),
        ("room:ops", "a.txt", "plan"),
    ];
    let expected = expected.map(|(audience, name, words)| (audience.into(), name, words.into()));
    assert_eq!(offers, expected);
    assert_eq!(
        texts(&listing),
        ["keyword.txt, line 7, column 4: this section is of yourself; name another"]
    );
    for shared in &listing.shared {
        assert_eq!(shared.file.check(), Ok(()));
        assert_eq!(
            shared.file.name,
            shared.name.as_str(),
            "the path tells files of one name apart"
        );
    }
    assert_eq!((hashed, cache.len()), (16 + 16, 2), "once for each file, not for each offer");

    let (again, cache, hashed) = look(&home.open(1), Cache::from_bytes(&cache.to_bytes()));
    assert_eq!((&again.shared, hashed, cache.len()), (&listing.shared, 0, 2), "a restart");
    let (other, ..) = look(&home.open(2), cache);
    assert!(other.shared.iter().all(|o| listing.shared.iter().all(|s| s.id != o.id)));
}

#[test]
fn what_cannot_be_offered_is_a_warning_and_the_rest_goes_on() {
    let lines = "a, missing; b, sub; c, link; d, pipe; e, huge; f, out/x; g, good\nbad";
    let home = Home::new(lines, &["good"]);
    let place = home.0.path();
    symlink("/etc/passwd", place.join("link")).unwrap();
    symlink("/etc", place.join("out")).unwrap();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, place.join("pipe"), fifo, mode, 0).unwrap();
    fs::File::create(place.join("huge")).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
    let (listing, ..) = look(&home.open(1), Cache::default());
    let names: Vec<_> = listing.shared.iter().map(|shared| shared.name.as_str()).collect();
    assert_eq!(names, ["good"]);
    let expected = [
        "line 2, column 1: there is no comma",
        "line 1, column 4: missing is not shared: there is no such file",
        "line 1, column 16: sub is not shared: it is a folder",
        "line 1, column 24: link is not shared: a symbolic link",
        "line 1, column 33: pipe is not shared: it is a device",
        "line 1, column 42: huge is not shared: a file of 17179869185 bytes",
        "line 1, column 51: out/x is not shared: a symbolic link",
    ];
    let texts = texts(&listing);
    assert_eq!(texts.len(), expected.len(), "{texts:#?}");
    for (text, expected) in texts.iter().zip(expected) {
        assert!(text.contains(expected), "{text} is not {expected}");
    }
}

#[test]
fn a_keyword_file_that_is_not_there_or_a_link_shares_nothing() {
    let home = Home::new("", &["a"]);
    fs::remove_file(home.0.path().join(KEYWORD_FILE)).unwrap();
    let (listing, ..) = look(&home.open(1), Cache::default());
    assert!(listing.shared.is_empty() && texts(&listing)[0].contains("not in the shared folder"));
    assert!(listing.is_blank && !listing.is_mistaken);
    home.write("real", "a, a");
    symlink("real", home.0.path().join(KEYWORD_FILE)).unwrap();
    let (listing, ..) = look(&home.open(1), Cache::default());
    assert!(listing.shared.is_empty() && texts(&listing)[0].contains("a symbolic link"));
    let refused = home.open(1).share(&path("a"), &Scope::Unsaid, &["w".into()]);
    assert!(matches!(refused, Err(ShareError::Keywords(OpenError::Link))));
}

#[test]
fn changes_are_seen_and_told_as_differences() {
    let home = Home::new("w, a; w, b; w, c", &["a", "b"]);
    let folder = home.open(1);
    let (first, cache, _) = look(&folder, Cache::default());
    let mut watch = Watch::default();
    assert!(!folder.changed(&first, &mut watch) && !folder.changed(&first, &mut watch));

    home.write("a", "something else");
    assert!(folder.changed(&first, &mut watch));
    fs::remove_file(home.0.path().join("b")).unwrap();
    home.write("c", "new");
    let (second, cache, hashed) = look(&folder, cache);
    assert_eq!(hashed, 14 + 3);
    let names = |list: &[Shared]| {
        let mut names: Vec<_> = list.iter().map(|shared| shared.name.as_str().to_owned()).collect();
        names.sort();
        names
    };
    let told = difference(&first.shared, &second.shared);
    assert_eq!((names(&told.added), names(&told.changed)), (vec!["c".into()], vec!["a".into()]));
    assert_eq!(told.gone, [folder.offer_id(&Audience::Everybody, &path("b"))]);
    assert_eq!(difference(&second.shared, &second.shared), Difference::default());

    // A named file that appears, and keywords that change.
    assert!(!folder.changed(&second, &mut watch));
    home.write("b", "back");
    assert!(folder.changed(&second, &mut watch));
    let (third, cache, _) = look(&folder, cache);
    home.write(KEYWORD_FILE, "w, a; v, a");
    assert!(folder.changed(&third, &mut watch));
    let (fourth, cache, hashed) = look(&folder, cache);
    assert_eq!((hashed, cache.len()), (0, 1), "roots of files that are not named are forgotten");
    let told = difference(&third.shared, &fourth.shared);
    assert_eq!((told.added.len(), told.changed.len(), told.gone.len()), (0, 1, 2));
}

#[test]
fn a_file_that_was_changed_a_moment_ago_is_not_cached() {
    let home = Home::new("w, a", &["a"]);
    let folder = home.open(1);
    let written = fs::metadata(home.0.path().join("a")).unwrap();
    let written_ms = u64::try_from(Stamp::new(&written).changed.0).unwrap() * 1_000;
    for (after_ms, kept) in [(0, 0), (1_500, 0), (3_001, 1)] {
        let mut look = folder.look(Cache::default());
        while !folder.step(&mut look, written_ms + after_ms).is_done() {}
        let (listing, cache) = look.finish();
        assert_eq!((listing.shared.len(), cache.len()), (1, kept), "{after_ms}");
    }
}

#[test]
fn work_is_done_in_bounded_steps_and_not_twice() {
    let names: Vec<_> = (0..700).map(|n| format!("f{n}")).collect();
    let keywords: Vec<_> = names.iter().map(|name| format!("w, {name}\n")).collect();
    let home = Home::new(&(keywords.concat() + "w, big"), &[]);
    for name in &names {
        home.write(name, name);
    }
    let big = fs::File::create(home.0.path().join("big")).unwrap();
    big.set_len(3 * 8 * 1024 * 1024).unwrap();
    let folder = home.open(1);
    let mut look = folder.look(Cache::default());
    let (mut steps, mut last) = (0, look.progress());
    loop {
        let next = folder.step(&mut look, LATER);
        steps += 1;
        assert!(next.files - last.files <= STEP_FILES_MAX);
        assert!(next.hashed - last.hashed <= 2 * 8 * 1024 * 1024, "{}", next.hashed - last.hashed);
        last = next;
        if next.is_done() {
            break;
        }
        if steps == 2 {
            look = folder.look(look.stop());
            last = look.progress();
        }
    }
    assert!((6..12).contains(&steps), "{steps}");
    let (listing, cache) = look.finish();
    assert_eq!((listing.shared.len(), cache.len()), (701, 701));
    assert!(listing.shared.is_sorted_by_key(|shared| shared.id));
    // All of them are watched, some in each call.
    fs::write(home.0.path().join("f699"), "other").unwrap();
    let mut watch = Watch::default();
    let calls = (0..9).position(|_| folder.changed(&listing, &mut watch));
    assert_eq!(calls, Some(2));
}

#[test]
fn files_are_shared_and_unshared_by_name() {
    let home = Home::new("# mine\nw, a\n", &["a", "sub/b, c"]);
    let folder = home.open(1);
    let ops = Scope::Room(RoomName::new("ops").unwrap());
    let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    folder.share(&path("sub/b, c"), &ops, &words(&["X", "y"])).unwrap();
    let text = || fs::read_to_string(home.0.path().join(KEYWORD_FILE)).unwrap();
    assert_eq!(text(), "# mine\nw, a\n[room ops]\nx, \"sub/b, c\"\ny, \"sub/b, c\"\n");
    let (listing, ..) = look(&folder, Cache::default());
    let room = Audience::Conversation(ConversationId::parse("room:ops").unwrap());
    assert!(listing.shared.iter().any(|s| s.audience == room && s.words == ["x", "y"]));
    assert_eq!(folder.unshare("a", None, &[]).unwrap(), 1);
    assert_eq!(folder.unshare("sub/b, c", Some(&ops), &words(&["x"])).unwrap(), 1);
    assert_eq!(text(), "# mine\n[room ops]\ny, \"sub/b, c\"\n");
    assert_eq!(folder.unshare("nothing", None, &[]).unwrap(), 0);
    let missing = folder.share(&path("none"), &ops, &words(&["x"]));
    assert!(matches!(missing, Err(ShareError::File(OpenError::Absent))));
    let many: Vec<_> = (0..=OFFER_WORDS_MAX).map(|n| n.to_string()).collect();
    assert!(matches!(folder.share(&path("a"), &ops, &many), Err(ShareError::Edit(_))));
    assert_eq!(text(), "# mine\n[room ops]\ny, \"sub/b, c\"\n");
    // The first file of a folder makes keyword.txt.
    fs::remove_file(home.0.path().join(KEYWORD_FILE)).unwrap();
    folder.share(&path("a"), &Scope::Unsaid, &words(&["x"])).unwrap();
    assert_eq!(text(), "x, a\n");
    let left: Vec<_> = fs::read_dir(home.0.path()).unwrap().collect();
    assert_eq!(left.len(), 3, "nothing temporary is left");
}
