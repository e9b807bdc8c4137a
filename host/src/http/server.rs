//! Connections from outside: accepted up to a limit, given little time to say what they want, and
//! let go in order when the host stops.

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Most connections at the same time; more wait in the system's queue.
const CONNECTIONS: usize = 10_000;
/// How long the head of a request may take, also the first one of a connection.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Largest head of a request, in bytes.
const HEAD_BYTES: usize = 64 * 1024;
/// Most requests of one HTTP/2 connection at the same time.
const STREAMS: u32 = 128;
/// What an HTTP/2 connection begins with.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The network address of the sender, as an extension of its requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Serves until `shutdown`, then lets requests under way end within `grace`.
///
/// # Errors
/// The listener does not work any more.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
    grace: Duration,
) -> io::Result<()> {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let under_way = GracefulShutdown::new();
    let builder = builder();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &room) => accepted?,
        };
        let (stream, peer, place) = accepted;
        let (router, builder, watcher) = (router.clone(), builder.clone(), under_way.watcher());
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            let begun = tokio::select! {
                () = shutdown.cancelled() => false,
                begun = begins(&stream) => begun,
            };
            if begun {
                let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let mut request = request.map(Body::new);
                    request.extensions_mut().insert(Peer(peer));
                    router.clone().oneshot(request)
                });
                let connection = builder.serve_connection(TokioIo::new(stream), service);
                if let Err(error) = watcher.watch(connection).await {
                    tracing::debug!(%peer, %error, "connection ended");
                }
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(grace, under_way.shutdown()).await.is_err() {
        tracing::warn!("connections were cut: their requests took longer than the time to drain");
    }
    Ok(())
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .max_header_list_size(64 * 1024)
        .max_concurrent_streams(STREAMS);
    builder
}

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> io::Result<Accepted> {
    let place = Arc::clone(room).acquire_owned().await.map_err(io::Error::other)?;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%peer, %error, "TCP_NODELAY not set");
                }
                return Ok((stream, peer, place));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                // Most often too many open files: connections that end make room.
                tracing::error!(%error, "connection not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

/// Waits until the first bytes say which protocol this is; `false` when they do not come in time.
/// The time limit of hyper begins only after that.
async fn begins(stream: &TcpStream) -> bool {
    let said = async {
        let mut first = [0; PREFACE.len()];
        loop {
            let bytes = stream.peek(&mut first).await?;
            if bytes == 0 {
                return Ok(false);
            }
            if bytes == PREFACE.len() || first[..bytes] != PREFACE[..bytes] {
                return Ok::<_, io::Error>(true);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    matches!(tokio::time::timeout(HEAD_TIME, said).await, Ok(Ok(true)))
}
