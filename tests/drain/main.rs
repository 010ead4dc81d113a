//! Measures somebody who comes back: so many direct messages wait for them, and their client shows
//! them all. Server and clients are the real programs. `scripts/load.sh drain` builds and runs it.

mod process;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use chat_tests::cpu_seconds;
use clap::Parser;

use process::{Programs, Usage, Watch};

/// Memory of a program may grow by this much after the first message was shown, however much waits:
/// caches of its database, and what is under way between the two, which are bounded.
const GROWTH_MAX_BYTES: u64 = 24 << 20;

/// Lets a client show what waited for it, and judges that.
#[derive(Debug, Parser)]
struct Arguments {
    /// The folder of `chat-server` and `chat-client`.
    #[arg(long)]
    bin: PathBuf,
    /// Messages that wait; a mailbox holds 100,000 unless the server is told otherwise.
    #[arg(long, default_value_t = 100_000)]
    messages: usize,
}

/// What was shown, and what it cost.
struct Drained {
    numbers: Vec<usize>,
    /// From the client's start to the last message; the sign-in is in it.
    elapsed: Duration,
    client: Usage,
    server: Usage,
}

/// What is wrong with the numbers shown.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    lost: usize,
    doubled: usize,
    out_of_order: usize,
}

/// Judges what was shown of the numbers below `count`.
fn judge(shown: &[usize], count: usize) -> Verdict {
    let mut times = vec![0_usize; count];
    for number in shown {
        if let Some(times) = times.get_mut(*number) {
            *times += 1;
        }
    }
    let pairs = shown.iter().zip(shown.iter().skip(1));
    Verdict {
        lost: times.iter().filter(|times| **times == 0).count(),
        doubled: times.iter().map(|times| times.saturating_sub(1)).sum(),
        out_of_order: pairs.filter(|(before, after)| before > after).count(),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say_error(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Sends, comes back, reports; whether all is well.
fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let folder = tempfile::tempdir().context("a folder for the data")?;
    let programs = Programs { bin: arguments.bin.clone(), folder: folder.path().to_owned() };
    let server = programs.server("0")?;
    let registered = programs.client("bob", &server.url).args(["--register", "users"]).status()?;
    ensure!(registered.success(), "bob could not register: {registered}");
    let began = Instant::now();
    send(&programs, &server.url, arguments.messages)?;
    let sent_s = began.elapsed().as_secs_f64();
    // A server that has just started: nothing of what waits is in its memory.
    let port = server.port()?.to_owned();
    server.stop()?;
    let server = programs.server(&port)?;
    let drained = drain(&programs, &server, arguments.messages)?;
    server.stop()?;
    Ok(report(arguments.messages, sent_s, &drained))
}

/// Alice writes all of it while bob is away.
fn send(programs: &Programs, url: &str, messages: usize) -> anyhow::Result<()> {
    let mut command = programs.client("alice", url);
    command.args(["--register", "--json"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut alice = command.spawn().context("start alice's client")?;
    let mut lines = alice.stdin.take().context("her keyboard")?;
    for number in 0..messages {
        writeln!(lines, "bob*{number}")?;
    }
    drop(lines);
    let ended = alice.wait()?;
    ensure!(ended.success(), "alice's client ended with {ended}");
    Ok(())
}

/// Bob comes back and is shown everything.
fn drain(
    programs: &Programs,
    server: &process::Server,
    messages: usize,
) -> anyhow::Result<Drained> {
    let mut command = programs.client("bob", &server.url);
    command.args(["listen", "--json", "--count", &messages.to_string()]);
    let server_before = cpu_seconds(server.pid())?;
    let began = Instant::now();
    let mut bob = command.stdout(Stdio::piped()).spawn().context("start bob's client")?;
    let lines = BufReader::new(bob.stdout.take().context("his screen")?).lines();
    let (mut numbers, mut watches) = (Vec::with_capacity(messages), None);
    let mut elapsed = Duration::ZERO;
    for line in lines {
        if let Some(number) = number_of(&line?) {
            elapsed = began.elapsed();
            numbers.push(number);
            if watches.is_none() {
                watches = Some((Watch::start(bob.id())?, Watch::start(server.pid())?));
            }
        }
    }
    let (client, server_watch) = watches.context("bob was shown nothing")?;
    let client = client.stop(cpu_seconds(bob.id())?)?;
    let server_cpu = cpu_seconds(server.pid())? - server_before;
    let server = server_watch.stop(server_cpu)?;
    expect_success(&mut bob)?;
    Ok(Drained { numbers, elapsed, client, server })
}

fn expect_success(child: &mut Child) -> anyhow::Result<()> {
    let ended = child.wait()?;
    ensure!(ended.success(), "bob's client ended with {ended}");
    Ok(())
}

/// The number that a message says; other lines have none.
fn number_of(line: &str) -> Option<usize> {
    let (_, text) = line.split_once("\"text\":\"")?;
    text.split_once('"')?.0.parse().ok()
}

/// Prints the figures as one line; whether nothing is wrong with them.
#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn report(messages: usize, sent_s: f64, drained: &Drained) -> bool {
    let Drained { numbers, elapsed, client, server } = drained;
    let Verdict { lost, doubled, out_of_order } = judge(numbers, messages);
    let seconds = elapsed.as_secs_f64();
    #[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "figures for people")]
    let count = messages as f64;
    let micros = |usage: &Usage| usage.cpu_seconds / count * 1e6;
    println!(
        "{{\"load\":\"Drain\",\"messages\":{messages},\"lost\":{lost},\"doubled\":{doubled},\
         \"out_of_order\":{out_of_order},\"elapsed_s\":{seconds:.3},\"shown_per_s\":{:.0},\
         \"client_cpu_us\":{:.1},\"server_cpu_us\":{:.1},\"client_rss_kib\":{},\
         \"client_rss_max_kib\":{},\"server_rss_kib\":{},\"server_rss_max_kib\":{},\
         \"sent_s\":{sent_s:.1}}}",
        count / seconds,
        micros(client),
        micros(server),
        client.base_bytes / 1024,
        client.max_bytes / 1024,
        server.base_bytes / 1024,
        server.max_bytes / 1024,
    );
    let is_flat = |usage: &Usage| usage.max_bytes - usage.base_bytes <= GROWTH_MAX_BYTES;
    lost + doubled + out_of_order == 0 && is_flat(client) && is_flat(server)
}

#[expect(clippy::print_stderr, reason = "a program for the terminal")]
fn say_error(line: &str) {
    eprintln!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_counted() {
        let verdict = |lost, doubled, out_of_order| Verdict { lost, doubled, out_of_order };
        assert_eq!(judge(&[0, 1, 2, 3], 4), verdict(0, 0, 0));
        assert_eq!(judge(&[0, 2, 2, 1], 4), verdict(1, 1, 1));
        assert_eq!(judge(&[], 2), verdict(2, 0, 0));
    }

    #[test]
    fn only_messages_have_a_number() {
        assert_eq!(number_of(r#"{"event":"message","seq":9,"text":"17","to":"bob"}"#), Some(17));
        assert_eq!(number_of(r#"{"event":"ack","id":"x"}"#), None);
    }
}
