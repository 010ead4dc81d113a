//! Talk to people and to machines over a hub you do not have to trust: line mode, one-shot commands and agent.
//!
//! Modules in reading order:
//! - [`config`], [`exit`], [`diagnostics`]: the command line, what the program's exit code says, and what
//!   `-v` tells;
//! - `first_run`, `notify`: the first start on a machine, notices outside of the chat;
//! - `prompt`, `signals`: a person who is asked, and how the program is ended;
//! - [`start`], [`task`], [`chat`], [`agent_host`]: what signs a person in;
//! - [`verb`]: the subcommands;
//! - [`emulation`]: many clients that send random lines;
//! - [`story`]: one message through all logs.

pub mod config;
pub mod diagnostics;
pub mod exit;

mod first_run;
mod notify;
mod prompt;
mod signals;
pub mod start;
mod unshown;

pub mod agent_host;
pub mod chat;
pub mod task;
pub mod verb;

pub mod emulation;
pub mod story;
