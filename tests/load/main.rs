//! The load generator: keeps a server busy and says what that cost. It counts deliveries without
//! opening them, and every frame is sealed and signed before the clock starts, so what is measured
//! is the server. `scripts/load.sh` pins the two to a core each.

mod client;
mod files;
mod frames;
mod http;
mod scenario;

use std::process::ExitCode;

use chat_tests::cpu_seconds;
use clap::{Parser, ValueEnum};

use scenario::Outcome;

/// What to do.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Load {
    /// One room, a few publishers, everybody else listens.
    Room,
    /// Pairs of clients that write to each other.
    Dm,
    /// Producers with frames under way, and only the answers count.
    Ack,
    /// One data connection gives chunks of a file to another, `--messages` of them.
    Files,
    /// Requests for one file of `--www`, over connections that stay.
    Http,
    /// Clients that sign in and do nothing: the server's memory for each.
    Idle,
}

/// Keeps a server busy.
#[derive(Debug, Parser)]
struct Arguments {
    /// What to do.
    #[arg(value_enum)]
    load: Load,
    /// Where the server is. Given again it is one more of several that behave as one: clients are spread
    /// over them in turn, and the two of a pair are at different ones.
    #[arg(long = "server", value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    servers: Vec<String>,
    /// The server's process, for its CPU time; given again for each of several, whose times are added.
    #[arg(long = "pid", value_name = "PID", required = true)]
    pids: Vec<u32>,
    /// Clients: members of the room, both sides of all pairs, or producers.
    #[arg(long, default_value_t = 1000)]
    clients: usize,
    /// Who publishes in the room.
    #[arg(long, default_value_t = 4)]
    publishers: usize,
    /// Messages of each publisher or producer.
    #[arg(long, default_value_t = 500)]
    messages: usize,
    /// Frames under way without an answer, for each publisher or producer.
    #[arg(long, default_value_t = 16)]
    window: usize,
    /// Frames under one signature; 1 signs each alone.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Every member of the room confirms what it gets.
    #[arg(long)]
    receipts: bool,
    /// Members of the room that are connected and never read.
    #[arg(long, default_value_t = 0)]
    sleepers: usize,
    /// The file of the load `http`, and of requests beside another load.
    #[arg(long, default_value = "/file.bin")]
    http_path: String,
    /// Connections that ask for it.
    #[arg(long, default_value_t = 8)]
    http_connections: u32,
    /// Requests a second of all together; 0 means as many as there can be in the load `http`, and
    /// none beside another.
    #[arg(long, default_value_t = 0)]
    http_rate: u32,
    /// How long the load `http` lasts.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Begins every name, so that one server can be loaded several times.
    #[arg(long, default_value = "load")]
    prefix: String,
}

impl Arguments {
    /// Where somebody with this number is.
    fn server(&self, number: usize) -> &str {
        let turn = number % self.servers.len().max(1);
        self.servers.get(turn).map_or("", String::as_str)
    }

    /// CPU seconds of all servers so far.
    fn cpu_seconds(&self) -> anyhow::Result<f64> {
        self.pids.iter().map(|pid| cpu_seconds(*pid)).sum()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let beside = (arguments.http_rate > 0).then(|| http::Requests::start(&arguments));
    let outcome = match arguments.load {
        Load::Http => return alone(&arguments).await,
        Load::Idle => return idle(&arguments).await,
        Load::Room => scenario::room(&arguments).await,
        Load::Dm => scenario::direct(&arguments).await,
        Load::Ack => scenario::acknowledged(&arguments).await,
        Load::Files => match files::run(&arguments).await {
            Ok(outcome) => {
                report_files(&outcome);
                return ExitCode::SUCCESS;
            }
            Err(error) => Err(error),
        },
    };
    match outcome {
        Ok(outcome) => {
            report(&arguments, &outcome);
            if let Some(beside) = beside {
                print_line(&beside.end());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln_line(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn alone(arguments: &Arguments) -> ExitCode {
    match http::alone(arguments).await {
        Ok(line) => {
            print_line(&line);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln_line(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn print_line(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
async fn idle(arguments: &Arguments) -> ExitCode {
    match scenario::idle(arguments).await {
        Ok(bytes) => {
            println!(
                "{{\"load\":\"Idle\",\"clients\":{},\"bytes_per_client\":{bytes}}}",
                arguments.clients
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln_line(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn report(arguments: &Arguments, outcome: &Outcome) {
    let seconds = outcome.elapsed.as_secs_f64();
    #[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "figures for people")]
    let (sent, delivered) = (outcome.sent as f64, outcome.delivered as f64);
    let per_million = outcome.cpu_seconds / delivered.max(sent) * 1e6;
    println!(
        "{{\"load\":\"{:?}\",\"clients\":{},\"sent\":{},\"delivered\":{},\"elapsed_s\":{seconds:.3},\
         \"sent_per_s\":{:.0},\"delivered_per_s\":{:.0},\"server_cpu_s\":{:.3},\
         \"server_cpu_s_per_million\":{per_million:.2},\"p50_ms\":{:.2},\"p99_ms\":{:.2}}}",
        arguments.load,
        arguments.clients,
        outcome.sent,
        outcome.delivered,
        sent / seconds,
        delivered / seconds,
        outcome.cpu_seconds,
        outcome.p50_ms,
        outcome.p99_ms,
    );
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn report_files(outcome: &Outcome) {
    #[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "figures for people")]
    let mib = outcome.delivered as f64 / 16.0;
    let seconds = outcome.elapsed.as_secs_f64();
    println!(
        "{{\"load\":\"Files\",\"chunks\":{},\"mib\":{mib:.0},\"elapsed_s\":{seconds:.3},\
         \"mib_per_s\":{:.1},\"server_cpu_s\":{:.3},\"server_cpu_us_per_mib\":{:.0}}}",
        outcome.sent,
        mib / seconds,
        outcome.cpu_seconds,
        outcome.cpu_seconds * 1e6 / mib,
    );
}

#[expect(clippy::print_stderr, reason = "a program for the terminal")]
fn eprintln_line(line: &str) {
    eprintln!("{line}");
}
