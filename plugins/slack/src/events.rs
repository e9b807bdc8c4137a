//! What a call of the Events API says.
//!
//! One pass over the body, borrowing from it. Fields that are a string in one event and an object in
//! another (`channel`, `user`) are read as what they are, so that an event that means nothing here
//! is ignored and not an error.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use tidegate_sdk::json::Text;
use tidegate_sdk::{
    Content, Failure, HttpRequest, InboundEvent, MessageEdited, MessageReceived, Party,
    ProviderEvent, Reaction, log,
};

use crate::files::{File, Found};
use crate::{emoji, mrkdwn, name, users};

/// As much of a call as its verification needs.
#[derive(Deserialize)]
pub(crate) struct Head<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Text<'a>,
    pub(crate) challenge: Option<Text<'a>>,
    pub(crate) event_id: Option<Text<'a>>,
    event: Option<HeadEvent<'a>>,
}

#[derive(Deserialize)]
struct HeadEvent<'a> {
    #[serde(borrow, default)]
    channel: Named<'a>,
    item: Option<HeadItem<'a>>,
}

#[derive(Deserialize)]
struct HeadItem<'a> {
    #[serde(borrow, default)]
    channel: Named<'a>,
}

impl<'a> Head<'a> {
    /// Events of one channel are worked in their order. What belongs to no channel (people, the
    /// workspace) shares a lane of its own.
    pub(crate) fn lane(&self) -> &str {
        let Some(event) = &self.event else { return "workspace" };
        let of_item = || event.item.as_ref().and_then(|item| item.channel.0.as_deref());
        event.channel.0.as_deref().or_else(of_item).unwrap_or("workspace")
    }
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    event: Option<Event<'a>>,
    authorizations: Option<Vec<Authorization<'a>>>,
}

#[derive(Deserialize)]
struct Authorization<'a> {
    #[serde(borrow)]
    user_id: Option<Text<'a>>,
    is_bot: Option<bool>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    subtype: Option<Text<'a>>,
    #[serde(default)]
    channel: Named<'a>,
    channel_type: Option<Text<'a>>,
    #[serde(default)]
    user: Who<'a>,
    bot_id: Option<Text<'a>>,
    text: Option<Text<'a>>,
    ts: Option<Text<'a>>,
    thread_ts: Option<Text<'a>>,
    files: Option<Vec<File<'a>>>,
    message: Option<Inner<'a>>,
    previous_message: Option<Inner<'a>>,
    deleted_ts: Option<Text<'a>>,
    reaction: Option<Text<'a>>,
    item: Option<Item<'a>>,
}

/// The message inside a change.
#[derive(Deserialize)]
struct Inner<'a> {
    #[serde(borrow)]
    subtype: Option<Text<'a>>,
    user: Option<Text<'a>>,
    bot_id: Option<Text<'a>>,
    text: Option<Text<'a>>,
    ts: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, default)]
    channel: Named<'a>,
    ts: Option<Text<'a>>,
}

/// The events in a request. A body that is no JSON is a slash command or a button (form fields),
/// which mean nothing here; a body that calls itself JSON and is none, or has another shape, is a
/// fault.
pub(crate) fn parse(request: &HttpRequest) -> Result<Vec<ProviderEvent>, Failure> {
    let call: Call<'_> = match serde_json::from_slice(&request.body) {
        Ok(call) => call,
        Err(_) if is_form(request) => return Ok(Vec::new()),
        // The error's own text would repeat words of the message.
        Err(error) => {
            return Err(Failure::permanent(format!(
                "the body is not the JSON of a Slack event: line {}, column {}",
                error.line(),
                error.column()
            )));
        }
    };
    if &*call.kind == "app_rate_limited" {
        log::warn("Slack drops events: more than 30,000 in an hour", &[]);
    }
    let Some(event) = call.event else {
        return Ok(Vec::new());
    };
    let authorizations = call.authorizations.unwrap_or_default();
    let bot = authorizations.iter().find(|one| one.is_bot == Some(true));
    let bot = bot.and_then(|one| one.user_id.as_deref());
    let found = match &*event.kind {
        "message" | "app_mention" => message(event, bot),
        "reaction_added" => reaction(event, bot, true),
        "reaction_removed" => reaction(event, bot, false),
        "user_change" => match event.user {
            Who::Described(user) => users::changed(user).map(InboundEvent::Contact),
            Who::Named(_) | Who::Nobody => None,
        },
        _ => None,
    };
    Ok(found.map(ProviderEvent::Inbound).into_iter().collect())
}

/// `app_mention` repeats the `message` event of the same message where the app hears both: the same
/// external id, so the host takes it once.
fn message(event: Event<'_>, bot: Option<&str>) -> Option<InboundEvent> {
    match event.subtype.as_deref() {
        None | Some("file_share" | "me_message" | "thread_broadcast") => received(event, bot),
        Some("message_changed") => changed(event, bot),
        Some("message_deleted") => deleted(event, bot),
        // Joins, topics, pins, other bots: the noise of a channel.
        Some(_) => None,
    }
}

fn received(event: Event<'_>, bot: Option<&str>) -> Option<InboundEvent> {
    let Who::Named(user) = event.user else { return None };
    if event.bot_id.is_some() || Some(&*user) == bot || &*user == "USLACKBOT" {
        return None;
    }
    let (channel, ts) = (event.channel.0?, event.ts?);
    let direct = match event.channel_type.as_deref() {
        Some(channel_type) => channel_type == "im",
        None => name::is_direct(&channel),
    };
    let mut text = plain(event.text.as_deref().unwrap_or_default());
    let mut attachments = Vec::new();
    for file in event.files.unwrap_or_default() {
        match file.found() {
            Found::Attachment(attachment) => attachments.push(attachment),
            Found::Line(line) => {
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(&line);
            }
            Found::Gone => {}
        }
    }
    Some(InboundEvent::Message(MessageReceived {
        external_id: name::message(&channel, &ts),
        sender: users::party(&user),
        recipients: Vec::new(),
        thread: name::thread(&channel, &ts, event.thread_ts.as_deref(), direct),
        subject: None,
        body: Content::text(text),
        attachments,
        sent_at: name::unix_ms(&ts),
        extra: None,
    }))
}

/// Slack also reports a change when it adds a preview of a link, or a reply to a thread: only a
/// change of the text is an edit. The first message of a thread that is deleted while it has replies
/// becomes a tombstone.
fn changed(event: Event<'_>, bot: Option<&str>) -> Option<InboundEvent> {
    let (channel, message) = (event.channel.0?, event.message?);
    let external_id = name::message(&channel, message.ts.as_deref()?);
    if message.subtype.as_deref() == Some("tombstone") {
        return Some(InboundEvent::Deleted(external_id));
    }
    if message.bot_id.is_some() || message.user.is_none() || message.user.as_deref() == bot {
        return None;
    }
    let text = message.text.as_deref()?;
    let before = event.previous_message.as_ref().and_then(|before| before.text.as_deref());
    if before == Some(text) {
        return None;
    }
    let body = Content::text(plain(text));
    Some(InboundEvent::Edited(MessageEdited { external_id, body }))
}

/// Messages of other bots were never taken in, so their end means nothing; one of our own may have
/// been deleted in Slack by hand.
fn deleted(event: Event<'_>, bot: Option<&str>) -> Option<InboundEvent> {
    let (channel, ts) = (event.channel.0?, event.deleted_ts?);
    if let Some(before) = event.previous_message
        && before.bot_id.is_some()
        && before.user.as_deref() != bot
    {
        return None;
    }
    Some(InboundEvent::Deleted(name::message(&channel, &ts)))
}

fn reaction(event: Event<'_>, bot: Option<&str>, added: bool) -> Option<InboundEvent> {
    let Who::Named(user) = event.user else { return None };
    if Some(&*user) == bot {
        return None;
    }
    let item = event.item?;
    let (channel, ts) = (item.channel.0?, item.ts?);
    let sender = Party { name: users::remembered_name(&user), ..Party::new(user.into_string()) };
    Some(InboundEvent::Reaction(Reaction {
        external_id: name::message(&channel, &ts),
        sender: Some(sender),
        emoji: emoji::character(&event.reaction?),
        added,
    }))
}

fn plain(text: &str) -> String {
    mrkdwn::plain(text, users::remembered_name)
}

fn is_form(request: &HttpRequest) -> bool {
    request
        .header("content-type")
        .is_some_and(|it| it.starts_with("application/x-www-form-urlencoded"))
}

/// An id, given as a string or as an object that has one.
#[derive(Default)]
struct Named<'a>(Option<Text<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Named<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Object<'a> {
            #[serde(borrow)]
            id: Option<Text<'a>>,
        }
        struct NamedVisitor;
        impl<'de> Visitor<'de> for NamedVisitor {
            type Value = Named<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id, or an object with one")
            }
            fn visit_borrowed_str<E>(self, id: &'de str) -> Result<Self::Value, E> {
                Ok(Named(Some(Text(id.into()))))
            }
            fn visit_str<E>(self, id: &str) -> Result<Self::Value, E> {
                Ok(Named(Some(Text(id.to_owned().into()))))
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Named(None))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                Object::deserialize(MapAccessDeserializer::new(map)).map(|object| Named(object.id))
            }
        }
        deserializer.deserialize_any(NamedVisitor)
    }
}

/// A person, named or described.
#[derive(Default)]
enum Who<'a> {
    Named(Text<'a>),
    Described(users::User),
    #[default]
    Nobody,
}

impl<'de: 'a, 'a> Deserialize<'de> for Who<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WhoVisitor;
        impl<'de> Visitor<'de> for WhoVisitor {
            type Value = Who<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a user id, or a user")
            }
            fn visit_borrowed_str<E>(self, id: &'de str) -> Result<Self::Value, E> {
                Ok(Who::Named(Text(id.into())))
            }
            fn visit_str<E>(self, id: &str) -> Result<Self::Value, E> {
                Ok(Who::Named(Text(id.to_owned().into())))
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Who::Nobody)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                users::User::deserialize(MapAccessDeserializer::new(map)).map(Who::Described)
            }
        }
        deserializer.deserialize_any(WhoVisitor)
    }
}
