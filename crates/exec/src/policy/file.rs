//! From the text of `policy.toml` to a [`Policy`]. Every error names line, column and remedy.

use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::{Grant, Pattern, Policy, Rate, Rule, Who, Word, runners};
use crate::limits::{
    OUTPUT_BYTES_DEFAULT, OUTPUT_BYTES_MAX, POLICY_BYTES_MAX, POLICY_RULES_MAX, WALL_MS_DEFAULT,
    WALL_MS_MAX,
};

/// Somebody other than the owner may write.
const OTHERS_WRITE: u32 = 0o022;

/// Why a policy cannot be used. The machine then starts no agent: a half-read policy is none.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file is missing, unreadable, too large or not UTF-8.
    #[error("cannot read the policy {path}: {source}")]
    Read {
        /// The file as given.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// Somebody else could give themselves whatever they like.
    #[error(
        "others can write the policy {path} (mode {mode:o}); run: chmod go-w {path}, and see what is in it"
    )]
    Writable {
        /// The file as given.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// The text is not a policy.
    #[error("{origin}:{line}:{column}: {problem}; {remedy}")]
    Invalid {
        /// The file as given.
        origin: String,
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in characters.
        column: usize,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        remedy: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyText {
    #[serde(default)]
    rule: Vec<RuleText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    who: Spanned<Vec<Spanned<WhoText>>>,
    argv: Spanned<Vec<Spanned<Vec<Spanned<String>>>>>,
    cwd: Option<Spanned<PathBuf>>,
    run_as: Option<String>,
    rate: Option<Spanned<String>>,
    time_limit_s: Option<Spanned<u64>>,
    cpu_limit_s: Option<Spanned<u64>>,
    output_limit_bytes: Option<Spanned<u64>>,
    #[serde(default)]
    shell: bool,
    #[serde(default)]
    network: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WhoText {
    name: String,
    key: String,
}

const REMEDY_WHO: &str =
    "name people with their pinned keys: who = [{ name = \"alice\", key = \"…\" }]";
const REMEDY_ARGV: &str =
    "write a list of patterns, each a list of words: argv = [[\"uptime\"], [\"id\", \"*\"]]";
const REMEDY_RATE: &str =
    "write a number from 1 to 1000000 and s, min, h or day: rate = \"10/min\"";

/// Something wrong at a place in the text.
struct Flaw {
    span: Range<usize>,
    problem: String,
    remedy: &'static str,
}

impl Flaw {
    fn new<T>(at: &Spanned<T>, problem: impl Into<String>, remedy: &'static str) -> Self {
        Self { span: at.span(), problem: problem.into(), remedy }
    }
}

pub(super) fn load(path: &Path) -> Result<Policy, PolicyError> {
    let origin = path.display().to_string();
    let read = || {
        let mut text = String::new();
        let bytes_max = u64::try_from(POLICY_BYTES_MAX).unwrap_or(u64::MAX);
        let file = std::fs::File::open(path)?;
        // Of the file that is read, not of whatever has its name a moment later.
        let metadata = file.metadata()?;
        file.take(bytes_max + 1).read_to_string(&mut text)?;
        if text.len() > POLICY_BYTES_MAX {
            return Err(std::io::Error::other(format!("longer than {POLICY_BYTES_MAX} bytes")));
        }
        Ok((text, metadata))
    };
    let (text, metadata) =
        read().map_err(|source| PolicyError::Read { path: origin.clone(), source })?;
    // The mode of a device such as /dev/null says nothing about rules.
    let mode = metadata.permissions().mode() & 0o777;
    if metadata.is_file() && mode & OTHERS_WRITE != 0 {
        return Err(PolicyError::Writable { path: origin, mode });
    }
    parse(&text, &origin)
}

pub(super) fn parse(text: &str, origin: &str) -> Result<Policy, PolicyError> {
    let placed = |flaw: Flaw| {
        let (line, column) = place(text, flaw.span.start);
        let origin = origin.to_owned();
        PolicyError::Invalid { origin, line, column, problem: flaw.problem, remedy: flaw.remedy }
    };
    let (rules, open) = parse_rules(text).map_err(placed)?;
    let warnings = open.into_iter().map(|flaw| placed(flaw).to_string()).collect();
    Ok(Policy { rules, has_builtin_list: false, warnings })
}

/// The rules, and what in them is allowed and is probably not meant.
fn parse_rules(text: &str) -> Result<(Vec<Rule>, Vec<Flaw>), Flaw> {
    let policy: PolicyText = toml::from_str(text).map_err(|error| {
        let span = error.span().unwrap_or_default();
        let problem = error.message().trim().replace('\n', ", ");
        let remedy = remedy_for(text, &span, &problem);
        Flaw { span, problem, remedy }
    })?;
    if policy.rule.len() > POLICY_RULES_MAX {
        let problem = format!("{} rules; at most {POLICY_RULES_MAX} are read", policy.rule.len());
        return Err(Flaw { span: 0..0, problem, remedy: "join rules that grant the same" });
    }
    let open = policy.rule.iter().flat_map(open_wrappers).collect();
    let rules = policy.rule.into_iter().map(check_rule).collect::<Result<_, _>>()?;
    Ok((rules, open))
}

/// The patterns of a rule that let a program which runs others run any of them.
fn open_wrappers(rule: &RuleText) -> impl Iterator<Item = Flaw> {
    let patterns = rule.argv.get_ref().iter().filter(|_| !rule.shell);
    patterns.filter_map(|words| {
        let (program, rest) = words.get_ref().split_first()?;
        let is_open = rest.iter().any(|word| matches!(word.get_ref().as_str(), "*" | "**"));
        (is_open && runners::is_wrapper(program.get_ref())).then(|| {
            let problem = format!(
                "{:?} can run other programs, and this rule leaves open which",
                program.get_ref()
            );
            let remedy = "name every word, or write shell = true in this rule if you mean it";
            Flaw::new(program, problem, remedy)
        })
    })
}

/// The parser knows what it expected; the line tells what the author had in mind.
fn remedy_for(text: &str, span: &Range<usize>, problem: &str) -> &'static str {
    let before = text.get(..span.start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text.get(line_start..).unwrap_or_default().trim_start();
    if problem.contains("unknown field") {
        "remove it or correct its spelling"
    } else if problem.contains("missing field") {
        "add it: every rule needs who and argv"
    } else if line.starts_with("who") {
        REMEDY_WHO
    } else if line.starts_with("argv") {
        REMEDY_ARGV
    } else {
        "correct this line; it must be TOML as in the documented example"
    }
}

/// Line and column, counted from 1, of a byte offset.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

fn check_rule(rule: RuleText) -> Result<Rule, Flaw> {
    if rule.who.get_ref().is_empty() {
        return Err(Flaw::new(&rule.who, "the rule names nobody", REMEDY_WHO));
    }
    if rule.argv.get_ref().is_empty() {
        return Err(Flaw::new(&rule.argv, "the rule allows no command", REMEDY_ARGV));
    }
    let grant = check_grant(&rule)?;
    let who = rule.who.into_inner().into_iter().map(check_who).collect::<Result<_, _>>()?;
    let patterns = rule.argv.get_ref().iter().map(|words| check_pattern(words, rule.shell));
    let patterns = patterns.collect::<Result<_, _>>()?;
    Ok(Rule { who, patterns, grant })
}

fn check_who(who: Spanned<WhoText>) -> Result<Who, Flaw> {
    let WhoText { name, key } = who.get_ref();
    if name == "*" || key == "*" {
        return Err(Flaw::new(&who, "`*` cannot stand for everybody in a policy file", REMEDY_WHO));
    }
    let is_name = name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.len() <= 32
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "_.-".contains(letter));
    if !is_name {
        return Err(Flaw::new(&who, format!("{name:?} is not a user's name"), REMEDY_WHO));
    }
    // Sixteen bytes in base64url without padding.
    let is_key_id = key.len() == 22
        && key.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-".contains(letter));
    if !is_key_id {
        let problem = format!("{key:?} is not the id of a key (22 letters of base64url)");
        return Err(Flaw::new(&who, problem, "copy it from the client's /fingerprint"));
    }
    let WhoText { name, key } = who.into_inner();
    Ok(Who { name, key })
}

fn check_pattern(words: &Spanned<Vec<Spanned<String>>>, shell: bool) -> Result<Pattern, Flaw> {
    let Some(first) = words.get_ref().first() else {
        return Err(Flaw::new(words, "an empty pattern names no program", REMEDY_ARGV));
    };
    let program = first.get_ref().as_str();
    if !shell && (program.contains('*') || runners::is_shell(program)) {
        let problem = format!("{program:?} can run any command");
        let remedy = "name one program exactly, or write shell = true in this rule if you mean it";
        return Err(Flaw::new(first, problem, remedy));
    }
    if program.is_empty() {
        return Err(Flaw::new(first, "an empty word names no program", REMEDY_ARGV));
    }
    let last = words.get_ref().len() - 1;
    let checked =
        words.get_ref().iter().enumerate().map(|(place, word)| match word.get_ref().as_str() {
            "*" => Ok(Word::One),
            "**" if place == last => Ok(Word::Rest),
            "**" => {
                Err(Flaw::new(word, "`**` must be the last word", "move it to the end or use `*`"))
            }
            text if text.contains('*') => {
                let problem = format!("`*` inside the word {text:?} has no meaning");
                Err(Flaw::new(
                    word,
                    problem,
                    "use `*` alone for one word or `**` alone for any rest",
                ))
            }
            text => Ok(Word::Exact(text.to_owned())),
        });
    checked.collect::<Result<_, _>>().map(Pattern)
}

fn check_grant(rule: &RuleText) -> Result<Grant, Flaw> {
    let seconds_max = WALL_MS_MAX / 1_000;
    let seconds = check_range(rule.time_limit_s.as_ref(), WALL_MS_DEFAULT / 1_000, seconds_max)?;
    if let Some(cwd) = rule.cwd.as_ref().filter(|cwd| !cwd.get_ref().is_absolute()) {
        return Err(Flaw::new(cwd, "cwd is not absolute", "write the whole path from /"));
    }
    let patterns = rule.argv.get_ref().iter().map(|words| {
        let words: Vec<_> = words.get_ref().iter().map(|word| word.get_ref().as_str()).collect();
        words.join(" ")
    });
    Ok(Grant {
        rule: patterns.collect::<Vec<_>>().join("\n"),
        cwd: rule.cwd.as_ref().map(|cwd| cwd.get_ref().clone()),
        run_as: rule.run_as.clone(),
        rate: rule.rate.as_ref().map(check_rate).transpose()?,
        wall_ms_max: seconds * 1_000,
        cpu_s_max: rule
            .cpu_limit_s
            .as_ref()
            .map(|limit| check_range(Some(limit), seconds, seconds_max))
            .transpose()?,
        output_bytes_max: check_range(
            rule.output_limit_bytes.as_ref(),
            OUTPUT_BYTES_DEFAULT,
            OUTPUT_BYTES_MAX,
        )?,
        network: rule.network,
    })
}

fn check_range(value: Option<&Spanned<u64>>, default: u64, max: u64) -> Result<u64, Flaw> {
    match value {
        None => Ok(default),
        Some(value) if (1..=max).contains(value.get_ref()) => Ok(*value.get_ref()),
        Some(value) => {
            let problem = format!("{} is not between 1 and {max}", value.get_ref());
            Err(Flaw::new(value, problem, "choose a limit in that range"))
        }
    }
}

fn check_rate(text: &Spanned<String>) -> Result<Rate, Flaw> {
    let parsed = text.get_ref().split_once('/').and_then(|(count, unit)| {
        let window_ms = match unit {
            "s" => 1_000,
            "min" => 60 * 1_000,
            "h" => 60 * 60 * 1_000,
            "day" => 24 * 60 * 60 * 1_000,
            _ => return None,
        };
        let commands_max = count.parse().ok().filter(|count| (1..=1_000_000).contains(count))?;
        Some(Rate { commands_max, window_ms })
    });
    parsed
        .ok_or_else(|| Flaw::new(text, format!("{:?} is not a rate", text.get_ref()), REMEDY_RATE))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: rules that somebody else could write are none, and the refusal says how to close the file.
    #[test]
    fn a_policy_that_others_can_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        std::fs::write(&path, "").unwrap();
        for (mode, is_refused) in [(0o644, false), (0o600, false), (0o664, true), (0o606, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let refused = load(&path).err().map(|error| error.to_string());
            assert_eq!(refused.is_some(), is_refused, "{mode:o}");
            assert!(refused.is_none_or(
                |error| error.contains("others can write") && error.contains("chmod go-w")
            ));
        }
        load(Path::new("/dev/null")).expect("an empty policy");
    }

    const WHO: &str = "who = [{ name = \"alice\", key = \"AAAAAAAAAAAAAAAAAAAAAA\" }]";

    /// Goal: every mistake is answered with its place, what is wrong, and what to do.
    #[test]
    fn mistakes_are_placed_and_explained() {
        let rule = |rest: &str| format!("[[rule]]\n{WHO}\n{rest}\n");
        let argv = "argv = [[\"true\"]]";
        let with = |line: &str| rule(&format!("{argv}\n{line}"));
        let table = [
            ("[[rule]\n".to_owned(), 1, 8, "documented example"),
            ("[[rule]]\nwho = \"*\"\nargv = [[\"true\"]]\n".to_owned(), 2, 7, "pinned keys"),
            ("[[rule]]\nwho = []\nargv = [[\"true\"]]\n".to_owned(), 2, 7, "names nobody"),
            ("[[rule]]\nargv = [[\"true\"]]\n".to_owned(), 1, 1, "missing field `who`"),
            ("[[rules]]\n".to_owned(), 1, 3, "spelling"),
            (with("user = \"x\""), 4, 1, "unknown field `user`"),
            (with("shell = \"yes\""), 4, 9, "boolean"),
            (rule("argv = [\"true\"]"), 3, 9, "list of patterns"),
            (rule("argv = []"), 3, 8, "allows no command"),
            (rule("argv = [[]]"), 3, 9, "names no program"),
            (rule("argv = [[\"\"]]"), 3, 10, "names no program"),
            (rule("argv = [[\"id\", \"**\", \"x\"]]"), 3, 16, "last word"),
            (rule("argv = [[\"id\", \"b*\"]]"), 3, 16, "inside the word"),
            (rule("argv = [[\"*\"]]"), 3, 10, "shell = true"),
            (rule("argv = [[\"/bin/sh\", \"-c\", \"*\"]]"), 3, 10, "shell = true"),
            (with("cwd = \"tmp\""), 4, 7, "not absolute"),
            (with("rate = \"ten/min\""), 4, 8, "10/min"),
            (with("rate = \"0/min\""), 4, 8, "10/min"),
            (with("rate = \"5/week\""), 4, 8, "10/min"),
            (with("time_limit_s = 0"), 4, 16, "between 1 and 3600"),
            (with("time_limit_s = -1"), 4, 16, "invalid value"),
            (with("cpu_limit_s = 0"), 4, 15, "between 1 and 3600"),
            (with("output_limit_bytes = 99999999999"), 4, 22, "between 1 and"),
        ];
        for (text, line, column, expected) in table {
            let error = parse(&text, "policy.toml").expect_err(&text).to_string();
            let prefix = format!("policy.toml:{line}:{column}: ");
            assert!(error.starts_with(&prefix), "{text}\n{error}\nexpected {prefix}");
            assert!(error.contains(expected), "{text}\n{error}\nexpected {expected}");
            assert!(!error.contains('\n'), "one line: {error}");
        }
    }

    /// Goal: a program that runs others is warned of, wherever it is named with words left open; not
    /// where each word is written, nor where the rule says that it means it.
    #[test]
    fn wrappers_with_open_words_are_warned_of() {
        let warnings = |rest: &str| {
            let policy = parse(&format!("[[rule]]\n{WHO}\n{rest}\n"), "policy.toml");
            policy.expect("valid").warnings().to_vec()
        };
        let programs = [
            "timeout",
            "nice",
            "nohup",
            "xargs",
            "setsid",
            "sudo",
            "find",
            "awk",
            "python3",
            "/usr/bin/git",
        ];
        for program in programs {
            let [warning] = warnings(&format!("argv = [[\"uptime\"], [\"{program}\", \"**\"]]"))
                .try_into()
                .unwrap_or_else(|_| panic!("one warning of {program}"));
            assert!(warning.starts_with("policy.toml:3:22: "), "{warning}");
            assert!(warning.contains(program) && warning.contains("shell = true"), "{warning}");
            let none: [String; 0] = [];
            let exact = format!("argv = [[\"{program}\", \"1\", \"uptime\"]]");
            assert_eq!(warnings(&exact), none, "every word is written");
            let meant = format!("argv = [[\"{program}\", \"*\"]]\nshell = true");
            assert_eq!(warnings(&meant), none, "it is meant");
        }
        let restricted = format!("[[rule]]\n{WHO}\nargv = [[\"rbash\", \"-c\", \"*\"]]\n");
        assert!(parse(&restricted, "p").is_err(), "a shell by another name");
    }

    /// Goal: people and keys in a file are real ones.
    #[test]
    fn everybody_and_malformed_keys_are_refused() {
        for (name, key) in [
            ("*", "AAAAAAAAAAAAAAAAAAAAAA"),
            ("alice", "*"),
            ("alice", ""),
            ("alice", "AAAA"),
            ("alice", "AAAAAAAAAAAAAAAAAAAA=="),
            ("", "AAAAAAAAAAAAAAAAAAAAAA"),
            ("al ice", "AAAAAAAAAAAAAAAAAAAAAA"),
        ] {
            let text = format!(
                "[[rule]]\nwho = [{{ name = \"{name}\", key = \"{key}\" }}]\nargv = [[\"true\"]]\n"
            );
            assert!(parse(&text, "p").is_err(), "{name} {key}");
        }
    }

    /// Goal: what is written is what is granted, and what is not written has its default.
    #[test]
    fn a_whole_rule_is_read() {
        let text = format!(
            "[[rule]]\n{WHO}\nargv = [[\"sh\", \"-c\", \"*\"]]\ncwd = \"/srv\"\nrun_as = \"www-data\"\n\
             rate = \"10/min\"\ntime_limit_s = 5\ncpu_limit_s = 3\noutput_limit_bytes = 9\nshell = true\nnetwork = true\n\
             [[rule]]\n{WHO}\nargv = [[\"true\"]]\n"
        );
        let policy = parse(&text, "p").expect("valid");
        let [first, second] = policy.rules.as_slice() else { panic!("two rules") };
        let written = Grant {
            rule: "sh -c *".to_owned(),
            cwd: Some("/srv".into()),
            run_as: Some("www-data".to_owned()),
            rate: Some(Rate { commands_max: 10, window_ms: 60_000 }),
            wall_ms_max: 5_000,
            cpu_s_max: Some(3),
            output_bytes_max: 9,
            network: true,
        };
        assert_eq!(first.grant, written);
        let default = Grant { rule: "true".to_owned(), ..Grant::harmless() };
        assert_eq!(second.grant, default);
        assert!(parse("", "p").expect("an empty policy allows nothing").rules.is_empty());
    }

    /// Goal: the number of rules is bounded.
    #[test]
    fn too_many_rules_are_refused() {
        let rules = |count| format!("[[rule]]\n{WHO}\nargv = [[\"true\"]]\n").repeat(count);
        assert!(parse(&rules(POLICY_RULES_MAX), "p").is_ok());
        let error = parse(&rules(POLICY_RULES_MAX + 1), "p").unwrap_err().to_string();
        assert!(error.contains("join rules"), "{error}");
    }

    /// Goal: files that are missing or too long are said to be so.
    #[test]
    fn unreadable_files_are_reported() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("policy.toml");
        assert!(load(&path).unwrap_err().to_string().contains("policy.toml: No such file"));
        std::fs::write(&path, "#".repeat(POLICY_BYTES_MAX + 1)).expect("written");
        assert!(load(&path).unwrap_err().to_string().contains("longer than"));
        std::fs::write(&path, "#".repeat(POLICY_BYTES_MAX)).expect("written");
        assert!(load(&path).is_ok());
    }
}
