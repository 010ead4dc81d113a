//! `/save`: what is set goes into the file of configuration, which keeps its comments and its order.

use std::fs;
use std::io;
use std::path::Path;

use chat_device::home::file::{make_private_folder, write_atomically};
use chat_device::server_url::ServerUrl;
use chat_protocol::name::UserName;
use chat_text::settings::{KEYS, Settings};
use toml_edit::{DocumentMut, Item, Table, TableLike, Value, value};

/// Writes what is set, where it is not the default or stands there already; below a profile where one was chosen.
///
/// # Errors
/// The file cannot be read or written, or is not TOML.
pub fn save(path: &Path, profile: Option<&str>, settings: &Settings) -> Result<(), String> {
    let cannot = |what: &str, error: &dyn std::fmt::Display| {
        format!("cannot {what} {}: {error}", path.display())
    };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(cannot("read", &error)),
    };
    let mut document: DocumentMut =
        text.parse().map_err(|error: toml_edit::TomlError| cannot("read", &error.message()))?;
    let usually = usual(document.as_table(), profile);
    let above: Vec<&str> = profile.into_iter().flat_map(|profile| ["profile", profile]).collect();
    for key in KEYS {
        let (wanted, usual) = (key.get(settings), key.get(&usually));
        let words: Vec<&str> = above.iter().copied().chain(key.name.split('.')).collect();
        let Some((last, tables)) = words.split_last() else { continue };
        if wanted == usual && found(document.as_table(), &words).is_none() {
            continue;
        }
        let mut place: &mut dyn TableLike = document.as_table_mut();
        for word in tables {
            place = inner(place, word, path)?;
        }
        let is_switch = key.values == "on or off";
        let new = match wanted.as_str() {
            "on" if is_switch => Value::from(true),
            "off" if is_switch => Value::from(false),
            text => Value::from(text),
        };
        match place.get_mut(last).and_then(Item::as_value_mut) {
            // What stands behind it on its line stays.
            Some(old) => {
                let decor = old.decor().clone();
                *old = new;
                *old.decor_mut() = decor;
            }
            None => drop(place.insert(last, value(new))),
        }
    }
    write(path, &document.to_string()).map_err(|error| cannot("write", &error))
}

/// What holds where nothing is written: with a profile, what the file says above it.
fn usual(table: &Table, profile: Option<&str>) -> Settings {
    let mut settings = Settings::default();
    for key in KEYS.iter().filter(|_| profile.is_some()) {
        let words: Vec<&str> = key.name.split('.').collect();
        let value = found(table, &words).and_then(|item| match item.as_value()? {
            Value::String(text) => Some(text.value().clone()),
            Value::Boolean(on) => Some(on.value().to_string()),
            _ => None,
        });
        if let Some(value) = value {
            // It was tried when the file was read.
            key.set(&mut settings, &value).ok();
        }
    }
    settings
}

/// What stands at the end of these words.
fn found<'t>(table: &'t dyn TableLike, words: &[&str]) -> Option<&'t Item> {
    match words {
        [] => None,
        [last] => table.get(last),
        [outer, rest @ ..] => found(table.get(outer)?.as_table_like()?, rest),
    }
}

/// Writes a first file with who and where; one that is there already stays.
pub(crate) fn first(path: &Path, user: &UserName, server: &ServerUrl) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let mut document = DocumentMut::new();
    document.insert("user", value(user.as_str()));
    document.insert("server", value(server.to_string()));
    write(path, &document.to_string())
}

fn inner<'t>(
    table: &'t mut dyn TableLike,
    name: &str,
    path: &Path,
) -> Result<&'t mut dyn TableLike, String> {
    let item = table.entry(name).or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    let wrong = || format!("{}: {name} is no table", path.display());
    item.as_table_like_mut().ok_or_else(wrong)
}

/// Puts the file there whole or not at all; nobody else reads it.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        make_private_folder(folder)?;
    }
    // Whoever keeps the file elsewhere has a link here, which stays one.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    write_atomically(&path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use chat_text::settings::find;

    use super::*;

    #[test]
    fn what_is_set_is_written_and_what_else_stands_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat").join("config.toml");
        let mut settings = Settings::default();
        find("timestamps").unwrap().set(&mut settings, "off").unwrap();
        save(&path, None, &settings).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "timestamps = false\n");
        fs::write(&path, "# mine\nuser = \"alice\" # me\ntheme = \"plain\" # dark\n").unwrap();
        save(&path, None, &settings).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let expected =
            "# mine\nuser = \"alice\" # me\ntheme = \"default\" # dark\ntimestamps = false\n";
        assert_eq!(text, expected);
        save(&path, Some("work"), &settings).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("profile"), "the file says that already: {text}");
    }

    /// Goal: what is set back holds in the profile, too, where the file above it says something else.
    #[test]
    fn a_profile_says_what_the_file_above_it_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, "timestamps = false\nnotify = { how = \"all\" }\n").unwrap();
        save(&path, Some("work"), &Settings::default()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("[profile.work]\ntimestamps = true\n"), "{text}");
        assert!(text.contains("[profile.work.notify]\nhow = \"bell\"\n"), "{text}");
        save(&path, None, &Settings::default()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("notify = { how = \"bell\" }\n"), "{text}");
    }

    #[test]
    fn a_link_to_the_file_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("kept.toml"), folder.path().join("config.toml"));
        fs::write(&path, "theme = \"plain\"\n").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        save(&link, None, &Settings::default()).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&path).unwrap(), "theme = \"default\"\n");
    }
}
