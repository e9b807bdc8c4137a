//! Between the words of version 0.1 and the domain's.
//!
//! Nothing that a guest returns is taken on trust: identifiers that are too long are refused,
//! because cutting one would make it another; words for people are cut; lists have a limit.

use super::exports::{channel, choices as lists, identity, integration};
use super::imports::{exchange, types};
use crate::domain::exchange as dom;
use crate::domain::plugin as def;

/// Longest identifier, in bytes: external ids, addresses, thread keys, lanes, request ids.
pub const ID_BYTES: usize = 512;
/// Longest word for people, in characters: names, labels, subjects, reasons.
pub const WORD_CHARS: usize = 500;
/// Longest text, in characters.
pub const TEXT_CHARS: usize = 150_000;
/// Longest HTML or JSON, in bytes.
pub const DOCUMENT_BYTES: usize = 1 << 20;
/// Longest body of a reply to a provider, in bytes.
pub const REPLY_BYTES: usize = 64 << 10;
/// Most entries of a list.
pub const LIST: usize = 1_000;

/// What a guest returned cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: expected {expected}, found {found}")]
pub struct Unusable {
    /// Which value.
    pub what: &'static str,
    /// What would be right.
    pub expected: String,
    /// What came.
    pub found: String,
}

type Result<T> = std::result::Result<T, Unusable>;

fn id(what: &'static str, text: String) -> Result<String> {
    if text.is_empty() || text.len() > ID_BYTES || text.contains(['\0', '\r', '\n']) {
        let expected = format!("1 to {ID_BYTES} bytes on one line");
        return Err(Unusable { what, expected, found: format!("{} bytes", text.len()) });
    }
    Ok(text)
}

fn maybe_id(what: &'static str, text: Option<String>) -> Result<Option<String>> {
    text.filter(|text| !text.is_empty()).map(|text| id(what, text)).transpose()
}

fn cut(mut text: String, chars: usize) -> String {
    if text.len() > chars
        && let Some((at, _)) = text.char_indices().nth(chars)
    {
        text.truncate(at);
    }
    // PostgreSQL stores no NUL.
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

fn word(text: String) -> String {
    cut(text, WORD_CHARS)
}

fn document(what: &'static str, text: String) -> Result<String> {
    if text.len() > DOCUMENT_BYTES {
        let expected = format!("at most {DOCUMENT_BYTES} bytes");
        return Err(Unusable { what, expected, found: format!("{} bytes", text.len()) });
    }
    Ok(cut(text, usize::MAX))
}

fn json(what: &'static str, text: String) -> Result<String> {
    let text = document(what, text)?;
    match serde_json::from_str::<serde::de::IgnoredAny>(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Unusable { what, expected: "JSON".to_owned(), found: error.to_string() }),
    }
}

fn maybe_json(what: &'static str, text: Option<String>) -> Result<Option<String>> {
    text.map(|text| json(what, text)).transpose()
}

fn list<T, U>(what: &'static str, items: Vec<T>, each: impl Fn(T) -> Result<U>) -> Result<Vec<U>> {
    if items.len() > LIST {
        let expected = format!("at most {LIST} entries");
        return Err(Unusable { what, expected, found: items.len().to_string() });
    }
    items.into_iter().map(each).collect()
}

fn time(ms: u64) -> dom::UnixMs {
    dom::UnixMs(i64::try_from(ms).unwrap_or(i64::MAX))
}

fn time_out(at: dom::UnixMs) -> u64 {
    u64::try_from(at.0).unwrap_or_default()
}

/// A request for a guest.
pub fn request(request: dom::HttpRequest) -> types::HttpRequest {
    types::HttpRequest {
        method: request.method,
        url: request.url,
        path: request.path,
        headers: request.headers,
        body: request.body,
        received_at: time_out(request.received_at),
    }
}

fn reply(reply: types::Reply) -> Result<dom::Reply> {
    if reply.body.len() > REPLY_BYTES {
        let expected = format!("at most {REPLY_BYTES} bytes");
        let found = format!("{} bytes", reply.body.len());
        return Err(Unusable { what: "reply.body", expected, found });
    }
    Ok(dom::Reply {
        content_type: word(reply.content_type),
        headers: list("reply.headers", reply.headers, |(name, value)| {
            Ok((word(name), word(value)))
        })?,
        body: reply.body,
    })
}

/// What `verify` said.
///
/// # Errors
/// It cannot be used.
pub fn verdict(verdict: integration::Verdict) -> Result<dom::Verdict> {
    Ok(match verdict {
        integration::Verdict::Accepted(accepted) => dom::Verdict::Accepted {
            reply: accepted.reply.map(reply).transpose()?,
            request_id: maybe_id("request-id", accepted.request_id)?,
            lane: maybe_id("lane", accepted.lane)?,
        },
        integration::Verdict::Answered(answer) => dom::Verdict::Answered(reply(answer)?),
        integration::Verdict::Refused(reason) => dom::Verdict::Refused(word(reason)),
    })
}

/// Why a call did not succeed.
pub fn failure(failure: types::Failure) -> dom::Failure {
    match failure {
        types::Failure::Retry(retry) => {
            dom::Failure::Retry { reason: word(retry.reason), after_ms: retry.after_ms }
        }
        types::Failure::Permanent(reason) => dom::Failure::Permanent(word(reason)),
        types::Failure::Unauthorized(reason) => dom::Failure::Unauthorized(word(reason)),
        types::Failure::Ambiguous(reason) => dom::Failure::Ambiguous(word(reason)),
        types::Failure::Other((kind, detail)) => dom::Failure::Other(word(kind), word(detail)),
    }
}

fn party(party: types::Party) -> Result<dom::Party> {
    Ok(dom::Party {
        address: id("party.address", party.address)?,
        name: party.name.map(word),
        email: party.email.map(word),
        phone: party.phone.map(word),
        avatar_url: party.avatar_url.map(word),
    })
}

fn party_out(party: dom::Party) -> types::Party {
    types::Party {
        address: party.address,
        name: party.name,
        email: party.email,
        phone: party.phone,
        avatar_url: party.avatar_url,
    }
}

fn recipient(recipient: types::Recipient) -> Result<dom::Recipient> {
    let role = match recipient.role {
        types::Role::To => dom::Role::To,
        types::Role::Cc => dom::Role::Cc,
        types::Role::Bcc => dom::Role::Bcc,
    };
    Ok(dom::Recipient { role, party: party(recipient.party)? })
}

fn recipient_out(recipient: dom::Recipient) -> types::Recipient {
    let role = match recipient.role {
        dom::Role::To => types::Role::To,
        dom::Role::Cc => types::Role::Cc,
        dom::Role::Bcc => types::Role::Bcc,
    };
    types::Recipient { role, party: party_out(recipient.party) }
}

fn attachment(file: types::Attachment) -> Result<dom::Attachment> {
    let source = match file.source {
        types::AttachmentSource::Blob(id_) => dom::AttachmentSource::Blob(id("blob", id_)?),
        types::AttachmentSource::Remote(remote) => {
            dom::AttachmentSource::Remote(document("remote", remote)?)
        }
    };
    let name = file.name.rsplit(['/', '\\']).next().unwrap_or_default();
    let name = crate::capability::log::escape(name, 255);
    Ok(dom::Attachment {
        name: if name.is_empty() { "file".to_owned() } else { name },
        content_type: word(file.content_type),
        source,
        byte_size: file.byte_size,
    })
}

fn attachment_out(file: dom::Attachment) -> types::Attachment {
    types::Attachment {
        name: file.name,
        content_type: file.content_type,
        source: match file.source {
            dom::AttachmentSource::Blob(id) => types::AttachmentSource::Blob(id),
            dom::AttachmentSource::Remote(remote) => types::AttachmentSource::Remote(remote),
        },
        byte_size: file.byte_size,
    }
}

fn content(content: types::Content) -> Result<dom::Content> {
    use dom::ContentKind as Kind;
    Ok(dom::Content {
        kind: match content.kind {
            types::ContentKind::Text => Kind::Text,
            types::ContentKind::Html => Kind::Html,
            types::ContentKind::Markdown => Kind::Markdown,
            types::ContentKind::Form => Kind::Form,
            types::ContentKind::Options => Kind::Options,
            types::ContentKind::Template => Kind::Template,
            types::ContentKind::Location => Kind::Location,
            types::ContentKind::Sticker => Kind::Sticker,
            types::ContentKind::Other(kind) => Kind::Other(word(kind)),
        },
        text: cut(content.text, TEXT_CHARS),
        html: content.html.map(|html| document("content.html", html)).transpose()?,
        extra: maybe_json("content.extra", content.extra)?,
    })
}

fn content_out(content: dom::Content) -> types::Content {
    use dom::ContentKind as Kind;
    types::Content {
        kind: match content.kind {
            Kind::Text => types::ContentKind::Text,
            Kind::Html => types::ContentKind::Html,
            Kind::Markdown => types::ContentKind::Markdown,
            Kind::Form => types::ContentKind::Form,
            Kind::Options => types::ContentKind::Options,
            Kind::Template => types::ContentKind::Template,
            Kind::Location => types::ContentKind::Location,
            Kind::Sticker => types::ContentKind::Sticker,
            Kind::Other(kind) => types::ContentKind::Other(kind),
        },
        text: content.text,
        html: content.html,
        extra: content.extra,
    }
}

fn thread(thread: types::Thread) -> Result<dom::Thread> {
    Ok(dom::Thread {
        key: maybe_id("thread.key", thread.key)?,
        in_reply_to: maybe_id("thread.in-reply-to", thread.in_reply_to)?,
        references: list("thread.references", thread.references, |reference| {
            id("thread.references", reference)
        })?,
        context: maybe_json("thread.context", thread.context)?,
    })
}

fn thread_out(thread: dom::Thread) -> types::Thread {
    types::Thread {
        key: thread.key,
        in_reply_to: thread.in_reply_to,
        references: thread.references,
        context: thread.context,
    }
}

fn delivery_state(state: types::DeliveryState) -> dom::DeliveryState {
    use dom::DeliveryState as State;
    match state {
        types::DeliveryState::Queued => State::Queued,
        types::DeliveryState::Sent => State::Sent,
        types::DeliveryState::Delivered => State::Delivered,
        types::DeliveryState::Read => State::Read,
        types::DeliveryState::Bounced => State::Bounced,
        types::DeliveryState::Complained => State::Complained,
        types::DeliveryState::Failed => State::Failed,
        types::DeliveryState::Other(word_) => State::Other(word(word_)),
    }
}

fn delivery_state_out(state: dom::DeliveryState) -> types::DeliveryState {
    use dom::DeliveryState as State;
    match state {
        State::Queued => types::DeliveryState::Queued,
        State::Sent => types::DeliveryState::Sent,
        State::Delivered => types::DeliveryState::Delivered,
        State::Read => types::DeliveryState::Read,
        State::Bounced => types::DeliveryState::Bounced,
        State::Complained => types::DeliveryState::Complained,
        State::Failed => types::DeliveryState::Failed,
        State::Other(word) => types::DeliveryState::Other(word),
    }
}

fn edited(edited: exchange::MessageEdited) -> Result<dom::MessageEdited> {
    Ok(dom::MessageEdited {
        external_id: id("external-id", edited.external_id)?,
        body: content(edited.body)?,
    })
}

fn edited_out(edited: dom::MessageEdited) -> exchange::MessageEdited {
    exchange::MessageEdited { external_id: edited.external_id, body: content_out(edited.body) }
}

fn reaction(reaction: exchange::Reaction) -> Result<dom::Reaction> {
    Ok(dom::Reaction {
        external_id: id("external-id", reaction.external_id)?,
        sender: reaction.sender.map(party).transpose()?,
        emoji: cut(reaction.emoji, 100),
        added: reaction.added,
    })
}

fn reaction_out(reaction: dom::Reaction) -> exchange::Reaction {
    exchange::Reaction {
        external_id: reaction.external_id,
        sender: reaction.sender.map(party_out),
        emoji: reaction.emoji,
        added: reaction.added,
    }
}

fn typing(typing: exchange::Typing) -> Result<dom::Typing> {
    Ok(dom::Typing {
        sender: typing.sender.map(party).transpose()?,
        thread: thread(typing.thread)?,
        on: typing.on,
    })
}

fn typing_out(typing: dom::Typing) -> exchange::Typing {
    exchange::Typing {
        sender: typing.sender.map(party_out),
        thread: thread_out(typing.thread),
        on: typing.on,
    }
}

fn read(read: exchange::ReadUntil) -> Result<dom::ReadUntil> {
    Ok(dom::ReadUntil {
        external_id: id("external-id", read.external_id)?,
        thread: thread(read.thread)?,
        at: read.at.map(time),
    })
}

fn read_out(read: dom::ReadUntil) -> exchange::ReadUntil {
    exchange::ReadUntil {
        external_id: read.external_id,
        thread: thread_out(read.thread),
        at: read.at.map(time_out),
    }
}

fn delivery(changed: exchange::DeliveryChanged) -> Result<dom::DeliveryChanged> {
    Ok(dom::DeliveryChanged {
        external_id: id("external-id", changed.external_id)?,
        state: delivery_state(changed.state),
        detail: changed.detail.map(word),
        at: changed.at.map(time),
    })
}

/// News of a sent message, for a channel.
pub fn delivery_out(changed: dom::DeliveryChanged) -> exchange::DeliveryChanged {
    exchange::DeliveryChanged {
        external_id: changed.external_id,
        state: delivery_state_out(changed.state),
        detail: changed.detail,
        at: changed.at.map(time_out),
    }
}

fn message(message: exchange::MessageReceived) -> Result<dom::MessageReceived> {
    Ok(dom::MessageReceived {
        external_id: id("external-id", message.external_id)?,
        sender: party(message.sender)?,
        recipients: list("recipients", message.recipients, recipient)?,
        thread: thread(message.thread)?,
        subject: message.subject.map(word),
        body: content(message.body)?,
        attachments: list("attachments", message.attachments, attachment)?,
        sent_at: message.sent_at.map(time),
        extra: maybe_json("extra", message.extra)?,
    })
}

fn inbound(event: exchange::InboundEvent) -> Result<dom::InboundEvent> {
    use dom::InboundEvent as Event;
    Ok(match event {
        exchange::InboundEvent::Message(it) => Event::Message(message(it)?),
        exchange::InboundEvent::Edited(it) => Event::Edited(edited(it)?),
        exchange::InboundEvent::Deleted(it) => Event::Deleted(id("external-id", it)?),
        exchange::InboundEvent::Reaction(it) => Event::Reaction(reaction(it)?),
        exchange::InboundEvent::Typing(it) => Event::Typing(typing(it)?),
        exchange::InboundEvent::Read(it) => Event::Read(read(it)?),
        exchange::InboundEvent::Contact(it) => Event::Contact(party(it)?),
        exchange::InboundEvent::Other((kind, data)) => {
            Event::Other(id("event kind", kind)?, json("event", data)?)
        }
    })
}

/// An event, for a channel.
pub fn inbound_out(event: dom::InboundEvent) -> exchange::InboundEvent {
    use dom::InboundEvent as Event;
    match event {
        Event::Message(it) => exchange::InboundEvent::Message(exchange::MessageReceived {
            external_id: it.external_id,
            sender: party_out(it.sender),
            recipients: it.recipients.into_iter().map(recipient_out).collect(),
            thread: thread_out(it.thread),
            subject: it.subject,
            body: content_out(it.body),
            attachments: it.attachments.into_iter().map(attachment_out).collect(),
            sent_at: it.sent_at.map(time_out),
            extra: it.extra,
        }),
        Event::Edited(it) => exchange::InboundEvent::Edited(edited_out(it)),
        Event::Deleted(it) => exchange::InboundEvent::Deleted(it),
        Event::Reaction(it) => exchange::InboundEvent::Reaction(reaction_out(it)),
        Event::Typing(it) => exchange::InboundEvent::Typing(typing_out(it)),
        Event::Read(it) => exchange::InboundEvent::Read(read_out(it)),
        Event::Contact(it) => exchange::InboundEvent::Contact(party_out(it)),
        Event::Other(kind, data) => exchange::InboundEvent::Other((kind, data)),
    }
}

/// What `parse` or `tick` found.
///
/// # Errors
/// It cannot be used.
pub fn provider_events(events: Vec<exchange::ProviderEvent>) -> Result<Vec<dom::ProviderEvent>> {
    list("events", events, |event| {
        Ok(match event {
            exchange::ProviderEvent::Inbound(event) => dom::ProviderEvent::Inbound(inbound(event)?),
            exchange::ProviderEvent::Delivery(changed) => {
                dom::ProviderEvent::Delivery(delivery(changed)?)
            }
        })
    })
}

/// Parts that a channel made.
///
/// # Errors
/// They cannot be used.
pub fn outgoing_list(parts: Vec<exchange::Outgoing>) -> Result<Vec<dom::Outgoing>> {
    list("parts", parts, outgoing)
}

fn outgoing(part: exchange::Outgoing) -> Result<dom::Outgoing> {
    use dom::Outgoing as Part;
    Ok(match part {
        exchange::Outgoing::Message(it) => Part::Message(dom::Envelope {
            recipients: list("recipients", it.recipients, recipient)?,
            thread: thread(it.thread)?,
            subject: it.subject.map(word),
            body: content(it.body)?,
            attachments: list("attachments", it.attachments, attachment)?,
            extra: maybe_json("extra", it.extra)?,
        }),
        exchange::Outgoing::Edit(it) => Part::Edit(edited(it)?),
        exchange::Outgoing::Delete(it) => Part::Delete(id("external-id", it)?),
        exchange::Outgoing::Reaction(it) => Part::Reaction(reaction(it)?),
        exchange::Outgoing::Typing(it) => Part::Typing(typing(it)?),
        exchange::Outgoing::Read(it) => Part::Read(read(it)?),
        exchange::Outgoing::Other((kind, data)) => {
            Part::Other(id("part kind", kind)?, json("part", data)?)
        }
    })
}

/// A part, for an integration.
pub fn outgoing_out(part: dom::Outgoing) -> exchange::Outgoing {
    use dom::Outgoing as Part;
    match part {
        Part::Message(it) => exchange::Outgoing::Message(exchange::Envelope {
            recipients: it.recipients.into_iter().map(recipient_out).collect(),
            thread: thread_out(it.thread),
            subject: it.subject,
            body: content_out(it.body),
            attachments: it.attachments.into_iter().map(attachment_out).collect(),
            extra: it.extra,
        }),
        Part::Edit(it) => exchange::Outgoing::Edit(edited_out(it)),
        Part::Delete(it) => exchange::Outgoing::Delete(it),
        Part::Reaction(it) => exchange::Outgoing::Reaction(reaction_out(it)),
        Part::Typing(it) => exchange::Outgoing::Typing(typing_out(it)),
        Part::Read(it) => exchange::Outgoing::Read(read_out(it)),
        Part::Other(kind, data) => exchange::Outgoing::Other((kind, data)),
    }
}

/// What the host stamps on a try.
pub fn attempt_out(stamp: def::AttemptStamp) -> exchange::Attempt {
    exchange::Attempt {
        idempotency_key: stamp.idempotency_key,
        number: stamp.number,
        may_have_arrived: stamp.may_have_arrived,
    }
}

/// What the provider answered.
///
/// # Errors
/// It cannot be used.
pub fn receipt(receipt: exchange::Receipt) -> Result<dom::Receipt> {
    Ok(dom::Receipt {
        external_id: maybe_id("receipt.external-id", receipt.external_id)?,
        thread_key: maybe_id("receipt.thread-key", receipt.thread_key)?,
        state: delivery_state(receipt.state),
        extra: maybe_json("receipt.extra", receipt.extra)?,
    })
}

/// An id of a blob that a guest made.
///
/// # Errors
/// It cannot be one.
pub fn blob_id(text: String) -> Result<String> {
    id("blob", text)
}

/// A sentence for the operator.
pub fn sentence(text: String) -> String {
    word(text)
}

/// Who made a component.
///
/// # Errors
/// It cannot be used.
pub fn identity(identity: identity::Identity) -> Result<def::Identity> {
    Ok(def::Identity {
        publisher: id("identity.publisher", identity.publisher)?,
        name: id("identity.name", identity.name)?,
        version: id("identity.version", identity.version)?,
        license: identity.license.map(word),
        homepage: identity.homepage.map(word),
    })
}

fn section(section: types::SettingsSection) -> Result<def::SettingsSection> {
    Ok(def::SettingsSection {
        id: id("section.id", section.id)?,
        label: word(section.label),
        description: word(section.description),
        order: section.order,
        schema: json("section.schema", section.schema)?,
    })
}

fn capability(request: types::CapabilityRequest) -> Result<def::CapabilityRequest> {
    let capability = match request.capability.as_str() {
        "http" => def::Capability::Http,
        "secret" => def::Capability::Secret,
        "kv" => def::Capability::Kv,
        "blobs" => def::Capability::Blobs,
        other => {
            let expected = "http, secret, kv or blobs".to_owned();
            let found = word(other.to_owned());
            return Err(Unusable { what: "request.capability", expected, found });
        }
    };
    Ok(def::CapabilityRequest {
        capability,
        scope: id("request.scope", request.scope)?,
        reason: word(request.reason),
    })
}

/// What an integration says of itself.
///
/// # Errors
/// It cannot be used.
pub fn integration(definition: integration::Definition) -> Result<def::IntegrationDefinition> {
    Ok(def::IntegrationDefinition {
        key: id("integration.key", definition.key)?,
        label: word(definition.label),
        provides: list("provides", definition.provides, |it| id("provides", it))?,
        settings: list("settings", definition.settings, section)?,
        requests: list("requests", definition.requests, capability)?,
        idempotent_send: definition.idempotent_send,
        hold_unverified: definition.hold_unverified,
        max_request_bytes: definition.max_request_bytes,
    })
}

fn moments(moments: channel::Moments) -> def::Moments {
    def::Moments {
        on_create: moments.contains(channel::Moments::ON_CREATE),
        on_update: moments.contains(channel::Moments::ON_UPDATE),
        on_send: moments.contains(channel::Moments::ON_SEND),
        always: moments.contains(channel::Moments::ALWAYS),
    }
}

fn field(policy: channel::FieldPolicy) -> Result<def::FieldPolicy> {
    use channel::{FieldGroup, FieldSource, FieldType};
    Ok(def::FieldPolicy {
        key: id("field.key", policy.key)?,
        label: word(policy.label),
        group: match policy.group {
            FieldGroup::Ticket => def::FieldGroup::Ticket,
            FieldGroup::Contact => def::FieldGroup::Contact,
        },
        field_type: match policy.type_ {
            FieldType::Text => def::FieldType::Text,
            FieldType::Number => def::FieldType::Number,
            FieldType::Date => def::FieldType::Date,
            FieldType::Boolean => def::FieldType::Boolean,
            FieldType::Select => def::FieldType::Select,
            FieldType::Multiselect => def::FieldType::Multiselect,
            FieldType::Url => def::FieldType::Url,
            FieldType::Json => def::FieldType::Json,
        },
        options: list("field.options", policy.options, |option| Ok(word(option)))?,
        required: moments(policy.required),
        visible: moments(policy.visible),
        locked: moments(policy.locked),
        source: match policy.source {
            FieldSource::Integration => def::FieldSource::Integration,
            FieldSource::Operator => def::FieldSource::Operator,
            FieldSource::System => def::FieldSource::System,
        },
        card_priority: policy.card_priority,
    })
}

/// What a channel says of itself.
///
/// # Errors
/// It cannot be used.
pub fn channel(definition: channel::Definition) -> Result<def::ChannelDefinition> {
    use channel::{Abilities, ReopenRule};
    let behavior = definition.behavior;
    let can = |ability| behavior.abilities.contains(ability);
    let abilities = def::Abilities {
        reply: can(Abilities::REPLY),
        start: can(Abilities::START),
        edit: can(Abilities::EDIT),
        delete: can(Abilities::DELETE),
        react: can(Abilities::REACT),
        typing: can(Abilities::TYPING),
        read: can(Abilities::READ),
        template: can(Abilities::TEMPLATE),
        cc: can(Abilities::CC),
    };
    Ok(def::ChannelDefinition {
        key: id("channel.key", definition.key)?,
        label: word(definition.label),
        behavior: def::Behavior {
            abilities,
            contact_address_label: word(behavior.contact_address_label),
            reply_window_hours: behavior.reply_window_hours,
            reply_to_resolved: match behavior.reply_to_resolved {
                ReopenRule::Reopen => def::ReopenRule::Reopen,
                ReopenRule::NewTicket => def::ReopenRule::NewTicket,
                ReopenRule::Keep => def::ReopenRule::Keep,
            },
            content_kinds: list("content-kinds", behavior.content_kinds, |kind| Ok(word(kind)))?,
            max_text_chars: behavior.max_text_chars,
            max_attachments: behavior.max_attachments,
            max_attachment_bytes: behavior.max_attachment_bytes,
        },
        fields: list("fields", definition.fields, field)?,
        sections: list("sections", definition.sections, section)?,
        requires: list("requires", definition.requires, |it| id("requires", it))?,
        events: list("events", definition.events, |it| id("events", it))?,
    })
}

/// A ticket, for a channel.
pub fn ticket_out(view: def::TicketView) -> channel::TicketView {
    channel::TicketView {
        id: view.id,
        kind: view.kind,
        subject: view.subject,
        preview: view.preview,
        origin: view.origin,
        status: view.status,
        priority: view.priority,
        contact: view.contact.map(party_out),
        contact_address: view.contact_address,
        fields: view.fields,
        last_message_at: view.last_message_at.map(time_out),
    }
}

fn badge(badge: channel::Badge) -> Result<def::Badge> {
    use channel::Tone;
    Ok(def::Badge {
        label: cut(badge.label, 60),
        tone: match badge.tone {
            Tone::Neutral => def::Tone::Neutral,
            Tone::Outline => def::Tone::Outline,
            Tone::Info => def::Tone::Info,
            Tone::Success => def::Tone::Success,
            Tone::Warning => def::Tone::Warning,
            Tone::Danger => def::Tone::Danger,
            Tone::Other(tone) => def::Tone::Other(cut(tone, 30)),
        },
    })
}

/// Cards, as many as there were tickets.
///
/// # Errors
/// They cannot be used.
pub fn cards(cards: Vec<channel::Card>, tickets: usize) -> Result<Vec<def::Card>> {
    if cards.len() != tickets {
        let (expected, found) = (format!("{tickets} cards"), cards.len().to_string());
        return Err(Unusable { what: "cards", expected, found });
    }
    cards
        .into_iter()
        .map(|card| {
            Ok(def::Card {
                badges: list("badges", card.badges, badge)?,
                warnings: list("warnings", card.warnings, badge)?,
                chips: list("chips", card.chips, |chip| {
                    Ok(def::Chip {
                        field: chip.field.map(word),
                        label: cut(chip.label, 60),
                        value: word(chip.value),
                    })
                })?,
                preview: card.preview.map(word),
            })
        })
        .collect()
}

fn target(target: channel::Target) -> Result<def::Target> {
    Ok(match target {
        channel::Target::Thread(it) => def::Target::Thread(thread(it)?),
        channel::Target::Message(it) => def::Target::Message(id("target.message", it)?),
        channel::Target::Contact(it) => def::Target::Contact(id("target.contact", it)?),
    })
}

fn change(change: channel::Change) -> Result<def::Change> {
    use channel::Change as Wit;
    use def::Change;
    Ok(match change {
        Wit::Accept(it) => Change::Accept(def::Acceptance {
            address: maybe_id("acceptance.address", it.address)?,
            subject: it.subject.map(word),
            body: it.body.map(content).transpose()?,
            thread: it.thread.map(thread).transpose()?,
            fields: list("acceptance.fields", it.fields, |(key, value)| {
                Ok((id("field", key)?, json("field", value)?))
            })?,
        }),
        Wit::Send(it) => Change::Send(content(it)?),
        Wit::Note(it) => Change::Note(cut(it, TEXT_CHARS)),
        Wit::Edit(it) => Change::Edit(content(it)?),
        Wit::Delete => Change::Delete,
        Wit::React(it) => Change::React(reaction(it)?),
        Wit::Typing(it) => Change::Typing(typing(it)?),
        Wit::Read(it) => Change::Read(read(it)?),
        Wit::Delivery(it) => Change::Delivery(delivery(it)?),
        Wit::Contact(it) => Change::Contact(party(it)?),
        Wit::SetField((key, value)) => Change::SetField(id("field", key)?, json("field", value)?),
        Wit::AddTag(it) => Change::AddTag(word(it)),
        Wit::RemoveTag(it) => Change::RemoveTag(word(it)),
        Wit::SetStatus(it) => Change::SetStatus(word(it)),
        Wit::SetPriority(it) => Change::SetPriority(word(it)),
        Wit::Assign(it) => Change::Assign(word(it)),
        Wit::Transfer(it) => Change::Transfer(word(it)),
        Wit::Other((kind, data)) => Change::Other(id("change kind", kind)?, json("change", data)?),
    })
}

/// What a channel asks for.
///
/// # Errors
/// It cannot be used.
pub fn commands(commands: Vec<channel::Command>) -> Result<Vec<def::ChannelCommand>> {
    list("commands", commands, |command| {
        Ok(def::ChannelCommand { on: target(command.on)?, change: change(command.change)? })
    })
}

/// What a channel turns into parts.
pub fn action_out(action: def::OutboundAction) -> channel::OutboundAction {
    use channel::OutboundAction as Wit;
    use def::OutboundAction as Action;
    match action {
        Action::Message(it) => Wit::Message(channel::OutboundMessage {
            id: it.id,
            author: party_out(it.author),
            recipients: it.recipients.into_iter().map(recipient_out).collect(),
            subject: it.subject,
            body: content_out(it.body),
            attachments: it.attachments.into_iter().map(attachment_out).collect(),
        }),
        Action::Edited(external_id, body) => Wit::Edited((external_id, content_out(body))),
        Action::Deleted(external_id) => Wit::Deleted(external_id),
        Action::Reaction(it) => Wit::Reaction(reaction_out(it)),
        Action::Typing(on) => Wit::Typing(on),
        Action::Read(external_id) => Wit::Read(external_id),
        Action::Event(kind, data) => Wit::Event((kind, data)),
    }
}

/// What a reply goes to.
pub fn reply_to_out(to: def::ReplyTo) -> channel::ReplyTo {
    channel::ReplyTo {
        ticket: ticket_out(to.ticket),
        source_id: to.source_id,
        thread: thread_out(to.thread),
    }
}

/// A page of a list that only the provider knows.
///
/// # Errors
/// It cannot be used.
pub fn choices(page: lists::Page) -> Result<def::ChoicePage> {
    Ok(def::ChoicePage {
        items: list("choices", page.items, |choice| {
            Ok(def::Choice {
                id: id("choice.id", choice.id)?,
                label: word(choice.label),
                extra: maybe_json("choice.extra", choice.extra)?,
            })
        })?,
        next: maybe_id("choices.next", page.next)?,
    })
}
