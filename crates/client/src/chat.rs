//! Talking: typed or piped lines go into a talk, its items come back as lines, records or objects.
//!
//! `line` and `full` are for a person at a terminal, `pipe` for a script.

use std::sync::Arc;

use chat_device::client::{Client, Events};
use chat_device::connection::Connector;
use chat_device::identity::IdentityCommand;
use chat_device::sign_in::HomeAccount;
use chat_protocol::handshake::Purpose;
use chat_protocol::name::UserName;
use chat_talk::{Desk, Fault, Saver, Talk, TalkOptions};
use chat_text::input::{self, Input};
use chat_text::settings::Settings;
use chat_text::show::items::Printer;
use chat_text::show::{Detail, Lines};
use chat_text::slash::SlashCommand;
use chat_tui::keys::{Action, Keys};

use crate::config::ui::Ground;
use crate::config::{Common, Ui, save};
use crate::exit::ExitStatus;
use crate::first_run;
use crate::prompt::TerminalPrompt;
use crate::start::{self, Failure};

mod full;
mod line;
mod pipe;
mod typed;

/// Talks until the person or the script ends it.
pub async fn chat(common: &Common) -> Result<ExitStatus, Failure> {
    let ui = Ui::chosen(common, Ground::found()).map_err(|reason| Failure::usage(&reason))?;
    let first = first_run::begun(common)?;
    let is_first = first.is_some();
    let common = &first.unwrap_or_else(|| common.clone());
    let user = start::user(common)?;
    let connector = start::connector(common)?;
    let beginning = Beginning { common, user: user.clone(), connector, is_first };
    if ui == Some(Ui::Tui) {
        return Box::pin(full::chat(&beginning)).await;
    }
    let is_person = ui == Some(Ui::Line);
    let (client, events) = Box::pin(beginning.sign_in()).await?;
    beginning.words_for_newcomers(&client).await.iter().for_each(|line| TerminalPrompt::say(line));
    if is_first {
        first_run::help();
    }
    let talk = beginning.talk(client, is_person).await;
    let printer = match ui {
        Some(Ui::Line) => {
            let bindings = &common.configured.choices.bindings;
            return line::talk(talk, events, beginning.lines(Detail::Brief), bindings).await;
        }
        Some(Ui::Plain) => Printer::plain(user),
        _ => Printer::new(beginning.lines(Detail::Full), common.json),
    };
    pipe::talk(talk, events, printer, common.stop_on_error).await
}

/// What a talk begins with.
struct Beginning<'c> {
    common: &'c Common,
    user: UserName,
    connector: Arc<Connector>,
    /// Nobody has ever talked on this machine.
    is_first: bool,
}

impl Beginning<'_> {
    fn account(&self) -> HomeAccount {
        start::account(self.common, None)
    }

    fn lines(&self, detail: Detail) -> Lines {
        Lines::new(self.user.clone(), detail)
    }

    /// Signs in, and asks a person at the terminal for what is missing.
    async fn sign_in(&self) -> Result<(Client, Events), Failure> {
        let (connector, user) = (Arc::clone(&self.connector), self.user.clone());
        start::sign_in(self.common, connector, user, Purpose::Interactive, None).await
    }

    /// What somebody new should know of their account, at the first start.
    async fn words_for_newcomers(&self, client: &Client) -> Vec<String> {
        if !self.is_first {
            return Vec::new();
        }
        first_run::ended(self.common, &self.user, client).await
    }

    async fn talk(&self, client: Client, is_person: bool) -> Talk {
        let (common, connector) = (self.common, Arc::clone(&self.connector));
        let desk = || Desk { connector, account: self.account(), meet: start::meet(common) };
        let options = TalkOptions {
            is_person,
            older_key: older_key(common),
            settings: settings(common),
            kept: common.configured.settings.clone(),
            save: saver(common),
            transfers: start::transfer_options(common, &self.user),
            desk: TerminalPrompt::is_possible().then(desk),
        };
        Talk::new(client, self.user.clone(), options).await
    }
}

/// What a person presses for what was typed before.
fn older_key(common: &Common) -> String {
    Keys::with(&common.configured.choices.bindings).key_of(Action::Older).to_owned()
}

/// What is set at the start: by the file, and for this start alone by the flags that say the same.
fn settings(common: &Common) -> Settings {
    let set = common.configured.settings.clone();
    Settings { presence: common.presence, mouse: set.mouse && !common.no_mouse, ..set }
}

/// What `/save` does, where there is a place for it.
fn saver(common: &Common) -> Option<Saver> {
    let path = common.configured.path.clone()?;
    let profile = common.configured.profile.clone();
    Some(Saver::new(move |settings| {
        save::save(&path, profile.as_deref(), settings).map(|()| path.display().to_string())
    }))
}

/// Whether a line is a command that asks for a password: it has the terminal for itself meanwhile, which is as the
/// program found it.
fn asks_password(line: &str) -> bool {
    let Ok(Input::Slash(command)) = input::parse(line) else { return false };
    matches!(
        command,
        SlashCommand::Password | SlashCommand::Identity(IdentityCommand::Revoke { .. })
    )
}

/// How a script ends that has failed so.
fn exit_status(fault: Fault) -> ExitStatus {
    match fault {
        Fault::Failed => ExitStatus::Failure,
        Fault::Refused => ExitStatus::Refused,
    }
}
