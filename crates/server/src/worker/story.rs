//! One line in the log of operations for each request.

use std::{borrow::Cow, time::Instant};

use chat_oplog::{Level, Operation, OperationLog, Outcome};
use chat_protocol::{
    header::{Header, Recipient},
    name::{ConversationId, ConversationKind},
};

use crate::{
    queue::Queued,
    request::{FrameRequest, Peer, Refusal, Request},
    router::Decision,
};

/// How one batch went.
pub(super) struct Batch {
    start: Instant,
    records: u64,
    commit_us: u64,
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Batch {
    pub(super) fn start(records: usize) -> Self {
        let records = u64::try_from(records).unwrap_or(u64::MAX);
        Self { start: Instant::now(), records, commit_us: 0 }
    }

    pub(super) fn committed(self) -> Self {
        Self { commit_us: micros(self.start.elapsed()), ..self }
    }
}

/// `dm`, `all`, or the name of a room.
fn place(cid: &ConversationId) -> Cow<'_, str> {
    match cid.kind() {
        ConversationKind::Direct(..) => Cow::Borrowed("dm"),
        ConversationKind::Room(room) if room.is_all() => Cow::Borrowed("all"),
        ConversationKind::Room(room) => Cow::Owned(room.to_string()),
        ConversationKind::Feed(_) => Cow::Borrowed("feed"),
    }
}

fn peer_of(header: &Header) -> Option<String> {
    match header {
        Header::Message(message) => match &message.to {
            Recipient::Everyone => None,
            Recipient::User(name) => Some(name.to_string()),
        },
        Header::Receipt(receipt) => Some(receipt.to.to_string()),
        Header::Member(link) => Some(link.who.to_string()),
        Header::Key(_) => None,
    }
}

/// Writes down what became of a frame.
pub(super) fn frame(
    log: &OperationLog,
    request: &FrameRequest,
    decision: &Decision,
    recipients: u64,
    (queued, batch): (&Queued<Request>, Option<&Batch>),
) {
    let place = place(request.header.conversation());
    let peer = peer_of(&request.header);
    let id = request.header.id().to_string();
    let (outcome, code, seq) = match decision {
        Decision::Again(position) => (Outcome::Ok, None, Some(*position)),
        Decision::Refuse(refusal) => (Outcome::Refused, Some(refusal.code), None),
        Decision::Rekey(_) => (Outcome::Retry, Some("REKEY"), None),
        Decision::Propose(_) | Decision::Defer => return,
    };
    log.write(&Operation {
        conn_id: Some(request.peer.connection.0),
        user: Some(request.peer.name.as_str().into()),
        peer: peer.as_deref().map(Into::into),
        tag: Some(request.header.tag().as_str().into()),
        id: Some(id.as_str().into()),
        conversation: Some(place.as_ref().into()),
        seq,
        priority: Some(queued.lane.as_str().into()),
        bytes: u64::try_from(request.frame.len()).ok(),
        recipients: Some(recipients),
        batch: batch.map(|batch| batch.records),
        stage: Some("stored".into()),
        outcome: Some(outcome),
        code: code.map(Into::into),
        queue_us: Some(micros(queued.waited)),
        commit_us: batch.map(|batch| batch.commit_us),
        total_us: Some(micros(request.arrived.elapsed())),
        ..Operation::new("frame.stored")
    });
}

/// Writes down how a sign-in ended: whether it made the account, or why not.
pub(super) fn sign_in(
    log: &OperationLog,
    queued: &Queued<Request>,
    result: Result<bool, &Refusal>,
) {
    let Request::SignIn(request) = &queued.item else { return };
    let op = if result == Ok(true) { "session.register" } else { "session.open" };
    log.write(&Operation {
        conn_id: Some(request.connection.0),
        user: Some(request.name.as_str().into()),
        priority: Some(queued.lane.as_str().into()),
        outcome: Some(if result.is_ok() { Outcome::Ok } else { Outcome::Refused }),
        code: result.err().map(|refusal| refusal.code.into()),
        queue_us: Some(micros(queued.waited)),
        ..Operation::new(op)
    });
}

/// Writes down that a session ended.
pub(super) fn leave(log: &OperationLog, peer: &Peer) {
    log.write(&Operation {
        conn_id: Some(peer.connection.0),
        user: Some(peer.name.as_str().into()),
        level: Level::Info,
        ..Operation::new("session.close")
    });
}
