//! What happens inside, on standard error, for whoever asks for it with `-v`; and where colours may be.

use std::env;
use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::config::Verbosity;

/// Starts the lines on standard error: nothing but errors unless asked for. `RUST_LOG` wins where it says
/// something.
pub fn start(verbosity: Verbosity) {
    let asked = env::var(EnvFilter::DEFAULT_ENV).ok().filter(|asked| !asked.is_empty());
    let asked = asked.and_then(|asked| EnvFilter::try_new(asked).ok());
    let filter = asked.unwrap_or_else(|| EnvFilter::new(directives(verbosity)));
    let is_coloured = io::stderr().is_terminal() && !is_plain();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(is_coloured)
        // A line that standard error does not take is lost; saying so there would end the process.
        .log_internal_errors(false);
    log.init();
}

/// What is told: of our own crates, whose names all begin so, as much as was asked for; of the libraries
/// errors only, whatever was asked for.
fn directives(verbosity: Verbosity) -> String {
    let own = match verbosity {
        Verbosity::Quiet | Verbosity::Normal => "error",
        Verbosity::Verbose => "info",
        Verbosity::Debug => "debug",
    };
    // A certificate that no authority knows is no error here: it is pinned.
    format!("error,chat_={own},rustls_platform_verifier=off")
}

/// Whether a terminal is to be shown no colours and no faint letters, as `NO_COLOR` or a terminal without
/// them says.
pub fn is_plain() -> bool {
    let is_set = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    is_set || env::var_os("TERM").is_some_and(|terminal| terminal == "dumb")
}
