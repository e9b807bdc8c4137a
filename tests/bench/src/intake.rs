//! Webhooks under load: what is acknowledged, how fast, and whether the work keeps up.

use crate::Effort;
use crate::figure::{Figure, Target};
use anyhow::{Context, bail};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tidegate_tests::desk::{Database, SlackDesk, slack_desk};
use tidegate_tests::{client, slack};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// Slack channels that the messages are spread over: each is a lane.
const CHANNELS: u64 = 40;

/// One run under an open load: every webhook has the moment at which it was meant to leave, and its
/// latency counts from there.
struct Load {
    committed_each_second: f64,
    p99_ms: f64,
    backlog_end: f64,
}

async fn run(effort: Effort) -> anyhow::Result<Load> {
    let desk: SlackDesk = slack_desk(Database::Sqlite).await;
    let url = desk.slack.webhook_url();
    let total = effort.rate * effort.seconds;
    let latencies = Arc::new(Mutex::new(Vec::<f64>::new()));
    let failed = Arc::new(AtomicU64::new(0));
    let http = client::http();
    let mut sending = JoinSet::new();
    let started = Instant::now();
    let mut tick = interval(Duration::from_micros(1_000_000 / effort.rate));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0..total {
        let intended = tick.tick().await;
        let channel = format!("C{:08}", number % CHANNELS);
        let envelope = desk.slack.message(&channel, "U00000001", &format!("load {number}"));
        let (http, url) = (http.clone(), url.clone());
        let (latencies, failed) = (Arc::clone(&latencies), Arc::clone(&failed));
        sending.spawn(async move {
            let body = envelope.bytes();
            let mut request = http.post(&url);
            for (name, value) in slack::signed_headers(slack::SIGNING_SECRET, &body) {
                request = request.header(name, value);
            }
            match request.body(body).send().await {
                Ok(answer) if answer.status().is_success() => {
                    let ms = intended.elapsed().as_secs_f64() * 1_000.0;
                    latencies.lock().await.push(ms);
                }
                _ => {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    while sending.join_next().await.is_some() {}
    let waiting = desk.admin.list_all("/api/v1/intakes?state=pending&limit=100").await.len();
    desk.all_worked().await;
    let worked_after = started.elapsed();
    let failed = failed.load(Ordering::Relaxed);
    if failed > 0 {
        bail!("{failed} of {total} webhooks were not acknowledged");
    }
    let done = desk.admin.list_all("/api/v1/tickets?limit=100").await.len();
    if u64::try_from(done)? != total {
        bail!("{total} webhooks made {done} tickets; each should have made one");
    }
    let mut latencies = latencies.lock().await.clone();
    latencies.sort_by(f64::total_cmp);
    let at = latencies.len() * 99 / 100;
    let p99_ms = *latencies.get(at).context("no latencies")?;
    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    Ok(Load {
        committed_each_second: total as f64 / worked_after.as_secs_f64(),
        p99_ms,
        backlog_end: waiting as f64,
    })
}

pub(crate) async fn measure(effort: Effort) -> anyhow::Result<Vec<Figure>> {
    let (mut rate, mut p99, mut backlog) = (vec![], vec![], vec![]);
    for _ in 0..effort.runs {
        let load = run(effort).await?;
        rate.push(load.committed_each_second);
        p99.push(load.p99_ms);
        backlog.push(load.backlog_end);
    }
    let offered = format!("offered {}/s for {} s", effort.rate, effort.seconds);
    Ok(vec![
        Figure {
            name: "webhook → committed message, SQLite, full durability",
            unit: "/s",
            beside: offered.clone(),
            runs: rate,
            target: Target::AtLeast(500.0),
        },
        Figure {
            name: "acknowledgement p99, from the intended moment",
            unit: "ms",
            beside: offered.clone(),
            runs: p99,
            target: Target::AtMost(25.0),
        },
        Figure {
            name: "intakes waiting when the last webhook was acknowledged",
            unit: "rows",
            beside: offered,
            runs: backlog,
            target: Target::AtMost(100.0),
        },
    ])
}
