//! Another password.

use serde_json::json;

use super::{note, print_json};
use crate::config::{Common, Verbosity};
use crate::exit::ExitStatus;
use crate::signals::interrupted;
use crate::start::{self, Failure};
use chat_device::password::Password;
use chat_device::sign_in::{NewPassword, change_password};

/// What a person should know once it is done.
pub const DONE: &str = "The password of the account and of this machine is changed. A new machine \
    needs the new one. Your other machines go on; each keeps the password it had for its own key \
    file, until it is changed there too.";

/// Changes the password of the account and of this machine's key file.
pub async fn passwd(common: &Common, new: Option<Password>) -> Result<ExitStatus, Failure> {
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
        note(DONE);
    }
    Ok(ExitStatus::Ok)
}
