//! The command line: flags with their environment, subcommands, and the forms of their values.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use chat_manual::{COMMON, Section};
use chat_protocol::retention;
use clap::{Args, Command, CommandFactory as _, Parser, Subcommand, ValueEnum};
use serde::Deserialize;

use super::address::{parse_address, parse_socket};
use super::cluster::ClusterCommand;
use super::examples::EXAMPLES;
use super::sharing::{AckLevel, LeaveAt, NodeName, RedisUrl};
use crate::{
    admin::command::{AdminCommand, Where},
    store::Registration,
};

/// What the program's exit code says.
const EXIT_CODES: [(u8, &str); 5] = [
    (0, "stopped as asked, or done"),
    (1, "failure"),
    (2, "usage"),
    (70, "storage failure"),
    (130, "a second signal"),
];

/// Talk to people and to machines over a hub you do not have to trust: this is the hub.
#[derive(Debug, Parser)]
#[command(name = "chat-server", version, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = exit_codes())]
pub struct Cli {
    /// Only see whether the configuration can be used
    #[arg(long)]
    pub check_config: bool,
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
    /// Print the six words of this server's key and the digest of its certificate, which people
    /// compare with what their clients show
    Fingerprint {
        /// The options of the server, as for serving: --data, and --tls-cert if it has one
        #[command(flatten, next_help_heading = COMMON)]
        options: Box<Options>,
    },
    /// Show the configuration: what applies and where it comes from, or the defaults as a file
    Config {
        /// What to show
        #[arg(value_enum, default_value = "show")]
        view: ConfigView,
        /// The options to explain, as for serving
        #[command(flatten, next_help_heading = COMMON)]
        options: Box<Options>,
    },
    /// Copy everything that a server needs into a new folder, or into one file if its name ends with
    /// .tar, also while it runs; then check the copy and print its digest. Copies of files that people
    /// left (data/files) are not in it
    Backup {
        /// Where
        target: PathBuf,
        /// Data folder of the server
        #[command(flatten)]
        at: Where,
    },
    /// Put a backup back while no server runs; what was there is kept beside it
    Restore {
        /// A folder or file that `backup` has made
        source: PathBuf,
        /// Data folder of the server
        #[command(flatten)]
        at: Where,
    },
    /// Look at everything that usually goes wrong: a line for each, [+] in order, [-] not
    Doctor {
        /// Print JSON, one object per line
        #[arg(long)]
        json: bool,
        /// The options of the server, as for serving
        #[command(flatten, next_help_heading = COMMON)]
        options: Box<Options>,
    },
    /// Ask the running server whether it is ready: exit code 0 or 1, for containers
    Health {
        /// The options of the server, as for serving
        #[command(flatten, next_help_heading = COMMON)]
        options: Box<Options>,
    },
    /// Look after several servers that share a log in Redis
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Print the version
    Version {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// What is asked of a running server.
    #[command(flatten)]
    Admin(AdminCommand),
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
    #[arg(long, env = "CHAT_SERVER_BIND", value_name = "ADDRESS", value_parser = parse_address)]
    pub bind: Option<IpAddr>,
    /// Address and port for /metrics, which is then answered there alone; health is answered on both, and
    /// `?verbose` there and to this machine [default: none, they are on the same port]
    #[arg(long, env = "CHAT_SERVER_METRICS_BIND", value_name = "ADDRESS:PORT", value_parser = parse_socket)]
    pub metrics_bind: Option<SocketAddr>,
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
    /// A Redis in which several servers share their log, so that they behave as one; each has a --node and a
    /// --data of its own [default: none, this server is alone]
    #[arg(long, env = "CHAT_SERVER_REDIS", value_name = "URL")]
    pub redis: Option<RedisUrl>,
    /// What this server is called among those that share the log, as n1
    #[arg(long, env = "CHAT_SERVER_NODE", value_name = "NAME")]
    pub node: Option<NodeName>,
    /// What the servers are called together, where one Redis serves several such groups [default: chat]
    #[arg(long, env = "CHAT_SERVER_CLUSTER", value_name = "NAME")]
    pub cluster: Option<NodeName>,
    /// The key that the servers share and Redis does not have; made by the first one, to be copied to other
    /// machines [default: cluster.key beside the data folder]
    #[arg(long, env = "CHAT_SERVER_CLUSTER_KEY", value_name = "FILE")]
    pub cluster_key: Option<PathBuf>,
    /// Begin a log where there is a key and none in Redis: only for a new group of servers, never after Redis
    /// was emptied
    #[arg(long)]
    pub new_cluster: bool,
    /// Set all servers of the group to what this one is told (budgets, registration, bans, times), while no other
    /// one of them runs
    #[arg(long)]
    pub change_settings: bool,
    /// Commands to the name server run on the machine of this server from now on, and not where they did; the one
    /// that ran them must be stopped
    #[arg(long)]
    pub host_agent: bool,
    /// The least that Redis promises before a message is acknowledged: that it is on its disk, that it is
    /// there a second later, or nothing [default: disk]
    #[arg(long, env = "CHAT_SERVER_REDIS_ACK", value_enum, value_name = "WHAT")]
    pub redis_ack: Option<AckLevel>,
    /// How much of the log Redis keeps for servers that were away, as 500MiB or 2GiB: what all servers have beyond
    /// it is removed [default: 1GiB]
    #[arg(long, env = "CHAT_SERVER_LOG_KEEP", value_name = "SIZE", value_parser = parse_size)]
    pub log_keep: Option<u64>,
    /// From this size of the log on servers that do not run are no longer waited for: they need a snapshot then
    /// [default: a third of the maxmemory of Redis]
    #[arg(long, env = "CHAT_SERVER_LOG_MAX", value_name = "SIZE", value_parser = parse_size)]
    pub log_max: Option<u64>,
    /// Take up what only this folder of a server has, because the log was opened without it
    #[arg(long, value_name = "DIR")]
    pub salvage: Option<PathBuf>,
    /// Start the server of this folder, which was one of several, alone from now on. With --redis it reads first what the
    /// others have written; without Redis say the turn of this folder when it is the last one of all, by `chat-server
    /// cluster digest`
    #[arg(long, value_name = "TURN", num_args = 0..=1, require_equals = true,
          default_missing_value = LeaveAt::END)]
    pub leave_cluster: Option<LeaveAt>,
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
    /// Who may make an account: everybody, who has a code from `chat-server invite`, or nobody
    /// [default: open on a loopback address, else invite]
    #[arg(long, env = "CHAT_SERVER_REGISTRATION", value_enum, value_name = "WHO")]
    pub registration: Option<Registration>,
    /// Copies of files that one person may leave here for others, as 500MiB or 2GiB; 0 keeps none
    /// [default: 1GiB]
    #[arg(long, env = "CHAT_SERVER_COPIES_QUOTA", value_name = "SIZE", value_parser = parse_size)]
    pub copies_quota: Option<u64>,
    /// Whether there are budgets of accounts and addresses at all: off for load tests and benchmarks
    /// [default: on]
    #[arg(long, env = "CHAT_SERVER_LIMITS", value_enum, value_name = "SWITCH")]
    pub limits: Option<Switch>,
    /// Sets one budget, as messages=100/s+2000, places=500 or `sign_ups_day=off`; may be given again, or
    /// several with commas between them. `chat-server config` lists them
    #[arg(long, env = "CHAT_SERVER_LIMIT", value_name = "NAME=AMOUNT", value_delimiter = ',')]
    pub limit: Vec<String>,
    /// Address of a proxy before this server whose last X-Forwarded-For is believed; may be given
    /// again. Without it the budgets of addresses see the proxy's
    #[arg(long, env = "CHAT_SERVER_TRUSTED_PROXY", value_name = "ADDRESS", value_delimiter = ',',
          value_parser = parse_address)]
    pub trusted_proxy: Vec<IpAddr>,
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

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// As usual.
    On,
    /// Not at all.
    Off,
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

/// The exit codes in one line.
fn exit_codes() -> String {
    let codes = EXIT_CODES.map(|(code, meaning)| format!("{code} {meaning}"));
    format!("Exit codes: {}", codes.join(", "))
}

/// The command line's definition, with examples in the help of each command.
pub(super) fn definition() -> Command {
    chat_manual::with_examples(Cli::command(), EXAMPLES)
}

/// The manual page, in roff.
pub fn write_man(output: &mut impl io::Write) -> io::Result<()> {
    let rows = EXIT_CODES.map(|(code, meaning)| (code.to_string(), meaning.to_owned()));
    let codes = Section { heading: "EXIT STATUS", rows: rows.to_vec() };
    chat_manual::page(Cli::command(), EXAMPLES, &[codes], output)
}

/// Reads `5s`, `500ms` or a bare number of seconds.
pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    let (digits, to_time): (_, fn(u64) -> Duration) = if let Some(digits) = text.strip_suffix("ms")
    {
        (digits, Duration::from_millis)
    } else {
        (text.strip_suffix('s').unwrap_or(text), Duration::from_secs)
    };
    digits.parse().map(to_time).map_err(|_| format!("expected a time as 5s or 500ms, got {text:?}"))
}

/// Reads `90d` and the like into milliseconds; `off` is 0.
pub(super) fn parse_retention(text: &str) -> Result<u64, String> {
    retention::parse(text).map_err(|error| error.to_string())
}

/// Units of sizes, and their bytes.
pub(super) const SIZES: [(&str, u64); 4] =
    [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// Reads `2GiB`, `500MiB`, `64KiB` or a bare number of bytes.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let with_unit = |(unit, bytes): (&str, u64)| Some((text.strip_suffix(unit)?, bytes));
    let (digits, unit) = SIZES.into_iter().find_map(with_unit).unwrap_or((text, 1));
    let size: Option<u64> = digits.parse().ok().and_then(|number: u64| number.checked_mul(unit));
    size.ok_or_else(|| format!("expected a size as 500MiB or 2GiB, got {text:?}"))
}
