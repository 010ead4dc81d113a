//! Opens and creates files below one folder, and never outside of it.
//!
//! A check of a path followed by an open of it is a race: between the two, somebody may put a link
//! in the place of a folder. So nothing is checked here. The folder is opened once; every later open
//! starts from that descriptor, and the kernel itself refuses a way that leaves it. What has been
//! opened is then asked for its kind, through its descriptor, so what is answered about is what is
//! read.
//!
//! ```
//! use chat_beneath::{Folder, RelativePath};
//! # let place = tempfile::tempdir()?;
//! # std::fs::write(place.path().join("page.html"), "<p>hello</p>")?;
//! let folder = Folder::open(place.path())?;
//! let page = folder.open_file(&RelativePath::new("page.html")?)?;
//! assert_eq!(page.metadata.len(), 12);
//! assert!(RelativePath::new("../page.html").is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **No symbolic links.** None is followed below the folder, not even one that stays inside: what is
//! reachable is exactly what lies there, and a link to a hidden file is no way around a rule about
//! names. The folder itself may be named through links; they are resolved once, at the start.
//!
//! **Hard links** cannot be told from other files. Who may make one may read the file anyway, under
//! the usual `fs.protected_hardlinks`. **Mounts** below the folder are part of it: only an
//! administrator makes them.

mod error;
mod folder;
mod path;

pub use error::{CreateError, FolderError, OpenError};
pub use folder::{Folder, OpenFile};
pub use path::{COMPONENT_BYTES_MAX, PATH_BYTES_MAX, PathError, RelativePath};
