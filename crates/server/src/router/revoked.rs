//! Signing keys of an account that count no more. The store keeps the same ones by the same rule, so that a server that
//! starts again decides as those do that run on.

use std::collections::{BTreeMap, HashSet};

use chat_protocol::id::KeyId;

use crate::{limits::ACCOUNT_REVOKED_MAX, store::DeviceId};

/// Those that are kept, whatever newer bundles say, and those that the newest bundles name for which there is no room.
#[derive(Debug, Default)]
pub(super) struct Revoked {
    kept: HashSet<KeyId>,
    /// By device: what its newest bundle names and is not kept. Empty as long as there is room.
    beside: BTreeMap<DeviceId, HashSet<KeyId>>,
}

impl Revoked {
    /// What the store has kept.
    pub(super) fn of(kept: Vec<KeyId>) -> Self {
        Self { kept: kept.into_iter().collect(), beside: BTreeMap::new() }
    }

    /// Whether a key counts no more.
    pub(super) fn contains(&self, sk: &KeyId) -> bool {
        self.kept.contains(sk) || self.is_beside(sk)
    }

    /// Keeps what a new bundle of a device names, as far as there is room.
    pub(super) fn keep(&mut self, device: DeviceId, rev: &[KeyId]) {
        for sk in rev {
            if self.kept.len() >= ACCOUNT_REVOKED_MAX {
                break;
            }
            self.kept.insert(*sk);
        }
        self.note(device, rev);
    }

    /// Takes what the newest bundle of a device names, and keeps nothing of it.
    pub(super) fn note(&mut self, device: DeviceId, rev: &[KeyId]) {
        let beside: HashSet<KeyId> =
            rev.iter().filter(|sk| !self.kept.contains(*sk)).copied().collect();
        if beside.is_empty() {
            self.beside.remove(&device);
        } else {
            self.beside.insert(device, beside);
        }
    }

    /// Of what the newest bundles name, the keys that devices are in use with are kept, whether there is room or not.
    pub(super) fn keep_of_devices(&mut self, in_use: impl Iterator<Item = KeyId>) {
        let gone: Vec<KeyId> = in_use.filter(|sk| self.is_beside(sk)).collect();
        self.kept.extend(gone);
    }

    fn is_beside(&self, sk: &KeyId) -> bool {
        self.beside.values().any(|keys| keys.contains(sk))
    }
}
