//! Cursors: how far a device has kept what it was sent.

use std::collections::BTreeMap;

use chat_protocol::hub::Log;

use super::Router;
use crate::{request::Peer, store::Proposal};

impl Router {
    /// The cursors to move; `None` when none of the logs is the peer's.
    pub fn decide_seen(&self, peer: &Peer, positions: &BTreeMap<Log, u64>) -> Option<Proposal> {
        let account = self.account(peer.account)?;
        let positions: Vec<_> = positions
            .iter()
            .filter_map(|(log, position)| {
                // A device may know positions that a restored hub gives again to something else.
                let newest = self.newest_of(account, log);
                Some((self.log_of(account, log)?, newest.min(*position)))
            })
            .collect();
        let (account, device) = (peer.account, peer.device);
        (!positions.is_empty()).then_some(Proposal::Cursors { account, device, positions })
    }
}
