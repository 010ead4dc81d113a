//! The commands about keys and devices.

use chat_protocol::name::SERVER;
use clap::Subcommand;

use super::{ConfigError, user};
use chat_device::identity::{IdentityCommand, Kind};

/// The commands about keys and devices, as clap reads them.
#[derive(Debug, Subcommand)]
pub enum IdentityVerb {
    /// Compare keys with somebody: twelve words, the same on both screens. Without a name, with
    /// `server` or with a bare `--server`: the words of the server's key and its certificate, as it
    /// says them at its start
    Verify {
        /// With whom
        #[arg(default_value = SERVER)]
        name: String,
        /// The six words that they read, or `yes`; asked for at a terminal
        words: Vec<String>,
        /// Show digits, too
        #[arg(long)]
        digits: bool,
    },
    /// Take another key for somebody than the known one, after comparing its words
    Trust {
        /// Whose key
        name: String,
        /// The six words of the other key; asked for at a terminal
        #[arg(long)]
        words: Option<String>,
    },
    /// Keep the known key of somebody and refuse the other one from now on
    Distrust {
        /// Whose key
        name: String,
        /// The six words of the other key; asked for at a terminal
        #[arg(long)]
        words: Option<String>,
    },
    /// Show devices, or shut one of mine out
    #[command(args_conflicts_with_subcommands = true)]
    Devices {
        /// Whose; mine if absent
        name: Option<String>,
        /// What to do
        #[command(subcommand)]
        action: Option<DevicesVerb>,
    },
    /// The keys of this device
    Key {
        /// What to do
        #[command(subcommand)]
        action: KeyVerb,
    },
}

/// What to do about devices.
#[derive(Debug, Subcommand)]
pub enum DevicesVerb {
    /// Shut a device of mine out: it reads and says nothing any more
    Revoke {
        /// Its number in the list
        number: usize,
    },
}

/// What to do about the keys of this device.
#[derive(Debug, Subcommand)]
pub enum KeyVerb {
    /// Replace the signing and the encryption key
    Rotate,
}

impl IdentityVerb {
    /// What a command asks for.
    pub(super) fn read(self) -> Result<IdentityCommand, ConfigError> {
        let decide = |kind: Kind, name: &str, words, digits| {
            let user = user(kind.verb(), name)?;
            Ok(IdentityCommand::Decide { kind, user, words, digits })
        };
        match self {
            Self::Verify { name, words, digits } => {
                let words = (!words.is_empty()).then(|| words.join(" "));
                decide(Kind::Verify, &name, words, digits)
            }
            Self::Trust { name, words } => decide(Kind::Trust, &name, words, false),
            Self::Distrust { name, words } => decide(Kind::Distrust, &name, words, false),
            Self::Devices { action: Some(DevicesVerb::Revoke { number }), .. } => {
                Ok(IdentityCommand::Revoke { number })
            }
            Self::Devices { name, action: None } => {
                let named = name.as_deref().map(|name| user("devices", name));
                Ok(IdentityCommand::Devices { user: named.transpose()? })
            }
            Self::Key { action: KeyVerb::Rotate } => Ok(IdentityCommand::Rotate),
        }
    }
}
