//! Commands that have not started yet, and what is said when they cannot any more: as `run` does, the chat
//! waits so long and then takes the command back, whatever the clock of that machine says.

use std::collections::{BTreeMap, BTreeSet};

use chat_endpoint::Event;
use chat_protocol::id::MessageId;
use chat_protocol::name::UserName;
use serde_json::json;
use tokio::time::Instant;

use super::{Said, Talk};
use crate::exit::ExitStatus;
use crate::oneshot::run::{START_TIMEOUT, not_started};

/// What waits for its machine.
#[derive(Debug, Default)]
pub(super) struct Unstarted {
    commands: BTreeMap<MessageId, (UserName, Instant)>,
    /// The messages that took one back.
    taken_back: BTreeSet<MessageId>,
}

impl Unstarted {
    /// A command is on its way.
    pub(super) fn expect(&mut self, id: MessageId, target: UserName, now: Instant) {
        self.commands.insert(id, (target, now + START_TIMEOUT));
    }

    /// Takes what the machine or the server says of a command. Whether it is only about a message that took
    /// one back: nobody has typed that.
    pub(super) fn take(&mut self, event: &Event) -> bool {
        match event {
            Event::Started { re: id, .. }
            | Event::Output { re: id, .. }
            | Event::OutputLost { re: id, .. }
            | Event::Ended { re: id, .. }
            | Event::Refused { id, .. } => drop(self.commands.remove(id)),
            _ => {}
        }
        let about = match event {
            Event::Delivered { id, .. } => Some(*id),
            event => event.answers(),
        };
        about.is_some_and(|id| self.taken_back.contains(&id))
    }

    /// When the next one cannot start any more.
    pub(super) fn due(&self) -> Option<Instant> {
        self.commands.values().map(|(_, due)| *due).min()
    }

    /// Those that cannot start any more.
    fn over(&mut self, now: Instant) -> Vec<(MessageId, UserName)> {
        let over = self.commands.extract_if(.., |_, (_, due)| *due <= now);
        over.map(|(id, (target, _))| (id, target)).collect()
    }
}

impl Talk {
    /// Takes back the commands whose time to start is over, and says so.
    pub(super) async fn take_back_unstarted(&mut self, now: Instant) -> Said {
        let mut said = Said::default();
        for (id, target) in self.unstarted.over(now) {
            self.unstarted.taken_back.extend(self.client.cancel(id).await);
            self.client.forget_command(id).await;
            self.open.remove(&id);
            said.failure = Some(ExitStatus::Failure);
            said.lines.push(if self.is_json {
                json!({
                    "event": "command", "id": id, "state": "NOT_STARTED", "by": target,
                })
                .to_string()
            } else {
                format!("✗ {}, and it does not start any more", not_started(&target))
            });
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Goal: what does not start in time is told of once, and what starts is not. (The build before never
    /// said that a time was over.)
    #[tokio::test]
    async fn what_does_not_start_in_time_is_over_once() {
        let (mut unstarted, now) = (Unstarted::default(), Instant::now());
        let id = |number| MessageId::new(number, [1; 10]);
        let web = UserName::new("web1").unwrap();
        for number in 1..=3 {
            unstarted.expect(id(number), web.clone(), now + Duration::from_secs(number));
        }
        assert!(!unstarted.take(&Event::Started { re: id(1), by: web.clone() }));
        let due = unstarted.due().unwrap();
        assert_eq!(due, now + Duration::from_secs(2) + START_TIMEOUT);
        assert!(unstarted.over(due - Duration::from_millis(1)).is_empty());
        assert_eq!(unstarted.over(due), [(id(2), web.clone())]);
        assert!(unstarted.over(due).is_empty());
        let stored = Event::Stored {
            id: id(9),
            position: 1,
            kept: true,
            recipients: [].into(),
            frame: None,
        };
        assert!(!unstarted.take(&stored));
        unstarted.taken_back.insert(id(9));
        assert!(unstarted.take(&stored));
        assert_eq!(unstarted.due(), Some(now + Duration::from_secs(3) + START_TIMEOUT));
    }
}
