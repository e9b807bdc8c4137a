//! Tickets.

use crate::domain::contact::ContactRef;
use crate::domain::exchange::{Thread, UnixMs};
use crate::domain::id::{AccountId, ContactId, InboxId, StatusId, TicketNumber, UserId};
use crate::domain::status::Category;
use crate::domain::ticket::{Priority, StatusRef, Ticket, TicketKind};
use crate::domain::user::UserRef;
use crate::store::sql::{Columns, built, json, query, to_json, word};
use crate::store::{Store, StoreError, Tx};
use sqlx::any::AnyRow;

const COLUMNS: &str = "SELECT t.number, t.kind, t.subject, t.body, t.status_id, \
    s.name AS status_name, s.category, t.priority, t.tags, t.assignee_id, u.name AS user_name, \
    u.email AS user_email, t.contact_id, c.name AS contact_name, c.email AS contact_email, \
    t.source_id, t.inbox_id, t.channel, t.origin, t.thread, t.fields, t.preview, t.version, t.created_at, \
    t.updated_at, t.last_message_at, t.last_incoming_at FROM ticket t \
    JOIN status s ON s.id = t.status_id \
    LEFT JOIN app_user u ON u.id = t.assignee_id \
    LEFT JOIN contact c ON c.id = t.contact_id";

fn ticket(row: &AnyRow) -> Result<Ticket, StoreError> {
    let number = row.int("number")?;
    let assignee = match row.maybe_int("assignee_id")? {
        None => None,
        Some(id) => Some(UserRef {
            id: UserId(id),
            name: row.maybe_text("user_name")?.unwrap_or_default(),
            email: row.maybe_text("user_email")?.unwrap_or_default(),
        }),
    };
    let contact = match row.maybe_int("contact_id")? {
        None => None,
        Some(id) => Some(ContactRef {
            id: ContactId(id),
            name: row.maybe_text("contact_name")?.unwrap_or_default(),
            address: row.maybe_text("source_id")?.unwrap_or_default(),
            email: row.maybe_text("contact_email")?,
        }),
    };
    Ok(Ticket {
        number: TicketNumber(number),
        kind: word("ticket", "kind", number, &row.text("kind")?, TicketKind::parse)?,
        subject: row.text("subject")?,
        body: row.maybe_text("body")?,
        status: StatusRef {
            id: StatusId(row.int("status_id")?),
            name: row.text("status_name")?,
            category: word("status", "category", number, &row.text("category")?, Category::parse)?,
        },
        priority: row
            .maybe_text("priority")?
            .map(|text| word("ticket", "priority", number, &text, Priority::parse))
            .transpose()?,
        tags: json("ticket", "tags", number, &row.text("tags")?)?,
        assignee,
        contact,
        inbox: row.maybe_int("inbox_id")?.map(InboxId),
        channel: row.maybe_text("channel")?,
        origin: row.text("origin")?,
        thread: json::<Thread>("ticket", "thread", number, &row.text("thread")?)?,
        fields: json("ticket", "fields", number, &row.text("fields")?)?,
        preview: row.text("preview")?,
        version: row.int("version")?,
        created_at: UnixMs(row.int("created_at")?),
        updated_at: UnixMs(row.int("updated_at")?),
        last_message_at: row.maybe_int("last_message_at")?.map(UnixMs),
        last_incoming_at: row.maybe_int("last_incoming_at")?.map(UnixMs),
    })
}

/// Which tickets to list; `None` means any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TicketFilter {
    /// With this status.
    pub status: Option<StatusId>,
    /// With a status of this category.
    pub category: Option<Category>,
    /// Worked by this user; `Some(None)` by nobody.
    pub assignee: Option<Option<UserId>>,
    /// With this priority; `Some(None)` with none.
    pub priority: Option<Option<Priority>>,
    /// With this tag.
    pub tag: Option<String>,
    /// Of this inbox.
    pub inbox: Option<InboxId>,
    /// Of this kind.
    pub kind: Option<TicketKind>,
    /// Of this contact.
    pub contact: Option<ContactId>,
}

enum Bound {
    Int(i64),
    Text(String),
}

impl TicketFilter {
    /// The conditions, with placeholders from `$3` on, and their values.
    fn conditions(&self) -> (String, Vec<Bound>) {
        let mut text = String::new();
        let mut bounds = Vec::new();
        let mut add = |condition: &str, bound: Option<Bound>| {
            text.push_str(" AND ");
            match bound {
                None => text.push_str(condition),
                Some(bound) => {
                    bounds.push(bound);
                    text.push_str(&condition.replace('?', &format!("${}", bounds.len() + 2)));
                }
            }
        };
        if let Some(StatusId(id)) = self.status {
            add("t.status_id = ?", Some(Bound::Int(id)));
        }
        if let Some(category) = self.category {
            add("s.category = ?", Some(Bound::Text(category.as_str().to_owned())));
        }
        match self.assignee {
            None => {}
            Some(None) => add("t.assignee_id IS NULL", None),
            Some(Some(UserId(id))) => add("t.assignee_id = ?", Some(Bound::Int(id))),
        }
        match self.priority {
            None => {}
            Some(None) => add("t.priority IS NULL", None),
            Some(Some(priority)) => {
                add("t.priority = ?", Some(Bound::Text(priority.as_str().to_owned())));
            }
        }
        if let Some(tag) = &self.tag {
            let condition = "EXISTS (SELECT 1 FROM ticket_tag g WHERE g.account_id = t.account_id \
                AND g.tag = ? AND g.number = t.number)";
            add(condition, Some(Bound::Text(tag.clone())));
        }
        if let Some(InboxId(id)) = self.inbox {
            add("t.inbox_id = ?", Some(Bound::Int(id)));
        }
        if let Some(kind) = self.kind {
            add("t.kind = ?", Some(Bound::Text(kind.as_str().to_owned())));
        }
        if let Some(ContactId(id)) = self.contact {
            add("t.contact_id = ?", Some(Bound::Int(id)));
        }
        (text, bounds)
    }
}

impl Store {
    /// Tickets, newest first, with numbers below `before`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn tickets(
        &self,
        account: AccountId,
        filter: &TicketFilter,
        before: i64,
        limit: i64,
    ) -> Result<Vec<Ticket>, StoreError> {
        let (conditions, bounds) = filter.conditions();
        let text = format!(
            "{COLUMNS} WHERE t.account_id = $1 AND t.number < $2{conditions} \
             ORDER BY t.number DESC LIMIT {limit}"
        );
        let mut statement = built(text).bind(account.0).bind(before);
        for bound in bounds {
            statement = match bound {
                Bound::Int(value) => statement.bind(value),
                Bound::Text(value) => statement.bind(value),
            };
        }
        let mut reader = self.reader().await?;
        statement.fetch_all(&mut *reader).await?.iter().map(ticket).collect()
    }

    /// One ticket.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn ticket(
        &self,
        account: AccountId,
        number: TicketNumber,
    ) -> Result<Option<Ticket>, StoreError> {
        let mut reader = self.reader().await?;
        let row = built(format!("{COLUMNS} WHERE t.account_id = $1 AND t.number = $2"))
            .bind(account.0)
            .bind(number.0)
            .fetch_optional(&mut *reader)
            .await?;
        row.as_ref().map(ticket).transpose()
    }
}

impl Tx {
    /// One ticket. With PostgreSQL its row stays locked, so that two changes of one ticket follow
    /// each other.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn ticket(
        &mut self,
        account: AccountId,
        number: TicketNumber,
    ) -> Result<Option<Ticket>, StoreError> {
        let lock = self.row_lock();
        let row = built(format!("{COLUMNS} WHERE t.account_id = $1 AND t.number = $2{lock}"))
            .bind(account.0)
            .bind(number.0)
            .fetch_optional(self.connection())
            .await?;
        row.as_ref().map(ticket).transpose()
    }

    /// The last conversation of a thread in an inbox.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn ticket_of_thread(
        &mut self,
        account: AccountId,
        inbox: InboxId,
        key: &str,
    ) -> Result<Option<Ticket>, StoreError> {
        let lock = self.row_lock();
        let row = built(format!(
            "{COLUMNS} WHERE t.account_id = $1 AND t.inbox_id = $2 AND t.thread_key = $3 \
             ORDER BY t.number DESC LIMIT 1{lock}"
        ))
        .bind(account.0)
        .bind(inbox.0)
        .bind(key.to_owned())
        .fetch_optional(self.connection())
        .await?;
        row.as_ref().map(ticket).transpose()
    }

    /// The last conversation of the contact with an address in an inbox.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn ticket_of_address(
        &mut self,
        account: AccountId,
        inbox: InboxId,
        source_id: &str,
    ) -> Result<Option<Ticket>, StoreError> {
        let lock = self.row_lock();
        let row = built(format!(
            "{COLUMNS} JOIN contact_inbox i ON i.account_id = t.account_id \
             AND i.inbox_id = t.inbox_id AND i.contact_id = t.contact_id \
             WHERE i.account_id = $1 AND i.inbox_id = $2 AND i.source_id = $3 \
             ORDER BY t.number DESC LIMIT 1{lock}"
        ))
        .bind(account.0)
        .bind(inbox.0)
        .bind(source_id.to_owned())
        .fetch_optional(self.connection())
        .await?;
        row.as_ref().map(ticket).transpose()
    }

    /// The suffix that locks the rows of a `SELECT … FROM ticket t`; SQLite has one writer anyway.
    const fn row_lock(&self) -> &'static str {
        match self.dialect {
            crate::store::dialect::Dialect::Sqlite => "",
            crate::store::dialect::Dialect::Postgres => " FOR UPDATE OF t",
        }
    }

    /// A new ticket under the account's next number.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when its thread got an open conversation in the meantime.
    pub async fn create_ticket(
        &mut self,
        account: AccountId,
        new: &Ticket,
    ) -> Result<TicketNumber, StoreError> {
        let row = query(
            "UPDATE account SET last_ticket = last_ticket + 1 WHERE id = $1 RETURNING last_ticket",
        )
        .bind(account.0)
        .fetch_one(self.connection())
        .await?;
        let number = TicketNumber(row.int("last_ticket")?);
        let done = query(
            "INSERT INTO ticket (account_id, number, kind, subject, body, status_id, is_open, \
             priority, tags, assignee_id, contact_id, inbox_id, source_id, channel, origin, \
             thread_key, thread, preview, version, created_at, updated_at, last_message_at, \
             last_incoming_at, fields) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, \
             $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24) ON CONFLICT DO NOTHING",
        )
        .bind(account.0)
        .bind(number.0)
        .bind(new.kind.as_str())
        .bind(new.subject.clone())
        .bind(new.body.clone())
        .bind(new.status.id.0)
        .bind(i64::from(new.status.category != Category::Resolved))
        .bind(new.priority.map(Priority::as_str))
        .bind(to_json(&new.tags)?)
        .bind(new.assignee.as_ref().map(|user| user.id.0))
        .bind(new.contact.as_ref().map(|contact| contact.id.0))
        .bind(new.inbox.map(|inbox| inbox.0))
        .bind(new.contact.as_ref().map(|contact| contact.address.clone()))
        .bind(new.channel.clone())
        .bind(new.origin.clone())
        .bind(new.thread.key.clone())
        .bind(to_json(&new.thread)?)
        .bind(new.preview.clone())
        .bind(new.version)
        .bind(new.created_at.0)
        .bind(new.updated_at.0)
        .bind(new.last_message_at.map(|at| at.0))
        .bind(new.last_incoming_at.map(|at| at.0))
        .bind(to_json(&new.fields)?)
        .execute(self.connection())
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Conflict("ticket"));
        }
        self.index_tags(account, number, &[], &new.tags).await?;
        Ok(number)
    }

    /// Stores a ticket that changed.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it changed in the meantime.
    pub async fn save_ticket(
        &mut self,
        account: AccountId,
        before: &Ticket,
        after: &Ticket,
    ) -> Result<(), StoreError> {
        let done = query(
            "UPDATE ticket SET subject = $1, status_id = $2, is_open = $3, priority = $4, \
             tags = $5, assignee_id = $6, thread_key = $7, thread = $8, preview = $9, \
             version = $10, updated_at = $11, last_message_at = $12, last_incoming_at = $13, \
             fields = $14 WHERE account_id = $15 AND number = $16 AND version = $17",
        )
        .bind(after.subject.clone())
        .bind(after.status.id.0)
        .bind(i64::from(after.status.category != Category::Resolved))
        .bind(after.priority.map(Priority::as_str))
        .bind(to_json(&after.tags)?)
        .bind(after.assignee.as_ref().map(|user| user.id.0))
        .bind(after.thread.key.clone())
        .bind(to_json(&after.thread)?)
        .bind(after.preview.clone())
        .bind(after.version)
        .bind(after.updated_at.0)
        .bind(after.last_message_at.map(|at| at.0))
        .bind(after.last_incoming_at.map(|at| at.0))
        .bind(to_json(&after.fields)?)
        .bind(account.0)
        .bind(after.number.0)
        .bind(before.version)
        .execute(self.connection())
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Conflict("ticket"));
        }
        if before.tags != after.tags {
            self.index_tags(account, after.number, &before.tags, &after.tags).await?;
        }
        Ok(())
    }

    async fn index_tags(
        &mut self,
        account: AccountId,
        number: TicketNumber,
        before: &[String],
        after: &[String],
    ) -> Result<(), StoreError> {
        for tag in before.iter().filter(|tag| !after.contains(tag)) {
            query("DELETE FROM ticket_tag WHERE account_id = $1 AND tag = $2 AND number = $3")
                .bind(account.0)
                .bind(tag.clone())
                .bind(number.0)
                .execute(self.connection())
                .await?;
        }
        for tag in after.iter().filter(|tag| !before.contains(tag)) {
            query(
                "INSERT INTO ticket_tag (account_id, tag, number) VALUES ($1, $2, $3) \
                 ON CONFLICT DO NOTHING",
            )
            .bind(account.0)
            .bind(tag.clone())
            .bind(number.0)
            .execute(self.connection())
            .await?;
        }
        Ok(())
    }
}
