//! The home of one account on one server: its key file, its database, and the servers known.
//!
//! ```text
//! HOME/known_servers                 which server answers at which address (tofu)
//! HOME/<server id>/<user>/key        identity key and store key, sealed with the password (0600)
//! HOME/<server id>/<user>/home.db    everything else, sealed with the store key
//! ```

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use crate::own_device::{Known, OwnDevice};
use crate::store::{Home, SqliteStore, StoreError};
use crate::vault::{KeyFile, Sealing, Vault};
use chat_endpoint::store::Change;
use chat_endpoint::{NEWEST_POSITION_ROW, Pinned, Records};
use chat_protocol::id::KeyId;
use chat_protocol::keys::Bundle;
use chat_protocol::name::UserName;
use etcetera::BaseStrategy as _;
use thiserror::Error;

pub mod file;
pub mod known_servers;

pub use known_servers::KnownServers;

/// The row in which the device's own keys stand.
const DEVICE_ROW: &str = "host/device";

/// The home where none is named; nothing where the system has no place for one.
pub fn default_folder() -> Option<PathBuf> {
    let folders = etcetera::choose_base_strategy().ok()?;
    Some(folders.data_dir().join("chat"))
}

/// Why a home cannot be used.
#[derive(Debug, Error)]
pub enum HomeError {
    /// A file or folder of it.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<serde_json::Error> for HomeError {
    fn from(error: serde_json::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Where the home of an account is. Nothing of it need exist.
#[derive(Debug, Clone)]
pub struct HomeFolder(PathBuf);

impl HomeFolder {
    /// The folder of this user of this server below `root`.
    pub fn new(root: &Path, server: &KeyId, user: &UserName) -> Self {
        Self(root.join(server.to_string()).join(user.as_str()))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The key file, if the account has a home here.
    pub fn key_file(&self) -> Result<Option<KeyFile>, HomeError> {
        let path = self.key_path();
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(KeyFile::new(bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(HomeError::Io { path, source }),
        }
    }

    /// What to say about a key file that others on this machine can read.
    pub fn exposed_key(&self) -> Option<String> {
        file::exposed(&self.key_path()).map(|what| format!("warning: {what}"))
    }

    /// Writes the key file: from now on the account has a home here.
    pub fn write_key_file(&self, sealing: &Sealing) -> Result<(), HomeError> {
        let path = self.key_path();
        file::make_private_folder(&self.0)
            .and_then(|()| file::write_atomically(&path, sealing.as_bytes()))
            .map_err(|source| HomeError::Io { path, source })
    }

    /// Takes back a home whose account was refused, so that the name can be tried elsewhere.
    pub fn remove(&self) -> Result<(), HomeError> {
        std::fs::remove_dir_all(&self.0)
            .map_err(|source| HomeError::Io { path: self.0.clone(), source })
    }

    /// Puts the home aside, if there is one: for an account that gets another identity. It keeps the password
    /// that it has. Returns where it is now.
    pub fn set_aside(&self, now_ms: u64) -> Result<Option<PathBuf>, HomeError> {
        // No name has this sign in it.
        let mut name = self.0.file_name().unwrap_or_default().to_owned();
        name.push(format!("~{now_ms}"));
        let aside = self.0.with_file_name(name);
        match std::fs::rename(&self.0, &aside) {
            Ok(()) => Ok(Some(aside)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(HomeError::Io { path: self.0.clone(), source }),
        }
    }

    /// Takes a home back that was put aside, where no other has come in its place.
    pub fn take_back(&self, aside: &Path) -> Result<(), HomeError> {
        std::fs::rename(aside, &self.0)
            .map_err(|source| HomeError::Io { path: aside.to_owned(), source })
    }

    /// Opens or makes the database.
    pub fn open(&self, vault: &Vault) -> Result<SqliteStore, HomeError> {
        let path = self.0.join("home.db");
        file::make_private_folder(&self.0)
            .and_then(|()| file::make_private(&path))
            .map_err(|source| HomeError::Io { path: path.clone(), source })?;
        Ok(SqliteStore::open(&path, vault.store_key.clone())?)
    }

    fn key_path(&self) -> PathBuf {
        self.0.join("key")
    }
}

/// A name as the account of this machine spells it: names are unique whatever the case of their letters.
/// As it was typed where no home or more than one fits.
pub fn spelled(root: &Path, typed: &UserName) -> UserName {
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_server = |name: &str| KeyId::parse(name).is_ok();
    let servers = entries(root).filter(|entry| entry.file_name().to_str().is_some_and(is_server));
    let mut found = BTreeSet::new();
    for home in servers.flat_map(|server| entries(&server.path())) {
        let name = home.file_name().into_string().unwrap_or_default();
        if name == typed.as_str() {
            return typed.clone();
        }
        if name.eq_ignore_ascii_case(typed.as_str()) {
            found.extend(UserName::new(&name));
        }
    }
    match (found.pop_first(), found.is_empty()) {
        (Some(only), true) => only,
        _ => typed.clone(),
    }
}

/// The device's keys, if they were made already.
pub fn load_device(store: &impl Home, vault: &Vault) -> Result<Option<OwnDevice>, StoreError> {
    match store.get(DEVICE_ROW)? {
        Some(row) => OwnDevice::from_row(&row, vault).map(Some),
        None => Ok(None),
    }
}

/// The number of the newest bundle that this home has made, if it has made one.
pub fn number_made(store: &impl Home) -> Result<Option<u32>, StoreError> {
    store.get(DEVICE_ROW)?.map(|row| OwnDevice::number_in(&row)).transpose()
}

/// What this home knows of the account beside the bundle of its device.
pub fn known(store: &impl Home, user: &UserName, device: &OwnDevice) -> Result<Known, StoreError> {
    let Some(row) = store.get(&Pinned::row(user))? else { return Ok(Known::default()) };
    let bundles = Pinned::read(&row)?.bundles.into_iter().map(Bundle::verify);
    let bundles = bundles.collect::<Result<Vec<_>, _>>()?;
    let in_use = bundles.iter().filter_map(|bundle| bundle.header().sk.first());
    let in_use: BTreeSet<KeyId> = in_use.map(|key| key.kid).collect();
    let mut revoked: Vec<KeyId> =
        bundles.iter().flat_map(|bundle| bundle.header().rev.iter().copied()).collect();
    // Anybody who has the identity key names keys that no device has.
    revoked.sort_by_key(|sk| !in_use.contains(sk));
    let (dev, seq) = (device.dev, device.bundle.header().seq);
    let newest = bundles.into_iter().filter(|bundle| bundle.header().dev == dev);
    let newest = newest.max_by_key(|bundle| bundle.header().seq);
    Ok(Known { revoked, newest: newest.filter(|bundle| bundle.header().seq > seq) })
}

/// How many texts and commands wait in this home that no server has taken yet.
pub fn unsent(store: &impl Home) -> Result<usize, StoreError> {
    Ok(chat_endpoint::unsent(&store.rows()?)?)
}

/// The newest position that this home was told, for [`chat_endpoint::Endpoint::knew`].
pub fn newest_position(store: &impl Home) -> Result<u64, StoreError> {
    let row = store.get(NEWEST_POSITION_ROW)?;
    Ok(row.map(|row| serde_json::from_slice(&row)).transpose()?.unwrap_or(0))
}

/// Keeps the next keys or the next bundle of this device, durably, where those are still there that they were made from: none
/// for the first ones. Returns those that stay instead: another process of this home may have been faster, and two bundles
/// of one number cannot both be published. What the server has goes in the place of one of its number that it has not. With
/// the rows where another process has changed them, as [`Home::begin`].
pub fn replace_device(
    store: &mut impl Home,
    vault: &Vault,
    (before, next): (Option<&OwnDevice>, &OwnDevice),
) -> Result<(Option<OwnDevice>, Option<Records>), StoreError> {
    let rows = store.begin()?;
    let other = load_device(&*store, vault)?.filter(|known| !gives_way(known, before, next));
    let change = if other.is_none() { vec![device_row(next)?] } else { Vec::new() };
    store.commit(&change.into())?;
    Ok((other, rows))
}

/// Whether what a home has gives way to the next keys or the next bundle of its device.
fn gives_way(known: &OwnDevice, before: Option<&OwnDevice>, next: &OwnDevice) -> bool {
    let is_same = |other: &OwnDevice| other.bundle.digest() == known.bundle.digest();
    let is_taken = next.published && !known.published;
    before.is_some_and(is_same)
        || (is_taken && next.bundle.header().seq == known.bundle.header().seq)
}

fn device_row(device: &OwnDevice) -> Result<Change, StoreError> {
    Ok(Change { key: DEVICE_ROW.to_owned(), value: Some(device.to_row()?) })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use chat_protocol::handshake::PasswordKeys;
    use chat_protocol::keys::{DeviceKeys, KeySizes};

    use super::*;
    use crate::own_device::KeyChange;
    use crate::store::MemoryStore;

    /// Goal: of two processes of a home that make the next bundle at the same time one alone keeps it. (The build before kept
    /// the second one over the first, which the server had.) Method: both revoke the same key, one after the other.
    #[test]
    fn of_two_next_bundles_of_a_home_the_first_is_kept() {
        let (mut one, user) = (MemoryStore::default(), UserName::new("alice").unwrap());
        let mut other = one.again();
        let keys = DeviceKeys::generate(KeySizes::EMULATED).unwrap();
        let vault = Vault::new(&keys.identity);
        let before = OwnDevice::first(&user, keys, None, 5).unwrap();
        assert!(replace_device(&mut one, &vault, (None, &before)).unwrap().0.is_none());
        let next = |now_ms| {
            let change = KeyChange::Revokes(KeyId([1; 16]));
            before.renewed(&user, change, &Known::default(), now_ms).unwrap()
        };
        let (first, second) = (next(6), next(7));
        let kept = replace_device(&mut one, &vault, (Some(&before), &first)).unwrap();
        assert!(kept.0.is_none());
        let (stays, rows) = replace_device(&mut other, &vault, (Some(&before), &second)).unwrap();
        assert_eq!(stays.unwrap().bundle.digest(), first.bundle.digest(), "it goes on with that");
        assert!(rows.is_some(), "it is told of the other one");
        let (stays, _) = replace_device(&mut other, &vault, (None, &second)).unwrap();
        assert!(stays.is_some(), "nor is it the first one");
        let kept = load_device(&other, &vault).unwrap().unwrap();
        assert_eq!(kept.bundle.digest(), first.bundle.digest());
        let published = OwnDevice { published: true, ..first.clone() };
        let kept = replace_device(&mut other, &vault, (Some(&first), &published)).unwrap();
        assert!(kept.0.is_none());
        assert!(load_device(&one, &vault).unwrap().unwrap().published);
        assert_eq!(number_made(&one).unwrap(), Some(first.bundle.header().seq));
    }

    /// Goal: the keys that the server has are in the home, whatever another process has put there meanwhile that it has not.
    /// Before: they were lost, and with them what everybody sealed for them. Method: the row has another bundle of the same
    /// number, which is published, or is not, or has gone on by one.
    #[test]
    fn what_the_server_has_goes_in_the_place_of_what_it_has_not() {
        let user = UserName::new("alice").unwrap();
        let keys = DeviceKeys::generate(KeySizes::EMULATED).unwrap();
        let vault = Vault::new(&keys.identity);
        let before = OwnDevice::first(&user, keys, None, 5).unwrap();
        let next = |device: &OwnDevice, now_ms| {
            device.republished(&user, (None, &Known::default()), now_ms).unwrap()
        };
        let taken = OwnDevice { published: true, ..next(&before, 6) };
        let other = next(&before, 7);
        for (row, stays) in [
            (other.clone(), false),
            (OwnDevice { published: true, ..other.clone() }, true),
            (next(&other, 8), true),
        ] {
            let mut store = MemoryStore::default();
            replace_device(&mut store, &vault, (None, &row)).unwrap();
            let (kept, _) = replace_device(&mut store, &vault, (Some(&taken), &taken)).unwrap();
            assert_eq!(kept.is_some(), stays);
            let has = load_device(&store, &vault).unwrap().unwrap().bundle.digest();
            assert_eq!(has == taken.bundle.digest(), !stays);
        }
    }

    #[test]
    fn a_name_in_another_case_is_the_one_that_has_a_home_here() {
        let root = tempfile::tempdir().unwrap();
        let name = |name: &str| UserName::new(name).unwrap();
        assert_eq!(spelled(root.path(), &name("ALICE")), name("ALICE"));
        for (server, user) in [(1, "alice"), (1, "Bob"), (2, "BOB"), (2, "alice")] {
            let folder = HomeFolder::new(root.path(), &KeyId([server; 16]), &name(user));
            std::fs::create_dir_all(folder.path()).unwrap();
        }
        std::fs::create_dir_all(root.path().join("shared").join("Carol")).unwrap();
        for (typed, is) in [
            ("ALICE", "alice"),
            ("alice", "alice"),
            ("bob", "bob"),
            ("BOB", "BOB"),
            ("carol", "carol"),
        ] {
            assert_eq!(spelled(root.path(), &name(typed)), name(is), "{typed}");
        }
    }

    #[test]
    fn a_home_survives_its_process_and_opens_with_its_password_only() {
        let root = tempfile::tempdir().unwrap();
        let (server, user) = (KeyId([7; 16]), UserName::new("alice").unwrap());
        let folder = HomeFolder::new(root.path(), &server, &user);
        assert!(folder.key_file().unwrap().is_none());
        let keys = PasswordKeys::derive("correct horse", &server, &user);
        let (vault, device) = {
            let made = DeviceKeys::generate(KeySizes::EMULATED).unwrap();
            let vault = Vault::new(&made.identity);
            let device = OwnDevice::first(&user, made, None, 5).unwrap();
            (vault, device)
        };
        let sealed = vault.seal(&keys, &server, &user, crate::vault::FIRST_NUMBER);
        folder.write_key_file(&sealed).unwrap();
        let mut store = folder.open(&vault).unwrap();
        replace_device(&mut store, &vault, (None, &device)).unwrap();
        drop(store);

        let KeyFile::Sealed(sealed) = folder.key_file().unwrap().unwrap() else {
            panic!("it has a password")
        };
        let opened = sealed.open(&keys, &server, &user).unwrap();
        let store = folder.open(&opened).unwrap();
        let loaded = load_device(&store, &opened).unwrap().unwrap();
        assert_eq!(loaded.bundle.bytes(), device.bundle.bytes());
        assert_eq!(loaded.keys.signing_id(), device.keys.signing_id());
        assert!(!loaded.published);
        let wrong = PasswordKeys::derive("wrong horse", &server, &user);
        assert!(sealed.open(&wrong, &server, &user).is_err());
        for name in ["key", "home.db"] {
            let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        folder.remove().unwrap();
        assert!(folder.key_file().unwrap().is_none());
    }
}
