//! A server among several: which log it follows, and what has to be there before it can.
//!
//! Whoever finds neither key nor log nor anything in its own folder makes the key and begins the log. Whoever finds
//! the key waits for the log for a while, so that several can be started at once; and only a person begins a new
//! log with a key that is there, so that an emptied Redis is never taken for a new one.

pub mod desk;
mod errors;
mod key;
mod member;
mod settings;

use std::{path::Path, time::Duration};

use chat_protocol::crypto::{SigningKey, random};
use chat_protocol::id::Digest;
use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use crate::{
    config::{Config, Sharing},
    identity::Identity,
    order::{
        batch::{Seal, VERSION},
        redis::{
            About, Place, PlaceError,
            beside::{SETTINGS, SINCE, Wrong, wrong},
        },
        words::WordSeal,
    },
    relay::link::LinkSeal,
    store::{
        OpenError,
        sqlite::{self, FollowedLog, Owner},
    },
};

pub(crate) use crate::order::redis::beside::number_of as number;
pub use errors::ClusterError;
use key::ClusterKey;
pub use key::KeyFileError;
pub(crate) use member::Kept;
use settings::{Settings, Settling};
pub(crate) use settings::{differences, of as settings_of};

/// How long a server with a key waits for somebody to begin the log.
const LOG_TIME_MAX: Duration = Duration::from_secs(10);

/// How often it looks.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// A log that a server follows.
pub(crate) struct Cluster {
    sharing: Sharing,
    /// What seals words of servers beside the log.
    pub(crate) words: WordSeal,
    /// What is done about the settings of all once the name is taken.
    settling: Settling,
    pub(crate) place: Place,
    pub(crate) log: FollowedLog,
    pub(crate) seal: Seal,
    /// What seals words about files.
    pub(crate) link_seal: LinkSeal,
    /// The number of this server among them.
    pub(crate) node: u32,
    /// The identity key of all of them, as PKCS#8.
    pub(crate) identity: Zeroizing<Vec<u8>>,
    /// The agent of this one answers to the name `server`.
    pub(crate) hosts_agent: bool,
    /// It does so from now on, and another one did before.
    pub(crate) becomes_host: bool,
}

/// What the sealed identity is called beside the log.
const IDENTITY: &str = "identity";

/// Finds the log, or begins it.
pub(crate) async fn find(config: &Config, sharing: &Sharing) -> Result<Cluster, ClusterError> {
    let failed = |source| unjoined(sharing, source);
    let place = Place::new(sharing.redis.secret(), sharing.cluster.as_str());
    let place = place.map_err(|error| failed(error.into()))?;
    // Before anything is made there.
    place.promise(sharing.ack).await.map_err(failed)?;
    let Found { about, key, is_lost } = Finding { sharing, config, place: &place }.find().await?;
    let (cluster, file) = (|| sharing.cluster.to_string(), || sharing.key.display().to_string());
    if about.version != VERSION {
        return Err(ClusterError::Version { cluster: cluster(), found: about.version });
    }
    let wrong_key = || ClusterError::WrongKey { cluster: cluster(), key: file() };
    let words = key.words(about.id);
    let identity = words.open(IDENTITY, &about.identity).ok_or_else(wrong_key)?;
    let name = sharing.node.as_str();
    let node = number(name);
    // Where the log is lost, its hubs put back what they know before anything is added.
    let other =
        if is_lost { name.to_owned() } else { place.name(node, name).await.map_err(failed)? };
    if other != name {
        return Err(ClusterError::Name { node: name.to_owned(), other });
    }
    let theirs = words.open(SETTINGS, &about.settings).ok_or_else(wrong_key)?;
    let mut theirs: Settings = serde_json::from_slice(&theirs).map_err(|_| wrong_key())?;
    let since = theirs.remove(SINCE).and_then(|since| since.parse::<u64>().ok()).unwrap_or(0);
    let own = settings::of(config);
    let mut settling = Settling { found: about.settings.clone(), change: None, host: None };
    if let Some(differences) = differences(&theirs, &own) {
        if !sharing.changes_settings || is_lost {
            return Err(ClusterError::Settings { cluster: cluster(), differences });
        }
        // By the one clock that all of them see, so that who does not know of a change makes none that is as old; and never
        // back.
        let now = place.time_ms().await.map_err(failed)?;
        let since = now.max(since.saturating_add(1)).to_string();
        let mut changed = own;
        changed.insert(SINCE.to_owned(), since);
        let sealed = words.seal(SETTINGS, written(&changed).as_bytes());
        settling.change = Some((sealed, differences));
    }
    let becomes_host = sharing.becomes_host && about.host != name;
    if becomes_host && is_lost {
        return Err(ClusterError::HostUnknown { cluster: cluster() });
    }
    settling.host = becomes_host.then(|| about.host.clone());
    let (seal, link_seal) = (key.seal(about.id), key.link_seal(about.id));
    let log = FollowedLog { log: about.id, node: name.to_owned() };
    let (sharing, hosts_agent) = (sharing.clone(), becomes_host || about.host == name);
    Ok(Cluster {
        sharing,
        words,
        settling,
        place,
        log,
        seal,
        link_seal,
        node,
        identity,
        hosts_agent,
        becomes_host,
    })
}

/// What is to be put right of what is said of a log, by what the folder of a server has noted. Whoever can write to Redis can
/// replace it there.
fn wrong_in(about: &About, known: &About, words: &WordSeal) -> Vec<Wrong> {
    let fields = [
        (IDENTITY, &about.identity, &known.identity),
        (SETTINGS, &about.settings, &known.settings),
    ];
    let wrong =
        fields.into_iter().filter_map(|(name, there, known)| wrong((name, there), known, words));
    wrong.collect()
}

/// The version of a log, by what the folder of a server has of it: a Redis that has lost the log gets it back as it was, whichever
/// release is the first to start. A log without any turn has none yet.
fn version_in(data: &Path, seal: &Seal) -> Result<u8, OpenError> {
    let found = sqlite::newest_batch(data, |batch| seal.version(batch))?;
    Ok(found.unwrap_or(VERSION))
}

/// Settings as they are sealed.
fn written(settings: &Settings) -> String {
    chat_protocol::hub::write(settings)
}

/// Why a log that was found cannot be joined, or followed any more.
fn unjoined(sharing: &Sharing, source: PlaceError) -> ClusterError {
    let (url, cluster) = (sharing.redis.to_string(), sharing.cluster.to_string());
    match source {
        PlaceError::Held => ClusterError::Held { node: sharing.node.to_string(), cluster },
        PlaceError::Weak { level, least, lacks } => ClusterError::Weak { level, least, lacks },
        source => ClusterError::Redis { url, source },
    }
}

/// A log, and what is known of it.
struct Found {
    about: About,
    key: ClusterKey,
    /// Redis does not have it any more, and the copies of its servers do.
    is_lost: bool,
}

/// What is looked at to find the log.
struct Finding<'a> {
    sharing: &'a Sharing,
    config: &'a Config,
    place: &'a Place,
}

impl Finding<'_> {
    async fn about(&self) -> Result<Option<About>, ClusterError> {
        self.place.about().await.map_err(|source| unjoined(self.sharing, source))
    }

    async fn find(&self) -> Result<Found, ClusterError> {
        let (cluster, file) =
            (|| self.sharing.cluster.to_string(), || self.sharing.key.display().to_string());
        let data = || self.config.data.display().to_string();
        let own = match sqlite::owner(&self.config.data)? {
            Owner::Nobody => None,
            // What it has becomes what was there before the first turn.
            Owner::Alone if self.sharing.is_new => {
                let base = sqlite::contents(&self.config.data)?.digest;
                return self.begin_with(base).await;
            }
            Owner::Alone => return Err(ClusterError::OwnServer { data: data() }),
            Owner::Follows(log) => Some(log),
        };
        let mut about = self.about().await?;
        let mut may_begin = self.sharing.is_new;
        let key = match (ClusterKey::read(&self.sharing.key)?, &about) {
            (Some(key), _) => key,
            (None, Some(_)) => return Err(ClusterError::NoKey { cluster: cluster(), key: file() }),
            (None, None) if own.is_some() => {
                return Err(ClusterError::NoKey { cluster: cluster(), key: file() });
            }
            (None, None) => {
                let (key, is_mine) = ClusterKey::make(&self.sharing.key)?;
                may_begin |= is_mine;
                key
            }
        };
        let deadline = Instant::now() + LOG_TIME_MAX;
        while about.is_none() && !may_begin && own.is_none() && Instant::now() < deadline {
            sleep(LOOK_PAUSE).await;
            about = self.about().await?;
        }
        match (about, own) {
            (Some(about), Some(own)) if own.log != about.id => {
                Err(ClusterError::OtherLog { cluster: cluster(), data: data() })
            }
            (Some(About { base: Some(_), .. }), None) => Err(ClusterError::NeedsSnapshot {
                cluster: cluster(),
                node: self.sharing.node.to_string(),
            }),
            (Some(about), Some(_)) => {
                let about = self.mended(about, &key).await?;
                Ok(Found { about, key, is_lost: false })
            }
            (Some(about), None) => Ok(Found { about, key, is_lost: false }),
            (None, Some(own)) => {
                let about = self.noted(own.log, &key.seal(own.log))?;
                let lost = || ClusterError::LostLog { cluster: cluster(), data: data() };
                tracing::warn!("Redis has no log of {}; this server follows it", cluster());
                Ok(Found { about: about.ok_or_else(lost)?, key, is_lost: true })
            }
            (None, None) if may_begin => {
                let about = self.begin(&key, None).await?;
                Ok(Found { about, key, is_lost: false })
            }
            (None, None) => Err(ClusterError::NoLog { cluster: cluster(), key: file() }),
        }
    }

    /// What this folder has noted of the log that it follows, which Redis has lost; nothing where that is not enough.
    fn noted(&self, log: [u8; 16], seal: &Seal) -> Result<Option<About>, ClusterError> {
        let data = &self.config.data;
        let Some(noted) = sqlite::noted(data)? else { return Ok(None) };
        Ok(About::of((log, version_in(data, seal)?), &noted.facts))
    }

    /// What is said of the log, with what this folder has noted where something was put in its place.
    async fn mended(&self, about: About, key: &ClusterKey) -> Result<About, ClusterError> {
        let noted = sqlite::noted(&self.config.data)?;
        let log = (about.id, about.version);
        let Some(known) = noted.and_then(|noted| About::of(log, &noted.facts)) else {
            return Ok(about);
        };
        let wrong = wrong_in(&about, &known, &key.words(about.id));
        if wrong.is_empty() {
            return Ok(about);
        }
        let failed = |source| unjoined(self.sharing, source);
        self.place.mend(&wrong).await.map_err(failed)?;
        Ok(self.about().await?.unwrap_or(about))
    }

    /// Begins the log with the server of this folder, which was alone: everybody sees the same server as before.
    async fn begin_with(&self, base: Digest) -> Result<Found, ClusterError> {
        let there = ClusterKey::read(&self.sharing.key)?;
        let make = || ClusterKey::make(&self.sharing.key).map(|(key, _)| key);
        let key = there.map_or_else(make, Ok)?;
        let about = match self.about().await? {
            // It was begun, and the start was cut.
            Some(about) if about.base.as_deref() == Some(base.as_bytes()) => about,
            Some(_) => {
                let data = self.config.data.display().to_string();
                return Err(ClusterError::OwnServer { data });
            }
            None => self.begin(&key, Some(base)).await?,
        };
        let log = FollowedLog { log: about.id, node: self.sharing.node.to_string() };
        sqlite::adopt(&self.config.data, (&log, number(&log.node)), &base)?;
        tracing::info!("this server is the first of several now, with everything it has");
        Ok(Found { about, key, is_lost: false })
    }

    /// Begins the log, unless somebody else has done so meanwhile. `base` is what this server has.
    async fn begin(&self, key: &ClusterKey, base: Option<Digest>) -> Result<About, ClusterError> {
        let failed = |source| unjoined(self.sharing, source);
        let bits = self.config.key_sizes.long;
        let own = match base {
            Some(_) => Identity::existing(&self.config.data)?,
            None => None,
        };
        let identity = if let Some(own) = own {
            own.keys.identity.to_pkcs8()
        } else {
            // Up to a second for the larger sizes.
            let identity = tokio::task::spawn_blocking(move || SigningKey::generate(bits));
            identity.await.map_err(|_cut| ClusterError::Ending)??.to_pkcs8()
        };
        let id = random();
        let words = key.words(id);
        let identity = words.seal(IDENTITY, &identity);
        let settings = words.seal(SETTINGS, written(&settings::of(self.config)).as_bytes());
        let host = self.sharing.node.to_string();
        let base = base.map(|base| base.as_bytes().to_vec());
        let about = About { id, version: VERSION, identity, host, settings, base };
        match self.place.found(&about).await {
            Ok(()) => Ok(about),
            Err(PlaceError::Taken) => self.about().await?.ok_or_else(|| failed(PlaceError::Closed)),
            Err(error) => Err(failed(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rusqlite::{Connection, params};

    use super::*;
    use crate::{
        order::batch::BatchId,
        store::{DATABASE_FILE, Incarnation, sqlite::SqliteOptions},
    };

    /// Goal: a Redis that was emptied gets the version of the log that it had. Before, it got that of the program that was started
    /// first, and servers of the release that had written the log did not start any more.
    #[test]
    fn a_log_has_the_version_of_what_a_folder_has_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let log = FollowedLog { log: [2; 16], node: "n1".to_owned() };
        let (options, metrics) = (SqliteOptions::default(), Arc::default());
        drop(sqlite::open_shared(folder.path(), options, metrics, (&log, 1)).unwrap());
        let seal = Seal::new(&[1; 32], log.log, 1);
        let version = || version_in(folder.path(), &seal).unwrap();
        assert_eq!(version(), VERSION, "no turn is there");
        let file = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
        let keep = |turn: u64, batch: Vec<u8>| {
            file.execute(
                "INSERT INTO tail (turn, time_ms, structure, generation, batch) VALUES (?1, 0, 0, 1, ?2)",
                params![turn.cast_signed(), batch],
            )
            .unwrap();
        };
        let hub = Incarnation { node: 1, life: 1 };
        let sealed =
            |version: u8, seq: u64| seal.seal_plain(version, BatchId { hub, seq }, b"another form");
        for (turn, other) in [(1, VERSION - 1), (2, VERSION + 1)] {
            keep(turn, sealed(other, turn));
            assert_eq!(version(), other);
        }
        // Whoever keeps Redis can write any number.
        keep(3, vec![VERSION; 64]);
        assert_eq!(version(), VERSION + 1, "no server has sealed it");
    }
}
