//! How many connections may be open, and how many of those may be strangers.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus_client::metrics::gauge::Gauge;
use thiserror::Error;

use crate::limits::{CONNECTIONS_MAX, STRANGERS_MAX, STRANGERS_PER_ADDRESS_MAX};

/// How many at once.
#[derive(Debug, Clone, Copy)]
pub struct AdmissionLimits {
    /// Connections of every kind.
    pub connections_max: usize,
    /// Connections that have not signed in, loopback not counted.
    pub strangers_max: usize,
    /// The same for one address.
    pub strangers_per_address_max: usize,
}

impl Default for AdmissionLimits {
    fn default() -> Self {
        Self {
            connections_max: CONNECTIONS_MAX,
            strangers_max: STRANGERS_MAX,
            strangers_per_address_max: STRANGERS_PER_ADDRESS_MAX,
        }
    }
}

/// Why a connection is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AdmissionError {
    /// No connection more in all.
    #[error("{0} connections are open")]
    Full(usize),
    /// Too many have not signed in.
    #[error("{0} connections have not signed in")]
    Strangers(usize),
    /// Too many of that address have not signed in.
    #[error("{0} connections of this address have not signed in")]
    StrangersOfAddress(usize),
}

#[derive(Debug, Default)]
struct Counts {
    connections: usize,
    strangers: usize,
    strangers_of: HashMap<IpAddr, usize>,
}

/// Counts connections and gives out permits. The lock is held for one count.
#[derive(Debug)]
pub struct Admission {
    counts: Mutex<Counts>,
    limits: AdmissionLimits,
}

impl Admission {
    /// Nobody is in yet.
    pub fn new(limits: AdmissionLimits) -> Arc<Self> {
        Arc::new(Self { counts: Mutex::default(), limits })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a connection in, or says why not.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Permit, AdmissionError> {
        let limits = self.limits;
        let stranger = source(address);
        let mut counts = self.counts();
        if counts.connections >= limits.connections_max {
            return Err(AdmissionError::Full(counts.connections));
        }
        if let Some(source) = stranger {
            if counts.strangers >= limits.strangers_max {
                return Err(AdmissionError::Strangers(counts.strangers));
            }
            let of_address = counts.strangers_of.get(&source).copied().unwrap_or(0);
            if of_address >= limits.strangers_per_address_max {
                return Err(AdmissionError::StrangersOfAddress(of_address));
            }
            counts.strangers += 1;
            counts.strangers_of.insert(source, of_address + 1);
        }
        counts.connections += 1;
        drop(counts);
        Ok(Permit { admission: Arc::clone(self), stranger, open: None })
    }
}

/// Whose limit a connection counts against: the address, of IPv6 the /64 that one customer has;
/// `None` for this machine, which is exempt.
pub(crate) fn source(address: IpAddr) -> Option<IpAddr> {
    match address.to_canonical() {
        address if address.is_loopback() => None,
        IpAddr::V4(address) => Some(IpAddr::V4(address)),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Some(IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)))
        }
    }
}

/// The right to be connected. Dropping it makes room.
#[derive(Debug)]
pub struct Permit {
    admission: Arc<Admission>,
    /// Set while the connection counts as a stranger.
    stranger: Option<IpAddr>,
    open: Option<Gauge>,
}

impl Permit {
    /// Somebody has signed in: the connection is no stranger any more.
    pub fn signed_in(&mut self) {
        let Some(source) = self.stranger.take() else { return };
        let mut counts = self.admission.counts();
        counts.strangers = counts.strangers.saturating_sub(1);
        if let Some(of_address) = counts.strangers_of.get_mut(&source) {
            *of_address = of_address.saturating_sub(1);
            if *of_address == 0 {
                counts.strangers_of.remove(&source);
            }
        }
    }

    /// The connection is a WebSocket now; it is counted in this gauge until it ends.
    pub(super) fn opened(&mut self, open: &Gauge) {
        open.inc();
        self.open = Some(open.clone());
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.signed_in();
        let mut counts = self.admission.counts();
        counts.connections = counts.connections.saturating_sub(1);
        drop(counts);
        if let Some(open) = &self.open {
            open.dec();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission() -> Arc<Admission> {
        Admission::new(AdmissionLimits {
            connections_max: 6,
            strangers_max: 4,
            strangers_per_address_max: 2,
        })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_limit_holds_at_its_value_and_frees_with_the_permit() {
        let admission = admission();
        let (a, b, c) = (address("192.0.2.1"), address("192.0.2.2"), address("192.0.2.3"));
        let mut inside = vec![admission.admit(a).unwrap(), admission.admit(a).unwrap()];
        assert_eq!(admission.admit(a).unwrap_err(), AdmissionError::StrangersOfAddress(2));
        inside.extend([admission.admit(b).unwrap(), admission.admit(b).unwrap()]);
        assert_eq!(admission.admit(c).unwrap_err(), AdmissionError::Strangers(4));
        inside[0].signed_in();
        inside[0].signed_in();
        inside.push(admission.admit(a).unwrap());
        let loopback = admission.admit(address("127.0.0.1")).unwrap();
        assert_eq!(admission.admit(c).unwrap_err(), AdmissionError::Full(6));
        drop(loopback);
        assert_eq!(admission.admit(c).unwrap_err(), AdmissionError::Strangers(4));
        drop(inside);
        let counts = admission.counts();
        assert_eq!((counts.connections, counts.strangers), (0, 0));
        assert!(counts.strangers_of.is_empty(), "no memory of who was here");
    }

    #[test]
    fn this_machine_is_exempt_and_one_network_of_ipv6_is_one_source() {
        let admission = admission();
        let local: Vec<_> = ["127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1"]
            .map(|text| admission.admit(address(text)).unwrap())
            .into();
        drop(local);
        let _first = admission.admit(address("2001:db8::1")).unwrap();
        let _second = admission.admit(address("2001:db8::2")).unwrap();
        let third = admission.admit(address("2001:db8::3")).unwrap_err();
        assert_eq!(third, AdmissionError::StrangersOfAddress(2));
        admission.admit(address("2001:db8:0:1::1")).unwrap();
    }
}
