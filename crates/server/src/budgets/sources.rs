//! What comes from one address before anybody is known: new accounts.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lru::LruCache;
use tokio::time::Instant;

use super::{Bucket, Budget, Hits, Limits, Rate};

/// Networks whose sign-ups are remembered.
const NETWORKS_MAX: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// How much more a /48 may than a /64: it may be a campus, or one person's tunnel.
const SITE_FACTOR: u64 = 10;

/// Sign-ups by network.
#[derive(Debug)]
pub struct Sources {
    limits: Arc<Limits>,
    hits: Arc<Hits>,
    networks: Mutex<LruCache<(IpAddr, Budget), Bucket>>,
}

impl Sources {
    pub(super) fn new(limits: Arc<Limits>, hits: Arc<Hits>) -> Self {
        Self { limits, hits, networks: Mutex::new(LruCache::new(NETWORKS_MAX)) }
    }

    /// Takes a new account of an address, or says how long to wait. `source` is that of
    /// [`crate::listener`]: the address, of IPv6 its /64; none for this machine, which is exempt.
    pub fn sign_up(&self, source: Option<IpAddr>, now: Instant) -> Result<(), Duration> {
        let Some(source) = source else { return Ok(()) };
        let budgets = [Budget::SignUpsHour, Budget::SignUpsDay];
        let rates = budgets.into_iter().filter_map(|b| Some((b, self.limits.rate(b)?)));
        let mut asked: Vec<((IpAddr, Budget), Rate)> =
            rates.clone().map(|(budget, rate)| ((source, budget), rate)).collect();
        if let Some(site) = site(source) {
            let tenfold = |rate: Rate| {
                let (tokens, burst) = (rate.tokens * SITE_FACTOR, rate.burst * SITE_FACTOR);
                Rate { tokens, burst, ..rate }
            };
            asked.extend(rates.map(|(budget, rate)| ((site, budget), tenfold(rate))));
        }
        let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, rate) in &asked {
            let wait = networks.get(key).map_or(Duration::ZERO, |bucket| bucket.wait(rate, now));
            if !wait.is_zero() {
                self.hits.count(key.1);
                return Err(wait);
            }
        }
        for (key, rate) in asked {
            networks.get_or_insert_mut(key, Bucket::default).spend(&rate, now, 1);
        }
        Ok(())
    }
}

/// The /48 of an IPv6 address.
fn site(source: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(address) = source else { return None };
    let [a, b, c, ..] = address.segments();
    Some(IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn sources() -> Sources {
        let metrics = Metrics::new();
        Sources::new(Arc::new(Limits::default()), Arc::new(Hits::new(&metrics)))
    }

    #[test]
    fn an_address_makes_ten_accounts_an_hour_and_this_machine_any() {
        let (sources, now) = (sources(), Instant::now());
        let office = Some("192.0.2.7".parse().unwrap());
        let made = |now| (0..100).filter(|_| sources.sign_up(office, now).is_ok()).count();
        assert_eq!(made(now), 10);
        assert!(sources.sign_up(office, now).unwrap_err() <= Duration::from_mins(6));
        assert_eq!(made(now + Duration::from_hours(1)), 10);
        assert_eq!(sources.sign_up(Some("192.0.2.8".parse().unwrap()), now), Ok(()));
        assert!((0..1_000).all(|_| sources.sign_up(None, now).is_ok()));
    }

    #[test]
    fn a_site_of_many_networks_has_ten_times_as_many() {
        let (sources, now) = (sources(), Instant::now());
        let mut made = 0;
        for network in 0..50_u16 {
            let source = Ipv6Addr::new(0x2001, 0xdb8, 7, network, 0, 0, 0, 0);
            made += (0..20).filter(|_| sources.sign_up(Some(source.into()), now).is_ok()).count();
        }
        assert_eq!(made, 100);
        let other = Ipv6Addr::new(0x2001, 0xdb8, 8, 0, 0, 0, 0, 0);
        assert_eq!(sources.sign_up(Some(other.into()), now), Ok(()));
    }
}
