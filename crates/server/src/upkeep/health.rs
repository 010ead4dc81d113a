//! `chat-server health`: what `/readyz` says, as an exit code, for containers that have no other client.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

/// A server that answers later than this is not well.
const TIME_MAX: Duration = Duration::from_secs(5);

/// Longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Where a server that listens on this address is reached from its own machine.
pub fn own_address(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Whether the server is ready, and its own words line by line. Plain HTTP: TLS or not, both are
/// understood on the port, and nothing of it is secret.
pub fn ask(address: SocketAddr) -> io::Result<(bool, String)> {
    let address = own_address(address);
    let answer = get(address).map_err(|error| match error.kind() {
        // What the system calls it is "temporarily unavailable".
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            let words = format!("not within {} s", TIME_MAX.as_secs());
            io::Error::new(io::ErrorKind::TimedOut, words)
        }
        _ => error,
    })?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer.as_str(), ""));
    let is_ready = head.split(' ').nth(1) == Some("200");
    Ok((is_ready, body.to_owned()))
}

fn get(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIME_MAX)?;
    stream.set_read_timeout(Some(TIME_MAX))?;
    stream.set_write_timeout(Some(TIME_MAX))?;
    let request =
        format!("GET /readyz?verbose HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
