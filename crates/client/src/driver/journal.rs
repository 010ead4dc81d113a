//! One line per operation in the log of this client. Ids, names, sizes and times; never a text.

use std::collections::BTreeMap;
use std::time::Instant;

use chat_endpoint::{Event, SendError, Transmit};
use chat_oplog::{Level, Operation, OperationLog, Outcome};
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, ConversationKind, RoomName, UserName};

use crate::config::ServerUrl;
use crate::connection::ConnectError;

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

    fn line<'a>(&'a self, op: &'a str) -> Operation<'a> {
        Operation {
            user: Some(self.user.as_str().into()),
            conn_id: Some(self.connections),
            ..Operation::new(op)
        }
    }

    pub(super) fn online(&mut self, url: &ServerUrl) {
        self.connections += 1;
        self.log.write(&Operation {
            address: Some(url.to_string().into()),
            outcome: Some(Outcome::Ok),
            ..self.line("session.open")
        });
    }

    pub(super) fn lost(&self, reason: &str) {
        self.log.write(&Operation {
            level: Level::Warn,
            outcome: Some(Outcome::Retry),
            reason: Some(reason.into()),
            bytes: Some(self.bytes_out),
            ..self.line("session.lost")
        });
    }

    pub(super) fn not_connected(&self, error: &ConnectError) {
        let outcome = if error.is_temporary() { Outcome::Retry } else { Outcome::Failed };
        self.log.write(&Operation {
            level: Level::Warn,
            outcome: Some(outcome),
            code: error.code().map(Into::into),
            reason: Some(error.to_string().into()),
            ..self.line("session.connect")
        });
    }

    pub(super) fn rolled_back(&self) {
        self.log.write(&Operation {
            level: Level::Warn,
            reason: Some(chat_endpoint::Rollback.to_string().into()),
            ..self.line("key.renew")
        });
    }

    pub(super) fn closed(&self, is_asked: bool) {
        let outcome = if is_asked { Outcome::Ok } else { Outcome::Failed };
        self.log.write(&Operation {
            outcome: Some(outcome),
            bytes: Some(self.bytes_out),
            ..self.line("session.close")
        });
    }

    pub(super) fn say(
        &mut self,
        room: &RoomName,
        bytes: usize,
        sent: &Result<MessageId, SendError>,
    ) {
        let (tag, conversation) =
            if room.is_all() { ("BROADCAST", "all") } else { ("TEXT", room.as_str()) };
        self.message(tag, conversation.to_owned(), None, bytes, sent);
    }

    pub(super) fn tell(
        &mut self,
        to: &UserName,
        bytes: usize,
        sent: &Result<MessageId, SendError>,
    ) {
        self.message("DM", "dm".to_owned(), Some(to), bytes, sent);
    }

    fn message(
        &mut self,
        tag: &'static str,
        conversation: String,
        peer: Option<&UserName>,
        bytes: usize,
        sent: &Result<MessageId, SendError>,
    ) {
        let (outcome, reason) = judged(sent);
        self.log.write(&Operation {
            peer: peer.map(|peer| peer.as_str().into()),
            tag: Some(tag.into()),
            id: sent.as_ref().ok().map(|id| id.to_string().into()),
            conversation: Some(conversation.as_str().into()),
            bytes: u64::try_from(bytes).ok(),
            outcome: Some(outcome),
            reason,
            ..self.line("message.send")
        });
        if let Ok(id) = sent {
            self.remember(*id, tag, conversation, peer.cloned());
        }
    }

    pub(super) fn run(
        &mut self,
        target: &UserName,
        argv_sha256: String,
        sent: &Result<MessageId, SendError>,
    ) {
        let (outcome, reason) = judged(sent);
        self.log.write(&Operation {
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
            self.remember(*id, "CMD", "dm".to_owned(), Some(target.clone()));
        }
    }

    fn remember(
        &mut self,
        id: MessageId,
        tag: &'static str,
        conversation: String,
        peer: Option<UserName>,
    ) {
        self.sent.insert(id, SentAt { at: Instant::now(), peer, conversation, tag });
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

    /// One line for what the device says.
    pub(super) fn event(&mut self, event: &Event) {
        if let Event::Stored { id, .. } = event
            && let Some(sent) = self.sent.get(id)
        {
            self.last_answer_us = Some(micros(sent.at));
        }
        let operation = match event {
            Event::Message { .. }
            | Event::Command { .. }
            | Event::Unreadable { .. }
            | Event::Gap { .. }
            | Event::Healed { .. }
            | Event::Unhealed { .. }
            | Event::Dropped { .. }
            | Event::Alarm { .. } => self.received(event),
            Event::Stored { id, position, recipients, .. } => Operation {
                seq: Some(*position),
                recipients: u64::try_from(recipients.len()).ok(),
                stage: Some("stored".into()),
                outcome: Some(Outcome::Ok),
                ..self.about("message.stored", id)
            },
            Event::Refused { id, code, reason } => Operation {
                stage: Some("stored".into()),
                outcome: Some(Outcome::Refused),
                code: Some(code.as_str().into()),
                reason: Some(reason.as_str().into()),
                ..self.about("message.refused", id)
            },
            Event::Delivered { id, by, readable, .. } => Operation {
                peer: Some(by.as_str().into()),
                stage: Some("delivered".into()),
                outcome: Some(if *readable { Outcome::Ok } else { Outcome::Refused }),
                ..self.about("message.delivered", id)
            },
            Event::Started { .. } | Event::Output { .. } | Event::Ended { .. } => {
                self.about_command(event)
            }
            Event::Joined { .. }
            | Event::Left { .. }
            | Event::MemberChanged { .. }
            | Event::Topic { .. }
            | Event::Retention { .. } => self.about_rooms(event),
            Event::Complaint { code, reason, .. } => Operation {
                level: Level::Warn,
                outcome: Some(Outcome::Refused),
                code: Some(code.as_str().into()),
                reason: Some(reason.as_str().into()),
                ..self.line("server.complaint")
            },
            Event::File { .. } | Event::ListRefused { .. } => self.about_files(event),
            Event::Shared { .. }
            | Event::Found { .. }
            | Event::Presence { .. }
            | Event::People { .. }
            | Event::Rooms { .. }
            | Event::Subscriptions { .. }
            | Event::Refreshed { .. } => return,
        };
        self.log.write(&operation);
    }

    /// The line for what became of a command.
    fn about_command<'a>(&'a self, event: &'a Event) -> Operation<'a> {
        match event {
            Event::Started { re, .. } => {
                Operation { outcome: Some(Outcome::Ok), ..self.about("command.started", re) }
            }
            Event::Output { re, data, .. } => Operation {
                bytes: u64::try_from(data.len()).ok(),
                outcome: Some(Outcome::Ok),
                ..self.about("command.output", re)
            },
            Event::Ended { re, ok, status, code, reason, .. } => Operation {
                exit: *status,
                stage: Some("executed".into()),
                outcome: Some(if *ok { Outcome::Ok } else { Outcome::Refused }),
                code: (!code.is_empty()).then(|| code.as_str().into()),
                reason: (!reason.is_empty()).then(|| reason.as_str().into()),
                ..self.about("command.ended", re)
            },
            _ => self.line("command"),
        }
    }

    /// The line for what somebody's program or the hub says about files.
    fn about_files<'a>(&'a self, event: &'a Event) -> Operation<'a> {
        match event {
            Event::File { id, cid, from, .. } => Operation {
                peer: Some(from.as_str().into()),
                conversation: Some(conversation(cid).into()),
                outcome: Some(Outcome::Ok),
                ..self.about("file.note", id)
            },
            Event::ListRefused { id, code, reason } => Operation {
                outcome: Some(Outcome::Refused),
                code: Some(code.as_str().into()),
                reason: Some(reason.as_str().into()),
                ..self.about("file.list", id)
            },
            _ => self.line("file"),
        }
    }

    /// The line for what has changed in a room.
    fn about_rooms<'a>(&'a self, event: &'a Event) -> Operation<'a> {
        match event {
            Event::Joined { cid, .. } => self.in_room("room.join", cid, None),
            Event::Left { cid, .. } => self.in_room("room.leave", cid, None),
            Event::MemberChanged { cid, who, .. } => self.in_room("room.member", cid, Some(who)),
            Event::Topic { cid, by, .. } => self.in_room("room.topic", cid, Some(by)),
            Event::Retention { cid, by, .. } => self.in_room("room.retention", cid, Some(by)),
            _ => self.line("room"),
        }
    }

    /// The line for what has happened in a room.
    fn in_room<'a>(
        &'a self,
        op: &'static str,
        cid: &'a ConversationId,
        peer: Option<&'a UserName>,
    ) -> Operation<'a> {
        let op = match op {
            "room.join" if cid.is_feed() => "feed.join",
            "room.leave" if cid.is_feed() => "feed.leave",
            "room.member" if cid.is_feed() => "feed.member",
            op => op,
        };
        Operation {
            conversation: Some(conversation(cid).into()),
            peer: peer.map(|peer| peer.as_str().into()),
            outcome: Some(Outcome::Ok),
            ..self.line(op)
        }
    }

    /// The line for what came from somebody else.
    fn received<'a>(&'a self, event: &'a Event) -> Operation<'a> {
        match event {
            Event::Message { id, cid, tag, from, text, position, .. } => Operation {
                peer: Some(from.as_str().into()),
                tag: Some(tag.to_string().into()),
                id: Some(id.to_string().into()),
                conversation: Some(conversation(cid).into()),
                seq: Some(*position),
                bytes: u64::try_from(text.len()).ok(),
                outcome: Some(Outcome::Ok),
                ..self.line("message.receive")
            },
            Event::Command { id, from, command, .. } => Operation {
                peer: Some(from.as_str().into()),
                tag: Some("CMD".into()),
                id: Some(id.to_string().into()),
                argv_sha256: Some(chat_agent::argv_digest(&command.argv).into()),
                ..self.line("command.receive")
            },
            Event::Unreadable { cid, from, id, reason } => Operation {
                level: Level::Warn,
                peer: Some(from.as_str().into()),
                id: Some(id.to_string().into()),
                conversation: Some(conversation(cid).into()),
                outcome: Some(Outcome::Failed),
                reason: Some(reason.as_str().into()),
                ..self.line("message.receive")
            },
            Event::Gap { cid, from, missing } => Operation {
                level: Level::Warn,
                peer: Some(from.as_str().into()),
                conversation: Some(conversation(cid).into()),
                reason: Some(format!("{} messages are missing", missing.len()).into()),
                ..self.line("message.gap")
            },
            Event::Dropped { cid, from, messages, .. } => Operation {
                level: Level::Warn,
                peer: from.as_ref().map(|from| from.as_str().into()),
                conversation: Some(conversation(cid).into()),
                reason: Some(format!("the server has dropped {messages} messages").into()),
                ..self.line("message.dropped")
            },
            Event::Healed { cid, from, n } => Operation {
                peer: Some(from.as_str().into()),
                conversation: Some(conversation(cid).into()),
                outcome: Some(Outcome::Ok),
                reason: Some(format!("{} messages were missing", n.len()).into()),
                ..self.line("message.healed")
            },
            Event::Unhealed { cid, from, n, reason } => Operation {
                level: Level::Warn,
                peer: Some(from.as_str().into()),
                conversation: Some(conversation(cid).into()),
                outcome: Some(Outcome::Failed),
                reason: Some(format!("{} messages stay missing: {reason}", n.len()).into()),
                ..self.line("message.healed")
            },
            Event::Alarm { kind, user, detail } => Operation {
                level: Level::Error,
                peer: Some(user.as_str().into()),
                code: Some(kind.as_str().into()),
                reason: Some(detail.as_str().into()),
                ..self.line("alarm")
            },
            _ => self.line("event"),
        }
    }
}

fn judged<'a>(sent: &Result<MessageId, SendError>) -> (Outcome, Option<chat_oplog::Text<'a>>) {
    match sent {
        Ok(_) => (Outcome::Ok, None),
        Err(error) => (Outcome::Refused, Some(error.to_string().into())),
    }
}

/// The word that the logs of server and clients use.
fn conversation(cid: &ConversationId) -> String {
    match cid.kind() {
        ConversationKind::Direct(..) => "dm".to_owned(),
        ConversationKind::Room(room) if room.is_all() => "all".to_owned(),
        ConversationKind::Room(room) => room.to_string(),
        ConversationKind::Feed(user) => format!("feed:{user}"),
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
