//! The one place where commands are judged.
//!
//! `decide` takes the command and the facts that the host looked up for it, and answers with the
//! change of state or with the reason why not. It knows no database, no clock and no plugin.

use crate::command::{Actor, Command, Receive, TicketPatch};
use crate::contact::{Contact, ContactRef};
use crate::exchange::{Content, Party, UnixMs};
use crate::id::{ContactId, InboxId, MessageId, TicketNumber};
use crate::limits;
use crate::message::{Author, Direction, Message, MessageAttachment, MessageState, ReactionMark};
use crate::plugin::{Behavior, ReopenRule};
use crate::status::{Category, Status};
use crate::ticket::{StatusRef, Ticket, TicketKind, preview_of, tidy_tags};
use crate::user::UserRef;
use serde_json::Value;
use std::collections::BTreeMap;

/// What the host knows when a command is judged. A command needs only some of it.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Now.
    pub now: UnixMs,
    /// The status of new conversations, and of resolved ones that are opened again.
    pub inbound_status: Option<StatusRef>,
    /// The status that the patch names.
    pub named_status: Option<Status>,
    /// The user that the command names.
    pub named_user: Option<UserRef>,
    /// The inbox of the command or of its ticket.
    pub inbox: Option<InboxFacts>,
    /// The ticket of the command, or the last one of its thread.
    pub ticket: Option<Ticket>,
    /// The message of the command, or the one that already has the external id.
    pub message: Option<Message>,
    /// The contact at the sender's address.
    pub contact: Option<Contact>,
}

/// What rules need of an inbox.
#[derive(Clone, Debug)]
pub struct InboxFacts {
    /// Its id.
    pub id: InboxId,
    /// Its channel's key.
    pub channel: String,
    /// How conversations of its channel work; `None` while no release provides the channel.
    pub behavior: Option<Behavior>,
}

/// A state before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed<T> {
    /// As it was; `None` when it is new.
    pub before: Option<T>,
    /// As it is now.
    pub after: T,
}

impl<T> Changed<T> {
    const fn new(after: T) -> Self {
        Self { before: None, after }
    }

    const fn from(before: T, after: T) -> Self {
        Self { before: Some(before), after }
    }
}

/// What a command changes. Everything of one change is stored in one transaction; ids of new
/// things are 0 until then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// A contact.
    pub contact: Option<Changed<Contact>>,
    /// A new address of the contact: inbox and source id.
    pub contact_inbox: Option<(InboxId, String)>,
    /// A ticket.
    pub ticket: Option<Changed<Ticket>>,
    /// A message of the ticket.
    pub message: Option<Changed<Message>>,
    /// Files of the new message.
    pub attachments: Vec<MessageAttachment>,
    /// The message is to be handed to the provider.
    pub deliver: bool,
}

impl Change {
    /// Whether the command changed nothing, such as a message that was there before.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Why a command is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// What the command names is not there.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The ticket is a task.
    #[error("ticket {0} is a task and has no message thread; a reply needs a conversation")]
    NoThread(TicketNumber),
    /// The channel cannot do it.
    #[error("the channel \"{channel}\" cannot {ability}")]
    NotAble {
        /// The channel's key.
        channel: String,
        /// What it cannot do.
        ability: &'static str,
    },
    /// No release provides the channel.
    #[error("no active plugin provides the channel \"{0}\"")]
    ChannelMissing(String),
    /// The time in which a reply is allowed has passed.
    #[error("the reply window of {hours} hours after the last message of the contact has closed")]
    WindowClosed {
        /// How long it was.
        hours: u32,
    },
    /// A value that cannot be.
    #[error("{field}: expected {expected}, found {found}")]
    Invalid {
        /// Which.
        field: &'static str,
        /// What would be right.
        expected: String,
        /// What came.
        found: String,
    },
    /// The command was judged without a fact that it needs: a fault of the host.
    #[error("the command \"{command}\" was judged without its {fact}")]
    MissingFact {
        /// The command.
        command: &'static str,
        /// The fact.
        fact: &'static str,
    },
}

fn invalid(field: &'static str, expected: impl Into<String>, found: impl ToString) -> Rejection {
    Rejection::Invalid { field, expected: expected.into(), found: found.to_string() }
}

/// Judges a command.
///
/// # Errors
/// A [`Rejection`]: nothing changes.
pub fn decide(facts: &Facts, actor: &Actor, command: Command) -> Result<Change, Rejection> {
    match command {
        Command::Receive(receive) => receive_message(facts, receive),
        Command::CreateTask { subject, body, priority, tags, assignee } => {
            if assignee.is_some() && facts.named_user.is_none() {
                return Err(Rejection::NotFound("user"));
            }
            let status = facts
                .inbound_status
                .clone()
                .ok_or(Rejection::MissingFact { command: "create-task", fact: "status" })?;
            let ticket = Ticket {
                number: TicketNumber(0),
                kind: TicketKind::Task,
                subject: checked_subject(subject)?,
                preview: preview_of(body.as_deref().unwrap_or("")),
                body: body.map(|body| checked_body("body", body)).transpose()?,
                status,
                priority,
                tags: checked_tags(tags)?,
                assignee: facts.named_user.clone(),
                contact: None,
                inbox: None,
                channel: None,
                origin: "api".to_owned(),
                thread: crate::exchange::Thread::default(),
                fields: BTreeMap::new(),
                version: 1,
                created_at: facts.now,
                updated_at: facts.now,
                last_message_at: None,
                last_incoming_at: None,
            };
            Ok(Change { ticket: Some(Changed::new(ticket)), ..Change::default() })
        }
        Command::UpdateTicket { ticket: _, patch } => update_ticket(facts, patch),
        Command::Reply { ticket: _, body } => reply(facts, actor, body),
        Command::Note { ticket: _, text } => note(facts, actor, text),
        Command::EditMessage { message: _, body } => edit_message(facts, body),
        Command::DeleteMessage { message: _ } => delete_message(facts),
        Command::React { inbox: _, reaction } => {
            let mark = ReactionMark {
                emoji: reaction.emoji,
                by: reaction.sender.map(|party| party.address).unwrap_or_default(),
            };
            react(facts, mark, reaction.added)
        }
        Command::UpdateContact { inbox: _, party } => Ok(Change {
            contact: facts.contact.as_ref().and_then(|before| {
                let after = before.learned_from(&capped(party), facts.now)?;
                Some(Changed::from(before.clone(), after))
            }),
            ..Change::default()
        }),
        Command::RecordState { message: _, state, detail, external_id, thread_key, settles } => {
            record_state(facts, state, detail, external_id, thread_key, settles)
        }
    }
}

fn receive_message(facts: &Facts, receive: Receive) -> Result<Change, Rejection> {
    if facts.message.is_some() {
        return Ok(Change::default());
    }
    let inbox =
        facts.inbox.as_ref().ok_or(Rejection::MissingFact { command: "receive", fact: "inbox" })?;
    let sender = capped(receive.sender);
    if sender.address.is_empty() {
        return Err(invalid("sender.address", "an address", "nothing"));
    }
    let body = capped_content(receive.body);

    let contact = match &facts.contact {
        None => Some(Changed::new(Contact::introduced_by(&sender, facts.now))),
        Some(before) => before
            .learned_from(&sender, facts.now)
            .map(|after| Changed::from(before.clone(), after)),
    };
    let known = contact.as_ref().map_or(facts.contact.as_ref(), |changed| Some(&changed.after));
    let contact_ref = known.map(|contact| ContactRef {
        id: contact.id,
        name: contact.name.clone(),
        address: sender.address.clone(),
        email: contact.email.clone(),
    });

    let rule =
        inbox.behavior.as_ref().map_or(ReopenRule::Reopen, |behavior| behavior.reply_to_resolved);
    let continued = facts.ticket.as_ref().filter(|ticket| {
        ticket.status.category != Category::Resolved || rule != ReopenRule::NewTicket
    });
    let preview = preview_of(&body.text);
    let ticket = if let Some(before) = continued {
        let mut after = before.clone();
        let resolved = before.status.category == Category::Resolved;
        let asleep = before.status.category == Category::Snoozed;
        if (resolved && rule == ReopenRule::Reopen) || asleep {
            after.status = inbound_status(facts)?;
        }
        after.thread = kept_thread(receive.thread, before.thread.key.clone());
        set_fields(&mut after.fields, receive.fields)?;
        after.preview = preview;
        after.last_message_at = Some(facts.now);
        after.last_incoming_at = Some(facts.now);
        touch(&mut after, facts.now);
        Changed::from(before.clone(), after)
    } else {
        let mut fields = BTreeMap::new();
        set_fields(&mut fields, receive.fields)?;
        let subject = receive.subject.as_deref().map(str::trim).filter(|text| !text.is_empty());
        Changed::new(Ticket {
            number: TicketNumber(0),
            kind: TicketKind::Conversation,
            subject: limits::cut(subject.unwrap_or(&preview), limits::SUBJECT_CHARS),
            body: None,
            status: inbound_status(facts)?,
            priority: None,
            tags: Vec::new(),
            assignee: None,
            contact: contact_ref,
            inbox: Some(inbox.id),
            channel: Some(inbox.channel.clone()),
            origin: inbox.channel.clone(),
            thread: kept_thread(receive.thread, None),
            fields,
            preview,
            version: 1,
            created_at: facts.now,
            updated_at: facts.now,
            last_message_at: Some(facts.now),
            last_incoming_at: Some(facts.now),
        })
    };
    let message = Message {
        id: MessageId(0),
        ticket: ticket.after.number,
        direction: Direction::Incoming,
        private: false,
        body,
        author: Author::Contact(known.map_or(ContactId(0), |contact| contact.id)),
        author_name: known.map_or_else(|| sender.address.clone(), |contact| contact.name.clone()),
        external_id: Some(receive.external_id),
        state: MessageState::Received,
        state_detail: None,
        reactions: Vec::new(),
        sent_at: receive.sent_at,
        created_at: facts.now,
        edited_at: None,
        deleted_at: None,
    };
    let attachments = receive
        .attachments
        .into_iter()
        .map(|file| MessageAttachment {
            name: file.name,
            content_type: file.content_type,
            byte_size: file.byte_size,
            source: file.source,
        })
        .collect();
    Ok(Change {
        contact,
        contact_inbox: facts.contact.is_none().then_some((inbox.id, sender.address)),
        ticket: Some(ticket),
        message: Some(Changed::new(message)),
        attachments,
        deliver: false,
    })
}

/// The thread to answer in: the newest one, under the key that names the conversation.
fn kept_thread(newest: crate::exchange::Thread, key: Option<String>) -> crate::exchange::Thread {
    crate::exchange::Thread { key: key.or(newest.key), ..newest }
}

fn inbound_status(facts: &Facts) -> Result<StatusRef, Rejection> {
    facts
        .inbound_status
        .clone()
        .ok_or(Rejection::MissingFact { command: "receive", fact: "default inbound status" })
}

fn touch(ticket: &mut Ticket, now: UnixMs) {
    ticket.version += 1;
    ticket.updated_at = now;
}

fn the_ticket(facts: &Facts) -> Result<&Ticket, Rejection> {
    facts.ticket.as_ref().ok_or(Rejection::NotFound("ticket"))
}

fn update_ticket(facts: &Facts, patch: TicketPatch) -> Result<Change, Rejection> {
    let before = the_ticket(facts)?;
    let mut after = before.clone();
    if let Some(subject) = patch.subject {
        after.subject = checked_subject(subject)?;
    }
    if patch.status.is_some() {
        let status = facts.named_status.clone().ok_or(Rejection::NotFound("status"))?;
        after.status = StatusRef { id: status.id, name: status.name, category: status.category };
    }
    if let Some(priority) = patch.priority {
        after.priority = priority;
    }
    if let Some(assignee) = patch.assignee {
        after.assignee = match assignee {
            None => None,
            Some(_) => Some(facts.named_user.clone().ok_or(Rejection::NotFound("user"))?),
        };
    }
    let mut tags = patch.tags.unwrap_or_else(|| before.tags.clone());
    tags.extend(patch.add_tags);
    tags.retain(|tag| !patch.remove_tags.contains(tag));
    after.tags = checked_tags(tags)?;
    set_fields(&mut after.fields, patch.fields)?;
    if after == *before {
        return Ok(Change::default());
    }
    touch(&mut after, facts.now);
    Ok(Change { ticket: Some(Changed::from(before.clone(), after)), ..Change::default() })
}

fn reply(facts: &Facts, actor: &Actor, body: Content) -> Result<Change, Rejection> {
    let before = the_ticket(facts)?;
    if before.kind == TicketKind::Task {
        return Err(Rejection::NoThread(before.number));
    }
    let inbox =
        facts.inbox.as_ref().ok_or(Rejection::MissingFact { command: "reply", fact: "inbox" })?;
    let Some(behavior) = &inbox.behavior else {
        return Err(Rejection::ChannelMissing(inbox.channel.clone()));
    };
    if !behavior.abilities.reply {
        return Err(Rejection::NotAble { channel: inbox.channel.clone(), ability: "send replies" });
    }
    let text = checked_body("body", body.text)?;
    if text.trim().is_empty() {
        return Err(invalid("body", "a text", "nothing"));
    }
    let longest = usize::try_from(behavior.max_text_chars).unwrap_or(usize::MAX);
    let chars = text.chars().count();
    if chars > longest {
        return Err(invalid(
            "body",
            format!("at most {longest} characters, the limit of the channel"),
            format!("{chars}"),
        ));
    }
    if let (Some(hours), Some(last)) = (behavior.reply_window_hours, before.last_incoming_at)
        && facts.now.0 > last.plus_ms(i64::from(hours) * 3_600_000).0
    {
        return Err(Rejection::WindowClosed { hours });
    }
    let mut change = written(facts, actor, before, Content { text, ..body }, false);
    change.deliver = true;
    Ok(change)
}

fn note(facts: &Facts, actor: &Actor, text: String) -> Result<Change, Rejection> {
    let before = the_ticket(facts)?;
    let text = checked_body("body", text)?;
    if text.trim().is_empty() {
        return Err(invalid("body", "a text", "nothing"));
    }
    Ok(written(facts, actor, before, Content::text(text), true))
}

fn written(facts: &Facts, actor: &Actor, before: &Ticket, body: Content, private: bool) -> Change {
    let mut after = before.clone();
    if !private {
        after.preview = preview_of(&body.text);
        after.last_message_at = Some(facts.now);
    }
    touch(&mut after, facts.now);
    let (author, author_name) = match actor {
        Actor::User { id, name, .. } => (Author::User(*id), name.clone()),
        Actor::Plugin { name } => (Author::Plugin(name.clone()), name.clone()),
        Actor::System => (Author::System, "Tidegate".to_owned()),
    };
    let message = Message {
        id: MessageId(0),
        ticket: before.number,
        direction: Direction::Outgoing,
        private,
        body,
        author,
        author_name,
        external_id: None,
        state: if private { MessageState::Received } else { MessageState::Pending },
        state_detail: None,
        reactions: Vec::new(),
        sent_at: None,
        created_at: facts.now,
        edited_at: None,
        deleted_at: None,
    };
    Change {
        ticket: Some(Changed::from(before.clone(), after)),
        message: Some(Changed::new(message)),
        ..Change::default()
    }
}

/// A change of one message. A message that is not there, or deleted, changes nothing: edits,
/// deletions and reactions of what the host never saw are no fault.
fn amended(facts: &Facts, amend: impl FnOnce(&mut Message)) -> Change {
    let Some(before) = facts.message.as_ref().filter(|message| message.deleted_at.is_none()) else {
        return Change::default();
    };
    let mut after = before.clone();
    amend(&mut after);
    if after == *before {
        return Change::default();
    }
    let ticket = facts.ticket.as_ref().map(|ticket| Changed::from(ticket.clone(), ticket.clone()));
    Change { ticket, message: Some(Changed::from(before.clone(), after)), ..Change::default() }
}

fn edit_message(facts: &Facts, body: Content) -> Result<Change, Rejection> {
    let body = capped_content(body);
    Ok(amended(facts, |message| {
        if message.body != body {
            message.body = body;
            message.edited_at = Some(facts.now);
        }
    }))
}

fn delete_message(facts: &Facts) -> Result<Change, Rejection> {
    Ok(amended(facts, |message| {
        message.body = Content::default();
        message.deleted_at = Some(facts.now);
    }))
}

fn react(facts: &Facts, mark: ReactionMark, added: bool) -> Result<Change, Rejection> {
    Ok(amended(facts, |message| {
        let there = message.reactions.iter().position(|known| *known == mark);
        match (there, added) {
            (None, true) if message.reactions.len() < limits::REACTIONS => {
                message.reactions.push(mark);
            }
            (Some(at), false) => {
                message.reactions.remove(at);
            }
            (None, true | false) | (Some(_), true) => {}
        }
    }))
}

fn record_state(
    facts: &Facts,
    state: MessageState,
    detail: Option<String>,
    external_id: Option<String>,
    thread_key: Option<String>,
    settles: bool,
) -> Result<Change, Rejection> {
    let mut change = amended(facts, |message| {
        // A message that waits may wait for another reason.
        let waits = message.state == MessageState::Pending && state == MessageState::Pending;
        if message.direction == Direction::Outgoing
            && (settles || waits || message.state.gives_way_to(state))
        {
            message.state = state;
            message.state_detail = detail;
            if state == MessageState::Sent && message.sent_at.is_none() {
                message.sent_at = Some(facts.now);
            }
        }
        if message.external_id.is_none() {
            message.external_id = external_id;
        }
    });
    if let (Some(key), Some(before)) = (thread_key, &facts.ticket)
        && before.thread.key.is_none()
    {
        let mut after = before.clone();
        after.thread.key = Some(key);
        touch(&mut after, facts.now);
        change.ticket = Some(Changed::from(before.clone(), after));
    }
    Ok(change)
}

/// Sets values of fields; null takes one away.
fn set_fields(
    fields: &mut BTreeMap<String, Value>,
    values: BTreeMap<String, Value>,
) -> Result<(), Rejection> {
    for (key, value) in values {
        if value.is_null() {
            fields.remove(&key);
        } else {
            fields.insert(key, value);
        }
    }
    if fields.len() > limits::FIELDS {
        return Err(invalid("fields", format!("at most {} fields", limits::FIELDS), fields.len()));
    }
    Ok(())
}

fn checked_subject(subject: String) -> Result<String, Rejection> {
    let subject = subject.trim().to_owned();
    let chars = subject.chars().count();
    if subject.is_empty() {
        return Err(invalid("subject", "a text", "nothing"));
    }
    if chars > limits::SUBJECT_CHARS {
        let expected = format!("at most {} characters", limits::SUBJECT_CHARS);
        return Err(invalid("subject", expected, chars));
    }
    Ok(subject)
}

fn checked_body(field: &'static str, body: String) -> Result<String, Rejection> {
    let chars = body.chars().count();
    if chars > limits::BODY_CHARS {
        let expected = format!("at most {} characters", limits::BODY_CHARS);
        return Err(invalid(field, expected, chars));
    }
    Ok(body)
}

fn checked_tags(tags: Vec<String>) -> Result<Vec<String>, Rejection> {
    let tags = tidy_tags(tags);
    if tags.len() > limits::TAGS {
        return Err(invalid("tags", format!("at most {} tags", limits::TAGS), tags.len()));
    }
    if let Some(long) = tags.iter().find(|tag| tag.chars().count() > limits::TAG_CHARS) {
        let expected = format!("tags of at most {} characters", limits::TAG_CHARS);
        return Err(invalid("tags", expected, limits::cut(long, limits::TAG_CHARS) + "…"));
    }
    Ok(tags)
}

fn capped(mut party: Party) -> Party {
    party.name = party
        .name
        .map(|name| limits::cut(name.trim(), limits::NAME_CHARS))
        .filter(|name| !name.is_empty());
    party
}

fn capped_content(mut body: Content) -> Content {
    if body.text.len() > limits::BODY_CHARS {
        body.text = limits::cut(&body.text, limits::BODY_CHARS);
    }
    body
}
