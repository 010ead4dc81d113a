//! The server's end of the admin socket: `admin.sock` in the data folder, for the owner alone.
//!
//! A connection asks line by line; each line gets one. What changes something is written to the audit log
//! before it goes into the queue and when its outcome is known.

use std::{
    fs::{self, Permissions},
    io,
    net::SocketAddr,
    os::{unix::fs::PermissionsExt as _, unix::net::UnixListener as StdListener},
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use rustix::process;
use thiserror::Error;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc, oneshot},
    task::spawn_blocking,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{
        audit::{Audit, AuditError},
        call::{SOCKET_FILE, short_path},
        request::{AdminAnswer, AdminRequest},
    },
    connection::ConnectionId,
    limits::{ADMIN_CONNECTIONS_MAX, ADMIN_LINE_BYTES_MAX, ADMIN_TIME_MAX},
    queue::Lane,
    reload::Ask,
    request::{AdminOrder, Request},
    shared::Shared,
    tasks::Tasks,
};

/// Only the owner connects.
const MODE: u32 = 0o600;

/// Why nobody can ask.
#[derive(Debug, Error)]
pub enum AdminError {
    /// The socket cannot be made.
    #[error("cannot make the admin socket {}: {source}", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is changed cannot be written down.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

/// What is asked for that the worker does not do.
#[derive(Debug)]
pub struct Hand {
    /// Ends the server.
    pub stop: CancellationToken,
    /// Knows what the server goes by, and reads it again.
    pub reload: mpsc::Sender<Ask>,
    /// Where the server listens.
    pub address: SocketAddr,
    /// Nothing more is asked: what is asked already gets its answer.
    pub hang_up: CancellationToken,
}

/// The socket before anybody is served.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
    audit: Arc<Mutex<Audit>>,
}

impl AdminSocket {
    /// Makes the socket in a data folder that is ours, and opens the audit log.
    pub fn open(data: &Path, logs: &Path) -> Result<Self, AdminError> {
        let path = data.join(SOCKET_FILE);
        let failed = |source| AdminError::Socket { path: path.clone(), source };
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let (_folder, short) = short_path(data).map_err(failed)?;
        let listener = StdListener::bind(&short).map_err(failed)?;
        fs::set_permissions(&path, Permissions::from_mode(MODE)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = UnixListener::from_std(listener).map_err(failed)?;
        let audit = Arc::new(Mutex::new(Audit::open(logs)?));
        Ok(Self { listener, path, audit })
    }

    /// Serves whoever may ask until it is told to hang up, and then finishes what was asked.
    pub(crate) async fn serve(self, hub: Arc<Shared>, hand: Hand) {
        let seats = Arc::new(Semaphore::new(ADMIN_CONNECTIONS_MAX));
        let hand = Arc::new(hand);
        let connections = Tasks::default();
        loop {
            let next = async {
                let seat = Arc::clone(&seats).acquire_owned().await;
                (seat, self.listener.accept().await)
            };
            let (seat, accepted) = tokio::select! {
                biased;
                () = hand.hang_up.cancelled() => break,
                next = next => next,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "the admin socket does not accept");
                    tokio::time::sleep(crate::limits::ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let asked = Asked {
                hub: Arc::clone(&hub),
                hand: Arc::clone(&hand),
                audit: Arc::clone(&self.audit),
            };
            connections.spawn(tracing::debug_span!("operator"), async move {
                asked.serve(stream).await;
                drop(seat);
            });
        }
        // What an operator has changed is in the audit log then.
        connections.wait().await;
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        // Gone already is as good.
        fs::remove_file(&self.path).ok();
    }
}

/// What one connection of an operator works with.
struct Asked {
    hub: Arc<Shared>,
    hand: Arc<Hand>,
    audit: Arc<Mutex<Audit>>,
}

impl Asked {
    /// Answers line by line until the other side has enough, or is too slow.
    async fn serve(&self, mut stream: UnixStream) {
        let own = process::geteuid().as_raw();
        // The mode of the socket says the same; this is for file systems that know no modes.
        let Ok(uid) = stream.peer_cred().map(|peer| peer.uid()) else { return };
        if uid != own && uid != 0 {
            return;
        }
        let (read, mut write) = stream.split();
        let mut read = BufReader::new(read);
        let limit = u64::try_from(ADMIN_LINE_BYTES_MAX).unwrap_or(u64::MAX);
        loop {
            let mut line = String::new();
            let next = async { (&mut read).take(limit).read_line(&mut line).await };
            let read = tokio::select! {
                biased;
                () = self.hand.hang_up.cancelled() => return,
                read = timeout(ADMIN_TIME_MAX, next) => read,
            };
            match read {
                Ok(Ok(length)) if length > 0 => {}
                _ => return,
            }
            let request = serde_json::from_str(&line);
            let is_drain = matches!(request, Ok(AdminRequest::Drain));
            let answer = match request {
                Ok(request) => self.answer(uid, request).await,
                Err(error) => AdminAnswer::refused(format!("not a request: {error}")),
            };
            let is_drain = is_drain && matches!(answer, AdminAnswer::Done { .. });
            // Our own types: they can be written.
            let Ok(mut text) = serde_json::to_string(&answer) else { return };
            text.push('\n');
            let written = timeout(ADMIN_TIME_MAX, write.write_all(text.as_bytes())).await;
            if is_drain {
                // Not before: with the server its answer would be gone.
                self.hand.stop.cancel();
            }
            if !matches!(written, Ok(Ok(()))) {
                return;
            }
        }
    }

    async fn answer(&self, uid: u32, request: AdminRequest) -> AdminAnswer {
        if request.is_question() {
            return self.carry_out(request).await;
        }
        let asked = {
            let request = request.clone();
            self.write_down(move |audit| audit.asked(uid, &request)).await
        };
        let of = match asked {
            Ok(of) => of,
            Err(reason) => return AdminAnswer::refused(format!("{reason}; nothing was changed")),
        };
        let answer = self.carry_out(request).await;
        let outcome = answer.clone();
        let ended = self.write_down(move |audit| audit.ended(uid, of, &outcome)).await;
        if let Err(reason) = ended {
            tracing::error!(reason, "what the operator has changed is not in the audit log");
        }
        answer
    }

    async fn write_down<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut Audit) -> Result<T, AuditError> + Send + 'static,
    ) -> Result<T, String> {
        let audit = Arc::clone(&self.audit);
        let run = move || write(&mut audit.lock());
        match spawn_blocking(run).await {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_cut) => Err("the server is ending".to_owned()),
        }
    }

    async fn carry_out(&self, request: AdminRequest) -> AdminAnswer {
        match request {
            // Begun when the answer is on its way.
            AdminRequest::Drain => AdminAnswer::done("draining"),
            AdminRequest::Running => {
                let (reply, answer) = oneshot::channel();
                let sent = self.hand.reload.send(Ask::Running(reply)).await;
                match (sent, answer.await) {
                    (Ok(()), Ok(mut running)) => {
                        running.audit = self.write_down(|audit| Ok(audit.end())).await.ok();
                        AdminAnswer::Running(running)
                    }
                    _ => AdminAnswer::refused("the server is ending"),
                }
            }
            AdminRequest::Reload => {
                let (reply, answer) = oneshot::channel();
                let sent = self.hand.reload.send(Ask::Again(reply)).await;
                match (sent, answer.await) {
                    (Ok(()), Ok(Ok(what))) => AdminAnswer::Done { what },
                    (Ok(()), Ok(Err(reason))) => AdminAnswer::refused(reason),
                    _ => AdminAnswer::refused("the server is ending"),
                }
            }
            request => {
                let mut answer = ask_worker(&self.hub, request).await;
                if let AdminAnswer::Stats(stats) = &mut answer {
                    stats.address = Some(self.hand.address);
                }
                answer
            }
        }
    }
}

/// Puts a request into the one queue and waits for its answer.
pub(crate) async fn ask_worker(hub: &Shared, request: AdminRequest) -> AdminAnswer {
    let (reply, answer) = oneshot::channel();
    let order = AdminOrder { request, what: Vec::new(), reply };
    let queue = hub.requests.for_connection(ConnectionId::HUB);
    let request = Request::Admin(Box::new(order));
    let sent = queue.send(Lane::Control, None, size_of::<AdminOrder>(), request).await;
    match (sent, answer.await) {
        (Ok(()), Ok(answer)) => answer,
        _ => AdminAnswer::refused("the server is ending"),
    }
}
