//! Wrong passwords, by name and by address: a few are free, then each further one has to wait.
//!
//! Pure: the time is an argument. The owner of a name is kept waiting by somebody who guesses it,
//! half a minute at most, and only where a password is needed: known machines sign in with their
//! keys.

use std::{
    hash::Hash,
    net::IpAddr,
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use lru::LruCache;

use crate::limits::{
    ADDRESS_GUESSES_FREE, ADDRESS_PAUSE_MAX, GUESS_MEMORY, GUESS_PAUSE_FIRST, GUESS_PAUSE_MAX,
    GUESSED_NAMES_MAX, GUESSES_FREE, GUESSING_ADDRESSES_MAX,
};

/// One password for one name.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The name in lower case.
    pub name: String,
    /// Whose limit it counts against; none for this machine, which is exempt.
    pub source: Option<IpAddr>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With the right password: the name starts anew. Its address does not, or whoever has an
    /// account could wash off guesses for others.
    Right,
    /// With a wrong one.
    Wrong,
    /// Nothing was guessed: the check could not be made.
    Void,
}

/// Why an attempt is not taken on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Too many for this name.
    Name(Duration),
    /// Too many from this address.
    Address(Duration),
}

impl Wait {
    /// A sentence for people, with whole seconds, rounded up.
    pub(crate) fn reason(self) -> String {
        let (of, pause) = match self {
            Self::Name(pause) => ("for this name", pause),
            Self::Address(pause) => ("from your address", pause),
        };
        let seconds = pause.as_millis().div_ceil(1000);
        format!("too many wrong passwords {of}; wait {seconds} s")
    }
}

/// How many are free, and how the pauses grow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) free: u32,
    pub(crate) pause_max: Duration,
}

const BY_NAME: Pace = Pace { free: GUESSES_FREE, pause_max: GUESS_PAUSE_MAX };
const BY_ADDRESS: Pace = Pace { free: ADDRESS_GUESSES_FREE, pause_max: ADDRESS_PAUSE_MAX };

/// Those of a name and of an address.
pub(crate) const PACES: (Pace, Pace) = (BY_NAME, BY_ADDRESS);

/// What is remembered.
#[derive(Debug)]
pub(crate) struct Guesses {
    names: Counts<String>,
    addresses: Counts<IpAddr>,
}

impl Default for Guesses {
    fn default() -> Self {
        Self {
            names: Counts::new(BY_NAME, GUESSED_NAMES_MAX),
            addresses: Counts::new(BY_ADDRESS, GUESSING_ADDRESSES_MAX),
        }
    }
}

impl Guesses {
    /// Says how long an attempt has to wait, if it has to.
    pub(crate) fn check(&mut self, attempt: &Attempt, now: Instant) -> Result<(), Wait> {
        if let Some(pause) = attempt.source.and_then(|source| self.addresses.pause(&source, now)) {
            return Err(Wait::Address(pause));
        }
        if let Some(pause) = self.names.pause(&attempt.name, now) {
            return Err(Wait::Name(pause));
        }
        Ok(())
    }

    /// Counts an attempt as wrong, or says how long to wait.
    pub(crate) fn begin(&mut self, attempt: &Attempt, now: Instant) -> Result<(), Wait> {
        self.check(attempt, now)?;
        self.names.add(attempt.name.clone(), now);
        if let Some(source) = attempt.source {
            self.addresses.add(source, now);
        }
        Ok(())
    }

    /// Takes back what did not turn out to be wrong.
    pub(crate) fn settle(&mut self, attempt: &Attempt, ended: Ended) {
        match ended {
            Ended::Wrong => return,
            Ended::Right => self.names.forget(&attempt.name),
            Ended::Void => self.names.take_back(&attempt.name),
        }
        if let Some(source) = &attempt.source {
            self.addresses.take_back(source);
        }
    }
}

/// Number of wrong ones, and when the last one began.
#[derive(Debug)]
struct Counts<K: Hash + Eq> {
    pace: Pace,
    wrong: LruCache<K, (u32, Instant)>,
}

impl<K: Hash + Eq> Counts<K> {
    fn new(pace: Pace, keys_max: usize) -> Self {
        let keys_max = NonZeroUsize::new(keys_max).unwrap_or(NonZeroUsize::MIN);
        Self { pace, wrong: LruCache::new(keys_max) }
    }

    fn pause(&mut self, key: &K, now: Instant) -> Option<Duration> {
        let (wrong, last) = *self.wrong.peek(key)?;
        if now.saturating_duration_since(last) >= GUESS_MEMORY {
            self.wrong.pop(key);
            return None;
        }
        let doublings = wrong.checked_sub(self.pace.free)?;
        let pause = GUESS_PAUSE_FIRST
            .saturating_mul(1u32.checked_shl(doublings).unwrap_or(u32::MAX))
            .min(self.pace.pause_max);
        let left = (last + pause).saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    fn add(&mut self, key: K, now: Instant) {
        let entry = self.wrong.get_or_insert_mut(key, || (0, now));
        *entry = (entry.0.saturating_add(1), now);
    }

    fn take_back(&mut self, key: &K) {
        if let Some((wrong, _)) = self.wrong.peek_mut(key) {
            *wrong = wrong.saturating_sub(1);
        }
    }

    fn forget(&mut self, key: &K) {
        self.wrong.pop(key);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn attempt(name: &str, host: Option<u8>) -> Attempt {
        let source = host.map(|host| IpAddr::V4(Ipv4Addr::new(192, 0, 2, host)));
        Attempt { name: name.to_owned(), source }
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn guesses_get_slower_up_to_half_a_minute_and_a_right_one_forgives() {
        let (mut guesses, mut now) = (Guesses::default(), Instant::now());
        let alice = attempt("alice", None);
        let mut pauses = Vec::new();
        for _ in 0..10 {
            let pause = match guesses.begin(&alice, now) {
                Err(Wait::Name(pause)) => pause,
                Err(Wait::Address(_)) => panic!("this machine is exempt"),
                Ok(()) => Duration::ZERO,
            };
            if !pause.is_zero() {
                let shorter = pause.saturating_sub(Duration::from_millis(1));
                assert!(guesses.begin(&alice, now + shorter).is_err());
                now += pause;
                assert_eq!(guesses.begin(&alice, now), Ok(()));
            }
            guesses.settle(&alice, Ended::Wrong);
            pauses.push(pause.as_secs());
        }
        assert_eq!(pauses, [0, 0, 0, 1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(guesses.begin(&attempt("bob", None), now), Ok(()), "another name");
        now = after(now, 30);
        assert_eq!(guesses.begin(&alice, now), Ok(()));
        guesses.settle(&alice, Ended::Right);
        for _ in 0..3 {
            assert_eq!(guesses.begin(&alice, now), Ok(()), "forgiven");
        }
    }

    #[test]
    fn many_at_once_get_no_further_than_one_after_the_other() {
        let (mut guesses, now) = (Guesses::default(), Instant::now());
        let taken = (0..100).filter(|_| guesses.begin(&attempt("alice", None), now).is_ok());
        assert_eq!(taken.count(), 3);
    }

    #[test]
    fn an_address_that_tries_many_names_has_to_wait_and_an_account_does_not_wash_it() {
        let (mut guesses, now) = (Guesses::default(), Instant::now());
        let mut taken = 0;
        for number in 0..100 {
            let guess = attempt(&format!("name{number}"), Some(1));
            taken += u32::from(guesses.begin(&guess, now).is_ok());
            guesses.settle(&guess, Ended::Wrong);
            let own = attempt("mallory", Some(1));
            if guesses.begin(&own, now).is_ok() {
                guesses.settle(&own, Ended::Right);
            }
        }
        assert_eq!(taken, ADDRESS_GUESSES_FREE);
        let Err(wait) = guesses.begin(&attempt("fresh", Some(1)), now) else { panic!("let in") };
        assert_eq!(wait.reason(), "too many wrong passwords from your address; wait 1 s");
        assert_eq!(guesses.begin(&attempt("fresh", Some(2)), now), Ok(()), "another address");
        assert_eq!(guesses.begin(&attempt("newer", None), now), Ok(()), "this machine");
    }

    #[test]
    fn sign_ups_and_right_passwords_never_count() {
        let (mut guesses, now) = (Guesses::default(), Instant::now());
        for number in 0..1_000 {
            let new = attempt(&format!("new{number}"), Some(1));
            assert_eq!(guesses.begin(&new, now), Ok(()), "{number}");
            guesses.settle(&new, if number % 2 == 0 { Ended::Void } else { Ended::Right });
        }
    }

    #[test]
    fn wrong_ones_are_forgotten_in_the_end() {
        let (mut guesses, start) = (Guesses::default(), Instant::now());
        let alice = attempt("alice", Some(1));
        let mut now = start;
        for _ in 0..12 {
            while guesses.begin(&alice, now).is_err() {
                now = after(now, 1);
            }
        }
        assert!(guesses.begin(&alice, after(now, 29)).is_err());
        now += GUESS_MEMORY;
        for _ in 0..3 {
            assert_eq!(guesses.begin(&alice, now), Ok(()));
        }
    }
}
