//! What an account has revoked is kept, and not only what its newest bundles say of it.

use std::collections::BTreeSet;

use chat_protocol::id::KeyId;

use super::*;
use crate::store::{NewBundle, NewIdentity, NewOrder, ResetCode};

const ALICE: AccountId = AccountId(1);
const PHONE: DeviceId = DeviceId(1);
const CODE: Digest = Digest([7; 32]);

fn keys() -> &'static DeviceKeys {
    static KEYS: OnceLock<DeviceKeys> = OnceLock::new();
    KEYS.get_or_init(|| DeviceKeys::generate(KeySizes::EMULATED).unwrap())
}

/// The next bundle of alice's phone, which revokes these.
fn next(before: Option<&Bundle>, rev: &[KeyId]) -> Arc<Bundle> {
    let options = BundleOptions { rev: rev.to_vec(), ..BundleOptions::default() };
    let alice = UserName::new("alice").unwrap();
    Arc::new(keys().publish(&alice, Nonce16([1; 16]), before, 5, options).unwrap())
}

fn signs_up(bundle: &Arc<Bundle>) -> Proposal {
    let (name, bundle) = (bundle.header().u.clone(), Arc::clone(bundle));
    let (password, vault, invite) = (None, None, None);
    Proposal::Account(Box::new(NewAccount { name, bundle, password, vault, invite }))
}

fn publishes(bundle: &Arc<Bundle>) -> Proposal {
    let (device, bundle) = (Some(PHONE), Arc::clone(bundle));
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
    let (alice, dev) = (UserName::new("alice").unwrap(), Nonce16([2; 16]));
    let options = BundleOptions { rev: vec![three], ..BundleOptions::default() };
    let bundle = Arc::new(other.publish(&alice, dev, None, 5, options).unwrap());
    let (password, vault) = (None, None);
    let new = NewIdentity { account: ALICE, code: CODE, bundle, password, vault };
    commit(&mut store, vec![reset, Proposal::Identity(Box::new(new))]).await;
    drop((store, reads));
    assert_eq!(found(folder.path()), [three].into());
}

/// Goal: a file of a server that did not know this table gives all that can still be found in it. Method: the table goes;
/// the newest bundle of the phone, and the first one of its key, revoke.
#[tokio::test]
async fn a_file_without_the_table_gets_it_from_the_bundles_that_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = [1, 2].map(|byte| KeyId([byte; 16]));
    let (mut store, reads, _) = open_in(folder.path());
    let first = next(None, &[one]);
    let second = next(Some(&first), &[two]);
    commit(&mut store, vec![signs_up(&first), publishes(&second)]).await;
    drop((store, reads));
    let connection = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    connection.execute_batch("DROP TABLE revoked").unwrap();
    drop(connection);
    assert_eq!(found(folder.path()), [one, two].into());
    let silent = next(Some(&second), &[]);
    let (mut store, reads, _) = open_in(folder.path());
    commit(&mut store, vec![publishes(&silent)]).await;
    drop((store, reads));
    assert_eq!(found(folder.path()), [one, two].into());
}
