//! Accounts, their users, tokens and statuses.

use crate::domain::decide::InboxFacts;
use crate::domain::exchange::UnixMs;
use crate::domain::id::{AccountId, StatusId, TokenId, UserId};
use crate::domain::status::{Category, SEED, Status};
use crate::domain::ticket::StatusRef;
use crate::domain::user::{Role, User, UserRef};
use crate::store::sql::{AnyQuery, Columns, query, word};
use crate::store::{Store, StoreError, Tx};
use sqlx::any::AnyRow;

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Shown to people.
    pub name: String,
}

/// Who a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The account.
    pub account: Account,
    /// The user.
    pub user: User,
    /// The token.
    pub token: TokenId,
    /// The token's label.
    pub label: String,
}

/// A token as it is listed. The token itself is known to nobody but its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Its id.
    pub id: TokenId,
    /// The account.
    pub account: AccountId,
    /// Whose.
    pub email: String,
    /// What its user may do.
    pub role: Role,
    /// What it is for.
    pub label: String,
    /// When it was made.
    pub created_at: UnixMs,
    /// When it was revoked.
    pub revoked_at: Option<UnixMs>,
}

/// A user to be created.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The account.
    pub account: AccountId,
    /// Shown to people.
    pub name: String,
    /// E-mail address.
    pub email: String,
    /// What it may do.
    pub role: Role,
    /// May administer the host's plugins.
    pub operator: bool,
}

fn user(row: &AnyRow) -> Result<User, StoreError> {
    let id = row.int("id")?;
    Ok(User {
        id: UserId(id),
        name: row.text("name")?,
        email: row.text("email")?,
        role: word("app_user", "role", id, &row.text("role")?, Role::parse)?,
        operator: row.flag("operator")?,
    })
}

fn status(row: &AnyRow) -> Result<Status, StoreError> {
    let id = row.int("id")?;
    Ok(Status {
        id: StatusId(id),
        name: row.text("name")?,
        category: word("status", "category", id, &row.text("category")?, Category::parse)?,
        position: row.int("position")?,
        is_default: row.flag("is_default")?,
    })
}

impl Store {
    /// Who holds the token with this hash; `None` for unknown and revoked ones.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn principal(&self, hash: &[u8]) -> Result<Option<Principal>, StoreError> {
        let mut reader = self.reader().await?;
        let row = query(
            "SELECT u.id, u.name, u.email, u.role, u.operator, t.id AS token, t.label, \
             a.id AS account, a.name AS account_name FROM token t \
             JOIN app_user u ON u.id = t.user_id JOIN account a ON a.id = t.account_id \
             WHERE t.hash = $1 AND t.revoked_at IS NULL",
        )
        .bind(hash.to_vec())
        .fetch_optional(&mut *reader)
        .await?;
        row.map(|row| {
            Ok(Principal {
                account: Account {
                    id: AccountId(row.int("account")?),
                    name: row.text("account_name")?,
                },
                user: user(&row)?,
                token: TokenId(row.int("token")?),
                label: row.text("label")?,
            })
        })
        .transpose()
    }

    /// Every account, oldest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query("SELECT id, name FROM account ORDER BY id LIMIT 10000")
            .fetch_all(&mut *reader)
            .await?;
        rows.iter()
            .map(|row| Ok(Account { id: AccountId(row.int("id")?), name: row.text("name")? }))
            .collect()
    }

    /// The account's users, oldest first, after `after`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn users(
        &self,
        account: AccountId,
        after: i64,
        limit: i64,
    ) -> Result<Vec<User>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(
            "SELECT id, name, email, role, operator FROM app_user \
             WHERE account_id = $1 AND id > $2 ORDER BY id LIMIT $3",
        )
        .bind(account.0)
        .bind(after)
        .bind(limit)
        .fetch_all(&mut *reader)
        .await?;
        rows.iter().map(user).collect()
    }

    /// The account's statuses in the order of the board.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn statuses(&self, account: AccountId) -> Result<Vec<Status>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(
            "SELECT id, name, category, position, is_default FROM status WHERE account_id = $1 \
             ORDER BY position, id LIMIT 200",
        )
        .bind(account.0)
        .fetch_all(&mut *reader)
        .await?;
        rows.iter().map(status).collect()
    }

    /// Tokens, newest first, of one account or of all.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn tokens(&self, account: Option<AccountId>) -> Result<Vec<TokenRow>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(
            "SELECT t.id, t.account_id, u.email, u.role, t.label, t.created_at, t.revoked_at \
             FROM token t JOIN app_user u ON u.id = t.user_id \
             WHERE ($1 = 0 OR t.account_id = $1) ORDER BY t.id DESC LIMIT 1000",
        )
        .bind(account.map_or(0, |account| account.0))
        .fetch_all(&mut *reader)
        .await?;
        rows.iter()
            .map(|row| {
                let id = row.int("id")?;
                Ok(TokenRow {
                    id: TokenId(id),
                    account: AccountId(row.int("account_id")?),
                    email: row.text("email")?,
                    role: word("app_user", "role", id, &row.text("role")?, Role::parse)?,
                    label: row.text("label")?,
                    created_at: UnixMs(row.int("created_at")?),
                    revoked_at: row.maybe_int("revoked_at")?.map(UnixMs),
                })
            })
            .collect()
    }
}

impl Tx {
    /// A new account with the seeded statuses.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn create_account(
        &mut self,
        name: &str,
        now: UnixMs,
    ) -> Result<AccountId, StoreError> {
        let row = query("INSERT INTO account (name, created_at) VALUES ($1, $2) RETURNING id")
            .bind(name.to_owned())
            .bind(now.0)
            .fetch_one(self.connection())
            .await?;
        let account = AccountId(row.int("id")?);
        let mut inbound = None;
        for (position, (name, category, is_default)) in SEED.iter().enumerate() {
            let row = query(
                "INSERT INTO status (account_id, name, category, position, is_default) \
                 VALUES ($1, $2, $3, $4, $5) RETURNING id",
            )
            .bind(account.0)
            .bind(*name)
            .bind(category.as_str())
            .bind(i64::try_from(position).unwrap_or(i64::MAX))
            .bind(i64::from(*is_default))
            .fetch_one(self.connection())
            .await?;
            inbound = inbound.or(Some(row.int("id")?));
        }
        query("UPDATE account SET inbound_status_id = $1 WHERE id = $2")
            .bind(inbound)
            .bind(account.0)
            .execute(self.connection())
            .await?;
        Ok(account)
    }

    /// How many accounts there are.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn account_count(&mut self) -> Result<i64, StoreError> {
        let row = query("SELECT COUNT(*) AS n FROM account").fetch_one(self.connection()).await?;
        row.int("n")
    }

    /// Whether the account exists.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn account_exists(&mut self, account: AccountId) -> Result<bool, StoreError> {
        let row = query("SELECT id FROM account WHERE id = $1")
            .bind(account.0)
            .fetch_optional(self.connection())
            .await?;
        Ok(row.is_some())
    }

    /// A new user, or `None` when the e-mail address is taken.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn create_user(
        &mut self,
        new: &NewUser,
        now: UnixMs,
    ) -> Result<Option<UserId>, StoreError> {
        let row = query(
            "INSERT INTO app_user (account_id, name, email, role, operator, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (account_id, email) DO NOTHING \
             RETURNING id",
        )
        .bind(new.account.0)
        .bind(new.name.clone())
        .bind(new.email.to_lowercase())
        .bind(new.role.as_str())
        .bind(i64::from(new.operator))
        .bind(now.0)
        .fetch_optional(self.connection())
        .await?;
        row.map(|row| Ok(UserId(row.int("id")?))).transpose()
    }

    /// The user with this e-mail address.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn user_by_email(
        &mut self,
        account: AccountId,
        email: &str,
    ) -> Result<Option<User>, StoreError> {
        let row = one_user("email = $2")
            .bind(account.0)
            .bind(email.to_lowercase())
            .fetch_optional(self.connection())
            .await?;
        row.as_ref().map(user).transpose()
    }

    /// The user with this id.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn user(
        &mut self,
        account: AccountId,
        id: UserId,
    ) -> Result<Option<UserRef>, StoreError> {
        let row = one_user("id = $2")
            .bind(account.0)
            .bind(id.0)
            .fetch_optional(self.connection())
            .await?;
        row.map(|row| {
            let User { id, name, email, .. } = user(&row)?;
            Ok(UserRef { id, name, email })
        })
        .transpose()
    }

    /// A new token, by its hash.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn create_token(
        &mut self,
        account: AccountId,
        user: UserId,
        label: &str,
        hash: &[u8],
        now: UnixMs,
    ) -> Result<TokenId, StoreError> {
        let row = query(
            "INSERT INTO token (account_id, user_id, label, hash, created_at) \
             VALUES ($1, $2, $3, $4, $5) RETURNING id",
        )
        .bind(account.0)
        .bind(user.0)
        .bind(label.to_owned())
        .bind(hash.to_vec())
        .bind(now.0)
        .fetch_one(self.connection())
        .await?;
        Ok(TokenId(row.int("id")?))
    }

    /// Revokes a token; `false` when there is none that could be.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn revoke_token(&mut self, token: TokenId, now: UnixMs) -> Result<bool, StoreError> {
        let done = query("UPDATE token SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL")
            .bind(now.0)
            .bind(token.0)
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// The status of new conversations.
    ///
    /// # Errors
    /// The database does not answer, or the account has none.
    pub async fn inbound_status(&mut self, account: AccountId) -> Result<StatusRef, StoreError> {
        let row = query(
            "SELECT s.id, s.name, s.category, s.position, s.is_default FROM account a \
             JOIN status s ON s.id = a.inbound_status_id WHERE a.id = $1",
        )
        .bind(account.0)
        .fetch_optional(self.connection())
        .await?
        .ok_or_else(|| StoreError::corrupt("account", "inbound_status_id", account, "nothing"))?;
        let status = status(&row)?;
        Ok(StatusRef { id: status.id, name: status.name, category: status.category })
    }

    /// The account's statuses.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn statuses(&mut self, account: AccountId) -> Result<Vec<Status>, StoreError> {
        let rows = query(
            "SELECT id, name, category, position, is_default FROM status WHERE account_id = $1 \
             ORDER BY position, id LIMIT 200",
        )
        .bind(account.0)
        .fetch_all(self.connection())
        .await?;
        rows.iter().map(status).collect()
    }

    /// What rules need of an inbox, without its channel's behaviour, which the release says.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn inbox_facts(
        &mut self,
        account: AccountId,
        inbox: crate::domain::id::InboxId,
    ) -> Result<Option<InboxFacts>, StoreError> {
        let row = query("SELECT channel FROM inbox WHERE account_id = $1 AND id = $2")
            .bind(account.0)
            .bind(inbox.0)
            .fetch_optional(self.connection())
            .await?;
        row.map(|row| Ok(InboxFacts { id: inbox, channel: row.text("channel")?, behavior: None }))
            .transpose()
    }
}

fn one_user(condition: &'static str) -> AnyQuery {
    crate::store::sql::built(format!(
        "SELECT id, name, email, role, operator FROM app_user WHERE account_id = $1 AND {condition}"
    ))
}
