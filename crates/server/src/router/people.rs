//! Questions that the state answers: who is there, and whose bundles somebody lacks.

use std::{collections::BTreeMap, ops::Bound};

use chat_protocol::{
    code,
    hub::Person,
    id::KeyId,
    keys::Held,
    name::UserName,
    spoken::{deleted, nobody},
};

use super::{Presence, Router};
use crate::{
    limits::WHO_PAGE_MAX,
    request::Refusal,
    store::{AccountId, DeviceId},
};

/// Accounts in the order of their names.
#[derive(Debug)]
pub struct WhoPage {
    /// The page.
    pub people: Vec<Person>,
    /// There are more.
    pub more: bool,
}

/// Whose bundles are to be read.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Those of whom something else is held, with their live devices.
    pub people: Vec<(UserName, Vec<DeviceId>)>,
    /// Names nobody has.
    pub unknown: Vec<UserName>,
    /// Names of accounts that were deleted.
    pub gone: Vec<UserName>,
    /// Signing keys whose first bundle is wanted.
    pub keys: Vec<WantedKey>,
}

/// A signing key whose first bundle is wanted.
#[derive(Debug)]
pub struct WantedKey {
    /// Whose it is said to be.
    pub name: UserName,
    /// Their account.
    pub account: AccountId,
    /// The identity that it has now: a bundle of another one is of the past.
    pub identity: KeyId,
    /// The key.
    pub kid: KeyId,
}

impl Router {
    /// One page of everybody after a name, who of them is connected, and who accepts commands now.
    pub fn who(&self, after: Option<&UserName>) -> WhoPage {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut people: Vec<_> = self
            .by_name
            .range::<UserName, _>((start, Bound::Unbounded))
            .take(WHO_PAGE_MAX.saturating_add(1))
            .map(|(name, id)| {
                let Presence { online, agent } = self.presence(*id);
                Person { name: name.clone(), online, agent }
            })
            .collect();
        let more = people.len() > WHO_PAGE_MAX;
        people.truncate(WHO_PAGE_MAX);
        WhoPage { people, more }
    }

    /// The one refusal of what is for a name that no account has, or has any more.
    pub(super) fn no_such_user(&self, name: &UserName) -> Refusal {
        let reason = if self.is_gone(name) { deleted(name) } else { nobody(name) };
        Refusal::new(code::NO_SUCH_USER, reason)
    }

    /// Sorts the names of a BUNDLES request.
    pub fn wanted(
        &self,
        now_ms: u64,
        known: &BTreeMap<UserName, Held>,
        kids: &BTreeMap<UserName, Vec<KeyId>>,
    ) -> Wanted {
        let mut wanted = Wanted::default();
        for (name, held) in known {
            if self.is_gone(name) {
                wanted.gone.push(name.clone());
            }
            match self.account_of_any_time(name) {
                None => wanted.unknown.push(name.clone()),
                Some(account) if account.held(now_ms) != *held => {
                    let devices = account.counted_devices(now_ms).map(|device| device.id);
                    let mut devices: Vec<DeviceId> = devices.collect();
                    // Who holds nothing learns at least whose keys they are.
                    if devices.is_empty() && held.0.is_none() {
                        let last = account.devices.iter().max_by_key(|device| device.made_ms);
                        devices.extend(last.map(|device| device.id));
                    }
                    wanted.people.push((name.clone(), devices));
                }
                Some(_) => {}
            }
        }
        for (name, kids) in kids {
            let Some(account) = self.account_of_any_time(name) else { continue };
            let (account, identity) = (account.id, account.identity);
            let key = |kid: &KeyId| WantedKey { name: name.clone(), account, identity, kid: *kid };
            wanted.keys.extend(kids.iter().map(key));
        }
        wanted
    }
}
