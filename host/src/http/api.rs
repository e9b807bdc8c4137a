//! The host API, `/api/v1/…`: one file per noun.
//!
//! Every query is made inside the caller's account: what is in another one is not there.

pub(super) mod account;
pub(super) mod connections;
pub(super) mod contacts;
pub(super) mod deliveries;
pub(super) mod events;
pub(super) mod inboxes;
pub(super) mod intakes;
pub(super) mod messages;
pub(super) mod plugins;
pub(super) mod tickets;

use super::problem::Problem;
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::LOCATION;
use serde::Serialize;

/// What a handler answers with a body.
type Answer<T> = Result<Json<T>, Problem>;

/// 201, with where the new thing is.
fn created<T: Serialize>(path: String, body: T) -> Response {
    (StatusCode::CREATED, [(LOCATION, path)], Json(body)).into_response()
}

/// What is there, or 404.
trait OrNotFound<T> {
    /// `what` names it.
    fn or_not_found(self, what: &str) -> Result<T, Problem>;
}

impl<T> OrNotFound<T> for Option<T> {
    fn or_not_found(self, what: &str) -> Result<T, Problem> {
        self.ok_or_else(|| Problem::not_found(what))
    }
}
