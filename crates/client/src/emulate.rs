//! Many clients that send random lines of a file, and the report that nothing was lost.
//!
//! - [`script`]: the lines, and which one a client sends next;
//! - [`report`]: the counts, the verdict, and its forms on the screen and as JSON;
//! - [`html`]: the report as one page;
//! - [`run()`]: the clients themselves.

pub mod script;

pub mod report;

pub mod html;

mod run;

pub use run::run;
