//! Programs that run what they are told to. A rule that names one and leaves words open allows far more
//! than it says.

/// Shells and their like: their whole purpose is to run what their arguments say, so a rule that
/// names one without `shell = true` is refused.
const SHELLS: &[&str] = &[
    "sh", "bash", "rbash", "dash", "ash", "zsh", "rzsh", "ksh", "rksh", "mksh", "yash", "fish",
    "csh", "tcsh", "nu", "pwsh", "elvish", "xonsh", "busybox", "env",
];

/// Programs that start another one, run a script, or have an option, a key or a file that does. The
/// list is one of known ones: a program that is missing here may be able to do it too.
const WRAPPERS: &[&str] = &[
    // Start the program that follows.
    "timeout",
    "nice",
    "ionice",
    "nohup",
    "setsid",
    "stdbuf",
    "time",
    "watch",
    "taskset",
    "chrt",
    "numactl",
    "prlimit",
    "setarch",
    "linux32",
    "linux64",
    "catchsegv",
    "unbuffer",
    "flock",
    "logsave",
    "strace",
    "ltrace",
    "gdb",
    "valgrind",
    "perf",
    "faketime",
    "fakeroot",
    "parallel",
    "xargs",
    "entr",
    "run-parts",
    "start-stop-daemon",
    "daemonize",
    "chpst",
    "toybox",
    // As somebody else, or somewhere else.
    "sudo",
    "doas",
    "su",
    "runuser",
    "pkexec",
    "setpriv",
    "capsh",
    "chroot",
    "unshare",
    "nsenter",
    "bwrap",
    "firejail",
    "proot",
    "systemd-run",
    "machinectl",
    "systemd-nspawn",
    "cgexec",
    "docker",
    "podman",
    "kubectl",
    "lxc",
    "lxc-attach",
    "ssh",
    "scp",
    "sftp",
    "rsync",
    "ip",
    "dbus-run-session",
    "xvfb-run",
    "script",
    "screen",
    "tmux",
    "at",
    "batch",
    "crontab",
    "expect",
    // Have an option or a command for it.
    "find",
    "fd",
    "tar",
    "zip",
    "git",
    "hg",
    "svn",
    "make",
    "gmake",
    "cmake",
    "ninja",
    "gcc",
    "sed",
    "tcpdump",
    "nmap",
    "socat",
    "nc",
    "ncat",
    "openvpn",
    "sqlite",
    "psql",
    "mysql",
    "vi",
    "vim",
    "nvim",
    "ed",
    "emacs",
    "nano",
    "less",
    "more",
    "man",
    "apt",
    "apt-get",
    "dpkg",
    "rpm",
    "pip",
    "npm",
    "npx",
    "cargo",
    // Run a script of their own.
    "awk",
    "gawk",
    "mawk",
    "nawk",
    "python",
    "pypy",
    "ipython",
    "perl",
    "ruby",
    "node",
    "nodejs",
    "deno",
    "bun",
    "lua",
    "php",
    "tclsh",
    "wish",
    "julia",
    "java",
    "jshell",
    "guile",
    "Rscript",
];

/// Whether a program is a shell, by its name without folders.
pub(super) fn is_shell(program: &str) -> bool {
    SHELLS.contains(&base(program))
}

/// Whether a program is known to run others, by its name without folders and without the number of a
/// version: `/usr/bin/python3.11` is `python`.
pub(super) fn is_wrapper(program: &str) -> bool {
    let name = base(program).trim_end_matches(|c: char| c.is_ascii_digit() || "._-".contains(c));
    WRAPPERS.contains(&name)
}

fn base(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a program is known whatever its folder and version.
    #[test]
    fn folders_and_versions_do_not_hide_a_program() {
        for name in ["timeout", "/usr/bin/nice", "python3", "/opt/python3.11", "perl5.36", "lua5.4"]
        {
            assert!(is_wrapper(name), "{name}");
        }
        for name in ["uptime", "systemctl", "cat", "ls", "", "3", "pythonic", "df"] {
            assert!(!is_wrapper(name), "{name}");
        }
        assert!(is_shell("/bin/rbash") && is_shell("sh") && !is_shell("ssh"));
    }
}
