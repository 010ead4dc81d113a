//! A hub that answers sign-ins as a test likes: with its own keys, and with whatever it makes up.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chat_protocol::code;
use chat_protocol::crypto::{KeyBits, UnwrapKey, random};
use chat_protocol::handshake::{Mode, ReceivedAuth, Reception, SignedIn};
use chat_protocol::hub::{self, HubStage, HubToClient};
use chat_protocol::id::{KeyId, Nonce16};
use chat_protocol::keys::{Bundle, BundleOptions, DeviceKeys, KeySizes, PublishedWrapKey};
use chat_protocol::name::UserName;
use futures_util::{SinkExt as _, StreamExt as _};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

/// The keys of the hub outlive every test.
const LINK_KEY_EXPIRES_MS: u64 = 1 << 52;

/// Makes a vault for somebody who asks for one: of this server and name.
pub type VaultOf = Box<dyn Fn(KeyId, &UserName) -> Vec<u8> + Send>;

/// Keys of a hub.
struct HubKeys {
    link: UnwrapKey,
    bundle: Bundle,
}

/// A hub on a free port. It knows every name, takes every login secret, and sends its own vault.
pub struct FalseHub {
    address: SocketAddr,
    greetings: Arc<AtomicUsize>,
    secrets: Arc<Mutex<usize>>,
}

impl FalseHub {
    /// A hub with one identity that sends these vaults.
    ///
    /// # Panics
    /// When it cannot start.
    pub fn with_vaults(vault: VaultOf) -> Self {
        Self::start(1, vault)
    }

    /// A hub that shows another identity from its second connection on.
    ///
    /// # Panics
    /// When it cannot start.
    pub fn with_two_faces() -> Self {
        Self::start(2, Box::new(|_, _| Vec::new()))
    }

    fn start(identities: usize, vault: VaultOf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let keys: Vec<HubKeys> = (0..identities).map(|_| HubKeys::new()).collect();
        let (greetings, secrets) = (Arc::default(), Arc::default());
        let hub =
            Self { address, greetings: Arc::clone(&greetings), secrets: Arc::clone(&secrets) };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((tcp, _)) = listener.accept().await {
                    let number = greetings.fetch_add(1, Ordering::SeqCst);
                    let keys = keys.get(number).or(keys.last()).unwrap();
                    // One at a time: a sign-in makes one connection after the other. A client that
                    // hangs up has its reasons.
                    drop(keys.serve(tcp, &vault, &secrets).await);
                }
            });
        });
        hub
    }

    /// Where clients connect to.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// How many connections it has greeted.
    pub fn greetings(&self) -> usize {
        self.greetings.load(Ordering::SeqCst)
    }

    /// How many login secrets it was sent.
    pub fn secrets(&self) -> usize {
        *self.secrets.lock()
    }
}

impl HubKeys {
    fn new() -> Self {
        let keys = DeviceKeys::generate(KeySizes::EMULATED).unwrap();
        let link = UnwrapKey::generate(KeyBits::B2048).unwrap();
        let lk = vec![PublishedWrapKey::new(link.spki(), 0, LINK_KEY_EXPIRES_MS)];
        let options = BundleOptions { lk, ..BundleOptions::default() };
        let server = UserName::server();
        let bundle = keys.publish(&server, Nonce16(random()), None, 0, options).unwrap();
        Self { link, bundle }
    }

    /// Greets, takes one AUTH, answers it.
    async fn serve(
        &self,
        tcp: TcpStream,
        vault: &VaultOf,
        secrets: &Mutex<usize>,
    ) -> anyhow::Result<()> {
        let mut socket = tokio_tungstenite::accept_async(tcp).await?;
        let reception = Reception::new(&self.bundle, random());
        socket.send(Message::text(reception.text())).await?;
        while let Some(message) = socket.next().await {
            let Message::Text(text) = message? else { continue };
            let received = reception.open(&text, &self.link, None)?;
            if received.body.pw.is_some() {
                *secrets.lock() += 1;
            }
            socket.send(Message::text(self.answer(&received, vault))).await?;
        }
        Ok(())
    }

    fn answer(&self, received: &ReceivedAuth, vault: &VaultOf) -> String {
        if received.header.m == Mode::Vault && received.body.pw.is_some() {
            let vault = Some(vault(self.bundle.identity(), &received.header.u));
            let signed_in = SignedIn { vault, ..SignedIn::at(0) };
            return received.ok(&signed_in);
        }
        hub::write(&HubToClient::Noack {
            stage: HubStage::SignIn,
            id: None,
            code: code::SIGN_IN.to_owned(),
            reason: "a login secret is needed here".to_owned(),
            head: None,
            time: None,
        })
    }
}
