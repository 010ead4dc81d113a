//! Clients that are newer than the backup which their server was restored from (rule R36).

use chat_tests::{Rig, operator};

/// Goal: an account and a device that the server has lost come back by themselves, while they run. Before:
/// both programs ended with exit 4.
#[test]
fn who_is_newer_than_the_backup_comes_back_without_a_question() {
    let rig = Rig::new();
    let mut server = rig.server();
    let url = server.url().to_owned();
    let desk = rig.client("bob", &url).chat();
    let kept = rig.path("kept.tar");
    operator(&rig, &["backup", kept.to_str().unwrap()]).assert_code(0);
    let laptop = rig.client("bob", &url).with_home(rig.path("bob-laptop")).chat();
    let mut eve = rig.client("eve", &url).chat();
    eve.type_line("bob*a new account");
    laptop.stdout.wait_for_part("eve → you: a new account");
    server.kill_hard();
    operator(&rig, &["restore", kept.to_str().unwrap()]).assert_code(0);
    server.restart(&rig, &[]);
    for program in [&desk, &laptop, &eve] {
        program.stdout.wait_for_count(2, |line| line.contains("connected to"));
    }
    eve.type_line("bob*here again");
    for program in [&desk, &laptop] {
        program.stdout.wait_for_part("eve → you: here again");
    }
}
