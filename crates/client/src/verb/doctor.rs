//! `doctor`: whether this machine can talk to its servers, and whether its files are its own.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use chat_device::client::ClientEvent;
use chat_device::connection::pins::Pins;
use chat_device::connection::{Connector, Look};
use chat_device::home::KnownServers;
use chat_device::server_url::ServerUrl;
use serde_json::json;
use tokio::time::timeout;

use super::{Task, print_json, print_line};
use crate::config::Common;
use crate::exit::ExitStatus;
use crate::start::Failure;

/// A server that says nothing for so long is not there.
const SERVER_TIMEOUT: Duration = Duration::from_secs(15);

/// Files and folders of a home that are looked at: more than all accounts of a person have.
const FILES_MAX: usize = 10_000;

/// Whoever is not the owner.
const OTHERS: u32 = 0o077;

/// What lets them change something.
const OTHERS_WRITE: u32 = 0o022;

/// What was looked at.
struct Finding {
    what: String,
    is_well: bool,
    detail: String,
}

fn well(what: impl Into<String>, detail: impl Into<String>) -> Finding {
    Finding { what: what.into(), is_well: true, detail: detail.into() }
}

fn ill(what: impl Into<String>, detail: impl Into<String>) -> Finding {
    Finding { what: what.into(), is_well: false, detail: detail.into() }
}

/// Looks at everything and says what it found; exit code 1 where something is wrong.
pub async fn doctor(common: &Common) -> Result<ExitStatus, Failure> {
    let mut findings = vec![configuration(common), home(&common.home)];
    for url in &common.servers {
        findings.push(server(common, url).await);
    }
    findings.push(clock(common).await);
    let is_well = findings.iter().all(|finding| finding.is_well);
    for Finding { what, is_well, detail } in findings {
        if common.json {
            print_json(vec![json!({
                "event": "check", "what": what, "ok": is_well, "detail": detail,
            })])?;
        } else {
            let mark = if is_well { "[+]" } else { "[-]" };
            print_line(&format!("{mark} {what}: {}", chat_protocol::sanitise::line(&detail)))?;
        }
    }
    Ok(if is_well { ExitStatus::Ok } else { ExitStatus::Failure })
}

/// A file that is wrong is refused before anything else: here it is in order, or not there.
fn configuration(common: &Common) -> Finding {
    let what = "configuration";
    match common.configured.path.as_deref() {
        Some(path) if path.exists() => well(what, format!("{} is in order", path.display())),
        Some(path) => well(what, format!("none at {}", path.display())),
        None => well(what, "no folder for it is known"),
    }
}

/// Whether the home is this user's, and nobody else looks into it.
fn home(root: &Path) -> Finding {
    let what = "home";
    if !root.exists() {
        return well(what, format!("none yet at {}", root.display()));
    }
    let (mut waiting, mut count, mut keys) = (vec![root.to_owned()], 0_usize, 0_usize);
    while let Some(path) = waiting.pop() {
        count += 1;
        if count > FILES_MAX {
            return ill(what, format!("{} has more files than a home has", root.display()));
        }
        let known = match fs::symlink_metadata(&path) {
            Ok(known) => known,
            Err(error) => return ill(what, format!("cannot look at {}: {error}", path.display())),
        };
        if known.uid() != rustix::process::getuid().as_raw() {
            return ill(what, format!("{} is another user's", path.display()));
        }
        let mode = known.permissions().mode() & 0o777;
        let is_secret = path.file_name().is_some_and(|name| name == "key" || name == "home.db");
        if (known.is_dir() || is_secret)
            && !known.is_symlink()
            && mode & OTHERS != 0
            && path != root
        {
            let path = path.display();
            return ill(what, format!("others can use {path} (mode {mode:o}); chmod go= {path}"));
        }
        // The root may be seen, as homes of people are: what is in it names no more than their servers. Whoever may change
        // it, or a file in it, changes which servers are known.
        if !known.is_symlink() && mode & OTHERS_WRITE != 0 {
            let path = path.display();
            return ill(
                what,
                format!("others can change {path} (mode {mode:o}); chmod go-w {path}"),
            );
        }
        keys += usize::from(path.file_name().is_some_and(|name| name == "key"));
        if known.is_dir() {
            match fs::read_dir(&path) {
                Ok(entries) => waiting.extend(entries.filter_map(|one| Some(one.ok()?.path()))),
                Err(error) => return ill(what, format!("cannot read {}: {error}", path.display())),
            }
        }
    }
    well(
        what,
        format!(
            "{}, accounts with keys: {keys}, nobody else can use or change them",
            root.display()
        ),
    )
}

/// Whether the server is there, and the one that is known.
async fn server(common: &Common, url: &ServerUrl) -> Finding {
    let what = format!("server {url}");
    let known = match KnownServers::load(&common.home) {
        Ok(known) => known,
        Err(error) => return ill(what, error.to_string()),
    };
    let pins = Pins::new(known, common.accept_server.clone()).with_trust(&common.trust);
    let connector = match Connector::new(vec![url.clone()], &common.trust, pins) {
        Ok(connector) => connector,
        Err(error) => return ill(what, error.to_string()),
    };
    // Each time anew: what is known of it says nothing of what answers now.
    match timeout(SERVER_TIMEOUT, connector.look()).await {
        Err(_) => ill(what, format!("it says nothing for {} s", SERVER_TIMEOUT.as_secs())),
        Ok(Ok(Look { shown, is_known: true, .. })) => {
            let tls = if url.is_secure() { "TLS, its certificate is accepted" } else { "no TLS" };
            let server = shown.server;
            well(what, format!("it answers; {tls}; identity {server}, the one that is known"))
        }
        Ok(Ok(Look { shown, .. })) => {
            let words = shown.words;
            well(what, format!("it answers, and is not known here yet; its words: {words}"))
        }
        Ok(Err(error)) => ill(what, error.to_string()),
    }
}

/// Whether both clocks agree, as far as somebody can sign in without being asked.
async fn clock(common: &Common) -> Finding {
    let what = "clock";
    if common.user.is_none() || common.password.is_none() {
        return well(what, "not compared: give --user and a password, and the server's is asked");
    }
    let mut task = match Box::pin(Task::start(common)).await {
        Ok(task) => task,
        Err(failure) => return ill("sign-in", failure.to_string()),
    };
    let clocks = timeout(SERVER_TIMEOUT, async {
        while let Some(event) = task.events.next().await {
            if let ClientEvent::Online { clocks, .. } = event {
                return Some(clocks);
            }
        }
        None
    });
    let clocks = clocks.await.ok().flatten();
    task.end().await;
    match clocks {
        None => ill(what, "the server did not say its time"),
        Some((own_ms, server_ms)) => {
            let ms = own_ms.abs_diff(server_ms);
            let differs = chat_text::show::clocks(own_ms, server_ms).map(|line| ill(what, line));
            let agrees =
                || well(what, format!("it differs from the server's by {ms} ms; signed in"));
            differs.unwrap_or_else(agrees)
        }
    }
}
