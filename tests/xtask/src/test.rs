//! `cargo xtask test`: everything that must hold, on both databases.

use crate::tools;
use anyhow::{Context, bail};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::Instant;
use tidegate_tests::places;
use tidegate_tests::postgres::{CLUSTER, Cluster, Disk};

/// The crates that are components as well as libraries.
const COMPONENTS: [&str; 2] = ["tidegate-plugin-slack", "tidegate-guest-hostile"];

/// Test everything: formatting, lints, and all tests on SQLite and on PostgreSQL.
///
/// The tests drive the real binary against a throw-away PostgreSQL cluster from the installed
/// binaries (on Debian, as root, they are installed when they are missing).
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Leave out formatting, lints and PostgreSQL
    #[arg(long)]
    quick: bool,
    /// Run only the tests whose name contains one of these
    filter: Vec<String>,
}

/// What cargo's test runner counted.
#[derive(Default)]
struct Count {
    passed: u64,
    failed: u64,
    ignored: u64,
    programs: u64,
}

/// Builds, checks and tests.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let started = Instant::now();
    tools::prepare()?;
    if !options.quick {
        tools::run_cargo(&["fmt", "--all", "--check"])
            .context("the sources are not formatted: run `cargo fmt --all`")?;
    }
    tools::build_components(&COMPONENTS)?;
    tools::build_host()?;
    let cluster = if options.quick { None } else { Some(Cluster::start(Disk::Unsynced)?) };
    if !options.quick {
        let lints = ["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"];
        tools::run_cargo(&lints)?;
        let mut lints = vec!["clippy", "--profile", "plugin", "--target", tools::WASM];
        lints.extend(COMPONENTS.iter().flat_map(|package| ["-p", package]));
        lints.extend(["--", "-D", "warnings"]);
        tools::run_cargo(&lints)?;
    }
    let (count, succeeded) = run_tests(options, cluster.as_ref())?;
    drop(cluster);
    println!("\n{} s, {} test programs", started.elapsed().as_secs(), count.programs);
    println!("tests: {} passed, {} failed", count.passed, count.failed);
    if count.ignored > 0 {
        bail!("{} tests were ignored; a test runs or it goes", count.ignored);
    }
    if !succeeded || count.failed > 0 {
        bail!("The tests failed.");
    }
    if count.passed == 0 {
        bail!("No test has run: is the filter right?");
    }
    Ok(())
}

fn run_tests(options: &Options, cluster: Option<&Cluster>) -> anyhow::Result<(Count, bool)> {
    let mut arguments = vec!["test", "--release", "--workspace", "--no-fail-fast"];
    arguments.push("--");
    if options.quick {
        arguments.extend(["--skip", "postgres"]);
    }
    arguments.extend(options.filter.iter().map(String::as_str));
    let mut command = tools::cargo(&arguments);
    command.env("TIDEGATE_BIN", places::binary()?);
    let component = places::component(places::SLACK)?;
    command.env("TIDEGATE_COMPONENTS", component.parent().context("the components' folder")?);
    if let Some(cluster) = cluster {
        command.env(CLUSTER, cluster.url());
    }
    let mut child = command.stdout(Stdio::piped()).spawn().context("running cargo test")?;
    let output = child.stdout.take().context("the output of cargo test")?;
    let mut count = Count::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        std::io::stdout().write_all(&line)?;
        println!();
        count.read(&String::from_utf8_lossy(&line));
    }
    Ok((count, child.wait()?.success()))
}

impl Count {
    /// Adds a line such as `test result: ok. 3 passed; 0 failed; 0 ignored; …`.
    fn read(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        self.programs += 1;
        let counts = result.split_once(". ").map_or(result, |(_, counts)| counts);
        for part in counts.split(';') {
            let mut words = part.split_whitespace();
            let number = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
            match words.next() {
                Some("passed") => self.passed += number,
                Some("failed") => self.failed += number,
                Some("ignored") => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Count;

    #[test]
    fn results_are_added_up() {
        let mut count = Count::default();
        count.read("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out");
        count.read("test some_test ... ok");
        count
            .read("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out");
        assert_eq!((count.passed, count.failed, count.ignored, count.programs), (4, 2, 1, 2));
    }
}
