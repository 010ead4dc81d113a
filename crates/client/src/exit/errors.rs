//! How the program ends because of an error of what it is made of.

use chat_device::client::{RenewError, Stopped};
use chat_device::connection::ConnectError;
use chat_device::sign_in::StartError;
use chat_files::transfer::TransferError;
use chat_protocol::code;

use super::ExitStatus;

/// An error that ends the program.
pub trait HasExit {
    /// With which exit code.
    fn exit_status(&self) -> ExitStatus;
}

impl HasExit for ConnectError {
    fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Home(_) => ExitStatus::Storage,
            Self::TlsSetup { .. } => ExitStatus::Failure,
            Self::Refused { code, .. } => match code.as_str() {
                code::NAME_TAKEN | code::NAME_IN_USE => ExitStatus::NameTaken,
                code::SIGN_IN
                | code::NO_SUCH_USER
                | code::TOO_MANY
                | code::INVITE
                | code::REVOKED
                | code::OLD_KEYS
                | code::BARRED => ExitStatus::SignInRefused,
                code::STORAGE_FULL => ExitStatus::Storage,
                _ => ExitStatus::Refused,
            },
            _ if self.is_integrity() => ExitStatus::Integrity,
            _ => ExitStatus::CannotConnect,
        }
    }
}

impl HasExit for StartError {
    fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Connect(error) => error.exit_status(),
            Self::HomeInUse { .. } => ExitStatus::NameTaken,
            Self::Home(_) | Self::KeyFile(_) | Self::NoDatabase => ExitStatus::Storage,
            Self::Vault(_)
            | Self::NotRegistered { .. }
            | Self::Declined
            | Self::NoHome { .. }
            | Self::OldCopy { .. }
            | Self::Code { .. }
            | Self::Clear => ExitStatus::SignInRefused,
            Self::FalseVault
            | Self::OldVault { .. }
            | Self::OtherIdentity
            | Self::NotAccepted { .. } => ExitStatus::Integrity,
            Self::NoPassword
            | Self::WeakPassword(_)
            | Self::OtherName { .. }
            | Self::NotTypedAgain { .. }
            | Self::NotNew => ExitStatus::Usage,
            Self::Renew(RenewError::TooOld) => ExitStatus::Refused,
            Self::Renew(_) => ExitStatus::CannotConnect,
            Self::NotAnswered => ExitStatus::Interrupted,
            Self::Unsent { .. } | Self::Key(_) | Self::Bundle(_) | Self::Internal(_) => {
                ExitStatus::Failure
            }
        }
    }
}

impl HasExit for Stopped {
    fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Connection(error) => error.exit_status(),
            Self::Home(_) => ExitStatus::Storage,
            Self::Counters => ExitStatus::Integrity,
            Self::Internal(_) => ExitStatus::Failure,
        }
    }
}

impl HasExit for TransferError {
    fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Offline => ExitStatus::CannotConnect,
            Self::NoAnswer | Self::OwnerSilent { .. } => ExitStatus::TimedOut,
            Self::Refused { .. } | Self::OwnerRefuses { .. } | Self::OwnerAway { .. } => {
                ExitStatus::Refused
            }
            Self::TooManyWords | Self::Catalogue(_) => ExitStatus::Usage,
            Self::File(_) => ExitStatus::Integrity,
            Self::Part(_) | Self::Home(_) | Self::Folder(_) => ExitStatus::Storage,
            Self::Connect(error) => error.exit_status(),
            Self::Source(_)
            | Self::Named { .. }
            | Self::Share(_)
            | Self::Name(_)
            | Self::NotShared { .. }
            | Self::NameInFolder { .. }
            | Self::Changed { .. }
            | Self::Ended { .. }
            | Self::BrokenOff { .. }
            | Self::Internal(_) => ExitStatus::Failure,
        }
    }
}
