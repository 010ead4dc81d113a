//! Who may come in and stay: one view for the listener, the sign-in and every open connection.
//!
//! The router makes it whenever the operator has decided something; nobody else changes it. A connection
//! ends by itself when the gate closes for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use chat_protocol::{code, id::KeyId, name::UserName};
use tokio::sync::watch;

use crate::{
    pattern::Pattern,
    request::{REPLACED, Refusal},
    store::{Banned, Network, Standing},
};

/// What the operator has decided about coming in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admittance {
    networks: Vec<Network>,
    names: Vec<Pattern>,
    keys: BTreeSet<KeyId>,
    /// Signing keys of identities that were replaced since the start: what is open ends.
    replaced: BTreeSet<KeyId>,
    /// A new account needs a code.
    asks_for_codes: bool,
    /// Accounts that do not come in, by their names in lower case.
    standings: BTreeMap<String, Standing>,
}

impl Admittance {
    /// From the ban list, and the accounts that are not active or that have a banned key.
    pub fn new<'a>(
        bans: impl IntoIterator<Item = &'a Banned>,
        standings: BTreeMap<String, Standing>,
    ) -> Self {
        let mut admittance = Self { standings, ..Self::default() };
        for ban in bans {
            match ban {
                Banned::Address(network) => admittance.networks.push(*network),
                Banned::Key(key) => drop(admittance.keys.insert(*key)),
                Banned::Name(pattern) => admittance.names.push(pattern.clone()),
            }
        }
        admittance
    }

    /// The same, without the devices of identities that others have replaced.
    #[must_use]
    pub fn without(self, replaced: BTreeSet<KeyId>) -> Self {
        Self { replaced, ..self }
    }

    /// The same, where a new account needs a code, or needs none.
    #[must_use]
    pub fn asking_for_codes(self, asks_for_codes: bool) -> Self {
        Self { asks_for_codes, ..self }
    }

    /// Whether a new account needs a code.
    pub fn asks_for_codes(&self) -> bool {
        self.asks_for_codes
    }

    /// Whether connections from there are taken.
    pub fn admits_address(&self, address: IpAddr) -> bool {
        !self.networks.iter().any(|network| network.contains(address))
    }

    /// Whether somebody may come in from there, or why not.
    pub fn check_address(&self, address: IpAddr) -> Result<(), Refusal> {
        let reason = "the operator of this server has banned this address";
        let refusal = || Refusal::new(code::BARRED, reason);
        self.admits_address(address).then_some(()).ok_or_else(refusal)
    }

    /// Whether the account of this name was deleted.
    pub fn is_deleted(&self, name: &UserName) -> bool {
        self.standings.get(&name.folded()) == Some(&Standing::Deleted)
    }

    /// Whether this name may come in with these keys, or why not. The account `server` always may: it
    /// is this process.
    pub fn check(&self, name: &UserName, keys: &[KeyId]) -> Result<(), Refusal> {
        if name.is_server() {
            return Ok(());
        }
        let refuse = |reason: &str| Err(Refusal::new(code::BARRED, reason));
        match self.standings.get(&name.folded()) {
            Some(Standing::Disabled) => {
                return refuse("this account was disabled by the operator of this server");
            }
            Some(Standing::Deleted) => {
                return refuse("this account was deleted; its name is not given again");
            }
            Some(Standing::Active) | None => {}
        }
        if keys.iter().any(|key| self.replaced.contains(key)) {
            return Err(Refusal::new(code::REVOKED, REPLACED));
        }
        let is_banned = self.names.iter().any(|pattern| pattern.matches(name.as_str()))
            || keys.iter().any(|key| self.keys.contains(key));
        if is_banned {
            return refuse("the operator of this server has banned this name or key");
        }
        Ok(())
    }
}

/// Where the newest [`Admittance`] is found.
#[derive(Debug)]
pub struct Gate(watch::Sender<Arc<Admittance>>);

impl Default for Gate {
    fn default() -> Self {
        Self(watch::Sender::new(Arc::default()))
    }
}

impl Gate {
    /// From now on this holds.
    pub fn publish(&self, admittance: &Arc<Admittance>) {
        self.0.send_if_modified(|current| {
            let is_new = current != admittance;
            if is_new {
                *current = Arc::clone(admittance);
            }
            is_new
        });
    }

    /// What holds now.
    pub fn now(&self) -> Arc<Admittance> {
        Arc::clone(&self.0.borrow())
    }

    /// Tells when something else holds.
    pub fn changes(&self) -> watch::Receiver<Arc<Admittance>> {
        self.0.subscribe()
    }

    /// Waits until a connection must end, and says why.
    pub async fn closes(&self, name: &UserName, keys: &[KeyId], address: IpAddr) -> Refusal {
        let mut changes = self.0.subscribe();
        loop {
            let now = Arc::clone(&changes.borrow_and_update());
            if let Err(refusal) = now.check(name, keys).and_then(|()| now.check_address(address)) {
                return refusal;
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_ends_when_the_gate_closes_for_it_and_for_nobody_else() {
        let gate = Gate::default();
        let (bob, carol) = (UserName::new("Bob").unwrap(), UserName::new("carol").unwrap());
        let address = IpAddr::from([192, 0, 2, 7]);
        let (ours, others) = (gate.closes(&bob, &[], address), gate.closes(&carol, &[], address));
        let (mut ours, mut others) = (std::pin::pin!(ours), std::pin::pin!(others));
        let wait = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(wait, ours.as_mut()).await.is_err(), "open");
        let standings = BTreeMap::from([("bob".to_owned(), Standing::Disabled)]);
        gate.publish(&Arc::new(Admittance::new([], standings)));
        assert!(ours.await.reason.contains("disabled"));
        assert!(tokio::time::timeout(wait, others.as_mut()).await.is_err(), "open");
        let bans = ["192.0.2.0/24".parse().unwrap()];
        gate.publish(&Arc::new(Admittance::new(&bans, BTreeMap::new())));
        assert!(others.await.reason.contains("address"));
    }

    #[test]
    fn keys_and_patterns_are_kept_out_and_the_server_never() {
        let key = KeyId([9; 16]);
        let bans = ["emu-*".parse().unwrap(), Banned::Key(key), "*".parse().unwrap()];
        let check = |bans: &[Banned], name: &str, keys: &[KeyId]| {
            let name = UserName::new(name).unwrap();
            Admittance::new(bans, BTreeMap::new()).check(&name, keys).is_ok()
        };
        let [pattern, by_key, all] = bans;
        assert!(!check(std::slice::from_ref(&pattern), "EMU-1", &[]));
        assert!(check(&[pattern], "alice", &[]));
        assert!(!check(std::slice::from_ref(&by_key), "alice", &[key]));
        assert!(check(&[by_key], "alice", &[KeyId([1; 16])]));
        assert!(Admittance::new(&[all], BTreeMap::new()).check(&UserName::server(), &[]).is_ok());
    }
}
