//! A file from elsewhere that comes into the shared folder.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use chat_beneath::RelativePath;

use super::TransferError;
use chat_device::home::HomeError;

/// The name of a file in the shared folder. One from elsewhere is linked into it, or copied where it
/// lies on another file system.
pub(super) fn into_folder(folder: &Path, path: &Path) -> Result<RelativePath, TransferError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| TransferError::Home(HomeError::Io { path, source })
    };
    let whole = path.canonicalize().or_else(|_| folder.join(path).canonicalize());
    let whole = whole.map_err(failed(path))?;
    let folder = folder.canonicalize().map_err(failed(folder))?;
    let inside = whole.strip_prefix(&folder).ok().and_then(Path::to_str).map(str::to_owned);
    if let Some(name) = inside {
        return Ok(RelativePath::new(&name)?);
    }
    let name = whole.file_name().and_then(std::ffi::OsStr::to_str).unwrap_or_default();
    let (name, target) = (RelativePath::new(name)?, folder.join(name));
    if target.symlink_metadata().is_ok() {
        // It was put there before, or another file has its name.
        let is_same = is_same(&whole, &target).map_err(failed(&target))?;
        let taken = || TransferError::NameInFolder { name: name.as_str().to_owned(), folder };
        return if is_same { Ok(name) } else { Err(taken()) };
    }
    if std::fs::hard_link(&whole, &target).is_err() {
        // Another file system, or a link that may not be made. Never over another file.
        let mut from = File::open(&whole).map_err(failed(&whole))?;
        let to = File::create_new(&target);
        let copied = to.and_then(|mut to| io::copy(&mut from, &mut to));
        copied.map_err(failed(&target))?;
    }
    Ok(name)
}

/// Whether two files are one, or have the same content.
fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (File::open(one)?, File::open(other)?);
    let (of_one, of_other) = (one.metadata()?, other.metadata()?);
    if (of_one.dev(), of_one.ino()) == (of_other.dev(), of_other.ino()) {
        return Ok(true);
    }
    if of_one.len() != of_other.len() {
        return Ok(false);
    }
    let (mut one, mut other) = (BufReader::new(one), BufReader::new(other));
    loop {
        let (left, right) = (one.fill_buf()?, other.fill_buf()?);
        let count = left.len().min(right.len());
        if count == 0 {
            return Ok(left.len() == right.len());
        }
        if left.get(..count) != right.get(..count) {
            return Ok(false);
        }
        one.consume(count);
        other.consume(count);
    }
}
