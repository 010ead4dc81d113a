//! Commands that this device asks for (rules R34, R35): their numbers, by which an agent starts them in
//! their order, and those that may start although nobody waits for them: the hub says that it has refused
//! them, or they were given up.

use chat_protocol::code;
use chat_protocol::content::{Command, Content, Outcome};
use chat_protocol::id::{MessageId, Nonce16};
use chat_protocol::name::UserName;
use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::limits::{DOUBTFUL_MAX, MAY_START_MAX_MS};
use crate::outgoing::{Outgoing, SendError};

/// What one signing key has asked of one restart nonce.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Asking {
    /// The next number.
    next: u64,
    /// The last number that the hub has not refused.
    last: Option<u64>,
}

/// The place of a command among them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// Signing key and restart nonce: the row of [`Asking`].
    of: String,
    no: u64,
    prev: Option<u64>,
}

impl Asked {
    /// Writes its numbers into what is sealed.
    pub(crate) fn number(self, content: &mut Content) {
        if let Content::Command(command) = content {
            (command.no, command.prev) = (self.no, self.prev);
        }
    }
}

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
    /// The place of a command that is being sealed for the agent with this restart nonce. It keeps its
    /// number when it is sealed again.
    pub(crate) fn ask(&mut self, key: &str, rb: Nonce16) -> Option<Asked> {
        let of = format!("{}/{rb}", self.device.keys.signing_id());
        match self.state.outgoing.get(key)?.asked.clone() {
            Some(asked) if asked.of == of => return Some(asked),
            Some(elsewhere) => self.unask(&elsewhere),
            None => {}
        }
        let asking = self.state.asking.entry(&of, Asking::default);
        let (no, prev) = (asking.next, asking.last);
        (asking.next, asking.last) = (no.saturating_add(1), Some(no));
        let asked = Asked { of, no, prev };
        self.state.outgoing.get_mut(key)?.asked = Some(asked.clone());
        Some(asked)
    }

    /// The hub has refused a command, or it is not asked for any more: nothing waits for its number.
    pub(crate) fn unask(&mut self, gone: &Asked) {
        if let Some(asking) = self.state.asking.get_mut(&gone.of)
            && asking.last == Some(gone.no)
        {
            asking.last = gone.prev;
        }
        let follows = |outgoing: &Outgoing| {
            outgoing.asked.as_ref().is_some_and(|a| a.of == gone.of && a.prev == Some(gone.no))
        };
        let outgoing = self.state.outgoing.iter().filter(|(_, outgoing)| follows(outgoing));
        let keys: Vec<String> = outgoing.map(|(key, _)| key.clone()).collect();
        for key in keys {
            if let Some(asked) = self.state.outgoing.get_mut(&key).and_then(|o| o.asked.as_mut()) {
                asked.prev = gone.prev;
            }
        }
    }

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
        let cid = match self.state.sent.get_mut(&re.to_string()) {
            Some(sent) if sent.ended => return None,
            Some(sent) => {
                sent.given_up = true;
                sent.cid.clone()
            }
            None => self.state.outgoing.get(self.index.get(re)?)?.cid.clone(),
        };
        let to = self.other(&cid)?;
        let until_ms = re.made_ms().saturating_add(MAY_START_MAX_MS);
        self.keep_doubtful(now_ms, re, Doubtful { to, argv, until_ms });
        Some(until_ms)
    }

    /// The first word of a machine about a command that was given up: what follows is announced, and the
    /// same words may be asked for if it has not started.
    pub(crate) fn note_late(&mut self, re: &MessageId, by: &UserName, answer: &Content) {
        let key = re.to_string();
        let Some(sent) = self.state.sent.get_mut(&key).filter(|sent| sent.given_up) else { return };
        sent.given_up = false;
        // What the hub says that it refused stays in doubt until whoever asked has seen that lie.
        if has_not_run(answer) && !sent.refused {
            self.state.doubtful.remove(&key);
        }
        self.tell(Event::Late { re: *re, by: by.clone() });
    }

    fn keep_doubtful(&mut self, now_ms: u64, id: &MessageId, doubtful: Doubtful) {
        let over = self.state.doubtful.iter().filter(|(_, doubtful)| doubtful.until_ms <= now_ms);
        let mut over: Vec<String> = over.map(|(id, _)| id.clone()).collect();
        if self.state.doubtful.len() >= DOUBTFUL_MAX {
            over.extend(self.state.doubtful.first_key());
        }
        for id in over {
            self.state.doubtful.remove(&id);
        }
        self.state.doubtful.put(&id.to_string(), doubtful);
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
