//! What a client tells a hub that was restored from a backup (rule R36): bundles and links that it has
//! lost. Here they are proved against what is stored, and taken from the budgets; the worker decides, one after
//! the other.

use std::{collections::HashMap, sync::Arc};

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

use crate::{
    budgets::Budget,
    hub::Shared,
    limits::REMIND_ITEM_PAUSE,
    request::{FrameRequest, Peer, Reminder},
    store::{AccountId, BundleName, sqlite::ReadError},
};

/// Everything in a reminder that proves itself and is news here.
#[derive(Default)]
pub(super) struct Proved {
    pub(super) bundles: u32,
    pub(super) links: u32,
    pub(super) reminders: Vec<Reminder>,
}

/// The bundles of a name: the newest of its devices, those that links needed, and those that the same
/// reminder has brought. Each was verified before it was kept.
#[derive(Default)]
struct Known {
    /// Number and identity of the account; nothing where nobody has the name. Then every identity proves
    /// itself.
    account: Option<(AccountId, KeyId)>,
    bundles: Vec<BundleHeader>,
}

impl Known {
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
        !self.bundles.iter().any(is_known)
    }

    /// Whether the account may publish a bundle now, whoever brings it.
    fn may_publish(&self, hub: &Shared, bundle: &Bundle) -> bool {
        let account = self.account.filter(|(_, own)| *own == bundle.identity());
        let Some((account, identity)) = account else { return false };
        let newest = bundle.header().sk.first().map(|key| key.kid);
        let own = self.bundles.iter().filter(|bundle| key_id(&bundle.ik) == identity);
        let is_new_key = !own.flat_map(|bundle| &bundle.sk).any(|key| Some(key.kid) == newest);
        hub.budgets.of(account).take_bundle(is_new_key, Instant::now()).is_ok()
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
    for B64Vec(bytes) in bundles {
        let Some(header) = BundleHeader::peek(&bytes) else { continue };
        let known = accounts.of(&header.u).await?;
        if !known.lacks(&header) {
            continue;
        }
        if let Ok(bundle) = Bundle::verify(bytes.into()) {
            let may_be_kept = known.may_publish(hub, &bundle);
            known.bundles.push(header);
            // What the hub cannot keep yet still verifies links.
            if may_be_kept {
                proved.bundles += 1;
                proved.reminders.push(Reminder::Bundle(Arc::new(bundle)));
            }
        }
        accounts.work += 1;
    }
    for B64Vec(bytes) in links {
        let Ok(frame) = RawFrame::decode(bytes.into()) else { continue };
        let Ok(Header::Member(link)) = Header::parse(frame.header()) else { continue };
        let known = accounts.of(&link.from).await?;
        known.find(hub, &link.sk).await?;
        if let Some(signer) = signer(&link, &frame, known)
            && may_bring(peer, &link)
        {
            proved.links += 1;
            let request = Box::new(request(peer, link, &frame));
            proved.reminders.push(Reminder::Link(request, signer));
        }
        accounts.work += 1;
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
                Known { account: Some((row.id, row.identity)), bundles: bundles.collect() }
            });
            self.known.insert(name.clone(), known.unwrap_or_default());
        }
        Ok(self.known.entry(name.clone()).or_default())
    }
}

/// The identity behind the key that has signed a link: of the account that has the name, or of whoever
/// the link itself is about.
fn signer(link: &MemberHeader, frame: &RawFrame, known: &Known) -> Option<KeyId> {
    let published = known.bundles.iter().map(|bundle| (key_id(&bundle.ik), bundle));
    let mut counting = published.filter(|(identity, _)| {
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

/// Whether somebody may bring another link, and another room with it.
fn may_bring(peer: &Peer, link: &MemberHeader) -> bool {
    let now = Instant::now();
    let makes_room = link.op == MemberOperation::Create;
    (!makes_room || peer.budgets.take(Budget::RoomsMade, now).is_ok())
        && peer.budgets.take(Budget::RemindedLinks, now).is_ok()
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
