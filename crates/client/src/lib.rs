//! Talk to people and to machines over a hub you do not have to trust: line mode, one-shot
//! commands, agent and emulator.
//!
//! Modules in reading order:
//! - [`config`], [`exit`]: the command line, and what the program's exit code says;
//! - [`input`], [`slash`], [`words`]: what a typed line means;
//! - [`emulate`]: many clients that send random lines, and the report that nothing was lost;
//! - [`story`]: one message through all logs.

pub mod config;
pub mod exit;

pub mod input;
pub mod slash;
pub mod words;

pub mod emulate;
pub mod story;
