//! What a client asks of its device beside what the step itself knows: heard when the step is durable.

use chat_endpoint::{CommandOptions, SendError, TrustError};
use chat_protocol::id::MessageId;
use chat_protocol::name::UserName;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::people::Renewal;
use super::{Decision, Driver, Link, Turn};
use crate::event::RenewError;
use crate::own_device::KeyChange;
use crate::recipient::Recipient;

impl Turn<'_> {
    /// Answers whoever asked, who may be gone by then.
    pub(crate) fn reply<T: Send + 'static>(&mut self, reply: oneshot::Sender<T>, done: T) {
        self.answer(move |_| drop(reply.send(done)));
    }

    /// Says something to people, with a line in the log.
    pub(crate) fn say(
        &mut self,
        to: Recipient,
        text: String,
        veiled: bool,
    ) -> Result<MessageId, SendError> {
        let (at, bytes) = (Instant::now(), text.len());
        let sent = self.send(&to, text, veiled);
        let noted = sent.clone();
        self.answer(move |driver| driver.journal.send(at, &to, bytes, &noted));
        sent
    }

    /// Asks a machine to run a command, with a line in the log.
    pub(crate) fn run(
        &mut self,
        target: UserName,
        argv: Vec<String>,
        options: CommandOptions,
    ) -> Result<MessageId, SendError> {
        let (at, digest) = (Instant::now(), chat_agent::argv_digest(&argv));
        let now_ms = self.now_ms;
        let sent = self.endpoint().run(now_ms, &target, argv, options);
        if let Ok(id) = &sent {
            self.expect(*id);
        }
        let noted = sent.clone();
        self.answer(move |driver| driver.journal.run(at, &target, digest, &noted));
        sent
    }

    /// Decides on somebody's key.
    pub(crate) fn decide(&mut self, user: &UserName, decision: Decision) -> Result<(), TrustError> {
        match decision {
            Decision::Verified(key) => self.endpoint().mark_verified(user, key),
            Decision::Trust(key) => self.endpoint().trust(user, key),
            Decision::Distrust(key) => self.endpoint().distrust(user, key),
        }
    }
}

impl Driver {
    /// Begins to publish other keys when the step is done; answered when the server has them.
    pub(crate) fn ask_for_renewal(
        &mut self,
        change: KeyChange,
        reply: oneshot::Sender<Result<(), RenewError>>,
    ) {
        let before = self.device.keys.signing_id();
        if self.renewing == Some(change) && change.keeps_signing_key() {
            // It is under way already, because the server has lost it.
            self.renewals.push(Renewal { change, before, reply });
            return;
        }
        let waiting = self.asked.renewal;
        let refused = if !matches!(self.link, Link::Online { .. }) {
            RenewError::Offline
        } else if waiting.is_some_and(KeyChange::keeps_signing_key)
            || (!change.keeps_signing_key()
                && (waiting.is_some() || self.core.endpoint().unanswered() > 0))
        {
            // What is signed with the old key must be answered first. A revocation waits for nothing: without it the server
            // may take no key, and so nothing of what waits.
            RenewError::Unanswered
        } else {
            if waiting.is_some() {
                self.fail_renewals(RenewError::Unanswered);
            }
            self.asked.renewal = Some(change);
            self.renewals.push(Renewal { change, before, reply });
            return;
        };
        // Whoever asked may be gone.
        reply.send(Err(refused)).ok();
    }

    /// Is told when nothing is open any more, or `false` when the connection is gone before.
    pub(crate) fn await_answers(&mut self, reply: oneshot::Sender<bool>) {
        self.flushes.push(reply);
    }

    /// Breaks the connection when the step is done, with a goodbye or without.
    pub(crate) fn ask_to_go(&mut self, goodbye: bool) {
        // Of what is asked in one step the last counts.
        self.asked.goes(goodbye);
    }

    /// Connects again when the step is done; says whether there is a connection that stays.
    pub(crate) fn ask_to_come_back(&mut self, reply: oneshot::Sender<bool>) {
        let is_there = matches!(self.link, Link::Online { .. }) || self.asked.is_coming();
        let stays = is_there && !self.asked.goes_away();
        self.asked.comes_back();
        // Whoever asked may be gone.
        reply.send(stays).ok();
    }

    /// Ends the device when the step is done; answered when all is written.
    pub(crate) fn ask_to_close(&mut self, reply: oneshot::Sender<()>) {
        self.asked.close = Some(reply);
    }
}
