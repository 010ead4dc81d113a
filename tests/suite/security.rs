//! What docs/SECURITY.md claims has tests, and each of them exists.

use std::path::Path;

use chat_tests::attacks::attacks;
use chat_tests::workspace;

/// What stands in quotes of code.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Claims with the tests that show them: rows of tables with three columns.
fn claims(security: &str) -> Vec<(&str, &str)> {
    let rows = security.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix('|')?.split(" | ").map(str::trim).collect();
        match cells[..] {
            [claim, _, tests] if claim != "claim" => Some((claim, tests)),
            _ => None,
        }
    });
    rows.collect()
}

/// The names of all tests below a folder.
fn tests_in(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_in(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let (mut is_test, mut is_list) = (false, false);
            for line in std::fs::read_to_string(&path).unwrap().lines().map(str::trim) {
                is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
                // Scenarios that are run at one server and over two.
                is_list = line.starts_with("at_one_and_over_two!") || (is_list && line != "}");
                if is_list && let Some(name) = line.strip_suffix(',') {
                    found.push(name.to_owned());
                }
                let name = line.split_once("fn ").and_then(|(_, rest)| rest.split_once('('));
                if let Some((name, _)) = name
                    && std::mem::take(&mut is_test)
                {
                    found.push(name.to_owned());
                }
            }
        }
    }
}

#[test]
fn every_claim_names_tests_and_attacks_that_exist() {
    let security = std::fs::read_to_string(workspace().join("docs/SECURITY.md")).unwrap();
    let mut names: Vec<String> = attacks().iter().map(|attack| attack.name.to_owned()).collect();
    for folder in ["crates", "tests"] {
        tests_in(&workspace().join(folder), &mut names);
    }
    let claims = claims(&security);
    assert!(claims.len() > 70, "only {} claims found", claims.len());
    for (claim, tests) in claims {
        assert!(tests.contains('`'), "no test shows: {claim}");
        for test in quoted(tests) {
            assert!(names.iter().any(|name| name == test), "{test} does not exist: {claim}");
        }
    }
}

#[test]
fn every_attack_stands_in_the_document() {
    let security = std::fs::read_to_string(workspace().join("docs/SECURITY.md")).unwrap();
    for attack in attacks() {
        assert!(security.contains(&format!("`{}`", attack.name)), "{} is missing", attack.name);
    }
}
