//! What a person proves at sign-in: with a new bundle, with a signature, or with a password. Here it
//! is checked against what is stored; the worker decides.

use std::sync::Arc;

use chat_protocol::{
    code, crypto::VerifyingKey, handshake::ReceivedAuth, keys::Bundle, name::UserName,
};
use tokio::time::Instant;

use super::{
    Problem, change,
    guesses::{self, Attempt},
};
use crate::{
    close::CloseReason,
    connection::PeerInfo,
    hub::Shared,
    listener::source,
    request::{Proof, REVOKED},
    store::AccountRow,
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
) -> Result<(Proof, Vec<u8>), Problem> {
    let Some((bundle, spki)) = own_bundle(received, (hub.clock)())? else {
        return Err(Problem::refuse(code::MALFORMED, "a new account needs a bundle"));
    };
    check_signature(received, &spki)?;
    // The worker decides; this saves the slow hash for a name that is gone already.
    let is_taken = hub.reads.account(&received.header.u).await?.is_some();
    let password = match &received.body.pw {
        Some(secret) if !is_taken => Some(hub.passwords.hash(secret.clone()).await?),
        _ => None,
    };
    Ok((Proof::New { bundle, password, vault: received.body.vault.clone() }, spki))
}

/// The account with exactly this name.
pub(super) async fn account(hub: &Shared, name: &UserName) -> Result<Option<AccountRow>, Problem> {
    Ok(hub.reads.account(name).await?.filter(|account| account.name == *name))
}

pub(super) fn nobody(name: &UserName) -> Problem {
    Problem::refuse(code::NO_SUCH_USER, format!("nobody is named {name}"))
}

pub(super) async fn by_signature(
    hub: &Shared,
    received: &ReceivedAuth,
) -> Result<(Proof, Vec<u8>), Problem> {
    let name = &received.header.u;
    let account = account(hub, name).await?.ok_or_else(|| nobody(name))?;
    let stored = stored_bundles(&account)?;
    if stored.iter().any(|bundle| bundle.header().rev.contains(&received.header.sk)) {
        return Err(Problem::refuse(code::SIGN_IN, REVOKED));
    }
    if let Some((bundle, spki)) = own_bundle(received, (hub.clock)())? {
        let known = stored.iter().find(|known| known.header().dev == bundle.header().dev);
        let Some(known) = known else {
            // A device that this hub has lost, of an account whose identity key is all there is.
            if account.password.is_some() || bundle.identity() != account.identity {
                return Err(wrong_key());
            }
            check_signature(received, &spki)?;
            return Ok((Proof::Bundle { bundle, after: None }, spki));
        };
        bundle.follows(known).map_err(|error| Problem::refuse(code::SIGN_IN, error.to_string()))?;
        check_signature(received, &spki)?;
        let dev = known.header().dev;
        let is_same = bundle.digest() == known.digest();
        let after = Some(known.digest());
        let proof = if is_same { Proof::Known { dev } } else { Proof::Bundle { bundle, after } };
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
    Ok((Proof::Known { dev }, key.spki.clone()))
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
    peer: &PeerInfo,
) -> Result<AccountRow, Problem> {
    let name = &received.header.u;
    let Some(secret) = received.body.pw.clone() else {
        return Err(change::no_secret(hub, name).await?);
    };
    let attempt = Attempt { name: name.folded(), source: source(peer.addr.ip()) };
    hub.passwords
        .begin(&attempt, Instant::now().into_std())
        .map_err(|wait| Problem::refuse(code::TOO_MANY, wait.reason()))?;
    let checked = compare(hub, name, secret).await;
    hub.passwords.settle(
        &attempt,
        match &checked {
            Ok((Some(_), true)) => guesses::Ended::Right,
            Ok((Some(_), false)) => guesses::Ended::Wrong,
            Ok((None, _)) | Err(_) => guesses::Ended::Void,
        },
    );
    let (account, is_right) = checked?;
    let account = account.ok_or_else(|| nobody(name))?;
    if !is_right {
        return Err(Problem::refuse(code::SIGN_IN, "wrong password"));
    }
    Ok(account)
}

/// The account of a name and whether the secret is its own. An unknown name costs the same time.
async fn compare(
    hub: &Shared,
    name: &UserName,
    secret: Vec<u8>,
) -> Result<(Option<AccountRow>, bool), Problem> {
    let account = account(hub, name).await?;
    let stored = account.as_ref().and_then(|account| account.password.clone());
    let is_right = hub.passwords.check(secret, stored).await?;
    Ok((account, is_right))
}

pub(super) async fn by_password(
    hub: &Shared,
    received: &ReceivedAuth,
    peer: &PeerInfo,
) -> Result<(Proof, Vec<u8>), Problem> {
    let account = check_password(hub, received, peer).await?;
    let Some((bundle, spki)) = own_bundle(received, (hub.clock)())? else {
        return Err(Problem::refuse(code::MALFORMED, "a new device needs a bundle"));
    };
    check_signature(received, &spki)?;
    if bundle.identity() != account.identity {
        let reason = "the bundle is signed by another identity than this account's";
        return Err(Problem::refuse(code::SIGN_IN, reason));
    }
    let stored = stored_bundles(&account)?;
    let known = stored.iter().find(|known| known.header().dev == bundle.header().dev);
    if let Some(known) = known {
        bundle.follows(known).map_err(|error| Problem::refuse(code::SIGN_IN, error.to_string()))?;
        if bundle.digest() == known.digest() {
            return Ok((Proof::Known { dev: known.header().dev }, spki));
        }
    }
    let after = known.map(Bundle::digest);
    Ok((Proof::Bundle { bundle, after }, spki))
}
