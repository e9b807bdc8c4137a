//! The integration: who may call us, and what we ask of Slack.

use serde::{Deserialize, Serialize};
use tidegate_sdk::integration::Definition;
use tidegate_sdk::{
    Attempt, CapabilityRequest, ContentKind, Envelope, Failure, HttpRequest, Integration, Outgoing,
    ProviderEvent, Reaction, Receipt, Refused, Reply, SettingsSection, Verdict, verify,
};

use crate::api::{self, BOT_TOKEN, Twice};
use crate::events::{self, Head};
use crate::{Slack, emoji, files, mrkdwn, name};

const SIGNING_SECRET: &str = "signing_secret";

const SETTINGS: &str = r#"{
  "type": "object",
  "required": ["signing_secret", "bot_token"],
  "properties": {
    "signing_secret": {
      "type": "string", "title": "Signing secret", "x-secret": true, "minLength": 16,
      "description": "Basic Information, App Credentials. Slack signs every event with it."
    },
    "bot_token": {
      "type": "string", "title": "Bot user OAuth token", "x-secret": true, "pattern": "^xoxb-",
      "description": "OAuth & Permissions, after the app is installed. Begins with xoxb-."
    },
    "api_url": {
      "type": "string", "title": "Web API", "format": "uri", "default": "https://slack.com/api",
      "description": "Where Slack's methods are called. Leave it as it is, except for tests."
    }
  }
}"#;

impl Integration for Slack {
    fn describe() -> Definition {
        let provides =
            ["slack.messages", "slack.edits", "slack.reactions", "slack.files", "slack.users"];
        Definition {
            key: "slack".to_owned(),
            label: "Slack".to_owned(),
            provides: provides.map(str::to_owned).to_vec(),
            settings: vec![SettingsSection::new(
                "slack",
                "Slack app",
                "The credentials of the Slack app that this workspace has installed.",
                SETTINGS,
            )],
            requests: requests(),
            // Slack's methods know no idempotency key: a post that is repeated is seen twice.
            idempotent_send: false,
            // Slack tries three times more (at once, after one minute, after five) and then never:
            // answering 503 for ten minutes would lose messages. It sends no probes with bad
            // signatures that a 200 would fail. So a request that cannot be verified now is kept.
            hold_unverified: true,
            // An event is some kilobytes; a message of 40,000 characters with its blocks, below 400.
            max_request_bytes: 1024 * 1024,
        }
    }

    /// Slack's scheme v0: HMAC-SHA256 over `v0:`, the time and the body. Everything is signed, also
    /// the handshake.
    fn verify(request: &HttpRequest) -> Result<Verdict, Refused> {
        let genuine = verify::hmac_sha256(request, SIGNING_SECRET)
            .text("v0:")
            .timestamp("x-slack-request-timestamp")
            .text(":")
            .body()
            .hex_in("x-slack-signature", "v0=")?;
        let Some(head) = genuine.json::<Head<'_>>() else {
            return Ok(Verdict::accept(genuine));
        };
        if let ("url_verification", Some(challenge)) = (&*head.kind, &head.challenge) {
            return Ok(Verdict::answer(genuine, Reply::text(challenge.as_bytes())));
        }
        let lane = head.lane();
        let verdict = Verdict::accept(genuine).with_lane(lane);
        Ok(match head.event_id {
            Some(id) => verdict.with_request_id(id.into_string()),
            None => verdict,
        })
    }

    fn parse(request: &HttpRequest) -> Result<Vec<ProviderEvent>, Failure> {
        events::parse(request)
    }

    fn send(part: Outgoing, _attempt: Attempt) -> Result<Receipt, Failure> {
        match part {
            Outgoing::Message(envelope) => post(&envelope),
            Outgoing::Edit(edit) => update(&edit.external_id, &edit.body.text),
            Outgoing::Delete(external_id) => delete(&external_id),
            Outgoing::Reaction(reaction) => react(&reaction),
            Outgoing::Typing(_) => Err(Failure::permanent("Slack shows nobody that a bot types")),
            Outgoing::Read(_) => Err(Failure::permanent("Slack lets no bot mark messages as read")),
            Outgoing::Other((what, _)) => {
                Err(Failure::permanent(format!("the Slack integration sends no \"{what}\"")))
            }
        }
    }

    fn fetch(remote: String) -> Result<String, Failure> {
        files::fetch(&remote)
    }

    fn check() -> Result<String, Failure> {
        #[derive(Deserialize)]
        struct Known {
            team: String,
            user: String,
        }
        let known: Known = api::write("auth.test", &Nothing {}, Twice::Harmless, &[])?;
        Ok(format!("Connected to the workspace {} as @{}.", known.team, known.user))
    }
}

fn requests() -> Vec<CapabilityRequest> {
    const FILES: &str = "files.slack.com";
    vec![
        CapabilityRequest::secret(SIGNING_SECRET, "To check that events come from Slack."),
        CapabilityRequest::secret_for(BOT_TOKEN, "{api_url}", "To call Slack as the bot."),
        CapabilityRequest::secret_for(BOT_TOKEN, FILES, "To download files that people share."),
        CapabilityRequest::http("{api_url}", "To send replies and to look up who people are."),
        CapabilityRequest::http(FILES, "To download files that people share."),
        CapabilityRequest::kv(4 << 20, "To remember people's names for a day."),
        CapabilityRequest::blobs(256 << 20, "To keep files that people share."),
    ]
}

/// A body without fields.
#[derive(Serialize, Deserialize)]
struct Nothing {}

#[derive(Serialize)]
struct Post<'a> {
    channel: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_ts: Option<&'a str>,
    text: &'a str,
    /// Only markdown is meant to be formatted; in plain text a star is a star.
    mrkdwn: bool,
    /// A reply shows what the agent wrote, and no previews of pages.
    unfurl_links: bool,
    unfurl_media: bool,
}

#[derive(Deserialize)]
struct Posted {
    channel: Option<String>,
    ts: Option<String>,
}

/// Into the thread that the envelope stands in, or, without one, to its first recipient: a user id
/// opens a direct conversation, a channel id a thread in that channel.
fn post(envelope: &Envelope) -> Result<Receipt, Failure> {
    let place = name::place(&envelope.thread);
    let (channel, thread_ts) = match (&place, envelope.recipients.first()) {
        (Some(place), _) => (place.channel.as_str(), place.thread_ts.as_deref()),
        (None, Some(recipient)) => (recipient.party.address.as_str(), None),
        (None, None) => {
            return Err(Failure::permanent("there is no thread and no recipient to write to"));
        }
    };
    let post = Post {
        channel,
        thread_ts,
        text: &mrkdwn::escaped(&envelope.body.text),
        mrkdwn: envelope.body.kind == ContentKind::Markdown,
        unfurl_links: false,
        unfurl_media: false,
    };
    let posted: Posted = api::write("chat.postMessage", &post, Twice::Seen, &[])?;
    let (Some(channel), Some(ts)) = (posted.channel, posted.ts) else {
        return Ok(Receipt::sent(None));
    };
    let external_id = name::message(&channel, &ts);
    let thread_key = envelope
        .thread
        .key
        .is_none()
        .then(|| if name::is_direct(&channel) { channel.clone() } else { external_id.clone() });
    Ok(Receipt { thread_key, ..Receipt::sent(Some(external_id)) })
}

fn update(external_id: &str, text: &str) -> Result<Receipt, Failure> {
    #[derive(Serialize)]
    struct Update<'a> {
        channel: &'a str,
        ts: &'a str,
        text: &'a str,
    }
    let (channel, ts) = at(external_id)?;
    let update = Update { channel, ts, text: &mrkdwn::escaped(text) };
    let Nothing {} = api::write("chat.update", &update, Twice::Harmless, &[])?;
    Ok(Receipt::sent(Some(external_id.to_owned())))
}

fn delete(external_id: &str) -> Result<Receipt, Failure> {
    #[derive(Serialize)]
    struct Delete<'a> {
        channel: &'a str,
        ts: &'a str,
    }
    let (channel, ts) = at(external_id)?;
    let fine = ["message_not_found"];
    let Nothing {} = api::write("chat.delete", &Delete { channel, ts }, Twice::Harmless, &fine)?;
    Ok(Receipt::sent(Some(external_id.to_owned())))
}

fn react(reaction: &Reaction) -> Result<Receipt, Failure> {
    #[derive(Serialize)]
    struct React<'a> {
        channel: &'a str,
        timestamp: &'a str,
        name: &'a str,
    }
    let (channel, timestamp) = at(&reaction.external_id)?;
    let react = React { channel, timestamp, name: emoji::name(&reaction.emoji) };
    let (method, fine) = match reaction.added {
        true => ("reactions.add", ["already_reacted"]),
        false => ("reactions.remove", ["no_reaction"]),
    };
    let Nothing {} = api::write(method, &react, Twice::Harmless, &fine)?;
    Ok(Receipt::sent(Some(reaction.external_id.clone())))
}

fn at(external_id: &str) -> Result<(&str, &str), Failure> {
    name::split(external_id)
        .ok_or_else(|| Failure::permanent(format!("\"{external_id}\" names no Slack message")))
}
