//! `tidegate token`.

use crate::clock;
use crate::config::Config;
use crate::domain::exchange::UnixMs;
use crate::domain::id::{AccountId, TokenId};
use crate::domain::limits;
use crate::domain::user::Role;
use crate::store::StoreError;
use crate::store::account::{NewUser, TokenRow};
use crate::token;
use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Make a token for a user, and the user when it is new; print it once
    Create(Create),
    /// List tokens, newest first; the tokens themselves are known to nobody
    List {
        /// Only those of this account
        #[arg(long, value_name = "ID")]
        account: Option<i64>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a token: from now on it is refused
    Revoke {
        /// The token's id, from `tidegate token list`
        token: i64,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleWord {
    Administrator,
    Agent,
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The account
    #[arg(long, value_name = "ID")]
    account: i64,
    /// The user's e-mail address
    #[arg(long, value_name = "ADDRESS")]
    email: String,
    /// The user's name, when the user is new [default: the e-mail address]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What the user may do, when the user is new
    #[arg(long, default_value = "agent")]
    role: RoleWord,
    /// The user may administer the host's plugins, when the user is new
    #[arg(long)]
    operator: bool,
    /// What the token is for
    #[arg(long, value_name = "TEXT", default_value = "command line")]
    label: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn check_email(email: &str) -> anyhow::Result<()> {
    let good =
        email.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
            && !email.contains(char::is_whitespace)
            && email.len() <= 254;
    if !good {
        bail!("expected an e-mail address such as ada@example.com, found {email:?}");
    }
    Ok(())
}

pub(super) async fn run(config: &Config, command: Token) -> anyhow::Result<()> {
    match command {
        Token::Create(new) => create(config, new).await,
        Token::List { account, json } => list(config, account.map(AccountId), json).await,
        Token::Revoke { token } => revoke(config, TokenId(token)).await,
    }
}

async fn create(config: &Config, new: Create) -> anyhow::Result<()> {
    check_email(&new.email)?;
    if new.label.chars().count() > limits::NAME_CHARS {
        bail!("expected a label of at most {} characters", limits::NAME_CHARS);
    }
    let minted = token::mint()?;
    let hash = token::hash(&minted);
    let account = AccountId(new.account);
    let store = super::open(config).await?;
    let role = match new.role {
        RoleWord::Administrator => Role::Administrator,
        RoleWord::Agent => Role::Agent,
    };
    let wanted = NewUser {
        account,
        name: new.name.clone().unwrap_or_else(|| new.email.clone()),
        email: new.email.to_lowercase(),
        role,
        operator: new.operator,
    };
    let label = new.label.clone();
    let made = store
        .write::<_, StoreError, _>(move |tx| {
            Box::pin(async move {
                if !tx.account_exists(account).await? {
                    return Ok(None);
                }
                let now = clock::now();
                tx.create_user(&wanted, now).await?;
                let Some(user) = tx.user_by_email(account, &wanted.email).await? else {
                    return Ok(None);
                };
                let id = tx.create_token(account, user.id, &label, &hash, now).await?;
                Ok(Some((user, id)))
            })
        })
        .await?;
    store.close().await;
    let Some((user, id)) = made else { bail!("there is no account {account}") };
    if new.json {
        let answer = json!({
            "account": { "id": account.0 },
            "user": {
                "id": user.id.0,
                "name": user.name,
                "email": user.email,
                "role": user.role.as_str(),
                "operator": user.operator,
            },
            "token_id": id.0,
            "token": minted,
        });
        println!("{answer:#}");
    } else {
        println!("Token {id} of {} ({}), shown this once:", user.email, user.role.as_str());
        println!();
        println!("  {minted}");
    }
    Ok(())
}

async fn list(config: &Config, account: Option<AccountId>, json: bool) -> anyhow::Result<()> {
    let store = super::open(config).await?;
    let tokens = store.tokens(account).await?;
    store.close().await;
    if json {
        let rows: Vec<_> = tokens.iter().map(as_json).collect();
        println!("{:#}", serde_json::Value::from(rows));
        return Ok(());
    }
    if tokens.is_empty() {
        println!("There are no tokens. `tidegate token create` makes one.");
        return Ok(());
    }
    println!(
        "{:>5}  {:>7}  {:<28}  {:<13}  {:<20}  state",
        "id", "account", "user", "role", "label"
    );
    for token in tokens {
        let state = if token.revoked_at.is_some() { "revoked" } else { "valid" };
        println!(
            "{:>5}  {:>7}  {:<28}  {:<13}  {:<20}  {state}",
            token.id.0,
            token.account.0,
            token.email,
            token.role.as_str(),
            token.label
        );
    }
    Ok(())
}

fn as_json(token: &TokenRow) -> serde_json::Value {
    let time = |at: UnixMs| crate::view::time(at);
    json!({
        "id": token.id.0,
        "account": token.account.0,
        "email": token.email,
        "role": token.role.as_str(),
        "label": token.label,
        "created_at": time(token.created_at),
        "revoked_at": token.revoked_at.map(time),
    })
}

async fn revoke(config: &Config, token: TokenId) -> anyhow::Result<()> {
    let store = super::open(config).await?;
    let found = store
        .write::<_, StoreError, _>(move |tx| {
            Box::pin(async move { tx.revoke_token(token, clock::now()).await })
        })
        .await?;
    store.close().await;
    if !found {
        bail!("there is no valid token {token}; `tidegate token list` shows them");
    }
    println!("Token {token} is revoked.");
    Ok(())
}
