//! The operator's commands of a running server.

use std::process::Command;

use crate::binary;
use crate::program::{Finished, Program};
use crate::rig::Rig;

/// Starts `chat-server WORDS --data DATA`.
#[must_use]
#[track_caller]
pub fn operator_started(rig: &Rig, words: &[&str]) -> Program {
    let mut command: Command = rig.command(&binary("chat-server"));
    command.args(words).arg("--data").arg(rig.data());
    Program::start(command)
}

/// Runs `chat-server WORDS --data DATA` until it ends.
#[must_use]
#[track_caller]
pub fn operator(rig: &Rig, words: &[&str]) -> Finished {
    operator_started(rig, words).finish()
}
