//! Which events and fields the source of the programs names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chat_tests::workspace;

/// What was found.
pub(super) struct Source {
    /// Fields of objects that are written in one piece, by their event.
    pub(super) objects: BTreeMap<String, BTreeSet<String>>,
    text: String,
}

/// Reads the source of both programs without its tests, and of what the client is made of.
pub(super) fn read() -> Source {
    let mut client = String::new();
    for name in ["client", "talk", "text", "device", "files", "emulator"] {
        add(&workspace().join("crates").join(name).join("src"), &mut client);
    }
    let mut objects: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (at, _) in client.match_indices("\"event\": ") {
        let name = &client[at + "\"event\": ".len()..];
        let names = match literal(name) {
            Some(name) => vec![name],
            None => vec!["verify", "trust", "distrust"],
        };
        let open = client[..at].rfind('{').unwrap();
        for name in names {
            let fields = objects.entry(name.to_owned()).or_default();
            fields.extend(fields_of(&client[open..]).filter(|field| field != "event"));
        }
    }
    for before in ["\"event\", json!(", "\"event\".to_owned(), ", "Some(object(", "event: "] {
        for (at, _) in client.match_indices(before) {
            if let Some(name) = literal(&client[at + before.len()..]) {
                objects.entry(name.to_owned()).or_default();
            }
        }
    }
    let mut text = client;
    for folder in ["crates/server/src", "crates/oplog/src"] {
        add(&workspace().join(folder), &mut text);
    }
    Source { objects, text }
}

impl Source {
    /// Whether a word stands there as the name of a field.
    pub(super) fn has_word(&self, word: &str) -> bool {
        let word = word.trim_end_matches("[]");
        self.text.contains(&format!("\"{word}\""))
            || self.text.contains(&format!("pub {word}: "))
            || self.text.contains(&format!("    {word}: "))
    }

    /// Names of fields that are added to an object one by one.
    pub(super) fn fields_put_in_later(&self) -> impl Iterator<Item = &str> {
        let found = self.text.match_indices("fields.insert(\"");
        let names = found.filter_map(|(at, before)| literal(&self.text[at + before.len() - 1..]));
        names.filter(|name| *name != "event")
    }
}

/// The text between quotes with which it begins.
fn literal(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.split('"').next()
}

/// The names of the fields of an object as it is written in the source, at its open brace.
fn fields_of(text: &str) -> impl Iterator<Item = String> {
    let (mut fields, mut depth, mut at) = (Vec::new(), 0_u32, 0);
    while let Some(character) = text[at..].chars().next() {
        match character {
            '"' => {
                let word = literal(&text[at..]).unwrap_or_default();
                at += word.len() + 1;
                if depth == 1 && text[at + 1..].starts_with(':') {
                    fields.push(word.to_owned());
                }
            }
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            _ => {}
        }
        at += character.len_utf8();
    }
    fields.into_iter()
}

/// Appends the source below a folder.
fn add(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            add(&path, text);
        } else if path.file_name().is_some_and(|name| name != "tests.rs") {
            let source = std::fs::read_to_string(&path).unwrap();
            text.push_str(source.split("#[cfg(test)]\nmod").next().unwrap_or_default());
        }
    }
}
