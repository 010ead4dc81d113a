//! The command line, checked: what the rest of the client sees of it.
//!
//! [`arguments`] is the form that clap reads, [`error`] is what can be wrong.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chat_protocol::id::KeyId;
use chat_protocol::name::UserName;
use zeroize::Zeroizing;

pub mod arguments;
mod completion;
pub mod file;
pub mod logs;
pub mod merged;
pub mod names;
pub mod save;
pub mod screen;
pub mod ui;

pub mod error;

use arguments::{Arguments, CommonArguments, EmulatorArguments};
pub use chat_device::password::{Password, PasswordError};
pub use chat_device::recipient::Recipient;
pub use chat_device::server_url::{ServerUrl, ServerUrlError, Trust};
pub use chat_emulator::{Emulation, Extent};
pub use error::ConfigError;
pub use merged::Configured;
pub use ui::Ui;

pub use crate::verb::Verb;

use crate::exit::ExitStatus;
use crate::start::{Failure, connected};
use crate::{chat, emulation};
use chat_device::home::{default_folder, file::exposed};
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
    /// At least one address, all of one server; the next is tried when one cannot be reached.
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
    /// Folder for the operation logs, if one was given.
    pub logs: Option<PathBuf>,
    /// How much to say.
    pub verbosity: Verbosity,
    /// One JSON object per line on standard output.
    pub json: bool,
    /// What a person or a script talks with, by a flag. A terminal that cannot show it is an error.
    pub ui: Option<Ui>,
    /// The same by the environment. A terminal that cannot show it gets what it can show.
    pub ui_wish: Option<Ui>,
    /// On the full screen, the mouse is the terminal's.
    pub no_mouse: bool,
    /// There, nothing is faint.
    pub high_contrast: bool,
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
    /// What the file of configuration says.
    pub configured: Configured,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Mode {
    /// Talk.
    Interactive,
    /// Many clients and a report.
    Emulate(Emulation),
    /// One thing.
    Verb(Verb),
}

impl Mode {
    /// Does it.
    pub fn run(&self, common: &Common) -> Result<ExitStatus, Failure> {
        match self {
            Self::Interactive => connected(chat::chat(common)),
            Self::Emulate(asked) => connected(emulation::run(common, asked)),
            Self::Verb(verb) => verb.run(common),
        }
    }
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
        Self::read(std::env::args_os().collect())
    }

    /// Reads a command line with the environment and the file of configuration.
    pub(crate) fn read(words: Vec<OsString>) -> Result<Self, ConfigError> {
        // As for all variables: an empty one is not set.
        let password = std::env::var_os("CHAT_PASSWORD").filter(|password| !password.is_empty());
        if let Some((flag, verb)) = arguments::idle_flag(&words) {
            return Err(ConfigError::OfChat { flag, verb });
        }
        let (words, configured) = merged::merged(words)?;
        let mut config =
            Self::new(words, password).map_err(|error| configured.with_place(error))?;
        config.common.configured = configured;
        Ok(config)
    }

    /// Whether a file of configuration can be used, with one of its profiles.
    ///
    /// # Errors
    /// Why not.
    pub fn check_file(path: &Path, profile: Option<&str>) -> Result<(), ConfigError> {
        let mut words: Vec<OsString> = vec!["chat-client".into(), "--config".into(), path.into()];
        if let Some(profile) = profile {
            words.extend(["--profile".into(), profile.into()]);
        }
        words.extend(["config".into(), "show".into()]);
        let (words, configured) = merged::merged(words)?;
        Self::new(words, None).map(drop).map_err(|error| configured.with_place(error))
    }

    /// Checks `arguments` (the program's name first). `password` is the environment's, used when
    /// no file is given.
    pub fn new(
        arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
        password: Option<OsString>,
    ) -> Result<Self, ConfigError> {
        let words: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        let (Arguments { verb, common, emulator }, name) = Arguments::read(words)?;
        let mode = match (verb, emulator.emulate) {
            (Some(_), Some(_)) => return Err(ConfigError::EmulateWithVerb),
            (Some(verb), None) => Mode::Verb(verb),
            (None, Some(clients)) => Mode::Emulate(emulated(clients, emulator)),
            (None, None) => Mode::Interactive,
        };
        if let Mode::Verb(verb) = &mode
            && common.user.is_none()
            && verb.needs_name()
        {
            return Err(ConfigError::NoUser { verb: name });
        }
        let warnings = common.password_file.as_deref().and_then(exposed).into_iter().collect();
        let is_emulated = matches!(mode, Mode::Emulate(_));
        let common = checked(common, password, is_emulated)?;
        Ok(Self { common, mode, warnings })
    }
}

fn emulated(clients: u32, arguments: EmulatorArguments) -> Emulation {
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
        csv: arguments.csv,
        lost_max: arguments.max_lost.unwrap_or(0),
        p99_max: arguments.max_p99.map(Duration::from_millis),
        in_lobby: arguments.lobby,
    }
}

fn checked(
    arguments: CommonArguments,
    password: Option<OsString>,
    is_emulated: bool,
) -> Result<Common, ConfigError> {
    let servers = arguments.server.iter().map(|url| url.parse::<ServerUrl>());
    let mut servers = servers.collect::<Result<Vec<_>, _>>()?;
    // One address is one server, however often it is named.
    let mut seen = HashSet::new();
    servers.retain(|url| seen.insert(url.clone()));
    if !arguments.insecure
        && let Some(url) = servers.iter().find(|url| !url.is_secure() && !url.is_loopback())
    {
        return Err(ConfigError::PlainBeyondLoopback { url: url.clone() });
    }
    let key_bits_default = if is_emulated { KEY_BITS_EMULATED } else { KEY_BITS_DEFAULT };
    Ok(Common {
        servers,
        user: arguments.user,
        password: given_password(arguments.password_file.as_deref(), password)?,
        register: arguments.register,
        invite: arguments.invite,
        revoke: arguments.revoke,
        weak_password: arguments.weak_password,
        home: home(arguments.home)?,
        logs: arguments.logs,
        verbosity: match (arguments.quiet, arguments.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, 1) => Verbosity::Verbose,
            (false, _) => Verbosity::Debug,
        },
        json: arguments.json,
        ui: match (arguments.tui, arguments.line, arguments.plain) {
            (true, _, _) => Some(Ui::Tui),
            (_, true, _) => Some(Ui::Line),
            (_, _, true) => Some(Ui::Plain),
            _ => None,
        },
        ui_wish: arguments.ui,
        no_mouse: arguments.no_mouse,
        high_contrast: arguments.high_contrast,
        presence: arguments.presence,
        stop_on_error: arguments.stop_on_error,
        key_bits: match arguments.key_bits.unwrap_or(key_bits_default) {
            bits if KEY_BITS.contains(&bits) => bits,
            bits => return Err(ConfigError::KeyBits(bits)),
        },
        trace_crypto: arguments.trace_crypto,
        downloads: arguments.downloads,
        shared: arguments.shared,
        accept_from: arguments.accept_from,
        trust: match (arguments.ca, arguments.insecure) {
            (Some(file), _) => Trust::Authorities(file),
            (None, true) => Trust::Anybody,
            (None, false) => Trust::SystemOrPinned,
        },
        accept_server: arguments.accept_server,
        configured: Configured::default(),
    })
}

fn home(given: Option<PathBuf>) -> Result<PathBuf, ConfigError> {
    match given {
        Some(folder) => Ok(folder),
        None => default_folder().ok_or(ConfigError::NoHome),
    }
}

/// The one of the file, or else of the environment, if there is either.
pub(crate) fn given_password(
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
