//! What the screen is given, as plain data. It is made of what the talk knows; the screen keeps no second account
//! of it.
//!
//! Strings in here come from outside as they are: they pass the sanitiser when they are drawn, in `crate::pen`.

use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, UserName};
pub use chat_text::item::Delivery;

/// Where a conversation stands in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Rooms, that with everybody among them.
    Rooms,
    /// Single persons.
    People,
    /// Machines that accept commands.
    Machines,
    /// What people say to those who follow them.
    Feeds,
}

impl Group {
    /// The heading of the group.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Rooms => "Rooms",
            Self::People => "People",
            Self::Machines => "Machines",
            Self::Feeds => "Feeds",
        }
    }
}

/// One row of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Which one.
    pub cid: ConversationId,
    /// Under which heading it stands.
    pub group: Group,
    /// Its short name: `#dev`, `bob`, `ALL`.
    pub name: String,
    /// Messages that nobody has looked at.
    pub unread: usize,
    /// Those of them that name this user, or are for this user alone.
    pub mentions: usize,
    /// What is new there is not worth a look.
    pub is_muted: bool,
    /// This user takes part.
    pub is_in: bool,
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Said by somebody else.
    Said,
    /// Said by this user.
    Own,
    /// Said by the program.
    Notice,
    /// Something is wrong that the user must know of.
    Alarm,
    /// What a command has printed.
    Output,
}

/// One thing in the log of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The message that it is, or whose output it is.
    pub id: Option<MessageId>,
    /// Who has sealed the message: the ids are theirs, and others may use them again. The home has such a line.
    pub from: Option<UserName>,
    /// Its place in the home's history, if it is there.
    pub place: Option<i64>,
    /// When it was said, Unix time in milliseconds.
    pub at_ms: u64,
    /// Who said it; nobody for notices and output.
    pub who: Option<String>,
    /// What stands behind the name: how far the key behind it is to be trusted.
    pub hand: String,
    /// What was said. It may have several lines.
    pub text: String,
    /// The text is what they do, and not what they say: `waves`.
    pub is_action: bool,
    /// It was said under the veil. The mark for it stands before the name, where no text can put it.
    pub is_veiled: bool,
    /// What it is.
    pub kind: Kind,
    /// How far it has come, for what this user has said.
    pub delivery: Option<Delivery>,
    /// It names this user, or waits for an answer of theirs.
    pub is_mention: bool,
    /// How much is here of the file that it is about.
    pub progress: Option<Progress>,
}

/// How much is here of a file on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The number of the transfer.
    pub n: u32,
    /// Bytes of it.
    pub size: u64,
    /// Bytes that are here.
    pub done: u64,
    /// Bytes per second of late.
    pub rate: u64,
}

impl Progress {
    /// How much is here, in hundredths.
    pub fn percent(&self) -> u64 {
        let (done, size) = (u128::from(self.done), u128::from(self.size.max(1)));
        u64::try_from(done * 100 / size).unwrap_or(100).min(100)
    }
}

/// Somebody in the open room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Their name.
    pub name: String,
    /// They are connected now.
    pub is_online: bool,
    /// They may put others out.
    pub is_admin: bool,
}

/// A file on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Its name.
    pub name: String,
    /// How much of it is here, and its number, by which `/cancel` stops it.
    pub progress: Progress,
}

/// How the connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// It is there.
    Online,
    /// For so many seconds the server has owed an answer.
    Silent(u64),
    /// It is gone; the next attempt begins in so many seconds, if that is known.
    Offline(Option<u64>),
    /// It is gone, and nothing is tried before somebody says so.
    Away,
}

/// What the status line tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Now, Unix time in milliseconds.
    pub now_ms: u64,
    /// The user who is signed in.
    pub user: String,
    /// The server's host; empty without a connection.
    pub server: String,
    /// The connection itself is encrypted; nothing without a connection.
    pub is_tls: Option<bool>,
    /// The key of the person whose conversation is open was compared.
    pub is_verified: bool,
    /// How long the server keeps what is said in the open conversation, in words.
    pub retention: Option<String>,
    /// Milliseconds until the last answer came.
    pub lag_ms: Option<u64>,
    /// Messages without an answer.
    pub unanswered: usize,
    /// How the connection is.
    pub link: Link,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The conversations, in the order of the list.
    pub conversations: Vec<Conversation>,
    /// What the open conversation is about.
    pub topic: String,
    /// Who is in it, where that is known.
    pub members: Vec<Member>,
    /// Files on their way.
    pub transfers: Vec<Transfer>,
    /// The status line.
    pub status: Status,
    /// What is typed goes out under the veil.
    pub is_veiled: bool,
    /// Something was begun in the open conversation that can be sent as things are, and does not stand where one types.
    pub has_draft: bool,
}

impl Facts {
    /// One of the conversations.
    pub fn conversation(&self, cid: &ConversationId) -> Option<&Conversation> {
        self.conversations.iter().find(|one| one.cid == *cid)
    }
}
