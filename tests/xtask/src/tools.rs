//! The tools that every task needs, and what to say when one is missing.

use anyhow::{Context, bail};
use std::process::{Command, Stdio};
use tidegate_tests::places;

/// The target of every component.
pub(crate) const WASM: &str = "wasm32-wasip2";

/// Makes sure that components and the host can be built.
pub(crate) fn prepare() -> anyhow::Result<()> {
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    if !answers(&compiler, &["--version"]) {
        bail!(
            "There is no C compiler `{compiler}`: install one (Debian, Ubuntu: `apt-get install \
             gcc`; macOS: `xcode-select --install`) and run this again."
        );
    }
    let Ok(installed) = Command::new("rustup").args(["target", "list", "--installed"]).output()
    else {
        bail!("There is no `rustup`: install it from https://rustup.rs and run this again.");
    };
    if String::from_utf8_lossy(&installed.stdout).lines().any(|target| target == WASM) {
        return Ok(());
    }
    println!("Adding the target {WASM}");
    let status = Command::new("rustup").args(["target", "add", WASM]).status()?;
    if !status.success() {
        bail!("`rustup target add {WASM}` failed; it needs the network once.");
    }
    Ok(())
}

/// Builds components from packages of this workspace.
pub(crate) fn build_components(packages: &[&str]) -> anyhow::Result<()> {
    let mut arguments = vec!["build", "--profile", "plugin", "--target", WASM];
    for package in packages {
        arguments.extend(["-p", package]);
    }
    run_cargo(&arguments)
}

/// Builds the server, and what measures it. All of the workspace at once, as its tests are built: a
/// part alone would want other features of the same libraries, and they would be built twice.
pub(crate) fn build_host() -> anyhow::Result<()> {
    run_cargo(&["build", "--release", "--workspace", "--exclude", "xtask", "--bins"])
}

/// Runs cargo with its own output; it must succeed.
pub(crate) fn run_cargo(arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = cargo(arguments);
    let status = command.status().context("running cargo")?;
    if !status.success() {
        bail!("`cargo {}` failed.", arguments.join(" "));
    }
    Ok(())
}

/// A cargo command in this workspace, with the target directory of this program.
///
/// The variables that `cargo run` sets for this program are taken away: build scripts watch some
/// of them, and would run again and again.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(places::sources()).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let Some(name) = name.to_str() else { continue };
        let of_this_program = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
        if of_this_program.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    if let Ok(target) = places::target() {
        command.env("CARGO_TARGET_DIR", target);
    }
    command
}

fn answers(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
