//! Who may answer: the servers that the home knows, and the one that this process has met.
//!
//! Secrets are derived for one server. Every greeting of the process, on whatever connection and
//! address, must show that one (rule R38), and at an address that the home knows the one known there.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chat_protocol::fingerprint::Fingerprint;
use chat_protocol::id::KeyId;
use chat_protocol::keys::Bundle;
use chat_protocol::name::UserName;

use super::ConnectError;
use crate::config::ServerUrl;
use crate::home::known_servers::KnownServer;
use crate::home::{HomeError, KnownServers};

/// What a server shows before anybody signs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Where.
    pub url: ServerUrl,
    /// Its identity.
    pub server: KeyId,
    /// What people compare of its identity key.
    pub words: Fingerprint,
    /// SHA-256 of its certificate, where no authority vouches for it.
    pub certificate: Option<[u8; 32]>,
}

impl Shown {
    /// What the server with this bundle shows.
    pub fn new(url: &ServerUrl, hub: &Bundle, certificate: Option<[u8; 32]>) -> Self {
        let words = Fingerprint::of(&UserName::server(), &hub.header().ik);
        Self { url: url.clone(), server: hub.identity(), words, certificate }
    }
}

/// The pins of the home and of this process.
#[derive(Debug)]
pub struct Pins {
    home: KnownServers,
    /// The six words that a script expects.
    words: Option<String>,
    met: Mutex<Met>,
}

/// What this process has met.
#[derive(Debug, Default)]
struct Met {
    /// Its one server.
    server: Option<KeyId>,
    /// Certificates that only the words of that server vouch for.
    certificates: BTreeMap<String, [u8; 32]>,
}

impl Pins {
    /// The pins of a home; `words` are those that a script says the server has.
    pub fn new(home: KnownServers, words: Option<String>) -> Self {
        Self { home, words, met: Mutex::default() }
    }

    /// The server of this process, once it is known.
    pub fn server(&self) -> Option<KeyId> {
        self.met().server
    }

    /// The server that is known at this address is that of this process from now on.
    pub fn begin(&self, url: &ServerUrl) -> Option<KeyId> {
        let mut met = self.met();
        met.server = met.server.or_else(|| self.home.get(url).map(|known| known.server));
        met.server
    }

    /// The certificate that must be shown at this address, unless an authority vouches for it.
    pub fn certificate(&self, url: &ServerUrl) -> Option<[u8; 32]> {
        let met = self.met().certificates.get(&url.to_string()).copied();
        met.or_else(|| self.home.get(url)?.certificate)
    }

    /// Whether the home knows who answers at this address.
    pub fn is_known(&self, url: &ServerUrl) -> bool {
        self.home.get(url).is_some()
    }

    /// Whether whoever shows this is the server expected; a first one is.
    pub fn check(&self, shown: &Shown) -> Result<(), ConnectError> {
        let changed = |known, is_of_home| ConnectError::ServerChanged {
            url: shown.url.clone(),
            known,
            got: shown.server,
            is_of_home,
        };
        match (self.home.get(&shown.url), self.met().server) {
            (Some(known), _) if known.server != shown.server => Err(changed(known.server, true)),
            (_, Some(met)) if met != shown.server => Err(changed(met, false)),
            _ => Ok(()),
        }
    }

    /// Takes a server that is the one expected, or that nobody has to be asked about: an authority
    /// vouches for it, it is on this machine, or a script has named its words.
    pub fn admit(&self, shown: &Shown) -> Result<(), ConnectError> {
        self.check(shown)?;
        let named = self.words.as_ref().map(|words| shown.words.is(words));
        let is_known = self.is_known(&shown.url) || self.server() == Some(shown.server);
        let needs_words = shown.certificate.is_some() && !shown.url.is_loopback() && !is_known;
        match named {
            Some(false) => Err(ConnectError::OtherWords { shown: Box::new(shown.clone()) }),
            None if needs_words => Err(ConnectError::Unknown { shown: Box::new(shown.clone()) }),
            _ => {
                self.accept(shown);
                Ok(())
            }
        }
    }

    /// Takes a server that a person has said yes to.
    pub fn accept(&self, shown: &Shown) {
        let mut met = self.met();
        met.server = Some(shown.server);
        if let Some(certificate) = shown.certificate {
            met.certificates.insert(shown.url.to_string(), certificate);
        }
    }

    /// Keeps a server that has proved its identity. Says whether its certificate is new to the home.
    pub fn keep(&self, shown: &Shown) -> Result<bool, HomeError> {
        let known = self.home.get(&shown.url);
        let before = known.and_then(|known| known.certificate);
        let certificate = shown.certificate.or(before);
        self.home.pin(&shown.url, KnownServer { server: shown.server, certificate })?;
        Ok(certificate.is_some() && certificate != before)
    }

    fn met(&self) -> MutexGuard<'_, Met> {
        // One insertion cannot be left half done.
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REMOTE: &str = "wss://chat.example.org";

    fn shown(url: &str, server: u8, certificate: Option<[u8; 32]>) -> Shown {
        let words = Fingerprint::of(&UserName::server(), &[server]);
        Shown { url: url.parse().unwrap(), server: KeyId([server; 16]), words, certificate }
    }

    fn pins(words: Option<&str>) -> Pins {
        Pins::new(KnownServers::in_memory(), words.map(str::to_owned))
    }

    #[test]
    fn one_process_has_one_server_at_every_address() {
        let pins = pins(None);
        pins.admit(&shown("ws://127.0.0.1:1", 1, None)).unwrap();
        pins.admit(&shown("ws://127.0.0.1:2", 1, None)).unwrap();
        for url in ["ws://127.0.0.1:1", "ws://127.0.0.1:2", REMOTE] {
            let refused = pins.admit(&shown(url, 2, None)).unwrap_err();
            assert!(matches!(refused, ConnectError::ServerChanged { .. }), "{refused}");
            assert!(refused.is_integrity());
        }
    }

    #[test]
    fn what_the_home_knows_of_the_first_address_binds_the_others() {
        let home = KnownServers::in_memory();
        let (first, second) =
            (shown("ws://127.0.0.1:1", 1, None), shown("ws://127.0.0.1:2", 2, None));
        for known in [&first, &second] {
            let known_server = KnownServer { server: known.server, certificate: None };
            home.pin(&known.url, known_server).unwrap();
        }
        let pins = Pins::new(home, None);
        assert_eq!(pins.begin(&first.url), Some(first.server));
        assert!(pins.admit(&second).is_err(), "secrets are derived for the first");
        assert!(pins.admit(&first).is_ok());
    }

    #[test]
    fn a_certificate_of_nobody_known_needs_a_yes_or_the_words() {
        let own = shown(REMOTE, 1, Some([7; 32]));
        let asked = pins(None);
        let refused = asked.admit(&own).unwrap_err();
        assert!(matches!(refused, ConnectError::Unknown { .. }) && refused.is_integrity());
        assert!(refused.to_string().contains(&own.words.to_string()), "{refused}");
        assert_eq!(
            (asked.server(), asked.certificate(&own.url)),
            (None, None),
            "nothing is learnt"
        );
        asked.accept(&own);
        asked.admit(&own).unwrap();
        assert_eq!(asked.certificate(&own.url), Some([7; 32]));
        assert!(asked.keep(&own).unwrap() && !asked.keep(&own).unwrap());

        pins(Some(&own.words.to_string())).admit(&own).unwrap();
        let other = shown(REMOTE, 2, None).words.to_string();
        let refused = pins(Some(&other)).admit(&own).unwrap_err();
        assert!(matches!(refused, ConnectError::OtherWords { .. }) && refused.is_integrity());
    }

    #[test]
    fn this_machine_authorities_and_a_known_server_need_no_yes() {
        pins(None).admit(&shown("wss://127.0.0.1:9", 1, Some([7; 32]))).unwrap();
        pins(None).admit(&shown(REMOTE, 1, None)).unwrap();
        let known = pins(None);
        known.admit(&shown("wss://localhost:9", 1, None)).unwrap();
        known.admit(&shown(REMOTE, 1, Some([7; 32]))).unwrap();
    }
}
