//! Deciding about keys and devices: what the line mode and the commands of scripts share.

use chat_endpoint::{DeviceState, Introduction, KnownDevice, Standing};
use chat_protocol::name::UserName;
use chat_protocol::spoken::{deleted, nobody};
use thiserror::Error;

use crate::client::{Client, DecideError, Decision, RenewError};
use crate::own_device::{KeyChange, REVOKED_KEYS_MAX};

/// What is decided about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The known one was compared.
    Verify,
    /// Another one takes its place.
    Trust,
    /// Another one is refused.
    Distrust,
}

/// What is done about keys and devices, by a subcommand or a slash command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityCommand {
    /// Decide about somebody's key.
    Decide {
        /// Verify, trust or distrust.
        kind: Kind,
        /// The owner of the key.
        user: UserName,
        /// The words that the other has read out, or `yes`; asked for when absent.
        words: Option<String>,
        /// Show digits beside the words.
        digits: bool,
    },
    /// Show the devices of an account.
    Devices {
        /// The account; mine when absent.
        user: Option<UserName>,
    },
    /// Shut a device of mine out.
    Revoke {
        /// Its number in the list.
        number: usize,
    },
    /// New keys for this device.
    Rotate,
}

impl Kind {
    /// The command's name.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Trust => "trust",
            Self::Distrust => "distrust",
        }
    }

    /// What a person is asked.
    pub fn prompt(self, user: &UserName) -> String {
        match self {
            Self::Verify => {
                format!("Do the words agree? Type yes, or the six words that {user} reads: ")
            }
            Self::Trust => format!(
                "Take the other key for {user}? Type yes, or the six words that {user} reads: "
            ),
            Self::Distrust => format!("Refuse the other key of {user} from now on? Type yes: "),
        }
    }
}

/// Keys as they are shown, and what is asked about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What is asked.
    pub kind: Kind,
    /// The owner of the keys.
    pub user: UserName,
    /// The keys.
    pub known: Introduction,
    /// Show digits, too.
    pub digits: bool,
    /// The server says that the account was deleted.
    pub is_deleted: bool,
}

/// Why a key or a device was not decided on.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// One's own name.
    #[error("{0} is you")]
    Myself(UserName),
    /// No keys.
    #[error("{}", nobody(.0))]
    Unknown(UserName),
    /// No keys any more.
    #[error("{}", deleted(.0))]
    Deleted(UserName),
    /// Nothing to choose between.
    #[error("no other key was offered for {0}; there is nothing to decide")]
    NothingNew(UserName),
    /// A known key cannot be verified while another is offered.
    #[error("the server offers another key for {0}")]
    InQuestion(UserName),
    /// Other words.
    #[error("these are not the words of that key of {0}; nothing is changed")]
    Words(UserName),
    /// It does not fit what is known now.
    #[error(transparent)]
    Decide(#[from] DecideError),
    /// No such device.
    #[error("there is no device {0} in the list")]
    NoDevice(usize),
    /// The device itself.
    #[error("device {0} is this one; another device of yours can revoke it")]
    ThisDevice(usize),
    /// It was done before.
    #[error("device {0} is revoked already")]
    Revoked(usize),
    /// No room in a bundle.
    #[error(
        "{REVOKED_KEYS_MAX} devices are revoked already, and one bundle names no more; make a new account"
    )]
    TooMany,
    /// The keys were not published.
    #[error(transparent)]
    Renew(#[from] RenewError),
}

impl IdentityError {
    /// Why there is nothing to show of somebody.
    pub fn without_keys(user: UserName, is_deleted: bool) -> Self {
        if is_deleted { Self::Deleted(user) } else { Self::Unknown(user) }
    }
}

impl Question {
    /// Looks up what is asked about. Bundles must have been asked for before.
    pub async fn look_up(
        client: &Client,
        me: &UserName,
        (kind, user, digits): (Kind, UserName, bool),
    ) -> Result<Self, IdentityError> {
        if user == *me {
            return Err(IdentityError::Myself(user));
        }
        let is_deleted = client.is_deleted(&user).await;
        let Some(known) = client.introduction(&user).await else {
            return Err(IdentityError::without_keys(user, is_deleted));
        };
        match kind {
            Kind::Trust if known.other.is_none() => return Err(IdentityError::NothingNew(user)),
            Kind::Distrust if known.standing != Standing::Changed => {
                return Err(IdentityError::NothingNew(user));
            }
            Kind::Verify | Kind::Trust | Kind::Distrust => {}
        }
        Ok(Self { kind, user, known, digits, is_deleted })
    }

    /// Why no answer decides anything, if so: nobody is asked then.
    pub fn in_vain(&self) -> Option<IdentityError> {
        let is_in_question = self.kind == Kind::Verify && self.known.standing == Standing::Changed;
        is_in_question.then(|| IdentityError::InQuestion(self.user.clone()))
    }

    /// The decision that an answer comes to: `yes`, or the six words of the key in question.
    pub fn judge(&self, answer: &str) -> Result<Decision, IdentityError> {
        if let Some(error) = self.in_vain() {
            return Err(error);
        }
        let wrong = || IdentityError::Words(self.user.clone());
        let of = match (self.kind, self.known.other) {
            (Kind::Verify, _) => self.known.pinned,
            (Kind::Trust | Kind::Distrust, Some(other)) => other,
            (Kind::Trust | Kind::Distrust, None) => return Err(wrong()),
        };
        if !is_yes(answer) && !of.words.is(answer) {
            return Err(wrong());
        }
        Ok(match self.kind {
            Kind::Verify => Decision::Verified(of.key),
            Kind::Trust => Decision::Trust(of.key),
            Kind::Distrust => Decision::Distrust(of.key),
        })
    }

    /// Takes an answer, durably; says what is so now.
    pub async fn answer(&self, client: &Client, answer: &str) -> Result<String, IdentityError> {
        client.decide(&self.user, self.judge(answer)?).await?;
        let user = &self.user;
        Ok(match self.kind {
            Kind::Verify => format!("{user} is verified"),
            Kind::Trust => format!(
                "the other key is the known one of {user} now; it is not verified, and private rooms \
                 have to invite {user} anew{}",
                never_read(self.known.unconfirmed)
            ),
            Kind::Distrust => {
                format!("the known key of {user} stays; what the other one signs is refused")
            }
        })
    }
}

/// What becomes of messages without a receipt when another key takes the place of the known one.
fn never_read(count: usize) -> String {
    let (what, are) = match count {
        0 => return String::new(),
        1 => ("one message".to_owned(), "is"),
        count => (format!("{count} messages"), "are"),
    };
    format!(
        "; {what} to them without a receipt {are} for the old key, and not read with this one: say them again"
    )
}

/// Whether an answer is the one word.
pub fn is_yes(answer: &str) -> bool {
    answer.trim().eq_ignore_ascii_case("yes")
}

/// The device of this user with this number in the list, if it can be shut out.
pub async fn to_revoke(
    client: &Client,
    me: &UserName,
    number: usize,
) -> Result<KnownDevice, IdentityError> {
    chosen(client.known_devices(me).await, number)
}

/// The one with this number among the devices of this user. One whose revocation the server does not show is revoked again.
fn chosen(devices: Vec<KnownDevice>, number: usize) -> Result<KnownDevice, IdentityError> {
    let gone = devices.iter().filter(|device| device.state == DeviceState::Revoked).count();
    let device = number.checked_sub(1).and_then(|at| devices.into_iter().nth(at));
    let device = device.ok_or(IdentityError::NoDevice(number))?;
    let is_gone = device.state == DeviceState::Revoked;
    if device.is_this {
        return Err(IdentityError::ThisDevice(number));
    }
    if is_gone && !device.is_taken_back {
        return Err(IdentityError::Revoked(number));
    }
    if !is_gone && gone >= REVOKED_KEYS_MAX {
        return Err(IdentityError::TooMany);
    }
    Ok(device)
}

/// Shuts a device of this user out, by its number in the list.
pub async fn revoke(
    client: &Client,
    me: &UserName,
    number: usize,
) -> Result<KnownDevice, IdentityError> {
    let device = to_revoke(client, me, number).await?;
    client.renew(KeyChange::Revokes(device.sk)).await?;
    Ok(device)
}

#[cfg(test)]
mod tests {
    use chat_protocol::fingerprint::Fingerprint;
    use chat_protocol::id::KeyId;

    use super::*;

    fn device(state: DeviceState, is_taken_back: bool) -> KnownDevice {
        KnownDevice {
            sk: KeyId([1; 16]),
            words: Fingerprint::of(&UserName::new("alice").unwrap(), b"a key"),
            since_ms: 0,
            renewed_ms: 0,
            is_agent: false,
            is_this: false,
            state,
            is_taken_back,
        }
    }

    /// Goal: a device is revoked once, and again where the server does not show that; then also where no more
    /// could be revoked. Before: that was said to be done already, and nothing else could be done.
    #[test]
    fn a_device_that_the_server_has_taken_back_is_revoked_again() {
        let (live, gone) = (DeviceState::Live, DeviceState::Revoked);
        let devices = vec![device(live, false), device(gone, false), device(gone, true)];
        assert!(chosen(devices.clone(), 1).is_ok());
        assert!(matches!(chosen(devices.clone(), 2), Err(IdentityError::Revoked(2))));
        assert!(chosen(devices.clone(), 3).is_ok());
        assert!(matches!(chosen(devices, 4), Err(IdentityError::NoDevice(4))));
        let full = vec![device(gone, true); REVOKED_KEYS_MAX];
        let full: Vec<KnownDevice> = full.into_iter().chain([device(live, false)]).collect();
        assert!(chosen(full.clone(), 1).is_ok());
        let last = full.len();
        assert!(matches!(chosen(full, last), Err(IdentityError::TooMany)));
    }
}
