//! What must hold before an agent may start: a helper, users to become, a directory to work in.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid, User, chown, geteuid, getgrouplist};

use crate::helper::Credentials;
use crate::journal::JournalError;
use crate::policy::Policy;

/// Why an agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The work directory cannot be made or read.
    #[error("cannot use the work directory {path}: {source}")]
    WorkDir {
        /// As given.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// Commands run as another user, who could not write there.
    #[error(
        "the work directory {path} belongs to uid {got}, expected {expected}, as whom commands run; give it to them with: chown {expected} {path}"
    )]
    WorkDirOwner {
        /// As given.
        path: String,
        /// Its owner.
        got: u32,
        /// The unprivileged user.
        expected: u32,
    },
    /// There is no helper program.
    #[error("the helper program {path} is not there; commands cannot be started without it")]
    Helper {
        /// As given.
        path: String,
    },
    /// A rule has `run_as`, and this process cannot change its user.
    #[error(
        "the policy wants run_as = {user:?}, but this agent is not root; start it as root or remove run_as"
    )]
    NotRoot {
        /// As whom.
        user: String,
    },
    /// A rule has `run_as` with a name that this machine does not know.
    #[error(
        "the policy wants run_as = {user:?}, but this machine has no such user; correct the name"
    )]
    UnknownUser {
        /// As whom.
        user: String,
    },
}

pub(super) fn absolute(path: &Path) -> Result<PathBuf, AgentError> {
    std::path::absolute(path)
        .map_err(|source| AgentError::WorkDir { path: path.display().to_string(), source })
}

/// Whom commands become. Only root can become anybody.
pub(super) fn find_users(
    policy: &Policy,
) -> Result<HashMap<Option<String>, Credentials>, AgentError> {
    let is_root = geteuid().is_root();
    let mut users = HashMap::new();
    for user in policy.users() {
        let owned = || user.to_owned();
        if !is_root {
            return Err(AgentError::NotRoot { user: owned() });
        }
        let found = find_user(user).ok_or_else(|| AgentError::UnknownUser { user: owned() })?;
        users.insert(Some(owned()), found);
    }
    if is_root {
        // Every Linux knows this number as nobody's, also where the name is missing.
        const NOBODY: u32 = 65_534;
        let nobody = find_user("nobody").map_or((NOBODY, NOBODY), |user| (user.uid, user.gid));
        users.insert(None, Credentials { uid: nobody.0, gid: nobody.1, groups: Vec::new() });
    }
    Ok(users)
}

fn find_user(name: &str) -> Option<Credentials> {
    let user = User::from_name(name).ok().flatten()?;
    let groups = getgrouplist(&std::ffi::CString::new(name).ok()?, user.gid).ok()?;
    let groups = groups.into_iter().map(Gid::as_raw).collect();
    Some(Credentials { uid: user.uid.as_raw(), gid: user.gid.as_raw(), groups })
}

/// Makes the directory and gives it to whoever will run there. One that holds files and belongs to
/// somebody else is left alone: it may be the wrong path.
pub(super) fn prepare_work_dir(path: &Path, user: Option<&Credentials>) -> Result<(), AgentError> {
    let failed = |source| AgentError::WorkDir { path: path.display().to_string(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    let Some(user) = user else { return Ok(()) };
    let owner = fs::metadata(path).map_err(failed)?.uid();
    if owner == user.uid {
        return Ok(());
    }
    if fs::read_dir(path).map_err(failed)?.next().is_some() {
        let path = path.display().to_string();
        return Err(AgentError::WorkDirOwner { path, got: owner, expected: user.uid });
    }
    chown(path, Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)))
        .map_err(|errno| failed(errno.into()))
}
