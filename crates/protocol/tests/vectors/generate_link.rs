//! Sign-ins, passwords and vaults.

use chat_protocol::b64::{B64Array, B64Vec};
use chat_protocol::handshake::{
    AuthBody, AuthHeader, Credentials, Greeting, Mode, PasswordKeys, Purpose, Reception, SignedIn,
};
use chat_protocol::hub::{self, ClientToHub, EpochHead, Head};
use chat_protocol::id::{Digest, KeyId};
use chat_protocol::keys::BundleOptions;
use chat_protocol::name::{ConversationId, UserName};
use zeroize::Zeroizing;

use super::format::{Case, PasswordCase, SignInCase, SignInExpect, VaultCase};
use super::generate::{Device, NOW, World};
use super::generate_keys::second_bundle;

const SESSION: [u8; 32] = [0x51; 32];
const SECRET: [u8; 32] = [0x52; 32];
const EXPORTER: [u8; 32] = [0x53; 32];

/// How one sign-in is made.
struct Attempt<'w> {
    device: &'w Device,
    mode: Mode,
    body: AuthBody,
    exporter: Option<[u8; 32]>,
}

fn signed_in(vault: Option<Vec<u8>>) -> SignedIn {
    let epoch = EpochHead { g: 3, e: Digest([3; 32]) };
    let cid = ConversationId::parse("room:lobby").unwrap();
    let heads = vec![Head { cid, mg: 2, pm: Digest([2; 32]), epoch: Some(epoch) }];
    let position = if vault.is_some() { 0 } else { 57 };
    SignedIn { time: NOW, position, heads, more: false, vault }
}

fn attempt(world: &World, attempt: &Attempt<'_>) -> SignInCase {
    let reception = Reception::new(&world.hub.bundle, SESSION);
    let greeting = Greeting::read(reception.text()).unwrap();
    let vault = attempt.mode == Mode::Vault;
    let credentials = Credentials {
        user: &attempt.device.user,
        mode: attempt.mode,
        signing: (!vault).then_some(&attempt.device.keys.signing),
        body: &attempt.body,
        exporter: attempt.exporter,
    };
    let (auth, _) = greeting.auth(&credentials, &Zeroizing::new(SECRET)).unwrap();
    let received = reception.open(&auth, &world.link, attempt.exporter).unwrap();
    let answer = signed_in(vault.then(|| vec![0x77; 40]));
    SignInCase {
        hello: reception.text().to_owned(),
        ok: received.ok(&answer),
        auth,
        link: "hub.lk".to_owned(),
        exporter: attempt.exporter.map(B64Array),
        expect: Some(SignInExpect {
            secret: B64Array(SECRET),
            body: hub::write(&attempt.body),
            signed_in: hub::write(&answer),
        }),
    }
}

pub(crate) fn sign_ins(world: &mut World) {
    let alice = &world.alice;
    let plain = attempt(
        world,
        &Attempt {
            device: alice,
            mode: Mode::Sig,
            body: AuthBody::new(Purpose::Task),
            exporter: None,
        },
    );
    let bound = attempt(
        world,
        &Attempt {
            device: alice,
            mode: Mode::Sig,
            body: AuthBody::new(Purpose::Interactive),
            exporter: Some(EXPORTER),
        },
    );
    let new_device = AuthBody {
        pw: Some(vec![0x11; 32]),
        bundle: Some(second_bundle(alice).bytes().to_vec()),
        ..AuthBody::new(Purpose::Interactive)
    };
    let password = attempt(
        world,
        &Attempt { device: alice, mode: Mode::Pw, body: new_device, exporter: None },
    );
    let ask = AuthBody { pw: Some(vec![0x11; 32]), ..AuthBody::new(Purpose::Task) };
    let vault =
        attempt(world, &Attempt { device: alice, mode: Mode::Vault, body: ask, exporter: None });
    let mut refused = changed_texts(world, &plain, &bound);
    refused.extend(changed_auth(world, &plain));
    for (name, case) in [
        ("sign-in/signature", plain),
        ("sign-in/bound-to-tls", bound),
        ("sign-in/password", password),
        ("sign-in/vault", vault),
    ] {
        world.accept(name, Case::SignIn(case));
    }
    for (name, at, altered, case) in refused {
        let why = "a sign-in is for one greeting of one hub on one connection (rules R16, R21)";
        let case = SignInCase { expect: None, ..case };
        world.refuse(&format!("sign-in/{name}"), [at, altered, why], Case::SignIn(case));
    }
}

type Refused = Vec<(&'static str, &'static str, &'static str, SignInCase)>;

/// Other greetings, connections and answers.
fn changed_texts(world: &World, plain: &SignInCase, bound: &SignInCase) -> Refused {
    let hello =
        |reception: Reception| SignInCase { hello: reception.text().to_owned(), ..plain.clone() };
    let relayed = hello(Reception::new(&world.hub.bundle, [9; 32]));
    let options =
        BundleOptions { lk: world.hub.bundle.header().lk.clone(), ..BundleOptions::default() };
    let false_hub = world.mallory.keys.publish(
        &UserName::server(),
        world.hub.bundle.header().dev,
        None,
        NOW,
        options,
    );
    let false_hub = hello(Reception::new(&false_hub.unwrap(), SESSION));
    let person = hello(Reception::new(&world.alice.bundle, SESSION));
    let text = |from: &str, to: &str| {
        let hello = plain.hello.replacen(from, to, 1);
        assert_ne!(hello, plain.hello);
        SignInCase { hello, ..plain.clone() }
    };
    let srv = world.hub.bundle.identity().to_string();
    let other_srv = text(&srv, &KeyId([9; 16]).to_string());
    let version = text("\"v\":1", "\"v\":2");
    let unknown = text("\"v\":1", "\"v\":1,\"x\":1");
    let other_ok = SignInCase { ok: bound.ok.clone(), ..plain.clone() };
    let exporter = |bytes: Option<[u8; 32]>, case: &SignInCase| SignInCase {
        exporter: bytes.map(B64Array),
        ..case.clone()
    };
    vec![
        ("relayed", "sealed", "relayed to another greeting of the hub", relayed),
        ("false-hub", "sealed", "the greeting of a hub with another identity", false_hub),
        ("no-hub", "hello", "the greeting has the bundle of a person", person),
        ("srv", "hello", "srv is not the id of the hub's identity", other_srv),
        ("hello-version", "hello", "HELLO of version 2", version),
        ("hello-key", "hello", "an unknown key in HELLO", unknown),
        ("other-ok", "ok", "the answer to another sign-in", other_ok),
        ("other-connection", "signature", "another TLS connection", exporter(Some([9; 32]), bound)),
        (
            "unbound",
            "auth",
            "the hub has TLS, and the client did not bind to it",
            exporter(Some(EXPORTER), plain),
        ),
        ("no-tls", "auth", "the client bound to TLS, and the hub has none", exporter(None, bound)),
    ]
}

/// AUTH with a part of it changed.
fn changed_auth(world: &World, plain: &SignInCase) -> Refused {
    let Ok(ClientToHub::Auth { hdr, body, sig }) = hub::read(&plain.auth) else {
        panic!("AUTH was written here")
    };
    let with = |hdr: &[u8], body: &[u8], sig: &[u8]| SignInCase {
        auth: hub::write(&ClientToHub::Auth {
            hdr: hdr.to_vec(),
            body: body.to_vec(),
            sig: sig.to_vec(),
        }),
        ..plain.clone()
    };
    let flip = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    };
    let edit = |edit: &dyn Fn(&mut AuthHeader)| {
        let mut header: AuthHeader = serde_json::from_slice(&hdr).unwrap();
        edit(&mut header);
        with(hub::write(&header).as_bytes(), &body, &sig)
    };
    let spaced = String::from_utf8(hdr.clone()).unwrap().replacen(",\"u\"", ", \"u\"", 1);
    let by_bob = world.bob.keys.signing.sign(b"anything");
    vec![
        ("body", "sealed", "one bit of the sealed part", with(&hdr, &flip(&body), &sig)),
        ("signature-bit", "signature", "one bit of the signature", with(&hdr, &body, &flip(&sig))),
        ("no-signature", "signature", "no signature", with(&hdr, &body, &[])),
        ("by-another", "signature", "another's signature", with(&hdr, &body, &by_bob)),
        ("space", "auth", "a space in the header", with(spaced.as_bytes(), &body, &sig)),
        ("auth-version", "auth", "AUTH of version 2", edit(&|h| h.v = 2)),
        (
            "user",
            "sealed",
            "another name in the header",
            edit(&|h| h.u = UserName::new("bob").unwrap()),
        ),
        ("mode", "sealed", "the mode that needs no signature", edit(&|h| h.m = Mode::Vault)),
        ("wrapped-secret", "sealed", "one bit of the wrapped secret", edit(&|h| h.wk[9] ^= 1)),
        ("link-key", "link", "the id of another link key", edit(&|h| h.lk = KeyId([9; 16]))),
    ]
}

pub(crate) fn passwords(world: &mut World) {
    let srv = world.hub.bundle.identity();
    let user = world.alice.user.clone();
    let derived = |password: &str| {
        let keys = PasswordKeys::derive(password, &srv, &user);
        PasswordCase {
            password: password.to_owned(),
            srv,
            user: user.clone(),
            login: B64Array(*keys.login),
            vault: B64Array(*keys.vault),
        }
    };
    let right = derived("correct horse battery staple");
    let accented = derived("p\u{e4}ssw\u{f6}rd \u{1f40e}");
    let keys =
        PasswordKeys { login: Zeroizing::new(right.login.0), vault: Zeroizing::new(right.vault.0) };
    let clear = "{\"ik\":\"the identity key\"}";
    let sealed = keys.seal_vault(&srv, &user, 3, [0x56; 12], clear.as_bytes());
    let vault = VaultCase {
        key: right.vault,
        srv,
        user: user.clone(),
        number: 3,
        sealed: B64Vec(sealed.clone()),
        expect: None,
    };
    let bob = world.bob.user.clone();
    let other_hub = PasswordCase { srv: KeyId([9; 16]), ..right.clone() };
    let other_user = PasswordCase { user: bob.clone(), ..right.clone() };
    let mut flipped = sealed.clone();
    flipped[14] ^= 1;
    let why = "what a password turns into is good for one user of one hub";
    world.accept("password/ascii", Case::Password(right));
    world.accept("password/unicode", Case::Password(accented));
    let hub = ["derivation", "derived for another hub", why];
    world.refuse("password/other-hub", hub, Case::Password(other_hub));
    let name = ["derivation", "derived for another name", why];
    world.refuse("password/other-name", name, Case::Password(other_user));
    let right = VaultCase { expect: Some(clear.to_owned()), ..vault.clone() };
    world.accept("vault/number-three", Case::Vault(right));
    let why = "a vault opens for its user, hub and number (rule R25)";
    for (name, altered, case) in [
        ("number", "an older number", VaultCase { number: 2, ..vault.clone() }),
        ("other-hub", "another hub", VaultCase { srv: KeyId([9; 16]), ..vault.clone() }),
        ("other-name", "another name", VaultCase { user: bob, ..vault.clone() }),
        (
            "bit",
            "one bit of the ciphertext",
            VaultCase { sealed: B64Vec(flipped), ..vault.clone() },
        ),
        (
            "short",
            "shorter than a nonce",
            VaultCase { sealed: B64Vec(sealed[..5].to_vec()), ..vault.clone() },
        ),
    ] {
        world.refuse(&format!("vault/{name}"), ["sealed", altered, why], Case::Vault(case));
    }
}
