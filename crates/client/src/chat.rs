//! Talking: typed or piped lines go into a talk, its items come back as lines or JSON.
//!
//! `line` and `full` are for a person at a terminal, `pipe` for a script.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;

use chat_protocol::handshake::Purpose;
use chat_talk::{Desk, Fault, Saver, Talk, TalkOptions};
use chat_text::settings::Settings;
use chat_text::show::items::Printer;
use chat_text::show::{Detail, Lines};

use crate::config::{Common, save};
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
    let is_person = io::stdin().is_terminal() && io::stdout().is_terminal() && !common.json;
    if common.tui && !is_person {
        return Err(Failure::Other {
            status: ExitStatus::Usage,
            reason: "--tui needs a terminal for input and output".to_owned(),
        });
    }
    let first = first_run::begun(common)?;
    let is_first = first.is_some();
    let common = &first.unwrap_or_else(|| common.clone());
    let user = start::user(common)?;
    let connector = start::connector(common)?;
    let signed_in =
        start::sign_in(common, Arc::clone(&connector), user.clone(), Purpose::Interactive, None);
    let (client, events) = Box::pin(signed_in).await?;
    if is_first {
        first_run::ended(common, &user, &client).await;
    }
    let account = || start::account(common, None);
    let options = TalkOptions {
        is_person,
        settings: Settings { presence: common.presence, ..common.configured.settings.clone() },
        save: saver(common),
        transfers: start::transfer_options(common, &user),
        desk: TerminalPrompt::is_possible().then(|| Desk {
            connector,
            account: account(),
            meet: start::meet(common),
        }),
    };
    let talk = Talk::new(client, user.clone(), options).await;
    if common.tui {
        let wishes =
            full::Wishes { has_mouse: !common.no_mouse, is_high_contrast: common.high_contrast };
        return full::talk(talk, events, Lines::new(user, Detail::Brief), wishes).await;
    }
    if is_person {
        return line::talk(talk, events, Lines::new(user, Detail::Brief)).await;
    }
    let printer = Printer::new(Lines::new(user, Detail::Full), common.json);
    pipe::talk(talk, events, printer, common.stop_on_error).await
}

/// What `/save` does, where there is a place for it.
fn saver(common: &Common) -> Option<Saver> {
    let path = common.configured.path.clone()?;
    let profile = common.configured.profile.clone();
    Some(Saver::new(move |settings| {
        save::save(&path, profile.as_deref(), settings).map(|()| path.display().to_string())
    }))
}

/// How a script ends that has failed so.
fn exit_status(fault: Fault) -> ExitStatus {
    match fault {
        Fault::Failed => ExitStatus::Failure,
        Fault::Refused => ExitStatus::Refused,
    }
}
