//! `/verify`, `/trust`, `/distrust`, `/devices` and `/key`.

use std::time::Duration;

use chat_device::identity::{self, IdentityCommand, IdentityError, Kind, Question};
use chat_device::own_device::KeyChange;
use chat_device::sign_in::check_password;
use chat_protocol::name::{ConversationId, UserName};
use chat_text::hints;
use chat_text::item::{Answer, Asked, Item, What};
use tokio::time::timeout;

use crate::talk::Talk;
use crate::told::Told;

/// A server that does not say which keys this account has published keeps nobody from typing for longer than this.
const ROTATION_TIME_MAX: Duration = Duration::from_mins(1);

/// What waits for the newest keys of a person.
#[derive(Debug)]
pub(crate) struct Looking {
    cid: ConversationId,
    wish: Wish,
}

/// What is said where somebody is not asked, because what they are typing would be taken for the answer.
fn not_asked(question: &Question) -> String {
    let (verb, user) = (question.kind.verb(), &question.user);
    format!(
        "nothing is decided: you have begun to type something else; /{verb} {user} yes decides, or the six words in \
         the place of yes"
    )
}

/// What is to be shown or decided once the newest keys are here.
#[derive(Debug)]
enum Wish {
    Identity(IdentityCommand),
    Fingerprint(UserName),
    Whois(UserName),
}

impl Talk {
    /// Does what was asked for about keys and devices; keys of others are fetched first.
    pub(crate) async fn about_identity(&mut self, command: IdentityCommand) -> Told {
        let whom = match &command {
            IdentityCommand::Decide { user, .. }
            | IdentityCommand::Devices { user: Some(user) } => Some(user),
            _ => None,
        };
        let whom = whom.cloned();
        self.look_first(whom, Wish::Identity(command)).await
    }

    /// Shows the key of somebody, of this user where nobody is named.
    pub(crate) async fn ask_fingerprint(&mut self, user: Option<UserName>) -> Told {
        let wish = Wish::Fingerprint(user.clone().unwrap_or_else(|| self.me.clone()));
        self.look_first(user, wish).await
    }

    /// Shows what is known of somebody.
    pub(crate) async fn ask_whois(&mut self, user: UserName) -> Told {
        self.look_first(Some(user.clone()), Wish::Whois(user)).await
    }

    async fn look_first(&mut self, whom: Option<UserName>, wish: Wish) -> Told {
        let cid = whom.and_then(|user| ConversationId::direct(&self.me, &user).ok());
        match cid {
            Some(cid) if self.is_online() => {
                self.client.refresh(&cid).await;
                self.looking.push(Looking { cid, wish });
                Told::default()
            }
            _ => self.now(wish).await,
        }
    }

    /// Goes on with what waited for these keys.
    pub(crate) async fn looked_up(&mut self, cid: &ConversationId) -> Told {
        let (now, later) =
            std::mem::take(&mut self.looking).into_iter().partition(|looking| looking.cid == *cid);
        self.looking = later;
        let mut told = Told::default();
        for Looking { wish, .. } in now {
            told = told.and(self.now(wish).await);
        }
        told
    }

    async fn now(&mut self, wish: Wish) -> Told {
        match wish {
            Wish::Identity(command) => self.now_about_identity(command).await,
            Wish::Fingerprint(user) => self.fingerprint(user).await,
            Wish::Whois(user) => self.whois(user).await,
        }
    }

    async fn now_about_identity(&mut self, command: IdentityCommand) -> Told {
        match command {
            IdentityCommand::Decide { kind, user, words, digits } => {
                self.decide((kind, user, digits), words).await
            }
            IdentityCommand::Devices { user } => {
                let user = user.unwrap_or_else(|| self.me.clone());
                self.devices(&user).await
            }
            IdentityCommand::Revoke { number } => self.revoke(number).await,
            IdentityCommand::Rotate => {
                let renewed = timeout(ROTATION_TIME_MAX, self.client.renew(KeyChange::Rotated));
                match renewed.await {
                    Ok(Ok(())) => Answer::Rotated.into(),
                    Ok(Err(error)) => Told::error(error.to_string()),
                    Err(_) => Told::error(
                        "the server has not said in a minute what it has of your keys; try again later",
                    ),
                }
            }
        }
    }

    /// Shows what is to be compared, and takes the words if they came with the command. A person at a
    /// terminal answers with the next line.
    async fn decide(&mut self, what: (Kind, UserName, bool), words: Option<String>) -> Told {
        let question = match Question::look_up(&self.client, &self.me, what).await {
            Ok(question) => question,
            Err(error) => return Told::error(hints::undecided(&error)),
        };
        let shown = Told::from(Answer::Compare(Box::new(question.clone())));
        if let Some(words) = words {
            return shown.and(self.answer_question(&question, &words).await);
        }
        if !self.is_person {
            return shown;
        }
        if let Some(error) = question.in_vain() {
            return shown.and(Told::error(hints::undecided(&error)));
        }
        // A line that is being typed is no answer, nor is one to another question.
        if self.rooms.is_typing || self.asked.is_some() {
            return shown.and(Told::error(not_asked(&question)));
        }
        let asked = Asked::Key(Box::new(question));
        self.asked = Some(asked.clone());
        shown.and(What::Asked(asked).into())
    }

    /// Ends what was asked without an answer; nothing where nothing was.
    pub fn leave_question(&mut self) -> Option<Told> {
        self.asked.take().map(|_| Answer::Nothing.into())
    }

    /// What was typed is the answer to what was asked: it goes nowhere else.
    pub(crate) async fn answer_question(&self, question: &Question, answer: &str) -> Told {
        if answer.trim().is_empty() {
            return Answer::Nothing.into();
        }
        match question.answer(&self.client, answer).await {
            Ok(done) => Answer::Decided(question.kind, question.user.clone(), done).into(),
            Err(error) => Told::error(hints::undecided(&error)),
        }
    }

    async fn devices(&self, user: &UserName) -> Told {
        let devices = self.client.known_devices(user).await;
        let is_deleted = self.client.is_deleted(user).await;
        if devices.is_empty() {
            let error = IdentityError::without_keys(user.clone(), is_deleted);
            return Told::error(error.to_string());
        }
        Answer::Devices(user.clone(), is_deleted, devices).into()
    }

    async fn fingerprint(&self, user: UserName) -> Told {
        let is_deleted = self.client.is_deleted(&user).await;
        let Some(key) = self.client.identity_of(&user).await else {
            return Told::error(IdentityError::without_keys(user, is_deleted).to_string());
        };
        Answer::Fingerprint(user, is_deleted, key).into()
    }

    /// Whoever sits down at an unlocked screen must not shut the owner's other devices out.
    async fn revoke(&self, number: usize) -> Told {
        let Some(desk) = &self.desk else {
            return Told::error(
                "a password is typed at a terminal; in a script: chat-client devices revoke N",
            );
        };
        if let Err(error) = identity::to_revoke(&self.client, &self.me, number).await {
            return Told::error(hints::undecided(&error));
        }
        let (connector, account) = desk.at_hand();
        let check = check_password(connector, self.me.clone(), account);
        if let Err(error) = check.go_through(desk.meet).await {
            return Told::error(error.to_string());
        }
        match identity::revoke(&self.client, &self.me, number).await {
            Ok(device) => Answer::Revoked(number, Box::new(device)).into(),
            Err(error) => Told::error(error.to_string()),
        }
    }

    /// People whose keys wait for a decision.
    pub(crate) async fn undecided(&self) -> Vec<Item> {
        let undecided = self.client.undecided().await.into_iter();
        undecided.map(|user| What::Undecided(user).into()).collect()
    }
}
