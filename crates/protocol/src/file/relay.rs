//! Text messages on the connection that carries files: who takes what from whom, and how much may be
//! under way.
//!
//! ```text
//!  owner                      hub                       receiver
//!  GIVE tid, to bob ────────►     ◄──────── TAKE tid, from alice, credit 8
//!       ◄──────────── CREDIT 8    a FILE frame costs one credit
//!  FILE, FILE, … ───────────►     ──────────────────► FILE, FILE, …
//!       ◄──────────── CREDIT 4    ◄────────────────── CREDIT 4
//!  END ─────────────────────►     ──────────────────► END
//! ```
//!
//! The hub pairs GIVE and TAKE of the same transfer, forwards, and holds at most what credit allows.

use serde::{Deserialize, Serialize};

use crate::id::Nonce16;
use crate::name::UserName;

/// From a client to the hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "tag", rename_all = "UPPERCASE", deny_unknown_fields)]
pub enum RelayToHub {
    /// I have this transfer for them: send me credit when they take it.
    Give {
        /// The transfer, chosen by the giver at random.
        tid: Nonce16,
        /// Who receives.
        to: UserName,
    },
    /// Keep a copy for those who know `tid`.
    Keep {
        /// The transfer.
        tid: Nonce16,
        /// Number of chunks.
        chunks: u32,
        /// Size of the file in bytes: counts against the owner's quota.
        size: u64,
        /// Until when, Unix time in milliseconds; the hub may shorten it.
        until: u64,
    },
    /// I receive this transfer.
    Take {
        /// The transfer.
        tid: Nonce16,
        /// Who gives, or has left a copy.
        from: UserName,
        /// Chunks that may be under way at first.
        credit: u32,
        /// Of a copy: the chunks wanted, as half-open ranges. Empty for all.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        parts: Vec<(u32, u32)>,
    },
    /// So many more chunks may come.
    Credit {
        /// The transfer.
        tid: Nonce16,
        /// How many.
        n: u32,
    },
    /// Nothing more comes, or is wanted.
    End {
        /// The transfer.
        tid: Nonce16,
        /// Why, if it is not complete.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// Takes a copy away that was left here.
    Drop {
        /// The transfer.
        tid: Nonce16,
    },
}

/// From the hub to a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "tag", rename_all = "UPPERCASE", deny_unknown_fields)]
pub enum HubToRelay {
    /// So many more chunks may be sent.
    Credit {
        /// The transfer.
        tid: Nonce16,
        /// How many.
        n: u32,
    },
    /// The transfer ended.
    End {
        /// The transfer.
        tid: Nonce16,
        /// A stable code of [`crate::code`]; empty if nothing went wrong.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        code: String,
        /// Why, if it is not complete.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// A copy is kept, synced to disk.
    Kept {
        /// The transfer.
        tid: Nonce16,
        /// Until when, Unix time in milliseconds.
        until: u64,
    },
}

impl RelayToHub {
    /// The transfer that a message is about.
    pub fn transfer(&self) -> Nonce16 {
        match self {
            Self::Give { tid, .. }
            | Self::Keep { tid, .. }
            | Self::Take { tid, .. }
            | Self::Credit { tid, .. }
            | Self::End { tid, .. }
            | Self::Drop { tid } => *tid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub;

    #[test]
    fn messages_survive_their_text_and_nothing_else_is_read() {
        let tid = Nonce16([1; 16]);
        let bob = UserName::new("bob").unwrap();
        for message in [
            RelayToHub::Give { tid, to: bob.clone() },
            RelayToHub::Keep { tid, chunks: 3, size: 150_000, until: 1_790_000_000_000 },
            RelayToHub::Take { tid, from: bob.clone(), credit: 8, parts: vec![(0, 3)] },
            RelayToHub::Take { tid, from: bob, credit: 8, parts: Vec::new() },
            RelayToHub::Credit { tid, n: 4 },
            RelayToHub::End { tid, reason: String::new() },
            RelayToHub::Drop { tid },
        ] {
            let text = hub::write(&message);
            assert_eq!(message.transfer(), tid);
            assert_eq!(hub::read::<RelayToHub>(&text), Ok(message), "{text}");
            let more = text.replacen('{', "{\"extra\":1,", 1);
            assert!(hub::read::<RelayToHub>(&more).is_err(), "{more}");
        }
    }
}
