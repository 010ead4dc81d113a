//! Keys that are made once for all scenarios of a process.
//!
//! A new server and each new account make RSA keys, which takes longer than most scenarios do. So one server of
//! this process has made its key file, each name has got its keys once, and a scenario begins with copies. The
//! programs find what they find after other beginnings too: a server the data folder of one that was stopped
//! before it made its database, a client a home whose account the server does not know. All else is as for
//! anybody: the password opens the home, and `--register` makes the account.
//!
//! Scenarios about making keys, and those with several servers, begin with nothing: [`crate::Rig::unprepared`].

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use chat_device::home::{HomeFolder, file, replace_device};
use chat_device::own_device::OwnDevice;
use chat_device::vault::FIRST_NUMBER;
use chat_device::vault::Vault;
use chat_protocol::b64::B64Vec;
use chat_protocol::crypto::{KeyBits, SigningKey, UnwrapKey};
use chat_protocol::handshake::PasswordKeys;
use chat_protocol::id::KeyId;
use chat_protocol::keys::{Bundle, DeviceKeys, KeySizes};
use chat_protocol::name::UserName;
use chat_testkit::now_ms;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;

use crate::client::PASSWORD;
use crate::rig::Rig;

/// The keys of a server, in its data folder.
const SERVER_KEYS: &str = "server.key";

/// The journal of the agent there. The keys are published together with a number of it: beside another journal
/// the server would make a new signing key.
const JOURNAL: &str = "journal.db";

/// The server of all prepared scenarios.
struct Server {
    id: KeyId,
    key_file: Vec<u8>,
    journal: Vec<u8>,
}

static SERVER: LazyLock<Server> = LazyLock::new(Server::make);

/// The files of a home, by their names.
type Files = Vec<(OsString, Vec<u8>)>;

static HOMES: Mutex<BTreeMap<UserName, Arc<OnceLock<Files>>>> = Mutex::new(BTreeMap::new());

/// Key pairs of emulated clients that are made at most: of the largest crowd in a scenario.
const PAIRS: usize = 30;

/// The key pairs of emulated clients, each as its file.
static EMULATED: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| (0..PAIRS).map(|_| make_pair()).collect());

/// What of one scenario is prepared.
#[derive(Default)]
pub(crate) struct Prepared {
    has_server: AtomicBool,
    /// Names, in small letters, whose client was started before. Another home of theirs is another machine.
    met: Mutex<BTreeSet<String>>,
}

impl Prepared {
    /// Gives a new data folder the keys of the one server.
    pub(crate) fn server(&self, data: &Path) {
        if data.exists() {
            return;
        }
        write(data, SERVER_KEYS.as_ref(), &SERVER.key_file);
        write(&data.join("agent"), JOURNAL.as_ref(), &SERVER.journal);
        self.has_server.store(true, Ordering::SeqCst);
    }

    /// Notes that this name's client is started: whether that is the first time.
    pub(crate) fn meets(&self, user: &str) -> bool {
        let mut met = self.met.lock();
        met.insert(user.to_ascii_lowercase())
    }

    /// Gives somebody who comes for the first time, and is to sign up, their home below `root`.
    pub(crate) fn home(&self, user: &str, root: &Path) {
        let is_first = self.meets(user);
        let Ok(user) = UserName::new(user) else { return };
        if !is_first || !self.has_server.load(Ordering::SeqCst) {
            return;
        }
        let folder = HomeFolder::new(root, &SERVER.id, &user);
        for (name, bytes) in home_of(&user).get_or_init(|| make_home(&user)) {
            write(folder.path(), name, bytes);
        }
    }
}

impl Server {
    fn make() -> Self {
        /// What is read of the file; who else reads it knows the rest.
        #[derive(Deserialize)]
        struct KeyFile {
            bundle: B64Vec,
        }
        let rig = Rig::unprepared();
        rig.server().terminate().assert_code(0);
        let key_file = std::fs::read(rig.data().join(SERVER_KEYS)).unwrap();
        let journal = std::fs::read(rig.data().join("agent").join(JOURNAL)).unwrap();
        let read: KeyFile = serde_json::from_slice(&key_file).unwrap();
        let id = Bundle::verify(read.bundle.0.into()).unwrap().identity();
        Self { id, key_file, journal }
    }
}

/// Gives an emulator the keys of its clients, which have been nowhere yet.
pub(crate) fn emulated(root: &Path) {
    for (number, pair) in (1..).zip(EMULATED.iter()) {
        write(&root.join("emulated"), format!("keys-{number}.json").as_ref(), pair);
    }
}

/// The file of a key pair as an emulator keeps it.
fn make_pair() -> Vec<u8> {
    let bits = KeyBits::B2048;
    let identity = SigningKey::generate(bits).unwrap().to_pkcs8().to_vec();
    let encryption = UnwrapKey::generate(bits).unwrap().to_pkcs8().to_vec();
    let pair = json!({
        "bits": 2048, "identity": B64Vec(identity), "encryption": B64Vec(encryption), "bundles": {},
    });
    pair.to_string().into_bytes()
}

fn home_of(user: &UserName) -> Arc<OnceLock<Files>> {
    let mut homes = HOMES.lock();
    Arc::clone(homes.entry(user.clone()).or_default())
}

/// A home as it is when its account is on its way to the server.
fn make_home(user: &UserName) -> Files {
    let root = tempfile::tempdir().unwrap();
    let folder = HomeFolder::new(root.path(), &SERVER.id, user);
    let keys = DeviceKeys::generate(KeySizes::EMULATED).unwrap();
    let vault = Vault::new(&keys.identity);
    let password = PasswordKeys::derive(PASSWORD, &SERVER.id, user);
    folder.write_key_file(&vault.seal(&password, &SERVER.id, user, FIRST_NUMBER)).unwrap();
    let device = OwnDevice::first(user, keys, None, now_ms()).unwrap();
    replace_device(&mut folder.open(&vault).unwrap(), &vault, (None, &device)).unwrap();
    let files = std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap);
    files.map(|file| (file.file_name(), std::fs::read(file.path()).unwrap())).collect()
}

/// Writes a file that only its owner reads, into a folder of the same kind.
fn write(folder: &Path, name: &std::ffi::OsStr, bytes: &[u8]) {
    file::make_private_folder(folder).unwrap();
    let path = folder.join(name);
    file::make_private(&path).unwrap();
    std::fs::write(path, bytes).unwrap();
}
