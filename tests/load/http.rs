//! Requests for one file, over connections that stay.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use crate::Arguments;

/// What one read takes.
const BUFFER_BYTES: usize = 64 * 1024;

/// Requests under way, until [`Requests::end`].
pub(crate) struct Requests {
    began: Instant,
    latencies: Arc<Mutex<Vec<Duration>>>,
    asking: JoinSet<anyhow::Result<()>>,
}

impl Requests {
    pub(crate) fn start(arguments: &Arguments) -> Self {
        let latencies = Arc::<Mutex<Vec<Duration>>>::default();
        let mut asking = JoinSet::new();
        // Each connection has its share of the rate.
        let pause = (arguments.http_rate > 0)
            .then(|| Duration::from_secs(1) * arguments.http_connections / arguments.http_rate);
        let servers = arguments.servers.iter().cycle();
        for (_, server) in (0..arguments.http_connections).zip(servers) {
            let (server, path) = (server.clone(), arguments.http_path.clone());
            asking.spawn(ask(server, path, pause, Arc::clone(&latencies)));
        }
        Self { began: Instant::now(), latencies, asking }
    }

    /// Stops, and tells the figures as one line of JSON.
    pub(crate) fn end(mut self) -> String {
        self.asking.abort_all();
        let seconds = self.began.elapsed().as_secs_f64();
        let mut latencies = self.latencies.lock();
        latencies.sort_unstable();
        let at = |percent: usize| {
            let index = latencies.len().saturating_sub(1) * percent / 100;
            latencies.get(index).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
        };
        let requests = latencies.len();
        #[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "for people")]
        let per_second = requests as f64 / seconds;
        let (p50, p99) = (at(50), at(99));
        format!(
            "{{\"load\":\"Http\",\"requests\":{requests},\"elapsed_s\":{seconds:.3},\
             \"requests_per_s\":{per_second:.0},\"p50_ms\":{p50:.2},\"p99_ms\":{p99:.2}}}"
        )
    }
}

/// Requests and nothing else, for some seconds.
pub(crate) async fn alone(arguments: &Arguments) -> anyhow::Result<String> {
    let cpu = arguments.cpu_seconds()?;
    let mut requests = Requests::start(arguments);
    tokio::select! {
        () = sleep(Duration::from_secs(arguments.seconds)) => {}
        Some(ended) = requests.asking.join_next() => ended??,
    }
    let cpu = arguments.cpu_seconds()? - cpu;
    let line = requests.end();
    Ok(format!("{},\"server_cpu_s\":{cpu:.2}}}", line.trim_end_matches('}')))
}

/// One connection that asks again and again.
async fn ask(
    server: String,
    path: String,
    pause: Option<Duration>,
    latencies: Arc<Mutex<Vec<Duration>>>,
) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(&server).await?;
    stream.set_nodelay(true)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\n\r\n");
    // What is late is made up for, so that the rate is the one that was asked for.
    let mut ticks = pause.map(interval);
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    loop {
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        let began = Instant::now();
        stream.write_all(request.as_bytes()).await?;
        read_answer(&mut stream, &mut buffer).await?;
        latencies.lock().push(began.elapsed());
    }
}

/// Reads one answer, which must be 200, with its body.
async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<()> {
    buffer.clear();
    let mut expected = None;
    while expected.is_none_or(|expected| buffer.len() < expected) {
        anyhow::ensure!(stream.read_buf(buffer).await? > 0, "the server ended the connection");
        if expected.is_none()
            && let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n")
        {
            let head = String::from_utf8_lossy(buffer.get(..end).unwrap_or_default());
            anyhow::ensure!(head.starts_with("HTTP/1.1 200"), "answered: {head}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.context("no length")?.parse()?;
            expected = Some(end + 4 + length);
        }
    }
    Ok(())
}
