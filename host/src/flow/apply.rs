//! A command → facts → decide → new state, events and follow-up rows, in one transaction.
//!
//! The only way that facts change. It looks up what `decide` needs, lets it judge, and stores the
//! outcome; it has no rule of its own.

use crate::domain::command::{
    Actor, AssigneeKey, Command, MessageKey, Receive, StatusKey, TicketKey, TicketPatch,
};
use crate::domain::decide::{Change, Changed, Facts, InboxFacts, Rejection, decide};
use crate::domain::event::events_of;
use crate::domain::exchange::{Thread, UnixMs};
use crate::domain::id::{AccountId, InboxId};
use crate::domain::message::{Author, Message};
use crate::domain::status::{Category, Status};
use crate::domain::ticket::Ticket;
use crate::plugin::Snapshot;
use crate::store::{StoreError, Tx};
use crate::view;

/// Why a command was not applied. Nothing was written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApplyError {
    /// It was judged and refused.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The memory did not do its part.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// In whose name and when commands are applied.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    /// The account.
    pub account: AccountId,
    /// Who asks.
    pub actor: &'a Actor,
    /// Now.
    pub now: UnixMs,
    /// Says how the channels behave.
    pub snapshot: &'a Snapshot,
}

/// Applies one command. Answers what changed, with the ids of what is new.
///
/// # Errors
/// The command is refused, or the memory did not do its part; the transaction must not commit then.
pub async fn apply(tx: &mut Tx, scope: &Scope<'_>, command: Command) -> Result<Change, ApplyError> {
    let facts = look_up(tx, scope, &command).await?;
    let mut change = decide(&facts, scope.actor, command)?;
    if !change.is_empty() {
        save(tx, scope, &mut change).await?;
    }
    Ok(change)
}

async fn look_up(tx: &mut Tx, scope: &Scope<'_>, command: &Command) -> Result<Facts, StoreError> {
    let mut facts = Facts { now: scope.now, ..Facts::default() };
    match command {
        Command::Receive(receive) => look_up_received(tx, scope, receive, &mut facts).await?,
        Command::CreateTask { assignee, .. } => {
            facts.inbound_status = Some(tx.inbound_status(scope.account).await?);
            look_up_user(tx, scope, assignee.as_ref(), &mut facts).await?;
        }
        Command::UpdateTicket { ticket, patch } => {
            facts.ticket = find_ticket(tx, scope.account, ticket).await?;
            look_up_patch(tx, scope, patch, &mut facts).await?;
        }
        Command::Reply { ticket, .. } | Command::Note { ticket, .. } => {
            facts.ticket = find_ticket(tx, scope.account, ticket).await?;
            let inbox = facts.ticket.as_ref().and_then(|ticket| ticket.inbox);
            facts.inbox = inbox.and_then(|inbox| inbox_facts(scope, inbox));
        }
        Command::EditMessage { message, .. }
        | Command::DeleteMessage { message }
        | Command::RecordState { message, .. } => {
            facts.message = find_message(tx, scope.account, message).await?;
            look_up_its_ticket(tx, scope, &mut facts).await?;
        }
        Command::React { inbox, reaction } => {
            let key = MessageKey::External(*inbox, reaction.external_id.clone());
            facts.message = find_message(tx, scope.account, &key).await?;
            look_up_its_ticket(tx, scope, &mut facts).await?;
        }
        Command::UpdateContact { inbox, party } => {
            facts.contact = tx.contact_at(scope.account, *inbox, &party.address).await?;
        }
    }
    Ok(facts)
}

async fn look_up_received(
    tx: &mut Tx,
    scope: &Scope<'_>,
    receive: &Receive,
    facts: &mut Facts,
) -> Result<(), StoreError> {
    let key = MessageKey::External(receive.inbox, receive.external_id.clone());
    facts.message = find_message(tx, scope.account, &key).await?;
    if facts.message.is_some() {
        return Ok(());
    }
    facts.inbox = inbox_facts(scope, receive.inbox);
    facts.contact = tx.contact_at(scope.account, receive.inbox, &receive.sender.address).await?;
    facts.ticket = ticket_of_thread(tx, scope.account, receive.inbox, &receive.thread).await?;
    let open = facts.ticket.as_ref().is_some_and(|ticket| match ticket.status.category {
        Category::Open | Category::Pending => true,
        Category::Snoozed | Category::Resolved => false,
    });
    if !open {
        facts.inbound_status = Some(tx.inbound_status(scope.account).await?);
    }
    Ok(())
}

async fn look_up_patch(
    tx: &mut Tx,
    scope: &Scope<'_>,
    patch: &TicketPatch,
    facts: &mut Facts,
) -> Result<(), StoreError> {
    if let Some(key) = &patch.status {
        facts.named_status = named_status(tx.statuses(scope.account).await?, key);
    }
    if let Some(Some(assignee)) = &patch.assignee {
        look_up_user(tx, scope, Some(assignee), facts).await?;
    }
    Ok(())
}

fn named_status(statuses: Vec<Status>, key: &StatusKey) -> Option<Status> {
    let default_of = |category: Category| {
        move |status: &Status| status.category == category && status.is_default
    };
    match key {
        StatusKey::Id(id) => statuses.into_iter().find(|status| status.id.0 == *id),
        StatusKey::Category(category) => statuses.into_iter().find(default_of(*category)),
        StatusKey::Word(word) => {
            let named = statuses.iter().find(|status| status.name.eq_ignore_ascii_case(word));
            named.cloned().or_else(|| {
                let category = Category::parse(&word.to_ascii_lowercase())?;
                statuses.into_iter().find(default_of(category))
            })
        }
    }
}

async fn look_up_user(
    tx: &mut Tx,
    scope: &Scope<'_>,
    key: Option<&AssigneeKey>,
    facts: &mut Facts,
) -> Result<(), StoreError> {
    facts.named_user = match key {
        None => None,
        Some(AssigneeKey::Id(id)) => tx.user(scope.account, *id).await?,
        Some(AssigneeKey::Email(email)) => match tx.user_by_email(scope.account, email).await? {
            None => None,
            Some(user) => tx.user(scope.account, user.id).await?,
        },
    };
    Ok(())
}

fn inbox_facts(scope: &Scope<'_>, id: InboxId) -> Option<InboxFacts> {
    let inbox = scope.snapshot.inbox(id).filter(|inbox| inbox.account == scope.account)?;
    let channel = inbox.release.as_ref().and_then(|release| release.channel.as_ref());
    Some(InboxFacts {
        id,
        channel: inbox.channel.clone(),
        behavior: channel.map(|channel| channel.behavior.clone()),
    })
}

async fn look_up_its_ticket(
    tx: &mut Tx,
    scope: &Scope<'_>,
    facts: &mut Facts,
) -> Result<(), StoreError> {
    if let Some(message) = &facts.message {
        facts.ticket = tx.ticket(scope.account, message.ticket).await?;
    }
    Ok(())
}

async fn find_message(
    tx: &mut Tx,
    account: AccountId,
    key: &MessageKey,
) -> Result<Option<Message>, StoreError> {
    match key {
        MessageKey::Id(id) => tx.message(account, *id).await,
        MessageKey::External(inbox, external_id) => {
            tx.message_named(account, *inbox, external_id).await
        }
    }
}

async fn find_ticket(
    tx: &mut Tx,
    account: AccountId,
    key: &TicketKey,
) -> Result<Option<Ticket>, StoreError> {
    match key {
        TicketKey::Number(number) => tx.ticket(account, *number).await,
        TicketKey::Thread(inbox, thread) => ticket_of_thread(tx, account, *inbox, thread).await,
        TicketKey::Message(inbox, external_id) => {
            match tx.message_named(account, *inbox, external_id).await? {
                None => Ok(None),
                Some(message) => tx.ticket(account, message.ticket).await,
            }
        }
        TicketKey::Contact(inbox, address) => tx.ticket_of_address(account, *inbox, address).await,
    }
}

/// The conversation of a thread: by its key, else by the messages that it refers to, newest first.
async fn ticket_of_thread(
    tx: &mut Tx,
    account: AccountId,
    inbox: InboxId,
    thread: &Thread,
) -> Result<Option<Ticket>, StoreError> {
    if let Some(key) = &thread.key {
        return tx.ticket_of_thread(account, inbox, key).await;
    }
    for external_id in thread.in_reply_to.iter().chain(thread.references.iter().rev()) {
        if let Some(message) = tx.message_named(account, inbox, external_id).await? {
            return tx.ticket(account, message.ticket).await;
        }
    }
    Ok(None)
}

async fn save(tx: &mut Tx, scope: &Scope<'_>, change: &mut Change) -> Result<(), StoreError> {
    let account = scope.account;
    let Change { contact, contact_inbox, ticket, message, attachments, deliver } = change;
    if let Some(changed) = contact {
        if changed.before.is_some() {
            tx.save_contact(account, &changed.after).await?;
        } else {
            let id = tx.create_contact(account, &changed.after).await?;
            changed.after.id = id;
            if let Some(of_ticket) = ticket.as_mut().and_then(|t| t.after.contact.as_mut()) {
                of_ticket.id = id;
            }
            if let Some(Changed { before: None, after }) = message
                && matches!(after.author, Author::Contact(_))
            {
                after.author = Author::Contact(id);
            }
            if let Some((inbox, source_id)) = contact_inbox {
                tx.create_contact_inbox(account, *inbox, source_id, id, scope.now).await?;
            }
        }
    }
    if let Some(changed) = ticket {
        match &changed.before {
            None => changed.after.number = tx.create_ticket(account, &changed.after).await?,
            Some(before) if *before != changed.after => {
                tx.save_ticket(account, before, &changed.after).await?;
            }
            Some(_) => {}
        }
    }
    if let Some(changed) = message {
        let inbox = ticket.as_ref().and_then(|changed| changed.after.inbox);
        if changed.before.is_some() {
            tx.save_message(account, &changed.after).await?;
        } else {
            if let Some(changed_ticket) = ticket {
                changed.after.ticket = changed_ticket.after.number;
            }
            changed.after.id = tx.create_message(account, inbox, &changed.after).await?;
            if let Some(inbox) = inbox {
                let (id, number) = (changed.after.id, changed.after.ticket);
                tx.create_attachments(account, inbox, id, attachments, scope.now).await?;
                if *deliver {
                    tx.create_delivery(account, inbox, number, id, scope.now).await?;
                }
            }
        }
    }
    for event in events_of(account, scope.now, scope.actor, change) {
        tx.emit(view::event::pending(&event)?);
    }
    Ok(())
}
