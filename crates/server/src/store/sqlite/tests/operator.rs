//! The operator's decisions survive, and what was sent to a deleted account is emptied.

use std::sync::Arc;

use chat_protocol::{
    id::{Digest, Nonce16},
    keys::{Bundle, BundleOptions, DeviceKeys, KeySizes},
    name::UserName,
};

use super::{account, bundle, commit, entry, open_in};
use crate::store::{
    AccountId, BundleName, Conflict, Invite, LogId, NewAccount, NewErase, NewIdentity, NewOrder,
    PageRequest, Proposal, PutOut, ResetCode, Standing, Stored,
};

fn put_out(who: AccountId, until_ms: Option<u64>) -> PutOut {
    PutOut { who, by: UserName::new("carol").unwrap(), until_ms }
}

fn order(order: NewOrder) -> Proposal {
    Proposal::Order(Box::new(order))
}

#[tokio::test]
async fn decisions_are_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, reads, _) = open_in(folder.path());
    commit(&mut store, vec![account("alice"), account("bob")]).await;
    let (alice, bob) = (AccountId(1), AccountId(2));
    let stand = |account, standing| {
        order(NewOrder::Standing { accounts: vec![account], names: Vec::new(), standing })
    };
    let invite = Invite { digest: Digest([7; 32]), uses: 2, until_ms: 99 };
    let batch = vec![
        stand(alice, Standing::Disabled),
        stand(bob, Standing::Deleted),
        order(NewOrder::Ban("emu-*".parse().unwrap())),
        order(NewOrder::Ban("192.0.2.0/24".parse().unwrap())),
        order(NewOrder::Unban("emu-*".parse().unwrap())),
        order(NewOrder::CloseRoom(LogId(1))),
        order(NewOrder::Invite(invite)),
        order(NewOrder::Moderator { account: alice, is_one: true }),
        order(NewOrder::Moderator { account: bob, is_one: true }),
        order(NewOrder::Moderator { account: bob, is_one: false }),
        order(NewOrder::PutOut(put_out(alice, Some(7)))),
        order(NewOrder::PutOut(put_out(alice, None))),
        order(NewOrder::PutOut(put_out(bob, Some(7)))),
        order(NewOrder::LetIn { who: bob, by: UserName::new("carol").unwrap() }),
    ];
    commit(&mut store, batch).await;
    assert_eq!(reads.vault(alice).await.unwrap(), Some(vec![1, 2, 3]));
    assert_eq!(reads.vault(bob).await.unwrap(), None, "erased at once");
    drop(store);
    let (mut store, _, snapshot) = open_in(folder.path());
    let rows = snapshot.operator;
    assert_eq!(rows.standings, [(alice, Standing::Disabled), (bob, Standing::Deleted)]);
    assert_eq!((rows.to_erase, rows.closed_rooms), (vec![bob], vec![LogId(1)]));
    assert_eq!(
        (rows.moderators, rows.put_out),
        (vec![alice], vec![put_out(alice, None), put_out(bob, Some(0))])
    );
    assert_eq!((rows.bans, rows.invites), (vec!["192.0.2.0/24".parse().unwrap()], vec![invite]));
    let done = NewErase { account: bob, log: None, after: 0 };
    commit(&mut store, vec![stand(alice, Standing::Active), Proposal::Erase(done)]).await;
    drop(store);
    let (_store, _, snapshot) = open_in(folder.path());
    assert_eq!(snapshot.operator.standings, [(bob, Standing::Deleted)]);
    assert_eq!(snapshot.operator.to_erase, []);
}

#[tokio::test]
async fn a_code_lets_in_as_many_as_it_says_and_a_taken_name_uses_none() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _, _) = open_in(folder.path());
    let digest = Digest([7; 32]);
    let with_code = |name: &str| {
        let (bundle, invite) = (bundle(name), Some(digest));
        let name = UserName::new(name).unwrap();
        let (password, vault) = (None, None);
        Proposal::Account(Box::new(NewAccount { name, bundle, password, vault, invite }))
    };
    let invite = Invite { digest, uses: 2, until_ms: 99 };
    commit(&mut store, vec![account("alice"), order(NewOrder::Invite(invite))]).await;
    let batch = ["alice", "bob", "carol", "dave"].map(with_code).into();
    let outcomes = commit(&mut store, batch).await;
    let no_code = Err(Conflict::Missing { is_epoch_known: false });
    assert_eq!(outcomes[0], Err(Conflict::Taken));
    assert!(matches!(outcomes[1..3], [Ok(Stored::Account(..)), Ok(Stored::Account(..))]));
    assert_eq!(outcomes[3], no_code);
    // Nothing of the one who was not let in is left: the name is free.
    let free = commit(&mut store, vec![account("dave")]).await;
    assert!(matches!(free[0], Ok(Stored::Account(..))), "{free:?}");
}

#[tokio::test]
async fn another_identity_comes_in_once_and_nothing_of_the_old_one_but_its_signatures_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, reads, _) = open_in(folder.path());
    commit(&mut store, vec![account("alice"), account("bob"), entry(1, 1, 9)]).await;
    let (alice, digest) = (AccountId(1), Digest([7; 32]));
    let code = ResetCode { digest, until_ms: 99 };
    let other = DeviceKeys::generate(KeySizes::EMULATED).unwrap();
    let (name, options) = (UserName::new("alice").unwrap(), BundleOptions::default());
    let new = Arc::new(other.publish(&name, Nonce16([2; 16]), None, 5, options).unwrap());
    let old = bundle("alice");
    let enter = || {
        let (bundle, password, vault) = (Arc::clone(&new), Some("new".to_owned()), Some(vec![9]));
        let new = NewIdentity { account: alice, code: digest, bundle, password, vault };
        Proposal::Identity(Box::new(new))
    };
    let batch = vec![enter(), order(NewOrder::Reset { account: alice, code }), enter(), enter()];
    let outcomes = commit(&mut store, batch).await;
    let no_code = Err(Conflict::Missing { is_epoch_known: false });
    assert_eq!((outcomes[0], outcomes[3]), (no_code, no_code), "{outcomes:?}");
    let Ok(Stored::Device(device)) = outcomes[2] else { panic!("{outcomes:?}") };
    assert_eq!(reads.vault(alice).await.unwrap(), Some(vec![9]));
    assert_eq!(reads.cursors(device).await.unwrap().0, 1, "it begins where the logs end");
    drop(store);
    let (_store, reads, snapshot) = open_in(folder.path());
    let (row, _) = &snapshot.accounts[0];
    assert_eq!((row.identity, row.reset), (new.identity(), None));
    assert_eq!(row.devices.iter().map(|row| row.id).collect::<Vec<_>>(), [device]);
    let kid = old.header().sk[0].kid;
    let kept = reads.bundles(vec![BundleName::Key(alice, kid)]).await.unwrap();
    let kept = Bundle::verify(kept[0].clone().unwrap().into()).unwrap();
    assert_eq!(kept.identity(), old.identity());
}

#[tokio::test]
async fn what_was_sent_to_a_deleted_account_is_emptied_and_answers_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, reads, _) = open_in(folder.path());
    commit(&mut store, vec![account("alice"), entry(1, 1, 9), entry(2, 2, 9)]).await;
    let log = LogId::inbox(AccountId(1));
    let step = NewErase { account: AccountId(1), log: Some(log), after: 0 };
    let outcomes = commit(&mut store, vec![Proposal::Erase(step), entry(1, 1, 9)]).await;
    assert_eq!(outcomes, [Ok(Stored::Erased(None)), Ok(Stored::Again(1))]);
    let request = PageRequest {
        name: UserName::new("alice").unwrap(),
        sk: chat_protocol::id::KeyId([0; 16]),
        logs: vec![(log, 0)],
        after: 0,
        until: 9,
        counted: std::collections::HashMap::new(),
        limit: 9,
    };
    assert_eq!(reads.page(request).await.unwrap().entries.len(), 0);
}
