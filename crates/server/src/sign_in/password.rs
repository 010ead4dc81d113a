//! Login secrets: slow to check, slower to guess.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use lru::LruCache;
use tokio::{sync::Semaphore, task::spawn_blocking};

use crate::limits::{GUESS_PAUSE_FIRST, GUESS_PAUSE_MAX, GUESSED_NAMES_MAX, GUESSES_FREE};

/// Argon2id with 19 MiB, two passes and one lane, which are the defaults of the crate.
fn argon() -> Argon2<'static> {
    Argon2::default()
}

/// The answer to a check cannot be had: the process is ending, or out of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("passwords cannot be checked now")]
pub(super) struct Unavailable;

/// Checks and makes hashes, one at a time for each core, and remembers wrong guesses.
#[derive(Debug)]
pub struct Passwords {
    permits: Arc<Semaphore>,
    guesses: Mutex<Guesses>,
}

impl Default for Passwords {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self { permits: Arc::new(Semaphore::new(cores)), guesses: Mutex::default() }
    }
}

impl Passwords {
    /// The string to be stored for a secret.
    pub(super) async fn hash(&self, secret: Vec<u8>) -> Result<String, Unavailable> {
        self.run(move || argon().hash_password(&secret).map(|hash| hash.to_string()).ok())
            .await?
            .ok_or(Unavailable)
    }

    /// Whether a secret is the one that was stored. Costs the same when nothing was.
    pub(super) async fn check(
        &self,
        secret: Vec<u8>,
        stored: Option<String>,
    ) -> Result<bool, Unavailable> {
        self.run(move || {
            let is_known = stored.is_some();
            let stored = stored.unwrap_or_else(|| dummy().to_owned());
            argon().verify_password(&secret, stored.as_str()).is_ok() && is_known
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let permit =
            Arc::clone(&self.permits).acquire_owned().await.map_err(|_closed| Unavailable)?;
        // The permit goes with the work: who hangs up does not make room for more.
        spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        })
        .await
        .map_err(|_cut| Unavailable)
    }

    /// How long to wait before the next guess for a name, `None` when one is free.
    pub(super) fn pause(&self, folded: &str, now: Instant) -> Option<Duration> {
        self.guesses.lock().unwrap_or_else(PoisonError::into_inner).pause(folded, now)
    }

    /// Notes how a guess ended.
    pub(super) fn note(&self, folded: &str, is_right: bool, now: Instant) {
        self.guesses.lock().unwrap_or_else(PoisonError::into_inner).note(folded, is_right, now);
    }
}

/// A hash of nothing that anybody knows, so that an unknown name costs as much as a known one.
fn dummy() -> &'static str {
    static DUMMY: OnceLock<String> = OnceLock::new();
    DUMMY.get_or_init(|| {
        let secret = chat_protocol::crypto::random::<32>();
        argon().hash_password(&secret).map(|hash| hash.to_string()).unwrap_or_default()
    })
}

/// Wrong guesses by name, in lower case.
#[derive(Debug)]
struct Guesses(LruCache<String, (u32, Instant)>);

impl Default for Guesses {
    fn default() -> Self {
        Self(LruCache::new(NonZeroUsize::new(GUESSED_NAMES_MAX).unwrap_or(NonZeroUsize::MIN)))
    }
}

impl Guesses {
    fn pause(&mut self, folded: &str, now: Instant) -> Option<Duration> {
        let (wrong, last) = *self.0.peek(folded)?;
        let doublings = wrong.checked_sub(GUESSES_FREE)?;
        let pause = GUESS_PAUSE_FIRST
            .saturating_mul(1u32.checked_shl(doublings).unwrap_or(u32::MAX))
            .min(GUESS_PAUSE_MAX);
        let left = (last + pause).saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    fn note(&mut self, folded: &str, is_right: bool, now: Instant) {
        if is_right {
            self.0.pop(folded);
            return;
        }
        let entry = self.0.get_or_insert_mut(folded.to_owned(), || (0, now));
        *entry = (entry.0.saturating_add(1), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_get_slower_up_to_half_a_minute_and_a_right_one_forgives() {
        let (mut guesses, now) = (Guesses::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..10 {
            guesses.note("alice", false, now);
            pauses.push(guesses.pause("alice", now).map_or(0, |pause| pause.as_secs()));
        }
        assert_eq!(pauses, [0, 0, 1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(guesses.pause("bob", now), None, "another name");
        assert_eq!(guesses.pause("alice", now + Duration::from_secs(30)), None);
        guesses.note("alice", true, now);
        guesses.note("alice", false, now);
        assert_eq!(guesses.pause("alice", now), None);
    }

    #[tokio::test]
    async fn a_secret_is_known_again_and_nothing_else() {
        let passwords = Passwords::default();
        let stored = passwords.hash(vec![1; 32]).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_eq!(passwords.check(vec![1; 32], Some(stored.clone())).await, Ok(true));
        assert_eq!(passwords.check(vec![2; 32], Some(stored)).await, Ok(false));
        assert_eq!(passwords.check(vec![1; 32], None).await, Ok(false));
    }
}
