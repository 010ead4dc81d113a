//! One line per operation in the log of this client. Ids, names, sizes and times; never a text.

mod events;

use chat_endpoint::{SendError, Transmit};
use chat_oplog::{Level, Operation, OperationLog, Outcome};
use chat_protocol::id::MessageId;
use chat_protocol::name::UserName;
use std::collections::BTreeMap;
use tokio::time::Instant;

use crate::connection::ConnectError;
use crate::facts::facts;
use crate::recipient::Recipient;
use crate::server_url::ServerUrl;

/// Messages whose times are remembered for the lines that follow, oldest forgotten first.
const SENT_REMEMBERED_MAX: usize = 4_096;

/// Writes the lines.
pub(super) struct Journal {
    log: OperationLog,
    user: UserName,
    sent: BTreeMap<MessageId, SentAt>,
    last_answer_us: Option<u64>,
    connections: u64,
    bytes_out: u64,
}

/// What is remembered about a message of ours.
struct SentAt {
    at: Instant,
    peer: Option<UserName>,
    conversation: String,
    tag: &'static str,
}

impl Journal {
    pub(super) fn new(log: OperationLog, user: UserName) -> Self {
        Self {
            log,
            user,
            sent: BTreeMap::new(),
            last_answer_us: None,
            connections: 0,
            bytes_out: 0,
        }
    }

    /// How long the last answer of the server took.
    pub(super) fn last_answer_us(&self) -> Option<u64> {
        self.last_answer_us
    }

    pub(super) fn bytes_out(&mut self, transmit: &Transmit) {
        let bytes = match transmit {
            Transmit::Text(text) => text.len(),
            Transmit::Binary(bytes) => bytes.len(),
        };
        self.bytes_out += u64::try_from(bytes).unwrap_or(u64::MAX);
    }

    /// One line in the log, and for whoever watches the program.
    fn write(&self, operation: &Operation<'_>) {
        self.log.write(operation);
        let (op, facts) = (operation.op.as_str(), || facts(operation));
        match operation.level {
            Level::Error | Level::Warn => tracing::warn!("{op}{}", facts()),
            // The connection, and not what goes over it.
            Level::Info if op.starts_with("session.") => tracing::info!("{op}{}", facts()),
            Level::Info => tracing::debug!("{op}{}", facts()),
        }
    }

    fn line<'a>(&'a self, op: &'a str) -> Operation<'a> {
        Operation {
            user: Some(self.user.as_str().into()),
            conn_id: Some(self.connections),
            ..Operation::new(op)
        }
    }

    pub(super) fn online(&mut self, url: &ServerUrl) {
        self.connections += 1;
        self.write(&Operation {
            address: Some(url.to_string().into()),
            outcome: Some(Outcome::Ok),
            ..self.line("session.open")
        });
    }

    pub(super) fn lost(&self, reason: &str) {
        self.write(&Operation {
            level: Level::Warn,
            outcome: Some(Outcome::Retry),
            reason: Some(reason.into()),
            bytes: Some(self.bytes_out),
            ..self.line("session.lost")
        });
    }

    pub(super) fn not_connected(&self, error: &ConnectError) {
        let outcome = if error.is_temporary() { Outcome::Retry } else { Outcome::Failed };
        self.write(&Operation {
            level: Level::Warn,
            outcome: Some(outcome),
            code: error.code().map(Into::into),
            reason: Some(error.to_string().into()),
            ..self.line("session.connect")
        });
    }

    pub(super) fn rolled_back(&self) {
        self.write(&Operation {
            level: Level::Warn,
            reason: Some("this device's state is older than what it has sent".into()),
            ..self.line("key.renew")
        });
    }

    pub(super) fn closed(&self, is_asked: bool) {
        let outcome = if is_asked { Outcome::Ok } else { Outcome::Failed };
        self.write(&Operation {
            outcome: Some(outcome),
            bytes: Some(self.bytes_out),
            ..self.line("session.close")
        });
    }

    pub(super) fn send(
        &mut self,
        at: Instant,
        to: &Recipient,
        bytes: usize,
        sent: &Result<MessageId, SendError>,
    ) {
        let (tag, conversation, peer) = match to {
            Recipient::User(user) => ("DM", "dm", Some(user)),
            Recipient::Room(room) => ("TEXT", room.as_str(), None),
            Recipient::All => ("BROADCAST", "all", None),
        };
        let (outcome, reason) = judged(sent);
        self.write(&Operation {
            peer: peer.map(|peer| peer.as_str().into()),
            tag: Some(tag.into()),
            id: sent.as_ref().ok().map(|id| id.to_string().into()),
            conversation: Some(conversation.into()),
            bytes: u64::try_from(bytes).ok(),
            outcome: Some(outcome),
            reason,
            ..self.line("message.send")
        });
        if let Ok(id) = sent {
            let (peer, conversation) = (peer.cloned(), conversation.to_owned());
            self.remember(*id, SentAt { at, peer, conversation, tag });
        }
    }

    pub(super) fn run(
        &mut self,
        at: Instant,
        target: &UserName,
        argv_sha256: String,
        sent: &Result<MessageId, SendError>,
    ) {
        let (outcome, reason) = judged(sent);
        self.write(&Operation {
            peer: Some(target.as_str().into()),
            tag: Some("CMD".into()),
            id: sent.as_ref().ok().map(|id| id.to_string().into()),
            conversation: Some("dm".into()),
            argv_sha256: Some(argv_sha256.into()),
            outcome: Some(outcome),
            reason,
            ..self.line("command.send")
        });
        if let Ok(id) = sent {
            let (peer, conversation) = (Some(target.clone()), "dm".to_owned());
            self.remember(*id, SentAt { at, peer, conversation, tag: "CMD" });
        }
    }

    fn remember(&mut self, id: MessageId, sent: SentAt) {
        self.sent.insert(id, sent);
        if self.sent.len() > SENT_REMEMBERED_MAX {
            self.sent.pop_first();
        }
    }

    /// A line about a message of ours, with what is remembered about it.
    fn about<'a>(&'a self, op: &'a str, id: &MessageId) -> Operation<'a> {
        let sent = self.sent.get(id);
        let peer = sent.and_then(|sent| sent.peer.as_ref());
        Operation {
            id: Some(id.to_string().into()),
            peer: peer.map(|peer| peer.as_str().into()),
            tag: sent.map(|sent| sent.tag.into()),
            conversation: sent.map(|sent| sent.conversation.as_str().into()),
            total_us: sent.map(|sent| micros(sent.at)),
            ..self.line(op)
        }
    }
}

fn judged<'a>(sent: &Result<MessageId, SendError>) -> (Outcome, Option<chat_oplog::Text<'a>>) {
    match sent {
        Ok(_) => (Outcome::Ok, None),
        Err(error) => (Outcome::Refused, Some(error.to_string().into())),
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
