//! `keyword.txt`: which files of a folder are found by which words, and by whom.
//!
//! ```text
//! # what I give to everybody
//! plan, plans/2026.pdf; räume, plans/2026.pdf
//! notes, "notes, old.txt"
//!
//! [room ops]
//! runbook, ops/runbook.md
//! [user bob]
//! photo, bob.jpg
//! ```
//!
//! An entry is a keyword, a comma and a file name. A semicolon ends an entry, and so does the end of a
//! line, except before and after the comma: there it is white space. A name (or keyword) in double
//! quotes may contain commas, semicolons and, doubled, quotes. A line that begins with `#` is a
//! comment, one that begins with `[` says who may find the entries below it. After a section line that
//! cannot be read, entries are left out until the next good one: they are never offered to others than
//! those meant. A file with a comment and no entry shares nothing on purpose; one with nothing in it is what
//! an editor leaves for a moment, or a slip.

mod parse;
mod write;

use std::fmt;

use chat_beneath::{PathError, RelativePath};
use chat_protocol::file::catalogue::Audience;
use chat_protocol::limits::{KEYWORD_BYTES_MAX, OFFER_WORDS_MAX};
use chat_protocol::name::{ConversationId, RoomName, UserName};
use thiserror::Error;

use crate::limits::{ENTRIES_MAX, KEYWORD_FILE_BYTES_MAX};

pub use parse::parse;
pub use write::{EditError, add, is_blank, remove};

/// The name of the file, in the shared folder.
pub const KEYWORD_FILE: &str = "keyword.txt";

/// Who may find entries, as `keyword.txt` says it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Scope {
    /// Above the first section line: what the caller chose.
    #[default]
    Unsaid,
    /// `[everybody]`.
    Everybody,
    /// `[room NAME]`.
    Room(RoomName),
    /// `[user NAME]`.
    User(UserName),
}

impl Scope {
    /// The audience it means for `me`, where `unsaid` is that of entries above the first section.
    /// `None` for a section of oneself: one has one's own files already.
    pub fn audience(&self, me: &UserName, unsaid: &Audience) -> Option<Audience> {
        match self {
            Self::Unsaid => Some(unsaid.clone()),
            Self::Everybody => Some(Audience::Everybody),
            Self::Room(room) => Some(Audience::Conversation(ConversationId::room(room))),
            Self::User(user) => ConversationId::direct(me, user).ok().map(Audience::Conversation),
        }
    }
}

impl fmt::Display for Scope {
    /// The section line; nothing for [`Scope::Unsaid`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsaid => Ok(()),
            Self::Everybody => f.write_str("[everybody]"),
            Self::Room(room) => write!(f, "[room {room}]"),
            Self::User(user) => write!(f, "[user {user}]"),
        }
    }
}

/// Where something stands, both counted from 1; columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KEYWORD_FILE}, line {}, column {}", self.line, self.column)
    }
}

/// One keyword of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Who may find it.
    pub scope: Scope,
    /// The keyword, folded.
    pub word: String,
    /// The file, below the shared folder.
    pub name: RelativePath,
    /// Where its file name stands.
    pub place: Place,
}

/// What is wrong in a `keyword.txt`, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{place}: {fault}")]
pub struct Problem {
    /// The line or entry it is in.
    pub place: Place,
    /// The fault in it.
    pub fault: Fault,
}

/// Kinds of [`Problem`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Fault {
    /// The file as a whole.
    #[error(
        "the file has more than {KEYWORD_FILE_BYTES_MAX} bytes and is not read; make it shorter"
    )]
    TooLong,
    /// The file as a whole.
    #[error("more than {ENTRIES_MAX} entries; the rest is left out")]
    TooManyEntries,
    /// A file of another encoding altogether.
    #[error("the file is UTF-16; save it as UTF-8")]
    Utf16,
    /// A line that is not text.
    #[error("this is not UTF-8, so the line is left out; save the file as UTF-8")]
    Encoding,
    /// A quoted name without its end.
    #[error("the quote is not closed on its line; write \"name, with comma.txt\"")]
    Unclosed,
    /// Something after a quoted name.
    #[error(
        "after a quoted name comes a comma, a semicolon or the end of the line; write \"\" for a quote inside of it"
    )]
    AfterQuote,
    /// An entry that is a single word.
    #[error("there is no comma; an entry is: keyword, file name")]
    NoComma,
    /// Nothing before the comma.
    #[error("there is no keyword before the comma; an entry is: keyword, file name")]
    NoWord,
    /// Nothing behind the comma.
    #[error("there is no file name behind the comma; an entry is: keyword, file name")]
    NoName,
    /// A second comma.
    #[error(
        "a second comma in one entry; write one entry for each keyword, and a name that has a comma in double quotes"
    )]
    SecondComma,
    /// Not a keyword.
    #[error(
        "a keyword has 1 to {KEYWORD_BYTES_MAX} bytes and no comma, semicolon or control character"
    )]
    Word,
    /// Not a file below the folder.
    #[error("not a file below the shared folder: {0}")]
    Name(PathError),
    /// A file of ours that makes no sense for others.
    #[error("this file is the program's own and is not shared; leave the entry out")]
    Own,
    /// More than an offer may have.
    #[error("a file has at most {OFFER_WORDS_MAX} keywords; this one is left out")]
    TooManyWords,
    /// A section line that nobody understands.
    #[error(
        "not a section, so the entries below it are not shared; write [everybody], [room NAME] or [user NAME]"
    )]
    Section,
}

impl Fault {
    /// Whether something else was meant than what could be read; otherwise it is understood, and is too
    /// much or not allowed.
    pub fn is_slip(&self) -> bool {
        !matches!(self, Self::TooManyEntries | Self::TooManyWords | Self::Own)
    }
}

/// What a `keyword.txt` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keywords {
    /// The good entries in their order, each once.
    pub entries: Vec<Entry>,
    /// What could not be read, in order: at most [`crate::limits::PROBLEMS_MAX`].
    pub problems: Vec<Problem>,
    /// How many problems there are beyond those.
    pub more_problems: usize,
}

#[cfg(test)]
mod tests;
