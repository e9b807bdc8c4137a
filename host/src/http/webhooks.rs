//! What providers send: `/api/webhooks/integrations/{integration}[/{connection}[/…]]`.
//!
//! The host owns the status codes. A 2xx is answered only for what is on the disk; a plugin chooses
//! a body and a few headers, and only for a genuine request. Errors have a shape of their own and
//! say nothing about why a signature was refused.

use super::Edge;
use super::body::{Unread, is_encoded, read};
use super::server::Peer;
use crate::clock;
use crate::domain::exchange::{HttpRequest, Reply};
use crate::domain::id::ConnectionId;
use crate::flow::receive::{Received, receive};
use crate::plugin::Connection;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Where all of them begin.
pub(super) const MOUNT: &str = "/api/webhooks/integrations/";

/// Headers that end at this server (RFC 9110, 7.6.1), and cookies, which are not for plugins.
const KEPT_HERE: [&str; 10] = [
    "connection",
    "cookie",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers that a plugin may set on its reply.
const OF_REPLIES: [HeaderName; 4] =
    [header::CACHE_CONTROL, header::CONTENT_LANGUAGE, header::ETAG, header::LAST_MODIFIED];

/// What is not taken, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    Unknown,
    Ambiguous,
    Method,
    Encoded,
    TooLarge,
    Late,
    Broken,
    NotGenuine,
    NotNow { retry_after_s: u32 },
}

#[derive(Serialize)]
struct ErrorBody {
    error: ErrorView,
}

#[derive(Serialize)]
struct ErrorView {
    code: &'static str,
    message: &'static str,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, code, message) = match self {
            Self::Unknown => {
                (StatusCode::NOT_FOUND, "not_found", "no connection takes webhooks here")
            }
            Self::Ambiguous => (
                StatusCode::CONFLICT,
                "ambiguous_connection",
                "several connections use this integration; name one in the path",
            ),
            Self::Method => {
                (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "expected GET or POST")
            }
            Self::Encoded => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_encoding",
                "expected a body without a content encoding",
            ),
            Self::TooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is larger than allowed")
            }
            Self::Late => {
                (StatusCode::REQUEST_TIMEOUT, "timeout", "the body did not arrive in time")
            }
            Self::Broken => (StatusCode::BAD_REQUEST, "broken_body", "the body broke off"),
            Self::NotGenuine => {
                (StatusCode::UNAUTHORIZED, "unauthorized", "the request could not be verified")
            }
            Self::NotNow { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "not taken; send it again")
            }
        };
        let mut response =
            (status, Json(ErrorBody { error: ErrorView { code, message } })).into_response();
        let headers = response.headers_mut();
        match self {
            Self::NotNow { retry_after_s } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after_s));
            }
            Self::Method => {
                headers.insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
            }
            _ => {}
        }
        response
    }
}

/// The answer to every other method.
pub(super) fn method_not_allowed() -> Response {
    Refused::Method.into_response()
}

/// To the only connection of an integration.
pub(super) async fn only(
    State(edge): State<Edge>,
    Path(integration): Path<String>,
    request: Request,
) -> Response {
    let current = edge.flow.registry.current();
    let mut enabled =
        current.connections_of(&integration).iter().filter(|connection| connection.enabled);
    match (enabled.next(), enabled.next()) {
        (None, _) => Refused::Unknown.into_response(),
        (Some(connection), None) => take(&edge, connection, request, String::new()).await,
        (Some(_), Some(_)) => Refused::Ambiguous.into_response(),
    }
}

/// To one connection.
pub(super) async fn named(
    State(edge): State<Edge>,
    Path((integration, connection)): Path<(String, String)>,
    request: Request,
) -> Response {
    to(&edge, &integration, &connection, request, String::new()).await
}

/// To one connection, on a path of the plugin's own.
pub(super) async fn deeper(
    State(edge): State<Edge>,
    Path((integration, connection, _)): Path<(String, String, String)>,
    request: Request,
) -> Response {
    // As it was sent: a plugin may have to verify the path.
    let path = request.uri().path().strip_prefix(MOUNT).and_then(|rest| rest.splitn(3, '/').nth(2));
    let path = path.unwrap_or_default().to_owned();
    to(&edge, &integration, &connection, request, path).await
}

async fn to(
    edge: &Edge,
    integration: &str,
    connection: &str,
    request: Request,
    path: String,
) -> Response {
    let current = edge.flow.registry.current();
    let found = connection
        .parse::<ConnectionId>()
        .ok()
        .and_then(|id| current.connection(id))
        .filter(|connection| connection.enabled && connection.integration == integration);
    match found {
        None => Refused::Unknown.into_response(),
        Some(connection) => take(edge, connection, request, path).await,
    }
}

async fn take(
    edge: &Edge,
    connection: &Arc<Connection>,
    request: Request,
    path: String,
) -> Response {
    let source = request
        .extensions()
        .get::<Peer>()
        .map(|Peer(address)| address.ip().to_canonical().to_string())
        .unwrap_or_default();
    let request = match arrived(edge, connection, request, path).await {
        Ok(request) => request,
        Err(refused) => return refused.into_response(),
    };
    match receive(&edge.flow, connection, request, source).await {
        Received::Accepted(None) => Json(serde_json::Map::new()).into_response(),
        Received::Accepted(Some(reply)) | Received::Answered(reply) => replied(reply),
        Received::Refused => Refused::NotGenuine.into_response(),
        Received::Unavailable { retry_after_s } => {
            Refused::NotNow { retry_after_s }.into_response()
        }
    }
}

/// The request as the plugin sees it.
async fn arrived(
    edge: &Edge,
    connection: &Connection,
    request: Request,
    path: String,
) -> Result<HttpRequest, Refused> {
    let received_at = clock::now();
    let (parts, body) = request.into_parts();
    // HEAD comes in through GET.
    if parts.method != Method::GET && parts.method != Method::POST {
        return Err(Refused::Method);
    }
    if is_encoded(&parts.headers) {
        return Err(Refused::Encoded);
    }
    let body = body_within(edge, connection, &parts.headers, body).await?;
    let sent_to = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    Ok(HttpRequest {
        method: parts.method.as_str().to_owned(),
        url: format!("{}{sent_to}", edge.flow.tuning.public_url),
        path,
        headers: handed_on(&parts.headers),
        body,
        received_at,
    })
}

async fn body_within(
    edge: &Edge,
    connection: &Connection,
    headers: &HeaderMap,
    body: Body,
) -> Result<Vec<u8>, Refused> {
    let of_provider = connection
        .release
        .as_ref()
        .and_then(|release| release.integration.as_ref())
        .and_then(|integration| usize::try_from(integration.max_request_bytes).ok());
    let of_host = edge.flow.tuning.body_limit_bytes;
    let limit = of_provider.map_or(of_host, |bytes| bytes.min(of_host));
    match read(headers, body, limit).await {
        Ok(bytes) => Ok(bytes.into()),
        Err(Unread::TooLarge) => Err(Refused::TooLarge),
        Err(Unread::Late) => Err(Refused::Late),
        Err(Unread::Broken) => Err(Refused::Broken),
    }
}

/// The headers for the plugin, in order and with repeats: without those that end here, and without
/// those that are not text.
fn handed_on(headers: &HeaderMap) -> Vec<(String, String)> {
    let of_connection: BTreeSet<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    headers
        .iter()
        .filter(|(name, _)| {
            !KEPT_HERE.contains(&name.as_str()) && !of_connection.contains(name.as_str())
        })
        .filter_map(|(name, value)| {
            let value = std::str::from_utf8(value.as_bytes()).ok()?;
            Some((name.as_str().to_owned(), value.to_owned()))
        })
        .collect()
}

/// A plugin's body. Browsers neither guess its type nor run anything of it.
fn replied(reply: Reply) -> Response {
    if reply.body.is_empty() {
        return StatusCode::NO_CONTENT.into_response();
    }
    let mut response = Response::new(Body::from(reply.body));
    let headers = response.headers_mut();
    for (name, value) in reply.headers {
        let name = name.to_ascii_lowercase();
        let allowed = OF_REPLIES.iter().find(|allowed| allowed.as_str() == name);
        if let (Some(name), Ok(value)) = (allowed, HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    let content_type = HeaderValue::try_from(reply.content_type)
        .ok()
        .filter(|value| !value.is_empty())
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_TYPE, content_type);
    let policy = HeaderValue::from_static("default-src 'none'; sandbox");
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

#[cfg(test)]
mod tests {
    use super::{Refused, handed_on, replied};
    use crate::domain::exchange::Reply;
    use axum::response::IntoResponse;
    use http::{HeaderMap, HeaderValue};

    #[test]
    fn a_plugin_sees_repeated_headers_and_none_that_end_here() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-signature", "1"),
            ("connection", "close, X-Hop"),
            ("cookie", "a=b"),
            ("x-hop", "1"),
            ("x-signature", "2"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        headers.append("x-bytes", HeaderValue::from_bytes(b"\xff").unwrap());
        headers.append("x-text", HeaderValue::from_bytes("ü".as_bytes()).unwrap());
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            handed_on(&headers),
            [pair("x-signature", "1"), pair("x-signature", "2"), pair("x-text", "ü")]
        );
    }

    #[test]
    fn a_reply_sets_only_what_it_may() {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let reply = Reply {
            content_type: "text/xml".to_owned(),
            headers: vec![header("Set-Cookie", "a=b"), header("Cache-Control", "no-store")],
            body: b"<Response/>".to_vec(),
        };
        let response = replied(reply.clone());
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/xml");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert!(!response.headers().contains_key("set-cookie"));
        assert_eq!(replied(Reply { body: Vec::new(), ..reply }).status(), 204);
    }

    #[test]
    fn what_is_not_now_says_when() {
        let response = Refused::NotNow { retry_after_s: 5 }.into_response();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (503, &HeaderValue::from(5))
        );
        assert_eq!(Refused::NotGenuine.into_response().status(), 401);
    }
}
