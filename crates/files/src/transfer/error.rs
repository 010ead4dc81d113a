//! Why something about a file does not work.

use std::path::PathBuf;

use crate::folder::ShareError;
use crate::part::PartError;
use crate::serve::SourceError;
use chat_beneath::{FolderError, PathError};
use chat_protocol::code;
use chat_protocol::file::FileError;
use chat_protocol::file::catalogue::CatalogueError;
use chat_protocol::name::UserName;
use chat_protocol::sanitise::line;
use thiserror::Error;

use chat_device::connection::ConnectError;
use chat_device::home::HomeError;

/// Why something about a file does not work.
#[derive(Debug, Error)]
pub enum TransferError {
    /// No connection, or it went away.
    #[error("there is no connection to the server")]
    Offline,
    /// The server did not answer.
    #[error("the server did not answer in time; try again")]
    NoAnswer,
    /// The server or the owner said no.
    #[error("{}: {}", line(code), line(reason))]
    Refused {
        /// A stable code.
        code: String,
        /// A sentence.
        reason: String,
    },
    /// The owner said no, in a message that is signed.
    #[error("{owner} does not give it: {} ({})", line(reason), line(code))]
    OwnerRefuses {
        /// The owner.
        owner: UserName,
        /// A stable code.
        code: String,
        /// A sentence.
        reason: String,
    },
    /// Too many words in one question.
    #[error("ask for at most {} words at once", chat_protocol::limits::FIND_WORDS_MAX)]
    TooManyWords,
    /// The owner's program did not answer.
    #[error("{owner} is here, but no program of theirs gives this file; it may just have ended")]
    OwnerSilent {
        /// The owner.
        owner: UserName,
    },
    /// The owner is away and left no copy.
    #[error("{owner} is away and left no copy at the server; try again when they are here")]
    OwnerAway {
        /// The owner.
        owner: UserName,
    },
    /// The owner has another file under this offer by now.
    #[error("the file of {owner} has changed since it was listed; look for it again")]
    Changed {
        /// The owner.
        owner: UserName,
    },
    /// The other side, or the server, has ended it before it was whole.
    #[error("{reason}")]
    Ended {
        /// A sentence of theirs.
        reason: String,
    },
    /// The transfer broke off too often.
    #[error("the transfer broke off: {}; the next one goes on where it stopped", line(reason))]
    BrokenOff {
        /// What happened last.
        reason: String,
    },
    /// What is to be shared has the name of another file in the shared folder.
    #[error(
        "another file named {name} is in {} already, and it is not replaced; give this one another name, or \
         share that one no more and delete it there first", .folder.display()
    )]
    NameInFolder {
        /// The name.
        name: String,
        /// The shared folder.
        folder: PathBuf,
    },
    /// A keyword or an offer.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// A file that cannot be sent or received.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file of ours that cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A file that I named and that cannot be read.
    #[error("{}: {source}", path.display())]
    Named {
        /// The path as it was given.
        path: PathBuf,
        /// What is wrong with the file.
        source: SourceError,
    },
    /// A file that cannot be kept.
    #[error(transparent)]
    Part(#[from] PartError),
    /// The shared folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Its `keyword.txt`.
    #[error(transparent)]
    Share(#[from] ShareError),
    /// A name that no shared file can have.
    #[error(transparent)]
    Name(#[from] PathError),
    /// No such entry.
    #[error("{name:?} is not in keyword.txt of the shared folder")]
    NotShared {
        /// What was named.
        name: String,
    },

    /// The home.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The connection for files.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A part of this program failed.
    #[error("internal error: {0}")]
    Internal(String),
}

/// What a hub says that keeps no copies, or no more.
pub(super) fn refused(code: String, reason: String) -> (String, String) {
    let code = if code.is_empty() { code::NOT_ALLOWED.to_owned() } else { code };
    (code, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what others say in a refusal acts on no terminal, whoever writes the error.
    #[test]
    fn words_of_others_in_an_error_are_only_shown() {
        let (code, reason) = ("E_\u{9b}2J".to_owned(), "\u{1b}]52;c;eA==\u{7}\nno".to_owned());
        let owner = UserName::new("mallory").unwrap();
        for error in [
            TransferError::Refused { code: code.clone(), reason: reason.clone() },
            TransferError::OwnerRefuses { owner, code, reason: reason.clone() },
            TransferError::BrokenOff { reason },
        ] {
            let said = error.to_string();
            assert!(!said.contains(char::is_control), "{said:?}");
        }
    }
}
