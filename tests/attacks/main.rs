//! Runs every attack of a hub against the real programs, one line each: what became of it, and what
//! the person saw. Exit 0 only if none has succeeded. Names as arguments run those only.

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use chat_tests::attacks::{Attack, Report, attacks};

/// Attacks under way at once: most of their time is waiting.
const AT_ONCE: usize = 3;

#[expect(clippy::print_stdout, reason = "the lines are what this program is for")]
fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    // What a story panics with is in its line.
    std::panic::set_hook(Box::new(|_| {}));
    let mut all = attacks();
    all.retain(|attack| wanted.is_empty() || wanted.iter().any(|name| name == attack.name));
    let (next, bad) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(attack) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let begun = Instant::now();
                    let report = attack.run();
                    if !report.verdict.is_good() {
                        bad.fetch_add(1, Ordering::Relaxed);
                    }
                    println!("{}", line(attack, &report, begun.elapsed().as_secs()));
                }
            });
        }
    });
    let bad = bad.into_inner();
    println!("{bad} of {} attacks have succeeded", all.len());
    if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn line(attack: &Attack, report: &Report, seconds: u64) -> String {
    let Attack { name, does, rule, .. } = attack;
    let (verdict, saw) = (report.verdict.to_string(), &report.saw);
    format!("{verdict:<9} {name:<20} {seconds:>3} s  the hub {does} [{rule}]; seen: {saw}")
}
