//! The last steps of a file that has arrived: checked, synced, and named.

use std::io;
use std::path::PathBuf;

use chat_protocol::file::{TreeBuilder, name};
use chat_protocol::limits::FILE_CHUNK_BYTES;

use super::{Part, PartError, failed, offset};
use crate::disk::Disk;
use crate::limits::NAME_TRIES_MAX;

/// A file that is whole under its final name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Its name in the folder: safe characters only.
    pub name: String,
    /// Where it is, if the folder was not moved.
    pub path: PathBuf,
}

impl<D: Disk> Part<D> {
    /// Gives the file its final name. If some of it arrived before this part was begun, or was opened
    /// elsewhere, all of it is read and checked first, which can take long.
    ///
    /// After an error the part is still there under its own name, and can be begun and finished again.
    pub fn finish(mut self) -> Result<Finished, PartError> {
        let missing = self.manifest().chunks() - self.have();
        if missing > 0 {
            return Err(PartError::Missing { missing });
        }
        if self.unsaved > 0 {
            self.save()?;
        }
        if !self.is_all_checked {
            self.check_all()?;
        }
        self.disk.sync(&self.file).map_err(failed("saving"))?;
        let name = self.rename()?;
        // First the name, then the state: with a state but no data there is nothing to resume.
        self.disk.sync_names().map_err(failed("naming"))?;
        // The file is whole and named. A state that stays behind is removed by the next attempt.
        self.remove_state().ok();
        let path = self.disk.path(&name);
        Ok(Finished { name, path })
    }

    /// Reads the whole file. If it is not what the root promises, nothing of it is believed any more.
    fn check_all(&mut self) -> Result<(), PartError> {
        let mut builder = TreeBuilder::default();
        let mut buffer = vec![0; FILE_CHUNK_BYTES];
        for index in 0..self.manifest().chunks() {
            let length = self.manifest().chunk_length(index).unwrap_or(0);
            let data = buffer.get_mut(..length).unwrap_or_default();
            self.disk.read_at(&self.file, data, offset(index)).map_err(failed("reading"))?;
            if !data.is_empty() {
                builder.add(data)?;
            }
        }
        if builder.finish().0.root() == self.manifest().root.0 {
            return Ok(());
        }
        self.state.have.clear();
        self.save()?;
        Err(PartError::Damaged)
    }

    /// Renames to the first name that is free. Nothing is ever replaced, nor is a link followed.
    fn rename(&self) -> Result<String, PartError> {
        let reduced = name::reduce(&self.manifest().name);
        for number in 0..=NAME_TRIES_MAX {
            let name = numbered(&reduced, number);
            match self.disk.rename(&self.names.data, &name) {
                Ok(()) => return Ok(name),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed("naming")(error)),
            }
        }
        Err(PartError::Taken { name: reduced })
    }
}

/// `name.ext`, `name (1).ext`, `name (2).ext`, …
fn numbered(name: &str, number: u32) -> String {
    if number == 0 {
        return name.to_owned();
    }
    match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() => format!("{stem} ({number}).{ending}"),
        _ => format!("{name} ({number})"),
    }
}

#[cfg(test)]
mod tests {
    use super::numbered;

    #[test]
    fn numbers_stand_before_the_ending() {
        for (name, number, expected) in [
            ("a.txt", 0, "a.txt"),
            ("a.txt", 1, "a (1).txt"),
            ("a.tar.gz", 12, "a.tar (12).gz"),
            ("README", 2, "README (2)"),
        ] {
            assert_eq!(numbered(name, number), expected);
        }
    }
}
