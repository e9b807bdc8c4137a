//! The client itself: a resolver that lets only permitted addresses through, one deadline, and caps
//! on what is read.

use super::address::{Forbidden, Policy, check_url};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use http::{HeaderMap, Method};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect;
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use url::Url;

/// How long a connection and its TLS handshake may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle connections that are kept for each host.
const IDLE_PER_HOST: usize = 8;

/// The client could not be made.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the outgoing HTTP client could not be made: {0}")]
pub struct ClientError(String);

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The policy does not let it through. Nothing was sent.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// Nothing was sent: the name, the connection or the TLS handshake failed.
    #[error("{0}")]
    NotSent(String),
    /// The request may have been carried out: no full response arrived.
    #[error("{0}")]
    Ambiguous(String),
    /// The response has more bytes than allowed.
    #[error("the response has more than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
}

/// A request.
pub struct Request {
    /// The method.
    pub method: Method,
    /// Where.
    pub url: Url,
    /// Headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body,
    /// For everything, from the name to the last byte.
    pub timeout: Duration,
    /// Most bytes of the response body.
    pub limit: u64,
}

/// A response whose body is still to be read.
pub struct TakenResponse {
    /// The status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    body: BoxStream<'static, Result<Bytes, SendError>>,
}

impl TakenResponse {
    /// The body as it comes, within the request's deadline and limit.
    pub fn stream(self) -> BoxStream<'static, Result<Bytes, SendError>> {
        self.body
    }

    /// The whole body.
    ///
    /// # Errors
    /// It broke off, took too long, or has too many bytes.
    pub async fn bytes(self) -> Result<Vec<u8>, SendError> {
        self.body
            .try_fold(Vec::new(), |mut all, chunk| async move {
                all.extend_from_slice(&chunk);
                Ok(all)
            })
            .await
    }
}

/// The one outgoing client. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    policy: Policy,
}

/// Makes ring the process's source of cryptography for TLS. A second call changes nothing.
pub fn install_crypto() {
    // An error says that one is installed, which is all that is wanted.
    drop(rustls::crypto::ring::default_provider().install_default());
}

impl Client {
    /// A client under a policy.
    ///
    /// # Errors
    /// TLS could not be set up.
    pub fn new(policy: Policy) -> Result<Self, ClientError> {
        install_crypto();
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let tls =
            rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .dns_resolver(CheckedResolver(policy))
            .build()
            .map_err(|error| ClientError(error.to_string()))?;
        Ok(Self { http, policy })
    }

    /// Which policy it keeps.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Sends a request and takes the head of its response.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(&self, request: Request) -> Result<TakenResponse, SendError> {
        check_url(&request.url, self.policy)?;
        let deadline = Instant::now() + request.timeout;
        let limit = request.limit;
        let sending = self
            .http
            .request(request.method, request.url)
            .headers(request.headers)
            .body(request.body)
            .send();
        let response = match timeout_at(deadline, sending).await {
            Err(_) => return Err(SendError::Ambiguous("no answer in time".to_owned())),
            Ok(Err(error)) => return Err(classify(&error)),
            Ok(Ok(response)) => response,
        };
        if response.content_length().is_some_and(|length| length > limit) {
            return Err(SendError::TooLarge { limit });
        }
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(TakenResponse { status, headers, body: body(response, deadline, limit) })
    }
}

fn body(
    response: reqwest::Response,
    deadline: Instant,
    limit: u64,
) -> BoxStream<'static, Result<Bytes, SendError>> {
    let start = (Some(response), 0_u64);
    futures_util::stream::unfold(start, move |(response, read)| async move {
        let mut response = response?;
        let chunk = match timeout_at(deadline, response.chunk()).await {
            Err(_) => Err(SendError::Ambiguous("the response did not end in time".to_owned())),
            Ok(Err(error)) => Err(SendError::Ambiguous(told(&error))),
            Ok(Ok(None)) => return None,
            Ok(Ok(Some(chunk))) => Ok(chunk),
        };
        let read = read + chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        if read > limit {
            return Some((Err(SendError::TooLarge { limit }), (None, read)));
        }
        let rest = chunk.is_ok().then_some(response);
        Some((chunk, (rest, read)))
    })
    .boxed()
}

fn classify(error: &reqwest::Error) -> SendError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(this) = cause {
        if let Some(forbidden) = this.downcast_ref::<Forbidden>() {
            return SendError::Forbidden(forbidden.clone());
        }
        cause = this.source();
    }
    if error.is_connect() || error.is_builder() {
        SendError::NotSent(told(error))
    } else {
        SendError::Ambiguous(told(error))
    }
}

/// The error with its causes, and without the URL: it may hold a secret.
fn told(error: &reqwest::Error) -> String {
    let mut text = if error.is_connect() {
        "could not connect".to_owned()
    } else if error.is_timeout() {
        "no answer in time".to_owned()
    } else {
        "the exchange failed".to_owned()
    };
    let mut cause = error.source();
    while let Some(this) = cause {
        let said = this.to_string();
        if !said.contains("://") && !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = this.source();
    }
    text
}

/// Resolves, and lets a name through only when every address of it is permitted: what was checked is
/// what is dialled.
struct CheckedResolver(Policy);

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.0;
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            if let Some(bad) = found.iter().find(|address| !policy.permits(address.ip())) {
                let host = format!("{host} ({})", bad.ip());
                return Err(Box::new(Forbidden::Address { host }) as Box<dyn Error + Send + Sync>);
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The body of a request.
pub type Body = reqwest::Body;

/// Bytes of a blob as they are streamed into a request.
pub type BlobStream = BoxStream<'static, Result<Bytes, std::io::Error>>;

/// A body of pieces that are streamed one after another.
pub fn body_of(pieces: Vec<BlobStream>) -> Body {
    reqwest::Body::wrap_stream(futures_util::stream::iter(pieces).flatten())
}

#[cfg(test)]
mod tests {
    use super::{Client, Request, SendError};
    use crate::outgoing::Policy;
    use http::{HeaderMap, Method};
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn answering(answer: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(answer).await;
                if answer.is_empty() {
                    std::future::pending::<()>().await;
                }
            }
        });
        url
    }

    async fn get(policy: Policy, url: &str, limit: u64) -> Result<(u16, Vec<u8>), SendError> {
        let request = Request {
            method: Method::GET,
            url: url.parse().unwrap(),
            headers: HeaderMap::new(),
            body: reqwest::Body::default(),
            timeout: Duration::from_millis(300),
            limit,
        };
        let response = Client::new(policy).unwrap().send(request).await?;
        let status = response.status;
        Ok((status, response.bytes().await?))
    }

    const LOOPBACK: Policy = Policy { allow_loopback: true };

    #[tokio::test]
    async fn a_response_is_read_up_to_its_limit() {
        let url = answering(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n0123456789").await;
        assert_eq!(get(LOOPBACK, &url, 10).await, Ok((200, b"0123456789".to_vec())));
        assert_eq!(get(LOOPBACK, &url, 9).await, Err(SendError::TooLarge { limit: 9 }));
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let url = answering(
            b"HTTP/1.1 302 Found\r\nlocation: https://example.com/\r\ncontent-length: 0\r\n\r\n",
        )
        .await;
        assert_eq!(get(LOOPBACK, &url, 10).await.unwrap().0, 302);
    }

    #[tokio::test]
    async fn silence_is_ambiguous_and_a_closed_port_is_not() {
        let url = answering(b"").await;
        assert!(matches!(get(LOOPBACK, &url, 10).await, Err(SendError::Ambiguous(_))));
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let closed = format!("http://{free}/");
        assert!(matches!(get(LOOPBACK, &closed, 10).await, Err(SendError::NotSent(_))));
    }

    #[tokio::test]
    async fn without_the_switch_nothing_local_is_reached() {
        let url = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let secure = url.replace("http://", "https://");
        let by_name = secure.replace("127.0.0.1", "localhost");
        for url in [&url, &secure, &by_name] {
            let error = get(Policy::default(), url, 10).await.unwrap_err();
            assert!(matches!(error, SendError::Forbidden(_)), "{url}: {error:?}");
        }
    }
}
