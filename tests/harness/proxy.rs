//! A TCP proxy that records what passes, and that can do what a lying hub would do: lose, repeat,
//! swap and alter binary messages, and rewrite text messages, on their way to a client.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of one direction of one connection.
type Tape = Arc<Mutex<Vec<u8>>>;

/// Enough for a frame; only speed depends on it.
const CHUNK: usize = 64 * 1024;

/// What becomes of one binary message to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It passes.
    Good,
    /// It never comes.
    Lost,
    /// It comes twice.
    Twice,
    /// It comes after the next binary message.
    Late,
    /// It comes with one bit changed, in the byte so many before its end.
    Altered(usize),
    /// It never comes, and no binary message after it on this connection.
    Held,
}

/// Says what becomes of a binary message, by its payload.
pub type Rule = Box<dyn FnMut(&[u8]) -> Fate + Send>;

/// Says what a client gets in place of a text message, if it is not to get that.
pub type TextRule = Box<dyn FnMut(&str) -> Option<String> + Send>;

/// The rule for all connections.
#[derive(Clone)]
enum SharedRule {
    Binary(Arc<Mutex<Rule>>),
    Text(Arc<Mutex<TextRule>>),
}

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
        Self::start_with(target, None)
    }

    /// The same, with a rule for what the server sends.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn lying(target: &str, rule: Rule) -> Self {
        Self::start_with(target, Some(SharedRule::Binary(Arc::new(Mutex::new(rule)))))
    }

    /// The same, with a rule for the text messages that the server sends.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn rewriting(target: &str, rule: TextRule) -> Self {
        Self::start_with(target, Some(SharedRule::Text(Arc::new(Mutex::new(rule)))))
    }

    fn start_with(target: &str, rule: Option<SharedRule>) -> Self {
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
                    forward(&client, &server, new_tape(&up), None);
                    forward(&server, &client, new_tape(&down), rule.clone());
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

fn forward(from: &TcpStream, to: &TcpStream, tape: Tape, rule: Option<SharedRule>) {
    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else {
        return;
    };
    std::thread::spawn(move || {
        let mut chunk = vec![0; CHUNK];
        let mut liar = rule.map(Liar::new);
        while let Ok(count) = from.read(&mut chunk) {
            let Some(bytes) = chunk.get(..count).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            tape.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            let passed = match &mut liar {
                Some(liar) => to.write_all(&liar.pass(bytes)),
                None => to.write_all(bytes),
            };
            if passed.is_err() {
                break;
            }
        }
        drop(to.shutdown(Shutdown::Write));
    });
}

/// Applies a rule to the messages of one connection. The server's frames are not masked, and each
/// is one message.
struct Liar {
    rule: SharedRule,
    /// Bytes that are no whole frame yet.
    held: Vec<u8>,
    /// The answer to the HTTP request has passed.
    upgraded: bool,
    /// A message that comes after the next one.
    late: Vec<u8>,
    /// No binary message passes any more.
    is_held: bool,
}

/// Opcode of a whole binary message.
const BINARY: u8 = 0x82;

/// Opcode of a whole text message.
const TEXT: u8 = 0x81;

impl Liar {
    fn new(rule: SharedRule) -> Self {
        Self { rule, held: Vec::new(), upgraded: false, late: Vec::new(), is_held: false }
    }

    /// What the client gets for these bytes.
    fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        let mut out = Vec::new();
        if !self.upgraded {
            let Some(end) = self.held.windows(4).position(|four| four == b"\r\n\r\n") else {
                return out;
            };
            out.extend(self.held.drain(..end + 4));
            self.upgraded = true;
        }
        while let Some((payload, rest)) = frame(&self.held) {
            let length = self.held.len() - rest.len();
            let whole: Vec<u8> = self.held.drain(..length).collect();
            let opcode = whole.first().copied().unwrap_or_default();
            match self.rule.clone() {
                SharedRule::Binary(rule) => {
                    self.pass_message(&rule, whole, &payload, opcode == BINARY, &mut out);
                }
                SharedRule::Text(rule) if opcode == TEXT => {
                    let mut rule = rule.lock().unwrap_or_else(PoisonError::into_inner);
                    let other = std::str::from_utf8(&payload).ok().and_then(|text| rule(text));
                    out.extend(other.map_or(whole, |text| text_frame(&text)));
                }
                SharedRule::Text(_) => out.extend(whole),
            }
        }
        out
    }

    fn pass_message(
        &mut self,
        rule: &Mutex<Rule>,
        mut whole: Vec<u8>,
        payload: &[u8],
        judged: bool,
        out: &mut Vec<u8>,
    ) {
        let fate = if judged && self.is_held {
            Fate::Lost
        } else if judged {
            let mut rule = rule.lock().unwrap_or_else(PoisonError::into_inner);
            rule(payload)
        } else {
            Fate::Good
        };
        match fate {
            Fate::Lost => return,
            Fate::Held => {
                self.is_held = true;
                return;
            }
            Fate::Late => {
                self.late.extend(whole);
                return;
            }
            Fate::Twice => {
                out.extend(&whole);
                out.extend(&whole);
            }
            Fate::Altered(from_end) => {
                let at = whole.len().saturating_sub(from_end);
                if let Some(byte) = whole.get_mut(at) {
                    *byte ^= 1;
                }
                out.extend(&whole);
            }
            Fate::Good => out.extend(&whole),
        }
        if judged {
            out.append(&mut self.late);
        }
    }
}

/// A text message as a server sends it.
fn text_frame(text: &str) -> Vec<u8> {
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(length), _) if length < 126 => [&[TEXT, length], text.as_bytes()].concat(),
        (_, Ok(length)) => [&[TEXT, 126], &length.to_be_bytes()[..], text.as_bytes()].concat(),
        _ => {
            let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
            [&[TEXT, 127], &length.to_be_bytes()[..], text.as_bytes()].concat()
        }
    }
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

    #[test]
    fn a_liar_does_what_its_rule_says_however_the_bytes_come() {
        let head = b"HTTP/1.1 101 x\r\n\r\n".to_vec();
        let message =
            |kind: u8, text: &[u8]| [&[kind, u8::try_from(text.len()).unwrap()], text].concat();
        let fates = [Fate::Lost, Fate::Late, Fate::Twice, Fate::Altered(1), Fate::Good];
        let stream = [
            head.clone(),
            message(BINARY, b"lost"),
            message(0x81, b"text"),
            message(BINARY, b"late"),
            message(BINARY, b"twice"),
            message(BINARY, b"p"),
            message(BINARY, b"good"),
        ]
        .concat();
        let expected = [
            head,
            message(0x81, b"text"),
            message(BINARY, b"twice"),
            message(BINARY, b"twice"),
            message(BINARY, b"late"),
            message(BINARY, b"q"),
            message(BINARY, b"good"),
        ]
        .concat();
        for size in [1, 7, stream.len()] {
            let mut next = fates.into_iter();
            let rule: Rule = Box::new(move |_| next.next().unwrap());
            let mut liar = Liar::new(SharedRule::Binary(Arc::new(Mutex::new(rule))));
            let passed: Vec<u8> = stream.chunks(size).flat_map(|part| liar.pass(part)).collect();
            assert_eq!(passed, expected, "in parts of {size}");
        }
    }

    #[test]
    fn a_line_that_is_held_passes_no_binary_message_any_more() {
        let head = b"HTTP/1.1 101 x\r\n\r\n".to_vec();
        let fates = [Fate::Good, Fate::Held];
        let mut next = fates.into_iter();
        let rule: Rule = Box::new(move |_| next.next().unwrap());
        let mut liar = Liar::new(SharedRule::Binary(Arc::new(Mutex::new(rule))));
        let messages: [[u8; 3]; 4] =
            [[BINARY, 1, b'a'], [BINARY, 1, b'b'], [0x81, 1, b'c'], [BINARY, 1, b'd']];
        let passed = liar.pass(&[head.clone(), messages.concat()].concat());
        assert_eq!(passed, [head, messages[0].to_vec(), messages[2].to_vec()].concat());
    }
}
