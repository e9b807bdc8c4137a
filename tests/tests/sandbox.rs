//! A guest that misbehaves fails by name, and its neighbours go on.

#![allow(clippy::expect_used, clippy::panic, reason = "a failed step ends the test")]

use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use tidegate_tests::client::Answer;
use tidegate_tests::desk::{Database, SlackDesk, slack_desk_configured};
use tidegate_tests::{eventually, places};

const KEY: &str = "the hostile guest's key";
const TOML: &str = "[intake]\nretry_ms = [50, 50]\n[delivery]\nretry_ms = [50, 50]\n";

/// How it misbehaves, and the words of which one must be in what is said about it.
const MISBEHAVIOUR: [(&str, &[&str]); 6] = [
    ("loop", &["deadline", "time", "long"]),
    ("eat-memory", &["memory"]),
    ("trap", &["trap", "unreachable", "panic"]),
    ("recurse", &["stack", "recurs"]),
    ("exit", &["exit", "trap"]),
    ("return-too-much", &["much", "large", "limit", "more than", "long", "memory"]),
];

/// A desk with Slack and, beside it, the hostile guest.
struct Neighbours {
    desk: SlackDesk,
    hostile: i64,
}

impl Neighbours {
    async fn start() -> Self {
        let desk = slack_desk_configured(Database::Sqlite, TOML).await;
        desk.install(places::HOSTILE).await;
        let connection = json!({
            "integration": "hostile", "label": "Hostile", "grants": "requested",
            "settings": {"api_url": format!("{}/hostile.ping", desk.slack.api_url())},
            "secrets": {"key": KEY},
        });
        let connection = desk.admin.post("/api/v1/connections", connection).await;
        let hostile = connection["id"].as_i64().expect("an id");
        let inbox = json!({"channel": "hostile", "connection_id": hostile, "name": "Hostile"});
        desk.admin.post("/api/v1/inboxes", inbox).await;
        Self { desk, hostile }
    }

    async fn tell(&self, export: &str, behave: &str) {
        let path = format!("/api/v1/connections/{}", self.hostile);
        let settings = json!({"settings": {"in": export, "behave": behave}});
        self.desk.admin.patch(&path, settings).await;
    }

    async fn write(&self, id: &str, text: &str) -> Answer {
        let body = json!({"id": id, "text": text, "thread": id, "from": "Mallory"}).to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).expect("any length");
        mac.update(body.as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        let path = format!("/api/webhooks/integrations/hostile/{}", self.hostile);
        let request = self.desk.anybody().request(Method::POST, &path);
        let request = request.header("x-hostile-signature", signature).header("x-request-id", id);
        // A lane of its own, so that one that is tried again does not hold the next.
        let request = request.header("x-lane", id).header("content-type", "application/json");
        let response = request.body(body).send().await.expect("an answer");
        Answer::read(format!("POST {path}"), response).await.expect("a whole answer")
    }

    async fn intakes(&self, state: &str) -> Vec<Value> {
        let path = format!("/api/v1/intakes?state={state}&connection={}", self.hostile);
        self.desk.admin.list_all(&path).await
    }
}

fn names(said: &str, words: &[&str]) -> bool {
    let said = said.to_lowercase();
    words.iter().any(|word| said.contains(word))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_verify_requests_are_held_and_neighbours_go_on() {
    let here = Neighbours::start().await;
    // Nothing is held for a connection that never had a genuine request.
    here.tell("verify", "trap").await;
    here.write("too-early", "x").await.expect_status(503);
    here.tell("", "well").await;
    here.write("genuine", "In peace").await.expect_status(200);
    here.desk.ticket_and_message("In peace").await;
    for (number, (behave, words)) in MISBEHAVIOUR.into_iter().enumerate() {
        here.tell("verify", behave).await;
        let neighbour = here.desk.slack.message("C1", "U0ANA", &format!("Beside {behave}"));
        let (bad, good) =
            tokio::join!(here.write(behave, "x"), here.desk.slack.deliver(&neighbour));
        good.expect_status(200);
        assert_eq!(bad.status, 200, "{behave}: {}", bad.text);
        here.desk.ticket_and_message(&format!("Beside {behave}")).await;
        assert_eq!(here.intakes("held").await.len(), number + 1, "{behave}");
        let log = std::fs::read_to_string(here.desk.home().log()).expect("the log");
        let line = log.lines().rfind(|line| line.contains("not verified")).unwrap_or_default();
        assert!(names(line, words), "{behave} is called: {line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_parse_requests_become_dead_letters_and_neighbours_go_on() {
    let here = Neighbours::start().await;
    for (behave, words) in MISBEHAVIOUR {
        here.tell("parse", behave).await;
        here.write(behave, "x").await.expect_status(200);
        here.desk.hear_ticket(&format!("Beside {behave}")).await;
        let dead = eventually(&format!("the dead letter of {behave}"), || async {
            here.intakes("dead").await.into_iter().find(|intake| intake["request_id"] == behave)
        })
        .await;
        let reason = dead["reason"].as_str().unwrap_or_default();
        assert!(names(reason, words), "{behave} is called: {reason}");
    }
    // Told to behave, the letters can be worked after all.
    here.tell("", "well").await;
    let dead = here.intakes("dead").await;
    for intake in &dead {
        let path = format!("/api/v1/intakes/{}/replay", intake["id"]);
        here.desk.admin.call(Method::POST, &path, None).await.expect_status(202);
    }
    eventually("the letters to be worked", || async {
        (here.intakes("done").await.len() == dead.len()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_send_replies_fail_and_neighbours_go_on() {
    let here = Neighbours::start().await;
    for behave in ["trap", "loop", "eat-memory"] {
        here.tell("", "well").await;
        here.write(behave, &format!("Answer {behave}")).await.expect_status(200);
        let (ticket, _) = here.desk.ticket_and_message(&format!("Answer {behave}")).await;
        here.tell("send", behave).await;
        let reply = here.desk.reply(&ticket, "Well?").await;
        let (beside, _) = here.desk.hear_ticket(&format!("Beside {behave}")).await;
        let good = here.desk.reply(&beside, &format!("Reply beside {behave}")).await;
        here.desk.message_in(&beside, &good, &["sent"]).await;
        here.desk.message_in(&ticket, &reply, &["failed", "ambiguous"]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_can_neither_write_nor_call_out() {
    let here = Neighbours::start().await;
    here.tell("verify", "network").await;
    here.write("a", "Called out").await.expect_status(200);
    assert!(here.desk.slack.calls("hostile.ping").is_empty(), "verify reached the network");
    here.tell("verify", "kv-write").await;
    here.write("b", "Wrote").await.expect_status(200);
    // Where it may, it does.
    here.tell("check", "network").await;
    let path = format!("/api/v1/connections/{}/check", here.hostile);
    here.desk.admin.call(Method::POST, &path, None).await.expect_status(200);
    assert_eq!(here.desk.slack.calls("hostile.ping").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_log_lines_is_bounded_and_forges_nothing() {
    let here = Neighbours::start().await;
    here.tell("verify", "log-flood").await;
    here.write("flood", "Flooded").await;
    here.desk.hear_ticket("Beside the flood").await;
    let log = std::fs::read(here.desk.home().log()).expect("the log");
    assert!(log.len() < 4 << 20, "{} bytes of log", log.len());
    assert!(!log.contains(&0x1b), "an escape character is in the log");
    assert!(
        !log.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"xxxx")),
        "a forged line"
    );
}
