//! The plainest HTTP client there is.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::LIMIT;

/// An HTTP answer.
#[derive(Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Header lines, as sent.
    pub head: String,
    /// What follows.
    pub body: String,
}

/// `GET path` with more header lines, on a connection of its own.
///
/// # Panics
/// When nobody answers, or no HTTP.
pub fn get(address: &str, path: &str, headers: &[&str]) -> Response {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n");
    if !headers.iter().any(|header| header.starts_with("Connection:")) {
        request += "Connection: close\r\n";
    }
    for header in headers {
        request = request + header + "\r\n";
    }
    stream.write_all((request + "\r\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap();
    Response { status, head: head.to_owned(), body: body.to_owned() }
}
