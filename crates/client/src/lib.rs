//! Talk to people and to machines over a hub you do not have to trust: line mode, one-shot
//! commands, agent and emulator.
//!
//! Modules in reading order:
//! - [`config`], [`exit`], [`diagnostics`]: the command line, what the program's exit code says, and what
//!   `-v` tells;
//! - [`text_lines`], [`input`], [`slash`], [`words`]: what a typed line means;
//! - [`names`]: how people's names are spelled, and which are easily confused;
//! - [`home`], [`connection`], [`sign_in`]: keys on disk, one WebSocket, and who we are;
//! - [`history`]: what was said, kept in the home; search and proof;
//! - `driver` (the task that owns a device), [`client`]: the handle and the events of everything;
//! - [`identity`]: deciding about people's keys, and about one's own devices;
//! - [`show`]: what happened, for people and for programs;
//! - [`start`], [`oneshot`], [`chat`], [`agent_host`]: the modes that sign a person in;
//! - [`emulate`]: many clients that send random lines, and the report that nothing was lost;
//! - [`story`]: one message through all logs.

pub mod config;
pub mod diagnostics;
pub mod exit;

pub mod input;
pub mod names;
pub mod slash;
pub mod text_lines;
pub mod veil;
pub mod words;

pub mod clock;
pub mod home;

pub mod history;

pub mod connection;

pub mod sign_in;

pub mod client;
mod driver;

pub mod identity;
pub mod transfer;

pub mod show;

mod signals;
pub mod start;
mod unshown;

pub mod agent_host;
pub mod chat;
pub mod oneshot;

pub mod emulate;
pub mod story;
