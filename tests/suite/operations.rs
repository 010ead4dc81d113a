//! The page for operators: its commands are run as they stand there.

use std::process::Command;

use chat_tests::{binary, workspace};

#[test]
fn the_day_of_an_operator_runs_as_it_is_written() {
    let server = binary("chat-server");
    let run = Command::new(workspace().join("scripts/operations.sh"))
        .arg(server.parent().unwrap())
        .output();
    let run = run.unwrap();
    let (said, steps) =
        (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{said}\n{steps}");
    assert!(said.ends_with("the day is over\n"), "{said}");
    for part in ["good morning", "said after the backup", "said after the restore"] {
        assert!(said.contains(&format!("bob → you: {part}")), "{part}: {said}");
    }
}

#[test]
fn every_alert_has_its_line_on_the_page() {
    let page = std::fs::read_to_string(workspace().join("docs/OPERATIONS.md")).unwrap();
    let alerts = std::fs::read_to_string(workspace().join("ops/alerts.yml")).unwrap();
    let names = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let names: Vec<&str> = names.collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "{name} is not on the page");
    }
}
