//! `chat-server doctor`: looks at everything that usually goes wrong, changes nothing, and says what to do.
//! It works while the server runs and while it does not.

mod redis;

use std::{
    fs,
    io::{ErrorKind, Write as _},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use chat_exec::Policy;
use chat_protocol::spoken::counted;
use rusqlite::{Connection, OpenFlags};
use rustix::{
    fs::statvfs,
    process::{Resource, getrlimit},
};
use serde::Serialize;

use super::{backup::check_database, health};
use crate::{
    RunError,
    admin::{
        audit::{self, AuditError},
        call::{Call, CallError},
        request::Running,
    },
    clock::now_ms,
    config::{Config, Tls},
    folder,
    identity::{Identity, IdentityError},
    limits::{CONNECTIONS_MAX, FILES_RESERVED},
    store::{DATABASE_FILE, OpenError},
    tls,
};

/// Less room than this on the disk of the data folder is soon none.
const ROOM_BYTES_MIN: u64 = 256 * 1024 * 1024;

/// A sync above this makes every message wait as long: the disk is broken, busy, or a network's.
const SYNC_MAX: Duration = Duration::from_millis(250);

/// Syncs that are measured; the middle one counts.
const SYNCS: usize = 9;

/// Days before its end from which on a certificate is a finding.
const EXPIRY_DAYS: i64 = 21;

/// How far the clock may stand before the newest message, in milliseconds: what clients are allowed.
const CLOCK_SLACK_MS: u64 = 5 * 60 * 1000;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub check: &'static str,
    /// It is in order.
    pub ok: bool,
    /// What was found, and what to do.
    pub detail: String,
}

impl Finding {
    /// A line for people.
    pub fn line(&self) -> String {
        format!("[{}] {}: {}", if self.ok { '+' } else { '-' }, self.check, self.detail)
    }
}

/// What a check comes to: in order, or not, each with words.
type Verdict = Result<String, String>;

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Where to look: as the server that runs on the data folder says, else as the configuration does.
struct Ground {
    /// The server that runs.
    running: Option<Running>,
    logs: PathBuf,
    certificate: Tls,
    policy: Option<PathBuf>,
}

impl Ground {
    fn of(config: &Config, running: Option<Running>) -> Self {
        let Some(said) = &running else {
            let Config { logs, tls, policy, .. } = config.clone();
            return Self { running, logs, certificate: tls, policy };
        };
        let certificate = said.certificate.clone().map_or(Tls::Off, Tls::Files);
        Self { logs: said.logs.clone(), certificate, policy: said.policy.clone(), running }
    }
}

/// Looks at everything.
pub fn examine(config: &Config) -> Vec<Finding> {
    let asked = Call::running(&config.data);
    let ground = Ground::of(config, asked.as_ref().ok().cloned());
    let port = match &asked {
        Ok(running) => answers(running.address),
        Err(CallError::NoServer { .. }) => is_free(config),
        Err(_) => Err("not looked at: the server has not said where it listens".to_owned()),
    };
    let checks: [(&'static str, Verdict); 13] = [
        ("configuration", Ok(configuration(config, &ground))),
        ("server", server(asked)),
        ("port", port),
        ("data folder", owned(folder::inspect_data(&config.data), &config.data)),
        ("log folder", owned(folder::inspect_logs(&ground.logs), &ground.logs)),
        ("keys", keys(&config.data)),
        ("certificate", certificate(&config.data, &ground.certificate)),
        ("policy", policy(ground.policy.as_deref())),
        ("store", store(&config.data, ground.running.is_some())),
        ("audit log", audit_log(&ground.logs, ground.running.as_ref())),
        ("disk", disk(&config.data)),
        ("clock", clock(&config.data)),
        ("descriptors", descriptors(ground.running.as_ref())),
    ];
    let finding = |(check, verdict): (&'static str, Verdict)| {
        let ok = verdict.is_ok();
        Finding { check, ok, detail: verdict.unwrap_or_else(|problem| problem) }
    };
    let mut findings: Vec<Finding> = checks.into_iter().map(finding).collect();
    let running = ground.running.as_ref();
    let said = (running.is_some(), running.and_then(|running| running.redis.as_deref()));
    let redis = redis::look(config.sharing.as_ref(), &config.data, said);
    findings.extend(redis.map(|verdict| finding(("redis", verdict))));
    findings.push(finding(("sandbox", Ok(sandbox()))));
    findings
}

fn configuration(config: &Config, ground: &Ground) -> String {
    match &ground.running {
        Some(Running { address, .. }) => format!(
            "that of the server that runs with {}, as it says: listens on {address}, logs in {}",
            config.data.display(),
            ground.logs.display()
        ),
        None => format!("as flags, environment and file say: listens on {}", config.address),
    }
}

fn server(asked: Result<Running, CallError>) -> Verdict {
    match asked {
        Err(CallError::NoServer { .. }) => Ok("does not run".to_owned()),
        asked => Ok(format!("runs, version {}", asked.map_err(words)?.version)),
    }
}

/// Whether the server that runs is ready.
fn answers(address: SocketAddr) -> Verdict {
    let (is_ready, lines) =
        health::ask(address).map_err(|error| format!("{address} does not answer: {error}"))?;
    let lines = lines.trim().replace('\n', ", ");
    if is_ready { Ok(format!("{address} is ready")) } else { Err(lines) }
}

/// Whether a server that does not run could listen. Where nobody has said on which port it does, somebody
/// else's is no finding.
fn is_free(config: &Config) -> Verdict {
    let address = config.address;
    let said = config.said.as_deref();
    let is_unsaid = said.is_some_and(|said| said.port.is_none() && said.config.is_none());
    match TcpListener::bind(address) {
        Ok(_) => Ok(format!("{address} is free")),
        Err(error) if is_unsaid && error.kind() == ErrorKind::AddrInUse => Ok(format!(
            "not looked at: no server of this folder runs, and {address} is another program's; say where \
             it is to listen with --port, --bind or --config"
        )),
        Err(error) => Err(format!("{address} is not to be had: {error}; see --port and --bind")),
    }
}

fn owned(inspected: Result<bool, folder::FolderError>, path: &Path) -> Verdict {
    let path = path.display();
    match inspected {
        Ok(false) => Ok(format!("{path} is for its owner alone")),
        Ok(true) => Err(format!("others can look into {path}; run: chmod 700 {path}")),
        Err(folder::FolderError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            Ok(format!("{path} is made at the first start"))
        }
        Err(error) => Err(words(error)),
    }
}

fn keys(data: &Path) -> Verdict {
    match Identity::existing(data) {
        Ok(Some(identity)) => match database_identity(&data.join(DATABASE_FILE)) {
            Some(owner) if owner != identity.bundle.identity().as_bytes() => {
                Err(format!("{}; restore both from one backup", words(RunError::ForeignKeys)))
            }
            Some(_) => Ok("server.key is in order and belongs to the database".to_owned()),
            None => Ok("server.key is in order".to_owned()),
        },
        Ok(None) if data.join(DATABASE_FILE).exists() => {
            Err(words(IdentityError::Missing(data.join("server.key"))))
        }
        Ok(None) => Ok("are made at the first start".to_owned()),
        Err(error) => Err(words(error)),
    }
}

/// Whose the database is; nothing where it cannot be read, which the check of the store says.
fn database_identity(path: &Path) -> Option<Vec<u8>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).ok()?;
    let select = "SELECT identity FROM accounts WHERE folded = 'server'";
    connection.query_row(select, [], |row| row.get(0)).ok()
}

fn certificate(data: &Path, tls: &Tls) -> Verdict {
    let files = match tls {
        Tls::Off => return Ok("none, no TLS is offered".to_owned()),
        Tls::Auto => match tls::made_certificate(data) {
            Some(files) => files,
            None => return Ok("is made at the first start".to_owned()),
        },
        Tls::Files(files) => files.clone(),
    };
    files.acceptor().map_err(words)?;
    let ends = files.not_after().ok_or("its end cannot be read")?;
    let now = i64::try_from(now_ms() / 1000).unwrap_or(i64::MAX);
    let days = (ends - now).div_euclid(24 * 60 * 60);
    if days < EXPIRY_DAYS {
        let state = if ends < now {
            "has ended".to_owned()
        } else {
            format!("ends in {}", counted(days, "day"))
        };
        return Err(format!("{state}; put a new one in its place, then: chat-server reload"));
    }
    Ok(format!("is good for {}", counted(days, "day")))
}

fn policy(path: Option<&Path>) -> Verdict {
    match path {
        None => Ok("the list of harmless programs".to_owned()),
        Some(path) => {
            let policy = Policy::load(path).map_err(words)?;
            let warnings = policy.warnings().iter().map(|warning| format!("; {warning}"));
            Ok(format!("{} is in order{}", path.display(), warnings.collect::<String>()))
        }
    }
}

fn store(data: &Path, runs: bool) -> Verdict {
    let path = data.join(DATABASE_FILE);
    let file = path.display();
    // Who may not look into the folder does not know what is there.
    if !path.try_exists().map_err(|error| format!("cannot look at {file}: {error}"))? {
        return if runs {
            Err(format!(
                "{file} is gone, and the server that runs writes to a file without a name; stop it, put the file back"
            ))
        } else {
            Ok("is made at the first start".to_owned())
        };
    }
    let bytes = fs::metadata(&path).map_err(words)?.len();
    if bytes == 0 {
        return Err(words(OpenError::Empty { file: file.to_string() }));
    }
    check_database(&path).map_err(words)?;
    Ok(format!("every page is in order, {} MiB", bytes >> 20))
}

/// The file's chain, and whether it ends where the server that runs has ended it. More lines than the server has
/// named were written since.
fn audit_log(logs: &Path, running: Option<&Running>) -> Verdict {
    let said = running.and_then(|running| running.audit.as_ref());
    match audit::check(&logs.join(audit::FILE)) {
        Ok(checked) => {
            if let Some(said) = said
                && (checked.lines < said.lines
                    || checked.lines == said.lines && checked.hash != said.hash)
            {
                return Err(format!(
                    "has {}, and the server that runs has written {}: it was cut or replaced; see who did, put it \
                     back from a copy",
                    counted(checked.lines, "line"),
                    said.lines
                ));
            }
            let short = checked.hash.get(..16).unwrap_or_default();
            Ok(format!("{} in one chain, the last is {short}…", counted(checked.lines, "line")))
        }
        Err(AuditError::File { source, .. })
            if source.kind() == ErrorKind::NotFound && running.is_some() =>
        {
            Err(format!(
                "{} is gone, and the server that runs writes to a file without a name; put it back, then restart",
                logs.join(audit::FILE).display()
            ))
        }
        Err(AuditError::File { source, .. }) if source.kind() == ErrorKind::NotFound => {
            Ok("is made at the first start".to_owned())
        }
        Err(error) => Err(words(error)),
    }
}

fn disk(data: &Path) -> Verdict {
    let folder = if data.exists() { data } else { Path::new(".") };
    let stat = statvfs(folder).map_err(words)?;
    let room = stat.f_bavail.saturating_mul(stat.f_frsize);
    if room < ROOM_BYTES_MIN {
        return Err(format!("{} MiB are free, which is soon nothing; make room", room >> 20));
    }
    let sync = sync_time(folder).map_err(|error| format!("cannot be written: {error}"))?;
    let found =
        format!("{} MiB are free, a sync takes {:.1} ms", room >> 20, sync.as_secs_f64() * 1e3);
    if sync > SYNC_MAX {
        return Err(format!("{found}, and every message waits for one; use another disk"));
    }
    Ok(found)
}

/// The middle one of some syncs of a small file that is gone afterwards.
fn sync_time(folder: &Path) -> std::io::Result<Duration> {
    let path = folder.join(format!(".doctor-{}", std::process::id()));
    let measured = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
        let mut times = Vec::with_capacity(SYNCS);
        for _ in 0..SYNCS {
            let began = Instant::now();
            file.write_all(&[0; 4096])?;
            file.sync_data()?;
            times.push(began.elapsed());
        }
        times.sort_unstable();
        Ok(times.get(SYNCS / 2).copied().unwrap_or_default())
    };
    let measured = measured();
    // It may never have been made.
    fs::remove_file(&path).ok();
    measured
}

/// Whether the clock stands behind what was stored, which makes clients refuse the server.
fn clock(data: &Path) -> Verdict {
    let path = data.join(DATABASE_FILE);
    let now = now_ms();
    let newest = || -> rusqlite::Result<Option<i64>> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags)?;
        let newest = "SELECT hub_ms FROM entries ORDER BY position DESC LIMIT 1";
        let mut select = connection.prepare(newest)?;
        let mut rows = select.query([])?;
        rows.next()?.map(|row| row.get(0)).transpose()
    };
    let is_there = path.try_exists().map_err(words)?;
    let newest = if is_there { newest().map_err(words)? } else { None };
    let newest = newest.and_then(|newest| u64::try_from(newest).ok()).unwrap_or(0);
    let time = jiff::Timestamp::now();
    if newest > now.saturating_add(CLOCK_SLACK_MS) {
        return Err(format!(
            "it is {time} here, and the newest message came later than that; set the clock"
        ));
    }
    Ok(format!("it is {time}"))
}

fn descriptors(running: Option<&Running>) -> Verdict {
    let own = || getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let most = running.map_or_else(own, |running| running.descriptors);
    let wanted = u64::try_from(CONNECTIONS_MAX + FILES_RESERVED).unwrap_or(u64::MAX);
    if most < wanted {
        let reserved = u64::try_from(FILES_RESERVED).unwrap_or(u64::MAX);
        let left = most.saturating_sub(reserved);
        return Err(format!("{most}, so {left} connections; raise the limit (LimitNOFILE=65536)"));
    }
    Ok(format!("{most}"))
}

/// What this kernel offers to hold commands in. None of it is needed; each is one more wall.
fn sandbox() -> String {
    let has =
        |path: &str, part: &str| fs::read_to_string(path).is_ok_and(|text| text.contains(part));
    let yes_no = |is: bool| if is { "yes" } else { "no" };
    let landlock = has("/sys/kernel/security/lsm", "landlock");
    let seccomp = has("/proc/self/status", "Seccomp:");
    let namespaces = Path::new("/proc/self/ns/pid").exists();
    format!(
        "landlock {}, seccomp {}, pid namespaces {}",
        yes_no(landlock),
        yes_no(seccomp),
        yes_no(namespaces)
    )
}

#[cfg(test)]
mod tests {
    use chat_protocol::keys::KeySizes;

    use super::*;
    use crate::admin::{audit::Audit, request::AdminRequest};

    fn running(logs: &Path, audit: &Audit) -> Running {
        Running {
            version: "1".to_owned(),
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            logs: logs.to_owned(),
            certificate: None,
            policy: None,
            redis: None,
            descriptors: 1,
            audit: Some(audit.end()),
        }
    }

    /// Goal: an audit log that was emptied, cut or moved away under a server is a finding.
    #[test]
    fn an_audit_log_that_lacks_what_the_server_wrote_is_a_finding() {
        let logs = tempfile::tempdir().unwrap();
        let path = logs.path().join(audit::FILE);
        let mut audit = Audit::open(logs.path()).unwrap();
        audit.asked(1, &AdminRequest::Drain).unwrap();
        let one = fs::read(&path).unwrap();
        let earlier = running(logs.path(), &audit);
        audit.asked(1, &AdminRequest::Drain).unwrap();
        let said = running(logs.path(), &audit);
        audit_log(logs.path(), Some(&said)).unwrap();
        audit_log(logs.path(), Some(&earlier)).expect("a line was written since");
        for kept in [one.as_slice(), b""] {
            fs::write(&path, kept).unwrap();
            let found = audit_log(logs.path(), Some(&said)).unwrap_err();
            assert!(found.contains("cut or replaced"), "{found}");
            audit_log(logs.path(), None).expect("nobody knows better");
        }
        fs::remove_file(&path).unwrap();
        assert!(audit_log(logs.path(), Some(&said)).unwrap_err().contains("is gone"));
        audit_log(logs.path(), None).unwrap();
    }

    /// Goal: a database that is gone under a server, or is empty, is a finding.
    #[test]
    fn a_database_that_is_gone_or_empty_is_a_finding() {
        let data = tempfile::tempdir().unwrap();
        store(data.path(), false).unwrap();
        assert!(store(data.path(), true).unwrap_err().contains("is gone"));
        fs::write(data.path().join(DATABASE_FILE), "").unwrap();
        assert!(store(data.path(), false).unwrap_err().contains("is empty"));
    }

    /// Goal: keys that are missing beside a database, or belong to another one, are a finding.
    #[test]
    fn keys_of_another_database_are_a_finding() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join(DATABASE_FILE);
        let own = Identity::open(data.path(), KeySizes::EMULATED, None, 5).unwrap();
        let database = Connection::open(&path).unwrap();
        database.execute_batch("CREATE TABLE accounts (folded TEXT, identity BLOB)").unwrap();
        let insert = "INSERT INTO accounts VALUES ('server', ?1)";
        database.execute(insert, [own.bundle.identity().as_bytes().as_slice()]).unwrap();
        assert!(keys(data.path()).unwrap().contains("belongs to the database"));
        database.execute("UPDATE accounts SET identity = ?1", [[7_u8; 16].as_slice()]).unwrap();
        assert!(keys(data.path()).unwrap_err().contains("does not belong to this database"));
        fs::remove_file(data.path().join("server.key")).unwrap();
        assert!(keys(data.path()).unwrap_err().contains("is missing"));
    }
}
