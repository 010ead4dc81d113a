//! The first sign-in of a start: which keys, which account, and what to ask a person.
//!
//! ```text
//! home here ── password ──► open key file ──► signature
//! no home ─┬─ name is new ──────────────────► new account, after asking or with --register
//!          └─ password ──► vault of the server ──► new device of a known account
//! ```

use std::path::PathBuf;
use std::sync::Arc;

use chat_endpoint::BundleCache;
use chat_oplog::{CryptoTrace, OperationLog};
use chat_protocol::code;
use chat_protocol::handshake::{AuthBody, Mode, PasswordKeys, Purpose};
use chat_protocol::id::{KeyId, Nonce16};
use chat_protocol::keys::BundleError;
use chat_protocol::name::UserName;
use zeroize::Zeroizing;

use crate::clock::now_ms;
use crate::connection::{Attempt, Brought, ConnectError, Connector, Session};
use crate::home::{self, HomeError, HomeFolder};
use crate::own_device::{Known, OwnDevice};
use crate::password::Password;
use crate::store::SqliteStore;
use crate::vault::{HubVault, Sealing, Vault};

mod deletion;
mod dialog;
mod error;
mod first_contact;
mod passwd;
mod person;
mod reset;

pub use deletion::{Deleted, Deletion, delete_account};
pub(crate) use dialog::People;
pub use dialog::{Ask, Dialog, Next};
pub use error::StartError;
pub use first_contact::meet;
pub use passwd::{NewPassword, change_password};
pub use person::check_password;

/// Who signs in, where, and what is shared with other clients of this process.
#[derive(Debug)]
pub struct ClientOptions {
    /// Addresses, pins and trust; clients of one process share it.
    pub connector: Arc<Connector>,
    /// The name.
    pub user: UserName,
    /// Interactive connections are one per name.
    pub purpose: Purpose,
    /// Where the keys come from.
    pub account: Account,
    /// Bundles that were verified already; clients of one process share it.
    pub bundles: Arc<BundleCache>,
    /// The log of this client.
    pub log: OperationLog,
    /// A code for a new account.
    pub invite: Option<String>,
    /// Where the story of the encryption goes, if it is wanted.
    pub trace: Option<CryptoTrace>,
}

/// Where the keys come from.
#[derive(Debug)]
pub enum Account {
    /// A person's account, with a home on disk.
    Home(HomeAccount),
    /// An emulated one: nothing is kept. It is registered without a password where its name is
    /// new, and signs in with its bundle where the name is its own already.
    Memory(OwnDevice),
}

/// A person's account.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a wish of its own")]
pub struct HomeAccount {
    /// The folder of all homes.
    pub root: PathBuf,
    /// The password, if it was given; otherwise it is asked for.
    pub password: Option<Password>,
    /// Make the account if the name is new, without asking.
    pub register: bool,
    /// Another device of the account that a new machine puts out, by its signing key.
    pub revoke: Option<KeyId>,
    /// Take a new password that is easy to guess.
    pub weak_password: bool,
    /// Size of new keys.
    pub key_bits: u32,
    /// The restart nonce of the agent, where this process is one.
    pub rb: Option<Nonce16>,
    /// Whether somebody can be asked.
    pub is_attended: bool,
    /// A home that is here is opened without waiting for the server: the connection is made behind it.
    pub needs_no_server: bool,
}

/// A device that has signed in for the first time since the start.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) device: OwnDevice,
    pub(crate) server: KeyId,
    pub(crate) store: Option<OpenHome>,
    /// Of an account with a password.
    pub(crate) credentials: Option<Credentials>,
    /// None where a home was opened without the server.
    pub(crate) session: Option<Session>,
}

/// What the server keeps of an account with a password: a server that has lost it gets it again (rule R36).
pub(crate) struct Credentials {
    login: Zeroizing<[u8; 32]>,
    vault: Sealing,
}

impl Credentials {
    pub(crate) fn new(keys: &PasswordKeys, vault: Sealing) -> Self {
        Self { login: keys.login.clone(), vault }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { login: _, vault: _ } = self;
        formatter.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// The home's database and what opens the device's row in it.
#[derive(Debug)]
pub(crate) struct OpenHome {
    pub(crate) store: SqliteStore,
    pub(crate) vault: Vault,
    /// The newest position that it was told before the sign-in began.
    pub(crate) knew: u64,
}

impl OpenHome {
    /// Opens or makes the database of this folder.
    pub(crate) async fn open(folder: &HomeFolder, vault: Vault) -> Result<Self, StartError> {
        let folder = folder.clone();
        let open = move || {
            let store = folder.open(&vault)?;
            let knew = home::newest_position(&store)?;
            Ok::<_, HomeError>(Self { store, vault, knew })
        };
        Ok(aside(open).await??)
    }

    /// Does something with it on a thread that may wait.
    pub(crate) async fn with<T: Send + 'static>(
        mut self,
        work: impl FnOnce(&mut Self) -> Result<T, StartError> + Send + 'static,
    ) -> Result<(Self, T), StartError> {
        aside(move || work(&mut self).map(|done| (self, done))).await?
    }

    /// Keeps the keys of a new device, durably, in the place of those that are there.
    pub(crate) async fn begin(self, device: &OwnDevice) -> Result<Self, StartError> {
        let device = device.clone();
        let begun = self.with(move |home| {
            let before = home.device()?;
            home.keep(before.as_ref(), device)
        });
        Ok(begun.await?.0)
    }

    /// Keeps what comes after the keys of before, durably, and returns what the home has now: where another process of it was
    /// faster, that one's.
    pub(crate) fn keep(
        &mut self,
        before: Option<&OwnDevice>,
        next: OwnDevice,
    ) -> Result<OwnDevice, StartError> {
        let pair = (before, &next);
        let (other, _) = home::replace_device(&mut self.store, &self.vault, pair)?;
        Ok(other.unwrap_or(next))
    }

    /// The device's keys, if they were made already.
    pub(crate) fn device(&self) -> Result<Option<OwnDevice>, StartError> {
        Ok(home::load_device(&self.store, &self.vault)?)
    }
}

/// Signs in by whatever way the account needs.
pub(crate) async fn first(options: &ClientOptions, people: People) -> Result<Started, StartError> {
    match &options.account {
        Account::Home(account) => person::sign_in(options, account, people).await,
        Account::Memory(device) => {
            let door = Door::new(options);
            let session = match door.register(device, None).await {
                Err(error) if error.code() == Some(code::NAME_TAKEN) => {
                    door.with_device(device).await?
                }
                other => other?,
            };
            let server = session.hub.identity();
            let published = device.published || session.brought == Brought::Taken;
            let device = OwnDevice { published, ..device.clone() };
            let session = Some(session);
            Ok(Started { device, server, store: None, credentials: None, session })
        }
    }
}

/// The ways in, for one user.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub(crate) connector: Arc<Connector>,
    pub(crate) user: UserName,
    pub(crate) purpose: Purpose,
    /// A code for a new account, or for a new identity of a known one.
    pub(crate) invite: Option<String>,
}

impl Door {
    pub(crate) fn new(options: &ClientOptions) -> Self {
        Self {
            connector: Arc::clone(&options.connector),
            user: options.user.clone(),
            purpose: options.purpose,
            invite: options.invite.clone(),
        }
    }

    fn body(&self) -> AuthBody {
        AuthBody {
            purpose: self.purpose,
            pw: None,
            bundle: None,
            vault: None,
            new_pw: None,
            invite: None,
        }
    }

    /// A known device, with its signature; with its bundle where the hub may not have it yet. The session says whether it has
    /// it by now: it may let the device in that does not take its bundle.
    pub(crate) async fn with_device(&self, device: &OwnDevice) -> Result<Session, ConnectError> {
        let signing = Some(&device.keys.signing);
        let attempt = |body| Attempt { user: &self.user, mode: Mode::Sig, signing, body };
        let with_bundle =
            || AuthBody { bundle: Some(device.bundle.bytes().to_vec()), ..self.body() };
        // The other way second: a start that never learnt of it has published the bundle, or the
        // server was restored from a backup and knows an older one (rule R36).
        let (tried, second) = if device.published {
            (self.connector.sign_in(attempt(self.body())).await, with_bundle())
        } else {
            (self.connector.sign_in_now(attempt(with_bundle())).await, self.body())
        };
        let error = match tried {
            Err(error) if is_worth_another_way(&error, device.published) => error,
            other => return other,
        };
        match self.connector.sign_in(attempt(second)).await {
            Ok(session) => {
                Ok(Session { brought: brought_after(&error, session.brought), ..session })
            }
            Err(other) if other.code() == Some(code::SIGN_IN) => {
                if let ConnectError::Busy { .. } = error {
                    // Its signing key is new: it comes in with the bundle alone, and waits for that.
                    return self.connector.sign_in(attempt(with_bundle())).await;
                }
                // The first one may say more than that the signature is of no key that is known.
                let says_more = matches!(error.code(), Some(code::OLD_KEYS | code::TOO_MANY));
                Err(if says_more { error } else { other })
            }
            other => other,
        }
    }

    /// A device that was signed in before. A server that was restored from a backup may have lost it, or
    /// its whole account: the device enters again with the password, or the account signs up again with its
    /// own keys and vault (rule R36).
    pub(crate) async fn again(
        &self,
        device: &OwnDevice,
        credentials: Option<&Credentials>,
    ) -> Result<Session, ConnectError> {
        let tried = self.with_device(device).await;
        match (tried.as_ref().err().and_then(ConnectError::code), credentials) {
            (Some(code::NO_SUCH_USER), _) => self.register(device, credentials).await,
            (Some(code::SIGN_IN), Some(Credentials { login, .. })) => {
                self.with_password(device, login).await
            }
            _ => tried,
        }
    }

    /// A new account; with a password the server keeps the vault.
    pub(crate) async fn register(
        &self,
        device: &OwnDevice,
        credentials: Option<&Credentials>,
    ) -> Result<Session, ConnectError> {
        let body = AuthBody {
            pw: credentials.map(|kept| kept.login.to_vec()),
            bundle: Some(device.bundle.bytes().to_vec()),
            vault: credentials.map(|kept| kept.vault.as_bytes().to_vec()),
            invite: self.invite.clone(),
            ..self.body()
        };
        let signing = Some(&device.keys.signing);
        self.connector.sign_in(Attempt { user: &self.user, mode: Mode::Reg, signing, body }).await
    }

    /// A new device of a known account, with the login secret of its password.
    pub(crate) async fn with_password(
        &self,
        device: &OwnDevice,
        login: &[u8; 32],
    ) -> Result<Session, ConnectError> {
        let body = AuthBody {
            pw: Some(login.to_vec()),
            bundle: Some(device.bundle.bytes().to_vec()),
            ..self.body()
        };
        let signing = Some(&device.keys.signing);
        self.connector.sign_in(Attempt { user: &self.user, mode: Mode::Pw, signing, body }).await
    }

    /// Whether the name has an account. Asked without a password, before one is typed.
    pub(crate) async fn is_known(&self) -> Result<bool, ConnectError> {
        let attempt =
            Attempt { user: &self.user, mode: Mode::Vault, signing: None, body: self.body() };
        match self.connector.sign_in(attempt).await {
            Err(error) if error.code() == Some(code::NO_SUCH_USER) => Ok(false),
            Err(error) if error.code() == Some(code::SIGN_IN) => Ok(true),
            Err(error) => Err(error),
            Ok(_) => Ok(true),
        }
    }

    /// What the code, if there is one, does for the account of this name.
    pub(crate) async fn code_for_account(&self) -> Result<CodeForAccount, ConnectError> {
        if self.invite.is_none() {
            return Ok(CodeForAccount::NotAsked);
        }
        let body = AuthBody { invite: self.invite.clone(), ..self.body() };
        let attempt = Attempt { user: &self.user, mode: Mode::Vault, signing: None, body };
        match self.connector.sign_in(attempt).await {
            Ok(_) => Ok(CodeForAccount::LetsIn),
            Err(error) if error.code() == Some(code::NO_SUCH_USER) => Ok(CodeForAccount::NotAsked),
            Err(error) if error.code() == Some(code::SIGN_IN) => Ok(CodeForAccount::DoesNothing),
            Err(error) => Err(error),
        }
    }

    /// Another password: a new login secret and the vault sealed anew, together.
    pub(crate) async fn change_password(
        &self,
        device: &OwnDevice,
        (old, new): (&PasswordKeys, &PasswordKeys),
        vault: &Sealing,
    ) -> Result<(), ConnectError> {
        let body = AuthBody {
            pw: Some(old.login.to_vec()),
            new_pw: Some(new.login.to_vec()),
            vault: Some(vault.as_bytes().to_vec()),
            ..self.body()
        };
        let signing = Some(&device.keys.signing);
        let attempt = Attempt { user: &self.user, mode: Mode::Passwd, signing, body };
        self.connector.sign_in(attempt).await.map(drop)
    }

    /// The end of the account, for good. One without a password needs no login secret.
    pub(crate) async fn delete(
        &self,
        device: &OwnDevice,
        keys: Option<&PasswordKeys>,
    ) -> Result<(), ConnectError> {
        let body = AuthBody { pw: keys.map(|keys| keys.login.to_vec()), ..self.body() };
        let signing = Some(&device.keys.signing);
        let attempt = Attempt { user: &self.user, mode: Mode::Delete, signing, body };
        self.connector.sign_in(attempt).await.map(drop)
    }

    /// The vault that the server keeps for this name.
    pub(crate) async fn fetch_vault(&self, keys: &PasswordKeys) -> Result<HubVault, ConnectError> {
        let body = AuthBody { pw: Some(keys.login.to_vec()), ..self.body() };
        let attempt = Attempt { user: &self.user, mode: Mode::Vault, signing: None, body };
        let session = self.connector.sign_in(attempt).await?;
        session.signed_in.vault.map(HubVault::new).ok_or_else(|| ConnectError::Refused {
            code: code::SIGN_IN.to_owned(),
            reason: "this account has no password; its keys are on another machine".to_owned(),
        })
    }
}

/// What a code does for an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CodeForAccount {
    /// There is no code, or no account.
    NotAsked,
    /// A new identity enters with it.
    LetsIn,
    /// Nothing: it is none, is used up, its time is over, or it was made for something else.
    DoesNothing,
}

/// The way in for the connection that carries the files of a device.
#[derive(Debug)]
pub struct FilesDoor {
    door: Door,
    device: OwnDevice,
}

impl FilesDoor {
    /// As this device is signed in now.
    pub(crate) fn new(door: &Door, device: OwnDevice) -> Self {
        Self { door: Door { purpose: Purpose::Files, ..door.clone() }, device }
    }

    /// Signs in. A device whose bundle the server does not have yet cannot carry files.
    pub async fn enter(&self) -> Result<Session, ConnectError> {
        let signing = Some(&self.device.keys.signing);
        let (user, body) = (&self.door.user, self.door.body());
        self.door.connector.sign_in(Attempt { user, mode: Mode::Sig, signing, body }).await
    }

    /// The key that chunks name as their sealer's.
    pub fn signing_id(&self) -> KeyId {
        self.device.keys.signing_id()
    }
}

/// Whether a sign-in that was refused is tried in the other way, with the bundle or without. One whose new bundle is put off
/// may have no new key, and come in with the one that the server knows.
fn is_worth_another_way(error: &ConnectError, published: bool) -> bool {
    match error.code() {
        Some(code::SIGN_IN | code::OLD_KEYS) => true,
        _ => !published && is_put_off(error),
    }
}

/// Whether the server may take later what it does not take now.
fn is_put_off(error: &ConnectError) -> bool {
    matches!(error, ConnectError::Busy { .. }) || error.code() == Some(code::TOO_MANY)
}

/// What became of a bundle where the sign-in before was refused.
fn brought_after(error: &ConnectError, brought: Brought) -> Brought {
    match brought {
        Brought::Nothing if error.code() == Some(code::OLD_KEYS) => Brought::TooOld,
        Brought::Nothing if is_put_off(error) => Brought::PutOff,
        other => other,
    }
}

/// Runs what takes a while beside the tasks that must not wait.
pub async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StartError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| StartError::Internal(error.to_string()))
}

/// The device with a bundle that is good for a while. `rb` is the restart nonce it must carry;
/// without one it keeps the one it has, because another process of this home may be the agent.
pub(crate) fn up_to_date(
    device: OwnDevice,
    user: &UserName,
    (rb, known): (Option<Nonce16>, &Known),
) -> Result<OwnDevice, BundleError> {
    let now_ms = now_ms();
    let rb = rb.or(device.bundle.header().rb);
    if !device.is_outdated(rb, now_ms) && !device.is_behind(known) {
        return Ok(device);
    }
    device.republished(user, (rb, known), now_ms)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn refused(code: &str) -> ConnectError {
        ConnectError::Refused { code: code.to_owned(), reason: String::new() }
    }

    /// Goal: a device that comes in after its bundle was refused does not believe that the server has it; one whose bundle is
    /// put off comes in with the key that the server knows. Before: a revocation that was refused was told as done, and one
    /// that was put off kept the device out. Method: what a second way in makes of the refusal of the first.
    #[test]
    fn a_bundle_that_the_server_has_refused_is_not_taken_because_the_device_is_let_in() {
        let busy = ConnectError::Busy { after: Duration::ZERO, why: String::new() };
        for (error, unpublished, published, becomes) in [
            (refused(code::OLD_KEYS), true, true, Brought::TooOld),
            (refused(code::TOO_MANY), true, false, Brought::PutOff),
            (busy, true, false, Brought::PutOff),
            (refused(code::SIGN_IN), true, true, Brought::Nothing),
            (refused(code::REVOKED), false, false, Brought::Nothing),
        ] {
            assert_eq!(is_worth_another_way(&error, false), unpublished, "{error}");
            assert_eq!(is_worth_another_way(&error, true), published, "{error}");
            assert_eq!(brought_after(&error, Brought::Nothing), becomes, "{error}");
            assert_eq!(brought_after(&error, Brought::Taken), Brought::Taken, "{error}");
        }
    }
}
