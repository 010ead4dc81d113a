//! The source text itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use chat_tests::{Rig, Scene, Server, workspace};

/// More than this, without the tests at its end, is more than one subject.
const LINES_MAX: usize = 700;

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn all_sources() -> Vec<(PathBuf, String)> {
    let folders = [workspace().join("crates"), workspace().join("tests")];
    let paths: Vec<_> = folders.iter().flat_map(|folder| sources(folder)).collect();
    assert!(paths.len() > 100, "only {} sources found", paths.len());
    paths.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn no_source_file_is_too_long() {
    for (path, text) in all_sources() {
        // Tests stand behind what they test.
        let (code, _tests) = text.split_once("\n#[cfg(test)]\nmod tests {").unwrap_or((&text, ""));
        let lines = code.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines", path.display());
    }
}

#[test]
fn nothing_is_left_for_later() {
    // In two parts, so that this file does not find itself.
    let forbidden =
        [("to", "do!("), ("unimple", "mented!("), ("db", "g!("), ("FIX", "ME"), ("XX", "X:")];
    for (path, text) in all_sources() {
        for (one, two) in forbidden {
            let word = format!("{one}{two}");
            assert!(!text.contains(&word), "{} contains {word}", path.display());
        }
    }
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let crates = std::fs::read_dir(workspace().join("crates")).unwrap();
    let folders = crates
        .map(|entry| entry.unwrap().path())
        .chain([workspace().join("tests"), workspace().join("tests").join("evil-hub")]);
    for folder in folders.filter(|folder| folder.is_dir()) {
        let path = folder.join("Cargo.toml");
        let manifest = std::fs::read_to_string(&path).unwrap();
        let has_lints = manifest.contains("[lints]\nworkspace = true")
            || manifest.contains("lints.workspace = true");
        assert!(has_lints, "{}", path.display());
        let has_version = |line: &str| line.contains(" = \"") && line.contains("version");
        let dependencies = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        assert!(!dependencies.lines().any(has_version), "a version in {}", path.display());
    }
}

/// Goal: a target that is built without its tests has none, or they would never run.
#[test]
fn what_is_not_tested_has_no_tests() {
    let mut count = 0;
    for folder in ["crates/server", "crates/client", "crates/exec", "tests"] {
        let manifest =
            std::fs::read_to_string(workspace().join(folder).join("Cargo.toml")).unwrap();
        for target in manifest.split("[[").filter(|target| target.contains("\ntest = false")) {
            let path = target.lines().find_map(|line| line.strip_prefix("path = \"")).unwrap();
            let path = workspace().join(folder).join(path.trim_end_matches('"'));
            let mut files = vec![path.clone()];
            if folder == "tests" {
                files = sources(path.parent().unwrap());
            }
            for file in files {
                let text = std::fs::read_to_string(&file).unwrap();
                assert!(!text.contains("#[test]"), "{}", file.display());
                count += 1;
            }
        }
    }
    assert!(count > 5, "{count}");
}

/// What the encryption is made of must run in a browser too: no C, no database, no runtime, no operating system.
/// Of a device that is what stands outside of its features.
const CORE: [&str; 3] = ["chat-protocol", "chat-endpoint", "chat-device"];

/// Folders and files of a device that stand behind its features.
const FEATURES: [&str; 4] =
    ["src/host/", "src/host.rs", "src/store/sqlite/", "src/store/sqlite.rs"];

/// Crates that would need one of those. `getrandom` is the one door to the system: salts of signatures and the
/// seeds of wraps come through it, in a browser from the browser.
const OUTSIDE: [&str; 8] =
    ["tokio", "mio", "rusqlite", "aws-lc-rs", "nix", "rustix", "rustls", "tikv-jemallocator"];

#[test]
fn the_core_is_built_of_nothing_that_needs_a_system() {
    for name in CORE {
        let tree = Command::new(env!("CARGO"))
            .current_dir(workspace())
            .args(["tree", "--offline", "--edges", "normal", "--prefix", "none"])
            .args(["--package", name, "--no-default-features"])
            .args(["--features", "chat-protocol/rustcrypto"])
            .output()
            .unwrap();
        assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
        let tree = String::from_utf8(tree.stdout).unwrap();
        let crates: BTreeSet<&str> =
            tree.lines().filter_map(|line| line.split(' ').next()).collect();
        assert!(crates.contains("rsa"), "the portable backend is there: {crates:?}");
        let is_outside = |name: &&&str| OUTSIDE.contains(*name) || name.ends_with("-sys");
        let outside: Vec<_> = crates.iter().filter(is_outside).collect();
        assert!(outside.is_empty(), "{name} needs {outside:?}");
    }
}

#[test]
fn the_core_asks_no_system_for_anything() {
    let forbidden = ["std::fs", "std::net", "std::thread", "SystemTime", "Instant::now"];
    for name in CORE {
        let folder = workspace().join("crates").join(name.trim_start_matches("chat-")).join("src");
        for path in sources(&folder) {
            let shown = path.display().to_string();
            if FEATURES.iter().any(|feature| shown.contains(&format!("/device/{feature}"))) {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for word in forbidden {
                assert!(!text.contains(word), "{} names {word}", path.display());
            }
        }
    }
}

/// Sources in every language of the project, with their texts.
fn everything_written() -> Vec<(PathBuf, String)> {
    let mut found = all_sources();
    for folder in ["scripts", "scripts/vectors"] {
        for entry in std::fs::read_dir(workspace().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|kind| kind == "mjs" || kind == "sh") {
                found.push((path.clone(), std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    found
}

fn protocol() -> String {
    std::fs::read_to_string(workspace().join("docs/PROTOCOL.md")).unwrap()
}

/// The number behind a word, as in `rule 7` or `R7`.
fn number(text: &str) -> Option<u32> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

/// Rules as they are cited, `R7`, and amendments, `A7`.
fn cited(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let rules = words.filter(|word| {
        let digits = word.strip_prefix('R').filter(|digits| (1..=2).contains(&digits.len()));
        digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
    });
    let amendments = text.split("amendment ").skip(1).filter_map(number);
    rules.map(str::to_owned).chain(amendments.map(|number| format!("A{number}"))).collect()
}

#[test]
fn every_rule_that_a_source_cites_stands_in_the_protocol() {
    let protocol = protocol();
    let mut count = 0;
    for (path, text) in everything_written() {
        for name in cited(&text) {
            let entry = format!("\n**{name}.** ");
            assert!(protocol.contains(&entry), "{} cites {name}", path.display());
            count += 1;
        }
    }
    assert!(count > 100, "only {count} citations found");
}

#[test]
fn every_section_that_a_source_cites_stands_in_the_protocol() {
    let protocol = protocol();
    let headings: Vec<&str> = protocol
        .lines()
        .filter_map(|line| line.strip_prefix("## ").or_else(|| line.strip_prefix("### ")))
        .filter_map(|heading| heading.split(' ').next())
        .map(|number| number.trim_end_matches('.'))
        .collect();
    for (path, text) in everything_written() {
        // A section of an RFC is named on the same line as the RFC.
        for line in text.lines().filter(|line| !line.contains("RFC")) {
            for rest in line.split("section ").skip(1) {
                let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'));
                let cited = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
                let cited = cited.trim_end_matches('.');
                let is_there = cited.is_empty() || headings.contains(&cited);
                assert!(is_there, "{}: section {cited}", path.display());
            }
            let is_old = (1..10).any(|part| {
                [format!("(6.{part})"), format!("(6.{part},")].iter().any(|old| line.contains(old))
            });
            assert!(!is_old, "{}: {line}", path.display());
        }
    }
}

/// Long options in the code of the README, with the program of their line.
fn readme_options() -> Vec<(bool, String)> {
    let readme = std::fs::read_to_string(workspace().join("README.md")).unwrap();
    let mut found = Vec::new();
    for line in readme.lines() {
        let is_ours = line.contains("chat-server") || line.contains("chat-client");
        if !is_ours || line.contains("cargo ") {
            continue;
        }
        let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        let options = words.filter(|word| word.len() > 3 && word.starts_with("--"));
        let is_server = line.contains("chat-server") && !line.contains("chat-client");
        found.extend(options.map(|option| (is_server, option.to_owned())));
    }
    found
}

#[test]
fn the_options_of_the_readme_exist() {
    let rig = Rig::new();
    let help = chat_tests::Program::start(Server::command(&rig, "0", &["--help"])).finish();
    let server_help = help.expect_code(0).stdout;
    let client = rig.client("alice", "ws://127.0.0.1:9");
    let mut client_help = client.run_known(&["--help"]).expect_code(0).stdout;
    let commands = [
        "send", "listen", "run", "users", "rooms", "history", "search", "proof", "passwd",
        "account", "agent", "story",
    ];
    for command in commands {
        client_help += &client.run_known(&[command, "--help"]).expect_code(0).stdout;
    }
    let options = readme_options();
    assert!(options.len() > 15, "{options:?}");
    for (is_server, option) in options {
        let is_known = if is_server {
            server_help.contains(&option)
        } else {
            client_help.contains(&option) || server_help.contains(&option)
        };
        assert!(is_known, "README.md: {option} is no option");
    }
}

#[test]
fn the_slash_commands_of_the_readme_exist() {
    let readme = std::fs::read_to_string(workspace().join("README.md")).unwrap();
    let section = readme.split("## Commands of the chat").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let quoted = section.split('`').skip(1).step_by(2);
    let words = quoted.filter(|code| code.starts_with('/'));
    let words: Vec<&str> = words.filter_map(|code| code.split(' ').next()).collect();
    assert!(words.len() > 12, "{words:?}");
    let scene = Scene::empty();
    let lines: Vec<String> = words.iter().map(|word| format!("/help {}", &word[1..])).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let help = scene.client("alice").pipe(&lines, &[]).expect_code(0);
    assert!(!help.stdout.contains("unknown command"), "{help:?}");
    for word in words {
        assert!(help.stdout.contains(word), "README.md: {word} has no help: {help:?}");
    }
}

/// Goal: a server and a device say what is wrong, and each front end says what to type about it.
/// Before: nine sentences of the server named slash commands, which a program without any cannot type.
#[test]
fn the_server_and_the_core_name_no_slash_command() {
    let table = sources(&workspace().join("crates/text/src/input/slash"));
    let table: String = table.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let rows = table.lines().filter_map(|line| line.trim().strip_prefix("name: \""));
    let commands: BTreeSet<&str> = rows.filter_map(|rest| rest.split('"').next()).collect();
    assert!(commands.contains("join") && commands.len() > 40, "{commands:?}");
    for name in ["server", "endpoint", "protocol", "device"] {
        for path in sources(&workspace().join("crates").join(name).join("src")) {
            // The console of the operator tells what people in the lobby may do.
            if path.ends_with("admin/command.rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
                let found = slash_words(line).find(|word| commands.contains(word));
                assert_eq!(found, None, "{}: {line}", path.display());
            }
        }
    }
    let found: Vec<&str> = slash_words(r#""say /join it, or /op; GET /a/who or x/run""#).collect();
    assert_eq!(found, ["join", "op", "a"], "words, and no parts of paths");
}

/// The words of a line that stand behind a slash at the beginning of a word.
fn slash_words(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices('/').filter_map(|(at, _)| {
        let (before, behind) = (line.get(..at)?, line.get(at + 1..)?);
        let inside = |c: char| c.is_alphanumeric() || "/.}".contains(c);
        let begins = !before.ends_with(inside);
        let end = behind.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(behind.len());
        behind.get(..end).filter(|word| begins && !word.is_empty())
    })
}

/// The words behind `start`, as far as a command goes, wherever a document has it.
fn commands(documents: &str, start: &str) -> Vec<String> {
    let ends = ['`', '#', '\n', ')'];
    let behind = documents.split(start).skip(1);
    behind.map(|rest| rest.split(ends).next().unwrap_or_default().trim().to_owned()).collect()
}

fn word_after(words: &str, flag: &str) -> Option<String> {
    let mut words = words.split_whitespace().skip_while(|word| *word != flag);
    words.nth(1).map(str::to_owned)
}

/// Goal: what a document tells to run can be run. The gate runs the benchmarks, `scripts/operations.sh` the
/// examples for operators.
#[test]
fn every_command_that_a_document_names_exists() {
    let documents: Vec<PathBuf> = std::fs::read_dir(workspace().join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .chain([workspace().join("README.md")])
        .collect();
    let read = |path: &PathBuf| std::fs::read_to_string(path).unwrap();
    let text: String = documents.iter().map(read).collect();
    let benches = commands(&text, "cargo bench ");
    assert!(!benches.is_empty());
    for bench in &benches {
        let name = format!("{}.rs", word_after(bench, "--bench").unwrap());
        let mut crates = std::fs::read_dir(workspace().join("crates")).unwrap();
        let is_there = crates.any(|one| one.unwrap().path().join("benches").join(&name).exists());
        assert!(is_there, "cargo bench {bench}: no crate has benches/{name}");
    }
    let sources: String = all_sources().into_iter().map(|(_, text)| text).collect();
    for test in commands(&text, "cargo test ").iter().filter(|test| test.contains("--ignored")) {
        let of_suite = word_after(test, "suite").filter(|name| name != "--");
        if let Some(name) = of_suite {
            let is_there = sources.lines().any(|line| line.contains("fn ") && line.contains(&name));
            assert!(is_there, "cargo test {test}: there is no test {name}");
        }
    }
    for script in commands(&text, "scripts/") {
        let name = script.split([' ', '[']).next().unwrap_or_default();
        if !name.is_empty() {
            let path = workspace().join("scripts").join(name);
            assert!(path.exists(), "scripts/{name} is named and not there");
        }
    }
}
