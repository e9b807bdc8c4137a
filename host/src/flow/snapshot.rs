//! What requests are served with: built aside from the rows, published as one.
//!
//! Component, verifier, grants, settings and secrets of a connection become visible together, under
//! the generation number that the rows had. A host that shares its database follows the number.

use super::Flow;
use crate::capability::context::{Allowance, InboxView};
use crate::capability::grant::{Grant, Grants};
use crate::capability::secrets::{SecretText, Secrets};
use crate::capability::settings::Settings;
use crate::plugin::{Connection, Inbox, Release, Snapshot, settings_with_defaults};
use crate::store::StoreError;
use crate::store::connection::FullConnection;
use crate::store::inbox::InboxRow;
use crate::store::plugin::ActivePlugin;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Builds the snapshot anew and publishes it.
///
/// # Errors
/// The database does not answer; the old snapshot stays.
pub async fn rebuild(flow: &Flow) -> Result<(), StoreError> {
    let _one_at_a_time = flow.rebuilding.lock().await;
    // Read first: rows that change while they are read make a generation of their own.
    let generation = flow.store.generation().await?;
    let active = flow.store.active_plugins().await?;
    let releases = load_releases(flow, &active).await?;
    let by_channel: HashMap<&str, &Arc<Release>> = releases
        .iter()
        .filter_map(|release| Some((release.channel.as_ref()?.key.as_str(), release)))
        .collect();
    let by_integration: HashMap<&str, &Arc<Release>> = releases
        .iter()
        .filter_map(|release| Some((release.integration.as_ref()?.key.as_str(), release)))
        .collect();
    let before = flow.registry.current();
    let connections = flow
        .store
        .full_connections()
        .await?
        .into_iter()
        .map(|full| {
            let release = by_integration.get(full.row.integration.as_str()).copied().cloned();
            let verified = full.row.verified_at.is_some()
                || before.connection(full.row.id).is_some_and(|known| known.was_verified());
            let hold = active.iter().any(|plugin| {
                plugin.hold_unverified
                    && plugin.integration_key.as_ref() == Some(&full.row.integration)
            });
            connection(full, release, hold, verified, flow.tuning.calls_per_connection)
        })
        .collect();
    let inboxes = flow
        .store
        .all_inboxes()
        .await?
        .into_iter()
        .map(|row| {
            let release = by_channel.get(row.channel.as_str()).copied().cloned();
            inbox(row, release)
        })
        .collect();
    flow.registry.publish(Snapshot::new(generation, releases.clone(), connections, inboxes));
    Ok(())
}

async fn load_releases(
    flow: &Flow,
    active: &[ActivePlugin],
) -> Result<Vec<Arc<Release>>, StoreError> {
    let before = flow.registry.current();
    let mut releases = Vec::new();
    for ActivePlugin { digest, publisher, name, .. } in active {
        if let Some(known) = before.release(digest) {
            releases.push(Arc::clone(known));
            continue;
        }
        let Some(bytes) = flow.store.get_content(digest, 0, u64::MAX >> 1).await? else {
            tracing::error!(digest, "plugin {publisher}/{name} is left out: its bytes are gone");
            continue;
        };
        match flow.sandbox.load(bytes).await {
            Ok(release) => releases.push(release),
            Err(refusal) => {
                tracing::error!(digest, %refusal, "plugin {publisher}/{name} is left out");
            }
        }
    }
    Ok(releases)
}

fn connection(
    full: FullConnection,
    release: Option<Arc<Release>>,
    hold: bool,
    verified: bool,
    calls: usize,
) -> Arc<Connection> {
    let FullConnection { row, secrets, grants } = full;
    let sections = release
        .as_ref()
        .and_then(|release| release.integration.as_ref())
        .map_or(&[][..], |integration| &integration.settings);
    let settings = effective(sections, &row.settings, "connection", row.id.0);
    let grants: Grants = grants
        .iter()
        .filter_map(|(capability, scope)| match Grant::parse(*capability, scope) {
            Ok(grant) => Some(grant),
            Err(error) => {
                tracing::error!(connection = row.id.0, %error, "grant left out");
                None
            }
        })
        .collect();
    let allowance = Allowance {
        account: row.account,
        connection: row.id,
        grants,
        settings,
        secrets: Secrets::new(
            secrets.into_iter().map(|(name, value)| (name, vec![SecretText::new(value)])),
        ),
    };
    Connection::new(
        Arc::new(allowance),
        row.integration,
        row.enabled,
        hold,
        verified,
        release,
        calls,
    )
}

fn inbox(row: InboxRow, release: Option<Arc<Release>>) -> Arc<Inbox> {
    let sections = release
        .as_ref()
        .and_then(|release| release.channel.as_ref())
        .map_or(&[][..], |channel| &channel.sections);
    let settings = effective(sections, &row.settings, "inbox", row.id.0);
    let view = Arc::new(InboxView { id: row.id, settings });
    Inbox::new(row.account, row.id, row.connection, row.channel, release, view)
}

/// The settings with their defaults. What a release does not know any more is left out; what it
/// requires and does not find is for `missing` to say.
fn effective(
    sections: &[crate::domain::plugin::SettingsSection],
    given: &std::collections::BTreeMap<String, serde_json::Value>,
    kind: &str,
    id: i64,
) -> Settings {
    match settings_with_defaults(sections, given) {
        Ok(settings) => settings,
        Err(errors) => {
            for error in &errors {
                tracing::warn!(kind, id, setting = error.name, "setting left out");
            }
            let mut known = given.clone();
            known.retain(|name, _| errors.iter().all(|error| error.name != *name));
            settings_with_defaults(sections, &known).unwrap_or_default()
        }
    }
}

/// Follows the generation number until `stop`.
pub async fn follow(flow: Flow, stop: CancellationToken) {
    let poll = Duration::from_millis(flow.tuning.poll_ms);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = flow.store.wakes().generation.notified() => {}
            () = tokio::time::sleep(poll) => {}
        }
        let result = match flow.store.generation().await {
            Ok(generation) if generation == flow.registry.current().generation => Ok(()),
            Ok(_) => rebuild(&flow).await,
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            tracing::warn!(%error, "the snapshot could not be brought up to date");
        }
    }
}
