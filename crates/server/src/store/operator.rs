//! What the operator of a server decides, as records: the store keeps them, the router follows them.

use std::{fmt, net::IpAddr, str::FromStr};

use chat_protocol::{
    id::{Digest, KeyId},
    name::UserName,
};
use clap::ValueEnum;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::{AccountId, LogId};
use crate::pattern::{Pattern, PatternError};

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Everything.
    #[default]
    Active,
    /// It does not sign in. What is sent to it is kept.
    Disabled,
    /// Gone for good; its name stays reserved and its bundles are kept for what they have signed.
    Deleted,
}

/// Who may make an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Everybody
    #[default]
    Open,
    /// Who has a code
    Invite,
    /// Nobody
    Closed,
}

/// Addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

fn bits_of(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    }
}

impl Network {
    /// Whether an address is in it. An IPv4 address that came over IPv6 counts as what it is.
    pub fn contains(self, address: IpAddr) -> bool {
        let ((own, width), (other, other_width)) =
            (bits_of(self.address), bits_of(address.to_canonical()));
        let ignored = u32::from(width.saturating_sub(self.bits));
        let top = |bits: u128| bits.checked_shr(ignored).unwrap_or(0);
        width == other_width && top(own) == top(other)
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address = address.parse::<IpAddr>().map_err(drop)?.to_canonical();
        let width = bits_of(address).1;
        let bits = bits.map_or(Ok(width), |bits| bits.parse().map_err(drop))?;
        if bits > width {
            return Err(());
        }
        Ok(Self { address, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bits == bits_of(self.address).1 {
            return write!(f, "{}", self.address);
        }
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// Who is kept out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Banned {
    /// Everybody who comes from there.
    Address(Network),
    /// An identity key or a signing key.
    Key(KeyId),
    /// Names, in any case of their letters.
    Name(Pattern),
}

impl Banned {
    /// Whether nobody is left that it does not keep out, of one kind of address at least.
    pub fn is_everybody(&self) -> bool {
        match self {
            Self::Address(network) => network.bits == 0,
            Self::Key(_) => false,
            Self::Name(pattern) => pattern.is_everybody(),
        }
    }

    /// Whether both keep out the same: names have no case.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(one), Self::Name(other)) => one.is_same(other),
            (one, other) => one == other,
        }
    }
}

/// Not somebody to keep out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BannedError {
    /// More bits than the address has.
    #[error("{0:?} is no network: behind the slash stand 0 to 32 bits for IPv4, 0 to 128 for IPv6")]
    Network(String),
    /// It has the form of an address and is none, so that as a name it would keep out nobody.
    #[error(
        "{0:?} is neither an address nor a network: write an address as 192.0.2.7 or 2001:db8::7, a network as \
         192.0.2.0/24 or 2001:db8::/32; an account of such a name is kept out with `user disable`"
    )]
    Address(String),
    /// No key.
    #[error("{0:?} is no key: `user show NAME` prints them, as key: and 22 letters and digits")]
    Key(String),
    /// No name either.
    #[error(transparent)]
    Name(#[from] PatternError),
}

/// Letters of a key's id, which no name may have.
const KEY_CHARACTERS: usize = 22;

impl FromStr for Banned {
    type Err = BannedError;

    /// An address or a network, a key's id of 22 characters after `key:`, or else a name or pattern.
    fn from_str(text: &str) -> Result<Self, BannedError> {
        if let Ok(network) = text.parse() {
            return Ok(Self::Address(network));
        }
        if let Some(key) = text.strip_prefix("key:") {
            // Zeros stand for a key that is not known yet, as that of everybody who signs up.
            let is_one = |id: &KeyId| key.len() == KEY_CHARACTERS && id.0 != [0; 16];
            let parsed = KeyId::parse(key).ok().filter(is_one);
            return parsed.map(Self::Key).ok_or_else(|| BannedError::Key(text.to_owned()));
        }
        // No name has a slash.
        if text.contains('/') {
            return Err(BannedError::Network(text.to_owned()));
        }
        if looks_like_address(text) {
            return Err(BannedError::Address(text.to_owned()));
        }
        Ok(Self::Name(text.parse()?))
    }
}

/// Whether somebody means an address: a colon, which no name has, or digits, dots and stars with at least a
/// digit and a dot.
fn looks_like_address(text: &str) -> bool {
    let is_dotted = text.bytes().all(|byte| byte.is_ascii_digit() || b".*".contains(&byte));
    let has_both = text.contains('.') && text.contains(|letter: char| letter.is_ascii_digit());
    text.contains(':') || (is_dotted && has_both)
}

impl fmt::Display for Banned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(network) => network.fmt(f),
            Self::Key(key) => write!(f, "key:{key}"),
            Self::Name(pattern) => pattern.fmt(f),
        }
    }
}

impl Serialize for Banned {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Banned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A code that lets people make accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// SHA-256 of the code.
    pub digest: Digest,
    /// How many accounts it is still good for.
    pub uses: u32,
    /// Until when, Unix time in milliseconds.
    pub until_ms: u64,
}

/// A code with which somebody enters an account under a new identity, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetCode {
    /// SHA-256 of the code.
    pub digest: Digest,
    /// Until when, Unix time in milliseconds.
    pub until_ms: u64,
}

impl ResetCode {
    /// Whether this is the code, and its time is not over.
    pub fn admits(&self, digest: &Digest, now_ms: u64) -> bool {
        self.digest == *digest && now_ms <= self.until_ms
    }
}

/// Somebody who was put out of the lobby, until they join again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutOut {
    /// Who.
    pub who: AccountId,
    /// Which moderator did it.
    pub by: UserName,
    /// From when on they may join, Unix time in milliseconds; nothing for when they are let in.
    pub until_ms: Option<u64>,
}

/// One decision of the operator, or of a moderator whom the operator has made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NewOrder {
    /// What these accounts may do from now on.
    Standing {
        /// Which; none of them is deleted.
        accounts: Vec<AccountId>,
        /// Names without an account that are members of rooms: they can only be deleted.
        names: Vec<UserName>,
        /// What.
        standing: Standing,
    },
    /// A room is closed for good: nothing is said in it any more and what was said goes.
    CloseRoom(LogId),
    /// Somebody is kept out.
    Ban(Banned),
    /// Somebody is not kept out any more.
    Unban(Banned),
    /// A code is made. An older one with the same digest is replaced.
    Invite(Invite),
    /// A code is made that lets a new identity into an account. The account's older one counts no more.
    Reset {
        /// Which account.
        account: AccountId,
        /// The code.
        code: ResetCode,
    },
    /// Somebody is a moderator of the lobby from now on, or is none any more.
    Moderator {
        /// Who.
        account: AccountId,
        /// Which of the two.
        is_one: bool,
    },
    /// A moderator puts somebody out of the lobby. What was decided before about them is replaced.
    PutOut(PutOut),
    /// A moderator lets somebody into the lobby again: they may join.
    LetIn {
        /// Who.
        who: AccountId,
        /// Which moderator does it.
        by: UserName,
    },
    /// Everybody who is connected is told this.
    Announce(String),
}

/// One bounded step of erasing what was sent to an account that was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewErase {
    /// Whose mailbox.
    pub account: AccountId,
    /// The log of one of its direct conversations, or its inbox; `None` when all of them are done.
    pub log: Option<LogId>,
    /// What stands up to this position is done.
    pub after: u64,
}

/// What the store knows of the operator's decisions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OperatorRows {
    /// Accounts that are not active.
    pub standings: Vec<(AccountId, Standing)>,
    /// Deleted accounts whose mailbox is not erased yet.
    pub to_erase: Vec<AccountId>,
    /// Names without an account that were deleted.
    pub nobodies: Vec<UserName>,
    /// Rooms that are closed.
    pub closed_rooms: Vec<LogId>,
    /// Who is kept out.
    pub bans: Vec<Banned>,
    /// Codes.
    pub invites: Vec<Invite>,
    /// Moderators of the lobby.
    pub moderators: Vec<AccountId>,
    /// Whom they have put out.
    pub put_out: Vec<PutOut>,
}

/// The name of one account as a pattern that matches nobody else.
impl From<&UserName> for Pattern {
    fn from(name: &UserName) -> Self {
        Self::exactly(name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_banned_is_told_apart_by_its_form() {
        let key = KeyId([7; 16]);
        let cases = [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("alice", "alice"),
            ("emu-*", "emu-*"),
            (&format!("key:{key}"), &format!("key:{key}")),
        ];
        for (text, shown) in cases {
            assert_eq!(text.parse::<Banned>().unwrap().to_string(), shown);
        }
        for (text, is_everybody) in
            [("*", true), ("**", true), ("0.0.0.0/0", true), ("a*", false), ("192.0.2.0/24", false)]
        {
            assert_eq!(text.parse::<Banned>().unwrap().is_everybody(), is_everybody, "{text}");
        }
        for text in
            ["", "a b", "192.0.2.0/33/1", "key:short", "key:AAAAAAAAAAAAAAAAAAAAAA", "../x", "ä"]
        {
            assert!(text.parse::<Banned>().is_err(), "{text:?}");
        }
    }

    /// Goal: what is meant as an address and is none bans no name instead, and the refusal says what to write.
    #[test]
    fn what_looks_like_an_address_and_is_none_is_refused() {
        for text in [
            "192.0.2.*",
            "192.0.2",
            "192.0.2.256",
            "192.*",
            "192.0.2.7.",
            "2001:db8::*",
            "::g",
            "1.2.3.4:80",
        ] {
            let refused = text.parse::<Banned>().unwrap_err().to_string();
            assert!(
                refused.contains("192.0.2.0/24") && refused.contains(text),
                "{text}: {refused}"
            );
        }
        for text in ["42", "4*", "*", "v1.2", "a.*"] {
            assert!(matches!(text.parse(), Ok(Banned::Name(_))), "{text}");
        }
    }

    #[test]
    fn a_network_holds_exactly_its_addresses() {
        let cases = [
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("192.0.2.0/24", "::ffff:192.0.2.9", true),
            ("192.0.2.9", "192.0.2.9", true),
            ("192.0.2.9", "192.0.2.8", false),
            ("0.0.0.0/0", "198.51.100.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
        ];
        for (network, address, is_in) in cases {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), is_in, "{network} {address}");
        }
        assert!("192.0.2.0/33".parse::<Network>().is_err());
    }
}
