//! Connections with their settings, secrets and grants.

use crate::domain::exchange::UnixMs;
use crate::domain::id::{AccountId, ConnectionId};
use crate::domain::plugin::Capability;
use crate::store::sql::{Columns, json, query, to_json, word};
use crate::store::{Store, StoreError, Tx};
use sqlx::any::AnyRow;
use std::collections::{BTreeMap, BTreeSet};

/// An operator's configured use of an integration, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionRow {
    /// Whose.
    pub account: AccountId,
    /// Its id.
    pub id: ConnectionId,
    /// The integration's key.
    pub integration: String,
    /// Shown to people.
    pub label: String,
    /// Settings by name.
    pub settings: BTreeMap<String, serde_json::Value>,
    /// Off: its webhooks are not taken and its deliveries wait.
    pub enabled: bool,
    /// Why its sends are paused.
    pub paused_reason: Option<String>,
    /// When a request was first found genuine.
    pub verified_at: Option<UnixMs>,
    /// When it was made.
    pub created_at: UnixMs,
    /// When it was last changed.
    pub updated_at: UnixMs,
}

/// A connection to be stored, before it has an id.
#[derive(Clone, Debug)]
pub struct NewConnection {
    /// Whose.
    pub account: AccountId,
    /// The integration's key.
    pub integration: String,
    /// Shown to people.
    pub label: String,
    /// Settings by name.
    pub settings: BTreeMap<String, serde_json::Value>,
}

/// A grant: a capability and its scope.
pub type GrantRow = (Capability, String);

/// Everything that calls of a connection are served with.
#[derive(Clone, Debug)]
pub struct FullConnection {
    /// The connection.
    pub row: ConnectionRow,
    /// Secrets by name, opened.
    pub secrets: BTreeMap<String, String>,
    /// What the operator granted.
    pub grants: Vec<GrantRow>,
}

const COLUMNS: &str = "SELECT id, account_id, integration, label, settings, enabled, \
    paused_reason, verified_at, created_at, updated_at FROM connection";

fn connection(row: &AnyRow) -> Result<ConnectionRow, StoreError> {
    let id = row.int("id")?;
    Ok(ConnectionRow {
        account: AccountId(row.int("account_id")?),
        id: ConnectionId(id),
        integration: row.text("integration")?,
        label: row.text("label")?,
        settings: json("connection", "settings", id, &row.text("settings")?)?,
        enabled: row.flag("enabled")?,
        paused_reason: row.maybe_text("paused_reason")?,
        verified_at: row.maybe_int("verified_at")?.map(UnixMs),
        created_at: UnixMs(row.int("created_at")?),
        updated_at: UnixMs(row.int("updated_at")?),
    })
}

/// The word of a capability.
pub const fn capability_word(capability: Capability) -> &'static str {
    match capability {
        Capability::Http => "http",
        Capability::Secret => "secret",
        Capability::Kv => "kv",
        Capability::Blobs => "blobs",
    }
}

/// The capability of a word.
pub fn capability_of(text: &str) -> Option<Capability> {
    [Capability::Http, Capability::Secret, Capability::Kv, Capability::Blobs]
        .into_iter()
        .find(|capability| capability_word(*capability) == text)
}

fn place(connection: ConnectionId, name: &str) -> String {
    format!("secret.sealed.{connection}.{name}")
}

impl Store {
    /// Connections of an account, oldest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn connections(
        &self,
        account: AccountId,
        after: i64,
        limit: i64,
    ) -> Result<Vec<ConnectionRow>, StoreError> {
        let mut reader = self.reader().await?;
        let text = format!("{COLUMNS} WHERE account_id = $1 AND id > $2 ORDER BY id LIMIT $3");
        let rows = crate::store::sql::built(text)
            .bind(account.0)
            .bind(after)
            .bind(limit)
            .fetch_all(&mut *reader)
            .await?;
        rows.iter().map(connection).collect()
    }

    /// One connection.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn connection(
        &self,
        account: AccountId,
        id: ConnectionId,
    ) -> Result<Option<ConnectionRow>, StoreError> {
        let mut reader = self.reader().await?;
        let text = format!("{COLUMNS} WHERE account_id = $1 AND id = $2");
        let row = crate::store::sql::built(text)
            .bind(account.0)
            .bind(id.0)
            .fetch_optional(&mut *reader)
            .await?;
        row.as_ref().map(connection).transpose()
    }

    /// The names of a connection's secrets.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn secret_names(
        &self,
        account: AccountId,
        id: ConnectionId,
    ) -> Result<BTreeSet<String>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query("SELECT name FROM secret WHERE account_id = $1 AND connection_id = $2")
            .bind(account.0)
            .bind(id.0)
            .fetch_all(&mut *reader)
            .await?;
        rows.iter().map(|row| row.text("name")).collect()
    }

    /// The grants of a connection.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn grants(
        &self,
        account: AccountId,
        id: ConnectionId,
    ) -> Result<Vec<GrantRow>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(
            "SELECT capability, scope FROM connection_grant WHERE account_id = $1 \
             AND connection_id = $2 ORDER BY capability, scope",
        )
        .bind(account.0)
        .bind(id.0)
        .fetch_all(&mut *reader)
        .await?;
        rows.iter()
            .map(|row| {
                let capability = word(
                    "connection_grant",
                    "capability",
                    id,
                    &row.text("capability")?,
                    capability_of,
                )?;
                Ok((capability, row.text("scope")?))
            })
            .collect()
    }

    /// Everything of every connection, for a snapshot. A secret that does not open is left out, so
    /// that what needs it is refused and nothing else suffers.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn full_connections(&self) -> Result<Vec<FullConnection>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = crate::store::sql::built(format!("{COLUMNS} ORDER BY id LIMIT 100000"))
            .fetch_all(&mut *reader)
            .await?;
        let mut found: BTreeMap<i64, FullConnection> = BTreeMap::new();
        for row in &rows {
            let row = connection(row)?;
            found.insert(
                row.id.0,
                FullConnection { row, secrets: BTreeMap::new(), grants: Vec::new() },
            );
        }
        let rows =
            query("SELECT connection_id, name, sealed FROM secret").fetch_all(&mut *reader).await?;
        for row in &rows {
            let (id, name) = (ConnectionId(row.int("connection_id")?), row.text("name")?);
            let Some(full) = found.get_mut(&id.0) else { continue };
            match self.seal().open_sealed(&place(id, &name), &row.bytes("sealed")?) {
                Ok(secret) => {
                    full.secrets.insert(name, secret);
                }
                Err(error) => {
                    tracing::error!(connection = id.0, secret = name, %error, "secret left out");
                }
            }
        }
        let rows = query("SELECT connection_id, capability, scope FROM connection_grant")
            .fetch_all(&mut *reader)
            .await?;
        for row in &rows {
            let id = row.int("connection_id")?;
            let Some(full) = found.get_mut(&id) else { continue };
            let capability = word(
                "connection_grant",
                "capability",
                id,
                &row.text("capability")?,
                capability_of,
            )?;
            full.grants.push((capability, row.text("scope")?));
        }
        Ok(found.into_values().collect())
    }

    /// Seals a secret for its row.
    ///
    /// # Errors
    /// It cannot be sealed.
    pub fn seal_secret(
        &self,
        connection: ConnectionId,
        name: &str,
        value: &str,
    ) -> Result<Vec<u8>, StoreError> {
        self.seal().seal(&place(connection, name), value)
    }
}

impl Tx {
    /// A new connection.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn create_connection(
        &mut self,
        new: &NewConnection,
        now: UnixMs,
    ) -> Result<ConnectionId, StoreError> {
        let row = query(
            "INSERT INTO connection (account_id, integration, label, settings, enabled, \
             created_at, updated_at) VALUES ($1, $2, $3, $4, 1, $5, $5) RETURNING id",
        )
        .bind(new.account.0)
        .bind(new.integration.clone())
        .bind(new.label.clone())
        .bind(to_json(&new.settings)?)
        .bind(now.0)
        .fetch_one(self.connection())
        .await?;
        Ok(ConnectionId(row.int("id")?))
    }

    /// Stores what of a connection an operator may change. `false` when it is not there.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn save_connection(
        &mut self,
        row: &ConnectionRow,
        now: UnixMs,
    ) -> Result<bool, StoreError> {
        let done = query(
            "UPDATE connection SET label = $1, settings = $2, enabled = $3, \
             unauthorized_count = 0, paused_reason = NULL, updated_at = $4 \
             WHERE account_id = $5 AND id = $6",
        )
        .bind(row.label.clone())
        .bind(to_json(&row.settings)?)
        .bind(i64::from(row.enabled))
        .bind(now.0)
        .bind(row.account.0)
        .bind(row.id.0)
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Sets a secret, sealed before. Credentials that changed are tried again.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn set_secret(
        &mut self,
        account: AccountId,
        connection: ConnectionId,
        name: &str,
        sealed: Vec<u8>,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        query(
            "INSERT INTO secret (account_id, connection_id, name, sealed, updated_at) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (account_id, connection_id, name) \
             DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at",
        )
        .bind(account.0)
        .bind(connection.0)
        .bind(name.to_owned())
        .bind(sealed)
        .bind(now.0)
        .execute(self.connection())
        .await?;
        self.resume_sends(account, connection).await
    }

    /// Forgets a secret; `false` when there was none.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn delete_secret(
        &mut self,
        account: AccountId,
        connection: ConnectionId,
        name: &str,
    ) -> Result<bool, StoreError> {
        let done =
            query("DELETE FROM secret WHERE account_id = $1 AND connection_id = $2 AND name = $3")
                .bind(account.0)
                .bind(connection.0)
                .bind(name.to_owned())
                .execute(self.connection())
                .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Replaces the grants of a connection.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn set_grants(
        &mut self,
        account: AccountId,
        connection: ConnectionId,
        grants: &[GrantRow],
        now: UnixMs,
    ) -> Result<(), StoreError> {
        query("DELETE FROM connection_grant WHERE account_id = $1 AND connection_id = $2")
            .bind(account.0)
            .bind(connection.0)
            .execute(self.connection())
            .await?;
        for (capability, scope) in grants {
            query(
                "INSERT INTO connection_grant (account_id, connection_id, capability, scope, \
                 granted_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
            )
            .bind(account.0)
            .bind(connection.0)
            .bind(capability_word(*capability))
            .bind(scope.clone())
            .bind(now.0)
            .execute(self.connection())
            .await?;
        }
        Ok(())
    }

    /// Remembers that a request of this connection was found genuine.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn mark_verified(
        &mut self,
        account: AccountId,
        connection: ConnectionId,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        query(
            "UPDATE connection SET verified_at = $1 WHERE account_id = $2 AND id = $3 \
             AND verified_at IS NULL",
        )
        .bind(now.0)
        .bind(account.0)
        .bind(connection.0)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Counts refused credentials and pauses the connection's sends at `limit`. Answers whether
    /// they are paused.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn count_unauthorized(
        &mut self,
        account: AccountId,
        connection: ConnectionId,
        limit: i64,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let row = query(
            "UPDATE connection SET unauthorized_count = unauthorized_count + 1, \
             paused_reason = CASE WHEN unauthorized_count + 1 >= $1 THEN $2 ELSE paused_reason END \
             WHERE account_id = $3 AND id = $4 RETURNING unauthorized_count",
        )
        .bind(limit)
        .bind(reason.to_owned())
        .bind(account.0)
        .bind(connection.0)
        .fetch_optional(self.connection())
        .await?;
        row.map_or(Ok(false), |row| Ok(row.int("unauthorized_count")? >= limit))
    }

    /// Credentials work, or were changed: sends go on.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn resume_sends(
        &mut self,
        account: AccountId,
        connection: ConnectionId,
    ) -> Result<(), StoreError> {
        query(
            "UPDATE connection SET unauthorized_count = 0, paused_reason = NULL \
             WHERE account_id = $1 AND id = $2 AND (unauthorized_count > 0 OR paused_reason IS NOT NULL)",
        )
        .bind(account.0)
        .bind(connection.0)
        .execute(self.connection())
        .await?;
        Ok(())
    }
}
