//! Attacks on who somebody is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chat_evil_hub::{Switch, read};
use chat_protocol::handshake::Reception;
use chat_protocol::id::Nonce16;
use chat_protocol::keys::{BundleOptions, PublishedWrapKey};
use chat_protocol::name::UserName;
use chat_testkit::keys::keys;
use chat_testkit::middle::{Message, Passing, Way};
use chat_testkit::now_ms;
use serde_json::json;

use super::{Report, Stage, Verdict, server_key};

/// How the program says that a key or a signature is not as it must be.
const INTEGRITY: i32 = 7;

pub(super) fn vault_in_clear() -> Report {
    let vault = Arc::new(std::sync::OnceLock::<Vec<u8>>::new());
    let told = Arc::clone(&vault);
    let stage = Stage::new(Box::new(move |_, mut passing: Passing| {
        if let (Message::SignedIn(signed_in), Some(vault)) = (&mut passing.message, told.get())
            && signed_in.vault.is_some()
        {
            signed_in.vault = Some(vault.clone());
        }
        vec![passing]
    }));
    stage.client("alice").run(&["users"]).assert_code(0);
    let identity = URL_SAFE_NO_PAD.encode(server_key(&stage.rig.data(), "identity"));
    let clear = json!({"v": 1, "ik": identity, "store": URL_SAFE_NO_PAD.encode([0; 32])});
    drop(vault.set(clear.to_string().into_bytes()));
    stage.switch.set(true);
    let home = stage.rig.path("another-machine");
    let client = stage.client("alice").with_home(&home);
    let ended = client.run_known(&["users"]);
    let said = ended.stderr.trim().lines().next_back().unwrap_or_default().to_owned();
    if has_key(&home) {
        return Report::new(Verdict::Succeeded, format!("the hub's key is in the home; {said}"));
    }
    if ended.code == Some(INTEGRITY) {
        return Report::new(Verdict::Refused, said);
    }
    Report::new(Verdict::Succeeded, format!("exit {:?}: {said}", ended.code))
}

/// Whether a key file was written anywhere below the home.
fn has_key(home: &std::path::Path) -> bool {
    let entries = std::fs::read_dir(home).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| {
        let path = entry.path();
        if path.is_dir() { has_key(&path) } else { entry.file_name() == "key" }
    })
}

pub(super) fn other_identity() -> Report {
    // No key of a bundle may stand in it twice.
    let (other, link, user) = (keys(0), keys(1), UserName::server());
    let lk = vec![PublishedWrapKey::new(link.encryption.spki(), now_ms(), now_ms() << 1)];
    let options = BundleOptions { lk, ..BundleOptions::default() };
    let bundle = other.publish(&user, Nonce16([1; 16]), None, now_ms(), options).unwrap();
    let hello = Reception::new(&bundle, [7; 32]).text().to_owned();
    let is_told = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&is_told);
    let middle = move |passing: Passing| {
        let is_second = passing.line > 0;
        if is_second && read::text(&passing, Way::ToClient, "HELLO").is_some() {
            return vec![passing.with(Way::ToClient, Message::Text(hello.clone()))];
        }
        if is_second && read::text(&passing, Way::ToHub, "AUTH").is_some() {
            told.store(true, Ordering::SeqCst);
            return Vec::new();
        }
        vec![passing]
    };
    let stage = Stage::with(Box::new(middle), Switch::default());
    let mut program = stage.client("alice").start(&["users"]);
    program.close_stdin();
    let ended = program.ends_within(std::time::Duration::from_secs(20));
    let said = program.stderr.text().trim().lines().next_back().unwrap_or_default().to_owned();
    if is_told.load(Ordering::SeqCst) {
        return Report::new(Verdict::Succeeded, "the login secret was sent to the other identity");
    }
    match ended {
        Some(code) if code != 0 => Report::new(Verdict::Refused, said),
        _ => Report::new(Verdict::Failed, format!("it goes on: {said}")),
    }
}
