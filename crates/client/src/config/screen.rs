//! Keys and colours in the file of configuration: the tables `[bindings]` and `[colours]`.

use chat_tui::keys::{Bindings, Keys};
use chat_tui::theme::Colours;

use super::file::{Entry, Kind};

/// The tables, as they begin a key.
const BINDINGS: &str = "bindings.";
const COLOURS: &str = "colours.";

/// What a person has chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choices {
    /// Keys.
    pub bindings: Bindings,
    /// Colours.
    pub colours: Colours,
}

/// All keys of both tables, in the order in which they are shown.
pub fn keys() -> impl Iterator<Item = String> {
    let bindings = Bindings::names().map(|name| format!("{BINDINGS}{name}"));
    bindings.chain(Colours::keys().map(|name| format!("{COLOURS}{name}")))
}

/// What the value of this key is, if it stands in one of the tables.
pub fn kind(key: &str) -> Option<Kind> {
    if let Some(name) = key.strip_prefix(BINDINGS) {
        return Bindings::names().any(|known| known == name).then_some(Kind::List);
    }
    let name = key.strip_prefix(COLOURS)?;
    let kind = if Colours::is_list(name) { Kind::List } else { Kind::Text };
    Colours::keys().any(|known| known == name).then_some(kind)
}

impl Choices {
    /// Those of a file.
    ///
    /// # Errors
    /// The entry that does not go with the others, and why.
    pub fn of(entries: &[Entry]) -> Result<Self, (&Entry, String)> {
        let mut choices = Self::default();
        for entry in entries.iter().filter(|entry| kind(&entry.key).is_some()) {
            choices.choose(&entry.key, &entry.values).map_err(|reason| (entry, reason))?;
        }
        let Err(clash) = choices.bindings.check() else { return Ok(choices) };
        let is_it = |entry: &&Entry| entry.key.strip_prefix(BINDINGS) == Some(clash.name);
        // Who takes the last key of something has named that key, and not what it did.
        let any = || entries.iter().rfind(|entry| entry.key.starts_with(BINDINGS));
        match entries.iter().find(is_it).or_else(any) {
            Some(entry) => Err((entry, clash.reason)),
            None => Ok(choices),
        }
    }

    /// Takes one key of the file.
    ///
    /// # Errors
    /// What is wrong with its value.
    pub fn choose(&mut self, key: &str, values: &[String]) -> Result<(), String> {
        match key.strip_prefix(BINDINGS) {
            Some(name) => self.bindings.choose(name, values),
            None => self.colours.choose(key.trim_start_matches(COLOURS), values),
        }
    }

    /// The keys that hold for an action, also where nobody has chosen any; nothing where this is no action.
    pub fn keys_of(&self, key: &str) -> Option<String> {
        let name = key.strip_prefix(BINDINGS)?;
        let keys = Keys::with(&self.bindings).named(name).join(", ");
        Some(if keys.is_empty() { "none".to_owned() } else { keys })
    }
}
