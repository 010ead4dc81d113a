//! What a person proves at sign-in: with a new bundle, with a signature, or with a password. Here it
//! is checked against what is stored; the worker decides.

use std::sync::Arc;

use chat_protocol::{
    code, crypto::VerifyingKey, handshake::ReceivedAuth, id::Digest, invite, keys::Bundle,
    keys::BundleError, name::UserName, spoken,
};
use tokio::time::Instant;

use super::{Problem, Visitor};
use crate::{
    budgets::{Budget, By, Unpublished},
    close::CloseReason,
    guesses::{Attempt, Ended},
    listener::source,
    published,
    request::{OLD_KEYS, Proof, REPLACED, REVOKED, Refusal},
    shared::Shared,
    store::{AccountRow, BundleName},
};

/// A bundle, and its newest signing key as SPKI DER.
type OwnBundle = (Arc<Bundle>, Vec<u8>);

/// The bundle that came along, with the key that must have signed AUTH.
fn own_bundle(received: &ReceivedAuth, now: u64) -> Result<Option<OwnBundle>, Problem> {
    let Some(bytes) = &received.body.bundle else { return Ok(None) };
    let bundle = Bundle::verify(bytes.clone().into())
        .map_err(|error| Problem::refuse(code::MALFORMED, error.to_string()))?;
    if bundle.header().u != received.header.u {
        return Err(Problem::refuse(code::SIGN_IN, "the bundle belongs to another name"));
    }
    let newest = bundle.header().sk.first();
    let newest = newest.filter(|key| key.kid == received.header.sk && key.exp > now);
    let Some(spki) = newest.map(|key| key.spki.clone()) else {
        let reason = "a sign-in is signed by the newest key of its bundle, unexpired";
        return Err(Problem::refuse(code::SIGN_IN, reason));
    };
    Ok(Some((Arc::new(bundle), spki)))
}

fn check_signature(received: &ReceivedAuth, spki: &[u8]) -> Result<(), Problem> {
    let key = VerifyingKey::from_spki(spki);
    let is_good = key.is_ok_and(|key| received.verify(&key).is_ok());
    is_good.then_some(()).ok_or_else(wrong_key)
}

fn wrong_key() -> Problem {
    Problem::refuse(code::SIGN_IN, "this is not the signature of a key of this account")
}

pub(super) async fn register(
    hub: &Shared,
    received: &ReceivedAuth,
    visitor: &Visitor<'_>,
) -> Result<(Proof, Vec<u8>), Problem> {
    let Some((bundle, spki)) = own_bundle(received, (hub.clock)())? else {
        return Err(Problem::refuse(code::MALFORMED, "a new account needs a bundle"));
    };
    check_signature(received, &spki)?;
    // The worker decides; this saves the slow hash for a name that is gone already.
    let taken = hub.reads.account(&received.header.u).await?;
    if let Some(code) = taken.as_ref().and_then(|account| reset_code(hub, account, received)) {
        let password = match &received.body.pw {
            Some(secret) => Some(hash(hub, secret.clone(), visitor).await?),
            None => None,
        };
        let vault = received.body.vault.clone();
        return Ok((Proof::Reset { code, bundle, password, vault }, spki));
    }
    let is_taken = taken.is_some();
    if !is_taken && hub.budgets.disk.is_full() {
        hub.budgets.hit(Budget::Disk);
        return Err(Problem::Refused(Refusal::storage_full()));
    }
    let source = source(visitor.peer.addr.ip());
    let by = if has_code(hub, received) { By::Code } else { By::Oneself };
    if !is_taken {
        hub.budgets.sources.may_sign_up(source, by, Instant::now()).map_err(|wait| {
            let minutes = spoken::counted(wait.as_secs().div_ceil(60), "minute");
            let reason = format!(
                "your address has made as many accounts as it may for now; wait {minutes}, or \
                 ask the operator of this server"
            );
            Problem::refuse(code::TOO_MANY, reason)
        })?;
    }
    let password = match &received.body.pw {
        Some(secret) if !is_taken => hash(hub, secret.clone(), visitor).await.map(Some),
        _ => Ok(None),
    };
    // Who leaves before the hash is made has cost as much as who stays.
    if !is_taken && matches!(password, Ok(_) | Err(Problem::Gone)) {
        hub.budgets.sources.signed_up(source, by, Instant::now());
    }
    Ok((Proof::New { bundle, password: password?, vault: received.body.vault.clone() }, spki))
}

/// Whether somebody comes with a code where a new account needs one.
pub(super) fn has_code(hub: &Shared, received: &ReceivedAuth) -> bool {
    received.body.invite.is_some() && hub.gate.now().asks_for_codes()
}

/// The code that came along, if it lets another identity into this account. The worker decides.
pub(super) fn reset_code(
    hub: &Shared,
    account: &AccountRow,
    received: &ReceivedAuth,
) -> Option<Digest> {
    let code = invite::digest(received.body.invite.as_deref()?);
    let is_good = account.name == received.header.u
        && account.reset.is_some_and(|reset| reset.admits(&code, (hub.clock)()));
    is_good.then_some(code)
}

/// The hash of a login secret.
pub(super) async fn hash(
    hub: &Shared,
    secret: Vec<u8>,
    visitor: &Visitor<'_>,
) -> Result<String, Problem> {
    let hashing = hub.passwords.hash(source(visitor.peer.addr.ip()), secret);
    let hashed = visitor.wait(hashing).await?;
    hashed.map_err(|unavailable| Problem::unavailable(hub, unavailable))
}

/// Takes a sign-in of an account, and what it publishes, from its budgets. It has proved who it is. One that
/// ends a stolen key costs nothing: who has that key could use up both.
fn spend(
    hub: &Shared,
    account: &AccountRow,
    stored: &[Bundle],
    proof: &Proof,
) -> Result<(), Problem> {
    let published = stored.iter().map(Bundle::header);
    if let Proof::Bundle { bundle, .. } = proof
        && published::only_revokes(bundle, &account.revoked, published.clone())
    {
        return Ok(());
    }
    let (budgets, now) = (hub.budgets.of(account.id), Instant::now());
    let too_fast = |what: &str, wait: std::time::Duration| {
        let reason = format!("{what}; come again in {} s", wait.as_millis().div_ceil(1000));
        Problem::Refused(Refusal::new(code::TOO_MANY, reason).with_retry(wait))
    };
    let taken = budgets.take(Budget::SignIns, now);
    taken.map_err(|wait| too_fast("this account signs in too often", wait))?;
    let Proof::Bundle { bundle, .. } = proof else { return Ok(()) };
    let is_new_key = published::has_new_key(bundle, published);
    budgets.take_bundle(is_new_key, now).map_err(|unpublished| match unpublished {
        Unpublished::SigningKeys => {
            let reason = "this account has published as many signing keys as it may in a month";
            Problem::refuse(code::TOO_MANY, reason)
        }
        Unpublished::Bundles(wait) => too_fast("this account publishes keys too often", wait),
    })
}

/// The account with exactly this name.
pub(super) async fn account(hub: &Shared, name: &UserName) -> Result<Option<AccountRow>, Problem> {
    Ok(hub.reads.account(name).await?.filter(|account| account.name == *name))
}

pub(super) fn nobody(name: &UserName) -> Problem {
    Problem::refuse(code::NO_SUCH_USER, spoken::nobody(name))
}

pub(super) async fn by_signature(
    hub: &Shared,
    received: &ReceivedAuth,
) -> Result<(Proof, Vec<u8>), Problem> {
    let name = &received.header.u;
    let account = account(hub, name).await?.ok_or_else(|| nobody(name))?;
    let stored = stored_bundles(&account)?;
    check_counts(&account, &stored, received)?;
    let mut known = stored.iter().flat_map(|bundle| &bundle.header().sk);
    if !known.any(|key| key.kid == received.header.sk)
        && was_replaced(hub, &account, received).await?
    {
        return Err(Problem::refuse(code::REVOKED, REPLACED));
    }
    if let Some((bundle, spki)) = own_bundle(received, (hub.clock)())? {
        let known = stored.iter().find(|known| known.header().dev == bundle.header().dev);
        let Some(known) = known else {
            // A device that this hub has lost, of an account whose identity key is all there is.
            if account.password.is_some() || bundle.identity() != account.identity {
                return Err(wrong_key());
            }
            check_signature(received, &spki)?;
            let proof = Proof::Bundle { bundle, after: None };
            spend(hub, &account, &stored, &proof)?;
            return Ok((proof, spki));
        };
        check_follows(&bundle, known)?;
        check_signature(received, &spki)?;
        let dev = known.header().dev;
        let is_same = bundle.digest() == known.digest();
        let after = Some(known.digest());
        let proof = if is_same { Proof::Known { dev } } else { Proof::Bundle { bundle, after } };
        spend(hub, &account, &stored, &proof)?;
        return Ok((proof, spki));
    }
    let now = (hub.clock)();
    let found = stored.iter().find_map(|bundle| {
        let key = bundle.header().sk.first().filter(|key| key.kid == received.header.sk)?;
        Some((bundle.header().dev, key))
    });
    let Some((dev, key)) = found else { return Err(wrong_key()) };
    if key.exp <= now {
        let reason = "this signing key has expired; sign in with a new bundle";
        return Err(Problem::refuse(code::SIGN_IN, reason));
    }
    check_signature(received, &key.spki)?;
    spend(hub, &account, &stored, &Proof::Known { dev })?;
    Ok((Proof::Known { dev }, key.spki.clone()))
}

/// Checks that a key signs that was not revoked. Whoever has one that was costs the account nothing, whatever else they prove.
fn check_counts(
    account: &AccountRow,
    stored: &[Bundle],
    received: &ReceivedAuth,
) -> Result<(), Problem> {
    let newest = stored.iter().map(Bundle::header);
    let is_revoked = published::is_revoked(&account.revoked, newest, &received.header.sk);
    if is_revoked { Err(Problem::refuse(code::REVOKED, REVOKED)) } else { Ok(()) }
}

/// Checks that a bundle comes behind the one that the device has here, or is that one.
fn check_follows(bundle: &Bundle, known: &Bundle) -> Result<(), Problem> {
    bundle.follows(known).map_err(|error| match error {
        BundleError::Sequence { .. } => Problem::refuse(code::OLD_KEYS, OLD_KEYS),
        error => Problem::refuse(code::SIGN_IN, error.to_string()),
    })
}

/// Whether whoever signs is a device of an identity that the account had before.
async fn was_replaced(
    hub: &Shared,
    account: &AccountRow,
    received: &ReceivedAuth,
) -> Result<bool, Problem> {
    let first = BundleName::Key(account.id, received.header.sk);
    let found = hub.reads.bundles(vec![first]).await?.into_iter().flatten().next();
    let of = found.map(|bundle| Bundle::verify(bundle.into()));
    Ok(matches!(of, Some(Ok(bundle)) if bundle.identity() != account.identity))
}

fn stored_bundles(account: &AccountRow) -> Result<Vec<Bundle>, Problem> {
    let verified: Result<Vec<_>, _> =
        account.devices.iter().map(|device| Bundle::verify(device.bundle.clone())).collect();
    verified.map_err(|error| {
        tracing::error!(%error, user = %account.name, "a stored bundle is damaged");
        Problem::Failed(CloseReason::Internal)
    })
}

/// Checks the login secret; wrong ones get slower.
pub(super) async fn check_password(
    hub: &Shared,
    received: &ReceivedAuth,
    visitor: &Visitor<'_>,
) -> Result<AccountRow, Problem> {
    let name = &received.header.u;
    let Some(secret) = received.body.pw.clone() else {
        return Err(no_secret(hub, name).await?);
    };
    let attempt = Attempt { name: name.folded(), source: source(visitor.peer.addr.ip()) };
    let counted = hub
        .passwords
        .begin(attempt, Instant::now().into_std())
        .await
        .map_err(|wait| Problem::refuse(code::TOO_MANY, wait.reason()))?;
    let checked = compare(hub, name, secret, visitor).await;
    let ended = match &checked {
        Ok((Some(_), true)) => Ended::Right,
        // Of an unknown name, too: who tries names costs as much; and so does who leaves before the answer.
        Ok((_, false) | (None, true)) | Err(Problem::Gone) => Ended::Wrong,
        Err(_) => Ended::Void,
    };
    hub.passwords.settle(counted, ended).await;
    let (account, is_right) = checked?;
    let account = account.ok_or_else(|| nobody(name))?;
    if !is_right {
        let reason = "wrong password; who has lost it can get a code from who runs this server and give \
                      it with --invite CODE";
        return Err(Problem::refuse(code::SIGN_IN, reason));
    }
    Ok(account)
}

/// The account of a name and whether the secret is its own. An unknown name costs the same time.
async fn compare(
    hub: &Shared,
    name: &UserName,
    secret: Vec<u8>,
    visitor: &Visitor<'_>,
) -> Result<(Option<AccountRow>, bool), Problem> {
    let account = account(hub, name).await?;
    let stored = account.as_ref().and_then(|account| account.password.clone());
    let checking = hub.passwords.check(source(visitor.peer.addr.ip()), secret, stored);
    let checked = visitor.wait(checking).await?;
    let is_right = checked.map_err(|unavailable| Problem::unavailable(hub, unavailable))?;
    Ok((account, is_right))
}

pub(super) async fn by_password(
    hub: &Shared,
    received: &ReceivedAuth,
    visitor: &Visitor<'_>,
) -> Result<(Proof, Vec<u8>), Problem> {
    let account = check_password(hub, received, visitor).await?;
    let Some((bundle, spki)) = own_bundle(received, (hub.clock)())? else {
        return Err(Problem::refuse(code::MALFORMED, "a new device needs a bundle"));
    };
    check_signature(received, &spki)?;
    if bundle.identity() != account.identity {
        if was_replaced(hub, &account, received).await? {
            return Err(Problem::refuse(code::REVOKED, REPLACED));
        }
        let reason = "the account of this name has another identity than this device: somebody else has taken \
                      the name; sign up under another one, or ask who runs this server";
        return Err(Problem::refuse(code::SIGN_IN, reason));
    }
    let stored = stored_bundles(&account)?;
    check_counts(&account, &stored, received)?;
    let known = stored.iter().find(|known| known.header().dev == bundle.header().dev);
    if let Some(known) = known {
        check_follows(&bundle, known)?;
        if bundle.digest() == known.digest() {
            let proof = Proof::Known { dev: known.header().dev };
            spend(hub, &account, &stored, &proof)?;
            return Ok((proof, spki));
        }
    }
    let proof = Proof::Bundle { bundle, after: known.map(Bundle::digest) };
    spend(hub, &account, &stored, &proof)?;
    Ok((proof, spki))
}

/// What is said to somebody who gives no login secret: whether the name is known. Everybody who is
/// signed in sees the names, so this tells nothing; a client asks before it has a password typed.
async fn no_secret(hub: &Shared, name: &UserName) -> Result<Problem, Problem> {
    Ok(match hub.reads.account(name).await? {
        None => nobody(name),
        Some(account) if account.name != *name => {
            let reason =
                format!("this name belongs to somebody else, who is called {}", account.name);
            Problem::refuse(code::NAME_TAKEN, reason)
        }
        Some(_) => Problem::refuse(code::SIGN_IN, "a login secret is needed here"),
    })
}
