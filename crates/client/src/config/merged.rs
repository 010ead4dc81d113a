//! The command line with what the file of configuration says where it says nothing itself.

use std::ffi::OsString;
use std::path::PathBuf;

use chat_text::settings::{KEYS, Settings};
use clap::ArgMatches;
use clap::parser::ValueSource;

use super::ConfigError;
use super::arguments::matched;
use super::file::{Entry, File, OPTIONS, Origin, option, standard_path};
use super::screen::{self, Choices};

/// A value and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The key, as in the file.
    pub key: String,
    /// Its value, as it is written; nothing where there is none.
    pub value: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
}

/// What a person has configured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Configured {
    /// The file, which need not be there.
    pub path: Option<PathBuf>,
    /// The profile that was chosen.
    pub profile: Option<String>,
    /// What `/set` knows.
    pub settings: Settings,
    /// Keys and colours.
    pub choices: Choices,
    /// All values.
    pub shown: Vec<Shown>,
}

impl Configured {
    /// The same error, with the place in the file where the value stands that is wrong.
    pub(super) fn with_place(&self, error: ConfigError) -> ConfigError {
        let is_it = |shown: &&Shown| Some(shown.key.as_str()) == error.key();
        let origin = self.shown.iter().find(is_it).map(|shown| shown.origin.clone());
        match origin {
            Some(origin @ (Origin::File(..) | Origin::Profile(..))) => {
                ConfigError::InFile { origin, source: Box::new(error) }
            }
            _ => error,
        }
    }
}

/// Puts what the file says into the words of a command line. A command line that is wrong stays as it is: it is
/// refused later.
///
/// # Errors
/// The file cannot be used.
pub(super) fn merged(words: Vec<OsString>) -> Result<(Vec<OsString>, Configured), ConfigError> {
    let Ok(matches) = matched(&words) else { return Ok((words, Configured::default())) };
    let named = matches.get_one::<PathBuf>("config").cloned();
    let profile = matches.get_one::<String>("profile").cloned();
    // The emulator has people of its own, and whoever mends the file must not be stopped by it.
    let is_editing = matches
        .subcommand_matches("config")
        .is_some_and(|config| config.subcommand_name() == Some("edit"));
    let is_emulator = matches.contains_id("emulate") && matches.get_one::<u32>("emulate").is_some();
    let path = named.clone().or_else(standard_path);
    let file = match path.as_deref().filter(|_| !is_emulator && !is_editing) {
        Some(path) => File::read(path, named.is_some(), profile.as_deref())?,
        None => File::default(),
    };
    let mut added: Vec<OsString> = Vec::new();
    let mut shown = Vec::new();
    for (key, _) in OPTIONS {
        let entry = file.entries.iter().find(|entry| entry.key == *key);
        // What was typed is not refused for what stands in the file.
        let entry = entry.filter(|entry| matched(&with(&words, &flags(entry))).is_ok());
        shown.push(chosen(key, &matches, entry, &mut added));
    }
    let settings = file.settings();
    for key in KEYS.iter().filter(|key| option(key.name).is_none()) {
        let entry = file.entries.iter().find(|entry| entry.key == key.name);
        let origin = entry.map_or(Origin::Default, |entry| entry.origin.clone());
        shown.push(Shown { key: key.name.to_owned(), value: Some(key.get(&settings)), origin });
    }
    for key in screen::keys() {
        let entry = file.entries.iter().find(|entry| entry.key == key);
        let origin = entry.map_or(Origin::Default, |entry| entry.origin.clone());
        let written = || entry.map(|entry| entry.values.join(", "));
        let value = file.choices.keys_of(&key).or_else(written);
        shown.push(Shown { key, value, origin });
    }
    let words = with(&words, &added);
    Ok((words, Configured { path, profile, settings, choices: file.choices, shown }))
}

/// A command line with these options before all others.
fn with(words: &[OsString], options: &[OsString]) -> Vec<OsString> {
    let (name, rest) = words.split_at(words.len().min(1));
    [name, options, rest].concat()
}

/// What an entry of the file is on the command line.
fn flags(entry: &Entry) -> Vec<OsString> {
    let flag = entry.key.replace('_', "-");
    entry.values.iter().map(|value| format!("--{flag}={value}").into()).collect()
}

/// Which value of an option holds; one of the file is added to the words.
fn chosen(
    key: &'static str,
    matches: &ArgMatches,
    entry: Option<&Entry>,
    added: &mut Vec<OsString>,
) -> Shown {
    let source = matches.value_source(key);
    let value = matches.get_raw(key).map(|values| {
        values.map(|value| value.to_string_lossy().into_owned()).collect::<Vec<_>>().join(", ")
    });
    let named = key.to_owned();
    match (source, entry) {
        (Some(ValueSource::CommandLine), _) => Shown { key: named, value, origin: Origin::Option },
        (Some(ValueSource::EnvVariable), _) => {
            let name = format!("CHAT_{}", key.to_ascii_uppercase());
            Shown { key: named, value, origin: Origin::Environment(name) }
        }
        (_, Some(entry)) => {
            added.extend(flags(entry));
            Shown { key: named, value: Some(entry.values.join(", ")), origin: entry.origin.clone() }
        }
        (_, None) => Shown { key: named, value, origin: Origin::Default },
    }
}
