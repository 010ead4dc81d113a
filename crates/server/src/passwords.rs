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
    order::redis::guesses::{RedisGuesses, SharedAttempt},
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

/// An attempt that was counted here and, where hubs share a log, in Redis.
#[derive(Debug)]
pub(crate) struct Counted {
    attempt: Attempt,
    shared: Option<SharedAttempt>,
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
        // Redis may make somebody wait for what was guessed elsewhere, and lets nobody in who has to wait here.
        self.guesses.lock().check(&attempt, now)?;
        let shared = match &self.shared {
            Some(shared) => Some(shared.begin(&attempt).await?),
            None => None,
        };
        // Others may have begun meanwhile.
        let begun = self.guesses.lock().begin(&attempt, now);
        let counted = Counted { attempt, shared };
        match begun {
            Ok(()) => Ok(counted),
            Err(wait) => {
                self.settle_shared(counted, Ended::Void).await;
                Err(wait)
            }
        }
    }

    /// Notes how an attempt ended.
    pub(crate) async fn settle(&self, counted: Counted, ended: Ended) {
        self.guesses.lock().settle(&counted.attempt, ended);
        self.settle_shared(counted, ended).await;
    }

    async fn settle_shared(&self, counted: Counted, ended: Ended) {
        if let (Some(shared), Some(begun)) = (&self.shared, counted.shared) {
            shared.settle(&counted.attempt, begun, ended).await;
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
    use tokio::{
        io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
        net::{TcpListener, TcpStream},
        sync::mpsc,
    };
    use zeroize::Zeroizing;

    use super::*;
    use crate::order::redis::Place;

    /// The words of one command, as clients of Redis write them.
    async fn command(stream: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let count: usize = line.trim().strip_prefix('*')?.parse().ok()?;
        let mut words = Vec::new();
        for _ in 0..count {
            let (mut length, mut word) = (String::new(), String::new());
            stream.read_line(&mut length).await.ok()?;
            stream.read_line(&mut word).await.ok()?;
            words.push(word.trim_end().to_owned());
        }
        Some(words)
    }

    /// Hubs that count together in a Redis which has never counted anything, and does not answer the first `silent`
    /// scripts at all. What it was asked comes back.
    async fn beside_a_false_redis(silent: usize) -> (Passwords, mpsc::Receiver<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let (asked, scripts) = mpsc::channel(16);
        tokio::spawn(async move {
            let mut answered = 0;
            let mut silenced = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                while let Some(words) = command(&mut stream).await {
                    let is_script = words[0] == "EVALSHA";
                    if is_script {
                        answered += 1;
                        asked.send(words).await.unwrap();
                    }
                    if is_script && answered <= silent {
                        break;
                    }
                    let answer: &[u8] = if is_script { b"*2\r\n:0\r\n:0\r\n" } else { b"+OK\r\n" };
                    stream.get_mut().write_all(answer).await.unwrap();
                }
                // It stays open: nothing is heard of it any more.
                silenced.push(stream);
            }
        });
        let place = Place::new(&url, "chat").unwrap();
        let shared = RedisGuesses::new(place, Zeroizing::new([1; 32]));
        (Passwords::new(&Limits::default()).unwrap().with_shared(Some(shared)), scripts)
    }

    fn attempt() -> Attempt {
        Attempt { name: "alice".to_owned(), source: None }
    }

    /// Goal: whoever keeps Redis guesses no faster at one hub than that hub alone lets anybody guess. Before, a Redis that
    /// forgets all counts let everybody guess without a pause.
    #[tokio::test]
    async fn a_redis_that_forgets_guesses_lets_nobody_guess_faster() {
        let (passwords, _scripts) = beside_a_false_redis(0).await;
        let now = Instant::now();
        for _ in 0..3 {
            let counted = passwords.begin(attempt(), now).await.unwrap();
            passwords.settle(counted, Ended::Wrong).await;
        }
        let waits = passwords.begin(attempt(), now).await.unwrap_err();
        assert_eq!(waits, Wait::Name(Duration::from_secs(1)));
        let counted = passwords.begin(attempt(), now + Duration::from_secs(1)).await.unwrap();
        passwords.settle(counted, Ended::Right).await;
        assert!(passwords.begin(attempt(), now).await.is_ok(), "it begins anew");
    }

    /// Goal: a right password takes back what Redis has counted for it, also where Redis was too slow to say that it has
    /// counted. Before, it stayed a wrong one there for an hour.
    #[tokio::test]
    async fn what_a_slow_redis_has_counted_is_taken_back() {
        let (passwords, mut scripts) = beside_a_false_redis(1).await;
        let counted = passwords.begin(attempt(), Instant::now()).await.unwrap();
        passwords.settle(counted, Ended::Right).await;
        let (begun, settled) = (scripts.recv().await.unwrap(), scripts.recv().await.unwrap());
        // EVALSHA, the script, the number of keys, the keys, the attempt.
        assert_eq!((&begun[3], &begun[5]), (&settled[3], &settled[5]), "{begun:?} {settled:?}");
        assert!(settled.contains(&"right".to_owned()), "{settled:?}");
    }

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
