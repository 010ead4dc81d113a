//! How a program is ended: Ctrl-C, or SIGTERM and SIGQUIT of a script, a closing shell or a service manager.
//!
//! From the first time that somebody waits for one, none is lost: what comes while nobody waits, as between two
//! phases of a program, is found by whoever waits next.

use std::io;
use std::sync::OnceLock;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// What has come.
#[derive(Debug, Default)]
struct Heard {
    /// SIGINT, that nobody has acted on.
    interrupts: u32,
    /// SIGTERM and SIGQUIT, that nobody has acted on.
    ends: u32,
    /// One of those has come at some time.
    is_ended: bool,
}

static HEARD: OnceLock<Option<watch::Sender<Heard>>> = OnceLock::new();

/// Completes when the person presses Ctrl-C, or somebody ends this program with SIGTERM or SIGQUIT. Each is
/// taken once.
pub(crate) async fn interrupted() {
    heard(|heard| take(&mut heard.interrupts) || take(&mut heard.ends)).await;
}

/// Completes when the person presses Ctrl-C.
pub(crate) async fn pressed() {
    heard(|heard| take(&mut heard.interrupts)).await;
}

/// Completes when somebody has ended this program with SIGTERM or SIGQUIT, also if another part of it knows that.
pub(crate) async fn ended() {
    heard(|heard| {
        heard.ends = 0;
        heard.is_ended
    })
    .await;
}

fn take(count: &mut u32) -> bool {
    let is_there = *count > 0;
    *count = count.saturating_sub(1);
    is_there
}

/// Waits until this takes something of what has come.
async fn heard(mut takes: impl FnMut(&mut Heard) -> bool) {
    let Some(heard) = HEARD.get_or_init(|| listen().ok()) else {
        // Without a handler the system's own way of ending the process is in force.
        return std::future::pending().await;
    };
    let mut news = heard.subscribe();
    loop {
        let mut is_taken = false;
        heard.send_if_modified(|state| {
            is_taken = takes(state);
            false
        });
        // The sender lives as long as the process.
        if is_taken || news.changed().await.is_err() {
            return;
        }
    }
}

fn listen() -> io::Result<watch::Sender<Heard>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut quit = signal(SignalKind::quit())?;
    let heard = watch::Sender::new(Heard::default());
    let writer = heard.clone();
    tokio::spawn(async move {
        loop {
            let is_end = tokio::select! {
                _ = interrupt.recv() => false,
                _ = terminate.recv() => true,
                _ = quit.recv() => true,
            };
            writer.send_modify(|heard| {
                let count = if is_end { &mut heard.ends } else { &mut heard.interrupts };
                *count = count.saturating_add(1);
                heard.is_ended |= is_end;
            });
        }
    });
    Ok(heard)
}
