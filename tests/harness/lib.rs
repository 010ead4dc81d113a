//! Starts real servers and clients for the scenarios.
//!
//! Everything started here is killed when its handle is dropped, and nothing waits without a
//! deadline. A failure panics with what the programs said: this crate is only for tests.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a scenario that cannot go on ends here, with the reason"
)]

pub mod attacks;
mod client;
mod clock;
mod dice;
mod false_hub;
mod gate;
mod house;
mod http;
mod operator;
mod person;
mod prepared;
mod process;
mod program;
mod proxy;
mod rig;
mod scene;
mod server;
mod several;
mod terminal;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use chat_testkit::json_page::JsonPage;

pub use client::{Client, PASSWORD};
pub use clock::FalseClock;
pub use dice::Dice;
pub use false_hub::{FalseHub, VaultOf};
pub use gate::{Gate, Mood};
pub use house::House;
pub use http::{Response, get};
pub use operator::{operator, operator_started};
pub use person::{person, types};
pub use process::cpu_seconds;
pub use program::{Finished, Lines, Program};
pub use proxy::{Fate, Proxy, Rule, TextRule};
pub use rig::Rig;
pub use rustix::process::Signal;
pub use scene::Scene;
pub use server::Server;
pub use several::{
    Redis, is_redis_wanted, node, node_again, node_command, node_digest, server_command,
};
pub use terminal::Terminal;

/// Makes two tests of each scenario: at one server, and over two that share a log and behave as one, where each client
/// is at another. Without Redis the second kind does nothing.
#[macro_export]
macro_rules! at_one_and_over_two {
    ($($scenario:ident),+ $(,)?) => {
        mod at_one {
            $(#[test]
            fn $scenario() {
                super::$scenario(&chat_tests::House::one());
            })+
        }

        mod over_two {
            $(#[test]
            fn $scenario() {
                if let Some(house) = chat_tests::House::over_two() {
                    super::$scenario(&house);
                }
            })+
        }
    };
}

/// The longest that anything may take. Long, because test machines may be slow and shared.
pub const LIMIT: Duration = Duration::from_mins(1);

/// How often [`within`] looks.
const LOOK: Duration = Duration::from_millis(20);

/// Looks again and again until something is so of which no event tells: a file has grown, a process is gone.
///
/// # Panics
/// When it is not so within [`LIMIT`].
#[track_caller]
pub fn until(what: &str, is_so: impl FnMut() -> bool) {
    within(what, LIMIT, is_so);
}

/// The same for what has been promised within a time.
///
/// # Panics
/// When it is not so by then.
#[track_caller]
pub fn within(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !is_so() {
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        std::thread::sleep(LOOK);
    }
}

/// One of the two programs, built beside this program or above this test binary.
///
/// # Panics
/// When it was not built.
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let folder = own.parent().unwrap();
    // Cargo puts tests one folder lower than programs.
    let folder = if folder.ends_with("deps") { folder.parent().unwrap() } else { folder };
    let path = folder.join(name);
    assert!(
        path.exists(),
        "{} is missing: run `cargo build -p chat-server -p chat-client` first",
        path.display()
    );
    path
}

/// The top folder of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The page that says what `--json` prints.
///
/// # Panics
/// When it cannot be read.
pub fn json_page() -> &'static JsonPage {
    static PAGE: LazyLock<JsonPage> = LazyLock::new(|| {
        JsonPage::read(&std::fs::read_to_string(workspace().join("docs/JSON.md")).unwrap())
    });
    &PAGE
}

/// The lines for the emulator.
pub fn messages() -> PathBuf {
    workspace().join("messages.txt")
}
