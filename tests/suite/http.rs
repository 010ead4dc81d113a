//! Plain HTTP on the same port.

use chat_tests::{Rig, get};

#[test]
fn health_and_figures_are_served_and_everything_else_is_404() {
    let rig = Rig::new();
    let server = rig.server();
    for path in ["/livez", "/readyz", "/metrics"] {
        let answer = get(server.address(), path, &[]);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert!(!answer.body.is_empty(), "{path}: {answer:?}");
    }
    assert!(get(server.address(), "/metrics", &[]).body.contains("# EOF"));
    for path in ["/nothing-here", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd"] {
        let answer = get(server.address(), path, &[]);
        assert!([400, 404].contains(&answer.status), "{path}: {answer:?}");
        assert!(!answer.body.is_empty() && !answer.body.contains("root:"), "{path}: {answer:?}");
    }
}

#[test]
fn a_page_of_another_site_may_not_open_a_websocket() {
    let rig = Rig::new();
    let server = rig.server();
    let upgrade = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Origin: https://evil.example",
    ];
    let answer = get(server.address(), "/ws", &upgrade);
    assert_eq!(answer.status, 403, "{answer:?}");
}
