//! Requests to the provider, under the connection's grants. Secrets go in by name: the host fills
//! them in after every check, and only towards hosts that they are granted to.
//!
//! ```
//! # use tidegate_sdk::{Failure, http};
//! # fn call() -> Result<(), Failure> {
//! let response = http::post("https://provider.example/api/messages")
//!     .bearer_secret("token")
//!     .json(&[("text", "hello")])
//!     .send()?;
//! # let _ = response; Ok(()) }
//! ```
//!
//! [`Request::send`] tells failures apart as a send must: what may have been carried out is
//! `Ambiguous`, unless the method is GET or HEAD or the request is marked
//! [`repeatable`](Request::repeatable).

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::backend::http as host;
use crate::bindings::host::tidegate::plugin::http as wit;
use crate::words::Failure;

pub use wit::{Error, Form, Part};

/// A GET request.
pub fn get(url: impl Into<String>) -> Request {
    Request::new("GET", url)
}

/// A POST request.
pub fn post(url: impl Into<String>) -> Request {
    Request::new("POST", url)
}

/// A request that is being put together.
#[derive(Debug, Clone)]
#[must_use]
pub struct Request {
    wit: wit::Request,
    has_query: bool,
    repeatable: bool,
    fault: Option<Failure>,
}

impl Request {
    /// Any method; `url` is absolute, and only `https` (except where the operator allowed else).
    pub fn new(method: &str, url: impl Into<String>) -> Self {
        let url = url.into();
        Self {
            has_query: url.contains('?'),
            repeatable: matches!(method, "GET" | "HEAD"),
            fault: None,
            wit: wit::Request {
                method: method.to_owned(),
                url: vec![Part::Text(url)],
                headers: Vec::new(),
                body: Vec::new(),
                timeout_ms: None,
                into_blob: None,
                captures: Vec::new(),
            },
        }
    }

    /// Adds a query parameter, percent-encoded.
    pub fn query(mut self, key: &str, value: &str) -> Self {
        let mut text = String::with_capacity(key.len() + value.len() + 2);
        text.push(if self.has_query { '&' } else { '?' });
        percent_encode(key, &mut text);
        text.push('=');
        percent_encode(value, &mut text);
        self.has_query = true;
        self.wit.url.push(Part::Text(text));
        self
    }

    /// Adds a header of plain text.
    pub fn header(self, name: &str, value: impl Into<String>) -> Self {
        self.header_parts(name, vec![Part::Text(value.into())])
    }

    /// Adds a header that is put together by the host, secrets included.
    pub fn header_parts(mut self, name: &str, value: Vec<Part>) -> Self {
        self.wit.headers.push(wit::Header { name: name.to_owned(), value });
        self
    }

    /// `Authorization: Bearer` and the secret of this name.
    pub fn bearer_secret(self, secret: &str) -> Self {
        let token = Part::Secret((secret.to_owned(), Form::Plain));
        self.header_parts("authorization", vec![Part::Text("Bearer ".to_owned()), token])
    }

    /// A JSON body and its content type.
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => self.body("application/json; charset=utf-8", vec![Part::Bytes(bytes)]),
            Err(error) => {
                self.fault = Some(Failure::permanent(format!("the body is not JSON: {error}")));
                self
            }
        }
    }

    /// A body in parts and its content type.
    pub fn body(mut self, content_type: &str, parts: Vec<Part>) -> Self {
        self.wit.body = parts;
        self.header("content-type", content_type)
    }

    /// Give up after so many milliseconds; the host has a limit of its own.
    pub const fn timeout_ms(mut self, timeout_ms: u32) -> Self {
        self.wit.timeout_ms = Some(timeout_ms);
        self
    }

    /// Keep the body of a 2xx response as a blob of this name, see [`Response::blob`].
    pub fn into_blob(mut self, name: impl Into<String>) -> Self {
        self.wit.into_blob = Some(name.into());
        self
    }

    /// The string at this JSON Pointer of a 2xx response becomes a secret of the connection; the
    /// plugin sees "***" in its place.
    pub fn capture(mut self, pointer: &str, secret: &str) -> Self {
        self.wit
            .captures
            .push(wit::Capture { pointer: pointer.to_owned(), secret: secret.to_owned() });
        self
    }

    /// Carrying it out twice does no harm: without an answer, it is simply tried again.
    pub const fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Sends it. Every status is a response, also 4xx and 5xx.
    ///
    /// # Errors
    /// `Permanent` when the grants do not allow it or the response is too large; `Retry` when
    /// nothing was sent; when no full response arrived, `Retry` if the request is repeatable and
    /// `Ambiguous` if not.
    pub fn send(self) -> Result<Response, Failure> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        match host::send(&self.wit) {
            Ok(response) => Ok(Response(response)),
            Err(Error::Denied(what)) => Err(Failure::Permanent(format!("not granted: {what}"))),
            Err(Error::NotSent(why)) => Err(Failure::retry(why)),
            Err(Error::Ambiguous(why)) if self.repeatable => Err(Failure::retry(why)),
            Err(Error::Ambiguous(why)) => Err(Failure::Ambiguous(why)),
            Err(Error::TooLarge(limit)) => {
                Err(Failure::Permanent(format!("the response is over {limit} bytes")))
            }
        }
    }
}

/// What the provider answered.
#[derive(Debug, Clone)]
pub struct Response(wit::Response);

impl Response {
    /// The status code.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.0.status
    }

    /// The first value of a header, whatever the case of its name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.0.headers.iter();
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// `Retry-After` in milliseconds, where it is a number of seconds.
    #[must_use]
    pub fn retry_after_ms(&self) -> Option<u32> {
        let seconds: u32 = self.header("retry-after")?.trim().parse().ok()?;
        Some(seconds.saturating_mul(1000))
    }

    /// The body; empty where it went into a blob.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.0.body {
            wit::Body::Bytes(bytes) => bytes,
            wit::Body::Blob(_) => &[],
        }
    }

    /// The id of the blob that holds the body, where [`Request::into_blob`] asked for one.
    #[must_use]
    pub fn blob(&self) -> Option<&str> {
        match &self.0.body {
            wit::Body::Blob(id) => Some(id),
            wit::Body::Bytes(_) => None,
        }
    }

    /// The body, if it is JSON of this shape.
    #[must_use]
    pub fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(self.bytes()).ok()
    }
}

/// Everything but the unreserved characters of RFC 3986.
fn percent_encode(text: &str, into: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            into.push(char::from(byte));
        } else {
            into.push('%');
            into.push(char::from(HEX[usize::from(byte >> 4)]));
            into.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}
