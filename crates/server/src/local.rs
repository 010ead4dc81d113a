//! A connection without a socket, for the agent inside of this process. It is checked, queued and
//! served as any other.

use std::sync::Arc;

use bytes::Bytes;
use chat_protocol::{handshake::Purpose, name::UserName};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::{
    catch_up,
    close::CloseReason,
    connection::ConnectionId,
    hub::Shared,
    outbox::{self, Next, OutboxLimits, OutboxReceiver, Outgoing},
    queue::Lane,
    reader::{Incoming, Reader},
    request::{Proof, Request, SignIn},
};

/// The built-in agent has one connection; those from outside count from 1 upwards.
const LOCAL: ConnectionId = ConnectionId(u64::MAX);

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LocalError {
    /// The hub is stopping.
    #[error("the hub is stopping")]
    Stopping,
    /// The hub refuses its own agent.
    #[error("the hub refuses its own agent: {0}")]
    Refused(String),
    /// The connection was ended.
    #[error("the connection was ended: {0}")]
    Closed(String),
}

impl From<CloseReason> for LocalError {
    fn from(reason: CloseReason) -> Self {
        Self::Closed(reason.to_string())
    }
}

/// The agent's end.
pub struct LocalConnection {
    reader: Reader,
    outbox: OutboxReceiver,
    batch: Vec<Outgoing>,
}

impl LocalConnection {
    /// Signs the account `server` in. There is no AUTH and no OK: nobody is in between.
    pub(crate) async fn open(hub: Arc<Shared>) -> Result<Self, LocalError> {
        let queue = hub.requests.for_connection(LOCAL);
        let (outbox, receiver) = outbox::bounded(OutboxLimits::default());
        let keys = &hub.identity.keys;
        let (reply, answer) = oneshot::channel();
        let sign_in = SignIn {
            connection: LOCAL,
            name: UserName::server(),
            proof: Proof::Known { dev: hub.identity.bundle.header().dev },
            purpose: Purpose::Task,
            sk: keys.signing_id(),
            spki: keys.signing.spki().to_vec(),
            received: None,
            outbox,
            reply,
        };
        let request = Request::SignIn(Box::new(sign_in));
        queue
            .send(Lane::Control, None, 0, request)
            .await
            .map_err(|_closed| LocalError::Stopping)?;
        let admitted = answer
            .await
            .map_err(|_gone| LocalError::Stopping)?
            .map_err(|refusal| LocalError::Refused(refusal.reason))?;
        let peer = admitted.peer;
        let reader = Reader::new(Arc::clone(&hub), Arc::clone(&peer), queue.clone());
        tokio::spawn(catch_up::run(hub, peer, queue, admitted.plan));
        Ok(Self { reader, outbox: receiver, batch: Vec::new() })
    }

    /// Sends a JSON message to the hub. Waits for space in the queue.
    pub async fn send_text(&mut self, text: String) -> Result<(), LocalError> {
        Ok(self.reader.handle(Incoming::Text(text)).await?)
    }

    /// Sends a frame, or a part of an epoch.
    pub async fn send_binary(&mut self, bytes: Bytes) -> Result<(), LocalError> {
        Ok(self.reader.handle(Incoming::Binary(bytes)).await?)
    }

    /// What has come: at least one message. Cancel-safe.
    pub async fn recv(&mut self) -> Result<Vec<Outgoing>, LocalError> {
        match self.outbox.next(&mut self.batch).await {
            Next::Frames => Ok(std::mem::take(&mut self.batch)),
            Next::Close(reason) => Err(reason.into()),
        }
    }

    /// Signs out.
    pub async fn close(self) {
        self.reader.leave().await;
    }
}
