//! Both ways of opening, against everything that can lie in a folder and against somebody who
//! swaps things while they are opened.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, fs::symlink, net::UnixListener},
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use rustix::fs::{CWD, FileType, RenameFlags, mknodat, renameat_with};
use tempfile::TempDir;

use super::*;

const WAYS: [Way; 2] = [Way::AtOnce, Way::StepByStep];
const SECRET: &str = "outside";

/// A folder `in` with things in it, and a folder `out` beside it.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(place.path("in/real")).unwrap();
        fs::create_dir(place.path("out")).unwrap();
        for file in ["out/file", "secret"] {
            fs::write(place.path(file), SECRET).unwrap();
        }
        for file in ["in/file", "in/real/file", "in/.hidden"] {
            fs::write(place.path(file), "inside").unwrap();
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn folder(&self, way: Way) -> Folder {
        Folder { way, ..Folder::open(&self.path("in")).unwrap() }
    }
}

fn relative(path: &str) -> RelativePath {
    RelativePath::new(path).unwrap()
}

fn read(folder: &Folder, path: &str) -> Result<String, OpenError> {
    let mut text = String::new();
    folder.open_file(&relative(path))?.file.read_to_string(&mut text).map_err(OpenError::System)?;
    Ok(text)
}

#[test]
fn this_kernel_goes_the_way_at_once() {
    assert_eq!(Folder::open(&Place::new().path("in")).unwrap().way, Way::AtOnce);
}

#[test]
fn only_regular_files_inside_are_opened() {
    let place = Place::new();
    for (target, link) in [
        ("../secret", "in/out-file"),
        ("../out", "in/out-folder"),
        ("file", "in/to-file"),
        ("real", "in/to-real"),
        ("/proc/self/root", "in/magic"),
        ("nowhere", "in/dangling"),
        ("loop", "in/loop"),
    ] {
        symlink(target, place.path(link)).unwrap();
    }
    mknodat(CWD, place.path("in/pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let _socket = UnixListener::bind(place.path("in/socket")).unwrap();
    for way in WAYS {
        let folder = place.folder(way);
        assert_eq!(read(&folder, "file").unwrap(), "inside");
        assert_eq!(read(&folder, "real/file").unwrap(), "inside");
        assert_eq!(read(&folder, ".hidden").unwrap(), "inside", "a rule for the caller");
        for link in ["out-file", "to-file", "dangling", "loop"] {
            let error = read(&folder, link).unwrap_err();
            assert!(matches!(error, OpenError::Link), "{way:?} {link}: {error:?}");
        }
        for path in ["out-folder/file", "to-real/file", "magic/etc/passwd"] {
            let error = read(&folder, path).unwrap_err();
            assert!(
                matches!(error, OpenError::Link | OpenError::Absent),
                "{way:?} {path}: {error:?}"
            );
        }
        for path in ["nothing", "nothing/file", "file/file", &"x".repeat(255)] {
            let error = read(&folder, path).unwrap_err();
            assert!(matches!(error, OpenError::Absent), "{way:?} {path}: {error:?}");
        }
        assert!(matches!(read(&folder, "real").unwrap_err(), OpenError::Folder), "{way:?}");
        for special in ["pipe", "socket"] {
            let error = read(&folder, special).unwrap_err();
            assert!(matches!(error, OpenError::Special), "{way:?} {special}: {error:?}");
        }
    }
}

#[test]
fn a_device_is_never_opened_as_a_file() {
    for way in WAYS {
        let folder = Folder { way, ..Folder::open(Path::new("/dev")).unwrap() };
        for device in ["null", "zero", "tty"] {
            let error = read(&folder, device).unwrap_err();
            assert!(matches!(error, OpenError::Special | OpenError::Denied), "{way:?} {device}");
        }
    }
}

#[test]
fn a_new_file_is_private_and_nothing_is_overwritten() {
    let place = Place::new();
    symlink("../out", place.path("in/link")).unwrap();
    symlink("../out/made", place.path("in/dangling")).unwrap();
    for (way, name) in WAYS.into_iter().zip(["real/first", "real/second"]) {
        let folder = place.folder(way);
        let mut file = folder.create_file(&relative(name)).unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        for taken in [name, "file", "real", "dangling"] {
            let error = folder.create_file(&relative(taken)).unwrap_err();
            assert!(
                matches!(error, CreateError::Exists | CreateError::Link),
                "{way:?} {taken}: {error:?}"
            );
        }
        assert_eq!(read(&folder, name).unwrap(), "new", "not emptied by the second try");
        let error = folder.create_file(&relative("link/made")).unwrap_err();
        assert!(matches!(error, CreateError::Link | CreateError::Absent), "{way:?}: {error:?}");
        let error = folder.create_file(&relative("nothing/made")).unwrap_err();
        assert!(matches!(error, CreateError::Absent), "{way:?}: {error:?}");
    }
    assert_eq!(fs::read_dir(place.path("out")).unwrap().count(), 1);
}

#[test]
fn the_folder_stays_the_same_when_another_takes_its_name() {
    let place = Place::new();
    let folder = place.folder(Way::AtOnce);
    fs::rename(place.path("in"), place.path("moved")).unwrap();
    symlink("out", place.path("in")).unwrap();
    assert_eq!(read(&folder, "file").unwrap(), "inside");
}

#[test]
fn a_folder_that_is_none_is_refused_with_its_name() {
    let place = Place::new();
    for name in ["nothing", "secret"] {
        let error = Folder::open(&place.path(name)).unwrap_err().to_string();
        assert!(error.starts_with("cannot open the folder ") && error.contains(name), "{error}");
    }
}

/// Exchanges each pair of names, over and over, until `work` is done.
fn while_swapping<T>(pairs: &[(PathBuf, PathBuf)], work: impl FnOnce() -> T) -> T {
    /// Ends the swapping also when `work` panics; the scope would wait for it for ever.
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let _done = Done(&is_done);
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                for (a, b) in pairs {
                    renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).unwrap();
                }
            }
        });
        work()
    })
}

/// Goal: no open ever leaves the folder. Method: a thread exchanges a file and a folder for links
/// to the outside, without a moment in between, while they are opened 100,000 times.
#[test]
fn a_link_swapped_in_while_opening_is_no_way_out() {
    const OPENS: usize = 100_000;
    let place = Place::new();
    symlink("../secret", place.path("in/swap-file")).unwrap();
    symlink("../out", place.path("in/swap-folder")).unwrap();
    let pairs = [("in/file", "in/swap-file"), ("in/real", "in/swap-folder")]
        .map(|(a, b)| (place.path(a), place.path(b)));
    let (mut opened, mut refused) = (0, 0);
    while_swapping(&pairs, || {
        for index in 0..OPENS {
            let folder = place.folder(WAYS[index % 2]);
            let path = ["file", "real/file"][index / 2 % 2];
            match read(&folder, path) {
                Ok(text) => {
                    assert_eq!(text, "inside", "escaped at {index} over {path}");
                    opened += 1;
                }
                Err(OpenError::Link | OpenError::Absent) => refused += 1,
                Err(error) => panic!("{path}: {error:?}"),
            }
        }
    });
    assert_eq!(opened + refused, OPENS);
    assert!(opened > OPENS / 100 && refused > OPENS / 100, "no race: {opened} and {refused}");
}

/// The same for making files: what is outside stays as it was.
#[test]
fn a_link_swapped_in_while_creating_is_no_way_out() {
    const FILES: usize = 10_000;
    let place = Place::new();
    symlink("../out", place.path("in/swap-folder")).unwrap();
    let pairs = [(place.path("in/real"), place.path("in/swap-folder"))];
    let (mut made, mut refused) = (0, 0);
    while_swapping(&pairs, || {
        for index in 0..FILES {
            let folder = place.folder(WAYS[index % 2]);
            match folder.create_file(&relative(&format!("real/{index}"))) {
                Ok(_) => made += 1,
                Err(CreateError::Link | CreateError::Absent) => refused += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
    });
    assert!(made > FILES / 100 && refused > FILES / 100, "no race: {made} and {refused}");
    assert_eq!(fs::read_dir(place.path("out")).unwrap().count(), 1, "a file was made outside");
}
