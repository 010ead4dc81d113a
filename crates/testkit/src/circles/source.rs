//! What one file says of modules: the paths in it, what it imports under which name, and which children are for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::str::Chars;

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// Each path, as it is written.
    pub(super) paths: BTreeSet<Vec<String>>,
    /// What `use` brings, by the name that it has here.
    pub(super) imports: BTreeMap<String, Vec<String>>,
    /// Modules of which `use` brings all.
    pub(super) globs: Vec<Vec<String>>,
    /// Modules below it that only tests have.
    pub(super) for_tests: BTreeSet<String>,
}

/// Reads a file. What only tests have is passed over.
pub(super) fn read(text: &str) -> Source {
    let tokens = tokens(text);
    let mut source = Source::default();
    let mut at = 0;
    while at < tokens.len() {
        let rest = &tokens[at..];
        if begins(rest, &["#", "[", "cfg", "(", "test", ")", "]"]) {
            at += 7 + passed_over(&rest[7..], &mut source);
        } else if rest[0] == "use" {
            let end = rest.iter().position(|token| token == ";").unwrap_or(rest.len());
            for (name, path) in tree(&rest[1..end], &[]) {
                source.paths.insert(path.clone());
                if name == "*" {
                    source.globs.push(path);
                } else {
                    source.imports.insert(name, path);
                }
            }
            at += end;
        } else if is_word(&rest[0]) && rest.get(1).is_some_and(|next| next == "::") {
            let mut path = vec![rest[0].clone()];
            let mut length = 1;
            while begins(&rest[length..], &["::"])
                && rest.get(length + 1).is_some_and(|of| is_word(of))
            {
                path.push(rest[length + 1].clone());
                length += 2;
            }
            source.paths.insert(path);
            at += length;
        } else {
            at += 1;
        }
    }
    source
}

fn begins(tokens: &[String], with: &[&str]) -> bool {
    tokens.len() >= with.len() && tokens.iter().zip(with).all(|(token, with)| token == with)
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// How many tokens the next item has, which is for tests. A module of this kind is noted.
fn passed_over(tokens: &[String], source: &mut Source) -> usize {
    let (mut depth, mut length) = (0_usize, tokens.len());
    for (count, token) in (1..).zip(tokens) {
        match token.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && matches!(token.as_str(), "}" | ";") {
            length = count;
            break;
        }
    }
    if let [.., keyword, name, end] = &tokens[..length]
        && (keyword.as_str(), end.as_str()) == ("mod", ";")
    {
        source.for_tests.insert(name.clone());
    }
    length
}

/// The names that a tree of `use` brings, and their paths.
fn tree(tokens: &[String], above: &[String]) -> Vec<(String, Vec<String>)> {
    let mut path = above.to_vec();
    let mut rest = tokens;
    while let [word, "::", ..] = rest.iter().map(String::as_str).take(2).collect::<Vec<_>>()[..] {
        path.push(word.to_owned());
        rest = &rest[2..];
    }
    match rest.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["{", .., "}"] => {
            parts(&rest[1..rest.len() - 1]).into_iter().flat_map(|part| tree(part, &path)).collect()
        }
        ["self"] => path.last().cloned().map(|name| (name, path)).into_iter().collect(),
        [word, "as", name] => {
            if word != "self" {
                path.push(word.to_owned());
            }
            vec![(name.to_owned(), path)]
        }
        // All that is there: it counts as the module itself.
        ["*"] => vec![("*".to_owned(), path)],
        [word] => {
            path.push(word.to_owned());
            vec![(word.to_owned(), path)]
        }
        _ => Vec::new(),
    }
}

/// What stands between the commas of a list.
fn parts(tokens: &[String]) -> Vec<&[String]> {
    let (mut depth, mut found, mut from) = (0_usize, Vec::new(), 0);
    for (at, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            "," if depth == 0 => {
                found.push(&tokens[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    found.push(&tokens[from..]);
    found.retain(|part| !part.is_empty());
    found
}

/// Words, `::` and single signs; no comments, and nothing of what stands in quotes.
fn tokens(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '/' if chars.peek() == Some(&'/') => {
                chars.by_ref().find(|c| *c == '\n');
            }
            '"' => quoted(&mut chars),
            '\'' => letter(&mut chars),
            ':' if chars.next_if_eq(&':').is_some() => found.push("::".to_owned()),
            c if c.is_alphanumeric() || c == '_' => {
                let mut word = c.to_string();
                while let Some(c) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                    word.push(c);
                }
                if matches!(word.as_str(), "r" | "br") && matches!(chars.peek(), Some('"' | '#')) {
                    raw(&mut chars);
                } else {
                    found.push(word);
                }
            }
            c if c.is_whitespace() => {}
            c => found.push(c.to_string()),
        }
    }
    found
}

/// The rest of a text in quotes.
fn quoted(chars: &mut Peekable<Chars<'_>>) {
    while let Some(c) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '"' => break,
            _ => {}
        }
    }
}

/// The rest of a raw text, from its `#` or its quote on.
fn raw(chars: &mut Peekable<Chars<'_>>) {
    let mut hashes = 0;
    while chars.next_if_eq(&'#').is_some() {
        hashes += 1;
    }
    if chars.next_if_eq(&'"').is_none() {
        // `r#type`, a name.
        return;
    }
    while let Some(c) = chars.next() {
        let mut seen = 0;
        while c == '"' && seen < hashes && chars.next_if_eq(&'#').is_some() {
            seen += 1;
        }
        if c == '"' && seen == hashes {
            break;
        }
    }
}

/// The rest of a letter in quotes; of a lifetime nothing.
fn letter(chars: &mut Peekable<Chars<'_>>) {
    if chars.next_if_eq(&'\\').is_some() {
        chars.next();
        chars.by_ref().find(|c| *c == '\'');
        return;
    }
    let mut ahead = chars.clone();
    ahead.next();
    if ahead.next() == Some('\'') {
        chars.next();
        chars.next();
    }
}
