//! Sign-in: which hub, which connection, and what the vault opens for.

use chat_protocol::crypto::sha256;
use chat_protocol::handshake::{
    Greeting, HandshakeError, PasswordKeys, ReceivedAuth, Reception, SignedIn,
};
use chat_protocol::hub::{self, ClientToHub, HubToClient};
use chat_protocol::id::KeyId;
use chat_protocol::keys::server_id;
use chat_protocol::name::{ConversationId, RoomName, UserName};
use zeroize::Zeroizing;

use super::parties::{ALICE, BOB, device_keys};
use super::signing_in::{LINK, attempt, hub_bundle};

#[test]
fn r16_the_hub_is_named_by_its_identity() {
    let bundle = hub_bundle();
    let identity = device_keys("hub").identity;
    let expected: [u8; 16] = sha256(identity.spki())[..16].try_into().unwrap();
    assert_eq!(server_id(identity.spki()), KeyId(expected));
    let reception = Reception::new(&bundle, [1; 32]);
    assert_eq!(Greeting::read(reception.text()).unwrap().server(), KeyId(expected));

    let (srv, other) = (KeyId(expected).to_string(), KeyId([9; 16]).to_string());
    let lied = reception.text().replacen(&srv, &other, 1);
    assert_ne!(lied, reception.text());
    assert!(matches!(Greeting::read(&lied), Err(HandshakeError::Hub(_))), "recomputed");
    let person = Reception::new(&ALICE.bundle, [1; 32]);
    assert!(Greeting::read(person.text()).is_err(), "a person's bundle is no hub's");
}

#[test]
fn r17_reserved_names_are_reserved_in_any_case() {
    for name in ["ALL", "all", "All", "aLL", "server", "SERVER", "Server"] {
        assert!(UserName::for_account(name).is_err(), "{name}");
    }
    for name in ["all", "All"] {
        assert!(UserName::new(name).is_err() && RoomName::new(name).is_err(), "{name}");
    }
    let (upper, lower) = (UserName::new("Alice").unwrap(), UserName::new("alice").unwrap());
    assert_ne!(upper, lower, "the claimed spelling is the only one valid");
    assert_eq!(upper.folded(), lower.folded(), "and it is unique without regard to case");
    assert!(ConversationId::parse("dm:alice:Alice").is_err(), "sorted bytewise: capitals first");
}

fn received(
    reception: &Reception,
    text: &str,
    exporter: Option<[u8; 32]>,
) -> Result<ReceivedAuth, HandshakeError> {
    reception.open(text, &LINK, exporter)
}

#[test]
fn r21_a_sign_in_is_bound_to_greeting_and_connection() {
    let reception = Reception::new(&hub_bundle(), [1; 32]);
    let (key, _) = ALICE.verifying();
    let (plain, bound) = (None, Some([4; 32]));
    for (made, under, opens, verifies) in [
        (plain, plain, true, true),
        (bound, bound, true, true),
        (bound, Some([5; 32]), true, false),
        (bound, plain, false, false),
        (plain, bound, false, false),
    ] {
        let (text, _) = attempt(&reception, made);
        let received = received(&reception, &text, under);
        assert_eq!(received.is_ok(), opens, "{made:?} under {under:?}");
        let verified = received.is_ok_and(|received| received.verify(&key).is_ok());
        assert_eq!(verified, verifies, "{made:?} under {under:?}");
    }
    let (text, _) = attempt(&reception, None);
    let (bob, _) = BOB.verifying();
    assert!(received(&reception, &text, None).unwrap().verify(&bob).is_err(), "another's key");
    let elsewhere = Reception::new(&hub_bundle(), [2; 32]);
    let relayed = received(&elsewhere, &text, None).err();
    assert_eq!(relayed, Some(HandshakeError::Sealed), "relayed to another greeting");
}

#[test]
fn r21_no_part_of_auth_can_be_exchanged() {
    let reception = Reception::new(&hub_bundle(), [1; 32]);
    let (key, _) = ALICE.verifying();
    let parts = |text: &str| match hub::read(text) {
        Ok(ClientToHub::Auth { hdr, body, sig }) => [hdr, body, sig],
        other => panic!("AUTH expected, got {other:?}"),
    };
    let (first, _) = attempt(&reception, None);
    let (second, _) = attempt(&reception, None);
    let (first, second) = (parts(&first), parts(&second));
    for exchanged in 0..3 {
        let mut mixed = first.clone();
        mixed[exchanged].clone_from(&second[exchanged]);
        let [hdr, body, sig] = mixed;
        let text = hub::write(&ClientToHub::Auth { hdr, body, sig });
        let accepted =
            received(&reception, &text, None).is_ok_and(|received| received.verify(&key).is_ok());
        assert!(!accepted, "part {exchanged} of another AUTH");
    }
}

#[test]
fn r21_only_the_hub_that_opened_auth_can_answer() {
    let reception = Reception::new(&hub_bundle(), [1; 32]);
    let answer = SignedIn::at(7);
    let (text, sent) = attempt(&reception, None);
    let (other_text, other_sent) = attempt(&reception, None);
    let ok = received(&reception, &text, None).unwrap().ok(&answer);
    let Ok(HubToClient::Ok { mut body }) = hub::read(&ok) else { panic!("OK expected") };
    assert_ne!(text, other_text);
    assert_eq!(sent.open(&body), Ok(answer));
    assert_eq!(other_sent.open(&body), Err(HandshakeError::Sealed), "of another sign-in");
    body[0] ^= 1;
    assert_eq!(sent.open(&body), Err(HandshakeError::Sealed));
}

#[test]
fn r25_a_vault_opens_for_its_user_hub_and_number_only() {
    let login = Zeroizing::new([1; 32]);
    let keys = PasswordKeys { login: login.clone(), vault: Zeroizing::new([2; 32]) };
    let (hub, alice, bob) = (KeyId([3; 16]), &ALICE.user, &BOB.user);
    let sealed = keys.seal_vault(&hub, alice, 5, [6; 12], b"keys");
    assert_eq!(sealed[..12], [6; 12], "the nonce stands first");
    let opens = |keys: &PasswordKeys, hub: &KeyId, user: &UserName, number, sealed: &[u8]| {
        keys.open_vault(hub, user, number, sealed).is_ok_and(|clear| **clear == *b"keys")
    };
    assert!(opens(&keys, &hub, alice, 5, &sealed));
    assert!(!opens(&keys, &hub, alice, 4, &sealed), "an older number");
    assert!(!opens(&keys, &KeyId([4; 16]), alice, 5, &sealed), "another hub");
    assert!(!opens(&keys, &hub, bob, 5, &sealed), "another name");
    let other = PasswordKeys { login, vault: Zeroizing::new([9; 32]) };
    assert!(!opens(&other, &hub, alice, 5, &sealed), "another password");
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(!opens(&keys, &hub, alice, 5, &changed), "bit {bit}");
    }
}
