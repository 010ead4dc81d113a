//! A server among several: which log it follows, and what has to be there before it can.
//!
//! Whoever finds neither key nor log nor anything in its own folder makes the key and begins the log. Whoever finds
//! the key waits for the log for a while, so that several can be started at once; and only a person begins a new
//! log with a key that is there, so that an emptied Redis is never taken for a new one.

pub mod desk;
mod key;
mod member;
mod settings;

use std::time::Duration;

use chat_protocol::crypto::{KeyError, SigningKey, random};
use chat_protocol::id::Digest;
use thiserror::Error;
use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use crate::{
    config::{Config, Sharing},
    identity::{Identity, IdentityError},
    order::{
        batch::{Seal, VERSION},
        redis::{About, Place, PlaceError, beside::Wrong, level::AckLevel},
        words::WordSeal,
    },
    relay::link::LinkSeal,
    store::{
        OpenError,
        sqlite::{self, FollowedLog, Owner},
    },
};

pub(crate) use crate::order::redis::beside::number_of as number;
use key::ClusterKey;
pub use key::KeyFileError;
pub(crate) use member::Kept;
use settings::{Settings, Settling};
pub(crate) use settings::{differences, of as settings_of};

/// How long a server with a key waits for somebody to begin the log.
const LOG_TIME_MAX: Duration = Duration::from_secs(10);

/// How often it looks.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// Why a server cannot be one of several.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// The address makes no sense, or Redis does not answer.
    #[error("the Redis at {url} cannot be used: {source}; see whether it runs, and --redis")]
    Redis {
        /// Where.
        url: String,
        /// What happened.
        source: PlaceError,
    },
    /// The key that they share.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The database in the folder.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// An identity could not be made.
    #[error("cannot make keys: {0}")]
    Identity(#[from] KeyError),
    /// The keys in a folder.
    #[error(transparent)]
    Keys(#[from] IdentityError),
    /// A folder cannot be made.
    #[error("cannot make the folder {folder}: {source}")]
    Folder {
        /// Which.
        folder: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is a server.
    #[error("{folder} holds a server already; move it away, or choose another folder with --out")]
    Occupied {
        /// Where.
        folder: String,
    },
    /// Others share a log there, and this one has not their key.
    #[error(
        "in Redis there is a log of {cluster} already, and {key} is missing here; copy it from one of the other \
         servers (mode 0600), or choose another --cluster"
    )]
    NoKey {
        /// The name of the log.
        cluster: String,
        /// Where the key should be.
        key: String,
    },
    /// Nobody has begun a log.
    #[error(
        "the key {key} is there, and Redis has no log of {cluster}; if these servers are new, start the first one \
         with --new-cluster; if not, this is another Redis or one that has lost everything: look at --redis"
    )]
    NoLog {
        /// The name of the log.
        cluster: String,
        /// The key.
        key: String,
    },
    /// The folder follows a log that is gone, and has not noted what belongs to it.
    #[error(
        "Redis has no log of {cluster}, and the server in {data} follows one, of which it knows too little to put it \
         back: Redis was emptied, or is another one. Start the other servers first, or look at --redis"
    )]
    LostLog {
        /// The name of the log.
        cluster: String,
        /// The folder.
        data: String,
    },
    /// The folder follows another log.
    #[error(
        "the server in {data} belongs to another log than that of {cluster} in this Redis; look at --redis and \
         --cluster, or choose an empty folder with --data"
    )]
    OtherLog {
        /// The name of the log.
        cluster: String,
        /// The folder.
        data: String,
    },
    /// The folder is of no server among several.
    #[error("{data} holds no server that shares a log; choose the folder of one with --data")]
    NoServer {
        /// The folder.
        data: String,
    },
    /// The log began with what a server had that was alone.
    #[error(
        "the servers of {cluster} began with what one of them had before: a new one needs a snapshot. On the machine of \
         another one: chat-server cluster snapshot --name {node} --out FOLDER"
    )]
    NeedsSnapshot {
        /// The name of the log.
        cluster: String,
        /// What this server is called.
        node: String,
    },
    /// The folder is that of a server that was alone.
    #[error(
        "{data} holds a server that runs alone; to make it the first of several servers, with all it has, start it with \
         --new-cluster where no other one has begun; any other server begins with an empty folder: choose one with --data"
    )]
    OwnServer {
        /// The folder.
        data: String,
    },
    /// The key is not that of this log.
    #[error(
        "{key} is not the key of the log of {cluster}: copy it from one of the other servers, or choose another \
         --cluster"
    )]
    WrongKey {
        /// The name of the log.
        cluster: String,
        /// The key.
        key: String,
    },
    /// Another release has begun the log.
    #[error("the log of {cluster} has version {found}, this server knows version {VERSION}")]
    Version {
        /// The name of the log.
        cluster: String,
        /// Its version.
        found: u8,
    },
    /// Two names come to one number.
    #[error("the name {node} cannot be used beside {other}; choose another --node")]
    Name {
        /// What it is called.
        node: String,
        /// Who has its number.
        other: String,
    },
    /// The others are told something else.
    #[error(
        "the servers of {cluster} are all set alike, and this one is not: {differences}. Give it the same options; or \
         stop all of them and start the first one with --change-settings"
    )]
    Settings {
        /// The name of the log.
        cluster: String,
        /// What is set otherwise.
        differences: String,
    },
    /// What all are told cannot change while others run.
    #[error(
        "--change-settings: another server of {cluster} runs; stop all of them, and start this one first"
    )]
    OthersRun {
        /// The name of the log.
        cluster: String,
    },
    /// Another server goes on with the log that this one is to leave.
    #[error(
        "--leave-cluster: another server of {cluster} runs, and what it acknowledges would be missing here; stop all others \
         first"
    )]
    OthersGoOn {
        /// The name of the log.
        cluster: String,
    },
    /// The folder is not at the turn that a person has compared.
    #[error(
        "--leave-cluster={said}: the server in {data} is at turn {there}; compare the folders of all servers (chat-server \
         cluster digest), and take the one with the largest turn"
    )]
    OtherTurn {
        /// The folder.
        data: String,
        /// The turn that it is at.
        there: u64,
        /// The turn that was said.
        said: u64,
    },
    /// Another server runs the commands to `server`.
    #[error("--host-agent: {host} runs the commands to server, and it runs; stop it first")]
    HostRuns {
        /// What it is called.
        host: String,
    },
    /// Who runs the commands cannot change while Redis has no log.
    #[error("--host-agent: Redis has no log of {cluster} now; start this server without it first")]
    HostUnknown {
        /// The name of the log.
        cluster: String,
    },
    /// Another server has the name of this one.
    #[error(
        "another server is called {node} among those of {cluster}; stop it, or choose another name with --node \
         (and another --data)"
    )]
    Held {
        /// What it is called.
        node: String,
        /// The name of the log.
        cluster: String,
    },
    /// Redis promises less than was asked for.
    #[error(
        "an ACK would promise {level}, and --redis-ack {least} is asked for: Redis lacks {lacks}. Start it with \
         --appendonly yes --appendfsync always --maxmemory-policy noeviction, or accept less with --redis-ack {level}"
    )]
    Weak {
        /// What it promises.
        level: AckLevel,
        /// What was asked for.
        least: AckLevel,
        /// What it would need.
        lacks: String,
    },
    /// The program is ending.
    #[error("the start was cut")]
    Ending,
}

impl ClusterError {
    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Redis { .. }
            | Self::Identity(_)
            | Self::Keys(_)
            | Self::Folder { .. }
            | Self::Ending => 1,
            Self::LostLog { .. } | Self::Open(_) => 70,
            _ => 2,
        }
    }
}

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

/// Names of what is sealed for servers that join.
const IDENTITY: &str = "identity";
const SETTINGS: &str = "settings";

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
    let theirs: Settings = serde_json::from_slice(&theirs).map_err(|_| wrong_key())?;
    let own = settings::of(config);
    let mut settling = Settling { found: about.settings.clone(), change: None, host: None };
    if let Some(differences) = differences(&theirs, &own) {
        if !sharing.changes_settings || is_lost {
            return Err(ClusterError::Settings { cluster: cluster(), differences });
        }
        let sealed = words.seal(SETTINGS, written(&own).as_bytes());
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

/// What no server has sealed of what is said of a log, and what its folder has noted instead. Whoever can write to Redis can
/// replace it there.
fn wrong(about: &About, known: &About, words: &WordSeal) -> Vec<Wrong> {
    let fields = [
        (IDENTITY, &about.identity, &known.identity),
        (SETTINGS, &about.settings, &known.settings),
    ];
    let is_wrong = |(what, there, right): &(&str, &Vec<u8>, &Vec<u8>)| {
        words.open(what, there).is_none() && words.open(what, right).is_some()
    };
    let wrong = fields.into_iter().filter(is_wrong);
    wrong
        .map(|(name, there, right)| {
            let (name, there, right) = (name.to_owned(), there.clone(), right.clone());
            Wrong { name, there, right }
        })
        .collect()
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
                let noted = sqlite::noted(&self.config.data)?;
                let about = noted.and_then(|noted| About::of(own.log, &noted.facts));
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

    /// What is said of the log, with what this folder has noted where something was put in its place.
    async fn mended(&self, about: About, key: &ClusterKey) -> Result<About, ClusterError> {
        let noted = sqlite::noted(&self.config.data)?;
        let Some(known) = noted.and_then(|noted| About::of(about.id, &noted.facts)) else {
            return Ok(about);
        };
        let wrong = wrong(&about, &known, &key.words(about.id));
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
