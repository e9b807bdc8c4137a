//! `tidegate account`.

use crate::clock;
use crate::config::Config;
use crate::domain::limits;
use crate::domain::user::Role;
use crate::store::StoreError;
use crate::store::account::NewUser;
use crate::token;
use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(super) enum Account {
    /// Make an account with its administrator, and print the administrator's token once
    Create(Create),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The account's name
    name: String,
    /// The administrator's name
    #[arg(long, value_name = "NAME", default_value = "Administrator")]
    admin_name: String,
    /// The administrator's e-mail address
    #[arg(long, value_name = "ADDRESS", default_value = "admin@localhost")]
    admin_email: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, command: Account) -> anyhow::Result<()> {
    let Account::Create(create) = command;
    let name = create.name.trim().to_owned();
    if name.is_empty() || name.chars().count() > limits::NAME_CHARS {
        bail!("expected an account name of 1 to {} characters", limits::NAME_CHARS);
    }
    super::token::check_email(&create.admin_email)?;
    let token = token::mint()?;
    let hash = token::hash(&token);
    let store = super::open_migrated(config).await?;
    let (named, admin, email) =
        (name.clone(), create.admin_name.clone(), create.admin_email.to_lowercase());
    let (account, user, operator) = store
        .write::<_, StoreError, _>(move |tx| {
            Box::pin(async move {
                let now = clock::now();
                // The first account's administrator answers for the host as well.
                let operator = tx.account_count().await? == 0;
                let account = tx.create_account(&named, now).await?;
                let new =
                    NewUser { account, name: admin, email, role: Role::Administrator, operator };
                let user = tx
                    .create_user(&new, now)
                    .await?
                    .ok_or(StoreError::Conflict("a user of a new account"))?;
                tx.create_token(account, user, "first token", &hash, now).await?;
                Ok((account, user, operator))
            })
        })
        .await?;
    store.close().await;
    if create.json {
        let answer = json!({
            "account": { "id": account.0, "name": name },
            "user": {
                "id": user.0,
                "name": create.admin_name,
                "email": create.admin_email.to_lowercase(),
                "role": "administrator",
                "operator": operator,
            },
            "token": token,
        });
        println!("{answer:#}");
    } else {
        println!("Account {account}, {name}, with its administrator {}.", create.admin_email);
        println!();
        println!("The administrator's token, shown this once:");
        println!();
        println!("  {token}");
        println!();
        println!(
            "Another one: tidegate token create --account {account} --email {}",
            create.admin_email
        );
    }
    Ok(())
}
