//! One JSON line per operation, for the server (`server.jsonl`) and for each client
//! (`client-NAME.jsonl`).
//!
//! The modules in reading order, which is the way of one line:
//! - [`operation`]: what happened, as typed fields;
//! - [`encode`]: the fields as one line of printable ASCII;
//! - [`log`]: the handle that callers write to, and the thread that owns the files;
//! - [`mod@file`]: one file on disk with its rotation;
//! - [`trace`]: beside all that, blocks about cryptography for people who ask for them.
//!
//! **Architecture Invariant.** No field holds what a person wrote, a key or a password: there is
//! no field for it, free text is cut at [`operation::TEXT_BYTES_MAX`], and the argument list of a
//! command appears as its SHA-256 only.
//!
//! **Architecture Invariant.** One operation is one line that a JSON parser accepts, whatever a
//! peer put into a name or a reason, and the line holds printable ASCII only, so that `cat` and
//! `tail` are safe on a terminal.
//!
//! **Architecture Invariant.** A caller never waits for the disk. It waits only when
//! [`log::PENDING_BYTES_MAX`] bytes are ahead of it; nothing is dropped to avoid that wait.

pub mod operation;

pub mod encode;

pub mod log;

pub mod file;

pub mod trace;

pub use file::{OpenError, Rotation};
pub use log::{OperationLog, OperationLogs};
pub use operation::{Level, Operation, Outcome, Text};
pub use trace::CryptoTrace;
