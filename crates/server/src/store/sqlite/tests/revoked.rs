//! What an account has revoked is kept, and not only what its newest bundles say of it.

use std::collections::BTreeSet;

use chat_protocol::id::KeyId;

use super::*;
use crate::{
    limits::ACCOUNT_REVOKED_MAX,
    store::{NewBundle, NewIdentity, NewOrder, ResetCode},
};

const ALICE: AccountId = AccountId(1);
const PHONE: DeviceId = DeviceId(1);
const CODE: Digest = Digest([7; 32]);

fn keys() -> &'static DeviceKeys {
    static KEYS: OnceLock<DeviceKeys> = OnceLock::new();
    KEYS.get_or_init(|| DeviceKeys::generate(KeySizes::EMULATED).unwrap())
}

/// The next bundle of a device of alice, which revokes these.
fn bundle(keys: &DeviceKeys, dev: Nonce16, before: Option<&Bundle>, rev: &[KeyId]) -> Arc<Bundle> {
    let options = BundleOptions { rev: rev.to_vec(), ..BundleOptions::default() };
    let alice = UserName::new("alice").unwrap();
    Arc::new(keys.publish(&alice, dev, before, 5, options).unwrap())
}

/// The same of her phone.
fn next(before: Option<&Bundle>, rev: &[KeyId]) -> Arc<Bundle> {
    bundle(keys(), Nonce16([1; 16]), before, rev)
}

fn signs_up(bundle: &Arc<Bundle>) -> Proposal {
    let (name, bundle) = (bundle.header().u.clone(), Arc::clone(bundle));
    let (password, vault, invite) = (None, None, None);
    Proposal::Account(Box::new(NewAccount { name, bundle, password, vault, invite }))
}

fn publishes(bundle: &Arc<Bundle>) -> Proposal {
    brings(Some(PHONE), bundle)
}

fn brings(device: Option<DeviceId>, bundle: &Arc<Bundle>) -> Proposal {
    let bundle = Arc::clone(bundle);
    Proposal::Bundle(Box::new(NewBundle { account: ALICE, device, bundle }))
}

/// What alice has revoked, as the next start finds it.
fn found(folder: &Path) -> BTreeSet<KeyId> {
    let (_store, _reads, snapshot) = open_in(folder);
    snapshot.accounts[0].0.revoked.iter().copied().collect()
}

/// Goal: what a bundle has revoked stays so after a start, whatever newer ones of its device say, until the account gets
/// another identity. Method: two bundles that revoke, one that says nothing, and a new identity with a revocation of its
/// own. (The build before knew of the newest bundle of each device.)
#[tokio::test]
async fn what_any_bundle_has_revoked_is_there_until_another_identity_comes() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two, three] = [1, 2, 3].map(|byte| KeyId([byte; 16]));
    let (mut store, reads, _) = open_in(folder.path());
    let first = next(None, &[one]);
    let second = next(Some(&first), &[one, two]);
    let silent = next(Some(&second), &[]);
    commit(&mut store, vec![signs_up(&first), publishes(&second), publishes(&silent)]).await;
    drop((store, reads));
    assert_eq!(found(folder.path()), [one, two].into());

    let (mut store, reads, _) = open_in(folder.path());
    let code = ResetCode { digest: CODE, until_ms: 99 };
    let reset = Proposal::Order(Box::new(NewOrder::Reset { account: ALICE, code }));
    let other = DeviceKeys::generate(KeySizes::EMULATED).unwrap();
    let bundle = bundle(&other, Nonce16([2; 16]), None, &[three]);
    let (password, vault) = (None, None);
    let new = NewIdentity { account: ALICE, code: CODE, bundle, password, vault };
    commit(&mut store, vec![reset, Proposal::Identity(Box::new(new))]).await;
    drop((store, reads));
    assert_eq!(found(folder.path()), [three].into());
}

/// Goal: a file of a server that did not know this table gives all that can still be found in it, also where the table was
/// there before and that server has written bundles since, or has given an account another identity. Method: the table
/// goes, or what is in it; the newest bundle of the phone, and the first one of its key, revoke. (The build before looked
/// into the bundles only where there was no table.)
#[tokio::test]
async fn a_file_of_a_server_without_the_table_gets_it_from_the_bundles_that_are_kept() {
    for change in [
        "DROP TABLE revoked",
        "DELETE FROM revoked",
        "UPDATE revoked SET kid = zeroblob(16), identity = zeroblob(16) WHERE kid = x'01010101010101010101010101010101'",
    ] {
        gets_it_back(change).await;
    }
}

async fn gets_it_back(change: &str) {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = [1, 2].map(|byte| KeyId([byte; 16]));
    let (mut store, reads, _) = open_in(folder.path());
    let first = next(None, &[one]);
    let second = next(Some(&first), &[two]);
    commit(&mut store, vec![signs_up(&first), publishes(&second)]).await;
    drop((store, reads));
    let connection = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    connection.execute_batch(change).unwrap();
    drop(connection);
    assert_eq!(found(folder.path()), [one, two].into(), "{change}");
    let silent = next(Some(&second), &[]);
    let (mut store, reads, _) = open_in(folder.path());
    commit(&mut store, vec![publishes(&silent)]).await;
    drop((store, reads));
    assert_eq!(found(folder.path()), [one, two].into());
}

/// Goal: what is kept has an end, and the key of a device is kept behind it; a server that starts again knows the same as one
/// that runs on. Method: the phone revokes keys that nobody has until there is no room, then the laptop and one more, and
/// then nothing. (The build before kept all.)
#[tokio::test]
async fn a_full_table_takes_the_keys_of_devices() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, reads, _) = open_in(folder.path());
    let signing = DeviceKeys::generate(KeySizes::EMULATED).unwrap().signing;
    let lost = keys().with_signing_key(signing).unwrap();
    let laptop = bundle(&lost, Nonce16([2; 16]), None, &[]);
    let mut phone = next(None, &[]);
    commit(&mut store, vec![signs_up(&phone), brings(None, &laptop)]).await;
    let invented = |number: usize| {
        let mut kid = [9; 16];
        kid[..8].copy_from_slice(&number.to_be_bytes());
        KeyId(kid)
    };
    let many: Vec<KeyId> = (0..ACCOUNT_REVOKED_MAX).map(invented).collect();
    let more = invented(ACCOUNT_REVOKED_MAX);
    let newest = [vec![lost.signing_id(), more], Vec::new()];
    for rev in many.chunks(32).map(<[KeyId]>::to_vec).chain(newest) {
        phone = next(Some(&phone), &rev);
        commit(&mut store, vec![publishes(&phone)]).await;
    }
    drop((store, reads));
    let found = found(folder.path());
    assert_eq!(found.len(), ACCOUNT_REVOKED_MAX + 1);
    assert!(found.contains(&lost.signing_id()) && !found.contains(&more));
}
