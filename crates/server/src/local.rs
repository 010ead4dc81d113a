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
    use crate::{config::Config, hub::start};

    async fn text(local: &mut LocalConnection) -> HubToClient {
        let batch = local.recv().await.unwrap();
        let [Outgoing::Text(text)] = &batch[..] else { panic!("one text: {batch:?}") };
        hub::read(text.as_str()).unwrap()
    }

    #[tokio::test]
    async fn the_agent_inside_is_checked_and_answered_like_any_other() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::local(&folder.path().join("data"), &folder.path().join("logs"));
        config.key_sizes = KeySizes::EMULATED;
        let started = start(&config, Arc::default()).await.unwrap();
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
        let refused = text(&mut local).await;
        assert!(matches!(refused, HubToClient::Noack { id: Some(got), .. } if got == id));
        local.send_binary(frame).await.unwrap();
        let stored = text(&mut local).await;
        assert!(matches!(stored, HubToClient::Ack { id: got, .. } if got == id), "{stored:?}");
        local.send_text(hub::write(&ClientToHub::Who { id, after: None })).await.unwrap();
        let HubToClient::Who { people, .. } = text(&mut local).await else { panic!("WHO") };
        assert!(people[0].name.is_server() && people[0].online);
        started.stop.cancel();
        started.worker.await.unwrap().unwrap();
        assert!(matches!(local.recv().await, Err(LocalError::Closed(_))));
    }
}
