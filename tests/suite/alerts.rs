//! The alerts and the dashboard speak of figures that a server has.

use std::collections::{BTreeMap, BTreeSet};

use chat_tests::{Rig, Server, get, workspace};
use serde_json::Value;

/// What the scene below leaves where it was: figures of trouble, and of what may be over by then.
const AT_REST: [&str; 9] = [
    "chat_copies_bytes",
    "chat_data_connections",
    "chat_budget_exhausted_total",
    "chat_connections_refused_total",
    "chat_log_lines_dropped_total",
    "chat_retention_dropped_messages_total",
    "chat_tls_not_after_seconds",
    "chat_relay_transfers",
    "chat_queue_depth",
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

#[test]
fn every_figure_of_the_alerts_and_the_dashboard_is_there_and_moves() {
    let rig = Rig::new();
    let server = rig.server();
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
    let here = carol.chat();
    get(server.address(), "/nothing", &[]);

    let samples = scrape(&server);
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
    for name in names.iter().filter(|name| !AT_REST.contains(&name.as_str())) {
        let value = |line: &String| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
        let sum: f64 = samples[name].iter().map(value).sum();
        assert!(sum > 0.0, "{name} never moves: {:?}", samples[name]);
    }
    drop((here, sharing));
}
