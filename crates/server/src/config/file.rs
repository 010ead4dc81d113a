//! The configuration file: the flags by name, in TOML, and nothing else.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Deserializer};
use thiserror::Error;

use super::address::{parse_address, parse_socket};
use super::arguments::{
    LogFormat, Switch, TlsMode, Verify, parse_retention, parse_size, parse_time,
};
use super::sharing::{AckLevel, NodeName, RedisUrl};
use crate::store::{Banned, Registration};

/// Why a configuration file cannot be used.
#[derive(Debug, Error)]
pub enum FileError {
    /// Not there, or not readable.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not TOML, an unknown key, or a value of another kind.
    #[error(
        "{} is no configuration: {source}; `chat-server config default` prints one",
        path.display()
    )]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Line, column and what was expected there.
        source: Box<toml::de::Error>,
    },
}

/// The keys of the file. An unknown one is an error: a misspelt setting must not be silent.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileOptions {
    pub(super) port: Option<u16>,
    pub(super) bind: Option<FileAddress>,
    pub(super) metrics_bind: Option<FileSocket>,
    pub(super) data: Option<PathBuf>,
    pub(super) logs: Option<PathBuf>,
    pub(super) www: Option<PathBuf>,
    pub(super) policy: Option<PathBuf>,
    pub(super) tls: Option<TlsMode>,
    pub(super) tls_cert: Option<PathBuf>,
    pub(super) tls_key: Option<PathBuf>,
    pub(super) insecure_plaintext: Option<bool>,
    pub(super) log_format: Option<LogFormat>,
    pub(super) verify: Option<Verify>,
    pub(super) redis: Option<RedisUrl>,
    pub(super) node: Option<NodeName>,
    pub(super) cluster: Option<NodeName>,
    pub(super) cluster_key: Option<PathBuf>,
    pub(super) redis_ack: Option<AckLevel>,
    pub(super) log_keep: Option<FileSize>,
    pub(super) log_max: Option<FileSize>,
    pub(super) drain_timeout: Option<FileTime>,
    pub(super) registration: Option<Registration>,
    pub(super) bans: Option<Vec<Banned>>,
    pub(super) mailbox_messages: Option<u64>,
    pub(super) mailbox_bytes: Option<u64>,
    pub(super) retention: Option<FileRetention>,
    pub(super) copies_quota: Option<FileSize>,
    pub(super) copies_days: Option<u32>,
    pub(super) limits: Option<Switch>,
    #[serde(default)]
    pub(super) limit: Vec<String>,
    #[serde(default)]
    pub(super) trusted_proxy: Vec<FileAddress>,
}

/// An address as on the command line.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileAddress(pub(super) IpAddr);

impl<'de> Deserialize<'de> for FileAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_address(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// An address and a port as on the command line.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileSocket(pub(super) SocketAddr);

impl<'de> Deserialize<'de> for FileSocket {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_socket(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A time as on the command line.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileTime(pub(super) Duration);

impl<'de> Deserialize<'de> for FileTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_time(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// How long messages are kept, in milliseconds, written as on the command line.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileRetention(pub(super) u64);

impl<'de> Deserialize<'de> for FileRetention {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_retention(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A size as on the command line.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileSize(pub(super) u64);

impl<'de> Deserialize<'de> for FileSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_size(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

impl FileOptions {
    /// Reads a file; without one nothing is set.
    pub(super) fn read(path: Option<&Path>) -> Result<Self, FileError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = fs::read_to_string(path)
            .map_err(|source| FileError::Read { path: path.to_owned(), source })?;
        toml::from_str(&text)
            .map_err(|source| FileError::Parse { path: path.to_owned(), source: Box::new(source) })
    }

    /// The keys that the file sets.
    pub(super) fn keys(&self) -> Vec<&'static str> {
        [
            ("port", self.port.is_some()),
            ("bind", self.bind.is_some()),
            ("metrics_bind", self.metrics_bind.is_some()),
            ("data", self.data.is_some()),
            ("logs", self.logs.is_some()),
            ("www", self.www.is_some()),
            ("policy", self.policy.is_some()),
            ("tls", self.tls.is_some()),
            ("tls_cert", self.tls_cert.is_some()),
            ("tls_key", self.tls_key.is_some()),
            ("insecure_plaintext", self.insecure_plaintext.is_some()),
            ("log_format", self.log_format.is_some()),
            ("verify", self.verify.is_some()),
            ("redis", self.redis.is_some()),
            ("node", self.node.is_some()),
            ("cluster", self.cluster.is_some()),
            ("cluster_key", self.cluster_key.is_some()),
            ("redis_ack", self.redis_ack.is_some()),
            ("log_keep", self.log_keep.is_some()),
            ("log_max", self.log_max.is_some()),
            ("drain_timeout", self.drain_timeout.is_some()),
            ("mailbox_messages", self.mailbox_messages.is_some()),
            ("mailbox_bytes", self.mailbox_bytes.is_some()),
            ("retention", self.retention.is_some()),
            ("registration", self.registration.is_some()),
            ("bans", self.bans.is_some()),
            ("copies_quota", self.copies_quota.is_some()),
            ("copies_days", self.copies_days.is_some()),
            ("limits", self.limits.is_some()),
            ("limit", !self.limit.is_empty()),
            ("trusted_proxy", !self.trusted_proxy.is_empty()),
        ]
        .into_iter()
        .filter_map(|(key, is_set)| is_set.then_some(key))
        .collect()
    }
}
