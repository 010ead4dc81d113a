//! What of a file is asked for, given what the client has already (RFC 9110, sections 13 and 14).
//! Pure: it reads the head and the file's version and decides.

mod range;

use std::{
    fs::Metadata,
    os::unix::fs::MetadataExt as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use chat_protocol::b64;
use hyper::{
    HeaderMap, Method,
    header::{
        HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
        IF_UNMODIFIED_SINCE, RANGE,
    },
};
use sha2::{Digest as _, Sha256};

use crate::limits::FILE_SETTLED_TIME;

/// Bytes of the digest that make an entity tag.
const TAG_BYTES: usize = 12;

/// By what a client knows a state of a file again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    /// The opaque part of the entity tag, without its quotes.
    tag: String,
    /// Equal tags mean equal bytes. Not so while the file may still change within one step of the
    /// file system's clock.
    is_strong: bool,
    /// When the content changed, in whole seconds and never after now; `None` before 1970.
    modified: Option<SystemTime>,
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The whole file (200).
    Whole,
    /// So many bytes from there (206).
    Part {
        /// Of the first byte.
        start: u64,
        /// At least one.
        length: u64,
    },
    /// Nothing: the client has it (304).
    NotModified,
    /// Nothing: it is not what the client wants to go on with (412).
    Failed,
    /// Nothing: there is no such part (416).
    Unsatisfiable,
}

impl Version {
    /// The version of an open file. The tag is made of what changes with any write: also a file
    /// whose time was set back has another.
    pub(super) fn of(metadata: &Metadata, now: SystemTime) -> Self {
        let mut digest = Sha256::new();
        for number in [metadata.dev(), metadata.ino(), metadata.len()] {
            digest.update(number.to_be_bytes());
        }
        for time in
            [metadata.ctime(), metadata.ctime_nsec(), metadata.mtime(), metadata.mtime_nsec()]
        {
            digest.update(time.to_be_bytes());
        }
        let digest: [u8; 32] = digest.finalize().into();
        let tag = digest.first_chunk::<TAG_BYTES>().map(b64::encode_array).unwrap_or_default();
        let changed = u64::try_from(metadata.ctime()).map_or(UNIX_EPOCH, |seconds| {
            UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(now)
        });
        // One second more, because only whole seconds are compared here.
        let settled = FILE_SETTLED_TIME + Duration::from_secs(1);
        let is_strong = now.duration_since(changed).is_ok_and(|age| age >= settled);
        let modified = metadata.modified().ok().and_then(|modified| {
            let since_epoch = modified.min(now).duration_since(UNIX_EPOCH).ok()?;
            UNIX_EPOCH.checked_add(Duration::from_secs(since_epoch.as_secs()))
        });
        Self { tag, is_strong, modified }
    }

    /// The value of `ETag`.
    pub(super) fn etag(&self) -> String {
        format!("{}\"{}\"", if self.is_strong { "" } else { "W/" }, self.tag)
    }

    /// The value of `Last-Modified`.
    pub(super) fn last_modified(&self) -> Option<String> {
        self.modified.map(httpdate::fmt_http_date)
    }

    /// Decides on `GET` or `HEAD` of a file of `length` bytes.
    pub(super) fn decide(&self, method: &Method, headers: &HeaderMap, length: u64) -> Verdict {
        if !self.may_go_on(headers) {
            return Verdict::Failed;
        }
        if self.is_known(headers) {
            return Verdict::NotModified;
        }
        let mut ranges = headers.get_all(RANGE).iter();
        match (ranges.next(), ranges.next()) {
            (Some(range), None) if method == Method::GET && self.is_same_for_range(headers) => {
                range::decide(range.to_str().unwrap_or_default(), length)
            }
            _ => Verdict::Whole,
        }
    }

    /// `If-Match`, and without it `If-Unmodified-Since`.
    fn may_go_on(&self, headers: &HeaderMap) -> bool {
        if headers.contains_key(IF_MATCH) {
            return lists(headers, &IF_MATCH, |tag| self.is_strong && tag == self.strong_tag());
        }
        let since = date(headers, &IF_UNMODIFIED_SINCE);
        since.is_none_or(|since| self.modified.is_some_and(|modified| modified <= since))
    }

    /// `If-None-Match`, and without it `If-Modified-Since`.
    fn is_known(&self, headers: &HeaderMap) -> bool {
        if headers.contains_key(IF_NONE_MATCH) {
            let strong = self.strong_tag();
            return lists(headers, &IF_NONE_MATCH, |tag| {
                tag.strip_prefix("W/").unwrap_or(tag) == strong
            });
        }
        let since = date(headers, &IF_MODIFIED_SINCE);
        since.is_some_and(|since| self.modified.is_some_and(|modified| modified <= since))
    }

    /// `If-Range`: a part is only of use to who has the rest of exactly this version.
    fn is_same_for_range(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(IF_RANGE) else { return true };
        let value = value.to_str().unwrap_or_default();
        let is_date =
            |modified| httpdate::parse_http_date(value).is_ok_and(|date| date == modified);
        self.is_strong && (value == self.strong_tag() || self.modified.is_some_and(is_date))
    }

    fn strong_tag(&self) -> String {
        format!("\"{}\"", self.tag)
    }
}

/// Whether a field is `*`, or one of the entity tags in it `matches`. No tag of ours has a comma or
/// a quote, so splitting at commas finds ours whole in any list.
fn lists(headers: &HeaderMap, name: &HeaderName, matches: impl Fn(&str) -> bool) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value: &HeaderValue| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).any(|tag| tag == "*" || matches(tag))
}

/// A date that cannot be read counts as none, as RFC 9110 asks.
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const LATER: &str = "Sunday, 06-Nov-94 08:49:38 GMT";

    fn version(is_strong: bool) -> Version {
        let modified = httpdate::parse_http_date(DATE).ok();
        Version { tag: "now".to_owned(), is_strong, modified }
    }

    fn decide(is_strong: bool, method: &Method, fields: &[(HeaderName, &str)]) -> Verdict {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, value.parse().unwrap());
        }
        version(is_strong).decide(method, &headers, 100)
    }

    #[test]
    fn conditions_are_decided_in_the_order_of_the_rfc() {
        /// The fields, and the verdict where the version is strong and where it is weak.
        type Case<'a> = (&'a [(HeaderName, &'a str)], Verdict, Verdict);
        use Verdict::{Failed, NotModified, Whole};
        let cases: &[Case<'_>] = &[
            (&[], Whole, Whole),
            (&[(IF_NONE_MATCH, "\"now\"")], NotModified, NotModified),
            (&[(IF_NONE_MATCH, "W/\"now\"")], NotModified, NotModified),
            (&[(IF_NONE_MATCH, "\"old\", \"now\"")], NotModified, NotModified),
            (&[(IF_NONE_MATCH, "\"old\""), (IF_NONE_MATCH, "\"now\"")], NotModified, NotModified),
            (&[(IF_NONE_MATCH, "*")], NotModified, NotModified),
            (&[(IF_NONE_MATCH, "\"old\"")], Whole, Whole),
            (&[(IF_NONE_MATCH, "now")], Whole, Whole),
            (&[(IF_NONE_MATCH, "\"old\""), (IF_MODIFIED_SINCE, LATER)], Whole, Whole),
            (&[(IF_MODIFIED_SINCE, DATE)], NotModified, NotModified),
            (&[(IF_MODIFIED_SINCE, LATER)], NotModified, NotModified),
            (&[(IF_MODIFIED_SINCE, EARLIER)], Whole, Whole),
            (&[(IF_MODIFIED_SINCE, "yesterday")], Whole, Whole),
            (&[(IF_MATCH, "\"now\"")], Whole, Failed),
            (&[(IF_MATCH, "W/\"now\"")], Failed, Failed),
            (&[(IF_MATCH, "*")], Whole, Whole),
            (&[(IF_MATCH, "\"old\"")], Failed, Failed),
            (&[(IF_MATCH, "")], Failed, Failed),
            (&[(IF_MATCH, "\"now\""), (IF_UNMODIFIED_SINCE, EARLIER)], Whole, Failed),
            (&[(IF_UNMODIFIED_SINCE, DATE)], Whole, Whole),
            (&[(IF_UNMODIFIED_SINCE, EARLIER)], Failed, Failed),
            (&[(IF_UNMODIFIED_SINCE, "x")], Whole, Whole),
            (&[(IF_MATCH, "\"old\""), (IF_NONE_MATCH, "\"now\"")], Failed, Failed),
            (&[(IF_NONE_MATCH, "\"now\""), (RANGE, "bytes=0-1")], NotModified, NotModified),
        ];
        for (fields, strong, weak) in cases {
            for method in [Method::GET, Method::HEAD] {
                assert_eq!(decide(true, &method, fields), *strong, "{fields:?}");
                assert_eq!(decide(false, &method, fields), *weak, "weak, {fields:?}");
            }
        }
    }

    #[test]
    fn a_range_is_only_for_get_and_for_the_same_version() {
        let part = Verdict::Part { start: 0, length: 2 };
        let range = (RANGE, "bytes=0-1");
        assert_eq!(decide(true, &Method::GET, std::slice::from_ref(&range)), part);
        assert_eq!(decide(true, &Method::HEAD, std::slice::from_ref(&range)), Verdict::Whole);
        let twice = [range.clone(), (RANGE, "bytes=5-6")];
        assert_eq!(decide(true, &Method::GET, &twice), Verdict::Whole);
        for (condition, is_same) in [
            ("\"now\"", true),
            (DATE, true),
            ("W/\"now\"", false),
            ("\"old\"", false),
            (EARLIER, false),
            (LATER, false),
            ("", false),
        ] {
            let fields = [range.clone(), (IF_RANGE, condition)];
            let expected = if is_same { part } else { Verdict::Whole };
            assert_eq!(decide(true, &Method::GET, &fields), expected, "{condition}");
            assert_eq!(decide(false, &Method::GET, &fields), Verdict::Whole, "weak, {condition}");
        }
    }

    #[test]
    fn a_version_follows_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let of = |age: u64| {
            let now = SystemTime::now() + Duration::from_secs(age);
            Version::of(&std::fs::metadata(&path).unwrap(), now)
        };
        std::fs::write(&path, "one").unwrap();
        let (fresh, settled) = (of(0), of(60));
        assert!(fresh.etag().starts_with("W/\"") && settled.etag().starts_with('"'));
        assert_eq!(fresh.tag, settled.tag);
        assert!(fresh.modified.unwrap() <= SystemTime::now());
        std::fs::write(&path, "three").unwrap();
        assert_ne!(of(60).tag, settled.tag);
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        let of_time = |time| {
            file.set_modified(time).unwrap();
            of(60)
        };
        let future = of_time(SystemTime::now() + Duration::from_hours(24 * 366 * 9000));
        assert!(future.last_modified().is_some_and(|date| date.ends_with(" GMT")));
        let past = of_time(UNIX_EPOCH - Duration::from_secs(9));
        assert_eq!(past.last_modified(), None);
    }
}
