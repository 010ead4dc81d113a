//! What AUTH and OK say: the header in clear, the sealed credentials, and the sealed answer.

use serde::{Deserialize, Serialize};

use super::HandshakeError;
use crate::b64;
use crate::hub::Head;
use crate::id::KeyId;
use crate::name::UserName;
use crate::strict;

/// How a client proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A device that is known, by its signature.
    Sig,
    /// A new device of a known user: login secret and a bundle by the user's identity.
    Pw,
    /// A new account: bundle, and login secret and vault if there is a password.
    Reg,
    /// A new machine asks for the vault: login secret only, no signature. The hub answers with the
    /// vault and closes.
    Vault,
    /// A known device changes the password: its signature, the login secret so far, the new one and
    /// the vault sealed anew. The hub answers and closes.
    Passwd,
    /// A known device has its account deleted for good: its signature, and the login secret if the
    /// account has one. The hub answers and closes.
    Delete,
}

/// Whether the sign-in is bound to the TLS connection under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelBinding {
    /// No TLS, or a proxy ends it.
    None,
    /// RFC 9266 `tls-exporter`.
    Exporter,
}

/// The header of AUTH, in clear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthHeader {
    /// The version of the format.
    pub v: u8,
    /// Always `AUTH`.
    pub t: AuthTag,
    /// Who signs in.
    pub u: UserName,
    /// Which kind of sign-in it is.
    pub m: Mode,
    /// The signing key; 16 zero bytes when the vault is asked for.
    pub sk: KeyId,
    /// The hub's link key that `wk` is wrapped for.
    pub lk: KeyId,
    /// The link secret, wrapped.
    #[serde(with = "b64::vec")]
    pub wk: Vec<u8>,
    /// Channel binding.
    pub cb: ChannelBinding,
}

/// The tag of [`AuthHeader`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthTag {
    /// The only one.
    #[serde(rename = "AUTH")]
    Auth,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// A person types: one such connection per name.
    Interactive,
    /// A task that stays until somebody ends it: as many as the device likes.
    Task,
    /// A task that ends by itself: as many as the device likes. Nobody is told that it came or went.
    Visit,
    /// Accepts commands: while one is open, the name is listed as one that does.
    Agent,
    /// Carries files of a device that is known ([`crate::file::relay`]): no conversations.
    Files,
}

impl Purpose {
    /// Whether others are told that somebody came with it, and that they went.
    pub fn is_announced(self) -> bool {
        matches!(self, Self::Interactive | Self::Task | Self::Agent)
    }
}

/// The sealed part of AUTH.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthBody {
    /// What the connection is for.
    pub purpose: Purpose,
    /// The login secret A.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional")]
    pub pw: Option<Vec<u8>>,
    /// A new bundle of this device.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional")]
    pub bundle: Option<Vec<u8>>,
    /// The sealed vault, to be kept.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional")]
    pub vault: Option<Vec<u8>>,
    /// The login secret from now on.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional")]
    pub new_pw: Option<Vec<u8>>,
    /// A code that lets a new account in ([`crate::invite`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invite: Option<String>,
}

impl AuthBody {
    /// One that says what the connection is for, and nothing else.
    pub fn new(purpose: Purpose) -> Self {
        Self { purpose, pw: None, bundle: None, vault: None, new_pw: None, invite: None }
    }

    /// Reads what was sealed.
    pub fn read(json: &[u8]) -> Result<Self, HandshakeError> {
        strict::from_slice(json).map_err(|error| HandshakeError::Field(error.to_string()))
    }
}

impl std::fmt::Debug for AuthBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthBody").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}

/// Optional base64url.
mod optional {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::b64::B64Vec;

    // The signature is what serde's `with` calls.
    #[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
    pub(super) fn serialize<S: Serializer>(
        value: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.clone().map(B64Vec).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        Ok(Option::<B64Vec>::deserialize(deserializer)?.map(|bytes| bytes.0))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(position: &u64) -> bool {
    *position == 0
}

/// The sealed answer: what a device needs to know to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedIn {
    /// The hub's clock, Unix time in milliseconds.
    pub time: u64,
    /// The newest position that the hub has given; 0 where no session follows.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub position: u64,
    /// Heads of the rooms this user is in, and of the rooms that exist from the start, in the order of
    /// their names; at most [`crate::limits::HEADS_PAGE_MAX`].
    pub heads: Vec<Head>,
    /// There are more of them: `HEADS` asks for the others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// The vault, when it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional")]
    pub vault: Option<Vec<u8>>,
}

impl SignedIn {
    /// Signed in at this time by the hub's clock, in no room.
    pub fn at(time: u64) -> Self {
        Self { time, position: 0, heads: Vec::new(), more: false, vault: None }
    }

    /// Reads what was sealed.
    pub fn read(json: &[u8]) -> Result<Self, HandshakeError> {
        strict::from_slice(json).map_err(|error| HandshakeError::Field(error.to_string()))
    }
}
