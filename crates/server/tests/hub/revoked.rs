//! Devices that were revoked, at the door.

use chat_protocol::{handshake::Mode, id::Nonce16, vault::keep};

use crate::{
    accounts::{new_password, with_password},
    client::{Device, Entry, Server, config, enter, fresh, register, second_device, start},
    remind::{next_of, remind_bundles},
};

/// A sign-in with the newest bundle of a device.
fn with_bundle(device: &Device) -> Entry {
    let mut entry = Entry::sig();
    entry.body.bundle = Some(device.bundle.bytes().to_vec());
    entry
}

/// Goal: a device that was put out stays so when the server starts again, also where a newer bundle of the account says
/// nothing of it: whoever has stolen the identity key signs that. Method: alice's device revokes a stolen one; the next
/// bundle of alice's device revokes nothing; the stolen one comes before and after a start. (The build before let it in.)
#[tokio::test]
async fn what_an_older_bundle_has_revoked_stays_out_when_the_server_starts_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = start(config(folder.path())).await;
    let alice = register(&server, "alice", 0).await;
    let stolen = Device::with_keys("alice", second_device(0, 4), Nonce16([9; 16]));
    let own = alice.bye().await;
    let mut bob = register(&server, "bob", 1).await;
    remind_bundles(&mut bob, std::slice::from_ref(&stolen)).await;
    let enter = async |server: &Server, device: &Device| {
        let mut entry = Entry::sig();
        entry.body.bundle = Some(device.bundle.bytes().to_vec());
        enter(server.address, device, entry).await
    };
    let revoking = next_of(&own, vec![stolen.keys.signing_id()]);
    let silent = next_of(&revoking, Vec::new());
    for device in [&revoking, &silent] {
        enter(&server, device).await.unwrap().bye().await;
    }
    for starts in [false, true] {
        if starts {
            server.stop().await.unwrap();
            server = start(config(folder.path())).await;
        }
        let (code, reason) = enter(&server, &stolen).await.map(|_| ()).unwrap_err();
        assert_eq!(code, "E_REVOKED", "started again: {starts}; {reason}");
    }
    server.stop().await.unwrap();
}

/// Goal: a device that was put out gets nothing more at any door, also where a newer bundle of the account says nothing of it.
/// Method: alice's device revokes a stolen one, whose holder has the password, and its next bundle revokes nothing; the stolen
/// one comes for messages, for files, with the password, and to change that. (The build before let it have files and change
/// the password.)
#[tokio::test]
async fn a_device_that_an_older_bundle_has_revoked_gets_no_files_and_changes_no_password() {
    let (server, _folder) = fresh().await;
    let own = Device::new("alice", 0);
    let mut entry = with_password(Mode::Reg, &own, 7, true);
    entry.body.vault = Some(keep(1, &[8; 100]));
    enter(server.address, &own, entry).await.unwrap().bye().await;
    let stolen = Device::with_keys("alice", second_device(0, 4), Nonce16([9; 16]));
    let with_secret = || with_password(Mode::Pw, &stolen, 7, true);
    enter(server.address, &stolen, with_secret()).await.unwrap().bye().await;
    let revoking = next_of(&own, vec![stolen.keys.signing_id()]);
    let silent = next_of(&revoking, Vec::new());
    for device in [&revoking, &silent] {
        enter(server.address, device, with_bundle(device)).await.unwrap().bye().await;
    }
    for entry in [Entry::sig(), Entry::files(), with_secret(), new_password(7, 8, 2)] {
        let refused = enter(server.address, &stolen, entry).await.map(|_| ());
        let (code, reason) = refused.unwrap_err();
        assert_eq!(code, "E_REVOKED", "{reason}");
    }
    let vault = with_password(Mode::Vault, &own, 7, false);
    let opened = enter(server.address, &own, vault).await.unwrap();
    assert_eq!(opened.signed_in.vault, Some(keep(1, &[8; 100])), "nothing was changed");
    server.stop().await.unwrap();
}
