//! What a server says of itself at its start: what people ask first, a line each.

use std::{net::SocketAddr, path::Path};

use crate::{
    budgets::Limits,
    config::{Config, Sharing, Tls},
    store::Registration,
    tls::Fingerprint,
};

/// Where people connect to.
pub(crate) fn address(certificate: Option<&Fingerprint>, address: SocketAddr) -> String {
    format!("{}://{address}", if certificate.is_some() { "wss" } else { "ws" })
}

/// The lines behind the one that names the address. `words` are those of the key.
pub(crate) fn lines(
    config: &Config,
    at: SocketAddr,
    certificate: Option<&Fingerprint>,
    words: &str,
) -> Vec<String> {
    let version = env!("CARGO_PKG_VERSION");
    let http = if certificate.is_some() { "https" } else { "http" };
    let (chat, data, logs) =
        (address(certificate, at), config.data.display(), config.logs.display());
    let certificate = match (certificate, &config.tls) {
        (None, _) if at.ip().is_loopback() => "no TLS: for this machine only".to_owned(),
        (None, _) => "no TLS: for this machine, or a proxy that has TLS".to_owned(),
        (Some(certificate), Tls::Auto) => {
            format!("certificate: {certificate}, made by this server")
        }
        (Some(certificate), _) => format!("certificate: {certificate}"),
    };
    let pages = config.www.as_deref().map(|www| format!("; pages of {}", www.display()));
    let metrics = config.metrics_address.map(|own| format!("; metrics on http://{own}/metrics"));
    let mut lines = vec![
        format!("chat-server {version}"),
        format!(
            "clients: {chat}; browsers and probes: {http}://{at}{}{}",
            pages.unwrap_or_default(),
            metrics.unwrap_or_default()
        ),
        format!("data: {data}; logs: {logs}"),
        format!("words: {words}"),
        certificate,
        format!("commands on this machine: {}", policy(config.policy.as_deref())),
        registration(config),
        limits(&config.limits),
    ];
    lines.extend(config.sharing.as_ref().map(sharing));
    lines
}

fn sharing(sharing: &Sharing) -> String {
    let Sharing { redis, node, cluster, key, ack, .. } = sharing;
    format!(
        "{node} of the servers {cluster}: their log is in {redis}, their key in {}; an ACK promises at least: {ack}",
        key.display()
    )
}

fn policy(file: Option<&Path>) -> String {
    let built_in = || "the built-in list of harmless programs".to_owned();
    file.map_or_else(built_in, |file| format!("by the policy {}", file.display()))
}

fn registration(config: &Config) -> String {
    let data = config.data.display();
    match config.registration {
        Registration::Open => "new accounts: anybody (--registration open)".to_owned(),
        Registration::Invite => {
            format!("new accounts need a code; make one: chat-server invite --data {data}")
        }
        Registration::Closed => "new accounts: none (--registration closed)".to_owned(),
    }
}

fn limits(limits: &Limits) -> String {
    let state = match () {
        () if *limits == Limits::default() => "the defaults",
        () if *limits == Limits::off() => "OFF: any one account can stop the others",
        () => "changed",
    };
    format!("budgets of accounts: {state}; chat-server config lists them")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::{config::Cli, tls::CertificateFiles};

    fn said(config: &Config, certificate: Option<&Fingerprint>) -> String {
        let at = SocketAddr::from(([127, 0, 0, 1], 9000));
        lines(config, at, certificate, "six words").join("\n")
    }

    #[test]
    fn each_thing_that_people_ask_first_has_its_words() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().to_str().unwrap();
        let cli = Cli::parse_from(["chat-server", "--data", data]);
        let mut config = Config::resolve(&cli.options).unwrap();
        let open = said(&config, None);
        for part in [
            env!("CARGO_PKG_VERSION"),
            "ws://127.0.0.1:9000; browsers and probes: http://127.0.0.1:9000",
            &folder.path().display().to_string(),
            "words: six words",
            "no TLS",
            "built-in list",
            "anybody",
            "the defaults",
        ] {
            assert!(open.contains(part), "{part} in {open}");
        }
        let words = ["chat-server", "--redis", "redis://:s3cret@db:6379", "--node", "n1"];
        let several = Config::resolve(&Cli::parse_from(words).options).unwrap();
        let several = said(&several, None);
        assert!(
            several.contains("n1 of the servers chat: their log is in redis://db:6379,"),
            "{several}"
        );
        assert!(
            several.contains("their key in cluster.key; an ACK promises at least: disk"),
            "{several}"
        );
        config.registration = Registration::Invite;
        config.limits = Limits::off();
        config.policy = Some("p.toml".into());
        config.metrics_address = Some(SocketAddr::from(([127, 0, 0, 1], 9100)));
        let names = ["localhost".to_owned()];
        let files = CertificateFiles::make(&folder.path().join("tls"), &names).unwrap();
        let certificate = files.fingerprint().unwrap();
        let other = said(&config, Some(&certificate));
        for part in [
            "wss://127.0.0.1:9000",
            "https://127.0.0.1:9000",
            "http://127.0.0.1:9100/metrics",
            &format!("certificate: {certificate}"),
            "by the policy p.toml",
            "chat-server invite --data",
            "OFF",
        ] {
            assert!(other.contains(part), "{part} in {other}");
        }
    }
}
