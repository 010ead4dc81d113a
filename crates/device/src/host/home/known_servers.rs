//! Which server answers at which address: pinned on first use, one line each.
//!
//! ```text
//! ws://127.0.0.1:9000 qrvM3e7_ABEiM0RVZneImQ able-…-zoo
//! wss://chat.example.org:443 qrvM3e7_ABEiM0RVZneImQ able-…-zoo sha256:2c26b4…
//! ```
//!
//! The words are those of the identity key: what people can compare with what the operator says.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chat_protocol::fingerprint::WORDS;
use chat_protocol::id::KeyId;
use thiserror::Error;

use super::HomeError;
use super::file;
use crate::server_url::ServerUrl;
use crate::text_lines::without_mark;

/// What is known about an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownServer {
    /// The server's identity.
    pub server: KeyId,
    /// The six words of its identity key, with spaces between.
    pub words: String,
    /// SHA-256 of its certificate, where no authority vouches for it.
    pub certificate: Option<[u8; 32]>,
}

/// The home knows two servers at the addresses of one.
#[derive(Debug, Error)]
#[error(
    "THESE ADDRESSES BELONG TO TWO SERVERS (server_changed): the words of {} are {}, those of {} are {}. All \
     addresses of one command line are those of one server. Leave one out, or, if its server was set up anew: \
     {forget}. Nothing was sent", .first.0, .first.1, .second.0, .second.1
)]
pub struct TwoServers {
    /// An address, and the words of the server that the home knows there.
    first: (ServerUrl, String),
    /// Another, with those of another server.
    second: (ServerUrl, String),
    /// What to type to forget the second.
    forget: String,
}

/// The servers known, in a file or in memory only.
#[derive(Debug)]
pub struct KnownServers {
    path: Option<PathBuf>,
    known: Mutex<BTreeMap<String, KnownServer>>,
}

impl KnownServers {
    /// Those of a home. A line that cannot be read is an error: to pass over it would be to trust
    /// whoever answers next.
    pub fn load(home: &Path) -> Result<Self, HomeError> {
        let path = home.join("known_servers");
        let known = read(&path).map_err(|source| HomeError::Io { path: path.clone(), source })?;
        Ok(Self { path: Some(path), known: Mutex::new(known) })
    }

    /// Known for the life of this process: for the emulator.
    pub fn in_memory() -> Self {
        Self { path: None, known: Mutex::default() }
    }

    /// What is known about an address.
    pub fn get(&self, url: &ServerUrl) -> Option<KnownServer> {
        self.lock().get(&url.to_string()).cloned()
    }

    /// The one server that is known at these addresses, and the first of them at which it is.
    ///
    /// # Errors
    /// Two servers are known there.
    pub fn server_at(
        &self,
        addresses: &[ServerUrl],
    ) -> Result<Option<(ServerUrl, KnownServer)>, Box<TwoServers>> {
        let mut known = addresses.iter().filter_map(|url| Some((url.clone(), self.get(url)?)));
        let Some((at, server)) = known.next() else { return Ok(None) };
        match known.find(|(_, other)| other.server != server.server) {
            None => Ok(Some((at, server))),
            Some((elsewhere, other)) => Err(Box::new(TwoServers {
                forget: self.forget_command(&[&elsewhere]),
                first: (at, server.words),
                second: (elsewhere, other.words),
            })),
        }
    }

    /// Remembers who answered at an address.
    pub fn pin(&self, url: &ServerUrl, server: KnownServer) -> Result<(), HomeError> {
        let url = url.to_string();
        let mut known = self.lock();
        if known.get(&url) == Some(&server) {
            return Ok(());
        }
        known.insert(url.clone(), server.clone());
        self.change(|all| {
            all.insert(url, server);
        })
    }

    /// All of them, by address.
    pub fn all(&self) -> Vec<(String, KnownServer)> {
        self.lock().iter().map(|(url, known)| (url.clone(), known.clone())).collect()
    }

    /// Forgets who answers at an address, identity and certificate. Says whether it was known.
    pub fn forget(&self, url: &ServerUrl) -> Result<bool, HomeError> {
        let url = url.to_string();
        let is_known = self.lock().remove(&url).is_some();
        if is_known {
            self.change(|all| {
                all.remove(&url);
            })?;
        }
        Ok(is_known)
    }

    /// What a person types to forget who answers at these addresses, in this home.
    pub fn forget_command(&self, addresses: &[&ServerUrl]) -> String {
        let folder = self.path.as_deref().and_then(Path::parent);
        let is_default = crate::home::default_folder().as_deref() == folder;
        let home = folder.filter(|_| !is_default);
        // Quoted as a shell reads it: the folder may have spaces in its name.
        let quoted = home.map(|home| home.to_string_lossy().replace('\'', r"'\''"));
        let home = quoted.map(|home| format!("--home '{home}' "));
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        format!("chat-client {}servers forget {}", home.unwrap_or_default(), addresses.join(" "))
    }

    /// Changes the file, as another process may have left it meanwhile.
    fn change(
        &self,
        change: impl FnOnce(&mut BTreeMap<String, KnownServer>),
    ) -> Result<(), HomeError> {
        let Some(path) = &self.path else { return Ok(()) };
        let written = (|| {
            let mut all = read(path)?;
            change(&mut all);
            if let Some(folder) = path.parent() {
                file::make_private_folder(folder)?;
            }
            file::write_atomically(path, write(&all).as_bytes())
        })();
        written.map_err(|source| HomeError::Io { path: path.clone(), source })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, KnownServer>> {
        // One insertion cannot be left half done.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> io::Result<BTreeMap<String, KnownServer>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let lines = without_mark(&text).lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| {
            parse(line).ok_or_else(|| {
                let reason =
                    format!(
                    "line {} is not: ADDRESS SERVER WORDS [sha256:HEX]; mend it, or take it out: a server \
                     without a line is compared anew at the next start",
                    index + 1
                );
                io::Error::new(io::ErrorKind::InvalidData, reason)
            })
        })
        .collect()
}

fn parse(line: &str) -> Option<(String, KnownServer)> {
    let mut parts = line.split_whitespace();
    let url = parts.next()?.to_owned();
    let server = KeyId::parse(parts.next()?).ok()?;
    let words: Vec<&str> = parts.next()?.split('-').collect();
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
    if words.len() != WORDS || !words.iter().all(is_word) {
        return None;
    }
    let certificate = match parts.next() {
        Some(part) => Some(unhex(part.strip_prefix("sha256:")?)?),
        None => None,
    };
    let known = KnownServer { server, words: words.join(" "), certificate };
    parts.next().is_none().then_some((url, known))
}

fn write(known: &BTreeMap<String, KnownServer>) -> String {
    let mut text = String::new();
    for (url, KnownServer { server, words, certificate }) in known {
        let words = words.replace(' ', "-");
        let certificate = certificate.map(|digest| format!(" sha256:{}", hex(&digest)));
        writeln!(text, "{url} {server} {words}{}", certificate.unwrap_or_default())
            .expect("writing to a String cannot fail");
    }
    text
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS_OF_ALL: &str = "able baby cabin daily eager fabric";

    fn known(server: u8, certificate: Option<[u8; 32]>) -> KnownServer {
        KnownServer { server: KeyId([server; 16]), words: WORDS_OF_ALL.to_owned(), certificate }
    }

    #[test]
    fn what_is_to_be_typed_names_a_home_that_is_not_the_usual_one() {
        let url: ServerUrl = "wss://chat.example.org".parse().unwrap();
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("it's mine");
        let typed = KnownServers::load(&folder).unwrap().forget_command(&[&url]);
        let quoted = folder.display().to_string().replace('\'', r"'\''");
        assert_eq!(typed, format!("chat-client --home '{quoted}' servers forget {url}"));
        let usual = crate::home::default_folder().unwrap();
        let typed = KnownServers::load(&usual).map(|known| known.forget_command(&[&url]));
        assert!(typed.is_ok_and(|typed| typed == format!("chat-client servers forget {url}")));
    }

    #[test]
    fn pins_survive_and_two_processes_keep_each_others() {
        let home = tempfile::tempdir().unwrap();
        let url = |text: &str| text.parse::<ServerUrl>().unwrap();
        let first = KnownServers::load(home.path()).unwrap();
        let second = KnownServers::load(home.path()).unwrap();
        let (plain, tls) = (known(1, None), known(2, Some([0xab; 32])));
        first.pin(&url("ws://127.0.0.1:9000"), plain.clone()).unwrap();
        second.pin(&url("wss://chat.example.org"), tls.clone()).unwrap();
        let again = KnownServers::load(home.path()).unwrap();
        assert_eq!(again.get(&url("ws://127.0.0.1:9000")), Some(plain));
        assert_eq!(again.get(&url("wss://chat.example.org")), Some(tls));
        assert_eq!(again.get(&url("ws://127.0.0.1:9001")), None);
    }

    #[test]
    fn a_server_that_is_forgotten_is_as_if_never_met() {
        let home = tempfile::tempdir().unwrap();
        let (kept, gone) = ("ws://127.0.0.1:1".parse().unwrap(), "wss://x".parse().unwrap());
        let known = known(1, Some([2; 32]));
        let servers = KnownServers::load(home.path()).unwrap();
        servers.pin(&kept, known.clone()).unwrap();
        servers.pin(&gone, known.clone()).unwrap();
        assert!(servers.forget(&gone).unwrap() && !servers.forget(&gone).unwrap());
        let again = KnownServers::load(home.path()).unwrap();
        assert_eq!((again.get(&gone), again.get(&kept)), (None, Some(known.clone())));
        assert_eq!(again.all(), [(kept.to_string(), known)]);
    }

    #[test]
    fn a_damaged_line_is_not_passed_over() {
        let home = tempfile::tempdir().unwrap();
        let id = "AQEBAQEBAQEBAQEBAQEBAQ";
        for line in [
            "ws://x".to_owned(),
            "ws://x short".to_owned(),
            format!("ws://x {id}"),
            format!("ws://x {id} able-baby"),
            format!("ws://x {id} able-baby-cabin-daily-eager-fabric sha256:zz"),
        ] {
            fs::write(home.path().join("known_servers"), format!("\n{line}\n")).unwrap();
            let error = KnownServers::load(home.path()).unwrap_err().to_string();
            assert!(error.contains("line 2"), "{line}: {error}");
        }
    }
}
