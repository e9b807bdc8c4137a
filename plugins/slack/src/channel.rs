//! The channel: how Slack conversations work.
//!
//! A thread in a Slack channel is a conversation, and so is all of a direct conversation with the
//! bot. A resolved conversation in which somebody writes again is opened again: in Slack it is the
//! same thread, and people see it as one.

use tidegate_sdk::channel::{
    Abilities, Acceptance, Behavior, Card, Command, Definition, FieldPolicy, FieldSource, Moments,
    OutboundAction, OutboundMessage, ReopenRule, ReplyTo, TicketView, Tone,
};
use tidegate_sdk::{Attachment, Channel, Content, Envelope, Failure, InboundEvent, Outgoing};

use crate::{Slack, name};

/// Slack cuts a text off after 40,000 characters.
const MAX_CHARS: u32 = 40_000;
/// Slack's advice for one message, and its limit for an edit. Longer texts are sent as several
/// messages, divided where the writer did: between paragraphs, lines, words.
const PART_CHARS: usize = 4_000;

const CHANNEL_FIELD: &str = "slack_channel";
const CONTACT_FIELD: &str = "contact_address";

impl Channel for Slack {
    fn describe() -> Definition {
        Definition {
            key: "slack".to_owned(),
            label: "Slack".to_owned(),
            behavior: Behavior {
                abilities: Abilities::REPLY
                    | Abilities::START
                    | Abilities::EDIT
                    | Abilities::DELETE
                    | Abilities::REACT,
                contact_address_label: "Slack user".to_owned(),
                reply_window_hours: None,
                reply_to_resolved: ReopenRule::Reopen,
                content_kinds: vec!["text".to_owned(), "markdown".to_owned()],
                max_text_chars: MAX_CHARS,
                // Files are received and not yet sent.
                max_attachments: 0,
                max_attachment_bytes: 0,
            },
            fields: vec![
                FieldPolicy::text(CONTACT_FIELD, "Slack user", FieldSource::Integration)
                    .required(Moments::ON_CREATE)
                    .locked(Moments::ON_UPDATE)
                    .on_card(1),
                FieldPolicy::text(CHANNEL_FIELD, "Slack channel", FieldSource::Integration)
                    .locked(Moments::ALWAYS)
                    .on_card(2),
            ],
            sections: Vec::new(),
            requires: vec!["slack.messages".to_owned()],
            events: Vec::new(),
        }
    }

    fn render_cards(tickets: Vec<TicketView>) -> Vec<Card> {
        tickets.into_iter().map(card).collect()
    }

    fn inbound(event: InboundEvent) -> Result<Vec<Command>, Failure> {
        Ok(match event {
            InboundEvent::Message(message) => {
                let place = name::place(&message.thread);
                let acceptance = match place.and_then(|it| serde_json::to_string(&it.channel).ok())
                {
                    Some(channel) => Acceptance::default().field(CHANNEL_FIELD, channel),
                    None => Acceptance::default(),
                };
                vec![Command::accept(message.thread, acceptance)]
            }
            // Slack tells bots of neither.
            InboundEvent::Typing(_) | InboundEvent::Read(_) => Vec::new(),
            other @ (InboundEvent::Edited(_)
            | InboundEvent::Deleted(_)
            | InboundEvent::Reaction(_)
            | InboundEvent::Contact(_)
            | InboundEvent::Other(_)) => Command::usual(other),
        })
    }

    fn outbound(action: OutboundAction, to: ReplyTo) -> Result<Vec<Outgoing>, Failure> {
        match action {
            OutboundAction::Message(message) => Ok(posts(message, &to)),
            OutboundAction::Edited((_, body)) if body.text.chars().count() > PART_CHARS => {
                Err(Failure::permanent(format!(
                    "Slack takes at most {PART_CHARS} characters in an edit"
                )))
            }
            OutboundAction::Typing(_) | OutboundAction::Read(_) => Ok(Vec::new()),
            other @ (OutboundAction::Edited(_)
            | OutboundAction::Deleted(_)
            | OutboundAction::Reaction(_)
            | OutboundAction::Event(_)) => Ok(other.usual(to)),
        }
    }
}

/// One envelope per part of the text, all into the same thread.
fn posts(message: OutboundMessage, to: &ReplyTo) -> Vec<Outgoing> {
    let text = with_notes(message.body.text, &message.attachments);
    let post = |part: &str| {
        Outgoing::Message(Envelope {
            recipients: message.recipients.clone(),
            thread: to.thread.clone(),
            subject: None,
            body: Content { kind: message.body.kind.clone(), ..Content::text(part) },
            attachments: Vec::new(),
            extra: None,
        })
    };
    divide(&text, PART_CHARS).into_iter().map(post).collect()
}

/// Files are not sent to Slack yet. The host refuses them beforehand (`max_attachments`); should one
/// come all the same, the reader is told.
fn with_notes(mut text: String, attachments: &[Attachment]) -> String {
    for attachment in attachments {
        text.push_str("\n[The file \"");
        text.push_str(&attachment.name);
        text.push_str("\" could not be sent to Slack.]");
    }
    text
}

/// Pieces of at most `limit` characters, divided at the last paragraph, line or word that fits.
fn divide(text: &str, limit: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((end, _)) = rest.char_indices().nth(limit) {
        let fits = &rest[..end];
        let at = ["\n\n", "\n", " "].into_iter().find_map(|gap| fits.rfind(gap));
        let (piece, after) = rest.split_at(at.filter(|&at| at > 0).unwrap_or(end));
        pieces.push(piece.trim_end());
        rest = after.trim_start();
    }
    if pieces.is_empty() || !rest.is_empty() {
        pieces.push(rest);
    }
    pieces
}

fn card(ticket: TicketView) -> Card {
    let channel = ticket.text_field(CHANNEL_FIELD);
    let direct = channel.as_deref().is_some_and(name::is_direct);
    let contact = ticket.contact.and_then(|party| party.name).or(ticket.contact_address);
    let card = Card::default().badge("Slack", Tone::Outline);
    let card = match channel {
        Some(_) if direct => card.badge("DM", Tone::Neutral),
        Some(channel) => {
            card.badge("Channel", Tone::Neutral).field_chip(CHANNEL_FIELD, "Channel", Some(channel))
        }
        None => card,
    };
    card.field_chip(CONTACT_FIELD, "Contact", contact).preview(ticket.preview)
}
