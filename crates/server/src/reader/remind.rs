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

/// The bundles of an account: the newest of its devices, those that links needed, and those that the
/// same reminder has brought.
struct Known {
    id: AccountId,
    identity: KeyId,
    bundles: Vec<Bundle>,
}

pub(super) async fn prove(
    hub: &Shared,
    peer: &Arc<Peer>,
    bundles: Vec<B64Vec>,
    links: Vec<B64Vec>,
) -> Result<Proved, ReadError> {
    let mut proved = Proved::default();
    let mut accounts: HashMap<UserName, Option<Known>> = HashMap::new();
    for B64Vec(bytes) in bundles {
        let Ok(bundle) = Bundle::verify(bytes.into()) else { continue };
        let name = bundle.header().u.clone();
        let Some(known) = account(hub, &mut accounts, &name).await? else { continue };
        let (dev, seq) = (bundle.header().dev, bundle.header().seq);
        let is_known = known.bundles.iter().map(Bundle::header);
        let is_known = is_known.into_iter().any(|old| old.dev == dev && old.seq >= seq);
        if bundle.identity() == known.identity && !is_known {
            known.bundles.push(bundle.clone());
            proved.bundles += 1;
            proved.reminders.push(Reminder::Bundle(Arc::new(bundle)));
        }
    }
    for B64Vec(bytes) in links {
        let Ok(frame) = RawFrame::decode(bytes.into()) else { continue };
        let Ok(Header::Member(link)) = Header::parse(frame.header()) else { continue };
        let Some(known) = account(hub, &mut accounts, &link.from).await? else { continue };
        known.find(hub, &link.sk).await?;
        if verify(&link, &frame, known) {
            proved.links += 1;
            proved.reminders.push(Reminder::Link(Box::new(request(peer, link, &frame))));
        }
    }
    Ok(proved)
}

impl Known {
    /// Fetches the bundle with a signing key, if it is none of those here.
    async fn find(&mut self, hub: &Shared, sk: &KeyId) -> Result<(), ReadError> {
        let mut published = self.bundles.iter().flat_map(|bundle| &bundle.header().sk);
        if !published.any(|key| key.kid == *sk) {
            let found = hub.reads.bundles(vec![BundleName::Key(self.id, *sk)]).await?;
            let found = found.into_iter().flatten().map(Bytes::from);
            self.bundles.extend(found.filter_map(|bytes| Bundle::verify(bytes).ok()));
        }
        Ok(())
    }
}

/// The account of a name with its newest bundles; nothing where nobody has the name.
async fn account<'a>(
    hub: &Shared,
    accounts: &'a mut HashMap<UserName, Option<Known>>,
    name: &UserName,
) -> Result<Option<&'a mut Known>, ReadError> {
    if !accounts.contains_key(name) {
        let row = hub.reads.account(name).await?.filter(|row| row.name == *name);
        let known = match row {
            Some(row) => {
                let stored = row.devices.into_iter().map(|device| device.bundle);
                let bundles = stored.filter_map(|bytes| Bundle::verify(bytes).ok()).collect();
                Some(Known { id: row.id, identity: row.identity, bundles })
            }
            None => None,
        };
        accounts.insert(name.clone(), known);
    }
    Ok(accounts.get_mut(name).and_then(Option::as_mut))
}

/// Whether a link is signed by a key that its signer has published.
fn verify(link: &MemberHeader, frame: &RawFrame, known: &Known) -> bool {
    let published = known.bundles.iter().flat_map(|bundle| &bundle.header().sk);
    let key = published.into_iter().find(|key| key.kid == link.sk);
    let Some(spki) = key.map(|key| &key.spki) else { return false };
    let Ok(key) = VerifyingKey::from_spki(spki) else { return false };
    let digest = Digest(sha256(spki));
    frame.verify(label::MEMBER, &key, &digest, &mut VerifiedBatches::default()).is_ok()
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
