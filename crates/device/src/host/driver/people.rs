//! Orders about people's keys and this user's devices.

use std::time::Duration;

use chat_protocol::id::KeyId;
use tokio::time::Instant;

use super::{Driver, End, Link};
use crate::connection::Socket;
use crate::event::{ClientEvent, RenewError, Stopped};
use crate::own_device::{KeyChange, OwnDevice, REVOKED_KEYS_MAX};
use crate::store::StoreError;

/// Why a connection ends that comes back by itself with other keys.
pub const RENEWING: &str = "new keys are published";

/// Bundles that nobody has asked for are this far apart at least: each ends a connection.
const REPEAT_PAUSE: Duration = Duration::from_mins(1);

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
        let revoked = self.core.endpoint().revocations();
        let device = self.device.clone();
        self.link = Link::renewing(&self.door, device, (change, revoked), closing);
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
        if self.keep_next(&renewed)? {
            self.go_on_with(renewed);
        } else {
            self.renewing = None;
            self.fail_renewals();
        }
        self.connect()
    }

    /// Keeps what comes after the present keys. `false` where the home has others by now, which stay.
    pub(super) fn keep_next(&mut self, next: &OwnDevice) -> Result<bool, End> {
        let Some(home) = &mut self.home else { return Ok(true) };
        let pair = (&self.device, next);
        let (is_kept, rows) = crate::home::replace_device(&mut home.store, &home.vault, pair)?;
        if let Some(rows) = rows {
            self.core.take_over(&rows).map_err(StoreError::from)?;
        }
        Ok(is_kept)
    }

    /// The server shows a device of this user as good that was revoked: it has lost that, and the next bundle says it
    /// again. Each of these names one key more, so that they have an end whatever the server shows; and a connection that
    /// has come with one is left alone for a while.
    pub(super) fn repeat_revocation(&mut self) {
        let is_online = matches!(self.link, Link::Online { .. });
        let has_room = self.device.bundle.header().rev.len() < REVOKED_KEYS_MAX;
        let has_paused = self.repeated.is_none_or(|at| at.elapsed() >= REPEAT_PAUSE);
        let lost = self.core.endpoint().revocation_to_repeat();
        if let Some(sk) = lost.filter(|_| is_online && has_room && has_paused) {
            self.repeated = Some(Instant::now());
            self.renew(KeyChange::Revokes(sk));
        }
    }

    /// Nothing comes of the new keys.
    pub(super) fn fail_renewals(&mut self) {
        for reply in self.renewals.drain(..) {
            // Whoever asked may be gone.
            reply.send(Err(RenewError::Offline)).ok();
        }
    }

    /// The server has the new bundle.
    pub(super) fn tell_renewed(&mut self) {
        for reply in self.renewals.drain(..) {
            // Whoever asked may be gone.
            reply.send(Ok(())).ok();
        }
    }
}
