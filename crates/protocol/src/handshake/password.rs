//! What a password becomes: a secret to sign in with and a key for the vault (rule R25).

use std::num::NonZeroU32;

use zeroize::Zeroizing;

use super::HandshakeError;
use crate::crypto::{gcm_open, gcm_seal, hkdf_expand, pbkdf2_sha256, sha256_parts};
use crate::fold::compose_to;
use crate::id::KeyId;
use crate::name::UserName;
use crate::tag::label;

/// Rounds of PBKDF2 between a password and what is derived from it (OWASP's figure for SHA-256).
pub const PASSWORD_ROUNDS: NonZeroU32 = NonZeroU32::new(600_000).expect("not zero");

/// What a password turns into. The password itself never leaves the machine.
pub struct PasswordKeys {
    /// The login secret A, which the hub learns.
    pub login: Zeroizing<[u8; 32]>,
    /// The vault key V, which it does not.
    pub vault: Zeroizing<[u8; 32]>,
}

impl PasswordKeys {
    /// Stretches a password for one user of one hub; a tenth of a second on purpose. The password
    /// is brought to Unicode form NFC first: keyboards differ in how they write an umlaut.
    pub fn derive(password: &str, server: &KeyId, user: &UserName) -> Self {
        // NFC is at most three times as long; a string that grows would leave copies behind.
        let mut composed = Zeroizing::new(String::with_capacity(password.len().saturating_mul(3)));
        compose_to(password, &mut composed);
        let server = server.to_string();
        let salt = sha256_parts(&[
            label::PW.as_bytes(),
            &[0],
            server.as_bytes(),
            &[0],
            user.as_str().as_bytes(),
        ]);
        let stretched = pbkdf2_sha256(composed.as_bytes(), &salt, PASSWORD_ROUNDS);
        Self {
            login: hkdf_expand(&stretched, &[label::PW_AUTH.as_bytes()]),
            vault: hkdf_expand(&stretched, &[label::PW_VAULT.as_bytes()]),
        }
    }

    /// Seals a vault (rule R25). `sequence` grows with every vault of this user.
    pub fn seal_vault(
        &self,
        server: &KeyId,
        user: &UserName,
        sequence: u32,
        nonce: [u8; 12],
        clear: &[u8],
    ) -> Vec<u8> {
        let mut bytes = nonce.to_vec();
        bytes.extend(gcm_seal(&self.vault, &nonce, &vault_aad(server, user, sequence), clear));
        bytes
    }

    /// Opens a vault.
    pub fn open_vault(
        &self,
        server: &KeyId,
        user: &UserName,
        sequence: u32,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, HandshakeError> {
        let (nonce, sealed) = sealed.split_first_chunk::<12>().ok_or(HandshakeError::Sealed)?;
        gcm_open(&self.vault, nonce, &vault_aad(server, user, sequence), sealed)
            .map_err(|_| HandshakeError::Sealed)
    }
}

fn vault_aad(server: &KeyId, user: &UserName, sequence: u32) -> Vec<u8> {
    let mut aad = label::VAULT.as_bytes().to_vec();
    aad.push(0);
    aad.extend_from_slice(server.to_string().as_bytes());
    aad.push(0);
    aad.extend_from_slice(user.as_str().as_bytes());
    aad.push(0);
    aad.extend_from_slice(&sequence.to_be_bytes());
    aad
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_same_however_its_letters_are_composed() {
        let (hub, alice) = (KeyId([1; 16]), UserName::new("alice").unwrap());
        let derive = |password: &str| PasswordKeys::derive(password, &hub, &alice);
        // ü and ệ as one character each, and as a letter with marks in another order.
        let composed = derive("gr\u{fc}n \u{1ec7}");
        let apart = derive("gru\u{308}n e\u{302}\u{323}");
        assert_eq!((&composed.login, &composed.vault), (&apart.login, &apart.vault));
        assert_ne!(composed.login, derive("grun e").login, "marks count");
        assert_ne!(derive("\u{fb01}x").login, derive("fix").login, "NFC, not NFKC");
    }

    #[test]
    fn a_vault_opens_for_its_user_hub_and_number_only() {
        let alice = UserName::new("alice").unwrap();
        let (hub, other) = (KeyId([1; 16]), KeyId([2; 16]));
        let keys = PasswordKeys::derive("correct horse", &hub, &alice);
        let sealed = keys.seal_vault(&hub, &alice, 3, [7; 12], b"keys");
        assert_eq!(**keys.open_vault(&hub, &alice, 3, &sealed).unwrap(), *b"keys");
        assert!(keys.open_vault(&hub, &alice, 4, &sealed).is_err());
        assert!(keys.open_vault(&other, &alice, 3, &sealed).is_err());
        assert!(keys.open_vault(&hub, &UserName::new("bob").unwrap(), 3, &sealed).is_err());
        let wrong = PasswordKeys::derive("correct horsf", &hub, &alice);
        assert!(wrong.open_vault(&hub, &alice, 3, &sealed).is_err());
        assert!(keys.open_vault(&hub, &alice, 3, &sealed[..5]).is_err());
    }
}
