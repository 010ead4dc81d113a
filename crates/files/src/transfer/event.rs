//! What transfers tell their host.

use std::collections::BTreeSet;
use std::path::PathBuf;

use chat_protocol::file::Manifest;
use chat_protocol::id::MessageId;
use chat_protocol::name::UserName;

use super::error::TransferError;

/// A file that somebody would like to give me.
#[derive(Debug, Clone)]
pub struct Offered {
    /// Its number, for `/accept`.
    pub n: u32,
    /// The person who offers it.
    pub from: UserName,
    /// The file's name, size and root.
    pub file: Manifest,
    /// It is fetched without asking, because I said so of this person: the transfer's number.
    pub transfer: Option<u32>,
    pub(super) offer: MessageId,
}

/// What the host should show.
#[derive(Debug)]
pub enum TransferEvent {
    /// A file is coming.
    Progress {
        /// Number of the transfer.
        n: u32,
        /// Bytes that are here.
        done: u64,
        /// Bytes of the file.
        size: u64,
        /// Bytes per second of late.
        rate: u64,
    },
    /// The owner is away, or has not answered yet.
    Waiting {
        /// Number of the transfer.
        n: u32,
        /// For whom or what.
        why: String,
    },
    /// A file is here, whole and checked.
    Fetched {
        /// Number of the transfer.
        n: u32,
        /// Whose it is.
        owner: UserName,
        /// Who gave it, or some of it.
        givers: BTreeSet<UserName>,
        /// Where it is now.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// A file could not be fetched.
    Failed {
        /// Number of the transfer.
        n: u32,
        /// What went wrong.
        error: TransferError,
    },
    /// Somebody has fetched a file from here.
    Gave {
        /// The person who has it now.
        to: UserName,
        /// The file's name here.
        name: String,
        /// Bytes that were sent.
        bytes: u64,
    },
    /// A file that was asked for could not be given.
    NotGiven {
        /// Who asked.
        to: UserName,
        /// Why not.
        reason: String,
    },
    /// Somebody would like to give me a file.
    Offered(Offered),
    /// A file is offered to somebody.
    Sent {
        /// To whom.
        to: UserName,
        /// The file's name.
        name: String,
        /// Its size in bytes.
        size: u64,
    },
    /// Somebody declined what I offered, or cannot be reached.
    Answered {
        /// The person it was offered to.
        by: UserName,
        /// The file's name.
        name: String,
        /// Why not.
        reason: String,
    },
    /// The server keeps an encrypted copy of a shared file.
    Copied {
        /// The file's name.
        name: String,
        /// Until when, Unix time in milliseconds.
        until: u64,
    },
    /// What was asked for cannot be done.
    Problem {
        /// A sentence for people.
        reason: String,
    },
    /// One of the orders to share, to share no more, to leave copies or to send is dealt with; what came of it
    /// is the event before.
    Done,
    /// The hub's list is in step with the shared folder.
    Listed {
        /// Files on offer.
        files: usize,
        /// Offers that are new or changed.
        offered: usize,
        /// Offers that have ended.
        ended: usize,
    },
    /// Something about the shared folder.
    Folder {
        /// A sentence; with line and column where it is about `keyword.txt`.
        line: String,
    },
}
