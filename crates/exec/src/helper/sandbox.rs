//! What of the file system the program can reach (Landlock): system directories to read and run
//! from, its work directory to write, a few devices. Also no TCP, and no signals to anybody outside.

use std::ffi::OsStr;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, RestrictionStatus, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use super::LaunchSpec;

/// The newest rules asked for; an older kernel enforces what it knows, and the status says so.
const RULES: ABI = ABI::V6;

/// Read and run. What exists of these; the rights of the files themselves still apply.
const SYSTEM_DIRS: [&str; 13] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc",
    "/opt",
    "/proc",
    "/sys",
    "/nix/store",
    "/gnu/store",
];

/// Names are resolved through here on machines where `/etc/resolv.conf` is a link.
const RESOLVER_DIR: &str = "/run/systemd/resolve";

/// Devices without side effects.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Rules with their directories opened: opening may need rights that the program will not have.
pub(super) struct Prepared(RulesetCreated);

pub(super) fn prepare(spec: &LaunchSpec, program: &OsStr) -> Result<Prepared, RulesetError> {
    let mut ruleset = Ruleset::default().handle_access(AccessFs::from_all(RULES))?;
    if !spec.network {
        ruleset = ruleset.handle_access(AccessNet::from_all(RULES))?;
    }
    let mut rules = ruleset.scope(Scope::from_all(RULES))?.create()?;
    let read = AccessFs::from_read(RULES);
    for dir in SYSTEM_DIRS {
        rules = allow(rules, Path::new(dir), read)?;
    }
    if spec.network {
        rules = allow(rules, Path::new(RESOLVER_DIR), read)?;
    }
    for device in DEVICES {
        rules = allow(rules, Path::new(device), AccessFs::ReadFile | AccessFs::WriteFile)?;
    }
    // What can be written does not start by its path; a script that the policy names does.
    let special = AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev;
    rules = allow(rules, &spec.work_dir, AccessFs::from_all(RULES) & !special)?;
    let program = Path::new(program);
    if program.components().count() > 1 {
        rules = allow(rules, program, AccessFs::Execute | AccessFs::ReadFile)?;
    }
    Ok(Prepared(rules))
}

/// A path that does not exist needs no rule.
fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    match PathFd::new(path) {
        Ok(fd) => rules.add_rule(PathBeneath::new(fd, access)),
        Err(_) => Ok(rules),
    }
}

impl Prepared {
    /// From here on the rules hold, for this process and all it starts. Returns what is enforced.
    pub(super) fn enforce(self) -> Result<&'static str, RulesetError> {
        let RestrictionStatus { ruleset, .. } = self.0.restrict_self()?;
        Ok(match ruleset {
            RulesetStatus::FullyEnforced => "full",
            RulesetStatus::PartiallyEnforced => "partial",
            RulesetStatus::NotEnforced => "off",
        })
    }
}
