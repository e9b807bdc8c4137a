//! `tidegate plugin`.

use crate::config::Config;
use crate::plugin::{Inspection, inspect};
use anyhow::Context;
use clap::Subcommand;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(super) enum Plugin {
    /// Say what a component imports and exports, and whether this host would take it
    Inspect {
        /// The component, a .wasm file
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(config: &Config, command: Plugin) -> anyhow::Result<ExitCode> {
    let Plugin::Inspect { file, json } = command;
    let bytes =
        std::fs::read(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    let found = inspect(&bytes, config.plugin_max_bytes);
    if json {
        let answer = match &found {
            Ok(Inspection { digest, size, imports, exports }) => json!({
                "accepted": true,
                "digest": format!("sha256:{digest}"),
                "bytes": size,
                "imports": imports,
                "exports": exports,
            }),
            Err(refusal) => json!({ "accepted": false, "reason": refusal.to_string() }),
        };
        println!("{answer:#}");
    } else {
        match &found {
            Ok(Inspection { digest, size, imports, exports }) => {
                println!("{}", file.display());
                println!("  sha256:{digest}");
                println!("  {size} bytes");
                println!("exports");
                exports.iter().for_each(|name| println!("  {name}"));
                println!("imports");
                imports.iter().for_each(|name| println!("  {name}"));
                println!("This host would take it.");
            }
            Err(refusal) => println!("This host would not take it: {refusal}"),
        }
    }
    Ok(if found.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
