//! Bundles that members have handed over (rule R33). They verify links and take keys away, and make no device: nothing is
//! sealed for what the hub has not shown of a person, and it is news when the hub shows it. So whoever hands over what the
//! hub has not, and never will, changes what nobody seals for.

use std::collections::{BTreeSet, HashMap};

use chat_protocol::b64::B64Vec;
use chat_protocol::id::KeyId;
use chat_protocol::keys::Bundle;
use chat_protocol::name::UserName;

use super::{BundleCache, People, Signer, Signers};
use crate::limits::{GIVEN_BYTES_MAX, GIVEN_PERSON_MAX};
use crate::table::Table;

/// What was handed over, of everybody.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// Of each person, in the order in which it came.
    rows: Table<Vec<B64Vec>, UserName>,
    signers: Signers,
    revoked: HashMap<UserName, BTreeSet<KeyId>>,
}

impl Given {
    pub(super) fn rows(&mut self) -> &mut Table<Vec<B64Vec>, UserName> {
        &mut self.rows
    }

    fn insert(&mut self, bundle: &Bundle) {
        let header = bundle.header();
        self.signers.keep(bundle);
        self.revoked.entry(header.u.clone()).or_default().extend(header.rev.iter().copied());
    }

    /// Whether a signing key of a person is revoked by what was handed over.
    pub(super) fn revokes(&self, name: &UserName, sk: &KeyId) -> bool {
        self.revoked.get(name).is_some_and(|revoked| revoked.contains(sk))
    }

    /// The keys of a person that are revoked so.
    pub(super) fn revoked(&self, name: &UserName) -> impl Iterator<Item = KeyId> {
        self.revoked.get(name).into_iter().flatten().copied()
    }

    fn bytes(&self) -> usize {
        self.rows.iter().map(|(_, bundles)| size_of(bundles)).sum()
    }

    /// Forgets the oldest bundle of a person, one that revokes nothing before others; whether there was any.
    fn forget_one(&mut self, cache: &BundleCache, name: &UserName) -> bool {
        let Some(bundles) = self.rows.get_mut(name) else { return false };
        let revokes = |B64Vec(bytes): &B64Vec| {
            let bundle = cache.verify(bytes.clone().into());
            bundle.is_some_and(|bundle| !bundle.header().rev.is_empty())
        };
        let at = bundles.iter().position(|bundle| !revokes(bundle)).unwrap_or(0);
        if at < bundles.len() {
            bundles.remove(at);
        }
        if bundles.is_empty() {
            self.rows.remove(name);
        }
        true
    }
}

fn size_of(bundles: &[B64Vec]) -> usize {
    bundles.iter().map(|bundle| bundle.0.len()).sum()
}

impl People {
    /// Takes a verified bundle of somebody that a member has handed over, if it says anything that is not known. Of
    /// whom the most is kept gives way.
    pub(crate) fn give(&mut self, now_ms: u64, bundle: &Bundle) {
        let header = bundle.header();
        let name = &header.u;
        if !self.is_news(bundle) {
            return;
        }
        for sk in &header.rev {
            self.revoked.entry((name.clone(), *sk)).or_insert(now_ms);
        }
        let bytes = B64Vec(bundle.bytes().to_vec());
        let held = self.given.rows.entry(name, Vec::new);
        held.push(bytes);
        let is_full = held.len() > GIVEN_PERSON_MAX;
        self.given.insert(bundle);
        if is_full {
            self.given.forget_one(&self.verified, name);
        }
        let mut has_forgotten = is_full;
        while self.given.bytes() > GIVEN_BYTES_MAX {
            let most = self.given.rows.iter().max_by_key(|(_, bundles)| size_of(bundles));
            let Some(most) = most.and_then(|(name, _)| UserName::new(name).ok()) else { break };
            has_forgotten |= self.given.forget_one(&self.verified, &most);
        }
        if has_forgotten {
            self.derive_given();
        }
        self.changes = self.changes.saturating_add(1);
    }

    /// Whether a bundle brings a key that is not known, or takes one away that is.
    fn is_news(&self, bundle: &Bundle) -> bool {
        let header = bundle.header();
        let is_unknown = |sk: &KeyId| self.signer_of_link(&header.u, sk).is_none();
        header.sk.iter().any(|key| is_unknown(&key.kid))
            || header.rev.iter().any(|sk| !self.is_revoked(&header.u, sk))
    }

    /// What follows from the rows is found anew. Bundles of another identity than the expected one are forgotten.
    pub(super) fn derive_given(&mut self) {
        self.given.signers = Signers::default();
        self.given.revoked.clear();
        let names = self.given.rows.iter().filter_map(|(name, _)| UserName::new(name).ok());
        for name in names.collect::<Vec<_>>() {
            let identity = self.identity(&name);
            let held = self.given.rows.get(&name).map_or(&[][..], Vec::as_slice);
            let mut bundles: Vec<Bundle> =
                held.iter().filter_map(|bytes| self.verify(bytes)).collect();
            let count = held.len();
            bundles.retain(|bundle| identity.is_none_or(|identity| identity == bundle.identity()));
            if bundles.is_empty() {
                self.given.rows.remove(&name);
            } else if bundles.len() < count {
                let kept = bundles.iter().map(|bundle| B64Vec(bundle.bytes().to_vec())).collect();
                self.given.rows.put(&name, kept);
            }
            for bundle in &bundles {
                self.given.insert(bundle);
            }
        }
    }

    /// The owner and parsed form of a signing key by which a link can be verified.
    pub(crate) fn signer_of_link(&self, name: &UserName, sk: &KeyId) -> Option<&Signer> {
        self.signer_of_any_time(name, sk).or_else(|| self.given.signers.of(name, sk))
    }

    /// Bundles that were handed over and take a key of a person away that the hub shows: it is told of them.
    pub(crate) fn given_revoking(&self, name: &UserName) -> Vec<Bundle> {
        let bundles = self.given.rows.get(name).into_iter().flatten();
        let bundles = bundles.filter_map(|bytes| self.verify(bytes));
        let is_known = |sk: &KeyId| self.devices(name).any(|b| b.header().rev.contains(sk));
        bundles.filter(|bundle| bundle.header().rev.iter().any(|sk| !is_known(sk))).collect()
    }
}
