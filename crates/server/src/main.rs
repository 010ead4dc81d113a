//! The binary: flags, logs, bind, run, exit code.

use std::{
    io::{self, IsTerminal as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::ExitCode,
};

use chat_server::{
    config::{self, Action, Cli, Config, ConfigView, LogFormat, Tls},
    folder,
    identity::{self, Identity},
    tls,
};
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};
use tracing_subscriber::EnvFilter;

/// Something did not work.
const FAILURE: u8 = 1;
/// The command line or the configuration makes no sense.
const USAGE: u8 = 2;
/// Stopped by a second signal.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    // A command is run by this binary started again; nothing of the server may be alive in it.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == chat_exec::helper::SUBCOMMAND) {
        return chat_exec::helper::main(arguments);
    }
    let matches = Cli::command().get_matches();
    let result = match Cli::from_arg_matches(&matches) {
        Ok(Cli { subcommand: Some(action), .. }) => act(action, &matches),
        Ok(Cli { subcommand: None, options }) => match Config::resolve(&options) {
            Ok(config) => serve(config),
            Err(error) => Err(Failure::usage(error)),
        },
        Err(error) => error.exit(),
    };
    result.unwrap_or_else(|failure| {
        // With a closed standard error there is nobody to tell; the exit code still says it.
        writeln!(io::stderr(), "error: {}", failure.error).ok();
        ExitCode::from(failure.code)
    })
}

/// What goes to standard error, and the exit code.
struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl Failure {
    fn new(error: impl Into<anyhow::Error>) -> Self {
        Self { code: FAILURE, error: error.into() }
    }

    fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { code: USAGE, error: error.into() }
    }
}

fn act(action: Action, matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let mut page = Vec::new();
    match action {
        Action::Fingerprint { options } => {
            let config = Config::resolve(&options).map_err(Failure::usage)?;
            page = fingerprint(&config)?.into();
        }
        Action::Mkcert { out, names } => page = make_certificate(&out, names)?.into(),
        Action::Config { view: ConfigView::Default, .. } => page = config::DEFAULT_FILE.into(),
        Action::Config { view: ConfigView::Show, options } => {
            let matches = matches.subcommand_matches("config").unwrap_or(matches);
            page = config::show(&options, matches).map_err(Failure::usage)?.into();
        }
        Action::Man => {
            clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(Failure::new)?;
        }
        Action::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "chat-server", &mut page);
        }
    }
    io::stdout().write_all(&page).map_err(Failure::new)?;
    Ok(ExitCode::SUCCESS)
}

/// What people compare: the words of the key, and the certificate if there is one.
fn fingerprint(config: &Config) -> Result<String, Failure> {
    let identity = Identity::existing(&config.data).map_err(Failure::new)?;
    let identity = identity.ok_or_else(|| {
        let data = config.data.display();
        Failure::new(anyhow::anyhow!("no server was started with --data {data} yet; it has no key"))
    })?;
    let files = match &config.tls {
        Tls::Files(files) => Some(files.clone()),
        // Also one of a start with other options: it is the one that clients have pinned.
        Tls::Off | Tls::Auto => tls::made_certificate(&config.data),
    };
    let certificate = files.map(|files| files.fingerprint()).transpose().map_err(Failure::new)?;
    let certificate = certificate.map(|digest| format!("certificate: {digest}\n"));
    let words = identity::words(&identity.bundle);
    Ok(format!("words: {words}\n{}", certificate.unwrap_or_default()))
}

/// Makes the files and says how to use them.
fn make_certificate(folder: &Path, mut names: Vec<String>) -> Result<String, Failure> {
    if names.is_empty() {
        names = tls::names_of_this_machine(Ipv4Addr::LOCALHOST.into());
    }
    let files = tls::CertificateFiles::make(folder, &names).map_err(Failure::new)?;
    let fingerprint = files.fingerprint().map_err(Failure::new)?;
    let (certificate, key) = (files.certificate.display(), files.key.display());
    Ok(format!(
        "made {certificate} and {key} for {}\ncertificate: {fingerprint}\n\
         use them: chat-server --tls-cert {certificate} --tls-key {key}\n",
        names.join(", ")
    ))
}

fn serve(config: Config) -> Result<ExitCode, Failure> {
    folder::private_umask();
    start_log(config.log_format);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::new)?;
    runtime.block_on(async {
        // Before anything is said or done: from here on a signal means a graceful end.
        let (mut terminate, mut interrupt) = (
            signal(SignalKind::terminate()).map_err(Failure::new)?,
            signal(SignalKind::interrupt()).map_err(Failure::new)?,
        );
        if config.is_plaintext_exposed {
            tracing::warn!(
                "INSECURE: {} serves other machines without TLS; who talks to whom is visible, \
                 and sign-ins can be tampered with, on every network in between",
                config.address
            );
        }
        // Commands are run by this binary started again.
        let helper = std::env::current_exe().map_err(Failure::new)?;
        let config = Config { helper: Some(helper), ..config };
        let listener = bind(config.address).await?;
        let (asked, mut is_asked) = tokio::sync::oneshot::channel();
        let shutdown = async move {
            either(&mut terminate, &mut interrupt).await;
            // The receiver is only gone when the process is ending anyway.
            asked.send((terminate, interrupt)).ok();
        };
        tokio::select! {
            result = chat_server::run(listener, config, shutdown) => match result {
                Ok(()) => Ok(ExitCode::SUCCESS),
                Err(error) => Err(Failure { code: error.exit_code(), error: error.into() }),
            },
            () = second_signal(&mut is_asked) => {
                tracing::warn!("asked twice: stopping without draining");
                Ok(ExitCode::from(INTERRUPTED))
            }
        }
    })
}

/// Listens, or says what is in the way.
async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "; another program uses that port: stop it, or choose another with --port"
            }
            io::ErrorKind::AddrNotAvailable => "; this machine has no such address: see --bind",
            io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege: see --port",
            _ => "",
        };
        Failure::new(anyhow::anyhow!("cannot listen on {address}: {error}{hint}"))
    })
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Waits until the first signal has come and then another.
async fn second_signal(first: &mut tokio::sync::oneshot::Receiver<(Signal, Signal)>) {
    match first.await {
        Ok((mut terminate, mut interrupt)) => either(&mut terminate, &mut interrupt).await,
        Err(_) => std::future::pending().await,
    }
}

/// The log of the process itself, on standard error. What happens to messages goes to the log of
/// operations.
fn start_log(format: Option<LogFormat>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let is_terminal = io::stderr().is_terminal();
    match format.unwrap_or(if is_terminal { LogFormat::Text } else { LogFormat::Json }) {
        LogFormat::Json => builder.json().init(),
        LogFormat::Text => builder.with_ansi(is_terminal).init(),
    }
}
