//! What all servers of one log are told alike: how much one account may use, who may make one, and what is kept for
//! how long. A server that is told otherwise does not start.

use std::collections::BTreeMap;

use super::ClusterError;
use crate::{
    budgets::TABLE,
    config::{self, Config, Sharing},
    order::redis::{Host, Place},
};

/// Keys of the configuration that are the same on all servers, beside bans and budgets.
const SHARED: [&str; 9] = [
    "copies_days",
    "copies_quota",
    // Any server trims the log for all of them.
    "log_keep",
    "log_max",
    "mailbox_bytes",
    "mailbox_messages",
    "registration",
    "retention",
    "verify",
];

/// Settings by their names.
pub(crate) type Settings = BTreeMap<String, String>;

/// Those of a configuration that are the same on all servers.
pub(crate) fn of(config: &Config) -> Settings {
    let values = config::values(config).into_iter();
    let mut settings: Settings = values
        .filter(|(key, _)| SHARED.contains(key))
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    let mut bans: Vec<String> = config.bans.iter().map(ToString::to_string).collect();
    bans.sort();
    settings.insert("bans".to_owned(), bans.join(","));
    for row in TABLE {
        let amount = config.limits.amount(row.budget);
        let amount = amount.map_or_else(|| "off".to_owned(), |amount| amount.to_string());
        settings.insert(format!("limit {}", row.name), amount);
    }
    settings
}

/// What is set otherwise, in words; nothing where all is alike. A name that one side does not know is one of another
/// release.
pub(crate) fn differences(theirs: &Settings, own: &Settings) -> Option<String> {
    let unknown = "unknown".to_owned();
    let names: std::collections::BTreeSet<&String> = theirs.keys().chain(own.keys()).collect();
    let different = names.into_iter().filter_map(|name| {
        let (theirs, own) = (theirs.get(name), own.get(name));
        (theirs != own).then(|| {
            let (theirs, own) = (theirs.unwrap_or(&unknown), own.unwrap_or(&unknown));
            format!("{name} is {theirs} there and {own} here")
        })
    });
    let different: Vec<String> = different.collect();
    (!different.is_empty()).then(|| different.join("; "))
}

/// What a server does about what is the same for all as soon as it has its name, and no earlier: another one of this name
/// may run.
pub(super) struct Settling {
    /// What they were when they were compared, sealed.
    pub(super) found: Vec<u8>,
    /// What they become, sealed, and what is then otherwise.
    pub(super) change: Option<(Vec<u8>, String)>,
    /// Who answers to `server`, if this one does so from now on.
    pub(super) host: Option<String>,
}

impl Settling {
    /// Does it.
    pub(super) async fn settle(
        self,
        (place, sharing, node): (&Place, &Sharing, u32),
    ) -> Result<(), ClusterError> {
        let Self { found, change, host } = self;
        let at = (place, sharing, node);
        match change {
            Some(change) => replace(at, change).await?,
            None => are_as_found(at, &found).await?,
        }
        match host {
            Some(host) => take_over(at, host).await,
            None => Ok(()),
        }
    }
}

/// Where the log lies, and which server this is.
type At<'a> = (&'a Place, &'a Sharing, u32);

async fn replace(
    (place, sharing, node): At<'_>,
    (sealed, differences): (Vec<u8>, String),
) -> Result<(), ClusterError> {
    let changed = place.change_settings(node, &sealed).await;
    if !changed.map_err(|source| super::unjoined(sharing, source))? {
        return Err(ClusterError::OthersRun { cluster: sharing.cluster.to_string() });
    }
    tracing::warn!(%differences, "the servers are set otherwise from now on");
    Ok(())
}

async fn are_as_found((place, sharing, _): At<'_>, found: &[u8]) -> Result<(), ClusterError> {
    let now = place.about().await.map_err(|source| super::unjoined(sharing, source))?;
    if now.is_some_and(|about| about.settings != found) {
        let differences = "they were changed a moment ago; start this one again".to_owned();
        let cluster = sharing.cluster.to_string();
        return Err(ClusterError::Settings { cluster, differences });
    }
    Ok(())
}

async fn take_over((place, sharing, node): At<'_>, host: String) -> Result<(), ClusterError> {
    let own = (node, sharing.node.as_str());
    let changed = place.change_host(own, super::number(&host)).await;
    match changed.map_err(|source| super::unjoined(sharing, source))? {
        Host::Changed => {}
        Host::Runs => return Err(ClusterError::HostRuns { host }),
        Host::MayGoOn => return Err(ClusterError::HostMayGoOn { host }),
    }
    tracing::warn!(before = host, "commands to server run here from now on");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        config::{AckLevel, LOG_KEEP_DEFAULT},
        store::Registration,
    };

    /// Goal: no server empties the log for the others by an option of its own. Before, the smallest `--log-keep` counted
    /// for all, and nobody was told.
    #[test]
    fn how_much_of_the_log_stays_is_the_same_for_all() {
        let sharing = |log_keep: u64, log_max: Option<u64>| {
            let sharing = Sharing {
                redis: "redis://db:6379".parse().unwrap(),
                node: "n1".parse().unwrap(),
                cluster: "chat".parse().unwrap(),
                key: "cluster.key".into(),
                is_new: false,
                changes_settings: false,
                salvage: None,
                log_keep,
                log_max,
                becomes_host: false,
                ack: AckLevel::Disk,
            };
            let config = Config::local(Path::new("d"), Path::new("l"));
            of(&Config { sharing: Some(sharing), ..config })
        };
        let theirs = sharing(LOG_KEEP_DEFAULT, None);
        assert_eq!(differences(&theirs, &sharing(LOG_KEEP_DEFAULT, None)), None);
        for (own, part) in [
            (sharing(8 << 10, None), "log_keep is"),
            (sharing(LOG_KEEP_DEFAULT, Some(1 << 20)), "log_max is - there"),
        ] {
            let said = differences(&theirs, &own).unwrap();
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn what_is_set_otherwise_is_named_with_both_values() {
        let config = Config::local(Path::new("d"), Path::new("l"));
        let own = of(&config);
        assert_eq!(differences(&own, &own), None);
        let mut other = Config { registration: Registration::Invite, ..config.clone() };
        other.limits.set("messages=5/s+10").unwrap();
        other.bans = vec!["mallory".parse().unwrap()];
        let said = differences(&of(&other), &own).unwrap();
        for part in [
            "registration is invite there and open here",
            "limit messages is",
            "bans is mallory there",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let elsewhere = Config { data: "other".into(), ..config };
        assert_eq!(differences(&of(&elsewhere), &own), None, "folders are of each server");
    }
}
