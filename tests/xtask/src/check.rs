//! `cargo xtask up --check`: plays the printed lines and judges what they show.

use crate::up::{Demo, Line, Place};
use anyhow::{Context, bail};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::Instant;
use tidegate_tests::places;

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
    play_all(&place, &exports, demo).await?;
    // A second start finds everything as it was, and its lines do the same with the next ticket.
    println!("\n# Once more, after a restart");
    let again = place.open().await?;
    anyhow::ensure!(again.token.is_none(), "the second start created something anew");
    anyhow::ensure!(again.next_ticket == 2, "after a restart there is not one ticket");
    play_all(&place, &exports, again).await?;
    println!("\nEvery line did what it says ({:.1} s).", started.elapsed().as_secs_f64());
    Ok(())
}

/// Plays a demo's lines and stops its server.
async fn play_all(place: &Place, exports: &[String], demo: Demo) -> anyhow::Result<()> {
    let outcome = place.lines(demo.next_ticket)?.iter().try_for_each(|line| play(exports, line));
    demo.server.stop().await;
    demo.slack.stop().await;
    if outcome.is_err() {
        let log = std::fs::read_to_string(place.data.join("server.log")).unwrap_or_default();
        eprintln!("\nThe server's log:\n{log}");
    }
    outcome
}

fn play(exports: &[String], line: &Line) -> anyhow::Result<()> {
    println!("\n# {}\n$ {}", line.about, line.command);
    let output = Command::new("sh")
        .args(["-c", &format!("{}\n{}", exports.join("\n"), line.command)])
        .current_dir(places::sources())
        .env("CARGO_TARGET_DIR", places::target()?)
        .stdin(Stdio::null())
        .output()
        .context("running sh")?;
    let printed = String::from_utf8_lossy(&output.stdout);
    print!("{printed}{}", String::from_utf8_lossy(&output.stderr));
    if !output.status.success() || !(line.shows)(&printed) {
        bail!("This line did not show what it says: {}", line.command);
    }
    Ok(())
}

/// Two different free addresses.
fn free_addresses() -> anyhow::Result<(SocketAddr, SocketAddr)> {
    let (one, other) = (
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
    );
    Ok((one.local_addr()?, other.local_addr()?))
}
