//! Why a store cannot be opened, read or written.

use std::io;

use thiserror::Error;

/// What a store says of its own failure: words for the log, whatever it is made of.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a batch was not kept at all.
#[derive(Debug, Error)]
pub enum CommitError {
    /// There is no room on the disk. Later batches may succeed.
    #[error("the disk is full")]
    Full,
    /// The database failed. A retry could lie, so the server ends.
    #[error("cannot store: {0}")]
    Failed(#[source] Cause),
    /// The thread of the database is gone.
    #[error("cannot store: the database thread has ended")]
    Gone,
}

/// Why something could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The database refuses.
    #[error("cannot read the database: {0}")]
    Database(#[source] Cause),
    /// A row is not what we wrote.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// The reading thread was cut; the process is ending.
    #[error("cannot read the database: the server is ending")]
    Ending,
}

/// Why the database cannot be used.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The folder or the thread could not be made.
    #[error("cannot open the database in {folder}: {source}")]
    Io {
        /// The data folder.
        folder: String,
        /// What the system said.
        source: io::Error,
    },
    /// The database refuses it.
    #[error(
        "cannot open the database {file}: {source}; see whether the disk is full, and keep a copy of the file before anything else"
    )]
    Database {
        /// The file.
        file: String,
        /// What it said.
        source: Cause,
    },
    /// Written by a newer version.
    #[error(
        "the database {file} has version {found}, this server knows version {known}; start the newer server"
    )]
    Version {
        /// The file.
        file: String,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// There is a file and nothing in it, which no server leaves.
    #[error(
        "the database {file} is empty: what it held is lost; restore a backup, or remove it to begin anew"
    )]
    Empty {
        /// The file.
        file: String,
    },
    /// It is that of a server among several, and this one is to run alone.
    #[error(
        "the database {file} belongs to the server {node} of several; start it with --redis and --node {node}, or \
         choose another folder with --data"
    )]
    Shared {
        /// The file.
        file: String,
        /// The server.
        node: String,
    },
    /// It follows another log, or another server.
    #[error(
        "the database {file} belongs to the server {node} of another log or name; start it with the --redis, \
         --cluster and --node of before, or choose an empty folder with --data"
    )]
    OtherLog {
        /// The file.
        file: String,
        /// The server.
        node: String,
    },
    /// It is that of a server that was alone, and what is in it is nowhere else.
    #[error(
        "the database {file} belongs to a server that runs alone; several servers begin with empty folders: \
         choose one with --data"
    )]
    Alone {
        /// The file.
        file: String,
    },
    /// Something in it is not what we wrote.
    #[error("the database {file} is damaged: {what}; restore a backup")]
    Damaged {
        /// The file.
        file: String,
        /// What was found.
        what: String,
    },
}
