//! Many clients that send random lines of a file, and the report that nothing was lost.
//!
//! - [`options`], [`error`]: what is asked for, and why it did not come to a report;
//! - [`script`]: the lines, and which one a client sends next;
//! - [`report`]: the counts, the verdict, and its forms on the screen and as JSON;
//! - [`html`]: the report as one page;
//! - [`run()`]: the clients themselves.

pub mod error;
pub mod options;

pub mod script;

pub mod report;

pub mod html;

mod run;

pub use error::{EmulatorError, Ended};
pub use options::{Emulation, Extent, Options};
pub use run::run;
