//! People's keys: pinned on first use, kept with every bundle they have published.

mod given;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chat_protocol::b64::B64Vec;
use chat_protocol::crypto::{VerifyingKey, WrapKey, sha256};
use chat_protocol::frame::{RawFrame, VerifiedBatches};
use chat_protocol::header::Header;
use chat_protocol::hub::PersonBundles;
use chat_protocol::id::{Digest, KeyId, Nonce16};
use chat_protocol::keys::{Bundle, DeviceMark, Held};
use chat_protocol::members::MemberLine;
use chat_protocol::name::UserName;
use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
use crate::event::Alarm;
use crate::limits::{BUNDLES_CACHED_MAX, DEVICES_HELD_MAX, SHOWN_FORMER_MAX};

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

/// What a device keeps about a person: all of it signed by that person's keys, or decided by this
/// user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Pin {
    /// The identity key seen first, or trusted since.
    pub(crate) identity: KeyId,
    /// This user has compared its words with the person.
    #[serde(default)]
    pub(crate) verified: bool,
    /// Another identity that was offered for this very name, and that nobody has decided on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) other: Option<Stranger>,
    /// Identities that this user has refused, newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) refused: Vec<Stranger>,
    /// Identities that were pinned before this user has trusted another one, newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) former: Vec<Former>,
    /// Every bundle in the order of the hub.
    pub(crate) bundles: Vec<B64Vec>,
}

/// An identity that is not the pinned one, by a bundle that it has signed for the same name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stranger {
    pub(crate) identity: KeyId,
    pub(crate) bundle: B64Vec,
}

/// An identity that was pinned once. Nothing is sealed for it and nothing that it says is opened; what it
/// has signed in the chains of rooms is still to be verified.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Former {
    pub(crate) identity: KeyId,
    pub(crate) bundles: Vec<B64Vec>,
}

impl Pin {
    /// Nothing but the identity.
    pub(crate) fn new(identity: KeyId) -> Self {
        let (refused, former, bundles) = (Vec::new(), Vec::new(), Vec::new());
        Self { identity, verified: false, other: None, refused, former, bundles }
    }
}

/// How the key of a person's row begins.
const PIN_ROW: &str = "pin/";

/// What a home holds about a person, for whoever checks signatures without a connection.
#[derive(Debug, Clone)]
pub struct Pinned {
    /// The identity key seen first.
    pub identity: KeyId,
    /// Every bundle accepted from that identity, in the order of the hub.
    pub bundles: Vec<Bytes>,
}

impl Pinned {
    /// The row of this person.
    pub fn row(name: &UserName) -> String {
        format!("{PIN_ROW}{name}")
    }

    /// Whose row this is, if it is one of a person.
    pub fn name_of(row: &str) -> Option<&str> {
        row.strip_prefix(PIN_ROW)
    }

    /// Reads the row of a person.
    pub fn read(row: &[u8]) -> Result<Self, serde_json::Error> {
        let Pin { identity, bundles, .. } = serde_json::from_slice(row)?;
        let bundles = bundles.into_iter().map(|B64Vec(bytes)| bytes.into()).collect();
        Ok(Self { identity, bundles })
    }
}

/// Whose a bundle is that was offered for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Of the known identity, or of the first one.
    Pinned,
    /// Of another identity that has signed it for this name.
    Strangers,
    /// For another name: rubbish.
    Nobodys,
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

/// Signing keys of identities that had a name before, by the hub's word (section 12 of the protocol).
#[derive(Debug, Default)]
pub(crate) struct ShownFormer {
    signers: HashMap<KeyId, Vec<Signer>>,
    count: usize,
}

impl ShownFormer {
    /// The owner and parsed form of such a key.
    pub(crate) fn signer(&self, name: &UserName, sk: &KeyId) -> Option<&Signer> {
        self.signers.get(sk)?.iter().find(|signer| signer.name == *name)
    }

    fn insert(&mut self, bundle: &Bundle) {
        if self.count < SHOWN_FORMER_MAX {
            self.count += keep_signers(&mut self.signers, bundle);
        }
    }
}

/// The bundles of everybody known, in memory.
#[derive(Debug, Default)]
pub(crate) struct People {
    /// Newest bundle of each device, by name and device.
    newest: HashMap<UserName, BTreeMap<Nonce16, Bundle>>,
    /// The spelling of each name that keys are held under, by the name in lower case: an honest hub has one of each
    /// (rule R17).
    spelled: HashMap<String, UserName>,
    /// How often one of them was replaced or came.
    changes: u64,
    /// Every signing key ever published, by its id; several names may show the same key.
    signers: HashMap<KeyId, Vec<Signer>>,
    /// The same of identities that were pinned once.
    former: HashMap<KeyId, Vec<Signer>>,
    /// Digest of every bundle held, by name, device and number.
    numbers: HashMap<(UserName, Nonce16, u32), Digest>,
    /// Encryption keys, parsed when they are first wrapped for.
    wrap: HashMap<KeyId, Arc<WrapKey>>,
    /// When this process first saw a signing key of somebody, and that it was revoked, Unix time in
    /// milliseconds; not of what it found when it began.
    seen: HashMap<(UserName, KeyId), u64>,
    revoked: HashMap<(UserName, KeyId), u64>,
    /// What members have handed over.
    given: given::Given,
}

impl People {
    /// Nobody, with the memory of when keys were seen, and what members have handed over.
    pub(crate) fn emptied(&mut self) -> Self {
        let (seen, revoked) = (std::mem::take(&mut self.seen), std::mem::take(&mut self.revoked));
        let given = std::mem::take(&mut self.given);
        Self { seen, revoked, given, changes: self.changes.saturating_add(1), ..Self::default() }
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
        self.spelled.entry(header.u.folded()).or_insert_with(|| header.u.clone());
        keep_signers(&mut self.signers, bundle);
        self.numbers.insert((header.u.clone(), header.dev, header.seq), bundle.digest());
        let devices = self.newest.entry(header.u.clone()).or_default();
        let newer = devices.get(&header.dev).is_none_or(|old| old.header().seq <= header.seq);
        if newer {
            devices.insert(header.dev, bundle.clone());
            self.changes = self.changes.saturating_add(1);
        }
    }

    /// How often the newest bundles have changed.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// Keeps the signing keys of an identity that was pinned once.
    fn insert_former(&mut self, bundle: &Bundle) {
        keep_signers(&mut self.former, bundle);
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
        let revoked = self.devices(name).flat_map(|bundle| bundle.header().rev.iter().copied());
        let revoked: Vec<KeyId> = revoked.chain(self.given.revoked(name)).collect();
        self.devices(name).filter(move |bundle| {
            let sk = bundle.header().sk.first();
            let is_revoked = sk.is_some_and(|sk| revoked.contains(&sk.kid));
            !is_revoked && (bundle.wrapped_until_ms() > now_ms || is_here(bundle))
        })
    }

    /// Whether a device of a person is held that none of theirs has revoked, away or not.
    pub(crate) fn has_device(&self, name: &UserName) -> bool {
        self.wrapped_for(0, name, |_| true).next().is_some()
    }

    /// Whether a device of a person has revoked a signing key, by the hub or by what a member has handed over.
    pub(crate) fn is_revoked(&self, name: &UserName, sk: &KeyId) -> bool {
        self.devices(name).any(|bundle| bundle.header().rev.contains(sk))
            || self.given.revokes(name, sk)
    }

    /// Since when it is held that a key was revoked, if it was; 0 for long ago.
    pub(crate) fn revoked_since(&self, name: &UserName, sk: &KeyId) -> Option<u64> {
        let since = || self.revoked.get(&(name.clone(), *sk)).copied().unwrap_or(0);
        self.is_revoked(name, sk).then(since)
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
        self.signers.get(sk)?.iter().find(|signer| signer.name == *name)
    }

    /// The same of an identity that this person was known by before.
    pub(crate) fn former_signer(&self, name: &UserName, sk: &KeyId) -> Option<&Signer> {
        self.former.get(sk)?.iter().find(|signer| signer.name == *name)
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

/// Keeps the signing keys of a bundle; says how many are new.
fn keep_signers(signers: &mut HashMap<KeyId, Vec<Signer>>, bundle: &Bundle) -> usize {
    let header = bundle.header();
    let mut new = 0;
    for published in &header.sk {
        if let Ok(key) = VerifyingKey::from_spki(&published.spki) {
            let digest = Digest(sha256(&published.spki));
            let (name, identity) = (header.u.clone(), bundle.identity());
            let known = signers.entry(published.kid).or_default();
            if known.iter().all(|signer| signer.name != name) {
                known.push(Signer { name, identity, key, digest });
                new += 1;
            }
        }
    }
    new
}

impl Endpoint {
    /// Builds the memory of people from the pins.
    pub(crate) fn load_people(&mut self) {
        let now_ms = self.link.clock_ms;
        let rows: Vec<_> = self.state.pins.iter().map(|(_, pin)| pin.bundles.clone()).collect();
        for B64Vec(bytes) in rows.into_iter().flatten() {
            if let Some(bundle) = self.bundles.verify(bytes.into()) {
                self.people.insert(now_ms, &bundle);
            }
        }
        let former = self.state.pins.iter().flat_map(|(_, pin)| &pin.former);
        let former: Vec<_> = former.flat_map(|former| former.bundles.clone()).collect();
        for B64Vec(bytes) in former {
            if let Some(bundle) = self.bundles.verify(bytes.into()) {
                self.people.insert_former(&bundle);
            }
        }
        let own = Arc::clone(&self.device.bundle);
        self.people.insert(now_ms, &own);
        let pins = &self.state.pins;
        self.people.derive_given(&self.bundles, |name| pins.get(name).map(|pin| pin.identity));
    }

    /// The bundle that publishes the key by which a link was signed, if it is not the newest of its
    /// device: as it was signed.
    pub(crate) fn bundle_behind(&self, frame: &RawFrame) -> Option<B64Vec> {
        let Ok(Header::Member(link)) = Header::parse(frame.header()) else { return None };
        let publishes =
            |bundle: &Bundle| bundle.header().sk.iter().any(|published| published.kid == link.sk);
        if self.people.devices(&link.from).any(publishes) {
            return None;
        }
        let held = &self.state.pins.get(&link.from)?.bundles;
        let held = held.iter().find(|B64Vec(bytes)| {
            let bundle = self.bundles.verify(bytes.clone().into());
            bundle.is_some_and(|bundle| publishes(&bundle))
        });
        held.cloned()
    }

    /// Keeps this device's newest bundle with the others of its user, once those were fetched: the hub
    /// does not answer with what is held.
    pub(crate) fn keep_own_bundle(&mut self) {
        let user = self.device.user.clone();
        if self.state.pins.get(&user).is_some() {
            let own = Arc::clone(&self.device.bundle);
            self.accept_bundle(&user, &own);
        }
    }

    /// What is held of a person's bundles, to be compared by the hub (rule R37).
    pub(crate) fn held_bundles(&self, name: &UserName) -> Held {
        if self.state.pins.get(name).is_none() {
            return Held::default();
        }
        let marks = self.people.devices(name).filter_map(DeviceMark::of);
        Held::of_live(self.link.clock_ms, marks, |sk| self.people.is_revoked(name, sk))
    }

    /// Whether the known key of this person was not contradicted.
    pub(crate) fn is_trusted(&self, name: &UserName) -> bool {
        self.state.pins.get(name).is_some_and(|pin| pin.other.is_none())
    }

    /// The identity that a person must have: one's own, the hub's, or the one pinned.
    pub(crate) fn expected_identity(&self, name: &UserName) -> Option<KeyId> {
        if *name == self.device.user {
            return Some(self.device.bundle.identity());
        }
        if name.is_server() {
            return Some(self.device.server);
        }
        let pinned = self.state.pins.get(name).map(|pin| pin.identity);
        // Whoever let them into a room has said which key is theirs: the hub cannot offer another.
        pinned.or_else(|| self.identity_by_link(name))
    }

    /// Takes what the hub says a person has published. The hub's word decides nothing: bundles
    /// prove themselves, and the identity must be the one known.
    pub(crate) fn accept_bundles(&mut self, name: &UserName, offered: &PersonBundles) {
        let known = self.state.pins.get(name).is_some();
        let before: BTreeSet<Nonce16> =
            self.people.devices(name).map(|bundle| bundle.header().dev).collect();
        let (mut pinned, mut strange) = (false, false);
        for B64Vec(bytes) in &offered.bundles {
            let Some(bundle) = self.verify_offered(name, bytes) else { continue };
            match self.accept_bundle(name, &bundle) {
                Whose::Pinned => pinned = true,
                Whose::Strangers => strange = true,
                Whose::Nobodys => {}
            }
        }
        if strange && !pinned {
            self.link.replaced.insert(name.clone());
        } else {
            self.link.replaced.remove(name);
        }
        if known {
            self.tell_new_devices(name, &before);
        }
        if *name == self.device.user {
            self.bring_settings(self.link.clock_ms);
        }
    }

    fn verify_offered(&mut self, name: &UserName, bytes: &[u8]) -> Option<Bundle> {
        let bundle = self.bundles.verify(bytes.to_vec().into());
        if bundle.is_none() {
            let detail = "the hub offered a bundle that is not valid";
            self.out.alarm(Alarm::BadSignature, name, detail);
        }
        bundle
    }

    /// Keys of somebody who had this name before, as far as they were asked for, for this connection: links
    /// by which they let others into rooms verify by them. The hub's word that they are of the past decides
    /// nothing: nothing is sealed for them, and nothing else that they sign is taken.
    pub(crate) fn accept_former(
        &mut self,
        name: &UserName,
        offered: &PersonBundles,
        asked: &[KeyId],
    ) {
        for B64Vec(bytes) in &offered.former {
            let Some(bundle) = self.verify_offered(name, bytes) else { continue };
            let header = bundle.header();
            if header.u == *name && header.sk.iter().any(|key| asked.contains(&key.kid)) {
                self.link.shown_former.insert(&bundle);
            }
        }
    }

    /// Takes one verified bundle if it is by the known identity.
    pub(crate) fn accept_bundle(&mut self, name: &UserName, bundle: &Bundle) -> Whose {
        let named = &bundle.header().u;
        if named != name {
            let detail = format!("the server offered keys of {named} as those of {name}");
            self.out.alarm(Alarm::BadSignature, name, &detail);
            return Whose::Nobodys;
        }
        // A name belongs to one account whatever the case of its letters: another spelling of a known one is
        // another identity that is offered for it.
        let other = self.people.spelled_otherwise(name).cloned();
        let known = other.as_ref().unwrap_or(name);
        let is_other = |identity| identity != bundle.identity();
        if other.is_some() || self.expected_identity(name).is_some_and(is_other) {
            self.meet_stranger(known, bundle);
            return Whose::Strangers;
        }
        let newest = self.people.devices(name).find(|b| b.header().dev == bundle.header().dev);
        let older = newest.is_some_and(|stored| stored.header().seq > bundle.header().seq);
        let conflicting = newest.is_some_and(|stored| bundle.follows(stored).is_err()) && !older;
        if conflicting || self.people.is_fork(bundle) {
            self.out.alarm(Alarm::BadChain, name, "two different bundles have the same number");
            return Whose::Pinned;
        }
        let is_new = newest.is_none();
        let live = self.people.wrapped_for(self.link.clock_ms, name, |_| false).count();
        if is_new && live >= DEVICES_HELD_MAX {
            let detail = "more devices are offered than one person may have";
            self.out.alarm(Alarm::BadChain, name, detail);
            return Whose::Pinned;
        }
        let make = || Pin::new(bundle.identity());
        let bytes = B64Vec(bundle.bytes().to_vec());
        let pin = self.state.pins.entry(name, make);
        if !pin.bundles.contains(&bytes) {
            pin.bundles.push(bytes);
        }
        self.people.insert(self.link.clock_ms, bundle);
        self.audiences_changed();
        Whose::Pinned
    }
}
