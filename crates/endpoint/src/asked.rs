//! Commands that this device asks for (rules R34, R35): their numbers, by which an agent starts them in
//! their order, and those of which the hub says that it has refused them.

use chat_protocol::content::{Command, Content};
use chat_protocol::id::Nonce16;
use chat_protocol::name::UserName;
use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
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

    /// The hub has refused a command that was sealed. Its word: until when the command could still
    /// start, Unix time in milliseconds.
    pub(crate) fn doubt(&mut self, now_ms: u64, refused: &Outgoing) -> Option<u64> {
        let Content::Command(Command { argv, .. }) = refused.content()? else { return None };
        let to = self.other(&refused.cid)?;
        let until_ms = refused.ts.saturating_add(MAY_START_MAX_MS);
        let over = self.state.doubtful.iter().filter(|(_, doubtful)| doubtful.until_ms <= now_ms);
        let mut over: Vec<String> = over.map(|(id, _)| id.clone()).collect();
        if self.state.doubtful.len() >= DOUBTFUL_MAX {
            over.extend(self.state.doubtful.first_key());
        }
        for id in over {
            self.state.doubtful.remove(&id);
        }
        self.state.doubtful.put(&refused.id.to_string(), Doubtful { to, argv, until_ms });
        Some(until_ms)
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
