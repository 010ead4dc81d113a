//! Wrong passwords, counted for all hubs together: with the pace and the words of one hub, by the clock of Redis.
//! They are beside the log and not in it, so that guessing fills nothing that is kept.

use std::{net::IpAddr, time::Duration};

use chat_protocol::crypto::hmac_sha256;
use redis::{RedisError, Script, aio::MultiplexedConnection};
use tokio::{sync::Mutex, time::timeout};
use zeroize::Zeroizing;

use super::Place;
use crate::{
    guesses::{Attempt, Ended, PACES, Pace, Wait},
    limits::{GUESS_MEMORY, GUESS_PAUSE_FIRST},
};

/// A Redis that takes longer is away: each hub counts by itself then.
const ANSWER_TIME_MAX: Duration = Duration::from_millis(500);

/// The counts of all hubs.
#[derive(Debug)]
pub struct RedisGuesses {
    place: Place,
    secret: Zeroizing<[u8; 32]>,
    connection: Mutex<Option<MultiplexedConnection>>,
}

impl RedisGuesses {
    /// `secret` makes names of keys that tell Redis neither who is guessed nor from where.
    pub fn new(place: Place, secret: Zeroizing<[u8; 32]>) -> Self {
        Self { place, secret, connection: Mutex::default() }
    }

    fn key(&self, kind: &[u8], what: &[u8]) -> String {
        let digest = hmac_sha256(&*self.secret, &[kind, what]);
        format!("{}{}", self.place.guesses, crate::hex::hex(&digest))
    }

    /// What an attempt counts against, the address first.
    fn keys(&self, attempt: &Attempt) -> Vec<(String, Pace)> {
        let address = attempt.source.map(|source| match source {
            IpAddr::V4(address) => self.key(b"address", &address.octets()),
            IpAddr::V6(address) => self.key(b"address", &address.octets()),
        });
        let (by_name, by_address) = PACES;
        let address = address.map(|key| (key, by_address));
        address.into_iter().chain([(self.key(b"name", attempt.name.as_bytes()), by_name)]).collect()
    }

    async fn connection(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut held = self.connection.lock().await;
        if let Some(connection) = &*held {
            return Ok(connection.clone());
        }
        let connection = self.place.connect(ANSWER_TIME_MAX).await?;
        Ok(held.insert(connection).clone())
    }

    /// Counts an attempt as wrong, or says how long to wait; nothing when Redis does not answer.
    pub(crate) async fn begin(&self, attempt: &Attempt) -> Option<Result<(), Wait>> {
        let keys = self.keys(attempt);
        let script = Script::new(include_str!("guess.lua"));
        let mut call = script.prepare_invoke();
        call.arg(millis(GUESS_MEMORY)).arg(millis(GUESS_PAUSE_FIRST));
        for (key, pace) in &keys {
            call.key(key).arg(pace.free).arg(millis(pace.pause_max));
        }
        let asked = async { call.invoke_async(&mut self.connection().await?).await };
        let (which, left_ms): (usize, u64) = self.answer(asked).await?;
        let left = Duration::from_millis(left_ms);
        Some(match which {
            0 => Ok(()),
            which if which == keys.len() => Err(Wait::Name(left)),
            _ => Err(Wait::Address(left)),
        })
    }

    /// Takes back what did not turn out to be wrong. Where Redis does not answer it counts as wrong.
    pub(crate) async fn settle(&self, attempt: &Attempt, ended: Ended) {
        let word = match ended {
            Ended::Wrong => return,
            Ended::Right => "right",
            Ended::Void => "void",
        };
        let script = Script::new(include_str!("settle_guess.lua"));
        let mut call = script.prepare_invoke();
        for (key, _) in self.keys(attempt).iter().rev() {
            call.key(key);
        }
        call.arg(word);
        let asked = async { call.invoke_async(&mut self.connection().await?).await };
        self.answer::<()>(asked).await;
    }

    async fn answer<T>(&self, asked: impl Future<Output = Result<T, RedisError>>) -> Option<T> {
        match timeout(ANSWER_TIME_MAX, asked).await {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(error)) => self.unanswered(&error).await,
            Err(late) => self.unanswered(&late).await,
        }
    }
}

impl RedisGuesses {
    async fn unanswered<T>(&self, error: &(dyn std::fmt::Display + Sync)) -> Option<T> {
        tracing::warn!(%error, "wrong passwords are counted by each server for itself now");
        *self.connection.lock().await = None;
        None
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
