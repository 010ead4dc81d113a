//! What `config show` prints: every value that applies, and where it comes from.

use std::{fmt, path::PathBuf, time::Duration};

use chat_protocol::retention;
use clap::{ArgMatches, parser::ValueSource};

use super::{
    Config, ConfigError, FileOptions, LogFormat, Options, Sharing, Tls, Verify, arguments::SIZES,
    merge,
};
use crate::{
    budgets::{Limits, TABLE},
    store::Registration,
};

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

fn list(addresses: &[std::net::IpAddr]) -> String {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    if addresses.is_empty() { "-".to_owned() } else { addresses.join(",") }
}

/// What applies and where each value comes from, for `config show`. `matches` are those of the
/// `config` subcommand.
pub fn show(options: &Options, matches: &ArgMatches) -> Result<String, ConfigError> {
    let file = FileOptions::read(options.config.as_deref())?;
    let in_file = file.keys();
    let bans = file.bans.clone().unwrap_or_default();
    let config = Config::validate(merge(options.clone(), file), bans)?;
    // What only a file can say is no argument.
    let of_argument =
        |key: &str| matches.ids().any(|id| id == key).then(|| matches.value_source(key));
    let source = |key: &'static str| match of_argument(key).flatten() {
        Some(ValueSource::CommandLine) => "flag",
        Some(ValueSource::EnvVariable) => "environment",
        _ if in_file.contains(&key) => "file",
        _ => "default",
    };
    let shown = |(key, value)| Shown { key, value, source: source(key) }.to_string();
    let lines: String = values(&config).into_iter().map(shown).collect();
    let defaults = Limits::default();
    let budgets = TABLE.iter().map(|row| {
        let amount = config.limits.amount(row.budget);
        let is_default = amount == defaults.amount(row.budget);
        let amount = amount.map_or_else(|| "off".to_owned(), |amount| amount.to_string());
        let source = if is_default { "default" } else { "limits" };
        let (name, per, answer, why) = (row.name, row.per, row.answer, row.why);
        format!("  {name:<18} {amount:<14} per {per}; beyond it: {answer}; {why}; {source}\n")
    });
    Ok(format!("{lines}budgets (--limit NAME=AMOUNT):\n{}", budgets.collect::<String>()))
}

/// A time as it is written: in seconds where those are whole.
fn time(time: Duration) -> String {
    if time.subsec_nanos() == 0 {
        return format!("{}s", time.as_secs());
    }
    format!("{}ms", time.as_millis())
}

/// A size as it is written: in the largest unit of which it is a whole number.
fn size(bytes: u64) -> String {
    let of_unit = |&(unit, size): &(&'static str, u64)| Some((unit, whole(bytes, size)?));
    let written = SIZES.iter().rev().find_map(of_unit);
    written.map_or_else(|| bytes.to_string(), |(unit, count)| format!("{count}{unit}"))
}

/// How often a unit fits without a rest; nothing where it does not.
fn whole(bytes: u64, unit: u64) -> Option<u64> {
    let is_whole = bytes > 0 && bytes.checked_rem(unit) == Some(0);
    bytes.checked_div(unit).filter(|_| is_whole)
}

fn of_sharing(config: &Config, value: impl FnOnce(&Sharing) -> String) -> String {
    config.sharing.as_ref().map_or("-".to_owned(), value)
}

/// Every value that applies, by its key.
pub(crate) fn values(config: &Config) -> Vec<(&'static str, String)> {
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
    let registration = match config.registration {
        Registration::Open => "open",
        Registration::Invite => "invite",
        Registration::Closed => "closed",
    };
    vec![
        ("port", config.address.port().to_string()),
        ("bind", config.address.ip().to_string()),
        ("metrics_bind", config.metrics_address.map_or("-".to_owned(), |a| a.to_string())),
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
        ("redis", of_sharing(config, |sharing| sharing.redis.to_string())),
        ("node", of_sharing(config, |sharing| sharing.node.to_string())),
        ("cluster", of_sharing(config, |sharing| sharing.cluster.to_string())),
        ("cluster_key", of_sharing(config, |sharing| sharing.key.display().to_string())),
        ("redis_ack", of_sharing(config, |sharing| sharing.ack.to_string())),
        ("log_keep", of_sharing(config, |sharing| size(sharing.log_keep))),
        ("log_max", of_sharing(config, |sharing| sharing.log_max.map_or("-".to_owned(), size))),
        ("drain_timeout", time(config.drain_time_max)),
        ("mailbox_messages", config.mailbox.messages_max.to_string()),
        ("mailbox_bytes", config.mailbox.bytes_max.to_string()),
        ("retention", retention::format(config.retention_ms)),
        ("registration", registration.to_owned()),
        ("bans", config.bans.len().to_string()),
        ("limits", if config.limits == Limits::off() { "off" } else { "on" }.to_owned()),
        ("trusted_proxy", list(&config.trusted_proxies)),
        ("copies_quota", size(config.copies.quota)),
        ("copies_days", (config.copies.time_max.as_secs() / (24 * 60 * 60)).to_string()),
    ]
}
