//! The full-screen terminal: what stands where, what a key does, how it is drawn. Nothing in here waits for a
//! person, a disk or a server.
//!
//! ```text
//!  what the talk knows ──► Facts ──┐
//!  what it tells ─────────► Line ──┼──► Screen ──► a frame
//!  a key, a paste, the mouse ──────┘      └──────► Need: a line to be read, a page of the home, the editor …
//! ```
//!
//! Modules in reading order:
//! - [`data`]: what the screen is given;
//! - [`told`]: how that is made of what the talk tells and knows;
//! - [`screen`]: its state, keys, and how it is drawn;
//! - [`keys`], [`theme`], [`layout`]: the table of keys, colours and signs, what stands where;
//! - `log`, `composer`, `popup`, `switcher`, `lists`, `status`: its parts;
//! - `pen`, `wrap`: the one way to the screen, and what fits into a row.

pub mod data;
pub mod keys;
pub mod layout;
pub mod screen;
pub mod theme;
pub mod told;

mod composer;
mod lists;
mod log;
mod pen;
mod popup;
mod status;
mod switcher;
mod wrap;

#[cfg(test)]
mod testing;
