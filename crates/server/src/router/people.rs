//! Questions that the state answers: who is there, and whose bundles somebody lacks.

use std::{collections::BTreeMap, ops::Bound};

use chat_protocol::{hub::Person, keys::Held, name::UserName};

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
    /// Name and account of those of whom something else is held.
    pub people: Vec<(UserName, AccountId)>,
    /// Names nobody has.
    pub unknown: Vec<UserName>,
    /// Names of accounts that were deleted.
    pub gone: Vec<UserName>,
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
    pub fn wanted(&self, now_ms: u64, known: &BTreeMap<UserName, Held>) -> Wanted {
        let mut wanted = Wanted::default();
        for (name, held) in known {
            if self.is_gone(name) {
                wanted.gone.push(name.clone());
            }
            match self.account_of_any_time(name) {
                None => wanted.unknown.push(name.clone()),
                Some(account) if account.held(now_ms) != *held => {
                    wanted.people.push((name.clone(), account.id));
                }
                Some(_) => {}
            }
        }
        wanted
    }
}
