//! The same tests without root. Method: root runs this test binary again as nobody.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

const NOBODY: u32 = 65_534;

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).expect("copied");
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).expect("a mode");
}

#[test]
fn everything_holds_without_root() {
    if !nix::unistd::geteuid().is_root() {
        println!("not root: the other tests have just shown it");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).expect("a mode");
    let (suite, helper) = (folder.path().join("suite"), folder.path().join("helper"));
    copy(&std::env::current_exe().expect("this binary"), &suite);
    copy(Path::new(env!("CARGO_BIN_EXE_chat-exec-helper")), &helper);
    let output = Command::new(&suite)
        .args(["--test-threads", "2"])
        .current_dir(folder.path())
        .env("TMPDIR", folder.path())
        .env("CHAT_EXEC_TEST_HELPER", &helper)
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .expect("the suite runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "as nobody:\n{text}");
}
