//! Where the clients of a run sign in.

use std::sync::Arc;

use chat_endpoint::BundleCache;
use chat_oplog::{CryptoTrace, OperationLogs, Rotation};
use chat_protocol::handshake::Purpose;
use chat_protocol::name::UserName;

use crate::error::EmulatorError;
use crate::options::Options;
use chat_device::client::{Account, Client, ClientOptions, Events};
use chat_device::connection::Connector;
use chat_device::connection::pins::Pins;
use chat_device::home::KnownServers;
use chat_device::own_device::OwnDevice;
use chat_device::sign_in::StartError;
use chat_protocol::code;

/// What all clients sign in with.
pub(super) struct Desk {
    connector: Connector,
    bundles: Arc<BundleCache>,
    logs: OperationLogs,
    trace: Option<CryptoTrace>,
    invite: Option<String>,
}

impl Desk {
    /// Finds the servers, and begins the logs of the run.
    pub(super) fn open(options: &Options) -> Result<Self, EmulatorError> {
        let pins = Pins::new(KnownServers::in_memory(), options.accept_server.clone());
        let connector = Connector::new(options.servers.clone(), &options.trust, pins)?;
        let logs = OperationLogs::start(&options.logs, Rotation::default())?;
        let trace = options.trace.clone();
        let (bundles, invite) = (Arc::default(), options.invite.clone());
        Ok(Self { connector, bundles, logs, trace, invite })
    }

    /// Signs one client in. The clients are dealt round over the addresses of the server.
    pub(super) async fn sign_in(
        &self,
        number: usize,
        user: UserName,
        device: OwnDevice,
    ) -> Result<(Client, Events), EmulatorError> {
        let log = self.logs.open(&format!("client-{user}"))?;
        let name = user.clone();
        let options = ClientOptions {
            connector: Arc::new(self.connector.beginning_at(number)),
            user,
            purpose: Purpose::Interactive,
            account: Account::Memory(device),
            invite: self.invite.clone(),
            bundles: Arc::clone(&self.bundles),
            log,
            trace: self.trace.clone(),
        };
        // Nobody is asked for a device that is made here.
        let mut dialog = Client::start(options);
        while dialog.next().await.is_some() {}
        dialog.end().map_err(|error| {
            let hint = hint(&error);
            EmulatorError::SignIn { name, error, hint }
        })
    }
}

/// What may help against a refusal.
fn hint(error: &StartError) -> &'static str {
    let StartError::Connect(error) = error else { return "" };
    match error.code() {
        Some(code::SIGN_IN | code::OLD_KEYS | code::REVOKED) => {
            "; this server knows the emulated clients of another --home: give that one"
        }
        Some(code::NAME_TAKEN | code::NAME_IN_USE) => "; is another emulator running here?",
        _ => "",
    }
}
