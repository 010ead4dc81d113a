//! What a client tells a hub that was restored from a backup (rule R36): bundles and links that it has
//! lost. Here they are proved against what is stored, and taken from the budgets of who has signed them; the
//! worker decides, one after the other.

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
    limits::{LIST_RETRY_MS, REMIND_ITEM_PAUSE, REMIND_PORTION_MAX},
    published,
    request::{FrameRequest, Peer, Reminder},
    shared::Shared,
    store::{AccountId, BundleName, ReadError},
};

/// Everything in a reminder that proves itself and is news here.
#[derive(Default)]
pub(super) struct Proved {
    pub(super) bundles: u32,
    pub(super) links: u32,
    pub(super) reminders: Vec<Reminder>,
    /// What else proves itself and cannot be taken now, by what it waits for.
    late: HashMap<Budget, Late>,
}

/// What waits for one budget.
#[derive(Default)]
struct Late {
    items: u64,
    /// When all of them have room, or as many as the budget holds.
    wait: Duration,
    why: &'static str,
}

impl Proved {
    /// Why something cannot be taken now, and how long to wait before all is said again: until the first
    /// budget has room for its part. What waits for days keeps nothing back that could be taken in a minute.
    pub(super) fn put_off(&self) -> Option<(Duration, &'static str)> {
        self.late.values().map(|late| (late.wait, late.why)).min()
    }

    /// The disk has no room for something.
    fn no_room(&mut self, hub: &Shared) {
        hub.budgets.hit(Budget::Disk);
        let wait = Duration::from_millis(LIST_RETRY_MS);
        self.late.insert(Budget::Disk, Late { items: 1, wait, why: "the disk of the hub is full" });
    }

    /// A budget has room for this after some time, and for others that wait for it later: whoever obeys comes
    /// once for as many as the budget holds.
    fn too_early(&mut self, hub: &Shared, budget: Budget, wait: Duration) {
        let late = self.late.entry(budget).or_default();
        let behind = hub.budgets.limits().rate(budget).map(|rate| {
            // One at a time where the next would come only hours after it.
            rate.time_of(late.items.min(rate.burst.saturating_sub(1))).min(REMIND_PORTION_MAX)
        });
        late.items += 1;
        late.wait = late.wait.max(wait + behind.unwrap_or_default());
        late.why = match budget {
            Budget::Bundles => "an account publishes more keys than it may in a minute",
            Budget::RoomsMade => {
                "more rooms of one person are brought back than one may make in a month"
            }
            Budget::RemindedStrangers => {
                "you bring back more people who have no account here than one may in a day"
            }
            _ => "more links of one person are brought back than one may in a day",
        };
    }
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
    /// What is kept of it as revoked.
    revoked: Vec<KeyId>,
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
    fn of_identity(&self, identity: KeyId) -> impl Iterator<Item = &BundleHeader> + Clone {
        self.bundles.iter().filter(move |bundle| key_id(&bundle.ik) == identity)
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
        let published = self.of_identity(bundle.identity());
        if published::only_revokes(bundle, &self.revoked, published.clone()) {
            return Admission::Taken;
        }
        if is_full {
            return Admission::NoRoom;
        }
        let is_new_key = published::has_new_key(bundle, published);
        match budgets(account).take_bundle(is_new_key, Instant::now()) {
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
    let mut proved = Proved::default();
    let mut accounts = Accounts { hub, known: HashMap::new(), work: 0 };
    accounts.prove_bundles(bundles, &mut proved).await?;
    accounts.prove_links(peer, links, &mut proved).await?;
    // Only who sends reminders waits, and loses nothing.
    sleep(REMIND_ITEM_PAUSE * accounts.work).await;
    Ok(proved)
}

impl Accounts<'_> {
    async fn prove_bundles(
        &mut self,
        bundles: Vec<B64Vec>,
        proved: &mut Proved,
    ) -> Result<(), ReadError> {
        let hub = self.hub;
        let is_full = hub.budgets.disk.is_full();
        for B64Vec(bytes) in bundles {
            let Some(header) = BundleHeader::peek(&bytes) else { continue };
            let known = self.of(&header.u).await?;
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
                    Admission::Later(wait) => proved.too_early(hub, Budget::Bundles, wait),
                    Admission::Never => {}
                }
                match admission {
                    Admission::Taken => known.bundles.push(header),
                    // What the hub cannot keep yet still verifies links.
                    _ => known.brought.push(header),
                }
            }
            self.work += 1;
        }
        Ok(())
    }

    async fn prove_links(
        &mut self,
        peer: &Arc<Peer>,
        links: Vec<B64Vec>,
        proved: &mut Proved,
    ) -> Result<(), ReadError> {
        let hub = self.hub;
        let is_full = hub.budgets.disk.is_full();
        for B64Vec(bytes) in links {
            let Ok(frame) = RawFrame::decode(bytes.into()) else { continue };
            let Ok(Header::Member(link)) = Header::parse(frame.header()) else { continue };
            self.work += 1;
            let digest = frame.digest(label::MEMBER);
            if hub.reads.has_link(&link.cid, link.mg, digest).await? {
                continue;
            }
            let known = self.of(&link.from).await?;
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
            let payer = known.account.filter(|(_, own)| *own == signer);
            let payer =
                payer.map_or_else(|| Arc::clone(&peer.budgets), |(id, _)| hub.budgets.of(id));
            match payer.take_reminded(digest, what, Instant::now()) {
                Ok(()) => {
                    proved.links += 1;
                    let request = Box::new(request(peer, link, &frame));
                    proved.reminders.push(Reminder::Link(request, signer));
                }
                Err(Unreminded::Links(wait)) => proved.too_early(hub, Budget::Links, wait),
                Err(Unreminded::Rooms(wait)) => proved.too_early(hub, Budget::RoomsMade, wait),
                Err(Unreminded::Strangers(wait)) => {
                    proved.too_early(hub, Budget::RemindedStrangers, wait);
                }
            }
        }
        Ok(())
    }

    /// What is known of a name, with the newest bundles of its account.
    async fn of(&mut self, name: &UserName) -> Result<&mut Known, ReadError> {
        if !self.known.contains_key(name) {
            self.work += 1;
            let row = self.hub.reads.account(name).await?.filter(|row| row.name == *name);
            let known = row.map(|row| {
                let stored = row.devices.iter();
                let bundles = stored.filter_map(|device| BundleHeader::peek(&device.bundle));
                let (account, brought) = (Some((row.id, row.identity)), Vec::new());
                Known { account, bundles: bundles.collect(), brought, revoked: row.revoked }
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
        let (brought, revoked) = (Vec::new(), Vec::new());
        Known { account, bundles: bundles.collect(), brought, revoked }
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
        let mut known = known(&[&own, &stolen]);
        let mut limits = Limits::default();
        limits.set("bundles=1/d").unwrap();
        let budgets = Budgets::new(limits, &crate::metrics::Metrics::default());
        let by = |known: &Known, bundle: &Bundle, is_full| {
            known.admit(bundle, is_full, |id| budgets.of(id))
        };
        let admit = |bundle: &Bundle, is_full| by(&known, bundle, is_full);
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
        known.revoked = vec![stolen.keys.signing_id()];
        let again = by(&known, &revoking, false);
        assert!(matches!(again, Admission::Later(_)), "an older bundle has revoked it");
        assert!(is_new_work(MemberOperation::Join) && !is_new_work(MemberOperation::Remove));
    }
}
