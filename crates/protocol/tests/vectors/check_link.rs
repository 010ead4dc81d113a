//! Judges sign-ins, passwords and vaults.
#![expect(
    clippy::unwrap_in_result,
    reason = "a fault of the file is no refusal: it fails the test"
)]

use bytes::Bytes;
use chat_protocol::crypto::{VerifyingKey, gcm_open, hkdf_expand, hkdf_extract, sha256};
use chat_protocol::handshake::{Greeting, HandshakeError, Mode, PasswordKeys, Reception, SignedIn};
use chat_protocol::hub::{self, ClientToHub, HubToClient};
use chat_protocol::keys::Bundle;
use zeroize::Zeroizing;

use super::check::{Judge, Verdict};
use super::format::{PasswordCase, SignInCase, SignInExpect, VaultCase};

/// Both ends of one sign-in: the greeting as the client reads it, AUTH as the hub opens it, OK as
/// the client opens it.
pub(crate) fn sign_in(judge: &Judge<'_>, case: &SignInCase) -> Verdict {
    let greeting = Greeting::read(&case.hello).map_err(|_| "hello")?;
    let Ok(HubToClient::Hello { sid, .. }) = hub::read(&case.hello) else { return Err("hello") };
    let reception = Reception::new(greeting.bundle(), sid.0);
    assert_eq!(reception.text(), case.hello, "a hub writes HELLO in one way");

    let link = judge.private(&case.link);
    let received = reception.open(&case.auth, &link, case.exporter.map(|bytes| bytes.0));
    let received = received.map_err(|error| match error {
        HandshakeError::LinkKey => "link",
        HandshakeError::Sealed => "sealed",
        _ => "auth",
    })?;
    if received.header.m != Mode::Vault {
        let published;
        let bundle = match &received.body.bundle {
            Some(bytes) => {
                published = Bundle::verify(Bytes::copy_from_slice(bytes)).map_err(|_| "bundle")?;
                &published
            }
            None => judge.bundle(&received.header.u, &received.header.sk)?,
        };
        let key = bundle.signing_key(&received.header.sk).ok_or("bundle")?;
        let key = VerifyingKey::from_spki(&key.spki).unwrap();
        received.verify(&key).map_err(|_| "signature")?;
    }

    let clear = open_ok(judge, case)?;
    let signed_in: SignedIn = serde_json::from_slice(&clear).map_err(|_| "ok")?;
    assert_eq!(received.ok(&signed_in), case.ok, "a hub writes OK in one way");
    if let Some(SignInExpect { secret, body, signed_in: text }) = &case.expect {
        assert_eq!(hub::write(&received.body), *body);
        assert_eq!(String::from_utf8(clear).unwrap(), *text);
        assert_eq!(hub::write(&signed_in), *text);
        assert_eq!(*link_secret(judge, case), secret.0);
    }
    Ok(())
}

fn auth_parts(case: &SignInCase) -> (Vec<u8>, Vec<u8>) {
    let Ok(ClientToHub::Auth { hdr, body, .. }) = hub::read(&case.auth) else {
        panic!("AUTH was read before")
    };
    (hdr, body)
}

fn link_secret(judge: &Judge<'_>, case: &SignInCase) -> Zeroizing<[u8; 32]> {
    let (hdr, _) = auth_parts(case);
    let header: chat_protocol::handshake::AuthHeader = serde_json::from_slice(&hdr).unwrap();
    let hello = chat_protocol::b64::encode(&sha256(case.hello.as_bytes()));
    let label = format!("chat-e2e/1 chan {hello}");
    judge.private(&case.link).unwrap(label.as_bytes(), &header.wk).unwrap()
}

/// What the client derives, spelled out: the crate's client opens only answers to its own AUTH,
/// whose wrapping is random.
fn open_ok(judge: &Judge<'_>, case: &SignInCase) -> Verdict<Vec<u8>> {
    let (hdr, _) = auth_parts(case);
    let salt = sha256(&[sha256(case.hello.as_bytes()), sha256(&hdr)].concat());
    let prk = hkdf_extract(&salt, &*link_secret(judge, case));
    let key = hkdf_expand(&prk, &[b"chat-e2e/1 s2c"]);
    let Ok(HubToClient::Ok { body }) = hub::read(&case.ok) else { return Err("ok") };
    let opened = gcm_open(&key, &[0; 12], &sha256(case.auth.as_bytes()), &body);
    opened.map(|clear| clear.to_vec()).map_err(|_| "ok")
}

pub(crate) fn password(case: &PasswordCase) -> Verdict {
    let keys = PasswordKeys::derive(&case.password, &case.srv, &case.user);
    let same = *keys.login == case.login.0 && *keys.vault == case.vault.0;
    if same { Ok(()) } else { Err("derivation") }
}

pub(crate) fn vault(case: &VaultCase) -> Verdict {
    let (login, vault) = (Zeroizing::new([0; 32]), Zeroizing::new(case.key.0));
    let keys = PasswordKeys { login, vault };
    let opened = keys.open_vault(&case.srv, &case.user, case.number, &case.sealed.0);
    let clear = opened.map_err(|_| "sealed")?;
    if let Some(expect) = &case.expect {
        assert_eq!(*expect, String::from_utf8(clear.to_vec()).unwrap());
    }
    Ok(())
}
