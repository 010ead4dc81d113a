//! `/password`: asked for without echo.

use std::sync::Arc;

use chat_device::connection::Connector;
use chat_device::sign_in::{HomeAccount, NewPassword, Next, StartError, change_password};
use chat_text::item::Answer;

use crate::talk::Talk;
use crate::told::Told;

/// What it takes to deal with the account beside the conversation.
#[derive(Debug)]
pub struct Desk {
    /// Addresses, pins and trust.
    pub connector: Arc<Connector>,
    /// The account.
    pub account: HomeAccount,
    /// Tells and asks the person, who has the terminal meanwhile.
    pub meet: fn(Next),
}

impl Desk {
    /// Both, for one question. The password that this process was started with may be that of another time.
    pub(crate) fn at_hand(&self) -> (Arc<Connector>, HomeAccount) {
        (Arc::clone(&self.connector), HomeAccount { password: None, ..self.account.clone() })
    }
}

impl Talk {
    /// Changes the password. Events wait meanwhile; nothing is lost.
    pub(crate) async fn change_password(&self) -> Told {
        let Some(desk) = &self.desk else {
            return Told::error(
                "a password is typed at a terminal; in a script: chat-client passwd \
                 --password-file OLD --new-password-file NEW",
            );
        };
        let (connector, account) = desk.at_hand();
        let request = NewPassword { connector, user: self.me.clone(), account, new: None };
        match change_password(request).go_through(desk.meet).await {
            Ok(()) => Answer::Password.into(),
            Err(StartError::NotAnswered) => Answer::Nothing.into(),
            Err(error) => Told::error(error.to_string()),
        }
    }
}
