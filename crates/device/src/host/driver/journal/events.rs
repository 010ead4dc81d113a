//! The lines for what the device says: what became of what was sent, and what came from others.

use chat_endpoint::Event;
use chat_oplog::{Level, Operation, Outcome};
use chat_protocol::name::{ConversationId, ConversationKind, UserName};
use chat_protocol::spoken::counted;

use super::{Journal, micros};

impl Journal {
    /// One line for what the device says.
    pub(in crate::host::driver) fn event(&mut self, event: &Event) {
        if let Event::Stored { id, .. } = event
            && let Some(sent) = self.sent.get(id)
        {
            self.last_answer_us = Some(micros(sent.at));
        }
        let operation = match event {
            Event::Message { .. }
            | Event::Command { .. }
            | Event::CommandPassed { .. }
            | Event::Cancel { .. }
            | Event::Disowned { .. }
            | Event::Unreadable { .. } => self.received(event),
            Event::Gap { .. }
            | Event::Healed { .. }
            | Event::Unhealed { .. }
            | Event::Dropped { .. } => self.about_gaps(event),
            Event::Stored { id, position, recipients, .. } => Operation {
                seq: Some(*position),
                recipients: u64::try_from(recipients.len()).ok(),
                stage: Some("stored".into()),
                outcome: Some(Outcome::Ok),
                ..self.about("message.stored", id)
            },
            Event::Refused { id, code, reason, .. } => Operation {
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
            Event::Late { .. }
            | Event::Started { .. }
            | Event::Output { .. }
            | Event::OutputLost { .. }
            | Event::Ended { .. } => self.about_command(event),
            Event::Joined { .. }
            | Event::Left { .. }
            | Event::MemberChanged { .. }
            | Event::Topic { .. }
            | Event::Moderated { .. }
            | Event::Retention { .. } => self.about_rooms(event),
            Event::Alarm { .. }
            | Event::Complaint { .. }
            | Event::PutOff { .. }
            | Event::Announcement { .. }
            | Event::Away { .. }
            | Event::Settings { .. }
            | Event::NewDevice { .. } => self.noticed(event),
            Event::File { .. } | Event::ListRefused { .. } => self.about_files(event),
            Event::Shared { .. }
            | Event::Found { .. }
            | Event::OffersChecked { .. }
            | Event::Presence { .. }
            | Event::People { .. }
            | Event::Rooms { .. }
            | Event::Subscriptions { .. }
            | Event::Refreshed { .. } => return,
        };
        self.write(&operation);
    }

    /// The line for what is said beside all talk.
    fn noticed<'a>(&'a self, event: &'a Event) -> Operation<'a> {
        match event {
            Event::Alarm { kind, user, detail, count } => Operation {
                level: Level::Error,
                peer: Some(user.as_str().into()),
                code: Some(kind.as_str().into()),
                reason: Some(match count {
                    0 | 1 => detail.as_str().into(),
                    count => format!("{count} times in a minute: {detail}").into(),
                }),
                ..self.line("alarm")
            },
            Event::Complaint { code, reason, .. } => Operation {
                level: Level::Warn,
                outcome: Some(Outcome::Refused),
                code: Some(code.as_str().into()),
                reason: Some(reason.as_str().into()),
                ..self.line("server.complaint")
            },
            Event::PutOff { reason } => Operation {
                level: Level::Warn,
                outcome: Some(Outcome::Retry),
                reason: Some(reason.as_str().into()),
                ..self.line("server.complaint")
            },
            Event::NewDevice { user, .. } => Operation {
                level: Level::Warn,
                peer: Some(user.as_str().into()),
                ..self.line("device.new")
            },
            Event::Away { from, .. } => {
                Operation { peer: Some(from.as_str().into()), ..self.line("message.away") }
            }
            Event::Settings { .. } => self.line("device.settings"),
            _ => self.line("server.announcement"),
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
            Event::CommandPassed { from, .. } => Operation {
                peer: Some(from.as_str().into()),
                tag: Some("CMD".into()),
                outcome: Some(Outcome::Refused),
                ..self.line("command.receive")
            },
            Event::Cancel { from, re, .. } => Operation {
                peer: Some(from.as_str().into()),
                tag: Some("CANCEL".into()),
                id: Some(re.to_string().into()),
                ..self.line("command.receive")
            },
            Event::Disowned { cid, from, id } => Operation {
                peer: Some(from.as_str().into()),
                id: Some(id.to_string().into()),
                conversation: Some(conversation(cid).into()),
                ..self.line("message.disowned")
            },
            Event::Unreadable { cid, from, id, reason, .. } => Operation {
                level: Level::Warn,
                peer: Some(from.as_str().into()),
                id: Some(id.to_string().into()),
                conversation: Some(conversation(cid).into()),
                outcome: Some(Outcome::Failed),
                reason: Some(reason.as_str().into()),
                ..self.line("message.receive")
            },
            _ => self.line("event"),
        }
    }

    /// The line for messages that are missing, or were.
    fn about_gaps<'a>(&'a self, event: &'a Event) -> Operation<'a> {
        match event {
            Event::Gap { cid, from, missing } => Operation {
                level: Level::Warn,
                peer: Some(from.as_str().into()),
                conversation: Some(conversation(cid).into()),
                reason: Some(format!("missing: {}", counted(missing.len(), "message")).into()),
                ..self.line("message.gap")
            },
            Event::Dropped { cid, from, messages, .. } => Operation {
                level: Level::Warn,
                peer: from.as_ref().map(|from| from.as_str().into()),
                conversation: Some(conversation(cid).into()),
                reason: Some(
                    format!("the server has dropped {}", counted(*messages, "message")).into(),
                ),
                ..self.line("message.dropped")
            },
            Event::Healed { cid, from, n } => Operation {
                peer: Some(from.as_str().into()),
                conversation: Some(conversation(cid).into()),
                outcome: Some(Outcome::Ok),
                reason: Some(format!("were missing: {}", counted(n.len(), "message")).into()),
                ..self.line("message.healed")
            },
            Event::Unhealed { cid, from, n, reason } => Operation {
                level: Level::Warn,
                peer: Some(from.as_str().into()),
                conversation: Some(conversation(cid).into()),
                outcome: Some(Outcome::Failed),
                reason: Some(
                    format!("stay missing: {}: {reason}", counted(n.len(), "message")).into(),
                ),
                ..self.line("message.healed")
            },
            _ => self.line("event"),
        }
    }

    /// The line for what became of a command.
    fn about_command<'a>(&'a self, event: &'a Event) -> Operation<'a> {
        match event {
            Event::Late { re, .. } => {
                Operation { outcome: Some(Outcome::Ok), ..self.about("command.late", re) }
            }
            Event::Started { re, .. } => {
                Operation { outcome: Some(Outcome::Ok), ..self.about("command.started", re) }
            }
            Event::Output { re, data, .. } => Operation {
                bytes: u64::try_from(data.len()).ok(),
                outcome: Some(Outcome::Ok),
                ..self.about("command.output", re)
            },
            Event::OutputLost { re, pieces } => Operation {
                reason: Some(format!("missing: {}", counted(*pieces, "piece")).into()),
                outcome: Some(Outcome::Failed),
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
            Event::Moderated { who, .. } => Operation {
                peer: Some(who.as_str().into()),
                outcome: Some(Outcome::Ok),
                ..self.line("room.moderated")
            },
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
