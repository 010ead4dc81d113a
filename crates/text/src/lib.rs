//! What a typed line means, and how what happened reads. Nothing in here waits for a person, a disk or a server.
//!
//! Modules in reading order:
//! - [`action`], [`presence`], [`notify`], [`words`]: what stands by itself: deeds, who comes and goes, what is worth a
//!   notice outside of the chat, words as a shell splits them;
//! - [`settings`]: what a person may set;
//! - [`input`] and, below it, [`slash`]: a typed line;
//! - [`item`]: what a talk tells, one thing by itself;
//! - [`hints`]: what to type about what is wrong;
//! - [`show`]: what happened, for people and for programs; below it [`history`]: what was said, as it is shown again.

pub mod action;
pub mod notify;
pub mod presence;
pub mod words;

pub mod settings;

pub mod input;
pub use input::slash;

pub mod hints;
pub mod item;
pub mod show;

pub use show::history;
