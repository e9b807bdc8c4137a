//! What a channel says and does: the words of the `channel` interface, and the [`Channel`] trait.

use crate::bindings::channel::exports::tidegate::plugin::channel as wit;
use crate::words::{
    Content, DeliveryChanged, Envelope, Failure, InboundEvent, Json, MessageEdited, Outgoing,
    Party, Reaction, ReadUntil, Thread, Typing,
};

pub use wit::{
    Abilities, Acceptance, Badge, Behavior, Card, Change, Chip, Command, Definition, FieldGroup,
    FieldPolicy, FieldSource, FieldType, Moments, OutboundAction, OutboundMessage, ReopenRule,
    ReplyTo, Target, TicketView, Tone,
};

/// Product behaviour: how conversations of one kind work. A channel has no network and no secrets;
/// every method is a pure function of its arguments and the inbox's settings.
pub trait Channel {
    /// The channel's key, behaviour, field policies and what it needs of an integration.
    fn describe() -> Definition;

    /// One card per ticket, in the order asked for. Unless overridden: the ticket's preview and no
    /// badges.
    fn render_cards(tickets: Vec<TicketView>) -> Vec<Card> {
        tickets.into_iter().map(|ticket| Card::default().preview(ticket.preview)).collect()
    }

    /// What an event of the provider means. Unless overridden: [`Command::usual`].
    ///
    /// # Errors
    /// `Permanent` puts the event among the dead letters, `Retry` asks for another try.
    fn inbound(event: InboundEvent) -> Result<Vec<Command>, Failure> {
        Ok(Command::usual(event))
    }

    /// What to hand to the integration for an action on our side, one entry per part. Unless
    /// overridden: [`OutboundAction::usual`].
    ///
    /// # Errors
    /// `Permanent` fails the message with that sentence.
    fn outbound(action: OutboundAction, to: ReplyTo) -> Result<Vec<Outgoing>, Failure> {
        Ok(action.usual(to))
    }

    /// What a delivery report means. Unless overridden, it is noted on the message that it names.
    ///
    /// # Errors
    /// As [`inbound`](Self::inbound).
    fn delivery_event(event: DeliveryChanged) -> Result<Vec<Command>, Failure> {
        Ok(vec![Command::delivery(event)])
    }
}

impl<T: Channel> wit::Guest for T {
    fn describe() -> Definition {
        T::describe()
    }
    fn render_cards(tickets: Vec<TicketView>) -> Vec<Card> {
        T::render_cards(tickets)
    }
    fn inbound(event: InboundEvent) -> Result<Vec<Command>, Failure> {
        T::inbound(event)
    }
    fn outbound(action: OutboundAction, to: ReplyTo) -> Result<Vec<Outgoing>, Failure> {
        T::outbound(action, to)
    }
    fn delivery_event(event: DeliveryChanged) -> Result<Vec<Command>, Failure> {
        T::delivery_event(event)
    }
}

impl Command {
    /// What most channels make of an event: a message is accepted into its thread; an edit, a
    /// deletion or a reaction goes to the message it names; typing and reading to the thread; a
    /// contact is updated; anything else means nothing.
    #[must_use]
    pub fn usual(event: InboundEvent) -> Vec<Self> {
        vec![match event {
            InboundEvent::Message(message) => Self::accept(message.thread, Acceptance::default()),
            InboundEvent::Edited(edited) => Self::edit(edited.external_id, edited.body),
            InboundEvent::Deleted(external_id) => Self::delete(external_id),
            InboundEvent::Reaction(reaction) => Self::react(reaction),
            InboundEvent::Typing(typing) => Self::typing(typing),
            InboundEvent::Read(read) => Self::read(read),
            InboundEvent::Contact(party) => Self::contact(party),
            InboundEvent::Other(_) => return Vec::new(),
        }]
    }

    /// Accept the message of the event into this thread.
    #[must_use]
    pub const fn accept(thread: Thread, acceptance: Acceptance) -> Self {
        Self { on: Target::Thread(thread), change: Change::Accept(acceptance) }
    }

    /// Replace the body of the message with this external id.
    #[must_use]
    pub const fn edit(external_id: String, body: Content) -> Self {
        Self { on: Target::Message(external_id), change: Change::Edit(body) }
    }

    /// Delete the message with this external id.
    #[must_use]
    pub const fn delete(external_id: String) -> Self {
        Self { on: Target::Message(external_id), change: Change::Delete }
    }

    /// Add a reaction to the message that it names, or take it away.
    #[must_use]
    pub fn react(reaction: Reaction) -> Self {
        Self { on: Target::Message(reaction.external_id.clone()), change: Change::React(reaction) }
    }

    /// Somebody types, or stopped.
    #[must_use]
    pub fn typing(typing: Typing) -> Self {
        Self { on: Target::Thread(typing.thread.clone()), change: Change::Typing(typing) }
    }

    /// Somebody has read up to a message.
    #[must_use]
    pub fn read(read: ReadUntil) -> Self {
        Self { on: Target::Thread(read.thread.clone()), change: Change::Read(read) }
    }

    /// What is now known of a contact.
    #[must_use]
    pub fn contact(party: Party) -> Self {
        Self { on: Target::Contact(party.address.clone()), change: Change::Contact(party) }
    }

    /// A delivery report on the message that it names.
    #[must_use]
    pub fn delivery(event: DeliveryChanged) -> Self {
        Self { on: Target::Message(event.external_id.clone()), change: Change::Delivery(event) }
    }

    /// A private note on the ticket of this thread.
    pub fn note(thread: Thread, text: impl Into<String>) -> Self {
        Self { on: Target::Thread(thread), change: Change::Note(text.into()) }
    }

    /// Set a field of the ticket of this thread. `value` is JSON.
    pub fn set_field(thread: Thread, key: impl Into<String>, value: impl Into<Json>) -> Self {
        Self { on: Target::Thread(thread), change: Change::SetField((key.into(), value.into())) }
    }

    /// Tag the ticket of this thread.
    pub fn add_tag(thread: Thread, tag: impl Into<String>) -> Self {
        Self { on: Target::Thread(thread), change: Change::AddTag(tag.into()) }
    }
}

impl Default for Acceptance {
    /// The message as it arrived.
    fn default() -> Self {
        Self { address: None, subject: None, body: None, thread: None, fields: Vec::new() }
    }
}

impl Acceptance {
    /// Also set a field of the ticket. `value` is JSON.
    #[must_use]
    pub fn field(mut self, key: impl Into<String>, value: impl Into<Json>) -> Self {
        self.fields.push((key.into(), value.into()));
        self
    }
}

impl OutboundAction {
    /// What most channels hand over: a message is one envelope in the thread of the ticket; edits,
    /// deletions, reactions, typing and reading pass unchanged; events mean nothing.
    #[must_use]
    pub fn usual(self, to: ReplyTo) -> Vec<Outgoing> {
        vec![match self {
            Self::Message(message) => Outgoing::Message(Envelope {
                recipients: message.recipients,
                thread: to.thread,
                subject: message.subject,
                body: message.body,
                attachments: message.attachments,
                extra: None,
            }),
            Self::Edited((external_id, body)) => {
                Outgoing::Edit(MessageEdited { external_id, body })
            }
            Self::Deleted(external_id) => Outgoing::Delete(external_id),
            Self::Reaction(reaction) => Outgoing::Reaction(reaction),
            Self::Typing(on) => Outgoing::Typing(Typing { sender: None, thread: to.thread, on }),
            Self::Read(external_id) => {
                Outgoing::Read(ReadUntil { external_id, thread: to.thread, at: None })
            }
            Self::Event(_) => return Vec::new(),
        }]
    }
}

impl Default for Card {
    /// A card that says nothing.
    fn default() -> Self {
        Self { badges: Vec::new(), warnings: Vec::new(), chips: Vec::new(), preview: None }
    }
}

impl Card {
    /// Adds a badge.
    #[must_use]
    pub fn badge(mut self, label: impl Into<String>, tone: Tone) -> Self {
        self.badges.push(Badge { label: label.into(), tone });
        self
    }

    /// Adds a warning.
    #[must_use]
    pub fn warning(mut self, label: impl Into<String>) -> Self {
        self.warnings.push(Badge { label: label.into(), tone: Tone::Warning });
        self
    }

    /// Adds a chip; one without a value is left out.
    #[must_use]
    pub fn chip(self, label: impl Into<String>, value: Option<impl Into<String>>) -> Self {
        self.push_chip(None, label.into(), value.map(Into::into))
    }

    /// Adds a chip that shows a field of the ticket; one without a value is left out.
    #[must_use]
    pub fn field_chip(
        self,
        field: &str,
        label: impl Into<String>,
        value: Option<impl Into<String>>,
    ) -> Self {
        self.push_chip(Some(field.to_owned()), label.into(), value.map(Into::into))
    }

    /// The line of text below the title.
    #[must_use]
    pub fn preview(mut self, text: impl Into<String>) -> Self {
        self.preview = Some(text.into());
        self
    }

    fn push_chip(mut self, field: Option<String>, label: String, value: Option<String>) -> Self {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.chips.push(Chip { field, label, value });
        }
        self
    }
}

impl TicketView {
    /// A field's value as JSON.
    #[must_use]
    pub fn field(&self, key: &str) -> Option<&str> {
        self.fields.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// A field's value, if it is a string.
    #[must_use]
    pub fn text_field(&self, key: &str) -> Option<String> {
        serde_json::from_str(self.field(key)?).ok()
    }
}

impl FieldPolicy {
    /// A text field of the ticket that is always shown and never required or locked.
    #[must_use]
    pub fn text(key: &str, label: &str, source: FieldSource) -> Self {
        Self {
            key: key.to_owned(),
            label: label.to_owned(),
            group: FieldGroup::Ticket,
            type_: FieldType::Text,
            options: Vec::new(),
            required: Moments::empty(),
            visible: Moments::ALWAYS,
            locked: Moments::empty(),
            source,
            card_priority: None,
        }
    }

    /// Required at these moments.
    #[must_use]
    pub const fn required(mut self, moments: Moments) -> Self {
        self.required = moments;
        self
    }

    /// Not to be changed at these moments.
    #[must_use]
    pub const fn locked(mut self, moments: Moments) -> Self {
        self.locked = moments;
        self
    }

    /// Its place on the card; lower comes first.
    #[must_use]
    pub const fn on_card(mut self, priority: u8) -> Self {
        self.card_priority = Some(priority);
        self
    }
}
