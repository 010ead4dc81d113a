//! The connection that carries files: opened when a transfer needs it, shared by all transfers of
//! this process, closed when it has been idle.
//!
//! ```text
//!  giving threads ── frames ──►┐                      ┌── credit ──► giving threads
//!                              ├── one task, one socket┤
//!  taking threads ── credit ──►┘                      └── frames ──► taking threads
//! ```
//!
//! A transfer has a lane of its own with room for all that its credit allows, so a slow disk holds up
//! nobody else. When the connection goes, every lane ends; whoever wants to go on begins a new one.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use chat_endpoint::Transmit;
use chat_protocol::file::chunk::{self, FileHeader};
use chat_protocol::file::relay::{HubToRelay, RelayToHub};
use chat_protocol::frame::RawFrame;
use chat_protocol::hub;
use chat_protocol::id::{KeyId, Nonce16};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{Instant, sleep_until};

use chat_device::client::Client;
use chat_device::connection::{ConnectError, Incoming, Socket};

/// Chunks of one transfer that may be under way: half a megabyte covers the way to the hub and back
/// at any rate that two machines reach.
pub(super) const CREDIT: u32 = 8;

/// Room in a lane: what credit allows, and the end.
const LANE_MAX: usize = 8 + 2;

/// Orders of all transfers that wait for the socket.
const ORDERS_MAX: usize = 64;

/// Without a transfer the connection is closed after this time: another file often follows soon.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// What a transfer hears.
#[derive(Debug)]
pub(super) enum News {
    /// Giving: so many more chunks may be sent.
    Credit(u32),
    /// Taking: a chunk, as sealed.
    Chunk(Box<FileHeader>, RawFrame),
    /// A copy is kept at the hub until then, Unix time in milliseconds.
    Kept(u64),
    /// Nothing more comes. The code is empty if nothing went wrong.
    End {
        /// A stable code.
        code: String,
        /// A sentence.
        reason: String,
    },
}

/// An order to the task of the connection.
#[derive(Debug)]
enum Order {
    Open { first: RelayToHub, lane: mpsc::Sender<News> },
    Text(RelayToHub),
    Chunk(Bytes),
}

/// A handle to the connection. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Channel {
    orders: mpsc::Sender<Order>,
    /// The key that chunks of this connection name as their sealer's.
    pub(super) sk: KeyId,
}

/// One transfer on the connection.
#[derive(Debug)]
pub(super) struct Lane {
    tid: Nonce16,
    orders: mpsc::Sender<Order>,
    news: mpsc::Receiver<News>,
    /// Both sides know that it has ended.
    is_over: bool,
}

impl Channel {
    /// Connects and signs in.
    pub(super) async fn open(client: &Client) -> Result<Self, ConnectError> {
        let gone = || ConnectError::Lost { reason: "the client has stopped".to_owned() };
        let door = client.files_door().await.ok_or_else(gone)?;
        let session = door.enter().await?;
        let (orders, taken) = mpsc::channel(ORDERS_MAX);
        tokio::spawn(run(session.socket, taken));
        Ok(Self { orders, sk: door.signing_id() })
    }

    /// Whether the connection is still there.
    pub(super) fn is_open(&self) -> bool {
        !self.orders.is_closed()
    }

    /// Begins a transfer with its first message.
    pub(super) async fn begin(&self, first: RelayToHub) -> Option<Lane> {
        let (lane, news) = mpsc::channel(LANE_MAX);
        let (tid, orders) = (first.transfer(), self.orders.clone());
        self.orders.send(Order::Open { first, lane }).await.ok()?;
        Some(Lane { tid, orders, news, is_over: false })
    }
}

impl Lane {
    /// What comes next; nothing when the connection is gone. For threads that may wait.
    pub(super) fn next(&mut self) -> Option<News> {
        let news = self.news.blocking_recv();
        self.is_over = matches!(news, None | Some(News::End { .. } | News::Kept(_)));
        news
    }

    /// Sends a sealed chunk; `false` when the connection is gone.
    pub(super) fn send(&self, chunk: Bytes) -> bool {
        self.orders.blocking_send(Order::Chunk(chunk)).is_ok()
    }

    /// Lets so many more chunks come; `false` when the connection is gone.
    pub(super) fn credit(&self, n: u32) -> bool {
        let order = Order::Text(RelayToHub::Credit { tid: self.tid, n });
        self.orders.blocking_send(order).is_ok()
    }

    /// Nothing more is to be said about it.
    pub(super) fn hush(mut self) {
        self.is_over = true;
    }

    /// Ends the transfer, with a reason if it is not complete.
    pub(super) fn end(mut self, reason: &str) {
        self.is_over = true;
        let order = Order::Text(RelayToHub::End { tid: self.tid, reason: reason.to_owned() });
        // Without a connection the transfer has ended.
        self.orders.blocking_send(order).ok();
    }
}

impl Drop for Lane {
    /// Whoever drops a transfer without a word has given it up.
    fn drop(&mut self) {
        if !self.is_over {
            let reason = "given up".to_owned();
            let order = Order::Text(RelayToHub::End { tid: self.tid, reason });
            // A full or closed channel: the hub ends the transfer when nobody takes or gives.
            self.orders.try_send(order).ok();
        }
    }
}

/// The task of one connection.
async fn run(mut socket: Socket, mut orders: mpsc::Receiver<Order>) {
    let mut lanes: HashMap<Nonce16, mpsc::Sender<News>> = HashMap::new();
    let mut idle_at = Instant::now() + IDLE_MAX;
    loop {
        lanes.retain(|_, lane| !lane.is_closed());
        if !lanes.is_empty() {
            idle_at = Instant::now() + IDLE_MAX;
        }
        tokio::select! {
            order = orders.recv() => match order {
                Some(order) => obey(&mut socket, &mut lanes, order),
                None => break,
            },
            incoming = socket.next() => match incoming {
                Ok(incoming) => heard(&mut socket, &mut lanes, incoming),
                Err(error) => {
                    tracing::debug!(%error, "the connection for files is gone");
                    return;
                }
            },
            () = sleep_until(idle_at), if lanes.is_empty() => break,
        }
    }
    socket.close().await;
}

fn obey(socket: &mut Socket, lanes: &mut HashMap<Nonce16, mpsc::Sender<News>>, order: Order) {
    match order {
        Order::Open { first, lane } => {
            lanes.insert(first.transfer(), lane);
            say(socket, &first);
        }
        Order::Text(message) => {
            if let RelayToHub::End { tid, .. } = &message {
                lanes.remove(tid);
            }
            say(socket, &message);
        }
        Order::Chunk(chunk) => socket.queue(Transmit::Binary(chunk)),
    }
}

fn say(socket: &mut Socket, message: &RelayToHub) {
    socket.queue(Transmit::Text(hub::write(message)));
}

/// Passes on what the hub sends. What cannot be read, or belongs to no transfer, is passed over: a
/// transfer that lost a chunk by it asks for it again.
fn heard(
    socket: &mut Socket,
    lanes: &mut HashMap<Nonce16, mpsc::Sender<News>>,
    incoming: Incoming,
) {
    let Some((tid, news)) = read(incoming) else { return };
    let is_last = matches!(news, News::End { .. } | News::Kept(_));
    let Some(lane) = lanes.get(&tid) else { return };
    let sent = lane.try_send(news);
    if matches!(sent, Err(TrySendError::Full(_))) {
        // More than the credit that this transfer gave.
        let reason = "more chunks came than were asked for".to_owned();
        say(socket, &RelayToHub::End { tid, reason });
    }
    if is_last || sent.is_err() {
        lanes.remove(&tid);
    }
}

fn read(incoming: Incoming) -> Option<(Nonce16, News)> {
    match incoming {
        Incoming::Text(text) => Some(match hub::read::<HubToRelay>(&text).ok()? {
            HubToRelay::Credit { tid, n } => (tid, News::Credit(n)),
            HubToRelay::Kept { tid, until } => (tid, News::Kept(until)),
            HubToRelay::End { tid, code, reason } => (tid, News::End { code, reason }),
        }),
        Incoming::Binary(bytes) => {
            let frame = RawFrame::decode(bytes).ok()?;
            let header = chunk::read(&frame).ok()?;
            Some((header.tid, News::Chunk(Box::new(header), frame)))
        }
    }
}

/// The one connection for files of a process, made when it is first needed.
#[derive(Debug)]
pub(super) struct Channels {
    client: Client,
    current: tokio::sync::Mutex<Option<Channel>>,
}

impl Channels {
    /// Nothing is connected yet.
    pub(super) fn new(client: Client) -> Self {
        Self { client, current: tokio::sync::Mutex::default() }
    }

    /// The connection; a new one where there is none or it is gone.
    pub(super) async fn get(&self) -> Result<Channel, ConnectError> {
        let mut current = self.current.lock().await;
        if let Some(channel) = current.as_ref().filter(|channel| channel.is_open()) {
            return Ok(channel.clone());
        }
        let channel = Channel::open(&self.client).await?;
        Ok(current.insert(channel).clone())
    }
}
