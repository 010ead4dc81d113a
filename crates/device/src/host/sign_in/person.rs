//! The account of a person: home, password, vault, questions.

mod published;

use std::sync::Arc;

use chat_protocol::code;
use chat_protocol::handshake::{PasswordKeys, Purpose};
use chat_protocol::id::KeyId;
use chat_protocol::keys::DeviceKeys;
use chat_protocol::name::UserName;
use chat_protocol::sanitise;

use super::{
    ClientOptions, CodeForAccount, Credentials, Dialog, Door, HomeAccount, OpenHome, People,
    StartError, Started, aside, first_contact, up_to_date,
};
use crate::clock::now_ms;
use crate::connection::{ConnectError, Connector, Session};
use crate::home::{self, HomeFolder};
use crate::own_device::{Known, OwnDevice, key_sizes};
use crate::password::Password;
use crate::strength::{self, WeakPassword, offered};
use crate::vault::{FIRST_NUMBER, HubVault, KeyFile, Vault, VaultError};
use published::revoking;

/// How often a person may mistype a password.
const PASSWORD_TRIES_MAX: u32 = 3;

/// How often a person may mistype a code for a new account.
const CODE_TRIES_MAX: u32 = 2;

/// One start of one person's client.
pub(super) struct Person<'a> {
    pub(super) door: Door,
    pub(super) account: &'a HomeAccount,
    pub(super) server: KeyId,
    pub(super) folder: HomeFolder,
    pub(super) people: People,
}

/// What a vault is sealed with: the keys of its password, and its number.
struct Lock {
    keys: PasswordKeys,
    number: u32,
}

/// What the server has for a name without a home here.
enum Found {
    /// Its vault, and what opened it.
    Vault { lock: Lock, vault: Vault },
    /// No account of this name.
    Nobody,
}

pub(super) async fn sign_in(
    options: &ClientOptions,
    account: &HomeAccount,
    people: People,
) -> Result<Started, StartError> {
    // A person takes longer to type than the server waits for a sign-in: who the server is comes
    // first, and each attempt makes a connection of its own.
    let server = first_contact::server(&options.connector, &people).await?;
    let folder = HomeFolder::new(&account.root, &server, &options.user);
    if let Some(warning) = folder.exposed_key() {
        people.say(warning);
    }
    let person = Person { door: Door::new(options), account, server, folder, people };
    let code = person.door.code_for_account().await?;
    if code == CodeForAccount::LetsIn {
        return Box::pin(person.enter_anew()).await;
    }
    let is_in_vain = code == CodeForAccount::DoesNothing;
    if is_in_vain && person.people.are_there() {
        person.people.say(format!(
            "The code lets nobody in as {user}: it is mistyped, used up, or its time is over. Whoever knows \
             the password goes on with it.",
            user = options.user
        ));
    }
    let entered = match person.folder.key_file()? {
        Some(key_file) => Box::pin(person.with_home(key_file)).await,
        None => Box::pin(person.without_home()).await,
    };
    entered.map_err(|error| match error {
        error if is_in_vain && error.is_wrong_password() => {
            StartError::Code { user: options.user.clone() }
        }
        error => error,
    })
}

/// Asks for the password of this account, and the server whether it is the account's: the key file of
/// this machine may have an older one. An account without one needs none.
pub fn check_password(
    connector: Arc<Connector>,
    user: UserName,
    account: HomeAccount,
) -> Dialog<()> {
    Dialog::new(account.is_attended, |people| check(connector, user, account, people))
}

async fn check(
    connector: Arc<Connector>,
    user: UserName,
    account: HomeAccount,
    people: People,
) -> Result<(), StartError> {
    let server = connector.server().await?;
    let folder = HomeFolder::new(&account.root, &server, &user);
    let key_file = folder.key_file()?.ok_or_else(|| StartError::NoHome { user: user.clone() })?;
    if let KeyFile::Clear(_) = key_file {
        return Ok(());
    }
    let door = Door { connector, user, purpose: Purpose::Visit, invite: None };
    let person = Person { door, account: &account, server, folder, people };
    person.newest_vault().await.map(drop)
}

impl Person<'_> {
    pub(super) async fn derive(&self, password: &Password) -> Result<PasswordKeys, StartError> {
        let (password, server, user) = (password.clone(), self.server, self.door.user.clone());
        aside(move || PasswordKeys::derive(password.expose(), &server, &user)).await
    }

    pub(super) async fn ask(&self, question: &str) -> Result<Password, StartError> {
        match self.people.password(question).await {
            Some(password) => Ok(password),
            None if self.people.are_there() => Err(StartError::NotAnswered),
            None => Err(StartError::NoPassword),
        }
    }

    /// The password given, or one that is asked for; `tries` counts those that were wrong.
    async fn password(&self, tries: u32) -> Result<Password, StartError> {
        match &self.account.password {
            Some(password) => Ok(password.clone()),
            None if tries == 0 => self.ask(&format!("Password of {}: ", self.door.user)).await,
            None => self.ask("That was wrong. Password: ").await,
        }
    }

    /// Whether a wrong password may be typed again.
    pub(super) fn may_try_again(&self, tries: u32) -> bool {
        self.account.password.is_none() && self.people.are_there() && tries < PASSWORD_TRIES_MAX
    }

    /// A password to be set: the one given, or one that is typed twice. Not one that is easy to
    /// guess.
    pub(super) async fn new_password(
        &self,
        given: Option<&Password>,
    ) -> Result<Password, StartError> {
        match given {
            Some(password) => {
                self.strength(password).await??;
                Ok(password.clone())
            }
            None => self.typed_twice().await,
        }
    }

    /// A new password, typed twice, because nobody can restore it. One is offered.
    async fn typed_twice(&self) -> Result<Password, StartError> {
        let people = &self.people;
        if people.are_there() {
            people.say(format!("One that nobody had before, if you like: {}", *offered()));
        }
        loop {
            let first = self.ask(&format!("New password for {}: ", self.door.user)).await?;
            match self.strength(&first).await? {
                Ok(score) => people.say(format!("Strength: {score} of 4.")),
                Err(weak) => {
                    people.say(weak.to_string());
                    continue;
                }
            }
            if self.ask("The same password again: ").await? == first {
                return Ok(first);
            }
            people.say("The two differ.");
        }
    }

    /// How strong a password is that is to be set, of 4; any will do for whoever says so.
    async fn strength(&self, password: &Password) -> Result<Result<u8, WeakPassword>, StartError> {
        let (password, user) = (password.clone(), self.door.user.clone());
        let judged = aside(move || strength::of_new(&password, &user)).await?;
        Ok(if self.account.weak_password { judged.or(Ok(0)) } else { judged })
    }

    async fn with_home(&self, key_file: KeyFile) -> Result<Started, StartError> {
        let (vault, lock) = self.unlock(key_file).await?;
        let credentials = lock.map(|lock| self.credentials(&vault, &lock));
        let (user, account) = (self.door.user.clone(), self.account.clone());
        // A key that expires soon is made anew.
        let current = move |home: &mut OpenHome| {
            let Some(device) = home.device()? else { return Ok(None) };
            let was_in = device.published;
            let known = home::known(&home.store, &user, &device)?;
            let fresh = up_to_date(device.clone(), &user, (account.rb, &known))?;
            let fresh = revoking(&user, &account, (fresh, &known))?;
            let fresh = if fresh.published { fresh } else { home.keep(Some(&device), fresh)? };
            Ok(Some((fresh, was_in)))
        };
        let (home, known) = OpenHome::open(&self.folder, vault).await?.with(current).await?;
        let is_new = known.is_none();
        // The account may be none yet: a person has to say yes to that.
        let was_in = known.as_ref().is_some_and(|(_, was_in)| *was_in);
        let (home, device) = if let Some((device, _)) = known {
            (home, device)
        } else {
            self.without_database().await?;
            let made = self.new_device(&home.vault).await?;
            home.with(move |home| home.keep(None, made)).await?
        };
        // Whether a device is put out is for the server to say.
        let needs_no_server = self.account.needs_no_server && self.account.revoke.is_none();
        if needs_no_server && was_in {
            let server = self.server;
            return Ok(Started { device, server, store: Some(home), credentials, session: None });
        }
        let tried = match &credentials {
            // A database that was lost: for the server this is another machine.
            Some(credentials) if is_new => self.as_new_machine(&device, credentials).await,
            _ => self.door.with_device(&device).await,
        };
        let session = match tried {
            Err(error) => self.second_try(error, &device, credentials.as_ref()).await?,
            Ok(session) => session,
        };
        let (home, device, session) = self.past_refusal((home, device, session)).await?;
        self.started(home, device, credentials, session).await
    }

    /// The key file is here, and the database beside it is not, or holds nothing. A person decides whether to
    /// go on without it.
    async fn without_database(&self) -> Result<(), StartError> {
        let people = &self.people;
        let folder = self.folder.path().display().to_string();
        people.say(format!(
            "The history, the unsent messages and the keys of this device are gone: {folder} has a key \
             file and no device in home.db. If you have a copy of home.db, put it back first."
        ));
        if !people.are_there() {
            people.say("Going on as a new device of the account.");
            return Ok(());
        }
        let agreed = people.confirm("Go on as a new device? [y/N] ").await;
        if agreed { Ok(()) } else { Err(StartError::NoDatabase) }
    }

    /// What the server keeps of this account, sealed anew under the same number.
    fn credentials(&self, vault: &Vault, Lock { keys, number }: &Lock) -> Credentials {
        Credentials::new(keys, vault.seal(keys, &self.server, &self.door.user, *number))
    }

    /// Signs a device in that the server does not know. The key file may have an older password
    /// than the account.
    async fn as_new_machine(
        &self,
        device: &OwnDevice,
        credentials: &Credentials,
    ) -> Result<Session, ConnectError> {
        let tried = self.door.with_password(device, &credentials.login).await;
        let is_wrong = tried.as_ref().is_err_and(|error| error.code() == Some(code::SIGN_IN));
        if !is_wrong || !self.people.are_there() {
            return tried;
        }
        let say = "The server does not take the password of this machine: it was changed on another one, or \
                   somebody else has the name now. With the new password this machine goes on.";
        self.people.say(say);
        let Ok(password) = self.ask("Password of the account: ").await else { return tried };
        match self.derive(&password).await {
            Ok(keys) => self.door.with_password(device, &keys.login).await,
            Err(_) => tried,
        }
    }

    /// What may still help a device whose home is here: the server was set up anew, or never
    /// learnt of this device.
    async fn second_try(
        &self,
        error: ConnectError,
        device: &OwnDevice,
        credentials: Option<&Credentials>,
    ) -> Result<Session, StartError> {
        match (error.code(), credentials) {
            // An account that the server had and lost signs up again without a question (rule R36).
            (Some(code::NO_SUCH_USER), credentials) => {
                self.agree_unless_known(device).await?;
                Ok(self.register(device, credentials).await?)
            }
            (Some(code::SIGN_IN), Some(credentials)) => {
                Ok(self.as_new_machine(device, credentials).await?)
            }
            (Some(code::OLD_KEYS), _) => {
                let folder = self.folder.path().to_owned();
                Err(StartError::OldCopy { user: self.door.user.clone(), folder })
            }
            (Some(code::NAME_IN_USE), _) => {
                let (user, home) = (self.door.user.clone(), self.account.root.clone());
                Err(StartError::HomeInUse { user, home })
            }
            _ => Err(error.into()),
        }
    }

    /// Opens the key file, with the password if it has one.
    async fn unlock(&self, key_file: KeyFile) -> Result<(Vault, Option<Lock>), StartError> {
        let sealed = match key_file {
            KeyFile::Clear(vault) => return Ok((vault, None)),
            KeyFile::Sealed(sealed) => sealed,
        };
        let mut tries = 0;
        loop {
            let keys = self.derive(&self.password(tries).await?).await?;
            tries += 1;
            match sealed.open(&keys, &self.server, &self.door.user) {
                Ok(vault) => return Ok((vault, Some(Lock { keys, number: sealed.number() }))),
                Err(VaultError::Wrong) if self.may_try_again(tries) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Opens what the server sent after it had taken the login secret of these keys.
    pub(super) fn open(
        &self,
        sent: HubVault,
        keys: &PasswordKeys,
    ) -> Result<(u32, Vault), StartError> {
        sent.open(keys, &self.server, &self.door.user).map_err(|error| match error {
            VaultError::Wrong => StartError::FalseVault,
            error => error.into(),
        })
    }

    async fn without_home(&self) -> Result<Started, StartError> {
        match self.look_up().await? {
            Found::Vault { lock, vault } => {
                let Lock { keys, number } = lock;
                self.people.say("This machine is new to the account; its keys are made.");
                let device = self.new_device(&vault).await?;
                // What was opened, sealed here. Under the same number: the server never got a
                // higher one, and its vault would look old (rule R31).
                let sealing = vault.seal(&keys, &self.server, &self.door.user, number);
                self.folder.write_key_file(&sealing)?;
                let home = OpenHome::open(&self.folder, vault).await?.begin(&device).await?;
                let session = self.door.with_password(&device, &keys.login).await?;
                let credentials = Some(Credentials::new(&keys, sealing));
                self.started(home, device, credentials, session).await
            }
            Found::Nobody => {
                self.agree_to_register().await?;
                let password = self.new_password(self.account.password.as_ref()).await?;
                self.new_account(password).await
            }
        }
    }

    /// Asks the server for the vault of this name.
    async fn look_up(&self) -> Result<Found, StartError> {
        // Before a password is typed: for a new name it is another question.
        if !self.door.is_known().await? {
            return Ok(Found::Nobody);
        }
        let mut tries = 0;
        loop {
            let keys = self.derive(&self.password(tries).await?).await?;
            tries += 1;
            match self.door.fetch_vault(&keys).await {
                Ok(sent) => {
                    let (number, vault) = self.open(sent, &keys)?;
                    return Ok(Found::Vault { lock: Lock { keys, number }, vault });
                }
                Err(error) if error.code() == Some(code::NO_SUCH_USER) => {
                    return Ok(Found::Nobody);
                }
                Err(error) if error.code() == Some(code::SIGN_IN) && self.may_try_again(tries) => {}
                // Whoever wanted to make an account has met somebody else's.
                Err(error) if error.code() == Some(code::SIGN_IN) && self.account.register => {
                    let reason = if self.door.invite.is_some() {
                        "this name has an account; the password is not its own, and the code lets \
                         nobody into it; choose another name, or ask who runs this server for another code"
                    } else {
                        "this name has an account, and the password is not its own; choose another \
                         name"
                    };
                    let (code, reason) = (code::NAME_TAKEN.to_owned(), reason.to_owned());
                    return Err(ConnectError::Refused { code, reason }.into());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Asks, unless this device had its account at the server before.
    async fn agree_unless_known(&self, device: &OwnDevice) -> Result<(), StartError> {
        if device.published { Ok(()) } else { self.agree_to_register().await }
    }

    async fn agree_to_register(&self) -> Result<(), StartError> {
        let user = self.door.user.clone();
        if self.account.register {
            return Ok(());
        }
        let question = format!("Nobody here is called {user}. Make a new account? [y/N] ");
        if !self.people.are_there() {
            return Err(StartError::NotRegistered { user });
        }
        let agreed = self.people.confirm(&question).await;
        if agreed { Ok(()) } else { Err(StartError::Declined) }
    }

    pub(super) async fn new_account(&self, password: Password) -> Result<Started, StartError> {
        let keys = self.derive(&password).await?;
        let made = self.new_keys().await?;
        let vault = Vault::new(&made.identity);
        let device = OwnDevice::first(&self.door.user, made, self.account.rb, now_ms())?;
        let sealed = vault.seal(&keys, &self.server, &self.door.user, FIRST_NUMBER);
        // Before the server knows the name: keys that it holds and we lost would be worse than
        // keys that nobody knows.
        self.folder.write_key_file(&sealed)?;
        let home = OpenHome::open(&self.folder, vault).await?.begin(&device).await?;
        let credentials = Credentials::new(&keys, sealed);
        match self.register(&device, Some(&credentials)).await {
            Ok(session) => {
                let key = device.bundle.identity().in_groups();
                self.people.say(format!("Your key: {key}"));
                self.started(home, device, Some(credentials), session).await
            }
            Err(error) => {
                if error.code().is_some() {
                    drop(home);
                    self.folder.remove()?;
                }
                Err(error.into())
            }
        }
    }

    /// Makes the account. A person whom the server asks for a code is asked for it here.
    async fn register(
        &self,
        device: &OwnDevice,
        credentials: Option<&Credentials>,
    ) -> Result<Session, ConnectError> {
        let mut door = self.door.clone();
        for _ in 0..CODE_TRIES_MAX {
            let refused = match door.register(device, credentials).await {
                Err(error) if error.code() == Some(code::INVITE) => error,
                other => return other,
            };
            if !self.people.are_there() {
                return Err(refused);
            }
            self.people.say(sanitise::line(&refused.to_string()));
            let Some(typed) = self.people.line("Code: ").await else { return Err(refused) };
            door.invite = Some(typed);
        }
        door.register(device, credentials).await
    }

    async fn new_keys(&self) -> Result<DeviceKeys, StartError> {
        let sizes = key_sizes(self.account.key_bits)?;
        self.people.say("Making your keys; this takes a moment …");
        Ok(aside(move || DeviceKeys::generate(sizes)).await??)
    }

    /// A device of this account on this machine.
    async fn new_device(&self, vault: &Vault) -> Result<OwnDevice, StartError> {
        let identity = vault.identity()?;
        let made = self.new_keys().await?;
        let keys = DeviceKeys { identity, ..made };
        let made = OwnDevice::first(&self.door.user, keys, self.account.rb, now_ms())?;
        revoking(&self.door.user, self.account, (made, &Known::default()))
    }
}
