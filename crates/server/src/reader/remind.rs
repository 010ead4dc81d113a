//! What a client tells a hub that was restored from a backup (rule R36): bundles and links that it has
//! lost. Here they are proved against what is stored, and taken from the budgets; the worker decides, one after
//! the other.

use std::{collections::HashMap, sync::Arc, time::Duration};

use chat_protocol::{
    b64::B64Vec,
    crypto::{VerifyingKey, sha256},
    frame::{RawFrame, VerifiedBatches},
    header::{Header, MemberHeader, MemberOperation},
    id::{Digest, KeyId},
    keys::{Bundle, BundleHeader, key_id},
    name::UserName,
    tag::label,
};
use tokio::time::{Instant, sleep};

use super::budget::is_new_work;
use crate::{
    budgets::{AccountBudgets, Budget, Reminded, Unpublished, Unreminded},
    hub::Shared,
    limits::{LIST_RETRY_MS, REMIND_ITEM_PAUSE},
    request::{FrameRequest, Peer, Reminder},
    store::{AccountId, BundleName, sqlite::ReadError},
};

/// Everything in a reminder that proves itself and is news here.
#[derive(Default)]
pub(super) struct Proved {
    pub(super) bundles: u32,
    pub(super) links: u32,
    pub(super) reminders: Vec<Reminder>,
    /// What else proves itself cannot be taken now: why, and how long to wait before all is said again.
    pub(super) put_off: Option<(Duration, &'static str)>,
    /// Bundles that are put off because their account has published too many.
    late: u64,
    /// Links that are put off because who brings them has brought too many.
    late_links: u64,
}

impl Proved {
    /// The disk has no room for something.
    fn no_room(&mut self, hub: &Shared) {
        hub.budgets.hit(Budget::Disk);
        let wait = Duration::from_millis(LIST_RETRY_MS);
        self.put_off = self.put_off.max(Some((wait, "the disk of the hub is full")));
    }

    /// The budget of an account has room for a bundle after this time, and for others that wait later: whoever
    /// obeys comes once for as many as the budget holds.
    fn too_early(&mut self, hub: &Shared, wait: Duration) {
        let wait = wait + behind(hub, Budget::Bundles, &mut self.late);
        let why = "an account publishes more keys than it may in a minute";
        self.put_off = self.put_off.max(Some((wait, why)));
    }

    /// The same of a link, for the budgets of who brings it.
    fn too_many(&mut self, hub: &Shared, unreminded: Unreminded) {
        let (wait, why) = match unreminded {
            Unreminded::Links(wait) => {
                let wait = wait + behind(hub, Budget::RemindedLinks, &mut self.late_links);
                (wait, "you bring back more links than one may in a day")
            }
            Unreminded::Rooms(wait) => (wait, "you bring back more rooms than one may in a month"),
            Unreminded::Strangers(wait) => {
                (wait, "you bring back more people who have no account here than one may in a day")
            }
        };
        self.put_off = self.put_off.max(Some((wait, why)));
    }
}

/// How much longer one more waits for a budget than the first of them.
fn behind(hub: &Shared, budget: Budget, late: &mut u64) -> Duration {
    let rate = hub.budgets.limits().rate(budget);
    let behind = rate.map(|rate| rate.time_of((*late).min(rate.burst.saturating_sub(1))));
    *late += 1;
    behind.unwrap_or_default()
}

/// What becomes of a bundle that proves itself.
#[derive(Debug, PartialEq, Eq)]
enum Admission {
    Taken,
    /// The disk is full.
    NoRoom,
    /// It may be brought again after this time.
    Later(Duration),
    /// It is nobody's here, or its signing key is one too many.
    Never,
}

/// The bundles of a name. Each was verified before it was kept.
#[derive(Default)]
struct Known {
    /// Number and identity of the account; nothing where nobody has the name. Then every identity proves
    /// itself.
    account: Option<(AccountId, KeyId)>,
    /// The newest of its devices, those that links needed, and those that the same reminder has brought and
    /// that are taken.
    bundles: Vec<BundleHeader>,
    /// What the same reminder has brought and is not taken now: it verifies links.
    brought: Vec<BundleHeader>,
}

impl Known {
    fn all(&self) -> impl Iterator<Item = &BundleHeader> {
        self.bundles.iter().chain(&self.brought)
    }

    /// Whether this is the identity of the account.
    fn is_of_account(&self, identity: &KeyId) -> bool {
        self.account.is_some_and(|(_, own)| own == *identity)
    }

    /// Whether a bundle could be news here, before its signatures are checked.
    fn lacks(&self, new: &BundleHeader) -> bool {
        let identity = key_id(&new.ik);
        let is_known = |old: &BundleHeader| {
            key_id(&old.ik) == identity && old.dev == new.dev && old.seq >= new.seq
        };
        !self.all().any(is_known)
    }

    /// The published bundles of an identity.
    fn of_identity(&self, identity: KeyId) -> impl Iterator<Item = &BundleHeader> {
        self.bundles.iter().filter(move |bundle| key_id(&bundle.ik) == identity)
    }

    fn has_new_key(&self, bundle: &Bundle) -> bool {
        let newest = bundle.header().sk.first().map(|key| key.kid);
        let mut published = self.of_identity(bundle.identity()).flat_map(|bundle| &bundle.sk);
        !published.any(|key| Some(key.kid) == newest)
    }

    /// Whether a bundle only revokes a signing key of another device that is good here. There are no more of
    /// those than keys were published by the budgets: one that brings a key of its own is taken from them.
    fn is_revocation(&self, bundle: &Bundle) -> bool {
        let own = || self.of_identity(bundle.identity());
        let others = || own().filter(|own| own.dev != bundle.header().dev);
        let is_good = |kid: &KeyId| {
            others().flat_map(|other| &other.sk).any(|key| key.kid == *kid)
                && !own().any(|own| own.rev.contains(kid))
        };
        !self.has_new_key(bundle) && bundle.header().rev.iter().any(is_good)
    }

    /// Whether the account may publish a bundle now, whoever brings it. What ends a stolen key costs nothing
    /// and has room always: who holds that key could use up the budget.
    fn admit(
        &self,
        bundle: &Bundle,
        is_full: bool,
        budgets: impl FnOnce(AccountId) -> Arc<AccountBudgets>,
    ) -> Admission {
        let account = self.account.filter(|(_, own)| *own == bundle.identity());
        let Some((account, _)) = account else { return Admission::Never };
        if self.is_revocation(bundle) {
            return Admission::Taken;
        }
        if is_full {
            return Admission::NoRoom;
        }
        match budgets(account).take_bundle(self.has_new_key(bundle), Instant::now()) {
            Ok(()) => Admission::Taken,
            Err(Unpublished::Bundles(wait)) => Admission::Later(wait),
            Err(Unpublished::SigningKeys) => Admission::Never,
        }
    }

    /// Fetches the bundle with a signing key, if it is none of those here.
    async fn find(&mut self, hub: &Shared, sk: &KeyId) -> Result<(), ReadError> {
        let Some((id, _)) = self.account else { return Ok(()) };
        let mut published = self.bundles.iter().flat_map(|bundle| &bundle.sk);
        if !published.any(|key| key.kid == *sk) {
            let found = hub.reads.bundles(vec![BundleName::Key(id, *sk)]).await?;
            let found = found.iter().flatten();
            self.bundles.extend(found.filter_map(|bytes| BundleHeader::peek(bytes)));
        }
        Ok(())
    }
}

/// The accounts that a reminder names, and how much work it has made.
struct Accounts<'a> {
    hub: &'a Shared,
    known: HashMap<UserName, Known>,
    /// Accounts read and signatures checked.
    work: u32,
}

pub(super) async fn prove(
    hub: &Shared,
    peer: &Arc<Peer>,
    bundles: Vec<B64Vec>,
    links: Vec<B64Vec>,
) -> Result<Proved, ReadError> {
    let is_full = hub.budgets.disk.is_full();
    let mut proved = Proved::default();
    let mut accounts = Accounts { hub, known: HashMap::new(), work: 0 };
    for B64Vec(bytes) in bundles {
        let Some(header) = BundleHeader::peek(&bytes) else { continue };
        let known = accounts.of(&header.u).await?;
        if !known.lacks(&header) {
            continue;
        }
        if let Ok(bundle) = Bundle::verify(bytes.into()) {
            let admission = known.admit(&bundle, is_full, |account| hub.budgets.of(account));
            match admission {
                Admission::Taken => {
                    proved.bundles += 1;
                    proved.reminders.push(Reminder::Bundle(Arc::new(bundle)));
                }
                Admission::NoRoom => proved.no_room(hub),
                Admission::Later(wait) => proved.too_early(hub, wait),
                Admission::Never => {}
            }
            match admission {
                Admission::Taken => known.bundles.push(header),
                // What the hub cannot keep yet still verifies links.
                _ => known.brought.push(header),
            }
        }
        accounts.work += 1;
    }
    for B64Vec(bytes) in links {
        let Ok(frame) = RawFrame::decode(bytes.into()) else { continue };
        let Ok(Header::Member(link)) = Header::parse(frame.header()) else { continue };
        accounts.work += 1;
        let digest = frame.digest(label::MEMBER);
        if hub.reads.has_link(&link.cid, link.mg, digest).await? {
            continue;
        }
        let known = accounts.of(&link.from).await?;
        known.find(hub, &link.sk).await?;
        let Some(signer) = signer(&link, &frame, known) else { continue };
        if is_full && is_new_work(link.op) {
            proved.no_room(hub);
            continue;
        }
        let what = match link.op {
            MemberOperation::Create => Reminded::Room,
            MemberOperation::Join if !known.is_of_account(&signer) => Reminded::Stranger,
            _ => Reminded::Link,
        };
        match peer.budgets.take_reminded(digest, what, Instant::now()) {
            Ok(()) => {
                proved.links += 1;
                let request = Box::new(request(peer, link, &frame));
                proved.reminders.push(Reminder::Link(request, signer));
            }
            Err(unreminded) => proved.too_many(hub, unreminded),
        }
    }
    // Only who sends reminders waits, and loses nothing.
    sleep(REMIND_ITEM_PAUSE * accounts.work).await;
    Ok(proved)
}

impl Accounts<'_> {
    /// What is known of a name, with the newest bundles of its account.
    async fn of(&mut self, name: &UserName) -> Result<&mut Known, ReadError> {
        if !self.known.contains_key(name) {
            self.work += 1;
            let row = self.hub.reads.account(name).await?.filter(|row| row.name == *name);
            let known = row.map(|row| {
                let stored = row.devices.iter();
                let bundles = stored.filter_map(|device| BundleHeader::peek(&device.bundle));
                let (account, brought) = (Some((row.id, row.identity)), Vec::new());
                Known { account, bundles: bundles.collect(), brought }
            });
            self.known.insert(name.clone(), known.unwrap_or_default());
        }
        Ok(self.known.entry(name.clone()).or_default())
    }
}

/// The identity behind the key that has signed a link: of the account that has the name, or of whoever
/// the link itself is about.
fn signer(link: &MemberHeader, frame: &RawFrame, known: &Known) -> Option<KeyId> {
    let all = known.all().map(|bundle| (key_id(&bundle.ik), bundle));
    let mut counting = all.filter(|(identity, _)| {
        known.is_of_account(identity) || (link.who == link.from && link.ik == *identity)
    });
    let (identity, key) = counting.find_map(|(identity, bundle)| {
        Some((identity, bundle.sk.iter().find(|key| key.kid == link.sk)?))
    })?;
    let spki = &key.spki;
    let key = VerifyingKey::from_spki(spki).ok()?;
    let digest = Digest(sha256(spki));
    let verified = frame.verify(label::MEMBER, &key, &digest, &mut VerifiedBatches::default());
    verified.is_ok().then_some(identity)
}

fn request(peer: &Arc<Peer>, link: MemberHeader, frame: &RawFrame) -> FrameRequest {
    FrameRequest {
        peer: Arc::clone(peer),
        header: Header::Member(link),
        frame: frame.bytes().clone(),
        digest: frame.digest(label::MEMBER),
        epoch: None,
        arrived: Instant::now(),
    }
}

#[cfg(test)]
mod tests {
    use chat_protocol::{id::Nonce16, keys::BundleOptions};
    use chat_testkit::{device::Device, keys::second_device, now_ms};

    use super::*;
    use crate::budgets::{Budgets, Limits};

    /// What is known of alice, who has published the bundles of these devices.
    fn known(devices: &[&Device]) -> Known {
        let bundles = devices.iter().filter_map(|device| BundleHeader::peek(device.bundle.bytes()));
        let account = devices.first().map(|device| (AccountId(1), device.bundle.identity()));
        Known { account, bundles: bundles.collect(), brought: Vec::new() }
    }

    fn next(device: &Device, rev: Vec<KeyId>) -> Bundle {
        let options = BundleOptions { rev, ..BundleOptions::default() };
        let old = Some(&device.bundle);
        device.keys.publish(&device.user, device.dev, old, now_ms(), options).unwrap()
    }

    /// Goal: whoever has stolen a device cannot keep its revocation from a hub that has lost it, and a full disk
    /// does not; a bundle that revokes what is no good key here is like any other. (The build before dropped it when the budget
    /// was used up, and put it off on a full disk.)
    #[test]
    fn a_revocation_is_taken_whatever_is_used_up_or_full() {
        let own = Device::new("alice", 0);
        let stolen = Device::with_keys("alice", second_device(0, 1), Nonce16([9; 16]));
        let known = known(&[&own, &stolen]);
        let mut limits = Limits::default();
        limits.set("bundles=1/d").unwrap();
        let budgets = Budgets::new(limits, &crate::metrics::Metrics::default());
        let admit = |bundle: &Bundle, is_full| known.admit(bundle, is_full, |id| budgets.of(id));
        let (plain, revoking) =
            (next(&own, Vec::new()), next(&own, vec![stolen.keys.signing_id()]));
        assert_eq!(admit(&plain, true), Admission::NoRoom);
        assert_eq!(admit(&plain, false), Admission::Taken);
        assert!(matches!(admit(&plain, false), Admission::Later(_)));
        for is_full in [false, true] {
            assert_eq!(admit(&revoking, is_full), Admission::Taken);
        }
        let made_up = next(&own, vec![KeyId([7; 16])]);
        assert!(matches!(admit(&made_up, false), Admission::Later(_)), "nobody's key");
        // Two devices that revoke each other's newest key by new keys could go on for ever.
        let other = Device { keys: second_device(0, 2), ..own.clone() };
        let renewed = next(&other, vec![stolen.keys.signing_id()]);
        assert!(matches!(admit(&renewed, false), Admission::Later(_)), "a new key");
        assert!(is_new_work(MemberOperation::Join) && !is_new_work(MemberOperation::Remove));
    }
}
