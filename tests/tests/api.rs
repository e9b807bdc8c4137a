//! The host's interface, noun by noun.

#![allow(clippy::expect_used, clippy::panic, reason = "a failed step ends the test")]

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_tests::desk::{Desk, slack_desk};
use tidegate_tests::slack::{BOT_TOKEN, SIGNING_SECRET};
use tidegate_tests::{on_both, places};

on_both! {
    async fn an_account_begins_with_what_it_needs(database) {
        let desk = Desk::start(database).await;
        let who = desk.admin.get("/api/v1/whoami").await;
        assert_eq!(who["account"]["id"], desk.account, "{who}");
        assert_eq!(who["account"]["name"], "Harbour", "{who}");
        assert_eq!(who["user"]["role"], "administrator", "{who}");
        assert_eq!(who["user"]["operator"], true, "{who}");
        let statuses = desk.admin.list("/api/v1/statuses").await;
        let names: Vec<&str> = statuses.iter().filter_map(|status| status["name"].as_str()).collect();
        assert_eq!(names, ["Open", "In Process", "Human Review", "Closed"]);
        let defaults = statuses.iter().filter(|status| status["default"] == true);
        let defaults: Vec<&str> = defaults.filter_map(|status| status["name"].as_str()).collect();
        assert_eq!(defaults, ["Open", "Human Review", "Closed"], "one in each category");
        assert_eq!(desk.admin.list("/api/v1/users").await.len(), 1);
        for empty in ["plugins", "connections", "inboxes", "tickets", "intakes", "deliveries"] {
            let page = desk.admin.get(&format!("/api/v1/{empty}")).await;
            assert_eq!(page["data"], json!([]), "{empty}: {page}");
            assert_eq!(page["next_cursor"], Value::Null, "{empty}: {page}");
        }
    }

    async fn a_plugin_says_what_it_is(database) {
        let desk = Desk::start(database).await;
        let plugin = desk.install(places::SLACK).await;
        assert_eq!(plugin["state"], "active", "{plugin}");
        assert_eq!(plugin["channel"]["key"], "slack", "{plugin}");
        assert_eq!(plugin["integration"]["key"], "slack", "{plugin}");
        let digest = plugin["digest"].as_str().expect("a digest");
        assert!(digest.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64), "{digest}");
        let requests = plugin["integration"]["requests"].as_array().expect("requests");
        assert!(!requests.is_empty());
        for request in requests {
            assert!(request["sentence"].as_str().is_some_and(|text| !text.is_empty()), "{request}");
        }
        let text = |name: &str| plugin[name].as_str().expect("a name");
        let path = format!("/api/v1/plugins/{}/{}", text("publisher"), text("name"));
        let same = desk.admin.get(&path).await;
        assert_eq!(same["digest"], plugin["digest"]);
        assert_eq!(desk.admin.list("/api/v1/plugins").await.len(), 1);
    }

    async fn a_connection_tells_what_it_misses(database) {
        let desk = slack_desk(database).await;
        let bare = json!({"integration": "slack", "label": "Bare", "settings": {}, "grants": []});
        let bare = desk.admin.post("/api/v1/connections", bare).await;
        assert_eq!(bare["configured"], false, "{bare}");
        let kinds: Vec<&str> =
            bare["missing"].as_array().expect("a list").iter().filter_map(|one| one["kind"].as_str()).collect();
        assert!(kinds.contains(&"secret") && kinds.contains(&"grant"), "{bare}");

        let path = format!("/api/v1/connections/{}", bare["id"]);
        for (name, value) in [("signing_secret", SIGNING_SECRET), ("bot_token", BOT_TOKEN)] {
            let secret = json!({"value": value});
            let path = format!("{path}/secrets/{name}");
            desk.admin.call(Method::PUT, &path, Some(&secret)).await.expect_status(204);
        }
        let settings = json!({"grants": "requested", "settings": {"api_url": desk.slack.api_url()}, "label": "Full"});
        let full = desk.admin.patch(&path, settings).await;
        assert_eq!(full["configured"], true, "{full}");
        assert_eq!(full["missing"], json!([]), "{full}");
        assert_eq!(full["label"], "Full", "{full}");
        assert!(full["webhook_url"].as_str().is_some_and(|url| url.contains("/slack/")), "{full}");
        for secret in full["secrets"].as_array().expect("secrets") {
            assert_eq!(secret["set"], true, "{full}");
            assert!(secret.get("value").is_none(), "{full}");
        }
        let check = desk.admin.call(Method::POST, &format!("{path}/check"), None).await.expect_status(200);
        assert_eq!(check.json["ok"], true, "{}", check.text);
        assert_eq!(desk.slack.calls("auth.test").len(), 1);

        let unset = desk.admin.patch(&path, json!({"settings": {"api_url": null}})).await;
        assert_ne!(unset["settings"]["api_url"], desk.slack.api_url(), "{unset}");
        let off = desk.admin.patch(&path, json!({"enabled": false})).await;
        assert_eq!(off["enabled"], false, "{off}");
        assert_eq!(desk.admin.list("/api/v1/connections").await.len(), 2);
    }

    async fn tickets_are_found_by_what_they_are(database) {
        let desk = slack_desk(database).await;
        desk.hear_ticket("From outside").await;
        for number in 0..4 {
            let task = json!({"kind": "task", "subject": format!("Task {number}"), "tags": ["toner"], "priority": "high"});
            let task = desk.admin.post("/api/v1/tickets", task).await;
            assert_eq!(task["number"], number + 2, "{task}");
            assert_eq!(task["kind"], "task", "{task}");
        }
        let me = desk.admin.get("/api/v1/whoami").await["user"]["id"].clone();
        let change = json!({"status": "Closed", "assignee_id": me, "tags": ["a", "b"], "priority": null, "subject": "Done"});
        let changed = desk.admin.patch("/api/v1/tickets/2", change).await;
        assert_eq!(changed["status"]["name"], "Closed", "{changed}");
        assert_eq!(changed["assignee"]["id"], me, "{changed}");
        assert_eq!(changed["tags"], json!(["a", "b"]), "{changed}");
        assert_eq!(changed["priority"], Value::Null, "{changed}");
        assert_eq!(changed["subject"], "Done", "{changed}");
        let contact = desk.admin.get("/api/v1/tickets/1").await["contact"]["id"].clone();
        for (query, expected) in [
            ("kind=task".to_owned(), vec![2, 3, 4, 5]),
            ("kind=conversation".to_owned(), vec![1]),
            ("status=Closed".to_owned(), vec![2]),
            ("status=Open".to_owned(), vec![1, 3, 4, 5]),
            ("tag=toner".to_owned(), vec![3, 4, 5]),
            ("tag=a".to_owned(), vec![2]),
            ("priority=high".to_owned(), vec![3, 4, 5]),
            (format!("assignee={me}"), vec![2]),
            (format!("inbox={}", desk.inbox), vec![1]),
            (format!("contact={contact}"), vec![1]),
            ("kind=task&status=Open&limit=2".to_owned(), vec![3, 4, 5]),
        ] {
            let mut numbers = Vec::new();
            let mut cursor = String::new();
            loop {
                let page = desk.admin.get(&format!("/api/v1/tickets?{query}{cursor}")).await;
                numbers.extend(page["data"].as_array().expect("a list").iter().filter_map(|ticket| ticket["number"].as_i64()));
                match page["next_cursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            numbers.sort_unstable();
            assert_eq!(numbers, expected, "{query}");
        }
        // By its category, and by its id.
        let closed = changed["status"]["category"].clone();
        let by_category = desk.admin.patch("/api/v1/tickets/3", json!({"status": closed})).await;
        assert_eq!(by_category["status"]["name"], "Closed", "{by_category}");
        let by_id = desk.admin.patch("/api/v1/tickets/4", json!({"status": changed["status"]["id"]})).await;
        assert_eq!(by_id["status"]["name"], "Closed", "{by_id}");
    }

    async fn a_note_stays_inside(database) {
        let desk = slack_desk(database).await;
        let (ticket, _) = desk.hear_ticket("What do you think?").await;
        let note = json!({"body": "He is difficult", "private": true});
        let note = desk.admin.post("/api/v1/tickets/1/messages", note).await;
        assert_eq!(note["private"], true, "{note}");
        let reply = desk.reply(&ticket, "All is well").await;
        desk.message_in(&ticket, &reply, &["sent"]).await;
        let texts: Vec<String> = desk.slack.posts().into_iter().map(|post| post.text).collect();
        assert_eq!(texts, ["All is well"]);
        let again = desk.hear("Still there?").await;
        desk.ticket_and_message(again.text()).await;
    }

    async fn an_intake_is_shown_masked_and_can_be_replayed(database) {
        let desk = slack_desk(database).await;
        desk.hear_ticket("Read me").await;
        desk.all_worked().await;
        let intake = desk.admin.list("/api/v1/intakes?state=done").await[0].clone();
        assert_eq!(intake["connection_id"], desk.connection, "{intake}");
        let path = format!("/api/v1/intakes/{}", intake["id"]);
        let shown = desk.admin.get(&path).await;
        assert!(shown["body"].as_str().is_some_and(|body| body.contains("Read me")), "{shown}");
        let signature = shown["headers"].as_array().expect("headers").iter()
            .find(|header| header[0] == "x-slack-signature");
        let whole = signature.and_then(|header| header[1].as_str()).is_some_and(|value| value.len() > 60);
        assert!(!whole, "{shown}");
        desk.admin.call(Method::POST, &format!("{path}/replay"), None).await.expect_status(202);
        desk.all_worked().await;
        assert_eq!(desk.admin.list("/api/v1/tickets").await.len(), 1, "a replay doubles nothing");
    }

    async fn a_delivery_tells_of_its_attempts(database) {
        let desk = slack_desk(database).await;
        let (ticket, _) = desk.hear_ticket("Track it").await;
        let reply = desk.reply(&ticket, "Tracked").await;
        desk.message_in(&ticket, &reply, &["sent"]).await;
        let delivery = desk.admin.list("/api/v1/deliveries?state=sent").await[0].clone();
        assert_eq!(delivery["message_id"], reply["id"], "{delivery}");
        let shown = desk.admin.get(&format!("/api/v1/deliveries/{}", delivery["id"])).await;
        let part = &shown["parts"][0];
        assert_eq!(part["state"], "sent", "{shown}");
        assert!(part["external_id"].is_string(), "{shown}");
        assert_eq!(part["attempts"].as_array().map(Vec::len), Some(1), "{shown}");
        assert!(part["attempts"][0]["finished_at"].is_string(), "{shown}");
        let path = format!("/api/v1/deliveries/{}/retry", delivery["id"]);
        let answer = desk.admin.call(Method::POST, &path, None).await;
        assert!(matches!(answer.status, 409 | 422), "sent again: {} {}", answer.status, answer.text);
    }

    async fn the_server_says_how_it_is(database) {
        let desk = Desk::start(database).await;
        let anybody = desk.anybody();
        assert_eq!(anybody.get("/healthz").await["status"], "ok");
        let ready = anybody.get("/readyz").await;
        assert!(ready["checks"].is_object() || ready["checks"].is_array(), "{ready}");
    }
}
