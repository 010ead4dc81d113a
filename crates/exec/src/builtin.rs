//! The harmless list: what a server without a policy file lets every account run, so that the first
//! try works. Options are allowed one by one; whatever could write, wait, read a named file or run
//! something else is absent.

use std::path::{Component, Path};

/// What the words after the program's name may be.
enum Words {
    /// Nothing may follow.
    None,
    /// Anything may follow: the program only prints it.
    Any,
    /// Clusters of these single-letter options, these long words, and nothing else.
    Options { letters: &'static str, words: &'static [&'static str] },
    /// Those options, a `+FORMAT`, and nothing else.
    OptionsAndFormat { letters: &'static str, words: &'static [&'static str] },
    /// Those options and paths below the work directory.
    OptionsAndPaths { letters: &'static str, words: &'static [&'static str] },
}

/// Program and what may follow it. Missing on purpose: `date -s` sets the clock and `-f` reads a
/// file, `hostname NAME` sets it and `-F` reads a file, `free -s` never ends.
const PROGRAMS: [(&str, Words); 11] = [
    ("uname", Words::Options { letters: "asnrvmpio", words: &["--all"] }),
    ("uptime", Words::Options { letters: "ps", words: &["--pretty", "--since"] }),
    ("date", Words::OptionsAndFormat { letters: "uR", words: &["--utc", "-I", "-Iseconds"] }),
    ("hostname", Words::Options { letters: "sf", words: &["--short", "--fqdn"] }),
    ("whoami", Words::None),
    ("df", Words::Options { letters: "ahHikmlPT", words: &["--human-readable", "--total"] }),
    ("free", Words::Options { letters: "bkmghltw", words: &["--human", "--total"] }),
    ("echo", Words::Any),
    ("true", Words::None),
    ("false", Words::None),
    ("ls", Words::OptionsAndPaths { letters: "1aAdFghilnoprsStX", words: &["--all"] }),
];

/// Whether the harmless list allows this argument vector; otherwise the reason for people.
pub(crate) fn check(argv: &[String], work_dir: &Path) -> Result<(), String> {
    let Some((program, words)) = argv.split_first() else {
        return Err("no program is named".to_owned());
    };
    let Some((_, allowed)) = PROGRAMS.iter().find(|(name, _)| name == program) else {
        return Err(format!(
            "{program:?} is not on the built-in list ({}); the operator of this machine can allow \
             more in a policy file",
            names()
        ));
    };
    match words.iter().find(|word| !allowed.allow(word, work_dir)) {
        None => Ok(()),
        Some(word) => Err(format!("the built-in list does not allow {word:?} for {program}")),
    }
}

/// The programs of the list.
pub(crate) fn names() -> String {
    let names: Vec<_> = PROGRAMS.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

impl Words {
    fn allow(&self, word: &str, work_dir: &Path) -> bool {
        match self {
            Self::None => false,
            Self::Any => true,
            Self::Options { letters, words } => is_option(word, letters, words),
            Self::OptionsAndFormat { letters, words } => {
                word.starts_with('+') || is_option(word, letters, words)
            }
            Self::OptionsAndPaths { letters, words } => {
                is_option(word, letters, words) || is_below(word, work_dir)
            }
        }
    }
}

fn is_option(word: &str, letters: &str, words: &[&str]) -> bool {
    words.contains(&word)
        || word.strip_prefix('-').is_some_and(|cluster| {
            !cluster.is_empty() && cluster.chars().all(|letter| letters.contains(letter))
        })
}

/// A relative path that never climbs, or an absolute one inside the work directory. A link that
/// leads elsewhere is the sandbox's business.
fn is_below(word: &str, work_dir: &Path) -> bool {
    let path = Path::new(word);
    let climbs = path.components().any(|part| part == Component::ParentDir);
    !word.is_empty()
        && !word.starts_with('-')
        && !climbs
        && (path.is_relative() || path.starts_with(work_dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(line: &str) -> bool {
        let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
        check(&argv, Path::new("/srv/agent")).is_ok()
    }

    /// Goal: the first try works. Method: the lines a new user types.
    #[test]
    fn harmless_lines_are_allowed() {
        for line in [
            "uname -a",
            "uptime -p",
            "date",
            "date -u +%H:%M",
            "hostname",
            "whoami",
            "df -hT",
            "free -m",
            "echo hello; rm -rf /",
            "true",
            "false",
            "ls",
            "ls -la",
            "ls notes/today",
            "ls /srv/agent/x",
        ] {
            assert!(allowed(line), "{line}");
        }
    }

    /// Goal: nothing on the list can write, wait, climb or read a named file.
    #[test]
    fn harmful_words_are_refused() {
        for line in [
            "rm x",
            "/bin/uname",
            "./uname",
            "uname --help x",
            "date -s 12:00",
            "date --set=12:00",
            "date -f /etc/shadow",
            "date 01010101",
            "hostname evil",
            "hostname -F /etc/passwd",
            "free -s 1",
            "df /root",
            "ls /",
            "ls /etc",
            "ls ..",
            "ls a/../../b",
            "ls /srv/agent/../x",
            "ls /srv/agentshop",
            "ls --color=always",
            "ls -",
            "ls --",
            "ls -R",
            "true x",
            "whoami x",
            "",
        ] {
            assert!(!allowed(line), "{line}");
        }
        assert!(check(&[], Path::new("/srv/agent")).is_err());
    }
}
