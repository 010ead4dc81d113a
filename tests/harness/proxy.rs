//! A TCP proxy that records what passes.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of one direction of one connection.
type Tape = Arc<Mutex<Vec<u8>>>;

/// Enough for a frame; only speed depends on it.
const CHUNK: usize = 64 * 1024;

/// Forwards connections to a server and keeps a copy of every byte.
pub struct Proxy {
    address: String,
    to_server: Arc<Mutex<Vec<Tape>>>,
    to_clients: Arc<Mutex<Vec<Tape>>>,
    is_closed: Arc<AtomicBool>,
}

impl Proxy {
    /// A proxy on a free port before the server at `target` (`ADDRESS:PORT`).
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap().to_string(),
            to_server: Arc::default(),
            to_clients: Arc::default(),
            is_closed: Arc::default(),
        };
        let target = target.to_owned();
        let (up, down) = (Arc::clone(&proxy.to_server), Arc::clone(&proxy.to_clients));
        let is_closed = Arc::clone(&proxy.is_closed);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if is_closed.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(server) = TcpStream::connect(&target) {
                    forward(&client, &server, new_tape(&up));
                    forward(&server, &client, new_tape(&down));
                }
            }
        });
        proxy
    }

    /// Where clients connect to.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// What clients sent, without the masks that WebSocket puts over it.
    pub fn sent_by_clients(&self) -> Vec<u8> {
        tapes(&self.to_server).iter().flat_map(|tape| unmasked(tape)).collect()
    }

    /// What the server sent.
    pub fn sent_by_server(&self) -> Vec<u8> {
        tapes(&self.to_clients).concat()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(&self.address));
    }
}

fn new_tape(tapes: &Mutex<Vec<Tape>>) -> Tape {
    let tape = Tape::default();
    tapes.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&tape));
    tape
}

fn tapes(tapes: &Mutex<Vec<Tape>>) -> Vec<Vec<u8>> {
    let tapes = tapes.lock().unwrap_or_else(PoisonError::into_inner);
    tapes.iter().map(|tape| tape.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
}

fn forward(from: &TcpStream, to: &TcpStream, tape: Tape) {
    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else {
        return;
    };
    std::thread::spawn(move || {
        let mut chunk = vec![0; CHUNK];
        while let Ok(count) = from.read(&mut chunk) {
            let Some(bytes) = chunk.get(..count).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            tape.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            if to.write_all(bytes).is_err() {
                break;
            }
        }
        drop(to.shutdown(Shutdown::Write));
    });
}

/// The HTTP request and the payloads of the frames after it (RFC 6455, section 5.2).
fn unmasked(tape: &[u8]) -> Vec<u8> {
    let end = tape.windows(4).position(|four| four == b"\r\n\r\n").map_or(tape.len(), |at| at + 4);
    let (head, mut rest) = tape.split_at(end);
    let mut clear = head.to_vec();
    while let Some((payload, after)) = frame(rest) {
        clear.extend(payload);
        rest = after;
    }
    clear
}

/// The first frame's payload in clear, and what follows it.
fn frame(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (&[_, length], rest) = bytes.split_first_chunk::<2>()?;
    let is_masked = length & 0x80 != 0;
    let (length, rest) = match length & 0x7F {
        126 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (u64::from(u16::from_be_bytes(*length)), rest)
        }
        127 => {
            let (length, rest) = rest.split_first_chunk::<8>()?;
            (u64::from_be_bytes(*length), rest)
        }
        short => (u64::from(short), rest),
    };
    let (mask, rest) = if is_masked { rest.split_first_chunk::<4>()? } else { (&[0; 4], rest) };
    let (payload, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    let clear = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    Some((clear.collect(), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_frame_is_read_in_clear() {
        // The example of RFC 6455, section 5.7.
        let mut tape = b"GET / HTTP/1.1\r\n\r\n".to_vec();
        tape.extend([0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58]);
        assert!(unmasked(&tape).ends_with(b"\r\n\r\nHello"));
    }
}
