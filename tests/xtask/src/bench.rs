//! `cargo xtask bench`: the figures.

use crate::tools;

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
    let mut arguments = vec!["run", "--quiet", "--release", "-p", "tidegate-bench", "--"];
    arguments.extend(options.name.as_deref());
    if options.json {
        arguments.push("--json");
    }
    if options.smoke {
        arguments.push("--smoke");
    }
    tools::run_cargo(&arguments)
}
