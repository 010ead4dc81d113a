//! Addresses as people write them: `localhost` and `[::1]` too. Other names are not looked up.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What `localhost` stands for: where clients look when they are told nothing.
const LOCALHOST: &str = "localhost";

/// Reads `127.0.0.1`, `::1`, `[::1]` or `localhost`, in any case.
pub(super) fn parse_address(text: &str) -> Result<IpAddr, String> {
    if text.eq_ignore_ascii_case(LOCALHOST) {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    let in_brackets = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = match in_brackets {
        Some(text) => text.parse().ok().map(|address: Ipv6Addr| address.into()),
        None => text.parse().ok(),
    };
    address
        .ok_or_else(|| format!("expected an address as 127.0.0.1, ::1 or localhost, got {text:?}"))
}

/// Reads `127.0.0.1:9090`, `[::1]:9090` or `localhost:9090`.
pub(super) fn parse_socket(text: &str) -> Result<SocketAddr, String> {
    let wrong = || {
        format!("expected an address and a port as 127.0.0.1:9090 or localhost:9090, got {text:?}")
    };
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    if !host.eq_ignore_ascii_case(LOCALHOST) {
        return Err(wrong());
    }
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().map_err(|_| wrong())?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, address) in [
            ("127.0.0.1", "127.0.0.1"),
            ("localhost", "127.0.0.1"),
            ("LocalHost", "127.0.0.1"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("[0:0::1]", "::1"),
        ] {
            assert_eq!(parse_address(text).unwrap().to_string(), address, "{text}");
        }
        for text in ["", "[]", "[127.0.0.1]", "[::1", "example.org", "127.0.0.1:9000"] {
            let error = parse_address(text).unwrap_err();
            assert!(error.contains("localhost") && error.contains(text), "{error}");
        }
    }

    #[test]
    fn an_address_with_a_port_is_read_as_people_write_it() {
        for (text, address) in [
            ("127.0.0.1:9090", "127.0.0.1:9090"),
            ("[::1]:9090", "[::1]:9090"),
            ("localhost:9090", "127.0.0.1:9090"),
            ("LOCALHOST:1", "127.0.0.1:1"),
        ] {
            assert_eq!(parse_socket(text).unwrap().to_string(), address, "{text}");
        }
        for text in ["", "localhost", "localhost:", "localhost:x", "::1:9090", "example.org:1"] {
            assert!(parse_socket(text).is_err(), "{text}");
        }
    }
}
