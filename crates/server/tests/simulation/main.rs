//! A hub and its clients on a virtual network, disk and clock, with faults from a seed, and a
//! checker of what we promise.
//!
//! What runs is the server's own worker, router, readers, sessions, writers and catch-up, and the
//! clients' own state machine; doubles stand for sockets, sign-in and disks. One seed is one world:
//! first a safety phase with faults, then a liveness phase without, in which everything has to come
//! to rest.
//!
//! | to | run |
//! |---|---|
//! | run what the gate runs | `cargo test --workspace --test simulation` |
//! | repeat one seed | `CHAT_SIM_SEED=42 cargo test --workspace --test simulation -- --nocapture worlds` |
//! | see what travelled, too | `CHAT_SIM_TAPE=1` before it |
//! | compare two builds | `CHAT_SIM_KEYS=FILE CHAT_SIM_DIGESTS=1` before it, and `diff` of the sorted lines `seed N: DIGEST` |
//! | run more | `CHAT_SIM_SEEDS=100000 cargo test --workspace --test simulation worlds` |
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a simulation may panic: that is how it says what went wrong"
)]

mod checker;
mod device;
mod dice;
mod disk;
mod facts;
mod hubs;
mod keys;
mod lost;
mod network;
mod plan;
mod tally;
mod tape;
mod world;

#[cfg(test)]
mod runs;
