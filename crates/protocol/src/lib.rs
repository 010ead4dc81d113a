//! Bytes and their meaning: what travels between two devices, and between a device and the hub.
//!
//! This crate holds no socket, clock, file or task. Time and randomness are arguments, so every
//! decision in it can be replayed.
//!
//! ```text
//!  alice's device                        hub                         bob's device
//!  plaintext ─ seal ─► Frame ───────► header only ───────► Frame ─ verify, open ─► plaintext
//!            content   (binary)       routes, stores                 envelope
//!  ClientToHub ─────────(text)──────► answers ──(text)──► HubToClient
//! ```
//!
//! Modules in reading order:
//! - [`limits`], [`name`], [`id`], [`b64`], [`sanitise`], [`spoken`], [`veil`]: the small words everything is made of;
//! - [`tag`], [`header`], [`frame`], [`batch`], [`merkle`]: a sealed or signed frame, byte by byte;
//! - [`crypto`], [`keys`], [`fingerprint`]: the primitives (two backends), the keys of a device, and what
//!   people read to each other to compare them;
//! - [`members`], [`epoch`], [`ratchet`], [`content`], [`envelope`]: who shares a key, which key,
//!   which message key, what is said, and sealing it;
//! - [`mod@file`]: files: chunks, the list of what is shared, and how they pass the hub;
//! - [`handshake`], [`hub`], [`retention`], [`code`]: the conversation between one client and the hub.

pub mod limits;

pub mod b64;
pub mod fold;
pub mod id;
pub mod name;
pub mod sanitise;
pub mod spoken;
mod strict;
pub mod veil;

pub mod merkle;

pub mod secret;

pub mod batch;
pub mod frame;
pub mod header;
pub mod tag;
pub mod vault;

pub mod trace;

pub mod crypto;
pub mod fingerprint;
pub mod keys;

pub mod content;
pub mod envelope;
pub mod epoch;
pub mod members;
pub mod ratchet;

pub mod file;

pub mod code;
pub mod handshake;
pub mod hub;
pub mod invite;
pub mod retention;
