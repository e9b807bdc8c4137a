//! A broken plugin loses no webhook of a provider that never tries again: what it cannot verify is
//! held, and judged later as of its arrival.

#![allow(clippy::expect_used, clippy::panic, reason = "a failed step ends the test")]

use serde_json::Value;
use sqlx::{AnyConnection, Connection};
use std::time::{SystemTime, UNIX_EPOCH};
use tidegate_tests::client::Answer;
use tidegate_tests::component::{that_traps_in, with_version};
use tidegate_tests::desk::{SlackDesk, slack_desk};
use tidegate_tests::slack::{CHANNEL, Envelope, PERSON, SIGNING_SECRET, signature};
use tidegate_tests::{eventually, on_both, places};

const HOUR_S: u64 = 3600;
/// How many requests of one connection are held from one source address.
const PER_SOURCE: usize = 50;

on_both! {
    async fn what_was_held_is_verified_an_hour_later_as_of_its_arrival(database) {
        let mut desk = slack_desk(database).await;
        desk.hear_ticket("Before").await;
        upload(&desk, &broken("0.1.1")).await;

        let an_hour_ago = now_s() - HOUR_S;
        let genuine = say(&desk, "An hour ago");
        send(&desk, &genuine, an_hour_ago, SIGNING_SECRET).await.expect_status(200);
        let from_the_future = say(&desk, "Signed an hour after it came");
        send(&desk, &from_the_future, now_s(), SIGNING_SECRET).await.expect_status(200);
        let forged = say(&desk, "Forged");
        send(&desk, &forged, an_hour_ago, "another secret").await.expect_status(200);
        assert_eq!(intakes(&desk, "held").await.len(), 3);
        assert_eq!(desk.admin.list_all("/api/v1/tickets").await.len(), 1, "nothing unverified is worked");

        // An hour passes, as far as anybody can tell.
        desk.desk.stop().await;
        sqlx::any::install_default_drivers();
        let mut database = AnyConnection::connect(&desk.home().database_url()).await.expect("a connection");
        let earlier = "UPDATE intake SET received_at = received_at - 3600000 WHERE state = 'held'";
        let changed = sqlx::raw_sql(earlier).execute(&mut database).await.expect("an update");
        assert_eq!(changed.rows_affected(), 3);
        database.close().await.expect("the connection ends");
        desk.start_again().await;
        assert_eq!(intakes(&desk, "held").await.len(), 3, "the broken release is not asked again");

        upload(&desk, &mended("0.1.2")).await;
        desk.ticket_and_message("An hour ago").await;
        let dead = eventually("the others to be refused", || async {
            let dead = intakes(&desk, "dead").await;
            (dead.len() == 2).then_some(dead)
        })
        .await;
        for intake in &dead {
            let reason = intake["reason"].as_str().unwrap_or_default();
            assert!(reason.contains("refused"), "{intake}");
        }
        assert!(intakes(&desk, "held").await.is_empty());
        desk.all_worked().await;
        assert_eq!(desk.admin.list_all("/api/v1/tickets").await.len(), 2);
        // It is known by its id now: a copy changes nothing.
        send(&desk, &genuine, now_s(), SIGNING_SECRET).await.expect_status(200);
        desk.all_worked().await;
        assert_eq!(desk.admin.list_all("/api/v1/tickets").await.len(), 2);
    }

    async fn what_breaks_two_releases_is_a_dead_letter(database) {
        let desk = slack_desk(database).await;
        desk.hear_ticket("Before").await;
        upload(&desk, &broken("0.1.1")).await;
        send(&desk, &say(&desk, "Poison"), now_s(), SIGNING_SECRET).await.expect_status(200);
        assert_eq!(intakes(&desk, "held").await.len(), 1);
        upload(&desk, &broken("0.1.2")).await;
        let dead = eventually("the dead letter", || async {
            intakes(&desk, "dead").await.into_iter().next()
        })
        .await;
        assert!(dead["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{dead}");
    }

    async fn only_so_much_is_held(database) {
        let desk = slack_desk(database).await;
        // Nothing at all before the connection has once had a genuine request.
        upload(&desk, &broken("0.1.1")).await;
        let answer = send(&desk, &say(&desk, "Too early"), now_s(), SIGNING_SECRET).await.expect_status(503);
        assert!(answer.header("retry-after").parse::<u32>().is_ok(), "{:?}", answer.headers);
        upload(&desk, &mended("0.1.2")).await;
        desk.hear_ticket("Before").await;
        upload(&desk, &broken("0.1.3")).await;

        let probe = desk.anybody().request(reqwest::Method::GET, &desk.webhook_path());
        assert_eq!(probe.send().await.expect("an answer").status(), 503, "a GET is not held");
        for number in 0..PER_SOURCE {
            let held = say(&desk, &format!("Held {number}"));
            send(&desk, &held, now_s(), SIGNING_SECRET).await.expect_status(200);
        }
        send(&desk, &say(&desk, "One too many"), now_s(), SIGNING_SECRET).await.expect_status(503);
        assert_eq!(intakes(&desk, "held").await.len(), PER_SOURCE);

        upload(&desk, &mended("0.1.4")).await;
        eventually("everything held to be worked", || async {
            let tickets = desk.admin.list_all("/api/v1/tickets").await.len();
            (tickets == PER_SOURCE + 1).then_some(())
        })
        .await;
    }
}

fn slack() -> Vec<u8> {
    std::fs::read(places::component(places::SLACK).expect("built")).expect("readable")
}

/// The Slack plugin under another version.
fn mended(version: &str) -> Vec<u8> {
    with_version(&slack(), "0.1.0", version)
}

/// A release of the Slack plugin that cannot verify anything.
fn broken(version: &str) -> Vec<u8> {
    that_traps_in(&mended(version), "integration@0.1.0#verify")
}

async fn upload(desk: &SlackDesk, component: &[u8]) -> Value {
    let answer = desk.admin.upload(component.to_vec()).await.expect("an answer");
    answer.expect_status(201).json
}

fn say(desk: &SlackDesk, text: &str) -> Envelope {
    desk.slack.message(CHANNEL, PERSON, text)
}

async fn send(desk: &SlackDesk, event: &Envelope, at_s: u64, secret: &str) -> Answer {
    let (timestamp, body) = (at_s.to_string(), event.bytes());
    let headers = vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("x-slack-signature".to_owned(), signature(secret, &timestamp, &body)),
        ("x-slack-request-timestamp".to_owned(), timestamp),
    ];
    desk.slack.deliver_raw(&headers, &body).await
}

async fn intakes(desk: &SlackDesk, state: &str) -> Vec<Value> {
    desk.admin.list_all(&format!("/api/v1/intakes?state={state}")).await
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}
