//! Orders about people's keys and this user's devices.

use chat_protocol::id::KeyId;
use tokio::sync::oneshot;
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

/// Somebody who waits for new keys to be published.
pub(super) struct Renewal {
    pub(super) change: KeyChange,
    /// The signing key before.
    pub(super) before: KeyId,
    pub(super) reply: oneshot::Sender<Result<(), RenewError>>,
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

    /// The same, once the server has shown what this account has published: a bundle with another signing key that comes
    /// behind an older one than that is refused, and the key is not known then either.
    pub(super) fn renew_once_shown(&mut self, change: KeyChange) {
        let endpoint = self.core.endpoint();
        if change.keeps_signing_key() {
            self.renew(change);
        } else if !endpoint.has_own_bundles() {
            self.asked.renewal = Some(change);
        } else if endpoint.unanswered() > 0 {
            // The old key has signed something since this was asked for.
            self.fail_renewals(RenewError::Unanswered);
        } else {
            self.renew(change);
        }
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

    /// What the next bundle says again. By the server's word no newest bundle revokes what was revoked before: it has lost
    /// that, or shows it to nobody. Or it has refused the last one, which is behind what a copy of this home has published,
    /// and nobody has the keys in it. After a while, in which another device may revoke again; less and less often, and with
    /// an end, whatever the server says: each ends a connection.
    pub(super) fn repeat_bundle(&mut self) {
        let rev = &self.device.bundle.header().rev;
        let has_room = |sk: &KeyId| rev.len() < REVOKED_KEYS_MAX || rev.contains(sk);
        let lost = self.core.endpoint().revocation_to_repeat().filter(has_room);
        let refused = (self.brought == Brought::TooOld).then_some(KeyChange::Republished);
        // What somebody has asked for comes first, and is about to end the connection.
        let is_free = matches!(self.link, Link::Online { .. }) && self.asked.renewal.is_none();
        match lost.map(KeyChange::Revokes).or(refused).filter(|_| is_free) {
            None => self.repeats.not_needed(),
            Some(change) if self.repeats.is_time(Instant::now()) => self.renew(change),
            Some(_) => {}
        }
    }

    /// No new keys were made.
    pub(super) fn give_up_renewing(&mut self) {
        self.renewing = None;
        self.fail_renewals(RenewError::Offline);
    }

    /// Nothing comes of the new keys.
    pub(super) fn fail_renewals(&mut self, why: RenewError) {
        for waiting in self.renewals.drain(..) {
            // Whoever asked may be gone.
            waiting.reply.send(Err(why)).ok();
        }
    }

    /// There is a connection: those who wait are told whether the server has the new bundle by now.
    pub(super) fn tell_renewed(&mut self) {
        let Self { renewals, device, brought, .. } = self;
        for Renewal { change, before, reply } in renewals.drain(..) {
            // Whoever asked may be gone.
            reply.send(renewed(device, (change, before), *brought)).ok();
        }
    }
}

/// Whether the server has a change of the keys that were there before. Its newest bundle may be one that another process of
/// this home has made.
fn renewed(
    device: &OwnDevice,
    (change, before): (KeyChange, KeyId),
    brought: Brought,
) -> Result<(), RenewError> {
    let has_change = match change {
        KeyChange::Revokes(sk) => device.bundle.header().rev.contains(&sk),
        KeyChange::Rotated | KeyChange::Forced => device.keys.signing_id() != before,
        KeyChange::Republished => true,
    };
    if device.published && has_change { Ok(()) } else { Err(RenewError::after(brought)) }
}

#[cfg(test)]
mod tests {
    use chat_protocol::keys::{DeviceKeys, KeySizes};
    use chat_protocol::name::UserName;

    use super::*;
    use crate::own_device::Known;

    /// Goal: nobody is told that a device is revoked, or has new keys, before the server has a bundle that says so. Before:
    /// whoever came in without the bundle, because it was refused, was told that it was done. Method: all that a sign-in may
    /// say of it.
    #[test]
    fn a_revocation_is_done_when_the_server_has_its_bundle() {
        let user = UserName::new("alice").unwrap();
        let keys = DeviceKeys::generate(KeySizes::EMULATED).unwrap();
        let before = OwnDevice::first(&user, keys, None, 5).unwrap();
        let (change, none) = (KeyChange::Revokes(KeyId([1; 16])), Known::default());
        let refused = before.renewed(&user, change, &none, 6).unwrap();
        let taken = OwnDevice { published: true, ..refused.clone() };
        let before = OwnDevice { published: true, ..before };
        let key = before.keys.signing_id();
        let change = (change, key);
        assert_eq!(renewed(&taken, change, Brought::Taken), Ok(()));
        assert_eq!(renewed(&taken, change, Brought::Nothing), Ok(()), "by a connection before");
        assert_eq!(renewed(&refused, change, Brought::TooOld), Err(RenewError::TooOld));
        assert_eq!(renewed(&refused, change, Brought::PutOff), Err(RenewError::PutOff));
        assert_eq!(renewed(&refused, change, Brought::Nothing), Err(RenewError::Offline));
        assert_eq!(renewed(&before, change, Brought::Nothing), Err(RenewError::Offline));

        // What another process of the home has published meanwhile brings no new keys.
        let rotating = (KeyChange::Rotated, key);
        assert_eq!(renewed(&taken, rotating, Brought::Taken), Err(RenewError::Offline));
        let rotated = before.renewed(&user, KeyChange::Rotated, &none, 7).unwrap();
        let rotated = OwnDevice { published: true, ..rotated };
        assert_eq!(renewed(&rotated, rotating, Brought::Taken), Ok(()));
    }
}
