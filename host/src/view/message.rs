//! Messages, also called comments in events.

use super::time;
use crate::domain::exchange::{Content, ContentKind};
use crate::domain::message::{Author, Message, ReactionMark};
use crate::store::attachment::AttachmentRow;
use serde::Serialize;

/// A message.
#[derive(Debug, Serialize)]
pub struct MessageView {
    id: i64,
    ticket: i64,
    direction: &'static str,
    private: bool,
    body: BodyView,
    author: AuthorView,
    external_id: Option<String>,
    state: &'static str,
    state_detail: Option<String>,
    /// Left out of events: files arrive after the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    attachments: Option<Vec<AttachmentView>>,
    reactions: Vec<ReactionView>,
    created_at: String,
    sent_at: Option<String>,
    edited_at: Option<String>,
    deleted_at: Option<String>,
}

#[derive(Debug, Serialize)]
struct BodyView {
    kind: String,
    text: String,
    html: Option<String>,
}

#[derive(Debug, Serialize)]
struct AuthorView {
    #[serde(rename = "type")]
    kind: &'static str,
    /// The number of a contact or user, the name of a plugin, null for the host.
    id: Option<serde_json::Value>,
    name: String,
}

#[derive(Debug, Serialize)]
struct AttachmentView {
    name: String,
    content_type: String,
    byte_size: Option<i64>,
    state: String,
}

/// One person's reaction.
#[derive(Debug, Serialize)]
pub struct ReactionView {
    emoji: String,
    by: String,
}

impl From<&ReactionMark> for ReactionView {
    fn from(mark: &ReactionMark) -> Self {
        Self { emoji: mark.emoji.clone(), by: mark.by.clone() }
    }
}

impl From<&Message> for MessageView {
    fn from(message: &Message) -> Self {
        let (kind, id) = match &message.author {
            Author::Contact(id) => ("contact", Some(id.0.into())),
            Author::User(id) => ("user", Some(id.0.into())),
            Author::Plugin(name) => ("plugin", Some(name.as_str().into())),
            Author::System => ("system", None),
        };
        Self {
            id: message.id.0,
            ticket: message.ticket.0,
            direction: message.direction.as_str(),
            private: message.private,
            body: body(&message.body),
            author: AuthorView { kind, id, name: message.author_name.clone() },
            external_id: message.external_id.clone(),
            state: message.state.as_str(),
            state_detail: message.state_detail.clone(),
            attachments: None,
            reactions: message.reactions.iter().map(ReactionView::from).collect(),
            created_at: time(message.created_at),
            sent_at: message.sent_at.map(time),
            edited_at: message.edited_at.map(time),
            deleted_at: message.deleted_at.map(time),
        }
    }
}

impl MessageView {
    /// The message with its files.
    #[must_use]
    pub fn with_attachments(mut self, rows: Vec<AttachmentRow>) -> Self {
        let files = rows
            .into_iter()
            .map(|row| AttachmentView {
                name: row.name,
                content_type: row.content_type,
                byte_size: row.byte_size,
                state: row.state,
            })
            .collect();
        self.attachments = Some(files);
        self
    }
}

fn body(content: &Content) -> BodyView {
    let kind = match &content.kind {
        ContentKind::Text => "text",
        ContentKind::Html => "html",
        ContentKind::Markdown => "markdown",
        ContentKind::Form => "form",
        ContentKind::Options => "options",
        ContentKind::Template => "template",
        ContentKind::Location => "location",
        ContentKind::Sticker => "sticker",
        ContentKind::Other(name) => name,
    };
    BodyView { kind: kind.to_owned(), text: content.text.clone(), html: content.html.clone() }
}
