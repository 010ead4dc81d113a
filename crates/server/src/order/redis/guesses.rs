//! Wrong passwords, counted for all hubs together: with the pace and the words of one hub, by the clock of Redis.
//! They are beside the log and not in it, so that guessing fills nothing that is kept. Each hub counts for itself as well:
//! Redis can make nobody faster than one hub alone would let them be at each.

use std::{net::IpAddr, time::Duration};

use chat_protocol::crypto::{hmac_sha256, random};
use redis::{RedisError, Script, aio::MultiplexedConnection};
use tokio::{sync::Mutex, time::timeout};
use zeroize::Zeroizing;

use super::Place;
use crate::{
    guesses::{Attempt, Ended, PACES, Pace, Wait},
    limits::{GUESS_MEMORY, GUESS_PAUSE_FIRST, GUESSED_NAMES_MAX, GUESSING_ADDRESSES_MAX},
};

/// A Redis that takes longer is away: each hub counts by itself then.
const ANSWER_TIME_MAX: Duration = Duration::from_millis(500);

/// How long an attempt counts of which nobody says how it ended: longer than a password waits to be checked. What Redis
/// was too slow to take back keeps nobody out for longer.
const UNDER_WAY_MAX: Duration = Duration::from_mins(1);

/// An attempt that Redis may have counted.
#[derive(Debug)]
pub struct SharedAttempt(String);

/// Something that an attempt counts against.
struct Thing {
    /// The key of its count.
    count: String,
    /// That of the list of all counts of this kind.
    all: String,
    pace: Pace,
    /// How many counts of this kind there are at most.
    most: usize,
}

/// The counts of all hubs.
#[derive(Debug)]
pub struct RedisGuesses {
    place: Place,
    secret: Zeroizing<[u8; 32]>,
    connection: Mutex<Option<MultiplexedConnection>>,
    answer_time_max: Duration,
}

impl RedisGuesses {
    /// `secret` makes names of keys that tell Redis neither who is guessed nor from where.
    pub fn new(place: Place, secret: Zeroizing<[u8; 32]>) -> Self {
        let connection = Mutex::default();
        Self { place, secret, connection, answer_time_max: ANSWER_TIME_MAX }
    }

    /// The same, which waits so long for an answer.
    #[must_use]
    pub fn with_patience(self, answer_time_max: Duration) -> Self {
        Self { answer_time_max, ..self }
    }

    fn key(&self, kind: &[u8], what: &[u8]) -> String {
        let digest = hmac_sha256(&*self.secret, &[kind, what]);
        format!("{}{}", self.place.guesses, crate::hex::hex(&digest))
    }

    /// What an attempt counts against, the address first.
    fn things(&self, attempt: &Attempt) -> Vec<Thing> {
        let (by_name, by_address) = PACES;
        let thing = |(kind, pace, most): (&str, Pace, usize), what: &[u8]| {
            let (count, all) =
                (self.key(kind.as_bytes(), what), format!("{}{kind}", self.place.guesses));
            Thing { count, all, pace, most }
        };
        let of_address = ("address", by_address, GUESSING_ADDRESSES_MAX);
        let address = attempt.source.map(|source| match source {
            IpAddr::V4(address) => thing(of_address, &address.octets()),
            IpAddr::V6(address) => thing(of_address, &address.octets()),
        });
        let of_name = ("name", by_name, GUESSED_NAMES_MAX);
        address.into_iter().chain([thing(of_name, attempt.name.as_bytes())]).collect()
    }

    async fn connection(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut held = self.connection.lock().await;
        if let Some(connection) = &*held {
            return Ok(connection.clone());
        }
        let connection = self.place.connect(self.answer_time_max).await?;
        Ok(held.insert(connection).clone())
    }

    /// Counts an attempt as wrong, or says how long to wait. Where Redis does not answer it may have been counted or not,
    /// and counts for a minute at most unless it is settled.
    pub async fn begin(&self, attempt: &Attempt) -> Result<SharedAttempt, Wait> {
        let (things, begun) =
            (self.things(attempt), SharedAttempt(crate::hex::hex(&random::<8>())));
        let script = Script::new(include_str!("guess.lua"));
        let mut call = script.arg(&begun.0);
        call.arg(millis(GUESS_MEMORY)).arg(millis(UNDER_WAY_MAX)).arg(millis(GUESS_PAUSE_FIRST));
        for Thing { count, all, pace, most } in &things {
            call.key(count).key(all).arg(pace.free).arg(millis(pace.pause_max)).arg(*most);
        }
        let asked = async { call.invoke_async(&mut self.connection().await?).await };
        let Some((which, left_ms)) = self.answer::<(usize, u64)>(asked).await else {
            return Ok(begun);
        };
        let left = Duration::from_millis(left_ms);
        match which {
            0 => Ok(begun),
            which if which == things.len() => Err(Wait::Name(left)),
            _ => Err(Wait::Address(left)),
        }
    }

    /// Says how an attempt has ended, also where its beginning was not answered: it may have been counted since.
    pub async fn settle(&self, attempt: &Attempt, begun: SharedAttempt, ended: Ended) {
        let word = match ended {
            Ended::Wrong => "wrong",
            Ended::Right => "right",
            Ended::Void => "void",
        };
        let script = Script::new(include_str!("settle_guess.lua"));
        let mut call = script.arg(begun.0);
        call.arg(word).arg(millis(GUESS_MEMORY));
        for Thing { count, all, .. } in &self.things(attempt) {
            call.key(count).key(all);
        }
        let asked = async { call.invoke_async(&mut self.connection().await?).await };
        self.answer::<()>(asked).await;
    }

    async fn answer<T>(&self, asked: impl Future<Output = Result<T, RedisError>>) -> Option<T> {
        match timeout(self.answer_time_max, asked).await {
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
