//! What comes from one address before anybody is known: new accounts.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Bucket, Budget, Hits, Limits, Rate};

/// Networks whose sign-ups are remembered.
const NETWORKS_MAX: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// How much more a /48 may than a /64: it may be a campus, or one person's tunnel.
const SITE_FACTOR: u64 = 10;

/// By whose leave an account is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Nobody's: everybody may, or tries.
    Oneself,
    /// With a code of the operator, where one is needed. It says by itself for how many it is good.
    Code,
}

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

    /// Whether an address may make an account now; otherwise how long to wait. `source` is that of
    /// [`crate::listener`]: the address, of IPv6 its /64; none for this machine, which is exempt.
    pub fn may_sign_up(
        &self,
        source: Option<IpAddr>,
        by: By,
        now: Instant,
    ) -> Result<(), Duration> {
        let mut networks = self.networks.lock();
        for (key, rate) in self.asked(source, by) {
            let wait = networks.get(&key).map_or(Duration::ZERO, |bucket| bucket.wait(&rate, now));
            if !wait.is_zero() {
                self.hits.count(key.1);
                return Err(wait);
            }
        }
        Ok(())
    }

    /// Takes a new account of an address.
    pub fn signed_up(&self, source: Option<IpAddr>, by: By, now: Instant) {
        let mut networks = self.networks.lock();
        for (key, rate) in self.asked(source, by) {
            networks.get_or_insert_mut(key, Bucket::default).spend(&rate, now, 1);
        }
    }

    /// The buckets of an address: its own, and of IPv6 those of its /48.
    fn asked(&self, source: Option<IpAddr>, by: By) -> Vec<((IpAddr, Budget), Rate)> {
        let Some(source) = source else { return Vec::new() };
        let in_an_hour = match by {
            By::Oneself => Budget::SignUpsHour,
            By::Code => Budget::InvitedHour,
        };
        let budgets = [in_an_hour, Budget::SignUpsDay];
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
        asked
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

    fn sign_up(sources: &Sources, source: Option<IpAddr>, now: Instant) -> Result<(), Duration> {
        sources.may_sign_up(source, By::Oneself, now)?;
        sources.signed_up(source, By::Oneself, now);
        Ok(())
    }

    #[test]
    fn an_address_makes_ten_accounts_an_hour_and_this_machine_any() {
        let (sources, now) = (sources(), Instant::now());
        let office = Some("192.0.2.7".parse().unwrap());
        let made = |now| (0..100).filter(|_| sign_up(&sources, office, now).is_ok()).count();
        assert_eq!(made(now), 10);
        assert!(sign_up(&sources, office, now).unwrap_err() <= Duration::from_mins(6));
        assert_eq!(made(now + Duration::from_hours(1)), 10);
        assert_eq!(sign_up(&sources, Some("192.0.2.8".parse().unwrap()), now), Ok(()));
        assert!((0..1_000).all(|_| sign_up(&sources, None, now).is_ok()));
    }

    #[test]
    fn who_comes_with_a_code_is_counted_apart() {
        let (sources, now) = (sources(), Instant::now());
        let school = Some("192.0.2.7".parse().unwrap());
        let may = || sources.may_sign_up(school, By::Code, now).is_ok();
        let invited =
            (0..500).filter(|_| may()).inspect(|_| sources.signed_up(school, By::Code, now));
        assert_eq!(invited.count(), 100);
        assert_eq!((0..500).filter(|_| sign_up(&sources, school, now).is_ok()).count(), 10);
    }

    #[test]
    fn a_site_of_many_networks_has_ten_times_as_many() {
        let (sources, now) = (sources(), Instant::now());
        let mut made = 0;
        for network in 0..50_u16 {
            let source = Ipv6Addr::new(0x2001, 0xdb8, 7, network, 0, 0, 0, 0);
            made += (0..20).filter(|_| sign_up(&sources, Some(source.into()), now).is_ok()).count();
        }
        assert_eq!(made, 100);
        let other = Ipv6Addr::new(0x2001, 0xdb8, 8, 0, 0, 0, 0, 0);
        assert_eq!(sign_up(&sources, Some(other.into()), now), Ok(()));
    }
}
