//! A hub on a free port, and raw clients of it.

use std::{net::SocketAddr, path::Path};

use chat_protocol::keys::KeySizes;
use chat_server::{RunError, config::Config};
pub(crate) use chat_testkit::{
    PATIENCE, cid,
    client::Client,
    device::Device,
    keys::second_device,
    name, new_id, now_ms,
    wire::{Entry, Fresh, Got, Socket, WireError, got},
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), RunError>>,
}

pub(crate) fn config(folder: &Path) -> Config {
    let mut config = Config::local(&folder.join("data"), &folder.join("logs"));
    config.key_sizes = KeySizes::EMULATED;
    config
}

pub(crate) async fn start(config: Config) -> Server {
    let listener = TcpListener::bind(config.address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let shutdown = async move {
        stopped.await.ok();
    };
    let task = tokio::spawn(chat_server::run(listener, config, shutdown));
    Server { address, stop, task }
}

/// A hub in a folder of its own.
pub(crate) async fn fresh() -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (start(config(folder.path())).await, folder)
}

impl Server {
    pub(crate) async fn stop(self) -> Result<(), RunError> {
        self.stop.send(()).ok();
        tokio::time::timeout(PATIENCE, self.task).await.expect("did not stop").unwrap()
    }

    /// Waits for an end that was not asked for.
    pub(crate) async fn end(self) -> Result<(), RunError> {
        tokio::time::timeout(PATIENCE, self.task).await.expect("did not end").unwrap()
    }
}

pub(crate) async fn connect(address: SocketAddr) -> Fresh {
    Fresh::connect(&address.to_string()).await.unwrap()
}

/// Signs in, or gives the code and reason of the refusal.
pub(crate) async fn enter(
    address: SocketAddr,
    device: &Device,
    entry: Entry,
) -> Result<Client, (String, String)> {
    match connect(address).await.enter(device, &entry).await {
        Ok(client) => Ok(client),
        Err(WireError::Refused { code, reason }) => Err((code, reason)),
        Err(WireError::Later { why, .. }) => Err(("RETRY".to_owned(), why)),
        Err(other) => panic!("{other}"),
    }
}

pub(crate) async fn register(server: &Server, user: &str, index: usize) -> Client {
    let device = Device::new(user, index);
    enter(server.address, &device, Entry::reg(&device)).await.unwrap()
}

pub(crate) async fn sign_in(server: &Server, device: &Device) -> Client {
    enter(server.address, device, Entry::sig()).await.unwrap()
}
