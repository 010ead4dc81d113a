//! Why a client does not start, and why nothing is done about an account.

use std::path::PathBuf;

use chat_protocol::code;
use chat_protocol::crypto::KeyError;
use chat_protocol::keys::BundleError;
use chat_protocol::name::UserName;
use chat_protocol::spoken::counted;
use thiserror::Error;

use crate::connection::ConnectError;
use crate::event::RenewError;
use crate::home::HomeError;
use crate::server_url::ServerUrl;
use crate::store::StoreError;
use crate::strength::WeakPassword;
use crate::vault::VaultError;

/// Why a client does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// No connection or no sign-in.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The home cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The keys do not open.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A password is needed and nobody can be asked.
    #[error(
        "a password is needed: give --password-file FILE or set CHAT_PASSWORD, \
         or start in a terminal"
    )]
    NoPassword,
    /// A person was asked for a password and gave none.
    #[error("no password was typed")]
    NotAnswered,
    /// A password that is to be set is easy to guess. Nothing was sent.
    #[error(transparent)]
    WeakPassword(#[from] WeakPassword),
    /// The name is new and nobody said that it should be made.
    #[error("{user} has no account on this server; give --register to make it")]
    NotRegistered {
        /// The name.
        user: UserName,
    },
    /// A person was asked whether the account should be made, and said no.
    #[error("no account was made")]
    Declined,
    /// A person was asked whether to go on without the database of the home, and said no.
    #[error("nothing is changed; put home.db back and start again")]
    NoDatabase,
    /// A person was asked whether a new server is the right one, and did not say so.
    #[error("{url} is not taken; nothing was sent")]
    NotAccepted {
        /// The address of the new server.
        url: ServerUrl,
    },
    /// A chat of this home runs: the keys in it are one device, and that is here already.
    #[error(
        "{user} chats already with the keys in {}, here or on a machine that has a copy of them ({}): end \
         that chat, or give this one a home of its own: --home DIR", .home.display(), code::NAME_IN_USE
    )]
    HomeInUse {
        /// The user of the home.
        user: UserName,
        /// The folder of all homes.
        home: PathBuf,
    },
    /// The server says that it knows newer keys of the device in this home, as if a copy of it had gone on. It
    /// shows none of them.
    #[error(
        "the server says that there are two copies of this home, and that the other one has gone on with new \
         keys; it takes only that one, not {} ({}). If there is another copy, go on with that one. If there never \
         was one, the server is wrong or lies: ask its operator, and change nothing here. If the other one is \
         lost: home.db and the files beside it whose names begin so can be moved out of this folder, and kept; \
         this machine is then a new device of {user}, without the history, the pinned and verified keys, the \
         refused ones and all else in them that tells a lie of the server. Each key has to be compared anew then",
        .folder.display(), code::OLD_KEYS
    )]
    OldCopy {
        /// The user of the home.
        user: UserName,
        /// The folder of the home.
        folder: PathBuf,
    },
    /// What can be done only where the account has its keys.
    #[error("{user} has no keys on this machine; sign in here first")]
    NoHome {
        /// The name.
        user: UserName,
    },
    /// The name typed again is not the one of the account.
    #[error("the name of the account is {user}; nothing was deleted")]
    OtherName {
        /// The name.
        user: UserName,
    },
    /// The name was not typed again, and nobody can be asked.
    #[error("deleting takes the name once more: account delete {user}")]
    NotTypedAgain {
        /// The name.
        user: UserName,
    },
    /// Something that was said here has not left, and nobody can be asked.
    #[error(
        "{} here that the server has not taken and {user} would lose: sign in once more to send \
         them, or delete with --drop-unsent; nothing was deleted", waiting(*.count)
    )]
    Unsent {
        /// The name.
        user: UserName,
        /// Texts and commands.
        count: usize,
    },
    /// The account was made without a password.
    #[error("this account has no password that could be changed")]
    Clear,
    /// The server took the login secret and sent a vault that the password does not open (rule R31).
    #[error(
        "E_INTEGRITY: the server took the password, and then sent a vault that is not the one sealed with \
         it: in clear, cut short, or another account's. Nothing was written. Somebody may be in the \
         server's place, or its data are damaged: ask its operator"
    )]
    FalseVault,
    /// The server offers a vault that is not the account's newest (rule R25).
    #[error(
        "the server offered vault number {got} of this account, and number {known} is known here; \
         nothing was changed. Ask its operator whether an old backup was restored"
    )]
    OldVault {
        /// The number on this machine.
        known: u32,
        /// The number offered.
        got: u32,
    },
    /// The server offers a vault with another identity in it.
    #[error("the vault that the server offered holds another identity than this machine's")]
    OtherIdentity,
    /// The server has the new password, this machine has not.
    #[error(
        "the account has the new password, but the key file of this machine could not be written: \
         {0}; this machine still opens with the password it had"
    )]
    KeyFile(HomeError),
    /// A code that does nothing for the account, and a password that is not its own.
    #[error(
        "the code lets nobody in as {user}: it is mistyped, used up, or its time is over; and the \
         password is not that of {user}. Ask who runs this server for another code (E_INVITE)"
    )]
    Code {
        /// Whose account it is.
        user: UserName,
    },
    /// Another device was to be put out with this start, and is not.
    #[error(transparent)]
    Renew(#[from] RenewError),
    /// The same, by a device that the server knows already.
    #[error(
        "no device is revoked: --revoke takes the key of another device, with a machine that is new to the account. One \
         that is known revokes it with devices revoke, which asks for the password"
    )]
    NotNew,
    /// A key could not be made.
    #[error("cannot make keys: {0}")]
    Key(#[from] KeyError),
    /// A bundle could not be made.
    #[error("cannot publish keys: {0}")]
    Bundle(#[from] BundleError),
    /// A part of this program failed.
    #[error("internal error: {0}")]
    Internal(String),
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        Self::Home(error.into())
    }
}

impl StartError {
    /// Whether a password was not the one of the account, or of its key file here.
    pub(super) fn is_wrong_password(&self) -> bool {
        match self {
            Self::Connect(error) => error.code() == Some(code::SIGN_IN),
            Self::Vault(error) => matches!(error, VaultError::Wrong),
            _ => false,
        }
    }
}

/// That so many texts and commands wait.
pub(super) fn waiting(count: usize) -> String {
    let wait = if count == 1 { "waits" } else { "wait" };
    format!("{} {wait}", counted(count, "message"))
}
