//! The devices of an account, as far as a device knows them.

use std::collections::BTreeMap;

use chat_protocol::fingerprint::Fingerprint;
use chat_protocol::id::{KeyId, Nonce16};
use chat_protocol::keys::{Bundle, DeviceMark};
use chat_protocol::name::UserName;

use crate::endpoint::Endpoint;

/// Whether a device counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceState {
    /// It is written to.
    Live,
    /// Its keys have expired: nothing is sealed for it until it comes back.
    Away,
    /// Another device has revoked it.
    Revoked,
}

/// One device of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownDevice {
    /// Its signing key.
    pub sk: KeyId,
    /// The words of that key under the person's name.
    pub words: Fingerprint,
    /// When its first known bundle was signed, by its own clock, Unix time in milliseconds.
    pub since_ms: u64,
    /// When its newest one was signed: it has been used since.
    pub renewed_ms: u64,
    /// Whether it says that it accepts commands.
    pub is_agent: bool,
    /// Whether it is this one.
    pub is_this: bool,
    /// Whether it counts.
    pub state: DeviceState,
    /// Whether it is another one of this user that was revoked, and by the server's word on this connection no newest bundle
    /// of theirs says so.
    pub is_taken_back: bool,
}

impl Endpoint {
    /// The signing keys that this user's devices have revoked: each next bundle repeats them. Those of known devices come
    /// first: whoever has the identity key names any number of keys that nobody has.
    pub fn revocations(&self) -> Vec<KeyId> {
        let mut revoked: Vec<KeyId> = self.people.shown_rev(&self.device.user).collect();
        let in_use = self.people.in_use(&self.device.user);
        revoked.sort_unstable_by_key(|sk| (!in_use.contains(sk), *sk));
        revoked
    }

    /// The newest bundle of this very device that the server has shown, where that is newer than the one here. The next one
    /// has to come behind it.
    pub fn newer_own_bundle(&self) -> Option<&Bundle> {
        let (dev, seq) = (self.device.dev, self.device.bundle.header().seq);
        let mut devices = self.people.devices(&self.device.user);
        let own = devices.find(|bundle| bundle.header().dev == dev);
        own.filter(|bundle| bundle.header().seq > seq)
    }

    /// Asks for the bundles of this user, unless they have come on this connection. Before this device makes a bundle with
    /// another signing key: that one has to come behind the newest of this device, or the hub knows neither the key nor takes
    /// the bundle, and it has to repeat what all of them revoke.
    pub fn ask_own_bundles(&mut self) {
        if !self.has_own_bundles() {
            self.ask_once_for_keys([self.device.user.clone()].into());
        }
    }

    /// Whether they have come, and nobody has said since that there are others.
    pub fn has_own_bundles(&self) -> bool {
        self.people.is_newest(&self.device.user)
    }

    /// Another process of this home has made bundles of this device up to this number: they are no news to it.
    pub fn home_has_made(&mut self, number: u32) {
        self.people.has_made(number);
    }

    /// The known devices of a person: this one, then the others in the order in which this home has met them. So a device
    /// keeps its number for good, whatever comes later. By the times in their bundles it would not: an earlier bundle of a
    /// known device may come late, and whoever has the identity key writes any time.
    pub fn known_devices(&self, now_ms: u64, name: &UserName) -> Vec<KnownDevice> {
        let mut met = BTreeMap::<Nonce16, (usize, u64)>::new();
        for (place, bundle) in self.people.held(name).enumerate() {
            let ts = bundle.header().ts;
            let (_, since_ms) = met.entry(bundle.header().dev).or_insert((place, ts));
            *since_ms = ts.min(*since_ms);
        }
        let newest = self.people.devices(name);
        let mut devices: Vec<(usize, KnownDevice)> = newest
            .filter_map(|bundle| {
                let header = bundle.header();
                // This one may be known without having been met.
                let (place, since_ms) =
                    met.get(&header.dev).copied().unwrap_or((usize::MAX, header.ts));
                Some((place, self.known_device(now_ms, bundle, since_ms)?))
            })
            .collect();
        devices.sort_by_key(|(place, device)| (!device.is_this, *place));
        devices.into_iter().map(|(_, device)| device).collect()
    }

    fn known_device(&self, now_ms: u64, bundle: &Bundle, since_ms: u64) -> Option<KnownDevice> {
        let header = bundle.header();
        let mark = DeviceMark::of(bundle)?;
        let state = if self.people.is_revoked(&header.u, &mark.sk) {
            DeviceState::Revoked
        } else if mark.is_live(now_ms, |_| false) {
            DeviceState::Live
        } else {
            DeviceState::Away
        };
        let is_own = header.u == self.device.user;
        Some(KnownDevice {
            sk: mark.sk,
            words: Fingerprint::of(&header.u, &header.sk.first()?.spki),
            since_ms,
            renewed_ms: header.ts,
            is_agent: header.rb.is_some(),
            is_this: is_own && header.dev == self.device.dev,
            state,
            is_taken_back: is_own && self.is_taken_back(&mark.sk),
        })
    }
}
