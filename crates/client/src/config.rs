//! The command line, checked: what the rest of the client sees of it.
//!
//! [`arguments`] is the form that clap reads, [`error`] is what can be wrong.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chat_protocol::id::{KeyId, MessageId};
use chat_protocol::name::{ALL, RoomName, SERVER, UserName};
use clap_complete::Shell;
use zeroize::Zeroizing;

pub mod account;
pub mod arguments;
pub mod identity;
pub mod run;

pub mod error;
mod examples;
mod logs;

pub use account::AccountVerb;
use arguments::{Arguments, CommonArguments, EmulatorArguments, ServersAction, Verb};
pub use chat_device::password::{Password, PasswordError};
pub use chat_device::recipient::Recipient;
pub use chat_device::server_url::{ServerUrl, ServerUrlError, Trust};
pub use chat_emulator::{Emulation, Extent};
pub use error::ConfigError;
use identity::IdentityVerb;
pub use run::RunOf;

use chat_device::home::{default_folder, file::exposed};
use chat_device::identity::IdentityCommand;
use chat_text::show::presence::Presence;

/// Key sizes that the protocol accepts and people want.
const KEY_BITS: [u32; 3] = [2048, 3072, 4096];
const KEY_BITS_DEFAULT: u32 = 3072;
/// Emulated clients measure the suite, not the search for primes.
const KEY_BITS_EMULATED: u32 = 2048;
const PER_CLIENT_DEFAULT: u32 = 50;

/// Everything that was asked for, valid.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where, who, and how to speak.
    pub common: Common,
    /// What to do.
    pub mode: Mode,
    /// What is said about it before anything is done.
    pub warnings: Vec<String>,
}

/// Where, who, and how to speak.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that a person may give")]
pub struct Common {
    /// At least one address; the next is tried when one cannot be reached.
    pub servers: Vec<ServerUrl>,
    /// My name; `None` only where it can be asked for or is not needed.
    pub user: Option<UserName>,
    /// My password; `None` means ask.
    pub password: Option<Password>,
    /// Make the account without asking.
    pub register: bool,
    /// A code for a new account.
    pub invite: Option<String>,
    /// A device that a new machine puts out, by its signing key.
    pub revoke: Option<KeyId>,
    /// Take a new password that is easy to guess.
    pub weak_password: bool,
    /// Folder for keys, known servers and what waits to be sent.
    pub home: PathBuf,
    /// Folder for the operation logs.
    pub logs: PathBuf,
    /// How much to say.
    pub verbosity: Verbosity,
    /// One JSON object per line on standard output.
    pub json: bool,
    /// Whose coming and going is shown.
    pub presence: Presence,
    /// A script ends at its first line that fails.
    pub stop_on_error: bool,
    /// Size of new keys.
    pub key_bits: u32,
    /// Where the story of the encryption goes, if it is wanted; `-` is standard error.
    pub trace_crypto: Option<PathBuf>,
    /// Where files that are fetched go.
    pub downloads: PathBuf,
    /// The folder of what is shared from here, if one was given.
    pub shared: Option<PathBuf>,
    /// People whose files are taken without asking.
    pub accept_from: Vec<UserName>,
    /// Whom to believe about the server's certificate.
    pub trust: Trust,
    /// The six words of the server, from whoever gave this command line.
    pub accept_server: Option<String>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Mode {
    /// Talk, line by line.
    Interactive,
    /// Many clients and a report.
    Emulate(Emulation),
    /// One message.
    Send {
        /// To whom.
        to: Recipient,
        /// The text, or where it is read from.
        text: SendText,
        /// Under the veil.
        veil: bool,
    },
    /// Print what was missed and what arrives, up to whichever limit comes first.
    Listen {
        /// Number of messages.
        count: Option<u64>,
        /// How long to listen; without it time sets no limit.
        limit: Option<Duration>,
    },
    /// One command.
    Run(RunOf),
    /// Show who is there.
    Users,
    /// Show the rooms.
    Rooms,
    /// Files that have these words; all without words.
    Find {
        /// The words.
        words: Vec<String>,
    },
    /// Share a folder.
    Share {
        /// The folder.
        folder: PathBuf,
        /// With whom, where `keyword.txt` does not say it.
        audience: Recipient,
        /// For how many days the server keeps copies.
        keep_days: Option<u64>,
    },
    /// Fetch one file.
    Get {
        /// The person who offers the file.
        owner: UserName,
        /// Its name.
        name: String,
        /// A folder, or the file to be made.
        output: Option<PathBuf>,
        /// Wait for an owner who is away.
        waits: bool,
    },
    /// The files that are partly here.
    Transfers {
        /// Remove them.
        clean: bool,
    },
    /// The servers that the home knows.
    Servers {
        /// This one is forgotten; `None` shows them all.
        forget: Option<ServerUrl>,
    },
    /// What the server shows, for people to compare.
    VerifyServer,
    /// Change the password.
    Passwd {
        /// The new one; `None` means ask.
        new: Option<Password>,
    },
    /// The account as a whole.
    Account(AccountVerb),
    /// Keys and devices.
    Identity(IdentityCommand),
    /// Accept commands.
    Agent {
        /// Who may run what.
        policy: Option<PathBuf>,
    },
    /// Say what a policy allows.
    CheckPolicy {
        /// Which; `None` allows nothing.
        policy: Option<PathBuf>,
    },
    /// What was said, from the home.
    History {
        /// The conversation that is shown.
        place: Recipient,
        /// How many messages.
        count: usize,
        /// Those before this one.
        before: Option<MessageId>,
    },
    /// Messages with these words, from the home.
    Search {
        /// The words; not empty.
        words: Vec<String>,
    },
    /// Who wrote a message and who has received it, checked without a connection.
    Proof(ProofOf),
    /// One message through all logs.
    Story {
        /// Its id or the first characters of it.
        id: String,
        /// Where the logs are.
        folders: Vec<PathBuf>,
    },
    /// The manual page.
    Man,
    /// A completion script.
    Completions(Shell),
    /// The table of exit codes.
    ExitCodes,
}

/// What `proof` checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProofOf {
    /// A message of the home.
    Message {
        /// The message that is proved.
        id: MessageId,
        /// File for the proof.
        export: Option<PathBuf>,
        /// Whether the file shows the text.
        with_text: bool,
    },
    /// A file that was exported.
    File(PathBuf),
}

/// What `send` sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendText {
    /// The words of the command line.
    Given(String),
    /// Standard input, to its end.
    StandardInput,
}

/// How much to say on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors and nothing else.
    Quiet,
    /// What a person wants to know.
    Normal,
    /// What happens.
    Verbose,
    /// All that the program says about itself.
    Debug,
}

impl Config {
    /// Reads the process's arguments and environment.
    pub fn from_environment() -> Result<Self, ConfigError> {
        // As for all variables: an empty one is not set.
        let password = std::env::var_os("CHAT_PASSWORD").filter(|password| !password.is_empty());
        Self::new(std::env::args_os(), password)
    }

    /// Checks `arguments` (the program's name first). `password` is the environment's, used when
    /// no file is given.
    pub fn new(
        arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
        password: Option<OsString>,
    ) -> Result<Self, ConfigError> {
        let Arguments { verb, common, emulator } = Arguments::read(arguments)?;
        let new_password_file = match &verb {
            Some(Verb::Passwd { new_password_file }) => new_password_file.as_deref(),
            _ => None,
        };
        let files = [common.password_file.as_deref(), new_password_file];
        let warnings = files.into_iter().flatten().filter_map(exposed).collect();
        let mode = mode(verb, emulator, &common)?;
        let common = checked(common, password, &mode)?;
        Ok(Self { common, mode, warnings })
    }
}

fn mode(
    verb: Option<Verb>,
    emulator: EmulatorArguments,
    common: &CommonArguments,
) -> Result<Mode, ConfigError> {
    Ok(match (verb, emulator.emulate) {
        (Some(_), Some(_)) => return Err(ConfigError::EmulateWithVerb),
        (None, Some(clients)) => Mode::Emulate(emulation(clients, emulator)),
        (None, None) => Mode::Interactive,
        (Some(Verb::Send { to, veil, text }), None) => {
            let text = match text.as_slice() {
                [dash] if dash == "-" => SendText::StandardInput,
                words => SendText::Given(words.join(" ")),
            };
            Mode::Send { to: recipient("send", &to)?, text, veil }
        }
        (Some(Verb::Listen { count, limit }), None) => Mode::Listen { count, limit },
        (Some(Verb::Run(run)), None) => Mode::Run(run.read()?),
        (Some(Verb::Users), None) => Mode::Users,
        (Some(Verb::Rooms), None) => Mode::Rooms,
        (Some(Verb::Find { words }), None) => Mode::Find { words },
        (Some(Verb::Files), None) => Mode::Find { words: Vec::new() },
        (Some(Verb::Share { folder, to, keep }), None) => {
            Mode::Share { folder, audience: recipient("share", &to)?, keep_days: keep }
        }
        (Some(Verb::Get { owner, file, output, wait }), None) => {
            Mode::Get { owner: user("get", &owner)?, name: file, output, waits: wait }
        }
        (Some(Verb::Transfers { action }), None) => Mode::Transfers { clean: action.is_some() },
        (Some(Verb::Passwd { new_password_file }), None) => {
            Mode::Passwd { new: given_password(new_password_file.as_deref(), None)? }
        }
        (Some(Verb::Account(verb)), None) => Mode::Account(verb),
        (Some(Verb::Servers { action: None }), None) => Mode::Servers { forget: None },
        (Some(Verb::Servers { action: Some(ServersAction::Forget { url }) }), None) => {
            Mode::Servers { forget: Some(url) }
        }
        // `verify server` compares with the machine, not with a person.
        (Some(Verb::Identity(IdentityVerb::Verify { name, words, digits })), None)
            if name == SERVER =>
        {
            if digits || !words.is_empty() {
                return Err(ConfigError::VerifyServer);
            }
            Mode::VerifyServer
        }
        (Some(Verb::Identity(verb)), None) => Mode::Identity(verb.read()?),
        (Some(Verb::Agent { policy, check: false }), None) => Mode::Agent { policy },
        (Some(Verb::Agent { policy, check: true }), None) => Mode::CheckPolicy { policy },
        (Some(Verb::History { place, count, before }), None) => {
            let lobby = Recipient::Room(RoomName::lobby());
            let place = place.map(|place| recipient("history", &place)).transpose()?;
            Mode::History { place: place.unwrap_or(lobby), count, before }
        }
        (Some(Verb::Search { words }), None) => Mode::Search { words },
        (Some(Verb::Proof { id, export, with_text, verify }), None) => {
            Mode::Proof(proof_of(id.as_deref(), export, with_text, verify)?)
        }
        (Some(Verb::Story { id }), None) => {
            Mode::Story { id, folders: logs::read(common.logs.clone()) }
        }
        (Some(Verb::Man), None) => Mode::Man,
        (Some(Verb::Completions { shell }), None) => Mode::Completions(shell),
        (Some(Verb::ExitCodes), None) => Mode::ExitCodes,
    })
}

fn emulation(clients: u32, arguments: EmulatorArguments) -> Emulation {
    let per_client = Extent::PerClient(arguments.per_client.unwrap_or(PER_CLIENT_DEFAULT));
    Emulation {
        clients,
        messages: arguments.messages,
        extent: arguments.duration.map_or(per_client, Extent::Duration),
        rate: arguments.rate,
        seed: arguments.seed,
        html: arguments.html,
        rooms: arguments.rooms.unwrap_or(0),
        files: arguments.files.unwrap_or(0),
        churn: arguments.churn.unwrap_or(0),
        offline: arguments.offline.unwrap_or(0),
        p99_max: arguments.max_p99.map(Duration::from_millis),
        in_lobby: arguments.lobby,
    }
}

fn proof_of(
    id: Option<&str>,
    export: Option<PathBuf>,
    with_text: bool,
    verify: Option<PathBuf>,
) -> Result<ProofOf, ConfigError> {
    match (verify, id) {
        (Some(file), _) => Ok(ProofOf::File(file)),
        (None, id) => {
            let id = id.unwrap_or_default();
            let parsed = MessageId::parse(id);
            let id = parsed.map_err(|_| ConfigError::MessageId { id: id.to_owned() })?;
            Ok(ProofOf::Message { id, export, with_text })
        }
    }
}

fn recipient(verb: &'static str, to: &str) -> Result<Recipient, ConfigError> {
    if let Some(name) = to.strip_prefix('#') {
        let room = RoomName::new(name);
        let room = room.map_err(|source| ConfigError::Room { name: name.to_owned(), source })?;
        return Ok(Recipient::Room(room));
    }
    if to.eq_ignore_ascii_case(ALL) {
        return Ok(Recipient::All);
    }
    user(verb, to).map(Recipient::User)
}

fn user(argument: &'static str, name: &str) -> Result<UserName, ConfigError> {
    UserName::new(name).map_err(|source| ConfigError::User {
        argument,
        name: name.to_owned(),
        source,
    })
}

fn checked(
    arguments: CommonArguments,
    password: Option<OsString>,
    mode: &Mode,
) -> Result<Common, ConfigError> {
    let servers = arguments.server.iter().map(|url| url.parse::<ServerUrl>());
    let servers = servers.collect::<Result<Vec<_>, _>>()?;
    if !arguments.insecure
        && let Some(url) = servers.iter().find(|url| !url.is_secure() && !url.is_loopback())
    {
        return Err(ConfigError::PlainBeyondLoopback { url: url.clone() });
    }
    let name = arguments.user.as_deref().map(account).transpose()?;
    if let (None, Some(verb)) = (&name, verb_with_user(mode)) {
        return Err(ConfigError::NoUser { verb });
    }
    let key_bits_default =
        if matches!(mode, Mode::Emulate(_)) { KEY_BITS_EMULATED } else { KEY_BITS_DEFAULT };
    Ok(Common {
        servers,
        user: name,
        password: given_password(arguments.password_file.as_deref(), password)?,
        register: arguments.register,
        invite: arguments.invite,
        revoke: arguments.revoke,
        weak_password: arguments.weak_password,
        home: home(arguments.home)?,
        logs: logs::written(arguments.logs, mode),
        verbosity: match (arguments.quiet, arguments.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, 1) => Verbosity::Verbose,
            (false, _) => Verbosity::Debug,
        },
        json: arguments.json,
        presence: arguments.presence,
        stop_on_error: arguments.stop_on_error,
        key_bits: match arguments.key_bits.unwrap_or(key_bits_default) {
            bits if KEY_BITS.contains(&bits) => bits,
            bits => return Err(ConfigError::KeyBits(bits)),
        },
        trace_crypto: arguments.trace_crypto,
        downloads: arguments.downloads,
        shared: arguments.shared,
        accept_from: {
            let names = arguments.accept_from.iter();
            names.map(|name| user("--accept-from", name)).collect::<Result<_, _>>()?
        },
        trust: match (arguments.ca, arguments.insecure) {
            (Some(file), _) => Trust::Authorities(file),
            (None, true) => Trust::Anybody,
            (None, false) => Trust::SystemOrPinned,
        },
        accept_server: arguments.accept_server,
    })
}

/// The name of my own account: `server` is reserved too.
fn account(name: &str) -> Result<UserName, ConfigError> {
    UserName::for_account(name).map_err(|source| ConfigError::User {
        argument: "--user",
        name: name.to_owned(),
        source,
    })
}

/// The commands that sign in and must not ask for the name.
fn verb_with_user(mode: &Mode) -> Option<&'static str> {
    match mode {
        Mode::Send { .. } => Some("send"),
        Mode::Listen { .. } => Some("listen"),
        Mode::Run(_) => Some("run"),
        Mode::Users => Some("users"),
        Mode::Rooms => Some("rooms"),
        Mode::Find { .. } => Some("find"),
        Mode::Share { .. } => Some("share"),
        Mode::Get { .. } => Some("get"),
        Mode::Agent { .. } => Some("agent"),
        Mode::Identity(identity) => Some(identity.verb()),
        Mode::Passwd { .. } => Some("passwd"),
        Mode::Account(_) => Some("account"),
        Mode::History { .. } => Some("history"),
        Mode::Search { .. } => Some("search"),
        Mode::Proof(ProofOf::Message { .. }) => Some("proof"),
        Mode::Interactive
        | Mode::Emulate(_)
        | Mode::Servers { .. }
        | Mode::CheckPolicy { .. }
        | Mode::Transfers { .. }
        | Mode::VerifyServer
        | Mode::Proof(ProofOf::File(_))
        | Mode::Story { .. }
        | Mode::Man
        | Mode::Completions(_)
        | Mode::ExitCodes => None,
    }
}

fn home(given: Option<PathBuf>) -> Result<PathBuf, ConfigError> {
    match given {
        Some(folder) => Ok(folder),
        None => default_folder().ok_or(ConfigError::NoHome),
    }
}

/// The one of the file, or else of the environment, if there is either.
fn given_password(
    file: Option<&Path>,
    environment: Option<OsString>,
) -> Result<Option<Password>, ConfigError> {
    let (origin, password) = match (file, environment) {
        (Some(path), _) => {
            let file = File::open(path).map_err(PasswordError::Read);
            (path.display().to_string(), file.and_then(Password::read))
        }
        (None, Some(value)) => {
            let value = value.into_string().map(Zeroizing::new);
            let password = value.map_err(|_| PasswordError::NotUtf8);
            ("CHAT_PASSWORD".to_owned(), password.and_then(|value| Password::new(&value)))
        }
        (None, None) => return Ok(None),
    };
    password.map(Some).map_err(|source| ConfigError::Password { origin, source })
}

#[cfg(test)]
mod tests;
