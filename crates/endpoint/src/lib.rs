//! One device's end of the encryption: frames of others in, own frames and events out.
//!
//! [`Endpoint`] is a state machine without I/O, in the manner of `quinn-proto`: the host feeds it
//! what arrives and the time, commits the [`Step`] that comes out, and only then sends its messages
//! and shows its events. So a crash on either side loses nothing, burns no key and repeats no nonce.
//! The terminal client, the emulator and the hub's built-in agent are hosts of the same code.
//!
//! ```text
//! handle_text / handle_binary ─► people, rooms, epochs, receive, answers ─┐
//! send, run, report ──────────► outgoing ─ pump: view, epoch, seal ───────┤
//! grant ──────────────────────► grants: frames and keys for others ──────┤
//! handle_timeout ─────────────► receipts, gaps: ask again for what is missing
//!                                                finish: sign all at once ─► Step
//!                                                { changes, transmits, events }
//! ```

pub mod event;
mod feeds;
pub mod limits;
pub mod store;

mod account;
mod alarms;
mod answers;
mod asked;
mod audience;
mod caught_up;
mod commands;
mod connection;
mod counted;
mod devices;
mod disowned;
mod endpoint;
mod epochs;
mod files;
mod gaps;
mod grants;
mod handed;
mod lacks;
mod links;
mod offers;
mod out;
mod outbox;
mod outgoing;
mod pace;
mod people;
mod position;
mod pump;
mod questions;
mod random;
mod receipts;
mod receive;
mod removed;
mod repair;
mod replies;
mod resend;
mod retention;
mod rollback;
mod rooms;
pub mod settings;
mod state;
mod table;
mod trace;
mod trust;
mod views;

pub use account::{DeviceState, KnownDevice};
pub use endpoint::{Device, Endpoint, Step};
pub use event::{
    Alarm, Event, EventKey, KeptFrame, MemberChange, Notification, OfferVerdict, Standing,
};
pub use grants::{GrantError, HistoryEntry};
pub use offers::ListedOffer;
pub use out::Transmit;
pub use outgoing::{CommandEnd, CommandOptions, SendError, check_text, unsent};
pub use people::{BundleCache, Pinned};
pub use position::NEWEST_POSITION_ROW;
pub use random::{Random, SystemRandom};
pub use rooms::{RoomAction, Roster};
pub use store::Records;
pub use trust::{Identity, Introduction, TrustError};
