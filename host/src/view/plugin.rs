//! Plugins: what a component says of itself, and what it asks for.

use super::connection::sentence;
use super::time;
use crate::domain::plugin::{
    Abilities, CapabilityRequest, ChannelDefinition, IntegrationDefinition, SettingsSection,
};
use crate::store::connection::capability_word;
use crate::store::plugin::ActivePlugin;
use serde::Serialize;
use serde_json::Value;

/// A plugin.
#[derive(Debug, Serialize)]
pub struct PluginView {
    publisher: String,
    name: String,
    version: String,
    digest: String,
    bytes: u64,
    license: Option<String>,
    homepage: Option<String>,
    channel: Option<ChannelView>,
    integration: Option<IntegrationView>,
    /// `active`, or `unavailable` when this host could not load the component.
    state: &'static str,
    installed_at: String,
}

/// What a loaded release adds to the row of its plugin.
#[derive(Debug)]
pub struct Loaded<'a> {
    /// SPDX expression.
    pub license: Option<&'a str>,
    /// Where to read more.
    pub homepage: Option<&'a str>,
    /// The channel that it provides.
    pub channel: Option<&'a ChannelDefinition>,
    /// The integration that it provides.
    pub integration: Option<&'a IntegrationDefinition>,
}

impl PluginView {
    /// The plugin, with what its release says when this host has it loaded.
    pub fn new(row: ActivePlugin, loaded: Option<&Loaded<'_>>) -> Self {
        Self {
            digest: format!("sha256:{}", row.digest),
            publisher: row.publisher,
            name: row.name,
            version: row.version,
            bytes: row.size,
            license: loaded.and_then(|loaded| loaded.license).map(str::to_owned),
            homepage: loaded.and_then(|loaded| loaded.homepage).map(str::to_owned),
            channel: loaded.and_then(|loaded| loaded.channel).map(ChannelView::from),
            integration: loaded.and_then(|loaded| loaded.integration).map(IntegrationView::from),
            state: if loaded.is_some() { "active" } else { "unavailable" },
            installed_at: time(row.installed_at),
        }
    }
}

#[derive(Debug, Serialize)]
struct ChannelView {
    key: String,
    label: String,
    abilities: Vec<&'static str>,
    content_kinds: Vec<String>,
    requires: Vec<String>,
    events: Vec<String>,
    settings: Vec<SectionView>,
}

impl From<&ChannelDefinition> for ChannelView {
    fn from(channel: &ChannelDefinition) -> Self {
        Self {
            key: channel.key.clone(),
            label: channel.label.clone(),
            abilities: words(channel.behavior.abilities),
            content_kinds: channel.behavior.content_kinds.clone(),
            requires: channel.requires.clone(),
            events: channel.events.clone(),
            settings: channel.sections.iter().map(SectionView::from).collect(),
        }
    }
}

fn words(abilities: Abilities) -> Vec<&'static str> {
    let Abilities { reply, start, edit, delete, react, typing, read, template, cc } = abilities;
    [
        ("reply", reply),
        ("start", start),
        ("edit", edit),
        ("delete", delete),
        ("react", react),
        ("typing", typing),
        ("read", read),
        ("template", template),
        ("cc", cc),
    ]
    .into_iter()
    .filter_map(|(word, can)| can.then_some(word))
    .collect()
}

#[derive(Debug, Serialize)]
struct IntegrationView {
    key: String,
    label: String,
    provides: Vec<String>,
    settings: Vec<SectionView>,
    requests: Vec<RequestView>,
    idempotent_send: bool,
    hold_unverified: bool,
    max_request_bytes: u32,
}

impl From<&IntegrationDefinition> for IntegrationView {
    fn from(integration: &IntegrationDefinition) -> Self {
        Self {
            key: integration.key.clone(),
            label: integration.label.clone(),
            provides: integration.provides.clone(),
            settings: integration.settings.iter().map(SectionView::from).collect(),
            requests: integration.requests.iter().map(RequestView::from).collect(),
            idempotent_send: integration.idempotent_send,
            hold_unverified: integration.hold_unverified,
            max_request_bytes: integration.max_request_bytes,
        }
    }
}

#[derive(Debug, Serialize)]
struct RequestView {
    capability: &'static str,
    scope: String,
    reason: String,
    sentence: String,
}

impl From<&CapabilityRequest> for RequestView {
    fn from(request: &CapabilityRequest) -> Self {
        Self {
            capability: capability_word(request.capability),
            scope: request.scope.clone(),
            reason: request.reason.clone(),
            sentence: sentence(request.capability, &request.scope),
        }
    }
}

#[derive(Debug, Serialize)]
struct SectionView {
    id: String,
    label: String,
    description: String,
    order: u32,
    /// JSON Schema 2020-12; null when the plugin's is not JSON.
    schema: Value,
}

impl From<&SettingsSection> for SectionView {
    fn from(section: &SettingsSection) -> Self {
        Self {
            id: section.id.clone(),
            label: section.label.clone(),
            description: section.description.clone(),
            order: section.order,
            schema: serde_json::from_str(&section.schema).unwrap_or(Value::Null),
        }
    }
}
