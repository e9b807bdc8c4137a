//! `http`: outgoing requests. Granted per host; a secret goes only where its own grant says.
//!
//! Answers in integration calls except `describe` and `verify`. Every check is made on the URL with
//! placeholders where its secrets belong, so a secret cannot steer a request. What comes back is
//! searched for the connection's secrets before the guest sees it.

mod assemble;
mod capture;
mod scrub;

use super::blobs;
use super::context::{Allowance, CallContext};
use super::host_pattern::HostPattern;
use super::log::escape;
use super::memory::{BlobBytes, BlobLabel, BlobSourceError, Memory, MemoryError};
use super::secrets::{SecretText, SecretWrite};
use super::{Fault, HostLimits};
use crate::outgoing::{Client, OpenResponse, Outgoing, SendError, TakenResponse};
use bytes::Bytes;
use futures_util::StreamExt;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use scrub::Scrubber;
use std::sync::Arc;
use std::time::Duration;
use tidegate_domain::id::AccountId;
use tokio_util::task::AbortOnDropHandle;

/// The longest text of an error, in bytes.
const ERROR_BYTES: usize = 400;
/// The most captures of one request.
const CAPTURES: usize = 16;

/// Requests to these hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpGrant {
    /// The hosts.
    pub hosts: HostPattern,
}

/// How a secret is written where it appears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Plain,
    /// Base64 with padding.
    Base64,
    /// Everything but unreserved characters percent-encoded.
    UrlEncoded,
    /// A JSON string, its quotation marks included.
    JsonString,
}

/// A piece of a URL, a header value or a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text.
    Text(String),
    /// Bytes; not in a URL.
    Bytes(Vec<u8>),
    /// A blob's id; only in a body.
    Blob(String),
    /// A secret.
    Secret {
        /// Its name.
        name: String,
        /// How it is written.
        form: Form,
    },
    /// `base64(user ":" secret)`.
    BasicAuth {
        /// The user.
        user: String,
        /// The secret's name.
        secret: String,
    },
}

/// A request header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Vec<Part>,
}

/// The string at this place of a 2xx response becomes a secret of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// A JSON Pointer.
    pub pointer: String,
    /// The secret's name.
    pub secret: String,
}

/// A request as the guest asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method, in capitals.
    pub method: String,
    /// The URL.
    pub url: Vec<Part>,
    /// Headers.
    pub headers: Vec<Header>,
    /// The body.
    pub body: Vec<Part>,
    /// Milliseconds for everything; at most the host's own limit.
    pub timeout_ms: Option<u32>,
    /// Keep the body of a 2xx response as a blob of this name.
    pub into_blob: Option<String>,
    /// Secrets in the response.
    pub captures: Vec<Capture>,
}

/// A response's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The bytes.
    Bytes(Vec<u8>),
    /// The id of the blob that has them.
    Blob(String),
}

/// A response as the guest sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Body,
}

/// What the guest is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// Not granted or not a request; names the host, method, header or secret.
    Denied(String),
    /// Nothing was sent.
    NotSent(String),
    /// The request may have been carried out.
    Ambiguous(String),
    /// More bytes than this.
    TooLarge(u64),
}

/// Sends a request under the call's grants.
///
/// # Errors
/// The host's memory did not answer, or the host is stopping.
pub async fn send(
    context: &mut CallContext,
    request: Request,
) -> Result<Result<Response, HttpError>, Fault> {
    let Some(allowance) = context.allowance.clone().filter(|_| context.export.has_network()) else {
        return Ok(denied(format!("{} has no network", context.export)));
    };
    let most = context.services.limits.http_requests;
    if context.http_requests >= most {
        return Ok(denied(format!("more than {most} requests in one call")));
    }
    context.http_requests += 1;
    let room = match room(context, &allowance, &request) {
        Ok(room) => room,
        Err(error) => return Ok(Err(error)),
    };
    let timeout_ms = timeout_ms(&request, &context.services.limits);
    let prepared = match assemble::assemble(context, &allowance, &request).await? {
        Ok(prepared) => prepared,
        Err(error) => return Ok(Err(error)),
    };
    let captured = context.captured.iter().map(|write| &write.value);
    let known: Vec<SecretText> = allowance.secrets.all().chain(captured).cloned().collect();
    let errand = Errand {
        client: context.services.client.clone(),
        memory: Arc::clone(&context.services.memory),
        prepared,
        timeout: Duration::from_millis(timeout_ms),
        response_bytes: context.services.limits.http_response_bytes,
        room,
        captures: request.captures,
        known,
    };
    let task = AbortOnDropHandle::new(context.services.host.spawn(errand.run()));
    let done = match task.await.map_err(|_| Fault::Stopping)? {
        Ok(done) => done,
        Err(Failure::Guest(error)) => return Ok(Err(error)),
        Err(Failure::Host(error)) => return Err(error.into()),
    };
    context.blob_bytes += done.blob_bytes;
    let connection = allowance.connection;
    let writes = done.captured.into_iter();
    context.captured.extend(writes.map(|(name, value)| SecretWrite { connection, name, value }));
    Ok(Ok(done.response))
}

/// Where the response's body goes when it becomes a blob.
struct Room {
    account: AccountId,
    name: String,
    bytes: u64,
}

/// Checks what becomes of the response, before anything is sent.
fn room(
    context: &CallContext,
    allowance: &Allowance,
    request: &Request,
) -> Result<Option<Room>, HttpError> {
    if request.captures.len() > CAPTURES {
        return Err(HttpError::Denied(format!("more than {CAPTURES} captures")));
    }
    for capture in &request.captures {
        if !allowance.grants.secrets.iter().any(|grant| grant.name == capture.secret) {
            return Err(not_granted(&capture.secret));
        }
    }
    let Some(name) = &request.into_blob else { return Ok(None) };
    if !request.captures.is_empty() {
        return Err(HttpError::Denied("captures from a response that becomes a blob".to_owned()));
    }
    let (account, bytes) = blobs::creatable(context)
        .ok_or_else(|| HttpError::Denied("blobs are not granted".to_owned()))?;
    Ok(Some(Room { account, name: name.clone(), bytes }))
}

fn timeout_ms(request: &Request, limits: &HostLimits) -> u64 {
    let asked = request.timeout_ms.map_or(limits.http_timeout_ms, u64::from);
    asked.clamp(1, limits.http_timeout_ms.max(1))
}

fn denied<T>(reason: String) -> Result<T, HttpError> {
    Err(HttpError::Denied(escape(&reason, ERROR_BYTES)))
}

fn not_granted(secret: &str) -> HttpError {
    HttpError::Denied(escape(&format!("secret {secret:?} is not granted"), ERROR_BYTES))
}

/// A request on its way, on the host's own threads.
struct Errand {
    client: Client,
    memory: Arc<dyn Memory>,
    prepared: assemble::Prepared,
    timeout: Duration,
    response_bytes: u64,
    room: Option<Room>,
    captures: Vec<Capture>,
    /// Secrets of the connection.
    known: Vec<SecretText>,
}

/// What an errand brings back.
struct Done {
    response: Response,
    blob_bytes: u64,
    captured: Vec<(String, SecretText)>,
}

enum Failure {
    Guest(HttpError),
    Host(MemoryError),
}

impl Errand {
    async fn run(self) -> Result<Done, Failure> {
        let Self { client, memory, prepared, timeout, response_bytes, room, captures, known } =
            self;
        let scrubber = Scrubber::new(&known, &prepared.written);
        let fail = |error: SendError| Failure::Guest(tell(error, &scrubber));
        let outgoing = Outgoing {
            method: prepared.method,
            url: prepared.url,
            headers: prepared.headers,
            body: assemble::body(prepared.pieces, Arc::clone(&memory)),
            deadline: tokio::time::Instant::now() + timeout,
        };
        let open = client.open(outgoing).await.map_err(fail)?;
        match room {
            Some(room) if open.status.is_success() => keep(open, room, &*memory, scrubber).await,
            _ => {
                let taken = open.take(response_bytes).await.map_err(fail)?;
                Ok(hand_over(taken, &captures, known, &prepared.written, scrubber))
            }
        }
    }
}

/// Keeps the response's body as a blob.
async fn keep(
    open: OpenResponse,
    room: Room,
    memory: &dyn Memory,
    scrubber: Scrubber,
) -> Result<Done, Failure> {
    let status = open.status.as_u16();
    let headers = visible(&open.headers, &scrubber);
    let label = label(&room.name, &open.headers, &scrubber);
    let cause = Arc::new(std::sync::Mutex::new(None));
    let bytes = scrubbed(open, room.bytes, scrubber.clone(), Arc::clone(&cause));
    match memory.blob_write(room.account, label, bytes).await {
        Ok(info) => Ok(Done {
            response: Response { status, headers, body: Body::Blob(info.id) },
            blob_bytes: info.size,
            captured: Vec::new(),
        }),
        Err(error) => {
            let cause = cause.lock().ok().and_then(|mut cause| cause.take());
            Err(match cause {
                Some(cause) => Failure::Guest(tell(cause, &scrubber)),
                None => Failure::Host(error),
            })
        }
    }
}

/// The body, searched as it streams. What broke it off is left in `cause`.
fn scrubbed(
    open: OpenResponse,
    limit: u64,
    scrubber: Scrubber,
    cause: Arc<std::sync::Mutex<Option<SendError>>>,
) -> BlobBytes {
    let pieces = Box::pin(open.into_stream(limit));
    let start = Some((pieces, scrubber.stream()));
    let stream = futures_util::stream::unfold(start, move |state| {
        let cause = Arc::clone(&cause);
        async move {
            let (mut pieces, mut search) = state?;
            loop {
                match pieces.next().await {
                    Some(Ok(piece)) => {
                        let clean = search.push(&piece);
                        if !clean.is_empty() {
                            return Some((Ok(Bytes::from(clean)), Some((pieces, search))));
                        }
                    }
                    Some(Err(error)) => {
                        let told = match &error {
                            SendError::TooLarge { limit } => {
                                BlobSourceError::TooLarge { limit: *limit }
                            }
                            other => BlobSourceError::Broken(other.to_string()),
                        };
                        if let Ok(mut cause) = cause.lock() {
                            *cause = Some(error);
                        }
                        return Some((Err(told), None));
                    }
                    None => return Some((Ok(Bytes::from(search.finish())), None)),
                }
            }
        }
    });
    stream.boxed()
}

/// Takes the captures out of a response and searches the rest.
fn hand_over(
    taken: TakenResponse,
    captures: &[Capture],
    mut known: Vec<SecretText>,
    written: &[SecretText],
    scrubber: Scrubber,
) -> Done {
    let mut captured = Vec::new();
    let mut body = None;
    if taken.status.is_success() && !captures.is_empty() {
        body = capture::capture(&taken.body, captures, &mut captured);
    }
    let scrubber = if captured.is_empty() {
        scrubber
    } else {
        known.extend(captured.iter().map(|(_, value)| value.clone()));
        Scrubber::new(&known, written)
    };
    let body = scrubber.scrub(body.as_deref().unwrap_or(&taken.body));
    let headers = visible(&taken.headers, &scrubber);
    let status = taken.status.as_u16();
    let response = Response { status, headers, body: Body::Bytes(body) };
    Done { response, blob_bytes: 0, captured }
}

fn visible(headers: &HeaderMap, scrubber: &Scrubber) -> Vec<(String, String)> {
    let visible = |value: &[u8]| String::from_utf8_lossy(&scrubber.scrub(value)).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), visible(value.as_bytes()))).collect()
}

fn label(name: &str, headers: &HeaderMap, scrubber: &Scrubber) -> BlobLabel {
    let stated = headers.get(CONTENT_TYPE).map(|value| scrubber.scrub(value.as_bytes()));
    blobs::label(name, &String::from_utf8_lossy(&stated.unwrap_or_default()))
}

fn tell(error: SendError, scrubber: &Scrubber) -> HttpError {
    let clean = |text: String| {
        escape(&String::from_utf8_lossy(&scrubber.scrub(text.as_bytes())), ERROR_BYTES)
    };
    match error {
        SendError::Denied(why) => HttpError::Denied(clean(why.to_string())),
        SendError::NotSent(why) => HttpError::NotSent(clean(why)),
        SendError::Ambiguous(why) => HttpError::Ambiguous(clean(why)),
        SendError::TooLarge { limit } => HttpError::TooLarge(limit),
    }
}

#[cfg(test)]
mod tests;
