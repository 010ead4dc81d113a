//! What a client asks of its device: done inside one step, and answered when that is durable.

use std::sync::PoisonError;

use chat_endpoint::{CommandOptions, Endpoint, SendError, TrustError};
use chat_protocol::id::MessageId;
use chat_protocol::name::UserName;
use tokio::sync::oneshot;

use super::step::Replies;
use super::{Driver, Link};
use crate::client::{Decision, RenewError, Status};
use crate::home::KeyChange;
use crate::recipient::Recipient;
use crate::sign_in::FilesDoor;

/// Something to be done inside a step.
pub(crate) type Work = Box<dyn FnOnce(&mut Turn<'_>) + Send>;

/// A step, from inside.
pub(crate) struct Turn<'a> {
    /// Unix time in milliseconds.
    pub(crate) now_ms: u64,
    pub(super) driver: &'a mut Driver,
    pub(super) replies: &'a mut Replies,
}

impl Turn<'_> {
    /// The device itself.
    pub(crate) fn endpoint(&mut self) -> &mut Endpoint {
        &mut self.driver.endpoint
    }

    /// The device, while there is a connection: what is asked of it now cannot wait for the next one.
    pub(crate) fn online(&mut self) -> Option<&mut Endpoint> {
        matches!(self.driver.link, Link::Online { .. }).then_some(&mut self.driver.endpoint)
    }

    /// Gives an answer once the step is durable. Whoever asked may be gone by then.
    pub(crate) fn answer<T: Send + 'static>(&mut self, reply: oneshot::Sender<T>, done: T) {
        self.replies.answers.push(Box::new(move || drop(reply.send(done))));
    }

    /// This process waits for the server's answer to a message, and no other one of its home does.
    pub(crate) fn expect(&mut self, id: MessageId) -> MessageId {
        self.driver.answers.expect(&Ok(id));
        id
    }

    /// Says something to people.
    pub(crate) fn send(
        &mut self,
        to: &Recipient,
        text: String,
        veiled: bool,
    ) -> Result<MessageId, SendError> {
        let Driver { endpoint, answers, journal, recorder, door, .. } = &mut *self.driver;
        let cid = to.conversation(&door.user).ok_or(SendError::ToOneself)?;
        let sent = endpoint.send(self.now_ms, cid.clone(), &text, veiled);
        answers.expect(&sent);
        journal.send(to, text.len(), &sent);
        recorder.typed(self.now_ms, &door.user, cid, text, &sent);
        sent
    }

    /// Asks a machine to run a command.
    pub(crate) fn run(
        &mut self,
        target: &UserName,
        argv: Vec<String>,
        options: CommandOptions,
    ) -> Result<MessageId, SendError> {
        let Driver { endpoint, answers, journal, .. } = &mut *self.driver;
        let digest = chat_agent::argv_digest(&argv);
        let sent = endpoint.run(self.now_ms, target, argv, options);
        answers.expect(&sent);
        journal.run(target, digest, &sent);
        sent
    }

    /// The answers to this message are about files.
    pub(crate) fn is_about_files(&mut self, id: MessageId) {
        self.driver.notes.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
    }

    /// The way in for the connection that carries files.
    pub(crate) fn files_door(&self) -> FilesDoor {
        FilesDoor::new(&self.driver.door, self.driver.device.clone())
    }

    /// Decides on somebody's key.
    pub(crate) fn decide(&mut self, user: &UserName, decision: Decision) -> Result<(), TrustError> {
        let endpoint = &mut self.driver.endpoint;
        match decision {
            Decision::Verified(key) => endpoint.mark_verified(user, key),
            Decision::Trust(key) => endpoint.trust(user, key),
            Decision::Distrust(key) => endpoint.distrust(user, key),
        }
    }

    /// Begins to publish other keys; answered when the server has them.
    pub(crate) fn renew(
        &mut self,
        change: KeyChange,
        reply: oneshot::Sender<Result<(), RenewError>>,
    ) {
        if self.online().is_none() {
            self.answer(reply, Err(RenewError::Offline));
        } else if self.driver.endpoint.unanswered() > 0 || self.replies.renewal.is_some() {
            // What is signed with the old key must be answered first.
            self.answer(reply, Err(RenewError::Unanswered));
        } else {
            self.replies.renewal = Some(change);
            self.driver.renewals.push(reply);
        }
    }

    /// Sends the receipts that are owed; answered when nothing is open any more.
    pub(crate) fn flush(&mut self, reply: oneshot::Sender<bool>) {
        self.driver.endpoint.flush_receipts(self.now_ms);
        self.driver.flushes.push(reply);
    }

    /// How things stand.
    pub(crate) fn status(&self) -> Status {
        self.driver.status()
    }

    /// Breaks the connection when the step is done, with a goodbye or without.
    pub(crate) fn go_away(&mut self, goodbye: bool) {
        self.replies.away = Some(goodbye);
    }

    /// Connects again when the step is done.
    pub(crate) fn come_back(&mut self) {
        self.replies.comes_back = true;
    }

    /// Ends the device when the step is done; answered when all is written.
    pub(crate) fn close(&mut self, reply: oneshot::Sender<()>) {
        self.replies.close = Some(reply);
    }
}
