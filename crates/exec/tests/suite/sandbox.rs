//! What a program can see, touch and do.

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use crate::harness::{Machine, anything, ask, request, run_script};

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// What the kernel of this machine enforces, from the status of a command.
#[expect(clippy::print_stdout, reason = "a test that checks less says why")]
async fn kernel_has_landlock() -> bool {
    let lsm = fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    let machine = Machine::new();
    let outside = machine.folder.path().join("open-to-all");
    fs::write(&outside, "x").expect("written");
    let read = run_script(&machine, &format!("cat {}", outside.display())).await;
    let has = lsm.contains("landlock") || read.code() != Some(0);
    if !has {
        println!("no Landlock on this kernel: the rights of files are all there is");
    }
    has
}

/// Goal: the environment is exactly as built; nothing of this process leaks in.
#[tokio::test]
async fn the_environment_is_built_from_nothing() {
    let machine = Machine::new();
    let answer = ask(&machine.agent(anything("")), request(1, &["env"])).await;
    let mut lines: Vec<_> = answer.text().lines().map(str::to_owned).collect();
    lines.sort();
    let home = format!("HOME={}", machine.work_dir().display());
    let path = format!("PATH={}", chat_exec::helper::PATH);
    assert_eq!(lines, [home, "LANG=C.UTF-8".to_owned(), path]);
}

/// Goal: it runs in the work directory, with no input, no terminal and no stray descriptors.
#[tokio::test]
async fn it_stands_in_an_empty_room() {
    let machine = Machine::new();
    let answer = run_script(&machine, "pwd; cat | wc -c; umask; cat < /dev/tty").await;
    let pwd = machine.work_dir().display().to_string();
    assert_eq!(answer.text(), format!("{pwd}\n0\n0077\n"));
    assert_ne!(answer.code(), Some(0), "there is no terminal");
    let script = "read pid name state parent group session rest < /proc/self/stat; echo $pid $group $session";
    let answer = run_script(&Machine::new(), script).await;
    let text = answer.text();
    let ids: Vec<_> = text.split_ascii_whitespace().collect();
    assert!(ids.len() == 3 && ids[0] == ids[1] && ids[0] == ids[2], "a session of its own: {text}");
    let answer = run_script(&Machine::new(), "ls /proc/self/fd").await;
    assert_eq!(answer.text(), "0\n1\n2\n3\n", "3 is the directory that ls reads");
}

/// Goal: started by root, it is nobody, in no group, for ever.
#[tokio::test]
async fn root_is_given_up() {
    let answer = run_script(
        &Machine::new(),
        "id -u; id -G; grep -E '^(NoNewPrivs|CapEff|CapPrm):' /proc/self/status",
    )
    .await;
    let text = answer.text();
    assert!(text.contains("NoNewPrivs:\t1"), "{text}");
    assert_eq!(text.matches("0000000000000000").count(), 2, "no capability: {text}");
    if is_root() {
        assert!(text.starts_with("65534\n65534\n"), "{text}");
    } else {
        println!("not root: there is no root to give up");
    }
}

/// Goal: `run_as` makes it the user that the policy names, and the work directory of the rule is
/// the one it may write.
#[tokio::test]
async fn run_as_and_cwd_are_obeyed() {
    let machine = Machine::new();
    if !is_root() {
        let refused = chat_exec::Agent::open(machine.config(anything("run_as = \"daemon\"")));
        assert!(refused.err().expect("refused").to_string().contains("not root"));
        return;
    }
    let daemon = nix::unistd::User::from_name("daemon").expect("users").expect("daemon");
    let home = machine.folder.path().join("daemon's home");
    fs::create_dir(&home).expect("made");
    nix::unistd::chown(&home, Some(daemon.uid), Some(daemon.gid)).expect("given");
    let conditions = format!("run_as = \"daemon\"\ncwd = \"{}\"", home.display());
    let agent = machine.agent(anything(&conditions));
    let answer = ask(&agent, request(1, &["sh", "-c", "id -un; pwd; echo x > here"])).await;
    assert_eq!(answer.text(), format!("daemon\n{}\n", home.display()));
    assert_eq!(fs::metadata(home.join("here")).expect("there").uid(), daemon.uid.as_raw());
    let unknown =
        chat_exec::Agent::open(Machine::new().config(anything("run_as = \"no-such-user\"")));
    assert!(unknown.err().expect("refused").to_string().contains("no such user"));
}

/// Goal: it writes below its work directory and nowhere else.
#[tokio::test]
async fn it_writes_only_in_its_work_directory() {
    let machine = Machine::new();
    let inside =
        run_script(&machine, "mkdir d && echo x > d/y && mv d e && cat e/y && rm -r e").await;
    assert_eq!((inside.code(), inside.text().as_str()), (Some(0), "x\n"), "{}", inside.errors());
    if !kernel_has_landlock().await {
        return;
    }
    let open = machine.folder.path().join("open");
    fs::create_dir(&open).expect("made");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("a mode");
    let agent = machine.agent(anything(""));
    for (id, place) in
        (10..).zip([open.display().to_string(), "/tmp".to_owned(), "/dev/shm".to_owned()])
    {
        let script = format!("echo x > {place}/chat-exec-was-here-{}", std::process::id());
        let answer = ask(&agent, request(id, &["sh", "-c", &script])).await;
        assert_ne!(answer.code(), Some(0), "{place}");
        assert!(answer.errors().contains("denied"), "{place}: {}", answer.errors());
    }
    assert_eq!(fs::read_dir(&open).expect("read").count(), 0);
}

/// Goal: homes, and whatever is no system directory, cannot be read, whoever may by its mode.
#[tokio::test]
async fn it_reads_only_system_directories_and_its_own() {
    let machine = Machine::new();
    let agent = machine.agent(anything(""));
    let system = ask(&agent, request(1, &["head", "-n", "1", "/etc/passwd"])).await;
    assert_eq!(system.code(), Some(0), "{}", system.errors());
    if is_root() {
        let root_home = ask(&agent, request(2, &["ls", "/root"])).await;
        assert_ne!(root_home.code(), Some(0), "{root_home:?}");
        let shadow = ask(&agent, request(3, &["cat", "/etc/shadow"])).await;
        assert_ne!(shadow.code(), Some(0), "{shadow:?}");
    }
    if kernel_has_landlock().await {
        let open = machine.folder.path().join("open-to-all");
        fs::write(&open, "x").expect("written");
        fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).expect("a mode");
        let path = open.display().to_string();
        let answer = ask(&agent, request(4, &["cat", &path])).await;
        assert_ne!(answer.code(), Some(0), "{answer:?}");
        std::os::unix::fs::symlink(&open, machine.work_dir().join("link")).expect("linked");
        let linked = ask(&agent, request(5, &["cat", "link"])).await;
        assert_ne!(linked.code(), Some(0), "{linked:?}");
    }
}

/// Goal: what it wrote it cannot run; what the policy names by its path it can.
#[tokio::test]
async fn written_files_do_not_run() {
    if !kernel_has_landlock().await {
        return;
    }
    let machine = Machine::new();
    let agent = machine.agent(anything(""));
    let script = "printf '#!/bin/sh\\necho ran\\n' > x; chmod 755 x; ./x";
    let answer = ask(&agent, request(1, &["sh", "-c", script])).await;
    assert_eq!((answer.code(), answer.text().as_str()), (Some(126), ""));
    let path = machine.work_dir().join("x").display().to_string();
    let named = ask(&agent, request(2, &[&path])).await;
    assert_eq!((named.code(), named.text().as_str()), (Some(0), "ran\n"), "{named:?}");
}

/// Goal: nobody outside can be signalled, no namespace made, nothing mounted.
#[tokio::test]
async fn system_calls_that_reach_out_are_denied() {
    let machine = Machine::new();
    let agent = machine.agent(anything(""));
    let own_pid = std::process::id();
    let kill = ask(&agent, request(1, &["sh", "-c", &format!("kill -0 {own_pid}")])).await;
    assert_ne!(kill.code(), Some(0), "{kill:?}");
    // The agent's own environment may hold a password, and the user may be the same.
    let environ = ask(&agent, request(3, &["cat", &format!("/proc/{own_pid}/environ")])).await;
    assert_ne!(environ.code(), Some(0), "{}", environ.text());
    for (id, script) in
        (10..).zip(["unshare --user true", "unshare --pid --fork true", "mount -t tmpfs x ."])
    {
        let answer = ask(&agent, request(id, &["sh", "-c", script])).await;
        assert_ne!(answer.code(), Some(0), "{script}");
        assert!(!answer.errors().contains("not found"), "{script}: {}", answer.errors());
    }
    let status = ask(&agent, request(20, &["grep", "-E", "^Seccomp:", "/proc/self/status"])).await;
    if cfg!(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")) {
        assert_eq!(status.text(), "Seccomp:\t2\n");
    }
}

/// Goal: no network unless the policy says so. Method: a listener here, bash's own client there.
#[tokio::test]
async fn the_network_is_closed_unless_allowed() {
    if !std::path::Path::new("/bin/bash").exists() {
        println!("no bash here: nothing to open a socket with");
        return;
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    let script = format!("echo hello > /dev/tcp/127.0.0.1/{port}");
    let closed = Machine::new();
    let answer = ask(&closed.agent(anything("")), request(1, &["bash", "-c", &script])).await;
    assert_ne!(answer.code(), Some(0));
    assert!(answer.errors().contains("not permitted"), "{}", answer.errors());
    let open = Machine::new();
    let answer =
        ask(&open.agent(anything("network = true")), request(1, &["bash", "-c", &script])).await;
    assert_eq!(answer.code(), Some(0), "{}", answer.errors());
    let mut text = String::new();
    listener.accept().expect("a connection").0.read_to_string(&mut text).expect("read");
    assert_eq!(text, "hello\n");
}

/// Goal: a command cannot fill the disk with one file.
#[tokio::test]
async fn files_have_a_largest_size() {
    let answer =
        run_script(&Machine::new(), "head -c 70000000 /dev/zero > big; stat -c %s big").await;
    assert_eq!(answer.text(), "67108864\n", "{answer:?}");
}

/// Goal: the helper says what the kernel enforces, and in which words. Method: the runner's part
/// is played by hand.
#[test]
fn the_helper_says_what_is_enforced() {
    let machine = Machine::new();
    fs::create_dir(machine.work_dir()).expect("made");
    let (mut runner, theirs) = UnixStream::pair().expect("a pair");
    let spec = format!(
        "work_dir = {:?}\nnetwork = false\nnamespaces = true\ncpu_s = 1\n",
        machine.work_dir().display().to_string()
    );
    let config = machine.config(anything(""));
    let status = Command::new(&config.helper)
        .args([chat_exec::helper::SUBCOMMAND, "supervise", &spec, "true"])
        .stdin(OwnedFd::from(theirs))
        .status()
        .expect("the helper runs");
    assert!(status.success());
    let mut said = String::new();
    runner.read_to_string(&mut said).expect("read");
    let (sandbox, end) = said.split_once('\n').expect("two lines");
    assert_eq!(end, "exit 0\n");
    if !sandbox.starts_with("sandbox landlock=full seccomp=on namespace=pid user=") {
        println!("this machine enforces less: {sandbox}");
        assert!(sandbox.starts_with("sandbox landlock="), "{sandbox}");
    }
    let by_hand = Command::new(&config.helper)
        .args([chat_exec::helper::SUBCOMMAND, "supervise", &spec, "true"])
        .stdin(Stdio::null())
        .output()
        .expect("the helper runs");
    assert_eq!(by_hand.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&by_hand.stderr).contains("cannot be called by hand"));
}
