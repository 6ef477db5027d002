//! The endpoint of `--metrics-addr`: `/metrics` for Prometheus, `/healthz` for supervisors, `/status` for programs that
//! show how the node is.
//!
//! - It has a thread and a runtime of its own: a scrape delays no client, and a busy worker delays no health check.
//! - It speaks to whoever can connect, with no password: bind it where only the monitoring reaches it.
//! - At most [`MAX_CONNECTIONS`] at a time; one more ends the oldest, so that silent sockets keep no health check out. Each has
//!   [`HEADER_TIMEOUT`] to say what it wants, and [`CONNECTION_TIMEOUT`] in all.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use crate::metrics::Metrics;

const MAX_CONNECTIONS: usize = 32;
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Long enough for a slow scrape, and for a scraper that keeps its connection from one scrape to the next.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const JSON: &str = "application/json";
const PLAIN: &str = "text/plain; charset=utf-8";

/// Whether the node is well, and if not, why: the answer of `/healthz`.
pub type Health = Result<(), String>;

/// What an endpoint shows.
#[derive(Clone)]
pub struct Source {
    pub metrics: Arc<Metrics>,
    pub health: Arc<dyn Fn() -> Health + Send + Sync>,
    /// A JSON document.
    pub status: Arc<dyn Fn() -> String + Send + Sync>,
}

/// Begins to listen, and serves until the process ends. Returns the address, whose port the system chose where 0 was asked.
///
/// # Errors
/// The address can't be listened on, or there is no thread to be had.
pub fn start(addr: SocketAddr, source: Source) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    let addr = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("metrics".to_owned()).spawn(move || {
        let served = runtime.block_on(accept(listener, source));
        if let Err(error) = served {
            tracing::error!(%error, "the metrics endpoint ended");
        }
    })?;
    Ok(addr)
}

async fn accept(listener: TcpListener, source: Source) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut served: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                served.retain(|connection| !connection.is_finished());
                if served.len() >= MAX_CONNECTIONS {
                    served.pop_front().inspect(AbortHandle::abort);
                }
                let limited = tokio::time::timeout(CONNECTION_TIMEOUT, serve(stream, source.clone()));
                served.push_back(tokio::spawn(limited).abort_handle());
            }
            Err(error) => {
                tracing::warn!(%error, "a scraper can't be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, source: Source) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = respond(&source, request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a scraper's connection ended");
    }
}

fn respond(source: &Source, method: &Method, path: &str) -> Response<Full<Bytes>> {
    if method != Method::GET && method != Method::HEAD {
        return answer(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "GET is all there is\n".to_owned());
    }
    match path {
        "/metrics" => match source.metrics.expose() {
            Ok(text) => answer(StatusCode::OK, OPEN_METRICS, text),
            Err(error) => answer(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, format!("{error}\n")),
        },
        "/healthz" => match (source.health)() {
            Ok(()) => answer(StatusCode::OK, PLAIN, "ok\n".to_owned()),
            Err(reason) => answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{reason}\n")),
        },
        "/status" => answer(StatusCode::OK, JSON, (source.status)() + "\n"),
        _ => answer(
            StatusCode::NOT_FOUND,
            PLAIN,
            "/metrics, /healthz and /status are all there is\n".to_owned(),
        ),
    }
}

fn answer(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::env::Clock;

    fn get(addr: SocketAddr, request: &str) -> io::Result<String> {
        let mut stream = std::net::TcpStream::connect(addr)?;
        write!(stream, "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut response = String::new();
        stream.read_to_string(&mut response)?;
        Ok(response)
    }

    #[test]
    fn scrapers_and_health_checks_are_answered() -> io::Result<()> {
        let metrics = Metrics::new(Clock::system(), Vec::new());
        let well = Arc::new(AtomicBool::new(true));
        let health = {
            let well = well.clone();
            move || well.load(Ordering::Relaxed).then_some(()).ok_or("no leader".to_owned())
        };
        let source = Source { metrics, health: Arc::new(health), status: Arc::new(|| "{}".to_owned()) };
        let addr = start(SocketAddr::from(([127, 0, 0, 1], 0)), source)?;
        assert!(get(addr, "GET /status")?.ends_with("\r\n\r\n{}\n"));
        let scraped = get(addr, "GET /metrics")?;
        assert!(scraped.starts_with("HTTP/1.1 200 ") && scraped.ends_with("# EOF\n"), "{scraped}");
        assert!(get(addr, "GET /healthz")?.starts_with("HTTP/1.1 200 "));
        well.store(false, Ordering::Relaxed);
        let ill = get(addr, "GET /healthz")?;
        assert!(ill.starts_with("HTTP/1.1 503 ") && ill.ends_with("no leader\n"), "{ill}");
        assert!(get(addr, "GET /")?.starts_with("HTTP/1.1 404 "));
        let silent: Vec<_> = (0..2 * MAX_CONNECTIONS).map(|_| std::net::TcpStream::connect(addr)).collect();
        assert!(silent.iter().all(Result::is_ok));
        assert!(get(addr, "GET /healthz")?.starts_with("HTTP/1.1 503 "));
        assert!(get(addr, "POST /metrics")?.starts_with("HTTP/1.1 405 "));
        Ok(())
    }
}
