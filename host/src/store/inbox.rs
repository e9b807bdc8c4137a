//! Inboxes: a channel bound to a connection.

use crate::domain::exchange::UnixMs;
use crate::domain::id::{AccountId, ConnectionId, InboxId};
use crate::store::sql::{Columns, built, json, query, to_json};
use crate::store::{Store, StoreError, Tx};
use sqlx::any::AnyRow;
use std::collections::BTreeMap;

/// An inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxRow {
    /// Whose.
    pub account: AccountId,
    /// Its id.
    pub id: InboxId,
    /// The connection that it is bound to.
    pub connection: ConnectionId,
    /// The channel's key.
    pub channel: String,
    /// Shown to people.
    pub name: String,
    /// Settings by name.
    pub settings: BTreeMap<String, serde_json::Value>,
    /// When it was made.
    pub created_at: UnixMs,
    /// When it was last changed.
    pub updated_at: UnixMs,
}

const COLUMNS: &str = "SELECT id, account_id, connection_id, channel, name, settings, created_at, \
    updated_at FROM inbox";

fn inbox(row: &AnyRow) -> Result<InboxRow, StoreError> {
    let id = row.int("id")?;
    Ok(InboxRow {
        account: AccountId(row.int("account_id")?),
        id: InboxId(id),
        connection: ConnectionId(row.int("connection_id")?),
        channel: row.text("channel")?,
        name: row.text("name")?,
        settings: json("inbox", "settings", id, &row.text("settings")?)?,
        created_at: UnixMs(row.int("created_at")?),
        updated_at: UnixMs(row.int("updated_at")?),
    })
}

impl Store {
    /// Every inbox of the host, for a snapshot.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn all_inboxes(&self) -> Result<Vec<InboxRow>, StoreError> {
        let mut reader = self.reader().await?;
        let rows =
            built(format!("{COLUMNS} ORDER BY id LIMIT 100000")).fetch_all(&mut *reader).await?;
        rows.iter().map(inbox).collect()
    }

    /// Inboxes of an account, oldest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn inboxes(
        &self,
        account: AccountId,
        after: i64,
        limit: i64,
    ) -> Result<Vec<InboxRow>, StoreError> {
        let mut reader = self.reader().await?;
        let rows =
            built(format!("{COLUMNS} WHERE account_id = $1 AND id > $2 ORDER BY id LIMIT $3"))
                .bind(account.0)
                .bind(after)
                .bind(limit)
                .fetch_all(&mut *reader)
                .await?;
        rows.iter().map(inbox).collect()
    }

    /// One inbox.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn inbox(
        &self,
        account: AccountId,
        id: InboxId,
    ) -> Result<Option<InboxRow>, StoreError> {
        let mut reader = self.reader().await?;
        let row = built(format!("{COLUMNS} WHERE account_id = $1 AND id = $2"))
            .bind(account.0)
            .bind(id.0)
            .fetch_optional(&mut *reader)
            .await?;
        row.as_ref().map(inbox).transpose()
    }
}

impl Tx {
    /// A new inbox, or `None` when the connection has one.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn create_inbox(
        &mut self,
        account: AccountId,
        connection: ConnectionId,
        channel: &str,
        name: &str,
        settings: &BTreeMap<String, serde_json::Value>,
        now: UnixMs,
    ) -> Result<Option<InboxId>, StoreError> {
        let row = query(
            "INSERT INTO inbox (account_id, connection_id, channel, name, settings, created_at, \
             updated_at) VALUES ($1, $2, $3, $4, $5, $6, $6) \
             ON CONFLICT (connection_id) DO NOTHING RETURNING id",
        )
        .bind(account.0)
        .bind(connection.0)
        .bind(channel.to_owned())
        .bind(name.to_owned())
        .bind(to_json(settings)?)
        .bind(now.0)
        .fetch_optional(self.connection())
        .await?;
        row.map(|row| Ok(InboxId(row.int("id")?))).transpose()
    }

    /// Stores what of an inbox an operator may change.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn save_inbox(&mut self, row: &InboxRow, now: UnixMs) -> Result<(), StoreError> {
        query(
            "UPDATE inbox SET name = $1, settings = $2, updated_at = $3 \
             WHERE account_id = $4 AND id = $5",
        )
        .bind(row.name.clone())
        .bind(to_json(&row.settings)?)
        .bind(now.0)
        .bind(row.account.0)
        .bind(row.id.0)
        .execute(self.connection())
        .await?;
        Ok(())
    }
}
