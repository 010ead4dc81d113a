//! What is asked over the admin socket and what is answered: one JSON object a line each.

use std::{net::SocketAddr, path::PathBuf};

use chat_protocol::{
    id::{Digest, KeyId},
    name::{RoomName, UserName},
};
use serde::{Deserialize, Serialize};

use crate::{
    pattern::Pattern,
    store::{Banned, Registration, Standing},
    tls::CertificateFiles,
};

/// What an operator asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum AdminRequest {
    /// Accounts in the order of their names.
    Users {
        /// Only these.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        who: Option<Pattern>,
        /// Behind this name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<UserName>,
    },
    /// Everything about one account.
    User {
        /// Whose.
        name: UserName,
    },
    /// What accounts may do from now on.
    Standing {
        /// Which.
        who: Pattern,
        /// What.
        standing: Standing,
    },
    /// Rooms in the order of their names.
    Rooms {
        /// Behind this one, in lower case.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    /// A room is closed for good and its messages go.
    CloseRoom {
        /// Which.
        room: RoomName,
    },
    /// How long a room keeps its messages.
    Retention {
        /// Which.
        room: RoomName,
        /// Milliseconds, 0 for ever; left out: as the server does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keep_ms: Option<u64>,
    },
    /// Who is kept out.
    Bans,
    /// Keeps somebody out.
    Ban {
        /// Whom.
        what: Banned,
    },
    /// Keeps them out no longer.
    Unban {
        /// Whom.
        what: Banned,
    },
    /// A code that lets people make accounts. The code itself stays with who has made it.
    Invite {
        /// SHA-256 of the code.
        digest: Digest,
        /// For how many accounts.
        uses: u32,
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// A code with which somebody enters an account under a new identity. The code itself stays with who
    /// has made it.
    Reset {
        /// Whose account.
        name: UserName,
        /// SHA-256 of the code.
        digest: Digest,
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// Somebody moderates the lobby from now on, or does not any more.
    Moderator {
        /// Who.
        name: UserName,
        /// Which of the two.
        is_one: bool,
    },
    /// Figures.
    Stats,
    /// What the server goes by: where it listens, and where its files are.
    Running,
    /// Tells everybody who is connected.
    Announce {
        /// What.
        text: String,
    },
    /// Ends the server as SIGTERM does.
    Drain,
    /// Reads configuration, certificate and policy again, as SIGHUP does.
    Reload,
}

impl AdminRequest {
    /// Whether it only looks.
    pub fn is_question(&self) -> bool {
        matches!(self, Self::Users { .. } | Self::User { .. } | Self::Rooms { .. })
            || matches!(self, Self::Bans | Self::Stats | Self::Running)
    }
}

/// One account of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserLine {
    /// The name.
    pub name: UserName,
    /// What it may do.
    pub standing: Standing,
    /// A device of theirs is connected.
    pub online: bool,
    /// A device of theirs accepts commands.
    pub agent: bool,
    /// Devices whose keys are not revoked.
    pub devices: usize,
    /// Direct messages that wait for them.
    pub waiting: u64,
    /// A ban of its name or of a key of it keeps it out.
    pub banned: bool,
}

/// A device of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceLine {
    /// Its signing key.
    pub key: KeyId,
    /// It accepts commands.
    pub agent: bool,
    /// Its key is not revoked.
    pub live: bool,
}

/// Everything about one account that the server knows and that is no content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserDetail {
    /// As in the list.
    #[serde(flatten)]
    pub line: UserLine,
    /// Its identity key, as `ban key:` takes it.
    pub identity: KeyId,
    /// What it is in the lobby, if that is more or less than a member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lobby: Option<String>,
    /// Its devices.
    pub devices_known: Vec<DeviceLine>,
    /// The rooms it is in.
    pub rooms: Vec<String>,
    /// Bytes of direct messages that wait for it.
    pub waiting_bytes: u64,
    /// Files that it shares.
    pub offers: usize,
    /// Entries of the ban list that mean its name or a key of it.
    pub bans: Vec<Banned>,
}

/// One room of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomLine {
    /// The name.
    pub room: RoomName,
    /// Anybody may join.
    pub open: bool,
    /// Closed by the operator.
    pub closed: bool,
    /// How many members its chain has.
    pub members: usize,
    /// How long it keeps messages, in milliseconds; 0 for ever.
    pub keep_ms: u64,
}

/// Figures of a running server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct StatsLine {
    /// Its version.
    pub version: String,
    /// Accounts that are not deleted.
    pub accounts: usize,
    /// Of those, disabled.
    pub disabled: usize,
    /// Accounts with a device connected.
    pub online: usize,
    /// Sessions.
    pub sessions: usize,
    /// Rooms that are not closed.
    pub rooms: usize,
    /// Direct messages that wait, all mailboxes together.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// Offers on the list of shared files.
    pub offers: usize,
    /// The last position given.
    pub position: u64,
    /// Codes that still let somebody in.
    pub invites: usize,
    /// Entries of the ban list.
    pub bans: usize,
    /// Who may make an account.
    pub registration: Registration,
    /// Where `/readyz` is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
}

/// What a running server goes by, as of its start or the last reload. Paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its version.
    pub version: String,
    /// Where it listens, `/readyz` included.
    pub address: SocketAddr,
    /// Folder of its logs.
    pub logs: PathBuf,
    /// Its certificate, if it offers TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateFiles>,
    /// The policy of its own agent, if it is not the built-in list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PathBuf>,
    /// Where the log lies that it shares with others, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<String>,
    /// How many files it may have open.
    pub descriptors: u64,
    /// The end of the audit log, as it has written it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Checked>,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum AdminAnswer {
    /// A page of accounts.
    Users {
        /// The page.
        users: Vec<UserLine>,
        /// There are more: ask again after the last one.
        more: bool,
    },
    /// One account.
    User(Box<UserDetail>),
    /// A page of rooms.
    Rooms {
        /// The page.
        rooms: Vec<RoomLine>,
        /// There are more.
        more: bool,
    },
    /// The ban list.
    Bans {
        /// Who is kept out.
        bans: Vec<Banned>,
    },
    /// Figures.
    Stats(StatsLine),
    /// What it goes by.
    Running(Box<Running>),
    /// It is done, durably.
    Done {
        /// What was changed: names, or one sentence.
        what: Vec<String>,
    },
    /// It is not done.
    Refused {
        /// Why, and what to do.
        reason: String,
    },
}

impl AdminAnswer {
    /// A refusal.
    pub fn refused(reason: impl Into<String>) -> Self {
        Self::Refused { reason: reason.into() }
    }

    /// One thing is done.
    pub fn done(what: impl Into<String>) -> Self {
        Self::Done { what: vec![what.into()] }
    }
}

/// How far a file of the audit log is in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Lines.
    pub lines: u64,
    /// The hash of the last one.
    pub hash: String,
}
