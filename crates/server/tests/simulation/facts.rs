//! What is written down in a run: what the people at the devices see, and what the hub's disk keeps.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard},
};

use chat_protocol::id::MessageId;

use crate::world::{START_MS, now_ms};

/// Somebody with an account.
pub(crate) type Person = String;

/// A device: the name of its person, and from the second one on a number behind it.
pub(crate) type Seat = String;

/// Where a message goes: the conversation's name on the wire.
pub(crate) type Place = String;

/// Whose a device is.
pub(crate) fn person(seat: &str) -> &str {
    seat.split_once('-').map_or(seat, |(person, _)| person)
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fact {
    /// A device was told that it is in a room.
    Joined { who: Seat, place: Place },
    /// A device has kept a message of its user, to one person or to a room. From here on it must not
    /// be lost.
    Submitted { by: Seat, id: MessageId, place: Place, to: Option<Person>, what: What },
    /// The hub says that it keeps a message.
    Stored { by: Seat, id: MessageId, position: u64, recipients: BTreeSet<Person> },
    /// The hub, or the device itself, refuses a message or an order for good.
    Refused { by: Seat, id: MessageId, code: String },
    /// A device shows a message. One that its sender has sent again has no position.
    Shown {
        to: Seat,
        from: Person,
        id: MessageId,
        place: Place,
        position: Option<u64>,
        text: String,
    },
    /// The writer has a recipient's receipt.
    Delivered { writer: Seat, id: MessageId, by: Person, readable: bool },
    /// A machine begins to run a command.
    Ran { on: Seat, id: MessageId, argv: String },
    /// The requester has the outcome of a command.
    Ended { by: Seat, id: MessageId, code: String },
    /// Something is asked for in a room.
    Asked { by: Seat, id: MessageId, what: String },
    /// It is done.
    Done { by: Seat, id: MessageId },
    /// The process of a device has died; what its last step had to tell may be untold.
    Died { at: Seat, is_untold: bool },
    /// A device was let in by a hub that has given positions up to this one.
    SignedIn { at: Seat, position: u64 },
    /// A device was told that a person is in a room, or is not any more, and who has done that.
    Learned { at: Seat, place: Place, who: Person, is_in: bool, by: Person },
    /// Something that must not happen with an honest hub: an unreadable message, a complaint.
    Trouble { at: Seat, what: String },
    /// An alarm, by the word for its kind.
    Alarm { at: Seat, kind: &'static str, detail: String, count: u32 },
    /// Pieces of what a command has said never came.
    OutputLost { at: Seat, re: MessageId, pieces: u64 },
    /// Somebody says that the hub refused what this device has shown.
    Disowned { at: Seat, id: MessageId },
    /// A device misses messages of somebody, and says so.
    Gap { at: Seat, from: Person, place: Place, missing: Vec<u32> },
    /// What was missing has come.
    Healed { at: Seat, from: Person, place: Place, n: Vec<u32> },
    /// What was missing is not to be had, and the device says so.
    Unhealed { at: Seat, from: Person, place: Place, n: Vec<u32> },
    /// A device was told that the hub has dropped messages by the room's retention: of other people, or
    /// of another device of its own user.
    Dropped { at: Seat, from: Option<Person>, place: Place, messages: u64 },
    /// The disk of the hub is full from here on.
    DiskFull,
    /// It has room again.
    DiskHasRoom,
    /// The full disk has refused a frame of this device, of which its person may have heard nothing.
    Full { at: Seat, id: MessageId },
    /// The hub is back from a restore, everybody is free of faults, and everybody speaks: by when all
    /// of it is to be shown.
    TalkBegins { until_ms: u64 },
    /// The hub's disk has the first bundle of a device.
    Entered { seat: Seat },
    /// Who is in a room by the chain on the hub's disk.
    Members { place: Place, people: BTreeSet<Person> },
    /// Somebody has come into a room by their own link, or was let in.
    LetIn { place: Place, who: Person },
    /// The hub's disk has a message, with the devices that its epoch was wrapped for.
    Accepted { id: MessageId, place: Place, from: Seat, position: u64, readers: BTreeSet<Seat> },
    /// The hub's disk keeps a message no longer, by its room's retention.
    Deleted { id: MessageId, position: u64 },
    /// An older state of the disk was put back, which has these devices.
    Restored { seats: BTreeSet<Seat> },
    /// That took a message, which the hub had said it keeps, or was about to.
    Taken { id: MessageId, place: Place, from: Seat, position: u64 },
    /// A room has got another link where a restore has taken one.
    Forked { place: Place },
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

/// Where everybody writes down what happens.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<Dated>>>);

impl Notes {
    pub(crate) fn write(&self, fact: Fact) {
        let at_ms = now_ms() - START_MS;
        self.all().push(Dated { at_ms, fact });
    }

    /// All facts so far.
    pub(crate) fn all(&self) -> MutexGuard<'_, Vec<Dated>> {
        self.0.lock().unwrap()
    }
}
