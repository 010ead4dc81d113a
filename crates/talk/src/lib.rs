//! Talking as a model: typed lines and what happens go in, [items](chat_text::item::Item) come out. It knows which
//! conversations there are and what has become of what this user said. It prints nothing and asks nobody: line
//! mode, pipe and screen are written against it.
//!
//! ```text
//!  keyboard, pipe ── line ──► Talk::read ────┐
//!  device ── ClientEvent ───► Talk::happened ├──► Told { items, … } ──► lines, objects, a screen
//!  files ── FileNews ───────► Talk::file_news┘
//!  conversations(), sent(), place(), asked(), link(), fetching() ──► a list, marks, a prompt, a status line
//! ```
//!
//! A host tells [`Talk::consumed`] of the durable event in [`Told::consumed`] once its items are shown.
//!
//! Modules in reading order:
//! - [`conversations`], [`sent`]: which conversations there are, and how far what was said has come;
//! - `talk`: a line or an event, from its beginning to its items; `unsent`: lines of which nothing came;
//!   `drafts`: where they are kept;
//! - `answer`, `rooms`, `history`, `identity`, `files`, `feeds`, `grant`, `names`, `password`, `reply`, `jobs`, `noise`,
//!   `seen`, `session`: what commands do;
//! - `awaited`, `unstarted`: what is waited for;
//! - [`complete`]: what a word that is typed can become.

pub mod complete;
pub mod conversations;
pub mod sent;

mod answer;
mod awaited;
mod drafts;
mod feeds;
mod files;
mod grant;
mod history;
mod identity;
mod jobs;
mod names;
mod noise;
mod password;
mod reply;
mod rooms;
mod seen;
mod session;
mod talk;
mod told;
mod unsent;
mod unstarted;

pub use drafts::Drafts;
pub use files::{Fetching, FileNews};
pub use password::Desk;
pub use session::Saver;
pub use talk::{Talk, TalkOptions};
pub use told::{Fault, Link, Told};
pub use unsent::comes_back;
pub use unstarted::START_TIMEOUT;
