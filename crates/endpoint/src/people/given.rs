//! Bundles that members have handed over (rule R33), believed for what they prove and nothing else: keys by which links
//! were signed; and that keys are revoked. They make no
//! device: nothing is sealed for what the hub has not shown of a person, and it is news when the hub shows it. Of whom they
//! revoke a device that the hub shows as good, nothing is sealed in rooms until it shows the same; nobody else waits for that.
//!
//! A bundle that contradicts what the hub has shown is forgotten, and so is one that says nothing more. A newer one that
//! the hub shows takes nothing back: each next bundle of an honest device repeats what it revokes, and whoever has the
//! identity key can sign one that does not. Two that were handed over and have one number are both kept, and both revoke:
//! whoever was handed one of them first must not seal on for what the other takes away.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chat_protocol::b64::B64Vec;
use chat_protocol::frame::RawFrame;
use chat_protocol::header::Header;
use chat_protocol::id::KeyId;
use chat_protocol::keys::Bundle;
use chat_protocol::name::UserName;

use super::{People, Signer, Signers};
use crate::limits::{GIVEN_BYTES_MAX, GIVEN_PERSON_MAX};
use crate::table::Table;

/// What was handed over, of everybody.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// Of each person, in the order in which it came.
    rows: Table<Vec<B64Vec>, UserName>,
    /// What follows from them.
    proved: HashMap<UserName, Proved>,
}

/// What the bundles of a person prove that were handed over.
#[derive(Debug, Default)]
struct Proved {
    signers: Signers,
    /// Known keys that only these bundles revoke, and since when that is held, Unix time in milliseconds; 0 for what
    /// was found at the start.
    revoked: BTreeMap<KeyId, u64>,
    /// Those of them that a bundle revokes which is newer than all that the hub has shown of its device.
    sure: BTreeSet<KeyId>,
    /// Keys of this user's other devices that they revoke, and that count only when the hub shows it.
    undecided: BTreeSet<KeyId>,
    /// Who has handed over that a device is revoked, since this process began.
    by: Option<UserName>,
}

/// What a bundle is beside those that the hub has shown of its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    Newer,
    /// Not newer than the newest; the hub has shown none of its number, or this one.
    Old,
    /// Another one has its number, or its place (rule R14).
    Contradicting,
}

/// What became of a bundle that was handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gave {
    /// It says nothing that is not known.
    Nothing,
    /// It is kept, and the devices that are good are those that were before.
    Kept,
    /// It is kept, and revokes a device that the hub shows as good.
    Revokes,
    /// It is kept, and would revoke a key of this user that counts only when the hub shows it. The hub is told of it:
    /// nobody stops a device by handing it something.
    RevokesOwn,
    /// It contradicts what the hub has shown of its device, and nothing comes of it.
    Contradicts,
}

impl Given {
    pub(super) fn rows(&mut self) -> &mut Table<Vec<B64Vec>, UserName> {
        &mut self.rows
    }

    /// Since when it is held that a signing key of a person is revoked by what was handed over, if it is.
    pub(super) fn revoked_since(&self, name: &UserName, sk: &KeyId) -> Option<u64> {
        self.proved.get(name)?.revoked.get(sk).copied()
    }

    /// Whether it is by a bundle that is newer than those that the hub has shown of its device.
    pub(super) fn is_surely_revoked(&self, name: &UserName, sk: &KeyId) -> bool {
        self.proved.get(name).is_some_and(|proved| proved.sure.contains(sk))
    }

    fn bytes(&self) -> usize {
        self.rows.iter().map(|(_, bundles)| size_of(bundles)).sum()
    }
}

fn size_of(bundles: &[B64Vec]) -> usize {
    bundles.iter().map(|bundle| bundle.0.len()).sum()
}

fn publishes(bundle: &Bundle, sk: &KeyId) -> bool {
    bundle.header().sk.iter().any(|published| published.kid == *sk)
}

impl People {
    /// Takes a verified bundle of somebody that a member has handed over, if it says anything that is not known. Of
    /// whom the most is kept gives way.
    pub(crate) fn give(&mut self, now_ms: u64, bundle: &Bundle) -> Gave {
        let name = &bundle.header().u;
        if self.age(bundle) == Age::Contradicting {
            return Gave::Contradicts;
        }
        let is_held = |digest| self.given_of(name).any(|given| given.digest() == digest);
        if is_held(bundle.digest()) || !self.is_news(bundle) {
            return Gave::Nothing;
        }
        let before = self.disputed(name);
        let held = self.given.rows.entry(name, Vec::new);
        held.push(B64Vec(bundle.bytes().to_vec()));
        if held.len() > GIVEN_PERSON_MAX {
            self.forget_given(now_ms, name);
        }
        self.settle_given(now_ms, name);
        while self.given.bytes() > GIVEN_BYTES_MAX {
            let most = self.given.rows.iter().max_by_key(|(_, bundles)| size_of(bundles));
            let Some(most) = most.and_then(|(name, _)| UserName::new(name).ok()) else { break };
            self.forget_given(now_ms, &most);
        }
        // Keys that nobody has, and those that are used no more, change nothing of what is sealed for whom.
        if !self.disputed(name).is_subset(&before) {
            return Gave::Revokes;
        }
        let is_own =
            *name == self.me && self.revokes(bundle).iter().any(|sk| !self.counts(bundle, sk));
        if is_own { Gave::RevokesOwn } else { Gave::Kept }
    }

    fn age(&self, bundle: &Bundle) -> Age {
        let header = bundle.header();
        if self.is_fork(bundle) {
            return Age::Contradicting;
        }
        let newest = self.devices(&header.u).find(|newest| newest.header().dev == header.dev);
        match newest {
            Some(newest) if header.seq <= newest.header().seq => Age::Old,
            Some(newest) if bundle.follows(newest).is_err() => Age::Contradicting,
            _ => Age::Newer,
        }
    }

    /// What a person's bundles are that were handed over.
    fn given_of(&self, name: &UserName) -> impl Iterator<Item = Bundle> {
        let bundles = self.given.rows.get(name).into_iter().flatten();
        bundles.filter_map(|bytes| self.verify(bytes))
    }

    /// Whether another bundle was handed over that has the number of this one (rule R14).
    pub(crate) fn contradicts_given(&self, bundle: &Bundle) -> bool {
        let header = bundle.header();
        self.given_of(&header.u).any(|given| {
            let (dev, seq) = (given.header().dev, given.header().seq);
            (dev, seq) == (header.dev, header.seq) && given.digest() != bundle.digest()
        })
    }

    /// The known keys of a person that a bundle revokes and no bundle that the hub has shown. A newer one of its device
    /// that the hub shows takes none of that back: a thief with the identity key signs it.
    fn revokes(&self, bundle: &Bundle) -> BTreeSet<KeyId> {
        let header = bundle.header();
        if self.age(bundle) == Age::Contradicting {
            return BTreeSet::new();
        }
        let is_shown = |sk: &KeyId| self.is_shown_revoked(&header.u, sk);
        let known = |sk: &&KeyId| self.signers.of(&header.u, sk).is_some() && !is_shown(sk);
        header.rev.iter().filter(known).copied().collect()
    }

    /// Whether it counts at once that a bundle revokes a key. Of this user's own that of another device does, by a bundle of
    /// a further one that brings no key: such a bundle an honest hub takes from anybody, whatever was published before, so
    /// whoever has the identity key stops no more than they could anyway.
    fn counts(&self, bundle: &Bundle, sk: &KeyId) -> bool {
        let header = bundle.header();
        let mut others = self.devices(&header.u).filter(|other| other.header().dev != header.dev);
        header.u != self.me
            || (self.age(bundle) == Age::Newer
                && !self.is_this(sk)
                && !self.brings_key(bundle)
                && others.any(|other| publishes(other, sk)))
    }

    /// Whether the newest key of a bundle is none of those that the newest bundles of this person publish: the hub counts
    /// so, too.
    fn brings_key(&self, bundle: &Bundle) -> bool {
        let header = bundle.header();
        let is_there =
            |newest: &KeyId| self.devices(&header.u).any(|device| publishes(device, newest));
        !header.sk.first().is_some_and(|newest| is_there(&newest.kid))
    }

    /// Whether a key is one of this device.
    fn is_this(&self, sk: &KeyId) -> bool {
        publishes(&self.own, sk)
    }

    /// The keys of the devices that the hub shows of a person as they are used now.
    pub(crate) fn in_use(&self, name: &UserName) -> BTreeSet<KeyId> {
        self.devices(name)
            .filter_map(|bundle| bundle.header().sk.first())
            .map(|sk| sk.kid)
            .collect()
    }

    /// Those of them that a bundle revokes which a member has handed over.
    fn disputed(&self, name: &UserName) -> BTreeSet<KeyId> {
        let Some(proved) = self.given.proved.get(name) else { return BTreeSet::new() };
        self.in_use(name).into_iter().filter(|sk| proved.revoked.contains_key(sk)).collect()
    }

    /// The keys of this user's other devices that are in use and of which a bundle that was handed over says that they are
    /// revoked, which counts only when the hub shows it.
    pub(crate) fn undecided(&self) -> BTreeSet<KeyId> {
        let Some(proved) = self.given.proved.get(&self.me) else { return BTreeSet::new() };
        let in_use = self.in_use(&self.me);
        let undecided = proved.undecided.iter().filter(|sk| in_use.contains(sk));
        let undecided = undecided.filter(|sk| !self.is_this(sk));
        undecided.filter(|sk| !proved.revoked.contains_key(sk)).copied().collect()
    }

    /// Whether a bundle has a key that the hub has not shown, or revokes one: it may show that one later.
    fn is_news(&self, bundle: &Bundle) -> bool {
        let header = bundle.header();
        header.sk.iter().any(|key| self.signers.of(&header.u, &key.kid).is_none())
            || self.has_unshown_rev(bundle)
    }

    fn has_unshown_rev(&self, bundle: &Bundle) -> bool {
        let header = bundle.header();
        self.age(bundle) != Age::Contradicting
            && header.rev.iter().any(|sk| !self.is_shown_revoked(&header.u, sk))
    }

    /// Forgets a bundle of a person: the oldest one that revokes nothing, then one that revokes nothing that the others do
    /// not, taken together, then one that does so of no key in use, before any other. So of no more devices than there are
    /// bundles kept, none is revoked no more because a bundle goes. What counts and what does not are two things.
    pub(super) fn forget_given(&mut self, now_ms: u64, name: &UserName) {
        let says = |bundle: Bundle| -> Vec<(bool, KeyId)> {
            self.revokes(&bundle).iter().map(|sk| (self.counts(&bundle, sk), *sk)).collect()
        };
        let said: Vec<_> = self.given_of(name).map(says).collect();
        let mut times = BTreeMap::<(bool, KeyId), usize>::new();
        for revoked in said.iter().flatten() {
            *times.entry(*revoked).or_default() += 1;
        }
        let in_use = self.in_use(name);
        let rank = |at: &usize| {
            let mine = said.get(*at)?;
            let alone = mine.iter().filter(|revoked| times.get(*revoked) == Some(&1));
            let alone: Vec<&(bool, KeyId)> = alone.collect();
            let takes_device = alone.iter().any(|(counts, sk)| *counts && in_use.contains(sk));
            Some((takes_device, !alone.is_empty(), !mine.is_empty(), *at))
        };
        let goes = (0..said.len()).min_by_key(rank).unwrap_or(0);
        let Some(bundles) = self.given.rows.get_mut(name) else { return };
        if goes < bundles.len() {
            bundles.remove(goes);
        }
        if bundles.is_empty() {
            self.given.rows.remove(name);
        }
        self.settle_given(now_ms, name);
    }

    /// What is held of somebody has changed: what follows from the bundles that were handed over is found anew. Those of
    /// another identity than the expected one are forgotten, and those that say nothing more. Whether one contradicts
    /// what the hub has shown: it is forgotten, too.
    pub(super) fn settle_given(&mut self, now_ms: u64, name: &UserName) -> bool {
        let before = self.given.proved.remove(name).unwrap_or_default();
        let Some(count) = self.given.rows.get(name).map(Vec::len) else {
            if !before.revoked.is_empty() {
                self.changes = self.changes.saturating_add(1);
            }
            return false;
        };
        let identity = self.identity(name);
        let mut proved = Proved { by: before.by, ..Proved::default() };
        let (mut kept, mut contradicts) = (Vec::new(), false);
        for bundle in self.given_of(name) {
            if identity.is_some_and(|identity| identity != bundle.identity()) {
                continue;
            }
            if self.age(&bundle) == Age::Contradicting {
                contradicts = true;
                continue;
            }
            let since = |sk: &KeyId| before.revoked.get(sk).copied().unwrap_or(now_ms);
            let (count, wait): (Vec<KeyId>, Vec<KeyId>) =
                self.revokes(&bundle).into_iter().partition(|sk| self.counts(&bundle, sk));
            proved.revoked.extend(count.iter().map(|sk| (*sk, since(sk))));
            proved.undecided.extend(wait);
            if self.age(&bundle) == Age::Newer {
                proved.sure.extend(count);
            }
            if self.is_news(&bundle) {
                proved.signers.keep(&bundle);
                kept.push(B64Vec(bundle.bytes().to_vec()));
            }
        }
        if !before.revoked.keys().eq(proved.revoked.keys()) {
            self.changes = self.changes.saturating_add(1);
        }
        if kept.is_empty() {
            self.given.rows.remove(name);
            return contradicts;
        }
        if kept.len() < count {
            self.given.rows.put(name, kept);
        }
        self.given.proved.insert(name.clone(), proved);
        contradicts
    }

    /// The same of everybody.
    pub(super) fn settle_all_given(&mut self, now_ms: u64) {
        let names = self.given.rows.iter().filter_map(|(name, _)| UserName::new(name).ok());
        let names: BTreeSet<UserName> = names.collect();
        self.given.proved.retain(|name, _| names.contains(name));
        for name in names {
            self.settle_given(now_ms, &name);
        }
    }

    /// The owner and parsed form of a signing key by which a link can be verified.
    pub(crate) fn signer_of_link(&self, name: &UserName, sk: &KeyId) -> Option<&Signer> {
        let given = || self.given.proved.get(name)?.signers.of(name, sk);
        self.signer_of_any_time(name, sk).or_else(given)
    }

    /// Bundles that were handed over and revoke a key of a person that no bundle revokes which the hub has shown: it, and
    /// who seals for that key, is told of them. Of this user's own those that count.
    pub(crate) fn given_revoking(&self, name: &UserName) -> Vec<Bundle> {
        let counts =
            |bundle: &Bundle| self.revokes(bundle).iter().any(|sk| self.counts(bundle, sk));
        self.given_of(name).filter(counts).collect()
    }

    /// The first bundle that revokes each of these keys, of those that were handed over or that the hub has shown. Those that
    /// bring no key come before others: the owner's own devices believe them at once.
    pub(crate) fn first_revoking(&self, name: &UserName, mut keys: BTreeSet<KeyId>) -> Vec<B64Vec> {
        let mut given = self.given_revoking(name);
        given.sort_by_key(|bundle| self.brings_key(bundle));
        let shown = self.held(name).chain(self.devices(name).cloned());
        let mut first: Vec<Bundle> = given.into_iter().chain(shown).collect();
        first.retain(|bundle| {
            let revokes = bundle.header().rev.iter().filter(|sk| keys.remove(*sk));
            revokes.count() > 0
        });
        first.iter().map(|bundle| B64Vec(bundle.bytes().to_vec())).collect()
    }

    /// Somebody has handed over that a device of a person is revoked.
    pub(crate) fn note_giver(&mut self, name: &UserName, by: &UserName) {
        if let Some(proved) = self.given.proved.get_mut(name) {
            proved.by.get_or_insert_with(|| by.clone());
        }
    }

    /// Who has done so first, if this process has seen it.
    pub(crate) fn giver_of(&self, name: &UserName) -> Option<&UserName> {
        self.given.proved.get(name)?.by.as_ref()
    }

    /// Those of this user's own that say something which counts only when the hub shows it.
    pub(crate) fn given_undecided(&self) -> Vec<Bundle> {
        let waits =
            |bundle: &Bundle| self.revokes(bundle).iter().any(|sk| !self.counts(bundle, sk));
        self.given_of(&self.me).filter(waits).collect()
    }

    /// Whether the hub shows a device of somebody as good that a bundle revokes which a member has handed over.
    pub(crate) fn is_disputed(&self, name: &UserName) -> bool {
        let Some(proved) = self.given.proved.get(name) else { return false };
        let mut in_use = self.devices(name).filter_map(|bundle| bundle.header().sk.first());
        !proved.revoked.is_empty() && in_use.any(|sk| proved.revoked.contains_key(&sk.kid))
    }

    /// A bundle that publishes the key by which a link was signed: the newest of its device where that does, else one as it
    /// was signed.
    pub(crate) fn bundle_behind(&self, link: &RawFrame) -> Option<B64Vec> {
        let Ok(Header::Member(link)) = Header::parse(link.header()) else { return None };
        let held = self.held(&link.from).chain(self.given_of(&link.from));
        let mut all = self.devices(&link.from).cloned().chain(held);
        let found = all.find(|bundle| publishes(bundle, &link.sk));
        found.map(|bundle| B64Vec(bundle.bytes().to_vec()))
    }
}
