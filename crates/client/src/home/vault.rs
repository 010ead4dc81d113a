//! What must survive the loss of a machine: the identity key and the key of the home's database.

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

/// Why a vault does not open.
#[derive(Debug, Error)]
pub enum VaultError {
    /// There is a password on it and none was given.
    #[error("the keys are locked with a password")]
    Locked,
    /// Another password, or damage; they cannot be told apart.
    #[error("the keys do not open: wrong password, or a damaged key file")]
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

    /// The bytes for the key file and for the hub, sealed with a password under this number.
    pub fn seal(
        &self,
        keys: &PasswordKeys,
        server: &KeyId,
        user: &UserName,
        number: u32,
    ) -> Vec<u8> {
        vault::keep(number, &keys.seal_vault(server, user, number, random(), &self.to_clear()))
    }

    /// The number of a sealed vault; 0 for one in clear.
    pub fn number(bytes: &[u8]) -> u32 {
        if Self::is_clear(bytes) { 0 } else { vault::split(bytes).map_or(0, |(number, _)| number) }
    }

    /// The bytes for the key file of an account without a password.
    pub fn to_clear(&self) -> Zeroizing<Vec<u8>> {
        let clear =
            Clear { v: 1, ik: B64Vec(self.identity.to_vec()), store: B64Array(*self.store_key) };
        let json = serde_json::to_vec(&clear).expect("numbers and strings only");
        Zeroizing::new(json)
    }

    /// Opens a key file, with or without a password, or the vault that the hub kept.
    pub fn open(
        bytes: &[u8],
        keys: Option<&PasswordKeys>,
        server: &KeyId,
        user: &UserName,
    ) -> Result<Self, VaultError> {
        if let Ok(vault) = Self::from_clear(bytes) {
            return Ok(vault);
        }
        let keys = keys.ok_or(VaultError::Locked)?;
        let (number, sealed) = vault::split(bytes).ok_or(VaultError::Wrong)?;
        let clear = keys.open_vault(server, user, number, sealed).map_err(|_| VaultError::Wrong)?;
        Self::from_clear(&clear)
    }

    /// Whether a key file needs no password.
    pub fn is_clear(bytes: &[u8]) -> bool {
        Self::from_clear(bytes).is_ok()
    }

    fn from_clear(json: &[u8]) -> Result<Self, VaultError> {
        let clear: Clear = serde_json::from_slice(json).map_err(|_| VaultError::Form)?;
        if clear.v != 1 {
            return Err(VaultError::Form);
        }
        Ok(Self { identity: Zeroizing::new(clear.ik.0), store_key: Zeroizing::new(clear.store.0) })
    }
}
