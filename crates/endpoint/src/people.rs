//! People's keys: pinned on first use, kept with every bundle they have published; and what the hub says of people on
//! this connection.

mod given;
mod pins;
mod word;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chat_protocol::b64::B64Vec;
use chat_protocol::crypto::{VerifyingKey, WrapKey, sha256};
use chat_protocol::frame::{RawFrame, VerifiedBatches};
use chat_protocol::hub::PersonBundles;
use chat_protocol::id::{Digest, KeyId, Nonce16};
use chat_protocol::keys::{Bundle, DeviceMark, Held};
use chat_protocol::members::MemberLine;
use chat_protocol::name::UserName;

use crate::endpoint::{Device, Endpoint};
use crate::limits::BUNDLES_CACHED_MAX;
use crate::table::{Kind, Table};

pub(crate) use given::Gave;
use pins::Pin;
pub use pins::Pinned;
pub(crate) use pins::{Accepted, SAME_NUMBER};
pub(crate) use word::TargetBundles;
use word::Word;

/// Verified bundles shared by several devices of one process. A bundle proves itself, so checking
/// it once is enough; what each device pins is its own.
#[derive(Debug, Default)]
pub struct BundleCache(Mutex<HashMap<[u8; 32], Bundle>>);

impl BundleCache {
    pub(crate) fn verify(&self, bytes: Bytes) -> Option<Bundle> {
        let key = sha256(&bytes);
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if known.is_some() {
            return known;
        }
        let bundle = Bundle::verify(bytes).ok()?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= BUNDLES_CACHED_MAX {
            known.clear();
        }
        known.insert(key, bundle.clone());
        Some(bundle)
    }
}

/// A signing key, parsed.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    pub(crate) name: UserName,
    pub(crate) identity: KeyId,
    pub(crate) key: VerifyingKey,
    pub(crate) digest: Digest,
}

impl Signer {
    /// Whether this key has signed a frame. What is known of batches is looked up there, and noted.
    pub(crate) fn has_signed(
        &self,
        frame: &RawFrame,
        label: &str,
        verified: &mut VerifiedBatches,
    ) -> bool {
        frame.verify(label, &self.key, &self.digest, verified).is_ok()
    }
}

/// Signing keys by their ids; several names may show the same key.
#[derive(Debug, Default)]
struct Signers(HashMap<KeyId, Vec<Signer>>);

impl Signers {
    fn of(&self, name: &UserName, sk: &KeyId) -> Option<&Signer> {
        self.0.get(sk)?.iter().find(|signer| signer.name == *name)
    }

    /// Keeps the signing keys of a bundle; says how many are new.
    fn keep(&mut self, bundle: &Bundle) -> usize {
        let header = bundle.header();
        let mut new = 0;
        for published in &header.sk {
            if let Ok(key) = VerifyingKey::from_spki(&published.spki) {
                let digest = Digest(sha256(&published.spki));
                let (name, identity) = (header.u.clone(), bundle.identity());
                let known = self.0.entry(published.kid).or_default();
                if known.iter().all(|signer| signer.name != name) {
                    known.push(Signer { name, identity, key, digest });
                    new += 1;
                }
            }
        }
        new
    }
}

/// The bundles of everybody known: what is kept of them, and what follows from it.
#[derive(Debug)]
pub(crate) struct People {
    me: UserName,
    /// The hub's identity.
    server: KeyId,
    /// This device's newest bundle.
    own: Arc<Bundle>,
    /// The highest number of a bundle that a process of this home is known to have made.
    made: u32,
    verified: Arc<BundleCache>,
    /// By name.
    pins: Table<Pin, UserName>,
    word: Word,
    /// Newest bundle of each device, by name and device.
    newest: HashMap<UserName, BTreeMap<Nonce16, Bundle>>,
    /// The spelling of each name that keys are held under, by the name in lower case: an honest hub has one of each
    /// (rule R17).
    spelled: HashMap<String, UserName>,
    /// How often one of them was replaced or came.
    changes: u64,
    /// Every signing key ever published.
    signers: Signers,
    /// The same of identities that were pinned once.
    former: Signers,
    /// Digest of every bundle held, by name, device and number.
    numbers: HashMap<(UserName, Nonce16, u32), Digest>,
    /// Encryption keys, parsed when they are first wrapped for.
    wrap: HashMap<KeyId, Arc<WrapKey>>,
    /// When this process first saw a signing key of somebody, and that the hub showed it as revoked, Unix time in
    /// milliseconds; not of what it found when it began.
    seen: HashMap<(UserName, KeyId), u64>,
    revoked: HashMap<(UserName, KeyId), u64>,
    /// The keys that any bundle revokes which the hub has shown of a person. A later one that says so no more gives
    /// nothing back: whoever has the identity key can sign it.
    shown_rev: HashMap<UserName, HashSet<KeyId>>,
    /// What members have handed over.
    given: given::Given,
}

impl People {
    pub(crate) fn new(device: &Device, verified: Arc<BundleCache>) -> Self {
        Self {
            me: device.user.clone(),
            server: device.server,
            own: Arc::clone(&device.bundle),
            made: device.bundle.header().seq,
            verified,
            pins: Table::default(),
            word: Word::default(),
            newest: HashMap::new(),
            spelled: HashMap::new(),
            changes: 0,
            signers: Signers::default(),
            former: Signers::default(),
            numbers: HashMap::new(),
            wrap: HashMap::new(),
            seen: HashMap::new(),
            revoked: HashMap::new(),
            shown_rev: HashMap::new(),
            given: given::Given::default(),
        }
    }

    pub(crate) fn rows(&mut self) -> [Kind<'_>; 2] {
        [("pin", &mut self.pins), ("given", self.given.rows())]
    }

    /// Rows were loaded, or a pin was put in the place of another: what follows from them is found anew. When keys were
    /// seen is remembered.
    pub(crate) fn loaded(&mut self, now_ms: u64) {
        self.changes = self.changes.saturating_add(1);
        self.newest.clear();
        self.spelled.clear();
        (self.signers, self.former) = (Signers::default(), Signers::default());
        self.numbers.clear();
        self.wrap.clear();
        self.shown_rev.clear();
        self.derive(now_ms);
    }

    /// This device goes on with other keys.
    pub(crate) fn replace_own(&mut self, now_ms: u64, device: &Device) {
        (self.me, self.server) = (device.user.clone(), device.server);
        self.own = Arc::clone(&device.bundle);
        self.has_made(device.bundle.header().seq);
        self.derive(now_ms);
    }

    /// A process of this home has made a bundle of this number.
    pub(crate) fn has_made(&mut self, number: u32) {
        self.made = self.made.max(number);
    }

    /// Whether a bundle is one of this very device that no process of this home has made.
    fn is_foreign(&self, bundle: &Bundle) -> bool {
        let (header, own) = (bundle.header(), self.own.header());
        header.u == self.me && header.dev == own.dev && header.seq > self.made
    }

    fn derive(&mut self, now_ms: u64) {
        let (mut bundles, mut former) = (Vec::new(), Vec::new());
        for (_, pin) in self.pins.iter() {
            bundles.extend(pin.bundles.iter().filter_map(|bytes| self.verify(bytes)));
            let of_before = pin.former.iter().flat_map(|former| &former.bundles);
            former.extend(of_before.filter_map(|bytes| self.verify(bytes)));
        }
        for bundle in bundles {
            self.insert(now_ms, &bundle);
        }
        for bundle in former {
            self.former.keep(&bundle);
        }
        self.insert(now_ms, &Arc::clone(&self.own));
        self.settle_all_given(now_ms);
    }

    /// A bundle that proves itself.
    pub(crate) fn verify(&self, B64Vec(bytes): &B64Vec) -> Option<Bundle> {
        self.verified.verify(bytes.clone().into())
    }

    /// All bundles that were accepted of a person, in the order of the hub.
    pub(crate) fn held(&self, name: &UserName) -> impl Iterator<Item = Bundle> {
        let held = self.pins.get(name).into_iter().flat_map(|pin| &pin.bundles);
        held.filter_map(|bytes| self.verify(bytes))
    }

    /// What is held of a person's bundles, to be compared by the hub (rule R37).
    pub(crate) fn marks(&self, now_ms: u64, name: &UserName) -> Held {
        if !self.is_pinned(name) {
            return Held::default();
        }
        let marks = self.devices(name).filter_map(DeviceMark::of);
        Held::of_live(now_ms, marks, |sk| self.is_revoked(name, sk))
    }

    /// Puts a verified bundle in its place.
    fn insert(&mut self, now_ms: u64, bundle: &Bundle) {
        let header = bundle.header();
        if now_ms > 0 {
            for key in &header.sk {
                self.seen.entry((header.u.clone(), key.kid)).or_insert(now_ms);
            }
            for sk in &header.rev {
                self.revoked.entry((header.u.clone(), *sk)).or_insert(now_ms);
            }
        }
        if !header.rev.is_empty() {
            self.shown_rev.entry(header.u.clone()).or_default().extend(&header.rev);
        }
        self.spelled.entry(header.u.folded()).or_insert_with(|| header.u.clone());
        self.signers.keep(bundle);
        self.numbers.insert((header.u.clone(), header.dev, header.seq), bundle.digest());
        let devices = self.newest.entry(header.u.clone()).or_default();
        let newer = devices.get(&header.dev).is_none_or(|old| old.header().seq <= header.seq);
        if newer {
            devices.insert(header.dev, bundle.clone());
            self.changes = self.changes.saturating_add(1);
        }
    }

    /// How often pins and newest bundles have changed.
    pub(crate) fn changes(&self) -> (u64, u64) {
        (self.pins.changes(), self.changes)
    }

    /// The known name that differs from this one in the case of its letters only.
    fn spelled_otherwise(&self, name: &UserName) -> Option<&UserName> {
        self.spelled.get(&name.folded()).filter(|known| *known != name)
    }

    /// The newest bundles of a person.
    pub(crate) fn devices(&self, name: &UserName) -> impl Iterator<Item = &Bundle> {
        self.newest.get(name).into_iter().flat_map(BTreeMap::values)
    }

    /// The newest bundles of a person's devices that none of the person's devices has revoked, those
    /// that were away for too long left out unless `is_here` (rule R12).
    pub(crate) fn wrapped_for(
        &self,
        now_ms: u64,
        name: &UserName,
        is_here: impl Fn(&Bundle) -> bool,
    ) -> impl Iterator<Item = &Bundle> {
        self.devices(name).filter(move |bundle| {
            let sk = bundle.header().sk.first();
            let is_revoked = sk.is_some_and(|sk| self.is_revoked(&bundle.header().u, &sk.kid));
            !is_revoked && (bundle.wrapped_until_ms() > now_ms || is_here(bundle))
        })
    }

    /// Whether a device of a person is held that none of theirs has revoked by what the hub has shown, away or not.
    pub(crate) fn has_device(&self, name: &UserName) -> bool {
        let mut newest = self.devices(name).map(|bundle| bundle.header().sk.first());
        newest.any(|sk| sk.is_none_or(|sk| !self.is_shown_revoked(name, &sk.kid)))
    }

    /// Whether a device of a person has revoked a signing key, by the hub or by what a member has handed over.
    pub(crate) fn is_revoked(&self, name: &UserName, sk: &KeyId) -> bool {
        self.is_shown_revoked(name, sk) || self.given.revoked_since(name, sk).is_some()
    }

    /// Whether the hub has shown that a device of a person has revoked a signing key.
    pub(crate) fn is_shown_revoked(&self, name: &UserName, sk: &KeyId) -> bool {
        self.shown_rev.get(name).is_some_and(|revoked| revoked.contains(sk))
    }

    /// Whether a newest bundle of a person revokes a signing key. A hub that has begun anew, and whoever has met this
    /// person since, knows of no other.
    pub(crate) fn is_repeated(&self, name: &UserName, sk: &KeyId) -> bool {
        self.devices(name).any(|bundle| bundle.header().rev.contains(sk))
    }

    /// The keys of a person that the hub has shown as revoked, in any bundle.
    pub(crate) fn shown_rev(&self, name: &UserName) -> impl Iterator<Item = KeyId> {
        self.shown_rev.get(name).into_iter().flatten().copied()
    }

    /// Whether a key is revoked by what every honest writer counts, once they have it: a bundle that was handed over and is
    /// older than what the hub has shown is void for those to whom it has shown another one of that number.
    pub(crate) fn is_surely_revoked(&self, name: &UserName, sk: &KeyId) -> bool {
        self.is_shown_revoked(name, sk) || self.given.is_surely_revoked(name, sk)
    }

    /// Since when it is held that a key was revoked, if it was, and whether the hub has shown that; 0 for long ago.
    pub(crate) fn revoked_since(&self, name: &UserName, sk: &KeyId) -> Option<(u64, bool)> {
        let since = || self.revoked.get(&(name.clone(), *sk)).copied().unwrap_or(0);
        let is_shown = self.is_shown_revoked(name, sk);
        let given = || Some((self.given.revoked_since(name, sk)?, false));
        is_shown.then(|| (since(), true)).or_else(given)
    }

    /// Since when a signing key is known; 0 for long ago.
    pub(crate) fn known_since(&self, name: &UserName, sk: &KeyId) -> u64 {
        self.seen.get(&(name.clone(), *sk)).copied().unwrap_or(0)
    }

    /// Whether another bundle of the same device has the same number (rule R14).
    fn is_fork(&self, bundle: &Bundle) -> bool {
        let header = bundle.header();
        let number = (header.u.clone(), header.dev, header.seq);
        self.numbers.get(&number).is_some_and(|known| *known != bundle.digest())
    }

    /// The owner and parsed form of a signing key, also of one that was revoked.
    pub(crate) fn signer_of_any_time(&self, name: &UserName, sk: &KeyId) -> Option<&Signer> {
        self.signers.of(name, sk)
    }

    /// The same, also of an identity that this person was known by before.
    pub(crate) fn signer_of_any_identity(&self, name: &UserName, sk: &KeyId) -> Option<&Signer> {
        self.signer_of_link(name, sk).or_else(|| self.former.of(name, sk))
    }

    /// The owner and parsed form of a signing key that is not revoked.
    pub(crate) fn signer(&self, name: &UserName, sk: &KeyId) -> Option<&Signer> {
        let known = self.signer_of_any_time(name, sk)?;
        (!self.is_revoked(name, sk)).then_some(known)
    }

    /// The parsed encryption key of a line.
    pub(crate) fn wrap_key(&mut self, line: &MemberLine) -> Option<Arc<WrapKey>> {
        if let Some(key) = self.wrap.get(&line.ek) {
            return Some(Arc::clone(key));
        }
        let published = self
            .newest
            .get(&line.name)?
            .values()
            .flat_map(|bundle| &bundle.header().ek)
            .find(|key| key.kid == line.ek)?;
        let key = Arc::new(WrapKey::from_spki(&published.spki).ok()?);
        self.wrap.insert(line.ek, Arc::clone(&key));
        Some(key)
    }
}

impl Endpoint {
    /// The identity that a person must have: one's own, the hub's, or the one pinned.
    pub(crate) fn expected_identity(&self, name: &UserName) -> Option<KeyId> {
        // Whoever let them into a room has said which key is theirs: the hub cannot offer another.
        self.people.identity(name).or_else(|| self.identity_by_link(name))
    }

    /// Keeps this device's newest bundle with the others of its user, once those were fetched: the hub
    /// does not answer with what is held.
    pub(crate) fn keep_own_bundle(&mut self) {
        let user = self.device.user.clone();
        if self.people.is_pinned(&user) {
            let own = Arc::clone(&self.device.bundle);
            self.accept_bundle(&user, &own);
        }
    }

    /// Takes what the hub says a person has published. The hub's word decides nothing: bundles
    /// prove themselves, and the identity must be the one known.
    pub(crate) fn accept_bundles(&mut self, name: &UserName, offered: &PersonBundles) {
        let known = self.people.is_pinned(name);
        let before: BTreeSet<Nonce16> =
            self.people.devices(name).map(|bundle| bundle.header().dev).collect();
        let (mut pinned, mut strange) = (false, false);
        for bytes in &offered.bundles {
            let Some(bundle) = self.people.verify_offered(&mut self.out, name, bytes) else {
                continue;
            };
            match self.accept_bundle(name, &bundle) {
                Accepted::Kept | Accepted::Fork => pinned = true,
                Accepted::Stranger(_) => strange = true,
                Accepted::Nobodys => {}
            }
        }
        if strange && !pinned {
            self.people.replaced_by_hub(name);
        } else {
            self.people.has_bundles(name);
        }
        if known {
            self.tell_new_devices(name, &before);
        }
        if *name == self.device.user {
            // A device that comes with them may be one of which it was handed over that it is revoked.
            self.await_undecided();
            self.bring_settings(self.link.clock_ms);
        }
    }

    /// Takes one verified bundle if it is by the known identity.
    pub(crate) fn accept_bundle(&mut self, name: &UserName, bundle: &Bundle) -> Accepted {
        let vouched = self.expected_identity(name);
        let now_ms = self.link.clock_ms;
        let accepted = self.people.accept(now_ms, &mut self.out, (name, bundle), vouched);
        match &accepted {
            Accepted::Kept => self.audiences_changed(),
            Accepted::Stranger(Some(known)) => self.tell_stranger(known, bundle),
            Accepted::Stranger(None) | Accepted::Fork | Accepted::Nobodys => {}
        }
        accepted
    }
}

#[cfg(test)]
mod tests;
