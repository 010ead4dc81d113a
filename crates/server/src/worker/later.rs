//! What has to be done whatever happens, and could not be done now: that somebody has left while the log has no room.

use std::time::Duration;

use tokio::time::Instant;

use super::Open;
use crate::{
    request::Request,
    store::{AccountId, DeviceId},
};

/// How long it waits until it is tried again.
const LATER_PAUSE: Duration = Duration::from_millis(100);

/// Requests that wait for better times. The worker goes on with all else meanwhile.
#[derive(Default)]
pub(super) struct Later {
    requests: Vec<Open>,
    /// When they are tried again.
    due: Option<Instant>,
}

impl Later {
    /// This one is tried again in a while.
    pub(super) fn add(&mut self, queued: Open) {
        self.requests.push(queued);
        self.due.get_or_insert_with(|| Instant::now() + LATER_PAUSE);
    }

    /// When something is to be tried again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// What is due now.
    pub(super) fn take(&mut self) -> Vec<Open> {
        if self.due.is_none_or(|due| due > Instant::now()) {
            return Vec::new();
        }
        self.due = None;
        std::mem::take(&mut self.requests)
    }

    /// Whether a device has left, and that is not kept yet.
    pub(super) fn is_leaving(&self, account: AccountId, device: DeviceId) -> bool {
        let is_its_end = |queued: &Open| matches!(&queued.item, Request::Leave(peer) if (peer.account, peer.device) == (account, device));
        self.requests.iter().any(is_its_end)
    }
}
