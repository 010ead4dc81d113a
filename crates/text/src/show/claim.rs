//! Which durable events a process may deal with. Several processes of one home see the same ones.

use chat_endpoint::Event;
use chat_protocol::id::MessageId;

/// What a command says is for the process that asked for it. After this time without one it is
/// shown by whoever comes: no command is waited for any longer.
const ORPHANED_AFTER_MS: u64 = 2 * 3_600_000;

/// Whether a process that shows everything deals with this event. `own` tells
/// which commands it has asked for itself.
pub fn claim(event: &Event, own: impl Fn(&MessageId) -> bool, now_ms: u64) -> bool {
    match event {
        Event::Started { re, .. }
        | Event::Output { re, .. }
        | Event::OutputLost { re, .. }
        | Event::Ended { re, .. } => {
            own(re) || now_ms.saturating_sub(re.made_ms()) > ORPHANED_AFTER_MS
        }
        // They are for the agent of this device.
        Event::Command { .. } | Event::CommandPassed { .. } | Event::Cancel { .. } => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use chat_protocol::name::UserName;

    use super::*;

    #[test]
    fn answers_belong_to_who_asked_until_nobody_can_be_waiting() {
        let re = MessageId::new(1_000_000, [7; 10]);
        let started = Event::Started { re, by: UserName::server() };
        assert!(!claim(&started, |_| false, 1_000_000 + ORPHANED_AFTER_MS));
        assert!(claim(&started, |id| *id == re, 1_000_000));
        assert!(claim(&started, |_| false, 1_000_001 + ORPHANED_AFTER_MS));
    }
}
