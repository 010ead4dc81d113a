//! `transfers`: files that are partly here, without a connection.

use chat_files::part;
use clap::Subcommand;

use super::print_lines;
use crate::config::Common;
use crate::exit::ExitStatus;
use crate::start::Failure;
use chat_text::show::files as show;

/// What `transfers` does.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Action {
    /// Remove them, but what is being received now
    Clean,
}

/// Shows the parts in the folder for files that are fetched, or removes those that nobody receives now.
pub fn transfers(common: &Common, action: Option<&Action>) -> Result<ExitStatus, Failure> {
    let folder = &common.downloads;
    let done = match action {
        Some(Action::Clean) => part::clean(folder).map(|parts| show::cleaned(folder, &parts)),
        None => {
            part::in_folder(folder).map(|parts| parts.iter().map(|of| show::part(of, "")).collect())
        }
    };
    let mut lines = done.map_err(|error| Failure::Other {
        status: ExitStatus::Storage,
        reason: error.to_string(),
    })?;
    if lines.is_empty() {
        lines.push(show::no_part(folder));
    }
    print_lines(common.json, lines)?;
    Ok(ExitStatus::Ok)
}
