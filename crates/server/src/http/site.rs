//! The folder of `--www`, and one file of it as an answer.

use std::{fs::File, io, path::Path, sync::Arc, time::SystemTime};

use bytes::Bytes;
use chat_beneath::{Folder, FolderError, OpenError, OpenFile, RelativePath};
use hyper::{
    HeaderMap, Method, StatusCode,
    header::{
        ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
        HeaderName, HeaderValue, LAST_MODIFIED, LOCATION, RETRY_AFTER,
    },
    http::request,
};
use tokio::sync::Semaphore;

use super::{
    Answer, bare,
    body::{AnswerBody, Rest, read_block, shorter},
    conditions::{Verdict, Version},
    not_found, pages,
    path::{PathRefusal, Target},
    text,
};
use crate::limits::{HTTP_BLOCK_BYTES, HTTP_DOWNLOADS_MAX, HTTP_READS_MAX};

/// What is not known by its name: a browser offers to keep it.
const BYTES: &str = "application/octet-stream";

/// The folder, and what bounds the work on it.
#[derive(Debug, Clone)]
pub struct Site {
    folder: Arc<Folder>,
    /// Threads that open and read.
    reads: Arc<Semaphore>,
    /// Files that stay open because they are sent in several blocks.
    downloads: Arc<Semaphore>,
}

impl Site {
    /// Opens the folder, once and for all.
    pub fn open(folder: &Path) -> Result<Self, FolderError> {
        Ok(Self {
            folder: Arc::new(Folder::open(folder)?),
            reads: Arc::new(Semaphore::new(HTTP_READS_MAX)),
            downloads: Arc::new(Semaphore::new(HTTP_DOWNLOADS_MAX)),
        })
    }

    /// Answers `GET` or `HEAD` of a path.
    pub(super) async fn answer(&self, head: request::Parts) -> Answer {
        let target = match Target::of(head.uri.path()) {
            Ok(target) => target,
            Err(PathRefusal::NotServed) => return not_found(),
            Err(PathRefusal::Malformed) => {
                return text(StatusCode::BAD_REQUEST, "the path cannot be read");
            }
        };
        let site = self.clone();
        let Ok(turn) = Arc::clone(&self.reads).acquire_owned().await else { return busy() };
        let serve = move || {
            let _turn = turn;
            site.serve(&head, &target, SystemTime::now())
        };
        // It fails only when the runtime is ending.
        tokio::task::spawn_blocking(serve).await.unwrap_or_else(|_ending| busy())
    }

    /// Opens, decides and reads the first block: for a small file this is all there is to do.
    fn serve(&self, head: &request::Parts, target: &Target, now: SystemTime) -> Answer {
        let OpenFile { file, metadata } = match self.folder.open_file(&target.path) {
            Ok(open) => open,
            Err(OpenError::Folder) => return self.redirect(target, head.uri.query()),
            Err(OpenError::System(error)) => return unreadable(&error),
            Err(_) => return not_found(),
        };
        let (version, length) = (Version::of(&metadata, now), metadata.len());
        let (status, start, part) = match version.decide(&head.method, &head.headers, length) {
            Verdict::NotModified => return described(StatusCode::NOT_MODIFIED, &version),
            Verdict::Failed => {
                return text(StatusCode::PRECONDITION_FAILED, "the file is another one by now");
            }
            Verdict::Unsatisfiable => return unsatisfiable(length),
            Verdict::Whole => (StatusCode::OK, 0, length),
            Verdict::Part { start, length } => (StatusCode::PARTIAL_CONTENT, start, length),
        };
        let body = if head.method == Method::HEAD || part == 0 {
            AnswerBody::default()
        } else {
            match self.body(file, start, part) {
                Ok(Some(body)) => body,
                Ok(None) => return busy(),
                Err(error) => return unreadable(&error),
            }
        };
        let mut answer = described(status, &version);
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, content_type(&target.path));
        headers.insert(CONTENT_LENGTH, part.into());
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        if status == StatusCode::PARTIAL_CONTENT {
            let last = start + part - 1;
            insert(headers, CONTENT_RANGE, format!("bytes {start}-{last}/{length}"));
        }
        *answer.body_mut() = body;
        answer
    }

    /// The first block, and the file if there is more. `None` when too many files are under way.
    fn body(&self, file: File, start: u64, length: u64) -> io::Result<Option<AnswerBody>> {
        let block_max = u64::try_from(HTTP_BLOCK_BYTES).unwrap_or(u64::MAX);
        if length <= block_max {
            let block = read_block(&file, start, length)?;
            // Shorter than said: the rest cannot come, and the client must see that it does not.
            let is_whole = u64::try_from(block.len()).is_ok_and(|read| read == length);
            return if is_whole { Ok(Some(AnswerBody::new(block, None))) } else { Err(shorter()) };
        }
        let Ok(download) = Arc::clone(&self.downloads).try_acquire_owned() else {
            return Ok(None);
        };
        let rest = Rest::new(file, start, length, Arc::clone(&self.reads), download);
        Ok(Some(AnswerBody::new(Bytes::new(), Some(rest))))
    }

    /// A folder is shown under its path with a slash, or its page could not name what lies beside
    /// it. One without a page is not shown at all, not even that it is there. What was asked for behind
    /// the path is asked for there too.
    fn redirect(&self, target: &Target, query: Option<&str>) -> Answer {
        let has_page = target.index().is_some_and(|page| self.folder.open_file(&page).is_ok());
        if !has_page {
            return not_found();
        }
        let mut answer = text(StatusCode::MOVED_PERMANENTLY, "this folder is shown with a slash");
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        insert(answer.headers_mut(), LOCATION, target.with_slash() + &query);
        answer
    }
}

/// An answer about a version of a file, without a body.
fn described(status: StatusCode, version: &Version) -> Answer {
    let mut answer = bare(status, pages::SITE_POLICY);
    let headers = answer.headers_mut();
    // It may be kept, and is asked for again each time; the tag makes that cheap.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    insert(headers, ETAG, version.etag());
    if let Some(modified) = version.last_modified() {
        insert(headers, LAST_MODIFIED, modified);
    }
    answer
}

fn unsatisfiable(length: u64) -> Answer {
    let mut answer = text(StatusCode::RANGE_NOT_SATISFIABLE, "the file has no such part");
    insert(answer.headers_mut(), CONTENT_RANGE, format!("bytes */{length}"));
    answer
}

fn busy() -> Answer {
    let mut answer = text(StatusCode::SERVICE_UNAVAILABLE, "too much to do; try again");
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

fn unreadable(error: &io::Error) -> Answer {
    tracing::warn!(%error, "a file of --www cannot be read");
    busy()
}

/// By the end of the name. All text is taken for UTF-8.
fn content_type(path: &RelativePath) -> HeaderValue {
    let kind = mime_guess::from_path(path.as_str()).first_raw().unwrap_or(BYTES);
    let is_text = kind.starts_with("text/");
    let kind = if is_text { format!("{kind}; charset=utf-8") } else { kind.to_owned() };
    HeaderValue::try_from(kind).unwrap_or(HeaderValue::from_static(BYTES))
}

/// Sets a field. Our values are printable ASCII; what were none would be left out.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_follows_the_name() {
        for (name, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a.HTM", "text/html; charset=utf-8"),
            ("a.css", "text/css; charset=utf-8"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("a.mjs", "application/javascript"),
            ("a.txt", "text/plain; charset=utf-8"),
            ("a.json", "application/json"),
            ("a.svg", "image/svg+xml"),
            ("a.png", "image/png"),
            ("a.wasm", "application/wasm"),
            ("a.woff2", "font/woff2"),
            ("a.pdf", "application/pdf"),
            ("a.unheard-of", "application/octet-stream"),
            ("html", "application/octet-stream"),
        ] {
            let path = RelativePath::new(name).unwrap();
            assert_eq!(content_type(&path), expected, "{name}");
        }
    }
}
