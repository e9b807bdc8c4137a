//! The loop that all claiming steps share: wake, claim, run, settle, back off, drain.

use crate::clock;
use crate::store::StoreError;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longest pause after the database did not answer, in milliseconds.
const LONGEST_PAUSE_MS: f64 = 2_000.0;

/// A step that claims rows and works on them.
pub trait Step: Send + Sync + 'static {
    /// What is claimed: a row, or rows that belong together.
    type Item: Send + 'static;

    /// The step's name in logs.
    fn name(&self) -> &'static str;

    /// What says that there may be work.
    fn wake(&self) -> &Notify;

    /// Claims at most `room` items.
    fn claim(
        &self,
        room: usize,
    ) -> impl Future<Output = Result<Vec<Self::Item>, StoreError>> + Send;

    /// Works on one item and settles it.
    fn work(&self, item: Self::Item) -> impl Future<Output = ()> + Send;
}

/// How a step runs.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Items worked at the same time.
    pub at_once: usize,
    /// How often to look without being woken.
    pub poll: Duration,
}

/// Runs a step until `stop`; work that was begun is finished, under `tasks`.
pub fn spawn<S: Step>(step: Arc<S>, pace: Pace, stop: CancellationToken, tasks: &TaskTracker) {
    let own = tasks.clone();
    tasks.spawn(async move {
        let room = Arc::new(Semaphore::new(pace.at_once));
        loop {
            let permit = tokio::select! {
                () = stop.cancelled() => return,
                permit = Arc::clone(&room).acquire_owned() => permit,
            };
            let Ok(first) = permit else { return };
            match step.claim(room.available_permits() + 1).await {
                Err(error) => {
                    drop(first);
                    tracing::warn!(step = step.name(), %error, "could not claim work");
                    pause(&stop).await;
                }
                Ok(items) if items.is_empty() => {
                    drop(first);
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = step.wake().notified() => {}
                        () = tokio::time::sleep(pace.poll) => {}
                    }
                }
                Ok(items) => {
                    let mut first = Some(first);
                    for item in items {
                        let permit = match first.take() {
                            Some(permit) => permit,
                            None => match Arc::clone(&room).acquire_owned().await {
                                Ok(permit) => permit,
                                Err(_) => return,
                            },
                        };
                        let step = Arc::clone(&step);
                        own.spawn(async move {
                            step.work(item).await;
                            drop(permit);
                            // What waited behind this item can be claimed now.
                            step.wake().notify_one();
                        });
                    }
                }
            }
        }
    });
}

async fn pause(stop: &CancellationToken) {
    let pause =
        Duration::from_secs_f64(LONGEST_PAUSE_MS * (0.25 + 0.75 * clock::jitter()) / 1_000.0);
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(pause) => {}
    }
}
