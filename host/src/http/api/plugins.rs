//! Plugins: uploaded by operators, seen by everybody.

use super::{Answer, OrNotFound};
use crate::flow::operate;
use crate::http::Edge;
use crate::http::auth::Caller;
use crate::http::body::{At, read_as};
use crate::http::page::{Asked, Kind, NoFilter};
use crate::http::problem::Problem;
use crate::plugin::Snapshot;
use crate::store::plugin::ActivePlugin;
use crate::view::List;
use crate::view::plugin::{Loaded, PluginView};
use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};

fn shown(row: ActivePlugin, current: &Snapshot) -> PluginView {
    let loaded = current.release(&row.digest).map(|release| Loaded {
        license: release.identity.license.as_deref(),
        homepage: release.identity.homepage.as_deref(),
        channel: release.channel.as_ref(),
        integration: release.integration.as_ref(),
    });
    PluginView::new(row, loaded.as_ref())
}

async fn find(edge: &Edge, publisher: &str, name: &str) -> Result<PluginView, Problem> {
    let rows = edge.flow.store.active_plugins().await?;
    let row = rows.into_iter().find(|row| row.publisher == publisher && row.name == name);
    Ok(shown(row.or_not_found("plugin")?, &edge.flow.registry.current()))
}

/// `POST /plugins`: the component serves its plugin's new calls when this answers.
pub(in crate::http) async fn upload(
    State(edge): State<Edge>,
    _: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let limit = edge.flow.tuning.component_limit_bytes;
    let bytes = read_as(request, "application/wasm", limit).await?;
    let (release, new) = operate::install(&edge.flow, bytes.into()).await?;
    let identity = &release.identity;
    let plugin = find(&edge, &identity.publisher, &identity.name).await?;
    if new {
        let path = format!("/api/v1/plugins/{}/{}", identity.publisher, identity.name);
        return Ok(super::created(path, plugin));
    }
    Ok(Json(plugin).into_response())
}

/// `GET /plugins`
pub(in crate::http) async fn list(
    State(edge): State<Edge>,
    _: Caller,
    Asked { page, .. }: Asked<NoFilter>,
) -> Answer<List<PluginView>> {
    let name = |row: &ActivePlugin| format!("{}/{}", row.publisher, row.name);
    let after: Option<String> = page.position(Kind::Plugins)?;
    let mut rows = edge.flow.store.active_plugins().await?;
    rows.sort_by_key(name);
    rows.retain(|row| after.as_ref().is_none_or(|after| name(row) > *after));
    let current = edge.flow.registry.current();
    Ok(Json(page.list(Kind::Plugins, rows, name, |row| shown(row, &current))))
}

/// `GET /plugins/{publisher}/{name}`
pub(in crate::http) async fn show(
    State(edge): State<Edge>,
    _: Caller,
    At((publisher, name)): At<(String, String)>,
) -> Answer<PluginView> {
    Ok(Json(find(&edge, &publisher, &name).await?))
}
