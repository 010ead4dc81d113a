//! Names, keys and passwords at the door.

use std::sync::Arc;

use chat_protocol::{
    b64::B64Vec,
    crypto::random,
    handshake::{AuthBody, Mode, Purpose},
    hub::{self, ClientToHub, HubToClient},
    id::Nonce16,
    keys::{Bundle, BundleOptions, DeviceMark, Held},
    vault::keep,
};
use futures_util::SinkExt;
use tokio_tungstenite::tungstenite::Message;

use crate::client::{
    Client, Device, Entry, Got, Server, connect, enter, fresh, got, name, new_id, now_ms, register,
    second_device, sign_in,
};

/// The refusal of a sign-in whose name is written into AUTH by hand.
async fn refused_name(server: &Server, claimed: &str) -> (String, String) {
    let device = Device::new("alice", 0);
    let mut fresh = connect(server.address).await;
    let (text, _) = fresh.auth(&device, &Entry::reg(&device)).unwrap();
    let ClientToHub::Auth { hdr, body, sig } = hub::read(&text).unwrap() else { panic!("AUTH") };
    let hdr = String::from_utf8(hdr).unwrap();
    let claimed = serde_json::to_string(claimed).unwrap();
    let hdr = hdr.replacen("\"alice\"", &claimed, 1).into_bytes();
    let text = hub::write(&ClientToHub::Auth { hdr, body, sig });
    fresh.socket.send(Message::text(text)).await.unwrap();
    let Got::Hub(HubToClient::Noack { code, reason, .. }) = got(&mut fresh.socket).await else {
        panic!("NOACK expected for {claimed}")
    };
    (code, reason)
}

#[tokio::test]
async fn names_that_break_the_rules_are_refused_with_the_reason() {
    let (server, _folder) = fresh().await;
    let long = "a".repeat(33);
    for (claimed, part) in [
        ("", "empty"),
        ("ALL", "reserved"),
        ("all", "reserved"),
        ("Server", "reserved"),
        ("server", "reserved"),
        ("a*b", "'*'"),
        ("a b", "' '"),
        ("a\nb", "'\\n'"),
        (&long, "33"),
    ] {
        let (code, reason) = refused_name(&server, claimed).await;
        assert_eq!(code, "E_NAME_INVALID", "{claimed:?}: {reason}");
        assert!(reason.contains(part), "{claimed:?}: {reason}");
    }
    server.stop().await.unwrap();
}

/// The code that a sign-in is refused with.
async fn refusal(server: &Server, device: &Device, entry: Entry) -> String {
    match enter(server.address, device, entry).await {
        Ok(_) => panic!("let in"),
        Err((code, _)) => code,
    }
}

async fn until_gone(watcher: &mut Client, who: &str) {
    let who = name(who);
    let is_gone =
        |n: &HubToClient| matches!(n, HubToClient::Presence { left, .. } if left.contains(&who));
    watcher.notice(is_gone).await;
}

#[tokio::test]
async fn a_name_belongs_to_one_person_in_any_case_of_its_letters() {
    let (server, _folder) = fresh().await;
    let mut watcher = register(&server, "watcher", 2).await;
    let alice = register(&server, "alice", 0).await;
    for other in ["alice", "ALICE"] {
        let other = Device::new(other, 1);
        assert_eq!(refusal(&server, &other, Entry::reg(&other)).await, "E_NAME_IN_USE");
    }
    alice.bye().await;
    until_gone(&mut watcher, "alice").await;
    let other = Device::new("Alice", 1);
    assert_eq!(refusal(&server, &other, Entry::reg(&other)).await, "E_NAME_TAKEN");
    let nobody = Device::new("nobody", 1);
    assert_eq!(refusal(&server, &nobody, Entry::sig()).await, "E_NO_SUCH_USER");
    let thief = Device::new("alice", 1);
    assert_eq!(refusal(&server, &thief, Entry::sig()).await, "E_SIGN_IN");
    server.stop().await.unwrap();
}

/// Two that register at once end in one batch often; only one may win.
#[tokio::test]
async fn of_many_who_claim_a_name_at_once_one_wins() {
    let (server, _folder) = fresh().await;
    let claims = (0..6).map(|index| {
        let address = server.address;
        tokio::spawn(async move {
            let device = Device::new(if index % 2 == 0 { "carol" } else { "Carol" }, index);
            enter(address, &device, Entry::reg(&device)).await.map(drop)
        })
    });
    let mut won = 0;
    for claim in claims.collect::<Vec<_>>() {
        match claim.await.unwrap() {
            Ok(()) => won += 1,
            Err((code, _)) => assert!(["E_NAME_TAKEN", "E_NAME_IN_USE"].contains(&&*code)),
        }
    }
    assert_eq!(won, 1);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn each_device_has_one_interactive_connection_and_many_tasks() {
    let (server, _folder) = fresh().await;
    let device = Device::new("alice", 0);
    let mut entry = Entry::reg(&device);
    entry.body.purpose = Purpose::Interactive;
    entry.body.pw = Some(vec![7; 32]);
    let mut first = enter(server.address, &device, entry).await.unwrap();
    let mut second = sign_in(&server, &device).await;
    let mut entry = Entry::sig();
    entry.body.purpose = Purpose::Interactive;
    assert_eq!(refusal(&server, &device, entry).await, "E_NAME_IN_USE");
    // The same person on another machine is welcome.
    let other = another_device("alice", 0, 3);
    let mut entry = with_password(Mode::Pw, &other, 7, true);
    entry.body.purpose = Purpose::Interactive;
    enter(server.address, &other, entry).await.unwrap().bye().await;
    first.settle().await;
    second.settle().await;
    second.bye().await;
    let id = new_id();
    first.send_text(&ClientToHub::Who { id, after: None }).await;
    let HubToClient::Who { people, more: false, .. } = first.answer().await else { panic!("WHO") };
    let shown: Vec<_> = people.iter().map(|p| (p.name.as_str(), p.online)).collect();
    assert_eq!(shown, [("alice", true), ("server", false)], "a task left, the name is here");
    server.stop().await.unwrap();
}

pub(crate) fn with_password(mode: Mode, device: &Device, pw: u8, bundle: bool) -> Entry {
    let bundle = bundle.then(|| device.bundle.bytes().to_vec());
    let body = AuthBody { pw: Some(vec![pw; 32]), bundle, ..AuthBody::new(Purpose::Task) };
    Entry { mode, body }
}

#[tokio::test]
async fn a_password_opens_the_vault_and_adds_a_device() {
    let (server, _folder) = fresh().await;
    let mut watcher = register(&server, "watcher", 2).await;
    let device = Device::new("alice", 0);
    let mut entry = with_password(Mode::Reg, &device, 7, true);
    entry.body.vault = Some(keep(1, &[9; 100]));
    let alice = enter(server.address, &device, entry).await.unwrap();
    let entry = with_password(Mode::Vault, &device, 8, false);
    assert_eq!(refusal(&server, &device, entry).await, "E_SIGN_IN");
    let nobody = Device::new("nobody", 1);
    let entry = with_password(Mode::Vault, &nobody, 7, false);
    assert_eq!(refusal(&server, &nobody, entry).await, "E_NO_SUCH_USER");
    let entry = with_password(Mode::Vault, &device, 7, false);
    let mut vault = enter(server.address, &device, entry).await.unwrap();
    assert_eq!(vault.signed_in.vault, Some(keep(1, &[9; 100])));
    assert_eq!(vault.closed().await.0, 1000);

    // A second machine: the same identity, its own signing and encryption key.
    let second = another_device("alice", 0, 3);
    let entry = || with_password(Mode::Pw, &second, 7, true);
    let mut laptop = enter(server.address, &second, entry()).await.unwrap();
    let alices = name("alice");
    let has_keys = |notice: &HubToClient| matches!(notice, HubToClient::Keys { users } if *users == [alices.clone()]);
    watcher.notice(has_keys).await;
    laptop.settle().await;
    laptop.bye().await;
    alice.bye().await;
    until_gone(&mut watcher, "alice").await;
    let stranger = Device::new("alice", 1);
    let foreign = with_password(Mode::Pw, &stranger, 7, true);
    assert_eq!(refusal(&server, &stranger, foreign).await, "E_SIGN_IN");
    enter(server.address, &second, entry()).await.unwrap().bye().await;
    until_gone(&mut watcher, "alice").await;
    for device in [&device, &second] {
        sign_in(&server, device).await.bye().await;
        until_gone(&mut watcher, "alice").await;
    }
    let id = new_id();
    let known = [(name("alice"), Held::default()), (name("x"), Held::default())].into();
    watcher.send_text(&ClientToHub::Bundles { id, known, kids: [].into() }).await;
    let HubToClient::Bundles { people, unknown, .. } = watcher.answer().await else { panic!() };
    let alice = &people[&name("alice")];
    assert_eq!(alice.bundles.len(), 2);
    assert_eq!(unknown, [name("x")]);
    let bundles = alice.bundles.iter().map(|B64Vec(bytes)| Bundle::verify(bytes.clone().into()));
    let marks: Vec<_> = bundles.map(|bundle| DeviceMark::of(&bundle.unwrap()).unwrap()).collect();
    let held = Held::of_live(0, marks, |_| false);
    let known = [(name("alice"), held)].into();
    watcher.send_text(&ClientToHub::Bundles { id: new_id(), known, kids: [].into() }).await;
    let HubToClient::Bundles { people, unknown, more, .. } = watcher.answer().await else {
        panic!()
    };
    assert!(people.is_empty() && unknown.is_empty() && !more, "the same is held");
    server.stop().await.unwrap();
}

pub(crate) fn new_password(pw: u8, new_pw: u8, number: u32) -> Entry {
    let body = AuthBody {
        pw: Some(vec![pw; 32]),
        vault: Some(keep(number, &[9; 100])),
        new_pw: Some(vec![new_pw; 32]),
        ..AuthBody::new(Purpose::Task)
    };
    Entry { mode: Mode::Passwd, body }
}

#[tokio::test]
async fn a_password_is_changed_by_a_known_device_that_knows_the_old_one() {
    let (server, _folder) = fresh().await;
    let device = Device::new("alice", 0);
    let mut entry = with_password(Mode::Reg, &device, 7, true);
    entry.body.vault = Some(keep(1, &[8; 100]));
    let alice = enter(server.address, &device, entry).await.unwrap();
    let stranger = Device::new("alice", 1);
    for no_vault in [vec![0, 0, 1], keep(0, &[8; 100])] {
        let other = Device::new("bob", 2);
        let mut entry = with_password(Mode::Reg, &other, 7, true);
        entry.body.vault = Some(no_vault);
        assert_eq!(refusal(&server, &other, entry).await, "E_MALFORMED");
    }
    for (who, entry, code) in [
        (&stranger, new_password(7, 8, 2), "E_SIGN_IN"),
        (&device, new_password(6, 8, 2), "E_SIGN_IN"),
        (&device, new_password(7, 8, 1), "E_CONFLICT"),
        (&device, new_password(7, 8, 0), "E_MALFORMED"),
        (&device, with_password(Mode::Passwd, &device, 7, false), "E_MALFORMED"),
    ] {
        assert_eq!(refusal(&server, who, entry).await, code);
    }
    let vault = |pw| with_password(Mode::Vault, &device, pw, false);
    let opened = enter(server.address, &device, vault(7)).await.unwrap();
    assert_eq!(opened.signed_in.vault, Some(keep(1, &[8; 100])));

    let changed = enter(server.address, &device, new_password(7, 8, 2)).await;
    assert_eq!(changed.unwrap().closed().await.0, 1000);
    assert_eq!(refusal(&server, &device, vault(7)).await, "E_SIGN_IN", "the old one is out");
    let opened = enter(server.address, &device, vault(8)).await.unwrap();
    assert_eq!(opened.signed_in.vault, Some(keep(2, &[9; 100])));
    alice.bye().await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_account_is_deleted_by_a_known_device_that_knows_the_password() {
    let (server, _folder) = fresh().await;
    let device = Device::new("alice", 0);
    let mut entry = with_password(Mode::Reg, &device, 7, true);
    entry.body.vault = Some(keep(1, &[8; 100]));
    let mut here = enter(server.address, &device, entry).await.unwrap();
    let stranger = Device::new("alice", 1);
    let delete = |pw| with_password(Mode::Delete, &device, pw, false);
    let mut without = delete(7);
    without.body.pw = None;
    for (who, entry, code) in [
        (&stranger, delete(7), "E_SIGN_IN"),
        (&device, delete(6), "E_SIGN_IN"),
        (&device, without, "E_SIGN_IN"),
        (&device, with_password(Mode::Delete, &device, 7, true), "E_MALFORMED"),
    ] {
        assert_eq!(refusal(&server, who, entry).await, code);
    }
    here.settle().await;
    let deleted = enter(server.address, &device, delete(7)).await.unwrap();
    assert_eq!(deleted.signed_in.vault, None);
    let (code, reason) = here.closed().await;
    assert_eq!((code, reason.contains("deleted")), (1008, true), "{reason}");
    for entry in [Entry::sig(), with_password(Mode::Vault, &device, 7, false), delete(7)] {
        assert_eq!(refusal(&server, &device, entry).await, "E_BARRED");
    }
    // One without a password needs no more than its signature.
    let bob = register(&server, "bob", 2).await.bye().await;
    let mut entry = Entry::sig();
    entry.mode = Mode::Delete;
    assert_eq!(enter(server.address, &bob, entry).await.unwrap().closed().await.0, 1000);
    assert_eq!(refusal(&server, &bob, Entry::sig()).await, "E_BARRED");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn after_three_wrong_passwords_the_next_has_to_wait_and_is_told_how_long() {
    let (server, _folder) = fresh().await;
    let device = Device::new("alice", 0);
    let entry = with_password(Mode::Reg, &device, 7, true);
    enter(server.address, &device, entry).await.unwrap().bye().await;
    let mut codes = Vec::new();
    for pw in [1, 2, 3, 4] {
        codes.push(refusal(&server, &device, with_password(Mode::Vault, &device, pw, false)).await);
    }
    assert_eq!(codes, ["E_SIGN_IN", "E_SIGN_IN", "E_SIGN_IN", "E_TOO_MANY"]);
    let right = with_password(Mode::Vault, &device, 7, false);
    let Err((code, reason)) = enter(server.address, &device, right).await else { panic!("let in") };
    assert_eq!((code.as_str(), reason.ends_with("; wait 1 s")), ("E_TOO_MANY", true), "{reason}");
    sign_in(&server, &device).await.bye().await;
    server.stop().await.unwrap();
}

fn another_device(user: &str, identity: usize, other: usize) -> Device {
    Device::with_keys(user, second_device(identity, other), Nonce16(random()))
}

#[tokio::test]
async fn a_device_changes_its_keys_with_a_bundle_that_follows() {
    let (server, _folder) = fresh().await;
    let mut watcher = register(&server, "watcher", 2).await;
    let old = register(&server, "alice", 0).await.bye().await;
    until_gone(&mut watcher, "alice").await;
    let new_keys = second_device(0, 3);
    let publish = |before| {
        let options = BundleOptions::default();
        new_keys.publish(&name("alice"), old.dev, before, now_ms(), options).unwrap()
    };
    let device = |bundle| Device { bundle, keys: Arc::clone(&new_keys), ..old.clone() };
    let entry = |device: &Device| {
        let mut entry = Entry::sig();
        entry.body.bundle = Some(device.bundle.bytes().to_vec());
        entry
    };
    let unlinked = device(publish(None));
    assert_eq!(refusal(&server, &unlinked, entry(&unlinked)).await, "E_OLD_KEYS");
    let rotated = device(publish(Some(&old.bundle)));
    enter(server.address, &rotated, entry(&rotated)).await.unwrap().bye().await;
    until_gone(&mut watcher, "alice").await;
    assert_eq!(refusal(&server, &old, Entry::sig()).await, "E_SIGN_IN", "the old key is out");
    sign_in(&server, &rotated).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn who_does_not_begin_with_auth_is_told_and_let_go() {
    let (server, _folder) = fresh().await;
    let who = hub::write(&ClientToHub::Who { id: new_id(), after: None });
    for first in [Message::text(who), Message::binary(vec![1, 1, 0]), Message::text("{}")] {
        let mut fresh = connect(server.address).await;
        fresh.socket.send(first).await.unwrap();
        let Got::Hub(HubToClient::Noack { code, .. }) = got(&mut fresh.socket).await else {
            panic!("NOACK expected")
        };
        assert_eq!(code, "E_MALFORMED");
        assert!(matches!(got(&mut fresh.socket).await, Got::Closed(1008, _)));
    }
    server.stop().await.unwrap();
}
