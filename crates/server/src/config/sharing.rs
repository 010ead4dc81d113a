//! What a server among several is told: where their log lies, and how this one is called.

use std::{fmt, path::PathBuf, str::FromStr};

use ::redis::IntoConnectionInfo as _;
use serde::{Deserialize, Deserializer};

use crate::order::redis::beside::{NODE_NAME_CHARS_MAX, is_node_name};
pub use crate::order::redis::level::AckLevel;

/// Where a Redis is. Shown without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl RedisUrl {
    /// All of it, with the password.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl FromStr for RedisUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // What is wrong with it is not said in words that might hold the password.
        text.into_connection_info().map_err(|_| {
            "expected the address of a Redis as redis://HOST:PORT, redis://:PASSWORD@HOST:PORT or \
             unix:///PATH"
        })?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("redis", ""));
        let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        // Of a socket the password stands behind the path.
        let place = place.split_once('?').map_or(place, |(place, _)| place);
        write!(f, "{scheme}://{place}")
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl<'de> Deserialize<'de> for RedisUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What a server, or several together, are called: lower-case letters, digits and `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeName(String);

impl NodeName {
    /// What several servers are called together when nothing is said.
    pub(super) fn chat() -> Self {
        Self("chat".to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !is_node_name(text) {
            return Err(format!(
                "expected a name of 1 to {NODE_NAME_CHARS_MAX} lower-case letters, digits and -, as n1"
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for NodeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A server among several.
#[derive(Debug, Clone)]
pub struct Sharing {
    /// Where the log lies.
    pub redis: RedisUrl,
    /// What this server is called among them.
    pub node: NodeName,
    /// What they are called together.
    pub cluster: NodeName,
    /// The file with the key that they share.
    pub key: PathBuf,
    /// A log is begun where there is none, also when there is a key already.
    pub is_new: bool,
    /// What all of them are set to becomes what this one is told.
    pub changes_settings: bool,
    /// Commands to the name `server` run here from now on.
    pub becomes_host: bool,
    /// A folder of this log whose turns are taken up again, as far as the log was opened without them.
    pub salvage: Option<PathBuf>,
    /// The least that an ACK promises.
    pub ack: AckLevel,
    /// Bytes of the log that stay in Redis although every server has them.
    pub log_keep: u64,
    /// Bytes from which on servers that do not run are not waited for; `None` is a third of what Redis may use.
    pub log_max: Option<u64>,
}

/// What a server has to have before it leaves the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaveAt {
    /// Everything that is in the log.
    End,
    /// The turns up to this one: a person says that there are no more.
    Turn(u64),
}

impl LeaveAt {
    /// What is said where no turn is.
    pub(super) const END: &str = "end";
}

impl FromStr for LeaveAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == Self::END {
            return Ok(Self::End);
        }
        let turn = text.parse().map(Self::Turn);
        turn.map_err(|_| {
            format!("expected a turn, as chat-server cluster digest says it, got {text:?}")
        })
    }
}

/// How a server that was one of several becomes one that is alone.
#[derive(Debug, Clone)]
pub enum Leaving {
    /// It reads to the end of the log first.
    ReadingOn(Box<Sharing>),
    /// Without Redis: a person has compared the folders, and the one of this server is the furthest, at this turn.
    AtTurn(u64),
    /// It did so at an earlier start, and is alone.
    HasLeft,
}

/// Bytes of the log that stay in Redis unless something else is said: hours of a company, years of a small team.
pub const LOG_KEEP_DEFAULT: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (given, shown) in [
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
            ("redis://:s3cret@db:6379/2", "redis://db:6379/2"),
            ("redis://me:s3c%40ret@db:6379", "redis://db:6379"),
            ("unix:///run/redis.sock?pass=s3cret", "unix:///run/redis.sock"),
        ] {
            let url: RedisUrl = given.parse().unwrap();
            assert_eq!((url.to_string(), format!("{url:?}")), (shown.to_owned(), shown.to_owned()));
            assert_eq!(url.secret(), given);
        }
        for wrong in ["", "db:6379", "http://s3cret@db", "redis://"] {
            let error = wrong.parse::<RedisUrl>();
            assert!(error.is_err_and(|error| !error.contains("s3cret")), "{wrong}");
        }
    }

    #[test]
    fn names_of_servers_are_short_and_plain() {
        for (name, is_right) in [
            ("n1", true),
            ("eu-west-1", true),
            ("", false),
            ("N1", false),
            ("a b", false),
            ("é", false),
        ] {
            assert_eq!(name.parse::<NodeName>().is_ok(), is_right, "{name}");
        }
    }
}
