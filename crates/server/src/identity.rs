//! The hub's own keys: identity, signing, encryption and link key, and the bundle that says so.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use chat_protocol::{
    b64::B64Vec,
    crypto::{KeyError, SigningKey, UnwrapKey, random},
    fingerprint::Fingerprint,
    id::Nonce16,
    keys::{
        Bundle, BundleError, BundleOptions, DeviceKeys, ENCRYPTION_KEY_MS, FormerKey, KeySizes,
        PublishedWrapKey,
    },
    name::UserName,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    private_file::{self, FileError, MODE, PrivateFileError},
    store::DATABASE_FILE,
};

/// The file in the data folder.
const FILE: &str = "server.key";

/// The beginning of 2020, Unix time in milliseconds: numbers of bundles last until 2088.
const NUMBERS_FROM_MS: u64 = 1_577_836_800_000;

/// Why the hub has no identity.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The file could not be read or written, or others can read it.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// Not what we wrote.
    #[error("{} is damaged: {what}; restore it from a backup: without it every client sees another server", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// A server was here, and its keys are gone.
    #[error(
        "{} is missing beside the database {DATABASE_FILE}, which belongs to it; restore it from a backup: without it \
         every client sees another server. For a new server choose another folder with --data",
        .0.display()
    )]
    Missing(PathBuf),
    /// A key could not be made.
    #[error("cannot make keys: {0}")]
    Key(#[from] KeyError),
    /// The bundle could not be made.
    #[error("cannot publish the server's keys: {0}")]
    Bundle(#[from] BundleError),
}

/// The file's content. Keys are PKCS#8.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    v: u8,
    identity: B64Vec,
    signing: B64Vec,
    encryption: B64Vec,
    /// Replaced encryption keys and when they were.
    #[serde(default)]
    former: Vec<(B64Vec, u64)>,
    link: B64Vec,
    bundle: B64Vec,
}

/// What people compare of a hub's identity key: six words.
pub fn words(bundle: &Bundle) -> Fingerprint {
    Fingerprint::of(&UserName::server(), &bundle.header().ik)
}

/// The hub's keys and newest bundle.
#[derive(Debug)]
pub struct Identity {
    /// Keys of the account `server` and its device.
    pub keys: Arc<DeviceKeys>,
    /// Opens what clients wrap at sign-in.
    pub link: Arc<UnwrapKey>,
    /// The newest bundle.
    pub bundle: Bundle,
}

impl Identity {
    /// Reads the keys in `folder`, or makes them. `rb` is the restart nonce of the agent, if there
    /// is one. The bundle is published again when the nonce or the time asks for it.
    pub fn open(
        folder: &Path,
        sizes: KeySizes,
        rb: Option<Nonce16>,
        now_ms: u64,
    ) -> Result<Self, IdentityError> {
        Self::open_as(folder, sizes, (None, rb), now_ms)
    }

    /// The same with an identity that several hubs have: `identity` is its key as PKCS#8, for keys that are to
    /// be made. Each hub is a device of it.
    pub fn open_as(
        folder: &Path,
        sizes: KeySizes,
        (identity, rb): (Option<&[u8]>, Option<Nonce16>),
        now_ms: u64,
    ) -> Result<Self, IdentityError> {
        let path = folder.join(FILE);
        if let Some(identity) = Self::existing(folder)? {
            return identity.renew(&path, sizes, rb, now_ms);
        }
        // Keys are written before the database is made, so a database never comes without them.
        if folder.join(DATABASE_FILE).exists() {
            return Err(IdentityError::Missing(path));
        }
        let identity = Self::make(sizes, (identity, rb), now_ms)?;
        identity.write(&path)?;
        Ok(identity)
    }

    /// The same, whose bundle is newer than that of any other device of this identity: of those that accept commands
    /// clients ask the one that has said so last.
    pub fn said_again(
        self,
        folder: &Path,
        sizes: KeySizes,
        now_ms: u64,
    ) -> Result<Self, IdentityError> {
        let rb = self.bundle.header().rb;
        self.publish(&folder.join(FILE), sizes, (rb, false), now_ms)
    }

    /// Reads the keys in `folder`, if there are any.
    pub fn existing(folder: &Path) -> Result<Option<Self>, IdentityError> {
        let path = folder.join(FILE);
        let bytes = private_file::read_if_there(&path)?;
        bytes.map(|bytes| Self::read(&path, &bytes)).transpose()
    }

    fn make(
        sizes: KeySizes,
        (identity, rb): (Option<&[u8]>, Option<Nonce16>),
        now_ms: u64,
    ) -> Result<Self, IdentityError> {
        let keys = Arc::new(match identity {
            None => DeviceKeys::generate(sizes)?,
            Some(identity) => DeviceKeys {
                identity: SigningKey::from_pkcs8(identity)?,
                signing: SigningKey::generate(sizes.signing)?,
                encryption: UnwrapKey::generate(sizes.long)?,
                former: Vec::new(),
            },
        });
        let link = Arc::new(UnwrapKey::generate(sizes.signing)?);
        let lk = vec![publish(&link, now_ms)];
        let options = BundleOptions { rb, lk, ..BundleOptions::default() };
        let dev = Nonce16(random());
        let bundle = keys.publish(&UserName::server(), dev, None, now_ms, options)?;
        Ok(Self { keys, link, bundle })
    }

    fn read(path: &Path, bytes: &[u8]) -> Result<Self, IdentityError> {
        let damaged = |what: String| IdentityError::Damaged { path: path.to_owned(), what };
        let file: KeyFile =
            serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        let key = |error: KeyError| damaged(error.to_string());
        let former = file.former.iter().map(|(former, retired_ms)| {
            let former = UnwrapKey::from_pkcs8(&former.0).map_err(key)?;
            Ok::<_, IdentityError>(FormerKey { key: former, retired_ms: *retired_ms })
        });
        let keys = Arc::new(DeviceKeys {
            identity: SigningKey::from_pkcs8(&file.identity.0).map_err(key)?,
            signing: SigningKey::from_pkcs8(&file.signing.0).map_err(key)?,
            encryption: UnwrapKey::from_pkcs8(&file.encryption.0).map_err(key)?,
            former: former.collect::<Result<_, _>>()?,
        });
        let link = Arc::new(UnwrapKey::from_pkcs8(&file.link.0).map_err(key)?);
        let bundle =
            Bundle::verify(file.bundle.0.into()).map_err(|error| damaged(error.to_string()))?;
        Ok(Self { keys, link, bundle })
    }

    /// Publishes the next bundle if the restart nonce changed or a key has expired. Link and
    /// encryption key are new ones where one has expired; the old encryption key is kept for what was wrapped for it.
    /// Where another nonce was published before, the agent's state was lost with its journal, as after a restore: its
    /// signing key is another one, because counters of the one before were used that nothing here knows.
    fn renew(
        self,
        path: &Path,
        sizes: KeySizes,
        rb: Option<Nonce16>,
        now_ms: u64,
    ) -> Result<Self, IdentityError> {
        let header = self.bundle.header();
        let mut expiries = header
            .sk
            .iter()
            .map(|key| key.exp)
            .chain(header.ek.iter().chain(&header.lk).map(|key| key.exp));
        let is_expired = expiries.any(|exp| exp <= now_ms);
        if header.rb == rb && !is_expired {
            return Ok(self);
        }
        self.publish(path, sizes, (rb, is_expired), now_ms)
    }

    fn publish(
        mut self,
        path: &Path,
        sizes: KeySizes,
        (rb, is_expired): (Option<Nonce16>, bool),
        now_ms: u64,
    ) -> Result<Self, IdentityError> {
        if is_expired {
            self.link = Arc::new(UnwrapKey::generate(sizes.signing)?);
            self.keys = Arc::new(self.keys.with_new_encryption_key(now_ms)?);
        }
        let began_anew = rb.is_some() && self.bundle.header().rb.is_some_and(|old| Some(old) != rb);
        if began_anew {
            let signing = SigningKey::generate(sizes.signing)?;
            self.keys = Arc::new(self.keys.with_signing_key(signing)?);
        }
        let lk = vec![publish(&self.link, now_ms)];
        let (rev, seq_min) = (self.bundle.header().rev.clone(), number_at(now_ms));
        let options = BundleOptions { rb, lk, rev, seq_min };
        let (name, dev) = (UserName::server(), self.bundle.header().dev);
        self.bundle = self.keys.publish(&name, dev, Some(&self.bundle), now_ms, options)?;
        self.write(path)?;
        Ok(self)
    }

    /// Replaces the file in one step: whole, or as it was.
    fn write(&self, path: &Path) -> Result<(), IdentityError> {
        let former = self.keys.former.iter();
        let former =
            former.map(|former| (B64Vec(former.key.to_pkcs8().to_vec()), former.retired_ms));
        let file = KeyFile {
            v: 1,
            identity: B64Vec(self.keys.identity.to_pkcs8().to_vec()),
            signing: B64Vec(self.keys.signing.to_pkcs8().to_vec()),
            encryption: B64Vec(self.keys.encryption.to_pkcs8().to_vec()),
            former: former.collect(),
            link: B64Vec(self.link.to_pkcs8().to_vec()),
            bundle: B64Vec(self.bundle.bytes().to_vec()),
        };
        let text = chat_protocol::hub::write(&file);
        let new = path.with_extension("key.new");
        let replace = || -> io::Result<()> {
            // What a crash has left of an earlier try; its mode may be anything.
            fs::remove_file(&new).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })?;
            private_file::write_new(&new, MODE, text.as_bytes())?;
            fs::rename(&new, path)?;
            path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
        };
        let written = replace().map_err(FileError::of("write", path));
        written.map_err(|error| PrivateFileError::from(error).into())
    }
}

/// The lowest number of a bundle that is made now: twice the seconds since [`NUMBERS_FROM_MS`]. A server that
/// was restored from a backup has forgotten which numbers it has used since, and two bundles with one number
/// are an alarm at everybody who knows both; so is a number that is greater by one and follows another bundle
/// (rule R14).
fn number_at(now_ms: u64) -> u32 {
    u32::try_from(now_ms.saturating_sub(NUMBERS_FROM_MS) / 1_000 * 2).unwrap_or(u32::MAX)
}

fn publish(link: &UnwrapKey, now_ms: u64) -> PublishedWrapKey {
    PublishedWrapKey::new(link.spki(), now_ms, ENCRYPTION_KEY_MS)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keys_stay_and_the_bundle_follows_nonce_and_time() {
        let folder = tempfile::tempdir().unwrap();
        let open = |rb, now_ms| Identity::open(folder.path(), KeySizes::EMULATED, rb, now_ms);
        let first = open(None, 5).unwrap();
        let mode = fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        let same = open(None, 6).unwrap();
        assert_eq!(same.bundle.bytes(), first.bundle.bytes());
        let with_agent = open(Some(Nonce16([7; 16])), 7).unwrap();
        assert_eq!(with_agent.bundle.header().seq, 1);
        assert_eq!(with_agent.bundle.follows(&first.bundle), Ok(()));
        let later = open(Some(Nonce16([7; 16])), 5 + 2 * ENCRYPTION_KEY_MS).unwrap();
        assert_eq!(later.bundle.follows(&with_agent.bundle), Ok(()));
        assert_ne!(later.link.spki(), first.link.spki(), "a new link key");
        assert_eq!(later.bundle.identity(), first.bundle.identity());
    }

    /// Goal: a server that is restored from the same backup twice shows each client bundles that follow
    /// each other. Before: each restore gave the next number of the backup again, which is an alarm.
    #[test]
    fn a_restored_server_gives_no_number_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let open = |second: u64| {
            let rb = Some(Nonce16([u8::try_from(second).unwrap(); 16]));
            let now_ms = (1_790_000_000 + second) * 1_000;
            Identity::open(folder.path(), KeySizes::EMULATED, rb, now_ms).unwrap().bundle
        };
        let mut before = open(5);
        let backup = fs::read(&path).unwrap();
        for second in [10, 11, 30] {
            fs::write(&path, &backup).unwrap();
            let restored = open(second);
            assert_eq!(restored.follows(&before), Ok(()), "at {second} s");
            before = restored;
        }
    }

    /// Goal: an agent whose state was lost signs with another key, and keeps it. Before: with the one whose counters the
    /// hub had seen, so that it could not go on. Method: another nonce, then the same one again.
    #[test]
    fn an_agent_that_begins_anew_has_another_signing_key() {
        let folder = tempfile::tempdir().unwrap();
        let open = |nonce, now_ms| {
            let rb = Some(Nonce16([nonce; 16]));
            Identity::open(folder.path(), KeySizes::EMULATED, rb, now_ms).unwrap()
        };
        let first = open(1, 5);
        let anew = open(2, 6);
        assert_ne!(anew.keys.signing_id(), first.keys.signing_id());
        assert_eq!(anew.bundle.identity(), first.bundle.identity());
        assert_eq!(anew.bundle.follows(&first.bundle), Ok(()));
        assert_eq!(open(2, 7).keys.signing_id(), anew.keys.signing_id(), "and keeps it");
    }

    /// Goal: keys that are lost are said to be, and no others are put in their place.
    #[test]
    fn no_new_keys_are_made_beside_a_database() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Identity::open(folder.path(), KeySizes::EMULATED, None, 5);
        open().unwrap();
        fs::write(folder.path().join(DATABASE_FILE), "x").unwrap();
        open().unwrap();
        let path = folder.path().join(FILE);
        fs::remove_file(&path).unwrap();
        assert!(matches!(open(), Err(IdentityError::Missing(_))));
        assert!(!path.exists(), "nothing was written");
    }

    #[test]
    fn a_damaged_or_exposed_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Identity::open(folder.path(), KeySizes::EMULATED, None, 5);
        open().unwrap();
        let path = folder.path().join(FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(open(), Err(IdentityError::File(PrivateFileError::Exposed { .. }))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "{}").unwrap();
        assert!(matches!(open(), Err(IdentityError::Damaged { .. })));
    }
}
