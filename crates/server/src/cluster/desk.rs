//! What a person does about several servers as a whole, from the folder of one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use chat_protocol::keys::KeySizes;
use tokio::time::{Instant, sleep};

use super::{
    ClusterError, IDENTITY, LOG_TIME_MAX, LOOK_PAUSE,
    key::{ClusterKey, KeyFileError},
    number,
};
use crate::{
    clock::now_ms,
    config::{ClusterCommand, ClusterWhere, NodeName},
    identity::Identity,
    order::{
        opening::{Question, attempt::Look},
        redis::{Place, PlaceError, word::Word},
        words::WordSeal,
    },
    private_file::{FileError, PrivateFileError},
    store::{
        DATABASE_FILE, OpenError,
        sqlite::{self, Contents, FollowedLog, Owner},
    },
};

/// Only the owner comes in.
const FOLDER_MODE: u32 = 0o700;

/// Does it. Returns what to say of it.
pub async fn run(command: &ClusterCommand) -> Result<String, ClusterError> {
    match command {
        ClusterCommand::Digest { data } => Ok(digest(data)?),
        ClusterCommand::Snapshot { node, out, at } => {
            Desk::open(at)?.copy_for(node, (&at.data, out)).await
        }
        ClusterCommand::Open { without, at } => {
            Desk::open(at)?.go_on_without(without, &at.data).await
        }
    }
}

/// What is in a folder, in a few lines.
fn digest(data: &Path) -> Result<String, OpenError> {
    let Contents { turn, rows, digest } = sqlite::contents(data)?;
    let mut lines = String::new();
    for (table, rows) in rows {
        lines = format!("{lines}{table}: {rows}\n");
    }
    let turn = turn.map(|(turn, chain)| format!("turn: {turn}, chain: {chain}\n"));
    Ok(format!("{lines}{}digest: {digest}\n", turn.unwrap_or_default()))
}

/// One of the servers, and the log that it follows.
struct Desk {
    key: ClusterKey,
    place: Place,
    own: FollowedLog,
    /// Where the log lies, and what the servers are called.
    names: (String, String),
    /// Where the key lies.
    file: String,
}

impl Desk {
    fn open(at: &ClusterWhere) -> Result<Self, ClusterError> {
        let data = || at.data.display().to_string();
        let Owner::Follows(own) = sqlite::owner(&at.data)? else {
            return Err(ClusterError::NoServer { data: data() });
        };
        let beside = || at.data.parent().unwrap_or(Path::new("")).join("cluster.key");
        let file = at.cluster_key.clone().unwrap_or_else(beside);
        let missing = || FileError::of("read", &file)(std::io::ErrorKind::NotFound.into());
        let key = ClusterKey::read(&file)?
            .ok_or_else(|| KeyFileError::from(PrivateFileError::from(missing())))?;
        let url = at.redis.to_string();
        let place = Place::new(at.redis.secret(), at.cluster.as_str());
        let failed = |source| ClusterError::Redis { url: url.clone(), source };
        let place = place.map_err(|error| failed(error.into()))?;
        let (names, file) = ((url, at.cluster.to_string()), file.display().to_string());
        Ok(Self { key, place, own, names, file })
    }

    /// Makes the folder of another server. The log is not trimmed beyond it until that one has come.
    async fn copy_for(
        self,
        node: &NodeName,
        (data, out): (&Path, &Path),
    ) -> Result<String, ClusterError> {
        let Self { key, place, own, names: (url, cluster), file } = self;
        let failed = |source| ClusterError::Redis { url: url.clone(), source };
        let folder = || out.display().to_string();
        if out.join(DATABASE_FILE).exists() {
            return Err(ClusterError::Occupied { folder: folder() });
        }
        let made = fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(out);
        made.map_err(|source| ClusterError::Folder { folder: folder(), source })?;
        let about = place.about().await.map_err(failed)?;
        let about = about.ok_or_else(|| ClusterError::NoLogNow { cluster: cluster.clone() })?;
        if about.id != own.log {
            return Err(ClusterError::OtherLog { cluster, data: data.display().to_string() });
        }
        let identity = key.words(own.log).open(IDENTITY, &about.identity);
        let identity = identity.ok_or(ClusterError::WrongKey { cluster, key: file })?;
        if sqlite::noted(data)?.is_some_and(|noted| noted.unsure.is_some()) {
            return Err(ClusterError::Unsure { data: data.display().to_string() });
        }
        // Before the file is made that it goes with, and before the log may be trimmed.
        let applied = sqlite::last_turn(data)?;
        place.expect(number(node.as_str()), node.as_str(), applied).await.map_err(failed)?;
        Identity::open_as(out, KeySizes::PEOPLE, (Some(identity.as_slice()), None), now_ms())?;
        let turn = sqlite::copy(data, out, node.as_str())?;
        Ok(format!(
            "{}: the folder of {node}, up to turn {turn}; take it and the key of the servers to its machine, and start \
             it with --node {node}\n",
            folder()
        ))
    }

    /// Lets the servers go on that wait at this Redis, with what the folder of one of them has.
    async fn go_on_without(
        self,
        without: &[NodeName],
        data: &Path,
    ) -> Result<String, ClusterError> {
        let Self { key, place, own, names: (url, cluster), .. } = self;
        let failed = |source| ClusterError::Redis { url: url.clone(), source };
        let seal = key.words(own.log);
        let (look, answers) = who_waits(&place, own.log, &seal).await.map_err(failed)?;
        if look.open.is_some() {
            return Ok("the log is open: no server waits\n".to_owned());
        }
        if answers.is_empty() {
            return Err(ClusterError::NobodyWaits { cluster });
        }
        let numbers: BTreeSet<u32> = without.iter().map(|name| number(name.as_str())).collect();
        let word = Word { without: numbers, answers, turn: sqlite::last_turn(data)? };
        place.leave_word(&look.run, &word.sealed(&look.run, &seal)).await.map_err(failed)?;
        let names: Vec<&str> = without.iter().map(NodeName::as_str).collect();
        Ok(if names.is_empty() {
            "said: what the servers have that run is all there is\n".to_owned()
        } else {
            format!(
                "said: the servers go on without {}; when it comes back it says what only it has\n",
                names.join(", ")
            )
        })
    }
}

/// What there is of the log, and what those ask with that wait for it: one that was started a moment ago is about to.
async fn who_waits(
    place: &Place,
    log: [u8; 16],
    seal: &WordSeal,
) -> Result<(Look, BTreeMap<u32, Question>), PlaceError> {
    let deadline = Instant::now() + LOG_TIME_MAX;
    loop {
        let (look, asked) = place.waiting(log, seal).await?;
        if look.open.is_some() || !asked.is_empty() || Instant::now() >= deadline {
            return Ok((look, asked));
        }
        sleep(LOOK_PAUSE).await;
    }
}
