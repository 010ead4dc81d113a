//! A path that only leads downwards.

use thiserror::Error;

/// Longest name of one file or folder, in bytes: what Linux file systems take.
pub const COMPONENT_BYTES_MAX: usize = 255;

/// Longest path in bytes: what the kernel takes in one call, without the zero at its end.
pub const PATH_BYTES_MAX: usize = 4_095;

/// Why a text is no path below a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PathError {
    /// Nothing, or nothing between two slashes; an absolute path begins with that.
    #[error("a name in the path is empty; give a path below the folder, as a/b.txt")]
    Empty,
    /// `.` or `..`.
    #[error("the path goes up or stands still with . or ..; leave that out")]
    Dots,
    /// A control character or a backslash. Neither is in a name that people gave, and both mean
    /// something to terminals or to other systems.
    #[error("the path has a control character or a backslash")]
    Character,
    /// Longer than a file system takes.
    #[error("a name is longer than 255 bytes, or the path longer than 4095")]
    Long,
}

/// Names separated by `/`, none of them empty, `.` or `..`.
///
/// It says nothing about what is there: that is found out by opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelativePath(String);

impl RelativePath {
    /// Takes names separated by `/`.
    pub fn new(path: &str) -> Result<Self, PathError> {
        Self::from_names(path.split('/'))
    }

    /// Puts names together. A `/` inside of a name is refused, so a caller that has split before it
    /// decoded does not open what it did not see.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, PathError> {
        let mut path = String::new();
        for name in names {
            check(name)?;
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(name);
            if path.len() > PATH_BYTES_MAX {
                return Err(PathError::Long);
            }
        }
        if path.is_empty() { Err(PathError::Empty) } else { Ok(Self(path)) }
    }

    /// The path with one more name at its end.
    pub fn join(&self, name: &str) -> Result<Self, PathError> {
        Self::from_names(self.names().chain([name]))
    }

    /// The names, outermost first; there is at least one.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// Whether one of the names begins with a dot.
    pub fn is_hidden(&self) -> bool {
        self.names().any(|name| name.starts_with('.'))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check(name: &str) -> Result<(), PathError> {
    match name {
        "" => Err(PathError::Empty),
        "." | ".." => Err(PathError::Dots),
        _ if name.len() > COMPONENT_BYTES_MAX => Err(PathError::Long),
        _ if name.contains(|c: char| c.is_control() || c == '/' || c == '\\') => {
            Err(PathError::Character)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_downward_paths_are_paths() {
        for good in ["a", "a/b.txt", "...", "..a", "a..", ".hidden", "ü/日本", "a b", "%2e%2e"] {
            assert_eq!(RelativePath::new(good).unwrap().as_str(), good);
        }
        let long = "x".repeat(COMPONENT_BYTES_MAX + 1);
        let deep = "x/".repeat(PATH_BYTES_MAX / 2) + "xx";
        let cases = [
            ("", PathError::Empty),
            ("/", PathError::Empty),
            ("/etc/passwd", PathError::Empty),
            ("a//b", PathError::Empty),
            ("a/", PathError::Empty),
            (".", PathError::Dots),
            ("..", PathError::Dots),
            ("a/../b", PathError::Dots),
            ("a/./b", PathError::Dots),
            ("a\\b", PathError::Character),
            ("a\0", PathError::Character),
            ("a\nb", PathError::Character),
            ("a\u{9b}b", PathError::Character),
            (&long, PathError::Long),
            (&deep, PathError::Long),
        ];
        for (bad, expected) in cases {
            assert_eq!(RelativePath::new(bad), Err(expected), "{bad:?}");
        }
        assert!(RelativePath::new(&"x".repeat(COMPONENT_BYTES_MAX)).is_ok());
        assert!(RelativePath::new(&"x/".repeat(PATH_BYTES_MAX / 2)[..PATH_BYTES_MAX - 1]).is_err());
    }

    #[test]
    fn a_slash_inside_of_a_name_is_refused() {
        assert_eq!(RelativePath::from_names(["a", "b/c"]), Err(PathError::Character));
        let path = RelativePath::from_names(["a", "b"]).unwrap();
        assert_eq!(path.join("c").unwrap().as_str(), "a/b/c");
        assert_eq!(path.join(".."), Err(PathError::Dots));
        assert!(!path.is_hidden() && path.join(".c").unwrap().is_hidden());
    }
}
