//! Bad input, and what it gets.

#![allow(clippy::expect_used, clippy::panic, reason = "a failed step ends the test")]

use reqwest::{Body, Method};
use serde_json::{Value, json};
use tidegate_tests::component::{with_custom_section, with_publisher, with_version};
use tidegate_tests::desk::{Desk, connect_slack, slack_desk, slack_desk_configured};
use tidegate_tests::slack::{Fault, Gate, PERSON, SIGNING_SECRET, signed_headers};
use tidegate_tests::{eventually, on_both, places};

on_both! {
    async fn a_webhook_for_nobody_is_404(database) {
        let desk = slack_desk(database).await;
        let event = desk.slack.message("C1", PERSON, "Hello?").bytes();
        let headers = signed_headers(SIGNING_SECRET, &event);
        let base = format!("{}/api/webhooks/integrations", desk.url());
        for path in ["nothing", "nothing/1", "slack/999", "slack/0", "slack/-1", "slack/x", "Slack/1", ""] {
            desk.slack.point_at(&format!("{base}/{path}"));
            desk.slack.deliver_raw(&headers, &event).await.expect_status(404);
        }
        assert!(desk.admin.list("/api/v1/intakes").await.is_empty());
    }

    async fn two_connections_and_no_name_is_409(database) {
        let desk = slack_desk(database).await;
        let event = desk.slack.message("C1", PERSON, "Which?");
        let short = format!("{}/api/webhooks/integrations/slack", desk.url());
        desk.slack.point_at(&short);
        desk.hear_event(&event).await;
        connect_slack(&desk.admin, &desk.slack.api_url()).await.expect("a second connection");
        desk.slack.deliver(&event).await.expect_status(409);
        desk.point_slack_here();
        desk.hear_event(&event).await;
        desk.slack.point_at(&format!("{}{}/deeper/path?and=more", desk.url(), desk.webhook_path()));
        desk.hear_event(&desk.slack.message("C1", PERSON, "Deeper")).await;
        desk.ticket_and_message("Deeper").await;
    }

    async fn a_body_over_its_limit_is_413_also_in_chunks(database) {
        let desk = slack_desk_configured(database, "[intake]\nbody_limit_bytes = 20000\n").await;
        let url = format!("{}{}", desk.url(), desk.webhook_path());
        let event = desk.slack.message("C1", PERSON, &"x".repeat(30_000));
        desk.slack.deliver(&event).await.expect_status(413);
        let bytes = event.bytes();
        let chunks: Vec<Result<Vec<u8>, std::io::Error>> =
            bytes.chunks(1000).map(|chunk| Ok(chunk.to_vec())).collect();
        let mut request = tidegate_tests::client::http().post(&url);
        for (name, value) in signed_headers(SIGNING_SECRET, &bytes) {
            request = request.header(name, value);
        }
        let body = Body::wrap_stream(futures_util::stream::iter(chunks));
        let answer = request.body(body).send().await.expect("an answer");
        assert_eq!(answer.status(), 413);
        assert!(desk.admin.list("/api/v1/intakes").await.is_empty());
        desk.hear_ticket("A short one").await;
    }

    async fn a_content_encoding_is_415(database) {
        let desk = slack_desk(database).await;
        let event = desk.slack.message("C1", PERSON, "Squeezed").bytes();
        for encoding in ["gzip", "br", "nonsense"] {
            let mut headers = signed_headers(SIGNING_SECRET, &event);
            headers.push(("content-encoding".into(), encoding.into()));
            desk.slack.deliver_raw(&headers, &event).await.expect_status(415);
        }
        let mut headers = signed_headers(SIGNING_SECRET, &event);
        headers.push(("content-encoding".into(), "identity".into()));
        desk.slack.deliver_raw(&headers, &event).await.expect_status(200);
    }

    async fn a_full_backlog_is_503(database) {
        let desk = slack_desk_configured(database, "[intake]\nmax_backlog = 5\n").await;
        let gate = Gate::closed();
        desk.slack.fail_next("users.info", 100, &Fault::Until(gate.clone()));
        let mut accepted = 0;
        let refused = loop {
            let event = desk.slack.message("C1", PERSON, &format!("Number {accepted}"));
            let answer = desk.slack.deliver(&event).await;
            if !answer.is_success() {
                break (event, answer.expect_status(503));
            }
            accepted += 1;
            assert!(accepted < 50, "the backlog has no end");
        };
        assert!(refused.1.header("retry-after").parse::<u32>().is_ok(), "{:?}", refused.1.headers);
        assert!(accepted >= 5, "only {accepted} were accepted");
        gate.open();
        eventually("the webhook to be taken again", || async {
            desk.slack.deliver(&refused.0).await.is_success().then_some(())
        })
        .await;
        desk.all_worked().await;
        assert_eq!(desk.admin.list_all("/api/v1/tickets").await.len(), accepted + 1);
    }

    async fn a_body_that_cannot_be_parsed_is_a_dead_letter_with_its_reason(database) {
        let desk = slack_desk(database).await;
        let bodies: [&[u8]; 4] = [b"{\"type\": \"event_callback\", \"event\": ", b"[]", b"\xff\xfe{}", b"{\"type\": 7}"];
        for (number, body) in bodies.into_iter().enumerate() {
            let answer = desk.slack.deliver_raw(&signed_headers(SIGNING_SECRET, body), body).await;
            answer.expect_status(200);
            let dead = eventually("a dead letter", || async {
                let dead = desk.admin.list("/api/v1/intakes?state=dead").await;
                (dead.len() == number + 1).then_some(dead)
            })
            .await;
            let reason = dead[0]["reason"].as_str().unwrap_or_default();
            assert!(!reason.is_empty(), "{}", dead[0]);
        }
        // Its neighbours go on, and a replay is tried and dies again.
        desk.hear_ticket("A good one").await;
        let id = desk.admin.list("/api/v1/intakes?state=dead").await[0]["id"].clone();
        let path = format!("/api/v1/intakes/{id}");
        let died = desk.admin.get(&path).await["finished_at"].clone();
        desk.admin.call(Method::POST, &format!("{path}/replay"), None).await.expect_status(202);
        eventually("the replay to die", || async {
            let intake = desk.admin.get(&path).await;
            (intake["state"] == "dead" && intake["finished_at"] != died).then_some(())
        })
        .await;
    }

    async fn a_reply_on_a_task_is_422(database) {
        let desk = Desk::start(database).await;
        let task = desk.admin.post("/api/v1/tickets", json!({"kind": "task", "subject": "Buy toner"})).await;
        let path = format!("/api/v1/tickets/{}/messages", task["number"]);
        let reply = json!({"body": "To whom?"});
        desk.admin.call(Method::POST, &path, Some(&reply)).await.expect_problem(422, "no_thread");
        let note = json!({"body": "To myself", "private": true});
        desk.admin.call(Method::POST, &path, Some(&note)).await.expect_status(201);
    }

    async fn a_component_that_cannot_serve_is_refused_with_a_sentence(database) {
        let desk = Desk::start(database).await;
        let slack = std::fs::read(places::component(places::SLACK).expect("built")).expect("readable");
        let half = slack[..slack.len() / 2].to_vec();
        let refused: [(&str, Vec<u8>, &str); 6] = [
            ("nothing", Vec::new(), ""),
            ("a text", b"hello".to_vec(), ""),
            ("a core module", b"\0asm\x01\0\0\0".to_vec(), "component"),
            ("half a component", half, ""),
            ("an empty component", b"\0asm\x0d\0\x01\0".to_vec(), ""),
            ("an unknown import", importing("evil:host/door@1.0.0"), "evil:host/door"),
        ];
        for (what, bytes, word) in refused {
            let answer = desk.admin.upload(bytes).await.expect("an answer");
            assert!((400..500).contains(&answer.status), "{what}: {} {}", answer.status, answer.text);
            let detail = answer.json["detail"].as_str().unwrap_or_default();
            assert!(!detail.is_empty() && detail.contains(word), "{what}: {}", answer.text);
        }
        assert!(desk.admin.list("/api/v1/plugins").await.is_empty(), "something was stored");
        desk.install(places::SLACK).await;
        let again = desk.admin.upload(slack).await.expect("an answer");
        again.expect_status(200);
    }

    async fn a_key_has_one_owner_and_a_version_one_content(database) {
        let desk = Desk::start(database).await;
        let hostile = std::fs::read(places::component(places::HOSTILE).expect("built")).expect("readable");
        desk.install(places::HOSTILE).await;
        let claim = with_publisher(&hostile, "tidegate-tests", "tidegate-thief");
        let refused = desk.admin.upload(claim).await.expect("an answer").expect_status(409);
        let detail = refused.json["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("tidegate-tests/hostile"), "the owner is named: {}", refused.text);
        let changed = with_custom_section(&hostile, "changed");
        desk.admin.upload(changed.clone()).await.expect("an answer").expect_status(409);
        assert_eq!(desk.admin.list("/api/v1/plugins").await.len(), 1);
        // Under a version of its own it is the next release.
        let next = with_version(&changed, "0.1.0", "0.1.1");
        let next = desk.admin.upload(next).await.expect("an answer").expect_status(201);
        assert_eq!(next.json["version"], "0.1.1", "{}", next.text);
        assert_eq!(desk.admin.list("/api/v1/plugins").await.len(), 1);
    }

    async fn a_component_that_is_too_large_is_refused(database) {
        let desk = Desk::configured(database, "[plugin]\nmax_bytes = 10000\n").await;
        let slack = std::fs::read(places::component(places::SLACK).expect("built")).expect("readable");
        let answer = desk.admin.upload(slack).await.expect("an answer");
        assert!(answer.status == 413 || answer.status == 422, "{} {}", answer.status, answer.text);
        assert!(desk.admin.list("/api/v1/plugins").await.is_empty());
    }

    async fn bodies_that_say_nothing_or_too_much_are_problems(database) {
        let desk = slack_desk(database).await;
        desk.hear_ticket("Here").await;
        let post = |path: &'static str, body: Value| {
            let admin = desk.admin.clone();
            async move { admin.call(Method::POST, path, Some(&body)).await }
        };
        let messages = "/api/v1/tickets/1/messages";
        for (path, body) in [
            (messages, json!({})),
            (messages, json!({"body": ""})),
            (messages, json!({"body": 7})),
            (messages, json!({"body": "x", "privat": true})),
            (messages, json!([])),
            ("/api/v1/tickets", json!({"kind": "task"})),
            ("/api/v1/tickets", json!({"kind": "dream", "subject": "x"})),
            ("/api/v1/tickets", json!({"kind": "task", "subject": "x", "priority": "extreme"})),
            ("/api/v1/connections", json!({"integration": "nothing", "label": "x"})),
            ("/api/v1/connections", json!({"integration": "slack", "label": "x", "settings": {"no_such": 1}, "grants": []})),
            ("/api/v1/connections", json!({"integration": "slack", "label": "x", "settings": {"api_url": 7}, "grants": []})),
            ("/api/v1/connections", json!({"integration": "slack", "label": "x", "secrets": {"no_such": "x"}, "grants": []})),
            ("/api/v1/connections", json!({"integration": "slack", "label": "x", "grants": [{"capability": "teleport", "scope": "x"}]})),
            ("/api/v1/inboxes", json!({"channel": "nothing", "connection_id": 1, "name": "x"})),
        ] {
            let shown = body.to_string();
            let answer = post(path, body).await;
            assert!(matches!(answer.status, 400 | 404 | 409 | 422), "{path} {shown}: {} {}", answer.status, answer.text);
            assert!(answer.json["code"].is_string(), "{path} {shown}: {}", answer.text);
        }
        let patches = [
            json!({"status": "Nowhere"}),
            json!({"assignee_id": 999}),
            json!({"priority": "extreme"}),
            json!({"tags": "a"}),
            json!({"no_such": 1}),
            json!({"subject": null}),
        ];
        for body in patches {
            let answer = desk.admin.call(Method::PATCH, "/api/v1/tickets/1", Some(&body)).await;
            assert!(matches!(answer.status, 400 | 404 | 422), "{body}: {} {}", answer.status, answer.text);
        }
        for query in ["limit=0", "limit=101", "limit=x", "cursor=nonsense", "status=Nowhere", "no_such=1"] {
            let path = format!("/api/v1/tickets?{query}");
            let answer = desk.admin.call(Method::GET, &path, None).await;
            assert!(matches!(answer.status, 400 | 404 | 422), "{query}: {} {}", answer.status, answer.text);
        }
        let unread = desk.admin.request(Method::POST, messages).header("content-type", "application/json");
        let answer = unread.body("{\"body\": ").send().await.expect("an answer");
        assert_eq!(answer.status(), 400);
        let untyped = desk.admin.request(Method::POST, messages).body("{\"body\": \"x\"}");
        let answer = untyped.send().await.expect("an answer");
        assert_eq!(answer.status(), 415);
        for path in ["/api/v1/nothing", "/api/v1/tickets/0", "/api/v1/tickets/99", "/api/v1/tickets/x", "/api/v1/contacts/99"] {
            desk.admin.call(Method::GET, path, None).await.expect_problem(404, "not_found");
        }
        desk.admin.call(Method::DELETE, "/api/v1/tickets/1", None).await.expect_status(405);
    }
}

/// A component that does nothing but import an instance by this name.
fn importing(name: &str) -> Vec<u8> {
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    // One type: an instance without members.
    component.extend([7, 3, 1, 0x42, 0]);
    let length = u8::try_from(name.len()).expect("a short name");
    // One import: the name, and an instance of type 0.
    component.extend([10, length + 5, 1, 0, length]);
    component.extend(name.as_bytes());
    component.extend([5, 0]);
    component
}
