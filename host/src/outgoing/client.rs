//! The client itself: what it dials, how long it waits, how much it reads, and what it says of a
//! request that did not end well.

use super::address::{Forbidden, Policy, check_url, is_local_name, is_loopback};
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::{ClientConfig, RootCertStore};
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;

/// How long a name may take to resolve.
const RESOLVE: Duration = Duration::from_secs(5);
/// How long resolving, connecting and the TLS handshake may take together.
const CONNECT: Duration = Duration::from_secs(10);
/// Bytes of all response headers.
const HEADER_BYTES: u32 = 64 << 10;
/// Lines of response headers.
const HEADERS: usize = 128;
/// Bytes of an error's text.
const ERROR_BYTES: usize = 300;
/// Connections kept open to one host.
const IDLE_PER_HOST: usize = 16;

/// The client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// TLS.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The HTTP client.
    #[error("HTTP client: {0}")]
    Http(#[from] reqwest::Error),
}

/// Why there is no whole response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The policy forbids it; nothing was sent.
    #[error("{0}")]
    Denied(#[from] Forbidden),
    /// Nothing was sent: the name, the connection or the TLS handshake failed.
    #[error("not sent: {0}")]
    NotSent(String),
    /// The request may have left and may have been carried out.
    #[error("no full response: {0}")]
    Ambiguous(String),
    /// The request was carried out and its response is too large.
    #[error("a response of more than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
}

/// Why a request's body broke off; the request is then ambiguous.
pub type BodyError = Box<dyn Error + Send + Sync>;

/// The bytes of a request's body.
pub type BodyStream = BoxStream<'static, Result<Bytes, BodyError>>;

/// A request's body.
pub enum Body {
    /// All of it; may be empty.
    Whole(Bytes),
    /// Made while it is sent.
    Streamed {
        /// Exactly how many bytes will come.
        length: u64,
        /// The bytes.
        bytes: BodyStream,
    },
}

/// A request to be sent.
pub struct Outgoing {
    /// The method.
    pub method: Method,
    /// The URL. A fragment is not sent.
    pub url: Url,
    /// Headers. The host, the length and the connection are the client's own.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body,
    /// The end of everything, the response's body included.
    pub deadline: Instant,
}

/// A response whose body has not been read.
#[derive(Debug)]
pub struct OpenResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    response: reqwest::Response,
    deadline: Instant,
}

/// A response in whole.
#[derive(Clone, Debug)]
pub struct TakenResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// The outgoing HTTP client. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    inner: reqwest::Client,
    policy: Policy,
}

impl Client {
    /// A client under a policy.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(policy: Policy) -> Result<Self, ClientError> {
        let inner = reqwest::Client::builder()
            .tls_backend_preconfigured(tls()?)
            .https_only(!policy.allow_loopback)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .dns_resolver(Arc::new(Checked { policy }))
            .connect_timeout(CONNECT)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .http1_max_headers(HEADERS)
            .http2_max_header_list_size(HEADER_BYTES)
            .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { inner, policy })
    }

    /// What the client may reach.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Sends a request and reads its response, whose body has at most `limit` bytes.
    ///
    /// # Errors
    /// There is no whole response.
    pub async fn send(&self, request: Outgoing, limit: u64) -> Result<TakenResponse, SendError> {
        self.open(request).await?.take(limit).await
    }

    /// Sends a request and waits for the head of its response. Must be called on a runtime with
    /// input and output.
    ///
    /// # Errors
    /// There is no response.
    pub async fn open(&self, request: Outgoing) -> Result<OpenResponse, SendError> {
        let Outgoing { method, url, mut headers, body, deadline } = request;
        check_url(&url, self.policy)?;
        headers.remove(CONTENT_LENGTH);
        let begun = Arc::new(AtomicBool::new(false));
        let (body, has_body) = sendable(body, &mut headers, Arc::clone(&begun));
        let mut sent = self.inner.request(method, url).headers(headers);
        if let Some(body) = body {
            sent = sent.body(body);
        }
        // A request whose body was never begun cannot have been carried out.
        let unsent = || has_body && !begun.load(Ordering::Acquire);
        let response = match timeout_at(deadline, sent.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(judge(error, unsent())),
            Err(_) if unsent() => return Err(SendError::NotSent("timed out".to_owned())),
            Err(_) => return Err(SendError::Ambiguous("timed out".to_owned())),
        };
        let headers = response.headers().clone();
        let bytes: usize = headers.iter().map(|(k, v)| k.as_str().len() + v.len() + 4).sum();
        let limit = u64::from(HEADER_BYTES);
        if bytes as u64 > limit {
            return Err(SendError::TooLarge { limit });
        }
        Ok(OpenResponse { status: response.status(), headers, response, deadline })
    }
}

impl OpenResponse {
    /// Reads the whole body, of at most `limit` bytes.
    ///
    /// # Errors
    /// It is larger, breaks off or takes too long.
    pub async fn take(self, limit: u64) -> Result<TakenResponse, SendError> {
        let (status, headers) = (self.status, self.headers.clone());
        let mut body = BytesMut::new();
        let mut stream = std::pin::pin!(self.into_stream(limit));
        while let Some(piece) = stream.next().await {
            body.extend_from_slice(&piece?);
        }
        Ok(TakenResponse { status, headers, body: body.freeze() })
    }

    /// The body as it arrives, at most `limit` bytes. Ends after an error.
    pub fn into_stream(
        self,
        limit: u64,
    ) -> impl Stream<Item = Result<Bytes, SendError>> + Send + 'static {
        let declared = self.response.content_length().unwrap_or(0);
        let start = Some((self, limit, declared > limit));
        stream::unfold(start, move |state| async move {
            let (mut open, left, over) = state?;
            if over {
                return Some((Err(SendError::TooLarge { limit }), None));
            }
            let piece = match timeout_at(open.deadline, open.response.chunk()).await {
                Ok(Ok(piece)) => piece?,
                Ok(Err(error)) => return Some((Err(SendError::Ambiguous(describe(error))), None)),
                Err(_) => {
                    return Some((Err(SendError::Ambiguous("timed out".to_owned())), None));
                }
            };
            match left.checked_sub(piece.len() as u64) {
                Some(left) => Some((Ok(piece), Some((open, left, false)))),
                None => Some((Err(SendError::TooLarge { limit }), None)),
            }
        })
    }
}

/// The body as the HTTP library takes it, and whether there is one. `begun` is raised with the
/// first byte that is handed over.
fn sendable(
    body: Body,
    headers: &mut HeaderMap,
    begun: Arc<AtomicBool>,
) -> (Option<reqwest::Body>, bool) {
    let (length, bytes) = match body {
        Body::Whole(bytes) if bytes.is_empty() => return (None, false),
        Body::Whole(bytes) => (bytes.len() as u64, stream::iter([Ok(bytes)]).boxed()),
        Body::Streamed { length: 0, .. } => return (None, false),
        Body::Streamed { length, bytes } => (length, bytes),
    };
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    let marked = bytes.inspect(move |_| begun.store(true, Ordering::Release));
    (Some(reqwest::Body::wrap_stream(marked)), true)
}

fn judge(error: reqwest::Error, unsent: bool) -> SendError {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(forbidden) = inner.downcast_ref::<Forbidden>() {
            return SendError::Denied(forbidden.clone());
        }
        cause = inner.source();
    }
    if error.is_connect() || error.is_builder() || unsent {
        SendError::NotSent(describe(error))
    } else {
        SendError::Ambiguous(describe(error))
    }
}

/// The error and its causes, without the URL, which may hold a secret.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    if let Some((end, _)) = text.char_indices().find(|(at, c)| at + c.len_utf8() > ERROR_BYTES) {
        text.truncate(end);
    }
    text
}

fn tls() -> Result<ClientConfig, rustls::Error> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Resolves names, and refuses a name when any of its addresses is closed. What it returns is what
/// is dialled.
struct Checked {
    policy: Policy,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.policy;
        Box::pin(async move {
            let name = name.as_str();
            let found = timeout(RESOLVE, tokio::net::lookup_host((name, 0))).await??;
            let addresses = permitted(policy, name, found)?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// All addresses of a name, unless one of them is closed. A local name has loopback addresses only,
/// because plain HTTP is spoken to it.
fn permitted(
    policy: Policy,
    name: &str,
    found: impl Iterator<Item = SocketAddr>,
) -> Result<Vec<SocketAddr>, Forbidden> {
    let local = is_local_name(name);
    let check = |address: SocketAddr| {
        let ip = address.ip();
        if policy.permits(ip) && (!local || is_loopback(ip)) {
            Ok(address)
        } else {
            Err(Forbidden::Address { host: ip.to_string() })
        }
    };
    found.map(check).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const LOOPBACK: Policy = Policy { allow_loopback: true };

    /// Answers one connection with these bytes, then holds it open.
    async fn server(answer: Vec<u8>) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut buffer = vec![0; 4096];
            assert_ne!(socket.read(&mut buffer).await.unwrap(), 0);
            socket.write_all(&answer).await.unwrap();
            tokio::time::sleep(Duration::from_secs(20)).await;
        });
        Url::parse(&format!("http://127.0.0.1:{port}/path")).unwrap()
    }

    fn post(url: Url, millis: u64) -> Outgoing {
        Outgoing {
            method: Method::POST,
            url,
            headers: HeaderMap::new(),
            body: Body::Whole(Bytes::from_static(b"hello")),
            deadline: Instant::now() + Duration::from_millis(millis),
        }
    }

    async fn send(policy: Policy, url: Url, limit: u64) -> Result<TakenResponse, SendError> {
        Client::new(policy).unwrap().send(post(url, 2000), limit).await
    }

    #[tokio::test]
    async fn a_response_is_taken_whole() {
        let url =
            server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a: b\r\n\r\nok".to_vec()).await;
        let taken = send(LOOPBACK, url, 2).await.unwrap();
        assert_eq!((taken.status, &taken.body[..]), (StatusCode::OK, &b"ok"[..]));
        assert_eq!(taken.headers["x-a"], "b");
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer() {
        let answer = b"HTTP/1.1 302 Found\r\nlocation: /else\r\ncontent-length: 0\r\n\r\n";
        let taken = send(LOOPBACK, server(answer.to_vec()).await, 10).await.unwrap();
        assert_eq!(taken.status, StatusCode::FOUND);
    }

    #[tokio::test]
    async fn too_many_bytes_are_not_read() {
        let declared = b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n".to_vec();
        let chunked =
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nb\r\n01234567890\r\n".to_vec();
        for answer in [declared, chunked] {
            let error = send(LOOPBACK, server(answer).await, 10).await.unwrap_err();
            assert_eq!(error, SendError::TooLarge { limit: 10 });
        }
        let large = "y".repeat(70_000);
        let headers = format!("HTTP/1.1 200 OK\r\nx: {large}\r\ncontent-length: 0\r\n\r\n");
        let error = send(LOOPBACK, server(headers.into_bytes()).await, 10).await.unwrap_err();
        assert_eq!(error, SendError::TooLarge { limit: u64::from(HEADER_BYTES) });
    }

    #[tokio::test]
    async fn a_request_without_a_full_response_is_ambiguous() {
        let silent = server(Vec::new()).await;
        let half = server(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_vec()).await;
        for url in [silent, half] {
            let client = Client::new(LOOPBACK).unwrap();
            let error = client.send(post(url, 200), 100).await.unwrap_err();
            assert_eq!(error, SendError::Ambiguous("timed out".to_owned()));
        }
    }

    #[tokio::test]
    async fn a_closed_port_means_not_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let url = Url::parse(&format!("http://127.0.0.1:{port}/?token=hidden")).unwrap();
        let error = send(LOOPBACK, url, 10).await.unwrap_err();
        assert!(matches!(&error, SendError::NotSent(why) if !why.contains("hidden")), "{error:?}");
    }

    #[tokio::test]
    async fn a_handshake_that_hangs_means_not_sent() {
        let mut url = server(Vec::new()).await;
        url.set_scheme("https").unwrap();
        let client = Client::new(LOOPBACK).unwrap();
        let error = client.send(post(url, 200), 10).await.unwrap_err();
        assert_eq!(error, SendError::NotSent("timed out".to_owned()));
    }

    #[tokio::test]
    async fn without_the_switch_loopback_is_never_dialled() {
        let url = server(Vec::new()).await;
        let mut secure = url.clone();
        secure.set_scheme("https").unwrap();
        let mut named = secure.clone();
        named.set_host(Some("localhost")).unwrap();
        for url in [url, secure, named] {
            let error = send(Policy::default(), url, 10).await.unwrap_err();
            assert!(matches!(error, SendError::Denied(_)), "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_refused_address_is_denied_when_it_is_resolved() {
        // The check of the URL is passed over: only the resolver is in the way.
        let client = Client::new(Policy::default()).unwrap();
        let error = client.inner.get("https://localhost:9/").send().await.unwrap_err();
        assert!(matches!(judge(error, false), SendError::Denied(Forbidden::Address { .. })));
    }

    #[test]
    fn one_closed_address_closes_a_name() {
        let found = |texts: &[&str]| {
            let parsed: Vec<SocketAddr> = texts.iter().map(|text| text.parse().unwrap()).collect();
            parsed.into_iter()
        };
        let closed = Policy::default();
        assert!(permitted(closed, "a.example", found(&["1.1.1.1:0", "[2606:4700::1]:0"])).is_ok());
        assert!(permitted(closed, "a.example", found(&["1.1.1.1:0", "10.0.0.1:0"])).is_err());
        assert!(permitted(closed, "a.example", found(&["[::ffff:1.1.1.1]:0"])).is_err());
        assert!(permitted(LOOPBACK, "localhost", found(&["127.0.0.1:0", "[::1]:0"])).is_ok());
        assert!(permitted(LOOPBACK, "localhost", found(&["1.1.1.1:0"])).is_err());
    }
}
