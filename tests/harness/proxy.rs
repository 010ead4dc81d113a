//! A TCP proxy that records what passes, and behind which a hub can lie: each message of the wire may
//! pass, be changed, lost, repeated, or come with others.

mod fate;
mod lines;
mod wire;

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chat_protocol::crypto::UnwrapKey;
use chat_testkit::middle::{Message, Middle, Passing, Way};
use parking_lot::Mutex;

use fate::Obey;
pub use fate::{Fate, Rule};
use lines::{Lines, Shared};
use wire::unmasked;

/// Says what a client gets in place of a text message, if it is not to get that.
pub type TextRule = Box<dyn FnMut(&str) -> Option<String> + Send>;

/// Bytes of one direction of one connection.
type Tape = Arc<Mutex<Vec<u8>>>;

/// Enough for a frame; only speed depends on it.
const CHUNK: usize = 64 * 1024;

/// Forwards connections to a server and keeps a copy of every byte that comes from either side.
pub struct Proxy {
    address: String,
    to_server: Arc<Mutex<Vec<Tape>>>,
    to_clients: Arc<Mutex<Vec<Tape>>>,
    is_closed: Arc<AtomicBool>,
    /// The connections, where their messages are looked at.
    lines: Option<Shared>,
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
        Self::through(target, Box::new(Obey { rule, lines: HashMap::new() }), None)
    }

    /// The same, with a rule for the text messages that the server sends: what a client gets in place
    /// of one, if it is not to get that.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn rewriting(target: &str, mut rule: TextRule) -> Self {
        let middle = move |mut passing: Passing| {
            if let (Way::ToClient, Message::Text(text)) = (passing.way, &passing.message)
                && let Some(other) = rule(text)
            {
                passing.message = Message::Text(other);
            }
            vec![passing]
        };
        Self::through(target, Box::new(middle), None)
    }

    /// The same, with anything in between. With the hub's link key it sees what a hub answers to a
    /// sign-in.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn through(target: &str, middle: Box<dyn Middle>, link: Option<UnwrapKey>) -> Self {
        Self::start_with(target, Some(Lines::shared(middle, link)))
    }

    fn start_with(target: &str, lines: Option<Shared>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap().to_string(),
            to_server: Arc::default(),
            to_clients: Arc::default(),
            is_closed: Arc::default(),
            lines: lines.clone(),
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
                    // A connection that breaks at once is one that the client makes again.
                    drop(connect(
                        &client,
                        &server,
                        (new_tape(&up), new_tape(&down)),
                        lines.as_ref(),
                    ));
                }
            }
        });
        proxy
    }

    /// Ends all connections whose messages are looked at. Clients come back.
    pub fn cut(&self) {
        if let Some(lines) = &self.lines {
            lines::lock(lines).cut();
        }
    }

    /// Ends the connections of one user. Their client comes back.
    pub fn cut_off(&self, user: &str) {
        if let Some(lines) = &self.lines {
            lines::lock(lines).cut_off(user);
        }
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
    tapes.lock().push(Arc::clone(&tape));
    tape
}

fn tapes(tapes: &Mutex<Vec<Tape>>) -> Vec<Vec<u8>> {
    let tapes = tapes.lock();
    tapes.iter().map(|tape| tape.lock().clone()).collect()
}

/// Starts both directions of one connection.
fn connect(
    client: &TcpStream,
    server: &TcpStream,
    (up, down): (Tape, Tape),
    lines: Option<&Shared>,
) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let mut to_hub = Target::Socket(server.try_clone()?);
    let mut to_client = Target::Socket(client.try_clone()?);
    if let Some(lines) = lines {
        let number = lines::lock(lines).open(client.try_clone()?, server.try_clone()?);
        to_hub = Target::Line(Arc::clone(lines), number, Way::ToHub);
        to_client = Target::Line(Arc::clone(lines), number, Way::ToClient);
    }
    forward(client.try_clone()?, to_hub, up);
    forward(server.try_clone()?, to_client, down);
    Ok(())
}

/// Where bytes go.
enum Target {
    Socket(TcpStream),
    Line(Shared, usize, Way),
}

impl Target {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Socket(stream) => stream.write_all(bytes),
            Self::Line(lines, number, way) => {
                lines::lock(lines).take(*number, *way, bytes);
                Ok(())
            }
        }
    }

    fn end(&self) {
        match self {
            Self::Socket(stream) => drop(stream.shutdown(Shutdown::Write)),
            Self::Line(lines, number, way) => lines::lock(lines).end(*number, *way),
        }
    }
}

fn forward(mut from: TcpStream, mut to: Target, tape: Tape) {
    std::thread::spawn(move || {
        let mut chunk = vec![0; CHUNK];
        while let Ok(count) = from.read(&mut chunk) {
            let Some(bytes) = chunk.get(..count).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            tape.lock().extend_from_slice(bytes);
            if to.write(bytes).is_err() {
                break;
            }
        }
        to.end();
    });
}
