//! What is signed gets in, what is not leaves nothing behind.

#![allow(clippy::expect_used, clippy::panic, reason = "a failed step ends the test")]

use reqwest::Method;
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};
use tidegate_tests::client::Answer;
use tidegate_tests::desk::{SlackDesk, slack_desk};
use tidegate_tests::on_both;
use tidegate_tests::slack::{SIGNING_SECRET, signature, signed_headers};

/// The example of Slack's documentation.
const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const TIMESTAMP: &str = "1531420618";
const BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&\
    channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&\
    command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2F\
    T1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&\
    trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
const SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";

type Headers = Vec<(String, String)>;

#[test]
fn the_signer_of_these_tests_makes_the_published_signature() {
    assert_eq!(signature(SECRET, TIMESTAMP, BODY.as_bytes()), SIGNATURE);
}

on_both! {
    async fn the_published_example_is_genuine_today_and_stale_as_printed(database) {
        let desk = slack_desk(database).await;
        let path = format!("/api/v1/connections/{}/secrets/signing_secret", desk.connection);
        let secret = json!({"value": SECRET});
        desk.admin.call(Method::PUT, &path, Some(&secret)).await.expect_status(204);

        refused(&desk, &headers(TIMESTAMP, SIGNATURE), BODY.as_bytes()).await;
        let now = seconds_now(0);
        let genuine = headers(&now, &signature(SECRET, &now, BODY.as_bytes()));
        desk.slack.deliver_raw(&genuine, BODY.as_bytes()).await.expect_status(200);
        // A slash command means nothing here: it is worked, and that is all.
        desk.all_worked().await;
        assert_eq!(intakes(&desk).await, 1);
        assert!(desk.admin.list("/api/v1/tickets").await.is_empty());
    }

    async fn whatever_is_wrong_is_refused_and_leaves_no_row(database) {
        let desk = slack_desk(database).await;
        let body = desk.slack.message("C0SUPPORT", "U0ANA", "Let me in").bytes();
        let now = seconds_now(0);
        let good = signature(SIGNING_SECRET, &now, &body);

        // The body, flipped at its ends and in its middle.
        for place in [0, body.len() / 2, body.len() - 1] {
            let mut flipped = body.clone();
            flipped[place] ^= 1;
            refused(&desk, &headers(&now, &good), &flipped).await;
        }
        let mut longer = body.clone();
        longer.push(b' ');
        refused(&desk, &headers(&now, &good), &longer).await;
        refused(&desk, &headers(&now, &good), &body[..body.len() - 1]).await;
        refused(&desk, &headers(&now, &good), b"").await;

        // The signature, changed in every way.
        let hex = good.strip_prefix("v0=").expect("it has a version");
        let last = if hex.ends_with('0') { "1" } else { "0" };
        let first = if hex.starts_with('0') { "1" } else { "0" };
        for wrong in [
            format!("v0={first}{}", &hex[1..]),
            format!("v0={}{last}", &hex[..63]),
            format!("v1={hex}"),
            hex.to_owned(),
            format!("v0={}", &hex[..62]),
            format!("v0={hex}00"),
            format!("v0={hex},v0={hex}"),
            "v0=".to_owned(),
            String::new(),
            "v0=zz".repeat(16),
            "0".repeat(6000),
            signature("another secret", &now, &body),
            signature("", &now, &body),
        ] {
            refused(&desk, &headers(&now, &wrong), &body).await;
        }

        // The time: another one than the signed one, none, no number; and honest ones, too old or
        // too new.
        for wrong in [seconds_now(1), String::new(), "now".into(), format!("{now}.0"), "9".repeat(40)] {
            refused(&desk, &headers(&wrong, &good), &body).await;
        }
        for wrong in [seconds_now(-301), seconds_now(-86_400), seconds_now(330), "0".into(), "-1".into()] {
            refused(&desk, &headers(&wrong, &signature(SIGNING_SECRET, &wrong, &body)), &body).await;
        }

        // Headers absent and doubled.
        refused(&desk, &Vec::new(), &body).await;
        let full = headers(&now, &good);
        for name in ["x-slack-signature", "x-slack-request-timestamp"] {
            let without: Headers = full.iter().filter(|(key, _)| key != name).cloned().collect();
            refused(&desk, &without, &body).await;
        }
        for (name, other) in [
            ("x-slack-signature", format!("v0={}", "0".repeat(64))),
            ("x-slack-request-timestamp", seconds_now(-1)),
        ] {
            for at_front in [true, false] {
                let mut doubled = full.clone();
                let place = if at_front { 0 } else { doubled.len() };
                doubled.insert(place, (name.to_owned(), other.clone()));
                refused(&desk, &doubled, &body).await;
            }
        }

        assert_eq!(intakes(&desk).await, 0, "a refused request left a row");
        assert!(desk.admin.list("/api/v1/tickets").await.is_empty());

        // After all that the genuine one is accepted, within the window on either side.
        desk.slack.deliver_raw(&full, &body).await.expect_status(200);
        desk.ticket_and_message("Let me in").await;
        let older = desk.slack.message("C0SUPPORT", "U0ANA", "Four minutes late").bytes();
        let then = seconds_now(-240);
        let signed = headers(&then, &signature(SIGNING_SECRET, &then, &older));
        desk.slack.deliver_raw(&signed, &older).await.expect_status(200);
        desk.ticket_and_message("Four minutes late").await;
    }

    async fn a_challenge_is_answered_only_when_it_is_signed(database) {
        let desk = slack_desk(database).await;
        let question = desk.slack.url_verification("abc-123");
        let answer = desk.slack.deliver(&question).await.expect_status(200);
        assert!(answer.text.contains("abc-123"), "{}", answer.text);
        let forged = signed_headers("another secret", &question.bytes());
        let answer = refused(&desk, &forged, &question.bytes()).await;
        assert!(!answer.text.contains("abc-123"), "{}", answer.text);
        assert_eq!(intakes(&desk).await, 0, "a handshake leaves no row");
    }

    async fn a_new_secret_counts_at_once(database) {
        let desk = slack_desk(database).await;
        let path = format!("/api/v1/connections/{}/secrets/signing_secret", desk.connection);
        let secret = json!({"value": "the new one"});
        desk.admin.call(Method::PUT, &path, Some(&secret)).await.expect_status(204);
        let event = desk.slack.message("C0SUPPORT", "U0ANA", "Under which key?");
        refused(&desk, &signed_headers(SIGNING_SECRET, &event.bytes()), &event.bytes()).await;
        let signed = signed_headers("the new one", &event.bytes());
        desk.slack.deliver_raw(&signed, &event.bytes()).await.expect_status(200);
        // Without a secret nothing is genuine, not even what is signed with an empty one.
        desk.admin.call(Method::DELETE, &path, None).await.expect_status(204);
        for key in ["", "the new one"] {
            let answer = desk.slack.deliver_raw(&signed_headers(key, &event.bytes()), &event.bytes()).await;
            assert!(!answer.is_success(), "accepted without a secret: {}", answer.text);
        }
    }
}

/// Delivers what must get the constant 401.
async fn refused(desk: &SlackDesk, headers: &Headers, body: &[u8]) -> Answer {
    let answer = desk.slack.deliver_raw(headers, body).await;
    assert_eq!(answer.status, 401, "{headers:?} got {}: {}", answer.status, answer.text);
    assert_eq!(answer.json["error"]["code"], "unauthorized", "{}", answer.text);
    let constant = desk.slack.deliver_raw(&Vec::new(), b"{}").await.text;
    assert_eq!(answer.text, constant, "the refusal tells why");
    answer
}

fn headers(timestamp: &str, signature: &str) -> Headers {
    vec![
        ("content-type".into(), "application/json".into()),
        ("x-slack-request-timestamp".into(), timestamp.into()),
        ("x-slack-signature".into(), signature.into()),
    ]
}

fn seconds_now(offset: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    (i64::try_from(now).expect("before 2262") + offset).to_string()
}

async fn intakes(desk: &SlackDesk) -> usize {
    desk.admin.list_all("/api/v1/intakes").await.len()
}
