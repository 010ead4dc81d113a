//! Login secrets: slow to check, slower to guess.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Instant,
};

use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::guesses::{Attempt, Ended, Guesses, Wait};

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

    /// Takes an attempt on, or says how long to wait. It counts as wrong until it is settled, so
    /// that many at once get no further than one after the other.
    pub(super) fn begin(&self, attempt: &Attempt, now: Instant) -> Result<(), Wait> {
        self.guesses().begin(attempt, now)
    }

    /// Notes how an attempt ended.
    pub(super) fn settle(&self, attempt: &Attempt, ended: Ended) {
        self.guesses().settle(attempt, ended);
    }

    fn guesses(&self) -> std::sync::MutexGuard<'_, Guesses> {
        self.guesses.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use super::*;

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
