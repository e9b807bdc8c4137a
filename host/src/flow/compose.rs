//! An agent, a bot or a program asks → the same commands as everybody → `apply`.

use super::Flow;
use super::apply::{ApplyError, Scope, apply};
use crate::clock;
use crate::domain::command::{Actor, Command};
use crate::domain::decide::Change;
use crate::domain::id::AccountId;
use crate::store::StoreError;

/// How often a command is decided again because another write came first.
const TRIES: usize = 5;

/// Applies one command in a transaction of its own.
///
/// # Errors
/// The command is refused, or the memory did not do its part; nothing was written.
pub async fn compose(
    flow: &Flow,
    account: AccountId,
    actor: Actor,
    command: Command,
) -> Result<Change, ApplyError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let snapshot = flow.registry.current();
        let (actor, command) = (actor.clone(), command.clone());
        let result = flow
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let scope =
                        Scope { account, actor: &actor, now: clock::now(), snapshot: &snapshot };
                    apply(tx, &scope, command).await
                })
            })
            .await;
        match result {
            Err(ApplyError::Store(StoreError::Conflict(_))) if tries < TRIES => {}
            settled => return settled,
        }
    }
}
