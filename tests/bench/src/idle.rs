//! What a server holds that does nothing.

use crate::Effort;
use crate::figure::{Figure, Target};
use anyhow::Context;
use tidegate_tests::desk::{Database, slack_desk};

/// Resident memory of a process, in megabytes.
fn resident_mb(pid: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kib * 1_024.0 / 1_000_000.0)
}

pub(crate) async fn measure(effort: Effort) -> anyhow::Result<Vec<Figure>> {
    let mut runs = Vec::new();
    let mut fresh = Vec::new();
    for _ in 0..effort.runs {
        let mut desk = slack_desk(Database::Sqlite).await;
        fresh.push(resident_mb(desk.server().pid())?);
        desk.desk.stop().await;
        desk.start_again().await;
        // The first request shows that it serves from the cache.
        desk.admin.get("/api/v1/plugins").await;
        runs.push(resident_mb(desk.server().pid())?);
    }
    Ok(vec![Figure {
        name: "resident memory after a restart from cache, idle",
        unit: "MB",
        beside: format!(
            "{:.0} MB before, having compiled the plugin",
            crate::figure::median(&fresh)
        ),
        runs,
        target: Target::AtMost(100.0),
    }])
}
