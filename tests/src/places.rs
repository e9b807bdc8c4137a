//! Where the built things are: the binary, the components, the sources.

use anyhow::{Context, bail};
use std::path::{Path, PathBuf};

/// The Slack plugin's component.
pub const SLACK: &str = "tidegate_plugin_slack.wasm";

/// The guest that misbehaves as its settings say.
pub const HOSTILE: &str = "tidegate_guest_hostile.wasm";

/// The root of the sources.
pub fn sources() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Cargo's target directory: the one that this program was built into.
pub fn target() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("where this program is")?;
    let profile = program.ancestors().find(|folder| folder.ends_with("release"));
    match profile.and_then(Path::parent) {
        Some(target) => Ok(target.to_path_buf()),
        None => bail!("{} is not in a release folder: run with --release", program.display()),
    }
}

/// The server's binary: `TIDEGATE_BIN`, or the release build beside this program.
pub fn binary() -> anyhow::Result<PathBuf> {
    let binary = match std::env::var_os("TIDEGATE_BIN") {
        Some(path) => PathBuf::from(path),
        None => target()?.join("release").join("tidegate"),
    };
    present(binary, "cargo build --release -p tidegate")
}

/// A built component by its file name, from `TIDEGATE_COMPONENTS` or the plugin profile's folder.
pub fn component(file: &str) -> anyhow::Result<PathBuf> {
    let folder = match std::env::var_os("TIDEGATE_COMPONENTS") {
        Some(path) => PathBuf::from(path),
        None => target()?.join("wasm32-wasip2").join("plugin"),
    };
    present(folder.join(file), "cargo build --profile plugin --target wasm32-wasip2 -p …")
}

fn present(path: PathBuf, build: &str) -> anyhow::Result<PathBuf> {
    if !path.is_file() {
        bail!("{} is not there; `cargo xtask test` builds it, or: {build}", path.display());
    }
    Ok(path)
}
