//! What keeps a server alive over the years: copies of its data, and a look at everything that usually
//! goes wrong.

pub mod backup;
pub mod doctor;
pub mod health;
pub(crate) mod manifest;
pub mod restore;
