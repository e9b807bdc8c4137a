//! From bytes to a release that can be called: inspected, compiled or taken from the cache, and
//! asked what it is.

use super::definition::{check_channel, check_identity, check_integration};
use super::engine::Sandbox;
use super::inspect::{Inspection, Refusal, inspect};
use super::state::GuestState;
use super::wit::v0_1::exports::{channel, choices, identity, integration, lifecycle, schedule};
use crate::domain::plugin::{ChannelDefinition, Identity, IntegrationDefinition};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre};

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
    pub(super) pre: InstancePre<GuestState>,
    pub(super) identity: Option<identity::GuestIndices>,
    pub(super) channel: Option<channel::GuestIndices>,
    pub(super) integration: Option<integration::GuestIndices>,
    pub(super) lifecycle: Option<lifecycle::GuestIndices>,
    pub(super) schedule: Option<schedule::GuestIndices>,
    pub(super) choices: Option<choices::GuestIndices>,
}

impl Callable {
    fn new(pre: InstancePre<GuestState>) -> Self {
        Self {
            plugin: Arc::from("a new component"),
            identity: identity::GuestIndices::new(&pre).ok(),
            channel: channel::GuestIndices::new(&pre).ok(),
            integration: integration::GuestIndices::new(&pre).ok(),
            lifecycle: lifecycle::GuestIndices::new(&pre).ok(),
            schedule: schedule::GuestIndices::new(&pre).ok(),
            choices: choices::GuestIndices::new(&pre).ok(),
            pre,
        }
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
        let component =
            compiled(&self.inner.engine, &self.inner.config.cache_dir, &inspection.digest, bytes)
                .map_err(told)?;
        let pre = self.inner.linker.instantiate_pre(&component).map_err(told)?;
        Ok((inspection, Callable::new(pre)))
    }
}

fn compiled(
    engine: &Engine,
    cache_dir: &Path,
    digest: &str,
    bytes: &[u8],
) -> wasmtime::Result<Component> {
    let path = cache_path(engine, cache_dir, digest);
    if path.exists()
        && let Some(component) = cached(engine, &path)
    {
        return Ok(component);
    }
    let component = Component::new(engine, bytes)?;
    if let Err(error) = keep(&path, &component) {
        tracing::warn!(path = %path.display(), %error, "compiled code not kept; it will be compiled again");
    }
    // From the file, so that its pages are shared with every other process and dropped under
    // memory pressure.
    Ok(cached(engine, &path).unwrap_or(component))
}

fn cache_path(engine: &Engine, cache_dir: &Path, digest: &str) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    cache_dir.join(format!("{digest}-{:016x}.cwasm", hasher.finish()))
}

#[allow(unsafe_code, reason = "see the safety comment")]
fn cached(engine: &Engine, path: &Path) -> Option<Component> {
    // SAFETY: the file must be what `Component::serialize` of a compatible engine wrote. It lies in
    // a directory that only this host's user may enter, was written under another name and renamed
    // when it was complete, is named after the component's digest and the engine's compatibility
    // hash, and is never changed afterwards. Nothing from outside ever gets there.
    match unsafe { Component::deserialize_file(engine, path) } {
        Ok(component) => Some(component),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "compiled code of another kind is dropped");
            // It is made anew either way.
            drop(std::fs::remove_file(path));
            None
        }
    }
}

fn keep(path: &Path, component: &Component) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)?;
    let bytes = component.serialize().map_err(std::io::Error::other)?;
    let temporary = directory.join(format!(".{}", crate::clock::new_id()));
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}
