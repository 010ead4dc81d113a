//! What a typed line means, and how what happened reads. Nothing in here waits for a person, a disk or a server.
//!
//! Modules in reading order:
//! - [`input`], [`slash`], [`words`]: a typed line;
//! - [`settings`]: what a person may set;
//! - [`item`]: what a talk tells, one thing by itself;
//! - [`hints`]: what to type about what is wrong;
//! - [`notify`]: what is worth a notice outside of the chat;
//! - [`show`]: what happened, for people and for programs;
//! - [`history`]: what was said, as it is shown again.

pub mod words;

pub mod input;
pub mod settings;
pub mod slash;

pub mod hints;
pub mod item;
pub mod notify;
pub mod show;

pub mod history;
