//! Writes.
//!
//! SQLite has one writer. Two queues stand in front of it: intakes first, as one multi-row insert
//! per group, because a provider waits for its answer; then the work of the steps, many pieces in
//! one transaction for at most a few milliseconds, so that processing never delays an
//! acknowledgement. PostgreSQL takes each write on a connection of its own.

use crate::store::dialect::Dialect;
use crate::store::intake::NewIntake;
use crate::store::{Connection, Inner, StoreError, Tx, Wake, event, intake};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::{Any, AnyConnection, Executor};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Most intakes of one insert.
const INTAKES_PER_GROUP: usize = 64;
/// Most intakes that wait for the writer; more are answered with "busy".
const INTAKES_WAITING: usize = 1_024;
/// Most pieces of work that wait; more make their steps wait.
const WORK_WAITING: usize = 256;
/// How long one group of work may take before waiting intakes come first.
const GROUP_TIME: Duration = Duration::from_millis(5);

/// A piece of work whose types are forgotten until its answer is due.
pub(super) trait Job: Send {
    /// Does the work; says whether its writes are to be kept.
    fn run<'t>(&'t mut self, tx: &'t mut Tx) -> BoxFuture<'t, bool>;
    /// Answers whoever asked, after the commit or after its failure.
    fn settle(self: Box<Self>, committed: Result<(), StoreError>);
}

/// A piece of work with its types.
pub(super) struct Work<T, E, F> {
    work: Option<F>,
    result: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Work<T, E, F>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
{
    pub(super) fn boxed(work: F) -> (Box<dyn Job>, oneshot::Receiver<Result<T, E>>) {
        let (answer, receiver) = oneshot::channel();
        (Box::new(Self { work: Some(work), result: None, answer }), receiver)
    }
}

impl<T, E, F> Job for Work<T, E, F>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
{
    fn run<'t>(&'t mut self, tx: &'t mut Tx) -> BoxFuture<'t, bool> {
        Box::pin(async move {
            let Some(work) = self.work.take() else { return false };
            let result = AssertUnwindSafe(work(tx)).catch_unwind().await.unwrap_or_else(|_| {
                Err(E::from(StoreError::Database("the work panicked".to_owned())))
            });
            let keep = result.is_ok();
            self.result = Some(result);
            keep
        })
    }

    fn settle(self: Box<Self>, committed: Result<(), StoreError>) {
        let result = match (self.result, committed) {
            (Some(Err(error)), _) => Err(error),
            (_, Err(error)) => Err(E::from(error)),
            (Some(ok), Ok(())) => ok,
            (None, Ok(())) => Err(E::from(StoreError::Database("the work did not run".to_owned()))),
        };
        // Whoever asked may have gone away; the work is done all the same.
        drop(self.answer.send(result));
    }
}

pub(super) struct IntakeJob {
    intake: NewIntake,
    answer: oneshot::Sender<Result<(), StoreError>>,
}

/// How writes get into the database.
pub(super) enum Writer {
    Grouped { intakes: mpsc::Sender<IntakeJob>, work: mpsc::Sender<Message> },
    Pooled(sqlx::Pool<Any>),
}

pub(super) enum Message {
    Job(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

/// The writer's task, before it runs.
pub(super) struct Start {
    connection: AnyConnection,
    intakes: mpsc::Receiver<IntakeJob>,
    work: mpsc::Receiver<Message>,
}

impl Writer {
    pub(super) fn grouped(connection: AnyConnection) -> (Self, Start) {
        let (intakes, intake_queue) = mpsc::channel(INTAKES_WAITING);
        let (work, work_queue) = mpsc::channel(WORK_WAITING);
        let start = Start { connection, intakes: intake_queue, work: work_queue };
        (Self::Grouped { intakes, work }, start)
    }

    pub(super) const fn pooled(pool: sqlx::Pool<Any>) -> Self {
        Self::Pooled(pool)
    }

    pub(super) async fn submit(
        &self,
        inner: &Arc<Inner>,
        mut job: Box<dyn Job>,
    ) -> Result<(), StoreError> {
        match self {
            Self::Grouped { work, .. } => work
                .send(Message::Job(job))
                .await
                .map_err(|_| StoreError::Database("the writer has stopped".to_owned())),
            Self::Pooled(pool) => {
                let transaction = pool.begin().await?;
                let inner = Arc::clone(inner);
                // On its own task: a caller that goes away does not tear the work in two.
                tokio::spawn(async move {
                    let mut tx = Tx {
                        connection: Connection::Pooled(transaction),
                        dialect: Dialect::Postgres,
                        events: Vec::new(),
                        wakes: Vec::new(),
                        kv: Vec::new(),
                    };
                    let keep = job.run(&mut tx).await;
                    let committed = finish_pooled(tx, keep, &inner).await;
                    job.settle(committed);
                });
                Ok(())
            }
        }
    }

    /// Stores an intake durably. One whose request id was there before leaves no row.
    pub(super) async fn accept(
        &self,
        inner: &Arc<Inner>,
        intake: NewIntake,
    ) -> Result<(), StoreError> {
        match self {
            Self::Grouped { intakes, .. } => {
                let (answer, receiver) = oneshot::channel();
                intakes.try_send(IntakeJob { intake, answer }).map_err(|error| match error {
                    mpsc::error::TrySendError::Full(_) => {
                        StoreError::Busy { waiting: INTAKES_WAITING }
                    }
                    mpsc::error::TrySendError::Closed(_) => {
                        StoreError::Database("the writer has stopped".to_owned())
                    }
                })?;
                receiver
                    .await
                    .map_err(|_| StoreError::Database("the writer has stopped".to_owned()))?
            }
            Self::Pooled(pool) => {
                let mut connection = pool.acquire().await?;
                intake::insert(&mut connection, vec![intake]).await?;
                inner.ring(&[Wake::Intake], false);
                Ok(())
            }
        }
    }

    pub(super) async fn close(&self) {
        if let Self::Grouped { work, .. } = self {
            let (done, finished) = oneshot::channel();
            if work.send(Message::Close(done)).await.is_ok() {
                // An error only says that the writer was gone before.
                drop(finished.await);
            }
        }
    }
}

async fn finish_pooled(mut tx: Tx, keep: bool, inner: &Inner) -> Result<(), StoreError> {
    let result = if keep { event::append(&mut tx).await } else { Ok(()) };
    let Tx { connection, events, wakes, kv, .. } = tx;
    let Connection::Pooled(transaction) = connection else { return Ok(()) };
    if !keep || result.is_err() {
        transaction.rollback().await?;
        return result;
    }
    transaction.commit().await?;
    inner.kv.forget(&kv);
    inner.ring(&wakes, !events.is_empty());
    Ok(())
}

impl Start {
    pub(super) fn run(self, inner: Weak<Inner>) {
        tokio::spawn(write_groups(self, inner));
    }
}

async fn write_groups(start: Start, inner: Weak<Inner>) {
    let Start { connection, mut intakes, mut work } = start;
    let mut tx = Tx {
        connection: Connection::Own(connection),
        dialect: Dialect::Sqlite,
        events: Vec::new(),
        wakes: Vec::new(),
        kv: Vec::new(),
    };
    let mut group = Vec::with_capacity(INTAKES_PER_GROUP);
    loop {
        let mut first = None;
        tokio::select! {
            biased;
            count = intakes.recv_many(&mut group, INTAKES_PER_GROUP) => {
                if count == 0 {
                    return;
                }
            }
            message = work.recv() => first = message,
        }
        if !group.is_empty() {
            store_intakes(&mut tx, &mut group, &inner).await;
            first = work.try_recv().ok();
        }
        match first {
            None => {}
            Some(Message::Job(job)) => {
                if let Some(done) = run_group(&mut tx, job, &mut work, &inner).await {
                    let _ = done.send(());
                    return;
                }
            }
            Some(Message::Close(done)) => {
                let _ = done.send(());
                return;
            }
        }
    }
}

async fn store_intakes(tx: &mut Tx, group: &mut Vec<IntakeJob>, inner: &Weak<Inner>) {
    let (rows, answers): (Vec<_>, Vec<_>) =
        group.drain(..).map(|job| (job.intake, job.answer)).unzip();
    // One statement is a transaction of its own: it returns after the sync of its commit.
    let result = intake::insert(tx.connection(), rows).await.map(|_| ());
    for answer in answers {
        drop(answer.send(result.clone()));
    }
    if let Some(inner) = inner.upgrade() {
        inner.ring(&[Wake::Intake], false);
    }
}

/// Runs pieces of work in one transaction until the queue is empty or the time is over. Answers
/// with whom to tell when the writer was asked to stop.
async fn run_group(
    tx: &mut Tx,
    first: Box<dyn Job>,
    queue: &mut mpsc::Receiver<Message>,
    inner: &Weak<Inner>,
) -> Option<oneshot::Sender<()>> {
    let started = Instant::now();
    let mut done = Vec::new();
    let mut stop = None;
    let mut next = Some(first);
    let mut failure = execute(tx, "BEGIN IMMEDIATE").await.err();
    while let Some(mut job) = next.take() {
        if failure.is_none() {
            failure = run_in_savepoint(tx, job.as_mut()).await.err();
        }
        done.push(job);
        if failure.is_none() && started.elapsed() < GROUP_TIME {
            match queue.try_recv() {
                Ok(Message::Job(job)) => next = Some(job),
                Ok(Message::Close(sender)) => stop = Some(sender),
                Err(_) => {}
            }
        }
    }
    if failure.is_none() {
        failure = match event::append(tx).await {
            Ok(()) => execute(tx, "COMMIT").await.err(),
            Err(error) => Some(error),
        };
    }
    if failure.is_some() {
        // After a failed BEGIN or a commit that rolled back there is nothing to roll back.
        drop(execute(tx, "ROLLBACK").await);
    } else if let Some(inner) = inner.upgrade() {
        inner.committed(tx);
    }
    tx.events.clear();
    tx.wakes.clear();
    tx.kv.clear();
    for job in done {
        job.settle(failure.clone().map_or(Ok(()), Err));
    }
    stop
}

async fn run_in_savepoint(tx: &mut Tx, job: &mut dyn Job) -> Result<(), StoreError> {
    let events = tx.events.len();
    execute(tx, "SAVEPOINT work").await?;
    let keep = job.run(tx).await;
    if !keep {
        tx.events.truncate(events);
        execute(tx, "ROLLBACK TO work").await?;
    }
    execute(tx, "RELEASE work").await
}

async fn execute(tx: &mut Tx, statement: &'static str) -> Result<(), StoreError> {
    tx.connection().execute(statement).await?;
    Ok(())
}
