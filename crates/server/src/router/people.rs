//! Questions that the state answers: who is there, and whose bundles are newer.

use std::{collections::BTreeMap, ops::Bound};

use chat_protocol::{hub::Person, name::UserName};

use super::Router;
use crate::{limits::WHO_PAGE_MAX, store::AccountId};

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
    /// Name, account and version of those with newer bundles.
    pub people: Vec<(UserName, AccountId, u32)>,
    /// Names nobody has.
    pub unknown: Vec<UserName>,
}

impl Router {
    /// One page of everybody after a name. `is_online` says who is connected.
    pub fn who(&self, after: Option<&UserName>, is_online: impl Fn(AccountId) -> bool) -> WhoPage {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut people: Vec<_> = self
            .by_name
            .range::<UserName, _>((start, Bound::Unbounded))
            .take(WHO_PAGE_MAX.saturating_add(1))
            .map(|(name, id)| Person {
                name: name.clone(),
                online: is_online(*id),
                agent: self.account(*id).is_some_and(super::Account::is_agent),
            })
            .collect();
        let more = people.len() > WHO_PAGE_MAX;
        people.truncate(WHO_PAGE_MAX);
        WhoPage { people, more }
    }

    /// Sorts the names of a BUNDLES request.
    pub fn wanted(&self, known: &BTreeMap<UserName, u32>) -> Wanted {
        let mut wanted = Wanted::default();
        for (name, version) in known {
            match self.account_of(name) {
                None => wanted.unknown.push(name.clone()),
                Some(account) if account.version > *version => {
                    wanted.people.push((name.clone(), account.id, account.version));
                }
                Some(_) => {}
            }
        }
        wanted
    }
}
