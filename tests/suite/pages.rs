//! What the documents name exists, the page for operators runs as it is written, and what is shipped is right.

use std::process::Command;

use chat_tests::{Rig, binary, workspace};

/// Pages in which commands are named.
const PAGES: &[&str] = &[
    "README.md",
    "docs/ARCHITECTURE.md",
    "docs/OPERATIONS.md",
    "docs/PERFORMANCE.md",
    "docs/SECURITY.md",
];

/// Goal: a command that nobody runs any more cannot stand in a document.
#[test]
fn every_command_of_a_document_is_run_somewhere() {
    let check = Command::new(workspace().join("scripts/docs.sh")).arg("--check").output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
}

/// Goal: a document names no subcommand and no option that the programs do not have.
#[test]
fn the_programs_have_what_the_documents_name() {
    let mut seen = 0;
    for page in PAGES {
        let text = std::fs::read_to_string(workspace().join(page)).unwrap();
        for line in text.lines() {
            for span in line.split('`').skip(1).step_by(2) {
                let mut words = span.split_whitespace();
                let program = words.next().unwrap_or_default();
                if ["chat-server", "chat-client"].contains(&program) {
                    look(page, program, span);
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 20, "{seen}");
}

/// Looks whether the help of the command in `span` has its options.
fn look(page: &str, program: &str, span: &str) {
    let own = span.split(" -- ").next().unwrap_or_default();
    let words: Vec<&str> = own.split_whitespace().skip(1).collect();
    let help = |path: &[&str]| {
        let run = Command::new(binary(program)).args(path).arg("--help").output().unwrap();
        run.status.success().then(|| String::from_utf8(run.stdout).unwrap())
    };
    let mut shown = help(&[]).unwrap();
    let mut path = Vec::new();
    for word in words.iter().filter(|word| word.chars().all(|letter| letter.is_ascii_lowercase())) {
        let names = shown.split_once("Commands:\n").map(|(_, rest)| rest).unwrap_or_default();
        let is_command = names.lines().any(|line| line.starts_with(&format!("  {word} ")));
        if is_command {
            path.push(*word);
            shown = help(&path).unwrap();
        }
    }
    for option in words.iter().filter(|word| word.starts_with("--")) {
        let name = option.split('=').next().unwrap_or_default();
        assert!(shown.contains(name), "{page}: {span}: {program} {path:?} has no {name}");
    }
    let first = words.iter().find(|word| !word.starts_with('-'));
    let is_free =
        |word: &&&str| !word.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-');
    if path.is_empty() && words.first().is_some_and(|word| !word.starts_with('-')) {
        assert!(
            first.is_none_or(|word| is_free(&word)),
            "{page}: {span}: there is no such command"
        );
    }
}

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
