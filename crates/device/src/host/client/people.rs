//! What a client is asked about people's keys and this user's devices.

use chat_endpoint::{Introduction, KnownDevice, TrustError};
use chat_protocol::fingerprint::Fingerprint;
use chat_protocol::name::UserName;
use thiserror::Error;

use super::{Client, RenewError};
use crate::driver::{Decision, Turn, Work};
use crate::own_device::KeyChange;

/// Why a decision about a key was not taken.
#[derive(Debug, Error)]
pub enum DecideError {
    /// It does not fit what is known now.
    #[error(transparent)]
    Refused(#[from] TrustError),
    /// The client has stopped.
    #[error("the client has stopped; start it again")]
    Stopped,
}

impl Client {
    /// What this user and another compare; nothing while no key of the other was seen.
    pub async fn introduction(&self, user: &UserName) -> Option<Introduction> {
        let user = user.clone();
        self.call(move |turn| turn.endpoint().introduction(&user)).await.flatten()
    }

    /// The words of this user's own key.
    pub async fn own_words(&self) -> Option<Fingerprint> {
        self.call(|turn| turn.endpoint().own_words()).await
    }

    /// People for whom another key is offered and who wait for a decision.
    pub async fn undecided(&self) -> Vec<UserName> {
        self.call(|turn| turn.endpoint().undecided()).await.unwrap_or_default()
    }

    /// Decides on a key, durably.
    pub async fn decide(&self, user: &UserName, decision: Decision) -> Result<(), DecideError> {
        let user = user.clone();
        let decided = self.call(move |turn| turn.decide(&user, decision));
        Ok(decided.await.ok_or(DecideError::Stopped)??)
    }

    /// The known devices of a person, each under the same number for good.
    pub async fn known_devices(&self, user: &UserName) -> Vec<KnownDevice> {
        let user = user.clone();
        let known = self.call(move |turn| {
            let now_ms = turn.now_ms;
            turn.endpoint().known_devices(now_ms, &user)
        });
        known.await.unwrap_or_default()
    }

    /// Whether the server has said on this connection that an account was deleted; known once its keys were
    /// asked for.
    pub async fn is_deleted(&self, user: &UserName) -> bool {
        let user = user.clone();
        self.call(move |turn| turn.endpoint().is_deleted(&user)).await.unwrap_or_default()
    }

    /// Everybody whose key is known; one's own name included.
    pub async fn known_names(&self) -> Vec<UserName> {
        self.call(|turn| turn.endpoint().known_names()).await.unwrap_or_default()
    }

    /// The names with a known key that are this one but for the case of letters, see
    /// [`crate::names::meant`].
    pub async fn known_as(&self, name: &UserName) -> Vec<UserName> {
        let name = name.clone();
        self.call(move |turn| turn.endpoint().known_as(&name)).await.unwrap_or_default()
    }

    /// Publishes other keys, once everything is answered that the present ones have signed, or revokes a device, at once; done
    /// when the server has them.
    pub async fn renew(&self, change: KeyChange) -> Result<(), RenewError> {
        if !change.keeps_signing_key() && !self.flush().await {
            return Err(RenewError::Offline);
        }
        let asked = move |reply| -> Work {
            Box::new(move |turn: &mut Turn<'_>| {
                if !change.keeps_signing_key()
                    && let Some(endpoint) = turn.online()
                {
                    endpoint.ask_own_bundles();
                }
                turn.answer(move |driver| driver.ask_for_renewal(change, reply));
            })
        };
        self.ask(asked).await.unwrap_or(Err(RenewError::Stopped))
    }
}
