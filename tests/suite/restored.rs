//! Clients that are newer than the backup which their server was restored from (rule R36).

use chat_tests::{Scene, operator};

/// Goal: an account and a device that the server has lost come back by themselves, while they run. Before:
/// both programs ended with exit 4.
#[test]
fn who_is_newer_than_the_backup_comes_back_without_a_question() {
    let mut scene = Scene::empty();
    let desk = scene.client("bob").chat();
    let kept = scene.rig.path("kept.tar");
    operator(&scene.rig, &["backup", kept.to_str().unwrap()]).assert_code(0);
    let laptop = scene.client("bob").with_home(scene.rig.path("bob-laptop")).chat();
    let mut eve = scene.client("eve").chat();
    eve.type_line("bob*a new account");
    laptop.stdout.wait_for_part("eve → you: a new account");
    scene.server.kill_hard();
    operator(&scene.rig, &["restore", kept.to_str().unwrap()]).assert_code(0);
    scene.server.restart(&scene.rig, &[]);
    for program in [&desk, &laptop, &eve] {
        program.stdout.wait_for_count(2, |line| line.contains("connected to"));
    }
    eve.type_line("bob*here again");
    for program in [&desk, &laptop] {
        program.stdout.wait_for_part("eve → you: here again");
    }
}
