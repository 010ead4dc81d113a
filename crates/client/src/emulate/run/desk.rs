//! Where the clients of a run sign in.

use std::sync::Arc;

use chat_endpoint::BundleCache;
use chat_oplog::{CryptoTrace, OperationLogs, Rotation};
use chat_protocol::handshake::Purpose;
use chat_protocol::name::UserName;

use crate::client::{Account, Client, ClientOptions, Events};
use crate::config::Common;
use crate::connection::Connector;
use crate::connection::pins::Pins;
use crate::exit::ExitStatus;
use crate::home::{KnownServers, OwnDevice};
use crate::start::{Failure, crypto_trace};

/// What all clients sign in with.
pub(super) struct Desk {
    connector: Arc<Connector>,
    bundles: Arc<BundleCache>,
    logs: OperationLogs,
    trace: Option<CryptoTrace>,
    invite: Option<String>,
}

impl Desk {
    /// Finds the servers, and begins the logs of the run.
    pub(super) fn open(common: &Common) -> Result<Self, Failure> {
        let pins = Pins::new(KnownServers::in_memory(), common.accept_server.clone());
        let connector = Connector::new(common.servers.clone(), &common.trust, pins)?;
        let logs = OperationLogs::start(&common.logs, Rotation::default())?;
        let trace = crypto_trace(common)?;
        let (connector, bundles, invite) =
            (Arc::new(connector), Arc::default(), common.invite.clone());
        Ok(Self { connector, bundles, logs, trace, invite })
    }

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
            invite: self.invite.clone(),
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
