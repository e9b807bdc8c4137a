//! Inboxes.

use super::time;
use crate::store::inbox::InboxRow;
use serde::Serialize;
use std::collections::BTreeMap;

/// An inbox.
#[derive(Debug, Serialize)]
pub struct InboxView {
    id: i64,
    name: String,
    channel: String,
    connection_id: i64,
    /// The integration of its connection; null when the connection is gone.
    integration: Option<String>,
    settings: BTreeMap<String, serde_json::Value>,
    created_at: String,
    updated_at: String,
}

impl InboxView {
    /// The inbox, with the integration of its connection.
    pub fn new(row: InboxRow, integration: Option<String>) -> Self {
        Self {
            id: row.id.0,
            name: row.name,
            channel: row.channel,
            connection_id: row.connection.0,
            integration,
            settings: row.settings,
            created_at: time(row.created_at),
            updated_at: time(row.updated_at),
        }
    }
}
