//! Names of files that would do harm if they were believed: sent through the real programs by the
//! hundred.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use chat_tests::Scene;

/// Every name is another one and can be a file's on this system. None has a line end: a line is typed.
fn names() -> Vec<String> {
    let mut names: Vec<String> = WORDS.iter().map(|name| (*name).to_owned()).collect();
    let control = (1..=0x9f).filter_map(char::from_u32).filter(|c| c.is_control() && *c != '\n');
    names.extend(control.map(|c| format!("control{c}[31m.sh")));
    let invisible = ['\u{200b}'..='\u{200f}', '\u{202a}'..='\u{202e}', '\u{2060}'..='\u{2069}'];
    names.extend(invisible.into_iter().flatten().map(|c| format!("photo{c}gpj.exe")));
    let odd = ['\u{ad}', '\u{61c}', '\u{fdd0}', '\u{feff}', '\u{fffd}', '\u{fffe}', '\u{ffff}'];
    let far = ['\u{1fffe}', '\u{e0001}', '\u{e0041}', '\u{f0000}', '\u{10ffff}'];
    names.extend(odd.into_iter().chain(far).flat_map(|c| [c.to_string(), format!("x{c}")]));
    for device in ["con", "PRN", "Aux", "nul", "COM1", "com9", "lpt1", "LPT\u{b9}", "CONIN$"] {
        names.extend([device.to_owned(), format!("{device}.txt"), format!("{device} .a.b")]);
    }
    for unit in ["a", ".", "-", " ", "\u{e9}", "\u{202e}", "\u{1f600}", "._"] {
        names.push(unit.repeat(255 / unit.len()));
        names.push(format!("{}.txt", unit.repeat(251 / unit.len())));
    }
    names
}

const WORDS: &[&str] = &[
    // Upwards, and elsewhere.
    "...",
    "....",
    ". .",
    "..\u{a0}",
    "..\\up",
    "..\\..\\up",
    "\\",
    "\\\\host\\share",
    "C:",
    "C:\\boot.ini",
    "..\u{2215}up",
    "..\u{ff0f}up",
    "..\u{2044}up",
    "..%2f..%2fup",
    "%2e%2e%2fup",
    "..;",
    "~",
    "~root",
    "a:stream",
    "a::$DATA",
    "file:",
    "http:",
    // Hidden, or a program's own.
    ".bashrc",
    ".ssh",
    ".profile",
    ".-",
    "..a",
    ".chat-part-0011223344556677",
    ".chat-part-0011223344556677.state",
    ".chat-part-0011223344556677.new",
    ".chat-",
    "keyword.txt",
    "desktop.ini",
    "autorun.inf",
    "Thumbs.db",
    "id_rsa",
    "authorized_keys",
    "Makefile",
    // Options.
    "-",
    "--",
    "-rf",
    "--help",
    "-o",
    "--output=x",
    "- -",
    "-.-",
    // Sequences for a terminal.
    "a\u{1b}[2Jb",
    "\u{1b}]0;title\u{7}",
    "\u{1b}]8;;http:x\u{1b}\\y",
    "\u{1b}[8mhidden",
    "\u{1b}c",
    "\u{9b}31mred",
    "a\rb",
    "a\u{8}\u{8}\u{8}b",
    "a\tb",
    // Spaces and dots at the ends.
    "two  words ",
    " in front",
    "behind ",
    "behind.",
    "behind. . .",
    "   ",
    "\u{a0}",
    "\u{3000}",
    "\u{85}",
    "x .txt",
    "x.txt.",
    // For a shell, a format, a page, a table.
    "$(reboot)",
    "`reboot`",
    "; reboot",
    "| sh",
    "&& sh",
    "> x",
    "*",
    "?",
    "[a-z]",
    "!",
    "'",
    "\"",
    "it's",
    "a'b\"c",
    "$HOME",
    "%s%n%x",
    "{{7*7}}",
    "<script>",
    "=1+1",
    "@sum",
    "#room",
    "bob",
    // The same after folding or normalising.
    "stra\u{df}e",
    "STRASSE",
    "strasse",
    "caf\u{e9}",
    "cafe\u{301}",
    "CAF\u{c9}",
    "\u{fb01}le",
    "file",
    "FILE",
    "File",
    "\u{212a}",
    "k",
    "K",
    "\u{130}",
    "\u{131}",
    "kept.txt",
    "KEPT.TXT",
    "kept.tx\u{ff54}",
];

/// What is in a folder: for each name its mode and its bytes.
fn content(folder: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let file = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        let about = entry.path().symlink_metadata().unwrap();
        assert!(about.is_file(), "{name:?}");
        (name, (about.permissions().mode() & 0o7777, std::fs::read(entry.path()).unwrap()))
    };
    entries.map(file).collect()
}

/// One word for the input language, whatever is in it.
pub(super) fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_str().unwrap().replace('\'', r#"'"'"'"#))
}

fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !('\u{200b}'..='\u{200f}').contains(&c)
        && !('\u{202a}'..='\u{202e}').contains(&c)
}

/// Goal: a name from outside never leads out of the folder, is never hidden, runs nothing and overwrites
/// nothing, and what has such a name arrives. Method: files with 200 hostile names, each executable and
/// with its name as content, are sent to somebody who takes everything; every file that arrives is
/// looked at. The names that a file system does not allow are tried beside the reduction itself.
#[test]
fn two_hundred_hostile_names_do_no_harm() {
    let scene = Scene::empty();
    let (alice, bob) = (scene.client("alice"), scene.client("bob"));
    let (source, around) = (scene.rig.path("hostile"), scene.rig.path("around"));
    let target = around.join("downloads");
    for folder in [&source, &target] {
        std::fs::create_dir_all(folder).unwrap();
    }
    std::fs::write(target.join("kept.txt"), "was here before").unwrap();
    let bobs = bob.start(&["--downloads", target.to_str().unwrap(), "--accept-from", "alice"]);
    bobs.stdout.wait_for_part("connected to");
    let mut alices = alice.chat();
    let names = names();
    assert!(names.len() >= 200, "{} names", names.len());
    for name in &names {
        let path = source.join(name);
        assert!(!path.exists(), "{name:?} is twice among the names");
        std::fs::write(&path, name).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o4777)).unwrap();
        alices.type_line(&format!("/send {} bob", quoted(&path)));
    }
    bobs.stdout.wait_for_count(names.len(), |line| line.contains("is here, checked"));
    let mut arrived = content(&target);
    let (_, kept) = arrived.remove("kept.txt").unwrap();
    assert_eq!(kept, b"was here before", "overwritten");
    for (name, (mode, _)) in &arrived {
        let is_safe = |c: char| !"/\\:*?\"<>|".contains(c);
        assert!(name.chars().all(is_safe) && !name.starts_with(['.', '-', ' ']), "{name:?}");
        assert_eq!(chat_protocol::sanitise::line(name), name.as_str(), "shown as it is");
        assert!(!name.ends_with(['.', ' ']) && name.len() <= 255, "{name:?}");
        assert_eq!(*mode, 0o600, "{name:?}");
    }
    let mut bytes: Vec<_> = arrived.into_values().map(|(_, bytes)| bytes).collect();
    let mut sent: Vec<_> = names.into_iter().map(String::into_bytes).collect();
    bytes.sort();
    sent.sort();
    assert!(bytes == sent, "each of them is there once");
    assert_eq!(std::fs::read_dir(&around).unwrap().count(), 1, "something is beside the folder");
    assert_eq!(content(&source).len(), sent.len(), "something is where the files came from");
    for lines in [&bobs.stdout, &bobs.stderr, &alices.stdout, &alices.stderr] {
        let text = lines.text();
        let bad = text.lines().find(|line| !line.chars().all(is_harmless));
        assert_eq!(bad, None, "a name reached the terminal as it was");
    }
}
