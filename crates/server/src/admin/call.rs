//! The operator's end of the admin socket.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::{fs::OpenOptionsExt as _, net::UnixStream},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::{
    socket::{
        AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, setsockopt, socket,
        sockopt::{PeerCredentials, SendTimeout},
    },
    time::TimeVal,
};
use rustix::fs::OFlags;
use thiserror::Error;

use super::request::{AdminAnswer, AdminRequest, Running};

/// The socket in the data folder.
pub(crate) const SOCKET_FILE: &str = "admin.sock";

/// A question is answered from memory: a server that takes longer stands still.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// An order waits for a commit, a reload for files: far below this, unless the disk stands still. It is given
/// only to a server that answers.
const ORDER_TIME_MAX: Duration = Duration::from_mins(1);

/// What a server goes by is known without a commit. A container's probe has five seconds in all.
const RUNNING_TIME_MAX: Duration = Duration::from_secs(2);

/// A socket's path that fits whatever the folder's: the kernel takes 107 bytes, so the folder is named
/// by its descriptor. Keep that open as long as the path is used.
pub(crate) fn short_path(data: &Path) -> io::Result<(File, PathBuf)> {
    let flags = i32::try_from((OFlags::PATH | OFlags::DIRECTORY).bits());
    let flags = flags.map_err(io::Error::other)?;
    let folder = OpenOptions::new().read(true).custom_flags(flags).open(data)?;
    let path = format!("/proc/self/fd/{}/{SOCKET_FILE}", folder.as_raw_fd());
    Ok((folder, path.into()))
}

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
    /// The folder or its socket is somebody else's.
    #[error(
        "you may not ask the server of {}: {source}; do it as the user who runs it",
        data.display()
    )]
    Denied {
        /// The folder.
        data: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The server is there and says nothing.
    #[error("{server} does not answer, not within {} s: {}", time.as_secs(), server.advice())]
    Silent {
        /// Who was asked.
        server: Server,
        /// How long it had.
        time: Duration,
    },
    /// The server is there, has taken an order and says nothing of it.
    #[error(
        "{server} answers, but has not said within {} s that this is done: look whether it is before you say it \
         again, and whether its disk stands still (chat-server doctor)",
        time.as_secs()
    )]
    Unknown {
        /// Who was asked.
        server: Server,
        /// How long it had.
        time: Duration,
    },
    /// The server ended meanwhile.
    #[error("{server} ended before it answered: {source}")]
    Gone {
        /// Who was asked.
        server: Server,
        /// What the system said.
        source: io::Error,
    },
    /// Not an answer that we know.
    #[error("the server answered something else: {0}; is it of another version?")]
    Strange(serde_json::Error),
}

/// The server at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    data: PathBuf,
    /// Its process, if that can be seen from here.
    pid: Option<i32>,
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the server of {}", self.data.display())?;
        self.pid.map_or(Ok(()), |pid| write!(f, " (pid {pid})"))
    }
}

impl Server {
    /// What to do about one that stands still.
    fn advice(&self) -> String {
        match self.pid {
            Some(pid) if is_stopped(pid) => {
                format!("it is stopped; let it go on: kill -CONT {pid}")
            }
            Some(pid) => format!(
                "its log may say why, and its disk may stand still; if it stays so, end it and start it again: \
                 kill -KILL {pid}. Nothing that it has acknowledged is lost"
            ),
            None => {
                "look at its log and its disk; if it stays so, end it and start it again".to_owned()
            }
        }
    }
}

/// Whether a process is stopped by a signal or by a debugger, as far as the system says. The name of the program
/// stands before the state, in parentheses that it may hold, too.
fn is_stopped(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().next());
    matches!(state, Some("T" | "t"))
}

/// Whether a socket has let its time pass.
fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// A connection to the server of a data folder.
#[derive(Debug)]
pub struct Call {
    read: BufReader<UnixStream>,
    server: Server,
}

impl Call {
    /// Connects.
    pub fn open(data: &Path) -> Result<Self, CallError> {
        Self::with_patience(data, ANSWER_TIME_MAX)
    }

    /// What the server of a data folder goes by. One that does not say it soon is not well.
    pub fn running(data: &Path) -> Result<Running, CallError> {
        Self::with_patience(data, RUNNING_TIME_MAX)?.hello(RUNNING_TIME_MAX)
    }

    fn with_patience(data: &Path, time: Duration) -> Result<Self, CallError> {
        let failed = |source: io::Error| {
            let data = data.to_owned();
            match source.kind() {
                io::ErrorKind::PermissionDenied => CallError::Denied { data, source },
                _ => CallError::NoServer { data, source },
            }
        };
        let (_folder, path) = short_path(data).map_err(failed)?;
        let unconnected = || {
            let (family, kind) = (AddressFamily::Unix, SockType::Stream);
            let unconnected = socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?;
            // Counts for the connect as well: where many wait for a server that stands still it would not end.
            let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
            setsockopt(&unconnected, SendTimeout, &TimeVal::new(seconds, 0))?;
            Ok::<_, nix::Error>((unconnected, UnixAddr::new(&path)?))
        };
        let (socket, address) = unconnected().map_err(|errno| failed(errno.into()))?;
        match connect(std::os::fd::AsRawFd::as_raw_fd(&socket), &address) {
            Err(nix::Error::EAGAIN) => {
                let server = Server { data: data.to_owned(), pid: None };
                return Err(CallError::Silent { server, time });
            }
            connected => connected.map_err(|errno| failed(errno.into()))?,
        }
        let peer = getsockopt(&socket, PeerCredentials).map_err(|errno| failed(errno.into()))?;
        // None has the number 0: it is in a container, or we are.
        let server = Server { data: data.to_owned(), pid: Some(peer.pid()).filter(|pid| *pid > 0) };
        Ok(Self { read: BufReader::new(UnixStream::from(socket)), server })
    }

    fn hello(&mut self, time: Duration) -> Result<Running, CallError> {
        match self.exchange(&AdminRequest::Running, time)? {
            AdminAnswer::Running(running) => Ok(*running),
            _ => Err(CallError::Strange(serde::de::Error::custom("not what it goes by"))),
        }
    }

    /// Asks and waits for the answer. An order is given to a server that answers: one that stands still would
    /// carry it out when nobody expects it any more.
    pub fn ask(&mut self, request: &AdminRequest) -> Result<AdminAnswer, CallError> {
        if request.is_question() {
            return self.exchange(request, ANSWER_TIME_MAX);
        }
        self.hello(ANSWER_TIME_MAX)?;
        self.exchange(request, ORDER_TIME_MAX).map_err(|error| match error {
            CallError::Silent { server, time } => CallError::Unknown { server, time },
            other => other,
        })
    }

    fn exchange(
        &mut self,
        request: &AdminRequest,
        time: Duration,
    ) -> Result<AdminAnswer, CallError> {
        let mut line = serde_json::to_string(request).map_err(CallError::Strange)?;
        line.push('\n');
        let mut answer = String::new();
        let mut exchanged = || {
            let stream = self.read.get_mut();
            stream.set_read_timeout(Some(time))?;
            stream.set_write_timeout(Some(time))?;
            stream.write_all(line.as_bytes())?;
            self.read.read_line(&mut answer)
        };
        let server = || self.server.clone();
        match exchanged() {
            Ok(0) => {
                let source = io::ErrorKind::UnexpectedEof.into();
                Err(CallError::Gone { server: server(), source })
            }
            Ok(_) => serde_json::from_str(&answer).map_err(CallError::Strange),
            Err(error) if is_late(&error) => Err(CallError::Silent { server: server(), time }),
            Err(source) => Err(CallError::Gone { server: server(), source }),
        }
    }
}
