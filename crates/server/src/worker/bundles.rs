//! `BUNDLES`: the newest of people's live devices, and older ones by the keys in them (rule R40).

use std::collections::BTreeMap;

use chat_protocol::{
    b64::B64Vec,
    hub::{HubToClient, PersonBundles},
    id::MessageId,
    keys::{BundleHeader, key_id},
    limits::{BUNDLES_OVERHEAD_BYTES, TEXT_BYTES_MAX},
    name::UserName,
};

use crate::{
    router::{Wanted, WantedKey},
    store::{BundleName, ReadError, Reads},
};

/// What one bundle takes in the answer.
fn text_bytes(bundle: &[u8]) -> usize {
    bundle.len().div_ceil(3) * 4 + 3
}

/// Reads them and cuts the page where it is full. A person is in it with all or with none; the newest
/// bundles of one always fit.
pub(super) async fn answer(
    reads: &Reads,
    id: MessageId,
    wanted: Wanted,
) -> Result<HubToClient, ReadError> {
    let Wanted { people: wanted_people, unknown, gone, keys } = wanted;
    let newest = wanted_people.iter().flat_map(|(_, devices)| devices);
    let names = newest.map(|device| BundleName::Newest(*device));
    let by_key = keys.iter().map(|key| BundleName::Key(key.account, key.kid));
    let mut found = reads.bundles(names.chain(by_key).collect()).await?.into_iter();

    let mut page = Page::default();
    for (name, devices) in wanted_people {
        let bundles: Vec<Vec<u8>> = found.by_ref().take(devices.len()).flatten().collect();
        page.add(name, bundles, |person| &mut person.bundles);
    }
    for (WantedKey { name, identity, .. }, bundle) in keys.into_iter().zip(found) {
        let Some(bundle) = bundle else { continue };
        // Its signatures were checked before it was kept.
        let header = BundleHeader::peek(&bundle);
        let is_former = header.is_some_and(|header| key_id(&header.ik) != identity);
        page.add(name, vec![bundle], |person| {
            if is_former { &mut person.former } else { &mut person.bundles }
        });
    }
    let Page { people, more, .. } = page;
    Ok(HubToClient::Bundles { id, people, unknown, gone, more })
}

struct Page {
    people: BTreeMap<UserName, PersonBundles>,
    room: usize,
    more: bool,
}

impl Default for Page {
    fn default() -> Self {
        let room = TEXT_BYTES_MAX.saturating_sub(BUNDLES_OVERHEAD_BYTES);
        Self { people: BTreeMap::new(), room, more: false }
    }
}

impl Page {
    /// Adds bundles to one of the two lists of a person.
    fn add(
        &mut self,
        name: UserName,
        bundles: Vec<Vec<u8>>,
        list: impl FnOnce(&mut PersonBundles) -> &mut Vec<B64Vec>,
    ) {
        let bytes: usize = bundles.iter().map(|bundle| text_bytes(bundle)).sum();
        if bytes > self.room {
            self.more = true;
            return;
        }
        self.room = self.room.saturating_sub(bytes);
        let person = self
            .people
            .entry(name)
            .or_insert_with(|| PersonBundles { bundles: vec![], former: vec![] });
        list(person).extend(bundles.into_iter().map(B64Vec));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_protocol::limits::{
        ACCOUNT_DEVICES_MAX, HEADER_BYTES_MAX, PAGE_ITEMS_MAX, SIGNATURE_BYTES_MAX,
    };

    #[test]
    fn a_page_fits_whatever_people_have_published() {
        let longest = vec![7; HEADER_BYTES_MAX + SIGNATURE_BYTES_MAX + 10];
        let mut page = Page::default();
        for number in 0..PAGE_ITEMS_MAX {
            let name = UserName::new(&format!("{number:032}")).unwrap();
            let bundles = vec![longest.clone(); ACCOUNT_DEVICES_MAX];
            page.add(name, bundles, |person| &mut person.bundles);
        }
        assert!(page.more);
        assert_eq!(page.people.len(), 1, "one person always fits");
        let unknown = (0..PAGE_ITEMS_MAX).map(|n| UserName::new(&format!("x{n:031}")).unwrap());
        let unknown: Vec<_> = unknown.collect();
        let id = MessageId([1; 16]);
        let text = chat_protocol::hub::write(&HubToClient::Bundles {
            id,
            people: page.people,
            gone: unknown.clone(),
            unknown,
            more: true,
        });
        assert!(text.len() <= TEXT_BYTES_MAX, "{}", text.len());
    }
}
