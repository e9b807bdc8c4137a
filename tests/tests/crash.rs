//! `kill -9` at random moments, under load.
//!
//! Twenty times the server is killed somewhere between the first and the last of what a round asks
//! of it. What was acknowledged is there exactly once afterwards; what was not is delivered again,
//! as a provider does, and is there exactly once too.

#![allow(clippy::expect_used, clippy::panic, reason = "a failed step ends the test")]

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidegate_tests::client::{self, number_of};
use tidegate_tests::desk::slack_desk_configured;
use tidegate_tests::on_both;
use tidegate_tests::slack::{CHANNEL, Envelope, PERSON, SIGNING_SECRET, deliver, signed_headers};

const ROUNDS: usize = 20;
/// How many write at the same time.
const WRITERS: usize = 6;
/// A round is killed no later than this after its load began.
const LONGEST_ROUND_MS: u64 = 700;
const TOML: &str = "lease_ms = 1000\n[intake]\nretry_ms = [50, 100, 200, 400, 800]\n\
    [delivery]\nretry_ms = [50, 100, 200, 400, 800]\n";

/// What was asked, and what of it was acknowledged.
#[derive(Default)]
struct Asked {
    acknowledged: Vec<String>,
    unanswered: Vec<Envelope>,
    /// Replies with their message id, as far as it was said.
    replies: Vec<(String, Option<i64>)>,
}

on_both! {
    async fn nothing_acknowledged_is_lost_and_nothing_is_there_twice(database) {
        let mut desk = slack_desk_configured(database, TOML).await;
        let (ticket, _) = desk.hear_ticket("The first").await;
        let asked = Arc::new(Mutex::new(Asked::default()));
        for round in 0..ROUNDS {
            let mut load = tokio::task::JoinSet::new();
            for writer in 0..WRITERS {
                let envelopes: Vec<Envelope> = (0..200)
                    .map(|number| {
                        let channel = format!("{CHANNEL}{writer}");
                        desk.slack.message(&channel, PERSON, &format!("r{round} w{writer} n{number}"))
                    })
                    .collect();
                let url = desk.slack.webhook_url();
                load.spawn(write_webhooks(url, envelopes, asked.clone()));
            }
            load.spawn(write_replies(desk.admin.clone(), round, asked.clone()));
            // The moment is random; that is the point of it.
            let moment = RandomState::new().hash_one(round) % LONGEST_ROUND_MS;
            tokio::time::sleep(Duration::from_millis(moment)).await;
            desk.desk.kill();
            while let Some(ended) = load.join_next().await {
                ended.expect("a writer");
            }
            desk.start_again().await;
        }

        let asked = std::mem::take(&mut *asked.lock().expect("the notes"));
        assert!(!asked.acknowledged.is_empty(), "no webhook was ever acknowledged");
        for envelope in &asked.unanswered {
            desk.hear_event(envelope).await;
        }
        desk.all_worked().await;

        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for shown in desk.admin.list_all("/api/v1/tickets").await {
            for message in desk.messages(&shown).await {
                if message["direction"] == "incoming" {
                    let text = message["body"]["text"].as_str().expect("a text").to_owned();
                    *seen.entry(text).or_default() += 1;
                }
            }
        }
        let unanswered = asked.unanswered.iter().map(|envelope| envelope.text().to_owned());
        let mut expected: BTreeSet<String> = asked.acknowledged.iter().cloned().chain(unanswered).collect();
        expected.insert("The first".into());
        let lost: Vec<_> = expected.iter().filter(|text| !seen.contains_key(*text)).collect();
        let twice: Vec<_> = seen.iter().filter(|(_, count)| **count != 1).collect();
        let invented: Vec<_> = seen.keys().filter(|text| !expected.contains(*text)).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
        assert!(twice.is_empty(), "not once: {twice:?}");
        assert!(invented.is_empty(), "invented: {invented:?}");

        let posts = desk.slack.post_counts();
        for (text, id) in &asked.replies {
            let posted = posts.get(text).copied().unwrap_or(0);
            assert!(posted <= 1, "`{text}` was posted {posted} times");
            let Some(id) = id else { continue };
            let message = json!({"id": id});
            let ended: Value = desk.message_in(&ticket, &message, &["sent", "ambiguous"]).await;
            if ended["state"] == "sent" {
                // Counted again: it may have been sent while the others were looked at.
                assert_eq!(desk.slack.posts_of(text).len(), 1, "`{text}` is said to be sent");
            }
        }

        let numbers: Vec<i64> = desk.admin.events_after(0).await.iter().map(number_of).collect();
        let expected: Vec<i64> = (1..).take(numbers.len()).collect();
        assert_eq!(numbers, expected, "event numbers have a gap or a double");
    }
}

/// Delivers one after the other until the server is gone.
async fn write_webhooks(url: String, envelopes: Vec<Envelope>, asked: Arc<Mutex<Asked>>) {
    let http = client::http();
    for envelope in envelopes {
        let bytes = envelope.bytes();
        let headers = signed_headers(SIGNING_SECRET, &bytes);
        let answer = deliver(&http, &url, &headers, bytes).await;
        let mut asked = asked.lock().expect("the notes");
        match answer {
            Ok(answer) if answer.is_success() => {
                asked.acknowledged.push(envelope.text().to_owned())
            }
            Ok(answer) => {
                assert_eq!(answer.status, 503, "{}", answer.text);
                asked.unanswered.push(envelope);
            }
            Err(_gone) => {
                asked.unanswered.push(envelope);
                return;
            }
        }
    }
}

/// Replies on the first ticket until the server is gone.
async fn write_replies(admin: client::Client, round: usize, asked: Arc<Mutex<Asked>>) {
    for number in 0..200 {
        let text = format!("reply {round}.{number}");
        let body = json!({"body": text});
        let answer =
            admin.attempt(reqwest::Method::POST, "/api/v1/tickets/1/messages", Some(&body)).await;
        let mut asked = asked.lock().expect("the notes");
        match answer {
            Ok(answer) => {
                let message = answer.accepted().expect("a reply is taken");
                asked.replies.push((text, message["id"].as_i64()));
            }
            Err(_gone) => {
                asked.replies.push((text, None));
                return;
            }
        }
    }
}
