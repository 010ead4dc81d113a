//! Where the clients of a run sign in.

use std::sync::Arc;

use chat_endpoint::BundleCache;
use chat_oplog::{CryptoTrace, OperationLogs};
use chat_protocol::handshake::Purpose;
use chat_protocol::name::UserName;

use crate::client::{Account, Client, ClientOptions, Events};
use crate::connection::Connector;
use crate::exit::ExitStatus;
use crate::home::OwnDevice;
use crate::start::Failure;

/// What all clients sign in with.
pub(super) struct Desk {
    pub(super) connector: Arc<Connector>,
    pub(super) bundles: Arc<BundleCache>,
    pub(super) logs: OperationLogs,
    pub(super) trace: Option<CryptoTrace>,
}

impl Desk {
    pub(super) async fn sign_in(
        &self,
        user: UserName,
        device: OwnDevice,
    ) -> Result<(Client, Events), Failure> {
        let log = self.logs.open(&format!("client-{user}"))?;
        let name = user.clone();
        let options = ClientOptions {
            connector: Arc::clone(&self.connector),
            user,
            purpose: Purpose::Interactive,
            account: Account::Memory(device),
            bundles: Arc::clone(&self.bundles),
            log,
            trace: self.trace.clone(),
        };
        Box::pin(Client::start(options)).await.map_err(|error| {
            let status = error.exit_status();
            let hint = match status {
                ExitStatus::SignInRefused => {
                    "; this server knows the emulated clients of another --home: give that one"
                }
                ExitStatus::NameTaken => "; is another emulator running here?",
                _ => "",
            };
            Failure::Other { status, reason: format!("{name}: {error}{hint}") }
        })
    }
}
