//! Runs every attack of a hub against the real programs, one line each: what became of it, and what
//! the person saw. Exit 0 only if none has succeeded. Names as arguments run those only.

use std::process::ExitCode;
use std::time::Instant;

use chat_tests::attacks::attacks;

#[expect(clippy::print_stdout, reason = "the lines are what this program is for")]
fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    // What a story panics with is in its line.
    std::panic::set_hook(Box::new(|_| {}));
    let mut bad = 0;
    for attack in attacks() {
        if !wanted.is_empty() && !wanted.iter().any(|name| name == attack.name) {
            continue;
        }
        let begun = Instant::now();
        let report = attack.run();
        bad += u32::from(!report.verdict.is_good());
        println!(
            "{:<9} {:<20} {:>3} s  the hub {} [{}]; seen: {}",
            report.verdict.to_string(),
            attack.name,
            begun.elapsed().as_secs(),
            attack.does,
            attack.rule,
            report.saw,
        );
    }
    println!("{bad} attacks have succeeded");
    if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
