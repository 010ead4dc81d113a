//! Stage three: gives up everything that the program must not have, then becomes the program.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid, setsid};

use super::{Credentials, LANG, LaunchSpec, Line, PATH, Stage, failed, sandbox, system_calls};
use crate::limits::{
    ADDRESS_SPACE_BYTES, CPU_GRACE_S, FILE_BYTES_MAX, OPEN_FILES_MAX, PROCESSES_MAX,
};

/// The order matters: what needs root comes before the user changes, the sandbox after everything
/// that it would forbid, and the system call filter last.
pub(super) fn run(stage: &Stage) -> Result<(), Line> {
    let spec = &stage.spec;
    let Some((program, words)) = stage.argv.split_first() else {
        return Err(Line::Failed("no program is named".to_owned()));
    };
    // The supervisor listens for signals by blocking them, and a mask is inherited.
    SigSet::empty().thread_set_mask().map_err(failed("unblock signals"))?;
    setsid().map_err(failed("start a session"))?;
    umask(Mode::from_bits_truncate(0o077));
    std::env::set_current_dir(&spec.work_dir).map_err(failed("enter the work directory"))?;
    let files = sandbox::prepare(spec, program).map_err(failed("prepare the sandbox"))?;
    set_limits(spec).map_err(failed("set limits"))?;
    if let Some(user) = spec.user.as_ref().filter(|_| geteuid().is_root()) {
        become_user(user).map_err(failed("change the user"))?;
    }
    // Where no namespace dies with its init, this at least ties the program to its supervisor.
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(failed("tie the program to its parent"))?;
    prctl::set_no_new_privs().map_err(failed("give up new privileges"))?;
    let files = files.enforce().map_err(failed("enter the sandbox"))?;
    let calls = system_calls::deny(spec.network);
    Line::Sandbox(format!(
        "landlock={files} seccomp={} namespace={} user={}",
        calls.as_deref().unwrap_or("on"),
        if std::os::unix::process::parent_id() == 1 { "pid" } else { "none" },
        geteuid(),
    ))
    .send(&stage.control);
    Err(become_program(spec, program, words))
}

/// Only returns if the program could not be started.
fn become_program(spec: &LaunchSpec, program: &OsStr, words: &[std::ffi::OsString]) -> Line {
    let error = Command::new(program)
        .args(words)
        .env_clear()
        .env("PATH", PATH)
        .env("LANG", LANG)
        .env("HOME", &spec.work_dir)
        .stdin(Stdio::null())
        .exec();
    match error.kind() {
        io::ErrorKind::NotFound => Line::NotFound,
        _ => Line::Failed(format!("{}: {error}", program.display())),
    }
}

/// Sets soft and hard limits alike, so that the program cannot raise them. That of CPU time is hard a
/// little later: at the soft one the signal says why, at the hard one it does not.
fn set_limits(spec: &LaunchSpec) -> nix::Result<()> {
    let uid = match &spec.user {
        Some(user) if geteuid().is_root() => user.uid,
        _ => geteuid().as_raw(),
    };
    // The kernel counts all processes of a user; what runs already must not use up the command's share.
    let processes = threads_of(uid).saturating_add(PROCESSES_MAX);
    setrlimit(Resource::RLIMIT_CPU, spec.cpu_s, spec.cpu_s.saturating_add(CPU_GRACE_S))?;
    for (resource, limit) in [
        (Resource::RLIMIT_AS, ADDRESS_SPACE_BYTES),
        (Resource::RLIMIT_NPROC, processes),
        (Resource::RLIMIT_FSIZE, FILE_BYTES_MAX),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_NOFILE, OPEN_FILES_MAX),
    ] {
        setrlimit(resource, limit, limit)?;
    }
    Ok(())
}

/// Threads that belong to a user now, as far as `/proc` shows them.
fn threads_of(uid: u32) -> u64 {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let own = processes.filter(|entry| entry.metadata().is_ok_and(|found| found.uid() == uid));
    own.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok())
        .filter_map(|stat| {
            let (_, after_name) = stat.rsplit_once(')')?;
            after_name.split_ascii_whitespace().nth(17)?.parse::<u64>().ok()
        })
        .sum()
}

/// Real, effective and saved ids at once: there is no way back.
fn become_user(user: &Credentials) -> nix::Result<()> {
    let groups: Vec<_> = user.groups.iter().copied().map(Gid::from_raw).collect();
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    setgroups(&groups)?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)
}
