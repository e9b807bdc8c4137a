//! Connections: settings and grants, and which secrets are set; never what they are.

use super::time;
use crate::capability::grant::Grant;
use crate::domain::plugin::{Capability, IntegrationDefinition};
use crate::plugin::secrets_of;
use crate::store::connection::{ConnectionRow, GrantRow, capability_word};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A connection.
#[derive(Debug, Serialize)]
pub struct ConnectionView {
    id: i64,
    integration: String,
    label: String,
    enabled: bool,
    /// Why its sends are paused.
    paused_reason: Option<String>,
    settings: BTreeMap<String, serde_json::Value>,
    secrets: Vec<SecretView>,
    grants: Vec<GrantView>,
    /// Nothing is missing.
    configured: bool,
    missing: Vec<MissingView>,
    webhook_url: String,
    created_at: String,
    updated_at: String,
}

#[derive(Debug, Serialize)]
struct SecretView {
    name: String,
    set: bool,
}

/// A grant, with the sentence that an operator reads.
#[derive(Debug, Serialize)]
pub struct GrantView {
    capability: &'static str,
    scope: String,
    sentence: String,
}

#[derive(Debug, Serialize)]
struct MissingView {
    /// `secret`, `setting` or `grant`.
    kind: &'static str,
    name: String,
}

impl From<&GrantRow> for GrantView {
    fn from((capability, scope): &GrantRow) -> Self {
        Self {
            capability: capability_word(*capability),
            scope: scope.clone(),
            sentence: sentence(*capability, scope),
        }
    }
}

/// What a grant allows, for people.
pub fn sentence(capability: Capability, scope: &str) -> String {
    Grant::parse(capability, scope).map_or_else(|error| error.to_string(), |grant| grant.sentence())
}

/// What a connection is shown from.
#[derive(Debug)]
pub struct Shown {
    /// The connection.
    pub row: ConnectionRow,
    /// The names of the secrets that are set.
    pub secrets: BTreeSet<String>,
    /// What was granted.
    pub grants: Vec<GrantRow>,
    /// What its integration still needs: kind and name.
    pub missing: Vec<(&'static str, String)>,
}

impl ConnectionView {
    /// The connection as its integration asks for it; `None` while no release provides it.
    pub fn new(
        shown: Shown,
        integration: Option<&IntegrationDefinition>,
        public_url: &str,
    ) -> Self {
        let Shown { row, secrets: set, grants, missing } = shown;
        let mut names = integration.map(secrets_of).unwrap_or_default();
        names.extend(set.iter().cloned());
        let webhook_url =
            format!("{public_url}/api/webhooks/integrations/{}/{}", row.integration, row.id);
        Self {
            id: row.id.0,
            label: row.label,
            enabled: row.enabled,
            paused_reason: row.paused_reason,
            settings: row.settings,
            secrets: names
                .into_iter()
                .map(|name| SecretView { set: set.contains(&name), name })
                .collect(),
            grants: grants.iter().map(GrantView::from).collect(),
            configured: integration.is_some() && missing.is_empty(),
            missing: missing.into_iter().map(|(kind, name)| MissingView { kind, name }).collect(),
            webhook_url,
            integration: row.integration,
            created_at: time(row.created_at),
            updated_at: time(row.updated_at),
        }
    }
}
