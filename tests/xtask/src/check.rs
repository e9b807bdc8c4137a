//! `cargo xtask up --check`: plays the printed lines and judges what they show.

use crate::up::{Line, Place};
use anyhow::{Context, bail};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tidegate_tests::{PATIENCE, places};

/// Starts a demo in a fresh folder on free ports and plays its lines.
pub(crate) async fn run() -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("tidegate-check-").tempdir()?;
    let (listen, provider) = free_addresses()?;
    let place = Place { data: folder.path().join("data"), listen, provider };
    let started = Instant::now();
    let demo = place.open().await?;
    let token = demo.token.as_deref().context("a first start without a token")?;
    let exports = place.exports(Some(token));
    for export in &exports {
        println!("$ {}", export.replace(token, "tg_…"));
    }
    let mut failed = None;
    for line in place.lines()? {
        if let Err(error) = play(&exports, &line).await {
            failed = Some(error);
            break;
        }
    }
    demo.server.stop().await;
    if let Some(error) = failed {
        let log = std::fs::read_to_string(place.data.join("server.log")).unwrap_or_default();
        eprintln!("\nThe server's log:\n{log}");
        return Err(error);
    }
    // A second start finds everything as it was.
    let again = place.open().await?;
    anyhow::ensure!(again.token.is_none(), "the second start created something anew");
    again.server.stop().await;
    println!("\nEvery line did what it says ({:.1} s).", started.elapsed().as_secs_f64());
    Ok(())
}

async fn play(exports: &[String], line: &Line) -> anyhow::Result<()> {
    println!("\n# {}\n$ {}", line.about, line.command);
    let started = Instant::now();
    loop {
        let mut script = exports.join("\n");
        script.push('\n');
        script.push_str(&line.command);
        let output = Command::new("sh")
            .args(["-c", &script])
            .current_dir(places::sources())
            .env("CARGO_TARGET_DIR", places::target()?)
            .stdin(Stdio::null())
            .output()
            .context("running sh")?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let worked = output.status.success() && (line.shows)(&printed);
        // What only looks may come before the work behind it is done.
        if worked || !line.looks || started.elapsed() > PATIENCE {
            print!("{printed}{}", String::from_utf8_lossy(&output.stderr));
            if worked {
                return Ok(());
            }
            bail!("This line did not show what it says: {}", line.command);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Two different free addresses.
fn free_addresses() -> anyhow::Result<(SocketAddr, SocketAddr)> {
    let (one, other) = (
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
    );
    Ok((one.local_addr()?, other.local_addr()?))
}
