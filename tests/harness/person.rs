//! Somebody who talks: what most scenarios begin with.

use crate::program::Program;
use crate::rig::Rig;

/// Somebody at a prompt, in the lobby when this returns.
///
/// # Panics
/// When they do not get there in time.
pub fn person(rig: &Rig, url: &str, name: &str) -> Program {
    let program = rig.client(name, url).chat();
    program.stdout.wait_for_part("you are in #lobby");
    program
}

/// Types a line and waits for what it comes to.
///
/// # Panics
/// When that does not come in time.
#[track_caller]
pub fn types(person: &mut Program, line: &str, expected: &str) {
    person.type_line(line);
    person.stdout.wait_for_part(expected);
}
