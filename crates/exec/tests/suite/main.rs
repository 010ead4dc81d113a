//! An agent with its real helper process, on this machine's real kernel.

mod at_most_once;
mod cancelled;
mod harness;
mod held;
mod limits;
mod order;
mod sandbox;
mod unprivileged;
mod who_may;
