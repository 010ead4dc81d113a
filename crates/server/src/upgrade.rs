//! Whether an HTTP request may become a WebSocket (RFC 6455, section 4.2), and from which page.
//!
//! Done by hand because HTTP and WebSocket share the port and the server of HTTP comes first. Pure:
//! it reads the head and decides.

use std::net::IpAddr;

use hyper::{
    HeaderMap, Method, StatusCode, Uri, Version,
    header::SEC_WEBSOCKET_VERSION,
    header::{CONNECTION, HOST, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_KEY, UPGRADE},
    http::{request, uri::Authority},
};
use thiserror::Error;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Where a WebSocket can be opened. On `/` too, so that `ws://host:port` works as typed.
pub const WS_PATH: &str = "/ws";

/// Base64 of the 16 bytes that RFC 6455 asks for.
const KEY_CHARACTERS: usize = 24;

/// What the connection is, as far as the decision needs it.
#[derive(Debug, Clone, Copy)]
pub struct Carrier {
    /// The request came over TLS.
    pub is_tls: bool,
    /// The peer is a process of this machine.
    pub is_loopback: bool,
    /// This server offers TLS, so others should use it.
    pub offers_tls: bool,
}

/// Why a request does not become a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// A request for the WebSocket's path that asks for no upgrade.
    #[error("this is a WebSocket: connect with a WebSocket client")]
    NotAnUpgrade,
    /// `GET` and HTTP/1.1 are part of the protocol.
    #[error("a WebSocket starts with GET and HTTP/1.1, got {method} and {version:?}")]
    WrongRequest {
        /// As received.
        method: Method,
        /// As received.
        version: Version,
    },
    /// Only version 13 exists.
    #[error("only WebSocket version 13 is spoken here")]
    WrongVersion,
    /// No key, or one that is not 16 bytes in base64.
    #[error("Sec-WebSocket-Key must be 16 bytes in base64")]
    BadKey,
    /// No `Host`, or one that cannot be read.
    #[error("the request names no valid host")]
    BadHost,
    /// A web page of another site tries to use the visitor's hub.
    #[error("this page may not connect here: its origin is not this server")]
    ForeignOrigin,
    /// Plain text from another machine although TLS is offered.
    #[error("plain text is only for this machine; connect to wss://{authority}{WS_PATH}")]
    TlsRequired {
        /// Where to go, as the client named this server.
        authority: String,
    },
}

impl Refusal {
    /// The status to answer with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotAnUpgrade | Self::WrongVersion | Self::TlsRequired { .. } => {
                StatusCode::UPGRADE_REQUIRED
            }
            Self::WrongRequest { .. } | Self::BadKey | Self::BadHost => StatusCode::BAD_REQUEST,
            Self::ForeignOrigin => StatusCode::FORBIDDEN,
        }
    }

    /// The fields that tell a client how to do better.
    pub fn fields(&self) -> Vec<(HeaderName, HeaderValue)> {
        let websocket = (UPGRADE, HeaderValue::from_static("websocket"));
        match self {
            Self::NotAnUpgrade => vec![websocket],
            Self::WrongVersion => {
                vec![websocket, (SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))]
            }
            Self::TlsRequired { .. } => vec![(UPGRADE, HeaderValue::from_static("TLS/1.2"))],
            _ => Vec::new(),
        }
    }
}

/// Whether a request is meant for the WebSocket, well formed or not.
pub fn is_meant(head: &request::Parts) -> bool {
    let path = head.uri.path();
    path == WS_PATH || (path == "/" && head.headers.contains_key(UPGRADE))
}

/// Decides on a request for which [`is_meant`] holds. Gives the value of `Sec-WebSocket-Accept`.
pub fn accept(head: &request::Parts, carrier: Carrier) -> Result<String, Refusal> {
    if !has_token(&head.headers, UPGRADE, "websocket")
        || !has_token(&head.headers, CONNECTION, "upgrade")
    {
        return Err(Refusal::NotAnUpgrade);
    }
    if head.method != Method::GET || head.version != Version::HTTP_11 {
        return Err(Refusal::WrongRequest { method: head.method.clone(), version: head.version });
    }
    if only(&head.headers, SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Refusal::WrongVersion);
    }
    let key = only(&head.headers, SEC_WEBSOCKET_KEY).filter(|key| is_key(key.as_bytes()));
    let key = key.ok_or(Refusal::BadKey)?;
    let host = host(head)?;
    check_origin(&head.headers, &host, carrier)?;
    if carrier.offers_tls && !carrier.is_tls && !carrier.is_loopback {
        return Err(Refusal::TlsRequired { authority: host.to_string() });
    }
    Ok(derive_accept_key(key.as_bytes()))
}

/// Reads `Host`, which must be there once.
pub fn host(head: &request::Parts) -> Result<Authority, Refusal> {
    only(&head.headers, HOST)
        .and_then(|host| Authority::try_from(host.as_bytes()).ok())
        .filter(|authority| !authority.as_str().contains('@'))
        .ok_or(Refusal::BadHost)
}

/// The value of a field that may stand in a head only once.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|word| word.trim().eq_ignore_ascii_case(token))
}

/// 22 characters of base64 and the padding: exactly what encodes 16 bytes.
fn is_key(key: &[u8]) -> bool {
    let Some(digits) = key.strip_suffix(b"==") else { return false };
    key.len() == KEY_CHARACTERS
        && digits.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

/// Programs send no `Origin`; browsers always do. A page may connect only to the server it came
/// from. A hostile page can also make its own name resolve to this machine (DNS rebinding), and
/// then both names agree; so without TLS, where nothing proves the name, only literal addresses and
/// `localhost` are believed.
fn check_origin(headers: &HeaderMap, host: &Authority, carrier: Carrier) -> Result<(), Refusal> {
    if !headers.contains_key(ORIGIN) {
        return Ok(());
    }
    let scheme = if carrier.is_tls { "https" } else { "http" };
    let default_port = if carrier.is_tls { 443 } else { 80 };
    let is_same = only(headers, ORIGIN)
        .and_then(|origin| Uri::try_from(origin.as_bytes()).ok())
        .filter(|origin| origin.scheme_str() == Some(scheme))
        .and_then(|origin| origin.authority().cloned())
        .is_some_and(|origin| {
            origin.host().eq_ignore_ascii_case(host.host())
                && origin.port_u16().unwrap_or(default_port)
                    == host.port_u16().unwrap_or(default_port)
        });
    let is_proven = carrier.is_tls || is_literal(host.host());
    (is_same && is_proven).then_some(()).ok_or(Refusal::ForeignOrigin)
}

fn is_literal(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    const LOCAL: Carrier = Carrier { is_tls: false, is_loopback: true, offers_tls: false };
    const TLS: Carrier = Carrier { is_tls: true, is_loopback: false, offers_tls: true };

    /// A good request, with fields replaced (or removed, by an empty value).
    fn head(changes: &[(&str, &str)]) -> request::Parts {
        let mut fields = vec![
            ("host", "127.0.0.1:9000"),
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        fields.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        fields.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
        let mut request = Request::builder().uri("/ws");
        for (name, value) in fields {
            request = request.header(name, value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_sample_of_the_rfc_is_accepted() {
        let accepted = accept(&head(&[]), LOCAL);
        assert_eq!(accepted.as_deref(), Ok("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }

    #[test]
    fn each_defect_has_its_answer() {
        let cases: &[(&[(&str, &str)], u16)] = &[
            (&[("upgrade", "")], 426),
            (&[("connection", "keep-alive")], 426),
            (&[("sec-websocket-version", "12")], 426),
            (&[("sec-websocket-version", "")], 426),
            (&[("sec-websocket-key", "")], 400),
            (&[("sec-websocket-key", "dGhlIHNhbXBsZQ==")], 400),
            (&[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZSEhIQ==")], 400),
            (&[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZ$==")], 400),
            (&[("host", "")], 400),
            (&[("host", "user@127.0.0.1")], 400),
            (&[("host", "a"), ("host", "b")], 400),
        ];
        for (changes, status) in cases {
            let refusal = accept(&head(changes), LOCAL).expect_err("must be refused");
            assert_eq!(refusal.status().as_u16(), *status, "{changes:?}: {refusal}");
        }
        let mut post = head(&[]);
        post.method = Method::POST;
        assert_eq!(accept(&post, LOCAL).unwrap_err().status(), StatusCode::BAD_REQUEST);
        let mut old = head(&[]);
        old.version = Version::HTTP_10;
        assert_eq!(accept(&old, LOCAL).unwrap_err().status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn a_page_may_only_connect_to_its_own_server() {
        let cases = [
            ("http://127.0.0.1:9000", "127.0.0.1:9000", LOCAL, true),
            ("http://localhost:9000", "LOCALHOST:9000", LOCAL, true),
            ("http://[::1]:9000", "[::1]:9000", LOCAL, true),
            ("http://127.0.0.1", "127.0.0.1:80", LOCAL, true),
            ("https://chat.example", "chat.example", TLS, true),
            ("https://chat.example:443", "chat.example", TLS, true),
            ("http://evil.example", "127.0.0.1:9000", LOCAL, false),
            ("http://127.0.0.1:8000", "127.0.0.1:9000", LOCAL, false),
            ("https://127.0.0.1:9000", "127.0.0.1:9000", LOCAL, false),
            ("http://rebound.example:9000", "rebound.example:9000", LOCAL, false),
            ("https://evil.example", "chat.example", TLS, false),
            ("null", "127.0.0.1:9000", LOCAL, false),
            ("file://", "127.0.0.1:9000", LOCAL, false),
            ("", "127.0.0.1:9000", LOCAL, true),
        ];
        for (origin, host, carrier, is_allowed) in cases {
            let result = accept(&head(&[("origin", origin), ("host", host)]), carrier);
            if is_allowed {
                assert!(result.is_ok(), "{origin} to {host}: {result:?}");
            } else {
                assert_eq!(result, Err(Refusal::ForeignOrigin), "{origin} to {host}");
            }
        }
    }

    #[test]
    fn others_are_sent_to_tls_where_it_is_offered() {
        let remote = Carrier { is_tls: false, is_loopback: false, offers_tls: true };
        let head = head(&[("host", "chat.example:9000")]);
        let refusal = accept(&head, remote).unwrap_err();
        assert_eq!(refusal.status(), StatusCode::UPGRADE_REQUIRED);
        assert!(refusal.to_string().ends_with("wss://chat.example:9000/ws"), "{refusal}");
        assert!(accept(&head, Carrier { is_loopback: true, ..remote }).is_ok());
        assert!(accept(&head, Carrier { offers_tls: false, ..remote }).is_ok());
        assert!(accept(&head, Carrier { is_tls: true, ..remote }).is_ok());
    }
}
