//! What a client tells a hub that was restored from a backup (rule R36): bundles and links that it has
//! lost. Here they are proved against what is stored; the worker decides, one after the other.

use std::{collections::HashMap, sync::Arc};

use chat_protocol::{
    b64::B64Vec,
    crypto::{VerifyingKey, sha256},
    frame::{RawFrame, VerifiedBatches},
    header::{Header, MemberHeader},
    id::{Digest, KeyId},
    keys::{Bundle, BundleHeader, key_id},
    name::UserName,
    tag::label,
};
use tokio::time::{Instant, sleep};

use crate::{
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

/// What an account has published: the newest of its devices, what links needed, and what the same
/// reminder has brought. It was verified before it was kept.
struct Known {
    id: AccountId,
    identity: KeyId,
    bundles: Vec<BundleHeader>,
}

impl Known {
    /// Whether a bundle could be news here, before its signatures are checked.
    fn lacks(&self, new: &BundleHeader) -> bool {
        key_id(&new.ik) == self.identity
            && !self.bundles.iter().any(|old| old.dev == new.dev && old.seq >= new.seq)
    }

    /// Fetches the bundle with a signing key, if it is none of those here.
    async fn find(&mut self, hub: &Shared, sk: &KeyId) -> Result<(), ReadError> {
        let mut published = self.bundles.iter().flat_map(|bundle| &bundle.sk);
        if !published.any(|key| key.kid == *sk) {
            let found = hub.reads.bundles(vec![BundleName::Key(self.id, *sk)]).await?;
            let found = found.iter().flatten();
            self.bundles.extend(found.filter_map(|bytes| BundleHeader::peek(bytes)));
        }
        Ok(())
    }
}

/// The accounts that a reminder names, and how much work it has made.
struct Accounts<'a> {
    hub: &'a Shared,
    known: HashMap<UserName, Option<Known>>,
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
        let Some(known) = accounts.of(&header.u).await?.filter(|known| known.lacks(&header)) else {
            continue;
        };
        let bundle = Bundle::verify(bytes.into());
        if let Ok(bundle) = bundle {
            known.bundles.push(header);
            proved.bundles += 1;
            proved.reminders.push(Reminder::Bundle(Arc::new(bundle)));
        }
        accounts.work += 1;
    }
    for B64Vec(bytes) in links {
        let Ok(frame) = RawFrame::decode(bytes.into()) else { continue };
        let Ok(Header::Member(link)) = Header::parse(frame.header()) else { continue };
        let Some(known) = accounts.of(&link.from).await? else { continue };
        known.find(hub, &link.sk).await?;
        if verify(&link, &frame, known) {
            proved.links += 1;
            proved.reminders.push(Reminder::Link(Box::new(request(peer, link, &frame))));
        }
        accounts.work += 1;
    }
    // Only who sends reminders waits, and loses nothing.
    sleep(REMIND_ITEM_PAUSE * accounts.work).await;
    Ok(proved)
}

impl Accounts<'_> {
    /// The account of a name with its newest bundles; nothing where nobody has the name.
    async fn of(&mut self, name: &UserName) -> Result<Option<&mut Known>, ReadError> {
        if !self.known.contains_key(name) {
            self.work += 1;
            let row = self.hub.reads.account(name).await?.filter(|row| row.name == *name);
            let known = row.map(|row| {
                let stored = row.devices.iter();
                let bundles = stored.filter_map(|device| BundleHeader::peek(&device.bundle));
                Known { id: row.id, identity: row.identity, bundles: bundles.collect() }
            });
            self.known.insert(name.clone(), known);
        }
        Ok(self.known.get_mut(name).and_then(Option::as_mut))
    }
}

/// Whether a link is signed by a key that its signer has published.
fn verify(link: &MemberHeader, frame: &RawFrame, known: &Known) -> bool {
    let published = known.bundles.iter().flat_map(|bundle| &bundle.sk);
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
