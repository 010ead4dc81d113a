//! What this device has to say: drafts until they are sealed, sealed frames until they are answered.

use std::sync::Arc;

use chat_protocol::b64::B64Vec;
use chat_protocol::code;
use chat_protocol::content::{
    self, ChainNotes, Command, Content, ContentError, Outcome, OutputStream,
};
use chat_protocol::id::{Digest, MessageId, Nonce16};
use chat_protocol::limits::INTEGER_MAX;
use chat_protocol::name::{ConversationId, ConversationKind, RoomName, UserName};
use chat_protocol::ratchet::MessageKey;
use chat_protocol::tag::{Stage, Tag};
use chat_protocol::veil;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::endpoint::Endpoint;
use crate::limits::COMMAND_EXPIRY_MS;
use crate::position::Position;
use crate::questions::Question;
use crate::store::Records;
use crate::table::{Rows as _, Table};

/// Why something cannot be said at all.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// Too long.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// Nothing to say.
    #[error("an empty message is not sent")]
    Empty,
    /// A command whose first word is missing or empty.
    #[error("a command begins with the program that it starts")]
    NoProgram,
    /// To oneself.
    #[error("a message to yourself goes nowhere; write it to somebody else or to a room")]
    ToOneself,
    /// The server says that it refused the same command, or it was given up, and it could still start.
    #[error(
        "this command was refused by the server or given up here, but it may have started on {target}, or \
         start there within {seconds} s; wait"
    )]
    MayStart {
        /// Which machine.
        target: UserName,
        /// For how long.
        seconds: u64,
    },
}

/// The kind of rows of what is on its way.
pub(crate) const OUTGOING: &str = "outgoing";

/// The place of a command among those of its machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// Signing key and restart nonce: the row of the outbox.
    pub(crate) of: String,
    pub(crate) no: u64,
    pub(crate) prev: Option<u64>,
}

impl Asked {
    /// Writes its numbers into what is sealed.
    pub(crate) fn number(self, content: &mut Content) {
        if let Content::Command(command) = content {
            (command.no, command.prev) = (self.no, self.prev);
        }
    }
}

/// A message on its way.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Outgoing {
    pub(crate) id: MessageId,
    pub(crate) cid: ConversationId,
    pub(crate) tag: Tag,
    pub(crate) stage: Option<Stage>,
    /// The plaintext without notes about the chain, as JSON text.
    content: String,
    /// The writer's clock, Unix time in milliseconds.
    pub(crate) ts: u64,
    pub(crate) sealed: Option<Sealed>,
    /// Of a command that was sealed: its place among those of its signing key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) asked: Option<Asked>,
    /// Devices among themselves: the host hears nothing of it.
    #[serde(default)]
    pub(crate) quiet: bool,
    /// Of a copy in a feed: where the hub has put what it is a copy of, which has the same id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) copy_of: Option<Position>,
}

/// A sealed frame; resent byte-identical until it is answered.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sealed {
    pub(crate) e: Digest,
    pub(crate) n: u32,
    pub(crate) digest: Digest,
    /// Burnt counters that it tells of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) void: Vec<(u32, Digest)>,
    /// Opens it; kept with the message (A11).
    pub(crate) key: MessageKey,
    pub(crate) frame: B64Vec,
}

/// How many texts and commands of a person the rows of a home hold that no hub has taken yet, for whoever reads
/// them before a sign-in.
pub fn unsent(rows: &Records) -> Result<usize, serde_json::Error> {
    let mut outgoing = Table::<Outgoing>::default();
    for (key, value) in rows {
        outgoing.load(OUTGOING, key, value)?;
    }
    Ok(outgoing.iter().filter(|(_, said)| said.is_of_person()).count())
}

impl Outgoing {
    /// A draft, said at this time by the writer's clock.
    pub(crate) fn new(
        id: MessageId,
        cid: ConversationId,
        tag: Tag,
        content: &Content,
        ts: u64,
    ) -> Self {
        let json = content::encode(content, &ChainNotes::default());
        let content = String::from_utf8_lossy(&json).into_owned();
        let (stage, sealed, asked, quiet, copy_of) = (None, None, None, false, None);
        Self { id, cid, tag, stage, content, ts, sealed, asked, quiet, copy_of }
    }

    /// Whether a person has written it: a text or a command.
    pub(crate) fn is_of_person(&self) -> bool {
        matches!(self.tag, Tag::Text | Tag::Dm | Tag::Broadcast | Tag::Cmd) && !self.quiet
    }

    /// Whether an agent says it: output or the outcome of a command.
    pub(crate) fn is_report(&self) -> bool {
        matches!(self.tag, Tag::Out | Tag::Ack | Tag::Noack)
    }

    /// Whether it is one of the messages by which files are handed over.
    pub(crate) fn is_about_files(&self) -> bool {
        matches!(self.content(), Some(Content::File(_)))
    }

    pub(crate) fn content(&self) -> Option<Content> {
        content::decode(self.tag, self.content.as_bytes()).ok().map(|(content, _)| content)
    }
}

/// What a requester may ask of a command.
#[derive(Debug, Clone, Copy, Default)]
pub struct CommandOptions {
    /// Longest run in milliseconds.
    pub time_max_ms: Option<u64>,
    /// Most output in bytes.
    pub output_max: Option<u64>,
    /// Ask even if the same words could still start there, after a refusal by the server or because they
    /// were given up.
    pub again: bool,
}

/// How a command ended that ran here, or why it did not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandEnd {
    /// The command.
    pub re: MessageId,
    /// The digest of its frame.
    pub of: Digest,
    /// Exit status, where the program ran and has one.
    pub status: Option<i32>,
    /// A stable code; empty for success.
    pub code: String,
    /// A sentence for people; empty for success.
    pub reason: String,
}

impl Endpoint {
    /// Says something to people in a conversation. Under a veil the letters are moved on by one: a mark beside
    /// the text says so. Both are sealed like any text; the veil hides nothing from anybody. Returns the
    /// message's id.
    pub fn send(
        &mut self,
        now_ms: u64,
        cid: ConversationId,
        text: &str,
        veiled: bool,
    ) -> Result<MessageId, SendError> {
        check_text(text)?;
        let content = if veiled {
            Content::Veiled(veil::shift(text))
        } else {
            Content::Text(text.to_owned())
        };
        let tag = Tag::of_words(&cid);
        if let Some(to) = self.other(&cid) {
            self.note_written(now_ms, &to);
        }
        Ok(self.draft(now_ms, cid, tag, None, &content))
    }

    /// Says something to one person for this user, who is away: the other's program answers nothing to it. The host
    /// hears nothing of it. Returns the message's id; nothing where there is nothing to say, or nobody.
    pub fn answer_for_away(&mut self, now_ms: u64, to: &UserName, text: &str) -> Option<MessageId> {
        check_text(text).ok()?;
        self.draft_quietly(now_ms, to, Tag::Dm, &Content::Auto(text.to_owned()))
    }

    /// Says something in a room.
    pub fn say(
        &mut self,
        now_ms: u64,
        room: &RoomName,
        text: &str,
    ) -> Result<MessageId, SendError> {
        self.send(now_ms, ConversationId::room(room), text, false)
    }

    /// Says something to one person.
    pub fn tell_user(
        &mut self,
        now_ms: u64,
        to: &UserName,
        text: &str,
    ) -> Result<MessageId, SendError> {
        let cid = self.direct(to)?;
        self.send(now_ms, cid, text, false)
    }

    /// Asks a machine to run a command. Without a shell: the words go to the program as they are.
    pub fn run(
        &mut self,
        now_ms: u64,
        target: &UserName,
        argv: Vec<String>,
        options: CommandOptions,
    ) -> Result<MessageId, SendError> {
        content::check_argv(&argv)?;
        if argv.first().is_none_or(String::is_empty) {
            return Err(SendError::NoProgram);
        }
        let cid = self.direct(target)?;
        if !options.again {
            self.check_doubt(now_ms, target, &argv)?;
        }
        let command = Command {
            argv,
            salt: Nonce16(self.out.random()),
            // Taken when it is sealed.
            no: 0,
            prev: None,
            time_max_ms: options.time_max_ms.map(|limit| limit.min(INTEGER_MAX)),
            output_max: options.output_max.map(|limit| limit.min(INTEGER_MAX)),
        };
        Ok(self.draft(now_ms, cid, Tag::Cmd, None, &Content::Command(command)))
    }

    /// Takes a command back: one that has not left is dropped, and [`Event::Refused`](crate::Event::Refused)
    /// says so; for another one CANCEL is sent, whose id is returned. Nothing happens to one that has
    /// ended.
    pub fn cancel(&mut self, now_ms: u64, re: &MessageId) -> Option<MessageId> {
        let draft = self.out.questions.message(re).cloned();
        let draft = draft
            .filter(|key| self.outbox.get(key).is_some_and(|outgoing| outgoing.sealed.is_none()));
        if let Some(key) = draft {
            if !self.has_left(re) {
                let reason = "it was cancelled before it was sent";
                self.refuse(now_ms, &key, code::CANCELLED, reason);
                return None;
            }
            // A frame of it is in the hub's hands, whatever the hub says: its machine is told.
            self.end_draft(&key);
        }
        let sent = self.state.sent.get(re).filter(|sent| !sent.ended)?;
        let cid = sent.cid.clone();
        Some(self.draft(now_ms, cid, Tag::Cancel, None, &Content::Cancel { re: *re }))
    }

    /// Tells a requester that its command was started. Returns the message's id.
    pub fn report_started(
        &mut self,
        now_ms: u64,
        to: &UserName,
        re: MessageId,
    ) -> Option<MessageId> {
        let no = self.next_piece(to, &re);
        self.report(now_ms, to, Tag::Out, None, &Content::Started { re, no })
    }

    /// Sends a requester a piece of output. Returns the message's id.
    pub fn report_output(
        &mut self,
        now_ms: u64,
        to: &UserName,
        re: MessageId,
        stream: OutputStream,
        data: Vec<u8>,
    ) -> Option<MessageId> {
        let no = self.next_piece(to, &re);
        self.report(now_ms, to, Tag::Out, None, &Content::Output { re, stream, no, data })
    }

    /// Tells a requester how its command ended: ACK if the code is empty, NOACK otherwise. Returns the
    /// message's id.
    pub fn report_outcome(
        &mut self,
        now_ms: u64,
        to: &UserName,
        end: CommandEnd,
    ) -> Option<MessageId> {
        let CommandEnd { re, of, status, code, reason } = end;
        let outs = self.pieces_said(to, &re);
        let outcome = Outcome { re, of, outs, status, code, reason };
        let tag = if outcome.code.is_empty() { Tag::Ack } else { Tag::Noack };
        self.report(now_ms, to, tag, Some(Stage::Executed), &Content::Outcome(outcome))
    }

    fn report(
        &mut self,
        now_ms: u64,
        to: &UserName,
        tag: Tag,
        stage: Option<Stage>,
        content: &Content,
    ) -> Option<MessageId> {
        let cid = self.direct(to).ok()?;
        Some(self.draft(now_ms, cid, tag, stage, content))
    }

    /// Asks who has an account and who is here; answered by
    /// [`Event::People`](crate::Event::People), page after page.
    pub fn who(&mut self) {
        self.ask_page(Question::Who { after: None });
    }

    /// Brings the view of a conversation up to date, whatever is known; answered by
    /// [`Event::Refreshed`](crate::Event::Refreshed).
    pub fn refresh(&mut self, cid: &ConversationId) {
        self.start_refresh(cid, true);
    }

    /// How many messages, receipts, and questions about who follows whom have no answer yet.
    pub fn unanswered(&self) -> usize {
        let asked = usize::try_from(self.link.subscriptions_asked).unwrap_or(usize::MAX);
        (self.outbox.len() + self.receipts.counts().1).saturating_add(asked)
    }

    /// Whether receipts are still owed.
    pub fn owes_receipts(&self) -> bool {
        self.receipts.counts().0 > 0
    }

    pub(crate) fn direct(&self, to: &UserName) -> Result<ConversationId, SendError> {
        ConversationId::direct(&self.device.user, to).map_err(|_| SendError::ToOneself)
    }

    pub(crate) fn draft(
        &mut self,
        now_ms: u64,
        cid: ConversationId,
        tag: Tag,
        stage: Option<Stage>,
        content: &Content,
    ) -> MessageId {
        let id = self.out.new_id(now_ms);
        self.put_draft(Outgoing { stage, ..Outgoing::new(id, cid, tag, content, now_ms) });
        id
    }

    fn put_draft(&mut self, draft: Outgoing) {
        let id = draft.id;
        self.link.dirty.insert(draft.cid.clone());
        let key = self.outbox.put(draft);
        self.out.questions.ask(id, Question::Message(key));
    }

    /// Says in this user's feed what the hub has just put at `position` of another log, under the
    /// same id. Nothing else is under way under that id any more.
    pub(crate) fn draft_copy(
        &mut self,
        said: &Outgoing,
        position: u64,
        feed: ConversationId,
        content: &Content,
    ) {
        let copy_of = Some(self.positions.at(position));
        let draft = Outgoing::new(said.id, feed, said.tag, content, said.ts);
        self.put_draft(Outgoing { quiet: true, copy_of, ..draft });
    }

    /// Sends one person a message of which the host hears nothing.
    pub(crate) fn draft_quietly(
        &mut self,
        now_ms: u64,
        to: &UserName,
        tag: Tag,
        content: &Content,
    ) -> Option<MessageId> {
        self.draft_direct(now_ms, to, tag, content, true)
    }

    /// Sends one person a message.
    pub(crate) fn draft_direct(
        &mut self,
        now_ms: u64,
        to: &UserName,
        tag: Tag,
        content: &Content,
        quiet: bool,
    ) -> Option<MessageId> {
        let id = self.draft(now_ms, self.direct(to).ok()?, tag, None, content);
        let key = self.out.questions.message(&id).filter(|_| quiet).cloned();
        if let Some(key) = key {
            self.outbox.quiet(&key);
        }
        Some(id)
    }

    /// Who a message of ours was sealed for.
    pub(crate) fn recipients(&self, id: &MessageId) -> Arc<[UserName]> {
        let epoch = self.state.sent.get(id).and_then(|sent| self.epochs.get(&sent.e));
        epoch.map(|epoch| Arc::clone(&epoch.others)).unwrap_or_default()
    }

    /// A message of this device without an answer.
    pub(crate) fn under_way(&self, id: &MessageId) -> Option<&Outgoing> {
        self.outbox.get(self.out.questions.message(id)?)
    }

    /// The other party of a direct conversation, or nobody.
    pub(crate) fn other(&self, cid: &ConversationId) -> Option<UserName> {
        match cid.kind() {
            ConversationKind::Direct(..) => cid.other(&self.device.user),
            _ => None,
        }
    }

    /// Whether this is the conversation of this user's devices among themselves.
    pub(crate) fn is_own(&self, cid: &ConversationId) -> bool {
        cid.is_own() && cid.other(&self.device.user).is_some()
    }

    /// Whether this is a direct conversation that this user is no party of: an honest hub delivers nothing of it.
    pub(crate) fn is_of_others(&self, cid: &ConversationId) -> bool {
        cid.is_direct() && cid.other(&self.device.user).is_none()
    }
}

/// Whether a text can be sent at all: not blank, and no longer than a message may be.
pub fn check_text(text: &str) -> Result<(), SendError> {
    content::check_text(text)?;
    if text.trim().is_empty() { Err(SendError::Empty) } else { Ok(()) }
}

/// Not-before and expiry of a message, relative to its own time; commands have them.
pub(crate) fn command_window(tag: Tag) -> (Option<u64>, Option<u64>) {
    if tag == Tag::Cmd { (Some(0), Some(COMMAND_EXPIRY_MS)) } else { (None, None) }
}
