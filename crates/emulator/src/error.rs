//! Why a run did not come to its report.

use std::io;

use chat_device::connection::ConnectError;
use chat_device::home::HomeError;
use chat_device::sign_in::StartError;
use chat_oplog::OpenError;
use chat_protocol::name::UserName;
use thiserror::Error;

/// Why a run did not come to its report.
#[derive(Debug, Error)]
pub enum EmulatorError {
    /// What was asked for cannot be done.
    #[error("{0}")]
    Wrong(String),
    /// A client did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// One of the clients was not let in.
    #[error("{name}: {error}{hint}")]
    SignIn {
        /// The client's name.
        name: UserName,
        /// Why the sign-in failed.
        error: StartError,
        /// What may help; empty where nothing is known.
        hint: &'static str,
    },
    /// A client has stopped before the start.
    #[error("{0}")]
    Stopped(String),
    /// The clients did not come together in time.
    #[error("{0}")]
    Late(String),
    /// A file of the home, or the report, cannot be read or written.
    #[error("{0}")]
    Storage(String),
    /// The operation logs cannot be written.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// Standard output.
    #[error("cannot read or write: {0}")]
    Io(#[from] io::Error),
}

impl From<ConnectError> for EmulatorError {
    fn from(error: ConnectError) -> Self {
        Self::Start(error.into())
    }
}

impl From<HomeError> for EmulatorError {
    fn from(error: HomeError) -> Self {
        Self::Start(error.into())
    }
}

/// How a run ended that came to its report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All was well.
    Well,
    /// The report names faults.
    WithFaults,
    /// Somebody ended it before its time.
    Interrupted,
}
