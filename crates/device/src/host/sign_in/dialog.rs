//! What a sign-in comes to, one thing after the other: the program is told what a person has to know or to say, and
//! goes on when it likes. Nothing here knows who is asked, or how.

use std::future::Future;
use std::pin::Pin;

use chat_protocol::fingerprint::Fingerprint;
use tokio::sync::{mpsc, oneshot};

use super::{StartError, aside};
use crate::password::Password;

/// What is told and not taken yet: a few lines between two questions.
const TOLD_MAX: usize = 16;

type Going<T> = Pin<Box<dyn Future<Output = Result<T, StartError>> + Send>>;

/// A sign-in, or something else that is done about an account. It rests while it waits for an answer.
pub struct Dialog<T> {
    going: Option<Going<T>>,
    told: mpsc::Receiver<Next>,
    ended: Option<Result<T, StartError>>,
}

/// What a dialog comes to next. Questions come only where somebody can be asked.
#[derive(Debug)]
pub enum Next {
    /// What goes on.
    Says(String),
    /// A password is needed; none if nobody answers.
    Password(Ask<Option<Password>>),
    /// A yes is needed.
    Confirm(Ask<bool>),
    /// A yes is needed that nobody types in passing: the whole word, or what it is about.
    ConfirmInFull(Ask<bool>, Fingerprint),
    /// A line is needed that may be seen; none if nobody answers.
    Line(Ask<Option<String>>),
}

/// A question. One that is dropped has no answer.
#[derive(Debug)]
pub struct Ask<T> {
    /// What is asked.
    pub question: String,
    reply: oneshot::Sender<T>,
}

impl<T> Ask<T> {
    /// Lets the dialog go on.
    pub fn answer(self, answer: T) {
        // It may have been given up.
        self.reply.send(answer).ok();
    }
}

impl<T> Dialog<T> {
    /// Begins when it is first asked what comes next.
    pub(crate) fn new<F>(is_attended: bool, going: impl FnOnce(People) -> F) -> Self
    where
        F: Future<Output = Result<T, StartError>> + Send + 'static,
    {
        let (tell, told) = mpsc::channel(TOLD_MAX);
        let going = going(People { tell, is_attended });
        Self { going: Some(Box::pin(going)), told, ended: None }
    }

    /// What comes next; nothing when it has ended. May be dropped at any time without loss.
    pub async fn next(&mut self) -> Option<Next> {
        if let Some(going) = &mut self.going {
            tokio::select! {
                biased;
                Some(next) = self.told.recv() => return Some(next),
                ended = going => self.ended = Some(ended),
            }
            self.going = None;
        }
        self.told.try_recv().ok()
    }

    /// Goes through it to its end. `meet` tells or asks a person, on a thread that may wait.
    pub async fn go_through(mut self, meet: fn(Next)) -> Result<T, StartError> {
        while let Some(next) = self.next().await {
            aside(move || meet(next)).await?;
        }
        self.end()
    }

    /// How it has ended.
    pub fn end(self) -> Result<T, StartError> {
        self.ended.unwrap_or_else(|| Err(StartError::Internal("it has not ended".to_owned())))
    }
}

/// The person at the other end of a dialog, if there is one.
#[derive(Debug, Clone)]
pub(crate) struct People {
    tell: mpsc::Sender<Next>,
    is_attended: bool,
}

impl People {
    /// Whether anybody can be asked.
    pub(crate) fn are_there(&self) -> bool {
        self.is_attended
    }

    /// Says what goes on.
    pub(crate) fn say(&self, text: impl Into<String>) {
        // With the dialog given up there is nobody to tell.
        self.tell.try_send(Next::Says(text.into())).ok();
    }

    /// A password; nothing if nobody answers.
    pub(crate) async fn password(&self, question: &str) -> Option<Password> {
        self.ask(question, Next::Password).await.flatten()
    }

    /// Whether somebody says yes.
    pub(crate) async fn confirm(&self, question: &str) -> bool {
        self.ask(question, Next::Confirm).await.unwrap_or(false)
    }

    /// Whether somebody says yes in full, or types what it is about.
    pub(crate) async fn confirm_in_full(&self, question: &str, words: Fingerprint) -> bool {
        let ask = |ask| Next::ConfirmInFull(ask, words);
        self.ask(question, ask).await.unwrap_or(false)
    }

    /// A line that may be seen; nothing if nobody answers.
    pub(crate) async fn line(&self, question: &str) -> Option<String> {
        self.ask(question, Next::Line).await.flatten()
    }

    async fn ask<T>(&self, question: &str, need: impl FnOnce(Ask<T>) -> Next) -> Option<T> {
        if !self.is_attended {
            return None;
        }
        let (reply, answer) = oneshot::channel();
        self.tell.send(need(Ask { question: question.to_owned(), reply })).await.ok()?;
        answer.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialog(is_attended: bool) -> Dialog<bool> {
        Dialog::new(is_attended, |people| async move {
            people.say("begun");
            let agreed = people.confirm("Go on?").await;
            people.say("done");
            Ok(agreed)
        })
    }

    #[tokio::test]
    async fn a_dialog_rests_until_it_is_answered_and_all_it_said_is_told() {
        let mut dialog = dialog(true);
        assert!(matches!(dialog.next().await, Some(Next::Says(text)) if text == "begun"));
        let Some(Next::Confirm(ask)) = dialog.next().await else { panic!("it asks") };
        assert_eq!(ask.question, "Go on?");
        ask.answer(true);
        assert!(matches!(dialog.next().await, Some(Next::Says(text)) if text == "done"));
        assert!(dialog.next().await.is_none());
        assert!(dialog.end().unwrap());
    }

    #[tokio::test]
    async fn a_question_that_is_dropped_or_that_nobody_can_hear_is_a_no() {
        for is_attended in [true, false] {
            let mut dialog = dialog(is_attended);
            let mut asked = 0;
            while let Some(next) = dialog.next().await {
                asked += usize::from(matches!(next, Next::Confirm(_)));
            }
            assert_eq!(asked, usize::from(is_attended));
            assert!(!dialog.end().unwrap());
        }
    }
}
