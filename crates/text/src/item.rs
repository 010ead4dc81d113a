//! What a talk tells its program: each thing by itself, with the conversation and the message that it belongs to.
//!
//! The crate `chat-talk` makes items. [`crate::show::items`] makes lines and objects of them; a screen may
//! place and mark them as it likes.

use std::path::PathBuf;
use std::time::Duration;

use chat_device::client::Status;
use chat_device::history::{Entry, Found, State};
use chat_device::identity::{Kind, Question};
use chat_device::names::alike::Alike;
use chat_device::recipient::Recipient;
use chat_endpoint::{Event, KnownDevice, Roster, Standing};
use chat_files::part::Resumable;
use chat_files::transfer::{Findings, Offered, TransferEvent};
use chat_protocol::fingerprint::Fingerprint;
use chat_protocol::hub::RoomInfo;
use chat_protocol::id::{KeyId, MessageId};
use chat_protocol::name::{ConversationId, RoomName, UserName};
use chat_protocol::tag::Tag;

use crate::settings::{Key, Settings};

/// One thing that is told.
#[derive(Debug)]
pub struct Item {
    /// The conversation that it belongs to; none for an answer to a command, and for what is about all of them.
    pub cid: Option<ConversationId>,
    /// The message that it is, or that it is about.
    pub id: Option<MessageId>,
    /// What is told.
    pub what: What,
}

impl From<What> for Item {
    fn from(what: What) -> Self {
        Self { cid: None, id: None, what }
    }
}

impl From<Answer> for Item {
    fn from(answer: Answer) -> Self {
        What::Answer(answer).into()
    }
}

/// What is told.
#[derive(Debug)]
pub enum What {
    /// What the device tells.
    Event(Box<Event>),
    /// Somebody who was met has a name that is easily taken for another one.
    Alike(Alike),
    /// What this user said was taken. What becomes of it follows as events.
    Own(Own),
    /// What was asked for goes out when there is a connection.
    Queued,
    /// How the connection is.
    Connection(Connection),
    /// The server offers another key for somebody than the known one, and nothing was decided yet.
    Undecided(UserName),
    /// Where a text goes from now on; nowhere without one.
    Place(Option<Recipient>),
    /// A room that did not exist was made.
    Made(RoomName),
    /// The next line is the answer to this.
    Asked(Asked),
    /// A room that was asked about is not made.
    NotMade(RoomName),
    /// What a command answers.
    Answer(Answer),
    /// A command can still start although its machine is away.
    MayStart(MessageId),
    /// A command has not started in time, and was taken back.
    NotStarted {
        /// The machine.
        target: UserName,
        /// Until when it could start all the same, Unix time in milliseconds.
        until_ms: Option<u64>,
    },
    /// Nobody waits any longer for a command that has not started.
    NotWaitedFor {
        /// The machine.
        target: UserName,
        /// Until when it can start, Unix time in milliseconds.
        until_ms: u64,
    },
    /// What happened to a file that is on its way or shared.
    Transfer {
        /// What.
        event: TransferEvent,
        /// The file's name, where the event has none.
        name: Option<String>,
    },
    /// What was asked for is not to be had, or what was typed means nothing.
    Error(String),
    /// The screen is to be emptied.
    Clear,
}

/// What a person is asked.
#[derive(Debug, Clone)]
pub enum Asked {
    /// About a key, whose words were shown.
    Key(Box<Question>),
    /// Whether a room is to be made although there is one with nearly its name.
    Room {
        /// The room that does not exist.
        room: RoomName,
        /// The one that does.
        like: String,
    },
}

/// What this user has said or asked a machine to do.
#[derive(Debug, Clone)]
pub struct Own {
    /// The text, or the words of the command.
    pub text: String,
    /// It is a command for a machine.
    pub is_command: bool,
    /// It goes out under the veil.
    pub is_veiled: bool,
    /// When it was typed, Unix time in milliseconds.
    pub sent_ms: u64,
}

/// How the connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection {
    /// It is there.
    Online {
        /// The server's address.
        url: String,
        /// The server's identity.
        server: KeyId,
    },
    /// This machine's clock and the server's differ, both Unix time in milliseconds.
    Clocks(u64, u64),
    /// The server has owed an answer for so many seconds.
    Silent(u64),
    /// It says something again.
    Answering,
    /// It is gone, and comes back by itself.
    Offline(String),
}

/// What a command answers.
#[derive(Debug)]
pub enum Answer {
    /// All commands, or the one of this name.
    Help(Option<&'static str>),
    /// Who this user is.
    WhoAmI(Box<Status>),
    /// How things stand.
    Status(Box<Status>),
    /// The versions.
    Version,
    /// All settings.
    Settings(Box<Settings>),
    /// One of them.
    Set(&'static Key, Box<Settings>),
    /// The settings are kept, in this file.
    Saved(String),
    /// What is known of somebody.
    Whois(Box<Whois>),
    /// Whose words are hidden, or not any more; by another device of this user.
    Ignored(UserName, bool, bool),
    /// All whose words are hidden.
    Ignoring(Vec<UserName>),
    /// Which room is silent, or not any more; by another device.
    Muted(RoomName, bool, bool),
    /// All that are silent.
    Muting(Vec<RoomName>),
    /// Why this user is away; nothing where they are back; by another device.
    Away(Option<String>, bool),
    /// This device has told somebody why this user does not answer.
    AnsweredFor(UserName, String),
    /// Where something is new.
    Unread(Vec<Unread>),
    /// The server has answered after so long.
    Ping(Duration),
    /// How long the last answer took, in microseconds.
    Lag(Option<u64>),
    /// What the operator announced last.
    Motd(Option<String>),
    /// The connection is there already, or not.
    IsOnline(bool),
    /// Commands under way.
    Jobs(Vec<Job>),
    /// A command is taken back.
    Cancelled(Job),
    /// Whether what is typed goes out under the veil.
    Veil(bool),
    /// The password was changed.
    Password,
    /// Nothing was changed.
    Nothing,
    /// Rooms.
    Rooms(Vec<RoomInfo>),
    /// The topic of a room.
    Topic(RoomInfo),
    /// How long a room keeps messages.
    Retention(RoomInfo),
    /// Who is in a room.
    Members(RoomName, Roster),
    /// The server shows the membership of this room that is known.
    NothingToAccept(RoomName),
    /// Whom this user follows.
    Follows(Vec<UserName>),
    /// Who follows this user.
    Subscribers(Vec<UserName>),
    /// History was handed on.
    Granted {
        /// To whom.
        to: UserName,
        /// The room.
        cid: ConversationId,
        /// How many messages.
        count: usize,
    },
    /// Messages of the past, oldest first.
    History(Vec<Entry>),
    /// There are none in this conversation, or no older ones.
    NoHistory {
        /// The conversation.
        cid: ConversationId,
        /// Some were shown before.
        is_more: bool,
    },
    /// What was found in the past.
    Found(Found),
    /// Who has confirmed a message.
    Receipts(Box<Entry>),
    /// Messages without an answer, oldest first.
    Pending(Vec<Pending>),
    /// Keys to be compared.
    Compare(Box<Question>),
    /// What was decided about a key, and the sentence about it.
    Decided(Kind, UserName, String),
    /// The devices of somebody, who is deleted or not.
    Devices(UserName, bool, Vec<KnownDevice>),
    /// The key of somebody, who is deleted or not.
    Fingerprint(UserName, bool, KeyId),
    /// This device has new keys.
    Rotated,
    /// A device of this user is shut out, which had this number.
    Revoked(usize, Box<KnownDevice>),
    /// Files that were found, under numbers.
    Findings(Findings),
    /// A file is on its way here.
    Fetching {
        /// Number of the transfer.
        n: u32,
        /// The file's name.
        name: String,
        /// Who gives it.
        owner: UserName,
        /// Its size in bytes.
        size: u64,
    },
    /// A file that was offered is not wanted.
    Declined(Box<Offered>),
    /// Files on their way: number and name, what is offered, and what is partly here.
    Transfers(Vec<(u32, String)>, Vec<Offered>, Vec<Resumable>),
    /// The parts of files in this folder, and whether each was removed: one that is being received stays.
    Cleaned(PathBuf, Vec<(Resumable, bool)>),
}

/// What is known of somebody.
#[derive(Debug)]
pub struct Whois {
    /// Who.
    pub user: UserName,
    /// Whether they are connected, by the server's word.
    pub is_online: bool,
    /// Whether they accept commands, by the server's word.
    pub is_agent: bool,
    /// The account was deleted, by the server's word.
    pub is_deleted: bool,
    /// The words of the key that is known, and how well it is.
    pub key: Option<(Fingerprint, Standing)>,
    /// Their live devices: how many, and since when the first is known, Unix time in milliseconds.
    pub devices: Option<(usize, u64)>,
    /// The rooms in which both are.
    pub rooms: Vec<RoomName>,
    /// When they were heard of last, Unix time in milliseconds, where they allow that to be shown.
    pub seen_ms: Option<u64>,
}

/// A conversation in which something is new.
#[derive(Debug)]
pub struct Unread {
    /// Which one.
    pub cid: ConversationId,
    /// New messages.
    pub messages: usize,
    /// Those of them that name this user, or are for this user alone.
    pub mentions: usize,
}

/// A command of this user on another machine.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its number; it keeps it.
    pub n: u32,
    /// Its message.
    pub id: MessageId,
    /// The machine.
    pub target: UserName,
    /// Its words.
    pub argv: Vec<String>,
    /// How far it is: `QUEUED`, `DELIVERED` or `STARTED`.
    pub state: &'static str,
}

/// A message without an answer.
#[derive(Debug)]
pub struct Pending {
    /// The message.
    pub id: MessageId,
    /// Its conversation.
    pub cid: ConversationId,
    /// Its kind.
    pub tag: Tag,
    /// Its text, where the home has it.
    pub text: Option<String>,
}

/// How far a message of this user has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The server has not answered yet.
    Queued,
    /// The server keeps it.
    Stored {
        /// So many people are to receive it.
        recipients: usize,
        /// So many have confirmed that they could read it.
        confirmed: usize,
        /// So many could not.
        unreadable: usize,
    },
    /// It is refused for good.
    Refused {
        /// A stable code.
        code: String,
        /// A sentence.
        reason: String,
    },
}

impl Delivery {
    /// The same of a message of the history; nothing for those of others.
    pub fn of(entry: &Entry) -> Option<Self> {
        Some(match &entry.state {
            State::Queued => Self::Queued,
            State::Stored { recipients, .. } => {
                let confirmed = entry.confirmed.iter().filter(|one| one.readable).count();
                let unreadable = entry.confirmed.len() - confirmed;
                Self::Stored { recipients: recipients.len(), confirmed, unreadable }
            }
            State::Refused { code, reason, .. } => {
                match entry.confirmed.iter().filter(|one| one.readable).count() {
                    0 => Self::Refused { code: code.clone(), reason: reason.clone() },
                    confirmed => Self::Stored { recipients: confirmed, confirmed, unreadable: 0 },
                }
            }
            State::Received { .. } | State::Unreadable { .. } => return None,
        })
    }

    /// A mark for the end of a line.
    pub fn mark(&self) -> String {
        match self {
            Self::Queued => "…".to_owned(),
            Self::Stored { confirmed: 0, unreadable: 0, .. } => "✓".to_owned(),
            Self::Stored { confirmed: 0, .. } => "✗ could not be read".to_owned(),
            Self::Stored { recipients: 0 | 1, .. } => "✓✓".to_owned(),
            Self::Stored { recipients, confirmed, .. } => format!("✓✓ {confirmed}/{recipients}"),
            Self::Refused { reason, .. } => format!("✗ {}", chat_protocol::sanitise::line(reason)),
        }
    }
}
