//! How many connections may be open, and how many of those may be strangers.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use thiserror::Error;

use crate::limits::{
    CONNECTIONS_MAX, STRANGERS_MAX, STRANGERS_PER_ADDRESS_MAX, VISITORS_MAX,
    VISITORS_PER_ADDRESS_MAX,
};

/// How many at once.
#[derive(Debug, Clone, Copy)]
pub struct AdmissionLimits {
    /// Connections of every kind.
    pub connections_max: usize,
    /// Connections that have not signed in, loopback not counted.
    pub strangers_max: usize,
    /// The same for one address.
    pub strangers_per_address_max: usize,
    /// Connections that stay for more HTTP requests.
    pub visitors_max: usize,
    /// The same for one address, loopback not counted.
    pub visitors_per_address_max: usize,
}

impl Default for AdmissionLimits {
    fn default() -> Self {
        Self {
            connections_max: CONNECTIONS_MAX,
            strangers_max: STRANGERS_MAX,
            strangers_per_address_max: STRANGERS_PER_ADDRESS_MAX,
            visitors_max: VISITORS_MAX,
            visitors_per_address_max: VISITORS_PER_ADDRESS_MAX,
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

/// Connections of one kind, in all and by where they come from.
#[derive(Debug, Default)]
struct Kind {
    all: usize,
    of: HashMap<IpAddr, usize>,
}

impl Kind {
    fn of_address(&self, source: Option<IpAddr>) -> usize {
        source.and_then(|source| self.of.get(&source)).copied().unwrap_or(0)
    }

    fn add(&mut self, source: Option<IpAddr>) {
        self.all += 1;
        if let Some(source) = source {
            *self.of.entry(source).or_default() += 1;
        }
    }

    fn remove(&mut self, source: Option<IpAddr>) {
        self.all = self.all.saturating_sub(1);
        let Some(source) = source else { return };
        if let Some(of_address) = self.of.get_mut(&source) {
            *of_address = of_address.saturating_sub(1);
            if *of_address == 0 {
                self.of.remove(&source);
            }
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    connections: usize,
    /// Those of this machine are not in it.
    strangers: Kind,
    visitors: Kind,
}

impl Counts {
    fn add_stranger(
        &mut self,
        source: Option<IpAddr>,
        limits: &AdmissionLimits,
    ) -> Result<(), AdmissionError> {
        if source.is_none() {
            return Ok(());
        }
        if self.strangers.all >= limits.strangers_max {
            return Err(AdmissionError::Strangers(self.strangers.all));
        }
        let of_address = self.strangers.of_address(source);
        if of_address >= limits.strangers_per_address_max {
            return Err(AdmissionError::StrangersOfAddress(of_address));
        }
        self.strangers.add(source);
        Ok(())
    }

    fn add_visitor(&mut self, source: Option<IpAddr>, limits: &AdmissionLimits) -> bool {
        let has_room = self.visitors.all < limits.visitors_max
            && self.visitors.of_address(source) < limits.visitors_per_address_max;
        if has_room {
            self.visitors.add(source);
        }
        has_room
    }

    fn remove(&mut self, place: Place, source: Option<IpAddr>) {
        match place {
            Place::Stranger if source.is_some() => self.strangers.remove(source),
            Place::Visitor => self.visitors.remove(source),
            Place::Stranger | Place::Member => {}
        }
    }
}

/// As what a connection is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It has not said yet what it wants, or has not signed in yet.
    Stranger,
    /// It asks for pages and stays.
    Visitor,
    /// Somebody has signed in on it.
    Member,
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

    /// Lets a connection in, or says why not.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Permit, AdmissionError> {
        let source = source(address);
        let mut counts = self.counts.lock();
        if counts.connections >= self.limits.connections_max {
            return Err(AdmissionError::Full(counts.connections));
        }
        counts.add_stranger(source, &self.limits)?;
        counts.connections += 1;
        drop(counts);
        Ok(Permit { admission: Arc::clone(self), source, place: Place::Stranger, open: None })
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
    source: Option<IpAddr>,
    place: Place,
    open: Option<Gauge>,
}

impl Permit {
    /// Somebody has signed in: the connection is no stranger any more.
    pub fn signed_in(&mut self) {
        self.admission.counts.lock().remove(self.place, self.source);
        self.place = Place::Member;
    }

    /// A page was asked for: from now on the connection is a visitor, counted in this gauge. `false`
    /// when there is no room for another; it stays a stranger, with a stranger's deadline.
    pub(super) fn visit(&mut self, visiting: &Gauge) -> bool {
        if self.place == Place::Stranger {
            let mut counts = self.admission.counts.lock();
            if !counts.add_visitor(self.source, &self.admission.limits) {
                return false;
            }
            counts.remove(Place::Stranger, self.source);
            drop(counts);
            self.place = Place::Visitor;
            self.count_in(visiting);
        }
        true
    }

    /// A visitor wants to sign in: it becomes a stranger again, if there is room for one.
    pub(super) fn end_visit(&mut self) -> Result<(), AdmissionError> {
        if self.place == Place::Visitor {
            let mut counts = self.admission.counts.lock();
            counts.add_stranger(self.source, &self.admission.limits)?;
            counts.remove(Place::Visitor, self.source);
            drop(counts);
            self.place = Place::Stranger;
            self.count_nowhere();
        }
        Ok(())
    }

    /// The connection is a WebSocket now; it is counted in this gauge until it ends.
    pub(super) fn opened(&mut self, open: &Gauge) {
        self.count_in(open);
    }

    fn count_in(&mut self, gauge: &Gauge) {
        gauge.inc();
        self.open = Some(gauge.clone());
    }

    fn count_nowhere(&mut self) {
        if let Some(open) = self.open.take() {
            open.dec();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.admission.counts.lock();
        counts.remove(self.place, self.source);
        counts.connections = counts.connections.saturating_sub(1);
        drop(counts);
        self.count_nowhere();
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
            visitors_max: 3,
            visitors_per_address_max: 1,
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
        let counts = admission.counts.lock();
        assert_eq!((counts.connections, counts.strangers.all), (0, 0));
        assert!(counts.strangers.of.is_empty(), "no memory of who was here");
    }

    #[test]
    fn visitors_leave_the_places_of_strangers_and_have_bounds_of_their_own() {
        let (admission, gauge) = (admission(), Gauge::default());
        let (a, b) = (address("192.0.2.1"), address("192.0.2.2"));
        let [mut first, mut second] = [a, a].map(|address| admission.admit(address).unwrap());
        assert!(first.visit(&gauge) && first.visit(&gauge), "counted once");
        assert!(!second.visit(&gauge), "one of an address");
        assert_eq!(gauge.get(), 1);
        let third = admission.admit(a).unwrap();
        assert_eq!(first.end_visit(), Err(AdmissionError::StrangersOfAddress(2)));
        drop(third);
        first.end_visit().unwrap();
        assert_eq!((gauge.get(), admission.counts.lock().visitors.all), (0, 0));
        assert!(second.visit(&gauge), "there is room again");
        let mut local = [(); 2].map(|()| admission.admit(address("::1")).unwrap());
        assert!(local.iter_mut().all(|local| local.visit(&gauge)), "loopback is no one address");
        let mut last = admission.admit(b).unwrap();
        assert!(!last.visit(&gauge), "three in all");
        drop((first, second, local, last));
        let counts = admission.counts.lock();
        assert_eq!((gauge.get(), counts.connections), (0, 0));
        assert_eq!((counts.strangers.all, counts.visitors.all), (0, 0));
        assert!(counts.strangers.of.is_empty() && counts.visitors.of.is_empty());
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
