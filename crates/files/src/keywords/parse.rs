//! Reads a `keyword.txt`, line by line, and keeps where everything stands.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use chat_beneath::RelativePath;
use chat_protocol::file::catalogue::fold;
use chat_protocol::limits::OFFER_WORDS_MAX;
use chat_protocol::name::{RoomName, UserName};

use super::{Entry, Fault, KEYWORD_FILE, Keywords, Place, Problem, Scope};
use crate::disk::OWN_PREFIX;
use crate::limits::{ENTRIES_MAX, KEYWORD_FILE_BYTES_MAX, PROBLEMS_MAX};

/// The mark that some editors put before UTF-8.
pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";

/// Reads the file. It never fails as a whole: good entries stand beside what could not be read.
pub fn parse(bytes: &[u8]) -> Keywords {
    layout(bytes).keywords
}

/// An entry with the bytes that it consists of.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) entry: Entry,
    /// Keyword, comma, name, and the semicolon behind it if there is one.
    pub(super) pieces: Vec<Range<usize>>,
}

/// A section line, or the beginning of the file.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) scope: Scope,
    /// Where its line begins.
    pub(super) start: usize,
    /// Behind its last line that has an entry, or behind its own: new entries go here.
    pub(super) end: usize,
}

/// A file with the places of all its parts.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) keywords: Keywords,
    /// All entries, those that stand twice too.
    pub(super) written: Vec<Written>,
    pub(super) sections: Vec<Section>,
}

pub(super) fn layout(bytes: &[u8]) -> Layout {
    let mut reader = Reader::default();
    let first = Place { line: 1, column: 1 };
    if bytes.len() > KEYWORD_FILE_BYTES_MAX {
        reader.problem(first, Fault::TooLong);
        return reader.layout;
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        reader.problem(first, Fault::Utf16);
        return reader.layout;
    }
    let mut start = if bytes.starts_with(BOM) { BOM.len() } else { 0 };
    reader.scope = Some(Scope::Unsaid);
    reader.layout.sections.push(Section { scope: Scope::Unsaid, start, end: start });
    let text = bytes.get(start..).unwrap_or_default();
    for (number, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        reader.line = number + 1;
        reader.line_end = start + line.len();
        reader.line(line, start);
        start += line.len();
        if reader.is_full {
            break;
        }
    }
    reader.end_entry(None);
    reader.layout
}

/// A keyword or a name, as it stands there.
#[derive(Debug)]
struct Item {
    text: String,
    place: Place,
    range: Range<usize>,
}

/// The entry that is being read: what stands between its commas.
#[derive(Debug)]
struct Pending {
    slots: Vec<Option<Item>>,
    commas: Vec<(Place, Range<usize>)>,
    /// A part of it was told as a problem already.
    is_bad: bool,
    /// Its only item was the last of its line.
    is_broken: bool,
}

impl Default for Pending {
    fn default() -> Self {
        Self { slots: vec![None], commas: Vec::new(), is_bad: false, is_broken: false }
    }
}

#[derive(Debug, Default)]
struct Reader {
    layout: Layout,
    /// `None` below a section line that could not be read.
    scope: Option<Scope>,
    pending: Pending,
    line: usize,
    line_end: usize,
    seen: HashSet<(Scope, String, String)>,
    words: HashMap<(Scope, String), usize>,
    is_full: bool,
}

impl Reader {
    fn problem(&mut self, place: Place, fault: Fault) {
        if self.layout.keywords.problems.len() < PROBLEMS_MAX {
            self.layout.keywords.problems.push(Problem { place, fault });
        } else {
            self.layout.keywords.more_problems += 1;
        }
    }

    fn line(&mut self, line: &[u8], start: usize) {
        let text = match std::str::from_utf8(line) {
            Ok(text) => text,
            Err(error) => return self.not_text(line, error.valid_up_to()),
        };
        let content = text.trim_start();
        if content.starts_with('[') {
            self.end_entry(None);
            let column = chars(text, text.len() - content.len()) + 1;
            self.section(content.trim_end(), start, column);
        } else if !content.starts_with('#') {
            self.content(text, start);
        }
        self.end_line();
    }

    /// A line that is no text could have been a section line: then nothing below it is shared.
    fn not_text(&mut self, line: &[u8], valid: usize) {
        let before = String::from_utf8_lossy(line.get(..valid).unwrap_or_default());
        let place = Place { line: self.line, column: before.chars().count() + 1 };
        self.problem(place, Fault::Encoding);
        self.pending.is_bad = true;
        self.end_entry(None);
        if before.trim_start().starts_with('[') || before.trim().is_empty() {
            self.scope = None;
        }
    }

    fn section(&mut self, text: &str, start: usize, column: usize) {
        self.scope = section(text);
        match &self.scope {
            Some(scope) => {
                let section = Section { scope: scope.clone(), start, end: self.line_end };
                self.layout.sections.push(section);
            }
            None => self.problem(Place { line: self.line, column }, Fault::Section),
        }
    }

    /// Cuts a line of entries into items, commas and semicolons.
    fn content(&mut self, text: &str, start: usize) {
        let line = text.trim_end();
        let (mut rest, mut column) = (line, 1);
        loop {
            let trimmed = rest.trim_start();
            column += chars(rest, rest.len() - trimmed.len());
            let place = Place { line: self.line, column };
            let at = start + line.len() - trimmed.len();
            let length = match trimmed.chars().next() {
                None => return,
                Some(',') => {
                    self.comma(place, at..at + 1);
                    1
                }
                Some(';') => {
                    self.end_entry(Some(at..at + 1));
                    1
                }
                Some('"') => match quoted(trimmed) {
                    Some((text, length)) => {
                        self.item(Item { text, place, range: at..at + length });
                        let behind = trimmed.get(length..).unwrap_or_default().trim_start();
                        if !(behind.is_empty() || behind.starts_with([',', ';'])) {
                            self.bad(place, Fault::AfterQuote);
                            return;
                        }
                        length
                    }
                    None => return self.bad(place, Fault::Unclosed),
                },
                Some(_) => {
                    let length = trimmed.find([',', ';']).unwrap_or(trimmed.len());
                    let text = trimmed.get(..length).unwrap_or_default().trim_end().to_owned();
                    let range = at..at + text.len();
                    self.item(Item { text, place, range });
                    length
                }
            };
            column += chars(trimmed, length);
            rest = trimmed.get(length..).unwrap_or_default();
            if self.is_full {
                return;
            }
        }
    }

    fn bad(&mut self, place: Place, fault: Fault) {
        self.problem(place, fault);
        self.pending.is_bad = true;
    }

    fn item(&mut self, item: Item) {
        if self.pending.is_broken {
            self.end_entry(None);
        }
        if let Some(slot) = self.pending.slots.last_mut() {
            *slot = Some(item);
        }
    }

    fn comma(&mut self, place: Place, range: Range<usize>) {
        self.pending.is_broken = false;
        self.pending.commas.push((place, range));
        self.pending.slots.push(None);
    }

    fn end_line(&mut self) {
        match self.pending.slots.as_slice() {
            _ if self.pending.is_bad => self.end_entry(None),
            [None] | [_, None] => {}
            [Some(_)] => self.pending.is_broken = true,
            _ => self.end_entry(None),
        }
    }

    fn end_entry(&mut self, semicolon: Option<Range<usize>>) {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_bad {
            return;
        }
        let mut commas = pending.commas.into_iter();
        let mut slots = pending.slots.into_iter();
        match (slots.next().flatten(), commas.next(), slots.next().flatten(), commas.next()) {
            (_, _, _, Some((second, _))) => self.problem(second, Fault::SecondComma),
            (None, None, ..) => {}
            (Some(item), None, ..) => self.problem(item.place, Fault::NoComma),
            (None, Some((comma, _)), ..) => self.problem(comma, Fault::NoWord),
            (Some(_), Some((comma, _)), None, _) => self.problem(comma, Fault::NoName),
            (Some(word), Some((_, comma)), Some(name), None) => {
                let pieces = [word.range.clone(), comma, name.range.clone()];
                self.entry(&word, &name, pieces.into_iter().chain(semicolon).collect());
            }
        }
    }

    fn entry(&mut self, word: &Item, name: &Item, pieces: Vec<Range<usize>>) {
        let Ok(folded) = fold(&word.text) else {
            return self.problem(word.place, Fault::Word);
        };
        let path = match file_name(&name.text) {
            Ok(path) => path,
            Err(fault) => return self.problem(name.place, fault),
        };
        let Some(scope) = self.scope.clone() else { return };
        if self.layout.written.len() >= ENTRIES_MAX {
            self.is_full = true;
            return self.problem(name.place, Fault::TooManyEntries);
        }
        if let Some(section) = self.layout.sections.last_mut() {
            let from = section.end;
            section.end = pieces.last().map_or(from, |piece| piece.end).max(from);
        }
        let entry = Entry { scope: scope.clone(), word: folded, name: path, place: name.place };
        let file = (scope.clone(), entry.name.as_str().to_owned());
        let is_new = self.seen.insert((scope, entry.word.clone(), file.1.clone()));
        if is_new {
            let words = self.words.entry(file).or_default();
            *words += 1;
            if *words > OFFER_WORDS_MAX {
                self.problem(name.place, Fault::TooManyWords);
            } else {
                self.layout.keywords.entries.push(entry.clone());
            }
        }
        self.layout.written.push(Written { entry, pieces });
    }
}

/// How many characters the first `bytes` bytes of a text are.
fn chars(text: &str, bytes: usize) -> usize {
    text.get(..bytes).unwrap_or_default().chars().count()
}

/// A name that may be offered.
pub(crate) fn file_name(text: &str) -> Result<RelativePath, Fault> {
    let path = RelativePath::new(text).map_err(Fault::Name)?;
    let last = path.names().last().unwrap_or_default();
    if text == KEYWORD_FILE || last.starts_with(OWN_PREFIX) {
        return Err(Fault::Own);
    }
    Ok(path)
}

/// Reads `[everybody]`, `[room NAME]` or `[user NAME]`.
fn section(text: &str) -> Option<Scope> {
    let inside = text.strip_prefix('[')?.strip_suffix(']')?;
    let words: Vec<&str> = inside.split_whitespace().collect();
    match words.as_slice() {
        [kind] if kind.eq_ignore_ascii_case("everybody") => Some(Scope::Everybody),
        [kind, name] if kind.eq_ignore_ascii_case("room") => {
            RoomName::new(name.strip_prefix('#').unwrap_or(name)).ok().map(Scope::Room)
        }
        [kind, name] if kind.eq_ignore_ascii_case("user") => {
            UserName::new(name).ok().map(Scope::User)
        }
        _ => None,
    }
}

/// What stands in quotes at the beginning of `text`, and how many bytes it takes with them.
fn quoted(text: &str) -> Option<(String, usize)> {
    let mut inside = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' if chars.peek().is_some_and(|(_, next)| *next == '"') => {
                chars.next();
                inside.push('"');
            }
            '"' => return Some((inside, at + 1)),
            _ => inside.push(c),
        }
    }
    None
}
