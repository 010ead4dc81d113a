//! Commands of this device that may start although nobody waits for them (rule R35): the hub says that it has refused
//! them, or they were given up.

use chat_protocol::code;
use chat_protocol::content::{Command, Content, Outcome};
use chat_protocol::id::MessageId;
use chat_protocol::name::UserName;
use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::limits::{DOUBTFUL_MAX, MAY_START_MAX_MS};
use crate::outgoing::{Outgoing, SendError};

/// A command that may have been started, whatever the hub says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Doubtful {
    to: UserName,
    argv: Vec<String>,
    /// Unix time in milliseconds after which it does not start.
    until_ms: u64,
}

/// Whether a machine says that a command never started, and so never will: that is in its journal.
fn has_not_run(answer: &Content) -> bool {
    let Content::Outcome(Outcome { outs: 0, status: None, code, .. }) = answer else {
        return false;
    };
    matches!(code.as_str(), code::CANCELLED | code::EXPIRED)
}

impl Endpoint {
    /// A command that has left ends as refused: until when it could still start, Unix time in milliseconds.
    pub(crate) fn doubt(&mut self, now_ms: u64, refused: &Outgoing) -> Option<u64> {
        let Content::Command(Command { argv, .. }) = refused.content()? else { return None };
        let to = self.other(&refused.cid)?;
        let until_ms = refused.ts.saturating_add(MAY_START_MAX_MS);
        self.keep_doubtful(now_ms, &refused.id, Doubtful { to, argv, until_ms });
        Some(until_ms)
    }

    /// Nobody waits for a command any more, and what was said to take it back is in the hub's hands, which may
    /// deliver the command and keep that. Until when it could still start, Unix time in milliseconds: its
    /// words are doubtful until then, and what its machine says of it is told whenever that comes, behind
    /// [`Event::Late`]. Also of one that waits here to be sent. Nothing for one that was dropped before it
    /// left, or that has ended.
    pub fn give_up(&mut self, now_ms: u64, re: &MessageId, argv: Vec<String>) -> Option<u64> {
        let cid = match self.state.sent.get_mut(re) {
            Some(sent) if sent.ended => return None,
            Some(sent) => {
                sent.given_up = true;
                sent.cid.clone()
            }
            None => self.under_way(re)?.cid.clone(),
        };
        let to = self.other(&cid)?;
        let until_ms = re.made_ms().saturating_add(MAY_START_MAX_MS);
        self.keep_doubtful(now_ms, re, Doubtful { to, argv, until_ms });
        Some(until_ms)
    }

    /// The first word of a machine about a command that was given up: what follows is announced, and the
    /// same words may be asked for if it has not started.
    pub(crate) fn note_late(&mut self, re: &MessageId, by: &UserName, answer: &Content) {
        let Some(sent) = self.state.sent.get_mut(re).filter(|sent| sent.given_up) else { return };
        sent.given_up = false;
        // What the hub says that it refused stays in doubt until whoever asked has seen that lie.
        if has_not_run(answer) && !sent.refused {
            self.state.doubtful.remove(re);
        }
        self.out.tell(Event::Late { re: *re, by: by.clone() });
    }

    fn keep_doubtful(&mut self, now_ms: u64, id: &MessageId, doubtful: Doubtful) {
        self.state.doubtful.extract(|_, doubtful| doubtful.until_ms <= now_ms);
        if self.state.doubtful.len() >= DOUBTFUL_MAX {
            self.state.doubtful.keep_newest(DOUBTFUL_MAX - 1);
        }
        self.state.doubtful.put(id, doubtful);
    }

    /// Refuses words that may be on their way to that machine. What its agent says of them changes
    /// nothing: only a hub that lies delivers what it has refused, and who asked has to see that first.
    pub(crate) fn check_doubt(
        &self,
        now_ms: u64,
        target: &UserName,
        argv: &[String],
    ) -> Result<(), SendError> {
        let same = |doubtful: &Doubtful| doubtful.to == *target && doubtful.argv == argv;
        let doubtful = self.state.doubtful.iter().map(|(_, doubtful)| doubtful);
        let until_ms = doubtful.filter(|doubtful| same(doubtful)).map(|d| d.until_ms).max();
        match until_ms.filter(|until_ms| *until_ms > now_ms) {
            Some(until_ms) => {
                let seconds = (until_ms - now_ms).div_ceil(1_000);
                Err(SendError::MayStart { target: target.clone(), seconds })
            }
            None => Ok(()),
        }
    }
}
