//! The addresses of one server: where the next connection is tried, and when the address after it.
//!
//! A server may consist of several that behave as one. An address that refuses, puts off or says nothing for
//! a second is not waited for: the next one is tried beside it, and the first that greets is taken. A client
//! stays where it was greeted, and begins with the next address when that connection is gone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{sleep, timeout};

use super::ConnectError;
use crate::server_url::ServerUrl;

/// TCP, TLS, WebSocket and the server's greeting together; the server gives a client as long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// An address that has not greeted by then is most likely one of a machine that has stopped: a connection over a slow
/// line takes four round trips.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_secs(1);

/// All addresses of a server, and where a client begins.
#[derive(Debug)]
pub(super) struct Addresses {
    all: Vec<ServerUrl>,
    /// The address that is tried first, as an index.
    first: AtomicUsize,
}

impl Addresses {
    /// Begins with the address of this number; the numbers go round.
    pub(super) fn new(all: Vec<ServerUrl>, first: usize) -> Self {
        let first = AtomicUsize::new(first % all.len().max(1));
        Self { all, first }
    }

    /// All of them, as they were given.
    pub(super) fn all(&self) -> &[ServerUrl] {
        &self.all
    }

    /// Begins here the next time.
    pub(super) fn stay(&self, url: &ServerUrl) {
        if let Some(index) = self.all.iter().position(|known| known == url) {
            self.first.store(index, Ordering::Relaxed);
        }
    }

    /// Begins with the one after this the next time, if it is the one that would be first.
    pub(super) fn leave(&self, url: &ServerUrl) {
        if let Some(index) = self.all.iter().position(|known| known == url) {
            let next = (index + 1) % self.all.len();
            // Another connection of this client may have found a better one meanwhile.
            self.first.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed).ok();
        }
    }

    fn in_turn(&self) -> impl ExactSizeIterator<Item = &ServerUrl> {
        let first = self.first.load(Ordering::Relaxed);
        (0..self.all.len())
            .filter_map(move |step| self.all.get((first + step) % self.all.len()))
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// What the first address gives that `reach` succeeds at. Whoever answers wrongly is not passed over.
    pub(super) async fn reach<'a, T, F>(
        &'a self,
        reach: impl Fn(&'a ServerUrl) -> F,
    ) -> Result<T, ConnectError>
    where
        F: Future<Output = Result<T, ConnectError>>,
    {
        let reach_in_time = |url: &'a ServerUrl| {
            let reached = timeout(CONNECT_TIMEOUT, Box::pin(reach(url)));
            async move {
                reached.await.unwrap_or_else(|_| Err(ConnectError::Timeout { url: url.clone() }))
            }
        };
        let mut next = self.in_turn();
        let mut tried = FuturesUnordered::new();
        let mut failed = Vec::new();
        loop {
            if tried.is_empty() {
                match next.next() {
                    Some(url) => tried.push(reach_in_time(url)),
                    None => return Err(together(failed)),
                }
            }
            tokio::select! {
                biased;
                Some(reached) = tried.next() => match reached {
                    Err(error) if error.is_integrity() => return Err(error),
                    Err(error) => {
                        failed.push(error);
                        tried.extend(next.next().map(&reach_in_time));
                    }
                    reached => return reached,
                },
                () = sleep(NEXT_ADDRESS_AFTER), if next.len() > 0 => {
                    tried.extend(next.next().map(&reach_in_time));
                }
            }
        }
    }
}

/// What is said when none of several tries has succeeded: when to come again if one of them has said so, and who
/// has refused if one has.
pub(super) fn together(failed: Vec<ConnectError>) -> ConnectError {
    let (mut soonest, mut refused, mut others) = (None, None, Vec::new());
    for error in failed {
        match error {
            ConnectError::Busy { after, .. }
                if soonest.as_ref().is_none_or(|(known, _)| after < *known) =>
            {
                soonest = Some((after, error));
            }
            ConnectError::Busy { .. } => {}
            ConnectError::Refused { .. } => refused = Some(error),
            error => others.push(error),
        }
    }
    let told = soonest.map(|(_, error)| error).or(refused);
    told.unwrap_or_else(|| match others.len() {
        0 => ConnectError::NoServer,
        1 => others.remove(0),
        _ => ConnectError::Nowhere { tried: others },
    })
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::io;
    use std::sync::Mutex;

    use super::*;

    fn urls() -> Vec<ServerUrl> {
        ["ws://a", "ws://b", "ws://c"].map(|url| url.parse().unwrap()).to_vec()
    }

    fn refused(url: &ServerUrl) -> ConnectError {
        let source = io::Error::from(io::ErrorKind::ConnectionRefused);
        ConnectError::Unreachable { url: url.clone(), source }
    }

    fn busy(ms: u64) -> ConnectError {
        ConnectError::Busy { after: Duration::from_millis(ms), why: String::new() }
    }

    /// Which hosts are tried, in order, if only this one greets.
    async fn tried(addresses: &Addresses, greets: &str) -> (Vec<String>, Result<(), ConnectError>) {
        let tried = Mutex::new(Vec::new());
        let reached = addresses.reach(|url| {
            tried.lock().unwrap().push(url.host().to_owned());
            async move { if url.host() == greets { Ok(()) } else { Err(refused(url)) } }
        });
        let reached = reached.await;
        (tried.into_inner().unwrap(), reached)
    }

    #[tokio::test]
    async fn the_next_address_is_tried_and_the_rest_is_left_alone() {
        let addresses = Addresses::new(urls(), 0);
        assert_eq!(tried(&addresses, "b").await.0, ["a", "b"]);
        let (all, nowhere) = tried(&addresses, "nobody").await;
        let said = nowhere.unwrap_err().to_string();
        assert_eq!(all, ["a", "b", "c"]);
        assert!(["ws://a", "ws://b", "ws://c"].iter().all(|url| said.contains(url)), "{said}");
    }

    #[tokio::test]
    async fn a_client_stays_where_it_is_and_goes_on_from_there() {
        let addresses = Addresses::new(urls(), 4);
        assert_eq!(tried(&addresses, "b").await.0, ["b"], "it begins with the second");
        addresses.stay(&"ws://c".parse().unwrap());
        assert_eq!(tried(&addresses, "c").await.0, ["c"]);
        addresses.leave(&"ws://a".parse().unwrap());
        assert_eq!(tried(&addresses, "c").await.0, ["c"], "it was not there");
        addresses.leave(&"ws://c".parse().unwrap());
        assert_eq!(tried(&addresses, "c").await.0, ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn one_that_says_nothing_is_waited_for_beside_the_next() {
        let addresses = Addresses::new(urls(), 0);
        let begun = tokio::time::Instant::now();
        let reached = addresses.reach(|url| async move {
            match url.host() {
                "b" => Ok(url.host().to_owned()),
                _ => pending().await,
            }
        });
        assert_eq!(reached.await.unwrap(), "b");
        assert!(begun.elapsed() >= NEXT_ADDRESS_AFTER);
        // A slow one is not given up for it.
        let reached = addresses.reach(|url| async move {
            match url.host() {
                "a" => sleep(NEXT_ADDRESS_AFTER * 3 / 2).await,
                _ => pending().await,
            }
            Ok(url.host().to_owned())
        });
        assert_eq!(reached.await.unwrap(), "a");
    }

    #[tokio::test]
    async fn who_answers_wrongly_is_not_passed_over() {
        let addresses = Addresses::new(urls(), 0);
        let alarm = || ConnectError::Handshake(chat_protocol::handshake::HandshakeError::LinkKey);
        let reached = addresses.reach(|url| async move {
            match url.host() {
                "a" => Err(refused(url)),
                "b" => Err(alarm()),
                _ => Ok(()),
            }
        });
        assert!(reached.await.unwrap_err().is_integrity());
    }

    #[test]
    fn what_all_say_together_is_when_to_come_again() {
        let [a, b, _] = urls().try_into().unwrap();
        let told = together(vec![refused(&a), busy(900), busy(300), refused(&b)]);
        assert!(matches!(told, ConnectError::Busy { after, .. } if after.as_millis() == 300));
        let told = together(vec![refused(&a)]);
        assert!(matches!(told, ConnectError::Unreachable { url, .. } if url == a));
        assert!(matches!(together(Vec::new()), ConnectError::NoServer));
    }
}
