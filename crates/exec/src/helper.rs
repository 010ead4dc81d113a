//! The re-executed child. `main.rs` of each binary calls [`main`] before anything else when its first
//! argument is [`SUBCOMMAND`]: no thread exists yet, so everything that asks for a single thread is
//! safe here.
//!
//! Three stages, each a fresh copy of the binary:
//! 1. `supervise` asks the kernel for a new PID namespace. Where it gets one it starts `init` in it
//!    and waits; where not, it does the work of `init` itself as a subreaper.
//! 2. `init` starts `launch`, buries orphans, and kills the whole tree when the program has ended,
//!    when it is told to stop, or when the process that asked is gone.
//! 3. `launch` gives everything up (limits, user, file system, system calls) and becomes the program.
//!
//! Standard input of each stage is the control socket: the runner closes its half to say "stop", the
//! stages answer with the lines of `Line`. The program itself gets `/dev/null`.

mod launch;
mod sandbox;
mod supervise;
mod system_calls;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::fd::{AsFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use serde::{Deserialize, Serialize};

/// The hidden first argument that turns a binary of this project into the helper.
pub const SUBCOMMAND: &str = "exec-helper";

/// Where programs are looked for: directories that only root can write to.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The language of every program's messages, so that answers do not depend on the machine's settings.
pub const LANG: &str = "C.UTF-8";

/// The running binary, also after its file was replaced by an upgrade.
const OWN_BINARY: &str = "/proc/self/exe";

/// The last of the three descriptors that a program is meant to have.
const STDERR: RawFd = 2;

/// Exit status of a stage that was called wrongly or could not go on.
const FAILED: u8 = 125;

/// Everything the stages need to know besides the argument vector; one TOML argument.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LaunchSpec {
    /// Runs here, may write only here, and it is HOME.
    pub(crate) work_dir: PathBuf,
    pub(crate) network: bool,
    pub(crate) namespaces: bool,
    /// CPU time of each process, in seconds.
    pub(crate) cpu_s: u64,
    /// Whom to become when started by root.
    pub(crate) user: Option<Credentials>,
}

/// A user in the numbers of the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
}

/// What the stages tell the runner, one line each. The first final line (all but `Sandbox`) counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// What the kernel enforces, for the log.
    Sandbox(String),
    Exit(i32),
    Signal(i32),
    /// The kernel ended it at its limit of CPU time.
    CpuTime,
    NotFound,
    Failed(String),
}

impl Line {
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "sandbox" => Some(Self::Sandbox(rest.to_owned())),
            "exit" => rest.parse().ok().map(Self::Exit),
            "signal" => rest.parse().ok().map(Self::Signal),
            "cpu-time" => Some(Self::CpuTime),
            "not-found" => Some(Self::NotFound),
            "failed" => Some(Self::Failed(rest.to_owned())),
            _ => None,
        }
    }

    /// Writes the line. A runner that is gone hears nothing, and nothing else can be done for it.
    fn send(&self, mut control: &UnixStream) {
        let text = match self {
            Self::Sandbox(status) => format!("sandbox {status}\n"),
            Self::Exit(status) => format!("exit {status}\n"),
            Self::Signal(signal) => format!("signal {signal}\n"),
            Self::CpuTime => "cpu-time\n".to_owned(),
            Self::NotFound => "not-found\n".to_owned(),
            Self::Failed(why) => format!("failed {}\n", why.replace('\n', " ")),
        };
        if control.write_all(text.as_bytes()).is_err() {
            tracing::debug!("the runner is gone");
        }
    }
}

/// What a stage was started with.
struct Stage {
    spec: LaunchSpec,
    spec_text: OsString,
    argv: Vec<OsString>,
    control: UnixStream,
}

impl Stage {
    fn read(mut args: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let spec_text = args.next().ok_or("the specification is missing")?;
        let text = spec_text.to_str().ok_or("the specification is not UTF-8")?;
        let spec = toml::from_str(text).map_err(|error| error.to_string())?;
        let stdin = std::io::stdin();
        let control = stdin.as_fd().try_clone_to_owned().map_err(|error| error.to_string())?;
        let control = UnixStream::from(control);
        control.local_addr().map_err(|_| "standard input is not the runner's socket")?;
        Ok(Self { spec, spec_text, argv: args.collect(), control })
    }

    /// The same binary with the same arguments as another stage. It inherits the control socket.
    fn next(&self, stage: &str) -> Command {
        let mut command = Command::new(OWN_BINARY);
        command.args([OsStr::new(SUBCOMMAND), OsStr::new(stage), &self.spec_text]).args(&self.argv);
        command
    }
}

/// Runs the stage that the arguments name. `args` are those after [`SUBCOMMAND`]. Not for people.
pub fn main(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let name = args.next().unwrap_or_default();
    close_strangers();
    let stage = match Stage::read(args) {
        Ok(stage) => stage,
        Err(why) => return refuse(&why),
    };
    let done = match name.to_str() {
        Some("supervise") => supervise::run(&stage),
        Some("init") => supervise::run_as_init(&stage),
        Some("launch") => launch::run(&stage),
        _ => return refuse("unknown stage"),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            line.send(&stage.control);
            ExitCode::from(FAILED)
        }
    }
}

/// Closes what the server or its own parent left open across `exec`: a program must not inherit a
/// socket or a file of theirs. What the stages open themselves closes at `exec`.
fn close_strangers() {
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let strangers: Vec<RawFd> = open
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|descriptor| *descriptor > STDERR)
        .collect();
    for descriptor in strangers {
        // The one that read the directory is closed already.
        let _closed = nix::unistd::close(descriptor);
    }
}

/// Says why to whoever typed this by hand.
fn refuse(why: &str) -> ExitCode {
    let text = format!(
        "{SUBCOMMAND} is used by this program itself and cannot be called by hand: {why}\n"
    );
    match std::io::stderr().write_all(text.as_bytes()) {
        Ok(()) | Err(_) => ExitCode::from(FAILED),
    }
}

/// A failed step as the final line.
fn failed<E: std::fmt::Display>(step: &str) -> impl FnOnce(E) -> Line {
    move |error| Line::Failed(format!("{step}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what one side writes the other reads, and other text means nothing.
    #[test]
    fn lines_survive_the_socket() {
        for line in [
            Line::Sandbox("landlock=full".to_owned()),
            Line::Exit(7),
            Line::Signal(9),
            Line::CpuTime,
            Line::NotFound,
            Line::Failed("no space".to_owned()),
        ] {
            let (left, mut right) = UnixStream::pair().expect("a pair");
            line.send(&left);
            drop(left);
            let mut text = String::new();
            std::io::Read::read_to_string(&mut right, &mut text).expect("read");
            assert_eq!(Line::parse(text.trim_end()), Some(line));
        }
        assert_eq!(Line::parse("exit x"), None);
        assert_eq!(Line::parse(""), None);
    }

    /// Goal: a spec survives its text, with paths that need quoting.
    #[test]
    fn specs_survive_their_text() {
        let spec = LaunchSpec {
            work_dir: "/srv/a \"quoted\"\npath".into(),
            network: true,
            namespaces: false,
            cpu_s: 30,
            user: Some(Credentials { uid: 1, gid: 2, groups: vec![3, 4] }),
        };
        let text = toml::to_string(&spec).expect("writable");
        assert_eq!(toml::from_str::<LaunchSpec>(&text).expect("readable"), spec);
    }
}
