//! Components that were accepted, and the one that serves each plugin's new calls.

use crate::domain::exchange::UnixMs;
use crate::domain::plugin::Identity;
use crate::store::sql::{Columns, query};
use crate::store::{Store, StoreError, Tx, Wake};
use sqlx::any::AnyRow;

/// The component that serves a plugin's new calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivePlugin {
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// Its publisher.
    pub publisher: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Bytes of the component.
    pub size: u64,
    /// The channel key that the plugin holds.
    pub channel_key: Option<String>,
    /// The integration key that the plugin holds.
    pub integration_key: Option<String>,
    /// Requests that cannot be verified are held, also while the component cannot be called.
    pub hold_unverified: bool,
    /// When it was installed.
    pub installed_at: UnixMs,
}

/// Why a component cannot be activated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Another plugin holds a key.
    Key {
        /// `channel` or `integration`.
        kind: &'static str,
        /// The key.
        key: String,
        /// `publisher/name` of the holder.
        owner: String,
    },
    /// The version is known with other contents.
    Version {
        /// The digest under which it is known.
        digest: String,
    },
}

/// What is to be activated.
#[derive(Clone, Debug)]
pub struct Activation {
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// Who made it.
    pub identity: Identity,
    /// Bytes of the component.
    pub size: u64,
    /// The channel key that it provides.
    pub channel_key: Option<String>,
    /// The integration key that it provides.
    pub integration_key: Option<String>,
    /// Its integration wants requests that cannot be verified to be held.
    pub hold_unverified: bool,
}

const ACTIVE: &str = "SELECT p.digest, p.publisher, p.name, c.version, c.size, p.channel_key, \
    p.integration_key, p.hold_unverified, c.installed_at FROM plugin p JOIN component c ON c.digest = p.digest \
    ORDER BY p.publisher, p.name LIMIT 10000";

fn active(row: &AnyRow) -> Result<ActivePlugin, StoreError> {
    Ok(ActivePlugin {
        digest: row.text("digest")?,
        publisher: row.text("publisher")?,
        name: row.text("name")?,
        version: row.text("version")?,
        size: u64::try_from(row.int("size")?).unwrap_or(0),
        channel_key: row.maybe_text("channel_key")?,
        integration_key: row.maybe_text("integration_key")?,
        hold_unverified: row.flag("hold_unverified")?,
        installed_at: UnixMs(row.int("installed_at")?),
    })
}

impl Store {
    /// Every active plugin.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn active_plugins(&self) -> Result<Vec<ActivePlugin>, StoreError> {
        let mut reader = self.reader().await?;
        query(ACTIVE).fetch_all(&mut *reader).await?.iter().map(active).collect()
    }

    /// Counts every change of what requests are served with.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn generation(&self) -> Result<i64, StoreError> {
        let mut reader = self.reader().await?;
        query("SELECT generation FROM host WHERE id = 1")
            .fetch_one(&mut *reader)
            .await?
            .int("generation")
    }
}

impl Tx {
    /// Says that what requests are served with has changed. Part of the transaction that changes
    /// it.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn next_generation(&mut self) -> Result<(), StoreError> {
        query("UPDATE host SET generation = generation + 1 WHERE id = 1")
            .execute(self.connection())
            .await?;
        self.wake(Wake::Generation);
        Ok(())
    }

    /// Makes a component serve its plugin's new calls.
    ///
    /// # Errors
    /// The database does not answer. A key or a version that is taken is the inner error; nothing
    /// is written then.
    pub async fn activate(
        &mut self,
        activation: &Activation,
        now: UnixMs,
    ) -> Result<Result<(), Taken>, StoreError> {
        let identity = &activation.identity;
        for (kind, key) in
            [("channel", &activation.channel_key), ("integration", &activation.integration_key)]
        {
            let Some(key) = key else { continue };
            if let Some(owner) = self.key_owner(kind, key, identity).await? {
                return Ok(Err(Taken::Key { kind, key: key.clone(), owner }));
            }
        }
        query(
            "INSERT INTO component (digest, publisher, name, version, size, installed_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        )
        .bind(activation.digest.clone())
        .bind(identity.publisher.clone())
        .bind(identity.name.clone())
        .bind(identity.version.clone())
        .bind(i64::try_from(activation.size).unwrap_or(i64::MAX))
        .bind(now.0)
        .execute(self.connection())
        .await?;
        let known = query(
            "SELECT digest FROM component WHERE publisher = $1 AND name = $2 AND version = $3",
        )
        .bind(identity.publisher.clone())
        .bind(identity.name.clone())
        .bind(identity.version.clone())
        .fetch_optional(self.connection())
        .await?;
        if let Some(row) = known {
            let digest = row.text("digest")?;
            if digest != activation.digest {
                return Ok(Err(Taken::Version { digest }));
            }
        }
        query(
            "INSERT INTO plugin (publisher, name, digest, channel_key, integration_key, \
             activated_at, hold_unverified) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (publisher, name) DO UPDATE \
             SET digest = excluded.digest, channel_key = excluded.channel_key, \
             integration_key = excluded.integration_key, activated_at = excluded.activated_at, \
             hold_unverified = excluded.hold_unverified",
        )
        .bind(identity.publisher.clone())
        .bind(identity.name.clone())
        .bind(activation.digest.clone())
        .bind(activation.channel_key.clone())
        .bind(activation.integration_key.clone())
        .bind(now.0)
        .bind(i64::from(activation.hold_unverified))
        .execute(self.connection())
        .await?;
        self.next_generation().await?;
        Ok(Ok(()))
    }

    async fn key_owner(
        &mut self,
        kind: &'static str,
        key: &str,
        but: &Identity,
    ) -> Result<Option<String>, StoreError> {
        let text = if kind == "channel" {
            "SELECT publisher, name FROM plugin WHERE channel_key = $1"
        } else {
            "SELECT publisher, name FROM plugin WHERE integration_key = $1"
        };
        let row = query(text).bind(key.to_owned()).fetch_optional(self.connection()).await?;
        let Some(row) = row else { return Ok(None) };
        let (publisher, name) = (row.text("publisher")?, row.text("name")?);
        if publisher == but.publisher && name == but.name {
            return Ok(None);
        }
        Ok(Some(format!("{publisher}/{name}")))
    }
}
