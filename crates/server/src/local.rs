//! A connection without a socket, for the agent inside of this process. It is checked, queued and
//! served as any other.

use std::sync::Arc;

use bytes::Bytes;
use chat_protocol::{
    handshake::{Purpose, SignedIn},
    id::KeyId,
    name::UserName,
};
use futures_util::{Sink, Stream};
use thiserror::Error;
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    catch_up,
    close::CloseReason,
    connection::ConnectionId,
    identity::Identity,
    outbox::{self, Next, OutboxLimits, OutboxReceiver, Outgoing},
    queue::Lane,
    reader::{Incoming, Reader},
    request::{Peer, Proof, Request, SignIn},
    session,
    shared::{Hub, Shared},
    socket::Pulse,
    tasks,
};

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LocalError {
    /// The hub is stopping.
    #[error("the hub is stopping")]
    Stopping,
    /// The hub refuses this device.
    #[error("the hub refuses this device: {reason}")]
    Refused {
        /// A stable code.
        code: &'static str,
        /// A sentence.
        reason: String,
    },
    /// The connection was ended.
    #[error("the connection was ended: {0}")]
    Closed(String),
}

impl From<CloseReason> for LocalError {
    fn from(reason: CloseReason) -> Self {
        Self::Closed(reason.to_string())
    }
}

/// A device inside of this process. Nothing of it is proved: whoever lives here is trusted.
pub struct LocalDevice {
    /// The number of its connection.
    pub connection: ConnectionId,
    /// Whose.
    pub name: UserName,
    /// What an AUTH would have proved.
    pub proof: Proof,
    /// Its signing key.
    pub sk: KeyId,
    /// That key as SPKI DER.
    pub spki: Vec<u8>,
    /// What may wait for it.
    pub limits: OutboxLimits,
}

impl LocalDevice {
    /// The hub's own.
    pub(crate) fn of_the_hub(identity: &Identity) -> Self {
        Self {
            connection: ConnectionId::AGENT,
            name: UserName::server(),
            proof: Proof::Known { dev: identity.bundle.header().dev },
            sk: identity.keys.signing_id(),
            spki: identity.keys.signing.spki().to_vec(),
            limits: OutboxLimits::default(),
        }
    }
}

impl Hub {
    /// A connection for the account `server`, without a socket.
    pub async fn connect_local(&self) -> Result<LocalConnection, LocalError> {
        LocalConnection::open(Arc::clone(&self.0), LocalDevice::of_the_hub(&self.0.identity)).await
    }

    /// A connection for any device, without a socket and without AUTH: the caller, who lives in this
    /// process, vouches for it. A simulation's devices come in this way.
    pub async fn connect_device(&self, device: LocalDevice) -> Result<LocalConnection, LocalError> {
        LocalConnection::open(Arc::clone(&self.0), device).await
    }
}

/// The end of a device inside of this process.
pub struct LocalConnection {
    peer: Arc<Peer>,
    signed_in: Option<SignedIn>,
    reader: Reader,
    outbox: OutboxReceiver,
    batch: Vec<Outgoing>,
    /// Ends with the connection, if it has not before.
    catching_up: AbortOnDropHandle<()>,
}

impl LocalConnection {
    /// Signs the device in. There is no AUTH and no OK: nobody is in between.
    pub(crate) async fn open(hub: Arc<Shared>, device: LocalDevice) -> Result<Self, LocalError> {
        let LocalDevice { connection, name, proof, sk, spki, limits } = device;
        let queue = hub.requests.for_connection(connection);
        let (outbox, waiting) = outbox::bounded(limits);
        let (reply, answer) = oneshot::channel();
        let (purpose, received, invite) = (Purpose::Agent, None, None);
        let sign_in =
            SignIn { connection, name, proof, purpose, spki, sk, invite, received, outbox, reply };
        let request = Request::SignIn(Box::new(sign_in));
        queue
            .send(Lane::Control, None, 0, request)
            .await
            .map_err(|_closed| LocalError::Stopping)?;
        let admitted = answer.await.map_err(|_gone| LocalError::Stopping)?.map_err(|refusal| {
            LocalError::Refused { code: refusal.code, reason: refusal.reason }
        })?;
        let (peer, signed_in) = (admitted.peer, admitted.signed_in);
        let reader = Reader::new(Arc::clone(&hub), Arc::clone(&peer), queue.clone());
        let span = tracing::debug_span!("catch up", id = %peer.connection);
        let catching_up =
            tasks::own(span, catch_up::run(hub, Arc::clone(&peer), queue, admitted.plan));
        Ok(Self { peer, signed_in, reader, outbox: waiting, batch: Vec::new(), catching_up })
    }

    /// What OK would have told. There once.
    pub fn signed_in(&mut self) -> Option<SignedIn> {
        self.signed_in.take()
    }

    /// Serves the connection over messages as if they came from a WebSocket, until it ends. `pulse`
    /// beats whenever the other end is heard.
    pub async fn serve<I, O>(self, stream: I, sink: O, pulse: &Pulse, drain: &CancellationToken)
    where
        I: Stream<Item = Result<Message, tungstenite::Error>> + Unpin,
        O: Sink<Message, Error = tungstenite::Error> + Unpin,
    {
        let Self { peer, reader, outbox, catching_up: _catching_up, .. } = self;
        session::talk((stream, sink, pulse), (reader, outbox), &peer.outbox, drain).await;
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

#[cfg(test)]
mod tests {
    use chat_protocol::{
        frame::{Unsigned, sign_all},
        header::{Canonical, MemberArgument, MemberHeader, MemberOperation},
        hub::{self, ClientToHub, HubToClient},
        id::{Digest, MessageId},
        keys::KeySizes,
        name::ConversationId,
        tag::{Tag, label},
    };

    use super::*;
    use crate::{config::Config, start::start};

    /// The next answer. That the session is live now comes before it or after it.
    async fn answer(local: &mut LocalConnection) -> HubToClient {
        loop {
            for message in local.recv().await.unwrap() {
                let Outgoing::Text(text) = message else { panic!("a text: {message:?}") };
                match hub::read(text.as_str()).unwrap() {
                    HubToClient::Live {} => {}
                    answer => return answer,
                }
            }
        }
    }

    #[tokio::test]
    async fn the_agent_inside_is_checked_and_answered_like_any_other() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::local(&folder.path().join("data"), &folder.path().join("logs"));
        config.key_sizes = KeySizes::EMULATED;
        let started = start(&config, Arc::default(), Arc::default()).await.unwrap();
        let hub = &started.hub;
        let mut local = hub.connect_local().await.unwrap();
        let id = MessageId([1; 16]);
        let header = MemberHeader {
            v: 1,
            t: Tag::Member,
            cid: ConversationId::all(),
            from: UserName::server(),
            sk: hub.keys().signing_id(),
            op: MemberOperation::Join,
            who: UserName::server(),
            ik: hub.bundle().identity(),
            arg: MemberArgument::None,
            mg: 0,
            pm: Digest::ZERO,
            id,
            ts: 0,
        };
        let unsigned = [Unsigned::new(label::MEMBER, header.to_bytes(), Vec::new())];
        let frame = sign_all(&hub.keys().signing, &unsigned).pop().unwrap();
        let mut forged = frame.to_vec();
        *forged.last_mut().unwrap() ^= 1;
        local.send_binary(forged.into()).await.unwrap();
        let refused = answer(&mut local).await;
        assert!(matches!(refused, HubToClient::Noack { id: Some(got), .. } if got == id));
        local.send_binary(frame).await.unwrap();
        let stored = answer(&mut local).await;
        assert!(matches!(stored, HubToClient::Ack { id: got, .. } if got == id), "{stored:?}");
        local.send_text(hub::write(&ClientToHub::Who { id, after: None })).await.unwrap();
        let HubToClient::Who { people, .. } = answer(&mut local).await else { panic!("WHO") };
        assert!(people[0].name.is_server() && people[0].online);
        started.stop.cancel();
        started.worker.await.unwrap().unwrap();
        let closed = async {
            loop {
                if let Err(error) = local.recv().await {
                    return error;
                }
            }
        };
        assert!(matches!(closed.await, LocalError::Closed(_)));
    }
}
