//! Hostile accounts, and the pair of people who must not feel them. `scripts/abuse.sh` runs the hub and
//! the pair on one core and an attack on another, and prints a line for each.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that says what it measured"
)]

mod attack;
mod pair;
mod signups;
mod wraps;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};

/// What to do.
#[derive(Debug, Clone, Subcommand)]
enum Part {
    /// Two people who write to each other all the time; prints what that took them.
    Pair,
    /// One attack, until the time is over.
    Attack {
        /// Which: the number of a row, or `signups`.
        row: String,
    },
    /// Computes something, as the attacker's core does in the run without an attack.
    Burn,
    /// Somebody new, and a new key of somebody known: whether both come in and are heard.
    Newcomer,
}

/// A hostile account, or those who must not feel it.
#[derive(Debug, Parser)]
struct Arguments {
    /// What to do.
    #[command(subcommand)]
    part: Part,
    /// Where the server is.
    #[arg(long, default_value = "127.0.0.1:9000", global = true)]
    server: String,
    /// For how long.
    #[arg(long, default_value_t = 8, global = true)]
    seconds: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let run = async {
        let end = Instant::now() + Duration::from_secs(arguments.seconds);
        match arguments.part {
            Part::Pair => pair::run(&arguments.server, end).await,
            Part::Attack { row } => attack::run(&arguments.server, &row, end).await,
            Part::Burn => Ok(burn(end)),
            Part::Newcomer => pair::newcomer(&arguments.server).await,
        }
    };
    match runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(run)) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn burn(end: Instant) -> String {
    let mut digest = [0; 32];
    let mut rounds = 0u64;
    while Instant::now() < end {
        digest = chat_protocol::crypto::sha256(&digest);
        rounds += 1;
    }
    format!("{rounds} rounds")
}
