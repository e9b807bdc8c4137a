//! What a guest call leaves behind, committed with the call's outcome: kv writes, captured secrets,
//! log lines.

use crate::capability::context::Leavings;
use crate::capability::memory::{KvChange, KvOwner, KvWrite};
use crate::domain::exchange::UnixMs;
use crate::domain::id::{AccountId, ConnectionId};
use crate::store::kv::KvScope;
use crate::store::{Store, StoreError, Tx};

/// The leavings of a call, ready to be written more than once.
#[derive(Debug, Default)]
pub(super) struct Left {
    kv: Vec<KvWrite>,
    /// Connection, name and value of secrets that were captured from responses.
    secrets: Vec<(ConnectionId, String, String)>,
    log: Vec<serde_json::Value>,
}

impl From<Leavings> for Left {
    fn from(left: Leavings) -> Self {
        Self {
            kv: left.kv,
            secrets: left
                .secrets
                .into_iter()
                .map(|write| (write.connection, write.name, write.value.expose().to_owned()))
                .collect(),
            log: left
                .logs
                .into_iter()
                .map(|line| {
                    serde_json::json!({
                        "level": line.level.as_str(),
                        "message": line.message,
                        "fields": line.fields,
                    })
                })
                .collect(),
        }
    }
}

impl Left {
    /// The log lines as JSON; `None` when the guest said nothing.
    pub(super) fn log(&self) -> Option<String> {
        (!self.log.is_empty()).then(|| serde_json::Value::from(self.log.clone()).to_string())
    }

    pub(super) async fn write(
        &self,
        tx: &mut Tx,
        store: &Store,
        account: AccountId,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        for write in &self.kv {
            let scope = match write.scope.owner {
                KvOwner::Connection(id) => KvScope::Connection(account, id),
                KvOwner::Inbox(id) => KvScope::Inbox(account, id),
            };
            match &write.change {
                KvChange::Set { value, expires_at } => {
                    tx.kv_set(scope, write.key.clone(), value.clone(), *expires_at).await?;
                }
                KvChange::Delete => tx.kv_delete(scope, write.key.clone()).await?,
            }
        }
        for (connection, name, value) in &self.secrets {
            let sealed = store.seal_secret(*connection, name, value)?;
            tx.set_secret(account, *connection, name, sealed, now).await?;
        }
        if !self.secrets.is_empty() {
            tx.next_generation().await?;
        }
        Ok(())
    }
}
