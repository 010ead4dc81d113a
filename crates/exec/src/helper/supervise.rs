//! Stages one and two: the namespace, the reaper, the killer.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::process::Child;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getegid, geteuid, getpid};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Line, Stage, failed};
use crate::limits::TERM_GRACE;

/// How long the sweep of a tree without namespace goes on before it gives up. A killed process
/// cannot fork, so each round leaves fewer; only one that the kernel holds can outlive this.
const SWEEP_TIME_MAX: Duration = Duration::from_secs(2);

/// Pause between two rounds of the sweep: long enough for the kernel to bury what was killed.
const SWEEP_PAUSE: Duration = Duration::from_millis(2);

/// Stage one.
pub(super) fn run(stage: &Stage) -> Result<(), Line> {
    if !stage.spec.namespaces || !enter_namespace()? {
        prctl::set_child_subreaper(true).map_err(failed("become a subreaper"))?;
        return watch(stage, false);
    }
    let mut init = stage.next("init").spawn().map_err(failed("start init"))?;
    // Returns when the namespace is empty: its last process is its init, whose death kills the rest.
    let status = init.wait().map_err(failed("wait for init"))?;
    if status.success() { Ok(()) } else { Err(Line::Failed(format!("init ended early: {status}"))) }
}

/// Stage two: the first process of a new namespace.
pub(super) fn run_as_init(stage: &Stage) -> Result<(), Line> {
    if getpid() != Pid::from_raw(1) {
        return Err(Line::Failed("init is not the first process of its namespace".to_owned()));
    }
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(failed("tie init to its parent"))?;
    watch(stage, true)
}

/// Asks for a PID namespace for the children to come; `false` where that is not allowed. Without
/// root it takes a user namespace too, in which this user is the only one.
fn enter_namespace() -> Result<bool, Line> {
    if geteuid().is_root() {
        return Ok(unshare(CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC).is_ok());
    }
    let (uid, gid) = (geteuid(), getegid());
    let flags = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC;
    if unshare(flags).is_err() {
        return Ok(false);
    }
    let map = |file: &str, text: String| fs::write(format!("/proc/self/{file}"), text);
    map("setgroups", "deny".to_owned())
        .and_then(|()| map("uid_map", format!("{uid} {uid} 1")))
        .and_then(|()| map("gid_map", format!("{gid} {gid} 1")))
        .map_err(failed("map the user into its namespace"))?;
    Ok(true)
}

/// Starts the program, waits for its end, for the order to stop or for the death of the runner, and
/// leaves nothing behind.
fn watch(stage: &Stage, is_init: bool) -> Result<(), Line> {
    let mut mask = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        mask.add(signal);
    }
    mask.thread_block().map_err(failed("block signals"))?;
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .map_err(failed("listen for signals"))?;
    let program = stage.next("launch").spawn().map_err(failed("start the launcher"))?;
    let cpu_s = stage.spec.cpu_s;
    let mut tree = Tree { program: pid_of(&program)?, is_init, cpu_s, ended: None };

    let mut kill_at: Option<Instant> = None;
    while tree.ended.is_none() {
        let ready = wait_ready(stage, &signals, kill_at).map_err(failed("wait"))?;
        if ready.signal {
            let stop = take_signals(&signals).map_err(failed("read a signal"))?;
            tree.reap().map_err(failed("reap"))?;
            kill_at = kill_at.or_else(|| stop.then(|| tree.terminate()));
        }
        if ready.stop {
            kill_at = kill_at.or_else(|| Some(tree.terminate()));
        }
        if kill_at.is_some_and(|at| at <= Instant::now()) {
            break;
        }
    }
    tree.kill_rest().map_err(failed("kill what is left"))?;
    tree.ended.unwrap_or(Line::Signal(libc_number(Signal::SIGKILL))).send(&stage.control);
    Ok(())
}

struct Ready {
    signal: bool,
    stop: bool,
}

/// Waits for a signal, for the runner's "stop" (the end of its half of the socket), or for the time.
fn wait_ready(stage: &Stage, signals: &SignalFd, kill_at: Option<Instant>) -> io::Result<Ready> {
    let timeout = kill_at
        .map(|at| Timespec::try_from(at.saturating_duration_since(Instant::now())))
        .transpose()
        .map_err(io::Error::other)?;
    let mut fds = vec![PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN)];
    // Once it has said stop, the socket stays readable and would keep the loop spinning.
    if kill_at.is_none() {
        fds.push(PollFd::from_borrowed_fd(stage.control.as_fd(), PollFlags::IN));
    }
    match poll(&mut fds, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let is_ready = |fd: Option<&PollFd<'_>>| fd.is_some_and(|fd| !fd.revents().is_empty());
    Ok(Ready { signal: is_ready(fds.first()), stop: is_ready(fds.get(1)) })
}

/// Empties the signal descriptor; true if one of the signals asks to stop.
fn take_signals(signals: &SignalFd) -> nix::Result<bool> {
    let mut stop = false;
    while let Some(info) = signals.read_signal()? {
        stop |= i32::try_from(info.ssi_signo) != Ok(libc_number(Signal::SIGCHLD));
    }
    Ok(stop)
}

/// The program and everything it started.
struct Tree {
    program: Pid,
    is_init: bool,
    /// The limit of CPU time, in seconds.
    cpu_s: u64,
    /// How the program itself ended.
    ended: Option<Line>,
}

impl Tree {
    /// Takes the status of every child that has ended, orphans included. True while any is left.
    fn reap(&mut self) -> nix::Result<bool> {
        loop {
            let status = match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
                Ok(WaitStatus::StillAlive) => return Ok(true),
                Ok(status) => status,
                Err(Errno::ECHILD) => return Ok(false),
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error),
            };
            match status {
                WaitStatus::Exited(pid, code) if pid == self.program => {
                    self.ended = Some(Line::Exit(code));
                }
                WaitStatus::Signaled(pid, signal, _) if pid == self.program => {
                    self.ended = Some(self.end_by(signal));
                }
                _ => {}
            }
        }
    }

    /// What a signal that ended the program means. One that caught the first signal of the kernel is
    /// killed a little later without a reason, which only its CPU time tells.
    fn end_by(&self, signal: Signal) -> Line {
        let is_used_up = || {
            let used = getrusage(UsageWho::RUSAGE_CHILDREN);
            let seconds = used.map(|used| used.user_time().tv_sec() + used.system_time().tv_sec());
            seconds.is_ok_and(|seconds| u64::try_from(seconds).is_ok_and(|s| s >= self.cpu_s))
        };
        match signal {
            Signal::SIGXCPU => Line::CpuTime,
            Signal::SIGKILL if is_used_up() => Line::CpuTime,
            other => Line::Signal(libc_number(other)),
        }
    }

    /// Asks all to end; returns when patience ends.
    fn terminate(&self) -> Instant {
        self.signal_all(Signal::SIGTERM);
        Instant::now() + TERM_GRACE
    }

    /// Kills all. In a namespace the end of this process would do it too; dying in order lets the
    /// outputs close first.
    fn kill_rest(&mut self) -> nix::Result<()> {
        let give_up = Instant::now() + SWEEP_TIME_MAX;
        while self.reap()? && Instant::now() < give_up {
            self.signal_all(Signal::SIGKILL);
            std::thread::sleep(SWEEP_PAUSE);
        }
        Ok(())
    }

    /// A process that has just ended cannot be signalled, and that is as good: errors are ignored.
    fn signal_all(&self, signal: Signal) {
        if self.is_init {
            // From the first process of a namespace, -1 means everybody else in it.
            let _gone = kill(Pid::from_raw(-1), signal);
        } else {
            for pid in descendants(getpid()) {
                let _gone = kill(pid, signal);
            }
        }
    }
}

/// Everybody whose line of parents leads here. Orphans do too: this process is their subreaper.
fn descendants(root: Pid) -> Vec<Pid> {
    let mut children: HashMap<Pid, Vec<Pid>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).map(Pid::from_raw);
        let parent =
            fs::read_to_string(entry.path().join("stat")).ok().and_then(|stat| parent_in(&stat));
        if let (Some(pid), Some(parent)) = (pid, parent) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = children.remove(&root).unwrap_or_default();
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        found.extend(children.remove(&pid).unwrap_or_default());
        next += 1;
    }
    found
}

/// The parent in a line of `/proc/PID/stat`. The name in it is free text: what counts follows its
/// last parenthesis.
fn parent_in(stat: &str) -> Option<Pid> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(1)?.parse().ok().map(Pid::from_raw)
}

fn pid_of(child: &Child) -> Result<Pid, Line> {
    i32::try_from(child.id()).map(Pid::from_raw).map_err(failed("read a process id"))
}

#[expect(clippy::as_conversions, reason = "the number of a signal is the discriminant of its enum")]
fn libc_number(signal: Signal) -> i32 {
    signal as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a process cannot hide its parent behind a clever name.
    #[test]
    fn names_with_parentheses_do_not_confuse() {
        assert_eq!(parent_in("12 (sh) S 7 12 12 0"), Some(Pid::from_raw(7)));
        assert_eq!(parent_in("12 (a) S 1 (b) c) R 9 12"), Some(Pid::from_raw(9)));
        assert_eq!(parent_in("12 (cut"), None);
        assert_eq!(parent_in(""), None);
    }

    /// Goal: the walk finds this test's own child.
    #[test]
    fn a_child_is_a_descendant() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep runs");
        let pid = pid_of(&child).expect("a pid");
        let found = descendants(getpid());
        child.kill().expect("killed");
        child.wait().expect("reaped");
        assert!(found.contains(&pid), "{found:?} without {pid}");
    }
}
