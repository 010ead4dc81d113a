//! The port, spoken to in raw bytes over real sockets: HTTP, the upgrade, TLS, and hostile peers.

#[cfg(test)]
#[path = "http/front.rs"]
mod front;

#[cfg(test)]
#[path = "http/files.rs"]
mod files;

use std::time::{Duration, Instant};

use front::{UPGRADE, close_code, frame, get, resident_bytes, start, start_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Status code of an answer.
fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

#[tokio::test]
async fn health_metrics_and_the_page_that_nothing_is_here() {
    let running = start().await;
    let cases = [
        ("/livez", 200, "alive"),
        ("/readyz", 200, "ready"),
        ("/metrics", 200, "chat_build_info"),
        ("/", 200, "<code>chat-client</code>"),
        ("/x", 404, "<h1>404</h1>"),
        ("/index.html", 404, "<h1>404</h1>"),
        ("/../../etc/passwd", 404, "<h1>404</h1>"),
    ];
    for (path, expected, part) in cases {
        let answer = running.ask(&get(path)).await;
        assert_eq!(status(&answer), expected, "{path}: {answer}");
        assert!(body(&answer).contains(part), "{path}: {answer}");
        for field in [
            "x-content-type-options: nosniff",
            "content-security-policy: default-src 'none'",
            "frame-ancestors 'none'",
            "referrer-policy: no-referrer",
        ] {
            assert!(answer.contains(field), "{path} without {field}: {answer}");
        }
    }
    let metrics = running.ask(&get("/metrics")).await;
    assert!(metrics.contains("application/openmetrics-text"), "{metrics}");
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
}

#[tokio::test]
async fn readiness_is_503_while_the_store_is_not_ready_and_while_draining() {
    let running = start().await;
    running.front.readiness.set_store_ready(false);
    let answer = running.ask(&get("/readyz")).await;
    assert_eq!((status(&answer), body(&answer)), (503, "starting\n"));
    running.front.readiness.start_draining();
    let answer = running.ask(&get("/readyz")).await;
    assert_eq!((status(&answer), body(&answer)), (503, "draining\n"));
    let answer = running.ask(UPGRADE).await;
    assert_eq!(status(&answer), 503, "no new session while draining: {answer}");
}

#[tokio::test]
async fn head_has_no_body_and_other_methods_are_405() {
    let running = start().await;
    let answer = running.ask(&get("/nothing").replace("GET", "HEAD")).await;
    assert_eq!((status(&answer), body(&answer)), (404, ""));
    assert!(answer.contains("content-length: "), "{answer}");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        let answer = running.ask(&get("/livez").replace("GET", method)).await;
        assert_eq!(status(&answer), 405, "{method}: {answer}");
        assert!(answer.contains("allow: GET, HEAD"), "{method}: {answer}");
    }
}

#[tokio::test]
async fn requests_that_are_no_http_or_name_no_host_are_400() {
    let running = start().await;
    for request in [
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n".to_owned(),
        "\x01\x02\x03\r\n\r\n".to_owned(),
    ] {
        let answer = running.ask(&request).await;
        assert_eq!(status(&answer), 400, "{request:?}: {answer}");
    }
}

#[tokio::test]
async fn a_head_above_its_bound_is_431() {
    let running = start().await;
    let long = format!("X-Long: {}\r\n\r\n", "a".repeat(17 * 1024));
    let many = format!("{}\r\n", "X-Many: a\r\n".repeat(65));
    for fields in [long, many] {
        let request = get("/livez").replace("\r\n\r\n", &format!("\r\n{fields}"));
        let answer = running.ask(&request).await;
        assert_eq!(status(&answer), 431, "{answer}");
    }
    let fits =
        get("/livez").replace("\r\n\r\n", &format!("\r\n{}\r\n", "X-Many: a\r\n".repeat(60)));
    assert_eq!(status(&running.ask(&fits).await), 200);
}

#[tokio::test]
async fn the_upgrade_is_refused_with_the_reason() {
    let running = start().await;
    let with = |from: &str, to: &str| UPGRADE.replace(from, to);
    let foreign = with("\r\n\r\n", "\r\nOrigin: https://evil.example\r\n\r\n");
    let cases = [
        (foreign, 403, "origin"),
        (with("Version: 13", "Version: 12"), 426, "sec-websocket-version: 13"),
        (with("Upgrade: websocket\r\n", ""), 426, "upgrade: websocket"),
        (with("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="), 400, "16 bytes"),
        (get("/ws"), 426, "connect with a WebSocket client"),
    ];
    for (request, expected, part) in cases {
        let answer = running.ask(&request).await;
        assert_eq!(status(&answer), expected, "{request}{answer}");
        assert!(answer.contains(part), "{request}{answer}");
    }
    assert_eq!(running.front.metrics.refusals.origin.get(), 1);
    assert_eq!(running.front.metrics.connections.get(), 0);
}

#[tokio::test]
async fn the_upgrade_works_on_both_paths_and_keeps_what_came_behind_the_head() {
    let running = start().await;
    for path in ["/ws", "/"] {
        let mut stream = running.connect().await;
        let mut request = UPGRADE.replace("/ws", path).into_bytes();
        request.extend(frame(0x81, b"early"));
        stream.write_all(&request).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\x81\x05early") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "{answer:?}");
        }
        let head = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(status(&head), 101, "{head}");
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        assert_eq!(running.front.metrics.connections.get(), 1);
        drop(stream);
        running.until_closed().await;
    }
}

/// Goal: whatever is half open is cut at the deadline, here a fifth of a second. Method: each kind
/// of half connection, then the time until the end of the stream.
#[tokio::test]
async fn half_open_connections_are_cut_at_the_deadline() {
    let limit = Duration::from_millis(200);
    let running = start_with(limit, true).await;
    let upgrade_only = UPGRADE.as_bytes();
    let beginnings: [(&str, &[u8]); 5] = [
        ("nothing", b""),
        ("half a head", b"GET /livez HTTP/1.1\r\nHost: localho"),
        ("half of TLS", &[0x16, 3, 1, 2, 0, 1]),
        ("a slow body", b"POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n"),
        ("no sign-in", upgrade_only),
    ];
    for (kind, bytes) in beginnings {
        let started = Instant::now();
        let mut stream = running.connect().await;
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        // A reset is an end too.
        stream.read_to_end(&mut answer).await.ok();
        let elapsed = started.elapsed();
        assert!(elapsed >= limit, "{kind}: cut after {elapsed:?}");
        assert!(elapsed < limit * 20, "{kind}: cut after {elapsed:?}");
    }
    assert_eq!(running.front.metrics.refusals.late.get(), 4, "the fifth was upgraded in time");
}

/// One byte at a time is no way around the deadline.
#[tokio::test]
async fn a_head_that_drips_is_cut() {
    let running = start_with(Duration::from_millis(200), false).await;
    let mut stream = running.connect().await;
    let dripping = async {
        for byte in get("/livez").replace("\r\n\r\n", &"a".repeat(10_000)).bytes() {
            if stream.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), dripping).await.expect("still connected");
}

#[tokio::test]
async fn tls_and_plain_text_share_the_port() {
    let running = start_with(Duration::from_secs(10), true).await;
    let answer = running.ask(&get("/livez")).await;
    assert_eq!(status(&answer), 200, "plain text from this machine");
    let mut stream = running.connect_tls().await;
    let binding = stream
        .get_ref()
        .1
        .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""))
        .unwrap();
    let mut request = UPGRADE.as_bytes().to_vec();
    request.extend(frame(0x81, b"binding"));
    stream.write_all(&request).await.unwrap();
    let expected = [&[0x82, 32][..], &binding[..]].concat();
    let mut answer = Vec::new();
    while !answer.ends_with(&expected) {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "{answer:?}");
    }
}

#[tokio::test]
async fn tls_is_refused_at_once_where_it_is_not_offered() {
    let running = start().await;
    let mut stream = running.connect().await;
    stream.write_all(&[0x16, 3, 1, 2, 0, 1]).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    assert!(answer.is_empty(), "{answer:?}");
}

#[tokio::test]
async fn what_the_protocol_forbids_is_closed_with_its_code() {
    let running = start().await;
    let declares = |length: u64| {
        let mut bytes = vec![0x82, 0xff];
        bytes.extend(length.to_be_bytes());
        bytes.extend([0; 4]);
        bytes
    };
    let cases = [
        ("one byte above the frame", declares(256 * 1024 + 1), 1009),
        ("a gigabyte", declares(1 << 30), 1009),
        ("more than there is", declares((1 << 63) - 1), 1009),
        ("not UTF-8", frame(0x81, &[0xff, 0xfe]), 1007),
        ("a reserved bit", frame(0xc1, b"x"), 1002),
        ("a continuation of nothing", frame(0x80, b"x"), 1002),
        ("not masked", vec![0x81, 1, b'x'], 1002),
    ];
    for (kind, bytes, expected) in cases {
        assert_eq!(close_code(&running, bytes, 1, true).await, Some(expected), "{kind}");
    }
    running.until_closed().await;
}

#[tokio::test]
async fn a_message_above_its_bound_in_allowed_frames_is_1009() {
    let running = start().await;
    let mut bytes = vec![0x02, 0xff];
    bytes.extend((250_u64 * 1024).to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(vec![0; 250 * 1024]);
    let mut rest = bytes.clone();
    rest[0] = 0x00;
    bytes.extend(rest.repeat(4));
    assert_eq!(close_code(&running, bytes, 1, true).await, Some(1009));
}

#[tokio::test]
async fn floods_of_pings_and_of_empty_fragments_are_cut_and_cost_no_memory() {
    let running = start().await;
    let pings = frame(0x89, &[b'p'; 125]).repeat(1_000);
    let mut fragments = frame(0x01, b"");
    fragments.extend(frame(0x00, b"").repeat(20_000));
    let continued = frame(0x00, b"").repeat(20_000);
    let before = resident_bytes();
    assert_eq!(close_code(&running, pings.clone(), 500, true).await, Some(1008));
    // Nobody reads the pongs, nor the reason; that the flood ends shows that it was cut.
    close_code(&running, pings, 500, false).await;
    fragments.extend(continued.repeat(30));
    assert_eq!(close_code(&running, fragments, 1, true).await, Some(1008));
    running.until_closed().await;
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 24 << 20, "grew by {grown} bytes");
}

#[tokio::test]
async fn stopping_ends_the_listener_and_frees_the_port() {
    let running = start().await;
    let stream = running.open().await;
    drop(stream);
    running.until_closed().await;
    let address = running.address;
    running.stop().await;
    tokio::net::TcpListener::bind(address).await.expect("the port is free again");
}
