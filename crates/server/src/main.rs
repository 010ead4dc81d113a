//! The binary: flags, logs, bind, run, exit code.

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::ExitCode,
};

use chat_protocol::{sanitise, spoken::counted};
use chat_server::{
    admin::{
        call::{Call, CallError},
        command::{self, AdminCommand, Ended, Where},
        request::Running,
    },
    cluster::desk,
    config::{self, Action, Cli, ClusterCommand, Config, ConfigView, LogFormat, Options, Tls},
    folder,
    identity::{self, Identity},
    tls,
    upkeep::{backup, doctor, health, restore},
};
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};
use tracing_subscriber::EnvFilter;

/// Gives memory back that one crowd has needed, by a thread of its own. The C library keeps it: 300 unfinished
/// keys left 130 MiB behind them.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Something did not work.
const FAILURE: u8 = 1;
/// The command line or the configuration makes no sense.
const USAGE: u8 = 2;
/// Stopped by a second signal.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    // A command is run by this binary started again; nothing of the server may be alive in it.
    let mut arguments = env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == chat_exec::helper::SUBCOMMAND) {
        return chat_exec::helper::main(arguments);
    }
    let matches = match config::read(env::args_os()) {
        Ok(matches) => matches,
        Err(error) => {
            if error.exit_code() != 0 && is_json_wanted() {
                let text = error.to_string();
                let reason = text.split("\n\n").next().unwrap_or_default();
                tell(USAGE, reason.trim_start_matches("error: "));
            }
            error.exit()
        }
    };
    let result = match Cli::from_arg_matches(&matches) {
        Ok(Cli { subcommand: Some(action), .. }) => act(action, &matches),
        Ok(Cli { check_config: true, options, .. }) => check(&options),
        Ok(Cli { options, .. }) => match Config::resolve(&options) {
            Ok(config) => serve(config),
            Err(error) => Err(Failure::usage(error)),
        },
        Err(error) => error.exit(),
    };
    result.unwrap_or_else(|failure| {
        // With a closed standard error there is nobody to tell; the exit code still says it.
        let words = failure.error.to_string();
        writeln!(io::stderr(), "error: {}", sanitise::text(&words)).ok();
        if is_json_wanted() {
            tell(failure.code, &failure.error.to_string());
        }
        ExitCode::from(failure.code)
    })
}

/// Whether the command line asks for JSON.
fn is_json_wanted() -> bool {
    env::args_os().any(|word| word == "--json")
}

/// The last line for programs. An output that takes nothing changes nothing: the exit code says it too.
fn tell(exit: u8, reason: &str) {
    let code = if exit == USAGE { "E_USAGE" } else { "E_FAILED" };
    let object =
        serde_json::json!({"event": "error", "code": code, "reason": reason, "exit": exit});
    writeln!(io::stdout(), "{object}").ok();
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
        Action::Admin(command) => return ask(command),
        Action::Backup { target, at } => page = keep(&target, &at)?.into(),
        Action::Restore { source, at } => page = put_back(&source, &at)?.into(),
        Action::Doctor { json, options } => return examine(&options, json),
        Action::Health { options } => return health(&options),
        Action::Cluster(command) => page = look_after(&command)?.into(),
        Action::Version { json } => page = version(json).into(),
        Action::Man => config::write_man(&mut page).map_err(Failure::new)?,
        Action::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "chat-server", &mut page);
        }
    }
    io::stdout().write_all(&page).map_err(Failure::new)?;
    Ok(ExitCode::SUCCESS)
}

/// Says whether the configuration, its certificate and its policy can be used.
fn check(options: &Options) -> Result<ExitCode, Failure> {
    let config = Config::resolve(options).map_err(Failure::usage)?;
    if let Tls::Files(files) = &config.tls {
        files.acceptor().map_err(Failure::new)?;
    }
    if let Some(path) = &config.policy {
        let policy = chat_exec::Policy::load(path).map_err(Failure::new)?;
        for warning in policy.warnings() {
            print(&format!("warning: {warning}\n"))?;
        }
    }
    print("the configuration can be used\n")
}

fn print(text: &str) -> Result<ExitCode, Failure> {
    io::stdout().write_all(text.as_bytes()).map_err(Failure::new)?;
    Ok(ExitCode::SUCCESS)
}

fn version(json: bool) -> String {
    let version = env!("CARGO_PKG_VERSION");
    if json {
        return format!("{}\n", serde_json::json!({"name": "chat-server", "version": version}));
    }
    format!("chat-server {version}\n")
}

/// Does something about several servers as a whole.
fn look_after(command: &ClusterCommand) -> Result<String, Failure> {
    // A snapshot has all that a data folder has.
    folder::private_umask();
    if let ClusterCommand::Snapshot { out, .. } = command
        && out.exists()
    {
        folder::inspect_data(out).map_err(Failure::usage)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(Failure::new)?.block_on(desk::run(command));
    done.map_err(|error| Failure { code: error.exit_code(), error: error.into() })
}

fn keep(target: &Path, at: &Where) -> Result<String, Failure> {
    let made = backup::make(&at.data, target).map_err(Failure::new)?;
    let (path, files) = (made.path.display(), counted(made.manifest.files.len(), "file"));
    if at.json {
        let object = serde_json::json!({
            "backup": made.path, "sha256": made.digest, "files": made.manifest.files,
        });
        return Ok(format!("{object}\n"));
    }
    Ok(format!("{path}: {files}, every database is in order\nsha256:{}\n", made.digest))
}

fn put_back(source: &Path, at: &Where) -> Result<String, Failure> {
    let restored = restore::restore(source, &at.data).map_err(Failure::new)?;
    if at.json {
        let object = serde_json::json!({
            "restored": at.data, "made_at": restored.manifest.made_at, "replaced": restored.replaced,
        });
        return Ok(format!("{object}\n"));
    }
    let data = at.data.display();
    let made_at = sanitise::line(&restored.manifest.made_at).into_owned();
    let mut lines = format!("{data} is as it was at {made_at}\n");
    if let Some(old) = restored.replaced {
        lines = format!("{lines}what was there is now in {}\n", old.display());
    }
    Ok(lines
        + "clients tell the server again what it has forgotten, and say so once\n\
           what you decided since is undone: look through audit.jsonl for bans, deletions and codes, and \
           do it again\n\
           passwords are those of the backup again: who has changed theirs since changes it once more\n")
}

fn examine(options: &Options, json: bool) -> Result<ExitCode, Failure> {
    let config = Config::resolve(options).map_err(Failure::usage)?;
    let findings = doctor::examine(&config);
    let mut out = io::stdout().lock();
    for finding in &findings {
        let line = match serde_json::to_string(finding) {
            Ok(object) if json => object,
            _ => sanitise::line(&finding.line()).into_owned(),
        };
        writeln!(out, "{line}").map_err(Failure::new)?;
    }
    let is_well = findings.iter().all(|finding| finding.ok);
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::from(FAILURE) })
}

fn health(options: &Options) -> Result<ExitCode, Failure> {
    let config = Config::resolve(options).map_err(Failure::usage)?;
    let data = config.data.display();
    let (address, why) = match Call::running(&config.data) {
        Ok(Running { address, .. }) => {
            print(&format!("the server that runs with {data}: {address}\n"))?;
            (address, format!("the server that runs with {data} listens there"))
        }
        Err(error @ (CallError::NoServer { .. } | CallError::Denied { .. })) => {
            let address = config.metrics_address.unwrap_or(config.address);
            (address, format!("asked there because flags, environment and file say so: {error}"))
        }
        Err(error) => return Err(Failure::new(error)),
    };
    let (is_ready, lines) = health::ask(address).map_err(|error| {
        let asked = health::own_address(address);
        Failure::new(anyhow::anyhow!("http://{asked}/readyz does not answer: {error}; {why}"))
    })?;
    print(&sanitise::text(&lines))?;
    Ok(if is_ready { ExitCode::SUCCESS } else { ExitCode::from(FAILURE) })
}

/// Asks a running server. A reader that has enough of the answer, as `head`, ends it without an error.
fn ask(command: AdminCommand) -> Result<ExitCode, Failure> {
    let mut out = io::stdout().lock();
    let ended = command::run(command, |line| drop(writeln!(out, "{line}")));
    // A mistake in a configuration file comes with its place, on lines of its own.
    let words = |reason: String| anyhow::anyhow!(sanitise::text(reason.trim_end()).into_owned());
    match ended {
        Ended::Done => Ok(ExitCode::SUCCESS),
        Ended::Usage(reason) => Err(Failure::usage(words(reason))),
        Ended::Failed(error) => Err(Failure::new(error)),
        Ended::Refused(reason) => Err(Failure::new(words(reason))),
    }
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
        // Before anything is said or done: from here on a signal means a graceful end, and that a terminal
        // was closed means nothing more than to read everything again.
        let _hangup = signal(SignalKind::hangup()).map_err(Failure::new)?;
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
        let helper = env::current_exe().map_err(Failure::new)?;
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
    let asked = env::var(EnvFilter::DEFAULT_ENV).ok().filter(|asked| !asked.is_empty());
    let asked = asked.and_then(|asked| EnvFilter::try_new(asked).ok());
    let filter = asked.unwrap_or_else(|| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // A line that standard error does not take is lost; saying so there would end the process.
        .log_internal_errors(false);
    let is_terminal = io::stderr().is_terminal();
    match format.unwrap_or(if is_terminal { LogFormat::Text } else { LogFormat::Json }) {
        LogFormat::Json => builder.json().init(),
        LogFormat::Text => builder.with_ansi(is_terminal && !is_plain()).init(),
    }
}

/// Whether a terminal is to be shown no colours, as `NO_COLOR` or a terminal without them says.
fn is_plain() -> bool {
    let is_set = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    is_set || env::var_os("TERM").is_some_and(|terminal| terminal == "dumb")
}
