//! What is written down in a run, as the people at the devices see it.

use std::collections::BTreeSet;

use chat_protocol::id::MessageId;

/// Somebody with a device.
pub(crate) type Person = String;

/// Where a message goes: the conversation's name on the wire.
pub(crate) type Place = String;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fact {
    /// A device was told that it is in a room.
    Joined { who: Person, place: Place },
    /// A device has kept a message of its user, to one person or to a room. From here on it must not
    /// be lost.
    Submitted { by: Person, id: MessageId, place: Place, to: Option<Person>, what: What },
    /// The hub says that it keeps a message.
    Stored { by: Person, id: MessageId, position: u64, recipients: BTreeSet<Person> },
    /// The hub refuses a message for good.
    Refused { by: Person, id: MessageId, code: String },
    /// A device shows a message.
    Shown { to: Person, from: Person, id: MessageId, place: Place, position: u64, text: String },
    /// The writer has a recipient's receipt.
    Delivered { writer: Person, id: MessageId, by: Person, readable: bool },
    /// A machine begins to run a command.
    Ran { on: Person, id: MessageId, argv: String },
    /// The requester has the outcome of a command.
    Ended { by: Person, id: MessageId, code: String },
    /// Something that must not happen with an honest hub: an alarm, an unreadable message.
    Trouble { at: Person, what: String },
    /// A device misses messages of somebody, and says so.
    Gap { at: Person, from: Person, place: Place, missing: Vec<u32> },
    /// A device was told that the hub has dropped messages of others by the room's retention.
    Dropped { at: Person, place: Place, messages: u64 },
    /// The disk of the hub is full from here on.
    DiskFull,
    /// At the end of a run: a message as the hub's disk has it.
    Kept { id: MessageId, place: Place, position: u64 },
}

/// What was submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// A text to a room or a person.
    Text(String),
    /// A command, and the machine it is for.
    Command { machine: Person, argv: String },
}

/// A fact and its virtual time in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dated {
    pub(crate) at_ms: u64,
    pub(crate) fact: Fact,
}
