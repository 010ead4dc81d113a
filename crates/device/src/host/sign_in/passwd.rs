//! Another password: for the account, its vault at the server, and the key file of this machine.
//!
//! ```text
//! password now ─► vault of the server ─► opened ─► this machine's device
//! new password, twice ─► vault sealed anew, number + 1 ─► server, then key file
//! ```
//!
//! Key files of other machines keep the password they had: nobody but their owner can seal them.

use std::sync::Arc;

use chat_protocol::code;
use chat_protocol::handshake::{PasswordKeys, Purpose};
use chat_protocol::keys::key_id;
use chat_protocol::name::UserName;

use super::person::Person;
use super::{Dialog, Door, HomeAccount, OpenHome, People, StartError, first_contact};
use crate::connection::Connector;
use crate::home::HomeFolder;
use crate::password::Password;
use crate::vault::{KeyFile, Vault};

/// What may be the matter with a password that opens this machine's key file and is refused.
const OTHER_PASSWORD: &str = "The password of the account may have been changed on another machine, or \
                              here by a change that was cut off: what is asked for is that newer one. \
                              `chat-client passwd` with it, as the old and the new one, mends the key \
                              file of this machine.";

/// Whose password is changed, and to what.
#[derive(Debug)]
pub struct NewPassword {
    /// Makes connections to the server that has the account.
    pub connector: Arc<Connector>,
    /// The name of the account.
    pub user: UserName,
    /// The home, the password now if it was given, and whether somebody can be asked.
    pub account: HomeAccount,
    /// The new password, if it was given.
    pub new: Option<Password>,
}

/// Changes the password of an account. The key file of this machine is sealed with it, too.
pub fn change_password(request: NewPassword) -> Dialog<()> {
    Dialog::new(request.account.is_attended, |people| change(request, people))
}

async fn change(request: NewPassword, people: People) -> Result<(), StartError> {
    let NewPassword { connector, user, account, new } = request;
    let server = first_contact::server(&connector, &people).await?;
    let folder = HomeFolder::new(&account.root, &server, &user);
    let key_file = folder.key_file()?.ok_or(StartError::NoHome { user: user.clone() })?;
    let KeyFile::Sealed(key_file) = key_file else { return Err(StartError::Clear) };
    let door = Door { connector, user, purpose: Purpose::Visit, invite: None };
    let person = Person { door, account: &account, server, folder, people };
    // One that was given is judged before anything is sent.
    let given = match &new {
        Some(password) => Some(person.new_password(Some(password)).await?),
        None => None,
    };
    let (old, got, vault) = person.newest_vault().await?;
    let known = key_file.number();
    if got < known {
        return Err(StartError::OldVault { known, got });
    }
    let home = OpenHome::open(&person.folder, vault).await?;
    let (OpenHome { vault, .. }, device) = home.with(|home| home.device()).await?;
    let device = device.ok_or_else(|| StartError::NoHome { user: person.door.user.clone() })?;
    if key_id(vault.identity()?.spki()) != device.bundle.identity() {
        return Err(StartError::OtherIdentity);
    }
    let new = match given {
        Some(password) => password,
        None => person.new_password(None).await?,
    };
    let new = person.derive(&new).await?;
    let sealed = vault.seal(&new, &person.server, &person.door.user, got.saturating_add(1));
    person.door.change_password(&device, (&old, &new), &sealed).await?;
    person.folder.write_key_file(&sealed).map_err(StartError::KeyFile)
}

impl Person<'_> {
    /// The vault that the server keeps, its number, and the keys of the password that opens it.
    pub(super) async fn newest_vault(&self) -> Result<(PasswordKeys, u32, Vault), StartError> {
        let mut tries = 0;
        loop {
            let password = match &self.account.password {
                Some(password) => password.clone(),
                None if tries == 0 => {
                    self.ask(&format!("Password of {} now: ", self.door.user)).await?
                }
                None => self.ask("That was wrong. Password now: ").await?,
            };
            let keys = self.derive(&password).await?;
            tries += 1;
            match self.door.fetch_vault(&keys).await {
                Ok(sent) => {
                    let (number, vault) = self.open(sent, &keys)?;
                    return Ok((keys, number, vault));
                }
                Err(error) if error.code() == Some(code::SIGN_IN) => {
                    if !self.may_try_again(tries) {
                        self.people.say(OTHER_PASSWORD);
                        return Err(error.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
