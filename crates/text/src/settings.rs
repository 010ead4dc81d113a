//! What a person may set about the program: `/set` and the file of configuration read it by one table.

use std::fmt;

use strsim::osa_distance;

use crate::notify::{How, Notify, Quiet};
use crate::presence::Presence;

/// How the full screen is drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Look {
    /// As the terminal allows.
    #[default]
    Default,
    /// Nothing is faint.
    Contrast,
    /// Without colours.
    Plain,
    /// Without colours, and its signs are ASCII.
    Ascii,
}

impl Look {
    /// Every choice, by its name.
    const CHOICES: [(Self, &str); 4] = [
        (Self::Default, "default"),
        (Self::Contrast, "contrast"),
        (Self::Plain, "plain"),
        (Self::Ascii, "ascii"),
    ];
}

/// What is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Whose coming and going is shown.
    pub presence: Presence,
    /// It is shown when something was said.
    pub timestamps: bool,
    /// Those with whom this user talks alone may see when this user was heard of last; nothing where that is not said.
    pub seen: Option<bool>,
    /// How the full screen is drawn.
    pub theme: Look,
    /// The mouse scrolls and opens conversations there; else it is the terminal's.
    pub mouse: bool,
    /// What is worth a notice.
    pub notify: Notify,
}

impl Default for Settings {
    fn default() -> Self {
        let (presence, theme) = (Presence::All, Look::Default);
        let notify = Notify::default();
        Self { presence, timestamps: true, seen: None, theme, mouse: true, notify }
    }
}

/// One thing that can be set.
pub struct Key {
    /// Its name, with a dot where it stands in a table of the file.
    pub name: &'static str,
    /// Which values it has, for people.
    pub values: &'static str,
    /// What it is.
    pub description: &'static str,
    /// A value that works and is not the default.
    pub example: &'static str,
    get: fn(&Settings) -> String,
    set: fn(&mut Settings, &str) -> bool,
}

impl Key {
    /// Its value, as it is typed.
    pub fn get(&self, settings: &Settings) -> String {
        (self.get)(settings)
    }

    /// Sets it.
    ///
    /// # Errors
    /// It is none of its values; the sentence says which they are.
    pub fn set(&self, settings: &mut Settings, value: &str) -> Result<(), String> {
        if (self.set)(settings, value.trim()) {
            return Ok(());
        }
        let shown: String = value.chars().take(VALUE_SHOWN_MAX).collect();
        Err(format!("it is {}; got {shown:?}", self.values))
    }
}

/// Letters of a wrong value that are shown.
const VALUE_SHOWN_MAX: usize = 60;

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Key {}

/// A key that is on or off: its name, its field, an example, and what it is for.
macro_rules! on_or_off {
    ($name:literal, $($field:ident).+, $example:literal, $description:literal) => {
        Key {
            name: $name,
            values: "on or off",
            description: $description,
            example: $example,
            get: |settings| switch(settings.$($field).+),
            set: |settings, value| assign(switched(value), &mut settings.$($field).+),
        }
    };
}

/// Every key, in the order in which they are shown.
pub static KEYS: &[Key] = &[
    Key {
        name: "presence",
        values: "all, followed or off",
        description: "whose coming and going is shown",
        example: "followed",
        get: |settings| {
            named(&Presence::CHOICES.map(|(of, name, _)| (of, name)), &settings.presence)
        },
        set: |settings, value| assign(Presence::parse(value), &mut settings.presence),
    },
    on_or_off!("timestamps", timestamps, "off", "it is shown when something was said"),
    Key {
        name: "seen",
        values: "on or off",
        description: "whom I write to alone may see when I was heard of last",
        example: "on",
        get: |settings| switch(settings.seen.unwrap_or(false)),
        set: |settings, value| assign(switched(value).map(Some), &mut settings.seen),
    },
    Key {
        name: "theme",
        values: "default, contrast, plain or ascii",
        description: "how the full screen is drawn",
        example: "contrast",
        get: |settings| named(&Look::CHOICES, &settings.theme),
        set: |settings, value| assign(choice(&Look::CHOICES, value), &mut settings.theme),
    },
    on_or_off!(
        "mouse",
        mouse,
        "off",
        "the mouse scrolls and opens conversations; off, it selects and copies"
    ),
    on_or_off!("notify.direct", notify.direct, "off", "a notice when somebody writes to me alone"),
    on_or_off!("notify.mention", notify.mention, "off", "a notice when somebody names me"),
    on_or_off!(
        "notify.followed",
        notify.followed,
        "on",
        "a notice when somebody says something whom I follow"
    ),
    on_or_off!("notify.file", notify.file, "off", "a notice when somebody offers me a file"),
    on_or_off!(
        "notify.command",
        notify.command,
        "off",
        "a notice when somebody asks this machine to run something"
    ),
    on_or_off!("notify.private", notify.private, "on", "a notice has no words of anybody"),
    on_or_off!("notify.title", notify.title, "off", "the title of the window counts what is new"),
    Key {
        name: "notify.how",
        values: "off, bell, terminal, desktop or all",
        description: "by which way there is a notice",
        example: "all",
        get: |settings| named(&How::CHOICES, &settings.notify.how),
        set: |settings, value| assign(choice(&How::CHOICES, value), &mut settings.notify.how),
    },
    Key {
        name: "notify.quiet",
        values: "off, or hours as 22:00-07:00",
        description: "when there are no notices",
        example: "22:00-07:00",
        get: |settings| settings.notify.quiet.map_or_else(|| "off".to_owned(), Quiet::text),
        set: |settings, value| {
            let quiet = match switched(value) {
                Some(false) => Some(None),
                _ => Quiet::parse(value).map(Some),
            };
            assign(quiet, &mut settings.notify.quiet)
        },
    },
];

/// The key of this name, in any case.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name.eq_ignore_ascii_case(name))
}

/// The nearest of these names, where one is near.
pub fn nearest_of<'n>(word: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    /// Slips of the finger that make another word of it.
    const SLIPS_MAX: usize = 3;
    let word: String = word.chars().take(VALUE_SHOWN_MAX).collect::<String>().to_lowercase();
    names
        .map(|name| (osa_distance(&word, name), name))
        .filter(|(slips, name)| *slips <= SLIPS_MAX && *slips * 2 < name.len().max(2))
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, name)| name)
}

/// The key that was meant by a name that is none, where one is near.
pub fn nearest(word: &str) -> Option<&'static str> {
    nearest_of(word, KEYS.iter().map(|key| key.name))
}

fn named<T: PartialEq>(choices: &[(T, &'static str)], value: &T) -> String {
    choices
        .iter()
        .find(|(of, _)| of == value)
        .map(|(_, name)| (*name).to_owned())
        .unwrap_or_default()
}

fn choice<T: Copy>(choices: &[(T, &str)], word: &str) -> Option<T> {
    choices.iter().find(|(_, name)| name.eq_ignore_ascii_case(word)).map(|(of, _)| *of)
}

fn switch(on: bool) -> String {
    if on { "on" } else { "off" }.to_owned()
}

/// `on` and `off`, and what the file has in their place.
fn switched(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" => Some(true),
        "off" | "false" | "no" => Some(false),
        _ => None,
    }
}

fn assign<T>(value: Option<T>, place: &mut T) -> bool {
    value.map(|value| *place = value).is_some()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Goal: the page about the client names each setting, with its values.
    #[test]
    fn the_page_about_the_client_lists_the_settings() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/CLIENT.md");
        let page = fs::read_to_string(page).unwrap();
        let is_of = |row: &str, key: &Key| {
            row.split('|').nth(1).is_some_and(|keys| keys.contains(&format!("`{}`", key.name)))
        };
        for key in KEYS {
            let row = page.lines().find(|row| row.starts_with('|') && is_of(row, key));
            let row = row.unwrap_or_default();
            // The file has the words of its language for these two.
            let values = key.values.replace("on or off", "true, false").replace(" or ", " ");
            for value in
                values.split([',', ' ']).filter(|value| !["", "hours", "as"].contains(value))
            {
                assert!(row.contains(&format!("`{value}`")), "{row}: {value}");
            }
        }
    }

    #[test]
    fn every_key_takes_its_example_and_its_own_value_and_refuses_nonsense() {
        for key in KEYS {
            let (mut settings, before) = (Settings::default(), Settings::default());
            key.set(&mut settings, key.example).unwrap();
            assert_ne!(settings, before, "{key:?}: the example is not the default");
            let shown = key.get(&settings);
            let mut again = Settings::default();
            key.set(&mut again, &shown).unwrap();
            assert_eq!(again, settings, "{key:?} is shown as it is typed");
            let error = key.set(&mut settings, "~nonsense~").unwrap_err();
            assert!(error.contains(key.values), "{error}");
            assert_eq!(settings, again, "{key:?}: nothing has changed");
        }
    }

    #[test]
    fn slips_find_the_key() {
        assert_eq!(nearest("presense"), Some("presence"));
        assert_eq!(nearest("timestamp"), Some("timestamps"));
        assert_eq!(nearest("colour"), None);
        assert_eq!(nearest(""), None);
    }
}
