//! The operator's end of the admin socket.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use thiserror::Error;

use super::{
    request::{AdminAnswer, AdminRequest, Running},
    socket::short_path,
};

/// A request waits for a commit, a reload for files: far below this, unless the disk stands still.
const ANSWER_TIME_MAX: Duration = Duration::from_mins(1);

/// What a server goes by is known without a commit. A container's probe has five seconds in all.
const RUNNING_TIME_MAX: Duration = Duration::from_secs(2);

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum CallError {
    /// Nobody listens.
    #[error(
        "no server runs with the data folder {}: {source}; start it, or name its folder with --data",
        data.display()
    )]
    NoServer {
        /// The folder.
        data: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The server ended or was silent.
    #[error("the server did not answer: {0}")]
    Silent(io::Error),
    /// Not an answer that we know.
    #[error("the server answered something else: {0}; is it of another version?")]
    Strange(serde_json::Error),
}

/// A connection to the server of a data folder.
#[derive(Debug)]
pub struct Call {
    read: BufReader<UnixStream>,
}

impl Call {
    /// Connects, to wait for answers as long as an order may take.
    pub fn open(data: &Path) -> Result<Self, CallError> {
        Self::with_patience(data, ANSWER_TIME_MAX)
    }

    /// What the server of a data folder goes by; nothing where none runs there. One that does not say it soon
    /// is not well.
    pub fn running(data: &Path) -> Option<Result<Running, String>> {
        let mut call = Self::with_patience(data, RUNNING_TIME_MAX).ok()?;
        Some(match call.ask(&AdminRequest::Running) {
            Ok(AdminAnswer::Running(running)) => Ok(*running),
            Ok(_) => Err("runs and answers something else; is it of another version?".to_owned()),
            Err(error) => Err(error.to_string()),
        })
    }

    fn with_patience(data: &Path, time: Duration) -> Result<Self, CallError> {
        let failed = |source| CallError::NoServer { data: data.to_owned(), source };
        let (_folder, path) = short_path(data).map_err(failed)?;
        let stream = UnixStream::connect(path).map_err(failed)?;
        stream.set_read_timeout(Some(time)).map_err(failed)?;
        stream.set_write_timeout(Some(time)).map_err(failed)?;
        Ok(Self { read: BufReader::new(stream) })
    }

    /// Asks and waits for the answer.
    pub fn ask(&mut self, request: &AdminRequest) -> Result<AdminAnswer, CallError> {
        let mut line = serde_json::to_string(request).map_err(CallError::Strange)?;
        line.push('\n');
        self.read.get_mut().write_all(line.as_bytes()).map_err(CallError::Silent)?;
        let mut answer = String::new();
        match self.read.read_line(&mut answer) {
            Ok(0) => Err(CallError::Silent(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => serde_json::from_str(&answer).map_err(CallError::Strange),
            Err(error) => Err(CallError::Silent(error)),
        }
    }
}
