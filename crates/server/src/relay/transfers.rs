//! Who gives what to whom, and how many chunks may be under way. Pure: nothing waits here, time is
//! an argument, and each call returns what is to be done.
//!
//! ```text
//!  open   chunks that the giver may still send
//!  held   chunks that wait in this hub for the taker's socket, or for the disk
//!  open + held <= TRANSFER_WINDOW_CHUNKS, whatever the two sides say
//! ```
//!
//! `begin`, `flow` and `end` are the life of a transfer, in this order. A side of one that ends badly
//! is told why by END. What no honest client does is a [`Fault`] and ends the connection.

mod begin;
mod end;
mod far;
mod flow;
mod transfer;

use std::collections::HashMap;

use chat_protocol::{
    code,
    file::relay::HubToRelay,
    id::{KeyId, Nonce16},
    name::UserName,
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::link::{Address, Half, Peer, Word};
use crate::{
    close::CloseReason, connection::ConnectionId, limits::CONNECTION_RETRY, request::Refusal,
};

pub use transfer::Key;
use transfer::Transfer;
pub use transfer::{Summary, Target};

/// Number of a transfer in this process, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TransferId(pub u64);

/// Something that no honest client does. The connection ends with this reason.
pub type Fault = CloseReason;

/// What is to be done after a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Send this.
    Tell(ConnectionId, HubToRelay),
    /// The disk may give more chunks of a copy.
    Go(TransferId),
    /// The disk's side is not wanted any more.
    Stop(TransferId),
    /// Half of a transfer waits here: other hubs may have the other one.
    Announce(TransferId, Half, Key),
    /// It does not wait any more.
    Withdraw(TransferId, Half, Key),
    /// Tell another hub about a transfer.
    Say(Address, TransferId, Word),
    /// Write down that chunks may flow.
    Began(Summary),
    /// Write down that it is over, and why if it did not go well.
    Ended(Summary, &'static str),
}

#[derive(Debug)]
struct Connection {
    name: UserName,
    sk: KeyId,
    /// What it gives and takes.
    places: HashMap<Nonce16, TransferId>,
    /// Chunks that may still come for transfers that have ended.
    strays: u32,
    /// Since when it has no transfer.
    idle_since: Instant,
}

/// Everything that is given and taken now.
#[derive(Debug, Default)]
pub struct Transfers {
    connections: HashMap<ConnectionId, Connection>,
    by_id: HashMap<TransferId, Transfer>,
    /// Halves that wait, and pairs between two connections.
    by_key: HashMap<Key, TransferId>,
    running: usize,
    last: u64,
    /// Other hubs are told of halves.
    is_linked: bool,
    /// When hubs with which something is under way were heard last.
    far_heard: HashMap<Peer, Instant>,
}

fn fault(reason: &'static str) -> Fault {
    CloseReason::Policy(reason.into())
}

const NOT_IN: &str = "a data connection is entered before it is used";

impl Transfers {
    /// A data connection has signed in, of which a person may have `max`.
    pub fn enter(
        &mut self,
        now: Instant,
        id: ConnectionId,
        (name, max): (UserName, usize),
        sk: KeyId,
    ) -> Result<(), Refusal> {
        let own = self.connections.values().filter(|connection| connection.name == name).count();
        if own >= max {
            let reason =
                format!("you have {own} connections for files; use one of them, or close one");
            return Err(Refusal::new(code::TOO_MANY, reason).with_retry(CONNECTION_RETRY));
        }
        let places = HashMap::new();
        let connection = Connection { name, sk, places, strays: 0, idle_since: now };
        self.connections.insert(id, connection);
        Ok(())
    }

    /// It is gone: the other side of each of its transfers is told.
    pub fn leave(&mut self, now: Instant, id: ConnectionId) -> Vec<Effect> {
        let Some(connection) = self.connections.remove(&id) else { return Vec::new() };
        let mut effects = Vec::new();
        for transfer in connection.places.into_values() {
            self.finish(now, transfer, code::NO_PEER, "the other side is gone", &mut effects);
        }
        effects
    }

    /// How many transfers run.
    pub fn running(&self) -> usize {
        self.running
    }

    fn connection(&mut self, id: ConnectionId) -> Result<&mut Connection, Fault> {
        self.connections.get_mut(&id).ok_or_else(|| fault(NOT_IN))
    }
}

#[cfg(test)]
mod tests;
