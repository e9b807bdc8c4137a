//! Messages.

use crate::domain::exchange::{Content, UnixMs};
use crate::domain::id::{AccountId, ContactId, InboxId, MessageId, TicketNumber, UserId};
use crate::domain::message::{Author, Direction, Message, MessageState, ReactionMark};
use crate::store::sql::{Columns, built, json, query, to_json, word};
use crate::store::{Store, StoreError, Tx};
use sqlx::any::AnyRow;

const COLUMNS: &str = "SELECT id, ticket, direction, private, body, author_type, author_id, \
    author_name, author_plugin, external_id, state, state_detail, reactions, sent_at, created_at, \
    edited_at, deleted_at FROM message";

fn message(row: &AnyRow) -> Result<Message, StoreError> {
    let id = row.int("id")?;
    let author_id = row.maybe_int("author_id")?.unwrap_or_default();
    let author = match row.text("author_type")?.as_str() {
        "contact" => Author::Contact(ContactId(author_id)),
        "user" => Author::User(UserId(author_id)),
        "plugin" => Author::Plugin(row.maybe_text("author_plugin")?.unwrap_or_default()),
        "system" => Author::System,
        other => return Err(StoreError::corrupt("message", "author_type", id, other)),
    };
    Ok(Message {
        id: MessageId(id),
        ticket: TicketNumber(row.int("ticket")?),
        direction: word("message", "direction", id, &row.text("direction")?, Direction::parse)?,
        private: row.flag("private")?,
        body: json::<Content>("message", "body", id, &row.text("body")?)?,
        author,
        author_name: row.text("author_name")?,
        external_id: row.maybe_text("external_id")?,
        state: word("message", "state", id, &row.text("state")?, MessageState::parse)?,
        state_detail: row.maybe_text("state_detail")?,
        reactions: json::<Vec<ReactionMark>>("message", "reactions", id, &row.text("reactions")?)?,
        sent_at: row.maybe_int("sent_at")?.map(UnixMs),
        created_at: UnixMs(row.int("created_at")?),
        edited_at: row.maybe_int("edited_at")?.map(UnixMs),
        deleted_at: row.maybe_int("deleted_at")?.map(UnixMs),
    })
}

impl Store {
    /// Messages of a ticket, oldest first, after the id `after`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn messages(
        &self,
        account: AccountId,
        ticket: TicketNumber,
        after: i64,
        limit: i64,
    ) -> Result<Vec<Message>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = built(format!(
            "{COLUMNS} WHERE account_id = $1 AND ticket = $2 AND id > $3 ORDER BY id LIMIT $4"
        ))
        .bind(account.0)
        .bind(ticket.0)
        .bind(after)
        .bind(limit)
        .fetch_all(&mut *reader)
        .await?;
        rows.iter().map(message).collect()
    }

    /// One message.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn message(
        &self,
        account: AccountId,
        id: MessageId,
    ) -> Result<Option<Message>, StoreError> {
        let mut reader = self.reader().await?;
        let row = built(format!("{COLUMNS} WHERE account_id = $1 AND id = $2"))
            .bind(account.0)
            .bind(id.0)
            .fetch_optional(&mut *reader)
            .await?;
        row.as_ref().map(message).transpose()
    }
}

impl Tx {
    /// One message.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn message(
        &mut self,
        account: AccountId,
        id: MessageId,
    ) -> Result<Option<Message>, StoreError> {
        let row = built(format!("{COLUMNS} WHERE account_id = $1 AND id = $2"))
            .bind(account.0)
            .bind(id.0)
            .fetch_optional(self.connection())
            .await?;
        row.as_ref().map(message).transpose()
    }

    /// The message that the provider calls so, in an inbox. A message that was sent in several
    /// parts is known by the external id of each.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn message_named(
        &mut self,
        account: AccountId,
        inbox: InboxId,
        external_id: &str,
    ) -> Result<Option<Message>, StoreError> {
        let row = built(format!(
            "{COLUMNS} WHERE account_id = $1 AND inbox_id = $2 AND external_id = $3"
        ))
        .bind(account.0)
        .bind(inbox.0)
        .bind(external_id.to_owned())
        .fetch_optional(self.connection())
        .await?;
        row.as_ref().map(message).transpose()
    }

    /// A new message.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the provider's id came in the meantime.
    pub async fn create_message(
        &mut self,
        account: AccountId,
        inbox: Option<InboxId>,
        new: &Message,
    ) -> Result<MessageId, StoreError> {
        let (author_type, author_id, author_plugin) = match &new.author {
            Author::Contact(id) => ("contact", Some(id.0), None),
            Author::User(id) => ("user", Some(id.0), None),
            Author::Plugin(name) => ("plugin", None, Some(name.clone())),
            Author::System => ("system", None, None),
        };
        let row = query(
            "INSERT INTO message (account_id, ticket, inbox_id, direction, private, body, \
             author_type, author_id, author_name, author_plugin, external_id, state, \
             state_detail, reactions, sent_at, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, \
             $8, $9, $10, $11, $12, $13, $14, $15, $16) ON CONFLICT DO NOTHING RETURNING id",
        )
        .bind(account.0)
        .bind(new.ticket.0)
        .bind(inbox.map(|inbox| inbox.0))
        .bind(new.direction.as_str())
        .bind(i64::from(new.private))
        .bind(to_json(&new.body)?)
        .bind(author_type)
        .bind(author_id)
        .bind(new.author_name.clone())
        .bind(author_plugin)
        .bind(new.external_id.clone())
        .bind(new.state.as_str())
        .bind(new.state_detail.clone())
        .bind(to_json(&new.reactions)?)
        .bind(new.sent_at.map(|at| at.0))
        .bind(new.created_at.0)
        .fetch_optional(self.connection())
        .await?;
        let row = row.ok_or(StoreError::Conflict("message"))?;
        Ok(MessageId(row.int("id")?))
    }

    /// Stores what of a message may change.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it is gone, or another holds its external id.
    pub async fn save_message(
        &mut self,
        account: AccountId,
        after: &Message,
    ) -> Result<(), StoreError> {
        let done = query(
            "UPDATE message SET body = $1, external_id = $2, state = $3, state_detail = $4, \
             reactions = $5, sent_at = $6, edited_at = $7, deleted_at = $8 \
             WHERE account_id = $9 AND id = $10",
        )
        .bind(to_json(&after.body)?)
        .bind(after.external_id.clone())
        .bind(after.state.as_str())
        .bind(after.state_detail.clone())
        .bind(to_json(&after.reactions)?)
        .bind(after.sent_at.map(|at| at.0))
        .bind(after.edited_at.map(|at| at.0))
        .bind(after.deleted_at.map(|at| at.0))
        .bind(account.0)
        .bind(after.id.0)
        .execute(self.connection())
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Conflict("message"));
        }
        Ok(())
    }
}
