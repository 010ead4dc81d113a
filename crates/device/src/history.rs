//! What was said, kept in the home: own messages from the moment they are typed, those of others
//! from the moment they were shown, and who has confirmed what.
//!
//! ```text
//! typed ────► queued ─┬─► stored ─► confirmed by one after another, each with a signed receipt
//!                     └─► refused
//! received ─► shown ────► row, in the transaction that ends its durable event
//! ```
//!
//! In reading order: [`Said`] is what a step adds, written by the [`crate::store`] in the commit of the step; [`read`]
//! finds again, a page at a time; [`proof`] checks signatures without a connection; the crate `chat-text` makes lines
//! and JSON.
//!
//! **Architecture Invariant.** Nothing here loads more than a page.

pub mod proof;
pub mod read;

pub use crate::record::{Confirmation, Entry, Record, Said, State};
pub use read::{Found, History};
