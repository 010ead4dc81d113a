//! One line in the log of operations for each request.

use std::{borrow::Cow, time::Instant};

use chat_oplog::{Level, Operation, OperationLog, Outcome};
use chat_protocol::{
    header::{Header, Recipient},
    hub::ClientToHub,
    name::{ConversationId, ConversationKind, UserName},
};

use crate::{
    queue::Queued,
    request::{FrameRequest, Peer, Proof, Refusal, Reminder, Request},
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

/// Something of somebody that came out of the queue, and went well.
fn taken<'a>(op: &'static str, user: &'a UserName, queued: &Queued<Request>) -> Operation<'a> {
    Operation {
        user: Some(user.as_str().into()),
        priority: Some(queued.lane.as_str().into()),
        outcome: Some(Outcome::Ok),
        queue_us: Some(micros(queued.waited)),
        ..Operation::new(op)
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
        peer: peer.as_deref().map(Into::into),
        tag: Some(request.header.tag().as_str().into()),
        id: Some(id.as_str().into()),
        conversation: Some(place.as_ref().into()),
        seq,
        bytes: u64::try_from(request.frame.len()).ok(),
        recipients: Some(recipients),
        batch: batch.map(|batch| batch.records),
        stage: Some("stored".into()),
        outcome: Some(outcome),
        code: code.map(Into::into),
        commit_us: batch.map(|batch| batch.commit_us),
        total_us: Some(micros(request.arrived.elapsed())),
        ..taken("frame.stored", &request.peer.name, queued)
    });
}

/// Writes down that somebody came in. Refusals are written by the connection, which knows more.
pub(super) fn sign_in(log: &OperationLog, queued: &Queued<Request>, is_new: bool) {
    let Request::SignIn(request) = &queued.item else { return };
    let op = match request.proof {
        Proof::Reset { .. } => "session.reset",
        _ if is_new => "session.register",
        _ => "session.open",
    };
    log.write(&Operation {
        conn_id: Some(request.connection.0),
        ..taken(op, &request.name, queued)
    });
}

/// Writes down that a question was taken, or cursors moved.
pub(super) fn ask(log: &OperationLog, queued: &Queued<Request>) {
    let Request::Ask(peer, question) = &queued.item else { return };
    let (op, id) = match question {
        ClientToHub::Who { id, .. } => ("request.who", Some(id)),
        ClientToHub::Bundles { id, .. } => ("request.bundles", Some(id)),
        ClientToHub::Heads { id, .. } => ("request.heads", Some(id)),
        ClientToHub::Counters { id, .. } => ("request.counters", Some(id)),
        ClientToHub::Members { id, .. } => ("request.members", Some(id)),
        ClientToHub::Rooms { id, .. } => ("request.rooms", Some(id)),
        ClientToHub::Topic { id, .. } => ("request.topic", Some(id)),
        ClientToHub::Retention { id, .. } => ("request.retention", Some(id)),
        ClientToHub::Moderate { id, .. } => ("request.moderate", Some(id)),
        // Written down when their outcome is known.
        ClientToHub::Share { .. } | ClientToHub::Find { .. } | ClientToHub::Remind { .. } => return,
        ClientToHub::Seen { .. } => ("request.seen", None),
        ClientToHub::Auth { .. } => ("request.auth", None),
    };
    let id = id.map(ToString::to_string);
    log.write(&Operation {
        conn_id: Some(peer.connection.0),
        id: id.as_deref().map(Into::into),
        ..taken(op, &peer.name, queued)
    });
}

/// Writes down that something the hub had lost was brought back, or was not needed.
pub(super) fn reminder(log: &OperationLog, queued: &Queued<Request>, is_kept: bool) {
    let Request::Remind(reminder) = &queued.item else { return };
    let (op, user, id) = match reminder {
        Reminder::Bundle(bundle) => ("remind.bundle", bundle.header().u.clone(), None),
        Reminder::Link(request, _) => {
            ("remind.link", request.peer.name.clone(), Some(request.header.id().to_string()))
        }
    };
    log.write(&Operation {
        id: id.as_deref().map(Into::into),
        outcome: Some(if is_kept { Outcome::Ok } else { Outcome::Refused }),
        ..taken(op, &user, queued)
    });
}

/// Writes down what became of a SHARE or FIND: `numbers` are counts, never words.
pub(super) fn files(
    log: &OperationLog,
    queued: &Queued<Request>,
    refusal: Option<&Refusal>,
    numbers: &str,
    batch: Option<&Batch>,
) {
    let Request::Ask(peer, question) = &queued.item else { return };
    let (op, id) = match question {
        ClientToHub::Share { id, .. } => ("request.share", id),
        ClientToHub::Find { id, .. } => ("request.find", id),
        _ => return,
    };
    let id = id.to_string();
    let reason = refusal.map_or(numbers, |refusal| refusal.reason.as_str());
    log.write(&Operation {
        conn_id: Some(peer.connection.0),
        id: Some(id.as_str().into()),
        batch: batch.map(|batch| batch.records),
        outcome: Some(if refusal.is_some() { Outcome::Refused } else { Outcome::Ok }),
        code: refusal.map(|refusal| refusal.code.into()),
        reason: Some(reason.into()),
        commit_us: batch.map(|batch| batch.commit_us),
        ..taken(op, &peer.name, queued)
    });
}

/// Writes down that a session ended.
pub(super) fn leave(log: &OperationLog, peer: &Peer) {
    log.write(&Operation {
        conn_id: Some(peer.connection.0),
        user: Some(peer.name.as_str().into()),
        level: Level::Info,
        outcome: Some(Outcome::Ok),
        ..Operation::new("session.close")
    });
}
