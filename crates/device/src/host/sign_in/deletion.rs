//! The end of an account: the password, the name once more, and the server is asked. Nothing is deleted
//! here.

use std::path::PathBuf;
use std::sync::Arc;

use chat_protocol::handshake::Purpose;
use chat_protocol::keys::key_id;
use chat_protocol::name::UserName;

use super::person::Person;
use super::{Dialog, Door, HomeAccount, OpenHome, People, StartError, first_contact};
use crate::connection::Connector;
use crate::home::{self, HomeFolder};
use crate::vault::KeyFile;

/// Whose account is deleted.
#[derive(Debug)]
pub struct Deletion {
    /// Makes connections to the server that has the account.
    pub connector: Arc<Connector>,
    /// The name of the account.
    pub user: UserName,
    /// The home, the password if it was given, and whether somebody can be asked.
    pub account: HomeAccount,
    /// The name once more, if it was given.
    pub typed: Option<String>,
    /// Whether texts that wait here may be lost; a person who types the name is told of them.
    pub drop_unsent: bool,
}

/// What is left of an account.
#[derive(Debug)]
pub struct Deleted {
    /// The folder of its keys and history on this machine.
    pub home: PathBuf,
    /// Texts and commands that were said here and never left.
    pub unsent: usize,
}

/// Has the server delete an account for good.
pub fn delete_account(request: Deletion) -> Dialog<Deleted> {
    Dialog::new(request.account.is_attended, |people| delete(request, people))
}

async fn delete(request: Deletion, people: People) -> Result<Deleted, StartError> {
    let Deletion { connector, user, account, typed, drop_unsent } = request;
    // Before anything is sent or asked.
    match &typed {
        Some(typed) => check_name(&user, typed)?,
        None if !people.are_there() => {
            return Err(StartError::NotTypedAgain { user });
        }
        None => {}
    }
    let server = first_contact::server(&connector, &people).await?;
    let folder = HomeFolder::new(&account.root, &server, &user);
    let key_file = folder.key_file()?.ok_or_else(|| StartError::NoHome { user: user.clone() })?;
    let door = Door { connector, user, purpose: Purpose::Visit, invite: None };
    let person = Person { door, account: &account, server, folder, people };
    let user = &person.door.user;
    let (keys, vault) = match key_file {
        KeyFile::Clear(vault) => (None, vault),
        KeyFile::Sealed(_) => {
            let (keys, _, vault) = person.newest_vault().await?;
            (Some(keys), vault)
        }
    };
    let look = |home: &mut OpenHome| Ok((home.device()?, home::unsent(&home.store)?));
    let (OpenHome { vault, .. }, (device, unsent)) =
        OpenHome::open(&person.folder, vault).await?.with(look).await?;
    let device = device.ok_or_else(|| StartError::NoHome { user: user.clone() })?;
    if key_id(vault.identity()?.spki()) != device.bundle.identity() {
        return Err(StartError::OtherIdentity);
    }
    match typed {
        None => person.ask_for_the_name(unsent).await?,
        Some(_) if unsent > 0 && !drop_unsent => {
            return Err(StartError::Unsent { user: user.clone(), count: unsent });
        }
        Some(_) => {}
    }
    person.door.delete(&device, keys.as_ref()).await?;
    Ok(Deleted { home: person.folder.path().to_owned(), unsent })
}

fn check_name(user: &UserName, typed: &str) -> Result<(), StartError> {
    let is_same = typed.trim() == user.as_str();
    is_same.then_some(()).ok_or_else(|| StartError::OtherName { user: user.clone() })
}

impl Person<'_> {
    /// Says what goes, and has the name typed once more.
    async fn ask_for_the_name(&self, unsent: usize) -> Result<(), StartError> {
        let user = &self.door.user;
        self.people.say(format!(
            "This deletes {user} on this server, and nobody can undo it: the password, the messages that \
             wait, the list of shared files and copies of them go, and nobody gets this name again. What \
             {user} has said stays with those who have it."
        ));
        if unsent > 0 {
            self.people.say(format!(
                "{} here that the server has not taken: nobody ever reads what they say.",
                super::error::waiting(unsent)
            ));
        }
        let question = format!("Type the name once more to delete {user}: ");
        let typed = self.people.line(&question).await;
        check_name(user, &typed.ok_or(StartError::NotAnswered)?)
    }
}
