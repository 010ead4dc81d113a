//! What is done with one's account as a whole.

use clap::Subcommand;

/// What `account` does, as clap reads it.
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
