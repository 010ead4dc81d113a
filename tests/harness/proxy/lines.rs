//! All connections through a proxy that changes what passes.

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use chat_protocol::crypto::UnwrapKey;
use chat_testkit::middle::{Message, Middle, Passing, SignIn, Way};
use parking_lot::{Mutex, MutexGuard};

use super::wire::{Cutter, Piece, encode};

/// The connections, and what stands between their ends.
pub(super) struct Lines {
    middle: Box<dyn Middle>,
    /// Opens sign-ins.
    link: Option<UnwrapKey>,
    all: Vec<Line>,
}

/// What the threads share.
pub(super) type Shared = Arc<Mutex<Lines>>;

struct Line {
    to_hub: Direction,
    to_client: Direction,
    sign_in: SignIn,
}

struct Direction {
    cutter: Cutter,
    /// Written by a thread of its own, so that nobody waits for one who does not read.
    out: Option<Sender<Vec<u8>>>,
}

impl Direction {
    fn new(stream: TcpStream) -> Self {
        let (out, bytes) = channel::<Vec<u8>>();
        std::thread::spawn(move || {
            let mut stream = stream;
            while let Ok(bytes) = bytes.recv() {
                if stream.write_all(&bytes).is_err() {
                    break;
                }
            }
            drop(stream.shutdown(Shutdown::Write));
        });
        Self { cutter: Cutter::default(), out: Some(out) }
    }

    /// The other end may be gone: as good as read.
    fn send(&self, bytes: Vec<u8>) {
        if let Some(out) = &self.out {
            drop(out.send(bytes));
        }
    }
}

impl Lines {
    pub(super) fn shared(middle: Box<dyn Middle>, link: Option<UnwrapKey>) -> Shared {
        Arc::new(Mutex::new(Self { middle, link, all: Vec::new() }))
    }

    /// A new connection; its number.
    pub(super) fn open(&mut self, client: TcpStream, server: TcpStream) -> usize {
        let (to_hub, to_client) = (Direction::new(server), Direction::new(client));
        self.all.push(Line { to_hub, to_client, sign_in: SignIn::default() });
        self.all.len() - 1
    }

    /// Bytes of one side.
    pub(super) fn take(&mut self, number: usize, way: Way, bytes: &[u8]) {
        let Some(line) = self.all.get_mut(number) else { return };
        for piece in line.direction(way).cutter.push(bytes) {
            match piece {
                Piece::Raw(bytes) => self.direction(number, way, |out| out.send(bytes)),
                Piece::Message(message) => self.pass(number, way, message),
            }
        }
    }

    /// One side has ended.
    pub(super) fn end(&mut self, number: usize, way: Way) {
        if let Some(line) = self.all.get_mut(number) {
            line.direction(way).out = None;
        }
    }

    /// Ends all connections.
    pub(super) fn cut(&mut self) {
        for line in &mut self.all {
            (line.to_hub.out, line.to_client.out) = (None, None);
        }
    }

    /// Ends those of a user.
    pub(super) fn cut_off(&mut self, user: &str) {
        for line in self.all.iter_mut().filter(|line| line.sign_in.user() == user) {
            (line.to_hub.out, line.to_client.out) = (None, None);
        }
    }

    fn direction(&mut self, number: usize, way: Way, send: impl FnOnce(&Direction)) {
        if let Some(line) = self.all.get_mut(number) {
            send(line.direction(way));
        }
    }

    fn pass(&mut self, number: usize, way: Way, message: Message) {
        let Some(line) = self.all.get_mut(number) else { return };
        let message = match (way, message) {
            (Way::ToClient, Message::Text(text)) => line.sign_in.from_hub(text),
            (Way::ToHub, Message::Text(text)) => {
                line.sign_in.from_client(&text, self.link.as_ref());
                Message::Text(text)
            }
            (_, other) => other,
        };
        let user = line.sign_in.user().to_owned();
        for out in self.middle.pass(Passing { line: number, user, way, message }) {
            let Some(line) = self.all.get_mut(out.line) else { continue };
            let masked = out.way == Way::ToHub;
            let bytes = match out.message {
                Message::Text(text) => encode(true, text.as_bytes(), masked),
                Message::Binary(bytes) => encode(false, &bytes, masked),
                Message::SignedIn(signed_in) => {
                    encode(true, line.sign_in.seal(&signed_in).as_bytes(), masked)
                }
            };
            line.direction(out.way).send(bytes);
        }
    }
}

impl Line {
    fn direction(&mut self, way: Way) -> &mut Direction {
        match way {
            Way::ToHub => &mut self.to_hub,
            Way::ToClient => &mut self.to_client,
        }
    }
}

/// Locks, whatever happened to others who had it.
pub(super) fn lock(lines: &Shared) -> MutexGuard<'_, Lines> {
    lines.lock()
}
