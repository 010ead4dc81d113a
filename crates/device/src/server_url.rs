//! The address of a server as a person types it.

use core::net::IpAddr;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

/// Whom to believe about the server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// The system's authorities, or the certificate seen first from this server.
    SystemOrPinned,
    /// The authorities of a PEM file.
    Authorities(PathBuf),
    /// Anybody; said loudly on each start.
    Anybody,
}

/// A host name has at most 253 characters; a path longer than that is no path of ours.
const URL_BYTES_MAX: usize = 1024;
/// Where the server upgrades to a WebSocket.
const DEFAULT_PATH: &str = "/ws";

/// A checked `ws://` or `wss://` address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerUrl {
    secure: bool,
    host: String,
    port: u16,
    path: String,
}

/// Why an address cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ServerUrlError {
    /// Neither `ws://` nor `wss://`.
    #[error("expected ws://HOST:PORT or wss://HOST:PORT, got {0:?}")]
    Scheme(String),
    /// No host, or one with characters that no host has.
    #[error("{0:?} is no host name or address")]
    Host(String),
    /// Not 1 to 65535.
    #[error("{0:?} is no port, expected 1 to 65535")]
    Port(String),
    /// A name or password in the address would end up in logs and process lists.
    #[error("the address must not hold a name or password; use --user and --password-file")]
    Credentials,
    /// Longer than any real address, or with spaces or controls.
    #[error("the address is too long or holds spaces or control characters")]
    Malformed,
}

impl ServerUrl {
    /// True for `wss://`.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Host name in lower case, or address; an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port, 80 or 443 where none was given.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path of the upgrade request, `/ws` where none was given.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// True when the traffic cannot leave this machine.
    pub fn is_loopback(&self) -> bool {
        let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
        self.host == "localhost" || self.host.parse().is_ok_and(is_loopback)
    }
}

impl FromStr for ServerUrl {
    type Err = ServerUrlError;

    fn from_str(url: &str) -> Result<Self, ServerUrlError> {
        if url.len() > URL_BYTES_MAX || url.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(ServerUrlError::Malformed);
        }
        let (scheme, rest) =
            url.split_once("://").ok_or_else(|| ServerUrlError::Scheme(url.to_owned()))?;
        let (secure, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "ws" => (false, 80),
            "wss" => (true, 443),
            _ => return Err(ServerUrlError::Scheme(url.to_owned())),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(ServerUrlError::Credentials);
        }
        let (host, port) = split_port(authority)?;
        let port = match port {
            None => default_port,
            Some(text) => match text.parse() {
                Ok(port) if port > 0 && text.bytes().all(|byte| byte.is_ascii_digit()) => port,
                _ => return Err(ServerUrlError::Port(text.to_owned())),
            },
        };
        let path = if path.is_empty() || path == "/" { DEFAULT_PATH } else { path };
        // One server has one spelling: what is known of it is found by that.
        let host = match host.parse::<IpAddr>() {
            Ok(address) => address.to_string(),
            Err(_) => host.to_ascii_lowercase(),
        };
        Ok(Self { secure, host, port, path: path.to_owned() })
    }
}

/// Host and port of `host`, `host:port`, `[::1]` or `[::1]:port`.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), ServerUrlError> {
    let bad_host = || ServerUrlError::Host(authority.to_owned());
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(bad_host)?;
        let is_address = host.parse().is_ok_and(|address: IpAddr| address.is_ipv6());
        return match rest.strip_prefix(':') {
            _ if !is_address => Err(bad_host()),
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(bad_host()),
        };
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_host) {
        return Err(bad_host());
    }
    Ok((host, port))
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "wss" } else { "ws" };
        let path = if self.path == DEFAULT_PATH { "" } else { &self.path };
        if self.host.contains(':') {
            write!(formatter, "{scheme}://[{}]:{}{path}", self.host, self.port)
        } else {
            write!(formatter, "{scheme}://{}:{}{path}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (url, shown, loopback) in [
            ("ws://127.0.0.1:9000", "ws://127.0.0.1:9000", true),
            ("WS://localhost:9000/", "ws://localhost:9000", true),
            ("ws://[::1]:9000/ws", "ws://[::1]:9000", true),
            ("wss://chat.example.org", "wss://chat.example.org:443", false),
            ("wss://chat.example.org:9000/team/ws", "wss://chat.example.org:9000/team/ws", false),
            ("ws://10.0.0.7", "ws://10.0.0.7:80", false),
        ] {
            let parsed: ServerUrl = url.parse().unwrap();
            assert_eq!(parsed.to_string(), shown);
            assert_eq!(parsed.is_loopback(), loopback, "{url}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        let long = format!("ws://{}", "x".repeat(2000));
        for (url, part) in [
            ("localhost:9000", "expected ws://"),
            ("http://localhost:9000", "expected ws://"),
            ("ws://", "no host"),
            ("ws://:9000", "no host"),
            ("ws://a b", "spaces"),
            ("ws://::1:9000", "no host"),
            ("ws://[::1:9000", "no host"),
            ("ws://[10.0.0.1]:1", "no host"),
            ("ws://host:0", "no port"),
            ("ws://host:+80", "no port"),
            ("ws://host:99999", "no port"),
            ("ws://alice:secret@host", "must not hold a name or password"),
            (long.as_str(), "too long"),
        ] {
            let error = url.parse::<ServerUrl>().expect_err(url).to_string();
            assert!(error.contains(part), "{url}: {error}");
        }
    }
}
