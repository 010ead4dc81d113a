//! Files of the server are for its owner alone, and folders that others can change are refused.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
};

use chat_tests::{Program, Rig, Server};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Every folder and file below `folder`, but what is in the work folder of commands.
fn everything(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("agent/work") {
            everything(&path, found);
        }
        found.push(path);
    }
}

/// The same command under `umask 0`, where nothing takes a bit away.
fn without_umask(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg("umask 0; exec \"$0\" \"$@\"").arg(command.get_program());
    shell.args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        shell.current_dir(folder);
    }
    shell
}

#[test]
fn nothing_of_the_server_is_open_to_others_whatever_the_umask() {
    let rig = Rig::new();
    let command = Server::command(&rig, "0", &["--tls", "auto"]);
    let program = Program::start(without_umask(&command));
    program.stderr.wait_for_part("listening on ws");
    let mut found = vec![rig.data(), rig.logs()];
    everything(&rig.data(), &mut found);
    everything(&rig.logs(), &mut found);
    assert!(found.iter().any(|path| path.ends_with("chat.sqlite")), "{found:?}");
    for path in found {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path) & !expected, 0, "{} has mode {:o}", path.display(), mode(&path));
    }
}

#[test]
fn a_data_folder_that_others_can_write_is_refused_and_one_they_can_read_is_said() {
    let rig = Rig::new();
    fs::create_dir(rig.data()).unwrap();
    fs::set_permissions(rig.data(), Permissions::from_mode(0o777)).unwrap();
    let refused = Program::start(Server::command(&rig, "0", &[])).finish().expect_code(1);
    assert!(refused.stderr.contains("chmod go-w"), "{refused:?}");
    fs::set_permissions(rig.data(), Permissions::from_mode(0o755)).unwrap();
    let server = rig.server();
    server.program().stderr.wait_for_part("look into the data folder");
    let ended = server.terminate().expect_code(0);
    // A database that an older server has left open.
    fs::set_permissions(rig.data().join("chat.sqlite"), Permissions::from_mode(0o644)).unwrap();
    drop(ended);
    let _server = rig.server();
    assert_eq!(mode(&rig.data().join("chat.sqlite")), 0o600);
}
