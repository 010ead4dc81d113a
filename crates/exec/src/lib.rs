//! Runs one Linux command that a policy allows, under limits, in a sandbox, and tells the truth about it.
//!
//! Sockets, signatures and encryption are elsewhere: whoever calls [`Agent::run`] has already opened
//! the envelope and hands over a command whose requester is known. The server's built-in agent and
//! `chat-client agent` are the same code: this crate.
//!
//! ```text
//!  CommandRequest ─► agent ─► journal: seen before? ── yes ─► the recorded answer, never a second run
//!                      │
//!                      ├────► order: is one before it missing? ── yes ─► wait, then Refused
//!                      ├────► policy: may this person run this argv? ── no ─► Refused, recorded
//!                      ├────► journal: STARTED, durable
//!                      ├────► runner ─► helper supervise ─► helper init ─► helper launch ─► the program
//!                      │        │       new PID namespace    reaps, kills   limits, sandbox, exec
//!                      │        └─ Output, live; time and output limit measured here
//!                      └────► journal: outcome, durable ─► Exit
//! ```
//!
//! Modules in reading order:
//! - [`limits`]: every bound, with its reason;
//! - [`report`]: what the caller hears: [`Report`], [`Exit`], the stable codes;
//! - [`policy`] and `builtin`: who may run what, decided without touching anything;
//! - `order`: in which order the commands of one sender start, decided without touching anything;
//! - `journal`: what was started and how it ended, on disk;
//! - [`helper`]: what the re-executed child does, from namespace to `exec`;
//! - `runner`: starts the helper, streams the output, stops it at a limit; `cancelled` tells it to;
//! - [`agent`]: the path of one command through all of the above.
//!
//! **Architecture Invariant:** nothing runs between `fork` and `exec` in the process of the server or
//! client. Everything that needs a single thread happens in a fresh copy of the binary.
//!
//! **Architecture Invariant:** no program starts before its STARTED record is on disk, and no `Exit`
//! is reported before its outcome is. So a command runs at most once, whatever crashes in between.

pub mod limits;
pub mod report;

mod builtin;
pub mod policy;

mod journal;
mod order;

pub mod helper;

mod cancelled;
mod runner;

pub mod agent;

pub use agent::{
    Agent, AgentConfig, AgentError, CommandRequest, Namespaces, RequestedLimits, Rules,
};
pub use journal::JournalError;
pub use order::Order;
pub use policy::{Policy, PolicyError, Requester};
pub use report::{Exit, Report, Stream};
