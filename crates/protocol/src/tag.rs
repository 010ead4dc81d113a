//! The tag of a frame between people: what kind it is, where it may go, and how it is signed.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::{ConversationId, ConversationKind};

/// Declares the tags once: variant, text on the wire, and the list of all.
macro_rules! tags {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// What a frame is. The first seven are what people do; the others keep the keys in order.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Tag {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Tag {
            /// Every tag.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The tag as written in headers.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Reads a tag as written in headers.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$name),)* _ => None }
            }
        }
    };
}

tags! {
    /// A message to a room.
    Text = "TEXT";
    /// A command for a machine.
    Cmd = "CMD";
    /// A receipt of delivery, or the success of a command (by [`Stage`]).
    Ack = "ACK";
    /// An undecryptable delivery, or the failure of a command (by [`Stage`]).
    Noack = "NOACK";
    /// A message to one person.
    Dm = "DM";
    /// A message to everybody.
    Broadcast = "BROADCAST";
    /// A chunk of a file.
    File = "FILE";
    /// A file on somebody's list, as its owner has signed it.
    Offer = "OFFER";
    /// A new epoch: the commitment to a shared key and the list of who holds it.
    Key = "KEY";
    /// One link of the signed membership chain.
    Member = "MEMBER";
    /// Live output of a command, and that it started.
    Out = "OUT";
    /// Takes a command back: it is not to start, or to be ended.
    Cancel = "CANCEL";
    /// A request for frames that did not come, or did not open.
    Keyreq = "KEYREQ";
    /// Frames and the keys that open them, for somebody who lacks them.
    Grant = "GRANT";
}

/// Which stage an `ACK` or `NOACK` between people speaks of. (Stage "stored" is the hub's own word
/// and a text message.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The recipient's device verified, opened and kept the message.
    Delivered,
    /// The command ended; exit status 0 for `ACK`.
    Executed,
}

/// The shape of header a frame of this tag and stage carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Sealed, part of the sender's chain.
    Message,
    /// Signed and in clear: names messages that were delivered.
    Receipt,
    /// Announces an epoch.
    Key,
    /// A change of membership.
    Member,
}

/// Domain separation: the label each shape is signed under (section 6).
pub mod label {
    /// Sealed messages.
    pub const MSG: &str = "chat-e2e/1 msg";
    /// Receipts of delivery.
    pub const RECEIPT: &str = "chat-e2e/1 receipt";
    /// Headers of epochs.
    pub const KEY: &str = "chat-e2e/1 key";
    /// Membership changes.
    pub const MEMBER: &str = "chat-e2e/1 member";
    /// Bundles of public keys.
    pub const BUNDLE: &str = "chat-e2e/1 bundle";
    /// A signing key's agreement to belong to an identity.
    pub const POP: &str = "chat-e2e/1 pop";
    /// The root of a batch of frames.
    pub const BATCH: &str = "chat-e2e/1 batch";
    /// Sign-in.
    pub const AUTH: &str = "chat-e2e/1 auth";
    /// Wrapping of an epoch's key.
    pub const WRAP: &str = "chat-e2e/1 wrap";
    /// Wrapping of a link's key at sign-in.
    pub const CHAN: &str = "chat-e2e/1 chan";
    /// Commitment to an epoch's key.
    pub const COMMIT: &str = "chat-e2e/1 commit";
    /// A sender's chain inside an epoch.
    pub const CHAIN: &str = "chat-e2e/1 chain";
    /// Link key, client to server.
    pub const C2S: &str = "chat-e2e/1 c2s";
    /// Link key, server to client.
    pub const S2C: &str = "chat-e2e/1 s2c";
    /// Salt of the password's derivation.
    pub const PW: &str = "chat-e2e/1 pw";
    /// The login secret derived from a password.
    pub const PW_AUTH: &str = "chat-e2e/1 pw-auth";
    /// The vault key derived from a password.
    pub const PW_VAULT: &str = "chat-e2e/1 pw-vault";
    /// The vault.
    pub const VAULT: &str = "chat-e2e/1 vault";
    /// The key of one transfer of a file.
    pub const FILE: &str = "chat-e2e/1 file";
    /// A keyword of a shared file, as a hub sees it.
    pub const TOKEN: &str = "chat-e2e/1 token";
    /// What a shared file is, as its owner signs it.
    pub const SHARE: &str = "chat-e2e/1 share";
    /// The details of a shared file, as a hub keeps them.
    pub const OFFER: &str = "chat-e2e/1 offer";
    /// Verification words.
    pub const SAFETY: &str = "chat-e2e/1 safety";
}

impl Tag {
    /// The tag of what is said to people in a conversation.
    pub fn of_words(cid: &ConversationId) -> Self {
        match cid.kind() {
            ConversationKind::Direct(..) => Self::Dm,
            ConversationKind::Room(room) if room.is_all() => Self::Broadcast,
            ConversationKind::Room(_) | ConversationKind::Feed(_) => Self::Text,
        }
    }

    /// The header's shape for this tag and stage, or `None` where the two do not go together.
    pub fn shape(self, stage: Option<Stage>) -> Option<Shape> {
        match (self, stage) {
            (Self::Ack | Self::Noack, Some(Stage::Delivered)) => Some(Shape::Receipt),
            (Self::Ack | Self::Noack, Some(Stage::Executed))
            | (
                Self::Text
                | Self::Cmd
                | Self::Dm
                | Self::Broadcast
                | Self::Out
                | Self::Cancel
                | Self::Keyreq
                | Self::Grant,
                None,
            ) => Some(Shape::Message),
            (Self::Key, None) => Some(Shape::Key),
            (Self::Member, None) => Some(Shape::Member),
            _ => None,
        }
    }

    /// Whether a sealed frame of this tag may travel in a conversation of that kind, and whether it
    /// is addressed to everybody there (`to` is `*`) or to the other party (rule R23).
    pub fn fits(self, kind: &ConversationKind) -> Option<Address> {
        match (self, kind) {
            (Self::Text, ConversationKind::Room(room)) if !room.is_all() => Some(Address::Everyone),
            (Self::Text, ConversationKind::Feed(_)) => Some(Address::Everyone),
            (Self::Broadcast, ConversationKind::Room(room)) if room.is_all() => {
                Some(Address::Everyone)
            }
            // What is said there is set on one's own devices, and nothing else.
            (tag, ConversationKind::Direct(one, other)) if one == other => {
                (tag == Self::Dm).then_some(Address::Other)
            }
            (
                Self::Dm
                | Self::Cmd
                | Self::Out
                | Self::Cancel
                | Self::Ack
                | Self::Noack
                | Self::Keyreq
                | Self::Grant,
                ConversationKind::Direct(..),
            ) => Some(Address::Other),
            _ => None,
        }
    }
}

/// Whom a frame is for, by its tag and conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    /// Everybody in the conversation: `to` is `*`.
    Everyone,
    /// The other of the two: `to` is their name.
    Other,
}

impl Shape {
    /// The label this shape is signed under.
    pub fn label(self) -> &'static str {
        match self {
            Self::Message => label::MSG,
            Self::Receipt => label::RECEIPT,
            Self::Key => label::KEY,
            Self::Member => label::MEMBER,
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
