//! A component that misbehaves as its settings say.
//!
//! The connection's setting `in` names an export (`verify`, `parse`, `send`, …), `behave` says what
//! happens there:
//!
//! | behave | what it does |
//! |---|---|
//! | `loop` | never returns |
//! | `eat-memory` | asks for memory until there is none |
//! | `trap` | panics |
//! | `recurse` | calls itself until the stack ends |
//! | `return-too-much` | answers with more than the host takes |
//! | `log-flood` | logs a million long lines, with control characters in them |
//! | `exit` | ends the process, as a command would |
//! | `kv-write` | writes to kv, also where it may not |
//! | `network` | calls `api_url`, also where it may not |
//! | `wrong-secret` | has a MAC made with a secret that it was not granted |
//!
//! Left in peace it is an ordinary plugin: a request is genuine when `x-hostile-signature` is the
//! hexadecimal HMAC-SHA256 of its body under the secret `key`; the body is JSON with `id`, `text`,
//! `thread` and `from`; a reply is posted to `api_url`.

use tidegate_sdk::channel::{
    Abilities, Behavior, Card, Command, Definition, OutboundAction, ReopenRule, ReplyTo, TicketView,
};
use tidegate_sdk::{
    Attempt, CapabilityRequest, Channel, Content, Failure, HttpRequest, InboundEvent, Integration,
    MessageReceived, Outgoing, Party, ProviderEvent, Receipt, Refused, SettingsSection, Thread,
    Verdict, http, integration, kv, log, secrets, settings, verify,
};

/// The plugin.
#[derive(Debug)]
pub struct Hostile;

tidegate_sdk::export!(Hostile: channel, integration; publisher = "tidegate-tests", name = "hostile");

const SETTINGS: &str = r#"{
  "type": "object",
  "properties": {
    "key": { "type": "string", "x-secret": true },
    "behave": { "type": "string", "default": "well" },
    "in": { "type": "string", "default": "" },
    "api_url": { "type": "string", "format": "uri", "default": "https://hostile.example" }
  }
}"#;

/// Misbehaves when the settings say so for this export; otherwise says how much the caller is to
/// return too much, in bytes.
#[allow(clippy::panic, reason = "a guest that traps is what is tested")]
fn behave(export: &str) -> usize {
    let told = |name: &str| settings::get::<String>(name).ok().flatten().unwrap_or_default();
    if told("in") != export {
        return 0;
    }
    match told("behave").as_str() {
        "loop" => loop {
            std::hint::black_box(());
        },
        "eat-memory" => {
            let mut eaten: Vec<Vec<u8>> = Vec::new();
            loop {
                eaten.push(vec![1; 1 << 20]);
                std::hint::black_box(&eaten);
            }
        }
        "trap" => panic!("the hostile guest traps in {export}"),
        "recurse" => {
            std::hint::black_box(recurse(1));
        }
        "log-flood" => {
            let line = format!("\u{1b}[31mERROR forged\r\n{}", "x".repeat(2_000));
            for _ in 0..1_000_000 {
                log::error(&line, &[]);
            }
        }
        "exit" => std::process::exit(3),
        "kv-write" => {
            let written = kv::set("written", &export);
            log::info("kv", &[("written", &format!("{written:?}"))]);
        }
        "network" => {
            let answer = http::get(told("api_url")).send();
            let outcome = match answer {
                Ok(_) => "answered".to_owned(),
                Err(failure) => format!("{failure:?}"),
            };
            log::info("network", &[("outcome", &outcome)]);
        }
        "wrong-secret" => {
            let hash = secrets::Hash::Sha256;
            let mac = secrets::mac("signing_secret", hash, secrets::Encoding::Raw, b"x");
            log::info("secret", &[("outcome", &format!("{mac:?}"))]);
        }
        "return-too-much" => return 64 << 20,
        _ => {}
    }
    0
}

#[allow(unconditional_recursion, reason = "the end of the stack is what is tested")]
fn recurse(depth: u64) -> u64 {
    let deeper = std::hint::black_box(depth + 1);
    recurse(deeper).wrapping_add(std::hint::black_box(depth))
}

fn definition(too_much: usize) -> String {
    "x".repeat(too_much)
}

impl Channel for Hostile {
    fn describe() -> Definition {
        Definition {
            key: "hostile".to_owned(),
            label: "Hostile".to_owned(),
            behavior: Behavior {
                abilities: Abilities::REPLY,
                contact_address_label: "Name".to_owned(),
                reply_window_hours: None,
                reply_to_resolved: ReopenRule::NewTicket,
                content_kinds: vec!["text".to_owned()],
                max_text_chars: 10_000,
                max_attachments: 0,
                max_attachment_bytes: 0,
            },
            fields: Vec::new(),
            sections: Vec::new(),
            requires: vec!["hostile.messages".to_owned()],
            events: Vec::new(),
        }
    }

    fn render_cards(tickets: Vec<TicketView>) -> Vec<Card> {
        tickets
            .into_iter()
            .map(|ticket| Card::default().preview(format!("<b>{}</b>", ticket.preview)))
            .collect()
    }

    fn inbound(event: InboundEvent) -> Result<Vec<Command>, Failure> {
        Ok(Command::usual(event))
    }

    fn outbound(action: OutboundAction, to: ReplyTo) -> Result<Vec<Outgoing>, Failure> {
        Ok(action.usual(to))
    }
}

impl Integration for Hostile {
    fn describe() -> integration::Definition {
        integration::Definition {
            key: "hostile".to_owned(),
            label: "Hostile".to_owned(),
            provides: vec!["hostile.messages".to_owned()],
            settings: vec![SettingsSection::new("hostile", "Hostile", "What it does.", SETTINGS)],
            requests: vec![
                CapabilityRequest::secret("key", "To check signatures."),
                CapabilityRequest::http("{api_url}", "To misbehave there."),
                CapabilityRequest::kv(1 << 16, "To write where it may not."),
            ],
            idempotent_send: false,
            hold_unverified: true,
            max_request_bytes: 1 << 16,
        }
    }

    fn verify(request: &HttpRequest) -> Result<Verdict, Refused> {
        let too_much = behave("verify");
        let genuine =
            verify::hmac_sha256(request, "key").body().hex_in("x-hostile-signature", "")?;
        let verdict = Verdict::accept(genuine);
        let verdict = match request.header("x-request-id") {
            Some(id) => verdict.with_request_id(id),
            None => verdict,
        };
        Ok(match request.header("x-lane") {
            _ if too_much > 0 => verdict.with_lane(definition(too_much)),
            Some(lane) => verdict.with_lane(lane),
            None => verdict,
        })
    }

    fn parse(request: &HttpRequest) -> Result<Vec<ProviderEvent>, Failure> {
        let too_much = behave("parse");
        let body: serde_json::Value = serde_json::from_slice(&request.body)
            .map_err(|error| Failure::permanent(format!("the body is not JSON: {error}")))?;
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        Ok(vec![ProviderEvent::Inbound(InboundEvent::Message(MessageReceived {
            external_id: text("id"),
            sender: Party::new(text("from")),
            recipients: Vec::new(),
            thread: Thread {
                key: Some(text("thread")),
                in_reply_to: None,
                references: Vec::new(),
                context: None,
            },
            subject: None,
            body: Content::text(text("text") + &definition(too_much)),
            attachments: Vec::new(),
            sent_at: None,
            extra: None,
        }))])
    }

    fn send(part: Outgoing, _attempt: Attempt) -> Result<Receipt, Failure> {
        behave("send");
        let Outgoing::Message(envelope) = part else {
            return Err(Failure::permanent("expected a message"));
        };
        let url: String = settings::required("api_url")?;
        let answer = http::post(url).json(&envelope.body.text).send()?;
        match answer.status() {
            200..=299 => Ok(Receipt::sent(None)),
            status => Err(Failure::retry(format!("the provider answered {status}"))),
        }
    }

    fn check() -> Result<String, Failure> {
        behave("check");
        Ok("It would misbehave if it were told to.".to_owned())
    }
}
