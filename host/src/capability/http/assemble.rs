//! From what a guest asks for to what is sent: every check first, on text with placeholders, then
//! the secrets.

use super::{ERROR_BYTES, Form, Header, HttpError, Part, Request, not_granted};
use crate::capability::Fault;
use crate::capability::blobs;
use crate::capability::context::{Allowance, CallContext};
use crate::capability::log::escape;
use crate::capability::memory::Memory;
use crate::capability::secrets::SecretText;
use crate::outgoing::{self, check_url};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::StreamExt;
use http::Method;
use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderName, HeaderValue};
use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::Arc;
use tidegate_domain::id::AccountId;
use url::{Position, Url};

/// The longest URL, in bytes.
const URL_BYTES: usize = 16 << 10;
/// The most headers of a request, and their bytes.
const HEADERS: usize = 64;
const HEADER_BYTES: usize = 32 << 10;
/// Bytes of a blob that are read at once.
const PIECE_BYTES: u32 = 256 << 10;

/// Methods that a guest may use.
const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// Headers that are the host's own: they frame the message, name where it goes or came from, or have
/// the response come in a shape in which secrets are not found.
const HOSTS_OWN: [&str; 19] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "if-range",
    "keep-alive",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-client-ip",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
];
/// The same for families of headers.
const HOSTS_OWN_FAMILIES: [&str; 3] = ["proxy-", "x-forwarded-", ":"];

/// A request that may be sent.
pub(super) struct Prepared {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) pieces: Pieces,
    /// The secrets as they stand in the request.
    pub(super) written: Vec<SecretText>,
}

/// A request's body before it is sent.
pub(super) struct Pieces {
    account: AccountId,
    length: u64,
    pieces: VecDeque<Piece>,
}

enum Piece {
    Bytes(Bytes),
    Blob { id: String, offset: u64, size: u64 },
}

/// Checks a request and puts its secrets in.
pub(super) async fn assemble(
    context: &CallContext,
    allowance: &Allowance,
    request: &Request,
) -> Result<Result<Prepared, HttpError>, Fault> {
    let head = match head(context, allowance, request) {
        Ok(head) => head,
        Err(error) => return Ok(Err(error)),
    };
    let Head { method, url, headers, mut filler } = head;
    Ok(pieces(context, &mut filler, &request.body).await?.map(|pieces| Prepared {
        method,
        url,
        headers,
        pieces,
        written: filler.written,
    }))
}

struct Head<'a> {
    method: Method,
    url: Url,
    headers: HeaderMap,
    filler: Filler<'a>,
}

fn head<'a>(
    context: &'a CallContext,
    allowance: &'a Allowance,
    request: &Request,
) -> Result<Head<'a>, HttpError> {
    let method = METHODS
        .into_iter()
        .find(|method| method.as_str() == request.method)
        .ok_or_else(|| deny(format!("method {:?}", request.method)))?;
    let shape = Shape::read(&request.url)?;
    check_url(&shape.url, context.services.client.policy()).map_err(|why| deny(why.to_string()))?;
    let granted = &allowance.grants.http;
    if !granted.iter().any(|grant| grant.hosts.matches(&shape.url, &allowance.settings)) {
        return Err(deny(format!("{} is not granted", origin(&shape.url))));
    }
    let mut filler = Filler { context, allowance, url: shape.url.clone(), written: Vec::new() };
    let url = shape.fill(&request.url, &mut filler)?;
    let headers = headers(&request.headers, &mut filler)?;
    Ok(Head { method, url, headers, filler })
}

/// Writes secrets, where they are granted.
struct Filler<'a> {
    context: &'a CallContext,
    allowance: &'a Allowance,
    url: Url,
    written: Vec<SecretText>,
}

impl Filler<'_> {
    /// The text of a part that is a secret; `None` for the others.
    fn secret(&mut self, part: &Part) -> Result<Option<SecretText>, HttpError> {
        let text = match part {
            Part::Text(_) | Part::Bytes(_) | Part::Blob(_) => return Ok(None),
            Part::Secret { name, form } => {
                let secret = self.value(name)?;
                match form {
                    Form::Plain => secret.clone(),
                    Form::Base64 => SecretText::new(STANDARD.encode(secret.expose())),
                    Form::UrlEncoded => SecretText::new(percent_encoded(secret.expose())),
                    Form::JsonString => SecretText::new(json_string(secret.expose())),
                }
            }
            Part::BasicAuth { user, secret } => {
                if user.contains(':') || user.contains(char::is_control) {
                    return Err(deny(format!("user {user:?}")));
                }
                let pair = SecretText::new(format!("{user}:{}", self.value(secret)?.expose()));
                SecretText::new(STANDARD.encode(pair.expose()))
            }
        };
        self.written.push(text.clone());
        Ok(Some(text))
    }

    /// The newest value of a secret that may go to the request's host.
    fn value(&self, name: &str) -> Result<&SecretText, HttpError> {
        let granted = &self.allowance.grants.secrets;
        if !granted.iter().any(|grant| grant.name == name) {
            return Err(not_granted(name));
        }
        if !granted.iter().any(|grant| grant.reaches(name, &self.url, &self.allowance.settings)) {
            return Err(deny(format!("secret {name:?} is not granted to {}", origin(&self.url))));
        }
        // The names in a context live as long as it does, the one that is looked for need not.
        let captured = self.context.captured.iter().rev().filter(|write| write.name == name);
        let stored = self.allowance.secrets.values(name);
        captured
            .map(|write| &write.value)
            .chain(stored)
            .find(|value| !value.expose().is_empty())
            .ok_or_else(|| deny(format!("secret {name:?} is not set")))
    }
}

/// A URL with placeholders where its secrets belong.
struct Shape {
    url: Url,
}

impl Shape {
    fn read(parts: &[Part]) -> Result<Self, HttpError> {
        let mut text = String::new();
        let mut secrets = 0;
        for part in parts {
            match part {
                Part::Text(piece) if piece.contains(char::is_control) => {
                    return Err(deny("a control character in the URL".to_owned()));
                }
                Part::Text(piece) => text.push_str(piece),
                Part::Secret { .. } | Part::BasicAuth { .. } => {
                    text.push_str(&placeholder(secrets));
                    secrets += 1;
                }
                Part::Bytes(_) | Part::Blob(_) => {
                    return Err(deny("bytes or a blob in the URL".to_owned()));
                }
            }
        }
        if text.len() > URL_BYTES {
            return Err(deny(format!("a URL of more than {URL_BYTES} bytes")));
        }
        let mut url = Url::parse(&text).map_err(|why| deny(format!("URL: {why}")))?;
        let fragment = url.fragment().map(str::to_owned).unwrap_or_default();
        url.set_fragment(None);
        let open = &url[Position::BeforePath..];
        for index in 0..secrets {
            let mark = placeholder(index);
            if open.matches(&mark).count() != 1
                || url.as_str().matches(&mark).count() != 1
                || fragment.contains(&mark)
            {
                return Err(deny("a secret outside the path and the query of the URL".to_owned()));
            }
        }
        Ok(Self { url })
    }

    /// Puts the secrets in. What comes out is refused unless it is the same URL in all but them.
    fn fill(&self, parts: &[Part], filler: &mut Filler<'_>) -> Result<Url, HttpError> {
        let mut text = zeroize::Zeroizing::new(self.url.as_str().to_owned());
        let mut index = 0;
        for part in parts {
            let Some(secret) = filler.secret(part)? else { continue };
            if !secret.expose().bytes().all(is_plain_in_url) {
                return Err(deny("a secret in the URL needs the form url-encoded".to_owned()));
            }
            text = zeroize::Zeroizing::new(text.replace(&placeholder(index), secret.expose()));
            index += 1;
        }
        match Url::parse(&text) {
            Ok(url) if url.as_str() == text.as_str() => Ok(url),
            _ => Err(deny("a secret that changes the URL around it".to_owned())),
        }
    }
}

/// Stands for a secret. Looks like nothing that a URL parser changes.
fn placeholder(index: usize) -> String {
    format!("tidegate-secret-{index}-placeholder")
}

/// Characters that never end a segment, a name or a value of a URL.
fn is_plain_in_url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%:@!$*,;=()".contains(&byte)
}

fn headers(asked: &[Header], filler: &mut Filler<'_>) -> Result<HeaderMap, HttpError> {
    if asked.len() > HEADERS {
        return Err(deny(format!("more than {HEADERS} headers")));
    }
    let mut headers = HeaderMap::new();
    let mut bytes = 0;
    for header in asked {
        let refused = || deny(format!("header {:?}", header.name));
        let name = HeaderName::try_from(header.name.as_str()).map_err(|_| refused())?;
        let own = HOSTS_OWN.contains(&name.as_str())
            || HOSTS_OWN_FAMILIES.iter().any(|family| name.as_str().starts_with(family));
        if own {
            return Err(refused());
        }
        let mut value = zeroize::Zeroizing::new(Vec::new());
        let mut sensitive = false;
        for part in &header.value {
            match part {
                Part::Text(text) => value.extend_from_slice(text.as_bytes()),
                Part::Bytes(text) => value.extend_from_slice(text),
                Part::Blob(_) => return Err(refused()),
                Part::Secret { .. } | Part::BasicAuth { .. } => {
                    if let Some(secret) = filler.secret(part)? {
                        value.extend_from_slice(secret.expose().as_bytes());
                        sensitive = true;
                    }
                }
            }
        }
        bytes += name.as_str().len() + value.len();
        if bytes > HEADER_BYTES {
            return Err(deny(format!("headers of more than {HEADER_BYTES} bytes")));
        }
        // Refuses line ends and other control characters.
        let mut value = HeaderValue::from_bytes(&value).map_err(|_| refused())?;
        value.set_sensitive(sensitive);
        headers.append(name, value);
    }
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Ok(headers)
}

async fn pieces(
    context: &CallContext,
    filler: &mut Filler<'_>,
    parts: &[Part],
) -> Result<Result<Pieces, HttpError>, Fault> {
    let limit = context.services.limits.http_request_bytes;
    let account = filler.allowance.account;
    let mut body = Pieces { account, length: 0, pieces: VecDeque::new() };
    for part in parts {
        let piece = match part {
            Part::Text(text) => Piece::Bytes(Bytes::copy_from_slice(text.as_bytes())),
            Part::Bytes(bytes) => Piece::Bytes(Bytes::copy_from_slice(bytes)),
            Part::Blob(id) => match blobs::stat(context, id.clone()).await? {
                Ok(info) => Piece::Blob { id: info.id, offset: 0, size: info.size },
                Err(blobs::Denied::NotFound) => {
                    return Ok(Err(deny(format!("blob {id:?} is not there"))));
                }
                Err(_) => return Ok(Err(deny("blobs are not granted".to_owned()))),
            },
            Part::Secret { .. } | Part::BasicAuth { .. } => match filler.secret(part) {
                Ok(Some(secret)) => {
                    Piece::Bytes(Bytes::copy_from_slice(secret.expose().as_bytes()))
                }
                Ok(None) => continue,
                Err(error) => return Ok(Err(error)),
            },
        };
        body.length = body.length.saturating_add(piece.length());
        if body.length > limit {
            return Ok(Err(HttpError::TooLarge(limit)));
        }
        body.pieces.push_back(piece);
    }
    Ok(Ok(body))
}

impl Piece {
    fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Blob { size, .. } => *size,
        }
    }
}

/// The body as the client sends it. Blobs are read while they are sent.
pub(super) fn body(pieces: Pieces, memory: Arc<dyn Memory>) -> outgoing::Body {
    let Pieces { account, length, pieces } = pieces;
    let bytes = futures_util::stream::try_unfold(pieces, move |mut pieces| {
        let memory = Arc::clone(&memory);
        async move {
            loop {
                match pieces.pop_front() {
                    None => return Ok(None),
                    Some(Piece::Bytes(bytes)) if bytes.is_empty() => {}
                    Some(Piece::Bytes(bytes)) => return Ok(Some((bytes, pieces))),
                    Some(Piece::Blob { offset, size, .. }) if offset >= size => {}
                    Some(Piece::Blob { id, offset, size }) => {
                        let len = u32::try_from(size - offset).unwrap_or(u32::MAX).min(PIECE_BYTES);
                        let read = memory.blob_read(account, id.clone(), offset, len).await?;
                        let bytes = read.filter(|bytes| !bytes.is_empty());
                        let bytes = bytes.ok_or("the blob ended early")?;
                        let offset = offset + bytes.len() as u64;
                        pieces.push_front(Piece::Blob { id, offset, size });
                        return Ok::<_, outgoing::BodyError>(Some((Bytes::from(bytes), pieces)));
                    }
                }
            }
        }
    });
    outgoing::Body::Streamed { length, bytes: bytes.boxed() }
}

/// Everything but unreserved characters percent-encoded.
pub(super) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// A JSON string, its quotation marks included.
pub(super) fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn origin(url: &Url) -> &str {
    &url[Position::BeforeHost..Position::AfterPort]
}

fn deny(reason: String) -> HttpError {
    HttpError::Denied(escape(&reason, ERROR_BYTES))
}
