//! What a program needs to be the host of a device: files, sockets, threads and the clock.
//!
//! - [`clock`], [`home`], [`keep`]: the time, the folder of an account, and what else is remembered in it;
//! - [`connection`], [`strength`], [`sign_in`]: one WebSocket, and who we are;
//! - `event`: what a client tells its host;
//! - `driver` (the task that owns a device), [`client`]: the handle and the events of everything;
//! - [`identity`]: deciding about people's keys, and about one's own devices;
//! - [`facts`]: a line of an operation log as people read it.

pub mod client;
pub mod clock;
pub mod connection;
pub(crate) mod driver;
pub(crate) mod event;
pub mod facts;
pub mod home;
pub mod identity;
pub mod keep;
pub mod sign_in;
pub mod strength;
