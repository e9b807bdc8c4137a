//! The task runner: `cargo xtask up`, `test`, `bench` and `demo`.

mod bench;
mod check;
mod demo;
mod test;
mod tools;
mod up;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Tasks of the Tidegate workspace.
///
/// New here? `cargo xtask up` builds everything, starts a server with a small Slack beside it, and
/// prints the lines to paste. `cargo xtask test` tells whether all of it works.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Up(up::Options),
    Test(test::Options),
    Bench(bench::Options),
    #[command(subcommand)]
    Demo(demo::Task),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let outcome = match &arguments.task {
        Task::Up(options) => runtime.block_on(up::run(options)),
        Task::Test(options) => test::run(options),
        Task::Bench(options) => bench::run(options),
        Task::Demo(task) => runtime.block_on(demo::run(task)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("{error:#}");
    ExitCode::FAILURE
}
