//! Entering an account under a new identity, with a code of who runs the server.

use super::person::Person;
use super::{StartError, Started};
use crate::clock::now_ms;

impl Person<'_> {
    /// Makes new keys under a name that the server has. A home of the old identity on this machine is put
    /// aside: its password still opens it. It comes back if the server does not take the new one.
    pub(super) async fn enter_anew(&self) -> Result<Started, StartError> {
        let (people, user) = (&self.people, &self.door.user);
        people.say(format!(
            "This code lets you in as {user} with new keys. What was sent to the old ones stays unread, \
             private rooms have to let you in again, and everybody who knows {user} is warned until they \
             trust you."
        ));
        let password = self.new_password(self.account.password.as_ref()).await?;
        let aside = self.folder.set_aside(now_ms())?;
        if let Some(aside) = &aside {
            people.say(format!("What this machine had of {user} is in {} now.", aside.display()));
        }
        let entered = self.new_account(password).await;
        if let (Err(_), Some(aside)) = (&entered, &aside)
            && self.folder.key_file()?.is_none()
        {
            self.folder.take_back(aside)?;
        }
        entered
    }
}
