//! Every route, in one table.

use super::api::{
    account, connections, contacts, deliveries, events, inboxes, intakes, messages, plugins,
    tickets,
};
pub use super::auth::Who;
use super::auth::guard;
use super::problem::{Code, Problem, locate};
use super::{Edge, health, webhooks};
use axum::Router;
use axum::handler::Handler;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use http::header::{self, HeaderValue};
use http::{Method, Uri};
use std::any::Any;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

/// A route as tests see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its method. `GET` answers `HEAD` too, except where providers send.
    pub method: Method,
    /// Its path, with names in braces.
    pub path: &'static str,
    /// Who may use it.
    pub who: Who,
}

struct Entry {
    route: Route,
    serve: MethodRouter<Edge>,
}

fn entry<H, T>(method: Method, path: &'static str, who: Who, handler: H) -> Entry
where
    H: Handler<T, Edge>,
    T: 'static,
{
    let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::GET);
    Entry { route: Route { method, path, who }, serve: on(filter, handler) }
}

fn get<H: Handler<T, Edge>, T: 'static>(path: &'static str, who: Who, handler: H) -> Entry {
    entry(Method::GET, path, who, handler)
}

fn post<H: Handler<T, Edge>, T: 'static>(path: &'static str, who: Who, handler: H) -> Entry {
    entry(Method::POST, path, who, handler)
}

fn patch<H: Handler<T, Edge>, T: 'static>(path: &'static str, who: Who, handler: H) -> Entry {
    entry(Method::PATCH, path, who, handler)
}

fn put<H: Handler<T, Edge>, T: 'static>(path: &'static str, who: Who, handler: H) -> Entry {
    entry(Method::PUT, path, who, handler)
}

fn delete<H: Handler<T, Edge>, T: 'static>(path: &'static str, who: Who, handler: H) -> Entry {
    entry(Method::DELETE, path, who, handler)
}

#[rustfmt::skip]
fn table() -> Vec<Entry> {
    use Who::{Administrator, Anyone, Operator, User};
    vec![
        get("/healthz", Anyone, health::alive),
        get("/readyz", Anyone, health::ready),

        get("/api/webhooks/integrations/{integration}", Anyone, webhooks::only),
        post("/api/webhooks/integrations/{integration}", Anyone, webhooks::only),
        get("/api/webhooks/integrations/{integration}/{connection}", Anyone, webhooks::named),
        post("/api/webhooks/integrations/{integration}/{connection}", Anyone, webhooks::named),
        get("/api/webhooks/integrations/{integration}/{connection}/{*path}", Anyone, webhooks::deeper),
        post("/api/webhooks/integrations/{integration}/{connection}/{*path}", Anyone, webhooks::deeper),

        get("/api/v1/whoami", User, account::whoami),
        get("/api/v1/users", User, account::users),
        get("/api/v1/statuses", User, account::statuses),
        get("/api/v1/contacts/{id}", User, contacts::show),

        post("/api/v1/plugins", Operator, plugins::upload),
        get("/api/v1/plugins", User, plugins::list),
        get("/api/v1/plugins/{publisher}/{name}", User, plugins::show),

        get("/api/v1/connections", User, connections::list),
        post("/api/v1/connections", Administrator, connections::create),
        get("/api/v1/connections/{id}", User, connections::show),
        patch("/api/v1/connections/{id}", Administrator, connections::update),
        put("/api/v1/connections/{id}/secrets/{name}", Administrator, connections::set_secret),
        delete("/api/v1/connections/{id}/secrets/{name}", Administrator, connections::delete_secret),
        post("/api/v1/connections/{id}/check", Administrator, connections::check),

        get("/api/v1/inboxes", User, inboxes::list),
        post("/api/v1/inboxes", Administrator, inboxes::create),
        get("/api/v1/inboxes/{id}", User, inboxes::show),
        patch("/api/v1/inboxes/{id}", Administrator, inboxes::update),

        get("/api/v1/tickets", User, tickets::list),
        post("/api/v1/tickets", User, tickets::create),
        get("/api/v1/tickets/{number}", User, tickets::show),
        patch("/api/v1/tickets/{number}", User, tickets::update),
        get("/api/v1/tickets/{number}/messages", User, messages::list),
        post("/api/v1/tickets/{number}/messages", User, messages::create),

        get("/api/v1/intakes", Administrator, intakes::list),
        get("/api/v1/intakes/{id}", Administrator, intakes::show),
        post("/api/v1/intakes/{id}/replay", Administrator, intakes::replay),
        get("/api/v1/deliveries", User, deliveries::list),
        get("/api/v1/deliveries/{id}", User, deliveries::show),
        post("/api/v1/deliveries/{id}/retry", User, deliveries::retry),

        get("/api/v1/events", User, events::list),
        get("/api/v1/events/stream", User, events::stream),
    ]
}

/// Every route.
pub fn routes() -> Vec<Route> {
    table().into_iter().map(|entry| entry.route).collect()
}

/// The router over the whole table.
pub fn router(edge: Edge) -> Router {
    let mut router = Router::new();
    for Entry { route, serve } in table() {
        let guarded = from_fn_with_state((edge.clone(), route.who), guard);
        router = router.route(route.path, serve.route_layer(guarded));
    }
    let nosniff = HeaderValue::from_static("nosniff");
    router
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .with_state(edge)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(locate))
        .layer(SetResponseHeaderLayer::overriding(header::X_CONTENT_TYPE_OPTIONS, nosniff))
}

async fn no_route() -> Problem {
    Problem::new(Code::NotFound, "nothing has this path")
}

async fn no_method(uri: Uri, method: Method) -> Response {
    if uri.path().starts_with(webhooks::MOUNT) {
        return webhooks::method_not_allowed();
    }
    Problem::new(Code::MethodNotAllowed, format!("nothing answers {method} here")).into_response()
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let said = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("nothing");
    tracing::error!(said, "a handler panicked");
    Problem::new(Code::Internal, "the fault is in the server's log").into_response()
}

#[cfg(test)]
mod tests {
    use super::{Who, routes};

    #[test]
    fn only_health_and_webhooks_are_open() {
        for route in routes() {
            let open = route.path.ends_with("z") || route.path.starts_with("/api/webhooks/");
            assert_eq!(route.who == Who::Anyone, open, "{route:?}");
        }
    }
}
