//! The operator's commands of a running server.

use std::process::Command;

use crate::binary;
use crate::program::{Finished, Program};
use crate::rig::Rig;

/// Runs `chat-server WORDS --data DATA` until it ends.
#[must_use]
#[track_caller]
pub fn operator(rig: &Rig, words: &[&str]) -> Finished {
    let mut command: Command = rig.command(&binary("chat-server"));
    command.args(words).arg("--data").arg(rig.data());
    Program::start(command).finish()
}
