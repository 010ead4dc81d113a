//! Servers that share a log, in this process.

use std::path::Path;

use chat_protocol::keys::KeySizes;
use chat_server::{
    RunError,
    config::{Config, LOG_KEEP_DEFAULT, Sharing},
    order::redis::level::AckLevel,
};
use chat_testkit::PATIENCE;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time::timeout};

use super::server::Redis;

/// A server among several, in this process.
pub(crate) struct Node {
    /// Where it listens.
    pub(crate) address: String,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), RunError>>,
}

/// What the server `name` of several is told, with its folders below `folder`.
pub(crate) fn config(redis: &Redis, folder: &Path, name: &str) -> Config {
    let mut config = Config::local(&folder.join(name), &folder.join("logs").join(name));
    config.key_sizes = KeySizes::EMULATED;
    config.sharing = Some(Sharing {
        redis: redis.url().parse().expect("an address"),
        node: name.parse().expect("a name"),
        cluster: "test".parse().expect("a name"),
        key: folder.join("cluster.key"),
        is_new: false,
        changes_settings: false,
        becomes_host: false,
        ack: AckLevel::Disk,
        log_keep: LOG_KEEP_DEFAULT,
        log_max: None,
        salvage: None,
    });
    config
}

/// Starts the server `name` of several, with its folders below `folder`.
pub(crate) async fn node(redis: &Redis, folder: &Path, name: &str) -> Node {
    let config = config(redis, folder, name);
    let listener = TcpListener::bind(config.address).await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let (stop, stopped) = oneshot::channel();
    let shutdown = async move {
        stopped.await.ok();
    };
    let task = tokio::spawn(chat_server::run(listener, config, shutdown));
    Node { address, stop, task }
}

impl Node {
    /// Ends it in order.
    pub(crate) async fn stop(self) {
        self.stop.send(()).expect("it runs");
        let ended = timeout(PATIENCE, self.task).await.expect("in time").expect("no fault");
        ended.expect("in order");
    }
}
