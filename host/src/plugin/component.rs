//! From bytes to a release that can be called: inspected, compiled or taken from the cache, and
//! asked what it is.

use super::cache::Cache;
use super::definition::{check_channel, check_identity, check_integration};
use super::engine::Sandbox;
use super::guest::Pace;
use super::inspect::{Inspection, Refusal, inspect, interface_name};
use super::state::GuestState;
use super::wit::v0_1::exports::{channel, choices, identity, integration, lifecycle, schedule};
use crate::domain::plugin::{ChannelDefinition, Identity, IntegrationDefinition};
use std::sync::Arc;
use wasmtime::component::{Component, ComponentExportIndex, Instance, InstancePre};
use wasmtime::{AsContextMut, Engine};

/// A component that can be called.
pub struct Release {
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// Bytes of the component.
    pub size: u64,
    /// Who made it.
    pub identity: Identity,
    /// The channel that it provides.
    pub channel: Option<ChannelDefinition>,
    /// The integration that it provides.
    pub integration: Option<IntegrationDefinition>,
    /// Interfaces that it imports.
    pub imports: Vec<String>,
    /// Interfaces that it exports.
    pub exports: Vec<String>,
    pub(super) callable: Callable,
}

impl std::fmt::Debug for Release {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Release")
            .field("digest", &self.digest)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl Release {
    /// `publisher/name`.
    pub fn plugin(&self) -> &str {
        &self.callable.plugin
    }
}

/// What a call needs of a component: the pre-instance, and where each exported interface is.
#[derive(Clone)]
pub(super) struct Callable {
    pub(super) plugin: Arc<str>,
    pub(super) pace: Arc<Pace>,
    pub(super) pre: InstancePre<GuestState>,
    pub(super) identity: Option<identity::GuestIndices>,
    pub(super) channel: Option<channel::GuestIndices>,
    pub(super) integration: Option<integration::GuestIndices>,
    pub(super) lifecycle: Option<lifecycle::GuestIndices>,
    pub(super) schedule: Option<schedule::GuestIndices>,
    pub(super) choices: Option<choices::GuestIndices>,
    pub(super) webhook: WebhookExports,
}

/// Where the exports are that every webhook calls. Looking up one function instead of its whole
/// interface saves its call a few microseconds of comparing types.
#[derive(Clone, Copy)]
pub(super) struct WebhookExports {
    pub(super) verify: Option<ComponentExportIndex>,
    pub(super) parse: Option<ComponentExportIndex>,
    pub(super) inbound: Option<ComponentExportIndex>,
}

impl WebhookExports {
    fn new(component: &Component) -> Self {
        let find = |interface: &str, name: &str| {
            let interface = component.get_export_index(None, interface_name(interface))?;
            component.get_export_index(Some(&interface), name)
        };
        Self {
            verify: find("integration", "verify"),
            parse: find("integration", "parse"),
            inbound: find("channel", "inbound"),
        }
    }
}

impl Callable {
    fn new(pre: InstancePre<GuestState>) -> Self {
        Self {
            plugin: Arc::from("a new component"),
            pace: Arc::new(Pace::new()),
            identity: identity::GuestIndices::new(&pre).ok(),
            channel: channel::GuestIndices::new(&pre).ok(),
            integration: integration::GuestIndices::new(&pre).ok(),
            lifecycle: lifecycle::GuestIndices::new(&pre).ok(),
            schedule: schedule::GuestIndices::new(&pre).ok(),
            choices: choices::GuestIndices::new(&pre).ok(),
            webhook: WebhookExports::new(pre.component()),
            pre,
        }
    }

    /// Whether every interface that the component names among its exports is whole.
    fn check(&self, exports: &[String]) -> Result<(), Refusal> {
        let found = [
            ("identity", self.identity.is_some()),
            ("channel", self.channel.is_some()),
            ("integration", self.integration.is_some()),
            ("lifecycle", self.lifecycle.is_some()),
            ("schedule", self.schedule.is_some()),
            ("choices", self.choices.is_some()),
        ];
        let broken = found.into_iter().find(|(interface, whole)| {
            !whole && exports.iter().any(|name| *name == interface_name(interface))
        });
        broken.map_or(Ok(()), |(interface, _)| {
            Err(Refusal::IncompleteInterface { name: interface_name(interface) })
        })
    }

    /// Whether the exported functions have the types of the interface, also those that nobody
    /// calls when a component is installed.
    pub(super) fn check_types(
        &self,
        mut store: impl AsContextMut<Data = GuestState>,
        instance: &Instance,
    ) -> wasmtime::Result<()> {
        let store = &mut store.as_context_mut();
        self.identity.as_ref().map(|it| it.load(&mut *store, instance)).transpose()?;
        self.channel.as_ref().map(|it| it.load(&mut *store, instance)).transpose()?;
        self.integration.as_ref().map(|it| it.load(&mut *store, instance)).transpose()?;
        self.lifecycle.as_ref().map(|it| it.load(&mut *store, instance)).transpose()?;
        self.schedule.as_ref().map(|it| it.load(&mut *store, instance)).transpose()?;
        self.choices.as_ref().map(|it| it.load(&mut *store, instance)).transpose()?;
        Ok(())
    }
}

impl Sandbox {
    /// Makes a component callable: inspects it, compiles it or takes the compiled code from the
    /// cache, and asks it what it is.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn load(&self, bytes: Vec<u8>) -> Result<Arc<Release>, Refusal> {
        let sandbox = self.clone();
        let prepared = tokio::task::spawn_blocking(move || sandbox.prepare(&bytes)).await;
        let (inspection, mut callable) =
            prepared.map_err(|error| Refusal::DoesNotCompile(error.to_string()))??;
        let told = |error: super::CallError| Refusal::DoesNotDescribe(error.to_string());
        let identity = self.describe_identity(&callable).await.map_err(told)?;
        check_identity(&identity)?;
        callable.plugin = Arc::from(format!("{}/{}", identity.publisher, identity.name));
        let channel = match callable.channel {
            None => None,
            Some(_) => {
                let definition = self.describe_channel(&callable).await.map_err(told)?;
                check_channel(&definition)?;
                Some(definition)
            }
        };
        let integration = match callable.integration {
            None => None,
            Some(_) => {
                let definition = self.describe_integration(&callable).await.map_err(told)?;
                check_integration(&definition)?;
                Some(definition)
            }
        };
        let Inspection { digest, size, imports, exports } = inspection;
        Ok(Arc::new(Release {
            digest,
            size,
            identity,
            channel,
            integration,
            imports,
            exports,
            callable,
        }))
    }

    fn prepare(&self, bytes: &[u8]) -> Result<(Inspection, Callable), Refusal> {
        let inspection = inspect(bytes, self.inner.config.max_component_bytes)?;
        let told = |error: wasmtime::Error| Refusal::DoesNotCompile(format!("{error:#}"));
        let (engine, cache) = (&self.inner.engine, self.inner.cache.as_ref());
        let component = compiled(engine, cache, &inspection.digest, bytes).map_err(told)?;
        let pre = self.inner.linker.instantiate_pre(&component).map_err(told)?;
        let callable = Callable::new(pre);
        callable.check(&inspection.exports)?;
        Ok((inspection, callable))
    }
}

/// Compiled code: from the cache, or made now and kept.
fn compiled(
    engine: &Engine,
    cache: Option<&Cache>,
    digest: &str,
    bytes: &[u8],
) -> wasmtime::Result<Component> {
    let Some(cache) = cache else { return Component::new(engine, bytes) };
    if let Some(component) = cache.get(engine, digest) {
        return Ok(component);
    }
    let component = Component::new(engine, bytes)?;
    if let Err(error) = cache.keep(digest, &component) {
        tracing::warn!(digest, %error, "compiled code not kept; it will be compiled again");
    }
    // From the file, so that its pages are shared with every other process and dropped under
    // memory pressure.
    Ok(cache.get(engine, digest).unwrap_or(component))
}
