//! Coming in, in the ways that a client tries one after the other: by the key that the hub knows, with
//! the bundle that it may lack, as a device that is new to it, as a new account.

use std::sync::Arc;

use chat_device::step::{Core, Input};
use chat_endpoint::Device;
use chat_protocol::{code, handshake::SignedIn, keys::Bundle};
use chat_server::{
    connection::ConnectionId, local::LocalDevice, outbox::OutboxLimits, request::Proof,
};

use super::{DeviceActor, SMALL_OUTBOX};
use crate::{
    facts::{Fact, person},
    keys,
    network::Link,
    world::NotConnected,
};

/// One way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By the signing key alone.
    Key,
    /// By the signing key, with the newest bundle.
    Bundle,
    /// By the password, as a device that the hub may not know.
    Password,
    /// As an account that the hub does not know.
    Account,
}

impl DeviceActor {
    pub(super) async fn connect(&mut self, core: &mut Core) {
        let fresh = usize::from(self.wants_rotation);
        if fresh > self.disk.generation {
            // Durable before anybody hears of it.
            self.disk.generation = fresh;
            core.endpoint_mut().replace_device(keys::device(self.index, fresh));
        }
        let device = core.endpoint().device().clone();
        match self.sign_in(&device).await {
            Ok((signed_in, link)) => {
                self.online(signed_in, link);
                self.begin_second(&device).await;
            }
            Err(NotConnected::Down) => self.offline(1_000),
            Err(NotConnected::Refused { code, reason }) => {
                self.trouble(format!("sign-in refused: {code}: {reason}"));
                self.offline(1_000);
            }
        }
    }

    /// Tries what is left to try until the hub lets this device in.
    async fn sign_in(&mut self, device: &Device) -> Result<(SignedIn, Link), NotConnected> {
        let is_first = person(&self.name) == self.name;
        let is_published = self.disk.generation == 0 || self.disk.is_published;
        let ways = match (self.disk.is_registered, is_first) {
            (false, true) => vec![Way::Account, Way::Password],
            (false, false) => vec![Way::Password],
            (true, _) if is_published => vec![Way::Key, Way::Bundle, Way::Password],
            (true, _) => vec![Way::Bundle, Way::Key, Way::Password],
        };
        let mut refused = NotConnected::Down;
        for way in ways {
            match self.try_way(device, way).await {
                Err(NotConnected::Refused { code: code::NO_SUCH_USER, .. })
                    if self.disk.is_registered =>
                {
                    // The hub has lost the account. Another device of it may be faster.
                    let tried = self.try_way(device, Way::Account).await;
                    return tried.map_err(|error| match error {
                        NotConnected::Refused { code, .. } if is_taken(code) => NotConnected::Down,
                        error => error,
                    });
                }
                // Somebody has told the hub of this device in the same moment.
                Err(NotConnected::Refused { code: code::SIGN_IN, reason })
                    if reason.contains("meanwhile") =>
                {
                    return Err(NotConnected::Down);
                }
                Err(NotConnected::Refused { code, reason })
                    if code == code::SIGN_IN || is_taken(code) =>
                {
                    refused = NotConnected::Refused { code, reason };
                }
                // A device that nobody here knows waits for its account.
                Err(NotConnected::Refused { code: code::NO_SUCH_USER, .. }) => {
                    return Err(NotConnected::Down);
                }
                ended => return ended,
            }
        }
        Err(refused)
    }

    async fn try_way(
        &mut self,
        device: &Device,
        way: Way,
    ) -> Result<(SignedIn, Link), NotConnected> {
        let bundle = Arc::clone(&device.bundle);
        let known = self.world.stored_bundle(&device.user, device.dev);
        let proof = match (way, known) {
            (Way::Account, _) => Proof::New { bundle, password: None, vault: None },
            (Way::Key, _) => Proof::Known { dev: device.dev },
            (Way::Bundle, None) => {
                let reason = "this is not the signature of a key of this account".to_owned();
                return Err(NotConnected::Refused { code: code::SIGN_IN, reason });
            }
            (Way::Password, None) => Proof::Bundle { bundle, after: None },
            (Way::Bundle | Way::Password, Some(known)) => proof_after(bundle, device, &known)?,
        };
        let came = self.local(device, proof);
        self.world.connect(came, &mut self.dice).await
    }

    /// A session of another process of the same home, at any hub.
    async fn begin_second(&mut self, device: &Device) {
        if !self.world.is_sharing() || !self.second.begins() {
            return;
        }
        let came = self.local(device, Proof::Known { dev: device.dev });
        if let Ok((_, link)) = self.world.connect(came, self.second.dice()).await {
            self.second.begin(link);
        }
    }

    fn local(&self, device: &Device, proof: Proof) -> LocalDevice {
        LocalDevice {
            connection: ConnectionId(self.world.next_connection()),
            name: device.user.clone(),
            proof,
            sk: device.keys.signing_id(),
            spki: device.keys.signing.spki().to_vec(),
            limits: if self.is_small { SMALL_OUTBOX } else { OutboxLimits::default() },
        }
    }

    fn online(&mut self, signed_in: SignedIn, link: Link) {
        self.disk.is_registered = true;
        self.disk.is_published = self.disk.generation == 1;
        self.write(Fact::SignedIn { at: self.name.clone(), position: signed_in.position });
        let hub = Arc::new(keys::hub_bundle().clone());
        self.inputs.push(Input::Connected(Box::new(signed_in), hub));
        self.cut_at = self.lives.take().map(|lives| tokio::time::Instant::now() + lives);
        self.link = Some(link);
    }
}

/// What a bundle proves where the hub has one of the same device.
fn proof_after(
    bundle: Arc<Bundle>,
    device: &Device,
    known: &Bundle,
) -> Result<Proof, NotConnected> {
    if bundle.digest() == known.digest() {
        return Ok(Proof::Known { dev: device.dev });
    }
    let refuse = |error: chat_protocol::keys::BundleError| NotConnected::Refused {
        code: code::SIGN_IN,
        reason: error.to_string(),
    };
    bundle.follows(known).map_err(refuse)?;
    Ok(Proof::Bundle { bundle, after: Some(known.digest()) })
}

/// Somebody has the name: perhaps this very device, whose answer was lost.
fn is_taken(code: &str) -> bool {
    matches!(code, code::NAME_TAKEN | code::NAME_IN_USE)
}
