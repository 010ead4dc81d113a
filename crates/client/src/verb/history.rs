//! What was said, from the home of this machine. Connects to nobody.

use chat_protocol::handshake::PasswordKeys;
use chat_protocol::id::MessageId;
use chat_protocol::name::RoomName;
use clap::Args;

use super::{note, print_json, print_line};
use crate::config::{Common, Verbosity, names};
use crate::exit::ExitStatus;
use crate::prompt::TerminalPrompt;
use crate::start::{self, Failure};
use chat_device::connection::ConnectError;
use chat_device::history::{Entry, History};
use chat_device::home::known_servers::KnownServer;
use chat_device::home::{self, HomeFolder, KnownServers};
use chat_device::own_device::OwnDevice;
use chat_device::recipient::Recipient;
use chat_device::sign_in::StartError;
use chat_device::vault::KeyFile;
use chat_text::history;
use chat_text::show::{Detail, Lines};

/// Which messages are shown.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct HistoryOf {
    /// A user, #ROOM, or ALL (the lobby if absent)
    #[arg(value_name = "WHERE", value_parser = names::recipient)]
    pub place: Option<Recipient>,
    /// How many messages, the newest
    #[arg(long, visible_alias = "limit", value_name = "N",
          default_value_t = chat_device::history::read::SHOWN_DEFAULT)]
    pub count: usize,
    /// Only what stands before this message, by its id as --json shows it: goes further back
    #[arg(long, value_name = "ID", value_parser = MessageId::parse)]
    pub before: Option<MessageId>,
}

impl HistoryOf {
    /// Prints the newest messages of a conversation, oldest first.
    pub fn run(&self, common: &Common) -> Result<ExitStatus, Failure> {
        let lobby = Recipient::Room(RoomName::lobby());
        history(common, self.place.as_ref().unwrap_or(&lobby), self.count, self.before)
    }
}

fn history(
    common: &Common,
    place: &Recipient,
    count: usize,
    before: Option<MessageId>,
) -> Result<ExitStatus, Failure> {
    let (history, _) = open(common, true)?;
    let cid = history.meant(place)?.ok_or_else(|| Failure::Other {
        status: ExitStatus::Usage,
        reason: "there is no conversation with yourself".to_owned(),
    })?;
    let before = match before {
        None => None,
        Some(id) => {
            let entries = history.by_id(&id)?;
            let known = entries.into_iter().find(|entry| entry.record.cid == cid);
            let place = known.map(|entry| entry.place).ok_or_else(|| Failure::Other {
                status: ExitStatus::Failure,
                reason: format!(
                    "there is no message {id} in {} in this home's history; --json shows ids",
                    cid.spoken()
                ),
            })?;
            Some(place)
        }
    };
    let entries = history.ignored()?.without_words(history.page(&cid, before, count)?);
    print(common, &history, &entries)?;
    if entries.is_empty() && !common.json && common.verbosity > Verbosity::Quiet {
        let what = if before.is_some() { "nothing more" } else { "nothing" };
        note(&format!("{what} was said in {} yet", cid.spoken()));
    }
    Ok(ExitStatus::Ok)
}

/// Prints the messages that have all these words, newest first.
pub fn search(common: &Common, words: &[String]) -> Result<ExitStatus, Failure> {
    let (history, _) = open(common, true)?;
    let found = history.search(words, &history.ignored()?)?;
    print(common, &history, &found.entries)?;
    if !common.json && common.verbosity > Verbosity::Quiet {
        note(&history::found(&found));
    }
    Ok(ExitStatus::Ok)
}

fn print(common: &Common, history: &History, entries: &[Entry]) -> Result<(), Failure> {
    let me = history.me();
    if common.json {
        print_json(entries.iter().map(|entry| history::object(me, entry)).collect())?;
        return Ok(());
    }
    let lines = Lines::new(me.clone(), Detail::Full);
    for entry in entries {
        print_line(&history::line(&lines, entry))?;
    }
    Ok(())
}

/// Opens a home that is here already: history and device. The server is the one that is known by
/// the address. For the password a person is asked only where `asks` says so.
pub(super) fn open(common: &Common, asks: bool) -> Result<(History, OwnDevice), Failure> {
    let user = start::user(common)?;
    let known = KnownServers::load(&common.home)?;
    let nothing = || Failure::Other {
        status: ExitStatus::Failure,
        reason: format!(
            "there is nothing of {user} in {} for this server; sign in there first",
            common.home.display()
        ),
    };
    let server = known.server_at(&common.servers).map_err(ConnectError::from)?;
    let (_, KnownServer { server, .. }) = server.ok_or_else(nothing)?;
    let folder = HomeFolder::new(&common.home, &server, &user);
    let key_file = folder.key_file()?.ok_or_else(nothing)?;
    if let Some(warning) = folder.exposed_key().filter(|_| common.verbosity > Verbosity::Quiet) {
        note(&warning);
    }
    let vault = match key_file {
        KeyFile::Clear(vault) => vault,
        KeyFile::Sealed(sealed) => {
            let password = match &common.password {
                Some(password) => password.clone(),
                None if !asks || !TerminalPrompt::is_possible() => {
                    return Err(StartError::NoPassword.into());
                }
                None => TerminalPrompt::password(&format!("Password of {user}: "))
                    .ok_or(StartError::NotAnswered)?,
            };
            let keys = PasswordKeys::derive(password.expose(), &server, &user);
            sealed.open(&keys, &server, &user).map_err(StartError::from)?
        }
    };
    let store = folder.open(&vault)?;
    let device = home::load_device(&store, &vault)?.ok_or_else(nothing)?;
    Ok((History::new(Box::new(store), user), device))
}
