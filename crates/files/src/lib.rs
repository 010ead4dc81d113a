//! Files of a client on its disk: what is shared, how it is read out, and how a file arrives.
//!
//! ```text
//!  shared folder                                        download folder
//!  keyword.txt ─ keywords ─► folder ─ offers ─► hub
//!  file ─ serve: chunk + path ─► … sealed, relayed … ─► part: checked, written ─► name.ext
//! ```
//!
//! Everything but [`transfer`] is synchronous and bounded per call; there is no network, no clock and no
//! randomness in it. A caller with a user interface runs it on a thread that may wait for a disk.
//!
//! Modules in reading order:
//! - [`limits`]: every bound;
//! - [`keywords`]: `keyword.txt`, read and edited;
//! - [`hash`]: the tree of a file and the stamp by which a change is seen;
//! - [`folder`]: a shared folder: what `keyword.txt` names and what is there, as offers;
//! - [`serve`]: a file that is being sent;
//! - [`disk`]: the few calls by which files are made, renamed and synced;
//! - [`part`]: a file that is being received, whole or not at all under its name;
//! - [`transfer`]: files between a device and others: what it offers, gives, finds and fetches.

pub mod limits;

pub mod keywords;

pub mod hash;

pub mod folder;

pub mod serve;

pub mod disk;

pub mod part;

pub mod transfer;
