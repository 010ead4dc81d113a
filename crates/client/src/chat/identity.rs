//! `/verify`, `/trust`, `/distrust`, `/devices` and `/key`.

use std::sync::Arc;

use chat_protocol::name::{ConversationId, UserName};
use serde_json::json;

use super::{Asked, Said, Talk};
use crate::prompt::TerminalPrompt;
use crate::start;
use chat_device::identity::{self, IdentityCommand, IdentityError, Kind, Question};
use chat_device::own_device::KeyChange;
use chat_device::sign_in::check_password;
use chat_text::show::{self, Detail};

/// What is said when a question got no answer.
pub(super) const NOTHING_CHANGED: &str = "· nothing is changed";

/// What waits for the newest keys of a person.
#[derive(Debug)]
pub(super) struct Looking {
    cid: ConversationId,
    wish: Wish,
}

/// What is to be shown or decided once the newest keys are here.
#[derive(Debug)]
enum Wish {
    Identity(IdentityCommand),
    Fingerprint(UserName),
}

impl Talk {
    /// Does what was asked for about keys and devices; keys of others are fetched first.
    pub(super) async fn about_identity(&mut self, command: IdentityCommand) -> Said {
        let whom = match &command {
            IdentityCommand::Decide { user, .. }
            | IdentityCommand::Devices { user: Some(user) } => Some(user),
            _ => None,
        };
        let whom = whom.cloned();
        self.look_first(whom, Wish::Identity(command)).await
    }

    /// Shows the key of somebody, of this user where nobody is named.
    pub(super) async fn ask_fingerprint(&mut self, user: Option<UserName>) -> Said {
        let wish = Wish::Fingerprint(user.clone().unwrap_or_else(|| self.lines.me.clone()));
        self.look_first(user, wish).await
    }

    async fn look_first(&mut self, whom: Option<UserName>, wish: Wish) -> Said {
        let cid = whom.and_then(|user| ConversationId::direct(&self.lines.me, &user).ok());
        match cid {
            Some(cid) if self.is_online => {
                self.client.refresh(&cid).await;
                self.looking.push(Looking { cid, wish });
                Said::default()
            }
            _ => self.now(wish).await,
        }
    }

    /// Goes on with what waited for these keys.
    pub(super) async fn looked_up(&mut self, cid: &ConversationId) -> Said {
        let (now, later) =
            std::mem::take(&mut self.looking).into_iter().partition(|looking| looking.cid == *cid);
        self.looking = later;
        let mut said = Said::default();
        for Looking { wish, .. } in now {
            said = said.and(self.now(wish).await);
        }
        said
    }

    async fn now(&mut self, wish: Wish) -> Said {
        match wish {
            Wish::Identity(command) => self.now_about_identity(command).await,
            Wish::Fingerprint(user) => self.fingerprint(user).await,
        }
    }

    async fn now_about_identity(&mut self, command: IdentityCommand) -> Said {
        match command {
            IdentityCommand::Decide { kind, user, words, digits } => {
                self.decide((kind, user, digits), words).await
            }
            IdentityCommand::Devices { user } => {
                let user = user.unwrap_or_else(|| self.lines.me.clone());
                self.devices(&user).await
            }
            IdentityCommand::Revoke { number } => self.revoke(number).await,
            IdentityCommand::Rotate => match self.client.renew(KeyChange::Rotated).await {
                Ok(()) => {
                    let done = "· this device has new keys; the next messages use them";
                    self.say(done, &json!({"event": "key", "state": "rotated"}))
                }
                Err(error) => self.error(&error.to_string()),
            },
        }
    }

    /// Shows what is to be compared, and takes the words if they came with the command. A person at a
    /// terminal answers with the next line.
    async fn decide(&mut self, what: (Kind, UserName, bool), words: Option<String>) -> Said {
        let question = match Question::look_up(&self.client, &self.lines.me, what).await {
            Ok(question) => question,
            Err(error) => return self.error(&error.to_string()),
        };
        let text = show::identity::question(&self.lines.me, &question);
        let object = show::identity::question_object(&self.lines.me, &question);
        let mut said = self.say(&text, &object);
        if let Some(words) = words {
            said = said.and(self.answer_question(&question, &words).await);
        } else if self.lines.detail == Detail::Brief {
            if let Some(error) = question.in_vain() {
                return said.and(self.error(&error.to_string()));
            }
            let ask = question.kind.prompt(&question.user);
            said.lines.push(format!("{ask}\n  (the next line is the answer; Enter leaves it)"));
            self.rooms.show_question(&question);
            self.question = Some(Asked::Key(Box::new(question)));
        }
        said
    }

    /// Ends what was asked without an answer. Says whether something was.
    pub(super) fn leave_question(&mut self) -> bool {
        let question = self.question.take();
        if question.is_some() {
            self.rooms.show_prompt(&self.lines.me);
        }
        question.is_some()
    }

    /// Whether the next prompt waits: for the answer about a room, or for what is to be asked.
    pub(super) fn holds_prompt(&self) -> bool {
        self.rooms.is_going() || (self.lines.detail == Detail::Brief && !self.looking.is_empty())
    }

    /// What was typed is the answer to what was asked: it goes nowhere else.
    pub(super) async fn answer_question(&self, question: &Question, answer: &str) -> Said {
        if answer.trim().is_empty() {
            return Said::line(NOTHING_CHANGED);
        }
        match question.answer(&self.client, answer).await {
            Ok(done) => {
                let (state, user) = (question.kind.verb(), &question.user);
                let object = json!({"event": "decided", "user": user, "decision": state});
                self.say(&format!("· {done}"), &object)
            }
            Err(error) => self.error(&error.to_string()),
        }
    }

    async fn devices(&self, user: &UserName) -> Said {
        let devices = self.client.known_devices(user).await;
        let is_deleted = self.client.is_deleted(user).await;
        if devices.is_empty() {
            let error = IdentityError::without_keys(user.clone(), is_deleted);
            return self.error(&error.to_string());
        }
        let lines = devices.iter().enumerate().map(|(at, device)| {
            if self.is_json {
                show::identity::device_object((user, is_deleted), at + 1, device).to_string()
            } else {
                show::identity::device(&self.lines, at + 1, device)
            }
        });
        let note = (is_deleted && !self.is_json).then(|| show::identity::deleted(user));
        Said { lines: lines.chain(note).collect(), ..Said::default() }
    }

    async fn fingerprint(&self, user: UserName) -> Said {
        let is_deleted = self.client.is_deleted(&user).await;
        let Some(key) = self.client.identity_of(&user).await else {
            return self.error(&IdentityError::without_keys(user, is_deleted).to_string());
        };
        let groups = key.in_groups();
        let mut text = format!("the key of {user}: {groups}\n  in a policy: {key}");
        if is_deleted {
            text = format!("{text}\n{}", show::identity::deleted(&user));
        }
        let object = json!({
            "event": "fingerprint", "user": user, "fingerprint": groups, "key": key,
            "deleted": is_deleted,
        });
        self.say(&text, &object)
    }

    /// Whoever sits down at an unlocked screen must not shut the owner's other devices out.
    async fn revoke(&self, number: usize) -> Said {
        let Some(desk) = self.desk.as_ref().filter(|_| TerminalPrompt::is_possible()) else {
            return self.error(
                "a password is typed at a terminal; in a script: chat-client devices revoke N",
            );
        };
        if let Err(error) = identity::to_revoke(&self.client, &self.lines.me, number).await {
            return self.error(&error.to_string());
        }
        let account = start::account(&desk.common, None);
        let account = chat_device::sign_in::HomeAccount { password: None, ..account };
        let connector = Arc::clone(&desk.connector);
        let check = check_password(connector, self.lines.me.clone(), account);
        if let Err(error) = start::go_through(&desk.common, check).await {
            return self.error(&error.to_string());
        }
        match identity::revoke(&self.client, &self.lines.me, number).await {
            Ok(device) => self.say(
                &format!("· device {number} ({}) is revoked; what it has said is not shown to whoever has not read it yet", device.words),
                &json!({"event": "revoked", "number": number, "key": device.sk}),
            ),
            Err(error) => self.error(&error.to_string()),
        }
    }

    /// Lines for people whose keys wait for a decision.
    pub(super) async fn undecided(&self) -> Vec<String> {
        let line = |user: &UserName| {
            if self.is_json {
                return json!({"event": "key_in_question", "user": user}).to_string();
            }
            show::identity::undecided(user)
        };
        self.client.undecided().await.iter().map(line).collect()
    }
}
