//! The member lines that an epoch is wrapped for (section 9).

use std::fmt::Write as _;

use thiserror::Error;

use crate::crypto::sha256;
use crate::id::{Digest, KeyId};
use crate::limits::EPOCH_DEVICES_MAX;
use crate::name::UserName;

/// One device in a member list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MemberLine {
    /// Its user.
    pub name: UserName,
    /// Its signing key.
    pub sk: KeyId,
    /// Its encryption key.
    pub ek: KeyId,
}

/// The devices an epoch is wrapped for: lines `name SP sk SP ek LF`, sorted bytewise.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberList {
    lines: Vec<MemberLine>,
    bytes: Vec<u8>,
}

/// The bytes are not a sorted list of member lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the member list is not a sorted list of lines `name signing-key encryption-key`")]
pub struct MemberListError;

impl MemberList {
    /// Sorts the lines and drops equal ones.
    pub fn new(lines: impl IntoIterator<Item = MemberLine>) -> Self {
        let mut written: Vec<(String, MemberLine)> = lines
            .into_iter()
            .map(|line| (format!("{} {} {}\n", line.name, line.sk, line.ek), line))
            .collect();
        written.sort_by(|a, b| a.0.cmp(&b.0));
        written.dedup_by(|a, b| a.0 == b.0);
        let mut list = Self::default();
        for (text, line) in written {
            list.bytes.extend_from_slice(text.as_bytes());
            list.lines.push(line);
        }
        list
    }

    /// Reads a list; any other spelling, order or double line is refused. A line that is read at all has one
    /// spelling, so the list has one, too, if its lines only rise.
    pub fn parse(bytes: &[u8]) -> Result<Self, MemberListError> {
        let text = std::str::from_utf8(bytes).map_err(|_| MemberListError)?;
        if !text.is_empty() && !text.ends_with('\n') {
            return Err(MemberListError);
        }
        let mut lines = Vec::new();
        let mut before = "";
        for line in text.split_terminator('\n') {
            if lines.len() >= EPOCH_DEVICES_MAX || line <= before {
                return Err(MemberListError);
            }
            lines.push(parse_line(line).ok_or(MemberListError)?);
            before = line;
        }
        Ok(Self { lines, bytes: bytes.to_vec() })
    }

    /// The lines in their order.
    pub fn lines(&self) -> &[MemberLine] {
        &self.lines
    }

    /// The list as it is hashed and sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// `mh`: SHA-256 of the list.
    pub fn hash(&self) -> Digest {
        Digest(sha256(&self.bytes))
    }

    /// Whether a device of `name` that signs with `sk` is listed.
    pub fn contains(&self, name: &UserName, sk: &KeyId) -> bool {
        self.position(name, sk).is_some()
    }

    /// The place of a device's line.
    pub fn position(&self, name: &UserName, sk: &KeyId) -> Option<usize> {
        let start = self.lines.partition_point(|line| line.name.as_str() < name.as_str());
        let end = start + self.lines.get(start..)?.iter().take_while(|l| l.name == *name).count();
        (start..end).find(|index| self.lines.get(*index).is_some_and(|line| line.sk == *sk))
    }
}

fn parse_line(line: &str) -> Option<MemberLine> {
    let mut words = line.split(' ');
    let name = UserName::new(words.next()?).ok()?;
    let sk = KeyId::parse(words.next()?).ok()?;
    let ek = KeyId::parse(words.next()?).ok()?;
    words.next().is_none().then_some(MemberLine { name, sk, ek })
}

/// A short description of a list for logs: how many devices, and its hash.
impl std::fmt::Display for MemberList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        write!(text, "{} devices, {}", self.lines.len(), self.hash())?;
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_one_spelling() {
        let line = |name: &str, byte| MemberLine {
            name: UserName::new(name).unwrap(),
            sk: KeyId([byte; 16]),
            ek: KeyId([9; 16]),
        };
        let list = MemberList::new([line("bob", 1), line("alice", 2), line("alice", 1)]);
        assert_eq!(MemberList::parse(list.as_bytes()), Ok(list.clone()));
        assert_eq!(list.lines().first().unwrap(), &line("alice", 1));
        assert!(list.contains(&UserName::new("bob").unwrap(), &KeyId([1; 16])));
        assert!(!list.contains(&UserName::new("bob").unwrap(), &KeyId([2; 16])));
        let text = String::from_utf8(list.as_bytes().to_vec()).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        assert!(MemberList::parse(format!("{rest}{first}\n").as_bytes()).is_err(), "order");
        assert!(MemberList::parse(format!("{first}\n{text}").as_bytes()).is_err(), "double");
        assert!(MemberList::parse(text.trim_end().as_bytes()).is_err(), "last line feed");
        assert_eq!(MemberList::parse(b""), Ok(MemberList::default()));
        for other in
            ["\n".to_owned(), format!("\n{text}"), format!("{text}\n"), text.replace(' ', "  ")]
        {
            assert!(MemberList::parse(other.as_bytes()).is_err(), "{other:?}");
        }
    }

    /// Of any lines, in any order: what is read is what is written of them.
    #[test]
    fn what_is_read_would_be_written_so() {
        let names = ["a", "a-b", "a.b", "ab", "B", "b"];
        let mut read = 0;
        for first in names {
            for second in names {
                for keys in [(1, 1), (1, 2), (2, 1), (251, 4)] {
                    let line = |name, byte| MemberLine {
                        name: UserName::new(name).unwrap(),
                        sk: KeyId([byte; 16]),
                        ek: KeyId([7; 16]),
                    };
                    let lines = [line(first, keys.0), line(second, keys.1)];
                    let text =
                        lines.clone().map(|l| format!("{} {} {}\n", l.name, l.sk, l.ek)).concat();
                    let written = MemberList::new(lines);
                    let found = MemberList::parse(text.as_bytes());
                    assert_eq!(found.is_ok(), written.as_bytes() == text.as_bytes(), "{text}");
                    if let Ok(found) = found {
                        assert_eq!(found, written);
                        read += 1;
                    }
                }
            }
        }
        assert!(read > 0 && read < 36 * 4, "{read}");
    }
}
