//! Login secrets: slow to check, slower to guess.

use std::{
    io,
    net::IpAddr,
    sync::OnceLock,
    time::{Duration, Instant},
};

use argon2::{
    Algorithm, Argon2, Block, Params, PasswordHash, Version,
    password_hash::phc::{Output, ParamsString, Salt},
};
use chat_protocol::crypto::{constant_time_eq, random};
use parking_lot::Mutex;

use crate::{
    budgets::{Budget, Limits},
    guesses::{Attempt, Ended, Guesses, Wait},
    order::redis::guesses::RedisGuesses,
    threads::{Full, QueueBounds, Threads, Time},
};

/// Length of a salt in bytes.
const SALT_BYTES: usize = 16;

/// About how long one password takes, for who has to come again. Twice what it takes here.
const HASH_TIME: Duration = Duration::from_millis(60);

/// The memory of one thread: 19 MiB, once it was used.
type Memory = Vec<Block>;

/// Why a password cannot be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unavailable {
    /// The process is ending, or the stored string is damaged.
    Failed,
    /// Too many wait: come again.
    Later(Full),
}

impl From<Full> for Unavailable {
    fn from(full: Full) -> Self {
        Self::Later(full)
    }
}

/// Checks and makes hashes, one at a time for each core, and remembers wrong guesses.
#[derive(Debug)]
pub struct Passwords {
    hashers: Threads<Memory>,
    guesses: Mutex<Guesses>,
    /// Those of all hubs that share a log.
    shared: Option<RedisGuesses>,
}

/// Where an attempt was counted.
#[derive(Debug)]
pub(crate) struct Counted {
    attempt: Attempt,
    is_shared: bool,
}

impl Passwords {
    /// With a queue of this length. Fails where the system gives no threads.
    pub fn new(limits: &Limits) -> io::Result<Self> {
        let (all, of_one) = (limits.count(Budget::HashQueue), limits.count(Budget::HashQueueByOne));
        let hashers =
            Threads::new("passwords", QueueBounds { all, of_one }, HASH_TIME, Time::Idle)?;
        Ok(Self { hashers, guesses: Mutex::default(), shared: None })
    }

    /// The same, which counts wrong guesses together with other hubs.
    #[must_use]
    pub fn with_shared(self, shared: Option<RedisGuesses>) -> Self {
        Self { shared, ..self }
    }

    /// Whether one more password could wait to be hashed. `source` is where it comes from.
    pub(crate) fn check_room(&self, source: Option<IpAddr>) -> Result<(), Full> {
        self.hashers.check_room(source)
    }

    /// The string to be stored for a secret. `source` is where it comes from.
    pub(crate) async fn hash(
        &self,
        source: Option<IpAddr>,
        secret: Vec<u8>,
    ) -> Result<String, Unavailable> {
        let made = self.hashers.submit(source, move |memory| make(memory, &secret))?;
        made.await.ok().flatten().ok_or(Unavailable::Failed)
    }

    /// Whether a secret is the one that was stored. Costs the same when nothing was.
    pub(crate) async fn check(
        &self,
        source: Option<IpAddr>,
        secret: Vec<u8>,
        stored: Option<String>,
    ) -> Result<bool, Unavailable> {
        let checked = self.hashers.submit(source, move |memory| {
            let is_known = stored.is_some();
            let stored = stored.as_deref().unwrap_or_else(|| dummy(memory));
            is_right(memory, &secret, stored).unwrap_or(false) && is_known
        })?;
        checked.await.map_err(|_cut| Unavailable::Failed)
    }

    /// Takes an attempt on, or says how long to wait. It counts as wrong until it is settled, so
    /// that many at once get no further than one after the other.
    pub(crate) async fn begin(&self, attempt: Attempt, now: Instant) -> Result<Counted, Wait> {
        if let Some(shared) = &self.shared
            && let Some(begun) = shared.begin(&attempt).await
        {
            return begun.map(|()| Counted { attempt, is_shared: true });
        }
        self.guesses.lock().begin(&attempt, now)?;
        Ok(Counted { attempt, is_shared: false })
    }

    /// Notes how an attempt ended.
    pub(crate) async fn settle(&self, counted: Counted, ended: Ended) {
        let Counted { attempt, is_shared } = counted;
        match &self.shared {
            Some(shared) if is_shared => shared.settle(&attempt, ended).await,
            _ => self.guesses.lock().settle(&attempt, ended),
        }
    }
}

/// Argon2 with these parameters, in memory that is used again.
fn hash_into(
    memory: &mut Memory,
    params: Params,
    (secret, salt): (&[u8], &[u8]),
    out: &mut [u8],
) -> Option<()> {
    if memory.len() < params.block_count() {
        memory.resize(params.block_count(), Block::new());
    }
    let blocks = memory.get_mut(..params.block_count())?;
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon.hash_password_into_with_memory(secret, salt, out, blocks).ok()
}

/// Argon2id with 19 MiB, two passes and one lane, which are the defaults of the crate.
fn make(memory: &mut Memory, secret: &[u8]) -> Option<String> {
    let (params, salt) = (Params::default(), random::<SALT_BYTES>());
    let mut out = [0; Params::DEFAULT_OUTPUT_LEN];
    hash_into(memory, params.clone(), (secret, &salt), &mut out)?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params).ok()?,
        salt: Some(Salt::new(&salt).ok()?),
        hash: Some(Output::new(&out).ok()?),
    };
    Some(hash.to_string())
}

/// Whether a secret has this hash; nothing where the string is none of ours.
fn is_right(memory: &mut Memory, secret: &[u8], stored: &str) -> Option<bool> {
    let stored = PasswordHash::new(stored).ok()?;
    let (salt, hash) = (stored.salt?, stored.hash?);
    let mut out = vec![0; hash.len()];
    hash_into(memory, Params::try_from(&stored).ok()?, (secret, &salt), &mut out)?;
    Some(constant_time_eq(&out, hash.as_bytes()))
}

/// A hash of nothing that anybody knows, so that an unknown name costs as much as a known one.
fn dummy(memory: &mut Memory) -> &'static str {
    static DUMMY: OnceLock<String> = OnceLock::new();
    // Made before it is set: nobody waits for a thread that has idle time alone.
    if DUMMY.get().is_none() {
        DUMMY.set(make(memory, &random::<32>()).unwrap_or_default()).ok();
    }
    DUMMY.get().map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use argon2::{PasswordHasher as _, PasswordVerifier as _};

    use super::*;

    #[tokio::test]
    async fn a_secret_is_known_again_and_nothing_else() {
        let passwords = Passwords::new(&Limits::default()).unwrap();
        let stored = passwords.hash(None, vec![1; 32]).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_eq!(passwords.check(None, vec![1; 32], Some(stored.clone())).await, Ok(true));
        assert_eq!(passwords.check(None, vec![2; 32], Some(stored.clone())).await, Ok(false));
        assert_eq!(passwords.check(None, vec![1; 32], None).await, Ok(false));
        // Strings of before are read by anybody who knows the format, and we read theirs.
        let argon = Argon2::default();
        assert!(argon.verify_password(&[1; 32], stored.as_str()).is_ok());
        let theirs = argon.hash_password(&[3; 32]).unwrap().to_string();
        assert_eq!(passwords.check(None, vec![3; 32], Some(theirs)).await, Ok(true));
    }
}
