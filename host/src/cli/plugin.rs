//! `tidegate plugin`.

use crate::capability::HostLimits;
use crate::capability::context::Services;
use crate::capability::memory::NoMemory;
use crate::config::Config;
use crate::outgoing;
use crate::plugin::{Refusal, Release, Sandbox, SandboxConfig};
use crate::view::connection::sentence;
use anyhow::Context;
use clap::Subcommand;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Debug, Subcommand)]
pub(super) enum Plugin {
    /// Say what a component provides and asks for, and whether this host would take it
    Inspect {
        /// The component, a .wasm file
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(config: &Config, command: Plugin) -> anyhow::Result<ExitCode> {
    let Plugin::Inspect { file, json } = command;
    let bytes =
        std::fs::read(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    let found = examine(config, bytes).await?;
    if json {
        println!("{:#}", found.as_ref().map_or_else(refused, |release| accepted(release)));
    } else {
        println!("{}", file.display());
        match &found {
            Ok(release) => show(release),
            Err(refusal) => println!("This host would not take it: {refusal}"),
        }
    }
    Ok(if found.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Does what an upload does, without a store: nothing is kept, and nothing can be reached.
async fn examine(config: &Config, bytes: Vec<u8>) -> anyhow::Result<Result<Arc<Release>, Refusal>> {
    let services = Services {
        memory: Arc::new(NoMemory),
        client: outgoing::Client::new(outgoing::Policy { allow_loopback: false })?,
        host: tokio::runtime::Handle::current(),
        limits: HostLimits::default(),
    };
    let sandbox = SandboxConfig {
        cache_dir: None,
        instances: 1,
        max_component_bytes: config.plugin_max_bytes,
        ..SandboxConfig::new(PathBuf::new())
    };
    Ok(Sandbox::new(sandbox, Arc::new(services))?.load(bytes).await)
}

fn refused(refusal: &Refusal) -> serde_json::Value {
    json!({ "accepted": false, "reason": refusal.to_string() })
}

fn accepted(release: &Release) -> serde_json::Value {
    let integration = release.integration.as_ref();
    json!({
        "accepted": true,
        "digest": format!("sha256:{}", release.digest),
        "bytes": release.size,
        "identity": release.identity,
        "channel": release.channel.as_ref().map(|channel| json!({
            "key": channel.key, "label": channel.label, "requires": channel.requires,
        })),
        "integration": integration.map(|integration| json!({
            "key": integration.key, "label": integration.label, "provides": integration.provides,
            "requests": integration.requests,
        })),
        "imports": release.imports,
        "exports": release.exports,
    })
}

fn show(release: &Release) {
    let identity = &release.identity;
    println!("  {}/{} {}", identity.publisher, identity.name, identity.version);
    println!("  sha256:{}", release.digest);
    println!("  {} bytes", release.size);
    if let Some(channel) = &release.channel {
        println!("channel {} ({})", channel.key, channel.label);
        channel.requires.iter().for_each(|word| println!("  requires {word}"));
    }
    if let Some(integration) = &release.integration {
        println!("integration {} ({})", integration.key, integration.label);
        integration.provides.iter().for_each(|word| println!("  provides {word}"));
        for request in &integration.requests {
            let allows = sentence(request.capability, &request.scope);
            println!("  asks for: {allows} ({})", request.reason);
        }
    }
    println!("exports");
    release.exports.iter().for_each(|name| println!("  {name}"));
    println!("imports");
    release.imports.iter().for_each(|name| println!("  {name}"));
    println!("This host would take it.");
}
