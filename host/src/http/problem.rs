//! Errors of the API: problem documents (RFC 9457) with a stable code.

use crate::domain::decide::Rejection;
use crate::flow::apply::ApplyError;
use crate::flow::operate::{FieldError, InstallError, OperateError};
use crate::store::StoreError;
use crate::store::plugin::Taken;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde::Serialize;

/// Seconds after which a request that the memory could not take should come again.
const COME_AGAIN_S: u32 = 5;

/// What went wrong, as programs read it. Words never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// No token, or not one of ours.
    Unauthorized,
    /// The role of the token's user does not suffice.
    Forbidden,
    /// Not there, or not in this account.
    NotFound,
    /// The path is there, the method is not.
    MethodNotAllowed,
    /// The body did not arrive in time.
    Timeout,
    /// It does not go together with what is there.
    Conflict,
    /// The connection has an inbox.
    ConnectionTaken,
    /// Another plugin holds the channel or integration key.
    KeyTaken,
    /// The plugin's version is known with other contents.
    VersionTaken,
    /// The body is larger than allowed.
    TooLarge,
    /// The body has another media type.
    UnsupportedMediaType,
    /// The body is not JSON.
    InvalidJson,
    /// A cursor that no list of this kind gave out.
    InvalidCursor,
    /// A query parameter cannot be.
    InvalidQuery,
    /// A value cannot be; `errors` says which.
    InvalidRequest,
    /// A field that is not known.
    UnknownField,
    /// A component that this host does not take.
    InvalidComponent,
    /// A reply on a task.
    NoThread,
    /// The channel cannot do it.
    NotAble,
    /// No active plugin provides the channel.
    ChannelMissing,
    /// The time in which a reply is allowed has passed.
    WindowClosed,
    /// A fault of this host.
    Internal,
    /// Not now.
    Unavailable,
}

impl Code {
    /// The code's word, its status and its title.
    const fn row(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::Unauthorized => {
                ("unauthorized", StatusCode::UNAUTHORIZED, "A valid token is needed")
            }
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "Not allowed"),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND, "Not found"),
            Self::MethodNotAllowed => {
                ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")
            }
            Self::Timeout => ("timeout", StatusCode::REQUEST_TIMEOUT, "The request took too long"),
            Self::Conflict => ("conflict", StatusCode::CONFLICT, "Conflict"),
            Self::ConnectionTaken => {
                ("connection_taken", StatusCode::CONFLICT, "The connection has an inbox")
            }
            Self::KeyTaken => ("key_taken", StatusCode::CONFLICT, "The key is taken"),
            Self::VersionTaken => ("version_taken", StatusCode::CONFLICT, "The version is taken"),
            Self::TooLarge => ("too_large", StatusCode::PAYLOAD_TOO_LARGE, "Too large"),
            Self::UnsupportedMediaType => (
                "unsupported_media_type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Unsupported media type",
            ),
            Self::InvalidJson => ("invalid_json", StatusCode::BAD_REQUEST, "Not JSON"),
            Self::InvalidCursor => {
                ("invalid_cursor", StatusCode::BAD_REQUEST, "Not a cursor of this list")
            }
            Self::InvalidQuery => ("invalid_query", StatusCode::BAD_REQUEST, "Invalid query"),
            Self::InvalidRequest => {
                ("invalid_request", StatusCode::UNPROCESSABLE_ENTITY, "Invalid request")
            }
            Self::UnknownField => {
                ("unknown_field", StatusCode::UNPROCESSABLE_ENTITY, "Unknown field")
            }
            Self::InvalidComponent => {
                ("invalid_component", StatusCode::UNPROCESSABLE_ENTITY, "The component is refused")
            }
            Self::NoThread => {
                ("no_thread", StatusCode::UNPROCESSABLE_ENTITY, "The ticket has no thread")
            }
            Self::NotAble => {
                ("not_able", StatusCode::UNPROCESSABLE_ENTITY, "The channel cannot do this")
            }
            Self::ChannelMissing => (
                "channel_missing",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The channel has no active plugin",
            ),
            Self::WindowClosed => (
                "reply_window_closed",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The reply window has closed",
            ),
            Self::Internal => {
                ("internal", StatusCode::INTERNAL_SERVER_ERROR, "A fault of this server")
            }
            Self::Unavailable => {
                ("unavailable", StatusCode::SERVICE_UNAVAILABLE, "Not available now")
            }
        }
    }

    /// The code's word.
    #[cfg(test)]
    pub(super) const fn as_str(self) -> &'static str {
        self.row().0
    }
}

/// A problem on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    code: Code,
    detail: String,
    errors: Vec<FieldError>,
    retry_after_s: Option<u32>,
}

impl Problem {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), retry_after_s: None }
    }

    /// It is not there, or in another account.
    pub(super) fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("no such {what}"))
    }

    /// Some values cannot be.
    pub(super) fn invalid(code: Code, errors: Vec<FieldError>) -> Self {
        let details: Vec<&str> = errors.iter().map(|error| error.detail.as_str()).collect();
        Self { detail: details.join("; "), errors, ..Self::new(code, "") }
    }

    /// One value cannot be.
    pub(super) fn invalid_at(pointer: &str, detail: impl Into<String>) -> Self {
        let error = FieldError {
            pointer: pointer.to_owned(),
            code: "invalid_value",
            detail: detail.into(),
        };
        Self::invalid(Code::InvalidRequest, vec![error])
    }

    fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(error = %error, "request failed");
        Self::new(Code::Internal, "the fault is in the server's log")
    }

    #[cfg(test)]
    pub(super) const fn code(&self) -> Code {
        self.code
    }
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    code: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ErrorView<'a>>,
}

#[derive(Serialize)]
struct ErrorView<'a> {
    pointer: &'a str,
    code: &'static str,
    detail: &'a str,
}

impl Problem {
    fn render(&self, instance: Option<&str>) -> Response {
        let (word, status, title) = self.code.row();
        let document = Document {
            kind: format!("urn:tidegate:problem:{word}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            instance,
            code: word,
            errors: self
                .errors
                .iter()
                .map(|error| ErrorView {
                    pointer: &error.pointer,
                    code: error.code,
                    detail: &error.detail,
                })
                .collect(),
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.code == Code::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.render(None);
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes into each problem where it happened.
pub(super) async fn locate(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let Some(problem) = response.extensions().get::<Problem>() else { return response };
    let mut located = problem.render(Some(&path));
    for (name, value) in response.headers() {
        if !located.headers().contains_key(name) && *name != http::header::CONTENT_LENGTH {
            located.headers_mut().append(name, value.clone());
        }
    }
    located
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Busy { .. } | StoreError::Full(_) | StoreError::Conflict(_) => {
                tracing::warn!(%error, "request put off");
                Self {
                    retry_after_s: Some(COME_AGAIN_S),
                    ..Self::new(Code::Unavailable, "nothing was stored; come again")
                }
            }
            StoreError::LeaseLost(_)
            | StoreError::Corrupt { .. }
            | StoreError::Database(_)
            | StoreError::File { .. }
            | StoreError::Sealed(_) => Self::internal(&error),
        }
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let detail = rejection.to_string();
        match rejection {
            Rejection::NotFound("status") => Self::invalid_at("/status", detail),
            Rejection::NotFound("user") => Self::invalid_at("/assignee_id", detail),
            Rejection::NotFound(_) => Self::new(Code::NotFound, detail),
            Rejection::NoThread(_) => Self::new(Code::NoThread, detail),
            Rejection::NotAble { .. } => Self::new(Code::NotAble, detail),
            Rejection::ChannelMissing(_) => Self::new(Code::ChannelMissing, detail),
            Rejection::WindowClosed { .. } => Self::new(Code::WindowClosed, detail),
            Rejection::Invalid { field, .. } => {
                Self::invalid_at(&format!("/{}", field.replace('.', "/")), detail)
            }
            Rejection::MissingFact { .. } => Self::internal(&rejection),
        }
    }
}

impl From<ApplyError> for Problem {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Rejected(rejection) => rejection.into(),
            ApplyError::Store(error) => error.into(),
        }
    }
}

impl From<OperateError> for Problem {
    fn from(error: OperateError) -> Self {
        match error {
            OperateError::NotFound(what) => Self::not_found(what),
            OperateError::Invalid(errors) => Self::invalid(Code::InvalidRequest, errors),
            OperateError::Conflict { code: "connection_taken", detail } => {
                Self::new(Code::ConnectionTaken, detail)
            }
            OperateError::Conflict { code, detail } => {
                let error = FieldError { pointer: String::new(), code, detail };
                Self::invalid(Code::Conflict, vec![error])
            }
            OperateError::Store(error) => error.into(),
        }
    }
}

impl From<InstallError> for Problem {
    fn from(error: InstallError) -> Self {
        let detail = error.to_string();
        match error {
            InstallError::Refused(_) => Self::new(Code::InvalidComponent, detail),
            InstallError::Taken(Taken::Key { .. }) => Self::new(Code::KeyTaken, detail),
            InstallError::Taken(Taken::Version { .. }) => Self::new(Code::VersionTaken, detail),
            InstallError::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Code, Problem};
    use crate::domain::decide::Rejection;
    use crate::domain::id::TicketNumber;
    use crate::flow::operate::OperateError;
    use crate::store::StoreError;
    use axum::response::IntoResponse;

    #[test]
    fn what_the_flow_refuses_has_its_code() {
        let code = |rejection: Rejection| Problem::from(rejection).code();
        assert_eq!(code(Rejection::NoThread(TicketNumber(1))), Code::NoThread);
        assert_eq!(code(Rejection::NotFound("ticket")), Code::NotFound);
        assert_eq!(code(Rejection::NotFound("status")), Code::InvalidRequest);
        assert_eq!(Problem::from(OperateError::NotFound("inbox")).code(), Code::NotFound);
    }

    #[test]
    fn a_full_memory_says_when_to_come_again() {
        for error in [StoreError::Busy { waiting: 9 }, StoreError::Full("full".to_owned())] {
            let response = Problem::from(error).into_response();
            assert_eq!(response.status(), 503);
            assert_eq!(response.headers()["retry-after"], "5");
        }
        let response = Problem::from(StoreError::Database("secret".to_owned())).into_response();
        assert_eq!(response.status(), 500);
    }

    #[test]
    fn a_problem_without_a_token_says_how_to_bring_one() {
        let response = Problem::new(Code::Unauthorized, "x").into_response();
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
}
