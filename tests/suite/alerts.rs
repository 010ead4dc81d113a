//! The alerts and the dashboard speak of figures that a server has.

use std::collections::{BTreeMap, BTreeSet};

use chat_tests::{Rig, Server, get, operator, until, workspace};
use serde_json::Value;

/// What the scene below leaves where it was, and why.
const AT_REST: [(&str, &str); 6] = [
    ("chat_copies_bytes", "copies are left for people who are away, by a room's files"),
    ("chat_data_connections", "open while a file moves; over by the time of the scrape"),
    ("chat_log_lines_dropped_total", "a disk that stalls"),
    ("chat_tls_not_after_seconds", "a server without TLS has no certificate"),
    ("chat_relay_transfers", "under way for a moment only"),
    ("chat_queue_depth", "empty whenever the worker waits"),
];

/// Expressions of the alerts: what follows `expr:` in a line.
fn alerts() -> Vec<String> {
    let text = std::fs::read_to_string(workspace().join("ops/alerts.yml")).unwrap();
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("expr:"));
    let found: Vec<String> = lines.map(|line| line.trim().to_owned()).collect();
    assert_eq!(found.len(), text.matches("alert:").count(), "each alert has its line");
    found
}

fn dashboard() -> Vec<String> {
    let text = std::fs::read_to_string(workspace().join("ops/dashboard.json")).unwrap();
    let board: Value = serde_json::from_str(&text).unwrap();
    let panels = board["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

/// Names of metrics in an expression, each with its labels and their values.
fn named(expression: &str) -> Vec<(String, Vec<String>)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(at) = rest.find(|c: char| is_name(c)) {
        rest = &rest[at..];
        let end = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        rest = behind;
        if !word.starts_with("chat_") && !word.starts_with("process_") {
            continue;
        }
        let labels = behind.strip_prefix('{').and_then(|labels| labels.split_once('}'));
        let values = labels.map_or_else(Vec::new, |(labels, _)| wanted(labels));
        found.push((word.to_owned(), values));
    }
    found
}

/// `name="value"` for each value that is asked for; not for those that are left out.
fn wanted(labels: &str) -> Vec<String> {
    let mut found = Vec::new();
    for matcher in labels.split(',') {
        let Some((name, values)) = matcher.split_once('=').filter(|(name, _)| !name.ends_with('!'))
        else {
            continue;
        };
        let values = values.trim_start_matches('~').trim_matches('"').split('|');
        found.extend(values.map(|value| format!("{}=\"{value}\"", name.trim())));
    }
    found
}

/// What is scraped: lines of samples by the names of their metrics.
fn scrape(server: &Server) -> BTreeMap<String, Vec<String>> {
    let page = get(server.address(), "/metrics", &[]).body;
    let mut samples: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default().to_owned();
        samples.entry(name).or_default().push(line.to_owned());
    }
    samples
}

/// All samples of a metric together.
fn sum(lines: &[String]) -> f64 {
    lines.iter().map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// What is scraped once this metric has moved.
fn scrape_after(server: &Server, name: &str) -> BTreeMap<String, Vec<String>> {
    let mut samples = BTreeMap::new();
    until(&format!("{name} moves"), || {
        samples = scrape(server);
        samples.get(name).is_some_and(|lines| sum(lines) > 0.0)
    });
    samples
}

#[test]
fn every_figure_of_the_alerts_and_the_dashboard_is_there_and_moves() {
    let rig = Rig::new();
    let server = rig.server_with(&["--limit", "rooms_made=1/30d"]);
    let alice = rig.client("alice", server.url());
    let bob = rig.client("bob", server.url());
    bob.run(&["users"]).assert_code(0);
    alice.run(&["send", "bob", "for later"]).assert_code(0);
    alice.run(&["run", "server", "--", "uname"]).assert_code(0);
    bob.with_password("not the one, really").run(&["users"]).assert_code(4);
    let folder = super::files::folder(&rig, "pub", "plan, plan.txt\n", &[("plan.txt", b"a plan")]);
    let sharing = super::files::share(&alice, &folder, "ALL");
    let carol = rig.client("carol", server.url());
    carol.run(&["find", "plan"]).assert_code(0);
    carol.run(&["get", "alice", "plan.txt"]).assert_code(0);
    // Trouble: somebody makes too many rooms, an address is banned for a moment, old messages go.
    alice.pipe(&["/create one"], &[]).assert_code(0);
    let refused = alice.pipe(&["/create two"], &[]);
    assert!(format!("{refused:?}").contains("E_TOO_MANY"), "{refused:?}");
    operator(&rig, &["ban", "127.0.0.1"]).assert_code(0);
    carol.run(&["users"]).assert_code(4);
    operator(&rig, &["unban", "127.0.0.1"]).assert_code(0);
    operator(&rig, &["room", "retention", "lobby", "1s"]).assert_code(0);
    alice.run(&["send", "#lobby", "soon forgotten"]).assert_code(0);
    let here = carol.chat();
    get(server.address(), "/nothing", &[]);

    let samples = scrape_after(&server, "chat_retention_dropped_messages_total");
    let mut names = BTreeSet::new();
    for expression in alerts().iter().chain(&dashboard()) {
        let metrics = named(expression);
        assert!(!metrics.is_empty(), "no metric in {expression}");
        for (name, labels) in metrics {
            let lines = samples.get(&name).unwrap_or_else(|| panic!("{name}: {expression}"));
            for label in &labels {
                assert!(lines.iter().any(|line| line.contains(label)), "{label}: {lines:?}");
            }
            names.insert(name);
        }
    }
    assert!(names.len() > 20, "{names:?}");
    for name in names.iter().filter(|name| AT_REST.iter().all(|(rests, _)| name != rests)) {
        assert!(sum(&samples[name]) > 0.0, "{name} never moves: {:?}", samples[name]);
    }
    drop((here, sharing));
}
