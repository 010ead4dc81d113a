//! Hubs that cheat at the sign-in: with a vault of their own, and with two identities.

use chat_protocol::b64::{B64Array, B64Vec};
use chat_protocol::crypto::{KeyBits, SigningKey};
use chat_protocol::handshake::PasswordKeys;
use chat_protocol::id::KeyId;
use chat_protocol::name::UserName;
use chat_protocol::vault::keep;
use chat_tests::{FalseHub, PASSWORD, Rig, VaultOf};
use serde_json::json;

/// A vault in clear with an identity key of the hub's own making.
fn in_clear() -> Vec<u8> {
    let identity = SigningKey::generate(KeyBits::B2048).unwrap();
    let identity = B64Vec(identity.to_pkcs8().to_vec());
    json!({"v": 1, "ik": identity, "store": B64Array([7; 32])}).to_string().into_bytes()
}

/// The same, sealed for this account with the password that it has.
fn sealed(server: KeyId, user: &UserName) -> Vec<u8> {
    let keys = PasswordKeys::derive(PASSWORD, &server, user);
    keep(1, &keys.seal_vault(&server, user, 1, [3; 12], &in_clear()))
}

/// A sign-in from a new machine at a hub with these vaults: refused, and nothing is written.
#[track_caller]
fn refused(what: &str, vault: VaultOf) {
    let rig = Rig::new();
    let hub = FalseHub::with_vaults(vault);
    let alice = rig.client("alice", &hub.url());
    let refused = alice.run(&["users"]);
    assert_eq!(refused.code, Some(7), "{what}: {refused:?}");
    assert!(refused.stderr.contains("E_INTEGRITY"), "{what}: {refused:?}");
    assert_eq!(hub.secrets(), 1, "{what}: it had the login secret, and nothing after it");
    let is_empty =
        !alice.home().exists() || std::fs::read_dir(alice.home()).unwrap().next().is_none();
    assert!(is_empty, "{what}: something was written");
}

#[test]
fn a_vault_that_the_hub_made_is_refused_and_nothing_is_written() {
    refused("in clear", Box::new(|_, _| in_clear()));
    refused("nothing", Box::new(|_, _| Vec::new()));
    refused("three bytes", Box::new(|_, _| vec![0, 0, 1]));
    refused(
        "cut short",
        Box::new(|server, user| {
            let mut vault = sealed(server, user);
            vault.pop();
            vault
        }),
    );
    refused(
        "number 0",
        Box::new(|server, user| {
            let mut vault = sealed(server, user);
            vault.splice(..4, [0; 4]);
            vault
        }),
    );
    refused(
        "another account's",
        Box::new(|server, _| sealed(server, &UserName::new("bob").unwrap())),
    );
}

#[test]
fn a_server_that_changes_between_two_connections_gets_no_secret() {
    let rig = Rig::new();
    let hub = FalseHub::with_two_faces();
    let refused = rig.client("alice", &hub.url()).run(&["users"]).expect_code(7);
    assert!(refused.stderr.contains("server_changed"), "{refused:?}");
    assert_eq!((hub.greetings(), hub.secrets()), (2, 0), "nothing was sent to the second face");
}
