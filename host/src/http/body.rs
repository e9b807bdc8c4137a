//! What requests bring: bodies within their limits, JSON that is exactly what was expected, ids in
//! paths.

use super::problem::{Code, Problem};
use crate::flow::operate::FieldError;
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_path_to_error::{Path as JsonPath, Segment};
use std::time::Duration;

/// Largest JSON body, in bytes.
pub(super) const JSON_BYTES: usize = 1 << 20;
/// How long a body may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(60);

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is larger than allowed.
    TooLarge,
    /// It did not arrive in time.
    Late,
    /// The sender went away in the middle of it.
    Broken,
}

/// Reads a whole body of at most `limit` bytes, also when its length was not announced.
pub(super) async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Unread> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<u64>().ok());
    if announced.is_some_and(|bytes| usize::try_from(bytes).map_or(true, |bytes| bytes > limit)) {
        return Err(Unread::TooLarge);
    }
    match tokio::time::timeout(ARRIVAL, Limited::new(body, limit).collect()).await {
        Err(_) => Err(Unread::Late),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Unread::TooLarge),
        Ok(Err(_)) => Err(Unread::Broken),
    }
}

/// Whether the body is encoded in any way.
pub(super) fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Reads the body of an API request.
pub(super) async fn read_as(
    request: Request,
    media_type: &str,
    limit: usize,
) -> Result<Bytes, Problem> {
    let (parts, body) = request.into_parts();
    let found = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = found.and_then(|text| text.split(';').next()).unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(media_type) || is_encoded(&parts.headers) {
        let found = found.unwrap_or("no Content-Type");
        let detail = format!("expected {media_type} without a content encoding, found {found}");
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    read(&parts.headers, body, limit).await.map_err(|unread| match unread {
        Unread::TooLarge => Problem::new(Code::TooLarge, format!("expected at most {limit} bytes")),
        Unread::Late => Problem::new(Code::Timeout, "the body did not arrive in time"),
        Unread::Broken => Problem::new(Code::InvalidJson, "the body broke off"),
    })
}

/// A JSON body.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let bytes = read_as(request, "application/json", JSON_BYTES).await?;
        parse(&bytes).map(Self)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| refused(&pointer(error.path()), error.inner()))?;
    deserializer.end().map_err(|error| refused("", &error))?;
    Ok(value)
}

fn refused(pointer: &str, error: &serde_json::Error) -> Problem {
    use serde_json::error::Category;
    let sentence = error.to_string();
    match error.classify() {
        Category::Io | Category::Syntax | Category::Eof => {
            Problem::new(Code::InvalidJson, sentence)
        }
        Category::Data => {
            let (problem, code) = match sentence.split(' ').next() {
                Some("unknown") if sentence.starts_with("unknown field") => {
                    (Code::UnknownField, "unknown_field")
                }
                Some("missing") => (Code::InvalidRequest, "missing_field"),
                Some("duplicate") => (Code::InvalidRequest, "duplicate_field"),
                _ => (Code::InvalidRequest, "invalid_value"),
            };
            // The position in the text says nothing that the pointer does not.
            let detail =
                sentence.rsplit_once(" at line ").map_or(sentence.as_str(), |(text, _)| text);
            let error = FieldError { pointer: pointer.to_owned(), code, detail: detail.to_owned() };
            Problem::invalid(problem, vec![error])
        }
    }
}

/// A JSON Pointer (RFC 6901).
fn pointer(path: &JsonPath) -> String {
    let mut pointer = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Unknown => {}
        }
    }
    pointer
}

/// For a field that may be absent: what is there is read as `T`, so that null is only taken where
/// `T` takes it.
pub(super) fn given<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// What a path names. A path that cannot be read names nothing.
#[derive(Debug)]
pub(super) struct At<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for At<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(at)) => Ok(Self(at)),
            Err(_) => Err(Problem::new(Code::NotFound, "nothing has this path")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Code, Unread, given, parse, read};
    use axum::body::Body;
    use axum::response::IntoResponse;
    use http::HeaderMap;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Thing {
        #[serde(default, deserialize_with = "given")]
        name: Option<String>,
        #[serde(default, deserialize_with = "given")]
        size: Option<Option<i64>>,
        #[serde(default)]
        parts: Vec<Thing>,
    }

    async fn problem(text: &str) -> serde_json::Value {
        let problem = parse::<Thing>(text.as_bytes()).unwrap_err();
        let body = problem.into_response().into_body();
        let bytes = axum::body::to_bytes(body, 10_000).await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn a_wrong_body_is_told_where_and_what() {
        let cases = [
            ("{\"nam\": 1}", "/nam", "unknown_field"),
            ("{\"name\": 7}", "/name", "invalid_value"),
            ("{\"name\": null}", "/name", "invalid_value"),
            ("{\"parts\": [{}, {\"name\": []}]}", "/parts/1/name", "invalid_value"),
            ("{\"name\": \"a\", \"name\": \"b\"}", "", "duplicate_field"),
        ];
        for (text, pointer, code) in cases {
            let shown = problem(text).await;
            assert_eq!(shown["status"], 422, "{shown}");
            assert_eq!(shown["errors"][0]["code"], code, "{shown}");
            if code != "duplicate_field" {
                assert_eq!(shown["errors"][0]["pointer"], pointer, "{shown}");
            }
            assert!(!shown["detail"].as_str().unwrap().contains(" at line "), "{shown}");
        }
        for text in ["", "{", "{} {}", "\u{0}"] {
            let shown = problem(text).await;
            assert_eq!(shown["status"], 400, "{shown}");
            assert_eq!(shown["code"], Code::InvalidJson.as_str());
        }
    }

    #[test]
    fn null_and_nothing_are_different() {
        let thing: Thing = parse(b"{\"size\": null}").unwrap();
        assert_eq!((thing.size, thing.name, thing.parts.len()), (Some(None), None, 0));
        let thing: Thing = parse(b"{}").unwrap();
        assert_eq!(thing.size, None);
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit_also_when_chunked() {
        let chunks = |bytes: usize| {
            let chunks = (0..bytes).map(|_| Ok::<_, std::io::Error>("x"));
            Body::from_stream(futures_util::stream::iter(chunks))
        };
        let none = HeaderMap::new();
        assert_eq!(read(&none, chunks(10), 10).await.unwrap().len(), 10);
        assert_eq!(read(&none, chunks(11), 10).await.unwrap_err(), Unread::TooLarge);
        let mut announced = HeaderMap::new();
        announced.insert("content-length", 11.into());
        assert_eq!(read(&announced, Body::empty(), 10).await.unwrap_err(), Unread::TooLarge);
    }
}
