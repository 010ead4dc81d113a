//! From the command line to a signed-in client.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chat_oplog::{CryptoTrace, OpenError, OperationLog};
use chat_protocol::handshake::Purpose;
use chat_protocol::id::Nonce16;
use chat_protocol::name::UserName;
use thiserror::Error;

use crate::config::{Common, Verbosity, logs};
use crate::exit::{ExitStatus, HasExit as _};
use crate::prompt::{self, TerminalPrompt};
use crate::signals::interrupted;
use chat_device::client::{Account, Client, ClientOptions, Events, SendError, Stopped};
use chat_device::connection::pins::Pins;
use chat_device::connection::{ConnectError, Connector};
use chat_device::home::{self, HomeError, KnownServers};
use chat_device::server_url::Trust;
use chat_device::sign_in::{Dialog, HomeAccount, Next, StartError};
use chat_device::store::StoreError;
use chat_files::transfer::TransferOptions;
use chat_text::hints;

/// A thread that waits for a person's input cannot be ended; everything else is done by now.
const RUNTIME_END_TIMEOUT: Duration = Duration::from_millis(100);

/// Why a mode of the program ended without success.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Failure {
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It could not go on.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// A message was not taken.
    #[error("{}", hints::not_sent(.0))]
    Send(#[from] SendError),
    /// The operation log cannot be written.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// Standard input or output.
    #[error("cannot read or write: {0}")]
    Io(#[from] io::Error),
    /// Ctrl-C before anything was done.
    #[error("interrupted")]
    Interrupted,
    /// No name, and nobody to ask.
    #[error("a name is needed: give --user NAME or set CHAT_USER")]
    NoUser,
    /// Something that has a number of its own.
    #[error("{reason}")]
    Other {
        /// The status with which the program ends.
        status: ExitStatus,
        /// What happened, for people.
        reason: String,
    },
}

impl Failure {
    /// The command line asks for what cannot be.
    pub(crate) fn usage(reason: &dyn fmt::Display) -> Self {
        Self::Other { status: ExitStatus::Usage, reason: reason.to_string() }
    }

    /// How the program ends because of it.
    pub fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Start(error) => error.exit_status(),
            Self::Stopped(error) => error.exit_status(),
            // Asked for in vain before, and not to be asked for twice by accident.
            Self::Send(SendError::Refused(chat_endpoint::SendError::MayStart { .. })) => {
                ExitStatus::Refused
            }
            Self::Send(_) | Self::Io(_) => ExitStatus::Failure,
            Self::Log(_) => ExitStatus::Storage,
            Self::NoUser => ExitStatus::Usage,
            Self::Interrupted => ExitStatus::Interrupted,
            Self::Other { status, .. } => *status,
        }
    }

    /// The server's code for it, where it gave one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Start(StartError::Connect(error)) | Self::Stopped(Stopped::Connection(error)) => {
                error.code()
            }
            _ => None,
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self::Start(error.into())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        HomeError::from(error).into()
    }
}

impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Self {
        Self::Start(error.into())
    }
}

/// Does what needs threads and a connection.
pub fn connected(
    work: impl Future<Output = Result<ExitStatus, Failure>>,
) -> Result<ExitStatus, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(Box::pin(work));
    runtime.shutdown_timeout(RUNTIME_END_TIMEOUT);
    prompt::give_back();
    done
}

/// Addresses, pins and trust of this home.
pub fn connector(common: &Common) -> Result<Arc<Connector>, Failure> {
    let known = KnownServers::load(&common.home)?;
    let pins = Pins::new(known, common.accept_server.clone()).with_trust(&common.trust);
    Ok(Arc::new(Connector::new(common.servers.clone(), &common.trust, pins)?))
}

/// The user named, or the one that a person types.
pub fn user(common: &Common) -> Result<UserName, Failure> {
    if let Some(user) = &common.user {
        return Ok(home::spelled(&common.home, user));
    }
    if !TerminalPrompt::is_possible() {
        return Err(Failure::NoUser);
    }
    loop {
        let name = TerminalPrompt::ask("Your name: ")?;
        match UserName::for_account(&name) {
            Ok(user) => return Ok(home::spelled(&common.home, &user)),
            Err(error) => TerminalPrompt::say(&format!("This cannot be your name: {error}.")),
        }
    }
}

/// Opens the log of this user's client.
pub fn operation_log(common: &Common, user: &UserName) -> Result<OperationLog, Failure> {
    Ok(OperationLog::open(&logs::written(common.logs.clone(), false), &format!("client-{user}"))?)
}

/// Opens the place for the story of the encryption, if it is wanted.
pub fn crypto_trace(common: &Common) -> Result<Option<CryptoTrace>, Failure> {
    let open = |path: &PathBuf| {
        CryptoTrace::open(path).map_err(|error| Failure::Other {
            status: ExitStatus::Usage,
            reason: format!("--trace-crypto: cannot write to {}: {error}", path.display()),
        })
    };
    common.trace_crypto.as_ref().map(open).transpose()
}

/// The account of this home, with a person to ask where there is a terminal.
pub fn account(common: &Common, rb: Option<Nonce16>) -> HomeAccount {
    HomeAccount {
        root: common.home.clone(),
        password: common.password.clone(),
        register: common.register,
        revoke: common.revoke,
        weak_password: common.weak_password,
        key_bits: common.key_bits,
        rb,
        is_attended: TerminalPrompt::is_possible(),
        needs_no_server: false,
    }
}

/// Goes through a dialog, with the person at the terminal where there is one. Without a terminal it only says what
/// goes on, and with --quiet not even that.
pub async fn go_through<T>(common: &Common, dialog: Dialog<T>) -> Result<T, StartError> {
    dialog.go_through(meet(common)).await
}

/// Who is told and asked in a dialog.
pub fn meet(common: &Common) -> fn(Next) {
    let asks_only = |next| {
        if !matches!(next, Next::Says(_)) {
            TerminalPrompt::meet(next);
        }
    };
    if is_silent(common) { asks_only } else { TerminalPrompt::meet }
}

fn is_silent(common: &Common) -> bool {
    common.verbosity == Verbosity::Quiet && !TerminalPrompt::is_possible()
}

/// Where files come from and go to.
pub fn transfer_options(common: &Common, user: &UserName) -> TransferOptions {
    let shared = common.shared.clone();
    TransferOptions {
        downloads: common.downloads.clone(),
        shared: shared.unwrap_or_else(|| common.home.join("shared").join(user.as_str())),
        waits: true,
        accept_from: common.accept_from.clone(),
    }
}

/// Signs a person in. `rb` is the restart nonce of the agent, where this process is one.
pub async fn sign_in(
    common: &Common,
    connector: Arc<Connector>,
    user: UserName,
    purpose: Purpose,
    rb: Option<Nonce16>,
) -> Result<(Client, Events), Failure> {
    let dialog = dialog(common, connector, user, purpose, account(common, rb))?;
    tokio::select! {
        started = go_through(common, dialog) => Ok(started?),
        () = interrupted() => Err(Failure::Interrupted),
    }
}

/// What it takes to sign a person in.
pub(crate) fn dialog(
    common: &Common,
    connector: Arc<Connector>,
    user: UserName,
    purpose: Purpose,
    account: HomeAccount,
) -> Result<Dialog<(Client, Events)>, Failure> {
    let is_insecure =
        common.trust == Trust::Anybody && common.servers.iter().any(|url| !url.is_loopback());
    if is_insecure && !is_silent(common) {
        TerminalPrompt::say(
            "INSECURE: nobody vouches for the server; others on the way may see who talks to whom",
        );
    }
    let log = operation_log(common, &user)?;
    let account = Account::Home(account);
    let bundles = Arc::default();
    let trace = crypto_trace(common)?;
    let invite = common.invite.clone();
    let options = ClientOptions { connector, user, purpose, account, bundles, log, invite, trace };
    Ok(Client::start(options))
}
