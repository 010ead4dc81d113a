//! The command line of `chat-server`, its configuration file, and the [`Config`] they become.
//!
//! Each value comes from the first of: flag, environment, file, default. After [`Config`] is made
//! nobody looks at strings again.

mod file;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use chat_protocol::{keys::KeySizes, retention};
use clap::{ArgMatches, Args, Parser, Subcommand, ValueEnum, parser::ValueSource};
use serde::Deserialize;
use thiserror::Error;

pub use file::FileError;
use file::FileOptions;

use crate::{
    limits::{
        COPIES_DAYS_DEFAULT, COPIES_QUOTA_DEFAULT, DRAIN_TIME_DEFAULT, MAILBOX_BYTES_MAX,
        MAILBOX_MESSAGES_MAX,
    },
    relay::copies::CopyLimits,
    router::MailboxLimits,
};

/// Where clients look when they are told nothing.
const PORT_DEFAULT: u16 = 9_000;

/// Talk to people and to machines over a hub you do not have to trust: this is the hub.
#[derive(Debug, Parser)]
#[command(name = "chat-server", version, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  chat-server --port 9000
  chat-server --bind 0.0.0.0 --tls auto
  chat-server --www public
  chat-server --tls-cert cert.pem --tls-key key.pem --data /var/lib/chat

Exit codes: 0 stopped as asked, 1 failure, 2 usage, 70 storage failure")]
pub struct Cli {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub subcommand: Option<Action>,
    /// How to serve.
    #[command(flatten)]
    pub options: Options,
}

/// What `chat-server` does besides serving.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Make a self-signed certificate for --tls-cert and --tls-key
    Mkcert {
        /// Folder for cert.pem and key.pem
        #[arg(long, default_value = ".", value_name = "DIR")]
        out: PathBuf,
        /// Host name or address that clients connect to (may be given several times; default: this
        /// machine's names)
        #[arg(long = "name", value_name = "HOST")]
        names: Vec<String>,
    },
    /// Show the configuration: what applies and where it comes from, or the defaults as a file
    Config {
        /// What to show
        #[arg(value_enum, default_value = "show")]
        view: ConfigView,
        /// The options to explain, as for serving
        #[command(flatten)]
        options: Box<Options>,
    },
    /// Print the manual page (for: man -l -)
    Man,
    /// Print completions for a shell
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
}

/// What `config` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ConfigView {
    /// Every value that applies, with its source
    Show,
    /// A configuration file with every default
    Default,
}

/// Flags and environment. Everything is optional, so that the file can fill what is not given.
#[derive(Debug, Clone, Default, Args)]
pub struct Options {
    /// Port for WebSocket and HTTP, with and without TLS [default: 9000]
    #[arg(long, env = "CHAT_SERVER_PORT", value_name = "N")]
    pub port: Option<u16>,
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long, env = "CHAT_SERVER_BIND", value_name = "ADDRESS")]
    pub bind: Option<IpAddr>,
    /// Folder for accounts, messages and the own certificate [default: data]
    #[arg(long, env = "CHAT_SERVER_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Folder for the log of operations [default: logs]
    #[arg(long, env = "CHAT_SERVER_LOGS", value_name = "DIR")]
    pub logs: Option<PathBuf>,
    /// Folder whose files are served to everybody over HTTP, except those whose names begin with a
    /// dot; symbolic links in it are not followed [default: none]
    #[arg(long, env = "CHAT_SERVER_WWW", value_name = "DIR")]
    pub www: Option<PathBuf>,
    /// Who may run which command on this machine [default: a list of harmless programs]
    #[arg(long, env = "CHAT_SERVER_POLICY", value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Configuration file in TOML; its keys are these flags with `_` for `-`
    #[arg(long, env = "CHAT_SERVER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// TLS with an own certificate, made once, whose fingerprint clients pin [default: off]
    #[arg(long, env = "CHAT_SERVER_TLS", value_enum, value_name = "MODE")]
    pub tls: Option<TlsMode>,
    /// TLS with this certificate (PEM, chain after it)
    #[arg(long, env = "CHAT_SERVER_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert (PEM, readable by the owner only)
    #[arg(long, env = "CHAT_SERVER_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Serve other machines without TLS: whoever is on the way sees who talks to whom, and can
    /// cut or keep sign-ins
    #[arg(
        long,
        env = "CHAT_SERVER_INSECURE_PLAINTEXT",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub insecure_plaintext: Option<bool>,
    /// Form of the log on standard error [default: text on a terminal, else json]
    #[arg(long, env = "CHAT_SERVER_LOG_FORMAT", value_enum, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What is checked before a message is stored: its signature, or only the sender's connection
    /// (recipients always check everything) [default: signature]
    #[arg(long, env = "CHAT_SERVER_VERIFY", value_enum, value_name = "WHAT")]
    pub verify: Option<Verify>,
    /// Tell for each frame what was signed and wrapped, and the verdict; on standard error or in a
    /// file
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true,
          default_missing_value = "-")]
    pub trace_crypto: Option<PathBuf>,
    /// Time to finish what is queued after SIGTERM, as 5s or 500ms [default: 5s]
    #[arg(long, env = "CHAT_SERVER_DRAIN_TIMEOUT", value_name = "TIME", value_parser = parse_time)]
    pub drain_timeout: Option<Duration>,
    /// Direct messages that may wait for one person who is away; more are refused and nothing is
    /// dropped [default: 100000]
    #[arg(long, env = "CHAT_SERVER_MAILBOX_MESSAGES", value_name = "N")]
    pub mailbox_messages: Option<u64>,
    /// Bytes of direct messages that may wait for one person who is away [default: 104857600]
    #[arg(long, env = "CHAT_SERVER_MAILBOX_BYTES", value_name = "N")]
    pub mailbox_bytes: Option<u64>,
    /// How long messages of rooms are kept, as 90d, 12h, 30m or 45s; older ones are deleted, also
    /// for those who are away. /retention says otherwise for a room; direct messages stay
    /// [default: off]
    #[arg(long, env = "CHAT_SERVER_RETENTION", value_name = "TIME", value_parser = parse_retention)]
    pub retention: Option<u64>,
    /// Copies of files that one person may leave here for others, as 500MiB or 2GiB; 0 keeps none
    /// [default: 1GiB]
    #[arg(long, env = "CHAT_SERVER_COPIES_QUOTA", value_name = "SIZE", value_parser = parse_size)]
    pub copies_quota: Option<u64>,
    /// Days that a copy of a file is kept at most [default: 14]
    #[arg(long, env = "CHAT_SERVER_COPIES_DAYS", value_name = "N")]
    pub copies_days: Option<u32>,
}

/// TLS without files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// Plain text only
    Off,
    /// An own certificate, kept in the data folder
    Auto,
}

/// Form of the log on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people
    Text,
    /// One object per line
    Json,
}

/// What the hub checks before it stores a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// The sender's signature on every frame
    Signature,
    /// That the frame came over its sender's connection
    Transport,
}

/// How TLS is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// Not at all.
    Off,
    /// With an own certificate in the data folder.
    Auto,
    /// With given files.
    Files(crate::tls::CertificateFiles),
}

/// Everything the server needs to know, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen. Port 0 takes a free one.
    pub address: SocketAddr,
    /// Folder of the store and the own certificate.
    pub data: PathBuf,
    /// Folder of the log of operations.
    pub logs: PathBuf,
    /// Folder of files for everybody over HTTP.
    pub www: Option<PathBuf>,
    /// Rules of the server's own agent; `None` means the built-in list.
    pub policy: Option<PathBuf>,
    /// How TLS is offered.
    pub tls: Tls,
    /// Other machines are served without TLS, as was asked for in so many words.
    pub is_plaintext_exposed: bool,
    /// Form of the log on standard error; `None` leaves it to the terminal.
    pub log_format: Option<LogFormat>,
    /// What is checked before a frame is stored.
    pub verify: Verify,
    /// Where the story of the encryption goes, if it is wanted; `-` is standard error.
    pub trace_crypto: Option<PathBuf>,
    /// Time to finish what is queued when stopping.
    pub drain_time_max: Duration,
    /// How much may wait for somebody who is away.
    pub mailbox: MailboxLimits,
    /// How long messages of rooms are kept where the room says nothing, in milliseconds; 0 for ever.
    pub retention_ms: u64,
    /// How much of copies of files one person may leave, and for how long.
    pub copies: CopyLimits,
    /// Sizes of the hub's own keys, when they are made.
    pub key_sizes: KeySizes,
    /// Most pages of the database; `None` leaves it to the disk. For tests of a full disk.
    pub database_pages_max: Option<u32>,
    /// The program that commands are run by; without it the hub runs none.
    pub helper: Option<PathBuf>,
}

/// Why the options make no configuration. All of them are usage errors (exit code 2).
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The configuration file.
    #[error(transparent)]
    File(#[from] FileError),
    /// One of the two TLS files without the other.
    #[error("{given} without {missing}: a certificate and its key go together; give both")]
    HalfCertificate {
        /// What was given.
        given: &'static str,
        /// What goes with it.
        missing: &'static str,
    },
    /// Two ways of TLS at once.
    #[error("--tls {mode} and --tls-cert contradict each other; leave one of them out")]
    TwoCertificates {
        /// off or auto.
        mode: &'static str,
    },
    /// Other machines would be served in plain text.
    #[error(
        "{bind} can be reached from other machines, and without TLS whoever is on the way sees who \
         talks to whom and can tamper with sign-ins; add --tls auto (an own certificate), or \
         --tls-cert and --tls-key, or listen on 127.0.0.1; if something in front of this server \
         encrypts already, say --insecure-plaintext"
    )]
    ExposedPlaintext {
        /// The address asked for.
        bind: IpAddr,
    },
}

impl Config {
    /// The defaults with these folders, on a free port of this machine: for programs that run the
    /// server inside of themselves.
    pub fn local(data: &Path, logs: &Path) -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            data: data.to_owned(),
            logs: logs.to_owned(),
            www: None,
            policy: None,
            tls: Tls::Off,
            is_plaintext_exposed: false,
            log_format: None,
            verify: Verify::Signature,
            trace_crypto: None,
            drain_time_max: DRAIN_TIME_DEFAULT,
            mailbox: MailboxLimits::default(),
            retention_ms: 0,
            copies: CopyLimits::default(),
            key_sizes: KeySizes::PEOPLE,
            database_pages_max: None,
            helper: None,
        }
    }

    /// Reads the configuration file, if one is named, and checks everything together.
    pub fn resolve(options: &Options) -> Result<Self, ConfigError> {
        let file = FileOptions::read(options.config.as_deref())?;
        Self::validate(merge(options.clone(), file))
    }

    fn validate(options: Options) -> Result<Self, ConfigError> {
        let bind = options.bind.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let tls = tls(&options)?;
        let is_plaintext_exposed = tls == Tls::Off && !bind.to_canonical().is_loopback();
        if is_plaintext_exposed && options.insecure_plaintext != Some(true) {
            return Err(ConfigError::ExposedPlaintext { bind });
        }
        Ok(Self {
            address: SocketAddr::new(bind, options.port.unwrap_or(PORT_DEFAULT)),
            data: options.data.unwrap_or_else(|| "data".into()),
            logs: options.logs.unwrap_or_else(|| "logs".into()),
            www: options.www,
            policy: options.policy,
            tls,
            is_plaintext_exposed,
            log_format: options.log_format,
            verify: options.verify.unwrap_or(Verify::Signature),
            trace_crypto: options.trace_crypto,
            drain_time_max: options.drain_timeout.unwrap_or(DRAIN_TIME_DEFAULT),
            mailbox: MailboxLimits {
                messages_max: options.mailbox_messages.unwrap_or(MAILBOX_MESSAGES_MAX),
                bytes_max: options.mailbox_bytes.unwrap_or(MAILBOX_BYTES_MAX),
            },
            retention_ms: options.retention.unwrap_or(0),
            copies: CopyLimits::new(
                options.copies_quota.unwrap_or(COPIES_QUOTA_DEFAULT),
                options.copies_days.unwrap_or(COPIES_DAYS_DEFAULT),
            ),
            key_sizes: KeySizes::PEOPLE,
            database_pages_max: None,
            helper: None,
        })
    }
}

fn tls(options: &Options) -> Result<Tls, ConfigError> {
    let half = |given, missing| Err(ConfigError::HalfCertificate { given, missing });
    match (options.tls, options.tls_cert.clone(), options.tls_key.clone()) {
        (_, Some(_), None) => half("--tls-cert", "--tls-key"),
        (_, None, Some(_)) => half("--tls-key", "--tls-cert"),
        (Some(mode), Some(_), Some(_)) => Err(ConfigError::TwoCertificates {
            mode: if mode == TlsMode::Off { "off" } else { "auto" },
        }),
        (None, Some(certificate), Some(key)) => {
            Ok(Tls::Files(crate::tls::CertificateFiles { certificate, key }))
        }
        (Some(TlsMode::Auto), None, None) => Ok(Tls::Auto),
        (Some(TlsMode::Off) | None, None, None) => Ok(Tls::Off),
    }
}

/// Fills what flags and environment do not say from the file. A file's way of TLS is dropped when
/// the command line names another: its author knew nothing of that.
fn merge(given: Options, file: FileOptions) -> Options {
    let names_tls = given.tls.is_some() || given.tls_cert.is_some() || given.tls_key.is_some();
    let of_file = |path: Option<PathBuf>| if names_tls { None } else { path };
    Options {
        port: given.port.or(file.port),
        bind: given.bind.or(file.bind),
        data: given.data.or(file.data),
        logs: given.logs.or(file.logs),
        www: given.www.or(file.www),
        policy: given.policy.or(file.policy),
        config: given.config,
        tls: given.tls.or(if names_tls { None } else { file.tls }),
        tls_cert: given.tls_cert.or(of_file(file.tls_cert)),
        tls_key: given.tls_key.or(of_file(file.tls_key)),
        insecure_plaintext: given.insecure_plaintext.or(file.insecure_plaintext),
        log_format: given.log_format.or(file.log_format),
        verify: given.verify.or(file.verify),
        trace_crypto: given.trace_crypto,
        drain_timeout: given.drain_timeout.or(file.drain_timeout.map(|time| time.0)),
        mailbox_messages: given.mailbox_messages.or(file.mailbox_messages),
        mailbox_bytes: given.mailbox_bytes.or(file.mailbox_bytes),
        retention: given.retention.or(file.retention.map(|time| time.0)),
        copies_quota: given.copies_quota.or(file.copies_quota.map(|size| size.0)),
        copies_days: given.copies_days.or(file.copies_days),
    }
}

/// Reads `5s`, `500ms` or a bare number of seconds.
fn parse_time(text: &str) -> Result<Duration, String> {
    let (digits, to_time): (_, fn(u64) -> Duration) = if let Some(digits) = text.strip_suffix("ms")
    {
        (digits, Duration::from_millis)
    } else {
        (text.strip_suffix('s').unwrap_or(text), Duration::from_secs)
    };
    digits.parse().map(to_time).map_err(|_| format!("expected a time as 5s or 500ms, got {text:?}"))
}

/// Reads `90d` and the like into milliseconds; `off` is 0.
fn parse_retention(text: &str) -> Result<u64, String> {
    retention::parse(text).map_err(|error| error.to_string())
}

/// Reads `2GiB`, `500MiB`, `64KiB` or a bare number of bytes.
fn parse_size(text: &str) -> Result<u64, String> {
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1_u64 << 40)];
    let with_unit = |(unit, bytes)| Some((text.strip_suffix(unit)?, bytes));
    let (digits, unit) = units.into_iter().find_map(with_unit).unwrap_or((text, 1));
    let size: Option<u64> = digits.parse().ok().and_then(|number: u64| number.checked_mul(unit));
    size.ok_or_else(|| format!("expected a size as 500MiB or 2GiB, got {text:?}"))
}

/// One line of `config show`.
struct Shown {
    key: &'static str,
    value: String,
    source: &'static str,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<20} {:<24} {}", self.key, self.value, self.source)
    }
}

/// What applies and where each value comes from, for `config show`. `matches` are those of the
/// `config` subcommand.
pub fn show(options: &Options, matches: &ArgMatches) -> Result<String, ConfigError> {
    let file = FileOptions::read(options.config.as_deref())?;
    let in_file = file.keys();
    let config = Config::validate(merge(options.clone(), file))?;
    let source = |key: &'static str| match matches.value_source(key) {
        Some(ValueSource::CommandLine) => "flag",
        Some(ValueSource::EnvVariable) => "environment",
        _ if in_file.contains(&key) => "file",
        _ => "default",
    };
    let (certificate, key, mode) = match &config.tls {
        Tls::Off => (None, None, "off"),
        Tls::Auto => (None, None, "auto"),
        Tls::Files(files) => (Some(&files.certificate), Some(&files.key), "files"),
    };
    let path = |path: Option<&PathBuf>| path.map_or("-".to_owned(), |p| p.display().to_string());
    let log_format = match config.log_format {
        None => "by terminal",
        Some(LogFormat::Text) => "text",
        Some(LogFormat::Json) => "json",
    };
    let verify = if config.verify == Verify::Signature { "signature" } else { "transport" };
    let values = [
        ("port", config.address.port().to_string()),
        ("bind", config.address.ip().to_string()),
        ("data", path(Some(&config.data))),
        ("logs", path(Some(&config.logs))),
        ("www", path(config.www.as_ref())),
        ("policy", path(config.policy.as_ref())),
        ("tls", mode.to_owned()),
        ("tls_cert", path(certificate)),
        ("tls_key", path(key)),
        ("insecure_plaintext", config.is_plaintext_exposed.to_string()),
        ("log_format", log_format.to_owned()),
        ("verify", verify.to_owned()),
        ("drain_timeout", format!("{}ms", config.drain_time_max.as_millis())),
        ("mailbox_messages", config.mailbox.messages_max.to_string()),
        ("mailbox_bytes", config.mailbox.bytes_max.to_string()),
        ("retention", retention::format(config.retention_ms)),
        ("copies_quota", config.copies.quota.to_string()),
        ("copies_days", (config.copies.time_max.as_secs() / (24 * 60 * 60)).to_string()),
    ];
    let lines = values.map(|(key, value)| Shown { key, value, source: source(key) }.to_string());
    Ok(lines.concat())
}

/// A configuration file that says what is the case without one.
pub const DEFAULT_FILE: &str = include_str!("config/default.toml");

#[cfg(test)]
mod tests;
