//! Who may run what on this machine. Deciding is pure: it reads no file, clock or counter.
//!
//! A policy file is a list of rules; what no rule allows is refused. The first rule that names the
//! requester and matches the command counts, also when its rate is used up.
//!
//! ```toml
//! [[rule]]
//! who  = [{ name = "alice", key = "base64url-id-of-her-identity-key" }]
//! argv = [["uptime"], ["systemctl", "status", "*"]]   # a list of patterns, each a list of words
//! cwd  = "/srv/app"            # optional: runs there, and may write there and nowhere else
//! run_as = "www-data"          # optional, needs an agent that is root; otherwise `nobody`
//! rate = "10/min"              # optional: per requester, N/s, N/min, N/h or N/day
//! time_limit_s = 30            # optional, 60 if absent
//! cpu_limit_s = 30             # optional, CPU time of each process; the time limit if absent
//! output_limit_bytes = 65536   # optional, 1 MiB if absent
//! shell = false                # optional: true lets this rule start a shell, or any program
//! network = false              # optional: true lets it open network sockets
//! ```
//!
//! Grammar of a pattern: an exact word matches itself; `*` matches one word that does not begin
//! with `-`, so that a name cannot turn into an option; `**` stands last and matches any rest,
//! options included. `*` inside a longer word is refused when the file is read. Nothing is ever
//! expanded, split or handed to a shell. The guard against shells is one against accidents: programs
//! such as `find`, `tar` or `python3` can run others too. The known ones are in `runners`: a rule that
//! names one of them and leaves words open is warned of, see [`Policy::warnings`].

mod file;
mod runners;

use std::path::{Path, PathBuf};

use crate::builtin;
use crate::limits::{ARGV_BYTES_MAX, ARGV_WORDS_MAX, OUTPUT_BYTES_DEFAULT, WALL_MS_DEFAULT};

pub use file::PolicyError;

/// Who asks. The caller has verified the signature; names and keys are compared byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requester {
    /// The account's name in its claimed spelling.
    pub name: String,
    /// The id of the identity key that signed, base64url.
    pub identity: String,
    /// Whether that key is the one this machine has pinned for the name, without an alarm.
    pub pinned: bool,
}

/// The rules of one machine.
#[derive(Clone, Debug)]
pub struct Policy {
    rules: Vec<Rule>,
    has_builtin_list: bool,
    warnings: Vec<String>,
}

#[derive(Clone, Debug)]
struct Rule {
    who: Vec<Who>,
    patterns: Vec<Pattern>,
    grant: Grant,
}

#[derive(Clone, Debug)]
struct Who {
    name: String,
    key: String,
}

#[derive(Clone, Debug)]
struct Pattern(Vec<Word>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Exact(String),
    One,
    Rest,
}

/// What a rule gives: the conditions under which the command runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// The rule's patterns as text: the key under which its rate is counted.
    pub(crate) rule: String,
    pub(crate) cwd: Option<PathBuf>,
    pub(crate) run_as: Option<String>,
    pub(crate) rate: Option<Rate>,
    pub(crate) wall_ms_max: u64,
    /// CPU time of each process, in seconds; nothing for as much as the time limit.
    pub(crate) cpu_s_max: Option<u64>,
    pub(crate) output_bytes_max: u64,
    pub(crate) network: bool,
}

/// So many commands in any window of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) commands_max: u64,
    pub(crate) window_ms: u64,
}

impl Grant {
    fn harmless() -> Self {
        Self {
            rule: "built-in".to_owned(),
            cwd: None,
            run_as: None,
            rate: None,
            wall_ms_max: WALL_MS_DEFAULT,
            cpu_s_max: None,
            output_bytes_max: OUTPUT_BYTES_DEFAULT,
            network: false,
        }
    }
}

impl Grant {
    fn conditions(&self) -> String {
        let seconds = self.wall_ms_max / 1_000;
        let mut said = vec![
            format!("for {seconds} s, {} s of CPU time", self.cpu_s_max.unwrap_or(seconds)),
            format!("{} bytes of output", self.output_bytes_max),
        ];
        if let Some(rate) = self.rate {
            said.push(format!("at most {} in {} s", rate.commands_max, rate.window_ms / 1_000));
        }
        if let Some(cwd) = &self.cwd {
            said.push(format!("in {}", cwd.display()));
        }
        if let Some(user) = &self.run_as {
            said.push(format!("as {user}"));
        }
        said.push(if self.network { "with network" } else { "without network" }.to_owned());
        said.join(", ")
    }
}

impl Policy {
    /// The harmless list for everybody: the server's agent without a policy file.
    pub fn builtin() -> Self {
        Self { rules: Vec::new(), has_builtin_list: true, warnings: Vec::new() }
    }

    /// Nothing for anybody: every other agent without a policy file.
    pub fn deny_all() -> Self {
        Self { rules: Vec::new(), has_builtin_list: false, warnings: Vec::new() }
    }

    /// Reads and checks a policy file.
    pub fn load(path: &Path) -> Result<Self, PolicyError> {
        file::load(path)
    }

    /// Checks the text of a policy; `origin` stands for the file's name in errors.
    pub fn parse(text: &str, origin: &str) -> Result<Self, PolicyError> {
        file::parse(text, origin)
    }

    /// What the file allows and its author probably does not mean, one line each: a program that can
    /// run others, with words left open.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What is allowed to whom, in lines for people.
    pub fn allows(&self) -> Vec<String> {
        if self.has_builtin_list {
            return vec![format!("everybody: {}", builtin::names())];
        }
        if self.rules.is_empty() {
            return vec!["nobody may run anything".to_owned()];
        }
        self.rules.iter().flat_map(Rule::allows).collect()
    }

    /// The users that rules want to run as.
    pub(crate) fn users(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().filter_map(|rule| rule.grant.run_as.as_deref())
    }

    /// Whether any command of this requester could be allowed.
    pub(crate) fn names(&self, requester: &Requester) -> bool {
        self.has_builtin_list || self.rules.iter().any(|rule| rule.names(requester))
    }

    /// Whether a rule names this account, with whatever key.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.rules.iter().flat_map(|rule| &rule.who).any(|who| who.name == name)
    }

    /// What this requester gets for this argument vector, or the reason for the refusal.
    pub(crate) fn decide(
        &self,
        requester: &Requester,
        argv: &[String],
        work_dir: &Path,
    ) -> Result<Grant, String> {
        let program = check_argv(argv)?;
        if self.has_builtin_list {
            return builtin::check(argv, work_dir).map(|()| Grant::harmless());
        }
        let mut rules = self.rules.iter();
        let found = rules.find(|rule| rule.names(requester) && rule.matches(argv));
        match found {
            Some(rule) if requester.pinned => Ok(rule.grant.clone()),
            Some(_) => Err(format!("the key of {} is not pinned on this machine", requester.name)),
            None => Err(self.why_not(requester, program)),
        }
    }

    /// Tells a stranger from a changed key and from a command that nobody allowed.
    fn why_not(&self, requester: &Requester, program: &str) -> String {
        let name = &requester.name;
        let mut known =
            self.rules.iter().flat_map(|rule| &rule.who).filter(|who| who.name == *name);
        match known.next() {
            None => format!("the policy of this machine does not name {name}"),
            Some(who)
                if who.key != requester.identity
                    && known.all(|who| who.key != requester.identity) =>
            {
                format!("the policy of this machine names another key for {name}")
            }
            Some(_) => format!("no rule of this machine lets {name} run {program:?} like this"),
        }
    }
}

impl Rule {
    /// The people, their commands, and under which conditions they run.
    fn allows(&self) -> Vec<String> {
        let who = self.who.iter().map(|who| format!("{} (key {})", who.name, who.key));
        let mut lines = vec![format!("{} may run", who.collect::<Vec<_>>().join(", "))];
        lines.extend(self.grant.rule.lines().map(|words| format!("  {words}")));
        lines.push(format!("    {}", self.grant.conditions()));
        lines
    }

    fn names(&self, requester: &Requester) -> bool {
        self.who.iter().any(|who| who.name == requester.name && who.key == requester.identity)
    }

    fn matches(&self, argv: &[String]) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(argv))
    }
}

impl Pattern {
    fn matches(&self, argv: &[String]) -> bool {
        let mut given = argv.iter();
        for word in &self.0 {
            let fits = match word {
                Word::Rest => return true,
                Word::One => given.next().is_some_and(|one| !one.starts_with('-')),
                Word::Exact(exact) => given.next() == Some(exact),
            };
            if !fits {
                return false;
            }
        }
        given.next().is_none()
    }
}

/// The program, if the vector is one that the kernel can be given at all.
fn check_argv(argv: &[String]) -> Result<&str, String> {
    let bytes: usize = argv.iter().map(|word| word.len() + 1).sum();
    if argv.len() > ARGV_WORDS_MAX || bytes > ARGV_BYTES_MAX {
        return Err(format!(
            "the command has {} words and {bytes} bytes; at most {ARGV_WORDS_MAX} and {ARGV_BYTES_MAX} are run",
            argv.len()
        ));
    }
    if argv.iter().any(|word| word.contains('\0')) {
        return Err("a word of the command contains a NUL byte".to_owned());
    }
    match argv.first().map(String::as_str) {
        None | Some("") => Err("the command names no program".to_owned()),
        Some(program) => Ok(program),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAA";

    fn alice() -> Requester {
        Requester { name: "alice".to_owned(), identity: KEY.to_owned(), pinned: true }
    }

    fn decide(patterns: &str, requester: &Requester, argv: &[&str]) -> Result<Grant, String> {
        let text = format!(
            "[[rule]]\nwho = [{{ name = \"alice\", key = \"{KEY}\" }}]\nargv = {patterns}\n"
        );
        let argv: Vec<String> = argv.iter().map(|&word| word.to_owned()).collect();
        let policy = Policy::parse(&text, "policy.toml").map_err(|error| error.to_string())?;
        policy.decide(requester, &argv, Path::new("/srv/work"))
    }

    /// Goal: a pattern matches what its grammar says and nothing else.
    #[test]
    fn patterns_match_words_exactly() {
        let table: [(&str, &[&str], bool); 14] = [
            (r#"[["uptime"]]"#, &["uptime"], true),
            (r#"[["uptime"]]"#, &["uptime", "-p"], false),
            (r#"[["uptime"]]"#, &["/usr/bin/uptime"], false),
            (r#"[["uptime"]]"#, &["Uptime"], false),
            (r#"[["id", "*"]]"#, &["id", "bob"], true),
            (r#"[["id", "*"]]"#, &["id"], false),
            (r#"[["id", "*"]]"#, &["id", "--version"], false),
            (r#"[["id", "*"]]"#, &["id", "bob", "eve"], false),
            (r#"[["id", "*"]]"#, &["id", "bob; rm -rf /"], true),
            (r#"[["git", "log", "**"]]"#, &["git", "log"], true),
            (r#"[["git", "log", "**"]]"#, &["git", "log", "--all", "x"], true),
            (r#"[["git", "log", "**"]]"#, &["git", "push"], false),
            (r#"[["true"], ["false"]]"#, &["false"], true),
            (r#"[["echo", "a b"]]"#, &["echo", "a", "b"], false),
        ];
        for (patterns, argv, allowed) in table {
            assert_eq!(decide(patterns, &alice(), argv).is_ok(), allowed, "{patterns} {argv:?}");
        }
    }

    /// Goal: name, key and pin must all fit, and the reason tells which did not.
    #[test]
    fn only_the_named_pinned_key_is_allowed() {
        let run = |requester: Requester| decide(r#"[["true"]]"#, &requester, &["true"]);
        assert!(run(alice()).is_ok());
        let stranger = Requester { name: "eve".to_owned(), ..alice() };
        assert!(run(stranger).unwrap_err().contains("does not name eve"));
        let other_key = Requester { identity: "BAAAAAAAAAAAAAAAAAAAAA".to_owned(), ..alice() };
        assert!(run(other_key).unwrap_err().contains("another key"));
        let unpinned = Requester { pinned: false, ..alice() };
        assert!(run(unpinned).unwrap_err().contains("not pinned"));
        let other_command = decide(r#"[["true"]]"#, &alice(), &["rm\n\u{1b}[2J"]).unwrap_err();
        assert!(other_command.contains(r"rm\n\u{1b}[2J"), "escaped: {other_command}");
        let spelled = Requester { name: "Alice".to_owned(), ..alice() };
        assert!(run(spelled).is_err());
    }

    /// Goal: vectors that no kernel takes never reach a rule.
    #[test]
    fn impossible_vectors_are_refused() {
        let any = r#"[["true", "**"]]"#;
        assert!(decide(any, &alice(), &[]).is_err());
        assert!(decide(any, &alice(), &[""]).is_err());
        assert!(decide(any, &alice(), &["true", "a\0b"]).unwrap_err().contains("NUL"));
        let long = "x".repeat(ARGV_BYTES_MAX);
        assert!(decide(any, &alice(), &["true", &long]).is_err());
        assert!(decide(any, &alice(), &["true"; ARGV_WORDS_MAX + 1]).is_err());
        assert!(decide(any, &alice(), &["true"; ARGV_WORDS_MAX]).is_ok());
    }

    /// Goal: without a file everybody gets the harmless list, or nothing.
    #[test]
    fn without_a_file_the_list_or_nothing() {
        let argv = ["uname".to_owned()];
        let stranger = Requester { pinned: false, ..alice() };
        assert!(Policy::builtin().decide(&stranger, &argv, Path::new("/w")).is_ok());
        assert!(Policy::deny_all().decide(&alice(), &argv, Path::new("/w")).is_err());
    }
}
