//! Another password.

use std::path::Path;

use serde_json::json;

use super::{note, print_json};
use crate::config::{Common, Verbosity, given_password};
use crate::exit::ExitStatus;
use crate::signals::interrupted;
use crate::start::{self, Failure};
use chat_device::home::file::exposed;
use chat_device::sign_in::{NewPassword, change_password};
use chat_text::show::PASSWORD_CHANGED;

/// Changes the password of the account and of this machine's key file.
pub async fn passwd(common: &Common, new_file: Option<&Path>) -> Result<ExitStatus, Failure> {
    let new = given_password(new_file, None).map_err(|error| Failure::usage(&error))?;
    let warning = new_file.and_then(exposed).filter(|_| common.verbosity > Verbosity::Quiet);
    if let Some(warning) = warning {
        note(&format!("warning: {warning}"));
    }
    let user = start::user(common)?;
    let connector = start::connector(common)?;
    let account = start::account(common, None);
    let request = NewPassword { connector, user: user.clone(), account, new };
    tokio::select! {
        changed = start::go_through(common, change_password(request)) => changed?,
        () = interrupted() => return Err(Failure::Interrupted),
    }
    if common.json {
        print_json(vec![json!({"event": "password", "user": user})])?;
    } else if common.verbosity > Verbosity::Quiet {
        note(PASSWORD_CHANGED);
    }
    Ok(ExitStatus::Ok)
}
