//! What a person is told of a command that may still start.

use chat_endpoint::limits::{COMMAND_EXPIRY_MS, MAY_START_MAX_MS};
use chat_protocol::name::UserName;

/// Until when a command that waits for its machine can start, for people. `signed_ms` is by this machine's
/// clock, Unix time in milliseconds.
pub fn starts_until(machine: &str, signed_ms: u64, time: impl Fn(u64) -> String) -> String {
    let soon = time(signed_ms.saturating_add(COMMAND_EXPIRY_MS));
    let last = time(signed_ms.saturating_add(MAY_START_MAX_MS));
    format!(
        "it starts if {machine} is here by {soon}; where clocks differ by up to five minutes or the \
         server lies about the time, by {last}"
    )
}

/// What is said of a command of which its machine has said nothing in time; `may_start` is until when it could
/// start all the same, and nothing for one that never left or has ended.
pub fn not_started(target: &UserName, may_start: Option<String>) -> String {
    match may_start {
        Some(until) => format!(
            "no answer came from {target} in time; the command is taken back. {}",
            held_back(&until)
        ),
        None => {
            format!("{target} did not start the command in time, and it does not start any more")
        }
    }
}

/// What is said of a command of which its machine has said nothing when the chat is left.
pub fn not_waited_for(target: &UserName, until: &str) -> String {
    format!(
        "{target} has not started a command yet; it can start until {until}. Ask for the same words before \
         then with --again only"
    )
}

/// What only the server knows of a command that was taken back.
pub fn held_back(until: &str) -> String {
    format!(
        "If the server holds that back, it can still start until {until}; ask for the same words before \
         then with --again only"
    )
}
