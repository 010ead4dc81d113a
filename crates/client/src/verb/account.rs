//! `account delete`.

use clap::Subcommand;
use serde_json::json;

use super::{note, print_json};
use crate::config::{Common, Verbosity};
use crate::exit::ExitStatus;
use crate::signals::interrupted;
use crate::start::{self, Failure};
use chat_device::sign_in::{Deleted, Deletion, delete_account};

/// What `account` does.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum AccountVerb {
    /// Delete my account on the server for good. Nobody gets its name again; the keys and the history on
    /// this machine stay
    Delete {
        /// The name of the account, once more; asked for at a terminal
        name: Option<String>,
        /// Also where texts wait here that the server has not taken: they are lost
        #[arg(long)]
        drop_unsent: bool,
    },
}

/// Does what is asked for with the account.
pub async fn account(common: &Common, verb: &AccountVerb) -> Result<ExitStatus, Failure> {
    let AccountVerb::Delete { name, drop_unsent } = verb;
    let user = start::user(common)?;
    let connector = start::connector(common)?;
    let account = start::account(common, None);
    let (typed, drop_unsent) = (name.clone(), *drop_unsent);
    let request = Deletion { connector, user: user.clone(), account, typed, drop_unsent };
    let Deleted { home, unsent } = tokio::select! {
        deleted = start::go_through(common, delete_account(request)) => deleted?,
        () = interrupted() => return Err(Failure::Interrupted),
    };
    if common.json {
        print_json(vec![json!({
            "event": "deleted", "user": user, "home": home, "unsent": unsent,
        })])?;
    } else if common.verbosity > Verbosity::Quiet {
        note(&format!(
            "{user} is deleted on the server. The keys and the history stay on this machine, sealed, in {}: \
             `history` and `search` still show what was said; delete the folder to be rid of it. The same \
             goes for your other machines.",
            home.display()
        ));
    }
    Ok(ExitStatus::Ok)
}
