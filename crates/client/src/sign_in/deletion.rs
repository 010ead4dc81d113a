//! The end of an account: the password, the name once more, and the server is asked. Nothing is deleted
//! here.

use std::path::PathBuf;
use std::sync::Arc;

use chat_protocol::handshake::Purpose;
use chat_protocol::keys::key_id;
use chat_protocol::name::UserName;

use super::person::Person;
use super::{Door, HomeAccount, StartError, aside, first_contact};
use crate::connection::Connector;
use crate::home::{self, HomeFolder, KeyFile};

/// Whose account is deleted.
#[derive(Debug)]
pub struct Deletion {
    /// Where.
    pub connector: Arc<Connector>,
    /// Whose.
    pub user: UserName,
    /// The home, the password if it was given, and whom to ask.
    pub account: HomeAccount,
    /// The name once more, if it was given.
    pub typed: Option<String>,
}

/// Has the server delete an account for good. Returns the folder of what is left of it on this machine.
pub async fn delete_account(request: Deletion) -> Result<PathBuf, StartError> {
    let Deletion { connector, user, account, typed } = request;
    // Before anything is sent or asked.
    match &typed {
        Some(typed) => check_name(&user, typed)?,
        None if !account.prompt.is_interactive() => {
            return Err(StartError::NotTypedAgain { user });
        }
        None => {}
    }
    let server = first_contact::server(&connector, &account.prompt).await?;
    let folder = HomeFolder::new(&account.root, &server, &user);
    let key_file = folder.key_file()?.ok_or_else(|| StartError::NoHome { user: user.clone() })?;
    let door = Door { connector, user, purpose: Purpose::Visit, invite: None };
    let person = Person { door, account: &account, server, folder };
    let user = &person.door.user;
    let (keys, vault) = match key_file {
        KeyFile::Clear(vault) => (None, vault),
        KeyFile::Sealed(_) => {
            let (keys, _, vault) = person.newest_vault().await?;
            (Some(keys), vault)
        }
    };
    let device = home::load_device(&person.folder.open(&vault)?, &vault)?
        .ok_or_else(|| StartError::NoHome { user: user.clone() })?;
    if key_id(vault.identity()?.spki()) != device.bundle.identity() {
        return Err(StartError::OtherIdentity);
    }
    if typed.is_none() {
        person.ask_for_the_name().await?;
    }
    person.door.delete(&device, keys.as_ref()).await?;
    Ok(person.folder.path().to_owned())
}

fn check_name(user: &UserName, typed: &str) -> Result<(), StartError> {
    let is_same = typed.trim() == user.as_str();
    is_same.then_some(()).ok_or_else(|| StartError::OtherName { user: user.clone() })
}

impl Person<'_> {
    /// Says what goes, and has the name typed once more.
    async fn ask_for_the_name(&self) -> Result<(), StartError> {
        let user = &self.door.user;
        let prompt = Arc::clone(&self.account.prompt);
        prompt.say(&format!(
            "This deletes {user} on this server, and nobody can undo it: the password, the messages that \
             wait, the list of shared files and copies of them go, and nobody gets this name again. What \
             {user} has said stays with those who have it."
        ));
        let question = format!("Type the name once more to delete {user}: ");
        let typed = aside(move || prompt.line(&question)).await?;
        check_name(user, &typed.ok_or(StartError::NotAnswered)?)
    }
}
