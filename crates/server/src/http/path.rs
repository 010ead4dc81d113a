//! Which file a request's path means. Pure: it reads the path and decides.

use chat_beneath::RelativePath;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What is shown for a folder.
const INDEX: &str = "index.html";

/// What stays as it is in a path that we write: the unreserved characters of RFC 3986.
const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// What is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The file to open.
    pub(super) path: RelativePath,
    /// The path named a folder, and the file is its page.
    pub(super) is_folder: bool,
}

/// Why a path means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PathRefusal {
    /// No path, or no text: `%` without two digits, or no UTF-8.
    Malformed,
    /// A path that this server never serves.
    NotServed,
}

impl Target {
    /// Reads the path of a request, as it came.
    ///
    /// It is split first and decoded once after it, so that an encoded slash is no slash; and a
    /// name is refused rather than repaired, so that one file has one path.
    pub(super) fn of(path: &str) -> Result<Self, PathRefusal> {
        let names = path.strip_prefix('/').ok_or(PathRefusal::Malformed)?;
        let mut decoded = names.split('/').map(decode).collect::<Result<Vec<_>, _>>()?;
        let is_folder = decoded.last().is_some_and(String::is_empty);
        if is_folder {
            decoded.pop();
            decoded.push(INDEX.to_owned());
        }
        let path = RelativePath::from_names(decoded.iter().map(String::as_str))
            .map_err(|_| PathRefusal::NotServed)?;
        if path.is_hidden() { Err(PathRefusal::NotServed) } else { Ok(Self { path, is_folder }) }
    }

    /// The page of the folder, should the path mean one.
    pub(super) fn index(&self) -> Option<RelativePath> {
        if self.is_folder { None } else { self.path.join(INDEX).ok() }
    }

    /// The same path as that of a folder. It begins with one slash and a name, so that a browser
    /// cannot take the name for that of another server.
    pub(super) fn with_slash(&self) -> String {
        format!("/{}/", utf8_percent_encode(self.path.as_str(), ENCODED))
    }
}

fn decode(name: &str) -> Result<String, PathRefusal> {
    let mut parts = name.split('%');
    parts.next();
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let is_sound =
        |part: &str| is_digit(part.as_bytes().first()) && is_digit(part.as_bytes().get(1));
    if !parts.all(is_sound) {
        return Err(PathRefusal::Malformed);
    }
    let text = percent_decode_str(name).decode_utf8().map_err(|_| PathRefusal::Malformed)?;
    Ok(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_means_one_file_or_none() {
        let cases = [
            ("/", Some(("index.html", true))),
            ("/a", Some(("a", false))),
            ("/a/", Some(("a/index.html", true))),
            ("/a/b.txt", Some(("a/b.txt", false))),
            ("/a%20b", Some(("a b", false))),
            ("/%C3%BC", Some(("ü", false))),
            ("/%61", Some(("a", false))),
            ("/%252e%252e/x", Some(("%2e%2e/x", false))),
            ("/a+b&c=d", Some(("a+b&c=d", false))),
            ("/...", None),
            ("/..", None),
            ("/../x", None),
            ("/a/../b", None),
            ("/a/./b", None),
            ("/%2e%2e/x", None),
            ("/%2E./x", None),
            ("/..%2fx", None),
            ("/a%2fb", None),
            ("/%2f%2fevil", None),
            ("/a%5cb", None),
            ("/..\\x", None),
            ("/a%00.html", None),
            ("/a%0d%0aSet-Cookie:x", None),
            ("/%c2%9b", None),
            ("//evil.example", None),
            ("/a//b", None),
            ("/.git/config", None),
            ("/a/.env", None),
            ("/%2ehidden", None),
        ];
        for (path, expected) in cases {
            let expected = expected.map(|(path, is_folder)| (path.to_owned(), is_folder));
            let target = Target::of(path);
            let found = target.map(|target| (target.path.as_str().to_owned(), target.is_folder));
            assert_eq!(found.ok(), expected, "{path}");
        }
    }

    #[test]
    fn what_is_no_text_is_malformed() {
        for path in
            ["", "*", "a", "/%", "/%2", "/%zz", "/a%2/b", "/%+1", "/%c0%ae", "/%ff", "/%ed%a0%80"]
        {
            assert_eq!(Target::of(path), Err(PathRefusal::Malformed), "{path}");
        }
        assert_eq!(Target::of(&format!("/{}", "a".repeat(256))), Err(PathRefusal::NotServed));
    }

    #[test]
    fn a_folder_without_its_slash_is_sent_to_the_same_server() {
        for (path, location) in [
            ("/a", "/a/"),
            ("/a%20b/%C3%BC", "/a%20b/%C3%BC/"),
            ("/evil.example:80", "/evil.example%3A80/"),
            ("/%3fx%23y", "/%3Fx%23y/"),
        ] {
            let target = Target::of(path).unwrap();
            assert_eq!(target.with_slash(), location);
            assert_eq!(Target::of(&target.with_slash()).unwrap().path, target.index().unwrap());
        }
        assert_eq!(Target::of("/a/").unwrap().index(), None);
    }
}
