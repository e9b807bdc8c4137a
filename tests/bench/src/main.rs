//! The figures: each beside what it is compared with, measured in the same run.
//!
//! `cargo xtask bench` runs this program. A figure is the median of at least five runs, with their
//! minimum and maximum. `--smoke` makes everything short and holds nothing against a target: it
//! shows that the figures can still be measured.

mod figure;
mod idle;
mod intake;
mod sandbox;

use anyhow::bail;
use clap::Parser;
use figure::{Figure, Report};

/// Measure Tidegate's figures
#[derive(Debug, Parser)]
#[command(
    name = "bench",
    after_help = "Names: sandbox, intake, idle. Without one, all are measured."
)]
struct Arguments {
    /// Only this group of figures
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Short runs without thresholds
    #[arg(long)]
    smoke: bool,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Runs of each figure.
    pub(crate) runs: usize,
    /// Calls in one run.
    pub(crate) calls: usize,
    /// Seconds of one run under load.
    pub(crate) seconds: u64,
    /// Webhooks in each second under load.
    pub(crate) rate: u64,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let effort = if arguments.smoke {
        Effort { runs: 1, calls: 50, seconds: 2, rate: 100 }
    } else {
        Effort { runs: 5, calls: 2_000, seconds: 60, rate: 510 }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let wanted = |name: &str| arguments.name.as_deref().is_none_or(|only| only == name);
    let mut figures: Vec<Figure> = Vec::new();
    if wanted("sandbox") {
        figures.extend(runtime.block_on(sandbox::measure(effort))?);
    }
    if wanted("intake") {
        figures.extend(runtime.block_on(intake::measure(effort))?);
    }
    if wanted("idle") {
        figures.extend(runtime.block_on(idle::measure(effort))?);
    }
    if figures.is_empty() {
        bail!("expected sandbox, intake or idle, found {:?}", arguments.name.unwrap_or_default());
    }
    let report = Report { smoke: arguments.smoke, figures };
    if arguments.json {
        println!("{:#}", report.json());
    } else {
        print!("{report}");
    }
    Ok(())
}
