//! What must survive the loss of a machine: the identity key and the key of the home's database.
//!
//! ```text
//! bytes of the key file ──► KeyFile ──► in clear, or SealedVault ─┐
//! bytes of a hub ─────────► HubVault ─────────────► SealedVault ──┴──► Vault ──► Sealing
//! ```
//!
//! Only a [`KeyFile`] may be in clear: an account without a password. What a hub sends is sealed with
//! the password or it is nothing (rule R31), and only a [`Sealing`] made here is ever written.

use chat_protocol::b64::{B64Array, B64Vec};
use chat_protocol::crypto::{SigningKey, random};
use chat_protocol::handshake::PasswordKeys;
use chat_protocol::id::KeyId;
use chat_protocol::name::UserName;
use chat_protocol::vault;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

/// The number of an account's first vault; it grows with each change of the password.
pub const FIRST_NUMBER: u32 = 1;

/// The opened vault.
pub struct Vault {
    identity: Zeroizing<Vec<u8>>,
    /// Seals the rows of the home's database.
    pub store_key: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { identity: _, store_key: _ } = self;
        formatter.write_str("Vault(..)")
    }
}

/// The vault as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Clear {
    v: u8,
    /// PKCS#8 of the identity key.
    ik: B64Vec,
    store: B64Array<32>,
}

/// A vault sealed here: what may be written to the key file and sent to the hub.
#[derive(Debug, Clone)]
pub struct Sealing(Vec<u8>);

/// The key file of this machine.
#[derive(Debug)]
pub enum KeyFile {
    /// Of an account without a password.
    Clear(Vault),
    /// Locked with a password.
    Sealed(SealedVault),
}

/// Bytes that a hub calls the vault of an account. There is no form in clear of them.
#[derive(Debug)]
pub struct HubVault(Vec<u8>);

/// A vault under a password, not opened yet.
#[derive(Debug)]
pub struct SealedVault(Vec<u8>);

/// Why a vault does not open.
#[derive(Debug, Error)]
pub enum VaultError {
    /// There is a password on it and none was given.
    #[error("the keys are locked with a password")]
    Locked,
    /// Another password, or damage; they cannot be told apart.
    #[error(
        "the keys do not open: wrong password, or a damaged key file. If the password is lost: who runs the \
         server can make a code for --invite CODE"
    )]
    Wrong,
    /// What was inside is no vault.
    #[error("the opened keys are not of a form that this program knows; use a newer one")]
    Form,
}

impl Vault {
    /// A vault for a new account.
    pub fn new(identity: &SigningKey) -> Self {
        Self { identity: identity.to_pkcs8(), store_key: Zeroizing::new(random()) }
    }

    /// The identity key.
    pub fn identity(&self) -> Result<SigningKey, chat_protocol::crypto::KeyError> {
        SigningKey::from_pkcs8(&self.identity)
    }

    /// Seals it with a password under this number, with a fresh nonce.
    pub fn seal(
        &self,
        keys: &PasswordKeys,
        server: &KeyId,
        user: &UserName,
        number: u32,
    ) -> Sealing {
        let sealed = keys.seal_vault(server, user, number, random(), &self.to_clear());
        Sealing(vault::keep(number, &sealed))
    }

    fn to_clear(&self) -> Zeroizing<Vec<u8>> {
        let clear =
            Clear { v: 1, ik: B64Vec(self.identity.to_vec()), store: B64Array(*self.store_key) };
        let json = serde_json::to_vec(&clear).expect("numbers and strings only");
        Zeroizing::new(json)
    }

    fn from_clear(json: &[u8]) -> Result<Self, VaultError> {
        let clear: Clear = serde_json::from_slice(json).map_err(|_| VaultError::Form)?;
        if clear.v != 1 {
            return Err(VaultError::Form);
        }
        Ok(Self { identity: Zeroizing::new(clear.ik.0), store_key: Zeroizing::new(clear.store.0) })
    }
}

impl Sealing {
    /// The bytes for the key file and for the hub.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl KeyFile {
    /// Takes what was read from the key file.
    pub fn new(bytes: Vec<u8>) -> Self {
        match Vault::from_clear(&bytes) {
            Ok(vault) => Self::Clear(vault),
            Err(_) => Self::Sealed(SealedVault(bytes)),
        }
    }
}

impl HubVault {
    /// Takes what a hub sent.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Its number, which is authenticated, and what is inside.
    pub fn open(
        self,
        keys: &PasswordKeys,
        server: &KeyId,
        user: &UserName,
    ) -> Result<(u32, Vault), VaultError> {
        let sealed = SealedVault(self.0);
        let vault = sealed.open(keys, server, user)?;
        Ok((sealed.number(), vault))
    }
}

impl SealedVault {
    /// The number that stands before the seal; 0 where there is none.
    pub fn number(&self) -> u32 {
        vault::split(&self.0).map_or(0, |(number, _)| number)
    }

    /// Opens it.
    pub fn open(
        &self,
        keys: &PasswordKeys,
        server: &KeyId,
        user: &UserName,
    ) -> Result<Vault, VaultError> {
        let (number, sealed) = vault::split(&self.0).ok_or(VaultError::Wrong)?;
        let clear = keys.open_vault(server, user, number, sealed).map_err(|_| VaultError::Wrong)?;
        Vault::from_clear(&clear)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An account of one server, with its password.
    fn account() -> (KeyId, UserName, PasswordKeys) {
        let (server, user) = (KeyId([7; 16]), UserName::new("alice").unwrap());
        let keys = PasswordKeys::derive("correct horse", &server, &user);
        (server, user, keys)
    }

    fn vault() -> Vault {
        Vault { identity: Zeroizing::new(vec![5; 40]), store_key: Zeroizing::new([9; 32]) }
    }

    #[test]
    fn a_key_file_may_be_in_clear_and_a_hubs_vault_may_not() {
        let (server, user, keys) = account();
        let clear = vault().to_clear().to_vec();
        let KeyFile::Clear(read) = KeyFile::new(clear.clone()) else { panic!("it is in clear") };
        assert_eq!(read.store_key, vault().store_key);
        let refused = HubVault::new(clear).open(&keys, &server, &user).unwrap_err();
        assert!(matches!(refused, VaultError::Wrong), "{refused}");
    }

    #[test]
    fn a_hubs_vault_opens_whole_and_for_its_account_only() {
        let (server, user, keys) = account();
        let sealing = vault().seal(&keys, &server, &user, 3);
        let again = vault().seal(&keys, &server, &user, 3);
        assert_ne!(sealing.as_bytes(), again.as_bytes(), "a nonce is never used twice");
        let open =
            |bytes: &[u8], server, user| HubVault::new(bytes.to_vec()).open(&keys, server, user);
        let (number, opened) = open(sealing.as_bytes(), &server, &user).unwrap();
        assert_eq!((number, &opened.store_key), (3, &vault().store_key));
        let whole = sealing.as_bytes();
        for length in [0, 3, 4, 31, whole.len() - 1] {
            assert!(open(&whole[..length], &server, &user).is_err(), "{length} bytes of it");
        }
        let mut zero = whole.to_vec();
        zero[..4].fill(0);
        assert!(open(&zero, &server, &user).is_err(), "number 0");
        let bob = UserName::new("bob").unwrap();
        assert!(open(whole, &server, &bob).is_err(), "another account's");
        assert!(open(whole, &KeyId([8; 16]), &user).is_err(), "another server's");
    }
}
