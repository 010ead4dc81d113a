//! Index keys: under which a person's offers to a room or to one other are listed at the hub, and
//! who was told.
//!
//! A new member is told the key that is in use. When somebody has gone, there is a new key, and the
//! offers are listed again under it: what is shared from then on stays hidden from who has left.

use std::collections::BTreeSet;

use chat_protocol::b64::B64Array;
use chat_protocol::crypto::random;
use chat_protocol::file::catalogue::IndexKey;
use chat_protocol::name::{ConversationId, UserName};
use serde::{Deserialize, Serialize};

use chat_device::home::HomeError;
use chat_device::keep::Keep;

/// An own key, and who has it.
#[derive(Serialize, Deserialize)]
struct Own {
    key: B64Array<32>,
    told: BTreeSet<UserName>,
}

/// What is to be done about an own key.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) key: IndexKey,
    /// Somebody has to be told.
    pub(super) announce: bool,
}

/// The own key for a conversation with these members, the owner not among them.
pub(super) fn current(
    keep: &Keep,
    cid: &ConversationId,
    members: &BTreeSet<UserName>,
) -> Result<Current, HomeError> {
    let name = format!("own/{cid}");
    let own = keep.get::<Own>(&name)?.filter(|own| own.told.is_subset(members));
    let key = own.as_ref().map_or_else(|| B64Array(random()), |own| own.key);
    let announce = own.is_none_or(|own| own.told != *members);
    if announce {
        keep.put(&name, &Own { key, told: members.clone() })?;
    }
    Ok(Current { key: IndexKey::new(key.0), announce })
}

/// Who has the own key for a conversation.
pub(super) fn told(keep: &Keep, cid: &ConversationId) -> Result<BTreeSet<UserName>, HomeError> {
    Ok(keep.get::<Own>(&format!("own/{cid}"))?.map(|own| own.told).unwrap_or_default())
}

/// The own key for a conversation could not be told: everybody is to be told again.
pub(super) fn was_not_told(keep: &Keep, cid: &ConversationId) -> Result<(), HomeError> {
    let name = format!("own/{cid}");
    if let Some(own) = keep.get::<Own>(&name)? {
        keep.put(&name, &Own { told: BTreeSet::new(), ..own })?;
    }
    Ok(())
}

/// Keeps the key that somebody has told.
pub(super) fn learn(
    keep: &Keep,
    cid: &ConversationId,
    owner: &UserName,
    key: &B64Array<32>,
) -> Result<(), HomeError> {
    keep.put(&format!("index/{cid}/{owner}"), key)
}

/// A key that is known, and whose offers it opens.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) cid: String,
    pub(super) owner: UserName,
    pub(super) key: IndexKey,
}

/// All keys: those of others, and one's own.
pub(super) fn known(keep: &Keep, me: &UserName) -> Result<Vec<Known>, HomeError> {
    let mut keys = Vec::new();
    for (name, key) in keep.all::<B64Array<32>>("index/")? {
        let Some((cid, owner)) = name.rsplit_once('/') else { continue };
        let Ok(owner) = UserName::new(owner) else { continue };
        keys.push(Known { cid: cid.to_owned(), owner, key: IndexKey::new(key.0) });
    }
    for (cid, own) in keep.all::<Own>("own/")? {
        keys.push(Known { cid, owner: me.clone(), key: IndexKey::new(own.key.0) });
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<UserName> {
        names.iter().map(|name| UserName::new(name).unwrap()).collect()
    }

    #[test]
    fn who_comes_is_told_and_who_goes_means_a_new_key() {
        let (keep, cid) = (Keep::new(None), ConversationId::parse("room:ops").unwrap());
        let first = current(&keep, &cid, &names(&["bob"])).unwrap();
        assert!(first.announce);
        let again = current(&keep, &cid, &names(&["bob"])).unwrap();
        assert!(!again.announce && again.key == first.key);
        let more = current(&keep, &cid, &names(&["bob", "carol"])).unwrap();
        assert!(more.announce && more.key == first.key);
        let fewer = current(&keep, &cid, &names(&["carol"])).unwrap();
        assert!(fewer.announce && fewer.key != first.key);
        was_not_told(&keep, &cid).unwrap();
        let again = current(&keep, &cid, &names(&["carol"])).unwrap();
        assert!(again.announce && again.key == fewer.key);
    }

    #[test]
    fn keys_of_others_and_own_ones_are_known() {
        let (keep, cid) = (Keep::new(None), ConversationId::parse("room:ops").unwrap());
        let (alice, bob) = (UserName::new("alice").unwrap(), UserName::new("bob").unwrap());
        current(&keep, &cid, &names(&["bob"])).unwrap();
        learn(&keep, &cid, &bob, &B64Array([7; 32])).unwrap();
        let known = known(&keep, &alice).unwrap();
        let mut owners: Vec<_> = known.iter().map(|k| (k.owner.to_string(), &*k.cid)).collect();
        owners.sort();
        assert_eq!(owners, [("alice".into(), "room:ops"), ("bob".into(), "room:ops")]);
    }
}
