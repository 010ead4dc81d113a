//! Adds entries to a `keyword.txt` and takes entries out of it. All else stays as its owner wrote it:
//! comments, order, line ends, the mark at the beginning.

use std::ops::Range;

use chat_beneath::RelativePath;
use chat_protocol::file::catalogue::{CatalogueError, fold};
use thiserror::Error;

use super::parse::{BOM, Layout, Section, file_name, layout};
use super::{Entry, Fault, Problem, Scope};

/// What is left when the last entry of a file without comments is taken out: a blank one could be a slip.
const NOTHING_SHARED: &[u8] = b"# nothing is shared\n";

/// Why a `keyword.txt` was not changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EditError {
    /// It could mean something else with an entry more.
    #[error("keyword.txt has mistakes and is left as it is; put this right first: {0}")]
    Problem(Problem),
    /// A keyword has not the form of one.
    #[error(transparent)]
    Word(#[from] CatalogueError),
    /// Nothing to find the file by.
    #[error("a file is shared under one keyword at least")]
    NoWords,
    /// The file cannot be shared.
    #[error("{0}")]
    Name(Fault),
    /// It would not say afterwards what it should: too many entries or keywords.
    #[error("the entry does not fit: {0}")]
    Full(Fault),
}

/// The file with these keywords for one name, in the section of `scope`. Those that stand there
/// already are not written again.
pub fn add(
    bytes: &[u8],
    scope: &Scope,
    name: &RelativePath,
    words: &[String],
) -> Result<Vec<u8>, EditError> {
    if words.is_empty() {
        return Err(EditError::NoWords);
    }
    let bytes = if bytes == NOTHING_SHARED { b"" } else { bytes };
    file_name(name.as_str()).map_err(EditError::Name)?;
    let before = readable(bytes)?;
    let mut missing: Vec<String> = Vec::new();
    for word in words {
        let word = fold(word)?;
        let is_there = |entry: &Entry| {
            entry.scope == *scope && entry.word == word && entry.name.as_str() == name.as_str()
        };
        if !missing.contains(&word) && !before.keywords.entries.iter().any(is_there) {
            missing.push(word);
        }
    }
    if missing.is_empty() {
        return Ok(bytes.to_vec());
    }
    let after = insert(bytes, &before, scope, name, &missing);
    match layout(&after).keywords.problems.first() {
        Some(problem) => Err(EditError::Full(problem.fault)),
        None => Ok(after),
    }
}

fn insert(
    bytes: &[u8],
    before: &Layout,
    scope: &Scope,
    name: &RelativePath,
    words: &[String],
) -> Vec<u8> {
    let end_of_line = if bytes.windows(2).any(|pair| pair == b"\r\n") { "\r\n" } else { "\n" };
    let section = before.sections.iter().rfind(|section| section.scope == *scope);
    let at = section.map_or(bytes.len(), |section| place_in(bytes, before, section));
    let mut lines = String::new();
    let head = bytes.get(..at).unwrap_or_default();
    if !(head.is_empty() || head == BOM || head.ends_with(b"\n")) {
        lines.push_str(end_of_line);
    }
    if section.is_none() {
        lines.extend([&scope.to_string(), end_of_line]);
    }
    for word in words {
        let (word, name) = (written(word), written(name.as_str()));
        lines.extend([&word, ", ", &name, end_of_line]);
    }
    let tail = bytes.get(at..).unwrap_or_default();
    [head, lines.as_bytes(), tail].concat()
}

/// Where a new entry of a section goes: behind the line of its last one.
fn place_in(bytes: &[u8], layout: &Layout, section: &Section) -> usize {
    let is_head = section.scope == Scope::Unsaid;
    if is_head && section.start == section.end {
        // A head without entries: at its end, so that it stays below the comments on top.
        return layout.sections.get(1).map_or(bytes.len(), |next| next.start);
    }
    let behind = bytes.get(section.end..).unwrap_or_default();
    let is_at_line = section.end == 0 || bytes.get(section.end - 1) == Some(&b'\n');
    match behind.iter().position(|byte| *byte == b'\n') {
        _ if is_at_line => section.end,
        Some(at) => section.end + at + 1,
        None => bytes.len(),
    }
}

/// The file without the entries of one name, and how many were taken out. `scope` of `None` means
/// every section, and no words mean every keyword.
pub fn remove(
    bytes: &[u8],
    scope: Option<&Scope>,
    name: &str,
    words: &[String],
) -> Result<(Vec<u8>, usize), EditError> {
    let before = readable(bytes)?;
    let words = words.iter().map(|word| fold(word)).collect::<Result<Vec<_>, _>>()?;
    let is_meant = |entry: &Entry| {
        entry.name.as_str() == name
            && scope.is_none_or(|scope| entry.scope == *scope)
            && (words.is_empty() || words.contains(&entry.word))
    };
    let meant = before.written.iter().filter(|written| is_meant(&written.entry));
    let (mut count, mut pieces) = (0, Vec::new());
    for written in meant {
        count += 1;
        for piece in &written.pieces {
            take_out(bytes, &mut pieces, piece.clone());
        }
        // What stood behind its semicolon moves to its place.
        if let Some(last) = pieces.last_mut().filter(|_| written.pieces.len() > 3) {
            last.end += blanks(bytes, last.end);
        }
    }
    let left = without(bytes, &pieces);
    Ok((if count > 0 && is_blank(&left) { NOTHING_SHARED.to_vec() } else { left }, count))
}

/// Whether nothing is said in the file: no entry and no comment, empty sections at most.
pub fn is_blank(bytes: &[u8]) -> bool {
    let mut lines = bytes.strip_prefix(BOM).unwrap_or(bytes).split(|byte| *byte == b'\n');
    lines.all(|line| {
        let line = line.trim_ascii();
        line.is_empty() || (line.starts_with(b"[") && line.ends_with(b"]"))
    })
}

/// Adds a piece, joined to the one before if only blanks are between them.
fn take_out(bytes: &[u8], pieces: &mut Vec<Range<usize>>, piece: Range<usize>) {
    match pieces.last_mut() {
        Some(last) if last.end + blanks(bytes, last.end) == piece.start => last.end = piece.end,
        _ => pieces.push(piece),
    }
}

fn blanks(bytes: &[u8], from: usize) -> usize {
    let behind = bytes.get(from..).unwrap_or_default();
    behind.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

/// The bytes without some pieces, which are in order and each on one line. A line of which nothing is
/// left goes as a whole; every other line is left as it is.
fn without(bytes: &[u8], pieces: &[Range<usize>]) -> Vec<u8> {
    let mut left = Vec::with_capacity(bytes.len());
    let mut pieces = pieces.iter().peekable();
    let mut start = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let end = start + line.len();
        let mut rest = Vec::with_capacity(line.len());
        let mut at = start;
        let mut is_cut = false;
        while let Some(piece) = pieces.next_if(|piece| piece.start < end) {
            rest.extend_from_slice(bytes.get(at..piece.start).unwrap_or_default());
            at = piece.end;
            is_cut = true;
        }
        rest.extend_from_slice(bytes.get(at..end).unwrap_or_default());
        start = end;
        if is_cut && rest.strip_prefix(BOM).unwrap_or(&rest).trim_ascii().is_empty() {
            if rest.starts_with(BOM) {
                left.extend_from_slice(BOM);
            }
        } else {
            left.extend_from_slice(&rest);
        }
    }
    left
}

fn readable(bytes: &[u8]) -> Result<Layout, EditError> {
    let layout = layout(bytes);
    match layout.keywords.problems.first() {
        Some(problem) => Err(EditError::Problem(problem.clone())),
        None => Ok(layout),
    }
}

/// A keyword or name in the form in which it is read again.
fn written(text: &str) -> String {
    let is_plain =
        !text.contains([',', ';']) && !text.starts_with(['"', '#', '[']) && text.trim() == text;
    if is_plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}
