//! The main job, through the real binary, with a Slack over real HTTP, on both databases.

#![allow(clippy::expect_used, clippy::panic, reason = "a failed step ends the test")]

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_tests::client::number_of;
use tidegate_tests::desk::{SlackDesk, slack_desk};
use tidegate_tests::slack::{BOT_TOKEN, CHANNEL, Fault, PERSON};
use tidegate_tests::{eventually, on_both};

on_both! {
    async fn a_customer_writes_and_an_agent_replies(database) {
        let desk = slack_desk(database).await;
        let (ticket, message) = desk.hear_ticket("The printer is on fire").await;
        assert_eq!(ticket["number"], 1, "{ticket}");
        assert_eq!(ticket["kind"], "conversation", "{ticket}");
        assert_eq!(ticket["contact"]["name"], "Ana Lima", "the name that the provider knows: {ticket}");
        assert_eq!(ticket["inbox_id"], desk.inbox, "{ticket}");
        assert_eq!(ticket["channel"], "slack", "{ticket}");
        assert_eq!(ticket["status"]["name"], "Open", "{ticket}");
        assert_eq!(message["direction"], "incoming", "{message}");
        assert_eq!(message["state"], "received", "{message}");
        assert_eq!(message["author"]["type"], "contact", "{message}");

        let shown = desk.admin.get("/api/v1/tickets/1").await;
        let card = &shown["card"];
        let something = |name: &str| card[name].as_array().is_some_and(|list| !list.is_empty());
        assert!(something("badges") || something("chips"), "an empty card: {card}");

        let reply = desk.reply(&ticket, "On my way").await;
        assert_eq!(reply["direction"], "outgoing", "{reply}");
        let sent = desk.message_in(&ticket, &reply, &["sent"]).await;
        assert!(sent["sent_at"].is_string(), "{sent}");
        let posts = desk.slack.posts_of("On my way");
        assert_eq!(posts.len(), 1, "{posts:?}");
        assert_eq!(posts[0].channel, CHANNEL);
        let root = desk.messages(&ticket).await[0]["external_id"].clone();
        let thread = posts[0].thread_ts.clone().expect("the reply is in the customer's thread");
        assert!(root.as_str().is_some_and(|id| id.ends_with(&thread)), "{root} and {thread}");

        // The provider tells the bot what the bot said; that is no new message.
        desk.hear_event(&desk.slack.echo(&posts[0])).await;
        desk.all_worked().await;
        assert_eq!(desk.messages(&ticket).await.len(), 2);
        let users = desk.slack.calls("users.info").len();
        assert_eq!(users, 1, "a person is looked up once");
    }

    async fn a_conversation_goes_on_in_its_thread(database) {
        let desk = slack_desk(database).await;
        let first = desk.hear("It smokes").await;
        let (ticket, _) = desk.ticket_and_message("It smokes").await;
        let answer = desk.slack.thread_reply(CHANNEL, "U0BEN", "I see it too", first.ts());
        desk.hear_event(&answer).await;
        let (same, message) = desk.ticket_and_message("I see it too").await;
        assert_eq!(same["number"], ticket["number"]);
        assert_eq!(message["author"]["name"], "Ben Okafor", "{message}");

        desk.hear_event(&desk.slack.edit(&first, "It burns")).await;
        let (_, edited) = desk.ticket_and_message("It burns").await;
        assert!(edited["edited_at"].is_string(), "{edited}");
        assert!(desk.find_message("It smokes").await.is_none(), "the old text is gone");

        desk.hear_event(&desk.slack.reaction("reaction_added", CHANNEL, answer.ts(), PERSON, "eyes")).await;
        let reactions = |desk: &SlackDesk, wanted: usize| {
            let (admin, path) = (desk.admin.clone(), format!("/api/v1/tickets/{}/messages", ticket["number"]));
            async move {
                eventually(&format!("{wanted} reactions"), || async {
                    let messages = admin.list(&path).await;
                    let found = messages.iter().find(|message| message["body"]["text"] == "I see it too")?;
                    let reactions = found["reactions"].as_array()?;
                    (reactions.len() == wanted).then(|| reactions.clone())
                })
                .await
            }
        };
        let added = reactions(&desk, 1).await;
        assert!(added[0]["emoji"].is_string(), "{added:?}");
        desk.hear_event(&desk.slack.reaction("reaction_removed", CHANNEL, answer.ts(), PERSON, "eyes")).await;
        reactions(&desk, 0).await;

        desk.hear_event(&desk.slack.delete(&answer)).await;
        eventually("the message to be deleted", || async {
            let messages = desk.messages(&ticket).await;
            messages.iter().any(|message| message["deleted_at"].is_string()).then_some(())
        })
        .await;
    }

    async fn a_file_comes_along(database) {
        let desk = slack_desk(database).await;
        desk.slack.add_file("F0PHOTO", "printer.png", "image/png", b"\x89PNG not really");
        let share = desk.slack.file_share(CHANNEL, PERSON, "Look", "F0PHOTO");
        desk.hear_event(&share).await;
        let (ticket, _) = desk.ticket_and_message("Look").await;
        let attachment = eventually("the file to be fetched", || async {
            let message = desk.messages(&ticket).await.into_iter().next()?;
            let attachment = message["attachments"].get(0)?.clone();
            (desk.slack.calls("files").len() == 1 && attachment["byte_size"] == 15).then_some(attachment)
        })
        .await;
        assert_eq!(attachment["name"], "printer.png", "{attachment}");
        assert_eq!(attachment["content_type"], "image/png", "{attachment}");
    }

    async fn events_tell_it_in_order(database) {
        let desk = slack_desk(database).await;
        let (ticket, _) = desk.hear_ticket("Hello").await;
        let reply = desk.reply(&ticket, "Good day").await;
        desk.message_in(&ticket, &reply, &["sent"]).await;
        desk.admin.patch("/api/v1/tickets/1", json!({"status": "Closed", "priority": "high"})).await;
        let events = desk.admin.events_after(0).await;
        let numbers: Vec<i64> = events.iter().map(number_of).collect();
        let expected: Vec<i64> = (1..).take(numbers.len()).collect();
        assert_eq!(numbers, expected, "no gap and no double");
        let kinds: Vec<&str> = events.iter().filter_map(|event| event["eventType"].as_str()).collect();
        for kind in [
            "contact:created",
            "ticket:created",
            "ticket:comment:added",
            "ticket:comment:updated",
            "ticket:status:changed",
            "ticket:priority:changed",
        ] {
            assert!(kinds.contains(&kind), "no {kind} in {kinds:?}");
        }
        let changed = events.iter().find(|event| event["eventType"] == "ticket:status:changed");
        let changed = changed.expect("it is there");
        assert_eq!(changed["actor"]["type"], "USER", "{changed}");
        assert_eq!(changed["payload"]["ticket"]["status"]["name"], "Closed", "{changed}");
        assert_eq!(changed["payload"]["previousTicket"]["status"]["name"], "Open", "{changed}");
        for event in &events {
            assert!(event["eventId"].as_str().is_some_and(|id| id.starts_with("evt-")), "{event}");
            assert_eq!(event["orgId"], desk.account.to_string(), "{event}");
        }
    }

    async fn replies_wait_for_a_busy_provider(database) {
        let desk = slack_desk_that_tries_soon(database).await;
        let (ticket, _) = desk.hear_ticket("Anybody there?").await;
        desk.slack.fail_next("chat.postMessage", 1, &Fault::RateLimited(1));
        let reply = desk.reply(&ticket, "Yes").await;
        desk.message_in(&ticket, &reply, &["sent"]).await;
        assert_eq!(desk.slack.posts_of("Yes").len(), 1);
        assert_eq!(desk.slack.calls("chat.postMessage").len(), 2);
    }

    async fn replies_keep_their_order(database) {
        let desk = slack_desk_that_tries_soon(database).await;
        let (ticket, _) = desk.hear_ticket("Tell me a story").await;
        desk.slack.fail_next("chat.postMessage", 1, &Fault::RateLimited(1));
        let mut last = Value::Null;
        for number in 0..8 {
            last = desk.reply(&ticket, &format!("Part {number}")).await;
        }
        desk.message_in(&ticket, &last, &["sent"]).await;
        let texts: Vec<String> = desk.slack.posts().into_iter().map(|post| post.text).collect();
        let expected: Vec<String> = (0..8).map(|number| format!("Part {number}")).collect();
        assert_eq!(texts, expected);
    }

    async fn a_reply_that_may_have_arrived_is_shown_as_ambiguous(database) {
        let desk = slack_desk_that_tries_soon(database).await;
        let (ticket, _) = desk.hear_ticket("Are you sure?").await;
        desk.slack.fail_next("chat.postMessage", 1, &Fault::CloseAfterReading);
        let reply = desk.reply(&ticket, "Not quite").await;
        desk.message_in(&ticket, &reply, &["ambiguous"]).await;
        assert_eq!(desk.slack.posts_of("Not quite").len(), 1, "nothing is sent twice on a guess");
        let deliveries = desk.admin.list("/api/v1/deliveries?state=ambiguous").await;
        assert_eq!(deliveries.len(), 1, "{deliveries:?}");
        // An operator decides to send it again.
        let path = format!("/api/v1/deliveries/{}/retry", deliveries[0]["id"]);
        desk.admin.call(Method::POST, &path, None).await.expect_status(202);
        desk.message_in(&ticket, &reply, &["sent"]).await;
        assert_eq!(desk.slack.posts_of("Not quite").len(), 2);
    }

    async fn a_revoked_token_is_said(database) {
        let desk = slack_desk_that_tries_soon(database).await;
        let (ticket, _) = desk.hear_ticket("Hm").await;
        desk.slack.fail_next("chat.postMessage", 3, &Fault::Refused("token_revoked"));
        let reply = desk.reply(&ticket, "Well").await;
        let paused = eventually("the connection to be paused", || async {
            let connection = desk.admin.get("/api/v1/connections/1").await;
            connection["paused_reason"].is_string().then_some(connection)
        })
        .await;
        assert!(paused["paused_reason"].to_string().contains("token_revoked"), "{paused}");
        let waiting = desk.message_in(&ticket, &reply, &["pending"]).await;
        assert!(waiting["state_detail"].to_string().contains("token_revoked"), "{waiting}");
        assert!(desk.slack.posts_of("Well").is_empty());

        let renewed = json!({"value": BOT_TOKEN});
        let path = "/api/v1/connections/1/secrets/bot_token";
        desk.admin.call(Method::PUT, path, Some(&renewed)).await.expect_status(204);
        let connection = desk.admin.get("/api/v1/connections/1").await;
        assert!(connection["paused_reason"].is_null(), "{connection}");
        let sent = desk.message_in(&ticket, &reply, &["sent"]).await;
        assert!(sent["state_detail"].is_null(), "{sent}");
        assert_eq!(desk.slack.posts_of("Well").len(), 1);
    }

    async fn a_refused_reply_fails_with_its_reason(database) {
        let desk = slack_desk_that_tries_soon(database).await;
        let (ticket, _) = desk.hear_ticket("Psst").await;
        desk.slack.fail_next("chat.postMessage", 1, &Fault::Refused("is_archived"));
        let reply = desk.reply(&ticket, "Too late").await;
        let failed = desk.message_in(&ticket, &reply, &["failed"]).await;
        let detail = failed["state_detail"].as_str().unwrap_or_default();
        assert!(!detail.is_empty(), "{failed}");
    }
}

async fn slack_desk_that_tries_soon(database: tidegate_tests::desk::Database) -> SlackDesk {
    let toml = "[delivery]\nretry_ms = [50, 100, 200, 400, 800, 1600]\n";
    tidegate_tests::desk::slack_desk_configured(database, toml).await
}
