//! `cargo xtask bench`: the figures.

use crate::tools;
use anyhow::{Context, bail};
use std::process::Command;
use tidegate_tests::places;

/// Measure: one table of figures, each beside its target.
///
/// Without a name all figures are taken. A figure is the median of at least five runs; what it is
/// compared with is measured in the same run.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The figure to take; all when none is named
    name: Option<String>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Run everything once, briefly, and judge nothing
    #[arg(long)]
    smoke: bool,
}

/// Builds what is measured and runs the measuring program.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    tools::prepare()?;
    tools::build_components(&["tidegate-plugin-slack"])?;
    tools::build_host()?;
    let program = places::target()?.join("release").join("tidegate-bench");
    let mut command = Command::new(&program);
    command.args(options.name.as_deref());
    if options.json {
        command.arg("--json");
    }
    if options.smoke {
        command.arg("--smoke");
    }
    let status = command.status().with_context(|| format!("running {}", program.display()))?;
    if !status.success() {
        bail!("The figures could not be taken.");
    }
    Ok(())
}
