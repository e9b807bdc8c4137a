//! Claim intakes → integration `parse` → channel `inbound` → commands → `apply`.
//!
//! The intakes of one lane are worked one after another; different lanes run side by side. What one
//! intake asks for, and the end of its lease, commit together. A poisoned intake goes to the dead
//! letters with its reason, and its neighbours go on.

use super::apply::{ApplyError, Scope, apply};
use super::{Flow, leavings};
use crate::clock;
use crate::domain::command::{
    Actor, AssigneeKey, Command, MessageKey, Receive, StatusKey, TicketKey, TicketPatch,
};
use crate::domain::exchange::{Content, Failure, InboundEvent, ProviderEvent, UnixMs};
use crate::domain::id::InboxId;
use crate::domain::limits;
use crate::domain::message::MessageState;
use crate::domain::plugin::{Acceptance, Change, ChannelCommand, Target};
use crate::domain::ticket::Priority;
use crate::plugin::{Connection, Inbox, Ingested, Snapshot};
use crate::store::StoreError;
use crate::store::intake::ClaimedIntake;
use crate::store::lease::Lease;
use crate::worker::Step;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Notify;

/// Most intakes of one claim, over all its lanes.
const INTAKES_PER_CLAIM: i64 = 64;
/// How often commands are decided again because another write came first.
const TRIES: usize = 5;

/// The step.
pub struct Ingest(pub Flow);

/// Intakes of one lane, in order.
pub struct Run(Vec<ClaimedIntake>);

impl Step for Ingest {
    type Item = Run;

    fn name(&self) -> &'static str {
        "ingest"
    }

    fn wake(&self) -> &Notify {
        &self.0.store.wakes().intake
    }

    async fn claim(&self, room: usize) -> Result<Vec<Run>, StoreError> {
        let now = clock::now();
        let lanes = i64::try_from(room).unwrap_or(1);
        let until = now.plus_ms(self.0.tuning.lease_ms);
        let total = INTAKES_PER_CLAIM.max(lanes);
        let claimed = self.0.store.claim_intakes(clock::new_id(), now, until, lanes, total).await?;
        let mut runs: BTreeMap<_, Vec<ClaimedIntake>> = BTreeMap::new();
        for intake in claimed {
            let lane = (intake.lease.account, intake.connection, intake.lane.clone());
            runs.entry(lane).or_default().push(intake);
        }
        Ok(runs.into_values().map(Run).collect())
    }

    async fn work(&self, Run(intakes): Run) {
        let mut waiting = intakes.into_iter();
        while let Some(intake) = waiting.next() {
            if !self.work_one(intake).await {
                // What follows in the lane must not overtake.
                let leases: Vec<Lease> = waiting.map(|intake| intake.lease).collect();
                if !leases.is_empty() {
                    self.give_back(leases).await;
                }
                return;
            }
        }
    }
}

/// What a call of the guests came to.
enum Outcome {
    /// Commands to apply, and what did not work out.
    Found {
        commands: Vec<Command>,
        trouble: Option<Trouble>,
        left: leavings::Left,
    },
    Trouble(Trouble),
}

/// Why an intake is not done.
enum Trouble {
    /// Try again, not before so many milliseconds.
    Again { reason: String, after_ms: Option<u32> },
    /// It will never work.
    Dead(String),
}

impl Ingest {
    /// Works on one intake; `false` when the rest of its lane has to wait.
    async fn work_one(&self, intake: ClaimedIntake) -> bool {
        let ClaimedIntake { lease, connection, request, .. } = intake;
        let snapshot = self.0.registry.current();
        let served = snapshot.connection(connection).cloned();
        let outcome = match &served {
            None => Outcome::Trouble(Trouble::Again {
                reason: format!("connection {connection} is not there"),
                after_ms: None,
            }),
            Some(served) => self.ask_guests(&snapshot, served, request).await,
        };
        let (commands, trouble, left) = match outcome {
            Outcome::Found { commands, trouble, left } => (commands, trouble, left),
            Outcome::Trouble(trouble) => (Vec::new(), Some(trouble), leavings::Left::default()),
        };
        let actor = Actor::Plugin { name: served.as_deref().map_or_else(String::new, plugin_name) };
        let settled = self.settle(&lease, &snapshot, actor, commands, trouble, left).await;
        match settled {
            Ok(in_order) => in_order,
            Err(ApplyError::Rejected(rejection)) => {
                let reason = format!("the plugin's command was refused: {rejection}");
                self.end(&lease, Trouble::Dead(reason)).await
            }
            Err(ApplyError::Store(error @ StoreError::LeaseLost(_))) => {
                tracing::warn!(intake = lease.id, %error, "intake not written");
                false
            }
            Err(ApplyError::Store(error)) => {
                let reason = error.to_string();
                self.end(&lease, Trouble::Again { reason, after_ms: None }).await
            }
        }
    }

    async fn ask_guests(
        &self,
        snapshot: &Snapshot,
        connection: &Arc<Connection>,
        request: crate::domain::exchange::HttpRequest,
    ) -> Outcome {
        let inbox = snapshot.inbox_of(connection.id);
        let called = match self.0.sandbox.ingest(connection, inbox, request).await {
            Ok(called) => called,
            Err(error) => {
                let reason = error.to_string();
                return Outcome::Trouble(Trouble::Again { reason, after_ms: None });
            }
        };
        let found = match called.value {
            Ok(found) => found,
            Err(failure) => return Outcome::Trouble(Trouble::of(failure)),
        };
        let mut commands = Vec::new();
        let mut trouble = None;
        for Ingested { event, outcome } in found {
            match (outcome, inbox) {
                (Err(failure), _) => trouble = Some(Trouble::of(failure).or_worse(trouble)),
                (Ok(asked), Some(inbox)) => match translate(inbox, &event, asked) {
                    Ok(translated) => commands.extend(translated),
                    Err(reason) => trouble = Some(Trouble::Dead(reason)),
                },
                // Without an inbox nobody reads it; it stays among the intakes and can be replayed.
                (Ok(_), None) => {}
            }
        }
        Outcome::Found { commands, trouble, left: leavings::Left::from(called.left) }
    }

    /// Commits commands, what the guests left and the end of the lease together. Answers whether
    /// the lane may go on.
    async fn settle(
        &self,
        lease: &Lease,
        snapshot: &Arc<Snapshot>,
        actor: Actor,
        commands: Vec<Command>,
        trouble: Option<Trouble>,
        left: leavings::Left,
    ) -> Result<bool, ApplyError> {
        let ending = self.ending(lease, trouble);
        let in_order = !matches!(ending, Ending::Again { .. });
        let shared = Arc::new((lease.clone(), actor, commands, ending, left));
        let mut tries = 0;
        loop {
            tries += 1;
            let (shared, snapshot, store) =
                (Arc::clone(&shared), Arc::clone(snapshot), self.0.store.clone());
            let result: Result<(), ApplyError> = self
                .0
                .store
                .write(move |tx| {
                    Box::pin(async move {
                        let (lease, actor, commands, ending, left) = &*shared;
                        let now = clock::now();
                        ending.write(tx, lease, now).await?;
                        let account = lease.account;
                        let scope = Scope { account, actor, now, snapshot: &snapshot };
                        for command in commands {
                            apply(tx, &scope, command.clone()).await?;
                        }
                        left.write(tx, &store, account, now).await?;
                        if let Some(log) = left.log() {
                            tx.log_intake(account, lease.id, log).await?;
                        }
                        Ok(())
                    })
                })
                .await;
            match result {
                Err(ApplyError::Store(StoreError::Conflict(_))) if tries < TRIES => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(in_order),
            }
        }
    }

    /// Ends an intake without commands.
    async fn end(&self, lease: &Lease, trouble: Trouble) -> bool {
        let snapshot = self.0.registry.current();
        let settled = self
            .settle(
                lease,
                &snapshot,
                Actor::System,
                Vec::new(),
                Some(trouble),
                leavings::Left::default(),
            )
            .await;
        match settled {
            Ok(in_order) => in_order,
            Err(error) => {
                tracing::error!(intake = lease.id, %error, "intake not settled; its lease will expire");
                false
            }
        }
    }

    fn ending(&self, lease: &Lease, trouble: Option<Trouble>) -> Ending {
        match trouble {
            None => Ending::Done,
            Some(Trouble::Dead(reason)) => Ending::Dead { reason },
            Some(Trouble::Again { reason, after_ms }) => {
                let schedule = &self.0.tuning.intake_retry;
                match schedule.wait_ms(lease.attempts, after_ms, clock::jitter()) {
                    Some(wait_ms) => Ending::Again { reason, wait_ms },
                    None => Ending::Dead {
                        reason: format!("given up after {} tries: {reason}", lease.attempts),
                    },
                }
            }
        }
    }

    async fn give_back(&self, leases: Vec<Lease>) {
        let result: Result<(), StoreError> = self
            .0
            .store
            .write(move |tx| Box::pin(async move { tx.give_back(&leases).await }))
            .await;
        if let Err(error) = result {
            tracing::warn!(%error, "intakes not given back; their leases will expire");
        }
    }
}

fn plugin_name(connection: &Connection) -> String {
    connection.release.as_ref().map_or_else(
        || connection.integration.clone(),
        |release| format!("{}/{}", release.identity.publisher, release.identity.name),
    )
}

/// How a lease ends.
enum Ending {
    Done,
    Dead { reason: String },
    Again { reason: String, wait_ms: i64 },
}

impl Ending {
    async fn write(
        &self,
        tx: &mut crate::store::Tx,
        lease: &Lease,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        match self {
            Self::Done => tx.finish(lease, "done", None, now).await,
            Self::Dead { reason } => {
                tracing::warn!(intake = lease.id, reason, "intake is a dead letter");
                tx.finish(lease, "dead", Some(reason.clone()), now).await
            }
            Self::Again { reason, wait_ms } => {
                tracing::info!(intake = lease.id, reason, wait_ms, "intake will be tried again");
                tx.try_again(lease, now.plus_ms(*wait_ms), reason.clone(), now).await
            }
        }
    }
}

impl Trouble {
    fn of(failure: Failure) -> Self {
        match failure {
            Failure::Retry { reason, after_ms } => Self::Again { reason, after_ms },
            Failure::Permanent(reason) => Self::Dead(reason),
            Failure::Unauthorized(reason) => {
                Self::Again { reason: format!("credentials refused: {reason}"), after_ms: None }
            }
            Failure::Ambiguous(reason) => Self::Again { reason, after_ms: None },
            Failure::Other(kind, detail) => Self::Dead(format!("{kind}: {detail}")),
        }
    }

    /// What can be tried again comes first: what it repeats changes nothing.
    fn or_worse(self, other: Option<Self>) -> Self {
        match (self, other) {
            (again @ Self::Again { .. }, _) => again,
            (_, Some(again @ Self::Again { .. })) => again,
            (dead, _) => dead,
        }
    }
}

/// The commands that a channel's changes mean. The names in them are the provider's, looked up
/// inside this inbox only.
fn translate(
    inbox: &Inbox,
    event: &ProviderEvent,
    asked: Vec<ChannelCommand>,
) -> Result<Vec<Command>, String> {
    if asked.len() > limits::COMMANDS_PER_CALL {
        return Err(format!(
            "the channel asked for {} commands; at most {} are carried out",
            asked.len(),
            limits::COMMANDS_PER_CALL
        ));
    }
    let mut commands = Vec::with_capacity(asked.len());
    for ChannelCommand { on, change } in asked {
        if let Some(command) = translate_one(inbox.id, event, on, change)? {
            commands.push(command);
        }
    }
    Ok(commands)
}

fn translate_one(
    inbox: InboxId,
    event: &ProviderEvent,
    on: Target,
    change: Change,
) -> Result<Option<Command>, String> {
    Ok(Some(match change {
        Change::Accept(acceptance) => accept(inbox, event, acceptance)?,
        Change::Send(body) => Command::Reply { ticket: ticket_key(inbox, on), body },
        Change::Note(text) => Command::Note { ticket: ticket_key(inbox, on), text },
        Change::Edit(body) => Command::EditMessage { message: message_key(inbox, on)?, body },
        Change::Delete => Command::DeleteMessage { message: message_key(inbox, on)? },
        Change::React(reaction) => Command::React { inbox, reaction },
        Change::Delivery(delivery) => {
            let Some(state) = MessageState::from_delivery(&delivery.state) else {
                return Ok(None);
            };
            Command::RecordState {
                message: MessageKey::External(inbox, delivery.external_id),
                state,
                detail: delivery.detail,
                external_id: None,
                thread_key: None,
                settles: false,
            }
        }
        Change::Contact(party) => Command::UpdateContact { inbox, party },
        Change::AddTag(tag) => {
            patch(inbox, on, TicketPatch { add_tags: vec![tag], ..TicketPatch::default() })
        }
        Change::RemoveTag(tag) => {
            patch(inbox, on, TicketPatch { remove_tags: vec![tag], ..TicketPatch::default() })
        }
        Change::SetStatus(word) => patch(
            inbox,
            on,
            TicketPatch { status: Some(StatusKey::Word(word)), ..TicketPatch::default() },
        ),
        Change::SetPriority(word) => {
            let priority = match word.as_str() {
                "none" | "" => None,
                word => Some(Priority::parse(word).ok_or_else(|| {
                    format!("priority: expected urgent, high, medium, low or none, found {word:?}")
                })?),
            };
            patch(inbox, on, TicketPatch { priority: Some(priority), ..TicketPatch::default() })
        }
        Change::Assign(email) => patch(
            inbox,
            on,
            TicketPatch {
                assignee: Some(Some(AssigneeKey::Email(email))),
                ..TicketPatch::default()
            },
        ),
        Change::SetField(key, json) => {
            let fields = [(field_key(key)?, field_value(&json)?)].into();
            patch(inbox, on, TicketPatch { fields, ..TicketPatch::default() })
        }
        // Presence is not a fact; there are no teams, and what only the channel knows has no place
        // that it could change.
        Change::Typing(_) | Change::Read(_) | Change::Transfer(_) | Change::Other(..) => {
            return Ok(None);
        }
    }))
}

fn accept(
    inbox: InboxId,
    event: &ProviderEvent,
    acceptance: Acceptance,
) -> Result<Command, String> {
    let ProviderEvent::Inbound(InboundEvent::Message(message)) = event else {
        return Err("the channel accepted a message where none arrived".to_owned());
    };
    let mut sender = message.sender.clone();
    if let Some(address) = acceptance.address {
        sender.address = address;
    }
    Ok(Command::Receive(Receive {
        inbox,
        external_id: message.external_id.clone(),
        sender,
        thread: acceptance.thread.unwrap_or_else(|| message.thread.clone()),
        subject: acceptance.subject.or_else(|| message.subject.clone()),
        body: acceptance.body.unwrap_or_else(|| Content { ..message.body.clone() }),
        attachments: message.attachments.clone(),
        sent_at: message.sent_at,
        fields: acceptance
            .fields
            .into_iter()
            .map(|(key, json)| Ok((field_key(key)?, field_value(&json)?)))
            .collect::<Result<_, String>>()?,
    }))
}

fn field_key(key: String) -> Result<String, String> {
    let fits = key.len() <= 64
        && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if fits {
        Ok(key)
    } else {
        Err(format!("expected a field key of a-z, 0-9 and _, found {key:?}"))
    }
}

fn field_value(json: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(json).map_err(|error| format!("a field's value is not JSON: {error}"))
}

fn ticket_key(inbox: InboxId, on: Target) -> TicketKey {
    match on {
        Target::Thread(thread) => TicketKey::Thread(inbox, thread),
        Target::Message(external_id) => TicketKey::Message(inbox, external_id),
        Target::Contact(address) => TicketKey::Contact(inbox, address),
    }
}

fn message_key(inbox: InboxId, on: Target) -> Result<MessageKey, String> {
    match on {
        Target::Message(external_id) => Ok(MessageKey::External(inbox, external_id)),
        Target::Thread(_) | Target::Contact(_) => {
            Err("the channel named a thread or a contact where a message is changed".to_owned())
        }
    }
}

fn patch(inbox: InboxId, on: Target, patch: TicketPatch) -> Command {
    Command::UpdateTicket { ticket: ticket_key(inbox, on), patch }
}
