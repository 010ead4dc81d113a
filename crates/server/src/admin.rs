//! The operator's hand: what is asked over the local socket while the server runs.
//!
//! ```text
//! chat-server user disable bob        command.rs   words to a request
//!   └─ data/admin.sock                call.rs      one line of JSON there, one back
//!        └─ admin_socket.rs           who asks, the audit log, the queue
//!             └─ worker/admin.rs      like any other request: decide, commit, apply, answer
//!                  └─ router/admin.rs what it means; the record is store/operator.rs
//!                       └─ gate.rs    what the doors look at: listener, sign-in, open connections
//! ```
//!
//! A new request is a variant of [`request::AdminRequest`] with its words in [`command`], its decision in
//! `router/admin.rs` and, if it changes something, its record in `store/operator.rs`.

pub mod audit;
pub mod call;
pub mod command;
pub mod request;
pub mod show;
