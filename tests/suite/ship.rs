//! What is shipped beside the programs.

use std::process::Command;

use chat_tests::{Rig, binary, workspace};

/// Goal: systemd takes the units as they are, but for where the programs are. Skipped where there is no `systemd-analyze`.
#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let rig = Rig::new();
    for (unit, program) in
        [("chat-server.service", "chat-server"), ("chat-agent.service", "chat-client")]
    {
        let text = std::fs::read_to_string(workspace().join("ops").join(unit)).expect("a unit");
        let (there, here) = (format!("ExecStart=/usr/bin/{program} "), binary(program));
        assert!(text.contains(&there), "{text}");
        let text = text.replace(&there, &format!("ExecStart={} ", here.display()));
        let unit = rig.write(unit, &text);
        let verify =
            Command::new("systemd-analyze").args(["--man=no", "verify"]).arg(&unit).output();
        let Ok(verify) = verify else { return };
        let said = String::from_utf8_lossy(&verify.stderr);
        assert!(verify.status.success() && said.is_empty(), "{}: {said}", unit.display());
    }
}
