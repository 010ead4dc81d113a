//! What the server counted meanwhile. One that consists of several is asked at each address; the sums are compared.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::options::Options;
use crate::report::{ServerFigures, SumCheck, Tally};
use crate::run::exchange::Notes;
use chat_device::connection::ConnectError;
use chat_device::connection::tls::Tls;
use chat_device::server_url::ServerUrl;

/// A busy server may take a moment for its own figures.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The page has some tens of kilobytes.
const PAGE_BYTES_MAX: u64 = 4 << 20;

/// Why a page is not there.
#[derive(Debug, Error)]
pub(super) enum MetricsError {
    /// No connection, or it broke.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// No TLS.
    #[error("{0}")]
    Connect(#[from] ConnectError),
    /// Another answer than the page.
    #[error("the answer is not a page of metrics")]
    NoPage,
    /// No answer in time.
    #[error("no answer in {} s", TIMEOUT.as_secs())]
    Late,
}

/// The figures of one moment by their full names.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Figures(BTreeMap<String, f64>);

impl Figures {
    async fn fetch(url: &ServerUrl, options: &Options) -> Result<Self, MetricsError> {
        let page = timeout(TIMEOUT, Box::pin(page(url, options))).await;
        Self::read(&page.map_err(|_| MetricsError::Late)??)
    }

    fn read(response: &str) -> Result<Self, MetricsError> {
        let (head, body) = response.split_once("\r\n\r\n").ok_or(MetricsError::NoPage)?;
        let mut status = head.split(' ').skip(1);
        if status.next() != Some("200") {
            return Err(MetricsError::NoPage);
        }
        let lines = body.lines().filter(|line| !line.starts_with('#'));
        let figure = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Ok(Self(lines.filter_map(figure).collect()))
    }

    fn version(&self) -> Option<String> {
        let info =
            self.0.keys().find_map(|name| name.strip_prefix("chat_build_info{version=\""))?;
        info.strip_suffix("\"}").map(str::to_owned)
    }

    /// Connections that carry messages: one for files is a second one of somebody who is counted.
    fn clients(&self) -> f64 {
        self.get("chat_connections") - self.get("chat_data_connections")
    }

    fn get(&self, name: &str) -> f64 {
        // A labelled counter has no line before its first count.
        self.0.get(name).copied().unwrap_or_default()
    }

    /// By how much a counter has grown since `before`; `None` when it went back.
    fn grown(&self, before: &Self, name: &str) -> Option<u64> {
        let grown = self.get(name) - before.get(name);
        // Counts are whole, and far below the numbers that a float cannot tell apart.
        format!("{grown:.0}").parse().ok()
    }

    fn frames(&self, before: &Self, tags: &[&str], direction: &str) -> Option<u64> {
        let name = |tag| format!("chat_frames_total{{tag=\"{tag}\",direction=\"{direction}\"}}");
        tags.iter().map(|tag| self.grown(before, &name(tag))).sum()
    }

    /// Frames that came and were not stored: messages, or proposals of epochs.
    fn refused(&self, before: &Self) -> Option<u64> {
        const RETRY: &str = "chat_acks_total{stage=\"stored\",outcome=\"retry\"}";
        let names = self.0.keys().filter(|name| name.starts_with("chat_rejected_frames_total"));
        // These two are answers to changes of membership only.
        let names =
            names.filter(|name| !name.contains("E_MEMBERS") && !name.contains("E_NOT_ALLOWED"));
        names.map(String::as_str).chain([RETRY]).map(|name| self.grown(before, name)).sum()
    }
}

/// The figures of all addresses of the server, at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Pages(Vec<(ServerUrl, Figures)>);

impl Pages {
    /// Reads them all. All or nothing: sums without one of them prove nothing.
    ///
    /// # Errors
    /// The first that cannot be read, and why.
    pub(super) async fn fetch(options: &Options) -> Result<Self, (ServerUrl, MetricsError)> {
        let mut pages = Vec::new();
        for url in &options.servers {
            match Figures::fetch(url, options).await {
                Ok(figures) => pages.push((url.clone(), figures)),
                Err(error) => return Err((url.clone(), error)),
            }
        }
        Ok(Self(pages))
    }

    /// The versions that the servers say they have; one, where all have the same.
    pub(super) fn version(&self) -> Option<String> {
        let mut versions: Vec<_> = self.0.iter().filter_map(|(_, page)| page.version()).collect();
        versions.dedup();
        (!versions.is_empty()).then(|| versions.join(" and "))
    }

    fn clients(&self) -> f64 {
        self.0.iter().map(|(_, page)| page.clients()).sum()
    }

    /// Adds up what each has counted since `before`; `None` when one has begun anew.
    fn sum(
        &self,
        before: &Self,
        counted: impl Fn(&Figures, &Figures) -> Option<u64>,
    ) -> Option<u64> {
        // Both have the addresses of one command line.
        let pairs = self.0.iter().zip(&before.0);
        pairs.map(|((_, after), (_, before))| counted(after, before)).sum()
    }

    /// What each address has counted since `before`.
    pub(super) fn each(&self, before: &Self) -> Vec<ServerFigures> {
        let pairs = self.0.iter().zip(&before.0);
        let figures = pairs.map(|((url, after), (_, before))| ServerFigures {
            url: url.to_string(),
            clients: whole(after.clients()),
            received: after.frames(before, &REQUESTS, "in"),
            delivered: after.frames(before, &MESSAGES, "out"),
        });
        figures.collect()
    }
}

/// A count, which is never less than nothing and has no parts.
fn whole(count: f64) -> u64 {
    format!("{:.0}", count.max(0.0)).parse().unwrap_or_default()
}

async fn page(url: &ServerUrl, options: &Options) -> Result<String, MetricsError> {
    let tcp = TcpStream::connect((url.host(), url.port())).await?;
    if url.is_secure() {
        let secured = Tls::new(&options.trust)?.connect(url, tcp, None).await?;
        exchange(url, secured.stream).await
    } else {
        exchange(url, tcp).await
    }
}

async fn exchange(
    url: &ServerUrl,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
) -> Result<String, MetricsError> {
    let (host, port) = (url.host(), url.port());
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let request =
        format!("GET /metrics HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut page = String::new();
    stream.take(PAGE_BYTES_MAX).read_to_string(&mut page).await?;
    Ok(page)
}

/// What the clients know of what the server counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clients<'a> {
    pub(super) count: usize,
    pub(super) tally: &'a Tally,
    /// Messages and commands that it stored.
    pub(super) stored: u64,
    /// What programs said to each other about files: messages to the server like any other.
    pub(super) notes: Notes,
}

/// What is delivered to clients.
const MESSAGES: [&str; 3] = ["TEXT", "DM", "BROADCAST"];

/// What clients send.
const REQUESTS: [&str; 4] = ["TEXT", "DM", "BROADCAST", "CMD"];

/// Compares, or says why that would prove nothing.
pub(super) fn compare(
    before: &Pages,
    after: &Pages,
    clients: Clients<'_>,
) -> Result<Vec<SumCheck>, &'static str> {
    const RESTARTED: &str = "its counters began anew";
    if clients.tally.reconnects > 0 {
        return Err("connections broke meanwhile, and what is sent again counts again there");
    }
    let expected = f64::from(u32::try_from(clients.count).unwrap_or(u32::MAX));
    if [before, after].iter().any(|pages| (pages.clients() - expected).abs() > 0.5) {
        return Err("others are connected too");
    }
    let mut checks = Vec::new();
    let mut check = |name: &str, clients, server| {
        checks.push(SumCheck { name: name.to_owned(), clients, server });
    };
    let frames = |tags, direction: &str| {
        after.sum(before, |after, before| after.frames(before, tags, direction)).ok_or(RESTARTED)
    };
    let pushed = frames(&MESSAGES[..], "out")?;
    let delivered = clients.tally.totals().delivered + clients.notes.delivered;
    check("delivered", delivered, pushed);
    let frames = frames(&REQUESTS[..], "in")?;
    let refused = after.sum(before, Figures::refused).ok_or(RESTARTED)?;
    // The figures do not tell a refused epoch from a refused message, so they leave a span. What is
    // compared is the number of it that is nearest.
    let stored = clients.stored + clients.notes.stored;
    let server = stored.clamp(frames.saturating_sub(refused), frames);
    match refused {
        0 => check("acked", stored, server),
        _ => check(&format!("acked, up to {refused} refused"), stored, server),
    }
    Ok(checks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::TagCounts;

    fn figures(text_in: u32, text_out: u32, refused: u32) -> Figures {
        let page = format!(
            "HTTP/1.1 200 OK\r\n\r\n# TYPE x counter\n\
             chat_connections 2\n\
             chat_frames_total{{tag=\"TEXT\",direction=\"in\"}} {text_in}\n\
             chat_frames_total{{tag=\"TEXT\",direction=\"out\"}} {text_out}\n\
             chat_rejected_frames_total{{reason=\"E_MEMBERS\"}} 77\n\
             chat_rejected_frames_total{{reason=\"E_EPOCH\"}} {refused}\n# EOF\n"
        );
        Figures::read(&page).unwrap()
    }

    fn of(
        before: &Figures,
        after: &Figures,
        count: usize,
        tally: &Tally,
    ) -> Result<Vec<SumCheck>, &'static str> {
        compare(
            &pages([before]),
            &pages([after]),
            Clients { count, tally, stored: 5, notes: Notes::default() },
        )
    }

    fn pages<const N: usize>(figures: [&Figures; N]) -> Pages {
        let url = |number: usize| format!("ws://n{number}").parse().unwrap();
        let pages = figures.into_iter().cloned().enumerate();
        Pages(pages.map(|(number, figures)| (url(number), figures)).collect())
    }

    fn tally(delivered: u64) -> Tally {
        let mut tally = Tally::default();
        tally.by_tag.insert("TEXT", TagCounts { delivered, ..TagCounts::default() });
        tally
    }

    #[test]
    fn equal_and_different_sums_are_told_apart() {
        let before = figures(10, 10, 0);
        let sums = |after, delivered| {
            let checks = of(&before, &after, 2, &tally(delivered)).unwrap();
            checks.iter().map(|check| (check.clients, check.server)).collect::<Vec<_>>()
        };
        assert_eq!(sums(figures(15, 15, 0), 5), [(5, 5), (5, 5)]);
        assert_eq!(sums(figures(16, 15, 0), 6), [(6, 5), (5, 6)]);
        // A frame that was refused may have been a message, and only so many were refused.
        assert_eq!(sums(figures(16, 15, 1), 5), [(5, 5), (5, 5)]);
        assert_eq!(sums(figures(17, 15, 1), 5), [(5, 5), (5, 6)]);
        assert_eq!(sums(figures(14, 15, 1), 5), [(5, 5), (5, 4)]);
    }

    #[test]
    fn what_is_said_about_files_and_their_connections_are_taken_into_account() {
        let before = figures(10, 10, 0);
        let mut after = figures(18, 17, 0);
        after.0.insert("chat_connections".to_owned(), 4.0);
        let tally = tally(5);
        assert!(of(&before, &after, 2, &tally).is_err(), "two others");
        after.0.insert("chat_data_connections".to_owned(), 2.0);
        let notes = Notes { stored: 3, delivered: 2 };
        let clients = Clients { count: 2, tally: &tally, stored: 5, notes };
        let checks = compare(&pages([&before]), &pages([&after]), clients).unwrap();
        let sums: Vec<_> = checks.iter().map(|check| (check.clients, check.server)).collect();
        assert_eq!(sums, [(7, 7), (8, 8)]);
    }

    #[test]
    fn nothing_is_compared_where_it_proves_nothing() {
        let (before, after) = (figures(10, 10, 0), figures(15, 15, 1));
        let mut tally = tally(5);
        assert!(of(&before, &after, 2, &tally).is_ok());
        assert!(of(&before, &after, 3, &tally).is_err());
        assert!(of(&after, &before, 2, &tally).is_err());
        tally.reconnects = 1;
        assert!(of(&before, &after, 2, &tally).is_err());
    }

    /// Goal: each client is at one of several servers, a message comes in at one and goes out at all, and only all of
    /// them together have seen what the clients have.
    #[test]
    fn the_sums_are_those_of_all_servers() {
        let before = pages([&figures(10, 10, 0), &figures(100, 7, 0)]);
        let after = pages([&figures(12, 14, 0), &figures(103, 8, 0)]);
        let tally = tally(5);
        let clients = |stored| Clients { count: 4, tally: &tally, stored, notes: Notes::default() };
        let sums = compare(&before, &after, clients(5)).unwrap();
        assert!(sums.iter().all(|check| check.clients == check.server), "{sums:?}");
        let sums = compare(&before, &after, clients(4)).unwrap();
        assert!(sums.iter().any(|check| check.clients != check.server), "{sums:?}");
        let each = after.each(&before);
        let counted = each.iter().map(|one| (one.clients, one.received, one.delivered));
        assert_eq!(counted.collect::<Vec<_>>(), [(2, Some(2), Some(4)), (2, Some(3), Some(1))]);
        assert_eq!(each[1].url, "ws://n1:80");
        // One that has begun anew is not hidden by the others.
        let restarted = pages([&figures(30, 30, 0), &figures(3, 1, 0)]);
        assert!(compare(&before, &restarted, clients(5)).is_err());
        assert_eq!(restarted.each(&before)[1].received, None);
    }

    #[test]
    fn another_page_is_no_figures() {
        assert!(Figures::read("HTTP/1.1 404 Not Found\r\n\r\nnothing").is_err());
        assert!(Figures::read("").is_err());
    }
}
