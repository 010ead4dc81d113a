//! What a start has published by its end: the bundle of this device, and with it which other device it puts out.

use chat_protocol::handshake::Purpose;
use chat_protocol::id::KeyId;
use chat_protocol::name::UserName;

use super::super::{Credentials, HomeAccount, OpenHome, StartError, Started, first_contact};
use super::Person;
use crate::clock::now_ms;
use crate::connection::{Brought, Session};
use crate::event::RenewError;
use crate::home;
use crate::own_device::{KeyChange, Known, OwnDevice};

impl Person<'_> {
    /// Where the server has let this device in and refused its bundle, a copy of this home has gone on: the next one comes
    /// behind that, or nobody ever has the keys in it. Once; what is refused again is for the connections that follow.
    pub(super) async fn past_refusal(
        &self,
        (home, device, session): (OpenHome, OwnDevice, Session),
    ) -> Result<(OpenHome, OwnDevice, Session), StartError> {
        if session.brought != Brought::TooOld {
            return Ok((home, device, session));
        }
        // A name is signed in once.
        session.socket.part().await;
        let user = self.door.user.clone();
        let next = move |home: &mut OpenHome| {
            let known = home::known(&home.store, &user, &device)?;
            let next = device.renewed(&user, KeyChange::Republished, &known, now_ms())?;
            home.keep(Some(&device), next)
        };
        let (home, device) = home.with(next).await?;
        let again = self.door.with_device(&device).await?;
        Ok((home, device, Session { pinned: session.pinned, ..again }))
    }

    /// Notes that the server has the bundle, if it has, and says whom this sign-in has pinned.
    pub(super) async fn started(
        &self,
        home: OpenHome,
        device: OwnDevice,
        credentials: Option<Credentials>,
        session: Session,
    ) -> Result<Started, StartError> {
        if let Some(shown) = &session.pinned {
            self.people.say(first_contact::pinned(shown));
        }
        let (home, device) = if device.published || session.brought != Brought::Taken {
            (home, device)
        } else {
            let device = OwnDevice { published: true, ..device };
            // Where another process has made the next ones meanwhile, those stay.
            let taken = device.clone();
            let (home, _) = home.with(move |home| home.keep(Some(&taken), taken.clone())).await?;
            (home, device)
        };
        if let Err(error) = revoked(self.account.revoke, &device, session.brought) {
            // Who chats has read it, and goes on. A program that was to do one thing has not done it.
            if self.door.purpose != Purpose::Interactive {
                session.socket.close().await;
                return Err(error);
            }
            self.people.say(error.to_string());
        }
        let session = Some(session);
        Ok(Started { device, server: self.server, store: Some(home), credentials, session })
    }
}

/// The same device, putting another one out where that was asked for: only before the server has it.
/// What comes later is asked for with /devices.
pub(super) fn revoking(
    user: &UserName,
    account: &HomeAccount,
    (device, known): (OwnDevice, &Known),
) -> Result<OwnDevice, StartError> {
    match account.revoke {
        Some(sk) if !device.published => {
            Ok(device.renewed(user, KeyChange::Revokes(sk), known, now_ms())?)
        }
        _ => Ok(device),
    }
}

/// Whether the device is out that a start was to put out: the server has a bundle of this one that says so.
fn revoked(asked: Option<KeyId>, device: &OwnDevice, brought: Brought) -> Result<(), StartError> {
    let Some(sk) = asked else { return Ok(()) };
    if !device.bundle.header().rev.contains(&sk) {
        return Err(StartError::NotNew);
    }
    if device.published { Ok(()) } else { Err(RenewError::after(brought).into()) }
}

#[cfg(test)]
mod tests {
    use chat_protocol::keys::{DeviceKeys, KeySizes};

    use super::*;

    /// Goal: a start that was to put a device out, and has not, says so. Before: it ended well and without a word where the
    /// server put the bundle off, refused it, or knew the device already. Method: all that a sign-in may say of the bundle.
    #[test]
    fn a_start_that_has_put_no_device_out_says_so() {
        let user = UserName::new("alice").unwrap();
        let keys = DeviceKeys::generate(KeySizes::EMULATED).unwrap();
        let device = OwnDevice::first(&user, keys, None, 5).unwrap();
        let sk = KeyId([1; 16]);
        let revoking = device.renewed(&user, KeyChange::Revokes(sk), &Known::default(), 6).unwrap();
        let known = OwnDevice { published: true, ..device };
        let done = OwnDevice { published: true, ..revoking.clone() };
        assert!(revoked(None, &known, Brought::Nothing).is_ok(), "nothing was asked for");
        assert!(revoked(Some(sk), &done, Brought::Taken).is_ok());
        assert!(revoked(Some(sk), &done, Brought::Nothing).is_ok(), "it was done before");
        let put_off = revoked(Some(sk), &revoking, Brought::PutOff);
        assert!(matches!(put_off, Err(StartError::Renew(RenewError::PutOff))));
        let refused = revoked(Some(sk), &revoking, Brought::TooOld);
        assert!(matches!(refused, Err(StartError::Renew(RenewError::TooOld))));
        let not_new = revoked(Some(sk), &known, Brought::Nothing);
        assert!(matches!(not_new, Err(StartError::NotNew)));
    }
}
