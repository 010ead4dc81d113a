//! `/password`: asked for without echo while the line editor waits.

use std::sync::Arc;

use serde_json::json;

use super::{Said, Talk};
use crate::config::Common;
use crate::oneshot::passwd::DONE;
use crate::prompt::TerminalPrompt;
use crate::start;
use chat_device::connection::Connector;
use chat_device::sign_in::{HomeAccount, NewPassword, StartError, change_password};

/// What it takes to deal with the account beside the conversation.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) connector: Arc<Connector>,
    pub(super) common: Common,
}

impl Talk {
    /// Changes the password. Events wait meanwhile; nothing is lost.
    pub(super) async fn change_password(&self) -> Said {
        let Some(desk) = self.desk.as_ref().filter(|_| TerminalPrompt::is_possible()) else {
            return self.error(
                "a password is typed at a terminal; in a script: chat-client passwd \
                 --password-file OLD --new-password-file NEW",
            );
        };
        // The password that this process was started with may be that of another time.
        let account = HomeAccount { password: None, ..start::account(&desk.common, None) };
        let request = NewPassword {
            connector: Arc::clone(&desk.connector),
            user: self.lines.me.clone(),
            account,
            new: None,
        };
        match start::go_through(&desk.common, change_password(request)).await {
            Ok(()) => self.say(&format!("· {DONE}"), &json!({"event": "password"})),
            Err(StartError::NotAnswered) => Said::line("· nothing is changed"),
            Err(error) => self.error(&error.to_string()),
        }
    }
}
