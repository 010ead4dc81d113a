//! What all servers of one log are told alike: how much one account may use, who may make one, and what is kept for
//! how long. A server that is told otherwise does not start.

use std::collections::BTreeMap;

use super::ClusterError;
use crate::{
    budgets::TABLE,
    config::{self, Config, Sharing},
    order::redis::{Place, PlaceError},
};

/// Keys of the configuration that are the same on all servers, beside bans and budgets.
const SHARED: [&str; 7] = [
    "copies_days",
    "copies_quota",
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

/// What a server does about the settings of all as soon as it has its name, and no earlier: another one of this name
/// may run.
pub(super) struct Settling {
    /// What they were when they were compared, sealed.
    pub(super) found: Vec<u8>,
    /// What they become, sealed, and what is then otherwise.
    pub(super) change: Option<(Vec<u8>, String)>,
}

impl Settling {
    /// Changes them, or looks whether somebody else has meanwhile.
    pub(super) async fn settle(
        self,
        (place, sharing, node): (&Place, &Sharing, u32),
    ) -> Result<(), ClusterError> {
        let failed = |source: PlaceError| super::unjoined(sharing, source);
        let cluster = || sharing.cluster.to_string();
        if let Some((sealed, differences)) = self.change {
            if !place.change_settings(node, &sealed).await.map_err(failed)? {
                return Err(ClusterError::OthersRun { cluster: cluster() });
            }
            tracing::warn!(%differences, "the servers are set otherwise from now on");
            return Ok(());
        }
        let now = place.about().await.map_err(failed)?;
        if now.is_some_and(|about| about.settings != self.found) {
            let differences = "they were changed a moment ago; start this one again".to_owned();
            return Err(ClusterError::Settings { cluster: cluster(), differences });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::Registration;

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
