//! Who may answer: the servers that the home knows, and the one that this process has met.
//!
//! Secrets are derived for one server. Every greeting of the process, on whatever connection and
//! address, must show that one (rule R38). All addresses of a process are those of one server: what the home knows
//! at any of them is expected at all of them, also at those that it has never reached.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chat_protocol::id::KeyId;

use super::ConnectError;
use super::error::Why;
pub use super::shown::Shown;
use crate::home::known_servers::KnownServer;
use crate::home::{HomeError, KnownServers};
use crate::server_url::{ServerUrl, Trust};

/// The pins of the home and of this process.
#[derive(Debug)]
pub struct Pins {
    home: KnownServers,
    /// The six words that a script expects.
    words: Option<String>,
    /// Whether what is met over TLS is kept. Not where anybody's certificate is taken: nobody has vouched
    /// for that server, or will have when the next start asks.
    keeps: bool,
    /// The addresses of the one server.
    addresses: Vec<ServerUrl>,
    met: Mutex<Met>,
}

/// What this process has met.
#[derive(Debug, Default)]
struct Met {
    /// Its one server.
    server: Option<Expected>,
    /// Certificates that only the words of that server vouch for.
    certificates: BTreeMap<String, [u8; 32]>,
}

/// The server that a process has.
#[derive(Debug, Clone)]
struct Expected {
    server: KeyId,
    words: String,
    /// Where it was met, or where the home knows it.
    at: ServerUrl,
}

impl Pins {
    /// The pins of a home; `words` are those that a script says the server has.
    pub fn new(home: KnownServers, words: Option<String>) -> Self {
        Self { home, words, keeps: true, addresses: Vec::new(), met: Mutex::default() }
    }

    /// The same; of servers met over TLS nothing is kept if anybody's certificate is taken.
    #[must_use]
    pub fn with_trust(self, trust: &Trust) -> Self {
        Self { keeps: *trust != Trust::Anybody, ..self }
    }

    /// These are addresses of one server: the one that the home knows at any of them.
    ///
    /// # Errors
    /// The home knows another one at another of them.
    pub(super) fn of_one_server(self, addresses: &[ServerUrl]) -> Result<Self, ConnectError> {
        let known = self.home.server_at(addresses)?;
        let expected =
            known.map(|(at, KnownServer { server, words, .. })| Expected { server, words, at });
        let met = Mutex::new(Met { server: expected, ..Met::default() });
        Ok(Self { addresses: addresses.to_vec(), met, ..self })
    }

    /// The server of this process, once it is known.
    pub fn server(&self) -> Option<KeyId> {
        self.met().server.as_ref().map(|expected| expected.server)
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

    /// Whether whoever shows this is the server expected; a first one is. A certificate that has changed
    /// is taken if somebody has named the words of the server that is known here.
    pub fn check(&self, shown: &Shown) -> Result<(), ConnectError> {
        if let Some((known, why)) = self.other_than(shown) {
            let (shown, why) = (Box::new(shown.clone()), Box::new(why));
            return Err(ConnectError::ServerChanged { known, shown, why });
        }
        let is_named = self.words.as_ref().map(|words| shown.words.is(words));
        if is_named == Some(false) {
            return Err(ConnectError::OtherWords { shown: Box::new(shown.clone()) });
        }
        if shown.is_certificate_changed && is_named.is_none() {
            let forget = self.home.forget_command(&[&shown.url]);
            let shown = Box::new(shown.clone());
            return Err(ConnectError::CertificateChanged { shown, forget });
        }
        Ok(())
    }

    /// The words of the server that is expected where this one answers, if that is another, and why it is.
    fn other_than(&self, shown: &Shown) -> Option<(String, Why)> {
        if let Some(known) = self.home.get(&shown.url)
            && known.server != shown.server
        {
            return Some((
                known.words,
                Why::KnownHere { forget: self.forget_command(known.server) },
            ));
        }
        let met = self.met();
        let expected = met.server.as_ref().filter(|expected| expected.server != shown.server)?;
        let (words, at) = (expected.words.clone(), expected.at.clone());
        let is_known = self.home.get(&at).is_some_and(|known| known.server == expected.server);
        Some(if is_known {
            (words, Why::OneServer { at, forget: self.forget_command(expected.server) })
        } else {
            (words, Why::Met { at })
        })
    }

    /// What a person types to forget this server at all addresses of the process.
    fn forget_command(&self, server: KeyId) -> String {
        let is_known = |url: &&ServerUrl| self.home.get(url).is_some_and(|at| at.server == server);
        self.home.forget_command(&self.addresses.iter().filter(is_known).collect::<Vec<_>>())
    }

    /// Takes a server that is the one expected, or that nobody has to be asked about: an authority
    /// vouches for it, it is on this machine, or a script has named its words.
    pub fn admit(&self, shown: &Shown) -> Result<(), ConnectError> {
        self.check(shown)?;
        let is_known = self.is_known(&shown.url) || self.server() == Some(shown.server);
        let needs_words = shown.certificate.is_some() && !shown.url.is_loopback() && !is_known;
        if needs_words && self.words.is_none() {
            return Err(ConnectError::Unknown { shown: Box::new(shown.clone()) });
        }
        self.accept(shown);
        Ok(())
    }

    /// Takes a server that a person has said yes to.
    pub fn accept(&self, shown: &Shown) {
        let mut met = self.met();
        met.server.get_or_insert_with(|| {
            let (server, words, at) = (shown.server, shown.words.to_string(), shown.url.clone());
            Expected { server, words, at }
        });
        if let Some(certificate) = shown.certificate {
            met.certificates.insert(shown.url.to_string(), certificate);
        }
    }

    /// Keeps a server that has proved its identity, at all addresses of the process: whoever has named them has said
    /// that they are its. Says whether its certificate is new to the home.
    pub fn keep(&self, shown: &Shown) -> Result<bool, HomeError> {
        if !self.keeps && shown.url.is_secure() {
            return Ok(false);
        }
        let known = self.home.get(&shown.url);
        let before = known.and_then(|known| known.certificate);
        let certificate = shown.certificate.or(before);
        let (server, words) = (shown.server, shown.words.to_string());
        self.home.pin(&shown.url, KnownServer { server, words: words.clone(), certificate })?;
        for url in self.addresses.iter().filter(|url| self.keeps || !url.is_secure()) {
            if self.home.get(url).is_none() {
                let words = words.clone();
                self.home.pin(url, KnownServer { server, words, certificate: None })?;
            }
        }
        Ok(certificate.is_some() && certificate != before)
    }

    fn met(&self) -> MutexGuard<'_, Met> {
        // One insertion cannot be left half done.
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use chat_protocol::fingerprint::Fingerprint;
    use chat_protocol::name::UserName;

    use super::*;

    const REMOTE: &str = "wss://chat.example.org";

    fn shown(url: &str, server: u8, certificate: Option<[u8; 32]>) -> Shown {
        let words = Fingerprint::of(&UserName::server(), &[server]);
        let (url, server) = (url.parse().unwrap(), KeyId([server; 16]));
        Shown { url, server, words, certificate, is_certificate_changed: false }
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

    /// A home that knows these.
    fn home_with<'a>(known: impl IntoIterator<Item = &'a Shown>) -> KnownServers {
        let home = KnownServers::in_memory();
        for Shown { url, server, words, certificate, .. } in known {
            let (words, certificate) = (words.to_string(), *certificate);
            home.pin(url, KnownServer { server: *server, words, certificate }).unwrap();
        }
        home
    }

    fn urls<const N: usize>(shown: [&Shown; N]) -> [ServerUrl; N] {
        shown.map(|shown| shown.url.clone())
    }

    /// A stranger at an address that was never reached is refused because of the others, wherever in the list they
    /// stand, and also on the first contact of all.
    #[test]
    fn what_the_home_knows_of_any_address_binds_all_of_them() {
        let (first, second) = (shown("wss://a", 1, None), shown("wss://b", 1, None));
        let stranger = Shown { server: KeyId([2; 16]), ..second.clone() };
        for addresses in [[&first, &second], [&second, &first]] {
            let pins =
                Pins::new(home_with([&first]), None).of_one_server(&urls(addresses)).unwrap();
            assert_eq!(pins.server(), Some(first.server), "secrets are derived for it");
            let refused = pins.admit(&stranger).unwrap_err();
            let said = refused.to_string();
            assert!(refused.is_integrity() && said.contains("ANOTHER SERVER ANSWERS AT wss://b"));
            assert!(
                said.contains("known at wss://a:443") && said.contains("servers forget wss://a"),
                "{said}"
            );
            pins.admit(&second).unwrap();
        }
        let met = pins(None).of_one_server(&urls([&first, &second])).unwrap();
        met.admit(&first).unwrap();
        let said = met.admit(&stranger).unwrap_err().to_string();
        assert!(said.contains("it was met at wss://a:443"), "{said}");
    }

    #[test]
    fn addresses_of_two_servers_are_no_addresses_of_one() {
        let (first, second) = (shown("wss://a", 1, None), shown("wss://b", 2, None));
        let home = home_with([&first, &second]);
        let refused = Pins::new(home, None).of_one_server(&urls([&first, &second])).unwrap_err();
        assert!(matches!(refused, ConnectError::TwoServers(_)) && refused.is_integrity());
        let said = refused.to_string();
        for part in
            [&first.words.to_string(), &second.words.to_string(), "wss://a:443", "wss://b:443"]
        {
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    /// A server that has proved itself is kept at the addresses beside it too: a stranger there is known for one
    /// at the next start with that address alone. A certificate is kept only where it was shown.
    #[test]
    fn a_server_is_kept_at_all_its_addresses() {
        let own = shown(REMOTE, 1, Some([7; 32]));
        let other = shown("wss://b", 1, Some([8; 32]));
        let pins = pins(Some(&own.words.to_string())).of_one_server(&urls([&own, &other])).unwrap();
        pins.admit(&own).unwrap();
        assert!(pins.keep(&own).unwrap());
        let known = pins.home.get(&other.url).unwrap();
        assert_eq!((known.server, known.certificate), (own.server, None));
        let said = pins.admit(&shown("wss://b", 2, None)).unwrap_err().to_string();
        assert!(said.contains(&format!("servers forget {} wss://b:443", own.url)), "{said}");
        pins.admit(&other).unwrap();
        assert!(pins.keep(&other).unwrap(), "its own certificate comes with its first sign-in");
        assert_eq!(pins.certificate(&other.url), Some([8; 32]));
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

    #[test]
    fn who_has_changed_is_shown_by_words_and_the_words_take_a_renewed_certificate() {
        let old = shown(REMOTE, 1, Some([7; 32]));
        let renewed = Shown { is_certificate_changed: true, ..shown(REMOTE, 1, Some([8; 32])) };
        let home = || home_with([&old]);
        let refused = Pins::new(home(), None).admit(&renewed).unwrap_err();
        assert!(matches!(refused, ConnectError::CertificateChanged { .. }), "{refused}");
        assert!(refused.to_string().contains(&renewed.words.to_string()), "{refused}");

        let other = shown(REMOTE, 2, Some([8; 32]));
        let said = Pins::new(home(), None).admit(&other).unwrap_err().to_string();
        let both = [&old, &other].map(|shown| shown.words.to_string());
        assert!(both.iter().all(|words| said.contains(words)), "{said}");

        let named = Pins::new(home(), Some(old.words.to_string()));
        named.admit(&renewed).unwrap();
        assert!(named.keep(&renewed).unwrap(), "its new certificate is pinned");
        assert_eq!(named.certificate(&old.url), renewed.certificate);
        let wrong = Pins::new(home(), Some(other.words.to_string()));
        let refused = wrong.admit(&renewed).unwrap_err();
        assert!(matches!(refused, ConnectError::OtherWords { .. }), "{refused}");
    }

    #[test]
    fn where_anybody_is_trusted_nobody_is_remembered() {
        let pins = pins(None).with_trust(&Trust::Anybody);
        let vouched_by_nobody = shown(REMOTE, 1, None);
        pins.admit(&vouched_by_nobody).unwrap();
        assert!(!pins.keep(&vouched_by_nobody).unwrap());
        assert!(!pins.is_known(&vouched_by_nobody.url));
    }
}
