//! A worker that stood still too long cannot write; a subscriber misses nothing.

#![allow(clippy::expect_used, clippy::panic, reason = "a failed step ends the test")]

use futures_util::StreamExt;
use serde_json::{Value, json};
use sqlx::{AnyConnection, Connection};
use std::time::{Duration, Instant};
use tidegate_tests::client::{Client, number_of};
use tidegate_tests::desk::{Database, SlackDesk, slack_desk, slack_desk_configured};
use tidegate_tests::slack::{CHANNEL, Fault, Gate, PERSON};
use tidegate_tests::{PATIENCE, eventually, on_both};

const LEASE: Duration = Duration::from_millis(1000);
const TOML: &str = "lease_ms = 1000\n[intake]\nretry_ms = [50, 100, 200, 400, 800]\n";

on_both! {
    async fn a_server_that_stood_still_past_its_lease_writes_nothing_twice(database) {
        let desk = slack_desk_configured(database, TOML).await;
        let gate = Gate::closed();
        desk.slack.fail_next("users.info", 1, &Fault::Until(gate.clone()));
        desk.hear("Where was I").await;
        eventually("the call to be under way", || async {
            (desk.slack.calls("users.info").len() == 1).then_some(())
        })
        .await;
        desk.server().freeze();
        past(LEASE).await;
        gate.open();
        desk.server().thaw();
        let (ticket, _) = desk.ticket_and_message("Where was I").await;
        desk.all_worked().await;
        assert_eq!(desk.messages(&ticket).await.len(), 1);
        assert_eq!(desk.admin.list_all("/api/v1/tickets").await.len(), 1);
        gapless(&desk).await;
    }

    async fn a_subscriber_misses_nothing_while_a_transaction_is_held_open(database) {
        let desk = slack_desk(database).await;
        desk.hear_ticket("Before").await;
        let from = desk.admin.events_after(0).await.last().map_or(0, number_of);
        let mut subscriber = Subscriber::open(&desk.admin, from).await;

        // Somebody holds the account's row, between taking a number and committing.
        sqlx::any::install_default_drivers();
        let mut holder = AnyConnection::connect(&desk.home().database_url()).await.expect("a connection");
        let begin = if database == Database::Sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" };
        sqlx::raw_sql(begin).execute(&mut holder).await.expect("a transaction");
        sqlx::raw_sql("UPDATE account SET last_event = last_event + 1 WHERE id = 1")
            .execute(&mut holder)
            .await
            .expect("the row is held");
        let writers: Vec<_> = (0..6)
            .map(|number| {
                let (admin, body) = (desk.admin.clone(), json!({"body": format!("Held {number}"), "private": true}));
                tokio::spawn(async move {
                    admin.call(reqwest::Method::POST, "/api/v1/tickets/1/messages", Some(&body)).await
                })
            })
            .collect();
        // Readers go on, and see nothing that is not committed.
        assert!(desk.admin.events_after(from).await.is_empty());
        desk.admin.get("/api/v1/tickets/1").await;
        assert!(writers.iter().all(|writer| !writer.is_finished()), "a write did not wait");
        sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.expect("the row is free");
        for writer in writers {
            writer.await.expect("a writer").expect_status(201);
        }
        let told = subscriber.take(6).await;
        let numbers: Vec<i64> = told.iter().map(number_of).collect();
        let expected: Vec<i64> = (from + 1..).take(6).collect();
        assert_eq!(numbers, expected, "what the subscriber was told");
        assert_eq!(told, desk.admin.events_after(from).await, "stream and list tell the same");

        // Who comes back with the last number it saw gets exactly what follows.
        let mut late = Subscriber::open(&desk.admin, from + 2).await;
        let numbers: Vec<i64> = late.take(4).await.iter().map(number_of).collect();
        assert_eq!(numbers, (from + 3..).take(4).collect::<Vec<i64>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_server_takes_over_and_the_first_cannot_write() {
    let desk = slack_desk_configured(Database::Postgres, TOML).await;
    let (ticket, _) = desk.hear_ticket("Two servers").await;
    let gate = Gate::closed();
    desk.slack.fail_next("chat.postMessage", 1, &Fault::Until(gate.clone()));
    let reply = desk.reply(&ticket, "Which one?").await;
    eventually("the reply to be under way", || async {
        (desk.slack.posts_of("Which one?").len() == 1).then_some(())
    })
    .await;
    desk.server().freeze();

    let other = desk.home().serve_beside().await.expect("a second server on the same database");
    let admin = desk.admin.at(other.url());
    let state = |wanted: Value| {
        let admin = admin.clone();
        let id = wanted["id"].clone();
        async move {
            let messages = admin.list_all("/api/v1/tickets/1/messages").await;
            messages.into_iter().find(|message| message["id"] == id).expect("the reply")
        }
    };
    let taken_over = eventually("the other server to take over", || async {
        let message = state(reply.clone()).await;
        (message["state"] == "ambiguous").then_some(message)
    })
    .await;
    assert_eq!(other.stop().await.code(), Some(0), "a drained server ends with 0");

    // The first one wakes, gets the answer to its call, and has lost the right to write it down.
    gate.open();
    desk.server().thaw();
    let next = desk.reply(&ticket, "The next one").await;
    desk.message_in(&ticket, &next, &["sent"]).await;
    let after = desk.message_in(&ticket, &reply, &["ambiguous"]).await;
    assert_eq!(after, taken_over, "the first server wrote past its lease");
    assert_eq!(desk.slack.posts_of("Which one?").len(), 1);
    gapless(&desk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_server_works_what_the_first_had_claimed() {
    let desk = slack_desk_configured(Database::Postgres, TOML).await;
    let gate = Gate::closed();
    desk.slack.fail_next("users.info", 1, &Fault::Until(gate.clone()));
    let event = desk.slack.message(CHANNEL, PERSON, "Claimed");
    desk.hear_event(&event).await;
    eventually("the call to be under way", || async {
        (desk.slack.calls("users.info").len() == 1).then_some(())
    })
    .await;
    desk.server().freeze();
    let other = desk.home().serve_beside().await.expect("a second server on the same database");
    let admin = desk.admin.at(other.url());
    eventually("the other server to make the ticket", || async {
        (admin.list("/api/v1/tickets").await.len() == 1).then_some(())
    })
    .await;
    let told = admin.events_after(0).await;
    drop(other);
    gate.open();
    desk.server().thaw();
    // It works on, and what it had half done is not there.
    desk.hear_ticket("And the next").await;
    let first = desk.admin.get("/api/v1/tickets/1").await;
    assert_eq!(desk.messages(&first).await.len(), 1);
    let now = desk.admin.events_after(0).await;
    assert_eq!(now[..told.len()], told[..], "history has changed");
    gapless(&desk).await;
}

/// Waits until a lease that was taken before has ended, whatever stands still meanwhile.
async fn past(lease: Duration) {
    let started = Instant::now();
    eventually("the lease to end", || async { (started.elapsed() > lease * 2).then_some(()) })
        .await;
}

async fn gapless(desk: &SlackDesk) {
    let numbers: Vec<i64> = desk.admin.events_after(0).await.iter().map(number_of).collect();
    assert_eq!(numbers, (1..).take(numbers.len()).collect::<Vec<i64>>());
}

/// A subscriber of the event stream.
struct Subscriber {
    bytes:
        std::pin::Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    text: String,
}

impl Subscriber {
    async fn open(client: &Client, after: i64) -> Self {
        let request = client.request(reqwest::Method::GET, "/api/v1/events/stream");
        let request = request.header("last-event-id", after.to_string());
        let response = request.send().await.expect("a stream");
        assert_eq!(response.status(), 200);
        let kind = response.headers()["content-type"].to_str().expect("a content type").to_owned();
        assert!(kind.starts_with("text/event-stream"), "{kind}");
        Self { bytes: Box::pin(response.bytes_stream()), text: String::new() }
    }

    /// The next events, each as its data; name and number must agree with it.
    async fn take(&mut self, count: usize) -> Vec<Value> {
        let mut events = Vec::new();
        while events.len() < count {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
                };
                if let Some(data) = field("data:") {
                    let event: Value = serde_json::from_str(data).expect("an event");
                    assert_eq!(
                        field("id:"),
                        Some(number_of(&event).to_string().as_str()),
                        "{block}"
                    );
                    assert_eq!(field("event:"), event["eventType"].as_str(), "{block}");
                    events.push(event);
                }
                self.text = rest.to_owned();
                continue;
            }
            let next = tokio::time::timeout(PATIENCE, self.bytes.next()).await;
            let chunk =
                next.unwrap_or_else(|_| panic!("the stream told {} of {count}", events.len()));
            let chunk = chunk.expect("the stream goes on").expect("a chunk");
            self.text.push_str(&String::from_utf8_lossy(&chunk));
        }
        events
    }
}
