//! What a client tells a hub that was restored from a backup (rule R36): bundles and links that it has
//! lost. Here they are proved against what is stored; the worker decides, one after the other.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use chat_protocol::{
    b64::B64Vec,
    crypto::{VerifyingKey, sha256},
    frame::{RawFrame, VerifiedBatches},
    header::{Header, MemberHeader},
    id::{Digest, KeyId},
    keys::Bundle,
    name::UserName,
    tag::label,
};
use tokio::time::Instant;

use crate::{
    hub::Shared,
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
/// reminder has brought.
struct Known {
    /// Number and identity of the account; nothing where nobody has the name. Then every identity proves
    /// itself.
    account: Option<(AccountId, KeyId)>,
    bundles: Vec<Bundle>,
}

pub(super) async fn prove(
    hub: &Shared,
    peer: &Arc<Peer>,
    bundles: Vec<B64Vec>,
    links: Vec<B64Vec>,
) -> Result<Proved, ReadError> {
    let mut proved = Proved::default();
    let mut accounts: HashMap<UserName, Known> = HashMap::new();
    for B64Vec(bytes) in bundles {
        let Ok(bundle) = Bundle::verify(bytes.into()) else { continue };
        let name = bundle.header().u.clone();
        let known = account(hub, &mut accounts, &name).await?;
        let (dev, seq) = (bundle.header().dev, bundle.header().seq);
        let is_other = |old: &Bundle| old.identity() != bundle.identity();
        let is_newer = |old: &Bundle| old.header().dev != dev || old.header().seq < seq;
        if !known.bundles.iter().all(|old| is_other(old) || is_newer(old)) {
            continue;
        }
        known.bundles.push(bundle.clone());
        // What the hub cannot keep yet still verifies links.
        if known.is_of_account(&bundle.identity()) {
            proved.bundles += 1;
            proved.reminders.push(Reminder::Bundle(Arc::new(bundle)));
        }
    }
    for B64Vec(bytes) in links {
        let Ok(frame) = RawFrame::decode(bytes.into()) else { continue };
        let Ok(Header::Member(link)) = Header::parse(frame.header()) else { continue };
        let known = account(hub, &mut accounts, &link.from).await?;
        known.find(hub, &link.sk).await?;
        if let Some(signer) = signer(&link, &frame, known) {
            proved.links += 1;
            let request = Box::new(request(peer, link, &frame));
            proved.reminders.push(Reminder::Link(request, signer));
        }
    }
    Ok(proved)
}

impl Known {
    /// Whether this is the identity of the account.
    fn is_of_account(&self, identity: &KeyId) -> bool {
        self.account.is_some_and(|(_, own)| own == *identity)
    }

    /// Fetches the bundle with a signing key, if it is none of those here.
    async fn find(&mut self, hub: &Shared, sk: &KeyId) -> Result<(), ReadError> {
        let Some((id, _)) = self.account else { return Ok(()) };
        let mut published = self.bundles.iter().flat_map(|bundle| &bundle.header().sk);
        if !published.any(|key| key.kid == *sk) {
            let found = hub.reads.bundles(vec![BundleName::Key(id, *sk)]).await?;
            let found = found.into_iter().flatten().map(Bytes::from);
            self.bundles.extend(found.filter_map(|bytes| Bundle::verify(bytes).ok()));
        }
        Ok(())
    }
}

/// What is known of a name.
async fn account<'a>(
    hub: &Shared,
    accounts: &'a mut HashMap<UserName, Known>,
    name: &UserName,
) -> Result<&'a mut Known, ReadError> {
    if !accounts.contains_key(name) {
        let row = hub.reads.account(name).await?.filter(|row| row.name == *name);
        let mut known = Known { account: None, bundles: Vec::new() };
        if let Some(row) = row {
            let stored = row.devices.into_iter().map(|device| device.bundle);
            known.bundles = stored.filter_map(|bytes| Bundle::verify(bytes).ok()).collect();
            known.account = Some((row.id, row.identity));
        }
        accounts.insert(name.clone(), known);
    }
    Ok(accounts.entry(name.clone()).or_insert_with(|| Known { account: None, bundles: Vec::new() }))
}

/// The identity behind the key that has signed a link: of the account that has the name, or of whoever
/// the link itself is about.
fn signer(link: &MemberHeader, frame: &RawFrame, known: &Known) -> Option<KeyId> {
    let counts = |bundle: &&Bundle| {
        let identity = bundle.identity();
        known.is_of_account(&identity) || (link.who == link.from && link.ik == identity)
    };
    let published = known.bundles.iter().filter(counts);
    let mut published =
        published.flat_map(|bundle| bundle.header().sk.iter().map(|key| (bundle.identity(), key)));
    let (identity, key) = published.find(|(_, key)| key.kid == link.sk)?;
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
