//! What many people want at once at several servers.

use chat_testkit::{
    device::Device,
    wire::{Entry, Fresh, WireError},
};
use futures_util::{StreamExt as _, stream};

use super::{node::node, server::redis};

/// How many want one name.
const CLAIMS: usize = 1_000;

/// How many of them at once.
const AT_ONCE: usize = 40;

/// How the name is written.
const SPELLINGS: [&str; 4] = ["morgan", "Morgan", "MORGAN", "mOrGaN"];

/// Goal: of all who want one name, in whatever spelling and at whatever server, one gets it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_thousand_who_want_one_name_one_gets_it() {
    let Some(redis) = redis().await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Vec::new();
    for name in ["n1", "n2", "n3"] {
        nodes.push(node(&redis, folder.path(), name).await);
    }
    let addresses: Vec<String> = nodes.iter().map(|node| node.address.clone()).collect();
    let claims = stream::iter(0..CLAIMS).map(|claim| {
        let address = addresses[claim % addresses.len()].clone();
        let device = Device::new(SPELLINGS[claim % SPELLINGS.len()], claim % 8);
        async move {
            loop {
                let fresh = Fresh::connect(&address).await.expect("a connection");
                match fresh.enter(&device, &Entry::reg(&device)).await {
                    Ok(client) => return Some(client),
                    Err(WireError::Refused { code, .. }) => {
                        assert!(
                            ["E_NAME_TAKEN", "E_NAME_IN_USE"].contains(&code.as_str()),
                            "{code}"
                        );
                        return None;
                    }
                    Err(WireError::Later { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
    });
    let won: Vec<_> =
        claims.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await;
    assert_eq!(won.len(), 1);
    drop(won);
    for node in nodes {
        node.stop().await;
    }
}
