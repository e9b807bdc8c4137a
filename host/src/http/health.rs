//! Whether the host lives, and whether it is ready for work.

use super::Edge;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri};
use serde::Serialize;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// The process answers.
pub(super) async fn alive() -> Response {
    Json(Health { status: "ok" }).into_response()
}

#[derive(Serialize)]
struct Readiness {
    status: &'static str,
    checks: Vec<Check>,
}

#[derive(Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    /// With `?verbose`.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// The host takes work: its database answers, and it is not about to stop.
pub(super) async fn ready(State(edge): State<Edge>, uri: Uri) -> Response {
    let verbose = uri.query().is_some_and(|query| {
        url::form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "verbose")
    });
    let database = match tokio::time::timeout(PATIENCE, edge.flow.store.ping()).await {
        Ok(Ok(())) => Ok("answers"),
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready");
            Err("does not answer")
        }
        Err(_) => Err("does not answer in time"),
    };
    let serving =
        if edge.draining.load(Ordering::Relaxed) { Err("is stopping") } else { Ok("serves") };
    let check = |name, result: Result<&str, &str>| Check {
        name,
        ok: result.is_ok(),
        detail: verbose.then(|| result.unwrap_or_else(|detail| detail).to_owned()),
    };
    let generation = edge.flow.registry.current().generation;
    let mut checks = vec![check("database", database), check("server", serving)];
    if verbose {
        checks.push(Check { name: "snapshot", ok: true, detail: Some(generation.to_string()) });
    }
    let ready = checks.iter().all(|check| check.ok);
    let (status, word) = if ready {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
    };
    (status, Json(Readiness { status: word, checks })).into_response()
}
