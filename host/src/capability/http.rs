//! `http`: outgoing requests under the connection's grants.
//!
//! The policy is judged on the request as the guest wrote it, with a placeholder for every secret;
//! secrets are put in afterwards, and only those that are granted to the request's host. What comes
//! back is scrubbed of them. Denied in descriptions, in `verify` and in every channel call.

mod parts;
mod scrub;

use super::context::CallContext;
use super::host_pattern::HostPattern;
use super::memory::{BlobBytes, BlobSourceError, MemoryError};
use super::secrets::{SecretText, SecretWrite};
use super::{Fault, blobs};
use crate::outgoing::{self, SendError, TakenResponse};
use futures_util::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use scrub::Scrubber;
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

/// Most headers of a request.
const HEADERS: usize = 64;
/// Most bytes of a header's value.
const HEADER_BYTES: usize = 8 << 10;
/// Most bytes of a URL.
const URL_BYTES: usize = 8 << 10;
/// Most bytes of the headers of a response that a guest gets.
const RESPONSE_HEADER_BYTES: usize = 32 << 10;
/// Headers that only the host sets.
const HOST_HEADERS: [&str; 14] = [
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// Hosts that may be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpGrant {
    /// Which.
    pub hosts: HostPattern,
}

/// How a secret is written where it appears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Plain,
    /// In base64.
    Base64,
    /// Percent-encoded.
    UrlEncoded,
    /// As the inside of a JSON string.
    JsonString,
}

/// A piece of a URL, a header value or a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text.
    Text(String),
    /// Bytes; only in a body.
    Bytes(Vec<u8>),
    /// A blob, streamed; only in a body.
    Blob(String),
    /// A secret by name.
    Secret(String, Form),
    /// `base64(user ":" secret)`.
    BasicAuth(String, String),
}

/// A request as the guest wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The URL.
    pub url: Vec<Part>,
    /// Headers in order.
    pub headers: Vec<(String, Vec<Part>)>,
    /// The body.
    pub body: Vec<Part>,
    /// Milliseconds; none is the host's.
    pub timeout_ms: Option<u32>,
    /// Keep the body of a 2xx response as a blob of this name.
    pub into_blob: Option<String>,
    /// JSON Pointers of a 2xx response, and the secrets that they become.
    pub captures: Vec<(String, String)>,
}

/// The body of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Its bytes.
    Bytes(Vec<u8>),
    /// The blob that keeps it.
    Blob(String),
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Headers in order; values that are not text are left out.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Body,
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// Not granted; names the host, method or secret.
    NotGranted(String),
    /// Nothing was sent.
    NotSent(String),
    /// The request may have been carried out.
    Ambiguous(String),
    /// The response is larger than this.
    TooLarge(u64),
}

impl From<SendError> for Denied {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Forbidden(forbidden) => Self::NotGranted(forbidden.to_string()),
            SendError::NotSent(why) => Self::NotSent(why),
            SendError::Ambiguous(why) => Self::Ambiguous(why),
            SendError::TooLarge { limit } => Self::TooLarge(limit),
        }
    }
}

/// Sends a request.
///
/// # Errors
/// A [`Fault`] ends the call; the inner error is the guest's to see.
pub async fn send(
    context: &mut CallContext,
    request: Request,
) -> Result<Result<Response, Denied>, Fault> {
    let scrubber = Scrubber::of(context);
    let result = try_send(context, request, &scrubber).await;
    match result {
        Ok(response) => Ok(Ok(response)),
        Err(Stop::Denied(denied)) => Ok(Err(scrubber.denied(denied))),
        Err(Stop::Fault(fault)) => Err(fault),
    }
}

/// Why a request goes no further.
enum Stop {
    Denied(Denied),
    Fault(Fault),
}

impl From<Denied> for Stop {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

fn not_granted(what: impl Into<String>) -> Stop {
    Stop::Denied(Denied::NotGranted(what.into()))
}

async fn try_send(
    context: &mut CallContext,
    request: Request,
    scrubber: &Scrubber,
) -> Result<Response, Stop> {
    if !context.export.has_network() {
        return Err(not_granted(format!("{} has no network", context.export)));
    }
    context.http_requests += 1;
    let limits = context.services.limits.clone();
    if context.http_requests > limits.http_requests {
        return Err(not_granted(format!(
            "more than {} requests in one call",
            limits.http_requests
        )));
    }
    let method = method(&request.method)?;
    let url = url(context, &request.url)?;
    let headers = headers(context, &url, &request.headers)?;
    let body = parts::body(context, &url, &request.body).await?;
    let timeout = request.timeout_ms.map_or(limits.http_timeout_ms, u64::from);
    let into_blob = match &request.into_blob {
        None => None,
        Some(name) => {
            let (account, left) =
                blobs::creatable(context).ok_or_else(|| not_granted("blobs are not granted"))?;
            Some((account, left, name.clone()))
        }
    };
    let limit = into_blob.as_ref().map_or(limits.http_response_bytes, |(_, left, _)| *left);
    let request_out = outgoing::Request {
        method,
        url,
        headers,
        body,
        timeout: Duration::from_millis(timeout.min(limits.http_timeout_ms)),
        limit,
    };
    let client = context.services.client.clone();
    let sending = context.services.host.spawn(async move { client.send(request_out).await });
    let response = AbortOnDropHandle::new(sending)
        .await
        .map_err(|_| Fault::Stopping)?
        .map_err(Denied::from)?;

    let status = response.status;
    let headers = scrubber.headers(&response.headers);
    let good = (200..300).contains(&status);
    if good && let Some((account, _, name)) = into_blob {
        let content_type = header_text(&response.headers, "content-type");
        let label = blobs::label(&name, &content_type);
        let body = keep(context, account, label, response).await?;
        return Ok(Response { status, headers, body });
    }
    let reading = context.services.host.spawn(response.bytes());
    let bytes = AbortOnDropHandle::new(reading)
        .await
        .map_err(|_| Fault::Stopping)?
        .map_err(Denied::from)?;
    if bytes.len() as u64 > limits.http_response_bytes {
        return Err(Denied::TooLarge(limits.http_response_bytes).into());
    }
    let bytes = if good { capture(context, &request.captures, bytes) } else { bytes };
    Ok(Response { status, headers, body: Body::Bytes(scrubber.bytes(bytes)) })
}

fn method(text: &str) -> Result<Method, Stop> {
    match text {
        "GET" => Ok(Method::GET),
        "POST" => Ok(Method::POST),
        "PUT" => Ok(Method::PUT),
        "PATCH" => Ok(Method::PATCH),
        "DELETE" => Ok(Method::DELETE),
        "HEAD" => Ok(Method::HEAD),
        other => Err(not_granted(format!("method {}", super::log::escape(other, 32)))),
    }
}

/// Judges the URL as written, then puts the secrets in; neither scheme nor host can change by that.
fn url(context: &CallContext, written: &[Part]) -> Result<Url, Stop> {
    let draft = parts::draft(written)?;
    if draft.len() > URL_BYTES {
        return Err(not_granted(format!("a URL of more than {URL_BYTES} bytes")));
    }
    let parsed = Url::parse(&draft)
        .map_err(|error| Denied::NotSent(format!("the URL is not one: {error}")))?;
    outgoing::check_url(&parsed, context.services.client.policy())
        .map_err(|forbidden| Denied::NotGranted(forbidden.to_string()))?;
    let (grants, settings) = match (context.grants(), &context.allowance) {
        (Some(grants), Some(allowance)) => (grants, &allowance.settings),
        _ => return Err(not_granted("no connection")),
    };
    if !grants.http.iter().any(|grant| grant.hosts.matches(&parsed, settings)) {
        let host = parsed.host_str().unwrap_or_default();
        let port = parsed.port().map_or_else(String::new, |port| format!(":{port}"));
        return Err(not_granted(format!("host {host}{port}")));
    }
    let full = parts::text(context, &parsed, written)?;
    let full = Url::parse(&full)
        .map_err(|_| Denied::NotSent("the URL is none with its secrets".to_owned()))?;
    let same = full.scheme() == parsed.scheme()
        && full.host() == parsed.host()
        && full.port_or_known_default() == parsed.port_or_known_default()
        && full.username().is_empty()
        && full.password().is_none();
    if same { Ok(full) } else { Err(not_granted("a secret that changes the host")) }
}

fn headers(
    context: &CallContext,
    url: &Url,
    written: &[(String, Vec<Part>)],
) -> Result<HeaderMap, Stop> {
    if written.len() > HEADERS {
        return Err(not_granted(format!("more than {HEADERS} headers")));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in written {
        let lower = name.to_ascii_lowercase();
        if HOST_HEADERS.contains(&lower.as_str()) || lower.starts_with("x-forwarded-") {
            return Err(not_granted(format!("header {lower}")));
        }
        let name = HeaderName::from_bytes(lower.as_bytes())
            .map_err(|_| Denied::NotSent("a header's name is not one".to_owned()))?;
        let text = parts::text(context, url, value)?;
        if text.len() > HEADER_BYTES {
            return Err(not_granted(format!("a header of more than {HEADER_BYTES} bytes")));
        }
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| Denied::NotSent(format!("the value of {name} is not one")))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

fn header_text(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// Streams the response into a blob.
async fn keep(
    context: &mut CallContext,
    account: tidegate_domain::id::AccountId,
    label: super::memory::BlobLabel,
    response: TakenResponse,
) -> Result<Body, Stop> {
    let bytes: BlobBytes = response
        .stream()
        .map(|chunk| {
            chunk.map_err(|error| match error {
                SendError::TooLarge { limit } => BlobSourceError::TooLarge { limit },
                other => BlobSourceError::Broken(other.to_string()),
            })
        })
        .boxed();
    let kept = context
        .on_host(move |memory| async move {
            match memory.blob_write(account, label, bytes).await {
                Err(MemoryError::Source(source)) => Ok(Err(source)),
                Err(error) => Err(error),
                Ok(info) => Ok(Ok(info)),
            }
        })
        .await?;
    match kept {
        Ok(info) => {
            context.blob_bytes += info.size;
            Ok(Body::Blob(info.id))
        }
        Err(BlobSourceError::TooLarge { limit }) => Err(Denied::TooLarge(limit).into()),
        Err(BlobSourceError::Broken(why)) => Err(Denied::Ambiguous(why).into()),
    }
}

/// Takes secrets out of a JSON response; the guest sees `***` in their place.
fn capture(context: &mut CallContext, captures: &[(String, String)], bytes: Vec<u8>) -> Vec<u8> {
    if captures.is_empty() {
        return bytes;
    }
    let Some(allowance) = context.allowance.clone() else { return bytes };
    let Ok(mut json) = serde_json::from_slice::<serde_json::Value>(&bytes) else { return bytes };
    for (pointer, name) in captures {
        let granted = allowance.grants.secrets.iter().any(|grant| grant.name == *name);
        let Some(place) = json.pointer_mut(pointer).filter(|_| granted) else { continue };
        let Some(text) = place.as_str().map(str::to_owned) else { continue };
        *place = serde_json::Value::from("***");
        context.captured.push(SecretWrite {
            connection: allowance.connection,
            name: name.clone(),
            value: SecretText::new(text),
        });
    }
    serde_json::to_vec(&json).unwrap_or_default()
}
