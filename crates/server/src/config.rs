//! The command line of `chat-server`, its configuration file, and the [`Config`] they become.
//!
//! Each value comes from the first of: flag, environment, file, default. After [`Config`] is made
//! nobody looks at strings again.

mod address;
mod arguments;
mod cluster;
mod examples;
mod file;
mod sharing;
mod show;
mod words;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use chat_protocol::keys::KeySizes;
use thiserror::Error;

use crate::{
    budgets::{CopyLimits, LimitError, Limits, MailboxLimits},
    limits::{
        COPIES_DAYS_DEFAULT, COPIES_QUOTA_DEFAULT, DRAIN_TIME_DEFAULT, MAILBOX_BYTES_MAX,
        MAILBOX_MESSAGES_MAX,
    },
    store::{Banned, Registration},
};

pub use arguments::{
    Action, Cli, ConfigView, LogFormat, Options, Switch, TlsMode, Verify, write_man,
};
pub use cluster::{ClusterCommand, ClusterWhere};
pub use file::FileError;
use file::FileOptions;
pub use sharing::{AckLevel, LOG_KEEP_DEFAULT, LeaveAt, Leaving, NodeName, RedisUrl, Sharing};
pub use show::show;
pub(crate) use show::values;
pub use words::{command, read};

/// Where clients look when they are told nothing.
const PORT_DEFAULT: u16 = 9_000;

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
    /// Where `/metrics` is answered, if not on the same port.
    pub metrics_address: Option<SocketAddr>,
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
    /// How much one account or address may use.
    pub limits: Limits,
    /// Proxies whose word about addresses is believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// How long messages of rooms are kept where the room says nothing, in milliseconds; 0 for ever.
    pub retention_ms: u64,
    /// Who may make an account.
    pub registration: Registration,
    /// Whom the configuration keeps out, beside the ban list.
    pub bans: Vec<Banned>,
    /// How much of copies of files one person may leave, and for how long.
    pub copies: CopyLimits,
    /// Sizes of the hub's own keys, when they are made.
    pub key_sizes: KeySizes,
    /// Most pages of the database; `None` leaves it to the disk. For tests of a full disk.
    pub database_pages_max: Option<u32>,
    /// The program that commands are run by; without it the hub runs none.
    pub helper: Option<PathBuf>,
    /// The servers with which it shares a log, if it does.
    pub sharing: Option<Sharing>,
    /// It was one of several, and is alone from now on.
    pub leaving: Option<Leaving>,
    /// What was said when the program was started, to read the rest again by.
    pub said: Option<Box<Options>>,
}

/// Why the options make no configuration. All of them are usage errors (exit code 2).
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The configuration file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A budget.
    #[error("--limit: {0}")]
    Limit(#[from] LimitError),
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
    /// Half of what makes a server one of several.
    #[error(
        "{given} without {missing}: several servers share a log in Redis, and each has a name; {hint}"
    )]
    HalfSharing {
        /// What was given.
        given: &'static str,
        /// What goes with it.
        missing: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// It is said twice, and differently, what it has to have.
    #[error(
        "--leave-cluster={turn} is without Redis: leave out --redis and --node, or the turn; then it reads what the other \
         servers have written"
    )]
    LeavesTwice {
        /// The turn that was given.
        turn: u64,
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
    /// The defaults with these folders, on a free port of this machine, and without budgets: for programs
    /// that run the server inside of themselves.
    pub fn local(data: &Path, logs: &Path) -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            metrics_address: None,
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
            limits: Limits::off(),
            trusted_proxies: Vec::new(),
            retention_ms: 0,
            registration: Registration::Open,
            bans: Vec::new(),
            copies: CopyLimits::default(),
            key_sizes: KeySizes::PEOPLE,
            database_pages_max: None,
            helper: None,
            sharing: None,
            leaving: None,
            said: None,
        }
    }

    /// Reads the configuration file, if one is named, and checks everything together.
    pub fn resolve(options: &Options) -> Result<Self, ConfigError> {
        let file = FileOptions::read(options.config.as_deref())?;
        let bans = file.bans.clone().unwrap_or_default();
        let config = Self::validate(merge(options.clone(), file), bans)?;
        Ok(Self { said: Some(Box::new(options.clone())), ..config })
    }

    fn validate(options: Options, bans: Vec<Banned>) -> Result<Self, ConfigError> {
        let bind = options.bind.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let tls = tls(&options)?;
        let limits = limits(&options)?;
        let data = options.data.clone().unwrap_or_else(|| "data".into());
        let sharing = sharing(&options, &data)?;
        let (sharing, leaving) = leaving(options.leave_cluster, sharing)?;
        let is_exposed = !bind.to_canonical().is_loopback();
        let is_plaintext_exposed = tls == Tls::Off && is_exposed;
        if is_plaintext_exposed && options.insecure_plaintext != Some(true) {
            return Err(ConfigError::ExposedPlaintext { bind });
        }
        Ok(Self {
            address: SocketAddr::new(bind, options.port.unwrap_or(PORT_DEFAULT)),
            metrics_address: options.metrics_bind,
            data,
            logs: options.logs.unwrap_or_else(|| logs_default(sharing.as_ref())),
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
            limits,
            trusted_proxies: options.trusted_proxy,
            retention_ms: options.retention.unwrap_or(0),
            registration: options.registration.unwrap_or(if is_exposed {
                Registration::Invite
            } else {
                Registration::Open
            }),
            bans,
            copies: CopyLimits::new(
                options.copies_quota.unwrap_or(COPIES_QUOTA_DEFAULT),
                options.copies_days.unwrap_or(COPIES_DAYS_DEFAULT),
            ),
            key_sizes: KeySizes::PEOPLE,
            database_pages_max: None,
            helper: None,
            sharing,
            leaving,
            said: None,
        })
    }
}

fn limits(options: &Options) -> Result<Limits, LimitError> {
    let mut limits = match options.limits {
        Some(Switch::Off) => Limits::off(),
        Some(Switch::On) | None => Limits::default(),
    };
    options.limit.iter().try_for_each(|set| limits.set(set))?;
    Ok(limits)
}

/// Several servers of one folder have logs of their own.
fn logs_default(sharing: Option<&Sharing>) -> PathBuf {
    let logs = PathBuf::from("logs");
    sharing.map_or_else(|| logs.clone(), |sharing| logs.join(sharing.node.as_str()))
}

fn sharing(options: &Options, data: &Path) -> Result<Option<Sharing>, ConfigError> {
    let half = |given, missing, hint| Err(ConfigError::HalfSharing { given, missing, hint });
    let others = [
        ("--cluster", options.cluster.is_some()),
        ("--cluster-key", options.cluster_key.is_some()),
        ("--new-cluster", options.new_cluster),
        ("--change-settings", options.change_settings),
        ("--host-agent", options.host_agent),
        ("--redis-ack", options.redis_ack.is_some()),
        ("--log-keep", options.log_keep.is_some()),
        ("--log-max", options.log_max.is_some()),
        ("--salvage", options.salvage.is_some()),
    ];
    match (&options.redis, &options.node) {
        (Some(redis), Some(node)) => {
            let beside = data.parent().unwrap_or(Path::new("")).join("cluster.key");
            Ok(Some(Sharing {
                redis: redis.clone(),
                node: node.clone(),
                cluster: options.cluster.clone().unwrap_or_else(NodeName::chat),
                key: options.cluster_key.clone().unwrap_or(beside),
                is_new: options.new_cluster,
                changes_settings: options.change_settings,
                becomes_host: options.host_agent,
                ack: options.redis_ack.unwrap_or(AckLevel::Disk),
                log_keep: options.log_keep.unwrap_or(LOG_KEEP_DEFAULT),
                log_max: options.log_max,
                salvage: options.salvage.clone(),
            }))
        }
        (Some(_), None) => half("--redis", "--node", "add --node n1, with another name for each"),
        (None, Some(_)) => half("--node", "--redis", "add --redis redis://127.0.0.1:6379"),
        (None, None) => match others
            .into_iter()
            .find_map(|(flag, is_given)| is_given.then_some(flag))
        {
            Some(flag) => half(flag, "--redis", "add --redis redis://127.0.0.1:6379 and --node n1"),
            None => Ok(None),
        },
    }
}

/// A server that leaves the others is alone in everything else.
fn leaving(
    asked: Option<LeaveAt>,
    sharing: Option<Sharing>,
) -> Result<(Option<Sharing>, Option<Leaving>), ConfigError> {
    match (asked, sharing) {
        (None, sharing) => Ok((sharing, None)),
        (Some(LeaveAt::End), Some(sharing)) => {
            Ok((None, Some(Leaving::ReadingOn(Box::new(sharing)))))
        }
        (Some(LeaveAt::Turn(turn)), None) => Ok((None, Some(Leaving::AtTurn(turn)))),
        // One that has left them already needs nothing more.
        (Some(LeaveAt::End), None) => Ok((None, Some(Leaving::HasLeft))),
        (Some(LeaveAt::Turn(turn)), Some(_)) => Err(ConfigError::LeavesTwice { turn }),
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
        bind: given.bind.or(file.bind.map(|address| address.0)),
        metrics_bind: given.metrics_bind.or(file.metrics_bind.map(|address| address.0)),
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
        redis: given.redis.or(file.redis),
        node: given.node.or(file.node),
        cluster: given.cluster.or(file.cluster),
        cluster_key: given.cluster_key.or(file.cluster_key),
        new_cluster: given.new_cluster,
        change_settings: given.change_settings,
        host_agent: given.host_agent,
        redis_ack: given.redis_ack.or(file.redis_ack),
        log_keep: given.log_keep.or(file.log_keep.map(|size| size.0)),
        log_max: given.log_max.or(file.log_max.map(|size| size.0)),
        leave_cluster: given.leave_cluster,
        salvage: given.salvage,
        drain_timeout: given.drain_timeout.or(file.drain_timeout.map(|time| time.0)),
        mailbox_messages: given.mailbox_messages.or(file.mailbox_messages),
        mailbox_bytes: given.mailbox_bytes.or(file.mailbox_bytes),
        registration: given.registration.or(file.registration),
        retention: given.retention.or(file.retention.map(|time| time.0)),
        copies_quota: given.copies_quota.or(file.copies_quota.map(|size| size.0)),
        copies_days: given.copies_days.or(file.copies_days),
        limits: given.limits.or(file.limits),
        // Those of the command line come last and win.
        limit: file.limit.into_iter().chain(given.limit).collect(),
        trusted_proxy: if given.trusted_proxy.is_empty() {
            file.trusted_proxy.into_iter().map(|address| address.0).collect()
        } else {
            given.trusted_proxy
        },
    }
}

/// A configuration file that says what is the case without one.
pub const DEFAULT_FILE: &str = include_str!("config/default.toml");

#[cfg(test)]
mod tests;
