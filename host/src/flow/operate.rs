//! What operators change: plugins, connections with their secrets and grants, inboxes; replay and
//! retry. Each is one transaction; the new snapshot is published before the answer.

use super::{Flow, snapshot};
use crate::capability::grant::Grant;
use crate::clock;
use crate::domain::command::{Actor, Command, MessageKey};
use crate::domain::id::{AccountId, ConnectionId, DeliveryId, InboxId, IntakeId};
use crate::domain::limits;
use crate::domain::message::MessageState;
use crate::domain::plugin::{IntegrationDefinition, SettingsSection};
use crate::flow::apply::{ApplyError, Scope, apply};
use crate::plugin::{Refusal, Release, secrets_of, settings_with_defaults};
use crate::store::StoreError;
use crate::store::connection::{GrantRow, NewConnection};
use crate::store::plugin::{Activation, Taken};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Longest secret, in bytes.
const SECRET_BYTES: usize = 16 * 1024;

/// Why a component was not installed. Nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The component is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A key or a version is taken.
    #[error("{}", taken_sentence(.0))]
    Taken(Taken),
    /// The memory did not do its part.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn taken_sentence(taken: &Taken) -> String {
    match taken {
        Taken::Key { kind, key, owner } => {
            format!("the {kind} key \"{key}\" belongs to the plugin {owner}")
        }
        Taken::Version { digest } => format!(
            "this version is known with other contents (sha256:{digest}); give the new ones a new version"
        ),
    }
}

/// One thing that is wrong with what an operator sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// JSON Pointer to it.
    pub pointer: String,
    /// A stable word.
    pub code: &'static str,
    /// What was expected and what was found.
    pub detail: String,
}

/// Why an operator's change was not carried out. Nothing was stored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OperateError {
    /// It is not there.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// Something of it cannot be.
    #[error("{}", .0.iter().map(|error| error.detail.as_str()).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<FieldError>),
    /// It does not go together with what is there.
    #[error("{detail}")]
    Conflict {
        /// A stable word.
        code: &'static str,
        /// What is in the way.
        detail: String,
    },
    /// The memory did not do its part.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn invalid(
    pointer: impl Into<String>,
    code: &'static str,
    detail: impl Into<String>,
) -> FieldError {
    FieldError { pointer: pointer.into(), code, detail: detail.into() }
}

/// Installs a component and makes it serve its plugin's new calls. Answers the release, and whether
/// it is new.
///
/// # Errors
/// It is refused, or a key is taken; nothing was stored.
pub async fn install(flow: &Flow, bytes: Vec<u8>) -> Result<(Arc<Release>, bool), InstallError> {
    let release = flow.sandbox.load(bytes.clone()).await?;
    if let Some(active) = flow.registry.current().release(&release.digest) {
        return Ok((Arc::clone(active), false));
    }
    let activation = Activation {
        digest: release.digest.clone(),
        identity: release.identity.clone(),
        size: release.size,
        channel_key: release.channel.as_ref().map(|channel| channel.key.clone()),
        integration_key: release.integration.as_ref().map(|integration| integration.key.clone()),
        hold_unverified: release.integration.as_ref().is_some_and(|it| it.hold_unverified),
    };
    // Content without a row that names it is harmless; a row without its content is not.
    flow.store.put_content(bytes).await?;
    flow.store
        .write(move |tx| {
            Box::pin(async move {
                match tx.activate(&activation, clock::now()).await? {
                    Ok(()) => Ok(()),
                    Err(taken) => Err(InstallError::Taken(taken)),
                }
            })
        })
        .await?;
    snapshot::rebuild(flow).await?;
    tracing::info!(
        plugin = format!("{}/{}", release.identity.publisher, release.identity.name),
        version = release.identity.version,
        digest = release.digest,
        "plugin active"
    );
    Ok((release, true))
}

/// The grants that an operator gives.
#[derive(Clone, Debug)]
pub enum GrantsAsked {
    /// Everything that the integration asks for.
    Requested,
    /// Exactly these.
    Listed(Vec<GrantRow>),
}

impl GrantsAsked {
    fn rows(self, integration: &IntegrationDefinition) -> Result<Vec<GrantRow>, FieldError> {
        let asked: Vec<GrantRow> = integration
            .requests
            .iter()
            .map(|request| (request.capability, request.scope.clone()))
            .collect();
        let rows = match self {
            Self::Requested => asked,
            Self::Listed(rows) => rows,
        };
        for (at, (capability, scope)) in rows.iter().enumerate() {
            if let Err(error) = Grant::parse(*capability, scope) {
                return Err(invalid(format!("/grants/{at}"), "invalid_grant", error.to_string()));
            }
        }
        Ok(rows)
    }
}

fn checked_name(pointer: &str, name: &str) -> Result<String, FieldError> {
    let name = name.trim();
    let chars = name.chars().count();
    if chars == 0 || chars > limits::NAME_CHARS {
        let detail = format!("expected 1 to {} characters, found {chars}", limits::NAME_CHARS);
        return Err(invalid(pointer, "invalid_length", detail));
    }
    Ok(name.to_owned())
}

/// The given settings, checked against the sections; defaults are not stored.
fn checked_settings(
    sections: &[SettingsSection],
    given: &BTreeMap<String, serde_json::Value>,
) -> Result<(), Vec<FieldError>> {
    settings_with_defaults(sections, given).map(|_| ()).map_err(|errors| {
        errors
            .into_iter()
            .map(|error| {
                let detail =
                    format!("{}: expected {}, found {}", error.name, error.expected, error.found);
                invalid(format!("/settings/{}", error.name), "invalid_setting", detail)
            })
            .collect()
    })
}

fn checked_secret(
    pointer: String,
    integration: Option<&IntegrationDefinition>,
    name: &str,
    value: &str,
) -> Result<(), FieldError> {
    let word = !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if !word {
        let detail = format!("expected a name of a-z, 0-9 and _, found {name:?}");
        return Err(invalid(pointer, "invalid_name", detail));
    }
    if let Some(integration) = integration {
        let known = secrets_of(integration);
        if !known.contains(name) {
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            let detail = format!("{} uses the secrets {known}, found {name:?}", integration.key);
            return Err(invalid(pointer, "unknown_secret", detail));
        }
    }
    if value.is_empty() || value.len() > SECRET_BYTES {
        let detail = format!("expected 1 to {SECRET_BYTES} bytes, found {}", value.len());
        return Err(invalid(pointer, "invalid_length", detail));
    }
    Ok(())
}

fn integration_of(flow: &Flow, key: &str) -> Option<IntegrationDefinition> {
    flow.registry.current().integration(key).and_then(|release| release.integration.clone())
}

/// Makes a connection with its secrets and grants.
///
/// # Errors
/// See [`OperateError`].
pub async fn create_connection(
    flow: &Flow,
    new: NewConnection,
    secrets: BTreeMap<String, String>,
    grants: GrantsAsked,
) -> Result<ConnectionId, OperateError> {
    let Some(integration) = integration_of(flow, &new.integration) else {
        let detail = format!("no active plugin provides the integration {:?}", new.integration);
        return Err(OperateError::Invalid(vec![invalid(
            "/integration",
            "unknown_integration",
            detail,
        )]));
    };
    let mut errors = Vec::new();
    let label = checked_name("/label", &new.label).map_err(|error| errors.push(error));
    if let Err(found) = checked_settings(&integration.settings, &new.settings) {
        errors.extend(found);
    }
    for (name, value) in &secrets {
        let known = Some(&integration);
        if let Err(error) = checked_secret(format!("/secrets/{name}"), known, name, value) {
            errors.push(error);
        }
    }
    let rows = grants.rows(&integration).map_err(|error| errors.push(error));
    let (Ok(label), Ok(rows), true) = (label, rows, errors.is_empty()) else {
        return Err(OperateError::Invalid(errors));
    };
    let new = NewConnection { label, ..new };
    let store = flow.store.clone();
    let id = flow
        .store
        .write::<_, OperateError, _>(move |tx| {
            Box::pin(async move {
                let now = clock::now();
                let id = tx.create_connection(&new, now).await?;
                for (name, value) in &secrets {
                    let sealed = store.seal_secret(id, name, value)?;
                    tx.set_secret(new.account, id, name, sealed, now).await?;
                }
                tx.set_grants(new.account, id, &rows, now).await?;
                tx.next_generation().await?;
                Ok(id)
            })
        })
        .await?;
    snapshot::rebuild(flow).await?;
    Ok(id)
}

/// What to change on a connection; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct ConnectionPatch {
    /// Shown to people.
    pub label: Option<String>,
    /// Settings by name; `None` takes one away.
    pub settings: Option<BTreeMap<String, Option<serde_json::Value>>>,
    /// On or off.
    pub enabled: Option<bool>,
    /// Its grants.
    pub grants: Option<GrantsAsked>,
}

fn merged(
    mut settings: BTreeMap<String, serde_json::Value>,
    patch: BTreeMap<String, Option<serde_json::Value>>,
) -> BTreeMap<String, serde_json::Value> {
    for (name, value) in patch {
        match value {
            Some(value) => settings.insert(name, value),
            None => settings.remove(&name),
        };
    }
    settings
}

/// Changes a connection.
///
/// # Errors
/// See [`OperateError`].
pub async fn update_connection(
    flow: &Flow,
    account: AccountId,
    id: ConnectionId,
    patch: ConnectionPatch,
) -> Result<(), OperateError> {
    let mut row =
        flow.store.connection(account, id).await?.ok_or(OperateError::NotFound("connection"))?;
    let integration = integration_of(flow, &row.integration);
    let mut errors = Vec::new();
    if let Some(label) = patch.label {
        match checked_name("/label", &label) {
            Ok(label) => row.label = label,
            Err(error) => errors.push(error),
        }
    }
    if let Some(enabled) = patch.enabled {
        row.enabled = enabled;
    }
    if let Some(settings) = patch.settings {
        row.settings = merged(row.settings, settings);
        let sections = integration.as_ref().map_or(&[][..], |integration| &integration.settings);
        if let Err(found) = checked_settings(sections, &row.settings) {
            errors.extend(found);
        }
    }
    let mut grants = None;
    if let Some(asked) = patch.grants {
        match &integration {
            None => errors.push(invalid(
                "/grants",
                "unknown_integration",
                format!("no active plugin provides the integration {:?}", row.integration),
            )),
            Some(integration) => match asked.rows(integration) {
                Ok(rows) => grants = Some(rows),
                Err(error) => errors.push(error),
            },
        }
    }
    if !errors.is_empty() {
        return Err(OperateError::Invalid(errors));
    }
    flow.store
        .write::<_, OperateError, _>(move |tx| {
            Box::pin(async move {
                let now = clock::now();
                if !tx.save_connection(&row, now).await? {
                    return Err(OperateError::NotFound("connection"));
                }
                tx.resume_sends(account, id).await?;
                if let Some(rows) = grants {
                    tx.set_grants(account, id, &rows, now).await?;
                }
                tx.next_generation().await?;
                tx.wake(crate::store::Wake::Delivery);
                Ok(())
            })
        })
        .await?;
    snapshot::rebuild(flow).await?;
    Ok(())
}

/// Sets a secret of a connection. It can be used from now on, and never read.
///
/// # Errors
/// See [`OperateError`].
pub async fn set_secret(
    flow: &Flow,
    account: AccountId,
    id: ConnectionId,
    name: String,
    value: String,
) -> Result<(), OperateError> {
    let row =
        flow.store.connection(account, id).await?.ok_or(OperateError::NotFound("connection"))?;
    let integration = integration_of(flow, &row.integration);
    checked_secret("/value".to_owned(), integration.as_ref(), &name, &value)
        .map_err(|error| OperateError::Invalid(vec![error]))?;
    let sealed = flow.store.seal_secret(id, &name, &value)?;
    flow.store
        .write::<_, OperateError, _>(move |tx| {
            Box::pin(async move {
                tx.set_secret(account, id, &name, sealed, clock::now()).await?;
                tx.resume_sends(account, id).await?;
                tx.next_generation().await?;
                tx.wake(crate::store::Wake::Delivery);
                Ok(())
            })
        })
        .await?;
    snapshot::rebuild(flow).await?;
    Ok(())
}

/// Forgets a secret of a connection: what needs it is refused from now on.
///
/// # Errors
/// See [`OperateError`].
pub async fn delete_secret(
    flow: &Flow,
    account: AccountId,
    id: ConnectionId,
    name: String,
) -> Result<(), OperateError> {
    flow.store
        .write::<_, OperateError, _>(move |tx| {
            Box::pin(async move {
                if !tx.delete_secret(account, id, &name).await? {
                    return Err(OperateError::NotFound("secret"));
                }
                tx.next_generation().await?;
                Ok(())
            })
        })
        .await?;
    snapshot::rebuild(flow).await?;
    Ok(())
}

/// Asks the integration whether settings and secrets are good. The inner answer is its sentence.
///
/// # Errors
/// See [`OperateError`].
pub async fn check_connection(
    flow: &Flow,
    account: AccountId,
    id: ConnectionId,
) -> Result<Result<String, String>, OperateError> {
    let current = flow.registry.current();
    let connection = current
        .connection(id)
        .filter(|connection| connection.account == account)
        .ok_or(OperateError::NotFound("connection"))?;
    let answer = match flow.sandbox.check(connection).await {
        Err(error) => return Ok(Err(error.to_string())),
        Ok(called) => called.value,
    };
    let refused = matches!(&answer, Err(crate::domain::exchange::Failure::Unauthorized(_)));
    let sentence = answer.map_err(|failure| sentence_of(&failure));
    let good = sentence.is_ok();
    let reason = sentence.as_ref().err().cloned().unwrap_or_default();
    if good || refused {
        flow.store
            .write::<_, OperateError, _>(move |tx| {
                Box::pin(async move {
                    if good {
                        tx.resume_sends(account, id).await?;
                        tx.wake(crate::store::Wake::Delivery);
                    } else {
                        // One refusal from `check` is enough to pause sends.
                        tx.count_unauthorized(account, id, 1, &reason).await?;
                    }
                    Ok(())
                })
            })
            .await?;
    }
    Ok(sentence)
}

fn sentence_of(failure: &crate::domain::exchange::Failure) -> String {
    use crate::domain::exchange::Failure;
    match failure {
        Failure::Retry { reason, .. } => format!("not now: {reason}"),
        Failure::Permanent(reason) | Failure::Ambiguous(reason) => reason.clone(),
        Failure::Unauthorized(reason) => format!("credentials refused: {reason}"),
        Failure::Other(kind, detail) => format!("{kind}: {detail}"),
    }
}

/// Binds a channel to a connection.
///
/// # Errors
/// See [`OperateError`].
pub async fn create_inbox(
    flow: &Flow,
    account: AccountId,
    connection: ConnectionId,
    channel: String,
    name: String,
    settings: BTreeMap<String, serde_json::Value>,
) -> Result<InboxId, OperateError> {
    let current = flow.registry.current();
    let row = flow.store.connection(account, connection).await?.ok_or_else(|| {
        let detail = format!("there is no connection {connection}");
        OperateError::Invalid(vec![invalid("/connection_id", "unknown_connection", detail)])
    })?;
    let definition = current.channel(&channel).and_then(|release| release.channel.as_ref());
    let Some(definition) = definition else {
        let detail = format!("no active plugin provides the channel {channel:?}");
        return Err(OperateError::Invalid(vec![invalid("/channel", "unknown_channel", detail)]));
    };
    let mut errors = Vec::new();
    let name = checked_name("/name", &name).map_err(|error| errors.push(error));
    if let Err(found) = checked_settings(&definition.sections, &settings) {
        errors.extend(found);
    }
    match integration_of(flow, &row.integration) {
        None => errors.push(invalid(
            "/connection_id",
            "unknown_integration",
            format!("no active plugin provides the integration {:?}", row.integration),
        )),
        Some(integration) => {
            let missing = definition.missing_from(&integration);
            if !missing.is_empty() {
                let detail = format!(
                    "the integration \"{}\" does not provide what the channel \"{channel}\" requires: {}",
                    integration.key,
                    missing.join(", ")
                );
                errors.push(invalid("/connection_id", "missing_capability", detail));
            }
        }
    }
    let (Ok(name), true) = (name, errors.is_empty()) else {
        return Err(OperateError::Invalid(errors));
    };
    let id = flow
        .store
        .write::<_, OperateError, _>(move |tx| {
            Box::pin(async move {
                let now = clock::now();
                let id = tx
                    .create_inbox(account, connection, &channel, &name, &settings, now)
                    .await?
                    .ok_or_else(|| OperateError::Conflict {
                        code: "connection_taken",
                        detail: format!("connection {connection} has an inbox already"),
                    })?;
                tx.next_generation().await?;
                Ok(id)
            })
        })
        .await?;
    snapshot::rebuild(flow).await?;
    Ok(id)
}

/// Changes an inbox.
///
/// # Errors
/// See [`OperateError`].
pub async fn update_inbox(
    flow: &Flow,
    account: AccountId,
    id: InboxId,
    name: Option<String>,
    settings: Option<BTreeMap<String, Option<serde_json::Value>>>,
) -> Result<(), OperateError> {
    let mut row = flow.store.inbox(account, id).await?.ok_or(OperateError::NotFound("inbox"))?;
    let mut errors = Vec::new();
    if let Some(name) = name {
        match checked_name("/name", &name) {
            Ok(name) => row.name = name,
            Err(error) => errors.push(error),
        }
    }
    if let Some(patch) = settings {
        row.settings = merged(row.settings, patch);
        let current = flow.registry.current();
        let channel = current.channel(&row.channel).and_then(|release| release.channel.as_ref());
        let sections = channel.map_or(&[][..], |channel| &channel.sections);
        if let Err(found) = checked_settings(sections, &row.settings) {
            errors.extend(found);
        }
    }
    if !errors.is_empty() {
        return Err(OperateError::Invalid(errors));
    }
    flow.store
        .write::<_, OperateError, _>(move |tx| {
            Box::pin(async move {
                tx.save_inbox(&row, clock::now()).await?;
                tx.next_generation().await?;
                Ok(())
            })
        })
        .await?;
    snapshot::rebuild(flow).await?;
    Ok(())
}

/// Puts an intake that is over back to work; `false` when there is none that could be.
///
/// # Errors
/// The database does not answer.
pub async fn replay_intake(
    flow: &Flow,
    account: AccountId,
    id: IntakeId,
) -> Result<bool, StoreError> {
    flow.store
        .write(move |tx| {
            Box::pin(async move { tx.replay_intake(Some(account), id, clock::now()).await })
        })
        .await
}

/// Puts a delivery that ended badly back to work, its message with it; `false` when there is none
/// that could be. For an ambiguous one this is the operator's decision to send again.
///
/// # Errors
/// The database does not answer.
pub async fn retry_delivery(
    flow: &Flow,
    account: AccountId,
    id: DeliveryId,
) -> Result<bool, StoreError> {
    let snapshot = flow.registry.current();
    let result = flow
        .store
        .write::<_, ApplyError, _>(move |tx| {
            Box::pin(async move {
                let now = clock::now();
                let Some(message) = tx.retry_delivery(account, id, now).await? else {
                    return Ok(false);
                };
                let actor = Actor::System;
                let scope = Scope { account, actor: &actor, now, snapshot: &snapshot };
                let command = Command::RecordState {
                    message: MessageKey::Id(message),
                    state: MessageState::Pending,
                    detail: None,
                    external_id: None,
                    thread_key: None,
                    settles: true,
                };
                apply(tx, &scope, command).await?;
                Ok(true)
            })
        })
        .await;
    match result {
        Ok(found) => Ok(found),
        Err(ApplyError::Store(error)) => Err(error),
        Err(ApplyError::Rejected(rejection)) => Err(StoreError::Database(rejection.to_string())),
    }
}
