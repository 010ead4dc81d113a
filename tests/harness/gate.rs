//! An address of a server that can be away, in each of the ways in which one of several servers is.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use chat_protocol::hub::{self, HubToClient};
use chat_protocol::id::MessageId;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Message, accept};

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// It leads to the server.
    Open,
    /// It is taken, and nothing is ever said on it: a process that is stopped.
    Silent,
    /// RETRY in the place of the greeting, then 1013: a server that is full.
    PutsOff,
    /// 1013 in the place of the greeting: a server that is cut off from what it needs.
    Closes,
}

/// A close frame with 1013, as a server sends it.
const TRY_LATER: [u8; 4] = [0x88, 2, 0x03, 0xf5];

struct State {
    mood: Mood,
    is_gone: bool,
    /// The clients' ends.
    clients: Vec<TcpStream>,
    /// Kept open, and never answered.
    silent: Vec<TcpStream>,
    taken: usize,
}

/// One address. Gone when dropped.
pub struct Gate {
    address: String,
    state: Arc<Mutex<State>>,
    accepting: Option<JoinHandle<()>>,
}

impl Gate {
    /// An address before the server at `target` (`ADDRESS:PORT`).
    ///
    /// # Panics
    /// When there is no free port.
    pub fn before(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = State {
            mood: Mood::Open,
            is_gone: false,
            clients: Vec::new(),
            silent: Vec::new(),
            taken: 0,
        };
        let state = Arc::new(Mutex::new(state));
        let (target, shared) = (target.to_owned(), Arc::clone(&state));
        let accepting = std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if lock(&shared).is_gone {
                    return;
                }
                // A connection that breaks at once is one that the client makes again.
                drop(take(client, &target, &shared));
            }
        });
        Self { address, state, accepting: Some(accepting) }
    }

    /// Where clients connect to.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// How many connections were taken here.
    pub fn taken(&self) -> usize {
        lock(&self.state).taken
    }

    /// What becomes of later connections.
    pub fn set(&self, mood: Mood) {
        lock(&self.state).mood = mood;
    }

    /// Closes all connections with 1013, and puts later ones off.
    pub fn put_off(&self) {
        let mut state = lock(&self.state);
        state.mood = Mood::PutsOff;
        for mut client in state.clients.drain(..) {
            // One that is gone already needs no goodbye.
            drop(client.write_all(&TRY_LATER));
        }
    }

    /// Breaks all connections, and refuses later ones: a process that was killed.
    pub fn kill(&mut self) {
        {
            let mut state = lock(&self.state);
            state.is_gone = true;
            for client in state.clients.drain(..) {
                drop(client.shutdown(Shutdown::Both));
            }
            state.silent.clear();
        }
        // Wakes the thread that accepts; the port is free when it has ended.
        drop(TcpStream::connect(&self.address));
        drop(self.accepting.take().map(JoinHandle::join));
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.kill();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take(client: TcpStream, target: &str, shared: &Mutex<State>) -> std::io::Result<()> {
    let mut state = lock(shared);
    state.taken += 1;
    match state.mood {
        Mood::Open => {
            let server = TcpStream::connect(target)?;
            client.set_nodelay(true)?;
            server.set_nodelay(true)?;
            state.clients.push(client.try_clone()?);
            forward(client.try_clone()?, server.try_clone()?);
            forward(server, client);
        }
        Mood::Silent => state.silent.push(client),
        mood => drop(std::thread::spawn(move || put_off(client, mood))),
    }
    Ok(())
}

fn put_off(client: TcpStream, mood: Mood) {
    let Ok(mut socket) = accept(client) else { return };
    let (id, why) = (MessageId([0; 16]), "the log is away".to_owned());
    let retry = hub::write(&HubToClient::Retry { id, after_ms: 100, why });
    if mood == Mood::PutsOff {
        // A client that has hung up has its reasons.
        drop(socket.send(Message::text(retry)));
    }
    let reason = CloseFrame { code: CloseCode::Again, reason: "the log is away".into() };
    drop(socket.close(Some(reason)));
    while socket.read().is_ok() {}
}

fn forward(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        let mut chunk = vec![0; 64 << 10];
        while let Ok(count) = from.read(&mut chunk) {
            let bytes = chunk.get(..count).filter(|bytes| !bytes.is_empty());
            if bytes.is_none_or(|bytes| to.write_all(bytes).is_err()) {
                break;
            }
        }
        drop(to.shutdown(Shutdown::Write));
    });
}
