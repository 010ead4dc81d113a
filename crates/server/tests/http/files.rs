//! A folder served over HTTP: heads and bodies byte by byte, and peers that do not read.

use std::{io::Write as _, time::Duration};

use chat_server::{
    http::Site,
    listener::{AdmissionLimits, Front},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    body,
    front::{Running, UPGRADE, get, start_changed},
    status,
};

/// More than the buffers of a connection take, so that a body waits for its reader.
const LARGE_BYTES: usize = 16 << 20;
const PART_BYTES: usize = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(30);

struct Served {
    running: Running,
    folder: TempDir,
}

/// What stands in the large file from there on.
fn pattern(offset: usize) -> Vec<u8> {
    (offset..offset + PART_BYTES).map(|index| (index % 251).to_le_bytes()[0]).collect()
}

async fn serve(limits: AdmissionLimits, step_time_max: Duration) -> Served {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("digits.txt"), "0123456789").unwrap();
    std::fs::write(folder.path().join("empty.txt"), "").unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    std::fs::write(folder.path().join("sub/index.html"), "<p>sub").unwrap();
    // A test beside these watches the memory of the process: never all of the file at once.
    let mut large = std::fs::File::create(folder.path().join("large.bin")).unwrap();
    for part in 0..LARGE_BYTES / PART_BYTES {
        large.write_all(&pattern(part * PART_BYTES)).unwrap();
    }
    let site = Some(Site::open(folder.path()).unwrap());
    let change = |front| Front { site, step_time_max, ..front };
    Served { running: start_changed(false, limits, change).await, folder }
}

async fn serve_plainly() -> Served {
    serve(AdmissionLimits::default(), PATIENCE).await
}

fn with(path: &str, fields: &str) -> String {
    get(path).replace("\r\n\r\n", &format!("\r\n{fields}\r\n\r\n"))
}

fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next()?;
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Reads one answer with its body of a connection that stays.
async fn read_answer(stream: &mut TcpStream, has_body: bool) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((_, body)) = text.split_once("\r\n\r\n") {
            let length: usize =
                field(&text, "content-length").map_or(0, |length| length.parse().unwrap());
            if body.len() == if has_body { length } else { 0 } {
                return text;
            }
        }
        bytes.push(tokio::time::timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
    }
}

#[tokio::test]
async fn a_file_comes_with_what_browsers_need() {
    let Served { running, folder: _folder } = serve_plainly().await;
    let answer = running.ask(&get("/digits.txt?whatever=1")).await;
    assert_eq!((status(&answer), body(&answer)), (200, "0123456789"));
    for (name, expected) in [
        ("content-type", "text/plain; charset=utf-8"),
        ("content-length", "10"),
        ("accept-ranges", "bytes"),
        ("cache-control", "no-cache"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(field(&answer, name), Some(expected), "{name} in {answer}");
    }
    assert!(field(&answer, "content-security-policy").unwrap().contains("frame-ancestors 'none'"));
    assert!(field(&answer, "last-modified").unwrap().ends_with(" GMT"));
    assert_eq!(field(&answer, "server"), None);
    let head = running.ask(&get("/digits.txt").replace("GET", "HEAD")).await;
    assert_eq!((status(&head), body(&head)), (200, ""));
    assert_eq!(field(&head, "content-length"), Some("10"));
    let empty = running.ask(&get("/empty.txt")).await;
    assert_eq!((status(&empty), field(&empty, "content-length")), (200, Some("0")));
}

#[tokio::test]
async fn ranges_and_conditions_over_the_wire() {
    let Served { running, folder: _folder } = serve_plainly().await;
    let whole = running.ask(&get("/digits.txt")).await;
    let etag = field(&whole, "etag").unwrap();
    let modified = field(&whole, "last-modified").unwrap();
    let none_match = format!("If-None-Match: {etag}");
    let since = format!("If-Modified-Since: {modified}");
    let cases: [(&str, u16, &str, Option<&str>); 13] = [
        ("Range: bytes=2-4", 206, "234", Some("bytes 2-4/10")),
        ("Range: bytes=7-", 206, "789", Some("bytes 7-9/10")),
        ("Range: bytes=-2", 206, "89", Some("bytes 8-9/10")),
        ("Range: bytes=0-", 206, "0123456789", Some("bytes 0-9/10")),
        ("Range: bytes=0-1,4-5", 200, "0123456789", None),
        ("Range: bytes=4-2", 200, "0123456789", None),
        ("Range: bytes=0-1\r\nIf-Range: \"other\"", 200, "0123456789", None),
        (&none_match, 304, "", None),
        (&since, 304, "", None),
        ("If-None-Match: \"other\"", 200, "0123456789", None),
        ("If-Modified-Since: Thu, 01 Jan 1970 00:00:01 GMT", 200, "0123456789", None),
        ("If-Match: \"other\"", 412, "the file is another one by now\n", None),
        (
            "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:01 GMT",
            412,
            "the file is another one by now\n",
            None,
        ),
    ];
    for (fields, expected, content, range) in cases {
        let answer = running.ask(&with("/digits.txt", fields)).await;
        assert_eq!((status(&answer), body(&answer)), (expected, content), "{fields}: {answer}");
        assert_eq!(field(&answer, "content-range"), range, "{fields}: {answer}");
    }
    let answer = running.ask(&with("/digits.txt", "Range: bytes=10-")).await;
    assert_eq!((status(&answer), field(&answer, "content-range")), (416, Some("bytes */10")));
    let head = with("/digits.txt", "Range: bytes=2-4").replace("GET", "HEAD");
    assert_eq!(status(&running.ask(&head).await), 200, "a range is for GET");
}

#[tokio::test]
async fn folders_show_their_page_under_a_slash_and_own_paths_win() {
    let Served { running, folder } = serve_plainly().await;
    std::fs::create_dir(folder.path().join("bare")).unwrap();
    std::fs::write(folder.path().join("livez"), "a file").unwrap();
    let answer = running.ask(&get("/sub")).await;
    assert_eq!((status(&answer), field(&answer, "location")), (301, Some("/sub/")));
    // The build before lost what stands behind the question mark.
    let answer = running.ask(&get("/sub?x=1&y=%2F")).await;
    let location = field(&answer, "location");
    assert_eq!((status(&answer), location), (301, Some("/sub/?x=1&y=%2F")));
    let answer = running.ask(&get("/sub/")).await;
    assert_eq!((status(&answer), body(&answer)), (200, "<p>sub"));
    let missing = running.ask(&get("/nothing")).await;
    for path in ["/bare", "/bare/", "/", "/digits.txt/", "//sub", "/sub//"] {
        let answer = running.ask(&get(path)).await;
        assert_eq!((status(&answer), body(&answer)), (404, body(&missing)), "{path}");
    }
    assert_eq!(body(&running.ask(&get("/livez")).await), "alive\n");
}

#[tokio::test]
async fn a_long_file_arrives_whole_and_a_shortened_one_is_seen_to_be_short() {
    let Served { running, folder } = serve_plainly().await;
    let path = folder.path().join("large.bin");
    for shortened in [false, true] {
        let mut stream = running.connect().await;
        stream.write_all(get("/large.bin").as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        if shortened {
            std::fs::File::options().write(true).open(&path).unwrap().set_len(1000).unwrap();
        }
        let mut received = 0;
        let mut part = vec![0; PART_BYTES];
        loop {
            let reading = tokio::time::timeout(PATIENCE, stream.read_exact(&mut part)).await;
            if reading.unwrap().is_err() {
                break;
            }
            assert!(part == pattern(received), "another byte after {received}");
            received += PART_BYTES;
        }
        assert_eq!(received == LARGE_BYTES, !shortened, "no filler for what is not there");
    }
}

#[tokio::test]
async fn a_connection_takes_many_requests_at_once_and_a_websocket_after_them() {
    let Served { running, folder: _folder } = serve_plainly().await;
    let mut stream = running.connect().await;
    let stay = |request: String| request.replace("Connection: close\r\n", "");
    let requests = [
        stay(get("/digits.txt")),
        stay(get("/digits.txt").replace("GET", "HEAD")),
        stay(get("/nothing")),
        stay(with("/digits.txt", "Range: bytes=1-2")),
    ];
    stream.write_all(requests.concat().as_bytes()).await.unwrap();
    let expected = [(200, "0123456789"), (200, ""), (404, "<h1>404</h1>"), (206, "12")];
    for (index, (code, part)) in expected.into_iter().enumerate() {
        let answer = read_answer(&mut stream, index != 1).await;
        assert_eq!(status(&answer), code, "{index}: {answer}");
        assert!(body(&answer).contains(part), "{index}: {answer}");
    }
    assert_eq!(running.front.metrics.http.connections.get(), 1);
    stream.write_all(UPGRADE.as_bytes()).await.unwrap();
    assert_eq!(status(&read_answer(&mut stream, false).await), 101);
    assert_eq!(running.front.metrics.http.connections.get(), 0);
    assert_eq!(running.front.metrics.connections.get(), 1);
    drop(stream);
    running.until_closed().await;
}

#[tokio::test]
async fn without_room_for_a_visitor_each_gets_one_answer() {
    let limits = AdmissionLimits { visitors_max: 1, ..AdmissionLimits::default() };
    let Served { running, folder: _folder } = serve(limits, PATIENCE).await;
    let request = get("/digits.txt").replace("Connection: close\r\n", "");
    let mut first = running.connect().await;
    first.write_all(request.as_bytes()).await.unwrap();
    let answer = read_answer(&mut first, true).await;
    assert_eq!(field(&answer, "connection"), None, "{answer}");
    let answer = running.ask(&request).await;
    assert_eq!((status(&answer), body(&answer)), (200, "0123456789"));
    assert_eq!(field(&answer, "connection"), Some("close"), "{answer}");
}

/// Waits until a figure has its value.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("not so: {what}"));
}

#[tokio::test]
async fn whoever_does_not_read_a_body_or_does_not_come_back_is_cut() {
    let step = Duration::from_millis(200);
    let Served { running, folder: _folder } = serve(AdmissionLimits::default(), step).await;
    let http = &running.front.metrics.http;
    let mut reader = running.connect().await;
    reader.write_all(get("/large.bin").as_bytes()).await.unwrap();
    until("the body is cut", || http.cut.get() == 1).await;
    assert!(http.body_bytes.get() < u64::try_from(LARGE_BYTES).unwrap());
    until("the visitor is gone", || http.connections.get() == 0).await;
    let mut idle = running.connect().await;
    idle.write_all(get("/digits.txt").replace("Connection: close\r\n", "").as_bytes())
        .await
        .unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, idle.read_to_end(&mut answer)).await.unwrap().ok();
    assert!(answer.ends_with(b"0123456789"));
    assert_eq!(http.cut.get(), 1, "an idle end cuts no body");
    assert_eq!(running.front.metrics.refusals.late.get(), 0);
}

/// Goal: requests whose answers nobody reads do not gather as heads in memory. Method: as many as
/// would make 600 MB of answers; hyper must stop reading them, and the deadline end the connection.
#[tokio::test]
async fn a_flood_of_requests_without_a_reader_is_held_back() {
    const REQUESTS: usize = 1_000_000;
    let step = Duration::from_millis(500);
    let Served { running, folder: _folder } = serve(AdmissionLimits::default(), step).await;
    let request = "HEAD /digits.txt HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1_000);
    let mut stream = running.connect().await;
    let flood = async {
        for _ in 0..REQUESTS / 1_000 {
            if stream.write_all(request.as_bytes()).await.is_err() {
                return true;
            }
        }
        false
    };
    assert!(tokio::time::timeout(PATIENCE, flood).await.unwrap(), "all of them were read");
}
