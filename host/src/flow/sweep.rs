//! Expired leases, held requests, retention.

use super::Flow;
use crate::clock;
use crate::domain::exchange::Verdict;
use crate::domain::id::{AccountId, IntakeId};
use crate::store::StoreError;
use crate::store::intake::HeldIntake;
use crate::store::lease::Kind;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a request is held at most, in milliseconds.
pub const HELD_MS: i64 = 72 * 3_600_000;
/// Held requests that are in memory at once.
const HELD_PER_PAGE: i64 = 50;
/// How often what the plugin could not verify is tried without a change of the snapshot.
const HELD_AGAIN: Duration = Duration::from_secs(30);
/// How often what has served its time is forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// Sweeps until `stop`.
pub async fn run(flow: Flow, stop: CancellationToken) {
    let mut verified_at_generation = -1;
    let mut last_held = clock::instant();
    let mut last_forgotten = None;
    loop {
        for kind in Kind::ALL {
            match flow.store.expire_leases(kind, clock::now()).await {
                Ok(0) => {}
                Ok(rows) => {
                    tracing::warn!(
                        kind = kind.table(),
                        rows,
                        "leases expired; the work is taken up again"
                    );
                    wake(&flow, kind);
                }
                Err(error) => tracing::warn!(%error, "leases not swept"),
            }
        }
        match flow.store.intake_backlog().await {
            Ok(backlog) => flow.counts.backlog.store(backlog, Ordering::Relaxed),
            Err(error) => tracing::warn!(%error, "the backlog could not be counted"),
        }
        let generation = flow.registry.current().generation;
        if generation != verified_at_generation || last_held.elapsed() >= HELD_AGAIN {
            verified_at_generation = generation;
            last_held = clock::instant();
            if let Err(error) = verify_held(&flow).await {
                tracing::warn!(%error, "held requests not verified");
            }
        }
        if last_forgotten.is_none_or(|at: std::time::Instant| at.elapsed() >= FORGET_EVERY) {
            last_forgotten = Some(clock::instant());
            if let Err(error) = forget(&flow).await {
                tracing::warn!(%error, "retention not carried out");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_millis(flow.tuning.poll_ms)) => {}
        }
    }
}

fn wake(flow: &Flow, kind: Kind) {
    let wakes = flow.store.wakes();
    match kind {
        Kind::Intake => wakes.intake.notify_one(),
        Kind::Delivery => wakes.delivery.notify_one(),
        Kind::Attachment => wakes.attachment.notify_one(),
    }
}

async fn forget(flow: &Flow) -> Result<(), StoreError> {
    let now = clock::now();
    flow.store.kv_expire(now).await?;
    let done = now.plus_ms(-flow.tuning.keep_done_ms);
    let dead = now.plus_ms(-flow.tuning.keep_dead_ms);
    flow.store.forget_intakes(done, dead).await?;
    Ok(())
}

/// Verifies what was held, as of its arrival. A component that failed at a request is not asked
/// again; when the next one fails too, the request is a dead letter.
async fn verify_held(flow: &Flow) -> Result<(), StoreError> {
    let mut after = IntakeId(0);
    loop {
        let page = flow.store.held_intakes(after, HELD_PER_PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.id;
        for held in page {
            let (account, id) = (held.account, held.id);
            let ending = judge(flow, held).await;
            settle(flow, account, id, ending).await?;
        }
    }
}

enum Ending {
    Admit { request_id: Option<String>, lane: Option<String> },
    Over { state: &'static str, reason: String },
    Fault { release: String, reason: String },
    Wait,
}

async fn judge(flow: &Flow, held: HeldIntake) -> Ending {
    let snapshot = flow.registry.current();
    if held.request.received_at.plus_ms(HELD_MS) < clock::now() {
        let reason = "held for 72 hours without a plugin that could verify it".to_owned();
        return Ending::Over { state: "dead", reason };
    }
    let Some(connection) = snapshot.connection(held.connection) else { return Ending::Wait };
    let Some(release) = &connection.release else { return Ending::Wait };
    if held.fault_release.as_ref() == Some(&release.digest) {
        return Ending::Wait;
    }
    match flow.sandbox.verify(connection, held.request).await {
        Ok(Verdict::Accepted { request_id, lane, .. }) => Ending::Admit { request_id, lane },
        Ok(Verdict::Answered(_)) => {
            Ending::Over { state: "done", reason: "a handshake whose caller is gone".to_owned() }
        }
        Ok(Verdict::Refused(reason)) => Ending::Over {
            state: "dead",
            reason: format!("refused once it was verified: {reason}"),
        },
        Err(error) if error.is_fault() && held.fault_release.is_some() => {
            Ending::Over { state: "dead", reason: format!("two releases failed at it: {error}") }
        }
        Err(error) if error.is_fault() => {
            Ending::Fault { release: release.digest.clone(), reason: error.to_string() }
        }
        Err(_) => Ending::Wait,
    }
}

async fn settle(
    flow: &Flow,
    account: AccountId,
    id: IntakeId,
    ending: Ending,
) -> Result<(), StoreError> {
    if matches!(ending, Ending::Wait) {
        return Ok(());
    }
    flow.store
        .write(move |tx| {
            Box::pin(async move {
                let now = clock::now();
                match ending {
                    Ending::Admit { request_id, lane } => {
                        tx.admit_held(account, id, request_id, lane, now).await
                    }
                    Ending::Over { state, reason } => {
                        tx.settle_held(account, id, state, &reason, now).await
                    }
                    Ending::Fault { release, reason } => {
                        tx.blame_for_held(account, id, &release, &reason).await
                    }
                    Ending::Wait => Ok(()),
                }
            })
        })
        .await
}
