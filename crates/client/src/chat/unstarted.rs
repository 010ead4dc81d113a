//! Commands that have not started yet, and what is said when their time is over: as `run` does, the chat
//! waits so long and then takes the command back, whatever the clock of that machine says.

use std::collections::{BTreeMap, BTreeSet};

use chat_endpoint::Event;
use chat_protocol::id::MessageId;
use chat_protocol::name::UserName;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Said, Talk};
use crate::exit::ExitStatus;
use crate::oneshot::run::{START_TIMEOUT, not_started, not_waited_for};
use chat_text::show::json::time;

/// A command that waits for its machine.
#[derive(Debug, PartialEq, Eq)]
struct Waiting {
    target: UserName,
    argv: Vec<String>,
    /// When its time to start is over.
    due: Instant,
}

/// What waits for its machine.
#[derive(Debug, Default)]
pub(super) struct Unstarted {
    commands: BTreeMap<MessageId, Waiting>,
    /// The messages that took one back.
    taken_back: BTreeSet<MessageId>,
}

impl Unstarted {
    /// A command is on its way.
    pub(super) fn expect(
        &mut self,
        id: MessageId,
        (target, argv): (UserName, Vec<String>),
        now: Instant,
    ) {
        self.commands.insert(id, Waiting { target, argv, due: now + START_TIMEOUT });
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

    /// When the time of the next one is over.
    pub(super) fn due(&self) -> Option<Instant> {
        self.commands.values().map(|waiting| waiting.due).min()
    }

    /// Those whose time is over.
    fn over(&mut self, now: Instant) -> Vec<(MessageId, Waiting)> {
        self.commands.extract_if(.., |_, waiting| waiting.due <= now).collect()
    }
}

impl Talk {
    /// Takes back the commands whose time to start is over, and says so.
    pub(super) async fn take_back_unstarted(&mut self, now: Instant) -> Said {
        let mut said = Said::default();
        for (id, Waiting { target, argv, .. }) in self.unstarted.over(now) {
            self.unstarted.taken_back.extend(self.client.cancel(id).await);
            let until_ms = self.client.give_up(id, argv).await;
            self.open.remove(&id);
            said.failure = Some(ExitStatus::Failure);
            said.lines.push(if self.is_json {
                not_started_object(&id, &target, until_ms).to_string()
            } else {
                format!("✗ {}", not_started(&target, until_ms.map(|ms| self.lines.time(ms))))
            });
        }
        said
    }

    /// Nobody here waits any longer for the commands that have not started, and they are left to their
    /// machines: their words stay in doubt. What a person is told of them.
    pub(super) async fn give_up_unstarted(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        for (id, Waiting { target, argv, .. }) in std::mem::take(&mut self.unstarted.commands) {
            if let Some(until_ms) = self.client.give_up(id, argv).await {
                let until = self.lines.time(until_ms);
                lines.push(format!("· {}", not_waited_for(&target, &until)));
            }
        }
        lines
    }

    /// Ends what this process has to do with the account.
    pub(super) async fn end(mut self) {
        self.give_up_unstarted().await;
        self.client.leave().await;
    }
}

fn not_started_object(id: &MessageId, target: &UserName, until_ms: Option<u64>) -> Value {
    let mut object = json!({"event": "command", "id": id, "state": "NOT_STARTED", "by": target});
    if let (Some(until), Some(fields)) = (until_ms.and_then(time), object.as_object_mut()) {
        fields.insert("may_start_until".to_owned(), until.into());
    }
    object
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Goal: a program is told until when a command can start that nobody waits for. (The build before took it for
    /// one that never starts.)
    #[test]
    fn what_may_still_start_is_an_object_with_a_time() {
        let (id, web) = (MessageId::new(1, [1; 10]), UserName::new("web1").unwrap());
        let object = not_started_object(&id, &web, Some(660_001));
        assert_eq!(object["may_start_until"], "1970-01-01T00:11:00.001Z");
        assert!(not_started_object(&id, &web, None).get("may_start_until").is_none());
    }

    /// Goal: what does not start in time is told of once, and what starts is not. (The build before never
    /// said that a time was over.)
    #[tokio::test]
    async fn what_does_not_start_in_time_is_over_once() {
        let (mut unstarted, now) = (Unstarted::default(), Instant::now());
        let id = |number| MessageId::new(number, [1; 10]);
        let web = UserName::new("web1").unwrap();
        for number in 1..=3 {
            let words = vec!["date".to_owned()];
            unstarted.expect(id(number), (web.clone(), words), now + Duration::from_secs(number));
        }
        assert!(!unstarted.take(&Event::Started { re: id(1), by: web.clone() }));
        let due = unstarted.due().unwrap();
        assert_eq!(due, now + Duration::from_secs(2) + START_TIMEOUT);
        assert!(unstarted.over(due - Duration::from_millis(1)).is_empty());
        let over = Waiting { target: web.clone(), argv: vec!["date".to_owned()], due };
        assert_eq!(unstarted.over(due), [(id(2), over)]);
        assert!(unstarted.over(due).is_empty());
        let stored = Event::Stored {
            id: id(9),
            cid: chat_protocol::name::ConversationId::parse("dm:alice:web1").unwrap(),
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
