//! Proxies before this server: whose word about where somebody comes from is believed.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicBool, Ordering},
};

use hyper::HeaderMap;

/// The header in which proxies say it.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Whether a request comes by way of a proxy, as far as it says so.
pub(super) fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.contains_key(FORWARDED_FOR)
}

/// The proxies of the configuration.
#[derive(Debug, Default)]
pub struct Proxies {
    trusted: Vec<IpAddr>,
    has_warned: AtomicBool,
}

impl Proxies {
    /// These are believed.
    pub fn new(trusted: Vec<IpAddr>) -> Self {
        Self { trusted, has_warned: AtomicBool::new(false) }
    }

    /// Whether an address is one of theirs.
    pub fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|trusted| trusted.to_canonical() == address.to_canonical())
    }

    /// Where a request comes from: by the word of the nearest proxy, if it is believed.
    pub(super) fn address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let said = headers.get_all(FORWARDED_FOR).iter().next_back();
        let said = said.and_then(|value| value.to_str().ok()?.rsplit(',').next());
        let said: Option<IpAddr> = said.and_then(|address| address.trim().parse().ok());
        match said {
            Some(address) if self.is_trusted(peer) => address,
            Some(_) if peer.to_canonical().is_loopback() => {
                if !self.has_warned.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "a proxy on this machine says where people come from, and it is not believed: no \
                         budget per address applies; see --trusted-proxy {peer}"
                    );
                }
                peer
            }
            _ => peer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|v| (FORWARDED_FOR.parse().unwrap(), v.parse().unwrap())).collect()
    }

    #[test]
    fn only_the_last_word_of_a_trusted_proxy_counts() {
        let [local, proxy, other] =
            ["127.0.0.1", "192.0.2.1", "192.0.2.2"].map(|a| a.parse().unwrap());
        let proxies = Proxies::new(vec![local, proxy]);
        let said = headers(&["198.51.100.1", "203.0.113.5, 198.51.100.7"]);
        let told: IpAddr = "198.51.100.7".parse().unwrap();
        assert_eq!(proxies.address(proxy, &said), told);
        assert_eq!(proxies.address("::ffff:192.0.2.1".parse().unwrap(), &said), told);
        assert_eq!(proxies.address(other, &said), other, "anybody can say so");
        assert_eq!(proxies.address(proxy, &headers(&[])), proxy);
        assert_eq!(proxies.address(proxy, &headers(&["love"])), proxy);
        let none = Proxies::default();
        assert_eq!(none.address(local, &said), local);
        assert!(none.has_warned.load(Ordering::Relaxed));
    }
}
