//! Orders about people's keys and this user's devices.

use chat_protocol::id::KeyId;
use tokio::time::Instant;

use super::{Driver, End, Link};
use crate::connection::{Brought, Socket};
use crate::event::{ClientEvent, RenewError, Stopped};
use crate::own_device::{KeyChange, OwnDevice, REVOKED_KEYS_MAX};
use crate::store::StoreError;

/// Why a connection ends that comes back by itself with other keys.
pub const RENEWING: &str = "new keys are published";

/// What somebody decides about a person's identity key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Its words were compared.
    Verified(KeyId),
    /// It takes the place of the known one.
    Trust(KeyId),
    /// It is passed over.
    Distrust(KeyId),
}

impl Driver {
    /// Leaves the connection and comes back with other keys.
    pub(super) fn renew(&mut self, change: KeyChange) {
        let closing = match std::mem::take(&mut self.link) {
            Link::Online { socket, .. } => Some(socket),
            _ => None,
        };
        if !change.keeps_signing_key() {
            self.fail_flushes();
        }
        self.start_renewal(change, closing);
    }

    /// Makes the next keys, with all that this account has revoked. A connection is closed before: a name
    /// is signed in once.
    fn start_renewal(&mut self, change: KeyChange, closing: Option<Box<Socket>>) {
        let reason = RENEWING.to_owned();
        self.journal.lost(&reason);
        // Also of a connection that only has counters: what was asked on it has no answer any more.
        self.pending.push_back(ClientEvent::Offline { reason });
        self.core.disconnected();
        self.renewing = Some(change);
        let (device, known) = (self.device.clone(), self.known());
        self.link = Link::renewing(&self.door, device, (change, known), closing);
    }

    /// Counters say that this device was restored: a new signing key, unless that is claimed too often.
    pub(super) fn counters_ask_for_key(&mut self, now_ms: u64) -> Result<(), End> {
        if !self.device.may_be_forced(now_ms) {
            return Err(End::Failed(Stopped::Counters));
        }
        self.start_renewal(KeyChange::Forced, None);
        Ok(())
    }

    /// Goes on with keys that were made here, and connects. Where another process of this home was faster they are none that
    /// follow: the connection is made with those of that process, and shows whether others are needed still.
    pub(super) fn take_renewed(&mut self, renewed: OwnDevice) -> Result<(), End> {
        if self.keep_next(&renewed)?.is_none() {
            self.go_on_with(renewed);
        } else {
            self.give_up_renewing();
        }
        self.connect()
    }

    /// Keeps what comes after the present keys. Returns what the home has by now instead, which stays.
    pub(super) fn keep_next(&mut self, next: &OwnDevice) -> Result<Option<OwnDevice>, End> {
        let Some(home) = &mut self.home else { return Ok(None) };
        let pair = (Some(&self.device), next);
        let (other, rows) = crate::home::replace_device(&mut home.store, &home.vault, pair)?;
        if let Some(rows) = rows {
            self.core.take_over(&rows).map_err(StoreError::from)?;
        }
        Ok(other)
    }

    /// By the server's word no newest bundle revokes what was revoked before: it has lost that, or shows it to nobody, and the
    /// next bundle says it again. After a while, in which another device may do so; less and less often, and with an end,
    /// whatever the server shows: each ends a connection.
    pub(super) fn repeat_revocation(&mut self) {
        let lost = self.core.endpoint().revocation_to_repeat();
        let rev = &self.device.bundle.header().rev;
        let has_room = |sk: &KeyId| rev.len() < REVOKED_KEYS_MAX || rev.contains(sk);
        let is_online = matches!(self.link, Link::Online { .. });
        let lost = lost.filter(|sk| is_online && has_room(sk));
        if let Some(sk) = lost.filter(|_| self.repeats.is_time(Instant::now())) {
            self.renew(KeyChange::Revokes(sk));
        } else if lost.is_none() {
            self.repeats.not_needed();
        }
    }

    /// No new keys were made.
    pub(super) fn give_up_renewing(&mut self) {
        self.renewing = None;
        self.fail_renewals();
    }

    /// Nothing comes of the new keys.
    pub(super) fn fail_renewals(&mut self) {
        for (_, reply) in self.renewals.drain(..) {
            // Whoever asked may be gone.
            reply.send(Err(RenewError::Offline)).ok();
        }
    }

    /// There is a connection: those who wait are told whether the server has the new bundle by now.
    pub(super) fn tell_renewed(&mut self, brought: Brought) {
        let Self { renewals, device, .. } = self;
        for (change, reply) in renewals.drain(..) {
            // Whoever asked may be gone.
            reply.send(renewed(device, change, brought)).ok();
        }
    }
}

/// Whether the server has a change of the keys.
fn renewed(device: &OwnDevice, change: KeyChange, brought: Brought) -> Result<(), RenewError> {
    let has_change = match change {
        KeyChange::Revokes(sk) => device.bundle.header().rev.contains(&sk),
        KeyChange::Rotated | KeyChange::Forced => true,
    };
    match brought {
        _ if device.published && has_change => Ok(()),
        Brought::TooOld => Err(RenewError::TooOld),
        Brought::PutOff => Err(RenewError::PutOff),
        Brought::Taken | Brought::Nothing => Err(RenewError::Offline),
    }
}

#[cfg(test)]
mod tests {
    use chat_protocol::keys::{DeviceKeys, KeySizes};
    use chat_protocol::name::UserName;

    use super::*;
    use crate::own_device::Known;

    /// Goal: nobody is told that a device is revoked before the server has a bundle that says so. Before: whoever came in
    /// without the bundle, because it was refused, was told that it was done. Method: all that a sign-in may say of it.
    #[test]
    fn a_revocation_is_done_when_the_server_has_its_bundle() {
        let user = UserName::new("alice").unwrap();
        let keys = DeviceKeys::generate(KeySizes::EMULATED).unwrap();
        let before = OwnDevice::first(&user, keys, None, 5).unwrap();
        let change = KeyChange::Revokes(KeyId([1; 16]));
        let refused = before.renewed(&user, change, &Known::default(), 6).unwrap();
        let taken = OwnDevice { published: true, ..refused.clone() };
        let before = OwnDevice { published: true, ..before };
        assert_eq!(renewed(&taken, change, Brought::Taken), Ok(()));
        assert_eq!(renewed(&taken, change, Brought::Nothing), Ok(()), "by a connection before");
        assert_eq!(renewed(&refused, change, Brought::TooOld), Err(RenewError::TooOld));
        assert_eq!(renewed(&refused, change, Brought::PutOff), Err(RenewError::PutOff));
        assert_eq!(renewed(&refused, change, Brought::Nothing), Err(RenewError::Offline));
        assert_eq!(renewed(&before, change, Brought::Nothing), Err(RenewError::Offline));
    }
}
