//! The file of configuration: what a person likes, by the names of the options and of `/set`.
//!
//! ```toml
//! user = "alice"
//! server = "wss://chat.example.org:9000"
//! timestamps = false
//!
//! [profile.work]          # with -P work
//! server = "wss://chat.work.example:9000"
//! ```
//!
//! What the command line says comes first, then the environment, a profile, the file, and the default.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chat_text::settings::{self, KEYS, Settings, nearest_of};
use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::screen::{self, Choices};

/// The options of the command line that may stand in the file, by their long names; in the file `_` stands for `-`.
pub const OPTIONS: &[(&str, Kind)] = &[
    ("server", Kind::List),
    ("user", Kind::Text),
    ("home", Kind::Text),
    ("logs", Kind::Text),
    ("downloads", Kind::Text),
    ("shared", Kind::Text),
    ("accept_from", Kind::List),
    ("ca", Kind::Text),
    ("password_file", Kind::Text),
    ("presence", Kind::Text),
    ("ui", Kind::Text),
];

/// What the value of an option is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One text.
    Text,
    /// A text, or a list of them.
    List,
}

/// A larger file is none that a person has written.
const FILE_BYTES_MAX: u64 = 256 * 1_024;

/// The table of the profiles.
const PROFILE: &str = "profile";

/// Why a file is not used.
#[derive(Debug, Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no TOML, or says what means nothing.
    #[error("{}:{line}: {reason}", path.display())]
    Wrong {
        /// Which.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong, and what is right.
        reason: String,
    },
    /// There is no such profile.
    #[error("{} has no [profile.{name}]{}", path.display(), known.as_deref().unwrap_or_default())]
    NoProfile {
        /// Which file.
        path: PathBuf,
        /// The profile.
        name: String,
        /// Those that there are, as the end of a sentence.
        known: Option<String>,
    },
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Option,
    /// A variable of the environment.
    Environment(String),
    /// A profile of the file, and the line.
    Profile(String, PathBuf, usize),
    /// The file, and the line.
    File(PathBuf, usize),
    /// Nobody has said anything.
    Default,
}

impl Origin {
    /// The line of the file.
    fn line(&self) -> Option<usize> {
        match self {
            Self::Profile(_, _, line) | Self::File(_, line) => Some(*line),
            Self::Option | Self::Environment(_) | Self::Default => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option => formatter.write_str("option"),
            Self::Environment(name) => write!(formatter, "environment {name}"),
            Self::Profile(name, path, line) => {
                write!(formatter, "profile {name}, {}:{line}", path.display())
            }
            Self::File(path, line) => write!(formatter, "{}:{line}", path.display()),
            Self::Default => formatter.write_str("default"),
        }
    }
}

/// One value that stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key, with a dot where it stands in a table.
    pub key: String,
    /// Its values; one but for lists.
    pub values: Vec<String>,
    /// Where it stands.
    pub origin: Origin,
}

/// What a file says.
#[derive(Debug, Default)]
pub struct File {
    /// By key: what the profile says, else what the file says.
    pub entries: Vec<Entry>,
    /// Keys and colours, of the same entries.
    pub choices: Choices,
}

impl File {
    /// Reads a file, with one of its profiles. Without the file there is nothing in it, unless it was asked for.
    ///
    /// # Errors
    /// See [`FileError`].
    pub fn read(path: &Path, is_named: bool, profile: Option<&str>) -> Result<Self, FileError> {
        let cannot = |source| FileError::Read { path: path.to_owned(), source };
        let text = match fs::metadata(path) {
            Ok(known) if known.len() > FILE_BYTES_MAX => {
                return Err(cannot(io::Error::other("it is too large for a configuration")));
            }
            Ok(_) => fs::read_to_string(path).map_err(cannot)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_named => String::new(),
            Err(error) => return Err(cannot(error)),
        };
        Self::parse(path, &text, profile)
    }

    fn parse(path: &Path, text: &str, profile: Option<&str>) -> Result<Self, FileError> {
        let reader = Reader { path, text };
        let table = DeTable::parse(text).map_err(|error| {
            reader.wrong(error.span().map_or(0, |span| span.start), error.message().to_owned())
        })?;
        let mut entries = Vec::new();
        let mut chosen = None;
        let mut names = Vec::new();
        for (key, value) in table.get_ref() {
            if key.get_ref() != PROFILE {
                reader.take((&[], key, value), &mut entries, None)?;
                continue;
            }
            let DeValue::Table(profiles) = value.get_ref() else {
                return Err(reader.wrong(key.span().start, "write [profile.NAME]".to_owned()));
            };
            for (name, inner) in profiles {
                let DeValue::Table(inner) = inner.get_ref() else {
                    return Err(reader.wrong(name.span().start, "write [profile.NAME]".to_owned()));
                };
                let mut own = Vec::new();
                for (key, value) in inner {
                    reader.take((&[], key, value), &mut own, Some(name.get_ref()))?;
                }
                names.push(name.get_ref().to_string());
                if profile == Some(name.get_ref().as_ref()) {
                    chosen = Some(own);
                }
            }
        }
        match (profile, chosen) {
            (Some(name), None) => {
                let known = (!names.is_empty()).then(|| format!("; it has {}", names.join(", ")));
                Err(FileError::NoProfile { path: path.to_owned(), name: name.to_owned(), known })
            }
            (_, own) => {
                let own = own.unwrap_or_default();
                entries.retain(|entry: &Entry| own.iter().all(|one| one.key != entry.key));
                entries.extend(own);
                // As a person reads them.
                entries.sort_by_key(|entry| entry.origin.line());
                let choices = Choices::of(&entries).map_err(|(entry, reason)| {
                    let line = entry.origin.line().unwrap_or_default();
                    let reason = format!("{}: {reason}", entry.key);
                    FileError::Wrong { path: path.to_owned(), line, reason }
                })?;
                Ok(Self { entries, choices })
            }
        }
    }

    /// What of it `/set` knows.
    pub fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        for entry in &self.entries {
            if let (Some(key), Some(value)) = (settings::find(&entry.key), entry.values.first()) {
                // It was tried when it was read.
                key.set(&mut settings, value).ok();
            }
        }
        settings
    }
}

/// Reads the values of one file.
struct Reader<'t> {
    path: &'t Path,
    text: &'t str,
}

impl Reader<'_> {
    fn line(&self, at: usize) -> usize {
        self.text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
    }

    fn wrong(&self, at: usize, reason: String) -> FileError {
        FileError::Wrong { path: self.path.to_owned(), line: self.line(at), reason }
    }

    /// Takes a value, or those of a table.
    fn take(
        &self,
        (above, key, value): (&[&str], &Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>),
        entries: &mut Vec<Entry>,
        profile: Option<&str>,
    ) -> Result<(), FileError> {
        let path: Vec<&str> = above.iter().copied().chain([key.get_ref().as_ref()]).collect();
        let name = path.join(".");
        if let DeValue::Table(inner) = value.get_ref() {
            let begins = format!("{name}.");
            if !known_keys().any(|known| known.starts_with(&begins)) {
                return Err(self.wrong(key.span().start, unknown(&name)));
            }
            for (key, value) in inner {
                self.take((&path, key, value), entries, profile)?;
            }
            return Ok(());
        }
        let values = self.values(&name, key.span().start, value)?;
        let line = self.line(key.span().start);
        let origin = match profile {
            Some(profile) => Origin::Profile(profile.to_owned(), self.path.to_owned(), line),
            None => Origin::File(self.path.to_owned(), line),
        };
        entries.push(Entry { key: name, values, origin });
        Ok(())
    }

    fn values(
        &self,
        name: &str,
        at: usize,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Vec<String>, FileError> {
        let wrong = |reason: String| self.wrong(at, format!("{name}: {reason}"));
        let scalar = |value: &DeValue<'_>| match value {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Boolean(on) => Some(on.to_string()),
            DeValue::Integer(number) => Some(number.to_string()),
            _ => None,
        };
        // A file has one spelling of each key: what reads it elsewhere looks for that one.
        let set = settings::find(name).filter(|key| key.name == name && option(name).is_none());
        if let Some(key) = set {
            let value =
                scalar(value.get_ref()).ok_or_else(|| wrong(format!("it is {}", key.values)))?;
            key.set(&mut Settings::default(), &value).map_err(wrong)?;
            return Ok(vec![value]);
        }
        let chosen = screen::kind(name);
        let kind = option(name).or(chosen);
        let kind = kind.ok_or_else(|| self.wrong(at, unknown(name)))?;
        let values = match (value.get_ref(), kind) {
            (DeValue::Array(list), Kind::List) => {
                let texts: Option<Vec<String>> = list
                    .iter()
                    .map(|one| match one.get_ref() {
                        DeValue::String(text) => Some(text.to_string()),
                        _ => None,
                    })
                    .collect();
                texts.ok_or_else(|| wrong("write a list of texts".to_owned()))?
            }
            (DeValue::String(text), _) => vec![text.to_string()],
            (_, Kind::List) => return Err(wrong("write a text or a list of texts".to_owned())),
            (_, Kind::Text) => return Err(wrong("write a text in quotes".to_owned())),
        };
        if chosen.is_some() {
            Choices::default().choose(name, &values).map_err(wrong)?;
            return Ok(values);
        }
        let flag = format!("--{}", name.replace('_', "-"));
        for value in &values {
            super::arguments::check_option(&flag, value).map_err(wrong)?;
        }
        Ok(values)
    }
}

/// All keys that may stand in a file.
fn known_keys() -> impl Iterator<Item = String> {
    let options = OPTIONS.iter().map(|(key, _)| (*key).to_owned());
    options.chain(KEYS.iter().map(|key| key.name.to_owned())).chain(screen::keys())
}

/// What the option of this key takes, if it is one.
pub fn option(name: &str) -> Option<Kind> {
    OPTIONS.iter().find(|(key, _)| *key == name).map(|(_, kind)| *kind)
}

fn unknown(name: &str) -> String {
    let known: Vec<String> = known_keys().collect();
    let near = nearest_of(name, known.iter().map(String::as_str));
    let meant = near.map(|near| format!(", did you mean {near}?"));
    format!(
        "there is no key {name}{}; `chat-client config show` lists them",
        meant.unwrap_or_default()
    )
}

/// The file where nobody names another one.
pub fn standard_path() -> Option<PathBuf> {
    use etcetera::BaseStrategy as _;
    let folders = etcetera::choose_base_strategy().ok()?;
    Some(folders.config_dir().join("chat").join("config.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, profile: Option<&str>) -> Result<Vec<(String, String)>, String> {
        let file = File::parse(Path::new("config.toml"), text, profile);
        let file = file.map_err(|error| error.to_string())?;
        Ok(file.entries.into_iter().map(|one| (one.key, one.values.join(","))).collect())
    }

    #[test]
    fn a_profile_wins_over_the_file() {
        let text = "user = \"alice\"\nserver = [\"ws://127.0.0.1:1\", \"ws://127.0.0.1:2\"]\n\
                    timestamps = false\n[profile.work]\nuser = \"alice.work\"\n";
        let entry = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let all = read(text, None).unwrap();
        assert!(all.contains(&entry("user", "alice")), "{all:?}");
        assert!(all.contains(&entry("server", "ws://127.0.0.1:1,ws://127.0.0.1:2")), "{all:?}");
        assert!(all.contains(&entry("timestamps", "false")), "{all:?}");
        let work = read(text, Some("work")).unwrap();
        assert!(work.contains(&entry("user", "alice.work")), "{work:?}");
        assert!(!work.contains(&entry("user", "alice")), "{work:?}");
    }

    #[test]
    fn errors_have_their_line_the_key_and_what_is_right() {
        for (text, part) in [
            (
                "user = \"alice\"\nserwer = \"x\"",
                "config.toml:2: there is no key serwer, did you mean server?",
            ),
            ("\n\nuser = \"a b\"", "config.toml:3: user: it is not the name of a user"),
            ("Theme = \"plain\"", "config.toml:1: there is no key Theme, did you mean theme?"),
            ("user = 7", "config.toml:1: user: write a text in quotes"),
            ("ui = \"gui\"", "config.toml:1: ui: it is one of tui, line, plain; got \"gui\""),
            ("mouse = \"left\"", "config.toml:1: mouse: it is on or off"),
            ("no_mouse = true", "config.toml:1: there is no key no_mouse"),
            ("server = 7", "config.toml:1: server: write a text or a list of texts"),
            ("theme = \"pink\"", "config.toml:1: theme: it is default, contrast, plain or ascii"),
            ("presence = \"none\"", "config.toml:1: presence: "),
            ("user = ", "config.toml:1: "),
            ("[colour]\nred = 1", "config.toml:1: there is no key colour"),
            (
                "[colours]\nmentoin = \"red\"",
                "config.toml:2: there is no key colours.mentoin, did you mean colours.mention?",
            ),
            (
                "[colours]\nmention = \"pink\"",
                "config.toml:2: colours.mention: \"pink\" is no colour",
            ),
            ("[colours]\nnames = 7", "config.toml:2: colours.names: write a text or a list"),
            (
                "[bindings]\nunfolt = \"F5\"",
                "config.toml:2: there is no key bindings.unfolt, did you mean bindings.unfold?",
            ),
            (
                "[bindings]\nunfold = \"Ctlr-O\"",
                "config.toml:2: bindings.unfold: there is no key \"Ctlr-O\"; write Ctrl-",
            ),
            (
                "[bindings]\nunfold = \"F5\"\n\nsearch = [\"Ctrl-S\", \"F5\"]",
                "config.toml:4: bindings.search: F5 is the key of unfold already",
            ),
            (
                "[bindings]\nhelp = \"Enter\"",
                "config.toml:2: bindings.help: send would have no key",
            ),
            (
                "[profile.work]\nusr = \"a\"",
                "config.toml:2: there is no key usr, did you mean user?",
            ),
            ("profile = 1", "config.toml:1: write [profile.NAME]"),
        ] {
            let error = read(text, None).expect_err(text);
            assert!(error.starts_with(part), "{text}: {error}");
        }
        let error = read("[profile.home]\n", Some("work")).unwrap_err();
        assert_eq!(error, "config.toml has no [profile.work]; it has home");
    }
}
