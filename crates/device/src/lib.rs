//! One signed-in device at run time: what every front end and the hub's own agent share.
//!
//! What a device decides is pure: no file, no socket, no clock, no thread. It compiles wherever the endpoint does, so
//! that a page in a browser can be its host as well. In reading order:
//! - [`step`]: what goes in, what must be durable, and what is held back until then;
//! - [`store`]: what keeps the rows and the history of a device, and the one in memory;
//! - [`history`]: what was said, as data; search and proof; [`ignored`]: what of it is hidden;
//! - [`vault`], [`own_device`]: what must survive the loss of a machine, and the keys of this one;
//! - [`recipient`], [`server_url`], [`password`], [`names`], [`text_lines`]: what people type.
//!
//! With the feature `sqlite` there is the database of a home, and with `host` all that a program needs: see [`host`].

mod answers;
pub mod history;
pub mod ignored;
pub mod names;
pub mod own_device;
pub mod password;
pub mod recipient;
mod record;
pub mod server_url;
pub mod step;
pub mod store;
pub mod text_lines;
pub mod vault;

#[cfg(feature = "host")]
pub mod host;
#[cfg(feature = "host")]
pub use host::*;
