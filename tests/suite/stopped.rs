//! Programs of the client that serve until somebody ends them.

use std::fs;

use chat_tests::Scene;
use rustix::process::Signal;

/// Goal: whoever ends one finds the same exit code whichever it was and however it was ended. Before: an agent and a
/// `share` ended with 0 after SIGTERM, and SIGQUIT killed them; `find` died of SIGTERM.
#[test]
fn whoever_is_ended_by_a_signal_ends_with_130() {
    let scene = Scene::empty();
    let policy = scene.rig.path("policy.toml");
    fs::write(&policy, "").unwrap();
    let folder = scene.rig.path("shared");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("keyword.txt"), "one, one.txt\n").unwrap();
    fs::write(folder.join("one.txt"), "1").unwrap();
    let client = scene.client("alice");
    let agent = ["agent", "--policy", policy.to_str().unwrap()];
    let share = ["share", folder.to_str().unwrap()];
    for signal in [Signal::TERM, Signal::QUIT, Signal::INT] {
        let mut agent = client.start(&agent);
        agent.stderr.wait_for_part("accepting commands");
        if signal == Signal::TERM {
            agent.signal(Signal::HUP);
            agent.stderr.wait_for_part("the policy was read again");
        }
        agent.signal(signal);
        agent.wait().assert_code(130);
        let mut share = client.start(&share);
        share.stderr.wait_for_part("files on the list: 1");
        share.signal(signal);
        share.wait().assert_code(130);
        let mut chat = client.chat();
        chat.signal(signal);
        chat.wait().assert_code(130);
    }
}
