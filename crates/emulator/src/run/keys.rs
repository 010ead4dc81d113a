//! Keys of the emulated clients, made once and kept in the home.
//!
//! A client's messages are kept in memory only, so each run is a restored device to the server: it
//! makes a new signing key and publishes the next bundle (rule R7). The file holds what must stay
//! the same, unsealed: whoever reads it can sign in as an emulated client and nobody else.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use chat_protocol::b64::B64Vec;
use chat_protocol::crypto::{SigningKey, UnwrapKey, random};
use chat_protocol::id::Nonce16;
use chat_protocol::keys::{Bundle, BundleOptions, DeviceKeys};
use chat_protocol::name::UserName;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};

use crate::error::EmulatorError;
use chat_device::clock::now_ms;
use chat_device::home::{HomeError, file};
use chat_device::own_device::OwnDevice;
use chat_device::own_device::key_sizes;
use chat_device::sign_in::{StartError, aside};

/// Key pairs that are made at most. RSA keys take long to make; a larger crowd shares them.
pub(super) const PAIRS_MAX: usize = 64;

/// One key pair's file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PairFile {
    bits: u32,
    identity: B64Vec,
    encryption: B64Vec,
    /// The newest bundle of each client that has these keys.
    bundles: BTreeMap<String, B64Vec>,
}

/// Devices for `names`, in their order.
pub(super) async fn devices(
    home: &Path,
    bits: u32,
    names: &[UserName],
) -> Result<Vec<OwnDevice>, EmulatorError> {
    let folder = home.join("emulated");
    file::make_private_folder(&folder).map_err(|error| unusable(&folder, error))?;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let pairs = names.len().min(PAIRS_MAX);
    let made = stream::iter(0..pairs).map(|pair| {
        let path = folder.join(format!("keys-{}.json", pair + 1));
        let names: Vec<_> = names.iter().skip(pair).step_by(PAIRS_MAX).cloned().collect();
        async move { aside(move || of_pair(&path, bits, &names)).await? }
    });
    let pairs: Vec<Vec<OwnDevice>> = made.buffered(cores).try_collect().await?;
    // Client number i has pair i modulo their number, whatever the size of the crowd.
    let mut pairs: Vec<_> = pairs.into_iter().map(Vec::into_iter).collect();
    let count = pairs.len();
    let numbered = (0..names.len()).map(|number| {
        let pair = number.checked_rem(count).and_then(|pair| pairs.get_mut(pair));
        pair.and_then(Iterator::next).ok_or_else(|| {
            EmulatorError::from(StartError::Internal("a client has no keys".to_owned()))
        })
    });
    numbered.collect()
}

fn unusable(path: &Path, source: io::Error) -> EmulatorError {
    HomeError::Io { path: path.to_owned(), source }.into()
}

/// The devices that share one key pair, each with its next bundle, durable before it is used.
fn of_pair(path: &Path, bits: u32, names: &[UserName]) -> Result<Vec<OwnDevice>, EmulatorError> {
    let (mut bundles, keys) = match std::fs::read(path) {
        Ok(bytes) => read(path, bits, &bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let sizes = key_sizes(bits).map_err(StartError::from)?;
            (BTreeMap::new(), DeviceKeys::generate(sizes).map_err(StartError::from)?)
        }
        Err(error) => return Err(unusable(path, error)),
    };
    let keys = Arc::new(keys);
    let devices: Vec<_> = names
        .iter()
        .map(|name| {
            let previous = bundles.get(name.as_str());
            let previous = previous.map(|bytes| Bundle::verify(bytes.0.clone().into()));
            let previous = previous.transpose().map_err(|error| damaged(path, &error))?;
            let dev = previous.as_ref().map_or_else(|| Nonce16(random()), |old| old.header().dev);
            let options = BundleOptions::default();
            let bundle = keys.publish(name, dev, previous.as_ref(), now_ms(), options);
            let bundle = Arc::new(bundle.map_err(StartError::from)?);
            bundles.insert(name.to_string(), B64Vec(bundle.bytes().to_vec()));
            let (keys, forced) = (Arc::clone(&keys), Vec::new());
            Ok(OwnDevice { dev, keys, bundle, published: false, forced })
        })
        .collect::<Result<_, EmulatorError>>()?;
    let file = PairFile {
        bits,
        identity: B64Vec(keys.identity.to_pkcs8().to_vec()),
        encryption: B64Vec(keys.encryption.to_pkcs8().to_vec()),
        bundles,
    };
    let bytes = serde_json::to_vec(&file).map_err(HomeError::from)?;
    file::write_atomically(path, &bytes).map_err(|error| unusable(path, error))?;
    Ok(devices)
}

type Kept = (BTreeMap<String, B64Vec>, DeviceKeys);

fn read(path: &Path, bits: u32, bytes: &[u8]) -> Result<Kept, EmulatorError> {
    let file: PairFile = serde_json::from_slice(bytes).map_err(|error| damaged(path, &error))?;
    if file.bits != bits {
        let reason = format!(
            "{} holds keys of {} bits; give --key-bits {} or another --home",
            path.display(),
            file.bits,
            file.bits
        );
        return Err(EmulatorError::Wrong(reason));
    }
    let sizes = key_sizes(bits).map_err(StartError::from)?;
    let keys = DeviceKeys {
        identity: SigningKey::from_pkcs8(&file.identity.0).map_err(|e| damaged(path, &e))?,
        signing: SigningKey::generate(sizes.signing).map_err(StartError::from)?,
        encryption: UnwrapKey::from_pkcs8(&file.encryption.0).map_err(|e| damaged(path, &e))?,
        former: Vec::new(),
    };
    Ok((file.bundles, keys))
}

fn damaged(path: &Path, error: &dyn std::error::Error) -> EmulatorError {
    let path: PathBuf = path.to_owned();
    let reason = format!(
        "{} is damaged: {error}; remove its folder and use a server that does not know the \
         emulated clients yet",
        path.display()
    );
    EmulatorError::Storage(reason)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn names(count: usize) -> Vec<UserName> {
        (1..=count).map(|number| UserName::new(&format!("emu-{number:03}")).unwrap()).collect()
    }

    #[tokio::test]
    async fn the_next_run_continues_the_bundles_with_a_new_signing_key() {
        let home = tempfile::tempdir().unwrap();
        let first = devices(home.path(), 2048, &names(2)).await.unwrap();
        let second = devices(home.path(), 2048, &names(3)).await.unwrap();
        assert_eq!((first.len(), second.len()), (2, 3));
        for (old, new) in first.iter().zip(&second) {
            assert_eq!(old.dev, new.dev);
            assert_eq!(old.bundle.identity(), new.bundle.identity());
            assert_ne!(old.keys.signing_id(), new.keys.signing_id());
            new.bundle.follows(&old.bundle).unwrap();
        }
        assert_ne!(first[0].bundle.identity(), first[1].bundle.identity());
        let path = home.path().join("emulated/keys-1.json");
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let refused = devices(home.path(), 3072, &names(1)).await.unwrap_err().to_string();
        assert!(refused.contains("--key-bits 2048"), "{refused}");
    }

    #[test]
    fn names_of_one_pair_share_keys_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let shared = of_pair(&home.path().join("keys-1.json"), 2048, &names(2)).unwrap();
        assert_eq!(shared[0].keys.signing_id(), shared[1].keys.signing_id());
        assert_ne!(shared[0].dev, shared[1].dev);
        assert_eq!(shared[1].bundle.header().u.as_str(), "emu-002");
    }
}
