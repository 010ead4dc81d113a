//! One signed-in device at run time: what the terminal client, the emulator and the hub's own agent share.
//!
//! Modules in reading order:
//! - [`store`]: the rows of a home in one SQLite database;
//! - [`recipient`], [`server_url`], [`password`], [`strength`]: what a person gives at the start;
//! - [`names`], [`text_lines`]: how people's names are spelled, and lines of files and pipes;
//! - [`home`], [`connection`], [`sign_in`]: keys on disk, one WebSocket, and who we are;
//! - [`history`], [`keep`]: what was said, and what else has to be remembered, kept in the home; search and proof;
//! - `driver` (the task that owns a device), [`client`]: the handle and the events of everything;
//! - [`identity`]: deciding about people's keys, and about one's own devices;
//! - [`facts`]: a line of an operation log as people read it.
//!
//! Without the feature `host` there is only the store, which is what the hub's own agent needs.

pub mod store;

#[cfg(feature = "host")]
pub mod client;
#[cfg(feature = "host")]
pub mod clock;
#[cfg(feature = "host")]
pub mod connection;
#[cfg(feature = "host")]
mod driver;
#[cfg(feature = "host")]
pub mod facts;
#[cfg(feature = "host")]
pub mod history;
#[cfg(feature = "host")]
pub mod home;
#[cfg(feature = "host")]
pub mod identity;
#[cfg(feature = "host")]
pub mod keep;
#[cfg(feature = "host")]
pub mod names;
#[cfg(feature = "host")]
pub mod password;
#[cfg(feature = "host")]
pub mod recipient;
#[cfg(feature = "host")]
pub mod server_url;
#[cfg(feature = "host")]
pub mod sign_in;
#[cfg(feature = "host")]
pub mod strength;
#[cfg(feature = "host")]
pub mod text_lines;
