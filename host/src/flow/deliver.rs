//! Claim a delivery → channel `outbound` → integration `send`, part by part → outcome → `apply`.
//!
//! Parts are stored before the first is sent, and an attempt before its request leaves, so that a
//! crash at any moment leaves evidence: an attempt without an end may have arrived.

use super::apply::{ApplyError, Scope, apply};
use super::{Flow, cards, leavings};
use crate::clock;
use crate::domain::command::{Actor, Command, MessageKey};
use crate::domain::exchange::{Failure, Outgoing, Party, Receipt, Recipient, Role};
use crate::domain::id::{AttemptId, DeliveryId};
use crate::domain::message::{Message, MessageState};
use crate::domain::plugin::{AttemptStamp, OutboundAction, OutboundMessage, ReplyTo};
use crate::domain::ticket::Ticket;
use crate::plugin::{Connection, Inbox, Snapshot};
use crate::store::delivery::{ClaimedDelivery, PartRow};
use crate::store::{StoreError, Tx};
use crate::worker::Step;
use std::sync::Arc;
use tokio::sync::Notify;

/// Refused credentials in a row after which a connection's sends pause.
const UNAUTHORIZED_LIMIT: i64 = 3;
/// What an attempt without an end is said to be.
const LOST: &str = "the server stopped while the request was under way; it may have arrived";

/// The step.
pub struct Deliver(pub Flow);

impl Step for Deliver {
    type Item = ClaimedDelivery;

    fn name(&self) -> &'static str {
        "deliver"
    }

    fn wake(&self) -> &Notify {
        &self.0.store.wakes().delivery
    }

    async fn claim(&self, room: usize) -> Result<Vec<ClaimedDelivery>, StoreError> {
        let now = clock::now();
        let until = now.plus_ms(self.0.tuning.lease_ms);
        let limit = i64::try_from(room).unwrap_or(1);
        self.0.store.claim_deliveries(clock::new_id(), now, until, limit).await
    }

    async fn work(&self, delivery: ClaimedDelivery) {
        let id = delivery.lease.id;
        let result = self.deliver(Arc::new(delivery)).await;
        match result {
            Ok(()) => {}
            Err(ApplyError::Store(error @ StoreError::LeaseLost(_))) => {
                tracing::warn!(delivery = id, %error, "delivery not written");
            }
            Err(error) => {
                tracing::error!(delivery = id, %error, "delivery not settled; its lease will expire");
            }
        }
    }
}

/// How a call for a delivery ended.
enum Outcome {
    Sent(Receipt),
    Retry { reason: String, after_ms: Option<u32> },
    Permanent(String),
    Unauthorized(String),
    Ambiguous(String),
}

impl Outcome {
    fn of(failure: Failure) -> Self {
        match failure {
            Failure::Retry { reason, after_ms } => Self::Retry { reason, after_ms },
            Failure::Permanent(reason) => Self::Permanent(reason),
            Failure::Unauthorized(reason) => Self::Unauthorized(reason),
            Failure::Ambiguous(reason) => Self::Ambiguous(reason),
            Failure::Other(kind, detail) => Self::Permanent(format!("{kind}: {detail}")),
        }
    }

    const fn word(&self) -> &'static str {
        match self {
            Self::Sent(_) => "sent",
            Self::Retry { .. } => "retry",
            Self::Permanent(_) => "permanent",
            Self::Unauthorized(_) => "unauthorized",
            Self::Ambiguous(_) => "ambiguous",
        }
    }

    fn reason(&self) -> Option<String> {
        match self {
            Self::Sent(_) => None,
            Self::Retry { reason, .. }
            | Self::Permanent(reason)
            | Self::Unauthorized(reason)
            | Self::Ambiguous(reason) => Some(reason.clone()),
        }
    }
}

/// What becomes of a delivery after a try.
enum Next {
    /// The next part, or the end.
    GoOn,
    /// The same part later.
    Later { reason: String, wait_ms: i64 },
    /// The end, with the part in this state.
    Stop { state: MessageState, reason: String },
}

/// With what a delivery is carried out.
struct Means {
    snapshot: Arc<Snapshot>,
    connection: Arc<Connection>,
    inbox: Arc<Inbox>,
}

impl Deliver {
    async fn deliver(&self, delivery: Arc<ClaimedDelivery>) -> Result<(), ApplyError> {
        let snapshot = self.0.registry.current();
        let means = match (
            snapshot.connection(delivery.connection).cloned(),
            snapshot.inbox(delivery.inbox).cloned(),
        ) {
            (Some(connection), Some(inbox)) => Means { snapshot, connection, inbox },
            _ => {
                let reason = "the inbox or its connection is not there".to_owned();
                return self.postpone(&delivery, reason, None, delivery.lease.attempts).await;
            }
        };
        if !delivery.composed && !self.compose_parts(&delivery, &means).await? {
            return Ok(());
        }
        let id = DeliveryId(delivery.lease.id);
        for part in self.0.store.parts(delivery.lease.account, id).await? {
            if part.state == MessageState::Pending
                && !self.send_part(&delivery, &means, part).await?
            {
                return Ok(());
            }
        }
        let done = Arc::clone(&delivery);
        self.write(&means, move |tx, scope| {
            Box::pin(async move {
                tx.finish(&done.lease, "sent", None, scope.now).await?;
                record(tx, scope, &done, None).await
            })
        })
        .await
    }

    /// Asks the channel for the parts and stores them; `false` when the delivery is over or waits.
    async fn compose_parts(
        &self,
        delivery: &Arc<ClaimedDelivery>,
        means: &Means,
    ) -> Result<bool, ApplyError> {
        let account = delivery.lease.account;
        let message = self.0.store.message(account, delivery.message).await?;
        let ticket = self.0.store.ticket(account, delivery.ticket).await?;
        let (Some(message), Some(ticket)) = (message, ticket) else {
            let reason = "the message or its ticket is gone".to_owned();
            return self.fail(delivery, means, reason).await.map(|()| false);
        };
        if message.deleted_at.is_some() {
            let reason = "the message was deleted before it was sent".to_owned();
            return self.fail(delivery, means, reason).await.map(|()| false);
        }
        let (action, to) = outbound_of(&ticket, message);
        let called =
            match self.0.sandbox.outbound(&means.connection, &means.inbox, action, to).await {
                Ok(called) => called,
                Err(error) => {
                    let attempts = delivery.lease.attempts;
                    let reason = error.to_string();
                    self.postpone(delivery, reason, None, attempts).await?;
                    return Ok(false);
                }
            };
        let parts = match called.value {
            Ok(parts) if parts.is_empty() => {
                let reason = "the channel found nothing to send in this message".to_owned();
                return self.fail(delivery, means, reason).await.map(|()| false);
            }
            Ok(parts) => parts,
            Err(failure) => {
                return match Outcome::of(failure) {
                    Outcome::Retry { reason, after_ms } => {
                        let attempts = delivery.lease.attempts;
                        self.postpone(delivery, reason, after_ms, attempts).await.map(|()| false)
                    }
                    other => {
                        let reason = other.reason().unwrap_or_default();
                        self.fail(delivery, means, reason).await.map(|()| false)
                    }
                };
            }
        };
        let parts: Vec<(Outgoing, String)> =
            parts.into_iter().map(|part| (part, clock::new_id())).collect();
        let left = leavings::Left::from(called.left);
        let (delivery, store) = (Arc::clone(delivery), self.0.store.clone());
        let lease_ms = self.0.tuning.lease_ms;
        self.write(means, move |tx, scope| {
            Box::pin(async move {
                tx.hold(&delivery.lease, scope.now.plus_ms(lease_ms), scope.now).await?;
                tx.create_parts(account, delivery.lease.id, &parts).await?;
                left.write(tx, &store, account, scope.now).await?;
                Ok(())
            })
        })
        .await
        .map(|()| true)
    }

    /// Sends one part; `false` when the delivery is over or waits.
    async fn send_part(
        &self,
        delivery: &Arc<ClaimedDelivery>,
        means: &Means,
        part: PartRow,
    ) -> Result<bool, ApplyError> {
        let idempotent = means
            .connection
            .release
            .as_ref()
            .and_then(|release| release.integration.as_ref())
            .is_some_and(|integration| integration.idempotent_send);
        let Some((attempt, number, lost)) = self.start(delivery, means, &part, idempotent).await?
        else {
            return Ok(false);
        };
        let stamp = AttemptStamp {
            idempotency_key: part.idempotency_key.clone(),
            number: u32::try_from(number).unwrap_or(u32::MAX),
            may_have_arrived: lost,
        };
        let content = part.content.clone();
        let (outcome, left) = match self.0.sandbox.send(&means.connection, content, stamp).await {
            Ok(called) => {
                let outcome = called.value.map_or_else(Outcome::of, Outcome::Sent);
                (outcome, leavings::Left::from(called.left))
            }
            // A guest that was stopped in the middle of `send` may have sent.
            Err(error) if error.is_fault() => {
                (Outcome::Ambiguous(error.to_string()), leavings::Left::default())
            }
            Err(error) => {
                let reason = error.to_string();
                (Outcome::Retry { reason, after_ms: None }, leavings::Left::default())
            }
        };
        let next = self.next(&outcome, number, idempotent);
        let goes_on = matches!(next, Next::GoOn);
        self.settle(delivery, means, part.number, attempt, outcome, next, left).await?;
        Ok(goes_on)
    }

    /// Writes the attempt before its request leaves. `None` when an earlier one may have arrived
    /// and must not be repeated: the delivery is over then.
    async fn start(
        &self,
        delivery: &Arc<ClaimedDelivery>,
        means: &Means,
        part: &PartRow,
        idempotent: bool,
    ) -> Result<Option<(AttemptId, i64, bool)>, ApplyError> {
        let (delivery, number) = (Arc::clone(delivery), part.number);
        let lease_ms = self.0.tuning.lease_ms;
        self.write(means, move |tx, scope| {
            Box::pin(async move {
                let (account, id, now) = (delivery.lease.account, delivery.lease.id, scope.now);
                let lost = tx.end_lost_attempts(account, id, number, LOST, now).await? > 0;
                if lost && !idempotent {
                    let reason = Some(LOST.to_owned());
                    let state = MessageState::Ambiguous;
                    tx.save_part(account, id, number, state, None, reason.clone()).await?;
                    tx.finish(&delivery.lease, "ambiguous", reason, now).await?;
                    record(tx, scope, &delivery, None).await?;
                    return Ok(None);
                }
                tx.hold(&delivery.lease, now.plus_ms(lease_ms), now).await?;
                let (attempt, count) = tx.start_attempt(account, id, number, now).await?;
                Ok(Some((attempt, count, lost)))
            })
        })
        .await
    }

    fn next(&self, outcome: &Outcome, number: i64, idempotent: bool) -> Next {
        let reason = outcome.reason().unwrap_or_default();
        let later = |after_ms| {
            let schedule = &self.0.tuning.delivery_retry;
            match schedule.wait_ms(number, after_ms, clock::jitter()) {
                Some(wait_ms) => Next::Later { reason: reason.clone(), wait_ms },
                None => Next::Stop {
                    state: MessageState::Failed,
                    reason: format!("given up after {number} tries: {reason}"),
                },
            }
        };
        match outcome {
            Outcome::Sent(_) => Next::GoOn,
            Outcome::Retry { after_ms, .. } => later(*after_ms),
            Outcome::Unauthorized(_) => later(None),
            Outcome::Ambiguous(_) if idempotent => later(None),
            Outcome::Ambiguous(_) => Next::Stop { state: MessageState::Ambiguous, reason },
            Outcome::Permanent(_) => Next::Stop { state: MessageState::Failed, reason },
        }
    }

    #[allow(clippy::too_many_arguments)]
    async fn settle(
        &self,
        delivery: &Arc<ClaimedDelivery>,
        means: &Means,
        part: i64,
        attempt: AttemptId,
        outcome: Outcome,
        next: Next,
        left: leavings::Left,
    ) -> Result<(), ApplyError> {
        let (delivery, store) = (Arc::clone(delivery), self.0.store.clone());
        let lease_ms = self.0.tuning.lease_ms;
        let shared = Arc::new((outcome, next, left));
        self.write(means, move |tx, scope| {
            Box::pin(async move {
                let (outcome, next, left) = &*shared;
                let (account, id, now) = (delivery.lease.account, delivery.lease.id, scope.now);
                let reason = outcome.reason();
                tx.finish_attempt(account, attempt, outcome.word(), reason, now).await?;
                match outcome {
                    Outcome::Sent(receipt) => {
                        let state = MessageState::from_delivery(&receipt.state)
                            .unwrap_or(MessageState::Sent);
                        let external_id = receipt.external_id.clone();
                        tx.save_part(account, id, part, state, external_id, None).await?;
                        tx.resume_sends(account, delivery.connection).await?;
                    }
                    Outcome::Unauthorized(reason) => {
                        let limit = UNAUTHORIZED_LIMIT;
                        tx.count_unauthorized(account, delivery.connection, limit, reason).await?;
                    }
                    Outcome::Retry { .. } | Outcome::Permanent(_) | Outcome::Ambiguous(_) => {}
                }
                match next {
                    Next::GoOn => {
                        tx.hold(&delivery.lease, now.plus_ms(lease_ms), now).await?;
                    }
                    Next::Later { reason, wait_ms } => {
                        let run_at = now.plus_ms(*wait_ms);
                        let waits = MessageState::Pending;
                        tx.save_part(account, id, part, waits, None, Some(reason.clone())).await?;
                        tx.try_again(&delivery.lease, run_at, reason.clone(), now).await?;
                    }
                    Next::Stop { state, reason } => {
                        let why = Some(reason.clone());
                        tx.save_part(account, id, part, *state, None, why.clone()).await?;
                        let word =
                            if *state == MessageState::Ambiguous { "ambiguous" } else { "failed" };
                        tx.finish(&delivery.lease, word, why, now).await?;
                    }
                }
                let receipt = match outcome {
                    Outcome::Sent(receipt) => Some(receipt),
                    _ => None,
                };
                record(tx, scope, &delivery, receipt).await?;
                left.write(tx, &store, account, now).await?;
                Ok(())
            })
        })
        .await
    }

    /// The whole delivery later, or failed when it was tried often enough.
    async fn postpone(
        &self,
        delivery: &Arc<ClaimedDelivery>,
        reason: String,
        after_ms: Option<u32>,
        attempts: i64,
    ) -> Result<(), ApplyError> {
        let schedule = &self.0.tuning.delivery_retry;
        let wait = schedule.wait_ms(attempts, after_ms, clock::jitter());
        let delivery = Arc::clone(delivery);
        let snapshot = self.0.registry.current();
        write(&self.0, &snapshot, move |tx, scope| {
            Box::pin(async move {
                match wait {
                    Some(wait_ms) => {
                        let run_at = scope.now.plus_ms(wait_ms);
                        tx.try_again(&delivery.lease, run_at, reason, scope.now).await?;
                        Ok(())
                    }
                    None => {
                        let reason = format!("given up after {attempts} tries: {reason}");
                        failed(tx, scope, &delivery, reason).await
                    }
                }
            })
        })
        .await
    }

    async fn fail(
        &self,
        delivery: &Arc<ClaimedDelivery>,
        means: &Means,
        reason: String,
    ) -> Result<(), ApplyError> {
        let delivery = Arc::clone(delivery);
        self.write(means, move |tx, scope| {
            Box::pin(async move { failed(tx, scope, &delivery, reason).await })
        })
        .await
    }

    async fn write<T, F>(&self, means: &Means, work: F) -> Result<T, ApplyError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx, &'t Scope<'t>) -> Pending<'t, T> + Send + 'static,
    {
        write(&self.0, &means.snapshot, work).await
    }
}

type Pending<'t, T> = futures_util::future::BoxFuture<'t, Result<T, ApplyError>>;

/// One transaction in the host's name.
async fn write<T, F>(flow: &Flow, snapshot: &Arc<Snapshot>, work: F) -> Result<T, ApplyError>
where
    T: Send + 'static,
    F: for<'t> FnOnce(&'t mut Tx, &'t Scope<'t>) -> Pending<'t, T> + Send + 'static,
{
    let snapshot = Arc::clone(snapshot);
    flow.store
        .write(move |tx| {
            Box::pin(async move {
                let actor = Actor::System;
                // The account of each command is that of its delivery; see `record`.
                let account = crate::domain::id::AccountId(0);
                let scope =
                    Scope { account, actor: &actor, now: clock::now(), snapshot: &snapshot };
                work(tx, &scope).await
            })
        })
        .await
}

async fn failed(
    tx: &mut Tx,
    scope: &Scope<'_>,
    delivery: &ClaimedDelivery,
    reason: String,
) -> Result<(), ApplyError> {
    tx.finish(&delivery.lease, "failed", Some(reason.clone()), scope.now).await?;
    let command = Command::RecordState {
        message: MessageKey::Id(delivery.message),
        state: MessageState::Failed,
        detail: Some(reason),
        external_id: None,
        thread_key: None,
        settles: false,
    };
    let scope = Scope { account: delivery.lease.account, ..scope.clone() };
    apply(tx, &scope, command).await?;
    Ok(())
}

/// The message is in the worst state of its parts.
async fn record(
    tx: &mut Tx,
    scope: &Scope<'_>,
    delivery: &ClaimedDelivery,
    receipt: Option<&Receipt>,
) -> Result<(), ApplyError> {
    let account = delivery.lease.account;
    let parts = tx.parts(account, delivery.lease.id).await?;
    let Some(state) = MessageState::worst(parts.iter().map(|part| part.state)) else {
        return Ok(());
    };
    let worst = parts.iter().find(|part| part.state == state);
    let command = Command::RecordState {
        message: MessageKey::Id(delivery.message),
        state,
        detail: worst.and_then(|part| part.reason.clone()),
        external_id: parts.first().and_then(|part| part.external_id.clone()),
        thread_key: receipt.and_then(|receipt| receipt.thread_key.clone()),
        settles: false,
    };
    let scope = Scope { account, ..scope.clone() };
    apply(tx, &scope, command).await?;
    Ok(())
}

fn outbound_of(ticket: &Ticket, message: Message) -> (OutboundAction, ReplyTo) {
    let view = cards::view_of(ticket);
    let contact = view.contact.clone();
    let source_id = ticket.contact.as_ref().map(|c| c.address.clone()).unwrap_or_default();
    let action = OutboundAction::Message(OutboundMessage {
        id: message.id.to_string(),
        author: Party {
            address: String::new(),
            name: Some(message.author_name),
            ..Party::default()
        },
        recipients: contact.map(|party| Recipient { role: Role::To, party }).into_iter().collect(),
        subject: Some(ticket.subject.clone()),
        body: message.body,
        attachments: Vec::new(),
    });
    (action, ReplyTo { ticket: view, source_id, thread: ticket.thread.clone() })
}
