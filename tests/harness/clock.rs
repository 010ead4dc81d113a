//! Another clock for one program, by the library of Debian's `faketime`.

use std::path::PathBuf;

/// Programs can be given a clock of their own here.
pub struct FalseClock {
    library: PathBuf,
}

impl FalseClock {
    /// The library, where it is installed; else says that a test is skipped.
    #[expect(clippy::print_stdout, reason = "what was skipped belongs to what a test says")]
    pub fn found() -> Option<Self> {
        let folders = std::fs::read_dir("/usr/lib").ok().into_iter().flatten().flatten();
        let mut paths = folders.map(|of| of.path().join("faketime/libfaketimeMT.so.1"));
        let library = paths.find(|path| path.is_file());
        if library.is_none() {
            println!("skipped: no faketime");
        }
        library.map(|library| Self { library })
    }

    /// What a program's environment has to hold for this clock: `+3d`, `-200s`, or a date in UTC at which it
    /// starts, `@2026-03-14 23:59:50`. Only the time of day is another one; times of files and waits are not.
    pub fn at(&self, time: &str) -> Vec<(String, String)> {
        let variables = [
            ("LD_PRELOAD", &*self.library.to_string_lossy()),
            ("FAKETIME", time),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("NO_FAKE_STAT", "1"),
            ("TZ", "UTC"),
        ];
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }
}
