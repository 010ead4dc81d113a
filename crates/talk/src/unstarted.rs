//! Commands that have not started yet, and what is said when their time is over: as `run` does, the talk
//! waits so long and then takes the command back, whatever the clock of that machine says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chat_endpoint::Event;
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, UserName};
use chat_text::item::{Item, What};
use tokio::time::Instant;

use crate::talk::Talk;
use crate::told::{Fault, Told};

/// A command may start within a minute of its signature; with some allowance for clocks, the word that it was
/// started has come by then from a machine that is here. What a server holds back can start later, see
/// [`chat_endpoint::limits::MAY_START_MAX_MS`].
pub const START_TIMEOUT: Duration = Duration::from_secs(75);

/// Messages that took a command back whose answers are nothing to be told: those under way, and many more.
const TAKEN_BACK_MAX: usize = 1_024;

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
pub(crate) struct Unstarted {
    commands: BTreeMap<MessageId, Waiting>,
    /// The messages that took one back.
    taken_back: BTreeSet<MessageId>,
}

impl Unstarted {
    /// A command is on its way.
    pub(crate) fn expect(
        &mut self,
        id: MessageId,
        (target, argv): (UserName, Vec<String>),
        now: Instant,
    ) {
        self.commands.insert(id, Waiting { target, argv, due: now + START_TIMEOUT });
    }

    /// Takes what the machine or the server says of a command. Whether it is only about a message that took
    /// one back: nobody has typed that.
    pub(crate) fn take(&mut self, event: &Event) -> bool {
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
    pub(crate) fn due(&self) -> Option<Instant> {
        self.commands.values().map(|waiting| waiting.due).min()
    }

    /// Those whose time is over.
    fn over(&mut self, now: Instant) -> Vec<(MessageId, Waiting)> {
        self.commands.extract_if(.., |_, waiting| waiting.due <= now).collect()
    }
}

impl Talk {
    /// When [`Talk::take_back_unstarted`] has something to do.
    pub fn due(&self) -> Option<Instant> {
        // What was read waits for somebody who can hear it.
        let read = self.noise.due().filter(|_| self.is_online());
        let others = self.awaited.returns_until.into_iter().chain(read);
        self.unstarted.due().into_iter().chain(others).min()
    }

    /// Takes back the commands whose time to start is over, and says so.
    pub async fn take_back_unstarted(&mut self, now: Instant) -> Told {
        let mut told = Told::default();
        self.tell_read(now).await;
        if self.awaited.returns_until.is_some_and(|until| until <= now) {
            self.awaited.returns_until = None;
        }
        for (id, Waiting { target, argv, .. }) in self.unstarted.over(now) {
            self.jobs.end(&id);
            self.take_back(id).await;
            let until_ms = self.client.give_up(id, argv).await;
            self.open.remove(&id);
            told.fault = Some(Fault::Failed);
            let cid = ConversationId::direct(&self.me, &target).ok();
            told.items.push(Item {
                cid,
                id: Some(id),
                what: What::NotStarted { target, until_ms },
            });
        }
        told
    }

    /// Takes a command back; what is answered to that is nothing that anybody has typed.
    pub(crate) async fn take_back(&mut self, id: MessageId) {
        let taken_back = self.client.cancel(id).await;
        self.unstarted.taken_back.extend(taken_back);
        while self.unstarted.taken_back.len() > TAKEN_BACK_MAX {
            self.unstarted.taken_back.pop_first();
        }
    }

    /// Nobody here waits any longer for the commands that have not started, and they are left to their
    /// machines: their words stay in doubt. What a person is told of them.
    pub async fn give_up_unstarted(&mut self) -> Told {
        let mut told = Told::default();
        for (id, Waiting { target, argv, .. }) in std::mem::take(&mut self.unstarted.commands) {
            if let Some(until_ms) = self.client.give_up(id, argv).await {
                let cid = ConversationId::direct(&self.me, &target).ok();
                let what = What::NotWaitedFor { target, until_ms };
                told.items.push(Item { cid, id: Some(id), what });
            }
        }
        told
    }

    /// Ends what this process has to do with the account.
    pub async fn end(mut self) {
        self.give_up_unstarted().await;
        self.client.leave().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            cid: ConversationId::parse("dm:alice:web1").unwrap(),
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
