//! Where the connection is: up, on its way, or waited for.

use std::sync::Arc;
use std::time::Duration;

use chat_protocol::crypto::random;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use crate::clock::now_ms;
use crate::connection::{ConnectError, Incoming, Session, Socket};
use crate::own_device::{KeyChange, Known, OwnDevice};
use crate::server_url::ServerUrl;
use crate::sign_in::{Credentials, Door};
use crate::store::StoreError;

/// The first try after a loss follows within this time.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);

/// A server that was away for long is asked about once in this time, by each client.
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// A connection that lasts this long begins the waits anew. One that is cut sooner counts as a try that
/// failed: a server that lets a client in and drops it at once would make it sign in without end.
const STEADY: Duration = Duration::from_secs(5);

/// A connection, or what is done about it. Numbers count the attempts since the last steady one.
#[derive(Default)]
pub(super) enum Link {
    /// Nothing is done.
    #[default]
    Down,
    Online {
        socket: Box<Socket>,
        url: ServerUrl,
        /// The host was told that this connection has caught up.
        caught_up: bool,
        since: Instant,
        attempts: u32,
    },
    Connecting {
        attempts: u32,
        task: Task<Result<Session, ConnectError>>,
    },
    /// Other keys are made.
    Renewing(Task<Result<Result<OwnDevice, StoreError>, JoinError>>),
    Waiting {
        attempts: u32,
        until: Instant,
    },
}

type Task<T> = AbortOnDropHandle<T>;

/// What becomes of a link.
pub(super) enum LinkEvent {
    Incoming(Incoming),
    Connected(Box<Session>),
    Lost(ConnectError),
    Changed(LinkChange),
}

/// What becomes of a link that is no connection.
pub(super) enum LinkChange {
    NotConnected(ConnectError),
    Renewed(Result<OwnDevice, StoreError>),
    NotRenewed,
    TryAgain,
}

impl Link {
    /// What comes next. May be dropped at any time without loss. Without `reads` a connection is
    /// only written to.
    pub(super) async fn next(&mut self, reads: bool) -> LinkEvent {
        LinkEvent::Changed(match self {
            Self::Down => std::future::pending().await,
            Self::Online { socket, .. } if reads => match socket.next().await {
                Ok(incoming) => return LinkEvent::Incoming(incoming),
                Err(error) => return LinkEvent::Lost(error),
            },
            Self::Online { socket, .. } => match socket.write().await {
                Ok(()) => std::future::pending().await,
                Err(error) => return LinkEvent::Lost(error),
            },
            Self::Connecting { task, .. } => match task.await {
                Ok(Ok(session)) => return LinkEvent::Connected(Box::new(session)),
                Ok(Err(error)) => LinkChange::NotConnected(error),
                Err(error) => {
                    let reason = format!("internal error: {error}");
                    LinkChange::NotConnected(ConnectError::Lost { reason })
                }
            },
            Self::Renewing(task) => match task.await {
                Ok(Ok(renewed)) => LinkChange::Renewed(renewed),
                // It was cut off; the next connection finds out again that it is needed.
                Ok(Err(_)) | Err(_) => LinkChange::NotRenewed,
            },
            Self::Waiting { until, .. } => {
                sleep_until(*until).await;
                LinkChange::TryAgain
            }
        })
    }

    /// A message that is here already.
    pub(super) fn try_next(&mut self) -> Option<Result<Incoming, ConnectError>> {
        match self {
            Self::Online { socket, .. } => socket.try_next(),
            _ => None,
        }
    }

    /// A connection is up.
    pub(super) fn online(&self, socket: Socket, url: ServerUrl) -> Self {
        let (attempts, since) = (self.attempts(), Instant::now());
        Self::Online { socket: Box::new(socket), url, caught_up: false, since, attempts }
    }

    /// The state after a loss.
    pub(super) fn lost(&self) -> Self {
        let lasted = match self {
            Self::Online { since, .. } => since.elapsed(),
            _ => STEADY,
        };
        let attempts = attempts_after(lasted, self.attempts());
        Self::Waiting { attempts, until: Instant::now() + backoff(attempts, random()) }
    }

    /// An attempt with these keys, behind the goodbye of the connection before.
    pub(super) fn connecting(
        &self,
        (door, device): (Door, OwnDevice),
        credentials: Option<Arc<Credentials>>,
        closing: Option<JoinHandle<()>>,
    ) -> Self {
        let attempts = self.attempts() + 1;
        let task = async move {
            if let Some(closing) = closing {
                // However it has ended, it has.
                closing.await.ok();
            }
            door.again(&device, credentials.as_deref()).await
        };
        let task = tokio::spawn(task);
        Self::Connecting { attempts, task: AbortOnDropHandle::new(task) }
    }

    /// Other keys for this device, whose bundle repeats what is known of the account and comes behind it.
    pub(super) fn renewing(
        door: &Door,
        device: OwnDevice,
        (change, known): (KeyChange, Known),
        closing: Option<Box<Socket>>,
    ) -> Self {
        let user = door.user.clone();
        let work = move || device.renewed(&user, change, &known, now_ms());
        let task = async move {
            if let Some(socket) = closing {
                socket.close().await;
            }
            tokio::task::spawn_blocking(work).await
        };
        Self::Renewing(AbortOnDropHandle::new(tokio::spawn(task)))
    }

    /// The time until the next attempt after this one failed.
    pub(super) fn wait(&self, error: &ConnectError) -> Self {
        let attempts = self.attempts();
        let own = backoff(attempts, random());
        let delay = match error {
            // Told when to come back; the jitter keeps all from coming at once.
            ConnectError::Busy { after, .. } => (*after).min(BACKOFF_MAX) + own,
            _ => own,
        };
        Self::Waiting { attempts, until: Instant::now() + delay }
    }

    /// When the next attempt begins, while one is waited for.
    pub(super) fn retry_in(&self) -> Option<Duration> {
        match self {
            Self::Waiting { until, .. } => Some(until.saturating_duration_since(Instant::now())),
            _ => None,
        }
    }

    fn attempts(&self) -> u32 {
        match self {
            Self::Connecting { attempts, .. }
            | Self::Waiting { attempts, .. }
            | Self::Online { attempts, .. } => *attempts,
            _ => 0,
        }
    }
}

/// How many attempts count after a connection that lasted so long.
fn attempts_after(lasted: Duration, attempts: u32) -> u32 {
    if lasted < STEADY { attempts } else { 0 }
}

/// Doubles with each attempt up to a bound; any moment of that time is as likely (full jitter), so
/// that the clients of a server that restarts do not come all at once.
fn backoff(attempts: u32, chance: [u8; 4]) -> Duration {
    let doubled = BACKOFF_FIRST.saturating_mul(1 << attempts.min(16));
    let share = f64::from(u32::from_be_bytes(chance)) / f64::from(u32::MAX);
    doubled.min(BACKOFF_MAX).mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_steady_connection_begins_the_waits_anew() {
        assert_eq!(attempts_after(STEADY, 7), 0);
        assert_eq!(attempts_after(Duration::from_millis(3), 7), 7);
    }

    #[test]
    fn waits_double_up_to_a_bound_and_any_part_of_them_is_possible() {
        assert_eq!(backoff(0, [0xff; 4]), BACKOFF_FIRST);
        assert_eq!(backoff(3, [0xff; 4]), BACKOFF_FIRST * 8);
        assert_eq!(backoff(1_000, [0xff; 4]), BACKOFF_MAX);
        assert_eq!(backoff(5, [0; 4]), Duration::ZERO);
        assert!(backoff(4, [0x80, 0, 0, 0]).abs_diff(BACKOFF_FIRST * 8) < BACKOFF_FIRST);
    }
}
