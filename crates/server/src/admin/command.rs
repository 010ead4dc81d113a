//! The operator's words: subcommands of `chat-server`, the requests that they mean, and their exit codes.

use std::path::PathBuf;

use chat_manual::COMMON;
use chat_protocol::{
    crypto::random,
    invite,
    name::{RoomName, UserName},
    retention,
};
use clap::{Args, Subcommand};

use super::{
    call::{Call, CallError},
    request::{AdminAnswer, AdminRequest},
    show::Output,
};
use crate::{
    pattern::Pattern,
    store::{Banned, Standing},
};

/// How long a code is good unless said otherwise, in milliseconds: a week.
const INVITE_MS: u64 = 7 * 24 * 3600 * 1000;

/// How long a code is good that lets a new identity into an account: who asked for it waits for it.
const RESET_MS: u64 = 24 * 3600 * 1000;

/// Most accounts that one code is good for: a class, a company's first day.
const INVITE_USES_MAX: u32 = 10_000;

/// Which server, and in which form the answer is printed.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = COMMON)]
pub struct Where {
    /// Data folder of the running server
    #[arg(long, env = "CHAT_SERVER_DATA", value_name = "DIR", default_value = "data")]
    pub data: PathBuf,
    /// Print JSON, one object per line
    #[arg(long)]
    pub json: bool,
}

/// What is done with accounts.
#[derive(Debug, Clone, Subcommand)]
pub enum UserCommand {
    /// List accounts: what they may do, whether they are here, what waits for them
    List {
        /// Only these: a name, or a pattern as emu-*
        who: Option<Pattern>,
        /// Where to ask
        #[command(flatten)]
        at: Where,
    },
    /// Show what the server knows of one account: keys, devices, rooms, mailbox
    Show {
        /// Whose
        #[arg(value_parser = parse_user)]
        name: UserName,
        /// Where to ask
        #[command(flatten)]
        at: Where,
    },
    /// Let accounts in no more and cut their devices at once; what is sent to them is kept
    Disable {
        /// A name, or a pattern as emu-*
        who: Pattern,
        /// Yes, everybody, where that is what it means
        #[arg(long)]
        all: bool,
        /// Where to ask
        #[command(flatten)]
        at: Where,
    },
    /// Let disabled accounts in again
    Enable {
        /// A name, or a pattern as emu-*
        who: Pattern,
        /// Where to ask
        #[command(flatten)]
        at: Where,
    },
    /// Delete accounts for good: password, vault, offers, copies of files and mailbox go, the name
    /// stays reserved, and what they have signed can still be checked. A name that is in a room and has no
    /// account is shown as deleted until somebody signs up under it
    Delete {
        /// A name, or a pattern as emu-*
        who: Pattern,
        /// Yes, all that the pattern means
        #[arg(long)]
        all: bool,
        /// Where to ask
        #[command(flatten)]
        at: Where,
    },
    /// Make a code with which somebody who lost the password enters once under the same name with new
    /// keys: everybody who knew the old ones is warned, and all devices of before are out
    Reset {
        /// Whose
        #[arg(value_parser = parse_user)]
        name: UserName,
        /// For how long, as 24h or 7d
        #[arg(long = "for", value_name = "TIME", value_parser = parse_time)]
        time: Option<u64>,
        /// Where to ask
        #[command(flatten)]
        at: Where,
    },
}

/// Somebody in the lobby.
#[derive(Debug, Clone, Args)]
pub struct OfLobby {
    /// The lobby: the admins of other rooms make others admins by themselves
    #[arg(value_parser = parse_lobby)]
    pub room: RoomName,
    /// Whom
    #[arg(value_parser = parse_user)]
    pub name: UserName,
    /// Where to ask
    #[command(flatten)]
    pub at: Where,
}

/// What is done with rooms.
#[derive(Debug, Clone, Subcommand)]
pub enum RoomCommand {
    /// List rooms, private ones too
    List {
        /// Where to ask
        #[command(flatten)]
        at: Where,
    },
    /// Delete a room for good: nothing is said there any more, and what was said goes
    Delete {
        /// Which
        #[arg(value_parser = parse_room)]
        room: RoomName,
        /// Where to ask
        #[command(flatten)]
        at: Where,
    },
    /// Make somebody a moderator of the lobby, who may /kick, /ban and /unban there and set its topic
    Op(OfLobby),
    /// Make a moderator of the lobby an ordinary member
    Deop(OfLobby),
    /// Set how long a room keeps its messages
    Retention {
        /// Which
        #[arg(value_parser = parse_room)]
        room: RoomName,
        /// As 90d, 12h, 30m or 45s; off: for ever; default: as the server does
        time: String,
        /// Where to ask
        #[command(flatten)]
        at: Where,
    },
}

/// What an operator asks of a running server.
#[derive(Debug, Clone, Subcommand)]
pub enum AdminCommand {
    /// Look at accounts, and disable, enable or delete them, while the server runs
    #[command(subcommand)]
    User(UserCommand),
    /// Look at rooms, delete them, or set how long they keep messages, while the server runs
    #[command(subcommand)]
    Room(RoomCommand),
    /// Keep somebody out at once: a name or pattern, an address or network, or key:ID as `user show`
    /// prints it. Without one, list who is kept out
    Ban {
        /// Whom
        what: Option<Banned>,
        /// Yes, everybody, where that is what it means
        #[arg(long)]
        all: bool,
        /// Where to ask
        #[command(flatten)]
        at: Where,
    },
    /// Keep somebody out no longer
    Unban {
        /// Whom, as it was banned
        what: Banned,
        /// Where to ask
        #[command(flatten)]
        at: Where,
    },
    /// Make a code that lets people make accounts, and print it
    Invite {
        /// For how many accounts
        #[arg(long, value_name = "N", default_value = "1",
              value_parser = clap::value_parser!(u32).range(1..=i64::from(INVITE_USES_MAX)))]
        uses: u32,
        /// For how long, as 7d or 12h
        #[arg(long = "for", value_name = "TIME", value_parser = parse_time)]
        time: Option<u64>,
        /// Where to ask
        #[command(flatten)]
        at: Where,
    },
    /// Print figures of the running server
    Stats {
        /// Where to ask
        #[command(flatten)]
        at: Where,
    },
    /// Tell everybody who is connected; their screens say that it is the server's word
    Announce {
        /// What
        text: String,
        /// Where to ask
        #[command(flatten)]
        at: Where,
    },
    /// End the server as SIGTERM does: what is queued is finished, clients are told to come back
    Drain {
        /// Where to ask
        #[command(flatten)]
        at: Where,
    },
    /// Read certificate, policy, configuration and its ban list again, as SIGHUP does
    Reload {
        /// Where to ask
        #[command(flatten)]
        at: Where,
    },
}

fn parse_user(text: &str) -> Result<UserName, String> {
    UserName::new(text).map_err(|error| error.to_string())
}

fn parse_room(text: &str) -> Result<RoomName, String> {
    RoomName::new(text.strip_prefix('#').unwrap_or(text)).map_err(|error| error.to_string())
}

/// The one room whose members cannot decide who may do what.
fn parse_lobby(text: &str) -> Result<RoomName, String> {
    let room = parse_room(text)?;
    let reason =
        "the server makes moderators of the lobby only; in other rooms an admin says /op NAME";
    if room == RoomName::lobby() { Ok(room) } else { Err(reason.to_owned()) }
}

fn parse_time(text: &str) -> Result<u64, String> {
    let time = retention::parse(text).unwrap_or(0);
    let reason = || format!("a code is good for a time, as 7d, 12h, 30m or 45s; got {text:?}");
    Some(time).filter(|time| *time > 0).ok_or_else(reason)
}

/// A request, where it is asked, and what is printed beside its answer.
struct Asking {
    at: Where,
    request: AdminRequest,
    code: Option<String>,
}

impl Asking {
    fn new(at: Where, request: AdminRequest) -> Self {
        Self { at, request, code: None }
    }
}

fn user(command: UserCommand) -> Result<Asking, String> {
    let stand = |at, who, standing| Asking::new(at, AdminRequest::Standing { who, standing });
    Ok(match command {
        UserCommand::List { who, at } => Asking::new(at, AdminRequest::Users { who, after: None }),
        UserCommand::Show { name, at } => Asking::new(at, AdminRequest::User { name }),
        UserCommand::Disable { who, all: false, .. } if who.is_everybody() => {
            return Err(format!(
                "{who} means everybody, and everybody who is here ends at once; say it with --all"
            ));
        }
        UserCommand::Disable { who, at, .. } => stand(at, who, Standing::Disabled),
        UserCommand::Enable { who, at } => stand(at, who, Standing::Active),
        UserCommand::Delete { who, all, .. } if who.is_open() && !all => {
            return Err(format!(
                "{who} may mean many accounts, and deleting cannot be undone; see \
                 `user list {who}`, then say it with --all"
            ));
        }
        UserCommand::Delete { who, at, .. } => stand(at, who, Standing::Deleted),
        UserCommand::Reset { name, time, at } => {
            let code = invite::make(random());
            let (digest, for_ms) = (invite::digest(&code), time.unwrap_or(RESET_MS));
            let request = AdminRequest::Reset { name, digest, for_ms };
            Asking { code: Some(code), ..Asking::new(at, request) }
        }
    })
}

fn room(command: RoomCommand) -> Result<Asking, String> {
    Ok(match command {
        RoomCommand::List { at } => Asking::new(at, AdminRequest::Rooms { after: None }),
        RoomCommand::Delete { room, at } => Asking::new(at, AdminRequest::CloseRoom { room }),
        RoomCommand::Op(OfLobby { name, at, .. }) => {
            Asking::new(at, AdminRequest::Moderator { name, is_one: true })
        }
        RoomCommand::Deop(OfLobby { name, at, .. }) => {
            Asking::new(at, AdminRequest::Moderator { name, is_one: false })
        }
        RoomCommand::Retention { room, time, at } => {
            let keep_ms = match time.as_str() {
                "default" => None,
                time => Some(retention::parse(time).map_err(|error| error.to_string())?),
            };
            Asking::new(at, AdminRequest::Retention { room, keep_ms })
        }
    })
}

fn meant(command: AdminCommand) -> Result<Asking, String> {
    Ok(match command {
        AdminCommand::User(command) => user(command)?,
        AdminCommand::Room(command) => room(command)?,
        AdminCommand::Ban { what: None, at, .. } => Asking::new(at, AdminRequest::Bans),
        AdminCommand::Ban { what: Some(what), all: false, .. } if what.is_everybody() => {
            return Err(format!(
                "{what} keeps everybody out, and everybody who is here ends at once; say it with --all"
            ));
        }
        AdminCommand::Ban { what: Some(what), at, .. } => {
            Asking::new(at, AdminRequest::Ban { what })
        }
        AdminCommand::Unban { what, at } => Asking::new(at, AdminRequest::Unban { what }),
        AdminCommand::Invite { uses, time, at } => {
            let code = invite::make(random());
            let (digest, for_ms) = (invite::digest(&code), time.unwrap_or(INVITE_MS));
            let request = AdminRequest::Invite { digest, uses, for_ms };
            Asking { code: Some(code), ..Asking::new(at, request) }
        }
        AdminCommand::Stats { at } => Asking::new(at, AdminRequest::Stats),
        AdminCommand::Announce { text, at } => Asking::new(at, AdminRequest::Announce { text }),
        AdminCommand::Drain { at } => Asking::new(at, AdminRequest::Drain),
        AdminCommand::Reload { at } => Asking::new(at, AdminRequest::Reload),
    })
}

/// How an operator's command ended.
#[derive(Debug)]
pub enum Ended {
    /// As asked.
    Done,
    /// The words make no sense.
    Usage(String),
    /// No answer.
    Failed(CallError),
    /// The server said no, and why.
    Refused(String),
}

/// Asks, page by page, and hands what is to be printed to `print`.
pub fn run(command: AdminCommand, mut print: impl FnMut(&str)) -> Ended {
    let Asking { at, mut request, code } = match meant(command) {
        Ok(asking) => asking,
        Err(reason) => return Ended::Usage(reason),
    };
    let mut call = match Call::open(&at.data) {
        Ok(call) => call,
        Err(error) => return Ended::Failed(error),
    };
    let mut output = Output::new(at.json, code);
    loop {
        let answer = match call.ask(&request) {
            Ok(AdminAnswer::Refused { reason }) => return Ended::Refused(reason),
            Ok(answer) => answer,
            Err(error) => return Ended::Failed(error),
        };
        for line in output.lines(&request, &answer) {
            print(&line);
        }
        match next_page(&request, &answer) {
            Some(next) => request = next,
            None => return Ended::Done,
        }
    }
}

fn next_page(request: &AdminRequest, answer: &AdminAnswer) -> Option<AdminRequest> {
    match (request, answer) {
        (AdminRequest::Users { who, .. }, AdminAnswer::Users { users, more: true }) => {
            let after = Some(users.last()?.name.clone());
            Some(AdminRequest::Users { who: who.clone(), after })
        }
        (AdminRequest::Rooms { .. }, AdminAnswer::Rooms { rooms, more: true }) => {
            let after = Some(rooms.last()?.room.as_str().to_ascii_lowercase());
            Some(AdminRequest::Rooms { after })
        }
        _ => None,
    }
}
