//! Why a server cannot be one of several, in words for who runs it.

use chat_protocol::crypto::KeyError;
use thiserror::Error;

use super::KeyFileError;
use crate::{
    identity::IdentityError,
    order::{
        batch::VERSION,
        redis::{PlaceError, level::AckLevel},
    },
    store::OpenError,
};

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
    /// Redis has nothing of the log now.
    #[error(
        "Redis has no log of {cluster} now, and a new server would not know where it goes on: the servers that run put it back \
         (/readyz?verbose says what they wait for); make the snapshot then"
    )]
    NoLogNow {
        /// The name of the log.
        cluster: String,
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
    #[error(
        "the log of {cluster} has version {found}, this server knows version {VERSION}: start the release that has written it. To \
         change to this one, have a server leave there (--leave-cluster), and begin another log with its folder here \
         (--new-cluster, with another --cluster)"
    )]
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
    /// The server has read on, and it is not known whether the log has all that was there before.
    #[error(
        "the server in {data} reads on until it is known whether the other servers have all that it had before; make the \
         snapshot from the folder of another one"
    )]
    Unsure {
        /// The folder.
        data: String,
    },
    /// It is not known where the others have written on.
    #[error(
        "--leave-cluster: the server in {data} shares a log, and reads first what the other servers have written: add --redis and \
         --node. Where Redis is gone, stop all servers, compare their folders (chat-server cluster digest), and say \
         --leave-cluster=TURN on the one with the largest turn"
    )]
    LeavesUnread {
        /// The folder.
        data: String,
    },
    /// Nobody has left there.
    #[error("--leave-cluster: {data} is empty, and no server has left there; look at --data")]
    LeavesNothing {
        /// The folder.
        data: String,
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
    /// Another server runs the commands to `server`, or has died a moment ago.
    #[error(
        "--host-agent: {host} runs the commands to server; it has no lease, and the other servers have not said yet that it is \
         gone: it may go on. Start this one again in some seconds"
    )]
    HostMayGoOn {
        /// What it is called.
        host: String,
    },
    /// Who runs the commands cannot change while Redis has no log.
    #[error("--host-agent: Redis has no log of {cluster} now; start this server without it first")]
    HostUnknown {
        /// The name of the log.
        cluster: String,
    },
    /// Nobody is there to hear what a person says.
    #[error(
        "no server of {cluster} waits at this Redis: start those that are to go on, look at /readyz?verbose for what they \
         wait for, and say it again"
    )]
    NobodyWaits {
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
