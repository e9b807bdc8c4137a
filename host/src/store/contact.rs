//! Contacts and their addresses in inboxes.

use crate::domain::contact::Contact;
use crate::domain::exchange::UnixMs;
use crate::domain::id::{AccountId, ContactId, InboxId};
use crate::store::sql::{Columns, query};
use crate::store::{Store, StoreError, Tx};
use sqlx::any::AnyRow;

fn contact(row: &AnyRow) -> Result<Contact, StoreError> {
    Ok(Contact {
        id: ContactId(row.int("id")?),
        name: row.text("name")?,
        email: row.maybe_text("email")?,
        phone: row.maybe_text("phone")?,
        avatar_url: row.maybe_text("avatar_url")?,
        created_at: UnixMs(row.int("created_at")?),
        updated_at: UnixMs(row.int("updated_at")?),
    })
}

impl Store {
    /// One contact with its addresses: inbox and source id.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn contact(
        &self,
        account: AccountId,
        id: ContactId,
    ) -> Result<Option<(Contact, Vec<(InboxId, String)>)>, StoreError> {
        let mut reader = self.reader().await?;
        let row = query(
            "SELECT id, name, email, phone, avatar_url, created_at, updated_at FROM contact \
             WHERE account_id = $1 AND id = $2",
        )
        .bind(account.0)
        .bind(id.0)
        .fetch_optional(&mut *reader)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let addresses = query(
            "SELECT inbox_id, source_id FROM contact_inbox WHERE account_id = $1 \
             AND contact_id = $2 ORDER BY inbox_id, source_id LIMIT 1000",
        )
        .bind(account.0)
        .bind(id.0)
        .fetch_all(&mut *reader)
        .await?;
        let addresses = addresses
            .iter()
            .map(|row| Ok((InboxId(row.int("inbox_id")?), row.text("source_id")?)))
            .collect::<Result<_, StoreError>>()?;
        Ok(Some((contact(&row)?, addresses)))
    }
}

impl Tx {
    /// The contact at an address of an inbox.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn contact_at(
        &mut self,
        account: AccountId,
        inbox: InboxId,
        source_id: &str,
    ) -> Result<Option<Contact>, StoreError> {
        let row = query(
            "SELECT c.id, c.name, c.email, c.phone, c.avatar_url, c.created_at, c.updated_at \
             FROM contact_inbox i JOIN contact c ON c.account_id = i.account_id \
             AND c.id = i.contact_id \
             WHERE i.account_id = $1 AND i.inbox_id = $2 AND i.source_id = $3",
        )
        .bind(account.0)
        .bind(inbox.0)
        .bind(source_id.to_owned())
        .fetch_optional(self.connection())
        .await?;
        row.as_ref().map(contact).transpose()
    }

    /// A new contact.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn create_contact(
        &mut self,
        account: AccountId,
        new: &Contact,
    ) -> Result<ContactId, StoreError> {
        let row = query(
            "INSERT INTO contact (account_id, name, email, phone, avatar_url, created_at, \
             updated_at) VALUES ($1, $2, $3, $4, $5, $6, $6) RETURNING id",
        )
        .bind(account.0)
        .bind(new.name.clone())
        .bind(new.email.clone())
        .bind(new.phone.clone())
        .bind(new.avatar_url.clone())
        .bind(new.created_at.0)
        .fetch_one(self.connection())
        .await?;
        Ok(ContactId(row.int("id")?))
    }

    /// Stores a contact's details.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn save_contact(
        &mut self,
        account: AccountId,
        contact: &Contact,
    ) -> Result<(), StoreError> {
        query(
            "UPDATE contact SET name = $1, email = $2, phone = $3, avatar_url = $4, \
             updated_at = $5 WHERE account_id = $6 AND id = $7",
        )
        .bind(contact.name.clone())
        .bind(contact.email.clone())
        .bind(contact.phone.clone())
        .bind(contact.avatar_url.clone())
        .bind(contact.updated_at.0)
        .bind(account.0)
        .bind(contact.id.0)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Gives a contact an address in an inbox.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the address got a contact in the meantime.
    pub async fn create_contact_inbox(
        &mut self,
        account: AccountId,
        inbox: InboxId,
        source_id: &str,
        contact: ContactId,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        let done = query(
            "INSERT INTO contact_inbox (account_id, inbox_id, source_id, contact_id, created_at) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        )
        .bind(account.0)
        .bind(inbox.0)
        .bind(source_id.to_owned())
        .bind(contact.0)
        .bind(now.0)
        .execute(self.connection())
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Conflict("contact_inbox"));
        }
        Ok(())
    }
}
